/* test_phash2.c - tb_phash2 against values that real nodes gave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/wr.h"
#include "term/check.h"
#include "term/put.h"
#include "tiebeam.h"

#define PHASH2_1 (UINT32_C(1) << 27)

static size_t
from_hex(const char *hex, uint8_t *bytes, size_t max)
{
    size_t n = strlen(hex) / 2;

    assert_true(n <= max);
    for (size_t i = 0; i < n; i++) {
        unsigned v = 0;

        assert_int_equal(sscanf(hex + 2 * i, "%2x", &v), 1);
        bytes[i] = (uint8_t)v;
    }
    return n;
}

static uint32_t
hash_hex(const char *hex)
{
    uint8_t bytes[256];
    struct tb_term t;
    size_t n = from_hex(hex, bytes, sizeof(bytes));

    assert_int_equal(tb_check_whole(bytes, n, &t), 0);
    return tb_phash2(t, 0);
}

static void
test_vectors_agree_with_beam(void **state)
{
    static char line[32768];
    static uint8_t bytes[8192];
    FILE *f = fopen("test/term/phash2.tsv", "r");
    unsigned rows = 0;

    (void)state;
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof(line), f));
    while (fgets(line, sizeof(line), f)) {
        char *save = NULL, *name = strtok_r(line, "\t", &save);
        char *hex = strtok_r(NULL, "\t", &save);
        char *hash = strtok_r(NULL, "\t", &save);
        char *seven = strtok_r(NULL, "\t", &save);
        char *whole = strtok_r(NULL, "\t\n", &save);
        struct tb_term t;
        size_t n;

        assert_non_null(whole);
        n = from_hex(hex, bytes, sizeof(bytes));
        assert_int_equal(bytes[0], 131);
        assert_int_equal(tb_check_whole(bytes + 1, n - 1, &t), 0);
        if (tb_phash2(t, 0) != strtoul(whole, NULL, 10))
            fail_msg("%s: %u and not %s", name, tb_phash2(t, 0), whole);
        assert_int_equal(tb_phash2(t, PHASH2_1), strtoul(hash, NULL, 10));
        assert_int_equal(tb_phash2(t, 7), strtoul(seven, NULL, 10));
        rows++;
    }
    fclose(f);
    assert_int_equal(rows, 111);
}

static void
test_encoding_does_not_matter(void **state)
{
    static const char one[32] = "c1.00000000000000000000e+00";

    (void)state;
    /* 5: INTEGER, SMALL_BIG and LARGE_BIG with zeros on top */
    assert_int_equal(hash_hex("6105"), hash_hex("6200000005"));
    assert_int_equal(hash_hex("6105"), hash_hex("6e02000500"));
    assert_int_equal(hash_hex("6105"), hash_hex("6f0000000300050000"));
    /* -0 and 0; -5 with any sign byte */
    assert_int_equal(hash_hex("6100"), hash_hex("6e010100"));
    assert_int_equal(hash_hex("6100"), hash_hex("6e0000"));
    assert_int_equal(hash_hex("62fffffffb"), hash_hex("6e010205"));
    /* -0.0 and 0.0; 1.0 as text */
    assert_int_equal(hash_hex("468000000000000000"),
                     hash_hex("460000000000000000"));
    assert_int_equal(
        hash_hex("463ff0000000000000"),
        tb_phash2((struct tb_term){ (const uint8_t *)one, 32 }, 0));
    /* an e with an acute accent in Latin-1 and in UTF-8 */
    assert_int_equal(hash_hex("7301e9"), hash_hex("7702c3a9"));
    assert_int_equal(hash_hex("640001e9"), hash_hex("760002c3a9"));
    /* "abcde" as STRING, as LIST, and in parts */
    assert_int_equal(hash_hex("6b00056162636465"),
                     hash_hex("6c00000005616161626163616461656a"));
    assert_int_equal(hash_hex("6b00056162636465"),
                     hash_hex("6c0000000161616b000462636465"));
    assert_int_equal(
        hash_hex("6b00056162636465"),
        hash_hex("6c0000000161616c000000046e0100626200000063616461656a"));
    assert_int_equal(hash_hex("6a"), hash_hex("6b0000"));
    assert_int_equal(hash_hex("6105"), hash_hex("6c000000006105"));
}

static void
test_old_identifiers_hash_as_new(void **state)
{
    (void)state;
    assert_int_equal(hash_hex("58770178000000010000000200000003"),
                     hash_hex("67730178000000010000000203"));
    assert_int_equal(hash_hex("597701780000000900000003"),
                     hash_hex("667301780000000903"));
    assert_int_equal(hash_hex("597701780000000900000003"),
                     hash_hex("78770178000000000000000900000003"));
    assert_int_equal(hash_hex("5a00017701780000000300000007"),
                     hash_hex("65640001780000000703"));
    assert_int_equal(hash_hex("5a00017701780000000300000007"),
                     hash_hex("720001640001780300000007"));
}

static void
test_map_order_does_not_matter(void **state)
{
    (void)state;
    assert_int_equal(hash_hex("740000000277016161017701626102"),
                     hash_hex("740000000277016261027701616101"));
}

enum nesting { TUPLES, LISTS, MAPS, IMPROPER };

static uint32_t
hash_nested(enum nesting kind, size_t depth)
{
    struct tb_wr w = { 0 };
    struct tb_term t;
    uint32_t hash;

    for (size_t i = 0; i < depth; i++) {
        if (kind == TUPLES) {
            tb_put_tuple(&w, 2);
        } else if (kind == LISTS) {
            tb_put_list(&w, 1);
        } else if (kind == MAPS) {
            tb_put_map(&w, 1);
            tb_put_int(&w, 1);
        } else {
            tb_put_list(&w, 1);
            tb_put_int(&w, 1);
        }
    }
    tb_put_int(&w, 7);
    for (size_t i = 0; i < depth && (kind == TUPLES || kind == LISTS); i++)
        tb_put_nil(&w);
    assert_int_equal(tb_check_whole(w.buf, w.len, &t), 0);
    hash = tb_phash2(t, PHASH2_1);
    tb_wr_free(&w);
    return hash;
}

static void
test_deep_term_needs_no_stack(void **state)
{
    (void)state;
    /* erlang:phash2 of the same terms, OTP 25 */
    assert_int_equal(hash_nested(TUPLES, 1000000), 116837477);
    assert_int_equal(hash_nested(LISTS, 1000000), 6363662);
    assert_int_equal(hash_nested(MAPS, 1000000), 60067107);
    assert_int_equal(hash_nested(IMPROPER, 1000000), 17523899);
}

static void
test_unchecked_bytes_do_no_harm(void **state)
{
    static const uint8_t cut[] = { 108, 255, 255, 255, 255, 104, 2, 109, 0 };

    (void)state;
    for (size_t n = 0; n <= sizeof(cut); n++)
        tb_phash2((struct tb_term){ cut, n }, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors_agree_with_beam),
        cmocka_unit_test(test_encoding_does_not_matter),
        cmocka_unit_test(test_old_identifiers_hash_as_new),
        cmocka_unit_test(test_map_order_does_not_matter),
        cmocka_unit_test(test_deep_term_needs_no_stack),
        cmocka_unit_test(test_unchecked_bytes_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
