/* get.c - typed reads of checked terms, over ei.
 *
 * ei's decoders know no buffer length. They are safe here because check.c has
 * walked these bytes, and because ei sees leaves only.
 * Owns: nothing. Borrows: the term. Thread: any; node names are interned.
 * Source: erl_interface, ei(3). */
#include "term/get.h"

#include <ei.h>
#include <string.h>

#include "base/limits.h"
#include "base/rd.h"
#include "base/wr.h"
#include "term/chars.h"
#include "term/check.h"
#include "term/etf.h"
#include "term/ident.h"

static const char *
bytes(struct tb_term t)
{
    return (const char *)t.p;
}

bool
tb_get_int(struct tb_term t, int64_t *out)
{
    int index = 0;
    long long v;

    switch (t.p[0]) {
    case ETF_SMALL_INTEGER:
    case ETF_INTEGER:
    case ETF_SMALL_BIG:
        if (ei_decode_longlong(bytes(t), &index, &v) < 0)
            return false;
        *out = v;
        return true;
    default:
        return false;
    }
}

bool
tb_get_uint(struct tb_term t, uint64_t *out)
{
    int index = 0;
    unsigned long long v;

    switch (t.p[0]) {
    case ETF_SMALL_INTEGER:
    case ETF_INTEGER:
    case ETF_SMALL_BIG:
        if (ei_decode_ulonglong(bytes(t), &index, &v) < 0)
            return false;
        *out = v;
        return true;
    default:
        return false;
    }
}

bool
tb_get_float(struct tb_term t, double *out)
{
    int index = 0;

    if (t.p[0] == ETF_FLOAT) /* ei would look for a NUL that may not be there */
        return tb_float_text(t.p + 1, out);
    return t.p[0] == ETF_NEW_FLOAT &&
           ei_decode_double(bytes(t), &index, out) == 0;
}

static bool
is_ascii(struct tb_text t)
{
    for (size_t i = 0; i < t.n; i++)
        if ((unsigned char)t.p[i] >= 0x80)
            return false;
    return true;
}

bool
tb_get_atom(struct tb_term t, struct tb_text *out)
{
    struct tb_rd r = tb_rd_of(t.p, t.n);
    struct tb_text text;
    uint8_t tag = tb_rd_u8(&r);

    switch (tag) {
    case ETF_SMALL_ATOM_UTF8:
    case ETF_SMALL_ATOM:
        text.n = tb_rd_u8(&r);
        break;
    case ETF_ATOM_UTF8:
    case ETF_ATOM:
        text.n = tb_rd_u16(&r);
        break;
    default:
        return false;
    }
    text.p = (const char *)tb_rd_take(&r, text.n);
    if (!text.p)
        return false;
    if ((tag == ETF_SMALL_ATOM || tag == ETF_ATOM) && !is_ascii(text))
        return false;
    *out = text;
    return true;
}

bool
tb_get_bin(struct tb_term t, struct tb_text *out)
{
    struct tb_rd r = tb_rd_of(t.p, t.n);

    if (tb_rd_u8(&r) != ETF_BINARY)
        return false;
    out->n = tb_rd_u32(&r);
    out->p = (const char *)tb_rd_take(&r, out->n);
    return true;
}

/* The node that an identifier begins with: its atom is at that offset. ei has
 * it as a C string, in which 'a@b\0c' would be 'a@b'. */
static tb_atom
node_at(struct tb_term t, size_t at)
{
    struct tb_text name;

    if (!tb_get_atom((struct tb_term){ t.p + at, t.n - at }, &name))
        return 0;
    return tb_atom_of(name, true);
}

bool
tb_get_pid(struct tb_term t, struct tb_pid *out)
{
    erlang_pid pid;
    int index = 0;
    tb_atom node;

    if ((t.p[0] != ETF_NEW_PID && t.p[0] != ETF_PID) ||
        ei_decode_pid(bytes(t), &index, &pid) < 0)
        return false;
    node = node_at(t, 1);
    if (!node)
        return false;
    *out = (struct tb_pid){ node, pid.num, pid.serial, pid.creation };
    return true;
}

bool
tb_get_ref(struct tb_term t, struct tb_ref *out)
{
    struct tb_ref ref = { 0 };
    erlang_ref r;
    int index = 0;

    if ((t.p[0] != ETF_NEWER_REFERENCE && t.p[0] != ETF_NEW_REFERENCE &&
         t.p[0] != ETF_REFERENCE) ||
        ei_decode_ref(bytes(t), &index, &r) < 0 || r.len < 1 ||
        r.len > TB_REF_WORDS)
        return false;
    ref.node = node_at(t, t.p[0] == ETF_REFERENCE ? 1 : 3);
    ref.creation = r.creation;
    ref.n = (uint32_t)r.len;
    for (uint32_t i = 0; i < ref.n; i++)
        ref.id[i] = r.n[i];
    if (!ref.node)
        return false;
    *out = ref;
    return true;
}

/* The first of n terms that begin at r; of no length where n is 0. */
static struct tb_term
first_of(const struct tb_rd *r, uint64_t n)
{
    return (struct tb_term){ r->p, n ? tb_skip(r->p) : 0 };
}

bool
tb_get_tuple(struct tb_term t, uint32_t *arity, struct tb_term *first)
{
    struct tb_rd r = tb_rd_of(t.p, t.n);
    uint8_t tag = tb_rd_u8(&r);

    if (tag != ETF_SMALL_TUPLE && tag != ETF_LARGE_TUPLE)
        return false;
    *arity = tag == ETF_SMALL_TUPLE ? tb_rd_u8(&r) : tb_rd_u32(&r);
    *first = first_of(&r, *arity);
    return true;
}

bool
tb_get_map(struct tb_term t, uint32_t *pairs, struct tb_term *first)
{
    struct tb_rd r = tb_rd_of(t.p, t.n);

    if (tb_rd_u8(&r) != ETF_MAP)
        return false;
    *pairs = tb_rd_u32(&r);
    *first = first_of(&r, *pairs);
    return true;
}

struct tb_term
tb_get_next(struct tb_term t)
{
    const uint8_t *p = t.p + t.n;

    return (struct tb_term){ p, tb_skip(p) };
}

bool
tb_is_list(struct tb_term t)
{
    return t.p[0] == ETF_NIL || t.p[0] == ETF_LIST || t.p[0] == ETF_STRING;
}

static const uint8_t nil[] = { ETF_NIL };

/* The elements of a STRING_EXT have no bytes of their own as terms. */
static struct tb_term
small_integer(uint8_t value)
{
    static _Thread_local uint8_t table[256][2];

    table[value][0] = ETF_SMALL_INTEGER;
    table[value][1] = value;
    return (struct tb_term){ table[value], 2 };
}

bool
tb_elems_open(struct tb_elems *e, struct tb_term list)
{
    struct tb_rd r = tb_rd_of(list.p, list.n);

    *e = (struct tb_elems){ .rest = { nil, 1 } };
    switch (tb_rd_u8(&r)) {
    case ETF_NIL:
        return true;
    case ETF_STRING:
        e->left = tb_rd_u16(&r);
        e->chars = r.p;
        return true;
    case ETF_LIST:
        e->left = tb_rd_u32(&r);
        e->rest = (struct tb_term){ r.p, tb_rd_left(&r) };
        return true;
    default:
        return false;
    }
}

/* A tail may be a list again: [a | [b]] is [a, b], however it was written. */
static bool
enter_tail(struct tb_elems *e)
{
    struct tb_term tail = e->rest;

    return (tail.p[0] == ETF_LIST || tail.p[0] == ETF_STRING) &&
           tb_elems_open(e, tail);
}

int
tb_elems_next(struct tb_elems *e, struct tb_term *out)
{
    while (e->left == 0)
        if (!enter_tail(e))
            return 0;
    e->left--;
    if (e->chars) {
        *out = small_integer(*e->chars++);
        if (e->left == 0)
            e->chars = NULL;
        return 1;
    }
    *out = (struct tb_term){ e->rest.p, tb_skip(e->rest.p) };
    e->rest.p += out->n;
    e->rest.n -= out->n;
    return 1;
}

/* Appends a text that must be UTF-8. */
static bool
put_text(struct tb_wr *w, struct tb_text text)
{
    struct tb_rd r = tb_rd_of(text.p, text.n);

    while (tb_rd_left(&r) > 0)
        if (tb_utf8_get(&r) < 0)
            return false;
    tb_wr_bytes(w, text.p, text.n);
    return true;
}

/* A character or a binary, as stands in iodata. */
static bool
put_part(struct tb_wr *w, struct tb_term t)
{
    struct tb_text text;
    int64_t c;

    if (tb_get_bin(t, &text))
        return put_text(w, text);
    if (!tb_get_int(t, &c) || c < 0 || c > 0x10ffff ||
        (c >= 0xd800 && c < 0xe000))
        return false;
    tb_utf8_put(w, (uint32_t)c);
    return true;
}

static bool
put_tail(struct tb_wr *w, struct tb_term tail)
{
    struct tb_text text;

    return tail.p[0] == ETF_NIL ||
           (tb_get_bin(tail, &text) && put_text(w, text));
}

static bool
put_iodata(struct tb_wr *w, struct tb_term list)
{
    struct tb_elems open[TB_MAX_NESTING];
    struct tb_term item;
    int depth = 0;

    tb_elems_open(&open[depth++], list);
    while (depth > 0) {
        if (!tb_elems_next(&open[depth - 1], &item)) {
            if (!put_tail(w, open[--depth].rest))
                return false;
        } else if (tb_is_list(item)) {
            if (depth == TB_MAX_NESTING)
                return false;
            tb_elems_open(&open[depth++], item);
        } else if (!put_part(w, item)) {
            return false;
        }
    }
    return true;
}

bool
tb_get_chars(struct tb_term t, struct tb_wr *w)
{
    struct tb_text text;
    size_t len = w->len;
    bool good = tb_get_atom(t, &text) || tb_get_bin(t, &text)
                    ? put_text(w, text)
                    : tb_is_list(t) && put_iodata(w, t);

    tb_wr_u8(w, 0);
    w->len -= !w->bad;
    if (!good)
        w->len = len;
    return good && !w->bad;
}
