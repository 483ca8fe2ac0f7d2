/* fuzz_check.c - everything that may be done with a term once it is checked. */
#include <assert.h>
#include <string.h>

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

/* What a typed hole took is written, and read again as the same. */
static void
write_again(const char *pattern, const struct tb_val *v)
{
    struct tb_val again[TB_MAX_HOLES];
    struct tb_wr first = { 0 }, second = { 0 };
    struct tb_term t;

    assert(tb_build(&first, "X", (struct tb_args){ 1, v }) == 0);
    assert(tb_check_whole(first.buf, first.len, &t) == 0);
    assert(tb_match(pattern, t, again) == 1);
    assert(tb_build(&second, "X", (struct tb_args){ 1, again }) == 0);
    assert(first.len == second.len &&
           memcmp(first.buf, second.buf, first.len) == 0);
    tb_wr_free(&first);
    tb_wr_free(&second);
}

static void
match_all(struct tb_term t)
{
    static const char *const typed[] = {
        "X:int", "X:float", "X:atom", "X:pid",   "X:ref",
        "X:bin", "X:list",  "X:map",  "X:tuple",
    };
    static const char *const patterns[] = {
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

    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
        assert(tb_match(patterns[i], t, out) >= 0);
    for (size_t i = 0; i < sizeof(typed) / sizeof(typed[0]); i++)
        if (tb_match(typed[i], t, out) == 1)
            write_again(typed[i], out);
}

/* Pids, references, ports, funs, records, bitstrings, a map with a key twice
 * and very large integers (in base 16) have no text that parses; nor has what
 * is nested deeper than the parser goes. */
static bool
may_not_parse(const char *text, size_t n, const struct tb_text_error *error)
{
    return memchr(text, '<', n) || memchr(text, '#', n) ||
           strstr(error->what, "nested");
}

/* A text that parses gives a term of the same hash and the same text. */
static void
read_back(struct tb_term t, const struct tb_wr *text)
{
    struct tb_wr parsed = { 0 }, again = { 0 };
    struct tb_text_error error;
    struct tb_term u;

    if (tb_parse(&parsed, (char *)text->buf, text->len, &error) == 0) {
        u = tb_wr_term(&parsed);
        assert(tb_phash2(u, 0) == tb_phash2(t, 0));
        assert(tb_print(&again, u) == 0 && again.len == text->len &&
               memcmp(again.buf, text->buf, text->len) == 0);
    } else {
        assert(may_not_parse((char *)text->buf, text->len, &error));
    }
    tb_wr_free(&parsed);
    tb_wr_free(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct tb_wr w = { .max = 1 << 20 };
    struct tb_term t;

    tb_atoms_ref();
    if (tb_check_whole(p, n, &t) == 0) {
        assert(t.p == p && t.n == n && tb_skip(p) == n);
        assert(tb_phash2(t, 7) < 7);
        tb_check_narrow(p);
        if (tb_print(&w, t) == 0)
            read_back(t, &w);
        tb_print_pretty(&w, t);
        read_elements(t);
        match_all(t);
        tb_wr_clear(&w, 0);
        w.bad = false;
        tb_get_chars(t, &w);
    }
    tb_wr_free(&w);
    tb_atoms_unref();
    return 0;
}
