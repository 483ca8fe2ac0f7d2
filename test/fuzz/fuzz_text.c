/* fuzz_text.c - a configuration file, or any other text that is a term. What
 * parses is printed and parsed again, which must change nothing. */
#include <assert.h>
#include <string.h>

#include "base/wr.h"
#include "term/check.h"
#include "term/ident.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
again(struct tb_term t)
{
    struct tb_wr text = { .max = 1 << 22 }, twice = { 0 };
    struct tb_text_error error;

    if (tb_print(&text, t) == 0) {
        assert(tb_parse(&twice, (const char *)text.buf, text.len, &error) == 0);
        assert(twice.len == t.n && memcmp(twice.buf, t.p, t.n) == 0);
    }
    tb_wr_free(&text);
    tb_wr_free(&twice);
}

/* Every line tells of a term that begins where it says. */
static void
check_lines(struct tb_term all, const struct tb_wr *lines)
{
    size_t last = 0;
    struct tb_line line;
    struct tb_term t;

    for (size_t i = 0; i < lines->len; i += sizeof(line)) {
        memcpy(&line, lines->buf + i, sizeof(line));
        assert(line.at >= last && line.at < all.n && line.line > 0);
        last = line.at;
        t = (struct tb_term){ all.p + last, tb_skip(all.p + last) };
        assert(tb_check_whole(t.p, t.n, &t) == 0 && last + t.n <= all.n);
    }
}

/* Whatever room there is, it is enough or the limit is reported. */
static void
in_little_room(const char *text, size_t n)
{
    struct tb_wr w = { .max = n / 2 + 1 }, lines = { .max = n };
    struct tb_text_error error;

    if (tb_consult(&w, text, n, &lines, &error) < 0)
        assert(w.len == 0 && lines.len == 0);
    else
        assert(w.len <= w.max && lines.len <= lines.max);
    tb_wr_free(&w);
    tb_wr_free(&lines);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct tb_wr one = { 0 }, all = { 0 }, lines = { 0 };
    struct tb_text_error error = { 0 };
    struct tb_elems e;
    struct tb_term t, item;

    tb_atoms_ref();
    if (tb_parse(&one, (const char *)p, n, &error) == 0) {
        assert(tb_check_whole(one.buf, one.len, &t) == 0);
        again(t);
    }
    if (tb_consult(&all, (const char *)p, n, &lines, &error) == 0) {
        assert(tb_check_whole(all.buf, all.len, &t) == 0);
        check_lines(t, &lines);
        assert(tb_elems_open(&e, t));
        while (tb_elems_next(&e, &item))
            again(item);
    } else {
        assert(memchr(error.what, 0, sizeof(error.what)));
    }
    in_little_room((const char *)p, n);
    tb_wr_free(&one);
    tb_wr_free(&all);
    tb_wr_free(&lines);
    tb_atoms_unref();
    return 0;
}
