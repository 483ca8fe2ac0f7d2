/* options.h - the command line, the environment and argument files. */
#ifndef TB_DAEMON_OPTIONS_H
#define TB_DAEMON_OPTIONS_H

#include "daemon/settings.h"

/* A growing list of words. */
struct tb_words {
    char **v; /* owned, and each of them */
    size_t n, cap;
};
void tb_words_add(struct tb_words *w, const char *text, size_t n);
/* tb_words_split - add the words of a text as a shell reads them: quotes,
 * backslashes, and # comments. */
void tb_words_split(struct tb_words *w, const char *text);
void tb_words_fini(struct tb_words *w);

/* tb_options_read - take flags and environment into settings that are new.
 * rest receives what is no flag: a verb and its arguments. Errors: one line
 * each, appended to errors; returns 0, or -TB_EBADARG where there are any. */
int tb_options_read(struct tb_settings *s, int argc, char **argv,
                    struct tb_words *rest, struct tb_wr *errors);

/* tb_file_text - append a whole file, of at most 1 MiB. Returns 0 or a
 * negative errno. */
int tb_file_text(struct tb_wr *w, const char *path);

#endif
