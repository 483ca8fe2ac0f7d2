/* test_child_spec.c - child specs, as supervisor and DynamicSupervisor check
 * them. */
#include "services/child_spec.h"
#include "tb_test.h"

/* What hosts keep of it, or the reason why there is none. */
static const char *
kept(const char *asked)
{
    struct tb_wr w = { 0 }, why = { 0 };
    int rc = tb_spec_put(&w, tb_test_term(asked), &why);
    const char *text = tb_test_text(tb_wr_term(rc == 0 ? &w : &why));

    assert_true(rc == 0 || w.len == 0);
    tb_wr_free(&w);
    tb_wr_free(&why);
    return text;
}

static void
test_child_spec_put_fills_in(void **state)
{
    (void)state;
    assert_string_equal(kept("#{id => a, start => {m, f, []}}"),
                        "{named,a,{m,f,[]},permanent,false,5000,worker,[m]}");
    assert_string_equal(
        kept("#{id => a, start => {m, f, [1]}, type => supervisor}"),
        "{named,a,{m,f,[1]},permanent,false,infinity,supervisor,[m]}");
    assert_string_equal(
        kept("{a, {m, f, []}, temporary, brutal_kill, worker, dynamic}"),
        "{named,a,{m,f,[]},temporary,false,brutal_kill,worker,dynamic}");
    assert_string_equal(
        kept("{{m, f, [x]}, transient, 1, worker, [m]}"),
        "{dynamic,undefined,{m,f,[x]},transient,false,1,worker,[m]}");
    /* DynamicSupervisor lets it pass since Elixir 1.15 */
    assert_string_equal(
        kept("{{m, f, []}, permanent, 0, worker, [m]}"),
        "{dynamic,undefined,{m,f,[]},permanent,false,0,worker,[m]}");
}

static void
test_child_spec_put_refuses(void **state)
{
    static const char *const wrong[][2] = {
        { "foo", "{invalid_child_spec,foo}" },
        { "{a,b}", "{invalid_child_spec,{a,b}}" },
        { "#{}", "missing_id" },
        { "#{id => a}", "missing_start" },
        { "#{id => a, start => {m, f}}", "{invalid_mfa,{m,f}}" },
        { "#{id => a, start => {m, f, x}}", "{invalid_mfa,{m,f,x}}" },
        { "#{id => a, start => {m, f, []}, restart => no}",
          "{invalid_restart_type,no}" },
        { "#{id => a, start => {m, f, []}, type => no}",
          "{invalid_child_type,no}" },
        { "#{id => a, start => {m, f, []}, shutdown => -1}",
          "{invalid_shutdown,-1}" },
        { "#{id => a, start => {m, f, []}, modules => no}",
          "{invalid_modules,no}" },
        { "#{id => a, start => {m, f, []}, modules => [m, 1]}",
          "{invalid_module,1}" },
        { "#{id => a, start => {m, f, []}, significant => 1}",
          "{invalid_significant,1}" },
        { "#{id => a, start => {m, f, []}, significant => true}",
          "{bad_combination,[{auto_shutdown,never},{significant,true}]}" },
        { "{{m, f, []}, no, 1, worker, [m]}", "{invalid_restart_type,no}" },
        { "{{m, f, []}, permanent, -1, worker, [m]}", "{invalid_shutdown,-1}" },
        { "{{m, f, []}, permanent, 1, no, [m]}", "{invalid_child_type,no}" },
        { "{{m, f, []}, permanent, 1, worker, [1]}", "{invalid_modules,[1]}" },
        { "{{m, f}, permanent, 1, worker, [1]}", "{invalid_mfa,{m,f}}" },
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(wrong); i++)
        assert_string_equal(kept(wrong[i][0]), wrong[i][1]);
}

typedef void (*put_fn)(struct tb_wr *w, const struct tb_spec *s);

static const char *
shown(put_fn put, const char *spec)
{
    struct tb_wr w = { 0 };
    struct tb_spec s;
    const char *text;

    assert_true(tb_spec_read(&s, tb_test_term(spec)));
    put(&w, &s);
    text = tb_test_text(tb_wr_term(&w));
    tb_wr_free(&w);
    return text;
}

#define NAMED "{named,a,{m,f,[1]},temporary,false,5000,worker,[m]}"
#define OTHER "{dynamic,undefined,{m,f,[1]},permanent,false,5000,worker,[m]}"

static void
test_child_spec_shows(void **state)
{
    (void)state;
    assert_string_equal(shown(tb_spec_put_located, NAMED), "a");
    assert_string_equal(shown(tb_spec_put_located, OTHER),
                        "{{m,f,[1]},permanent,5000,worker,[m]}");
    assert_string_equal(
        shown(tb_spec_put_record, NAMED),
        "{child,undefined,a,{m,f,[1]},temporary,false,5000,worker,[m]}");
    assert_string_equal(shown(tb_spec_put_map, NAMED),
                        "#{id => a,start => {m,f,undefined},"
                        "restart => temporary,significant => false,"
                        "shutdown => 5000,type => worker,modules => [m]}");
}

static void
test_child_spec_read_refuses(void **state)
{
    struct tb_spec s;

    (void)state;
    assert_false(tb_spec_read(&s, tb_test_term("foo")));
    assert_false(tb_spec_read(
        &s, tb_test_term("{other,a,{m,f,[]},permanent,false,1,worker,[]}")));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_child_spec_put_fills_in),
        cmocka_unit_test(test_child_spec_put_refuses),
        cmocka_unit_test(test_child_spec_shows),
        cmocka_unit_test(test_child_spec_read_refuses),
    };

    return cmocka_run_group_tests_name("services/child_spec", tests,
                                       tb_test_atoms, tb_test_atoms_gone);
}
