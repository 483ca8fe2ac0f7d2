/* net_kernel.c - answers net_adm:ping/1, connects and disconnects on request.
 * In Erlang: net_kernel. Owns: callers that wait for a connection.
 * Thread: loop. */
#include "services/services.h"

static int
on_is_auth(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    return tb_reply(self, m, "yes", TB_NONE);
}

static int
on_connected(struct tb_proc *self, void *state, void *ctx, int status,
             struct tb_term result)
{
    struct tb_from *from = ctx;
    int rc =
        tb_reply_to(self, from, "Connected", TB_ARGS(tb_v_bool(status == 0)));

    (void)state;
    (void)result;
    tb_from_free(from);
    return rc;
}

int
tb_on_connect_node(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    tb_atom node = tb_intern(m->arg[0].text);

    (void)state;
    if (!node)
        return tb_reply(self, m, "false", TB_NONE);
    tb_connect(self, node, on_connected, tb_from_keep(m));
    return TB_NOREPLY;
}

int
tb_on_disconnect_node(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    tb_atom node = tb_intern(m->arg[0].text);
    bool done = node && tb_disconnect(tb_self_node(self), node);

    (void)state;
    return tb_reply(self, m, "Done", TB_ARGS(tb_v_bool(done)));
}

/* clang-format off */
static const struct tb_clause clauses[] = {
    { TB_CALL, "{is_auth, _}",                              on_is_auth            },
    { TB_FUN,  "{net_kernel, connect_node, [Node:atom]}",   tb_on_connect_node    },
    { TB_FUN,  "{net_kernel, hidden_connect_node, [Node:atom]}", tb_on_connect_node },
    { TB_FUN,  "{net_kernel, disconnect, [Node:atom]}",     tb_on_disconnect_node },
    { TB_FUN,  "{erlang, disconnect_node, [Node:atom]}",    tb_on_disconnect_node },
    { 0 },
};
/* clang-format on */

const struct tb_service tb_net_kernel = {
    .name = "net_kernel",
    .trap_exit = true,
    .clauses = clauses,
};

int
tb_start_kernel(struct tb_node *node)
{
    int rc = tb_start(node, &tb_net_kernel, NULL, TB_PERMANENT, NULL);

    if (rc == 0)
        rc = tb_start(node, &tb_rex, NULL, TB_PERMANENT, NULL);
    return rc;
}
