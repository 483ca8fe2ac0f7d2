/* test_text.c - terms from text, and where a text is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/wr.h"
#include "term/check.h"
#include "tiebeam.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void
print_zero(struct tb_wr *w, struct tb_term t)
{
    struct tb_term checked;

    assert_int_equal(tb_check_whole(t.p, t.n, &checked), 0);
    assert_int_equal(tb_print(w, t), 0);
    tb_wr_u8(w, 0);
}

static void
check_parse(const char *text, size_t n, const char *expected)
{
    struct tb_text_error e = { 0 };
    struct tb_wr w = { 0 }, printed = { 0 };

    if (tb_parse(&w, text, n, &e) != 0)
        fail_msg("%s: %u:%u: %s", text, e.line, e.column, e.what);
    print_zero(&printed, tb_wr_term(&w));
    assert_string_equal((char *)printed.buf, expected);
    tb_wr_free(&printed);
    tb_wr_free(&w);
}

static void
test_literals_parse(void **state)
{
    static const char *const pairs[][2] = {
        { "1", "1" },
        { " 1 . ", "1" },
        { "% c\n1.%d", "1" },
        { "-1", "-1" },
        { "- 1", "-1" },
        { "+1", "1" },
        { "1_000_000", "1000000" },
        { "16#fF", "255" },
        { "-16#F_F", "-255" },
        { "36#zz", "1295" },
        { "2#101", "5" },
        { "$a", "97" },
        { "$\\n", "10" },
        { "$ ", "32" },
        { "$\\s", "32" },
        { "$\\\\", "92" },
        { "$'", "39" },
        { "-$a", "-97" },
        { "$\303\251", "233" },
        { "1.5e-3", "0.0015" },
        { "1.5E+3", "1.5e3" },
        { "1_0.2_5", "10.25" },
        { "-0.0", "-0.0" },
        { "1.0e-400", "0.0" },
        { "000000000000000000000000001", "1" },
        { "'a'", "a" },
        { "'\\x41\\x{42}\\103\\^A\\q'", "'ABC\\001q'" },
        { "'a\nb'", "'a\\nb'" },
        { "a@B_1", "a@B_1" },
        { "\303\237\303\206", "\303\237\303\206" },
        { "maybe", "'maybe'" },
        { "fun m:f/1", "fun m:f/1" },
        { "fun 'M' : f / 0", "fun 'M':f/0" },
        { "{ }", "{}" },
        { "{a , [ b ] }", "{a,[b]}" },
        { "[]", "[]" },
        { "[a|[]]", "[a]" },
        { "[a|[b|[c]]]", "[a,b,c]" },
        { "[a|[b|c]]", "[a,b|c]" },
        { "[a|\"bc\"]", "[a,98,99]" },
        { "[1|\"bc\"]", "[1,98,99]" },
        { "[a|b]", "[a|b]" },
        { "#{}", "#{}" },
        { "#{ a => 1 , \"b\" => #{} }", "#{a => 1,[98] => #{}}" },
        { "\"a\" \"b\"\n%x\n\"c\"", "[97,98,99]" },
        { "\"\\x{1F600}\"", "[128512]" },
        { "\"\\377\\400\"", "[255,256]" },
        { "\"\"\"a\"\"\"", "[97]" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(pairs); i++)
        check_parse(pairs[i][0], strlen(pairs[i][0]), pairs[i][1]);
    check_parse("\"a\0b\"", 5, "[97,0,98]");
}

static void
test_binaries_and_sigils_parse(void **state)
{
    static const char *const pairs[][2] = {
        { "<< >>", "<<>>" },
        { "<<1, 2,$a>>", "<<1,2,97>>" },
        { "<<\"ab\", 1>>", "<<97,98,1>>" },
        { "<<\"\303\251\">>", "<<233>>" },
        { "<<\"\303\251\"/utf8>>", "<<195,169>>" },
        { "<<16#e9/utf8, \"a\" \"b\" / utf8>>", "<<195,169,97,98>>" },
        { "~\"\303\251\\n\"", "<<195,169,10>>" },
        { "~b[a]", "<<97>>" },
        { "~B(a\\n)", "<<97,92,110>>" },
        { "~s{a\\n}", "[97,10]" },
        { "~S|a\\|", "[97,92]" },
        { "~`a\\``", "<<97,96>>" },
        { "\"\"\"\n  a\\n\n\n   \"b\"\n  \"\"\"",
          "[97,92,110,10,10,32,34,98,34]" },
        { "\"\"\"\n\"\"\"", "[]" },
        { "~\"\"\"\"\n\"\"\"\n\"\"\"\"", "<<34,34,34>>" },
        { "~b\"\"\"\n a\\tb\\\n c\n \"\"\"", "<<97,9,98,10,99>>" },
        { "~S\"\"\"\n\\t\n\"\"\"", "[92,116]" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(pairs); i++)
        check_parse(pairs[i][0], strlen(pairs[i][0]), pairs[i][1]);
}

static void
check_error(const char *text, unsigned line, unsigned column, const char *what)
{
    struct tb_text_error e = { 0 };
    struct tb_wr w = { 0 };

    tb_wr_str(&w, "kept");
    assert_int_equal(tb_parse(&w, text, strlen(text), &e), -TB_ESYNTAX);
    assert_int_equal(w.len, 4);
    assert_int_equal(tb_parse(&w, text, strlen(text), NULL), -TB_ESYNTAX);
    assert_string_equal(e.what, what);
    if (e.line != line || e.column != column)
        fail_msg("%s: at %u:%u and not %u:%u", text, e.line, e.column, line,
                 column);
    tb_wr_free(&w);
}

static void
test_error_tells_what_and_where(void **state)
{
    (void)state;
    check_error("", 1, 1, "expected a term before the end");
    check_error("{a,\n  b", 2, 4, "expected ',' or '}' before the end");
    check_error("{a b}", 1, 4, "expected ',' or '}' before 'b'");
    check_error("[1,2}", 1, 5, "expected ',' or ']' before '}'");
    check_error("[a|b,c]", 1, 5, "expected ']' before ','");
    check_error("[a,]", 1, 4, "expected a term before ']'");
    check_error("a. b.", 1, 4, "expected nothing more before 'b'");
    check_error("#{a := 1}", 1, 5, "expected '=>' before ':='");
    check_error("#rec{}", 1, 2, "expected '{' after '#' before 'rec'");
    check_error("{\"\303\251\", X}", 1, 7,
                "expected a term, found the variable 'X'");
    check_error("end", 1, 1, "expected a term before 'end'");
    check_error("<0.1.2>", 1, 1, "pids have no text; expected a term");
    check_error("#Ref<0.1.2>", 1, 2, "expected '{' after '#' before 'Ref'");
    check_error("fun() -> ok end", 1, 4,
                "expected Module:Function/Arity after fun before '('");
    check_error("fun m:f/256", 1, 9, "expected an arity of 0 to 255");
    check_error("'abc", 1, 1, "nothing closes this '");
    check_error("a\"", 1, 2, "expected nothing more before a string");
    check_error("[\"abc]", 1, 2, "nothing closes this \"");
    check_error("\"\"\"\na", 1, 1, "nothing closes these quotes");
    check_error("\"\"\"\na\n \"\"\"", 2, 1,
                "less indented than the closing quotes");
    check_error("~x\"a\"", 1, 2,
                "expected b, B, s, S or an opening quote after '~' before 'x'");
    check_error("1e5", 1, 2, "expected nothing more before 'e5'");
    check_error("1.5e", 1, 5,
                "expected the digits of an exponent before the "
                "end");
    check_error("1.0e999", 1, 1, "this float is out of range");
    check_error("37#1", 1, 1, "a base is one of 2 to 36");
    check_error("2#2", 1, 3, "expected a digit of that base before '2'");
    check_error("-a", 1, 2, "expected a number before 'a'");
    check_error("\"\\x{110000}\"", 1, 4, "no character has that code");
    check_error("\"\\x1\"", 1, 4, "expected two hexadecimal digits or {...}");
    check_error("$", 1, 2, "expected a character before the end");
    check_error("'\xff'", 1, 2, "not UTF-8");
    check_error("\xff", 1, 1, "expected a term before '\xff'");
    check_error("<<1:16>>", 1, 4, "sizes in <<>> have no support");
    check_error("<<1/float>>", 1, 5,
                "expected utf8, the only type supported here, before 'float'");
    check_error("<<256>>", 1, 3, "not bytes; write \"text\"/utf8");
    check_error("<<-1>>", 1, 3, "expected a byte");
    check_error("<<1.5>>", 1, 3, "expected a byte");
    check_error("<<\"\303\251\346\227\245\">>", 1, 3,
                "not bytes; write \"text\"/utf8");
    check_error("#{a => 1, b => 2,\n a => 3}", 2, 2,
                "the key a is there twice");
    check_error("#{[97] => 1, \"a\" => 2}", 1, 14,
                "the key \"a\" is there twice");
    check_error(" #{#{a => 1, b => 2} => 1, #{b => 2, a => 1} => 2}", 1, 1,
                "the same map is there twice, as a key of another");
    check_error("{1, #{[#{a => 1, b => 2}] => 1, [#{b => 2, a => 1}] => 2}}", 1,
                1, "the same map is there twice, as a key of another");
}

static void
test_long_values_are_refused(void **state)
{
    static char text[30000];

    (void)state;
    memset(text, 'a', 256);
    check_error(text, 1, 1, "this atom is too long");
    text[255] = '\0';
    check_parse(text, 255, text);
    memset(text, '7', 25000);
    check_error(text, 1, 1, "this integer is too long");
    text[19000] = '\0';
    check_parse(text, 19000, text);
    text[1] = '.';
    check_error(text, 1, 1, "this float is out of range");
}

static void
test_long_key_is_cut_in_error(void **state)
{
    struct tb_text_error e = { 0 };
    struct tb_wr w = { 0 }, text = { 0 };

    (void)state;
    tb_wr_str(&text, "#{");
    for (int i = 0; i < 2; i++) {
        tb_wr_str(&text, i ? ", '" : "'");
        for (int n = 0; n < 100; n++)
            tb_wr_str(&text, "\346\227\245");
        tb_wr_str(&text, "' => 1");
    }
    tb_wr_str(&text, "}");
    assert_int_equal(tb_parse(&w, (char *)text.buf, text.len, &e), -TB_ESYNTAX);
    assert_int_equal(e.column, 112);
    assert_memory_equal(e.what, "the key '\346\227\245", 12);
    assert_non_null(strstr(e.what, "\346\227\245... is there twice"));
    tb_wr_free(&text);
    tb_wr_free(&w);
}

static void
test_nesting_is_limited(void **state)
{
    char text[2 * TB_MAX_NESTING + 8];

    (void)state;
    memset(text, '[', TB_MAX_NESTING);
    memset(text + TB_MAX_NESTING, ']', TB_MAX_NESTING);
    text[2 * TB_MAX_NESTING] = '\0';
    check_parse(text, strlen(text), text);
    memset(text, '{', TB_MAX_NESTING + 1);
    text[TB_MAX_NESTING + 1] = '\0';
    check_error(text, 1, TB_MAX_NESTING + 1, "nested too deeply");
}

static void
test_long_tail_needs_no_nesting(void **state)
{
    struct tb_wr text = { 0 }, expected = { 0 };

    (void)state;
    tb_wr_str(&expected, "[a");
    for (int i = 0; i < 10000; i++) {
        tb_wr_str(&text, "[a|");
        tb_wr_str(&expected, i ? ",a" : "");
    }
    tb_wr_str(&text, "[]");
    for (int i = 0; i < 10000; i++)
        tb_wr_str(&text, "]");
    tb_wr_bytes(&expected, "]", 2);
    check_parse((char *)text.buf, text.len, (char *)expected.buf);
    tb_wr_free(&text);
    tb_wr_free(&expected);
}

static const char config[] = "% settings\n"
                             "{name,\n"
                             "  \"a\"}.\n"
                             "[x, [1,2],\n"
                             "  300].\n"
                             "#{k =>\n"
                             "    v}.\n";

static void
check_consulted(const struct tb_wr *w, size_t from)
{
    struct tb_wr printed = { 0 };

    print_zero(&printed, (struct tb_term){ w->buf + from, w->len - from });
    assert_string_equal((char *)printed.buf,
                        "[{name,[97]},[x,[1,2],300],#{k => v}]");
    tb_wr_free(&printed);
}

static void
test_consult_tells_lines(void **state)
{
    static const uint32_t expected[] = { 2, 2, 3, 4, 4, 4, 5, 6, 6, 7 };
    struct tb_wr w = { 0 }, lines = { 0 };
    const struct tb_line *line;
    struct tb_term t;

    (void)state;
    tb_wr_str(&w, "before");
    assert_int_equal(tb_consult(&w, config, sizeof(config) - 1, &lines, NULL),
                     0);
    check_consulted(&w, 6);
    assert_int_equal(lines.len, sizeof(expected) / 4 * sizeof(*line));
    line = (const struct tb_line *)(void *)lines.buf;
    for (size_t i = 0; i < COUNT(expected); i++) {
        struct tb_rd r = tb_rd_of(w.buf + line[i].at, w.len - line[i].at);

        assert_int_equal(line[i].line, expected[i]);
        assert_int_equal(tb_check(&r, &t), 0);
        assert_true(i == 0 || line[i].at > line[i - 1].at);
    }
    tb_wr_free(&w);
    tb_wr_free(&lines);
}

static void
test_lines_follow_a_large_tuple(void **state)
{
    struct tb_wr text = { 0 }, w = { 0 }, lines = { 0 };
    const struct tb_line *line;

    (void)state;
    tb_wr_str(&text, "{");
    for (int i = 0; i < 300; i++)
        tb_wr_str(&text, i ? ",\nx" : "\nx");
    tb_wr_str(&text, "}.");
    assert_int_equal(tb_consult(&w, (char *)text.buf, text.len, &lines, NULL),
                     0);
    assert_int_equal(lines.len, 301 * sizeof(*line));
    line = (const struct tb_line *)(void *)lines.buf;
    for (uint32_t i = 1; i <= 300; i++) {
        assert_int_equal(line[i].line, i + 1);
        assert_memory_equal(w.buf + line[i].at, "w\1x", 3);
    }
    tb_wr_free(&text);
    tb_wr_free(&w);
    tb_wr_free(&lines);
}

static void
test_consult_needs_dots(void **state)
{
    struct tb_text_error e = { 0 };
    struct tb_wr w = { 0 };

    (void)state;
    assert_int_equal(tb_consult(&w, "a.\nb\nc.", 7, NULL, &e), -TB_ESYNTAX);
    assert_string_equal(e.what, "expected '.' before 'c'");
    assert_int_equal(e.line, 3);
    assert_int_equal(tb_consult(&w, "a", 1, NULL, &e), -TB_ESYNTAX);
    assert_string_equal(e.what, "expected '.' before the end");
    assert_int_equal(tb_consult(&w, "a.b.", 4, NULL, &e), -TB_ESYNTAX);
    assert_string_equal(e.what, "expected '.' before '.'");
    assert_int_equal(w.len, 0);
    assert_int_equal(tb_consult(&w, NULL, 0, NULL, &e), 0);
    assert_int_equal(w.len, 1);
    tb_wr_free(&w);
}

static void
test_failing_memory_is_reported(void **state)
{
    static const char text[] =
        "#{\"a\" => 'b c', <<\"d\"/utf8>> => [1.5, fun m:f/1, ~\"s\"],"
        " {x} => 123456789012345678901234567890, $k => [a|\"bc\"]}.\n";
    unsigned long n = 0;
    int rc;

    (void)state;
    do {
        struct tb_wr w = { 0 }, lines = { 0 };
        struct tb_text_error e = { 0 };

        tb_mem_fail_after(++n);
        rc = tb_consult(&w, text, sizeof(text) - 1, &lines, &e);
        tb_mem_fail_after(0);
        if (rc < 0)
            assert_int_equal(rc, -TB_ELIMIT);
        tb_wr_free(&w);
        tb_wr_free(&lines);
    } while (rc < 0);
    assert_true(n > 4);
}

static void
test_output_is_limited(void **state)
{
    (void)state;
    for (size_t max = 1; max <= 200; max++) {
        struct tb_wr w = { .max = max };
        int rc = tb_consult(&w, config, sizeof(config) - 1, NULL, NULL);

        assert_true(w.len <= max && (rc == 0 || max < 200));
        if (rc == 0)
            check_consulted(&w, 0);
        else
            assert_int_equal(rc, -TB_ELIMIT);
        tb_wr_free(&w);
    }
}

static void
test_every_prefix_fails_well(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof(config); n++) {
        struct tb_text_error e = { 0 };
        struct tb_wr w = { 0 };

        if (tb_parse(&w, config, n, &e) != 0)
            assert_true(e.line > 0 && e.column > 0 && e.what[0]);
        tb_wr_free(&w);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_literals_parse),
        cmocka_unit_test(test_binaries_and_sigils_parse),
        cmocka_unit_test(test_error_tells_what_and_where),
        cmocka_unit_test(test_long_values_are_refused),
        cmocka_unit_test(test_long_key_is_cut_in_error),
        cmocka_unit_test(test_nesting_is_limited),
        cmocka_unit_test(test_long_tail_needs_no_nesting),
        cmocka_unit_test(test_consult_tells_lines),
        cmocka_unit_test(test_lines_follow_a_large_tuple),
        cmocka_unit_test(test_consult_needs_dots),
        cmocka_unit_test(test_failing_memory_is_reported),
        cmocka_unit_test(test_output_is_limited),
        cmocka_unit_test(test_every_prefix_fails_well),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
