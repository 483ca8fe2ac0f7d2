/* test_print.c - terms as text, exactly as io_lib:format("~tw") has them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/wr.h"
#include "term/check.h"
#include "term/etf.h"
#include "term/put.h"
#include "tiebeam.h"

static void
check_print(struct tb_term t, bool pretty, const char *expected)
{
    struct tb_wr w = { 0 };

    assert_int_equal(pretty ? tb_print_pretty(&w, t) : tb_print(&w, t), 0);
    tb_wr_u8(&w, 0);
    assert_string_equal((char *)w.buf, expected);
    tb_wr_free(&w);
}

static void
check_bytes(const void *p, size_t n, const char *expected)
{
    struct tb_term t;

    assert_int_equal(tb_check_whole(p, n, &t), 0);
    check_print(t, false, expected);
}

#define CHECK_BYTES(bytes, expected)                                           \
    check_bytes(bytes, sizeof(bytes) - 1, expected)

static void
check_text(const char *text, const char *plain, const char *pretty)
{
    struct tb_wr w = { 0 };

    assert_int_equal(tb_parse(&w, text, strlen(text), NULL), 0);
    check_print(tb_wr_term(&w), false, plain);
    check_print(tb_wr_term(&w), true, pretty);
    tb_wr_free(&w);
}

static void
test_text_prints_as_in_erlang(void **state)
{
    static const char *const same[] = {
        "0",
        "-1",
        "255",
        "134217728",
        "-123456789012345678901234567890",
        "a",
        "aB@_9",
        "'A'",
        "''",
        "'a b'",
        "'a\\'b'",
        "'\\n\\000\\d\\\\'",
        "'end'",
        "'maybe'",
        "'else'",
        "ending",
        "'try when'",
        "'xor \\000\\000\\000'",
        "\303\237",
        "'\303\267'",
        "'\\200\\237'",
        "'\360\237\230\200'",
        "{}",
        "{a,{b},[c]}",
        "[]",
        "[1,2|3]",
        "[a|b]",
        "#{}",
        "#{a => 1,#{} => []}",
        "<<>>",
        "<<1,2,255>>",
        "fun lists:map/2",
        "fun 'A':'b c'/0",
        "1.0",
        "-0.0",
        "0.1",
        "1.0e3",
        "100.0",
        "1.0e-5",
        "0.0001",
        "5.0e-324",
        "1.7976931348623157e308",
        "9007199254740991.0",
        "9.007199254740992e15",
        "5.684341886080802e-14",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
        check_text(same[i], same[i], same[i]);
}

static void
test_pretty_shows_texts(void **state)
{
    (void)state;
    check_text("\"abc\"", "[97,98,99]", "\"abc\"");
    check_text("\"a\\n\\\"\\e\"", "[97,10,34,27]", "\"a\\n\\\"\\e\"");
    check_text("\"a\\0\"", "[97,0]", "[97,0]");
    check_text("[97|b]", "[97|b]", "[97|b]");
    check_text("[97,b]", "[97,b]", "[97,b]");
    check_text("\"\\x{65e5}\"", "[26085]", "\"\346\227\245\"");
    check_text("<<\"ab\">>", "<<97,98>>", "<<\"ab\">>");
    check_text("<<\"\303\244\"/utf8>>", "<<195,164>>", "<<\"\303\244\"/utf8>>");
    check_text("<<228>>", "<<228>>", "<<228>>");
    check_text("{\"a\",[\"b\"]}", "{[97],[[98]]}", "{\"a\",[\"b\"]}");
}

static void
test_identifiers_show_their_node(void **state)
{
    (void)state;
    CHECK_BYTES("\x58w\x03x@y\0\0\0\x5a\0\0\0\x01\0\0\0\x05", "<x@y.90.1>");
    CHECK_BYTES("gw\x03x@y\0\0\0\x5a\0\0\0\x01\x03", "<x@y.90.1>");
    CHECK_BYTES("\x59w\x03x@y\0\0\0\x09\0\0\0\x05", "#Port<x@y.9>");
    CHECK_BYTES("xw\x03x@y\0\0\0\x01\0\0\0\0\0\0\0\x05",
                "#Port<x@y.4294967296>");
    CHECK_BYTES("Z\0\x03w\x03x@y\0\0\0\x05\0\0\0\x03\0\0\0\x02\0\0\0\x01",
                "#Ref<x@y.1.2.3>");
    CHECK_BYTES("ew\x03x@y\0\0\0\x07\x05", "#Ref<x@y.7>");
    CHECK_BYTES("r\0\x01w\x03x@y\x05\0\0\0\x07", "#Ref<x@y.7>");
}

static void
test_odd_encodings_print_alike(void **state)
{
    (void)state;
    CHECK_BYTES("b\0\0\0\x05", "5");
    CHECK_BYTES("n\x02\x01\x05\0", "-5");
    CHECK_BYTES("n\x02\x01\0\0", "0");
    CHECK_BYTES("o\0\0\0\x05\0\0\0\0\0\x01", "4294967296");
    CHECK_BYTES("s\x02\x61\xe9", "a\303\251");
    CHECK_BYTES("d\0\x01\xd7", "'\303\227'");
    CHECK_BYTES("c1.50000000000000000000e+00\0\0\0\0\0", "1.5");
    CHECK_BYTES("k\0\x02hi", "[104,105]");
    CHECK_BYTES("k\0\0", "[]");
    CHECK_BYTES("l\0\0\0\x01\x61\x01k\0\x02\x02\x03", "[1,2,3]");
    CHECK_BYTES("l\0\0\0\x01\x61\x01l\0\0\0\x01\x61\x02\x61\x03", "[1,2|3]");
    CHECK_BYTES("l\0\0\0\0l\0\0\0\0\x61\x07", "7");
    CHECK_BYTES("m\0\0\0\x01\x07", "<<7>>");
    CHECK_BYTES("M\0\0\0\x02\x03\xff\xa0", "<<255,5:3>>");
    CHECK_BYTES("M\0\0\0\x01\x08\xff", "<<255>>");
    CHECK_BYTES("C\0\0\0\x02\0w\1mw\1nw\1aw\1b\x61\x01\x61\x02",
                "#m:n{a = 1,b = 2}");
    CHECK_BYTES("p\0\0\0\x35\x01"
                "0123456789abcdef"
                "\0\0\0\x07\0\0\0\x01w\x01m\x61\x07\x62\0\x01\0\0"
                "\x58w\x01x\0\0\0\x01\0\0\0\x02\0\0\0\x03\x6a",
                "#Fun<m.7.65536>");
}

static void
test_wide_integer_prints_in_base_16(void **state)
{
    struct tb_wr w = { 0 }, text = { 0 };

    (void)state;
    tb_wr_u8(&w, ETF_LARGE_BIG);
    tb_wr_u32(&w, 100000);
    tb_wr_u8(&w, 1);
    for (int i = 0; i < 100000; i++)
        tb_wr_u8(&w, 0x0b);
    assert_int_equal(tb_print(&text, tb_wr_term(&w)), 0);
    assert_int_equal(text.len, 4 + 2 * 100000 - 1);
    assert_memory_equal(text.buf, "-16#B0B0B", 9);
    tb_wr_free(&w);
    tb_wr_free(&text);
}

static void
test_deep_term_is_cut(void **state)
{
    struct tb_wr w = { 0 }, text = { 0 };

    (void)state;
    for (int i = 0; i < 1000000; i++)
        tb_put_tuple(&w, 1);
    tb_put_nil(&w);
    assert_int_equal(tb_print(&text, tb_wr_term(&w)), 0);
    assert_int_equal(text.len, 2 * TB_MAX_PRINT_DEPTH + 3);
    assert_memory_equal(text.buf + TB_MAX_PRINT_DEPTH, "...}", 4);
    tb_wr_free(&w);
    tb_wr_free(&text);
}

static void
test_output_is_limited(void **state)
{
    struct tb_wr w = { 0 }, text = { .max = 64 };

    (void)state;
    tb_put_bin(&w, "", 0);
    w.len = 0;
    tb_put_list(&w, 100000);
    for (int i = 0; i < 100000; i++)
        tb_put_int(&w, i);
    tb_put_nil(&w);
    assert_int_equal(tb_print(&text, tb_wr_term(&w)), -TB_ELIMIT);
    assert_true(text.len <= 64);
    tb_wr_free(&text);

    for (unsigned long n = 1; n < 12; n++) {
        tb_mem_fail_after(n);
        assert_int_equal(tb_print(&text, tb_wr_term(&w)), -TB_ELIMIT);
        tb_mem_fail_after(0);
        tb_wr_free(&text);
    }
    tb_wr_free(&w);
}

static void
test_unchecked_bytes_do_no_harm(void **state)
{
    static const uint8_t bytes[] = "\x74\0\0\0\x01l\0\0\0\x02k\0\x02hi"
                                   "m\0\0\0\x05"
                                   "abcdefgh";

    (void)state;
    for (size_t n = 0; n < sizeof(bytes) - 1; n++) {
        struct tb_wr w = { 0 };
        uint8_t *copy = malloc(n ? n : 1);

        memcpy(copy, bytes, n);
        assert_int_equal(tb_print_pretty(&w, (struct tb_term){ copy, n }),
                         -TB_EBADTERM);
        free(copy);
        tb_wr_free(&w);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_prints_as_in_erlang),
        cmocka_unit_test(test_pretty_shows_texts),
        cmocka_unit_test(test_identifiers_show_their_node),
        cmocka_unit_test(test_odd_encodings_print_alike),
        cmocka_unit_test(test_wide_integer_prints_in_base_16),
        cmocka_unit_test(test_deep_term_is_cut),
        cmocka_unit_test(test_output_is_limited),
        cmocka_unit_test(test_unchecked_bytes_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
