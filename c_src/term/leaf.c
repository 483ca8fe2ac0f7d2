/* leaf.c - terms without parts, from text: numbers, atoms, strings, binaries
 * and external funs. What comes out is what term_to_binary writes.
 * In Erlang: the tokens of erl_scan, and erl_parse:parse_term/1.
 * Owns: nothing. Borrows: the text. Thread: any.
 * Source: erl_scan.erl, erl_parse.yrl (OTP 25). */
#include "term/leaf.h"

#include <math.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/wr.h"
#include "term/chars.h"
#include "term/etf.h"
#include "term/get.h"
#include "term/number.h"
#include "term/put.h"

enum { MAX_FLOAT_CHARS = 500, MAX_SHOWN = 60 };

/* ---------------------------------------------------------- numbers -- */

/* An underscore may stand between two digits. */
static bool
at_digit(struct tb_scan *s, unsigned base, bool first)
{
    const char *p = s->p;

    if (!first && p + 1 < s->end && *p == '_' &&
        tb_scan_digit((unsigned char)p[1]) < base)
        s->p++;
    return tb_scan_digit(tb_scan_peek(s)) < base;
}

static int
read_digits(struct tb_scan *s, unsigned base, struct tb_number *number)
{
    const char *start = s->p;
    uint32_t scale = 1, part = 0;
    bool ok = true;

    number->n = 0;
    if (!at_digit(s, base, true))
        return tb_scan_expected(s, "a digit of that base");
    while (ok && at_digit(s, base, s->p == start)) {
        part = part * base + tb_scan_digit(*s->p++);
        scale *= base;
        if (scale >= UINT32_MAX / 36 / 36) {
            ok = tb_number_shift_in(number, scale, part);
            scale = 1;
            part = 0;
        }
    }
    if (!ok || !tb_number_shift_in(number, scale, part))
        return tb_scan_fail(s, start, "this integer is too long");
    return 0;
}

/* Digits without underscores, appended to digits; how many there were. */
static int
copy_digits(struct tb_scan *s, char digits[MAX_FLOAT_CHARS + 1])
{
    size_t n = strlen(digits), before = n;

    while (at_digit(s, 10, n == before)) {
        if (n < MAX_FLOAT_CHARS)
            digits[n] = *s->p;
        s->p++;
        n++;
    }
    if (n > MAX_FLOAT_CHARS)
        return -1;
    digits[n] = '\0';
    return (int)(n - before);
}

static int
parse_float(struct tb_scan *s, struct tb_wr *w, const char *start,
            bool negative)
{
    char digits[MAX_FLOAT_CHARS + 1] = "", power[MAX_FLOAT_CHARS + 1] = "";
    int whole, fraction, sign = 0;
    long exponent;
    double f;

    s->p = start;
    whole = copy_digits(s, digits);
    s->p++;
    fraction = copy_digits(s, digits);
    if (tb_scan_at(s, "e") || tb_scan_at(s, "E")) {
        s->p++;
        sign = tb_scan_peek(s);
        s->p += sign == '-' || sign == '+';
        if (copy_digits(s, power) == 0)
            return tb_scan_expected(s, "the digits of an exponent");
    }
    exponent = strtol(power, NULL, 10); /* saturates */
    exponent = exponent > 100000 ? 100000 : exponent;
    f = tb_number_float(digits,
                        (sign == '-' ? -exponent : exponent) - fraction);
    if (whole < 0 || fraction < 0 || !isfinite(f))
        return tb_scan_fail(s, start, "this float is out of range");
    tb_put_float(w, negative ? -f : f);
    return 0;
}

static int
parse_char(struct tb_scan *s, struct tb_wr *w, bool negative)
{
    uint32_t c;
    int rc;

    s->p++;
    rc = tb_scan_char(s, false, &c);
    if (rc == 0)
        tb_put_int(w, negative ? -(int64_t)c : (int64_t)c);
    return rc;
}

static int
parse_number(struct tb_scan *s, struct tb_wr *w)
{
    bool negative = tb_scan_peek(s) == '-';
    struct tb_number number;
    const char *start;
    int rc;

    if (negative || tb_scan_peek(s) == '+') {
        s->p++;
        tb_scan_blanks(s);
    }
    start = s->p;
    if (tb_scan_peek(s) == '$')
        return parse_char(s, w, negative);
    if (!at_digit(s, 10, true))
        return tb_scan_expected(s, "a number");
    rc = read_digits(s, 10, &number);
    if (rc == 0 && tb_scan_peek(s) == '.' && s->end - s->p > 1 &&
        tb_scan_digit((unsigned char)s->p[1]) < 10)
        return parse_float(s, w, start, negative);
    if (rc == 0 && tb_scan_peek(s) == '#') {
        uint32_t base = number.n == 1 ? number.limb[0] : 0;

        if (base < 2 || base > 36)
            return tb_scan_fail(s, start, "a base is one of 2 to 36");
        s->p++;
        rc = read_digits(s, base, &number);
    }
    if (rc == 0)
        tb_number_put(w, &number, negative);
    return rc;
}

/* An integer from 0 to max that is not a term of its own. */
static int
read_small(struct tb_scan *s, struct tb_wr *w, uint32_t max, const char *what,
           uint32_t *v)
{
    size_t at = w->len;
    const char *start;
    uint64_t got;
    int rc;

    tb_scan_blanks(s);
    start = s->p;
    rc = parse_number(s, w);
    if (rc < 0)
        return rc;
    if (w->bad)
        return -TB_ELIMIT;
    if (!tb_get_uint((struct tb_term){ w->buf + at, w->len - at }, &got) ||
        got > max)
        return tb_scan_fail(s, start, "expected %s", what);
    w->len = at;
    *v = (uint32_t)got;
    return 0;
}

/* ------------------------------------------------- strings and atoms -- */

static size_t
count_chars(const struct tb_scan *s)
{
    return s->chars.len / sizeof(uint32_t);
}

static uint32_t
char_at(const struct tb_scan *s, size_t i)
{
    uint32_t c;

    memcpy(&c, s->chars.buf + i * sizeof(c), sizeof(c));
    return c;
}

static void
put_elements(const struct tb_scan *s, struct tb_wr *w)
{
    for (size_t i = 0; i < count_chars(s); i++)
        tb_put_int(w, char_at(s, i));
}

static void
put_charlist(struct tb_scan *s, struct tb_wr *w)
{
    size_t n = count_chars(s);
    bool bytes = n <= UINT16_MAX;

    for (size_t i = 0; bytes && i < n; i++)
        bytes = char_at(s, i) <= UINT8_MAX;
    if (n == 0) {
        tb_put_nil(w);
    } else if (bytes) {
        tb_wr_u8(w, ETF_STRING);
        tb_wr_u16(w, (uint16_t)n);
        for (size_t i = 0; i < n; i++)
            tb_wr_u8(w, (uint8_t)char_at(s, i));
    } else {
        tb_put_list(w, (uint32_t)n);
        put_elements(s, w);
        tb_put_nil(w);
    }
}

static int
parse_string(struct tb_scan *s, struct tb_wr *w)
{
    int rc = tb_scan_strings(s);

    if (rc == 0)
        put_charlist(s, w);
    return rc;
}

static int
parse_sigil(struct tb_scan *s, struct tb_wr *w)
{
    size_t at = w->len;
    char kind;
    int rc;

    s->p++;
    rc = tb_scan_sigil(s, &kind);
    if (rc < 0)
        return rc;
    if (kind == 's') {
        put_charlist(s, w);
        return 0;
    }
    tb_put_bin(w, NULL, 0);
    for (size_t i = 0; i < count_chars(s); i++)
        tb_utf8_put(w, char_at(s, i));
    tb_wr_patch_u32(w, at + 1, (uint32_t)(w->len - at - 5));
    return 0;
}

static int
parse_quoted_atom(struct tb_scan *s, struct tb_wr *w)
{
    const char *start = s->p;
    int rc = tb_scan_quoted(s);
    size_t n = count_chars(s), from = s->chars.len;

    if (rc < 0)
        return rc;
    if (n > TB_MAX_ATOM_CHARS)
        return tb_scan_fail(s, start, "this atom is too long");
    for (size_t i = 0; i < n; i++)
        tb_utf8_put(&s->chars, char_at(s, i));
    if (s->chars.bad)
        return -TB_ELIMIT;
    tb_put_atom(w, (struct tb_text){ n ? (char *)s->chars.buf + from : "",
                                     s->chars.len - from });
    return 0;
}

/* The word at p, as a name may be without quotes; of no length: none. */
static struct tb_text
word_at(const struct tb_scan *s, size_t *chars)
{
    struct tb_rd r = tb_rd_of(s->p, (size_t)(s->end - s->p)), next = r;
    int32_t c;

    *chars = 0;
    while ((c = tb_utf8_get(&next)) >= 0 && tb_char_name((uint32_t)c)) {
        r = next;
        ++*chars;
    }
    return (struct tb_text){ s->p, (size_t)((const char *)r.p - s->p) };
}

static bool
is_lower(struct tb_text word)
{
    struct tb_rd r = tb_rd_of(word.p, word.n);
    int32_t c = tb_utf8_get(&r);

    return c >= 0 && tb_char_lower((uint32_t)c);
}

static int
parse_atom(struct tb_scan *s, struct tb_wr *w, const char *what)
{
    size_t chars;
    struct tb_text word = word_at(s, &chars);

    if (tb_scan_peek(s) == '\'')
        return parse_quoted_atom(s, w);
    if (!is_lower(word) || tb_word_reserved(word))
        return tb_scan_expected(s, what);
    if (chars > TB_MAX_ATOM_CHARS)
        return tb_scan_fail(s, s->p, "this atom is too long");
    s->p += word.n;
    tb_put_atom(w, word);
    return 0;
}

/* fun Module:Function/Arity, behind the word fun. */
static int
parse_fun(struct tb_scan *s, struct tb_wr *w)
{
    static const char form[] = "Module:Function/Arity after fun";
    uint32_t arity = 0;
    int rc;

    tb_wr_u8(w, ETF_EXPORT);
    tb_scan_blanks(s);
    rc = parse_atom(s, w, form);
    if (rc == 0 && !tb_scan_accept(s, ":"))
        rc = tb_scan_expected(s, form);
    if (rc == 0) {
        tb_scan_blanks(s);
        rc = parse_atom(s, w, form);
    }
    if (rc == 0 && !tb_scan_accept(s, "/"))
        rc = tb_scan_expected(s, form);
    if (rc == 0)
        rc = read_small(s, w, UINT8_MAX, "an arity of 0 to 255", &arity);
    if (rc == 0)
        tb_put_int(w, arity);
    return rc;
}

static int
parse_word(struct tb_scan *s, struct tb_wr *w)
{
    size_t chars;
    struct tb_text word = word_at(s, &chars);

    if (tb_text_is(word, "fun")) {
        s->p += word.n;
        return parse_fun(s, w);
    }
    if (word.n > 0 && !is_lower(word))
        return tb_scan_fail(
            s, s->p, "expected a term, found the variable '%.*s'",
            word.n < MAX_SHOWN ? (int)word.n : MAX_SHOWN, word.p);
    return parse_atom(s, w, "a term");
}

/* --------------------------------------------------------- binaries -- */

static int
read_type(struct tb_scan *s, bool *utf8)
{
    *utf8 = false;
    if (tb_scan_accept(s, ":"))
        return tb_scan_fail(s, s->p - 1, "sizes in <<>> have no support");
    if (!tb_scan_accept(s, "/"))
        return 0;
    if (!tb_scan_accept(s, "utf8"))
        return tb_scan_expected(s, "utf8, the only type supported here,");
    *utf8 = true;
    return 0;
}

static int
parse_segment(struct tb_scan *s, struct tb_wr *w)
{
    const char *start;
    uint32_t c;
    bool utf8;
    int rc;

    tb_scan_blanks(s);
    start = s->p;
    if (tb_scan_peek(s) == '"') {
        rc = tb_scan_strings(s);
    } else {
        rc = read_small(s, w, 0x10ffff, "a byte", &c);
        s->chars.len = 0;
        if (rc == 0)
            tb_wr_bytes(&s->chars, &c, sizeof(c));
    }
    if (rc == 0)
        rc = read_type(s, &utf8);
    if (rc == 0 && s->chars.bad)
        rc = -TB_ELIMIT;
    for (size_t i = 0; rc == 0 && i < count_chars(s); i++) {
        c = char_at(s, i);
        if (utf8 ? c >= 0xd800 && c < 0xe000 : c > UINT8_MAX)
            return tb_scan_fail(s, start,
                                utf8 ? "no character has that code"
                                     : "not bytes; write \"text\"/utf8");
        if (utf8)
            tb_utf8_put(w, c);
        else
            tb_wr_u8(w, (uint8_t)c);
    }
    return rc;
}

static int
parse_binary(struct tb_scan *s, struct tb_wr *w)
{
    size_t at = w->len;
    int rc = 0;

    if (!tb_scan_at(s, "<<"))
        return tb_scan_fail(s, s->p, "pids have no text; expected a term");
    s->p += 2;
    tb_put_bin(w, NULL, 0);
    if (tb_scan_accept(s, ">>"))
        return 0;
    do
        rc = parse_segment(s, w);
    while (rc == 0 && tb_scan_accept(s, ","));
    if (rc == 0 && !tb_scan_accept(s, ">>"))
        rc = tb_scan_expected(s, "',' or '>>'");
    tb_wr_patch_u32(w, at + 1, (uint32_t)(w->len - at - 5));
    return rc;
}

int
tb_leaf_string(struct tb_scan *s, struct tb_wr *w, uint32_t *count)
{
    int rc = tb_scan_strings(s);

    if (rc < 0)
        return rc;
    put_elements(s, w);
    *count += (uint32_t)count_chars(s);
    return 0;
}

int
tb_leaf_parse(struct tb_scan *s, struct tb_wr *w)
{
    switch (tb_scan_peek(s)) {
    case '"':
        return parse_string(s, w);
    case '~':
        return parse_sigil(s, w);
    case '<':
        return parse_binary(s, w);
    case '$':
        return parse_char(s, w, false);
    case '+':
    case '-':
        return parse_number(s, w);
    default:
        return tb_scan_digit(tb_scan_peek(s)) < 10 ? parse_number(s, w)
                                                   : parse_word(s, w);
    }
}
