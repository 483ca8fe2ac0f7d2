/* test_check.c - what passes the checker, and all that does not. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "tb_test.h"
#include "term/check.h"
#include "term/etf.h"
#include "term/ident.h"
#include "term/recorded.h"

#define BYTES(s) s, sizeof(s) - 1

#define NODE                                                                   \
    "\x77\x03"                                                                 \
    "a@b"
#define ZERO16    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define PID       "\x58" NODE "\0\0\0\x01\0\0\0\x02\0\0\0\x03"
#define FUN(size) "\x70" size "\x02" ZERO16 "\0\0\0\0"

struct bytes {
    const char *name;
    const char *p;
    size_t n;
};

/* Checks a copy that ends where its memory ends. */
static int
check(const void *p, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    struct tb_term t = { NULL, 0 };
    int rc;

    assert_non_null(copy);
    if (n > 0)
        memcpy(copy, p, n);
    rc = tb_check_whole(copy, n, &t);
    if (rc == 0) {
        assert_ptr_equal(t.p, copy);
        assert_int_equal(t.n, n);
        assert_int_equal(tb_skip(copy), n);
    } else {
        assert_null(t.p);
    }
    free(copy);
    return rc;
}

static void
assert_only_whole(const char *name, const void *p, size_t n)
{
    if (check(p, n) != 0)
        fail_msg("%s: refused", name);
    for (size_t cut = 0; cut < n; cut++)
        if (check(p, cut) != -TB_EBADTERM)
            fail_msg("%s: %zu of %zu bytes were not refused", name, cut, n);
}

/* Every tag of etf.h, with the edges of its fields. */
/* clang-format off */
static const struct bytes valid[] = {
    { "small integer",  BYTES("\x61\xff") },
    { "integer",        BYTES("\x62\x80\0\0\0") },
    { "integer of 1",   BYTES("\x62\0\0\0\x01") },
    { "small big",      BYTES("\x6e\x08\0\xff\xff\xff\xff\xff\xff\xff\xff") },
    { "big zero",       BYTES("\x6e\0\0") },
    { "big of zeros",   BYTES("\x6e\x02\x01\0\0") },
    { "sign of two",    BYTES("\x6e\x01\x02\x05") },
    { "large big",      BYTES("\x6f\0\0\0\x03\x01\x01\x02\x03") },
    { "large big zero", BYTES("\x6f\0\0\0\0\0") },
    { "float",          BYTES("\x46\x3f\xf8\0\0\0\0\0\0") },
    { "minus zero",     BYTES("\x46\x80\0\0\0\0\0\0\0") },
    { "largest float",  BYTES("\x46\x7f\xef\xff\xff\xff\xff\xff\xff") },
    { "float text",     BYTES("\x63" "1.50000000000000000000e+00\0\0\0\0\0") },
    { "float text, full", BYTES("\x63" "1.50000000000000000000000000000") },
    { "atom",           BYTES("\x77\x02ok") },
    { "empty atom",     BYTES("\x77\0") },
    { "utf8 atom",      BYTES("\x77\x03\xe6\x97\xa5") },
    { "long atom",      BYTES("\x76\0\x02ok") },
    { "latin1 atom",    BYTES("\x73\x02\xe5\xff") },
    { "old atom",       BYTES("\x64\0\x02\xe5k") },
    { "empty tuple",    BYTES("\x68\0") },
    { "tuple",          BYTES("\x68\x02\x6a\x6a") },
    { "large tuple",    BYTES("\x69\0\0\0\x02\x6a\x6a") },
    { "empty large tuple", BYTES("\x69\0\0\0\0") },
    { "nil",            BYTES("\x6a") },
    { "string",         BYTES("\x6b\0\x03" "abc") },
    { "empty string",   BYTES("\x6b\0\0") },
    { "list",           BYTES("\x6c\0\0\0\x02\x61\x01\x61\x02\x6a") },
    { "improper list",  BYTES("\x6c\0\0\0\x01\x61\x01\x61\x02") },
    { "list of none",   BYTES("\x6c\0\0\0\0\x61\x02") },
    { "empty map",      BYTES("\x74\0\0\0\0") },
    { "map",            BYTES("\x74\0\0\0\x02\x61\x01\x6a\x61\x02\x6a") },
    { "binary",         BYTES("\x6d\0\0\0\x03" "abc") },
    { "empty binary",   BYTES("\x6d\0\0\0\0") },
    { "bits",           BYTES("\x4d\0\0\0\x02\x01\xff\x80") },
    { "eight bits",     BYTES("\x4d\0\0\0\x01\x08\xff") },
    { "pid",            BYTES(PID) },
    { "pid, old atom",  BYTES("\x58\x64\0\x03" "a@b\0\0\0\x01\0\0\0\0\0\0\0\x01") },
    { "old pid",        BYTES("\x67" NODE "\0\0\0\x01\0\0\0\0\x03") },
    { "port",           BYTES("\x59" NODE "\0\0\0\x01\0\0\0\x01") },
    { "wide port",      BYTES("\x78" NODE "\0\0\0\0\0\0\0\x01\0\0\0\x01") },
    { "old port",       BYTES("\x66" NODE "\0\0\0\x01\x03") },
    { "ref of 1",       BYTES("\x5a\0\x01" NODE "\0\0\0\x01\0\0\0\x01") },
    { "ref of 5",       BYTES("\x5a\0\x05" NODE "\0\0\0\x01" ZERO16 "\0\0\0\x01") },
    { "old ref of 3",   BYTES("\x72\0\x03" NODE "\x01\0\0\0\x01\0\0\0\x02\0\0\0\x03") },
    { "oldest ref",     BYTES("\x65" NODE "\0\0\0\x01\x03") },
    { "export",         BYTES("\x71\x77\x01m\x77\x01" "f\x61\xff") },
    { "fun",            BYTES(FUN("\0\0\0\0") "\0\0\0\0\x77\x01m\x61\0\x61\0" PID) },
    { "fun with one",   BYTES(FUN("\0\0\0\0") "\0\0\0\x01\x77\x01m\x61\0\x62\0\0\x01\0" PID "\x6a") },
    { "record",         BYTES("\x43\0\0\0\x01\0\x77\x01m\x77\x01n\x77\x01" "f\x61\x05") },
    { "empty record",   BYTES("\x43\0\0\0\0\0\x77\x01m\x77\x01n") },
    { "nested",         BYTES("\x68\x02\x6c\0\0\0\x01\x68\x01\x6a\x6a\x74\0\0\0\x01\x6a\x6a") },
};
/* clang-format on */

static void
test_check_takes_every_tag_whole_only(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(valid); i++)
        assert_only_whole(valid[i].name, valid[i].p, valid[i].n);
}

static void
test_check_takes_no_byte_too_many(void **state)
{
    uint8_t bytes[128];

    (void)state;
    for (size_t i = 0; i < LENGTH(valid); i++) {
        memcpy(bytes, valid[i].p, valid[i].n);
        bytes[valid[i].n] = ETF_NIL;
        assert_int_equal(check(bytes, valid[i].n + 1), -TB_EBADTERM);
    }
}

static void
test_check_steps_behind_the_term(void **state)
{
    static const uint8_t two[] = { 97, 1, 106 };
    struct tb_rd r = tb_rd_of(two, sizeof(two));
    struct tb_term t;

    (void)state;
    assert_int_equal(tb_check(&r, &t), 0);
    assert_ptr_equal(t.p, two);
    assert_int_equal(t.n, 2);
    assert_int_equal(tb_check(&r, &t), 0);
    assert_ptr_equal(t.p, two + 2);
    assert_int_equal(tb_check(&r, &t), -TB_EBADTERM);
    assert_true(r.bad);
    assert_int_equal(tb_check(&r, &t), -TB_EBADTERM);
}

/* clang-format off */
static const struct bytes refused[] = {
    { "infinity",        BYTES("\x46\x7f\xf0\0\0\0\0\0\0") },
    { "minus infinity",  BYTES("\x46\xff\xf0\0\0\0\0\0\0") },
    { "NaN",             BYTES("\x46\x7f\xf8\0\0\0\0\0\0") },
    { "signalling NaN",  BYTES("\x46\xff\xf0\0\0\0\0\0\x01") },
    { "overlong utf8",   BYTES("\x77\x02\xc0\x80") },
    { "surrogate",       BYTES("\x77\x03\xed\xa0\x80") },
    { "beyond unicode",  BYTES("\x77\x04\xf4\x90\x80\x80") },
    { "half a character", BYTES("\x77\x01\xc3") },
    { "a continuation",  BYTES("\x76\0\x01\x80") },
    { "0xff in an atom", BYTES("\x77\x01\xff") },
    { "no bits",         BYTES("\x4d\0\0\0\x01\0\xff") },
    { "nine bits",       BYTES("\x4d\0\0\0\x01\x09\xff") },
    { "empty bits",      BYTES("\x4d\0\0\0\0\x08") },
    { "ref of 0",        BYTES("\x5a\0\0" NODE "\0\0\0\x01") },
    { "ref of 6",        BYTES("\x5a\0\x06" NODE "\0\0\0\x01" ZERO16 "\0\0\0\0\0\0\0\x01") },
    { "old ref of 0",    BYTES("\x72\0\0" NODE "\x01") },
    { "node is no atom", BYTES("\x58\x6b\0\x03" "a@b\0\0\0\x01\0\0\0\x02\0\0\0\x03") },
    { "node is a pid",   BYTES("\x58" PID "\0\0\0\x01\0\0\0\x02\0\0\0\x03") },
    { "export's arity",  BYTES("\x71\x77\x01m\x77\x01" "f\x62\0\0\x01\0") },
    { "export of arity a", BYTES("\x71\x77\x01m\x77\x01" "f\x77\x01" "a") },
    { "export of a string", BYTES("\x71\x6b\0\x01m\x77\x01" "f\x61\x01") },
    { "fun of no pid",   BYTES(FUN("\0\0\0\0") "\0\0\0\0\x77\x01m\x61\0\x61\0\x6a") },
    { "fun of no atom",  BYTES(FUN("\0\0\0\0") "\0\0\0\0\x6a\x61\0\x61\0" PID) },
    { "fun's index",     BYTES(FUN("\0\0\0\0") "\0\0\0\0\x77\x01m\x6a\x61\0" PID) },
    { "record's name",   BYTES("\x43\0\0\0\0\0\x77\x01m\x6a") },
    { "record's field",  BYTES("\x43\0\0\0\x01\0\x77\x01m\x77\x01n\x6a\x61\x05") },
    { "tuple bomb",      BYTES("\x69\xff\xff\xff\xff\x6a\x6a\x6a") },
    { "list bomb",       BYTES("\x6c\xff\xff\xff\xff\x6a\x6a\x6a") },
    { "map bomb",        BYTES("\x74\xff\xff\xff\xff\x6a\x6a\x6a") },
    { "half map bomb",   BYTES("\x74\x80\0\0\0\x6a\x6a\x6a") },
    { "binary bomb",     BYTES("\x6d\xff\xff\xff\xff\x6a\x6a\x6a") },
    { "bits bomb",       BYTES("\x4d\xff\xff\xff\xff\x08\x6a\x6a") },
    { "big bomb",        BYTES("\x6f\xff\xff\xff\xff\0\x6a\x6a") },
    { "fun bomb",        BYTES(FUN("\0\0\0\0") "\xff\xff\xff\xff\x77\x01m\x61\0\x61\0" PID) },
    { "record bomb",     BYTES("\x43\xff\xff\xff\xff\0\x77\x01m\x77\x01n\x77\x01" "f") },
    { "ref bomb",        BYTES("\x5a\xff\xff" NODE "\0\0\0\x01") },
    { "map without its last value", BYTES("\x74\0\0\0\x01\x6a") },
    { "list without a tail", BYTES("\x6c\0\0\0\x01\x6a") },
    { "nothing",         BYTES("") },
};
/* clang-format on */

static void
test_check_refuses_what_a_beam_refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(refused); i++) {
        int rc = check(refused[i].p, refused[i].n);

        if (rc != -TB_EBADTERM)
            fail_msg("%s: %d", refused[i].name, rc);
    }
}

/* What hides behind a good term is found as well. */
static void
test_check_refuses_it_nested_too(void **state)
{
    uint8_t bytes[256] = { ETF_SMALL_TUPLE, 2, ETF_NIL };

    (void)state;
    for (size_t i = 0; i + 1 < LENGTH(refused); i++) {
        memcpy(bytes + 3, refused[i].p, refused[i].n);
        assert_int_equal(check(bytes, 3 + refused[i].n), -TB_EBADTERM);
    }
}

static void
test_check_refuses_texts_that_are_no_floats(void **state)
{
    static const char *const good[] = { "1.5",    "+1.5",     "-1.5",
                                        "1,5",    "1.5e3",    "1.5E-3",
                                        "1.5e+3", "1.5e-400", "0.0" };
    static const char *const bad[] = { "",       "1",       "1.",
                                       ".5",     "1e5",     "1.5e",
                                       "1.5e+",  " 1.5",    "1.5 ",
                                       "1.5abc", "0x1.8p1", "inf",
                                       "nan",    "1.5e400", "-1.5e99999999999",
                                       "--1.5",  "1.5.5" };

    (void)state;
    for (size_t i = 0; i < LENGTH(good); i++) {
        char bytes[32] = { ETF_FLOAT };

        memcpy(bytes + 1, good[i], strlen(good[i]));
        assert_int_equal(check(bytes, 32), 0);
    }
    for (size_t i = 0; i < LENGTH(bad); i++) {
        char bytes[32] = { ETF_FLOAT };

        memcpy(bytes + 1, bad[i], strlen(bad[i]));
        if (check(bytes, 32) != -TB_EBADTERM)
            fail_msg("\"%s\" is a float", bad[i]);
    }
}

static void
test_check_counts_the_characters_of_atoms(void **state)
{
    uint8_t bytes[3 + 4 * 256] = { ETF_ATOM_UTF8 };
    static const char *const one[] = { "a", "\xc3\xa5", "\xe6\x97\xa5",
                                       "\xf0\x9f\x98\x80" };

    (void)state;
    for (size_t chars = 255; chars <= 256; chars++) {
        int rc = chars == 255 ? 0 : -TB_EBADTERM;

        for (size_t i = 0; i < LENGTH(one); i++) {
            size_t n = strlen(one[i]);

            for (size_t at = 0; at < chars; at++)
                memcpy(bytes + 3 + at * n, one[i], n);
            bytes[0] = ETF_ATOM_UTF8;
            bytes[1] = (uint8_t)(chars * n >> 8);
            bytes[2] = (uint8_t)(chars * n);
            assert_int_equal(check(bytes, 3 + chars * n), rc);
            if (i == 0) {
                bytes[0] = ETF_ATOM;
                assert_int_equal(check(bytes, 3 + chars), rc);
            }
        }
    }
}

static bool
is_known(unsigned tag)
{
    for (size_t i = 0; i < LENGTH(valid); i++)
        if ((uint8_t)valid[i].p[0] == tag)
            return true;
    return false;
}

/* Among them 131 and 80 inside a term, 82, 117 and 121. */
static void
test_check_tells_of_unknown_tags(void **state)
{
    uint8_t bytes[40] = { 0 };

    (void)state;
    for (unsigned tag = 0; tag < 256; tag++) {
        if (is_known(tag))
            continue;
        bytes[0] = (uint8_t)tag;
        assert_int_equal(check(bytes, sizeof(bytes)), -TB_EUNKNOWN_TAG);
        assert_int_equal(check(bytes, 1), -TB_EUNKNOWN_TAG);
        memmove(bytes + 2, bytes, 1);
        bytes[0] = ETF_SMALL_TUPLE;
        bytes[1] = 1;
        assert_int_equal(check(bytes, sizeof(bytes)), -TB_EUNKNOWN_TAG);
    }
    assert_false(is_known(131) || is_known(80) || is_known(82) ||
                 is_known(117) || is_known(121));
}

/* ------------------------------------------------------------- depth -- */

struct nest {
    const char *open;
    size_t open_n;
    const char *close;
    size_t close_n;
};

/* clang-format off */
static const struct nest nests[] = {
    { BYTES("\x68\x01"), BYTES("") },                        /* {T} */
    { BYTES("\x69\0\0\0\x01"), BYTES("") },
    { BYTES("\x6c\0\0\0\x01"), BYTES("\x6a") },              /* [T] */
    { BYTES("\x6c\0\0\0\x01\x6a"), BYTES("") },              /* [[] | T] */
    { BYTES("\x6c\0\0\0\0"), BYTES("") },
    { BYTES("\x74\0\0\0\x01\x61\x01"), BYTES("") },          /* #{1 => T} */
    { BYTES("\x74\0\0\0\x01"), BYTES("\x6a") },              /* #{T => []} */
    { BYTES(FUN("\0\0\0\0") "\0\0\0\x01\x77\x01m\x61\0\x61\0" PID), BYTES("") },
    { BYTES("\x43\0\0\0\x01\0\x77\x01m\x77\x01n\x77\x01" "f"), BYTES("") },
};
/* clang-format on */

static void
repeat(struct tb_wr *w, const char *p, size_t n, unsigned times)
{
    while (times-- > 0)
        tb_wr_bytes(w, p, n);
}

/* Runs with a stack that no recursion into such a term would fit into. */
static void *
walk_deep(void *arg)
{
    struct tb_wr *w = arg;
    struct tb_val out[TB_MAX_HOLES];
    struct tb_term t = { NULL, 0 };
    int rc = tb_check_whole(w->buf, w->len, &t);

    if (rc == 0 && t.n == w->len && tb_skip(t.p) == t.n &&
        tb_check_whole(w->buf, w->len - 1, &t) == -TB_EBADTERM &&
        tb_match("{_, {_}, [_, _], #{x := _}}", t, out) == 0)
        return NULL;
    return w;
}

static void
walk_nest(const struct nest *nest, unsigned depth)
{
    struct tb_wr w = { 0 };
    pthread_attr_t attr;
    pthread_t thread;
    void *failed;

    repeat(&w, nest->open, nest->open_n, depth);
    tb_wr_u8(&w, ETF_NIL);
    repeat(&w, nest->close, nest->close_n, depth);
    assert_false(w.bad);
    assert_int_equal(pthread_attr_init(&attr), 0);
    assert_int_equal(pthread_attr_setstacksize(&attr, 256 << 10), 0);
    assert_int_equal(pthread_create(&thread, &attr, walk_deep, &w), 0);
    assert_int_equal(pthread_join(thread, &failed), 0);
    pthread_attr_destroy(&attr);
    tb_wr_free(&w);
    assert_null(failed);
}

static void
test_check_needs_no_stack_for_deep_terms(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(nests); i++) {
        walk_nest(&nests[i], 100000);
        walk_nest(&nests[i], 1000000);
    }
}

/* ---------------------------------------------------------- recorded -- */

static void
test_check_takes_what_a_node_wrote(void **state)
{
    struct tb_wr file = { 0 };
    struct tb_rd r = recorded_open(&file);
    const uint8_t *p;
    unsigned count = 0;
    char name[32];
    size_t n;

    (void)state;
    for (; recorded_next(&r, &p, &n); count++) {
        snprintf(name, sizeof(name), "recorded %u", count);
        assert_only_whole(name, p, n);
    }
    assert_true(count >= 300);
    tb_wr_free(&file);
}

/* A byte changed anywhere: refused or not, but never beyond the end; and
 * what is taken can be walked again. */
static void
test_check_stands_changed_bytes(void **state)
{
    static const uint8_t other[] = { 0, 1, 0x7f, 0x80, 0xff, 104, 108, 131 };
    struct tb_wr file = { 0 };
    struct tb_rd r = recorded_open(&file);
    uint8_t *copy;
    const uint8_t *p;
    size_t n;

    (void)state;
    while (recorded_next(&r, &p, &n)) {
        copy = malloc(n);
        assert_non_null(copy);
        memcpy(copy, p, n);
        for (size_t at = 0; at < n && at < 200; at++) {
            for (size_t i = 0; i < sizeof(other); i++) {
                struct tb_term t;

                copy[at] = other[i];
                if (tb_check_whole(copy, n, &t) == 0)
                    assert_int_equal(tb_skip(copy), n);
            }
            copy[at] = p[at];
        }
        free(copy);
    }
    tb_wr_free(&file);
}

/* The largest identifiers that OTP 23 has, and a fun of it. */
#define PID_23      "X" NODE "\0\0\x7f\xff\0\0\x1f\xff\0\0\0\1"
#define REF_23      "Z\0\3" NODE "\0\0\0\1\0\3\xff\xff\1\2\3\4\1\2\3\4"
#define PORT_23     "Y" NODE "\x0f\xff\xff\xff\0\0\0\1"
#define FUN_OF(pid) "p\0\0\0\0\0" ZERO16 "\0\0\0\0\0\0\0\1w\1ma\1a\1" pid "a\5"

static void
test_check_knows_what_otp_23_can_read(void **state)
{
    static const struct {
        const char *p;
        size_t n;
        bool narrow;
    } terms[] = {
#define T(bytes, narrow) { bytes, sizeof(bytes) - 1, narrow }
        T(PID_23, true),
        T("X" NODE "\0\0\x80\0\0\0\0\0\0\0\0\1", false),
        T("X" NODE "\0\0\0\0\0\0\x20\0\0\0\0\1", false),
        T(REF_23, true),
        T("Z\0\1" NODE "\0\0\0\1\0\4\0\0", false),
        T("Z\0\5" NODE "\0\0\0\1\0\0\0\1" ZERO16, false),
        T(PORT_23, true),
        T("Y" NODE "\x10\0\0\0\0\0\0\1", false),
        T("x" NODE "\0\0\0\0\0\0\0\1\0\0\0\1", false),
        T(FUN_OF(PID_23), true),
        T(FUN_OF("X" NODE "\0\1\0\0\0\0\0\0\0\0\0\1"), false),
        T("h\4" PID_23 REF_23 "w\2okm\0\0\0\1x", true),
        T("h\2w\2okl\0\0\0\1" PORT_23 "j", true),
        T("t\0\0\0\1a\1x" NODE "\0\0\0\0\0\0\0\1\0\0\0\1", false),
#undef T
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(terms); i++) {
        struct tb_term t;

        if (tb_check_whole(terms[i].p, terms[i].n, &t) < 0)
            fail_msg("term %zu is none", i);
        if (tb_check_narrow(t.p) != terms[i].narrow)
            fail_msg("term %zu is %s", i, terms[i].narrow ? "narrow" : "wide");
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check_takes_every_tag_whole_only),
        cmocka_unit_test(test_check_takes_no_byte_too_many),
        cmocka_unit_test(test_check_steps_behind_the_term),
        cmocka_unit_test(test_check_refuses_what_a_beam_refuses),
        cmocka_unit_test(test_check_refuses_it_nested_too),
        cmocka_unit_test(test_check_refuses_texts_that_are_no_floats),
        cmocka_unit_test(test_check_counts_the_characters_of_atoms),
        cmocka_unit_test(test_check_tells_of_unknown_tags),
        cmocka_unit_test(test_check_needs_no_stack_for_deep_terms),
        cmocka_unit_test(test_check_takes_what_a_node_wrote),
        cmocka_unit_test(test_check_stands_changed_bytes),
        cmocka_unit_test(test_check_knows_what_otp_23_can_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
