/* test_get_put.c - typed reads and writes, and that we write a term as a BEAM
 * does. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "tb_test.h"
#include "term/check.h"
#include "term/etf.h"
#include "term/get.h"
#include "term/ident.h"
#include "term/put.h"
#include "term/recorded.h"

/* ---------------------------------------------------------- integers -- */

/* clang-format off */
static const struct {
    int64_t i;
    const char *p;
    size_t n;
} ints[] = {
#define INT(i, s) { i, s, sizeof(s) - 1 }
    INT(0, "\x61\0"),
    INT(255, "\x61\xff"),
    INT(256, "\x62\0\0\x01\0"),
    INT(-1, "\x62\xff\xff\xff\xff"),
    INT(INT32_MAX, "\x62\x7f\xff\xff\xff"),
    INT(INT32_MIN, "\x62\x80\0\0\0"),
    INT((1 << 27) - 1, "\x62\x07\xff\xff\xff"),
    INT(1 << 27, "\x62\x08\0\0\0"),
    INT(-(1 << 27) - 1, "\x62\xf7\xff\xff\xff"),
    INT(INT32_MAX + INT64_C(1), "\x6e\x04\0\0\0\0\x80"),
    INT(INT32_MIN - INT64_C(1), "\x6e\x04\x01\x01\0\0\x80"),
    INT(UINT32_MAX, "\x6e\x04\0\xff\xff\xff\xff"),
    INT(UINT32_MAX + INT64_C(1), "\x6e\x05\0\0\0\0\0\x01"),
    INT(-INT64_C(1000000000000), "\x6e\x05\x01\0\x10\xa5\xd4\xe8"),
    INT(INT64_MAX, "\x6e\x08\0\xff\xff\xff\xff\xff\xff\xff\x7f"),
    INT(INT64_MIN, "\x6e\x08\x01\0\0\0\0\0\0\0\x80"),
    INT(INT64_MIN + 1, "\x6e\x08\x01\xff\xff\xff\xff\xff\xff\xff\x7f"),
#undef INT
};
/* clang-format on */

static void
test_int_is_put_and_got_at_every_boundary(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(ints); i++) {
        struct tb_wr w = { 0 };
        int64_t v = 99;
        uint64_t u = 99;

        tb_put_int(&w, ints[i].i);
        assert_true(tb_test_holds(&w, ints[i].p, ints[i].n));
        assert_true(tb_get_int(tb_wr_term(&w), &v));
        assert_true(v == ints[i].i);
        assert_int_equal(tb_get_uint(tb_wr_term(&w), &u), ints[i].i >= 0);
        assert_true(ints[i].i >= 0 ? u == (uint64_t)ints[i].i : u == 99);
        tb_wr_free(&w);
    }
}

static void
test_uint_goes_up_to_64_bits(void **state)
{
    static const uint64_t values[] = { 0,
                                       255,
                                       256,
                                       INT32_MAX,
                                       UINT32_MAX,
                                       INT64_MAX,
                                       (uint64_t)INT64_MAX + 1,
                                       UINT64_MAX };

    (void)state;
    for (size_t i = 0; i < LENGTH(values); i++) {
        struct tb_wr w = { 0 };
        uint64_t u = 99;
        int64_t v = 99;

        tb_put_uint(&w, values[i]);
        assert_true(tb_get_uint(tb_wr_term(&w), &u));
        assert_true(u == values[i]);
        assert_int_equal(tb_get_int(tb_wr_term(&w), &v),
                         values[i] <= INT64_MAX);
        assert_true(values[i] <= INT64_MAX || v == 99);
        tb_wr_free(&w);
    }
}

static void
test_int_is_got_however_it_is_written(void **state)
{
    int64_t v = 99;

    (void)state;
    assert_true(tb_get_int(TERM("\x62\0\0\0\x05"), &v) && v == 5);
    assert_true(tb_get_int(TERM("\x6e\x01\0\x05"), &v) && v == 5);
    assert_true(tb_get_int(TERM("\x6e\x01\x01\x05"), &v) && v == -5);
    assert_true(tb_get_int(TERM("\x6e\0\0"), &v) && v == 0);
    assert_true(tb_get_int(TERM("\x6e\x01\x01\0"), &v) && v == 0);
    assert_true(tb_get_int(TERM("\x6e\x0a\0\x07\0\0\0\0\0\0\0\0\0"), &v) &&
                v == 7);
}

static void
test_int_beyond_64_bits_is_none(void **state)
{
    static const char *const bigs[] = { "18446744073709551616",
                                        "-9223372036854775809",
                                        "1180591620717411303424" };
    int64_t v = 99;
    uint64_t u = 99;

    (void)state;
    for (size_t i = 0; i < LENGTH(bigs); i++) {
        assert_false(tb_get_int(tb_test_term(bigs[i]), &v));
        assert_false(tb_get_uint(tb_test_term(bigs[i]), &u));
    }
    assert_false(tb_get_int(TERM("\x46\x3f\xf0\0\0\0\0\0\0"), &v));
    assert_false(tb_get_int(tb_test_term("one"), &v));
    assert_false(tb_get_uint(tb_test_term("<<1>>"), &u));
    assert_true(v == 99 && u == 99);
}

/* ------------------------------------------------------------ floats -- */

static void
test_float_is_put_and_got(void **state)
{
    static const double floats[] = { 0.0, -0.0,    1.0,     -1.5,
                                     0.1, DBL_MAX, DBL_MIN, DBL_TRUE_MIN };

    (void)state;
    for (size_t i = 0; i < LENGTH(floats); i++) {
        struct tb_wr w = { 0 };
        double f = 99;

        tb_put_float(&w, floats[i]);
        assert_int_equal(w.len, 9);
        assert_true(tb_get_float(tb_wr_term(&w), &f));
        assert_memory_equal(&f, &floats[i], sizeof(f));
        tb_wr_free(&w);
    }
}

static void
test_float_of_text_is_got(void **state)
{
    static const struct {
        const char *text;
        double f;
    } texts[] = {
        { "1.50000000000000000000e+00", 1.5 },
        { "-1.50000000000000000000e-10", -1.5e-10 },
        { "0.00000000000000000000e+00", 0.0 },
        { "+12,5E2", 1250.0 },
        { "1.5000000000000000000000000e+01", 15.0 }, /* no room for a NUL */
        { "1.79769313486231570815e+308", DBL_MAX },
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(texts); i++) {
        char bytes[32] = { ETF_FLOAT };
        double f = 99;

        memcpy(bytes + 1, texts[i].text, strlen(texts[i].text));
        assert_true(tb_get_float(tb_test_bytes(bytes, sizeof(bytes)), &f));
        assert_memory_equal(&f, &texts[i].f, sizeof(f));
    }
}

static void
test_float_that_is_none_is_not_put(void **state)
{
    static const double none[] = { NAN, INFINITY, -INFINITY };
    double f = 99;

    (void)state;
    for (size_t i = 0; i < LENGTH(none); i++) {
        struct tb_wr w = { 0 };

        tb_put_float(&w, none[i]);
        assert_true(w.bad);
        assert_int_equal(w.len, 0);
        tb_wr_free(&w);
    }
    assert_false(tb_get_float(tb_test_term("1"), &f));
    assert_false(tb_get_float(tb_test_term("a"), &f));
    assert_true(f == 99);
}

/* ------------------------------------------------------------- texts -- */

static void
test_atom_is_put_and_got(void **state)
{
    char longest[4 * 255 + 1];
    struct tb_wr w = { 0 };
    struct tb_text text;

    (void)state;
    for (size_t i = 0; i < 255; i++)
        memcpy(longest + 4 * i, "\xf0\x9f\x98\x80", 5);
    tb_put_atom(&w, tb_text_of(""));
    assert_put(&w, "\x77\0");
    tb_put_atom(&w, tb_text_of("ok"));
    assert_put(&w, "\x77\x02ok");
    tb_put_atom(&w, tb_text_of("\xe6\x97\xa5"));
    assert_put(&w, "\x77\x03\xe6\x97\xa5");
    tb_put_atom(&w, (struct tb_text){ longest, 255 * 4 });
    assert_memory_equal(w.buf, "\x76\x03\xfc", 3);
    assert_true(tb_get_atom(tb_wr_term(&w), &text));
    assert_true(tb_text_is(text, longest));
    tb_wr_free(&w);
    tb_put_atom(&w, (struct tb_text){ longest, 63 * 4 });
    assert_memory_equal(w.buf, "\x77\xfc", 2);
    tb_wr_free(&w);
}

static void
test_atom_that_is_none_is_not_put(void **state)
{
    static char too_long[256];
    static const struct tb_text none[] = {
        { too_long, sizeof(too_long) },
        { "\xff", 1 },
        { "\xc3", 1 },
        { "\xc0\x80", 2 },
        { "\xed\xa0\x80", 3 },
    };

    (void)state;
    memset(too_long, 'a', sizeof(too_long));
    for (size_t i = 0; i < LENGTH(none); i++) {
        struct tb_wr w = { 0 };

        tb_put_atom(&w, none[i]);
        assert_true(w.bad);
        assert_int_equal(w.len, 0);
        tb_wr_free(&w);
    }
}

static void
test_atom_of_latin1_is_got_where_it_is_ascii(void **state)
{
    struct tb_text text = { "before", 6 };

    (void)state;
    assert_true(tb_get_atom(TERM("\x73\x02ok"), &text));
    assert_true(tb_text_is(text, "ok"));
    assert_true(tb_get_atom(TERM("\x64\0\x03yes"), &text));
    assert_true(tb_text_is(text, "yes"));
    assert_true(tb_get_atom(TERM("\x76\0\0"), &text));
    assert_true(tb_text_is(text, ""));
    text = tb_text_of("before");
    assert_false(tb_get_atom(TERM("\x73\x01\xe5"), &text));
    assert_false(tb_get_atom(TERM("\x64\0\x01\x80"), &text));
    assert_false(tb_get_atom(tb_test_term("\"ok\""), &text));
    assert_false(tb_get_atom(tb_test_term("<<\"ok\">>"), &text));
    assert_true(tb_text_is(text, "before"));
}

static void
test_bin_is_put_and_got(void **state)
{
    struct tb_wr w = { 0 };
    struct tb_text text;

    (void)state;
    tb_put_bin(&w, "a\0b", 3);
    assert_true(tb_get_bin(tb_wr_term(&w), &text));
    assert_ptr_equal(text.p, w.buf + 5);
    assert_int_equal(text.n, 3);
    assert_put(&w, "\x6d\0\0\0\x03"
                   "a\0b");
    tb_put_bin(&w, NULL, 0);
    assert_put(&w, "\x6d\0\0\0\0");
    text = tb_text_of("before");
    assert_false(tb_get_bin(TERM("\x4d\0\0\0\x01\x04\xf0"), &text));
    assert_false(tb_get_bin(tb_test_term("\"ok\""), &text));
    assert_true(tb_text_is(text, "before"));
}

static void
test_str_is_put_as_a_charlist(void **state)
{
    struct tb_wr w = { 0 };
    static char lots[70001];

    (void)state;
    tb_put_str(&w, "");
    assert_put(&w, "\x6a");
    tb_put_str(&w, "abc");
    assert_put(&w, "\x6b\0\x03"
                   "abc");
    tb_put_str(&w, "\xc3\xa5\xc3\xbf");
    assert_put(&w, "\x6b\0\x02\xe5\xff");
    tb_put_str(&w, "a\xc4\x80");
    assert_put(&w, "\x6c\0\0\0\x02\x61"
                   "a\x62\0\0\x01\0\x6a");
    tb_put_str(&w, "\xff");
    assert_put(&w, "\x6b\0\x01\xff");
    memset(lots, 'x', sizeof(lots) - 1);
    lots[65535] = '\0';
    tb_put_str(&w, lots);
    assert_int_equal(w.len, 3 + 65535);
    tb_wr_free(&w);
    lots[65535] = 'x';
    tb_put_str(&w, lots);
    assert_int_equal(w.len, 5 + 2 * 70000 + 1);
    assert_int_equal(tb_check_whole(w.buf, w.len, &(struct tb_term){ 0 }), 0);
    tb_wr_free(&w);
}

/* -------------------------------------------------------- containers -- */

static void
test_tuple_gives_its_elements(void **state)
{
    struct tb_term t;
    uint32_t n;

    (void)state;
    assert_true(tb_get_tuple(tb_test_term("{a, [b], \"c\"}"), &n, &t));
    assert_int_equal(n, 3);
    assert_term(t, "a");
    t = tb_get_next(t);
    assert_term(t, "[b]");
    t = tb_get_next(t);
    assert_term(t, "\"c\"");
    assert_true(tb_get_tuple(TERM("\x69\0\0\0\x01\x6a"), &n, &t));
    assert_int_equal(n, 1);
    assert_term(t, "[]");
    assert_true(tb_get_tuple(tb_test_term("{}"), &n, &t));
    assert_int_equal(n, 0);
    assert_int_equal(t.n, 0);
    assert_false(tb_get_tuple(tb_test_term("[a]"), &n, &t));
}

static void
test_map_gives_its_pairs(void **state)
{
    struct tb_term t;
    uint32_t n;

    (void)state;
    assert_true(tb_get_map(tb_test_term("#{a => 1}"), &n, &t));
    assert_int_equal(n, 1);
    assert_term(t, "a");
    t = tb_get_next(t);
    assert_term(t, "1");
    assert_true(tb_get_map(tb_test_term("#{}"), &n, &t));
    assert_int_equal(n, 0);
    assert_int_equal(t.n, 0);
    assert_false(tb_get_map(tb_test_term("{a, 1}"), &n, &t));
}

static void
assert_elems(struct tb_term list, const char *elems, const char *tail)
{
    struct tb_term want = tb_test_term(elems), item;
    struct tb_elems e;
    uint32_t n;

    assert_true(tb_is_list(list));
    assert_true(tb_elems_open(&e, list));
    assert_true(tb_get_tuple(want, &n, &want));
    for (uint32_t i = 0; i < n; i++) {
        want = i ? tb_get_next(want) : want;
        assert_int_equal(tb_elems_next(&e, &item), 1);
        assert_int_equal(tb_skip(item.p), item.n);
        assert_string_equal(tb_test_text(item), tb_test_text(want));
    }
    assert_int_equal(tb_elems_next(&e, &item), 0);
    assert_int_equal(tb_elems_next(&e, &item), 0);
    assert_term(e.rest, tail);
}

static void
test_elems_walks_every_kind_of_list(void **state)
{
    struct tb_elems e;

    (void)state;
    assert_elems(TERM("\x6a"), "{}", "[]");
    assert_elems(TERM("\x6b\0\0"), "{}", "[]");
    assert_elems(TERM("\x6b\0\x02\0\xff"), "{0, 255}", "[]");
    assert_elems(TERM("\x6c\0\0\0\x02\x61\x01\x68\0\x6a"), "{1, {}}", "[]");
    assert_elems(TERM("\x6c\0\0\0\x01\x61\x01\x61\x02"), "{1}", "2");
    assert_elems(TERM("\x6c\0\0\0\0\x6a"), "{}", "[]");
    assert_elems(TERM("\x6c\0\0\0\0\x61\x02"), "{}", "2");
    assert_false(tb_elems_open(&e, tb_test_term("{a}")));
    assert_false(tb_elems_open(&e, tb_test_term("<<\"a\">>")));
    assert_false(tb_is_list(tb_test_term("a")));
}

static void
test_elems_goes_on_in_the_tail(void **state)
{
    (void)state;
    assert_elems(TERM("\x6c\0\0\0\x01\x61\x01\x6c\0\0\0\x01\x61\x02\x6a"),
                 "{1, 2}", "[]");
    assert_elems(TERM("\x6c\0\0\0\x01\x61\x01\x6b\0\x02\x02\x03"), "{1, 2, 3}",
                 "[]");
    assert_elems(TERM("\x6c\0\0\0\x01\x61\x01\x6c\0\0\0\0\x6b\0\x01\x02"),
                 "{1, 2}", "[]");
    assert_elems(TERM("\x6c\0\0\0\x01\x61\x01\x6c\0\0\0\x01\x61\x02\x61\x03"),
                 "{1, 2}", "3");
    assert_elems(TERM("\x6c\0\0\0\x01\x61\x01\x6b\0\0"), "{1}", "[]");
}

static void
test_elems_walks_maps(void **state)
{
    struct tb_term item;
    struct tb_elems e;

    (void)state;
    assert_true(tb_elems_open_map(&e, tb_test_term("#{a => [1], {} => b}")));
    for (const char *const *want =
             (const char *const[]){ "a", "[1]", "{}", "b", NULL };
         *want; want++) {
        assert_int_equal(tb_elems_next(&e, &item), 1);
        assert_term(item, *want);
    }
    assert_int_equal(tb_elems_next(&e, &item), 0);
    assert_int_equal(tb_elems_next(&e, &item), 0);
    assert_true(tb_elems_open_map(&e, tb_test_term("#{}")));
    assert_int_equal(tb_elems_next(&e, &item), 0);
    assert_false(tb_elems_open_map(&e, tb_test_term("[{a, b}]")));
    assert_int_equal(tb_elems_next(&e, &item), 0);
}

/* ------------------------------------------------------------- chars -- */

static void
assert_chars(struct tb_term t, const char *want)
{
    struct tb_wr w = { 0 };

    tb_wr_str(&w, "<");
    assert_true(tb_get_chars(t, &w));
    assert_int_equal(w.len, 1 + strlen(want));
    assert_int_equal(w.buf[w.len], '\0');
    assert_string_equal((const char *)w.buf + 1, want);
    tb_wr_free(&w);
}

static void
test_chars_are_got_of_all_that_is_text(void **state)
{
    static const char *const same[] = { "abc",
                                        "\"abc\"",
                                        "<<\"abc\">>",
                                        "[97, 98, 99]",
                                        "[97, \"b\", [[99]]]",
                                        "[<<\"ab\">>, $c]",
                                        "[$a|<<\"bc\">>]",
                                        "[[[], <<>>], \"ab\", <<\"c\">>]" };

    (void)state;
    for (size_t i = 0; i < LENGTH(same); i++)
        assert_chars(tb_test_term(same[i]), "abc");
    assert_chars(tb_test_term("[]"), "");
    assert_chars(tb_test_term("<<>>"), "");
    assert_chars(tb_test_term("''"), "");
    assert_chars(tb_test_term("[16#7f, 16#80, 16#7ff, 16#800, 16#10000]"),
                 "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xf0\x90\x80\x80");
    assert_chars(TERM("\x6b\0\x01\xe5"), "\xc3\xa5");
}

static void
test_chars_are_not_got_of_anything_else(void **state)
{
    static const char *const none[] = {
        "1",       "{a}",         "#{}",         "[a]",     "[-1]",
        "[1.5]",   "[16#d800]",   "[16#110000]", "[$a|$b]", "[$a|b]",
        "<<255>>", "[<<16#c3>>]", "[$a, [{}]]",
    };
    struct tb_wr w = { 0 };

    (void)state;
    tb_wr_str(&w, "<");
    for (size_t i = 0; i < LENGTH(none); i++) {
        assert_false(tb_get_chars(tb_test_term(none[i]), &w));
        assert_int_equal(w.len, 1);
        assert_false(w.bad);
    }
    assert_false(tb_get_chars(TERM("\x73\x01\xe5"), &w));
    assert_false(tb_get_chars(TERM("\x4d\0\0\0\x01\x04\xf0"), &w));
    tb_wr_free(&w);
}

static void
test_chars_in_lists_too_deep_are_not_got(void **state)
{
    (void)state;
    for (unsigned depth = TB_MAX_NESTING; depth <= TB_MAX_NESTING + 1;
         depth++) {
        struct tb_wr list = { 0 }, text = { 0 };

        for (unsigned i = 0; i < depth - 1; i++)
            tb_put_list(&list, 1);
        tb_put_str(&list, "x");
        for (unsigned i = 0; i < depth - 1; i++)
            tb_put_nil(&list);
        assert_int_equal(tb_get_chars(tb_wr_term(&list), &text),
                         depth == TB_MAX_NESTING);
        tb_wr_free(&list);
        tb_wr_free(&text);
    }
}

/* ---------------------------------------------------------- recorded -- */

/* What a term is in C, written again; false where it has no such form. */
static bool
put_again(struct tb_wr *w, struct tb_term t)
{
    static const char *const patterns[] = { "X:int", "X:float", "X:atom",
                                            "X:pid", "X:ref",   "X:bin" };
    struct tb_val v[TB_MAX_HOLES];
    uint64_t u;

    for (size_t i = 0; i < LENGTH(patterns); i++)
        if (tb_match(patterns[i], t, v) == 1) {
            tb_put_val(w, &v[0]);
            return true;
        }
    if (!tb_get_uint(t, &u))
        return false;
    tb_put_uint(w, u);
    return true;
}

/* Pids and references are recorded with new tags only, whatever came in. */
static void
test_put_writes_as_a_node_does(void **state)
{
    struct tb_wr file = { 0 };
    struct tb_rd r = recorded_open(&file);
    const uint8_t *p;
    unsigned count = 0;
    size_t n;

    (void)state;
    while (recorded_next(&r, &p, &n)) {
        struct tb_wr w = { 0 };

        if (put_again(&w, (struct tb_term){ p, n })) {
            assert_false(w.bad);
            assert_int_equal(w.len, n);
            assert_memory_equal(w.buf, p, n);
            count++;
        }
        tb_wr_free(&w);
    }
    assert_true(count > 100);
    tb_wr_free(&file);
}

/* Containers with the texts that Erlang has for them. */
static void
test_put_writes_containers_as_a_node_does(void **state)
{
    struct tb_wr w = { 0 };

    (void)state;
    tb_put_tuple(&w, 0);
    assert_put(&w, "\x68\0");
    tb_put_tuple(&w, 255);
    assert_put(&w, "\x68\xff");
    tb_put_tuple(&w, 256);
    assert_put(&w, "\x69\0\0\x01\0");
    tb_put_list(&w, 1);
    tb_put_nil(&w);
    tb_put_nil(&w);
    assert_put(&w, "\x6c\0\0\0\x01\x6a\x6a");
    tb_put_map(&w, 1);
    assert_put(&w, "\x74\0\0\0\x01");
    tb_put_term(&w, tb_test_term("{}"));
    assert_put(&w, "\x68\0");
}

static void
test_val_of_no_type_is_not_put(void **state)
{
    struct tb_val none = { 0 };
    struct tb_wr w = { 0 };

    (void)state;
    tb_put_val(&w, &none);
    assert_true(w.bad);
    tb_wr_free(&w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_int_is_put_and_got_at_every_boundary),
        cmocka_unit_test(test_uint_goes_up_to_64_bits),
        cmocka_unit_test(test_int_is_got_however_it_is_written),
        cmocka_unit_test(test_int_beyond_64_bits_is_none),
        cmocka_unit_test(test_float_is_put_and_got),
        cmocka_unit_test(test_float_of_text_is_got),
        cmocka_unit_test(test_float_that_is_none_is_not_put),
        cmocka_unit_test(test_atom_is_put_and_got),
        cmocka_unit_test(test_atom_that_is_none_is_not_put),
        cmocka_unit_test(test_atom_of_latin1_is_got_where_it_is_ascii),
        cmocka_unit_test(test_bin_is_put_and_got),
        cmocka_unit_test(test_str_is_put_as_a_charlist),
        cmocka_unit_test(test_tuple_gives_its_elements),
        cmocka_unit_test(test_map_gives_its_pairs),
        cmocka_unit_test(test_elems_walks_every_kind_of_list),
        cmocka_unit_test(test_elems_goes_on_in_the_tail),
        cmocka_unit_test(test_elems_walks_maps),
        cmocka_unit_test(test_chars_are_got_of_all_that_is_text),
        cmocka_unit_test(test_chars_are_not_got_of_anything_else),
        cmocka_unit_test(test_chars_in_lists_too_deep_are_not_got),
        cmocka_unit_test(test_put_writes_as_a_node_does),
        cmocka_unit_test(test_put_writes_containers_as_a_node_does),
        cmocka_unit_test(test_val_of_no_type_is_not_put),
    };

    return cmocka_run_group_tests(tests, tb_test_atoms, tb_test_atoms_gone);
}
