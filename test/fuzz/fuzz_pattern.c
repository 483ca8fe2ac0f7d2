/* fuzz_pattern.c - a pattern as its author may get it wrong. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/wr.h"
#include "term/check.h"
#include "term/ident.h"
#include "term/pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
match_some(const char *pattern, int parsed)
{
    static const char *const texts[] = {
        "[]",
        "ok",
        "{a, [1, 2 | b], <<\"x\">>}",
        "\"text\"",
        "#{a => #{b => 1}, {k} => [x], 3 => 2.5, [a] => \"s\"}",
    };
    struct tb_val out[TB_MAX_HOLES];
    struct tb_text_error error;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct tb_wr w = { 0 };
        int rc = tb_parse(&w, texts[i], strlen(texts[i]), &error);

        assert(rc == 0);
        rc = tb_match(pattern, tb_wr_term(&w), out);
        assert(parsed < 0 ? rc == parsed : rc == 0 || rc == 1);
        tb_wr_free(&w);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    char *source = malloc(n + 1);
    struct tb_pattern compiled;
    struct tb_wr w = { .max = 1 << 20 };
    struct tb_term t;
    int rc;

    assert(source);
    if (n > 0)
        memcpy(source, p, n);
    source[n] = '\0';
    tb_atoms_ref();
    rc = tb_pattern_parse(&compiled, source);
    match_some(source, rc);
    /* holes want arguments, and a template has no _ */
    if (rc == 0 && compiled.holes == 0 && !strchr(source, '_') &&
        tb_build(&w, source, TB_NONE) == 0)
        assert(tb_check_whole(w.buf, w.len, &t) == 0);
    tb_wr_free(&w);
    tb_atoms_unref();
    free(source);
    return 0;
}
