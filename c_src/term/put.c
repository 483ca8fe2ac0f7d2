/* put.c - typed writes; ei writes what is wider than 32 bits, and floats.
 * Owns: nothing. Thread: any.
 * Source: erl_interface, ei(3); erl_ext_dist. */
#include "term/put.h"

#include <ei.h>
#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "term/chars.h"
#include "term/etf.h"
#include "term/ident.h"

/* What ei writes at the most for a value that has no text in it. */
#define MAX_LEAF 32

/* Beyond 32 bits. */
static void
put_big(struct tb_wr *w, bool minus, uint64_t magnitude)
{
    char *room = (char *)tb_wr_room(w, MAX_LEAF);
    int n = 0;

    if (!room || ei_encode_ulonglong(room, &n, magnitude) < 0)
        return;
    room[2] = minus;
    tb_wr_add(w, (size_t)n);
}

/* Not ei_encode_longlong(): it makes big ones of integers beyond 28 bits,
 * where a BEAM does so beyond 32. */
void
tb_put_int(struct tb_wr *w, int64_t i)
{
    if (i >= 0 && i <= UINT8_MAX) {
        tb_wr_u8(w, ETF_SMALL_INTEGER);
        tb_wr_u8(w, (uint8_t)i);
    } else if (i >= INT32_MIN && i <= INT32_MAX) {
        tb_wr_u8(w, ETF_INTEGER);
        tb_wr_u32(w, (uint32_t)i);
    } else {
        put_big(w, i < 0, i < 0 ? 0 - (uint64_t)i : (uint64_t)i);
    }
}

void
tb_put_uint(struct tb_wr *w, uint64_t u)
{
    if (u <= INT64_MAX)
        tb_put_int(w, (int64_t)u);
    else
        put_big(w, false, u);
}

void
tb_put_float(struct tb_wr *w, double f)
{
    char *room = (char *)tb_wr_room(w, MAX_LEAF);
    int n = 0;

    if (!isfinite(f))
        w->bad = true;
    else if (room && ei_encode_double(room, &n, f) == 0)
        tb_wr_add(w, (size_t)n);
}

/* A text that is none would cost the connection. */
void
tb_put_atom(struct tb_wr *w, struct tb_text text)
{
    if (!tb_is_atom_text(text.p, text.n)) {
        w->bad = true;
        return;
    }
    if (text.n <= UINT8_MAX) {
        tb_wr_u8(w, ETF_SMALL_ATOM_UTF8);
        tb_wr_u8(w, (uint8_t)text.n);
    } else {
        tb_wr_u8(w, ETF_ATOM_UTF8);
        tb_wr_u16(w, (uint16_t)text.n);
    }
    tb_wr_bytes(w, text.p, text.n);
}

void
tb_put_bin(struct tb_wr *w, const void *p, size_t n)
{
    if (n > UINT32_MAX) {
        w->bad = true;
        return;
    }
    tb_wr_u8(w, ETF_BINARY);
    tb_wr_u32(w, (uint32_t)n);
    tb_wr_bytes(w, p, n);
}

/* What is no UTF-8 is taken byte by byte. */
static uint32_t
next_char(struct tb_rd *r)
{
    int32_t c = tb_utf8_get(r);

    return c < 0 ? tb_rd_u8(r) : (uint32_t)c;
}

void
tb_put_chars(struct tb_wr *w, struct tb_text utf8)
{
    const struct tb_rd start = tb_rd_of(utf8.p, utf8.n);
    uint32_t count = 0, max = 0;

    for (struct tb_rd r = start; tb_rd_left(&r) > 0; count++) {
        uint32_t c = next_char(&r);

        max = c > max ? c : max;
    }
    if (count == 0) {
        tb_put_nil(w);
    } else if (max < 256 && count <= UINT16_MAX) {
        tb_wr_u8(w, ETF_STRING);
        tb_wr_u16(w, (uint16_t)count);
        for (struct tb_rd r = start; tb_rd_left(&r) > 0;)
            tb_wr_u8(w, (uint8_t)next_char(&r));
    } else {
        tb_put_list(w, count);
        for (struct tb_rd r = start; tb_rd_left(&r) > 0;)
            tb_put_int(w, next_char(&r));
        tb_put_nil(w);
    }
}

void
tb_put_str(struct tb_wr *w, const char *utf8)
{
    tb_put_chars(w, tb_text_of(utf8));
}

static void
put_node(struct tb_wr *w, tb_atom node)
{
    struct tb_text name = tb_atom_text(node);

    w->bad |= name.n == 0;
    tb_put_atom(w, name);
}

void
tb_put_pid(struct tb_wr *w, struct tb_pid pid)
{
    tb_wr_u8(w, ETF_NEW_PID);
    put_node(w, pid.node);
    tb_wr_u32(w, pid.id);
    tb_wr_u32(w, pid.serial);
    tb_wr_u32(w, pid.creation);
}

void
tb_put_ref(struct tb_wr *w, struct tb_ref ref)
{
    w->bad |= ref.n < 1 || ref.n > TB_REF_WORDS;
    tb_wr_u8(w, ETF_NEWER_REFERENCE);
    tb_wr_u16(w, (uint16_t)ref.n);
    put_node(w, ref.node);
    tb_wr_u32(w, ref.creation);
    for (uint32_t i = 0; i < ref.n && i < TB_REF_WORDS; i++)
        tb_wr_u32(w, ref.id[i]);
}

void
tb_put_term(struct tb_wr *w, struct tb_term t)
{
    w->bad |= t.n == 0; /* none: what it should be was not built */
    tb_wr_bytes(w, t.p, t.n);
}

void
tb_put_tuple(struct tb_wr *w, uint32_t arity)
{
    if (arity < 256) {
        tb_wr_u8(w, ETF_SMALL_TUPLE);
        tb_wr_u8(w, (uint8_t)arity);
    } else {
        tb_wr_u8(w, ETF_LARGE_TUPLE);
        tb_wr_u32(w, arity);
    }
}

void
tb_put_list(struct tb_wr *w, uint32_t n)
{
    tb_wr_u8(w, ETF_LIST);
    tb_wr_u32(w, n);
}

void
tb_put_map(struct tb_wr *w, uint32_t pairs)
{
    tb_wr_u8(w, ETF_MAP);
    tb_wr_u32(w, pairs);
}

void
tb_put_nil(struct tb_wr *w)
{
    tb_wr_u8(w, ETF_NIL);
}

void
tb_put_val(struct tb_wr *w, const struct tb_val *v)
{
    switch (v->type) {
    case TB_T_INT:
        tb_put_int(w, v->i);
        break;
    case TB_T_FLOAT:
        tb_put_float(w, v->f);
        break;
    case TB_T_ATOM:
        tb_put_atom(w, v->text);
        break;
    case TB_T_PID:
        tb_put_pid(w, v->pid);
        break;
    case TB_T_REF:
        tb_put_ref(w, v->ref);
        break;
    case TB_T_BIN:
        tb_put_bin(w, v->text.p, v->text.n);
        break;
    case TB_T_STR:
        tb_put_chars(w, v->text);
        break;
    case TB_T_TERM:
    case TB_T_LIST:
    case TB_T_MAP:
    case TB_T_TUPLE:
        tb_put_term(w, v->term);
        break;
    case TB_T_NONE:
        w->bad = true;
        break;
    }
}
