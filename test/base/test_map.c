/* test_map.c - the hash map from bytes to pointers. */
#include <errno.h>
#include <string.h>

#include "tb_test.h"

static int values[10000];

static void
test_map_gives_what_was_put(void **state)
{
    struct tb_map *m = tb_map_new();

    (void)state;
    assert_int_equal(tb_map_count(m), 0);
    assert_null(tb_map_get(m, "a", 1));
    assert_int_equal(tb_map_put(m, "a", 1, &values[0]), 0);
    assert_int_equal(tb_map_put(m, "ab", 2, &values[1]), 0);
    assert_int_equal(tb_map_put(m, "a\0b", 3, &values[2]), 0);
    assert_int_equal(tb_map_put(m, "", 0, &values[3]), 0);
    assert_int_equal(tb_map_count(m), 4);
    assert_ptr_equal(tb_map_get(m, "a", 1), &values[0]);
    assert_ptr_equal(tb_map_get(m, "ab", 2), &values[1]);
    assert_ptr_equal(tb_map_get(m, "a\0b", 3), &values[2]);
    assert_ptr_equal(tb_map_get(m, "", 0), &values[3]);
    assert_null(tb_map_get(m, "a\0c", 3));
    assert_null(tb_map_get(m, "b", 1));
    tb_map_free(m);
}

static void
test_map_copies_its_keys(void **state)
{
    struct tb_map *m = tb_map_new();
    char key[] = "key";

    (void)state;
    assert_int_equal(tb_map_put(m, key, 3, &values[0]), 0);
    memset(key, 0, sizeof(key));
    assert_ptr_equal(tb_map_get(m, "key", 3), &values[0]);
    tb_map_free(m);
}

static void
test_map_refuses_a_key_twice(void **state)
{
    struct tb_map *m = tb_map_new();

    (void)state;
    assert_int_equal(tb_map_put(m, "a", 1, &values[0]), 0);
    assert_int_equal(tb_map_put(m, "a", 1, &values[1]), -EEXIST);
    assert_ptr_equal(tb_map_get(m, "a", 1), &values[0]);
    assert_int_equal(tb_map_count(m), 1);
    tb_map_free(m);
}

static void
test_map_take_removes(void **state)
{
    struct tb_map *m = tb_map_new();

    (void)state;
    tb_map_put(m, "a", 1, &values[0]);
    tb_map_put(m, "b", 1, &values[1]);
    assert_ptr_equal(tb_map_take(m, "a", 1), &values[0]);
    assert_null(tb_map_take(m, "a", 1));
    assert_null(tb_map_get(m, "a", 1));
    assert_int_equal(tb_map_count(m), 1);
    assert_int_equal(tb_map_put(m, "a", 1, &values[2]), 0);
    assert_ptr_equal(tb_map_take(m, "a", 1), &values[2]);
    assert_ptr_equal(tb_map_take(m, "b", 1), &values[1]);
    assert_int_equal(tb_map_count(m), 0);
    tb_map_free(m);
}

struct visit {
    struct tb_map *m;
    int seen[100];
    int n;
    bool all; /* remove all, or every second one */
};

static void
visit_value(void *ctx, void *value)
{
    struct visit *v = ctx;
    int i = *(int *)value;

    v->seen[v->n++] = i;
    if (v->m && (v->all || i % 2 == 0))
        assert_ptr_equal(tb_map_take(v->m, &i, sizeof(i)), value);
}

static struct tb_map *
map_of_100(void)
{
    struct tb_map *m = tb_map_new();

    for (int i = 0; i < 100; i++) {
        values[i] = i;
        assert_int_equal(tb_map_put(m, &i, sizeof(i), &values[i]), 0);
    }
    return m;
}

static void
test_each_goes_in_the_order_of_insertion(void **state)
{
    struct tb_map *m = map_of_100();
    struct visit v = { 0 };
    int zero = 0;

    (void)state;
    tb_map_each(m, visit_value, &v);
    assert_int_equal(v.n, 100);
    for (int i = 0; i < 100; i++)
        assert_int_equal(v.seen[i], i);
    tb_map_take(m, &zero, sizeof(zero));
    tb_map_put(m, &zero, sizeof(zero), &values[0]);
    v.n = 0;
    tb_map_each(m, visit_value, &v);
    assert_int_equal(v.seen[0], 1);
    assert_int_equal(v.seen[99], 0);
    tb_map_free(m);
}

static void
test_each_may_remove_its_value(void **state)
{
    struct tb_map *m = map_of_100();
    struct visit v = { .m = m };

    (void)state;
    tb_map_each(m, visit_value, &v);
    assert_int_equal(v.n, 100);
    assert_int_equal(tb_map_count(m), 50);
    v.n = 0;
    v.all = true;
    tb_map_each(m, visit_value, &v);
    assert_int_equal(v.n, 50);
    for (int i = 0; i < 50; i++)
        assert_int_equal(v.seen[i], 2 * i + 1);
    assert_int_equal(tb_map_count(m), 0);
    v.n = 0;
    tb_map_each(m, visit_value, &v);
    assert_int_equal(v.n, 0);
    tb_map_free(m);
}

static void
test_map_holds_ten_thousand(void **state)
{
    struct tb_map *m = tb_map_new();
    const int n = 10000;

    (void)state;
    for (int i = 0; i < n; i++)
        assert_int_equal(tb_map_put(m, &i, sizeof(i), &values[i]), 0);
    assert_int_equal(tb_map_count(m), n);
    for (int i = 0; i < n; i++)
        assert_ptr_equal(tb_map_get(m, &i, sizeof(i)), &values[i]);
    for (int i = 0; i < n; i += 2)
        assert_ptr_equal(tb_map_take(m, &i, sizeof(i)), &values[i]);
    assert_int_equal(tb_map_count(m), n / 2);
    for (int i = 0; i < n; i++)
        assert_ptr_equal(tb_map_get(m, &i, sizeof(i)),
                         i % 2 ? &values[i] : NULL);
    tb_map_free(m);
}

/* Keys of every length pass through every branch of the hash. */
static void
test_map_tells_keys_of_any_length_apart(void **state)
{
    struct tb_map *m = tb_map_new();
    char key[64];

    (void)state;
    memset(key, 'k', sizeof(key));
    for (size_t n = 0; n <= sizeof(key); n++)
        assert_int_equal(tb_map_put(m, key, n, &values[n]), 0);
    for (size_t n = 0; n <= sizeof(key); n++)
        assert_ptr_equal(tb_map_get(m, key, n), &values[n]);
    tb_map_free(m);
}

static void
test_map_survives_failing_memory(void **state)
{
    struct tb_map *m;

    (void)state;
    tb_mem_fail_after(1);
    assert_null(tb_map_new());
    tb_mem_fail_after(0);
    m = tb_map_new();
    TB_FAIL_EACH_ALLOC(3, {
        assert_int_equal(tb_map_put(m, "a", 1, &values[0]), -ENOMEM);
        assert_int_equal(tb_map_count(m), 0);
        assert_null(tb_map_get(m, "a", 1));
    });
    assert_int_equal(tb_map_put(m, "a", 1, &values[0]), 0);
    TB_FAIL_EACH_ALLOC(1, {
        assert_int_equal(tb_map_put(m, "b", 1, &values[1]), -ENOMEM);
        assert_int_equal(tb_map_put(m, "a", 1, &values[1]), -EEXIST);
    });
    assert_int_equal(tb_map_count(m), 1);
    assert_ptr_equal(tb_map_get(m, "a", 1), &values[0]);
    tb_map_free(m);
}

/* The n-th allocation may be that of a larger table, which a map can do
 * without. */
static void
test_map_survives_failing_growth(void **state)
{
    (void)state;
    TB_FAIL_EACH_ALLOC(1000, {
        struct tb_map *m = tb_map_new();
        size_t put = 0;

        for (int i = 0; m && i < 1000; i++)
            if (tb_map_put(m, &i, sizeof(i), &values[i]) == 0)
                put++;
        assert_true(!m || tb_map_count(m) == put);
        for (int i = 0; i < (int)put; i++)
            assert_ptr_equal(tb_map_get(m, &i, sizeof(i)), &values[i]);
        tb_map_free(m);
    });
}

static void
test_freeing_no_map_is_harmless(void **state)
{
    (void)state;
    tb_map_free(NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map_gives_what_was_put),
        cmocka_unit_test(test_map_copies_its_keys),
        cmocka_unit_test(test_map_refuses_a_key_twice),
        cmocka_unit_test(test_map_take_removes),
        cmocka_unit_test(test_each_goes_in_the_order_of_insertion),
        cmocka_unit_test(test_each_may_remove_its_value),
        cmocka_unit_test(test_map_holds_ten_thousand),
        cmocka_unit_test(test_map_tells_keys_of_any_length_apart),
        cmocka_unit_test(test_map_survives_failing_memory),
        cmocka_unit_test(test_map_survives_failing_growth),
        cmocka_unit_test(test_freeing_no_map_is_harmless),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
