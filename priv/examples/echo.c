/* echo.c - an Erlang node in C that answers one request.
 *
 *   $ make && build/release/examples/echo echo@$(hostname -s) secret
 *   $ erl -sname shell -setcookie secret
 *   1> gen_server:call({echo, echo@myhost}, {echo, [hello, 42]}).
 *   {ok,[hello,42],1}
 */
#include <stdio.h>
#include <tiebeam.h>

struct echo {
    int64_t served;
};

static int
on_echo(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct echo *e = state;

    return tb_reply(self, m, "{ok, Term, Count}",
                    TB_ARGS(m->arg[0], tb_v_int(++e->served)));
}

static int
on_stop(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    (void)m;
    tb_node_stop(tb_self_node(self));
    return TB_NOREPLY;
}

static int
format(struct tb_proc *self, void *state, struct tb_wr *w)
{
    struct echo *e = state;

    (void)self;
    return tb_build(w, "#{served => N}", TB_ARGS(tb_v_int(e->served)));
}

/* clang-format off */
static const struct tb_clause clauses[] = {
    { TB_CALL, "{echo, Term}", on_echo },
    { TB_CAST, "stop",         on_stop },
    { 0 },
};
/* clang-format on */

static const struct tb_service echo = {
    .name = "echo",
    .state_size = sizeof(struct echo),
    .format = format,
    .clauses = clauses,
};

int
main(int argc, char **argv)
{
    struct tb_options options = { .name = argc > 1 ? argv[1] : NULL,
                                  .cookie = argc > 2 ? argv[2] : NULL };
    int rc;
    struct tb_node *node = tb_node_new(&options, &rc);

    if (node)
        rc = tb_start_kernel(node);
    if (node && rc == 0)
        rc = tb_start(node, &echo, NULL, TB_PERMANENT, NULL);
    if (node && rc == 0)
        rc = tb_node_start(node, NULL, NULL);
    if (node && rc == 0)
        rc = tb_node_run(node);
    tb_node_free(node);
    if (rc < 0)
        fprintf(stderr, "%s: %s\n",
                argc < 3 ? "usage: echo NODE@HOST COOKIE" : "echo",
                tb_strerror(rc));
    return rc < 0;
}
