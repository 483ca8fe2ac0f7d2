/* fuzz_control.c - the body of a frame from a peer. What is read is written
 * again, for a peer of today and for one that has no capability. */
#include <assert.h>
#include <string.h>

#include "base/wr.h"
#include "dist/control.h"
#include "dist/dflags.h"
#include "term/check.h"
#include "term/ident.h"

#define ALL_FLAGS (~UINT64_C(0))
#define PLAIN     (ALL_FLAGS & ~TB_DFLAG(DIST_HDR_ATOM_CACHE))

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static size_t
count_holes(const struct tb_control *c)
{
    size_t n = 0;

    while (n < TB_MAX_HOLES && c->arg[n].type != TB_T_NONE)
        n++;
    return n;
}

/* The rows with a token, or with an element that only BEAMs fill, are never
 * written. */
static bool
is_written(enum tb_dop op)
{
    return op != DOP_SEND && !strstr(tb_control_name(op), "_TT");
}

static void
read_again(const struct tb_wr *w, uint64_t flags, struct tb_control *back)
{
    struct tb_atom_cache cache = { 0 };
    struct tb_expanded to = { 0 };

    if (flags & TB_DFLAG(DIST_HDR_ATOM_CACHE))
        assert(tb_control_read(&cache, &to, w->buf + 4, w->len - 4, back) == 1);
    else
        assert(tb_control_get(w->buf + 4, w->len - 4, back) == 1);
    assert(!cache.slot && to.control.cap + to.payload.cap == 0);
}

static void
write_again(const struct tb_control *c, uint64_t flags)
{
    struct tb_args args = { count_holes(c), c->arg };
    struct tb_control back = { 0 };
    struct tb_wr w = { 0 };
    int rc = tb_control_put(&w, flags, c->op, args, c->payload);

    assert(rc == 0 || (rc == -TB_ENOTSUP && flags < PLAIN && w.len == 0));
    if (rc == 0) {
        read_again(&w, flags, &back);
        assert(tb_control_readable(flags | TB_DFLAG(V4_NC), w.buf, w.len));
        tb_control_readable(flags & ~TB_DFLAG(V4_NC), w.buf, w.len);
        assert(flags < PLAIN || back.op == c->op);
        assert(back.payload.n == 0 || back.payload.n == c->payload.n);
    }
    tb_wr_free(&w);
}

/* The payload appended by the caller makes the same frame. */
static void
append_payload(const struct tb_control *c)
{
    struct tb_args args = { count_holes(c), c->arg };
    struct tb_wr whole = { 0 }, parts = { 0 };
    size_t at;

    if (c->payload.n == 0)
        return;
    assert(tb_control_put(&whole, ALL_FLAGS, c->op, args, c->payload) == 0);
    assert(tb_control_begin(&parts, ALL_FLAGS, c->op, args, &at) == 0);
    tb_wr_bytes(&parts, c->payload.p, c->payload.n);
    assert(tb_control_end(&parts, at) == 0 && whole.len == parts.len &&
           memcmp(whole.buf, parts.buf, whole.len) == 0);
    tb_wr_free(&whole);
    tb_wr_free(&parts);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct tb_control c = { 0 };
    struct tb_wr w = { .max = 1 << 20 };
    struct tb_term t;

    tb_atoms_ref();
    assert(tb_control_init() == 0);
    if (tb_control_get(p, n, &c) == 1) {
        assert(tb_control_name(c.op)[0] != '?');
        if (c.payload.n > 0) {
            assert(tb_check_whole(c.payload.p, c.payload.n, &t) == 0);
            tb_print(&w, c.payload);
        }
        if (is_written(c.op)) {
            write_again(&c, ALL_FLAGS);
            write_again(&c, PLAIN);
            write_again(&c, TB_DFLAG(DIST_HDR_ATOM_CACHE));
            write_again(&c, TB_DFLAG(DIST_MONITOR));
            write_again(&c, 0);
            append_payload(&c);
        }
    }
    tb_wr_free(&w);
    tb_control_fini();
    tb_atoms_unref();
    return 0;
}
