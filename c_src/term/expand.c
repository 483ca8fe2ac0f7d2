/* expand.c - walks a term as check.c does, and writes its atoms in place of
 * references to them.
 *
 * Nothing is copied before the first reference. From then on what lies between
 * two of them is copied at once, however much it is: w holds what came before
 * .run, and a place in the new term is w->len and what has been read since.
 * The atoms of the table were checked when they came.
 * Owns: nothing. Thread: any.
 * Source: erl_ext_dist, "Distribution Header". */
#include "term/expand.h"

#include <string.h>

#include "base/wr.h"
#include "term/check.h"
#include "term/etf.h"
#include "term/keys.h"

/* A fun tells how many bytes it has, which become more. */
struct open_fun {
    size_t at;     /* where that stands in the new term */
    uint64_t owed; /* how many terms are to come when it is complete */
};

struct expander {
    struct tb_rd r;
    const struct tb_ref_table *refs;
    struct tb_wr *w;
    const uint8_t *run;
    uint64_t owed; /* terms to come, with the one that is taken */
    uint64_t
        close_at; /* those to come when the innermost open fun is complete */
    struct tb_wr funs; /* owned: struct open_fun */
    bool has_maps;     /* of two keys or more, which must differ */
    bool unknown;      /* a reference to nothing */
};

/* ------------------------------------------------------------- copying -- */

static inline size_t
atom_bytes(const uint8_t *atom)
{
    return atom[0] == ETF_SMALL_ATOM_UTF8
               ? 2u + atom[1]
               : 3u + ((size_t)atom[1] << 8 | atom[2]);
}

/* Most pieces are short: a copy of a fixed length is a move or two. There is
 * room for it, and so many bytes can be read. */
#define SHORT 16

static inline void
copy(uint8_t *to, const uint8_t *from, size_t n, size_t readable)
{
    if (n <= SHORT && readable >= SHORT)
        memcpy(to, from, SHORT);
    else
        memcpy(to, from, n);
}

/* What was read up to the reference at p, then the atom. */
static inline bool
put_ref(struct expander *x, const uint8_t *p)
{
    size_t left = (size_t)(x->r.end - x->run), n = (size_t)(p - x->run), size;
    const uint8_t *atom;
    uint8_t *to;

    x->unknown = p[1] >= x->refs->n;
    if (x->unknown)
        return false;
    atom = x->refs->bytes + x->refs->at[p[1]];
    size = atom_bytes(atom);
    to = tb_wr_room(x->w, n + size + TB_ATOM_SLACK);
    if (!to)
        return false;
    copy(to, x->run, n, left);
    if (size <= TB_ATOM_SLACK)
        memcpy(to + n, atom, TB_ATOM_SLACK);
    else
        memcpy(to + n, atom, size);
    tb_wr_add(x->w, n + size);
    x->run = p + 2;
    return true;
}

static void
put_rest(struct expander *x)
{
    size_t n = (size_t)(x->r.p - x->run);
    uint8_t *to = tb_wr_room(x->w, n + TB_ATOM_SLACK);

    if (!to)
        return;
    copy(to, x->run, n, (size_t)(x->r.end - x->run));
    tb_wr_add(x->w, n);
}

static size_t
place(const struct expander *x, const uint8_t *p)
{
    return x->w->len + (size_t)(p - x->run);
}

/* ------------------------------------------------------------- walking -- */

static void
take_atom(struct expander *x)
{
    struct tb_rd *r = &x->r;

    if (tb_rd_left(r) < 2 || r->p[0] != ETF_ATOM_CACHE_REF)
        tb_check_atom(r);
    else if (put_ref(x, r->p))
        r->p += 2;
    else
        r->bad = true;
}

static void
take_node_and(struct expander *x, size_t n)
{
    take_atom(x);
    tb_rd_take(&x->r, n);
}

static void
take_ref(struct expander *x, size_t creation_bytes)
{
    size_t n = tb_rd_u16(&x->r);

    take_node_and(x, creation_bytes + 4 * n);
    if (n < 1 || n > TB_REF_WORDS)
        x->r.bad = true;
}

static void
take_pid(struct expander *x)
{
    uint8_t tag = tb_rd_u8(&x->r);

    if (tag == ETF_NEW_PID)
        take_node_and(x, 12);
    else if (tag == ETF_PID)
        take_node_and(x, 9);
    else
        x->r.bad = true;
}

static void
take_export(struct expander *x)
{
    take_atom(x);
    take_atom(x);
    if (tb_rd_u8(&x->r) != ETF_SMALL_INTEGER)
        x->r.bad = true;
    tb_rd_take(&x->r, 1);
}

static void
open_fun(struct expander *x)
{
    struct open_fun f = { place(x, x->r.p), x->owed - 1 };

    x->funs.max = SIZE_MAX; /* there are fewer than bytes have come */
    tb_wr_bytes(&x->funs, &f, sizeof(f));
    x->close_at = f.owed;
}

/* At p all that are owed so many terms are complete. Where nothing in one was
 * written anew its length is as it was. */
static void
close_funs(struct expander *x, const uint8_t *p)
{
    const uint64_t owed = x->close_at;
    struct open_fun f;

    while (x->close_at == owed && !x->funs.bad) {
        x->funs.len -= sizeof(f);
        memcpy(&f, x->funs.buf + x->funs.len, sizeof(f));
        if (f.at < x->w->len)
            tb_wr_patch_u32(x->w, f.at, (uint32_t)(place(x, p) - f.at));
        x->close_at = UINT64_MAX;
        if (x->funs.len == 0)
            return;
        memcpy(&f, x->funs.buf + x->funs.len - sizeof(f), sizeof(f));
        x->close_at = f.owed;
    }
}

static uint64_t
take_fun(struct expander *x)
{
    uint64_t free_variables;

    open_fun(x);
    tb_rd_take(&x->r, 4 + 1 + 16 + 4);
    free_variables = tb_rd_u32(&x->r);
    take_atom(x);
    tb_check_small_int(&x->r);
    tb_check_small_int(&x->r);
    take_pid(x);
    return free_variables;
}

static uint64_t
take_record(struct expander *x)
{
    uint64_t fields = tb_rd_u32(&x->r);

    tb_rd_u8(&x->r);
    take_atom(x);
    take_atom(x);
    for (uint64_t i = 0; i < fields && !x->r.bad; i++)
        take_atom(x);
    return fields;
}

static bool
take_container(struct expander *x, uint8_t tag, uint64_t *owes)
{
    switch (tag) {
    case ETF_SMALL_TUPLE:
        *owes = tb_rd_u8(&x->r);
        return true;
    case ETF_LARGE_TUPLE:
        *owes = tb_rd_u32(&x->r);
        return true;
    case ETF_LIST:
        *owes = (uint64_t)tb_rd_u32(&x->r) + 1;
        return true;
    case ETF_MAP:
        *owes = 2 * (uint64_t)tb_rd_u32(&x->r);
        x->has_maps |= *owes > 2;
        return true;
    case ETF_NEW_FUN:
        *owes = take_fun(x);
        return true;
    case ETF_RECORD:
        *owes = take_record(x);
        return true;
    default:
        return false;
    }
}

/* What holds atoms and no terms. */
static bool
take_identifier(struct expander *x, uint8_t tag)
{
    switch (tag) {
    case ETF_SMALL_ATOM_UTF8:
    case ETF_ATOM_UTF8:
    case ETF_SMALL_ATOM:
    case ETF_ATOM:
    case ETF_ATOM_CACHE_REF:
        x->r.p--;
        take_atom(x);
        return true;
    case ETF_NEW_PID:
    case ETF_PID:
        x->r.p--;
        take_pid(x);
        return true;
    case ETF_NEW_PORT:
        take_node_and(x, 8);
        return true;
    case ETF_V4_PORT:
        take_node_and(x, 12);
        return true;
    case ETF_PORT:
    case ETF_REFERENCE:
        take_node_and(x, 5);
        return true;
    case ETF_NEWER_REFERENCE:
        take_ref(x, 4);
        return true;
    case ETF_NEW_REFERENCE:
        take_ref(x, 1);
        return true;
    case ETF_EXPORT:
        take_export(x);
        return true;
    default:
        return false;
    }
}

/* What messages are mostly made of, by its first bytes: how long a tag is with
 * its fields, else 0; the terms it owes; where in it a reference stands, or
 * NO_REF. */
#define USUAL_BYTES 5
#define NO_REF      SIZE_MAX

static inline size_t
usual(const uint8_t *p, uint64_t *owes, size_t *ref)
{
    *owes = 0;
    *ref = NO_REF;
    switch (p[0]) {
    case ETF_ATOM_CACHE_REF:
        *ref = 0;
        return 2;
    case ETF_SMALL_INTEGER:
        return 2;
    case ETF_INTEGER:
        return 5;
    case ETF_NIL:
        return 1;
    case ETF_SMALL_TUPLE:
        *owes = p[1];
        return 2;
    case ETF_LIST:
        *owes = (uint64_t)tb_check_u32(p + 1) + 1;
        return 5;
    case ETF_BINARY:
        return 5 + (size_t)tb_check_u32(p + 1);
    case ETF_NEW_PID:
        *ref = 1;
        return p[1] == ETF_ATOM_CACHE_REF ? 3 + 12 : 0;
    case ETF_NEWER_REFERENCE:
        *ref = 3;
        return p[1] == 0 && p[2] >= 1 && p[2] <= TB_REF_WORDS &&
                       p[3] == ETF_ATOM_CACHE_REF
                   ? 5 + 4 + 4 * (size_t)p[2]
                   : 0;
    default:
        return 0;
    }
}

static int
take_other(struct expander *x)
{
    uint64_t owes = 0, before = x->owed;
    uint8_t tag = tb_rd_u8(&x->r);

    if (!x->r.bad && !tb_check_leaf(&x->r, tag) && !take_identifier(x, tag) &&
        !take_container(x, tag, &owes))
        return -TB_EUNKNOWN_TAG; /* of a later release, or none */
    x->owed = before + owes - 1;
    return x->r.bad ? -TB_EBADTERM : 0;
}

static int
walk(struct expander *x)
{
    const uint8_t *p = x->r.p, *const end = x->r.end;
    uint64_t owed = 1, owes;
    size_t left, n, ref;
    int rc = 0;

    while (owed > 0 && rc == 0) {
        left = (size_t)(end - p);
        n = left < USUAL_BYTES ? 0 : usual(p, &owes, &ref);
        if (n > 0 && n <= left && (ref == NO_REF || put_ref(x, p + ref))) {
            p += n;
            owed += owes - 1;
        } else {
            x->r.p = p;
            x->owed = owed;
            rc = take_other(x);
            p = x->r.p;
            owed = x->owed;
        }
        if (owed > (size_t)(end - p) && rc == 0)
            rc = -TB_EBADTERM;
        if (owed == x->close_at)
            close_funs(x, p);
    }
    x->r.p = p;
    return rc;
}

int
tb_expand(struct tb_rd *r, const struct tb_ref_table *refs, struct tb_wr *w,
          struct tb_term *out)
{
    struct expander x = {
        .r = *r, .refs = refs, .w = w, .run = r->p, .close_at = UINT64_MAX
    };
    struct tb_term t = { r->p, 0 };
    int rc;

    w->len = 0;
    w->bad = false;
    rc = walk(&x);
    t.n = (size_t)(x.r.p - t.p);
    if (w->len > 0) {
        put_rest(&x);
        t = (struct tb_term){ w->buf, w->len };
    }
    if (x.unknown)
        rc = -TB_EATOM_CACHE;
    else if (w->bad || x.funs.bad)
        rc = -TB_ELIMIT;
    else if (rc == 0 && x.has_maps)
        rc = tb_keys_check(t);
    if (x.funs.buf)
        tb_wr_free(&x.funs);
    *r = x.r;
    if (rc == 0)
        *out = t;
    return rc;
}
