/* scan.h - characters of a text of Erlang terms: blanks, escapes, strings, and
 * errors that tell the place. text.c puts terms together from these. */
#ifndef TB_TERM_SCAN_H
#define TB_TERM_SCAN_H

#include <string.h>

#include "tiebeam.h"

struct tb_scan {
    const char *start, *p, *end; /* borrowed, not NUL-terminated */
    struct tb_wr chars;          /* uint32_t: the string read last; owned */
    struct tb_text_error *error; /* or NULL */
};

/* tb_scan_fail - tell what is wrong at that place; returns -TB_ESYNTAX.
 * tb_scan_expected - the same for what is next: "expected ',' before '}'". */
int tb_scan_fail(const struct tb_scan *s, const char *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
int tb_scan_expected(const struct tb_scan *s, const char *what);

/* tb_scan_peek - the next byte, or -1 at the end.
 * tb_scan_at - whether that is next. */
static inline int
tb_scan_peek(const struct tb_scan *s)
{
    return s->p < s->end ? (unsigned char)*s->p : -1;
}

static inline bool
tb_scan_at(const struct tb_scan *s, const char *text)
{
    size_t n = strlen(text);

    return (size_t)(s->end - s->p) >= n && memcmp(s->p, text, n) == 0;
}

/* tb_scan_blanks - step over white space and % comments.
 * tb_scan_accept - over them and that, if it follows. */
void tb_scan_blanks(struct tb_scan *s);
bool tb_scan_accept(struct tb_scan *s, const char *text);

/* tb_scan_digit - value of a digit of any base; 99 for what is none. */
unsigned tb_scan_digit(int c);

/* tb_scan_char - a character; unless verbatim, it may be an escape.
 * tb_scan_quoted - up to the quote that closes the one at p, into chars.
 * tb_scan_strings - "a" "b", and """ lines """, into chars.
 * tb_scan_sigil - behind a ~, into chars; *kind is 'b' or 's'.
 * All return 0 or -TB_ESYNTAX; chars may be bad. */
int tb_scan_char(struct tb_scan *s, bool verbatim, uint32_t *c);
int tb_scan_quoted(struct tb_scan *s);
int tb_scan_strings(struct tb_scan *s);
int tb_scan_sigil(struct tb_scan *s, char *kind);

#endif
