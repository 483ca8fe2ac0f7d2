/* fuzz_check.c - everything that may be done with a term once it is checked. */
#include <assert.h>

#include "base/wr.h"
#include "term/check.h"
#include "term/get.h"
#include "term/ident.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
read_elements(struct tb_term t)
{
    struct tb_elems e;
    struct tb_term item;

    if (!tb_elems_open(&e, t))
        return;
    while (tb_elems_next(&e, &item))
        assert(tb_skip(item.p) == item.n);
    assert(e.rest.n > 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static const char *const patterns[] = {
        "X:int",
        "X:float",
        "X:atom",
        "X:pid",
        "X:ref",
        "X:bin",
        "X:list",
        "X:map",
        "X:tuple",
        "{A, B:int}",
        "[A, B]",
        "[A|B:list]",
        "'ok'",
        "\"text\"",
        "<<\"text\">>",
        "-1",
        "#{a := X, {b} := Y:int}",
        "{'DOWN', R:ref, process, P:pid, Why}",
        "[[X]]",
        "[{K:atom, V}|_]",
    };
    struct tb_val out[TB_MAX_HOLES];
    struct tb_wr w = { .max = 1 << 20 };
    struct tb_term t;

    tb_atoms_ref();
    if (tb_check_whole(p, n, &t) == 0) {
        assert(t.p == p && t.n == n && tb_skip(p) == n);
        tb_print(&w, t);
        tb_print_pretty(&w, t);
        assert(tb_phash2(t, 0) == tb_phash2(t, 0) && tb_phash2(t, 7) < 7);
        read_elements(t);
        for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
            assert(tb_match(patterns[i], t, out) >= 0);
        tb_wr_clear(&w, 0);
        w.bad = false;
        tb_get_chars(t, &w);
    }
    tb_wr_free(&w);
    tb_atoms_unref();
    return 0;
}
