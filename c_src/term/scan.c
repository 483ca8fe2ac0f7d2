/* scan.c - characters of a text of Erlang terms.
 * In Erlang: erl_scan. Owns: tb_scan.chars. Borrows: the text. Thread: any.
 * Source: erl_scan.erl (OTP 25); Erlang reference manual 3.8, 3.9 (OTP 27) for
 * sigils and triple quotes. */
#include "term/scan.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/wr.h"
#include "term/chars.h"

enum { MAX_FOUND = 30 }; /* bytes of what was found instead */

int
tb_scan_fail(const struct tb_scan *s, const char *at, const char *fmt, ...)
{
    struct tb_text_error *e = s->error;
    va_list ap;

    if (!e)
        return -TB_ESYNTAX;
    e->line = e->column = 1;
    for (const char *p = s->start; p < at; p++) {
        if (*p == '\n') {
            e->line++;
            e->column = 1;
        } else {
            e->column += (*p & 0xc0) != 0x80;
        }
    }
    va_start(ap, fmt);
    vsnprintf(e->what, sizeof(e->what), fmt, ap);
    va_end(ap);
    return -TB_ESYNTAX;
}

static bool
is_word(unsigned char c)
{
    return c >= 0x80 || tb_char_name(c);
}

int
tb_scan_expected(const struct tb_scan *s, const char *what)
{
    static const char *const pairs[] = { "=>", ":=", "<<", ">>", "||", "->" };
    size_t n = 0, left = (size_t)(s->end - s->p);

    if (left == 0)
        return tb_scan_fail(s, s->p, "expected %s before the end", what);
    if (*s->p == '"')
        return tb_scan_fail(s, s->p, "expected %s before a string", what);
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        if (tb_scan_at(s, pairs[i]))
            n = 2;
    while (n < left && n < MAX_FOUND && is_word((unsigned char)s->p[n]))
        n++;
    n = n ? n : 1;
    while (n < left && (s->p[n] & 0xc0) == 0x80) /* not half a character */
        n++;
    return tb_scan_fail(s, s->p, "expected %s before '%.*s'", what, (int)n,
                        s->p);
}

/* The white space of erl_scan: up to the space, and U+0080 to U+00A0. */
static size_t
blank_length(const struct tb_scan *s)
{
    const unsigned char *p = (const unsigned char *)s->p;

    if (s->p < s->end && *p <= ' ')
        return 1;
    return s->end - s->p > 1 && p[0] == 0xc2 && p[1] <= 0xa0 ? 2 : 0;
}

void
tb_scan_blanks(struct tb_scan *s)
{
    size_t n;

    for (;;) {
        if (tb_scan_peek(s) == '%')
            while (s->p < s->end && *s->p != '\n')
                s->p++;
        n = blank_length(s);
        if (n == 0)
            return;
        s->p += n;
    }
}

bool
tb_scan_accept(struct tb_scan *s, const char *text)
{
    tb_scan_blanks(s);
    if (!tb_scan_at(s, text))
        return false;
    s->p += strlen(text);
    return true;
}

unsigned
tb_scan_digit(int c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'z')
        return (unsigned)(c - 'a') + 10;
    if (c >= 'A' && c <= 'Z')
        return (unsigned)(c - 'A') + 10;
    return 99;
}

static int
read_plain(struct tb_scan *s, uint32_t *c)
{
    struct tb_rd r = tb_rd_of(s->p, (size_t)(s->end - s->p));
    int32_t got = tb_utf8_get(&r);

    if (s->p == s->end)
        return tb_scan_expected(s, "a character");
    if (got < 0)
        return tb_scan_fail(s, s->p, "not UTF-8");
    s->p = (const char *)r.p;
    *c = (uint32_t)got;
    return 0;
}

/* \x41 or \x{1F600}, behind the x. */
static int
read_hex(struct tb_scan *s, uint32_t *c)
{
    const char *at = s->p;
    bool braces = tb_scan_peek(s) == '{';
    uint32_t v = 0;
    size_t n = 0;

    s->p += braces;
    for (; tb_scan_digit(tb_scan_peek(s)) < 16 && (braces || n < 2); n++) {
        unsigned digit = tb_scan_digit(*s->p++);

        v = v > 0x10ffff ? v : v * 16 + digit;
    }
    if (n == 0 || (braces ? tb_scan_peek(s) != '}' : n != 2))
        return tb_scan_fail(s, at, "expected two hexadecimal digits or {...}");
    if (v > 0x10ffff || (v >= 0xd800 && v < 0xe000))
        return tb_scan_fail(s, at, "no character has that code");
    s->p += braces;
    *c = v;
    return 0;
}

static bool
at_octal(const struct tb_scan *s)
{
    return tb_scan_digit(tb_scan_peek(s)) < 8;
}

/* Behind the backslash. */
static int
read_escape(struct tb_scan *s, uint32_t *c)
{
    static const char from[] = "nrtvbfesd", to[] = "\n\r\t\v\b\f\033 \177";
    bool control = tb_scan_peek(s) == '^';
    const char *at;
    int rc;

    if (tb_scan_peek(s) == 'x') {
        s->p++;
        return read_hex(s, c);
    }
    if (at_octal(s)) {
        *c = 0;
        for (int n = 0; n < 3 && at_octal(s); n++)
            *c = *c * 8 + tb_scan_digit(*s->p++);
        return 0;
    }
    s->p += control;
    rc = read_plain(s, c);
    if (rc < 0)
        return rc;
    at = *c && *c < 0x80 ? strchr(from, (int)*c) : NULL;
    if (control)
        *c &= 31;
    else if (at)
        *c = (unsigned char)to[at - from];
    return 0;
}

int
tb_scan_char(struct tb_scan *s, bool verbatim, uint32_t *c)
{
    if (verbatim || tb_scan_peek(s) != '\\')
        return read_plain(s, c);
    s->p++;
    return read_escape(s, c);
}

static int
add_char(struct tb_scan *s, bool verbatim)
{
    uint32_t c;
    int rc = tb_scan_char(s, verbatim, &c);

    if (rc == 0)
        tb_wr_bytes(&s->chars, &c, sizeof(c));
    return rc;
}

static int
read_until(struct tb_scan *s, char close, bool verbatim)
{
    const char *open = s->p++;
    int rc = 0;

    while (rc == 0 && tb_scan_peek(s) != close) {
        if (s->p == s->end)
            return tb_scan_fail(s, open, "nothing closes this %c", *open);
        rc = add_char(s, verbatim);
    }
    s->p += rc == 0;
    return rc;
}

int
tb_scan_quoted(struct tb_scan *s)
{
    s->chars.len = 0;
    return read_until(s, *s->p, false);
}

static const char *
line_end(const struct tb_scan *s, const char *p)
{
    const char *end = memchr(p, '\n', (size_t)(s->end - p));

    return end ? end : s->end;
}

static const char *
behind_blanks(const struct tb_scan *s, const char *p)
{
    while (p < s->end && (*p == ' ' || *p == '\t' || *p == '\r'))
        p++;
    return p;
}

static size_t
count_quotes(const struct tb_scan *s, const char *p)
{
    size_t n = 0;

    while (p + n < s->end && p[n] == '"')
        n++;
    return n;
}

/* How many quotes open a text of whole lines here; 0: they do not. */
static size_t
triple_quotes(const struct tb_scan *s)
{
    size_t n = count_quotes(s, s->p);
    const char *p = behind_blanks(s, s->p + n);

    return n >= 3 && p < s->end && *p == '\n' ? n : 0;
}

/* One line, without the indentation that the last one, of the closing quotes,
 * begins with. The line break before that is not part of the text. */
static int
read_line(struct tb_scan *s, const char *last, size_t indent, bool verbatim)
{
    const char *end = line_end(s, s->p);
    int rc = 0;

    if ((size_t)(end - s->p) >= indent && memcmp(s->p, last, indent) == 0)
        s->p += indent;
    else if (behind_blanks(s, s->p) == end)
        s->p = end;
    else
        return tb_scan_fail(s, s->p, "less indented than the closing quotes");
    while (s->p < end && rc == 0)
        rc = add_char(s, verbatim);
    if (rc == 0 && s->p == end && end + 1 < last)
        return add_char(s, true);
    s->p += rc == 0 && s->p == end;
    return rc;
}

static int
read_triple(struct tb_scan *s, size_t quotes, bool verbatim)
{
    const char *open = s->p, *last = line_end(s, open) + 1, *close;
    int rc = 0;

    s->p = last;
    while (close = behind_blanks(s, last), count_quotes(s, close) < quotes) {
        last = line_end(s, last);
        if (last == s->end)
            return tb_scan_fail(s, open, "nothing closes these quotes");
        last++;
    }
    while (s->p < last && rc == 0)
        rc = read_line(s, last, (size_t)(close - last), verbatim);
    if (rc == 0)
        s->p = close + quotes;
    return rc;
}

int
tb_scan_strings(struct tb_scan *s)
{
    const char *behind = s->p;
    size_t quotes;
    int rc = 0;

    s->chars.len = 0;
    while (rc == 0 && tb_scan_peek(s) == '"') {
        quotes = triple_quotes(s);
        rc = quotes ? read_triple(s, quotes, true) : read_until(s, '"', false);
        behind = s->p;
        if (rc == 0)
            tb_scan_blanks(s);
    }
    if (rc == 0)
        s->p = behind;
    return rc;
}

int
tb_scan_sigil(struct tb_scan *s, char *kind)
{
    static const char opening[] = "([{</|'\"`#", closing[] = ")]}>/|'\"`#";
    int c = tb_scan_peek(s);
    bool named = c == 'b' || c == 'B' || c == 's' || c == 'S';
    bool upper = c == 'B' || c == 'S';
    size_t quotes;
    const char *at;

    s->p += named;
    s->chars.len = 0;
    *kind = c == 's' || c == 'S' ? 's' : 'b';
    quotes = triple_quotes(s);
    if (quotes)
        return read_triple(s, quotes, upper || !named);
    c = tb_scan_peek(s);
    at = c > 0 ? strchr(opening, c) : NULL;
    if (!at)
        return tb_scan_expected(s, "b, B, s, S or an opening quote after '~'");
    return read_until(s, closing[at - opening], upper);
}
