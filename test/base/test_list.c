/* test_list.c - the intrusive list. */
#include "tb_test.h"

struct item {
    int n;
    struct tb_list link;
};

static void
assert_items(const struct tb_list *head, const char *digits)
{
    TB_LIST_EACH (it, head, struct item, link)
        assert_int_equal(it->n, *digits++ - '0');
    assert_int_equal(*digits, '\0');
}

static void
test_list_keeps_the_order(void **state)
{
    struct item a = { 1, { 0 } }, b = { 2, { 0 } }, c = { 3, { 0 } };
    struct tb_list head;

    (void)state;
    tb_list_init(&head);
    assert_true(tb_list_empty(&head));
    assert_items(&head, "");
    tb_list_add(&head, &a.link);
    tb_list_add(&head, &b.link);
    tb_list_add(&head, &c.link);
    assert_false(tb_list_empty(&head));
    assert_items(&head, "123");
    tb_list_del(&b.link);
    assert_items(&head, "13");
    tb_list_add(&head, &b.link);
    assert_items(&head, "132");
    tb_list_del(&a.link);
    tb_list_del(&b.link);
    tb_list_del(&c.link);
    assert_true(tb_list_empty(&head));
}

static void
test_list_deletes_twice(void **state)
{
    struct item a = { 1, { 0 } }, b = { 2, { 0 } }, never = { 3, { 0 } };
    struct tb_list head;

    (void)state;
    tb_list_init(&head);
    tb_list_add(&head, &a.link);
    tb_list_add(&head, &b.link);
    tb_list_del(&a.link);
    tb_list_del(&a.link);
    tb_list_del(&never.link);
    assert_items(&head, "2");
}

static void
test_list_each_may_delete_where_it_stands(void **state)
{
    struct item items[10] = { 0 };
    struct tb_list head;
    int seen = 0;

    (void)state;
    tb_list_init(&head);
    for (int i = 0; i < 10; i++) {
        items[i].n = i;
        tb_list_add(&head, &items[i].link);
    }
    TB_LIST_EACH (it, &head, struct item, link) {
        assert_int_equal(it->n, seen++);
        if (it->n % 3 == 0)
            tb_list_del(&it->link);
    }
    assert_int_equal(seen, 10);
    assert_items(&head, "124578");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list_keeps_the_order),
        cmocka_unit_test(test_list_deletes_twice),
        cmocka_unit_test(test_list_each_may_delete_where_it_stands),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
