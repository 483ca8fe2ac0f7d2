/* fuzz_pattern.c - a pattern as its author may get it wrong. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/wr.h"
#include "term/check.h"
#include "term/ident.h"
#include "term/pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* What a pattern took from a term makes a term that the pattern matches. */
static void
build_again(const char *pattern, const struct tb_pattern *p,
            const struct tb_val *holes)
{
    struct tb_val out[TB_MAX_HOLES];
    struct tb_wr w = { .max = 1 << 20 };
    struct tb_term t;

    if (tb_build(&w, pattern, (struct tb_args){ p->holes, holes }) == 0) {
        assert(tb_check_whole(w.buf, w.len, &t) == 0);
        assert(tb_match(pattern, t, out) == 1);
    }
    tb_wr_free(&w);
}

static void
match_term(const char *pattern, const struct tb_pattern *p, struct tb_term t)
{
    struct tb_val out[TB_MAX_HOLES], shape[TB_MAX_HOLES];

    if (tb_match(pattern, t, out) != 1) {
        tb_pattern_match(p, t, true, shape);
        return;
    }
    /* a template has no _; the first key that fits may be another one */
    if (!strchr(pattern, '#'))
        assert(tb_pattern_match(p, t, true, shape) == 1);
    if (!strchr(pattern, '_') && !strchr(pattern, '#'))
        build_again(pattern, p, out);
}

static void
match_some(const char *pattern, const struct tb_pattern *p)
{
    static const char *const texts[] = {
        "[]",
        "ok",
        "{a, [1, 2 | b], <<\"x\">>}",
        "\"text\"",
        "[a, \"\\x{20ac}\" | {}]",
        "-1.5",
        "#{a => #{b => 1}, {k} => [x], 3 => 2.5, [a] => \"s\"}",
    };
    struct tb_text_error error;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct tb_wr w = { 0 };

        assert(tb_parse(&w, texts[i], strlen(texts[i]), &error) == 0);
        match_term(pattern, p, tb_wr_term(&w));
        tb_wr_free(&w);
    }
}

static void
use(const char *source, const struct tb_pattern *p)
{
    struct tb_wr w = { .max = 1 << 20 };
    struct tb_term t;

    match_some(source, p);
    if (p->holes == 0 && !strchr(source, '_') &&
        tb_build(&w, source, TB_NONE) == 0)
        assert(tb_check_whole(w.buf, w.len, &t) == 0);
    tb_wr_free(&w);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    char *source = malloc(n + 1);
    struct tb_val out[TB_MAX_HOLES];
    struct tb_pattern *compiled;
    int rc;

    assert(source);
    if (n > 0)
        memcpy(source, p, n);
    source[n] = '\0';
    tb_atoms_ref();
    compiled = tb_pattern_new(source, &rc);
    if (compiled)
        use(source, compiled);
    else
        assert(rc < 0 && tb_match(source, (struct tb_term){ 0 }, out) == rc);
    tb_free(compiled);
    tb_atoms_unref();
    free(source);
    return 0;
}
