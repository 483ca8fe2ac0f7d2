/* rex.c - rpc by message, and the functions of module erlang that peers call
 * on a remote node.
 * In Erlang: rpc's server, and a few BIFs.
 * Owns: callers whose function runs. Thread: loop. */
#include <string.h>

#include "services/services.h"

/* ---------------------------------------------------------- rpc calls -- */

static int
on_value(struct tb_proc *self, void *state, void *ctx, int status,
         struct tb_term result)
{
    struct tb_from *from = ctx;
    struct tb_val v[TB_MAX_HOLES];
    int rc;

    (void)state;
    if (status == 0)
        rc = tb_reply_to(self, from, "Value", TB_ARGS(tb_v_term(result)));
    else if (tb_match("{throw, Thrown}", result, v) == 1)
        rc = tb_reply_to(self, from, "Thrown", TB_ARGS(v[0]));
    else if (tb_match("{error, Reason, Stack}", result, v) == 1)
        rc = tb_reply_to(self, from, "{badrpc, {'EXIT', {Reason, Stack}}}",
                         TB_ARGS(v[0], v[1]));
    else if (tb_match("{exit, Reason}", result, v) == 1)
        rc = tb_reply_to(self, from, "{badrpc, {'EXIT', Reason}}",
                         TB_ARGS(v[0]));
    else
        rc = tb_reply_to(self, from, "{badrpc, {'EXIT', Reason}}",
                         TB_ARGS(tb_v_term(result)));
    tb_from_free(from);
    return rc;
}

static void
run(struct tb_proc *self, const struct tb_msg *m, tb_done done, void *ctx)
{
    char module[256], function[256];
    struct tb_text mod = m->arg[0].text, fun = m->arg[1].text;

    if (mod.n >= sizeof(module) || fun.n >= sizeof(function)) {
        mod.n = fun.n = 0; /* longer than any of ours: undef */
    }
    memcpy(module, mod.p, mod.n);
    memcpy(function, fun.p, fun.n);
    module[mod.n] = function[fun.n] = '\0';
    tb_erpc(self, tb_node_name(tb_self_node(self)), module, function, "Args",
            TB_ARGS(m->arg[2]), TB_INFINITY, done, ctx);
}

static int
on_rpc_call(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    run(self, m, on_value, tb_from_keep(m));
    return TB_NOREPLY;
}

static int
on_rpc_cast(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    run(self, m, NULL, NULL);
    return TB_NOREPLY;
}

/* rpc:sbcast/3: passed on, and whether that name is known is told. */
static int
on_sbcast(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_node *node = tb_self_node(self);
    struct tb_val us = tb_v_node(tb_node_name(node));
    struct tb_pid to;

    (void)state;
    if (!tb_whereis(node, m->arg[1].text, &to)) {
        tb_send(self, m->arg[0].pid, "{rex, Node, {nonexisting_name, Name}}",
                TB_ARGS(us, m->arg[1]));
        return TB_NOREPLY;
    }
    tb_send(self, to, "Message", TB_ARGS(m->arg[2]));
    tb_send(self, m->arg[0].pid, "{rex, Node, Node}", TB_ARGS(us, us));
    return TB_NOREPLY;
}

static int
on_features(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    tb_send(self, m->arg[0].pid, "{features_reply, Node, [erpc]}",
            TB_ARGS(tb_v_node(tb_node_name(tb_self_node(self)))));
    return TB_NOREPLY;
}

/* ------------------------------------------------------- module erlang -- */

static int
on_node(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    return tb_reply(self, m, "Node",
                    TB_ARGS(tb_v_node(tb_node_name(tb_self_node(self)))));
}

int
tb_reply_nodes(struct tb_proc *self, const struct tb_msg *m, const char *which)
{
    struct tb_wr w = { 0 };
    int rc = tb_put_nodes(tb_self_node(self), which, &w);

    if (rc < 0)
        rc = tb_raise(self, m, "badarg", TB_NONE);
    else
        rc = tb_reply(self, m, "Nodes", TB_ARGS(tb_v_term(tb_wr_term(&w))));
    tb_wr_free(&w);
    return rc;
}

static int
on_nodes(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    return tb_reply_nodes(self, m, "visible");
}

static int
on_nodes_of(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    static const char *const kinds[] = { "visible", "hidden", "connected",
                                         "known", "this" };

    (void)state;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (tb_text_is(m->arg[0].text, kinds[i]))
            return tb_reply_nodes(self, m, kinds[i]);
    return tb_raise(self, m, "badarg", TB_NONE);
}

static int
on_whereis(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_pid pid;

    (void)state;
    if (!tb_whereis(tb_self_node(self), m->arg[0].text, &pid))
        return tb_reply(self, m, "undefined", TB_NONE);
    return tb_reply(self, m, "Pid", TB_ARGS(tb_v_pid(pid)));
}

static int
on_is_process_alive(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_node *node = tb_self_node(self);

    (void)state;
    if (m->arg[0].pid.node != tb_node_name(node))
        return tb_raise(self, m, "badarg", TB_NONE);
    return tb_reply(self, m, "Alive",
                    TB_ARGS(tb_v_bool(tb_is_alive(node, m->arg[0].pid))));
}

/* What makes sense of a node without an emulator. otp_release is the oldest
 * one whose distribution protocol is spoken in full. */
static int
on_system_info(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_text item = m->arg[0].text;

    (void)state;
    if (tb_text_is(item, "otp_release"))
        return tb_reply(self, m, "\"25\"", TB_NONE);
    if (tb_text_is(item, "version"))
        return tb_reply(self, m, "V", TB_ARGS(tb_v_str(TB_VERSION)));
    if (tb_text_is(item, "machine"))
        return tb_reply(self, m, "\"tiebeam\"", TB_NONE);
    if (tb_text_is(item, "system_version"))
        return tb_reply(self, m, "V",
                        TB_ARGS(tb_v_str("tiebeam " TB_VERSION " (C node)\n")));
    if (tb_text_is(item, "wordsize"))
        return tb_reply(self, m, "N", TB_ARGS(tb_v_int(sizeof(void *))));
    if (tb_text_is(item, "schedulers") || tb_text_is(item, "schedulers_online"))
        return tb_reply(self, m, "1", TB_NONE);
    return tb_raise(self, m, "badarg", TB_NONE);
}

/* clang-format off */
static const struct tb_clause clauses[] = {
    { TB_CALL, "{call, M:atom, F:atom, Args:list, _}",       on_rpc_call  },
    { TB_CALL, "{block_call, M:atom, F:atom, Args:list, _}", on_rpc_call  },
    { TB_CAST, "{cast, M:atom, F:atom, Args:list, _}",       on_rpc_cast  },
    { TB_INFO, "{From:pid, {sbcast, Name:atom, Message}}",   on_sbcast    },
    { TB_INFO, "{From:pid, features_request}",               on_features  },
    { TB_FUN,  "{erlang, node, []}",                         on_node      },
    { TB_FUN,  "{erlang, nodes, []}",                        on_nodes     },
    { TB_FUN,  "{erlang, nodes, [Kind:atom]}",               on_nodes_of  },
    { TB_FUN,  "{erlang, whereis, [Name:atom]}",             on_whereis   },
    { TB_FUN,  "{erlang, is_process_alive, [Pid:pid]}",      on_is_process_alive },
    { TB_FUN,  "{erlang, system_info, [Item:atom]}",         on_system_info },
    { 0 },
};
/* clang-format on */

const struct tb_service tb_rex = {
    .name = "rex",
    .trap_exit = true,
    .clauses = clauses,
};
