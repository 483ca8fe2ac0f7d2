/* reader.h - a file of Erlang terms, and errors that name the place in it. */
#ifndef TB_DAEMON_READER_H
#define TB_DAEMON_READER_H

#include "services/rule.h"

struct tb_reader {
    const char *path;     /* borrowed; for messages */
    struct tb_wr *errors; /* "file:line: message", a line each */
    struct tb_wr body;    /* owned: the list of the file's terms */
    struct tb_wr lines;   /* owned: struct tb_line of every term of it */
    void *ctx;            /* of whoever reads */
};

typedef void (*tb_pair_fn)(struct tb_reader *r, const char *section,
                           struct tb_text key, struct tb_term value);

/* tb_reader_consult - parse the text into the body. Returns 0, or an error
 * that has been appended to errors.
 * tb_reader_one_list - the one term of the file, a list. False: it is not so,
 * and that has been said. */
int tb_reader_consult(struct tb_reader *r, const struct tb_wr *text);
bool tb_reader_one_list(struct tb_reader *r, struct tb_term *list);
void tb_reader_fini(struct tb_reader *r);

/* tb_line_of - the line on which a term of the body stands; at: its bytes.
 * tb_problem - append an error of that place.
 * tb_unexpected - append what was expected at what, and what was found. */
unsigned tb_line_of(const struct tb_reader *r, const void *at);
void tb_problem(struct tb_reader *r, const void *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void tb_unexpected(struct tb_reader *r, struct tb_term found, const char *what,
                   const char *expected);

/* tb_each_pair - call fn for each {Key, Value} of the list; whatever else is in
 * it is an error, and so is a key that is given twice. */
void tb_each_pair(struct tb_reader *r, const char *section, struct tb_term list,
                  tb_pair_fn fn);

/* tb_check_pair - a key of a service's options and its value: each fault is an
 * error, and a key that is unknown is told the nearest one. */
void tb_check_pair(struct tb_reader *r, const struct tb_rule *rules,
                   const char *section, struct tb_text key,
                   struct tb_term value);

#endif
