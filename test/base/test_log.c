/* test_log.c - levels, the sink, and the rate limit per event. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/limits.h"
#include "base/log.h"
#include "tb_test.h"

struct sink {
    unsigned n;
    enum tb_level level;
    char event[64];
    char text[2 * TB_MAX_LOG_LINE];
    uint64_t suppressed, total;
};

static void
note(void *ctx, enum tb_level level, const char *event, const char *text,
     uint64_t suppressed)
{
    struct sink *s = ctx;

    s->n++;
    s->level = level;
    snprintf(s->event, sizeof(s->event), "%s", event);
    snprintf(s->text, sizeof(s->text), "%s", text);
    s->suppressed = suppressed;
    s->total += suppressed;
}

static int
silence(void **state)
{
    (void)state;
    tb_log_to(NULL, NULL, TB_DEBUG);
    return 0;
}

/* The limit counts within a second of the clock; a burst that begins at its
 * start does not see its end. */
static void
wait_for_a_new_second(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    nanosleep(&(struct timespec){ 0, 1000000000L - now.tv_nsec }, NULL);
}

static void
test_log_is_silent_by_default(void **state)
{
    (void)state;
    for (int i = 0; i < 2 * TB_LOG_BURST; i++)
        tb_log(TB_EMERGENCY, "silent.event", "%d", i);
}

static void
test_log_tells_the_sink_all(void **state)
{
    struct sink s = { 0 };

    (void)state;
    tb_log_to(note, &s, TB_DEBUG);
    tb_log(TB_WARNING, "conn.refused", "peer=%s port=%d", "a@b", 4369);
    assert_int_equal(s.n, 1);
    assert_int_equal(s.level, TB_WARNING);
    assert_string_equal(s.event, "conn.refused");
    assert_string_equal(s.text, "peer=a@b port=4369");
    assert_int_equal(s.suppressed, 0);
}

static void
test_log_leaves_out_lower_levels(void **state)
{
    static const char *const event[] = { "l0", "l1", "l2", "l3",
                                         "l4", "l5", "l6", "l7" };
    struct sink s = { 0 };

    (void)state;
    wait_for_a_new_second();
    for (int most = TB_EMERGENCY; most <= TB_DEBUG; most++) {
        s.n = 0;
        tb_log_to(note, &s, (enum tb_level)most);
        for (int level = TB_EMERGENCY; level <= TB_DEBUG; level++)
            tb_log((enum tb_level)level, event[level], "-");
        assert_int_equal(s.n, most + 1);
        assert_int_equal(s.level, most);
    }
}

static void
test_log_without_a_sink_is_silent_again(void **state)
{
    struct sink s = { 0 };

    (void)state;
    tb_log_to(note, &s, TB_DEBUG);
    tb_log_to(NULL, NULL, TB_DEBUG);
    tb_log(TB_ERROR, "gone.event", "-");
    assert_int_equal(s.n, 0);
}

static void
test_log_cuts_a_long_text(void **state)
{
    struct sink s = { 0 };
    char text[2 * TB_MAX_LOG_LINE];

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    tb_log_to(note, &s, TB_DEBUG);
    tb_log(TB_ERROR, "long.event", "%s", text);
    assert_int_equal(strlen(s.text), TB_MAX_LOG_LINE - 1);
}

static void
test_log_limits_each_event(void **state)
{
    struct sink s = { 0 };

    (void)state;
    tb_log_to(note, &s, TB_DEBUG);
    wait_for_a_new_second();
    for (int i = 0; i < TB_LOG_BURST + 7; i++)
        tb_log(TB_ERROR, "burst.event", "%d", i);
    assert_int_equal(s.n, TB_LOG_BURST);
    assert_int_equal(s.suppressed, 0);
    tb_log(TB_ERROR, "other.event", "-");
    assert_int_equal(s.n, TB_LOG_BURST + 1);
    assert_int_equal(s.suppressed, 0);
    wait_for_a_new_second();
    tb_log(TB_ERROR, "burst.event", "again");
    assert_int_equal(s.n, TB_LOG_BURST + 2);
    assert_int_equal(s.suppressed, 7);
    tb_log(TB_ERROR, "burst.event", "again");
    assert_int_equal(s.suppressed, 0);
}

/* A noisy stranger hides himself, and nobody else. */
static void
test_log_limits_each_node_and_address(void **state)
{
    struct sink s = { 0 };

    (void)state;
    tb_log_to(note, &s, TB_DEBUG);
    wait_for_a_new_second();
    for (int i = 0; i < 20 * TB_LOG_BURST; i++)
        tb_log(TB_ERROR, "noise.event", "from=10.0.0.1 i=%d", i);
    assert_int_equal(s.n, TB_LOG_BURST);
    tb_log(TB_ERROR, "noise.event", "from=10.0.0.2 i=0");
    tb_log(TB_ERROR, "noise.event", "node=a@b");
    tb_log(TB_ERROR, "noise.event", "of nobody");
    tb_log(TB_ERROR, "still.event", "from=10.0.0.1");
    assert_int_equal(s.n, TB_LOG_BURST + 4);
    assert_int_equal(s.suppressed, 0);
    wait_for_a_new_second();
    tb_log(TB_ERROR, "noise.event", "from=10.0.0.1 again");
    assert_int_equal(s.suppressed, 19 * TB_LOG_BURST);
}

/* Many that are noisy together are an event's noise. */
static void
test_log_limits_many_together(void **state)
{
    struct sink s = { 0 };
    unsigned all = 0;

    (void)state;
    tb_log_to(note, &s, TB_DEBUG);
    wait_for_a_new_second();
    for (int i = 0; i < 5000; i++, all++)
        tb_log(TB_ERROR, "crowd.event", "from=10.0.%d.%d", i / 200, i % 200);
    assert_int_equal(s.n, TB_LOG_BURST_ALL);
    tb_log(TB_ERROR, "other.crowd", "from=10.0.0.1");
    assert_int_equal(s.n, TB_LOG_BURST_ALL + 1);
    wait_for_a_new_second();
    s.total = 0;
    tb_log_tell();
    assert_int_equal(s.total, all - TB_LOG_BURST_ALL);
}

static void
test_log_tells_what_it_left_out(void **state)
{
    struct sink s = { 0 };

    (void)state;
    tb_log_to(note, &s, TB_DEBUG);
    wait_for_a_new_second();
    for (int i = 0; i < TB_LOG_BURST + 3; i++)
        tb_log(TB_WARNING, "told.event", "node=a@b i=%d", i);
    s.n = 0;
    tb_log_tell();
    assert_int_equal(s.n, 0); /* the second is not over */
    wait_for_a_new_second();
    tb_log_tell();
    assert_int_equal(s.n, 1);
    assert_string_equal(s.event, "told.event");
    assert_string_equal(s.text, "node=a@b");
    assert_int_equal(s.level, TB_WARNING);
    assert_int_equal(s.suppressed, 3);
    tb_log_tell();
    assert_int_equal(s.n, 1);
}

static void
test_log_does_not_count_what_no_one_hears(void **state)
{
    struct sink s = { 0 };

    (void)state;
    tb_log_to(note, &s, TB_ERROR);
    wait_for_a_new_second();
    for (int i = 0; i < 3 * TB_LOG_BURST; i++)
        tb_log(TB_DEBUG, "quiet.event", "-");
    tb_log(TB_ERROR, "quiet.event", "-");
    assert_int_equal(s.n, 1);
    assert_int_equal(s.suppressed, 0);
}

/* Last, since the table is never emptied. */
static void
test_log_survives_more_events_than_it_tells_apart(void **state)
{
    static char events[2 * TB_LOG_IDS][24];
    struct sink s = { 0 };

    (void)state;
    tb_log_to(note, &s, TB_DEBUG);
    for (int i = 0; i < 2 * TB_LOG_IDS; i++) {
        snprintf(events[i], sizeof(events[i]), "event.%d", i);
        tb_log(TB_ERROR, events[i], "-");
    }
    assert_true(s.n >= TB_LOG_IDS / 2);
    tb_log(TB_ERROR, "conn.refused", "-");
    assert_string_equal(s.event, "conn.refused");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_is_silent_by_default),
        cmocka_unit_test_teardown(test_log_tells_the_sink_all, silence),
        cmocka_unit_test_teardown(test_log_leaves_out_lower_levels, silence),
        cmocka_unit_test_teardown(test_log_without_a_sink_is_silent_again,
                                  silence),
        cmocka_unit_test_teardown(test_log_cuts_a_long_text, silence),
        cmocka_unit_test_teardown(test_log_limits_each_event, silence),
        cmocka_unit_test_teardown(test_log_limits_each_node_and_address,
                                  silence),
        cmocka_unit_test_teardown(test_log_limits_many_together, silence),
        cmocka_unit_test_teardown(test_log_tells_what_it_left_out, silence),
        cmocka_unit_test_teardown(test_log_does_not_count_what_no_one_hears,
                                  silence),
        cmocka_unit_test_teardown(
            test_log_survives_more_events_than_it_tells_apart, silence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
