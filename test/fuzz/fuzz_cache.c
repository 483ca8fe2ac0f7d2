/* fuzz_cache.c - what a peer with an atom cache sends over one connection:
 * bodies of frames, each behind its length of two bytes. What comes of a
 * payload is checked anew, sent with a table of our own, and read again. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/wr.h"
#include "dist/control.h"
#include "dist/dflags.h"
#include "term/check.h"
#include "term/ident.h"

#define LONGEST (1 << 16)

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* A term as it arrives where it is sent with a table; owned by *to. */
static struct tb_term
carry(struct tb_term t, struct tb_atom_cache *cache, struct tb_expanded *to)
{
    struct tb_atom_table *table = tb_atom_table_new();
    struct tb_pid nobody = { tb_intern(tb_text_of("a@b")), 1, 1, 1 };
    struct tb_control c = { 0 };
    struct tb_wr body = { 0 }, w = { 0 };

    tb_atom_table_put(table, &body, t);
    assert(tb_control_begin_with(&w, TB_DFLAGS_OURS, table, DOP_SEND_SENDER,
                                 TB_ARGS(tb_v_pid(nobody), tb_v_pid(nobody))) ==
           0);
    tb_wr_bytes(&w, body.buf, body.len);
    assert(tb_control_end(&w, 0) == 0);
    assert(tb_control_read(cache, to, w.buf + 4, w.len - 4, &c) == 1);
    if (c.payload.p != to->payload.buf) { /* it has no atoms */
        to->payload.len = 0;
        tb_wr_bytes(&to->payload, c.payload.p, c.payload.n);
    }
    assert(table->n <= TB_MESSAGE_ATOMS);
    tb_atom_table_free(table);
    tb_wr_free(&body);
    tb_wr_free(&w);
    return tb_wr_term(&to->payload);
}

/* The first time an atom's tag may become the shorter one. */
static void
send_on(struct tb_term t)
{
    struct tb_atom_cache cache = { 0 };
    struct tb_expanded one = { 0 }, other = { 0 };
    struct tb_term first = carry(t, &cache, &one);
    struct tb_term second = carry(first, &cache, &other);

    assert(first.n <= t.n);
    assert(tb_phash2(first, 0) == tb_phash2(t, 0));
    assert(first.n == second.n && memcmp(first.p, second.p, first.n) == 0);
    tb_atom_cache_fini(&cache);
    tb_expanded_free(&one, 0);
    tb_expanded_free(&other, 0);
}

static int
take(struct tb_atom_cache *cache, struct tb_expanded *to, const uint8_t *p,
     size_t n)
{
    struct tb_control c = { 0 };
    uint8_t *copy = malloc(n ? n : 1);
    struct tb_term t;
    int rc;

    assert(copy);
    memcpy(copy, p, n);
    rc = tb_control_read(cache, to, copy, n, &c);
    if (rc == 1 && c.payload.n > 0) {
        assert(c.payload.n <= LONGEST || c.payload.n <= n);
        assert(tb_check_whole(c.payload.p, c.payload.n, &t) == 0);
        send_on(t);
    }
    assert(cache->text.cap <= TB_MAX_ATOM_CACHE);
    free(copy);
    return rc;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct tb_atom_cache cache = { 0 };
    struct tb_expanded to = { { .max = LONGEST }, { .max = LONGEST } };
    struct tb_rd r = tb_rd_of(p, n);
    int rc = 0;

    tb_atoms_ref();
    assert(tb_control_init() == 0);
    while (tb_rd_left(&r) > 2 && (rc >= 0 || rc == -TB_EUNKNOWN_TAG)) {
        size_t length = tb_rd_u16(&r), left = tb_rd_left(&r);

        length = length < left ? length : left;
        rc = take(&cache, &to, tb_rd_take(&r, length), length);
    }
    tb_atom_cache_fini(&cache);
    tb_expanded_free(&to, 0);
    tb_control_fini();
    tb_atoms_unref();
    return 0;
}
