/* atom_cache.c - what a peer's references to atoms stand for.
 * In Erlang: the in_arr of a distribution entry, erts_prepare_dist_ext() of
 * external.c.
 *
 * Texts are appended, and those that were replaced stay until they are the
 * larger part: a table that was read from a header never moves under it.
 * Owns: slots and texts. Thread: any, one at a time.
 * Source: erl_ext_dist, "Distribution Header". */
#include "dist/atom_cache.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/wr.h"
#include "term/chars.h"
#include "term/etf.h"

#define SLOTS   2048
#define TIDY_AT 4096 /* bytes that were replaced */

static size_t
atom_bytes(const uint8_t *atom)
{
    return atom[0] == ETF_SMALL_ATOM_UTF8
               ? 2u + atom[1]
               : 3u + ((size_t)atom[1] << 8 | atom[2]);
}

static unsigned
half_byte(const uint8_t *flags, unsigned i)
{
    return (unsigned)flags[i / 2] >> (i % 2 ? 4 : 0) & 15u;
}

/* The first byte is no atom's: an offset of 0 says that there is none. */
static bool
begin(struct tb_atom_cache *c)
{
    if (c->slot)
        return true;
    c->slot = tb_try_alloc(SLOTS * sizeof(c->slot[0]));
    c->text.max = TB_MAX_ATOM_CACHE;
    tb_wr_u8(&c->text, 0);
    return c->slot && !c->text.bad;
}

static bool
tidy(struct tb_atom_cache *c)
{
    struct tb_wr text = { .max = TB_MAX_ATOM_CACHE };

    if (c->replaced < TIDY_AT || c->replaced < c->text.len / 2)
        return true;
    tb_wr_room(&text, c->text.len - c->replaced + TB_ATOM_SLACK);
    tb_wr_u8(&text, 0);
    if (text.bad)
        return false;
    for (unsigned i = 0; i < SLOTS; i++) { /* there is room for all */
        const uint8_t *atom = c->text.buf + c->slot[i];

        if (c->slot[i] == 0)
            continue;
        c->slot[i] = (uint32_t)text.len;
        tb_wr_bytes(&text, atom, atom_bytes(atom));
    }
    tb_wr_free(&c->text);
    c->text = text;
    c->replaced = 0;
    return true;
}

static int
put_atom(struct tb_atom_cache *c, const uint8_t *p, size_t n, uint32_t *slot)
{
    struct tb_wr *w = &c->text;
    size_t at = w->len;

    if (!tb_is_atom_text(p, n))
        return -TB_EATOM_CACHE;
    if (!tb_wr_room(w, 3 + n + TB_ATOM_SLACK))
        return -TB_ELIMIT;
    if (n <= UINT8_MAX) {
        tb_wr_u8(w, ETF_SMALL_ATOM_UTF8);
        tb_wr_u8(w, (uint8_t)n);
    } else {
        tb_wr_u8(w, ETF_ATOM_UTF8);
        tb_wr_u16(w, (uint16_t)n);
    }
    tb_wr_bytes(w, p, n);
    if (*slot)
        c->replaced += atom_bytes(w->buf + *slot);
    *slot = (uint32_t)at;
    return 0;
}

static int
read_new(struct tb_atom_cache *c, struct tb_rd *r, unsigned segment,
         bool is_long, uint32_t *at)
{
    unsigned i = segment << 8 | tb_rd_u8(r);
    size_t n = is_long ? tb_rd_u16(r) : tb_rd_u8(r);
    const uint8_t *p = tb_rd_take(r, n);
    int rc;

    if (r->bad)
        return -TB_EATOM_CACHE;
    rc = begin(c) ? put_atom(c, p, n, &c->slot[i]) : -TB_ELIMIT;
    if (rc == 0)
        *at = c->slot[i];
    return rc;
}

static int
read_old(const struct tb_atom_cache *c, struct tb_rd *r, unsigned segment,
         uint32_t *at)
{
    unsigned i = segment << 8 | tb_rd_u8(r);

    *at = c->slot && !r->bad ? c->slot[i] : 0;
    return *at ? 0 : -TB_EATOM_CACHE;
}

/* Mostly all of them are known: false where one is not. */
static bool
read_known(const struct tb_atom_cache *c, const uint8_t *flags, struct tb_rd *r,
           struct tb_ref_table *refs)
{
    unsigned n = refs->n, half;

    if (!c->slot || tb_rd_left(r) < n)
        return false;
    for (unsigned i = 0; i < n; i++) {
        half = half_byte(flags, i);
        refs->at[i] = c->slot[(half & TB_SEGMENT) << 8 | r->p[i]];
        if (half & TB_NEW_ENTRY || refs->at[i] == 0)
            return false;
    }
    r->p += n;
    return true;
}

static int
read_all(struct tb_atom_cache *c, const uint8_t *flags, struct tb_rd *r,
         struct tb_ref_table *refs)
{
    bool is_long = half_byte(flags, refs->n) & TB_LONG_ATOMS;
    unsigned half;
    int rc = tidy(c) ? 0 : -TB_ELIMIT;

    for (unsigned i = 0; i < refs->n && rc == 0; i++) {
        half = half_byte(flags, i);
        rc = half & TB_NEW_ENTRY
                 ? read_new(c, r, half & TB_SEGMENT, is_long, &refs->at[i])
                 : read_old(c, r, half & TB_SEGMENT, &refs->at[i]);
    }
    return rc;
}

int
tb_atom_cache_read(struct tb_atom_cache *c, struct tb_rd *r,
                   struct tb_ref_table *refs)
{
    const uint8_t *flags;
    int rc = 0;

    refs->n = tb_rd_u8(r);
    flags = refs->n ? tb_rd_take(r, refs->n / 2 + 1) : NULL;
    if (r->bad)
        return -TB_EATOM_CACHE;
    if (flags && !read_known(c, flags, r, refs))
        rc = read_all(c, flags, r, refs);
    refs->bytes = c->text.buf;
    return rc;
}

void
tb_atom_cache_fini(struct tb_atom_cache *c)
{
    tb_free(c->slot);
    tb_wr_free(&c->text);
    *c = (struct tb_atom_cache){ 0 };
}
