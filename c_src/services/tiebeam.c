/* tiebeam.c - the node's own process: what it is, whom it is connected to,
 * and its end. Each request is also a function of module tiebeam.
 * Owns: callers that wait. Thread: loop. */
#include <string.h>

#include "services/services.h"
#include "services/supervisor_options.h"

static int
on_info(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_wr w = { 0 };
    int rc = tb_put_info(tb_self_node(self), &w);

    (void)state;
    if (rc == 0)
        rc = tb_reply(self, m, "Info", TB_ARGS(tb_v_term(tb_wr_term(&w))));
    tb_wr_free(&w);
    return rc;
}

/* Unlike erlang:nodes/0 all of them: to a hidden node every peer is hidden. */
static int
on_nodes(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    return tb_reply_nodes(self, m, "connected");
}

static int
on_visible(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    return tb_reply_nodes(self, m, "visible");
}

static int
on_hidden(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    return tb_reply_nodes(self, m, "hidden");
}

static int
on_echo(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    return tb_reply(self, m, "Term", TB_ARGS(m->arg[0]));
}

/* Node is connected: ok; else {error, Why}. */
static int
on_connected(struct tb_proc *self, void *state, void *ctx, int status,
             struct tb_term result)
{
    struct tb_from *from = ctx;
    int rc = status == 0 ? tb_reply_to(self, from, "ok", TB_NONE)
                         : tb_reply_to(self, from, "{error, Why}",
                                       TB_ARGS(tb_v_term(result)));

    (void)state;
    tb_from_free(from);
    return rc;
}

static int
on_connect(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    tb_atom node = tb_intern(m->arg[0].text);

    (void)state;
    if (!node)
        return tb_reply(self, m, "{error, badarg}", TB_NONE);
    tb_connect(self, node, on_connected, tb_from_keep(m));
    return TB_NOREPLY;
}

static int
on_stop(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    tb_log(TB_NOTICE, "node.stopping", "by request");
    tb_node_stop(tb_self_node(self));
    return tb_reply(self, m, "ok", TB_NONE);
}

/* ------------------------------------------------------------- services -- */

static char *
copy_text(struct tb_text t)
{
    char *s = tb_alloc(t.n + 1);

    memcpy(s, t.p, t.n);
    return s;
}

static int
start_supervisor(struct tb_proc *self, const struct tb_msg *m)
{
    struct tb_pid pid;
    int rc =
        tb_start_owned(tb_self_node(self), &tb_supervisor,
                       tb_supervisor_config_new(m->arg[0].text, m->arg[1].term),
                       tb_supervisor_config_free, TB_PERMANENT, &pid);

    return rc < 0 ? tb_reply(self, m, "{error, Why}",
                             TB_ARGS(tb_v_atom(tb_error_atom(rc))))
                  : tb_reply(self, m, "{ok, Pid}", TB_ARGS(tb_v_pid(pid)));
}

static int
on_start_service(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_supervisor_options o;
    struct tb_wr why = { 0 };
    struct tb_pid pid;
    int rc;

    (void)state;
    if (tb_whereis(tb_self_node(self), m->arg[0].text, &pid))
        return tb_reply(self, m, "{error, {already_started, Pid}}",
                        TB_ARGS(tb_v_pid(pid)));
    rc = tb_supervisor_options_read(&o, m->arg[1].term, &why);
    tb_supervisor_options_fini(&o);
    rc = rc < 0 ? tb_reply(self, m, "{error, Why}",
                           TB_ARGS(tb_v_term(tb_wr_term(&why))))
                : start_supervisor(self, m);
    tb_wr_free(&why);
    return rc;
}

static int
on_stopped(struct tb_proc *self, void *state, void *ctx, int status,
           struct tb_term result)
{
    struct tb_from *from = ctx;
    struct tb_val v[TB_MAX_HOLES];
    bool ok = status == 0 && tb_match("ok", result, v) == 1;

    (void)state;
    tb_reply_to(self, from, ok ? "ok" : "{error, not_found}", TB_NONE);
    tb_from_free(from);
    return TB_NOREPLY;
}

static int
on_stop_service(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    char *name = copy_text(m->arg[0].text);

    (void)state;
    tb_call_name(self, name, tb_node_name(tb_self_node(self)),
                 "'$tb_stop_service'", TB_NONE, TB_INFINITY, on_stopped,
                 tb_from_keep(m));
    tb_free(name);
    return TB_NOREPLY;
}

/* clang-format off */
static const struct tb_clause clauses[] = {
    { TB_CALL, "info",                             on_info    },
    { TB_CALL, "nodes",                            on_nodes   },
    { TB_CALL, "{nodes, visible}",                 on_visible },
    { TB_CALL, "{nodes, hidden}",                  on_hidden  },
    { TB_CALL, "{nodes, connected}",               on_nodes   },
    { TB_CALL, "{echo, Term}",                     on_echo    },
    { TB_CALL, "{connect, Node:atom}",             on_connect },
    { TB_CALL, "{disconnect, Node:atom}",          tb_on_disconnect_node },
    { TB_CALL, "{start_service, supervisors, Name:atom, Opts}", on_start_service },
    { TB_CALL, "{stop_service, supervisors, Name:atom}", on_stop_service },
    { TB_CALL, "stop",                             on_stop    },
    { TB_FUN,  "{tiebeam, info, []}",              on_info    },
    { TB_FUN,  "{tiebeam, nodes, []}",             on_nodes   },
    { TB_FUN,  "{tiebeam, nodes, [visible]}",      on_visible },
    { TB_FUN,  "{tiebeam, nodes, [hidden]}",       on_hidden  },
    { TB_FUN,  "{tiebeam, nodes, [connected]}",    on_nodes   },
    { TB_FUN,  "{tiebeam, echo, [Term]}",          on_echo    },
    { TB_FUN,  "{tiebeam, connect, [Node:atom]}",  on_connect },
    { TB_FUN,  "{tiebeam, disconnect, [Node:atom]}", tb_on_disconnect_node },
    { TB_FUN,  "{tiebeam, stop, []}",              on_stop    },
    { TB_FUN,  "{init, stop, []}",                 on_stop    },
    { 0 },
};
/* clang-format on */

const struct tb_service tb_tiebeam = {
    .name = "tiebeam",
    .trap_exit = true,
    .clauses = clauses,
};
