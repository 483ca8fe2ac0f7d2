/* test_keys.c - maps with a key twice, in whatever encoding, and those that
 * only look so. What is equal was asked of a BEAM. */
#include <string.h>

#include "base/limits.h"
#include "base/wr.h"
#include "tb_test.h"
#include "term/check.h"
#include "term/etf.h"

struct bytes {
    const char *p;
    size_t n;
};

/* clang-format off */
#define B(s)  { s, sizeof(s) - 1 }
#define NODE  "w\3a@b"
#define U32(n) "\0\0\0" n
#define FUN(uniq, old_index, old_uniq, pid, index, arity)                      \
    B("p" U32("\x3b") arity uniq U32(index) U32("\1") "w\1m" "a" old_index     \
      "b" U32(old_uniq) "X" NODE U32(pid) U32("\0") U32("\1") "a\7")
#define MD5   "0123456789abcdef"
#define MD5_  "0123456789abcdeF"

static const struct {
    struct bytes a, b;
    bool equal;
} pairs[] = {
    { B("a\5"), B("b" U32("\5")), true },
    { B("a\5"), B("n\1\0\5"), true },
    { B("a\5"), B("o" U32("\3") "\0\5\0\0"), true },
    { B("b\xff\xff\xff\xff"), B("n\1\1\1"), true },
    { B("b\xff\xff\xff\xff"), B("n\1\7\1"), true },
    { B("b\xff\xff\xff\xff"), B("n\1\0\1"), false },
    { B("a\0"), B("n\1\1\0"), true },
    { B("a\0"), B("n\0\0"), true },
    { B("n\x9\0\1\2\3\4\5\6\7\x8\x9"), B("o" U32("\xa") "\0\1\2\3\4\5\6\7\x8\x9\0"), true },
    { B("n\x9\0\1\2\3\4\5\6\7\x8\x9"), B("n\x9\1\1\2\3\4\5\6\7\x8\x9"), false },
    { B("a\5"), B("a\6"), false },
    { B("a\1"), B("F\x3f\xf0\0\0\0\0\0\0"), false },
    { B("F\0\0\0\0\0\0\0\0"), B("F\x80\0\0\0\0\0\0\0"), false },
    { B("F\x3f\xf8\0\0\0\0\0\0"), B("c1.50000000000000000000e+00\0\0\0\0\0"), true },
    { B("w\1a"), B("d\0\1a"), true },
    { B("w\1a"), B("s\1a"), true },
    { B("w\1a"), B("v\0\1a"), true },
    { B("w\2\xc3\xa9"), B("s\1\xe9"), true },
    { B("w\1a"), B("w\1b"), false },
    { B("w\0"), B("j"), false },
    { B("w\1a"), B("m" U32("\1") "a"), false },
    { B("k\0\2\1\2"), B("l" U32("\2") "a\1a\2j"), true },
    { B("k\0\2\1\2"), B("l" U32("\1") "a\1k\0\1\2"), true },
    { B("l" U32("\2") "a\1a\2j"), B("l" U32("\1") "a\1l" U32("\1") "a\2j"), true },
    { B("l" U32("\2") "a\1a\2j"), B("l" U32("\1") "a\1l" U32("\0") "l" U32("\1") "a\2j"), true },
    { B("l" U32("\2") "a\1a\2a\3"), B("l" U32("\1") "a\1l" U32("\1") "a\2a\3"), true },
    { B("l" U32("\2") "a\1a\2a\3"), B("l" U32("\3") "a\1a\2a\3j"), false },
    { B("l" U32("\2") "a\1a\2j"), B("l" U32("\2") "a\2a\1j"), false },
    { B("l" U32("\2") "a\1a\2j"), B("l" U32("\1") "a\1l" U32("\1") "l" U32("\1") "a\2jj"), false },
    { B("l" U32("\0") "a\1"), B("a\1"), true },
    { B("l" U32("\0") "j"), B("j"), true },
    { B("k\0\0"), B("j"), true },
    { B("l" U32("\0") "k\0\1\7"), B("k\0\1\7"), true },
    { B("h\1a\1"), B("i" U32("\1") "a\1"), true },
    { B("h\1a\1"), B("h\1b" U32("\1")), true },
    { B("h\1a\1"), B("h\2a\1a\1"), false },
    { B("h\2h\1a\1a\2"), B("h\2a\1h\1a\2"), false },
    { B("h\0"), B("j"), false },
    { B("h\1a\1"), B("l" U32("\1") "a\1j"), false },
    { B("t" U32("\2") "a\1a\2a\3a\4"), B("t" U32("\2") "a\3a\4a\1a\2"), true },
    { B("t" U32("\2") "a\1a\2a\3a\4"), B("t" U32("\2") "a\1a\4a\3a\2"), false },
    { B("t" U32("\1") "a\1a\2"), B("t" U32("\1") "a\1a\3"), false },
    { B("t" U32("\0")), B("t" U32("\0")), true },
    { B("t" U32("\0")), B("t" U32("\1") "a\1a\2"), false },
    { B("m" U32("\1") "\7"), B("M" U32("\1") "\x8\7"), true },
    { B("M" U32("\1") "\4\x70"), B("M" U32("\1") "\4\x7f"), true },
    { B("M" U32("\1") "\4\x70"), B("M" U32("\1") "\3\x70"), false },
    { B("m" U32("\0")), B("j"), false },
    { B("X" NODE U32("\1") U32("\0") U32("\1")), B("g" NODE U32("\1") U32("\0") "\1"), true },
    { B("X" NODE U32("\1") U32("\0") U32("\1")), B("X" "d\0\3a@b" U32("\1") U32("\0") U32("\1")), true },
    { B("X" NODE U32("\1") U32("\0") U32("\1")), B("X" NODE U32("\1") U32("\0") U32("\2")), false },
    { B("X" NODE U32("\1") U32("\0") U32("\1")), B("X" NODE U32("\1") U32("\1") U32("\1")), false },
    { B("Y" NODE U32("\1") U32("\1")), B("x" NODE U32("\0") U32("\1") U32("\1")), true },
    { B("Y" NODE U32("\1") U32("\1")), B("f" NODE U32("\1") "\1"), true },
    { B("Y" NODE U32("\1") U32("\1")), B("Y" NODE U32("\2") U32("\1")), false },
    { B("Z\0\1" NODE U32("\1") U32("\5")), B("e" NODE U32("\5") "\1"), true },
    { B("Z\0\2" NODE U32("\1") U32("\5") U32("\6")), B("r\0\2" NODE "\1" U32("\5") U32("\6")), true },
    { B("Z\0\2" NODE U32("\1") U32("\5") U32("\0")), B("Z\0\1" NODE U32("\1") U32("\5")), true },
    { B("Z\0\2" NODE U32("\1") U32("\5") U32("\6")), B("Z\0\1" NODE U32("\1") U32("\5")), false },
    { B("q" "w\1m" "w\1f" "a\1"), B("q" "d\0\1m" "w\1f" "a\1"), true },
    { B("q" "w\1m" "w\1f" "a\1"), B("q" "w\1m" "w\1f" "a\2"), false },
    { FUN(MD5, "\1", "\1", "\1", "\1", "\1"), FUN(MD5, "\1", "\1", "\2", "\1", "\1"), true },
    { FUN(MD5, "\1", "\1", "\1", "\1", "\1"), FUN(MD5_, "\2", "\1", "\1", "\1", "\2"), true },
    { FUN(MD5, "\1", "\1", "\1", "\1", "\1"), FUN(MD5, "\1", "\2", "\1", "\1", "\1"), false },
    { FUN(MD5, "\1", "\1", "\1", "\1", "\1"), FUN(MD5, "\1", "\1", "\1", "\2", "\1"), false },
    { B("C" U32("\1") "\0" "w\1m" "w\1r" "w\1f" "a\1"), B("C" U32("\1") "\0" "d\0\1m" "w\1r" "w\1f" "b" U32("\1")), true },
    { B("C" U32("\1") "\0" "w\1m" "w\1r" "w\1f" "a\1"), B("C" U32("\1") "\0" "w\1m" "w\1r" "w\1g" "a\1"), false },
};
/* clang-format on */

static void
put_map(struct tb_wr *w, uint32_t n)
{
    tb_wr_u8(w, ETF_MAP);
    tb_wr_u32(w, n);
}

static int
check(struct tb_wr *w)
{
    struct tb_term t;
    int rc;

    assert_false(w->bad);
    rc = tb_check_whole(w->buf, w->len, &t);
    tb_wr_free(w);
    return rc;
}

static void
put(struct tb_wr *w, struct bytes b)
{
    tb_wr_bytes(w, b.p, b.n);
}

/* #{A => 0, B => 0}, and with other keys before, between, behind. */
static int
check_keys(struct bytes a, struct bytes b, uint32_t others)
{
    struct tb_wr w = { 0 };

    put_map(&w, 2 + 3 * others);
    for (uint32_t i = 0; i < 3 * others; i++) {
        if (i == others) {
            put(&w, a);
            tb_wr_bytes(&w, "a", 2);
        }
        tb_wr_u8(&w, ETF_INTEGER);
        tb_wr_u32(&w, 1000 + i);
        tb_wr_u8(&w, ETF_NIL);
        if (i == 2 * others) {
            put(&w, b);
            tb_wr_bytes(&w, "a", 2);
        }
    }
    if (others == 0) {
        put(&w, a);
        tb_wr_bytes(&w, "a", 2);
        put(&w, b);
        tb_wr_bytes(&w, "a", 2);
    }
    return check(&w);
}

static void
expect(size_t i, bool equal, int rc)
{
    if (rc != (equal ? -TB_EBADTERM : 0))
        fail_msg("pair %zu: %s", i, tb_strerror(rc));
}

static void
test_keys_are_equal_as_a_beam_has_it(void **state)
{
    static const uint32_t others[] = { 0, 1, 5, 100 };

    (void)state;
    for (size_t i = 0; i < LENGTH(pairs); i++)
        for (size_t k = 0; k < LENGTH(others); k++) {
            expect(i, pairs[i].equal,
                   check_keys(pairs[i].a, pairs[i].b, others[k]));
            expect(i, pairs[i].equal,
                   check_keys(pairs[i].b, pairs[i].a, others[k]));
            expect(i, true, check_keys(pairs[i].a, pairs[i].a, others[k]));
            expect(i, true, check_keys(pairs[i].b, pairs[i].b, others[k]));
        }
}

static bool
have_one_key(struct bytes a, struct bytes b)
{
    uint8_t ka[TB_KEY_BYTES], kb[TB_KEY_BYTES];

    tb_key((struct tb_term){ (const uint8_t *)a.p, a.n }, ka);
    tb_key((struct tb_term){ (const uint8_t *)b.p, b.n }, kb);
    return memcmp(ka, kb, sizeof(ka)) == 0;
}

static void
test_keys_of_terms_for_tb_map(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(pairs); i++) {
        expect(i, pairs[i].equal,
               have_one_key(pairs[i].a, pairs[i].b) ? -TB_EBADTERM : 0);
        assert_true(have_one_key(pairs[i].a, pairs[i].a));
    }
}

/* {k, [Key | x]} and #{Key => k} as keys, and a map as a value. */
static void
put_inside(struct tb_wr *w, struct bytes key, int how)
{
    static const struct bytes open[] = { B("h\2a\1l" U32("\1")),
                                         B("t" U32("\1")),
                                         B("t" U32("\1") "a\1") };
    static const struct bytes close[] = { B("w\1x"), B("a\1"), B("") };

    put(w, open[how]);
    put(w, key);
    put(w, close[how]);
}

static void
test_keys_are_equal_inside_of_keys(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(pairs); i++)
        for (int how = 0; how < 3; how++) {
            struct tb_wr w = { 0 };

            put_map(&w, 2);
            put_inside(&w, pairs[i].a, how);
            tb_wr_u8(&w, ETF_NIL);
            put_inside(&w, pairs[i].b, how);
            tb_wr_u8(&w, ETF_NIL);
            expect(i, pairs[i].equal, check(&w));
        }
}

/* Wherever the map is that has a key twice. */
static void
test_keys_are_looked_at_everywhere(void **state)
{
    static const struct bytes twice = B("t" U32("\2") "a\1a\2b" U32("\1") "j");
    static const struct bytes once = B("t" U32("\2") "a\1a\2a\2a\1");
    static const struct {
        struct bytes before, behind;
    } around[] = {
        { B(""), B("") },
        { B("h\2a\1"), B("") },
        { B("l" U32("\2") "a\1"), B("j") },
        { B("l" U32("\1") "a\1"), B("") },
        { B("t" U32("\2") "a\1"), B("a\2a\3") },
        { B("t" U32("\2") "a\1a\2a\3"), B("") },
        { B("t" U32("\2") "a\1a\2"), B("a\3") },
        { B("t" U32("\2") "a\1a\2h\2a\1"), B("a\3") },
        { B("t" U32("\2") "a\1a\2l" U32("\2") "a\1"), B("ja\3") },
        { B("t" U32("\2") "a\1a\2t" U32("\2") "a\1a\2h\1"), B("a\1a\3") },
        { B("t" U32("\2") "a\1a\2t" U32("\2") "a\1a\2a\3"), B("a\3") },
        { B("t" U32("\1")), B("j") },
        { B("t" U32("\1") "a\1"), B("") },
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(around); i++)
        for (int bad = 0; bad < 2; bad++) {
            struct tb_wr w = { 0 };

            put(&w, around[i].before);
            put(&w, bad ? twice : once);
            put(&w, around[i].behind);
            expect(i, bad, check(&w));
        }
}

/* Each of n keys once, or the last as the first. */
static int
check_many(uint32_t n, bool twice)
{
    struct tb_wr w = { 0 };

    put_map(&w, n);
    for (uint32_t i = 0; i < n; i++) {
        tb_wr_u8(&w, ETF_INTEGER);
        tb_wr_u32(&w, twice && i == n - 1 ? 0 : i * 7);
        tb_wr_u8(&w, ETF_NIL);
    }
    return check(&w);
}

static void
test_keys_of_many_sizes(void **state)
{
    static const uint32_t large[] = { 4095,  4096,  4097,   65535,
                                      65536, 65537, 100000, 1000000 };

    (void)state;
    for (uint32_t n = 2; n < 200; n++) {
        assert_int_equal(check_many(n, false), 0);
        assert_int_equal(check_many(n, true), -TB_EBADTERM);
    }
    for (size_t i = 0; i < LENGTH(large); i++) {
        assert_int_equal(check_many(large[i], false), 0);
        assert_int_equal(check_many(large[i], true), -TB_EBADTERM);
    }
}

/* All the same, by the million: found without room for all. */
static void
test_keys_all_the_same(void **state)
{
    struct tb_wr w = { 0 };
    uint32_t n = 10000000;
    uint8_t *p;

    (void)state;
    put_map(&w, n);
    p = tb_wr_room(&w, (size_t)3 * n);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++)
        memcpy(p + 3 * i, "a\1j", 3);
    tb_wr_add(&w, (size_t)3 * n);
    assert_int_equal(check(&w), -TB_EBADTERM);
}

static int
check_deep(struct bytes open, struct bytes inside, struct bytes close,
           uint32_t levels)
{
    struct tb_wr w = { 0 };

    for (uint32_t i = 0; i < levels; i++)
        put(&w, open);
    put(&w, inside);
    for (uint32_t i = 0; i < levels; i++)
        put(&w, close);
    return check(&w);
}

static const struct bytes nothing = B("");

static void
test_keys_however_deep(void **state)
{
    static const struct bytes last = B("t" U32("\2") "a\1a\1a\2");
    static const struct bytes first = B("t" U32("\2") "a\1");
    static const struct bytes key = B("t" U32("\2"));
    static const struct bytes one = B("a\1"), map = B("t" U32("\0"));
    static const struct bytes other_pair = B("a\2a\1");
    static const struct bytes value = B("a\1a\2a\1");
    static const struct bytes same_key = B("a\1a\1");

    (void)state;
    assert_int_equal(check_deep(last, one, nothing, 100000), 0);
    assert_int_equal(check_deep(first, one, other_pair, 100000), 0);
    assert_int_equal(check_deep(first, one, same_key, 100000), -TB_EBADTERM);
    assert_int_equal(check_deep(key, map, value, 100000), 0);
    assert_int_equal(check_deep(first, one, other_pair, 2 * TB_MAX_MAP_DEPTH),
                     -TB_ELIMIT);
    assert_int_equal(check_deep(key, map, value, 2 * TB_MAX_MAP_DEPTH),
                     -TB_ELIMIT);
}

/* Only maps and what is in keys counts as depth. */
static void
test_keys_in_a_deep_tuple(void **state)
{
    static const struct bytes tuple = B("h\1");
    static const struct bytes good = B("t" U32("\2") "a\1a\1a\2a\1");
    static const struct bytes bad = B("t" U32("\2") "a\1a\1a\1a\1");

    (void)state;
    assert_int_equal(check_deep(tuple, good, nothing, 2 * TB_MAX_MAP_DEPTH), 0);
    assert_int_equal(check_deep(tuple, bad, nothing, 2 * TB_MAX_MAP_DEPTH),
                     -TB_EBADTERM);
}

/* A map of many keys needs room for them; without it the term is refused. */
static void
test_keys_without_memory(void **state)
{
    struct tb_wr w = { 0 };
    struct tb_term t;
    int rc = 0;

    (void)state;
    put_map(&w, 1000);
    for (uint32_t i = 0; i < 1000; i++) {
        tb_wr_u8(&w, ETF_INTEGER);
        tb_wr_u32(&w, i);
        tb_wr_u8(&w, ETF_NIL);
    }
    TB_FAIL_EACH_ALLOC(4, rc += tb_check_whole(w.buf, w.len, &t));
    assert_int_equal(rc, 4 * -TB_ELIMIT);
    assert_int_equal(tb_check_whole(w.buf, w.len, &t), 0);
    tb_wr_free(&w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_are_equal_as_a_beam_has_it),
        cmocka_unit_test(test_keys_of_terms_for_tb_map),
        cmocka_unit_test(test_keys_are_equal_inside_of_keys),
        cmocka_unit_test(test_keys_are_looked_at_everywhere),
        cmocka_unit_test(test_keys_of_many_sizes),
        cmocka_unit_test(test_keys_all_the_same),
        cmocka_unit_test(test_keys_however_deep),
        cmocka_unit_test(test_keys_in_a_deep_tuple),
        cmocka_unit_test(test_keys_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
