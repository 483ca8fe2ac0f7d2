/* test_supervision.c - what a supervisor reckons with: its options, how many
 * restarts it bears, and where children belong. */
#include <stdio.h>
#include <string.h>

#include "services/intensity.h"
#include "services/placement.h"
#include "services/supervisor_options.h"
#include "tb_test.h"

/* -------------------------------------------------------------- options -- */

static const char *
refused(const char *options)
{
    struct tb_supervisor_options o;
    struct tb_wr why = { 0 };
    const char *text;

    assert_int_equal(
        tb_supervisor_options_read(&o, tb_test_term(options), &why),
        -TB_EBADARG);
    text = tb_test_text(tb_wr_term(&why));
    tb_wr_free(&why);
    tb_supervisor_options_fini(&o);
    return text;
}

static void
test_options_refused(void **state)
{
    static const char *const wrong[][2] = {
        { "[{strategy, one_for_all}]", "{invalid_strategy,one_for_all}" },
        { "[{max_restarts, -1}]", "{invalid_intensity,-1}" },
        { "[{max_seconds, 0}]", "{invalid_period,0}" },
        { "[{max_children, x}]", "{invalid_max_children,x}" },
        { "[{extra_arguments, x}]", "{invalid_extra_arguments,x}" },
        { "[{auto_balance, 1}]", "{invalid_auto_balance,1}" },
        { "[{locator, x}]", "{invalid_locator,x}" },
        { "[{hosts, x}]", "{invalid_hosts,x}" },
        { "[{split_policy, majority}]", "{invalid_split_policy,majority}" },
        { "[{backoff, {5, 1}}]", "{invalid_backoff,{5,1}}" },
        { "[{start_rate, 0}]", "{invalid_start_rate,0}" },
        { "[{start_rate, x}]", "{invalid_start_rate,x}" },
        { "[{global, 1}]", "{invalid_global,1}" },
        { "[{no_such, 1}]", "{invalid_no_such,1}" },
        { "[x]", "{invalid_option,x}" },
        { "x", "{invalid_type,x}" },
    };
    char text[200];

    (void)state;
    for (size_t i = 0; i < LENGTH(wrong); i++) {
        snprintf(text, sizeof(text), "{supervisor_data,%s}", wrong[i][1]);
        assert_string_equal(refused(wrong[i][0]), text);
    }
}

static void
test_options_read(void **state)
{
    struct tb_supervisor_options o;
    struct tb_wr why = { 0 };

    (void)state;
    assert_int_equal(tb_supervisor_options_read(&o, tb_test_term("[]"), &why),
                     0);
    assert_int_equal(o.max_restarts, 3);
    assert_int_equal(o.max_seconds, 5);
    assert_int_equal(o.max_children, -1);
    assert_true(o.auto_balance);
    assert_int_equal(o.locator, TB_LOCATE_PHASH2);
    assert_int_equal(o.filter, TB_HOSTS_MODULE);
    tb_supervisor_options_fini(&o);
    assert_int_equal(
        tb_supervisor_options_read(
            &o,
            tb_test_term("[{max_restarts, 0}, {max_children, 7}, "
                         "{locator, {m, f}}, {hosts, {basename, \"app\"}}, "
                         "{extra_arguments, [x]}, {host_module, preloaded}, "
                         "{backoff, {10, 1000}}, {auto_balance, false}]"),
            &why),
        0);
    assert_int_equal(o.max_children, 7);
    assert_int_equal(o.locator, TB_LOCATE_FUN);
    assert_string_equal(o.module, "m");
    assert_int_equal(o.filter, TB_HOSTS_BASENAME);
    assert_true(o.preloaded);
    assert_int_equal(o.backoff_max, 1000);
    assert_term(
        tb_wr_term(&o.all),
        "[{strategy,one_for_one},{max_restarts,0},{max_seconds,5},"
        "{max_children,7},{extra_arguments,[x]},{auto_balance,false},"
        "{locator,{m,f}},{hosts,{basename,<<\"app\">>}},"
        "{split_policy,restart},{forget_ms,86400000},{backoff,{10,1000}}]");
    tb_supervisor_options_fini(&o);
}

/* ------------------------------------------------------------- intensity -- */

/* A list on top of what there is: all of it stays, or only what each node has
 * for itself. */
static void
test_options_changed(void **state)
{
    struct tb_supervisor_options o, now;
    struct tb_wr why = { 0 }, list = { 0 };

    (void)state;
    tb_supervisor_options_read(
        &o, tb_test_term("[{max_restarts, 1}, {start_rate, 9}]"), &why);
    assert_int_equal(o.start_rate, 9);
    assert_int_equal(
        tb_supervisor_options_change(&now, &o, TB_OPTIONS_ALL,
                                     tb_test_term("[{max_children, 2}]"), &why),
        0);
    assert_int_equal(now.max_restarts, 1);
    assert_int_equal(now.max_children, 2);
    assert_int_equal(now.start_rate, 9);
    tb_supervisor_options_put(&now, &list);
    tb_supervisor_options_fini(&now);
    assert_int_equal(tb_supervisor_options_read(&now, tb_wr_term(&list), &why),
                     0);
    assert_int_equal(now.max_children, 2);
    assert_int_equal(now.start_rate, 9);
    tb_supervisor_options_fini(&now);
    assert_int_equal(
        tb_supervisor_options_change(&now, &o, TB_OPTIONS_OWN,
                                     tb_test_term("[{max_children, 2}]"), &why),
        0);
    assert_int_equal(now.max_restarts, 3);
    assert_int_equal(now.start_rate, 9);
    tb_supervisor_options_fini(&now);
    assert_int_equal(tb_supervisor_options_change(&now, &o, TB_OPTIONS_ALL,
                                                  tb_test_term("[x]"), &why),
                     -TB_EBADARG);
    assert_term(tb_wr_term(&why), "{supervisor_data,{invalid_option,x}}");
    tb_supervisor_options_fini(&now);
    tb_supervisor_options_fini(&o);
    tb_wr_free(&list);
    tb_wr_free(&why);
}

static void
test_intensity_as_otp(void **state)
{
    struct tb_intensity in = { 0 };

    (void)state;
    /* two in five seconds, this one among them; the ends count */
    assert_true(tb_intensity_add(&in, 100, 2, 5));
    assert_true(tb_intensity_add(&in, 105, 2, 5));
    assert_false(tb_intensity_add(&in, 105, 2, 5));
    assert_true(tb_intensity_add(&in, 106, 2, 5));
    assert_false(tb_intensity_add(&in, 110, 2, 5));
    assert_true(tb_intensity_add(&in, 111, 2, 5));
    tb_intensity_clear(&in);
    assert_false(tb_intensity_add(&in, 1, 0, 5));
    for (int64_t i = 0; i < 1000; i++)
        assert_true(tb_intensity_add(&in, 7, 1000, 5));
    assert_false(tb_intensity_add(&in, 7, 1000, 5));
    tb_intensity_clear(&in);
}

/* ------------------------------------------------------------- placement -- */

static size_t
fill(struct tb_place *places, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        places[i] = (struct tb_place){ .node = tb_intern((struct tb_text){
                                           names[i], strlen(names[i]) }) };
    return n;
}

static void
test_places_sorted(void **state)
{
    static const char *const names[] = { "b@x", "a@y", "ab@x", "a@x", "B@x" };
    static const char *const sorted[] = { "B@x", "a@x", "a@y", "ab@x", "b@x" };
    struct tb_place places[5];

    (void)state;
    fill(places, names, 5);
    tb_place_sort(places, 5);
    for (size_t i = 0; i < 5; i++)
        assert_true(tb_text_is(tb_atom_text(places[i].node), sorted[i]));
}

static void
test_place_phash2(void **state)
{
    static const char *const names[] = { "a@x", "b@x", "c@x" };
    struct tb_place places[3];
    struct tb_term t = tb_test_term("{{m,f,[]},permanent,5000,worker,[m]}");

    (void)state;
    fill(places, names, 3);
    for (size_t n = 1; n <= 3; n++)
        assert_int_equal(tb_place_find(TB_LOCATE_PHASH2, t, places, n),
                         tb_phash2(t, (uint32_t)n));
}

static void
test_place_least_loaded(void **state)
{
    struct tb_place places[3] = { { 1, 5 }, { 2, 3 }, { 3, 3 } };

    (void)state;
    assert_int_equal(
        tb_place_find(TB_LOCATE_LEAST_LOADED, tb_test_term("x"), places, 3), 1);
}

/* One that comes takes a fair share, and nothing moves between the others. */
static void
test_place_rendezvous(void **state)
{
    static const char *const names[] = { "a@x", "b@x", "c@x", "d@x" };
    struct tb_place places[4];
    size_t moved = 0, load[4] = { 0 };
    struct tb_wr w = { 0 };

    (void)state;
    fill(places, names, 4);
    for (int64_t i = 0; i < 10000; i++) {
        size_t before, after;

        w.len = 0;
        tb_build(&w, "{{m, f, [N]}, permanent, 5000, worker, [m]}",
                 TB_ARGS(tb_v_int(i)));
        before = tb_place_find(TB_LOCATE_RENDEZVOUS, tb_wr_term(&w), places, 3);
        after = tb_place_find(TB_LOCATE_RENDEZVOUS, tb_wr_term(&w), places, 4);
        assert_true(after == before || after == 3);
        moved += after == 3;
        load[after]++;
    }
    tb_wr_free(&w);
    assert_in_range(moved, 2300, 2700);
    for (size_t i = 0; i < 4; i++)
        assert_in_range(load[i], 2300, 2700);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_refused),
        cmocka_unit_test(test_options_read),
        cmocka_unit_test(test_options_changed),
        cmocka_unit_test(test_intensity_as_otp),
        cmocka_unit_test(test_places_sorted),
        cmocka_unit_test(test_place_phash2),
        cmocka_unit_test(test_place_least_loaded),
        cmocka_unit_test(test_place_rendezvous),
    };

    return cmocka_run_group_tests_name("services/supervision", tests,
                                       tb_test_atoms, tb_test_atoms_gone);
}
