/* test_children.c - the table of children: found by key, pid and id, counted,
 * and forgotten. */
#include "services/children.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "tb_test.h"

#define MANY 20000

struct fixture {
    struct tb_children t;
    struct tb_home home[2];
    tb_atom node;
};

static struct fixture f;

static void
open_table(void)
{
    memset(&f, 0, sizeof(f));
    tb_children_init(&f.t);
    f.node = tb_intern((struct tb_text){ "a@b", 3 });
    for (int i = 0; i < 2; i++) {
        tb_list_init(&f.home[i].children);
        f.home[i].node = f.node;
        tb_build(&f.home[i].inc, "{I, Id}",
                 TB_ARGS(tb_v_int(i), tb_v_bin("x", 1)));
    }
}

static void
close_table(void)
{
    tb_children_fini(&f.t);
    tb_wr_free(&f.home[0].inc);
    tb_wr_free(&f.home[1].inc);
}

static struct tb_key
key_of(uint64_t n)
{
    return (struct tb_key){ f.node, 7, n };
}

static struct tb_child *
add(int home, uint64_t n, bool named)
{
    struct tb_wr spec = { 0 };
    struct tb_child *c;

    tb_build(&spec,
             "{Kind, Id, {mod, start_link, [Arg]}, permanent, false, 5000, "
             "worker, [mod]}",
             TB_ARGS(tb_v_atom(named ? "named" : "dynamic"),
                     named ? tb_v_int((int64_t)n) : tb_v_atom("undefined"),
                     tb_v_int((int64_t)n)));
    c = tb_child_new(&f.t, &f.home[home], key_of(n), tb_wr_term(&spec),
                     TB_CHILD_NEW);
    tb_wr_free(&spec);
    return c;
}

static struct tb_child *
by_id(int64_t id)
{
    struct tb_wr w = { 0 };
    struct tb_child *c;

    tb_build(&w, "Id", TB_ARGS(tb_v_int(id)));
    c = tb_children_id(&f.t, tb_wr_term(&w));
    tb_wr_free(&w);
    return c;
}

static struct tb_pid
pid_of(uint64_t n)
{
    return (struct tb_pid){ f.node, (uint32_t)n, 0, 1 };
}

static void
test_children_found(void **state)
{
    struct tb_child *a, *b;
    struct tb_pid pid;

    (void)state;
    open_table();
    pid = pid_of(5);
    a = add(0, 1, true);
    b = add(0, 2, false);
    assert_ptr_equal(tb_children_on(&f.t, key_of(1), &f.home[0]), a);
    assert_null(tb_children_on(&f.t, key_of(1), &f.home[1]));
    assert_ptr_equal(tb_children_best(&f.t, key_of(2)), b);
    assert_ptr_equal(by_id(1), a);
    assert_null(by_id(2)); /* only named ones have an id */
    assert_null(tb_children_pid(&f.t, pid));
    tb_child_set(&f.t, b, TB_CHILD_RUNNING, &pid);
    assert_ptr_equal(tb_children_pid(&f.t, pid), b);
    tb_child_set(&f.t, b, TB_CHILD_EXITED, NULL);
    assert_null(tb_children_pid(&f.t, pid));
    tb_child_free(&f.t, a);
    assert_null(by_id(1));
    assert_int_equal(f.home[0].n, 1);
    close_table();
}

static void
assert_counts(size_t specs, size_t active, size_t workers)
{
    assert_int_equal(f.t.counts.specs, specs);
    assert_int_equal(f.t.counts.active, active);
    assert_int_equal(f.t.counts.workers, workers);
    assert_int_equal(f.t.counts.supervisors, 0);
}

static void
test_children_counted(void **state)
{
    struct tb_child *a;
    struct tb_pid pid, other;

    (void)state;
    open_table();
    pid = pid_of(1);
    other = pid_of(2);
    a = add(0, 1, false);
    assert_counts(0, 0, 0);
    tb_child_set(&f.t, a, TB_CHILD_RUNNING, &pid);
    tb_child_show(&f.t, a, true);
    assert_counts(1, 1, 1);
    tb_child_set(&f.t, a, TB_CHILD_RUNNING, &other);
    assert_counts(1, 1, 1);
    tb_child_set(&f.t, a, TB_CHILD_EXITED, NULL);
    assert_counts(1, 0, 1);
    tb_child_free(&f.t, a);
    assert_counts(0, 0, 0);
    close_table();
}

static void
test_children_of_one_key(void **state)
{
    struct tb_child *a, *b;

    (void)state;
    open_table();
    a = add(0, 1, true);
    b = add(1, 1, true);
    a->starts = 1;
    b->starts = 2;
    assert_ptr_equal(tb_children_best(&f.t, key_of(1)), b);
    assert_ptr_equal(tb_children_other(&f.t, b), a);
    f.home[1].lost = true;
    assert_ptr_equal(tb_children_best(&f.t, key_of(1)), a);
    assert_null(tb_children_other(&f.t, a));
    tb_child_free(&f.t, a);
    assert_ptr_equal(tb_children_best(&f.t, key_of(1)), b);
    close_table();
}

static bool
any(const void *ctx, tb_atom node)
{
    (void)ctx;
    return node != 0;
}

/* What was asked for counts more than how often it was started, and starts
 * never look like it. */
static void
test_children_asked(void **state)
{
    uint64_t n = 1, stopped;

    (void)state;
    for (int i = 0; i < 2000; i++) {
        stopped = tb_starts_stopped(n);
        assert_true(tb_starts_is_stopped(stopped));
        assert_true(tb_starts_is_stopped(tb_starts_stopped(stopped)));
        assert_true(tb_starts_stopped(stopped) > tb_starts_more(stopped));
        assert_true(stopped > tb_starts_more(tb_starts_more(n)));
        n = tb_starts_asked(stopped);
        assert_false(tb_starts_is_stopped(n));
        assert_true(n > tb_starts_more(stopped));
        assert_true(tb_starts_asked(n) > tb_starts_stopped(n));
        assert_false(tb_starts_is_stopped(tb_starts_asked(n)));
    }
    /* as those read it who know of starts only */
    assert_int_equal(stopped, (uint32_t)stopped);
    assert_int_equal(n % TB_STARTS_ASKED, 2001);
    n = TB_STARTS_ASKED - 1;
    assert_true(tb_starts_more(n) > n);
    assert_false(tb_starts_is_stopped(tb_starts_more(n)));
    assert_true(tb_starts_is_stopped(tb_starts_more(tb_starts_stopped(n))));
}

static void
test_children_count_term(void **state)
{
    struct tb_child *c;
    struct tb_wr w = { 0 };

    (void)state;
    open_table();
    c = add(0, 1, false);
    tb_child_count(c, tb_test_term("{3,[]}"));
    assert_int_equal(c->starts, 3);
    assert_false(tb_child_stands_for(c, &f.home[1]));
    tb_child_put_count(&w, c, 4);
    assert_term(tb_wr_term(&w), "{4,[]}");
    w.len = 0;
    tb_child_follow(c, c, 4, &f.home[1], any, NULL);
    tb_child_put_count(&w, c, c->starts);
    assert_term(tb_wr_term(&w), "{4,[{'a@b',{1,<<\"x\">>}}]}");
    tb_child_count(c, tb_wr_term(&w));
    assert_true(tb_child_stands_for(c, &f.home[1]));
    assert_false(tb_child_stands_for(c, &f.home[0]));
    w.len = 0;
    tb_child_follow(c, c, 5, &f.home[1], any, NULL); /* not twice */
    tb_child_put_count(&w, c, c->starts);
    assert_term(tb_wr_term(&w), "{5,[{'a@b',{1,<<\"x\">>}}]}");
    tb_wr_free(&w);
    close_table();
}

static bool
not_this(const void *ctx, tb_atom node)
{
    return node != *(const tb_atom *)ctx;
}

/* A child that has lost a thousand hosts does not carry all of them along. */
static void
test_children_stands_bounded(void **state)
{
    struct tb_home lost = { 0 };
    struct tb_child *c;
    struct tb_wr w = { 0 };

    (void)state;
    open_table();
    c = add(0, 1, false);
    for (int64_t i = 0; i < 1000; i++) {
        char name[32];
        int n = snprintf(name, sizeof(name), "n%d@b", (int)(i % 200));

        lost.node = tb_intern((struct tb_text){ name, (size_t)n });
        lost.inc.len = w.len = 0;
        tb_build(&lost.inc, "{I, Id}", TB_ARGS(tb_v_int(i), tb_v_bin("x", 1)));
        tb_child_follow(c, c, (uint64_t)i, &lost, any, NULL);
        tb_child_put_count(&w, c, c->starts);
        assert_true(tb_child_stands_for(c, &lost));
        assert_in_range(w.len, 1, (TB_MAX_STANDS + 1) * 64);
    }
    tb_child_follow(c, c, 999, NULL, not_this, &lost.node);
    assert_false(tb_child_stands_for(c, &lost));
    assert_non_null(c->stands_for);
    assert_int_equal(c->starts, 999);
    tb_wr_free(&lost.inc);
    tb_wr_free(&w);
    close_table();
}

/* Another incarnation of a node: the earlier one does not come back. */
static void
test_children_stands_for_the_last(void **state)
{
    struct tb_child *c;

    (void)state;
    open_table();
    c = add(0, 1, false);
    for (int i = 0; i < 2; i++)
        tb_child_follow(c, c, 1, &f.home[i], any, NULL);
    assert_false(tb_child_stands_for(c, &f.home[0]));
    assert_true(tb_child_stands_for(c, &f.home[1]));
    close_table();
}

static void
test_children_no_spec(void **state)
{
    (void)state;
    open_table();
    assert_null(tb_child_new(&f.t, &f.home[0], key_of(1), tb_test_term("foo"),
                             TB_CHILD_NEW));
    assert_int_equal(f.t.index[TB_BY_KEY].n, 0);
    close_table();
}

/* In and out in another order: what is left is found, what went is not. */
static void
test_children_many(void **state)
{
    struct tb_pid pid;

    (void)state;
    open_table();
    for (uint64_t n = 0; n < MANY; n++) {
        struct tb_child *c = add((int)(n % 2), n, n % 3 == 0);

        pid = pid_of(n);
        tb_child_set(&f.t, c, TB_CHILD_RUNNING, &pid);
        tb_child_show(&f.t, c, true);
    }
    for (uint64_t n = 0; n < MANY; n += 5)
        tb_child_free(&f.t, tb_children_best(&f.t, key_of(n)));
    for (uint64_t n = 0; n < MANY; n++) {
        struct tb_child *c = tb_children_best(&f.t, key_of(n));

        assert_int_equal(c != NULL, n % 5 != 0);
        assert_ptr_equal(tb_children_pid(&f.t, pid_of(n)), c);
        assert_ptr_equal(by_id((int64_t)n), n % 3 == 0 ? c : NULL);
    }
    assert_counts(MANY - MANY / 5, MANY - MANY / 5, MANY - MANY / 5);
    for (uint64_t n = 10; n < MANY; n++)
        if (n % 5)
            tb_child_free(&f.t, tb_children_best(&f.t, key_of(n)));
    for (int by = 0; by < TB_INDEXES; by++)
        assert_in_range(f.t.index[by].cap, 1, 64);
    for (uint64_t n = 0; n < 10; n++)
        assert_int_equal(tb_children_best(&f.t, key_of(n)) != NULL, n % 5 != 0);
    close_table();
}

static void
assert_spec(const char *kept, const char *spec, const char *shown)
{
    struct tb_child *c =
        tb_child_new(&f.t, &f.home[0], key_of(++f.t.last_order),
                     tb_test_term(kept), TB_CHILD_NEW);
    struct tb_shown s = { 0 };

    assert_non_null(c);
    assert_term(tb_child_spec(c), spec);
    tb_child_put_shown(&s, c, tb_v_atom("here"));
    assert_term(tb_wr_term(&s.items), shown);
    tb_shown_free(&s);
}

/* What they have in common is there once, and goes with the last of them. */
static void
test_children_forms(void **state)
{
    static const char worker[] =
        "{named, \"b\", {m, f, [1]}, transient, false, 7, worker, [m]}";
    static const char dynamic[] = "{dynamic, undefined, {m, f, []}, temporary, "
                                  "false, infinity, supervisor, dynamic}";

    (void)state;
    open_table();
    assert_spec(worker, worker, "{\"b\", here, worker, [m]}");
    assert_spec("{named, {a, 1}, {m, f, []}, transient, false, 7, worker, [m]}",
                "{named, {a, 1}, {m, f, []}, transient, false, 7, worker, [m]}",
                "{{a, 1}, here, worker, [m]}");
    assert_int_equal(tb_map_count(f.t.forms), 1);
    assert_spec(dynamic, dynamic, "{undefined, here, supervisor, dynamic}");
    assert_spec(worker, worker, "{\"b\", here, worker, [m]}");
    assert_int_equal(tb_map_count(f.t.forms), 2);
    TB_LIST_EACH (c, &f.home[0].children, struct tb_child, link)
        tb_child_free(&f.t, c);
    assert_int_equal(tb_map_count(f.t.forms), 0);
    close_table();
}

/* The same spec with an atom in another encoding, which is not kept. */
static void
test_children_same_form(void **state)
{
    static const uint8_t before[] = "\167\011permanent";
    static const uint8_t longer[] = "\166\000\011permanent";
    struct tb_wr w = { 0 };
    struct tb_child *a, *b;
    struct tb_term spec;
    uint8_t *at;

    (void)state;
    open_table();
    a = add(0, 1, true);
    spec = tb_child_spec(a);
    at = memmem(spec.p, spec.n, before, sizeof(before) - 1);
    assert_non_null(at);
    tb_wr_bytes(&w, spec.p, (size_t)(at - spec.p));
    tb_wr_bytes(&w, longer, sizeof(longer) - 1);
    at += sizeof(before) - 1;
    tb_wr_bytes(&w, at, (size_t)(spec.p + spec.n - at));
    b = tb_child_new(&f.t, &f.home[1], key_of(1), tb_wr_term(&w), TB_CHILD_NEW);
    assert_ptr_equal(b->form, a->form);
    assert_int_equal(tb_map_count(f.t.forms), 1);
    tb_wr_free(&w);
    close_table();
}

/* 200 bytes for a child are enough. */
static void
test_children_are_small(void **state)
{
    size_t before, after;

    (void)state;
    open_table();
    before = mallinfo2().uordblks;
    for (uint64_t n = 0; n < MANY; n++) {
        struct tb_child *c = add(0, n, false);
        struct tb_pid pid = pid_of(n);

        tb_child_set(&f.t, c, TB_CHILD_RUNNING, &pid);
    }
    after = mallinfo2().uordblks;
    if (after > before) /* a sanitizer's allocator does not tell */
        assert_in_range((after - before) / MANY, 100, 200);
    close_table();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_children_found),
        cmocka_unit_test(test_children_counted),
        cmocka_unit_test(test_children_of_one_key),
        cmocka_unit_test(test_children_asked),
        cmocka_unit_test(test_children_count_term),
        cmocka_unit_test(test_children_stands_bounded),
        cmocka_unit_test(test_children_stands_for_the_last),
        cmocka_unit_test(test_children_no_spec),
        cmocka_unit_test(test_children_many),
        cmocka_unit_test(test_children_forms),
        cmocka_unit_test(test_children_same_form),
        cmocka_unit_test(test_children_are_small),
    };

    return cmocka_run_group_tests_name("services/children", tests,
                                       tb_test_atoms, tb_test_atoms_gone);
}
