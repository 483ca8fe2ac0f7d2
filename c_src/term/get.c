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
        *out = t.p[1];
        return true;
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
        *out = t.p[1];
        return true;
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
take_atom(struct tb_rd *r, struct tb_text *out)
{
    struct tb_text text;
    uint8_t tag = tb_rd_u8(r);

    switch (tag) {
    case ETF_SMALL_ATOM_UTF8:
    case ETF_SMALL_ATOM:
        text.n = tb_rd_u8(r);
        break;
    case ETF_ATOM_UTF8:
    case ETF_ATOM:
        text.n = tb_rd_u16(r);
        break;
    default:
        return false;
    }
    text.p = (const char *)tb_rd_take(r, text.n);
    if (!text.p)
        return false;
    if ((tag == ETF_SMALL_ATOM || tag == ETF_ATOM) &&
        !tb_is_ascii(text.p, text.n))
        return false;
    *out = text;
    return true;
}

bool
tb_get_atom(struct tb_term t, struct tb_text *out)
{
    struct tb_rd r = tb_rd_of(t.p, t.n);

    return take_atom(&r, out);
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

/* The node of an identifier; 0 where its name is none. */
static tb_atom
take_node(struct tb_rd *r)
{
    struct tb_text name;

    return take_atom(r, &name) ? tb_atom_of(name, true) : 0;
}

/* Two bits, before OTP 23 made them 32. */
static uint32_t
take_creation(struct tb_rd *r, bool is_new)
{
    return is_new ? tb_rd_u32(r) : tb_rd_u8(r) & 3u;
}

bool
tb_get_pid(struct tb_term t, struct tb_pid *out)
{
    struct tb_rd r = tb_rd_of(t.p, t.n);
    uint8_t tag = tb_rd_u8(&r);
    struct tb_pid pid = { 0 };

    if (tag != ETF_NEW_PID && tag != ETF_PID)
        return false;
    pid.node = take_node(&r);
    pid.id = tb_rd_u32(&r);
    pid.serial = tb_rd_u32(&r);
    pid.creation = take_creation(&r, tag == ETF_NEW_PID);
    if (!pid.node || r.bad)
        return false;
    *out = pid;
    return true;
}

/* REFERENCE_EXT has its one word before the creation. */
static bool
get_old_ref(struct tb_rd *r, struct tb_ref *ref)
{
    ref->n = 1;
    ref->node = take_node(r);
    ref->id[0] = tb_rd_u32(r);
    ref->creation = take_creation(r, false);
    return ref->node && !r->bad;
}

bool
tb_get_ref(struct tb_term t, struct tb_ref *out)
{
    struct tb_rd r = tb_rd_of(t.p, t.n);
    uint8_t tag = tb_rd_u8(&r);
    struct tb_ref ref = { 0 };

    if (tag == ETF_REFERENCE) {
        if (!get_old_ref(&r, &ref))
            return false;
        *out = ref;
        return true;
    }
    if (tag != ETF_NEWER_REFERENCE && tag != ETF_NEW_REFERENCE)
        return false;
    ref.n = tb_rd_u16(&r);
    ref.node = take_node(&r);
    ref.creation = take_creation(&r, tag == ETF_NEWER_REFERENCE);
    for (uint32_t i = 0; i < ref.n && i < TB_REF_WORDS; i++)
        ref.id[i] = tb_rd_u32(&r);
    if (!ref.node || ref.n < 1 || ref.n > TB_REF_WORDS || r.bad)
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

bool
tb_elems_open_map(struct tb_elems *e, struct tb_term map)
{
    struct tb_rd r = tb_rd_of(map.p, map.n);

    *e = (struct tb_elems){ .rest = { nil, 1 } };
    if (tb_rd_u8(&r) != ETF_MAP)
        return false;
    e->left = 2 * tb_rd_u32(&r);
    e->rest = (struct tb_term){ r.p, tb_rd_left(&r) };
    return true;
}

/* A tail may be a list again: [a | [b]] is [a, b], however it was written. */
static bool
enter_tail(struct tb_elems *e)
{
    struct tb_term tail = e->rest;

    return tail.n > 0 && (tail.p[0] == ETF_LIST || tail.p[0] == ETF_STRING) &&
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
