/* test_wr.c - the growing writer and the bounds-checked reader. */
#include <string.h>

#include "base/limits.h"
#include "base/rd.h"
#include "base/wr.h"
#include "tb_test.h"

#define ASSERT_WRITTEN(w, bytes)                                               \
    do {                                                                       \
        assert_false((w).bad);                                                 \
        assert_int_equal((w).len, sizeof(bytes) - 1);                          \
        assert_memory_equal((w).buf, bytes, sizeof(bytes) - 1);                \
    } while (0)

static void
test_writer_is_big_endian(void **state)
{
    struct tb_wr w = { 0 };

    (void)state;
    tb_wr_u8(&w, 0x01);
    tb_wr_u16(&w, 0xfe02);
    tb_wr_u32(&w, 0xfd030405);
    tb_wr_u64(&w, 0xfc060708090a0b0cu);
    tb_wr_str(&w, "xy");
    tb_wr_bytes(&w, "z\0", 2);
    ASSERT_WRITTEN(w, "\x01\xfe\x02\xfd\x03\x04\x05"
                      "\xfc\x06\x07\x08\x09\x0a\x0b\x0cxyz\0");
    tb_wr_free(&w);
    assert_null(w.buf);
    assert_int_equal(w.len, 0);
    assert_int_equal(w.cap, 0);
}

static void
test_writer_grows(void **state)
{
    struct tb_wr w = { 0 };
    uint8_t big[100000];

    (void)state;
    memset(big, 0xab, sizeof(big));
    for (uint32_t i = 0; i < 20000; i++)
        tb_wr_u32(&w, i);
    tb_wr_bytes(&w, big, sizeof(big));
    assert_int_equal(tb_wr_status(&w), 0);
    assert_int_equal(w.len, 80000 + sizeof(big));
    assert_true(w.cap >= w.len);
    for (uint32_t i = 0; i < 20000; i++)
        assert_memory_equal(
            w.buf + 4 * (size_t)i,
            ((uint8_t[]){ 0, 0, (uint8_t)(i >> 8), (uint8_t)i }), 4);
    assert_memory_equal(w.buf + 80000, big, sizeof(big));
    tb_wr_free(&w);
}

static void
test_writer_stops_at_its_cap(void **state)
{
    struct tb_wr w = { .max = 100 };
    uint8_t bytes[101] = { 0 };

    (void)state;
    tb_wr_bytes(&w, bytes, 100);
    assert_int_equal(tb_wr_status(&w), 0);
    assert_true(w.cap <= 100);
    tb_wr_u8(&w, 1);
    assert_int_equal(tb_wr_status(&w), -TB_ELIMIT);
    assert_int_equal(w.len, 100);
    tb_wr_free(&w);

    tb_wr_bytes(&w, bytes, 101);
    assert_true(w.bad);
    assert_int_equal(w.len, 0);
    tb_wr_free(&w);
    assert_int_equal(w.max, 100);
}

static void
test_writer_has_a_cap_of_its_own(void **state)
{
    struct tb_wr w = { 0 };

    (void)state;
    assert_null(tb_wr_room(&w, (size_t)TB_MAX_FRAME + 1));
    assert_true(w.bad);
    tb_wr_free(&w);
    tb_wr_u8(&w, 1);
    assert_null(tb_wr_room(&w, SIZE_MAX));
    assert_true(w.bad);
    tb_wr_free(&w);
    tb_wr_u8(&w, 1);
    assert_null(tb_wr_room(&w, SIZE_MAX - 1));
    assert_true(w.bad);
    tb_wr_free(&w);
}

static void
test_writer_stays_bad(void **state)
{
    struct tb_wr w = { .max = 4 };

    (void)state;
    tb_wr_u16(&w, 0x0102);
    tb_wr_u32(&w, 3);
    assert_true(w.bad);
    tb_wr_u8(&w, 4);
    tb_wr_u16(&w, 4);
    tb_wr_u32(&w, 4);
    tb_wr_u64(&w, 4);
    tb_wr_str(&w, "a");
    tb_wr_bytes(&w, "a", 1);
    tb_wr_printf(&w, "%d", 1);
    tb_wr_patch_u32(&w, 0, 0xffffffff);
    assert_null(tb_wr_room(&w, 1));
    assert_true(w.bad);
    assert_int_equal(w.len, 2);
    assert_memory_equal(w.buf, "\1\2", 2);
    tb_wr_free(&w);
    assert_false(w.bad);
}

static void
test_room_is_not_written_until_added(void **state)
{
    struct tb_wr w = { 0 };
    uint8_t *room;

    (void)state;
    room = tb_wr_room(&w, 1000);
    assert_non_null(room);
    memset(room, 'a', 1000);
    assert_int_equal(w.len, 0);
    tb_wr_add(&w, 3);
    ASSERT_WRITTEN(w, "aaa");
    assert_ptr_equal(tb_wr_room(&w, 1), w.buf + 3);
    tb_wr_free(&w);
}

static void
test_writing_nothing_is_good(void **state)
{
    struct tb_wr w = { 0 };

    (void)state;
    tb_wr_bytes(&w, NULL, 0);
    tb_wr_str(&w, "");
    tb_wr_printf(&w, "%s", "");
    assert_int_equal(w.len, 0);
    assert_int_equal(tb_wr_status(&w), 0);
    tb_wr_free(&w);
}

static void
test_patch_overwrites_four_bytes(void **state)
{
    struct tb_wr w = { 0 };

    (void)state;
    tb_wr_u8(&w, 7);
    tb_wr_u32(&w, 0);
    tb_wr_u8(&w, 8);
    tb_wr_patch_u32(&w, 1, 0x01020304);
    ASSERT_WRITTEN(w, "\7\1\2\3\4\10");
    tb_wr_free(&w);
}

static void
test_clear_keeps_small_memory(void **state)
{
    struct tb_wr w = { .max = 70000 };
    uint8_t *before, bytes[5000] = { 0 };

    (void)state;
    tb_wr_bytes(&w, bytes, 100);
    before = w.buf;
    tb_wr_clear(&w, 1000);
    assert_ptr_equal(w.buf, before);
    assert_int_equal(w.len, 0);
    assert_true(w.cap >= 100);

    tb_wr_bytes(&w, bytes, sizeof(bytes));
    tb_wr_clear(&w, 1000);
    assert_null(w.buf);
    assert_int_equal(w.cap, 0);
    assert_int_equal(w.max, 70000);

    tb_wr_room(&w, 70001);
    assert_true(w.bad);
    tb_wr_clear(&w, 1000);
    assert_false(w.bad);
    tb_wr_u8(&w, 9);
    ASSERT_WRITTEN(w, "\11");
    tb_wr_free(&w);
}

static void
test_printf_appends(void **state)
{
    struct tb_wr w = { 0 }, small = { .max = 4 };
    char longer[500];

    (void)state;
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    tb_wr_printf(&w, "%d-%s", 42, "a");
    tb_wr_printf(&w, "!");
    ASSERT_WRITTEN(w, "42-a!");
    tb_wr_printf(&w, "%s", longer);
    assert_int_equal(w.len, 5 + strlen(longer));
    assert_memory_equal(w.buf + 5, longer, strlen(longer));
    tb_wr_free(&w);

    tb_wr_printf(&small, "%s", "abcde");
    assert_true(small.bad);
    assert_int_equal(small.len, 0);
    tb_wr_free(&small);
}

static void
test_writer_survives_failing_memory(void **state)
{
    (void)state;
    TB_FAIL_EACH_ALLOC(6, {
        struct tb_wr w = { 0 };

        for (int i = 0; i < 200; i++)
            tb_wr_u32(&w, 1);
        assert_int_equal(w.bad, tb_nth_ <= 5);
        assert_true(w.len <= w.cap);
        tb_wr_free(&w);
    });
}

static void
test_writer_writes_in_place_when_memory_fails(void **state)
{
    struct tb_wr w = { 0 };

    (void)state;
    tb_wr_str(&w, "abc");
    tb_mem_fail_after(1);
    tb_wr_str(&w, "d");
    assert_false(w.bad);
    while (!w.bad)
        tb_wr_str(&w, "e");
    tb_mem_fail_after(0);
    assert_int_equal(w.len, w.cap);
    assert_memory_equal(w.buf, "abcde", 5);
    tb_wr_free(&w);
}

static void
test_reader_reads_each_width(void **state)
{
    static const uint8_t bytes[] = "\x01\xfe\x02\xfd\x03\x04\x05"
                                   "\xfc\x06\x07\x08\x09\x0a\x0b\x0cxyz";
    struct tb_rd r = tb_rd_of(bytes, sizeof(bytes) - 1);

    (void)state;
    assert_int_equal(tb_rd_left(&r), 18);
    assert_int_equal(tb_rd_u8(&r), 0x01);
    assert_int_equal(tb_rd_u16(&r), 0xfe02);
    assert_int_equal(tb_rd_u32(&r), 0xfd030405);
    assert_true(tb_rd_u64(&r) == 0xfc060708090a0b0cu);
    assert_ptr_equal(tb_rd_take(&r, 2), bytes + 15);
    assert_int_equal(tb_rd_left(&r), 1);
    assert_int_equal(tb_rd_u8(&r), 'z');
    assert_int_equal(tb_rd_left(&r), 0);
    assert_false(r.bad);
}

static void
test_reader_refuses_what_is_too_short(void **state)
{
    static const uint8_t b[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    struct tb_rd r;

    (void)state;
    r = tb_rd_of(b, 0);
    assert_int_equal(tb_rd_u8(&r), 0);
    assert_true(r.bad);
    r = tb_rd_of(b, 1);
    assert_int_equal(tb_rd_u16(&r), 0);
    assert_true(r.bad);
    r = tb_rd_of(b, 3);
    assert_int_equal(tb_rd_u32(&r), 0);
    assert_true(r.bad);
    for (size_t n = 0; n < 8; n++) {
        r = tb_rd_of(b, n);
        tb_rd_u64(&r);
        assert_true(r.bad);
    }
    r = tb_rd_of(b, 8);
    assert_null(tb_rd_take(&r, 9));
    assert_true(r.bad);
    r = tb_rd_of(b, 8);
    assert_null(tb_rd_take(&r, SIZE_MAX));
    assert_true(r.bad);
}

static void
test_reader_takes_nothing_of_nothing(void **state)
{
    struct tb_rd r = tb_rd_of("", 0);

    (void)state;
    assert_non_null(tb_rd_take(&r, 0));
    assert_false(r.bad);
    assert_int_equal(tb_rd_left(&r), 0);
}

static void
test_reader_reads_nothing_after_a_failure(void **state)
{
    static const uint8_t b[] = { 1, 2, 3 };
    struct tb_rd r = tb_rd_of(b, sizeof(b));

    (void)state;
    assert_int_equal(tb_rd_u32(&r), 0);
    assert_true(r.bad);
    assert_ptr_equal(r.p, b);
    assert_int_equal(tb_rd_left(&r), 0);
    assert_int_equal(tb_rd_u8(&r), 0);
    assert_int_equal(tb_rd_u16(&r), 0);
    assert_int_equal(tb_rd_u32(&r), 0);
    assert_true(tb_rd_u64(&r) == 0);
    assert_null(tb_rd_take(&r, 1));
    assert_ptr_equal(r.p, b);
    assert_true(r.bad);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writer_is_big_endian),
        cmocka_unit_test(test_writer_grows),
        cmocka_unit_test(test_writer_stops_at_its_cap),
        cmocka_unit_test(test_writer_has_a_cap_of_its_own),
        cmocka_unit_test(test_writer_stays_bad),
        cmocka_unit_test(test_room_is_not_written_until_added),
        cmocka_unit_test(test_writing_nothing_is_good),
        cmocka_unit_test(test_patch_overwrites_four_bytes),
        cmocka_unit_test(test_clear_keeps_small_memory),
        cmocka_unit_test(test_printf_appends),
        cmocka_unit_test(test_writer_survives_failing_memory),
        cmocka_unit_test(test_writer_writes_in_place_when_memory_fails),
        cmocka_unit_test(test_reader_reads_each_width),
        cmocka_unit_test(test_reader_refuses_what_is_too_short),
        cmocka_unit_test(test_reader_takes_nothing_of_nothing),
        cmocka_unit_test(test_reader_reads_nothing_after_a_failure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
