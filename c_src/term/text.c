/* text.c - terms from text: tb_parse and tb_consult.
 *
 * One descent over the text writes the term as it goes; a count that is known
 * only at the end is patched into its header. What comes out is what
 * term_to_binary writes, so that equal terms have equal bytes.
 * In Erlang: erl_parse:parse_term/1, file:consult/1.
 * Owns: its scratch buffers while it runs. Borrows: the text. Thread: any.
 * Source: erl_parse.yrl (OTP 25). */
#include "tiebeam.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/wr.h"
#include "term/etf.h"
#include "term/keys.h"
#include "term/leaf.h"
#include "term/put.h"

enum { MAX_SHOWN = 60 }; /* bytes of a key that is there twice */

struct text {
    struct tb_scan s;
    struct tb_wr *w, *lines;
    struct tb_wr keys;   /* struct key, of the maps that are open */
    const char *counted; /* up to there the lines are */
    uint32_t line;
    unsigned depth, key_depth;
    bool has_map_keys; /* some key has a map in it */
};

struct key {
    const uint8_t *p; /* once the map is complete */
    size_t at, n;
    const char *where;
};

static int parse_term(struct text *t);

static bool
out_of_room(const struct text *t)
{
    return t->w->bad || t->s.chars.bad || t->keys.bad ||
           (t->lines && t->lines->bad);
}

/* ------------------------------------------------------------ lines -- */

static void
note_line(struct text *t)
{
    struct tb_line line;

    if (!t->lines)
        return;
    for (; t->counted < t->s.p; t->counted++)
        t->line += *t->counted == '\n';
    line = (struct tb_line){ (uint32_t)t->w->len, t->line };
    tb_wr_bytes(t->lines, &line, sizeof(line));
}

static size_t
lines_length(const struct text *t)
{
    return t->lines ? t->lines->len : 0;
}

/* Terms noted behind offset from of lines have moved. */
static void
move_lines(struct text *t, size_t from, uint32_t by)
{
    for (; from < lines_length(t); from += sizeof(struct tb_line)) {
        struct tb_line line;

        memcpy(&line, t->lines->buf + from, sizeof(line));
        line.at += by;
        memcpy(t->lines->buf + from, &line, sizeof(line));
    }
}

/* ------------------------------------------------------- containers -- */

static int
close_with(struct text *t, const char *close, const char *what)
{
    return tb_scan_accept(&t->s, close) ? 0 : tb_scan_expected(&t->s, what);
}

static int
parse_tuple(struct text *t)
{
    size_t at = t->w->len, mark = lines_length(t);
    uint32_t n = 0;
    uint8_t *p;
    int rc = 0;

    t->s.p++;
    tb_put_tuple(t->w, 0);
    if (tb_scan_accept(&t->s, "}"))
        return 0;
    do
        rc = parse_term(t);
    while (rc == 0 && (n++, tb_scan_accept(&t->s, ",")));
    if (rc == 0)
        rc = close_with(t, "}", "',' or '}'");
    if (rc < 0 || !tb_wr_room(t->w, 3))
        return rc;
    p = t->w->buf + at;
    if (n <= UINT8_MAX) {
        p[1] = (uint8_t)n;
        return 0;
    }
    memmove(p + 5, p + 2, t->w->len - at - 2);
    tb_wr_add(t->w, 3);
    p[0] = ETF_LARGE_TUPLE;
    tb_wr_patch_u32(t->w, at + 1, n);
    move_lines(t, mark, 3);
    return 0;
}

/* As term_to_binary does: a list of bytes is a STRING_EXT. Its elements are no
 * terms with an offset any more. */
static void
pack_bytes(struct text *t, size_t at, uint32_t n, size_t mark)
{
    uint8_t *p = t->w->buf + at;

    if (t->w->bad || n > UINT16_MAX || t->w->len - at != 6 + 2 * (size_t)n ||
        p[5 + 2 * n] != ETF_NIL)
        return;
    for (uint32_t i = 0; i < n; i++)
        if (p[5 + 2 * i] != ETF_SMALL_INTEGER)
            return;
    p[0] = ETF_STRING;
    p[1] = (uint8_t)(n >> 8);
    p[2] = (uint8_t)n;
    for (uint32_t i = 0; i < n; i++)
        p[3 + i] = p[6 + 2 * i];
    t->w->len = at + 3 + n;
    if (t->lines)
        t->lines->len = mark;
}

/* Elements, and what follows '|'. A list in brackets there is more of the same
 * list: [a | [b, c]] is [a, b, c], with brackets more to close. */
static int
parse_elements(struct text *t, uint32_t *n, unsigned *brackets, bool *tail)
{
    int rc;

    for (;;) {
        rc = parse_term(t);
        if (rc < 0)
            return rc;
        ++*n;
        if (tb_scan_accept(&t->s, ","))
            continue;
        if (!tb_scan_accept(&t->s, "|"))
            return 0;
        tb_scan_blanks(&t->s);
        if (tb_scan_peek(&t->s) == '"')
            return tb_leaf_string(&t->s, t->w, n);
        *tail = !tb_scan_accept(&t->s, "[");
        if (*tail)
            return parse_term(t);
        if (tb_scan_accept(&t->s, "]"))
            return 0;
        ++*brackets;
    }
}

static int
parse_list(struct text *t)
{
    size_t at = t->w->len, mark = lines_length(t);
    unsigned brackets = 1;
    bool tail = false;
    uint32_t n = 0;
    int rc;

    t->s.p++;
    if (tb_scan_accept(&t->s, "]")) {
        tb_put_nil(t->w);
        return 0;
    }
    tb_put_list(t->w, 0);
    rc = parse_elements(t, &n, &brackets, &tail);
    if (!tail)
        tb_put_nil(t->w);
    while (rc == 0 && brackets-- > 0)
        rc = close_with(t, "]", tail ? "']'" : "',' or ']'");
    tb_wr_patch_u32(t->w, at + 1, n);
    if (rc == 0)
        pack_bytes(t, at, n, mark);
    return rc;
}

static int
compare_keys(const void *left, const void *right)
{
    const struct key *a = left, *b = right;
    size_t n = a->n < b->n ? a->n : b->n;
    int order = memcmp(a->p, b->p, n);

    if (order == 0)
        order = a->n != b->n ? (a->n < b->n ? -1 : 1)
                             : (a->where > b->where) - (a->where < b->where);
    return order;
}

static int
refuse_key(const struct text *t, const struct key *key)
{
    struct tb_wr shown = { .max = MAX_SHOWN };
    int n;

    tb_print_pretty(&shown, (struct tb_term){ key->p, key->n });
    for (n = (int)shown.len; shown.bad && n > 0; n--)
        if ((shown.buf[n - 1] & 0xc0) != 0x80) /* perhaps half a character */
            break;
    tb_scan_fail(&t->s, key->where, "the key %.*s%s is there twice",
                 shown.bad && n > 0 ? n - 1 : n, (char *)shown.buf,
                 shown.bad ? "..." : "");
    tb_wr_free(&shown);
    return -TB_ESYNTAX;
}

static int
check_keys(struct text *t, size_t from)
{
    struct key *key = (struct key *)(void *)(t->keys.buf + from);
    size_t n = (t->keys.len - from) / sizeof(*key);

    for (size_t i = 0; i < n; i++)
        key[i].p = t->w->buf + key[i].at;
    qsort(key, n, sizeof(*key), compare_keys);
    for (size_t i = 1; i < n; i++)
        if (key[i].n == key[i - 1].n &&
            memcmp(key[i].p, key[i - 1].p, key[i].n) == 0)
            return refuse_key(t, &key[i]);
    t->keys.len = from;
    return 0;
}

static int
parse_pair(struct text *t)
{
    struct key key = { .at = t->w->len };
    int rc;

    tb_scan_blanks(&t->s);
    key.where = t->s.p;
    t->key_depth++;
    rc = parse_term(t);
    t->key_depth--;
    if (rc < 0)
        return rc;
    key.n = t->w->len - key.at;
    tb_wr_bytes(&t->keys, &key, sizeof(key));
    rc = close_with(t, "=>", "'=>'");
    return rc == 0 ? parse_term(t) : rc;
}

static int
parse_map(struct text *t)
{
    size_t at = t->w->len, from = t->keys.len;
    uint32_t n = 0;
    int rc;

    t->has_map_keys |= t->key_depth > 0;
    t->s.p++;
    tb_put_map(t->w, 0);
    rc = close_with(t, "{", "'{' after '#'");
    if (rc < 0 || tb_scan_accept(&t->s, "}"))
        return rc;
    do
        rc = parse_pair(t);
    while (rc == 0 && (n++, tb_scan_accept(&t->s, ",")));
    if (rc == 0)
        rc = close_with(t, "}", "',' or '}'");
    if (rc < 0 || out_of_room(t))
        return rc;
    tb_wr_patch_u32(t->w, at + 1, n);
    return check_keys(t, from);
}

static int
parse_nested(struct text *t, int (*parse)(struct text *t))
{
    int rc;

    if (t->depth == TB_MAX_NESTING)
        return tb_scan_fail(&t->s, t->s.p, "nested too deeply");
    t->depth++;
    rc = parse(t);
    t->depth--;
    return rc;
}

static int
parse_term(struct text *t)
{
    tb_scan_blanks(&t->s);
    note_line(t);
    if (out_of_room(t))
        return -TB_ELIMIT;
    switch (tb_scan_peek(&t->s)) {
    case '{':
        return parse_nested(t, parse_tuple);
    case '[':
        return parse_nested(t, parse_list);
    case '#':
        return parse_nested(t, parse_map);
    default:
        return tb_leaf_parse(&t->s, t->w);
    }
}

/* ------------------------------------------------------------ texts -- */

/* A dot ends a term where white space, a comment or nothing follows. */
static bool
accept_dot(struct text *t)
{
    const char *p;

    tb_scan_blanks(&t->s);
    p = t->s.p;
    if (!tb_scan_at(&t->s, ".") ||
        (p + 1 < t->s.end && (unsigned char)p[1] > ' ' && p[1] != '%'))
        return false;
    t->s.p++;
    return true;
}

static int
parse_one(struct text *t)
{
    int rc = parse_term(t);

    if (rc < 0)
        return rc;
    accept_dot(t);
    tb_scan_blanks(&t->s);
    return t->s.p == t->s.end ? 0 : tb_scan_expected(&t->s, "nothing more");
}

static int
parse_all(struct text *t)
{
    size_t at = t->w->len;
    uint32_t n = 0;
    int rc = 0;

    tb_put_list(t->w, 0);
    for (tb_scan_blanks(&t->s); rc == 0 && t->s.p < t->s.end; n++) {
        rc = parse_term(t);
        if (rc == 0 && !accept_dot(t))
            rc = tb_scan_expected(&t->s, "'.'");
        tb_scan_blanks(&t->s);
    }
    tb_wr_patch_u32(t->w, at + 1, n);
    if (n == 0)
        t->w->len = at;
    tb_put_nil(t->w);
    return rc;
}

/* The same map as a key twice, which need not be the same bytes. */
static int
check_map_keys(struct text *t, size_t from)
{
    struct tb_term all = { t->w->buf + from, t->w->len - from };

    if (tb_keys_check(all) == 0)
        return 0;
    return tb_scan_fail(&t->s, t->s.start,
                        "the same map is there twice, "
                        "as a key of another");
}

static int
parse_text(struct text *t, const char *text, size_t n,
           int (*parse)(struct text *t))
{
    size_t len = t->w->len, mark = lines_length(t);
    int rc;

    t->s.start = t->s.p = t->counted = n ? text : "";
    t->s.end = t->s.p + n;
    t->line = 1;
    rc = parse(t);
    if (rc == 0 && t->has_map_keys && !out_of_room(t))
        rc = check_map_keys(t, len);
    if (out_of_room(t)) {
        tb_scan_fail(&t->s, t->s.p, "%s", tb_strerror(-TB_ELIMIT));
        rc = -TB_ELIMIT;
    }
    if (rc < 0) {
        t->w->len = len;
        if (t->lines)
            t->lines->len = mark;
    }
    tb_wr_free(&t->s.chars);
    tb_wr_free(&t->keys);
    return rc;
}

int
tb_parse(struct tb_wr *w, const char *text, size_t n,
         struct tb_text_error *error)
{
    struct text t = { .s.error = error, .w = w };

    return parse_text(&t, text, n, parse_one);
}

int
tb_consult(struct tb_wr *w, const char *text, size_t n, struct tb_wr *lines,
           struct tb_text_error *error)
{
    struct text t = { .s.error = error, .w = w, .lines = lines };

    return parse_text(&t, text, n, parse_all);
}
