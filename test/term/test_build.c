/* test_build.c - terms from templates. */
#include <stdio.h>
#include <string.h>

#include "tb_test.h"
#include "term/check.h"
#include "term/ident.h"
#include "term/put.h"

static void
assert_builds(const char *template, struct tb_args args, const char *text)
{
    struct tb_wr w = { 0 };
    struct tb_term t;

    assert_int_equal(tb_build(&w, template, args), 0);
    assert_int_equal(tb_check_whole(w.buf, w.len, &t), 0);
    assert_term(t, text);
    tb_wr_free(&w);
}

static void
test_build_makes_every_kind_of_term(void **state)
{
    static const char *const same[] = {
        "ok",           "'two words'",
        "''",           "0",
        "-1",           "-9223372036854775808",
        "\"\"",         "\"abc\"",
        "\"\xc3\xa5\"", "\"\xe6\x97\xa5\"",
        "<<>>",         "<<\"abc\">>",
        "{}",           "{a, {b}, [c]}",
        "[]",           "[1, [2], []]",
        "[a|b]",        "[a, b|{c}]",
        "#{}",          "#{a => 1, {b} => #{c => []}}",
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(same); i++)
        assert_builds(same[i], TB_NONE, same[i]);
    assert_builds("#{a := 1}", TB_NONE, "#{a => 1}");
}

static void
test_build_fills_holes_with_any_value(void **state)
{
    tb_atom node = tb_intern(tb_text_of("a@b"));
    struct tb_term term = tb_test_term("{x, [y]}");

    (void)state;
    assert_builds("{A, B, C, D, E, F, G, H, I}",
                  TB_ARGS(tb_v_int(-5), tb_v_float(0.5), tb_v_bool(false),
                          tb_v_atom("Big"), tb_v_node(node), tb_v_str("str"),
                          tb_v_bin("b\0n", 3), tb_v_term(term), tb_v_str("")),
                  "{-5, 0.5, false, 'Big', 'a@b', \"str\", <<\"b\\0n\">>, "
                  "{x, [y]}, []}");
    assert_builds("[H|T]", TB_ARGS(tb_v_int(1), tb_v_term(term)),
                  "[1|{x, [y]}]");
    assert_builds("#{K => V, k => V2}",
                  TB_ARGS(tb_v_str("key"), tb_v_int(1), tb_v_int(2)),
                  "#{\"key\" => 1, k => 2}");
    assert_builds(
        "{I:int, F:float, A:atom, B:bin}",
        TB_ARGS(tb_v_int(1), tb_v_float(2), tb_v_atom("a"), tb_v_bin("b", 1)),
        "{1, 2.0, a, <<\"b\">>}");
}

static void
test_build_fails_where_a_value_has_no_term(void **state)
{
    struct tb_wr w = { 0 };

    (void)state;
    assert_true(tb_build(&w, "{X}", TB_ARGS(tb_v_pid((struct tb_pid){ 0 }))) <
                0);
    assert_true(w.bad);
    assert_true(tb_build(&w, "ok", TB_NONE) < 0);
    tb_wr_free(&w);
    assert_true(tb_build(&w, "X", TB_ARGS(tb_v_atom("\xff"))) < 0);
    tb_wr_free(&w);
    assert_true(tb_build(&w, "X", TB_ARGS((struct tb_val){ 0 })) < 0);
    tb_wr_free(&w);
}

/* A BEAM would close the connection over which such a map comes. */
static void
test_build_gives_no_map_a_key_twice(void **state)
{
    struct tb_wr w = { 0 };

    (void)state;
    assert_true(tb_build(&w, "#{a => 1, a => 2}", TB_NONE) < 0);
    assert_true(w.bad && w.len == 0);
    tb_wr_free(&w);
    assert_true(
        tb_build(&w, "{x, #{a => 1, K => 2}}", TB_ARGS(tb_v_atom("a"))) < 0);
    assert_true(w.bad && w.len == 0);
    tb_wr_free(&w);
    assert_builds("#{a => 1, K => 2}", TB_ARGS(tb_v_atom("b")),
                  "#{a => 1, b => 2}");
}

static void
test_build_list_closes_elements(void **state)
{
    struct tb_wr elements = { 0 }, w = { 0 };

    (void)state;
    assert_int_equal(tb_build_list(&w, 0, &elements), 0);
    assert_term(tb_wr_term(&w), "[]");
    tb_wr_free(&w);
    tb_build(&elements, "{a, 1}", TB_NONE);
    tb_build(&elements, "{b, 2}", TB_NONE);
    assert_int_equal(tb_build_list(&w, 2, &elements), 0);
    assert_term(tb_wr_term(&w), "[{a, 1}, {b, 2}]");
    tb_wr_free(&w);
    elements.bad = true;
    assert_true(tb_build_list(&w, 2, &elements) < 0);
    tb_wr_free(&w);
    tb_wr_free(&elements);
}

static void
test_build_map_closes_pairs(void **state)
{
    struct tb_wr pairs = { 0 }, w = { 0 };

    (void)state;
    assert_int_equal(tb_build_map(&w, 0, &pairs), 0);
    assert_term(tb_wr_term(&w), "#{}");
    tb_wr_free(&w);
    tb_build(&pairs, "a", TB_NONE);
    tb_build(&pairs, "{b, 2}", TB_NONE);
    assert_int_equal(tb_build_map(&w, 1, &pairs), 0);
    assert_term(tb_wr_term(&w), "#{a => {b, 2}}");
    tb_wr_free(&w);
    pairs.bad = true;
    assert_true(tb_build_map(&w, 1, &pairs) < 0);
    tb_wr_free(&w);
    tb_wr_free(&pairs);
}

/* What a template builds from values, the same text matches, and gives the
 * values back. */
static void
test_build_is_matched_by_its_template(void **state)
{
    static const char *const templates[] = {
        "X",
        "{X}",
        "{a, -1, X}",
        "[X]",
        "[a, X|b]",
        "[a|X]",
        "#{k => X}",
        "#{k => 1, {X, \"s\"} => <<\"b\">>}",
        "{'DOWN', [[X]], #{a => {#{b => \"c\"}}}}",
    };
    const struct tb_val values[] = {
        tb_v_int(INT64_MIN),      tb_v_float(-0.25),
        tb_v_atom("atom"),        tb_v_bin("bin", 3),
        tb_v_str("string"),       tb_v_pid(tb_test_pid(5)),
        tb_v_ref(tb_test_ref(2)), tb_v_term(tb_test_term("#{a => [b|c]}")),
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(templates); i++)
        for (size_t k = 0; k < LENGTH(values); k++) {
            struct tb_val out[TB_MAX_HOLES];
            struct tb_wr w = { 0 }, value = { 0 };

            tb_put_val(&value, &values[k]);
            assert_int_equal(
                tb_build(&w, templates[i], (struct tb_args){ 1, &values[k] }),
                0);
            assert_int_equal(tb_match(templates[i], tb_wr_term(&w), out), 1);
            assert_int_equal(out[0].term.n, value.len);
            assert_memory_equal(out[0].term.p, value.buf, value.len);
            tb_wr_free(&value);
            tb_put_val(&value, &out[0]);
            assert_false(value.bad);
            tb_wr_free(&value);
            tb_wr_free(&w);
        }
}

/* More than are kept, each of them again and again, and some at an address that
 * had another text before. */
static void
test_build_of_many_patterns_takes_each_for_itself(void **state)
{
    enum { MANY = 5000 };
    static char text[MANY][24];
    struct tb_val v[TB_MAX_HOLES];

    (void)state;
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < MANY; i++) {
            struct tb_wr w = { 0 };

            snprintf(text[i], sizeof(text[i]), "{p%d, N:int}", i + round);
            assert_int_equal(tb_build(&w, text[i], TB_ARGS(tb_v_int(i))), 0);
            assert_int_equal(tb_match(text[i], tb_wr_term(&w), v), 1);
            assert_int_equal(v[0].i, i);
            tb_wr_free(&w);
        }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_build_makes_every_kind_of_term),
        cmocka_unit_test(test_build_fills_holes_with_any_value),
        cmocka_unit_test(test_build_fails_where_a_value_has_no_term),
        cmocka_unit_test(test_build_gives_no_map_a_key_twice),
        cmocka_unit_test(test_build_list_closes_elements),
        cmocka_unit_test(test_build_map_closes_pairs),
        cmocka_unit_test(test_build_is_matched_by_its_template),
        cmocka_unit_test(test_build_of_many_patterns_takes_each_for_itself),
    };

    return cmocka_run_group_tests(tests, tb_test_atoms, tb_test_atoms_gone);
}
