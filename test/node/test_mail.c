/* test_mail.c - what waits in mailboxes: who is charged for it, how much may,
 * and what a suspended process hears all the same. */
#include "node/proc.h"
#include "tb_test.h"

#define MIB ((size_t)1 << 20)

/* ------------------------------------------------------------ processes -- */

struct counter {
    unsigned casts, infos;
};

static int
on_cast(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct counter *c = state;

    (void)self;
    (void)m;
    c->casts++;
    return TB_NOREPLY;
}

static int
on_info(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct counter *c = state;

    (void)self;
    (void)m;
    c->infos++;
    return TB_NOREPLY;
}

static const struct tb_clause clauses[] = {
    { TB_CAST, "_", on_cast },
    { TB_INFO, "_", on_info },
    { 0 },
};

static const struct tb_service counting = {
    .state_size = sizeof(struct counter),
    .trap_exit = true,
    .clauses = clauses,
};

static struct tb_node *node;
static struct tb_proc *asker; /* whoever asks for what sys does */

static int
begin(void **state)
{
    struct tb_options o = { .name = "unit@localhost",
                            .cookie = "unit",
                            .listen_min = -1,
                            .no_epmd = true };
    int error = 0;

    (void)state;
    node = tb_node_new(&o, &error);
    assert_non_null(node);
    assert_int_equal(tb_proc_new(node, &counting, NULL, NULL, &asker), 0);
    return 0;
}

static int
end(void **state)
{
    (void)state;
    tb_node_free(node);
    return 0;
}

static struct tb_proc *
new_proc(struct tb_proc *parent)
{
    struct tb_proc *p;

    assert_int_equal(tb_proc_new(node, &counting, NULL, parent, &p), 0);
    return p;
}

static struct counter *
counter_of(struct tb_proc *p)
{
    return p->state;
}

static void
run(void)
{
    while (tb_procs_run(node))
        ;
}

/* ------------------------------------------------------------- messages -- */

/* As a peer's. */
static void
receive(struct tb_proc *p, const char *message, struct tb_args args)
{
    struct tb_wr w = { 0 };

    assert_int_equal(tb_build(&w, message, args), 0);
    tb_proc_receive(p, tb_wr_term(&w));
    tb_wr_free(&w);
}

static void
cast(struct tb_proc *p, size_t bytes)
{
    uint8_t *body = tb_alloc(bytes);

    receive(p, "{'$gen_cast', Body}", TB_ARGS(tb_v_bin(body, bytes)));
    tb_free(body);
}

static void
ask_sys(struct tb_proc *p, const char *what)
{
    receive(p, "{system, {From, tag}, What}",
            TB_ARGS(tb_v_pid(asker->pid), tb_v_atom(what)));
}

static void
enqueue(struct tb_proc *p, size_t bytes)
{
    static const struct tb_ref none;
    uint8_t *body = tb_alloc(bytes);
    struct tb_wr w = { 0 };

    assert_int_equal(
        tb_build(&w, "{'$gen_cast', Body}", TB_ARGS(tb_v_bin(body, bytes))), 0);
    tb_proc_enqueue(p, TB_MAIL_TERM, none, tb_wr_term(&w));
    tb_wr_free(&w);
    tb_free(body);
}

/* --------------------------------------------------------------- charged -- */

static void
test_mail_is_handled_at_once(void **state)
{
    struct tb_proc *p = new_proc(NULL);

    (void)state;
    cast(p, 100);
    assert_int_equal(counter_of(p)->casts, 1);
    assert_int_equal(p->mail_bytes, 0);
}

static void
test_mail_waits_while_suspended(void **state)
{
    struct tb_proc *p = new_proc(NULL);

    (void)state;
    for (int round = 0; round < 2; round++) { /* the charge goes with it */
        ask_sys(p, "suspend");
        for (int i = 0; i < 60; i++)
            cast(p, MIB);
        run();
        assert_int_equal(counter_of(p)->casts, 60 * round);
        assert_true(p->mail_bytes >= 60 * MIB && p->mail_bytes < 61 * MIB);
        assert_int_equal(node->mail_bytes, 0);
        assert_false(tb_procs_are_behind(node, true));
        ask_sys(p, "resume");
        assert_true(tb_procs_are_behind(node, false));
        run();
        assert_int_equal(counter_of(p)->casts, 60 * (round + 1));
        assert_int_equal(p->mail_bytes, 0);
        assert_int_equal(node->mail_bytes, 0);
    }
}

static void
test_mail_too_much_while_suspended(void **state)
{
    struct tb_proc *p = new_proc(NULL);

    (void)state;
    ask_sys(p, "suspend");
    for (size_t bytes = 0; bytes <= TB_MAX_MAILBOX; bytes += MIB) {
        assert_false(p->dying);
        cast(p, MIB);
    }
    cast(p, 1);
    assert_true(p->dying);
    assert_term(tb_wr_term(&p->reason), "{error, system_limit}");
    run();
    assert_int_equal(node->mail_bytes, 0);
}

/* One message is taken, however large. */
static void
test_mail_of_one_large_message(void **state)
{
    struct tb_proc *p = new_proc(NULL);

    (void)state;
    ask_sys(p, "suspend");
    cast(p, TB_MAX_MAILBOX + MIB);
    assert_false(p->dying);
    ask_sys(p, "resume");
    run();
    assert_int_equal(counter_of(p)->casts, 1);
}

/* A process that runs is not ended for what it is sent: no more is read from
 * peers till it has done its part. */
static void
test_mail_of_those_that_run(void **state)
{
    struct tb_proc *p = new_proc(NULL);

    (void)state;
    enqueue(p, TB_MAX_MAILBOX + MIB);
    enqueue(p, 1);
    assert_false(p->dying);
    assert_true(tb_procs_are_behind(node, false));
    run();
    assert_int_equal(counter_of(p)->casts, 2);
    enqueue(p, 3 * TB_MAIL_HIGH / 4);
    assert_false(tb_procs_are_behind(node, false));
    assert_true(tb_procs_are_behind(node, true));
    run();
    assert_false(tb_procs_are_behind(node, true));
}

static void
test_mail_of_one_that_ends(void **state)
{
    struct tb_proc *p = new_proc(NULL);

    (void)state;
    enqueue(p, MIB);
    tb_proc_kill(p, TERM("w\6killed"));
    run();
    assert_int_equal(node->mail_bytes, 0);
}

/* -------------------------------------------------------------- suspended --
 */

static void
test_suspended_is_asked_all_the_same(void **state)
{
    struct tb_proc *p = new_proc(NULL);
    unsigned answers;

    (void)state;
    ask_sys(p, "suspend");
    cast(p, 100);
    run();
    answers = counter_of(asker)->infos;
    ask_sys(p, "get_status");
    ask_sys(p, "suspend"); /* twice is once */
    run();
    assert_int_equal(counter_of(asker)->infos, answers + 2);
    assert_int_equal(counter_of(p)->casts, 0);
    ask_sys(p, "resume");
    run();
    assert_int_equal(counter_of(p)->casts, 1);
    assert_int_equal(node->mail_bytes, 0);
}

static void
test_suspended_ends_with_its_parent(void **state)
{
    struct tb_proc *parent = new_proc(NULL), *p = new_proc(parent);
    struct tb_pid pid = p->pid;

    (void)state;
    ask_sys(p, "suspend");
    cast(p, 100);
    tb_proc_kill(parent, TERM("w\4over"));
    run();
    assert_null(tb_proc_of(node, pid));
    assert_int_equal(node->mail_bytes, 0);
}

/* An exit of somebody else is a message like others. */
static void
test_suspended_outlives_a_stranger(void **state)
{
    struct tb_proc *parent = new_proc(NULL), *p = new_proc(parent);

    (void)state;
    ask_sys(p, "suspend");
    tb_proc_exit_signal(p, asker->pid, TERM("w\4over"), true);
    run();
    assert_ptr_equal(tb_proc_of(node, p->pid), p);
    assert_int_equal(counter_of(p)->infos, 0);
    ask_sys(p, "resume");
    run();
    assert_int_equal(counter_of(p)->infos, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_mail_is_handled_at_once, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_mail_waits_while_suspended, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_mail_too_much_while_suspended,
                                        begin, end),
        cmocka_unit_test_setup_teardown(test_mail_of_one_large_message, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_mail_of_those_that_run, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_mail_of_one_that_ends, begin, end),
        cmocka_unit_test_setup_teardown(test_suspended_is_asked_all_the_same,
                                        begin, end),
        cmocka_unit_test_setup_teardown(test_suspended_ends_with_its_parent,
                                        begin, end),
        cmocka_unit_test_setup_teardown(test_suspended_outlives_a_stranger,
                                        begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
