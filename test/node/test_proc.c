/* test_proc.c - processes among themselves, on a node without a network. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "services/services.h"
#include "tiebeam.h"

/* A script runs as a process of its own: steps that wait for what they began.
 */
struct script {
    int (*begin)(struct tb_proc *self);
    struct tb_wr seen; /* texts of messages, one a line */
    int expected;      /* messages until it stops the node; < 0: it says when */
};

static struct script script;

static int
end_script(struct tb_proc *self)
{
    tb_node_stop(tb_self_node(self));
    return TB_NOREPLY;
}

static int
on_any(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    tb_print(&script.seen, m->term);
    tb_wr_str(&script.seen, "\n");
    return --script.expected == 0 ? end_script(self) : TB_NOREPLY;
}

static int
script_init(struct tb_proc *self, void *state, const void *arg)
{
    (void)state;
    (void)arg;
    return script.begin(self);
}

static const struct tb_clause script_clauses[] = {
    { TB_INFO, "Any", on_any },
    { 0 },
};

static const struct tb_service script_service = {
    .name = "script",
    .trap_exit = true,
    .init = script_init,
    .clauses = script_clauses,
};

/* ------------------------------------------------------------- a server */

struct server {
    struct tb_from *waiting;
    int64_t calls;
};

static int
on_echo(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct server *s = state;

    return tb_reply(self, m, "{Term, Calls}",
                    TB_ARGS(m->arg[0], tb_v_int(++s->calls)));
}

static int
on_later(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct server *s = state;

    s->waiting = tb_from_keep(m);
    tb_send_after(self, 1, "now", TB_NONE);
    return TB_NOREPLY;
}

static int
on_now(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct server *s = state;
    int rc = tb_reply_to(self, s->waiting, "late", TB_NONE);

    (void)m;
    tb_from_free(s->waiting);
    s->waiting = NULL;
    return rc;
}

static int
on_never(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)self;
    (void)state;
    (void)m;
    return TB_NOREPLY;
}

static int
on_crash(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)self;
    (void)state;
    (void)m;
    return -TB_EBADARG;
}

static int
on_bye(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    return tb_stop(self, "{bye, Why}", TB_ARGS(m->arg[0]));
}

static int
on_last(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    tb_reply(self, m, "Words", TB_ARGS(m->arg[0]));
    return tb_stop(self, "normal", TB_NONE);
}

static int
on_fun(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    if (m->arg[0].i == 0)
        return tb_raise(self, m, "badarith", TB_NONE);
    return tb_reply(self, m, "N", TB_ARGS(tb_v_int(100 / m->arg[0].i)));
}

static void
server_terminate(struct tb_proc *self, void *state, struct tb_term why)
{
    struct server *s = state;

    (void)self;
    (void)why;
    tb_from_free(s->waiting);
}

static const struct tb_clause server_clauses[] = {
    { TB_CALL, "{echo, Term}", on_echo },
    { TB_CALL, "later", on_later },
    { TB_CALL, "never", on_never },
    { TB_CALL, "crash", on_crash },
    { TB_CALL, "{bye, Why}", on_bye },
    { TB_CALL, "{last, Words}", on_last },
    { TB_INFO, "now", on_now },
    { TB_FUN, "{calc, percent, [N:int]}", on_fun },
    { 0 },
};

static const struct tb_service server = {
    .name = "server",
    .state_size = sizeof(struct server),
    .terminate = server_terminate,
    .clauses = server_clauses,
};

/* --------------------------------------------------------------- fixture */

static struct tb_options
offline(void)
{
    return (struct tb_options){ .name = "unit@localhost",
                                .cookie = "unit",
                                .listen_min = -1,
                                .no_epmd = true };
}

/* What the script saw; NUL-terminated, freed by the next run. */
static const char *
run(int (*begin)(struct tb_proc *self), int expected)
{
    struct tb_options o = offline();
    int error = 0;
    struct tb_node *node = tb_node_new(&o, &error);

    assert_non_null(node);
    tb_wr_free(&script.seen);
    script.begin = begin;
    script.expected = expected;
    assert_int_equal(tb_start(node, &server, NULL, TB_PERMANENT, NULL), 0);
    assert_int_equal(tb_node_start(node, NULL, NULL), 0);
    assert_int_equal(tb_start(node, &script_service, NULL, TB_TEMPORARY, NULL),
                     0);
    assert_int_equal(tb_node_run(node), 0);
    tb_node_free(node);
    tb_wr_bytes(&script.seen, "", 1);
    return (const char *)script.seen.buf;
}

static int
free_script(void **state)
{
    (void)state;
    tb_wr_free(&script.seen);
    return 0;
}

static struct tb_pid
server_pid(struct tb_proc *self)
{
    struct tb_pid pid = { 0 };

    assert_true(
        tb_whereis(tb_self_node(self), (struct tb_text){ "server", 6 }, &pid));
    return pid;
}

static tb_atom
here(struct tb_proc *self)
{
    return tb_node_name(tb_self_node(self));
}

/* ---------------------------------------------------------------- calls */

static int
on_done(struct tb_proc *self, void *state, void *ctx, int status,
        struct tb_term result)
{
    (void)state;
    tb_wr_str(&script.seen, ctx);
    tb_wr_str(&script.seen, " ");
    tb_wr_str(&script.seen, status < 0 ? tb_error_atom(status) : "ok");
    tb_wr_str(&script.seen, " ");
    tb_print(&script.seen, result);
    tb_wr_str(&script.seen, "\n");
    return --script.expected == 0 ? end_script(self) : TB_NOREPLY;
}

static char one[] = "1", two[] = "2", three[] = "3", four[] = "4";

static int
begin_calls(struct tb_proc *self)
{
    struct tb_pid to = server_pid(self);

    tb_call(self, to, "{echo, a}", TB_NONE, TB_INFINITY, on_done, one);
    tb_call_name(self, "server", here(self), "{echo, b}", TB_NONE, TB_INFINITY,
                 on_done, two);
    tb_call(self, to, "later", TB_NONE, TB_INFINITY, on_done, three);
    return 0;
}

static void
test_proc_calls_are_answered_in_order(void **state)
{
    (void)state;
    assert_string_equal(run(begin_calls, 3),
                        "1 ok {a,1}\n2 ok {b,2}\n3 ok late\n");
}

static int
begin_failures(struct tb_proc *self)
{
    tb_call_name(self, "nobody", here(self), "x", TB_NONE, TB_INFINITY, on_done,
                 one);
    tb_call_name(self, "server", here(self), "unknown", TB_NONE, TB_INFINITY,
                 on_done, two);
    tb_call_name(self, "server", here(self), "never", TB_NONE, 50, on_done,
                 three);
    return 0;
}

static void
test_proc_calls_fail_with_their_reason(void **state)
{
    (void)state;
    assert_string_equal(run(begin_failures, 3),
                        "1 noproc noproc\n2 ok {error,unknown_call}\n"
                        "3 timeout timeout\n");
}

static int
begin_erpc(struct tb_proc *self)
{
    tb_erpc(self, here(self), "calc", "percent", "[4]", TB_NONE, TB_INFINITY,
            on_done, one);
    tb_erpc(self, here(self), "calc", "percent", "[0]", TB_NONE, TB_INFINITY,
            on_done, two);
    tb_erpc(self, here(self), "calc", "percent", "[x]", TB_NONE, TB_INFINITY,
            on_done, three);
    tb_erpc(self, here(self), "calc", "other", "[]", TB_NONE, TB_INFINITY,
            on_done, four);
    return 0;
}

/* The worker of an unknown function ends before any server can answer. */
static void
test_proc_functions_return_and_raise(void **state)
{
    (void)state;
    assert_string_equal(run(begin_erpc, 4),
                        "4 exit {error,undef,[{calc,other,[],[]}]}\n"
                        "1 ok 25\n"
                        "2 exit {error,badarith,[{calc,percent,[0],[]}]}\n"
                        "3 exit {error,badarg,[{calc,percent,[x],[]}]}\n");
}

/* -------------------------------------------------------------- signals */

static int
begin_monitor(struct tb_proc *self)
{
    tb_monitor_name(self, "server", here(self));
    tb_call_name(self, "server", here(self), "{bye, [now]}", TB_NONE,
                 TB_INFINITY, on_done, one);
    return 0;
}

static void
test_proc_end_reaches_monitor_and_caller(void **state)
{
    const char *seen = run(begin_monitor, 2);

    (void)state;
    assert_non_null(strstr(seen, "1 exit {bye,[now]}\n"));
    assert_non_null(
        strstr(seen, "process,{server,unit@localhost},{bye,[now]}}\n"));
}

static int
begin_link(struct tb_proc *self)
{
    struct tb_pid to = server_pid(self);

    tb_link(self, to);
    tb_exit(self, to, "{oops, 1}", TB_NONE);
    return 0;
}

static void
test_proc_link_carries_the_reason(void **state)
{
    (void)state;
    assert_non_null(strstr(run(begin_link, 1), ",{oops,1}}\n"));
}

static int
begin_unlink(struct tb_proc *self)
{
    struct tb_pid to = server_pid(self);

    tb_link(self, to);
    tb_unlink(self, to);
    tb_exit(self, to, "kill", TB_NONE);
    tb_send_after(self, 20, "enough", TB_NONE);
    return 0;
}

static void
test_proc_unlinked_hears_nothing(void **state)
{
    (void)state;
    assert_string_equal(run(begin_unlink, 1), "enough\n");
}

static int
begin_crashes(struct tb_proc *self)
{
    tb_call_name(self, "server", here(self), "crash", TB_NONE, TB_INFINITY,
                 on_done, one);
    tb_send_after(self, 20, "again", TB_NONE);
    return 0;
}

static void
test_proc_handler_error_ends_only_its_process(void **state)
{
    (void)state;
    assert_string_equal(run(begin_crashes, 2),
                        "1 exit {error,badarg}\nagain\n");
}

static int
begin_timers(struct tb_proc *self)
{
    struct tb_ref never = tb_send_after(self, 1, "never", TB_NONE);

    tb_send_after(self, 10, "second", TB_NONE);
    tb_send_after(self, 2, "first", TB_NONE);
    assert_true(tb_cancel_timer(self, never));
    assert_false(tb_cancel_timer(self, never));
    return 0;
}

static void
test_proc_timers_fire_in_order(void **state)
{
    (void)state;
    assert_string_equal(run(begin_timers, 2), "first\nsecond\n");
}

/* ------------------------------------------------------ what goes wrong */

static int
on_spin(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    (void)m;
    tb_send(self, tb_self(self), "spin", TB_NONE);
    return TB_NOREPLY;
}

static int
spinner_init(struct tb_proc *self, void *state, const void *arg)
{
    (void)arg;
    return on_spin(self, state, NULL);
}

/* Nobody is left to hear the end of this call. */
static void
spinner_terminate(struct tb_proc *self, void *state, struct tb_term why)
{
    (void)state;
    (void)why;
    tb_call_name(self, "server", here(self), "never", TB_NONE, 1, on_done,
                 four);
}

static const struct tb_clause spinner_clauses[] = {
    { TB_INFO, "spin", on_spin },
    { 0 },
};

static const struct tb_service spinner = {
    .name = "spinner",
    .init = spinner_init,
    .terminate = spinner_terminate,
    .clauses = spinner_clauses,
};

static int
begin_spinner(struct tb_proc *self)
{
    int rc = tb_start(tb_self_node(self), &spinner, NULL, TB_TEMPORARY, NULL);

    tb_send_after(self, 5, "enough", TB_NONE);
    return rc;
}

static void
test_node_stops_while_messages_never_end(void **state)
{
    (void)state;
    assert_string_equal(run(begin_spinner, 1), "enough\n");
}

static int
begin_ended_spinner(struct tb_proc *self)
{
    struct tb_pid pid;
    int rc = tb_start(tb_self_node(self), &spinner, NULL, TB_TEMPORARY, &pid);

    tb_exit(self, pid, "kill", TB_NONE);
    tb_send_after(self, 20, "enough", TB_NONE);
    return rc;
}

static void
test_proc_call_begun_at_its_end_is_forgotten(void **state)
{
    (void)state;
    assert_string_equal(run(begin_ended_spinner, 1), "enough\n");
}

static int
begin_unbuildable(struct tb_proc *self)
{
    struct tb_val no_utf8 = tb_v_atom("\xff\xfe");

    tb_send(self, tb_self(self), "X", TB_ARGS(no_utf8));
    tb_send_after(self, 1, "X", TB_ARGS(no_utf8));
    tb_call(self, server_pid(self), "{X}", TB_ARGS(no_utf8), TB_INFINITY,
            on_done, one);
    tb_erpc(self, here(self), "calc", "percent", "[X]", TB_ARGS(no_utf8),
            TB_INFINITY, on_done, two);
    tb_send_after(self, 20, "enough", TB_NONE);
    return 0;
}

static void
test_proc_what_cannot_be_built_is_not_sent(void **state)
{
    (void)state;
    assert_string_equal(run(begin_unbuildable, 3),
                        "1 exit badarg\n2 exit badarg\nenough\n");
}

static int
begin_reply_and_end(struct tb_proc *self)
{
    tb_call_name(self, "server", here(self), "{last, words}", TB_NONE,
                 TB_INFINITY, on_done, one);
    tb_send_after(self, 20, "enough", TB_NONE);
    return 0;
}

/* The DOWN behind the reply is the call's, not the caller's. */
static void
test_proc_reply_takes_its_down_along(void **state)
{
    (void)state;
    assert_string_equal(run(begin_reply_and_end, 2), "1 ok words\nenough\n");
}

/* --------------------------------------------------------------- services */

static void
test_service_tables_compile(void **state)
{
    static const struct tb_discovery_config nothing = { "dns_cluster",
                                                        { NULL, 0 },
                                                        NULL };
    struct tb_wr opts = { 0 };
    struct tb_discovery_config config = nothing;
    struct tb_options o = offline();
    int error = 0;
    struct tb_node *node = tb_node_new(&o, &error);

    (void)state;
    assert_non_null(node);
    assert_int_equal(tb_build(&opts, "[{source, ignore}]", TB_NONE), 0);
    config.opts = tb_wr_term(&opts);
    assert_int_equal(tb_start_kernel(node), 0);
    assert_int_equal(tb_start(node, &tb_tiebeam, NULL, TB_PERMANENT, NULL), 0);
    assert_int_equal(tb_start(node, &tb_discovery, &config, TB_TRANSIENT, NULL),
                     0);
    /* a name is held once */
    assert_int_equal(tb_start(node, &tb_tiebeam, NULL, TB_PERMANENT, NULL),
                     -TB_EIN_USE);
    tb_node_free(node);
    tb_wr_free(&opts);
}

static void
test_service_with_bad_pattern_does_not_start(void **state)
{
    static const struct tb_clause bad[] = { { TB_CALL, "{open", on_echo },
                                            { 0 } };
    static const struct tb_service broken = { .name = "broken",
                                              .clauses = bad };
    struct tb_options o = offline();
    int error = 0;
    struct tb_node *node = tb_node_new(&o, &error);

    (void)state;
    assert_non_null(node);
    assert_int_equal(tb_start(node, &broken, NULL, TB_PERMANENT, NULL),
                     -TB_EPATTERN);
    tb_node_free(node);
}

static void
test_node_refuses_bad_options(void **state)
{
    static const char *const names[] = { NULL,    "",      "nohost",
                                         "@host", "name@", "a@b@c" };
    int error;

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct tb_options o = offline();

        o.name = names[i];
        error = 0;
        assert_null(tb_node_new(&o, &error));
        assert_int_equal(error, -TB_EBADARG);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_proc_calls_are_answered_in_order),
        cmocka_unit_test(test_proc_calls_fail_with_their_reason),
        cmocka_unit_test(test_proc_functions_return_and_raise),
        cmocka_unit_test(test_proc_end_reaches_monitor_and_caller),
        cmocka_unit_test(test_proc_link_carries_the_reason),
        cmocka_unit_test(test_proc_unlinked_hears_nothing),
        cmocka_unit_test(test_proc_handler_error_ends_only_its_process),
        cmocka_unit_test(test_proc_timers_fire_in_order),
        cmocka_unit_test(test_node_stops_while_messages_never_end),
        cmocka_unit_test(test_proc_call_begun_at_its_end_is_forgotten),
        cmocka_unit_test(test_proc_what_cannot_be_built_is_not_sent),
        cmocka_unit_test(test_proc_reply_takes_its_down_along),
        cmocka_unit_test(test_service_tables_compile),
        cmocka_unit_test(test_service_with_bad_pattern_does_not_start),
        cmocka_unit_test(test_node_refuses_bad_options),
    };

    return cmocka_run_group_tests(tests, NULL, free_script);
}
