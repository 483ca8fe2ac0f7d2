/* fuzz_control.c - the body of a frame from a peer. */
#include <assert.h>

#include "base/wr.h"
#include "dist/control.h"
#include "term/check.h"
#include "term/ident.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct tb_control c;
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
    }
    tb_wr_free(&w);
    tb_control_fini();
    tb_atoms_unref();
    return 0;
}
