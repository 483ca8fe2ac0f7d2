/* fuzz_text.c - a configuration file, or any other text that is a term. What
 * parses is printed and parsed again, which must change nothing. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/wr.h"
#include "term/check.h"
#include "term/ident.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
again(const struct tb_wr *parsed)
{
    struct tb_wr text = { .max = 1 << 22 }, twice = { 0 };
    struct tb_text_error error = { 0 };
    struct tb_term t;

    assert(tb_check_whole(parsed->buf, parsed->len, &t) == 0);
    if (tb_print(&text, t) == 0) {
        assert(tb_parse(&twice, (const char *)text.buf, text.len, &error) == 0);
        assert(twice.len == parsed->len);
        assert(memcmp(twice.buf, parsed->buf, twice.len) == 0);
    }
    tb_wr_free(&text);
    tb_wr_free(&twice);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct tb_wr one = { 0 }, all = { 0 }, lines = { 0 };
    struct tb_text_error error = { 0 };

    tb_atoms_ref();
    if (tb_parse(&one, (const char *)p, n, &error) == 0)
        again(&one);
    if (tb_consult(&all, (const char *)p, n, &lines, &error) == 0)
        again(&all);
    else
        assert(memchr(error.what, 0, sizeof(error.what)));
    tb_wr_free(&one);
    tb_wr_free(&all);
    tb_wr_free(&lines);
    tb_atoms_unref();
    return 0;
}
