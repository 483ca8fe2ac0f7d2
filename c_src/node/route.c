/* route.c - control messages in, messages out.
 * In Erlang: erts_net_message, and the send operator.
 * Owns: nothing. Thread: loop. Source: erl_dist_protocol, "Protocol between
 * Connected Nodes". */
#include "node/route.h"

#include <string.h>

#include "node/call.h"
#include "node/rpc.h"
#include "node/watch.h"
#include "term/etf.h"
#include "term/get.h"
#include "term/ident.h"
#include "term/put.h"

static const struct tb_ref no_ref;
static const struct tb_term no_payload;

/* ----------------------------------------------------------------- in -- */

static void
deliver(struct tb_node *node, struct tb_proc *to, struct tb_term message)
{
    if (to)
        tb_proc_receive(to, message);
    else
        node->count.dropped++;
}

static int
in_send(struct tb_peer *p, const struct tb_control *c)
{
    const struct tb_val *to =
        &c->arg[c->op == DOP_SEND || c->op == DOP_SEND_TT ? 0 : 1];

    deliver(p->node, tb_proc_of(p->node, to->pid), c->payload);
    return 0;
}

static int
in_reg_send(struct tb_peer *p, const struct tb_control *c)
{
    deliver(p->node, tb_proc_named(p->node, c->arg[1].text), c->payload);
    return 0;
}

static int
in_alias_send(struct tb_peer *p, const struct tb_control *c)
{
    deliver(p->node, tb_call_alias(p->node, c->arg[1].ref), c->payload);
    return 0;
}

/* What SEND_SENDER, REG_SEND, ALIAS_SEND and EXIT2 are before OTP 28. */
static int
in_altact(struct tb_peer *p, const struct tb_control *c)
{
    int64_t flags = c->arg[0].i;
    struct tb_term to = c->arg[2].term;
    struct tb_proc *proc = NULL;
    struct tb_text name;
    struct tb_ref ref;
    struct tb_pid pid;

    if ((flags & DOP_ALTACT_SIG_FLG_NAME) && tb_get_atom(to, &name))
        proc = tb_proc_named(p->node, name);
    else if ((flags & DOP_ALTACT_SIG_FLG_ALIAS) && tb_get_ref(to, &ref))
        proc = tb_call_alias(p->node, ref);
    else if (tb_get_pid(to, &pid))
        proc = tb_proc_of(p->node, pid);
    else
        return -TB_EPROTO;
    if (!(flags & DOP_ALTACT_SIG_FLG_EXIT))
        deliver(p->node, proc, c->payload);
    else if (proc)
        tb_proc_exit_signal(proc, c->arg[1].pid, c->payload, false);
    return 0;
}

/* The reason stands in the payload, or last in the control tuple. */
static struct tb_term
reason_of(const struct tb_control *c, unsigned last)
{
    return c->payload.n ? c->payload : c->arg[last].term;
}

static int
in_exit(struct tb_peer *p, const struct tb_control *c)
{
    tb_watch_exit(p, c->arg[0].pid, c->arg[1].pid, reason_of(c, 2));
    return 0;
}

static int
in_exit2(struct tb_peer *p, const struct tb_control *c)
{
    struct tb_proc *proc = tb_proc_of(p->node, c->arg[1].pid);

    if (proc)
        tb_proc_exit_signal(proc, c->arg[0].pid, reason_of(c, 2), false);
    return 0;
}

static int
in_link(struct tb_peer *p, const struct tb_control *c)
{
    tb_watch_link(p, c->arg[0].pid, c->arg[1].pid);
    return 0;
}

static int
in_unlink(struct tb_peer *p, const struct tb_control *c)
{
    tb_watch_unlink(p, c->arg[0].pid, c->arg[1].pid, NULL);
    return 0;
}

static int
in_unlink_id(struct tb_peer *p, const struct tb_control *c)
{
    struct tb_val id = tb_v_term(c->arg[0].term);
    uint64_t number;

    if (!tb_get_uint(id.term, &number) || number == 0)
        return -TB_EPROTO;
    if (c->op == DOP_UNLINK_ID)
        tb_watch_unlink(p, c->arg[1].pid, c->arg[2].pid, &id);
    else
        tb_watch_unlink_ack(p, number, c->arg[1].pid, c->arg[2].pid);
    return 0;
}

static int
in_monitor_p(struct tb_peer *p, const struct tb_control *c)
{
    tb_watch_monitor_p(p, c->arg[0].pid, c->arg[1].term, c->arg[2].ref);
    return 0;
}

static int
in_demonitor_p(struct tb_peer *p, const struct tb_control *c)
{
    tb_watch_demonitor_p(p, c->arg[2].ref);
    return 0;
}

static int
in_monitor_p_exit(struct tb_peer *p, const struct tb_control *c)
{
    tb_watch_down(p, c->arg[2].ref, reason_of(c, 3));
    return 0;
}

static int
in_spawn_request(struct tb_peer *p, const struct tb_control *c)
{
    tb_rpc_spawn_request(p, c->arg[0].ref, c->arg[1].pid, c->arg[3].term,
                         c->arg[4].term, c->payload);
    return 0;
}

static int
in_spawn_reply(struct tb_peer *p, const struct tb_control *c)
{
    tb_watch_spawn_reply(p, c->arg[0].ref, c->arg[1].pid, c->arg[3].term);
    return 0;
}

/* Nothing of ours does io through its group leader. */
static int
in_group_leader(struct tb_peer *p, const struct tb_control *c)
{
    (void)p;
    (void)c;
    return 0;
}

#define ANYBODY (-1)

/* from: the operand that must be a process of the peer itself. */
/* clang-format off */
static const struct {
    int (*in)(struct tb_peer *p, const struct tb_control *c);
    int from;
} routes[DOP_LAST + 1] = {
    [DOP_LINK]                   = { in_link, 0 },
    [DOP_SEND]                   = { in_send, ANYBODY },
    [DOP_EXIT]                   = { in_exit, 0 },
    [DOP_UNLINK]                 = { in_unlink, 0 },
    [DOP_REG_SEND]               = { in_reg_send, ANYBODY },
    [DOP_GROUP_LEADER]           = { in_group_leader, ANYBODY },
    [DOP_EXIT2]                  = { in_exit2, 0 },
    [DOP_SEND_TT]                = { in_send, ANYBODY },
    [DOP_EXIT_TT]                = { in_exit, 0 },
    [DOP_REG_SEND_TT]            = { in_reg_send, ANYBODY },
    [DOP_EXIT2_TT]               = { in_exit2, 0 },
    [DOP_MONITOR_P]              = { in_monitor_p, 0 },
    [DOP_DEMONITOR_P]            = { in_demonitor_p, 0 },
    [DOP_MONITOR_P_EXIT]         = { in_monitor_p_exit, ANYBODY },
    [DOP_SEND_SENDER]            = { in_send, ANYBODY },
    [DOP_SEND_SENDER_TT]         = { in_send, ANYBODY },
    [DOP_PAYLOAD_EXIT]           = { in_exit, 0 },
    [DOP_PAYLOAD_EXIT_TT]        = { in_exit, 0 },
    [DOP_PAYLOAD_EXIT2]          = { in_exit2, 0 },
    [DOP_PAYLOAD_EXIT2_TT]       = { in_exit2, 0 },
    [DOP_PAYLOAD_MONITOR_P_EXIT] = { in_monitor_p_exit, ANYBODY },
    [DOP_SPAWN_REQUEST]          = { in_spawn_request, 1 },
    [DOP_SPAWN_REQUEST_TT]       = { in_spawn_request, 1 },
    [DOP_SPAWN_REPLY]            = { in_spawn_reply, ANYBODY },
    [DOP_SPAWN_REPLY_TT]         = { in_spawn_reply, ANYBODY },
    [DOP_ALIAS_SEND]             = { in_alias_send, ANYBODY },
    [DOP_ALIAS_SEND_TT]          = { in_alias_send, ANYBODY },
    [DOP_UNLINK_ID]              = { in_unlink_id, 1 },
    [DOP_UNLINK_ID_ACK]          = { in_unlink_id, 1 },
    [DOP_ALTACT_SIG_SEND]        = { in_altact, 1 },
};
/* clang-format on */

int
tb_route_in(struct tb_peer *p, const struct tb_control *c)
{
    int from = routes[c->op].from;

    if (from != ANYBODY && c->arg[from].pid.node != p->name)
        return -TB_EPROTO;
    return routes[c->op].in(p, c);
}

/* ---------------------------------------------------------------- out -- */

struct tb_term
tb_route_build(struct tb_node *node, const char *pattern, struct tb_args args)
{
    int rc;

    tb_wr_clear(&node->payload, TB_READ_CHUNK);
    rc = tb_build(&node->payload, pattern, args);
    if (rc < 0)
        tb_log(TB_ERROR, "message.not_built", "pattern=%s reason=%s", pattern,
               tb_error_atom(rc));
    return rc < 0 ? no_payload : tb_wr_term(&node->payload);
}

static void
deliver_local(struct tb_node *node, struct tb_proc *to, struct tb_term message)
{
    if (to)
        tb_proc_enqueue(to, TB_MAIL_TERM, no_ref, message);
    else
        node->count.dropped++;
}

static void
begin(struct tb_route *r)
{
    struct tb_node *node = r->self->node;
    struct tb_args to = { 2, r->to };

    if (r->peer && r->table)
        r->w = tb_peer_begin_with(r->peer, r->table, r->op, to, &r->at);
    else if (r->peer)
        r->w = tb_peer_begin(r->peer, r->op, to, &r->at);
    r->direct = r->w;
    if (r->direct)
        return;
    r->w = &node->payload;
    r->at = 0;
    tb_wr_clear(r->w, TB_READ_CHUNK);
}

void
tb_route_to(struct tb_route *r, struct tb_proc *self, struct tb_pid to)
{
    *r = (struct tb_route){ .self = self,
                            .connect = true,
                            .op = DOP_SEND_SENDER,
                            .to = { tb_v_pid(self->pid), tb_v_pid(to) } };
    r->here = to.node == self->node->name;
    if (r->here)
        r->local = tb_proc_of(self->node, to);
    else
        r->peer = tb_peer_get(self->node, to.node);
    begin(r);
}

void
tb_route_to_name(struct tb_route *r, struct tb_proc *self, struct tb_text name,
                 tb_atom at)
{
    *r = (struct tb_route){ .self = self,
                            .connect = true,
                            .op = DOP_REG_SEND,
                            .to = { tb_v_pid(self->pid), tb_v_atom_n(name) } };
    r->here = at == self->node->name;
    if (r->here)
        r->local = tb_proc_named(self->node, name);
    else
        r->peer = tb_peer_get(self->node, at);
    begin(r);
}

int
tb_route_end(struct tb_route *r)
{
    struct tb_term message;

    r->self->messages_out++;
    if (r->direct)
        return tb_peer_end(r->peer, r->at);
    if (r->table) /* its connection is about to end */
        return 0;
    message = tb_wr_term(r->w);
    if (r->peer && message.n > 0)
        tb_peer_signal(r->peer, r->connect, r->op, (struct tb_args){ 2, r->to },
                       message);
    else if (r->peer) /* it may be known for this message only */
        tb_peer_release(r->peer);
    else if (r->here && message.n > 0)
        deliver_local(r->self->node, r->local, message);
    return message.n > 0 ? 0 : -TB_ELIMIT;
}

/* [alias|Ref] and [[alias|Ref]|_] are answered by the alias, so that an answer
 * too late never reaches its caller's mailbox. */
static bool
alias_of(struct tb_term tag, struct tb_ref *alias)
{
    struct tb_val v[TB_MAX_HOLES];

    if (tag.p[0] ==
        ETF_NEWER_REFERENCE) /* the reference of OTP 23, and of our own calls */
        return false;
    if (tb_match("[alias|Ref:ref]", tag, v) != 1 &&
        tb_match("[[alias|Ref:ref]|_]", tag, v) != 1)
        return false;
    *alias = v[0].ref;
    return true;
}

/* Where an answer goes: to a process here, or to a peer. */
static void
find_caller(struct tb_route *r, const struct tb_from *from)
{
    struct tb_node *node = r->self->node;
    struct tb_ref alias;

    r->op = DOP_SEND_SENDER;
    r->to[0] = tb_v_pid(r->self->pid);
    r->to[1] = tb_v_pid(from->pid);
    r->here = from->pid.node == node->name;
    if (r->here) {
        r->local = tb_proc_of(node, from->pid);
    } else if (alias_of(from->tag, &alias)) {
        r->op = DOP_ALIAS_SEND;
        r->to[1] = tb_v_ref(alias);
        r->peer = tb_peer_find(node, alias.node);
    } else {
        r->peer = tb_peer_find(node, from->pid.node);
    }
}

void
tb_route_to_caller(struct tb_route *r, struct tb_proc *self,
                   const struct tb_from *from,
                   const struct tb_atom_table *table)
{
    *r = (struct tb_route){ .self = self, .table = table };
    find_caller(r, from);
    begin(r);
}

bool
tb_route_takes_tables(struct tb_proc *self, const struct tb_from *from)
{
    struct tb_route r = { .self = self };

    find_caller(&r, from);
    return r.peer && tb_peer_takes_tables(r.peer);
}

static void
send_built(struct tb_route *r, const char *msg, struct tb_args args)
{
    int rc = tb_build(r->w, msg, args);
    int sent = tb_route_end(r);

    if (rc < 0 || sent < 0)
        tb_log(TB_ERROR, "message.not_built", "pattern=%s reason=%s", msg,
               tb_error_atom(rc < 0 ? rc : sent));
}

void
tb_send(struct tb_proc *self, struct tb_pid to, const char *msg,
        struct tb_args args)
{
    struct tb_route r;

    tb_route_to(&r, self, to);
    send_built(&r, msg, args);
}

void
tb_send_name(struct tb_proc *self, const char *name, tb_atom node,
             const char *msg, struct tb_args args)
{
    struct tb_route r;

    tb_route_to_name(&r, self, tb_text_of(name), node);
    send_built(&r, msg, args);
}

void
tb_exit(struct tb_proc *self, struct tb_pid to, const char *reason,
        struct tb_args args)
{
    struct tb_node *node = self->node;
    struct tb_term t = tb_route_build(node, reason, args);
    struct tb_proc *local = tb_proc_of(node, to);
    struct tb_peer *peer = t.n ? tb_peer_get(node, to.node) : NULL;

    if (t.n == 0)
        return;
    if (peer)
        tb_peer_signal(peer, true, DOP_PAYLOAD_EXIT2,
                       TB_ARGS(tb_v_pid(self->pid), tb_v_pid(to)), t);
    else if (local)
        tb_proc_exit_signal(local, self->pid, t, false);
}
