/* test_frame.c - cutting a stream into frames. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "dist/frame.h"

/* Two frames, a tick, a frame of one byte; 4-byte lengths. */
/* clang-format off */
static const uint8_t stream[] = {
    0, 0, 0, 3, 'o', 'n', 'e',
    0, 0, 0, 0,
    0, 0, 0, 4, 'f', 'o', 'u', 'r',
    0, 0, 0, 1, '!'
};
/* clang-format on */
static const char *const bodies[] = { "one", "", "four", "!" };

#define NBODIES (sizeof(bodies) / sizeof(bodies[0]))

static void
assert_body(const char *want, const uint8_t *body, size_t n)
{
    assert_int_equal(n, strlen(want));
    assert_memory_equal(body, want, n);
}

/* Lends a copy that ends where an overrun is noticed, and is gone after. */
static size_t
feed(struct tb_frames *f, const uint8_t *p, size_t n, size_t seen)
{
    uint8_t *lent = malloc(n);
    const uint8_t *body;
    size_t len;
    int rc;

    assert_non_null(lent);
    memcpy(lent, p, n);
    tb_frames_lend(f, lent, n);
    while ((rc = tb_frames_next(f, &body, &len)) == 1) {
        assert_true(seen < NBODIES);
        assert_body(bodies[seen++], body, len);
    }
    assert_int_equal(rc, 0);
    assert_int_equal(tb_frames_keep(f), 0);
    memset(lent, 0xee, n);
    free(lent);
    return seen;
}

static void
test_frame_cuts_without_copying(void **state)
{
    struct tb_frames f = { .length_bytes = 4, .max = 100 };
    const uint8_t *body;
    size_t n;

    (void)state;
    tb_frames_lend(&f, stream, sizeof(stream));
    for (size_t i = 0; i < NBODIES; i++) {
        assert_int_equal(tb_frames_next(&f, &body, &n), 1);
        assert_body(bodies[i], body, n);
        assert_true(body >= stream && body + n <= stream + sizeof(stream));
    }
    assert_int_equal(tb_frames_next(&f, &body, &n), 0);
    assert_int_equal(tb_frames_keep(&f), 0);
    assert_null(f.part.buf);
    tb_frames_fini(&f);
}

static void
test_frame_comes_in_any_pieces(void **state)
{
    (void)state;
    for (size_t piece = 1; piece <= sizeof(stream); piece++) {
        struct tb_frames f = { .length_bytes = 4, .max = 100 };
        size_t seen = 0;

        for (size_t at = 0; at < sizeof(stream); at += piece) {
            size_t left = sizeof(stream) - at;

            seen = feed(&f, stream + at, left < piece ? left : piece, seen);
        }
        assert_int_equal(seen, NBODIES);
        assert_null(f.part.buf);
        tb_frames_fini(&f);
    }
}

static void
test_frame_comes_in_three_pieces(void **state)
{
    (void)state;
    for (size_t a = 1; a < sizeof(stream); a++)
        for (size_t b = a + 1; b < sizeof(stream); b++) {
            struct tb_frames f = { .length_bytes = 4, .max = 100 };
            size_t seen = feed(&f, stream, a, 0);

            seen = feed(&f, stream + a, b - a, seen);
            seen = feed(&f, stream + b, sizeof(stream) - b, seen);
            assert_int_equal(seen, NBODIES);
            tb_frames_fini(&f);
        }
}

static void
test_frame_copies_only_its_missing_bytes(void **state)
{
    static const uint8_t head[] = { 0, 0, 0, 5, 'h', 'e' };
    static const uint8_t rest[] = { 'l', 'l', 'o', 0, 0, 0, 2, 'y', 'o' };
    struct tb_frames f = { .length_bytes = 4, .max = 100 };
    const uint8_t *body, *kept;
    size_t n;

    (void)state;
    tb_frames_lend(&f, head, sizeof(head));
    assert_int_equal(tb_frames_next(&f, &body, &n), 0);
    assert_int_equal(tb_frames_keep(&f), 0);
    tb_frames_lend(&f, rest, sizeof(rest));
    assert_int_equal(tb_frames_next(&f, &kept, &n), 1);
    assert_body("hello", kept, n);
    assert_int_equal(tb_frames_next(&f, &body, &n), 1);
    assert_body("yo", body, n);
    assert_ptr_equal(body, rest + 7);
    assert_int_equal(tb_frames_next(&f, &body, &n), 0);
    assert_null(f.part.buf);
    assert_int_equal(tb_frames_keep(&f), 0);
    tb_frames_fini(&f);
}

static void
test_frame_length_changes_between_frames(void **state)
{
    static const uint8_t both[] = { 0, 2, 'a', 'b', 0, 0, 0, 3, 'x', 'y', 'z' };
    const uint8_t *body;
    size_t n;

    (void)state;
    for (size_t cut = 4; cut <= sizeof(both); cut++) {
        struct tb_frames f = { .length_bytes = 2, .max = 100 };

        tb_frames_lend(&f, both, cut);
        assert_int_equal(tb_frames_next(&f, &body, &n), 1);
        assert_body("ab", body, n);
        f.length_bytes = 4;
        if (cut < sizeof(both)) {
            assert_int_equal(tb_frames_next(&f, &body, &n), 0);
            assert_int_equal(tb_frames_keep(&f), 0);
            tb_frames_lend(&f, both + cut, sizeof(both) - cut);
        }
        assert_int_equal(tb_frames_next(&f, &body, &n), 1);
        assert_body("xyz", body, n);
        tb_frames_fini(&f);
    }
}

/* An owner may stop in the middle: what it did not ask for is kept whole. */
static void
test_frame_keeps_whole_frames(void **state)
{
    const uint8_t *body;
    size_t n;

    (void)state;
    for (size_t cut = 1; cut < sizeof(stream); cut++)
        for (size_t ask = 0; ask <= NBODIES; ask++) {
            struct tb_frames f = { .length_bytes = 4, .max = 100 };
            size_t seen = 0;

            tb_frames_lend(&f, stream, cut);
            while (seen < ask && tb_frames_next(&f, &body, &n) == 1)
                assert_body(bodies[seen++], body, n);
            assert_int_equal(tb_frames_keep(&f), 0);
            tb_frames_lend(&f, stream + cut, sizeof(stream) - cut);
            if (tb_frames_next(&f, &body, &n) == 1)
                assert_body(bodies[seen++], body, n);
            assert_int_equal(tb_frames_keep(&f), 0);
            tb_frames_lend(&f, NULL, 0);
            while (tb_frames_next(&f, &body, &n) == 1)
                assert_body(bodies[seen++], body, n);
            assert_int_equal(seen, NBODIES);
            assert_null(f.part.buf);
            tb_frames_fini(&f);
        }
}

static void
test_frame_refuses_what_is_too_long(void **state)
{
    static const uint8_t longest[] = { 0, 0, 0, 4, 'f', 'o', 'u', 'r' };
    static const uint8_t longer[] = { 0, 0, 0, 5 };
    static const uint8_t huge[] = { 0xff, 0xff, 0xff, 0xff };
    struct tb_frames f = { .length_bytes = 4, .max = 4 };
    const uint8_t *body;
    size_t n;

    (void)state;
    tb_frames_lend(&f, longest, sizeof(longest));
    assert_int_equal(tb_frames_next(&f, &body, &n), 1);
    tb_frames_lend(&f, longer, sizeof(longer));
    assert_int_equal(tb_frames_next(&f, &body, &n), -TB_ELIMIT);
    assert_int_equal(tb_frames_next(&f, &body, &n), -TB_ELIMIT);
    tb_frames_lend(&f, huge, 3);
    assert_int_equal(tb_frames_next(&f, &body, &n), 0);
    assert_int_equal(tb_frames_keep(&f), 0);
    tb_frames_lend(&f, huge + 3, 1);
    assert_int_equal(tb_frames_next(&f, &body, &n), -TB_ELIMIT);
    tb_frames_fini(&f);
    assert_int_equal(tb_frames_next(&f, &body, &n), 0);
}

/* A peer that announces much and sends little gets little memory. */
static void
test_frame_grows_with_what_comes(void **state)
{
    static const uint8_t huge[] = { 0x07, 0xff, 0xff, 0xff, 'x' };
    static const uint8_t more[1000];
    struct tb_frames f = { .length_bytes = 4, .max = UINT32_MAX };
    const uint8_t *body;
    size_t n;

    (void)state;
    tb_frames_lend(&f, huge, sizeof(huge));
    for (int i = 0; i < 100; i++) {
        assert_int_equal(tb_frames_next(&f, &body, &n), 0);
        assert_int_equal(tb_frames_keep(&f), 0);
        assert_true(f.part.cap <= 64 || f.part.cap < 2 * f.part.len);
        tb_frames_lend(&f, more, sizeof(more));
    }
    tb_frames_fini(&f);
}

static void
test_frame_survives_failing_allocations(void **state)
{
    static const uint8_t head[] = { 0, 0, 1, 0, 'x' };
    static const uint8_t body_bytes[256] = { 'x' };
    const uint8_t *body;
    size_t n;
    int rc;

    (void)state;
    for (unsigned long fail = 1;; fail++) {
        struct tb_frames f = { .length_bytes = 4, .max = 256 };

        tb_mem_fail_after(fail);
        tb_frames_lend(&f, head, sizeof(head));
        assert_int_equal(tb_frames_next(&f, &body, &n), 0);
        rc = tb_frames_keep(&f);
        if (rc == 0) {
            tb_frames_lend(&f, body_bytes, sizeof(body_bytes));
            rc = tb_frames_next(&f, &body, &n);
        }
        tb_mem_fail_after(0);
        if (rc != 1) {
            assert_int_equal(rc, -TB_ELIMIT);
            assert_int_equal(tb_frames_next(&f, &body, &n), -TB_ELIMIT);
            assert_int_equal(tb_frames_keep(&f), -TB_ELIMIT);
        }
        tb_frames_fini(&f);
        if (rc == 1)
            break;
    }
    assert_int_equal(n, sizeof(body_bytes));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frame_cuts_without_copying),
        cmocka_unit_test(test_frame_comes_in_any_pieces),
        cmocka_unit_test(test_frame_comes_in_three_pieces),
        cmocka_unit_test(test_frame_copies_only_its_missing_bytes),
        cmocka_unit_test(test_frame_length_changes_between_frames),
        cmocka_unit_test(test_frame_keeps_whole_frames),
        cmocka_unit_test(test_frame_refuses_what_is_too_long),
        cmocka_unit_test(test_frame_grows_with_what_comes),
        cmocka_unit_test(test_frame_survives_failing_allocations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
