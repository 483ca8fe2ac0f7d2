/* test_no_memory.c - base/ and term/ when memory fails, at each allocation. */
#include <stdio.h>
#include <string.h>

#include "base/wr.h"
#include "tb_test.h"
#include "term/check.h"
#include "term/ident.h"
#include "term/pattern.h"

static const char text[] =
    "#{\"a\" => 'b c', <<\"d\"/utf8>> => [1.5, fun m:f/1, ~\"s\"],"
    " {x} => 123456789012345678901234567890, $k => [a|\"bc\"],"
    " list => [{one, [two, {three, <<1, 2, 3>>}]}, \"\\x{20ac}\"]}.\n";

static int
status_and_free(struct tb_wr *w)
{
    int rc = tb_wr_status(w);

    tb_wr_free(w);
    return rc;
}

static int
write_it(void)
{
    struct tb_wr w = { 0 };

    for (unsigned i = 0; i < 100; i++) {
        tb_wr_u8(&w, 1);
        tb_wr_u64(&w, i);
        tb_wr_str(&w, "text");
        tb_wr_printf(&w, "%0100u", i);
    }
    assert_true(w.bad || w.len == 100 * 113);
    return status_and_free(&w);
}

static int
fill_a_map(void)
{
    static int values[500];
    struct tb_map *m = tb_map_new();
    int rc = m ? 0 : -TB_ELIMIT;

    for (int i = 0; rc == 0 && i < (int)LENGTH(values); i++)
        rc = tb_map_put(m, &i, sizeof(i), &values[i]);
    for (int i = 0; rc == 0 && i < (int)LENGTH(values); i++)
        assert_ptr_equal(tb_map_take(m, &i, sizeof(i)), &values[i]);
    tb_map_free(m);
    return rc;
}

/* More names than the first table holds. */
static int
intern_names(void)
{
    char name[32];
    int rc = 0;

    tb_atoms_ref();
    for (unsigned i = 0; rc == 0 && i < 200; i++) {
        tb_atom a;

        snprintf(name, sizeof(name), "n%u@host", i);
        a = tb_intern(tb_text_of(name));
        if (a == 0)
            rc = -TB_ELIMIT;
        else
            assert_true(tb_text_is(tb_atom_text(a), name));
    }
    tb_atoms_unref();
    return rc;
}

static int
parse_it(void)
{
    struct tb_text_error e = { 0 };
    struct tb_wr w = { 0 };
    int rc = tb_parse(&w, text, sizeof(text) - 1, &e);

    assert_true(rc == 0 || (rc == -TB_ELIMIT && w.len == 0));
    tb_wr_free(&w);
    return rc;
}

static int
consult_it(void)
{
    struct tb_text_error e = { 0 };
    struct tb_wr w = { 0 }, lines = { 0 };
    int rc = tb_consult(&w, text, sizeof(text) - 1, &lines, &e);

    assert_true(rc == 0 || (rc == -TB_ELIMIT && w.len == 0 && lines.len == 0));
    tb_wr_free(&w);
    tb_wr_free(&lines);
    return rc;
}

/* The term that the text is, made while memory did not fail. */
static struct tb_term whole;

static int
print_it(void)
{
    struct tb_wr plain = { 0 }, pretty = { 0 };
    int rc = tb_print(&plain, whole);

    if (rc == 0)
        rc = tb_print_pretty(&pretty, whole);
    assert_true(rc == 0 || rc == -TB_ELIMIT);
    tb_wr_free(&plain);
    tb_wr_free(&pretty);
    return rc;
}

static int
get_the_chars(void)
{
    /* an iolist of 300 bytes, some of them a binary */
    static const uint8_t iolist[] =
        "l\0\0\0\2k\0\5abcdem\0\0\0\4efghm\0\0\0\4ijkl";
    struct tb_wr w = { 0 };
    struct tb_term t;
    bool good = true;

    assert_int_equal(tb_check_whole(iolist, sizeof(iolist) - 1, &t), 0);
    for (int i = 0; i < 30 && good; i++)
        good = tb_get_chars(t, &w);
    assert_true(!good || (w.len == 30 * 13 && w.buf[w.len] == 0));
    tb_wr_free(&w);
    return good ? 0 : -TB_ELIMIT;
}

static int
build_it(void)
{
    struct tb_wr w = { 0 }, items = { 0 };
    struct tb_pid pid = { 0, 1, 2, 3 };
    int rc = 0;

    tb_atoms_ref();
    pid.node = tb_intern(tb_text_of("a@b"));
    if (pid.node == 0)
        rc = -TB_ELIMIT;
    for (int i = 0; rc == 0 && i < 20; i++)
        rc = tb_build(&items, "{item, N, P, #{a => [S|T]}, <<\"bin\">>}",
                      TB_ARGS(tb_v_int(i), tb_v_pid(pid), tb_v_str("string"),
                              tb_v_float(1.5)));
    if (rc == 0)
        rc = tb_build_list(&w, 20, &items);
    assert_true(rc == 0 || rc == -TB_ELIMIT);
    assert_int_equal(rc, rc < 0 ? rc : tb_wr_status(&w));
    tb_wr_free(&items);
    tb_wr_free(&w);
    tb_atoms_unref();
    return rc;
}

/* A pid whose node cannot be interned is not matched: nothing is made up. */
static int
match_it(void)
{
    static const uint8_t bytes[] = "h\2w\4downX" /* {down, <a@b.7.2>} */
                                   "w\3a@b\0\0\0\7\0\0\0\2\0\0\0\3";
    struct tb_val v[TB_MAX_HOLES];
    struct tb_term t;
    int rc;

    tb_atoms_ref();
    assert_int_equal(tb_check_whole(bytes, sizeof(bytes) - 1, &t), 0);
    rc = tb_match("{down, P:pid}", t, v);
    assert_true(rc == 0 || (rc == 1 && v[0].pid.id == 7));
    tb_atoms_unref();
    return rc == 1 ? 0 : -TB_ELIMIT;
}

static int
compile_it(void)
{
    int rc;
    struct tb_pattern *p = tb_pattern_new("{call, From, [A, B:int|_]}", &rc);

    assert_true(p ? rc == 0 : rc == -TB_ELIMIT);
    tb_free(p);
    return rc;
}

static void
test_failing_memory_is_reported(void **state)
{
    (void)state;
    tb_test_no_memory("writing", write_it);
    tb_test_no_memory("a map", fill_a_map);
    tb_test_no_memory("interning", intern_names);
    tb_test_no_memory("parsing", parse_it);
    tb_test_no_memory("consulting", consult_it);
    tb_test_no_memory("printing", print_it);
    tb_test_no_memory("reading characters", get_the_chars);
    tb_test_no_memory("building", build_it);
    tb_test_no_memory("matching", match_it);
    tb_test_no_memory("compiling a pattern", compile_it);
}

static int
setup(void **state)
{
    (void)state;
    whole = tb_test_term(text);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    tb_test_free();
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failing_memory_is_reported),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
