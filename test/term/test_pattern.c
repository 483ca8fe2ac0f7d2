/* test_pattern.c - the term notation: what matches, and what is no pattern. */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "dist/dop.h"
#include "tb_test.h"
#include "term/check.h"
#include "term/etf.h"
#include "term/ident.h"
#include "term/pattern.h"
#include "term/put.h"

static const struct tb_term none;

static int
match(const char *pattern, const char *text)
{
    struct tb_val out[TB_MAX_HOLES];

    return tb_match(pattern, tb_test_term(text), out);
}

struct match {
    const char *pattern, *text;
};

static void
assert_matches(const struct match *m, size_t n, int expected)
{
    for (size_t i = 0; i < n; i++) {
        int rc = match(m[i].pattern, m[i].text);

        if (rc != expected)
            fail_msg("%s = %s: %d", m[i].pattern, m[i].text, rc);
    }
}

/* ------------------------------------------------------------- match -- */

static void
test_pattern_matches_each_kind_of_term(void **state)
{
    static const struct match good[] = {
        { "_", "{any, \"thing\", #{}}" },
        { "ok", "ok" },
        { "'ok'", "ok" },
        { "'DOWN'", "'DOWN'" },
        { "'two words'", "'two words'" },
        { "''", "''" },
        { "a@b_C9", "a@b_C9" },
        { "'\xe6\x97\xa5'", "'\xe6\x97\xa5'" },
        { "0", "0" },
        { "-1", "-1" },
        { "255", "255" },
        { "9223372036854775807", "9223372036854775807" },
        { "-9223372036854775808", "-9223372036854775808" },
        { "\"\"", "[]" },
        { "\"abc\"", "[97, 98, 99]" },
        { "\"abc\"", "\"abc\"" },
        { "\"\xc3\xa5\"", "[229]" },
        { "\"\xe6\x97\xa5\"", "[16#65e5]" },
        { "<<>>", "<<>>" },
        { "<<\"\">>", "<<>>" },
        { "<<\"abc\">>", "<<\"abc\">>" },
        { "<< \"abc\" >>", "<<\"abc\">>" },
        { "{}", "{}" },
        { "{a}", "{a}" },
        { " { a , [ b ] , { } } ", "{a, [b], {}}" },
        { "[]", "[]" },
        { "[a, b]", "[a, b]" },
        { "[97, 98]", "\"ab\"" },
        { "[97|_]", "\"ab\"" },
        { "[a|b]", "[a|b]" },
        { "[a, b|c]", "[a, b|c]" },
        { "[a|[]]", "[a]" },
        { "[a|_]", "[a, b, c]" },
        { "[_, _|_]", "[a, b, c]" },
        { "#{}", "#{}" },
        { "#{}", "#{a => 1}" },
        { "#{a := 1}", "#{b => 2, a => 1}" },
        { "#{a => 1}", "#{b => 2, a => 1}" },
        { "#{{k} := [_], \"x\" := _}", "#{\"x\" => y, {k} => [1]}" },
    };

    (void)state;
    assert_matches(good, LENGTH(good), 1);
}

static void
test_pattern_matches_nothing_else(void **state)
{
    static const struct match bad[] = {
        { "ok", "error" },
        { "ok", "oks" },
        { "ok", "\"ok\"" },
        { "ok", "<<\"ok\">>" },
        { "1", "2" },
        { "1", "1.0" },
        { "1", "18446744073709551617" },
        { "-1", "18446744073709551615" },
        { "\"abc\"", "\"ab\"" },
        { "\"abc\"", "\"abcd\"" },
        { "\"abc\"", "<<\"abc\">>" },
        { "\"abc\"", "[97, 98, 99|x]" },
        { "\"ab\"", "[97, b]" },
        { "\"\"", "''" },
        { "<<\"abc\">>", "<<\"ab\">>" },
        { "<<\"abc\">>", "\"abc\"" },
        { "<<>>", "[]" },
        { "{}", "{a}" },
        { "{a}", "{}" },
        { "{a}", "{b}" },
        { "{a}", "{a, b}" },
        { "{a}", "[a]" },
        { "[]", "[a]" },
        { "[]", "{}" },
        { "[a]", "[]" },
        { "[a]", "[a, b]" },
        { "[a]", "[a|b]" },
        { "[a, b]", "[a]" },
        { "[_|_]", "[]" },
        { "[a|_]", "[b, a]" },
        { "[a|b]", "[a]" },
        { "[a|b]", "[a, b]" },
        { "[_, _|_]", "[a]" },
        { "[_, _|_]", "[a|b]" },
        { "#{a := 1}", "#{}" },
        { "#{a := 1}", "#{a => 2}" },
        { "#{a := 1}", "#{b => 1}" },
        { "#{a := 1, b := 2}", "#{a => 1}" },
        { "#{}", "[]" },
    };

    (void)state;
    assert_matches(bad, LENGTH(bad), 0);
    assert_int_equal(tb_match("_", none, NULL), 0);
}

/* However a peer encodes it. */
static void
test_pattern_matches_every_encoding(void **state)
{
    static const struct {
        const char *pattern;
        const char *p;
        size_t n;
    } same[] = {
#define AS(pattern, s) { pattern, s, sizeof(s) - 1 }
        AS("5", "\x62\0\0\0\x05"),
        AS("-5", "\x6e\x01\x01\x05"),
        AS("ok", "\x73\x02ok"),
        AS("ok", "\x64\0\x02ok"),
        AS("ok", "\x76\0\x02ok"),
        AS("{ok, 1}", "\x69\0\0\0\x02\x77\x02ok\x61\x01"),
        AS("{}", "\x69\0\0\0\0"),
        AS("[]", "\x6b\0\0"),
        AS("[1, 2]", "\x6b\0\x02\x01\x02"),
        AS("[1, 2]", "\x6c\0\0\0\x01\x61\x01\x6b\0\x01\x02"),
        AS("\"ab\"", "\x6c\0\0\0\x01\x61"
                     "a\x6b\0\x01"
                     "b"),
        AS("[]", "\x6c\0\0\0\0\x6a"),
#undef AS
    };
    struct tb_val out[TB_MAX_HOLES];
    struct tb_term t;

    (void)state;
    for (size_t i = 0; i < LENGTH(same); i++) {
        assert_int_equal(tb_check_whole(same[i].p, same[i].n, &t), 0);
        if (tb_match(same[i].pattern, t, out) != 1)
            fail_msg("%zu: %s", i, same[i].pattern);
    }
}

static void
test_pattern_fills_typed_holes(void **state)
{
    struct tb_val v[TB_MAX_HOLES];
    struct tb_wr w = { 0 };

    (void)state;
    assert_int_equal(
        tb_build(&w, "{-7, F, name, P, R, <<\"bin\">>, [l], #{k => v}, {t}}",
                 TB_ARGS(tb_v_float(1.5), tb_v_pid(tb_test_pid(1)),
                         tb_v_ref(tb_test_ref(3)))),
        0);
    assert_int_equal(tb_match("{I:int, F:float, A:atom, P:pid, R:ref, B:bin, "
                              "L:list, M:map, T:tuple}",
                              tb_wr_term(&w), v),
                     1);
    assert_int_equal(v[0].type, TB_T_INT);
    assert_true(v[0].i == -7);
    assert_int_equal(v[1].type, TB_T_FLOAT);
    assert_true(v[1].f == 1.5);
    assert_int_equal(v[2].type, TB_T_ATOM);
    assert_true(tb_text_is(v[2].text, "name"));
    assert_int_equal(v[3].type, TB_T_PID);
    assert_true(tb_pid_eq(v[3].pid, tb_test_pid(1)));
    assert_int_equal(v[4].type, TB_T_REF);
    assert_true(tb_ref_eq(v[4].ref, tb_test_ref(3)));
    assert_int_equal(v[5].type, TB_T_BIN);
    assert_true(tb_text_is(v[5].text, "bin"));
    assert_int_equal(v[6].type, TB_T_LIST);
    assert_term(v[6].term, "[l]");
    assert_int_equal(v[7].type, TB_T_MAP);
    assert_term(v[7].term, "#{k => v}");
    assert_int_equal(v[8].type, TB_T_TUPLE);
    assert_term(v[8].term, "{t}");
    tb_wr_free(&w);
}

static void
test_pattern_holes_refuse_other_types(void **state)
{
    static const char *const types[] = { "int", "float", "atom", "pid",  "ref",
                                         "bin", "list",  "map",  "tuple" };
    struct tb_val v[TB_MAX_HOLES];
    struct tb_wr terms[LENGTH(types)] = { 0 };

    (void)state;
    tb_build(&terms[0], "1", TB_NONE);
    tb_put_float(&terms[1], 1);
    tb_build(&terms[2], "a", TB_NONE);
    tb_put_pid(&terms[3], tb_test_pid(1));
    tb_put_ref(&terms[4], tb_test_ref(1));
    tb_build(&terms[5], "<<\"b\">>", TB_NONE);
    tb_build(&terms[6], "\"str\"", TB_NONE);
    tb_build(&terms[7], "#{}", TB_NONE);
    tb_build(&terms[8], "{}", TB_NONE);
    for (size_t type = 0; type < LENGTH(types); type++)
        for (size_t t = 0; t < LENGTH(terms); t++) {
            char pattern[32];

            snprintf(pattern, sizeof(pattern), "Hole:%s", types[type]);
            assert_int_equal(tb_match(pattern, tb_wr_term(&terms[t]), v),
                             type == t);
            assert_int_equal(tb_match("Hole:term", tb_wr_term(&terms[t]), v),
                             1);
            assert_ptr_equal(v[0].term.p, terms[t].buf);
            assert_int_equal(v[0].term.n, terms[t].len);
        }
    for (size_t t = 0; t < LENGTH(terms); t++)
        tb_wr_free(&terms[t]);
}

static void
test_pattern_holes_come_in_order(void **state)
{
    struct tb_val v[TB_MAX_HOLES];

    (void)state;
    assert_int_equal(
        tb_match("{A, [B|C], #{k := D, {l} := E}, _F}",
                 tb_test_term("{1, [2|3], #{{l} => 5, k => 4}, 6}"), v),
        1);
    for (int i = 0; i < 6; i++) {
        char digit[2] = { (char)('1' + i), '\0' };

        assert_term(v[i].term, digit);
    }
}

static void
test_pattern_matches_what_a_reply_tag_looks_like(void **state)
{
    struct tb_val v[TB_MAX_HOLES];
    struct tb_wr w = { 0 };

    (void)state;
    tb_build(&w, "[alias|Ref]", TB_ARGS(tb_v_ref(tb_test_ref(5))));
    assert_int_equal(tb_match("[alias|Ref:ref]", tb_wr_term(&w), v), 1);
    assert_true(tb_ref_eq(v[0].ref, tb_test_ref(5)));
    assert_int_equal(tb_match("[alias|Pid:pid]", tb_wr_term(&w), v), 0);
    assert_int_equal(tb_match("[[alias|Ref:ref]|Mon]", tb_wr_term(&w), v), 0);
    tb_wr_free(&w);
    tb_build(&w, "[[alias|Ref]|Mon]",
             TB_ARGS(tb_v_ref(tb_test_ref(5)), tb_v_ref(tb_test_ref(1))));
    assert_int_equal(tb_match("[[alias|Ref:ref]|Mon:ref]", tb_wr_term(&w), v),
                     1);
    assert_true(tb_ref_eq(v[0].ref, tb_test_ref(5)));
    assert_true(tb_ref_eq(v[1].ref, tb_test_ref(1)));
    assert_int_equal(tb_match("[alias|Ref:ref]", tb_wr_term(&w), v), 0);
    tb_wr_free(&w);
}

/* A tail is given out where it has bytes of its own. */
static void
test_pattern_gives_the_tail_behind_the_last_element(void **state)
{
    struct tb_val v[TB_MAX_HOLES];

    (void)state;
    assert_int_equal(tb_match("[A, B|T]", tb_test_term("[a, b]"), v), 1);
    assert_term(v[2].term, "[]");
    assert_int_equal(tb_match("[A|T]", tb_test_term("[a|{b}]"), v), 1);
    assert_term(v[1].term, "{b}");
    assert_int_equal(tb_match("[A|T]", tb_test_term("\"a\""), v), 1);
    assert_term(v[1].term, "[]");
    assert_int_equal(tb_match("[A|T]", tb_test_term("[a, b]"), v), 0);
}

static void
test_pattern_searches_maps_for_keys_with_holes(void **state)
{
    struct tb_val v[TB_MAX_HOLES];
    struct tb_term map = tb_test_term("#{a => 1, {k, x} => 2, <<\"b\">> => 3}");

    (void)state;
    assert_int_equal(tb_match("#{{k, X:atom} := V:int}", map, v), 1);
    assert_true(tb_text_is(v[0].text, "x"));
    assert_true(v[1].i == 2);
    assert_int_equal(tb_match("#{K:bin := V:int, a := W:int}", map, v), 1);
    assert_true(tb_text_is(v[0].text, "b"));
    assert_true(v[1].i == 3 && v[2].i == 1);
    assert_int_equal(tb_match("#{{k, y} := V}", map, v), 0);
}

static void
test_pattern_knows_the_shape_without_the_types(void **state)
{
    static const struct {
        const char *text;
        bool match, shape;
    } cases[] = {
        { "{add, 1, [2|x]}", true, true },
        { "{add, one, [2|3]}", false, true },
        { "{add, 1, [2, 3, 4]}", false, true },
        { "{add, 1}", false, false },
        { "{sub, 1, [2|x]}", false, false },
        { "{add, 1, []}", false, false },
    };
    struct tb_val v[TB_MAX_HOLES];
    struct tb_pattern p;

    (void)state;
    assert_int_equal(tb_pattern_parse(&p, "{add, N:int, [H:int|T:atom]}"), 0);
    assert_int_equal(p.holes, 3);
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct tb_term t = tb_test_term(cases[i].text);

        assert_int_equal(tb_pattern_match(&p, t, false, v), cases[i].match);
        assert_int_equal(tb_pattern_match(&p, t, true, v), cases[i].shape);
    }
}

/* ------------------------------------------------------------- parse -- */

static void
test_pattern_refuses_what_is_malformed(void **state)
{
    /* clang-format off */
    static const char *const bad[] = {
        "", " ", "{", "}", "{a", "{a]", "{a}}", "{a,}", "{,a}", "{a b}",
        "{a;b}", "[", "]", "[a", "[a}", "[a,]", "[a|", "[a|]", "[|a]",
        "[a|b,c]", "[a|b|c]", "{a|b}", "#", "#{", "#{a}", "#{a =>}",
        "#{a => b", "#{a := b,}", "#{:= b}", "#{a = b}", "#{a => b]",
        "#{a|b}", "<<", "<<\"a\"", "<<\"a\">", "<<a>>", "<<1>>",
        "<<'a'>>", "'a", "'", "\"a", "\"", "a b", "a,", "a.", "{a}.",
        "A:foo", "A:", "A:Int", "A: int", "A:str", "_:int", "A:int:int",
        "-", "-a", "- 1", "+1", "1.5", "1a", "$a", "?", "\ta",
        "\"\377\"", "'\303'", "'\300\200'", "\303\245", "a\303\245",
        "16#ff", "9223372036854775808", "-9223372036854775809",
        "99999999999999999999999999", "{A,B,C,D,E,F,G,H,I,J,K,L,M}",
    };
    /* clang-format on */
    struct tb_val out[TB_MAX_HOLES];
    struct tb_pattern p;

    (void)state;
    for (size_t i = 0; i < LENGTH(bad); i++) {
        struct tb_wr w = { 0 };
        int error = 0;

        if (tb_pattern_parse(&p, bad[i]) != -TB_EPATTERN)
            fail_msg("\"%s\" is a pattern", bad[i]);
        assert_null(tb_pattern_new(bad[i], &error));
        assert_int_equal(error, -TB_EPATTERN);
        assert_int_equal(tb_match(bad[i], tb_test_term("a"), out),
                         -TB_EPATTERN);
        assert_int_equal(tb_build(&w, bad[i], TB_NONE), -TB_EPATTERN);
        assert_true(w.bad);
        tb_wr_free(&w);
    }
}

/* Every beginning of a pattern: none of them may be read beyond. */
static void
test_pattern_refuses_its_beginnings(void **state)
{
    static const char whole[] =
        "{a, ['B'|C:int], #{\"d\" := <<\"e\">>, -1 => F}, _, [], {}}";
    struct tb_pattern p;

    (void)state;
    assert_int_equal(tb_pattern_parse(&p, whole), 0);
    for (size_t n = 0; n < sizeof(whole) - 1; n++) {
        char *cut = tb_strdup_n(whole, n);

        assert_int_equal(tb_pattern_parse(&p, cut), -TB_EPATTERN);
        tb_free(cut);
    }
}

static int
parse_many(const char *open, const char *item, unsigned n, const char *close)
{
    struct tb_wr w = { 0 };
    struct tb_pattern p;
    int rc;

    tb_wr_str(&w, open);
    for (unsigned i = 0; i < n; i++)
        tb_wr_str(&w, item);
    tb_wr_bytes(&w, close, strlen(close) + 1);
    rc = tb_pattern_parse(&p, (const char *)w.buf);
    tb_wr_free(&w);
    return rc;
}

static void
test_pattern_has_its_limits(void **state)
{
    (void)state;
    assert_int_equal(parse_many("{", "a,", TB_MAX_OPS - 2, "a}"), 0);
    assert_int_equal(parse_many("{", "a,", TB_MAX_OPS - 1, "a}"), -TB_ELIMIT);
    assert_int_equal(parse_many("[", "a,", 10 * TB_MAX_OPS, "a]"), -TB_ELIMIT);
    assert_int_equal(parse_many("#{", "a=>1,", TB_MAX_OPS, "a=>1}"),
                     -TB_ELIMIT);
    assert_int_equal(parse_many("", "{", 100000, ""), -TB_ELIMIT);
    assert_int_equal(parse_many("", "[", 100000, ""), -TB_ELIMIT);
    assert_int_equal(parse_many("", "[a|", 100000, ""), -TB_ELIMIT);
    assert_int_equal(parse_many("", "#{", 100000, ""), -TB_ELIMIT);
    assert_int_equal(parse_many("{", "A,", TB_MAX_HOLES - 1, "A}"), 0);
    assert_int_equal(parse_many("{", "A,", TB_MAX_HOLES, "A}"), -TB_EPATTERN);
    assert_int_equal(parse_many("'", "a", UINT16_MAX, "'"), 0);
    assert_int_equal(parse_many("'", "a", UINT16_MAX + 1, "'"), -TB_EPATTERN);
    assert_int_equal(parse_many("", "a", UINT16_MAX + 1, ""), -TB_EPATTERN);
}

static void
test_pattern_nests_up_to_the_limit(void **state)
{
    for (int depth = TB_MAX_NESTING; depth <= TB_MAX_NESTING + 1; depth++) {
        char text[2 * TB_MAX_NESTING + 3] = "";

        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        (void)state;
        if (depth == TB_MAX_NESTING)
            assert_int_equal(match(text, text), 1);
        else
            assert_int_equal(tb_match(text, tb_test_term("[]"), NULL),
                             -TB_ELIMIT);
    }
}

/* Compiled, it takes no more memory than it needs. */
static void
test_pattern_is_compiled_to_its_size(void **state)
{
    struct tb_val v[TB_MAX_HOLES];
    struct tb_wr w = { 0 };
    int error = 1;
    struct tb_pattern *p = tb_pattern_new("{got, X:int, [Y|tail]}", &error);

    (void)state;
    assert_non_null(p);
    assert_int_equal(error, 0);
    assert_int_equal(p->n, 6);
    assert_int_equal(p->holes, 2);
    assert_int_equal(
        tb_pattern_build(p, &w, TB_ARGS(tb_v_int(1), tb_v_bool(true))), 0);
    assert_int_equal(tb_pattern_match(p, tb_wr_term(&w), false, v), 1);
    assert_term(tb_wr_term(&w), "{got, 1, [true|tail]}");
    tb_wr_free(&w);
    tb_free(p);
}

static void
test_pattern_survives_failing_allocations(void **state)
{
    (void)state;
    TB_FAIL_EACH_ALLOC(1, {
        int error = 0;

        assert_null(tb_pattern_new("{a, B}", &error));
        assert_int_equal(error, -TB_ELIMIT);
    });
    TB_FAIL_EACH_ALLOC(
        5, { /* it grows from 64 to 512 bytes */
             struct tb_wr w = { 0 };
             char text[200] = "";

             memset(text, 'x', sizeof(text) - 1);
             assert_int_equal(tb_build(&w, "{X, Y}",
                                       TB_ARGS(tb_v_str(text), tb_v_str(text))),
                              tb_nth_ < 5 ? -TB_ELIMIT : 0);
             tb_wr_free(&w);
        });
}

static void
test_pattern_of_every_control_message_compiles(void **state)
{
    static const char *const rows[] = {
#define X(name, value, operands, payload) "{" #value ", " operands "}",
        TB_DOPS(X)
#undef X
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        struct tb_pattern p;

        assert_int_equal(tb_pattern_parse(&p, rows[i]), 0);
        assert_int_equal(p.op[0].kind, TB_OP_TUPLE);
    }
    assert_true(LENGTH(rows) >= 30);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pattern_matches_each_kind_of_term),
        cmocka_unit_test(test_pattern_matches_nothing_else),
        cmocka_unit_test(test_pattern_matches_every_encoding),
        cmocka_unit_test(test_pattern_fills_typed_holes),
        cmocka_unit_test(test_pattern_holes_refuse_other_types),
        cmocka_unit_test(test_pattern_holes_come_in_order),
        cmocka_unit_test(test_pattern_matches_what_a_reply_tag_looks_like),
        cmocka_unit_test(test_pattern_gives_the_tail_behind_the_last_element),
        cmocka_unit_test(test_pattern_searches_maps_for_keys_with_holes),
        cmocka_unit_test(test_pattern_knows_the_shape_without_the_types),
        cmocka_unit_test(test_pattern_refuses_what_is_malformed),
        cmocka_unit_test(test_pattern_refuses_its_beginnings),
        cmocka_unit_test(test_pattern_has_its_limits),
        cmocka_unit_test(test_pattern_nests_up_to_the_limit),
        cmocka_unit_test(test_pattern_is_compiled_to_its_size),
        cmocka_unit_test(test_pattern_survives_failing_allocations),
        cmocka_unit_test(test_pattern_of_every_control_message_compiles),
    };

    return cmocka_run_group_tests(tests, tb_test_atoms, tb_test_atoms_gone);
}
