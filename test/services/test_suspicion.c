/* test_suspicion.c - when silence is suspicious: on round trips recorded from
 * links of several kinds (make record-rtt), and at the edges. */
#include <stdio.h>
#include <string.h>

#include "services/suspicion.h"
#include "tb_test.h"

#define MAX_SAMPLES 1024
#define NEVER       UINT64_MAX

static const struct tb_suspicion_limits defaults = {
    .suspect_ms = 1000, .probe_ms = 500, .max_ms = 10000, .down_ms = 5000
};

/* ------------------------------------------------------------- a link -- */

/* A link whose round trips were recorded, one each 100 ms. */
struct link {
    uint32_t rtt_us[MAX_SAMPLES];
    unsigned n;
    uint64_t cut; /* what is sent from then on is not answered */
};

static void
load(struct link *l, const char *name)
{
    char path[64];
    unsigned long at, us;
    FILE *f;

    snprintf(path, sizeof(path), "test/data/rtt/%s.txt", name);
    f = fopen(path, "r");
    assert_non_null(f);
    *l = (struct link){ .cut = NEVER };
    while (l->n < MAX_SAMPLES && fscanf(f, "%lu %lu", &at, &us) == 2) {
        assert_int_equal(at, l->n * 100);
        l->rtt_us[l->n++] = (uint32_t)us;
    }
    fclose(f);
    assert_true(l->n >= 500);
}

static uint64_t
length_ms(const struct link *l)
{
    return l->n * UINT64_C(100);
}

/* What came of it. */
struct outcome {
    unsigned probes, suspicions, downs;
    uint64_t first_suspect, first_down;
    uint32_t worst_timeout;
};

struct flight {
    uint64_t sent, arrives;
};

/* Answers arrive in the order of the questions, as over TCP. */
static uint64_t
arrival(const struct link *l, uint64_t now, const struct flight *last)
{
    uint64_t at = now + (l->rtt_us[now / 100 % l->n] + 999) / 1000;

    if (now >= l->cut)
        return NEVER;
    return at > last->arrives ? at : last->arrives;
}

/* The detector on that link, where nothing but answers ever comes: it looks for
 * them when it is due, as the real one does. */
static struct outcome
run(const struct link *l, const struct tb_suspicion_limits *limits,
    uint64_t until)
{
    struct flight flights[64] = { { 0, 0 } };
    struct outcome out = { .first_suspect = NEVER, .first_down = NEVER };
    struct tb_suspicion s;
    unsigned first = 0, n = 0;
    uint64_t next;

    tb_suspicion_start(&s, 0);
    for (uint64_t now = 0; now <= until; now = next) {
        unsigned judged;
        uint32_t timeout;

        for (; first < n && flights[first % 64].arrives <= now; first++) {
            const struct flight *f = &flights[first % 64];

            tb_suspicion_rtt(&s, limits, (f->arrives - f->sent) * 1000);
            tb_suspicion_heard(&s, f->arrives);
        }
        timeout = tb_suspicion_timeout(&s, limits);
        out.worst_timeout =
            timeout > out.worst_timeout ? timeout : out.worst_timeout;
        judged = tb_suspicion_judge(&s, limits, now, &next);
        assert_true(next > now);
        if ((judged & TB_JUDGED_ASK) && n - first < 8) {
            flights[n % 64] =
                (struct flight){ now,
                                 arrival(l, now, &flights[(n + 63) % 64]) };
            n++;
            out.probes++;
        }
        if ((judged & TB_JUDGED_SUSPECT) && out.suspicions++ == 0)
            out.first_suspect = now;
        if ((judged & TB_JUDGED_DOWN) && out.downs++ == 0)
            out.first_down = now;
        if (judged & TB_JUDGED_DOWN)
            tb_suspicion_start(&s, now);
    }
    return out;
}

/* ------------------------------------------------------------- traces -- */

static void
test_suspicion_trusts_a_steady_link(void **state)
{
    struct outcome out;
    struct link l;

    (void)state;
    load(&l, "steady");
    out = run(&l, &defaults, length_ms(&l));
    assert_int_equal(out.suspicions, 0);
    assert_int_equal(out.worst_timeout, 1000);
    /* two a second, some of them a little early */
    assert_in_range(out.probes, 110, 150);
}

static void
test_suspicion_trusts_a_jittery_link(void **state)
{
    struct outcome out;
    struct link l;

    (void)state;
    load(&l, "jittery"); /* 200 ms, more or less 100, each way */
    out = run(&l, &defaults, length_ms(&l));
    assert_int_equal(out.suspicions, 0);
    assert_in_range(out.worst_timeout, 1001, 2500);
}

static void
test_suspicion_trusts_a_bursty_link(void **state)
{
    struct outcome out;
    struct link l;

    (void)state;
    load(&l, "bursty"); /* 20 MB messages in between */
    out = run(&l, &defaults, length_ms(&l));
    assert_int_equal(out.suspicions, 0);
    assert_in_range(out.worst_timeout, 1000, 1500);
}

static void
test_suspicion_bears_a_lossy_link(void **state)
{
    struct outcome out;
    struct link l;

    (void)state;
    load(&l, "lossy"); /* 5 % each way, over the jittery one */
    out = run(&l, &defaults, length_ms(&l));
    printf("# lossy: %u suspicions, timeout up to %u ms\n", out.suspicions,
           out.worst_timeout);
    assert_int_equal(out.downs, 0);
    assert_in_range(out.suspicions, 0, 3);
    assert_in_range(out.worst_timeout, 1500, 10000);
}

/* Cut at any moment: in time on a good link, and on a bad one as soon as that
 * allows. */
static void
test_suspicion_finds_every_cut(void **state)
{
    static const struct {
        const char *name;
        uint64_t within;
    } links[] = { { "steady", 1000 },
                  { "bursty", 1500 },
                  { "jittery", 2000 },
                  { "lossy", 10000 } };

    (void)state;
    for (size_t i = 0; i < LENGTH(links); i++) {
        struct link l;

        load(&l, links[i].name);
        for (uint64_t cut = 5000; cut < 30000; cut += 7) {
            struct outcome before = run(&l, &defaults, cut), out;

            l.cut = cut;
            out = run(&l, &defaults, cut + 20000);
            l.cut = NEVER;
            assert_int_equal(out.downs > 0, 1);
            if (before.suspicions > 0)
                continue;
            assert_in_range(out.first_suspect, cut, cut + links[i].within);
            assert_in_range(out.first_down, cut + 5000 - 1100,
                            cut + 5000 + links[i].within);
        }
    }
}

/* -------------------------------------------------------------- edges -- */

/* Judges from then on until something follows, and when that is. */
static unsigned
wait_for(struct tb_suspicion *s, const struct tb_suspicion_limits *l,
         unsigned what, uint64_t *now)
{
    uint64_t next;

    for (int i = 0; i < 1000; i++) {
        unsigned judged = tb_suspicion_judge(s, l, *now, &next);

        if (judged & what)
            return judged;
        *now = next;
    }
    return 0;
}

static void
test_suspicion_asks_before_it_suspects(void **state)
{
    struct tb_suspicion s;
    uint64_t now = 10000;

    (void)state;
    tb_suspicion_start(&s, now);
    assert_int_equal(
        wait_for(&s, &defaults, TB_JUDGED_ASK | TB_JUDGED_SUSPECT, &now),
        TB_JUDGED_ASK);
    assert_int_equal(now, 10000); /* how long do answers take here? */
    now++;
    assert_int_equal(wait_for(&s, &defaults, TB_JUDGED_ASK, &now),
                     TB_JUDGED_ASK);
    assert_int_equal(now, 10500);
    assert_true(wait_for(&s, &defaults, TB_JUDGED_SUSPECT, &now));
    assert_in_range(now, 10900, 11000);
    assert_true(wait_for(&s, &defaults, TB_JUDGED_DOWN, &now));
    assert_int_equal(now, 15000);
}

/* Somebody who looked only now may have missed what came: not at first sight.
 */
static void
test_suspicion_looks_twice(void **state)
{
    struct tb_suspicion s;
    uint64_t next;

    (void)state;
    tb_suspicion_start(&s, 0);
    assert_int_equal(
        tb_suspicion_judge(&s, &defaults, 60000, &next) & TB_JUDGED_SUSPECT, 0);
    assert_in_range(next, 60001, 60100);
    assert_true(tb_suspicion_judge(&s, &defaults, next, &next) &
                TB_JUDGED_SUSPECT);
}

static void
test_suspicion_ends_with_a_sign_of_life(void **state)
{
    struct tb_suspicion s;
    uint64_t now = 0;

    (void)state;
    tb_suspicion_start(&s, now);
    assert_true(wait_for(&s, &defaults, TB_JUDGED_SUSPECT, &now));
    assert_true(tb_suspicion_heard(&s, now));
    assert_false(tb_suspicion_heard(&s, now));
    assert_false(s.suspect);
    assert_true(wait_for(&s, &defaults, TB_JUDGED_SUSPECT, &now));
    assert_in_range(now, 1900, 2000);
}

/* What is older than the silence is no news of it. */
static void
test_suspicion_is_not_moved_back(void **state)
{
    struct tb_suspicion s;
    uint64_t now = 5000;

    (void)state;
    tb_suspicion_start(&s, now);
    tb_suspicion_heard(&s, 1000);
    assert_true(wait_for(&s, &defaults, TB_JUDGED_SUSPECT, &now));
    assert_in_range(now, 5900, 6000);
}

static void
test_suspicion_is_void_where_we_were_away(void **state)
{
    struct tb_suspicion s;
    uint64_t now = 0, next;

    (void)state;
    tb_suspicion_start(&s, now);
    tb_suspicion_void(&s, 60000); /* nobody is accused of that minute */
    assert_int_equal(tb_suspicion_judge(&s, &defaults, 60000, &next) &
                         (TB_JUDGED_SUSPECT | TB_JUDGED_DOWN),
                     0);
    now = 60000;
    assert_true(wait_for(&s, &defaults, TB_JUDGED_SUSPECT, &now));
    assert_in_range(now, 60900, 61000);
    /* who was suspect stays so, and gets all of the time again to be down */
    tb_suspicion_void(&s, 70000);
    assert_true(s.suspect);
    now = 70000;
    assert_true(wait_for(&s, &defaults, TB_JUDGED_DOWN, &now));
    assert_int_equal(now, 75000);
}

static void
test_suspicion_waits_while_others_hear_it(void **state)
{
    struct tb_suspicion s;
    uint64_t now = 0, next;

    (void)state;
    tb_suspicion_start(&s, now);
    assert_true(wait_for(&s, &defaults, TB_JUDGED_SUSPECT, &now));
    for (now = 1000; now < 30000; now += 1000) {
        tb_suspicion_vouch(&s, &defaults, now);
        assert_int_equal(
            tb_suspicion_judge(&s, &defaults, now, &next) & TB_JUDGED_DOWN, 0);
    }
    assert_true(wait_for(&s, &defaults, TB_JUDGED_DOWN, &now));
    assert_in_range(now, 30000, 34000);
}

static void
test_suspicion_without_down_ms_is_never_down(void **state)
{
    struct tb_suspicion_limits l = defaults;
    struct tb_suspicion s;
    uint64_t now = 0;

    (void)state;
    l.down_ms = 0;
    tb_suspicion_start(&s, now);
    assert_int_equal(wait_for(&s, &l, TB_JUDGED_DOWN, &now), 0);
    assert_true(s.suspect);
}

/* A stop of the peer is forgotten within four seconds. */
static void
test_suspicion_timeout_grows_and_shrinks(void **state)
{
    struct tb_suspicion s = { 0 };
    uint32_t after;

    (void)state;
    assert_int_equal(tb_suspicion_timeout(&s, &defaults), 1000);
    for (int i = 0; i < 10; i++)
        tb_suspicion_rtt(&s, &defaults, 200);
    assert_int_equal(tb_suspicion_timeout(&s, &defaults), 1000);
    tb_suspicion_rtt(&s, &defaults, 1500000);
    after = tb_suspicion_timeout(&s, &defaults);
    assert_in_range(after, 1500, 2000);
    for (int i = 0; i < 8; i++)
        tb_suspicion_rtt(&s, &defaults, 200);
    assert_int_equal(tb_suspicion_timeout(&s, &defaults), 1000);
    for (int i = 0; i < 100; i++)
        tb_suspicion_rtt(&s, &defaults, UINT64_C(1) << 60);
    assert_int_equal(tb_suspicion_timeout(&s, &defaults), 10000);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_suspicion_trusts_a_steady_link),
        cmocka_unit_test(test_suspicion_trusts_a_jittery_link),
        cmocka_unit_test(test_suspicion_trusts_a_bursty_link),
        cmocka_unit_test(test_suspicion_bears_a_lossy_link),
        cmocka_unit_test(test_suspicion_finds_every_cut),
        cmocka_unit_test(test_suspicion_asks_before_it_suspects),
        cmocka_unit_test(test_suspicion_looks_twice),
        cmocka_unit_test(test_suspicion_ends_with_a_sign_of_life),
        cmocka_unit_test(test_suspicion_is_not_moved_back),
        cmocka_unit_test(test_suspicion_is_void_where_we_were_away),
        cmocka_unit_test(test_suspicion_waits_while_others_hear_it),
        cmocka_unit_test(test_suspicion_without_down_ms_is_never_down),
        cmocka_unit_test(test_suspicion_timeout_grows_and_shrinks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
