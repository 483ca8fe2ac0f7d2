/* pg_peers.c - the scopes of other nodes: found, kept in step, given up.
 * In Erlang: what pg does on nodeup, and with discover, sync, join and leave.
 *
 * A hidden node is not in nodes(): no scope looks for us, so we ask on every
 * new connection, and again, ever less often, where there is no such scope or
 * it has ended. A scope that gets what it does not expect crashes: a leave goes
 * only to a peer that has been told of the join before.
 * Owns: peers. Thread: loop. */
#include "services/pg.h"

static struct tb_pg_peer *
peer_of(struct tb_pg *pg, tb_atom node)
{
    return tb_map_get(pg->peers, &node, sizeof(node));
}

static void
forget_ref(struct tb_proc *self, struct tb_pg *pg, struct tb_pg_peer *p)
{
    if (!p->ref.n)
        return;
    tb_pg_ref_take(pg, p->ref);
    tb_demonitor(self, p->ref);
    p->ref.n = 0;
}

static void
set_ref(struct tb_pg *pg, struct tb_pg_peer *p, struct tb_ref ref)
{
    p->ref = ref;
    tb_pg_ref_put(pg, ref, TB_PG_PEER, p);
}

static void
cancel_retry(struct tb_proc *self, struct tb_pg_peer *p)
{
    if (p->timer.n)
        tb_cancel_timer(self, p->timer);
    p->timer.n = 0;
}

void
tb_pg_peer_free(struct tb_pg *pg, struct tb_pg_peer *p)
{
    tb_map_take(pg->peers, &p->node, sizeof(p->node));
    if (p->ref.n)
        tb_pg_ref_take(pg, p->ref);
    tb_free(p);
}

/* --------------------------------------------------------------- sends -- */

/* A send to a node that has just gone would dial it. */
static bool
is_connected(struct tb_proc *self, tb_atom node)
{
    struct tb_peer_info info;

    return tb_peer_info(tb_self_node(self), node, &info);
}

struct broadcast {
    struct tb_proc *self;
    const char *msg;
    struct tb_args args;
};

static void
send_to(void *ctx, void *value)
{
    const struct broadcast *b = ctx;
    const struct tb_pg_peer *p = value;

    if (p->told && is_connected(b->self, p->node))
        tb_send(b->self, p->pid, b->msg, b->args);
}

void
tb_pg_broadcast(struct tb_proc *self, struct tb_pg *pg, const char *msg,
                struct tb_args args)
{
    struct broadcast b = { self, msg, args };

    tb_map_each(pg->peers, send_to, &b);
}

static void
send_ours(struct tb_proc *self, struct tb_pg *pg, struct tb_pg_peer *p)
{
    struct tb_wr ours = { 0 };

    tb_pg_put_ours(pg, &ours);
    tb_send(self, p->pid, "{'$gen_cast', {sync, Self, Groups}}",
            TB_ARGS(tb_v_pid(tb_self(self)), tb_v_term(tb_wr_term(&ours))));
    tb_wr_free(&ours);
    p->told = true;
}

/* ---------------------------------------------------------- being there -- */

void
tb_pg_discover(struct tb_proc *self, struct tb_pg *pg, tb_atom node)
{
    struct tb_pg_peer *p = peer_of(pg, node);

    if (!p || p->pid.node || p->refused || !is_connected(self, node))
        return;
    cancel_retry(self, p);
    forget_ref(self, pg, p);
    tb_send_name(self, pg->scope, node, "{discover, Self}",
                 TB_ARGS(tb_v_pid(tb_self(self))));
    set_ref(pg, p, tb_monitor_name(self, pg->scope, node));
}

void
tb_pg_peer_down(struct tb_proc *self, struct tb_pg *pg, struct tb_pg_peer *p,
                bool connected)
{
    p->pid.node = 0;
    p->told = false;
    tb_pg_drop(self, pg, &p->owner);
    forget_ref(self, pg, p);
    cancel_retry(self, p);
    if (!connected)
        return;
    p->timer = tb_send_after(self, p->retry_ms, "{retry, Node}",
                             TB_ARGS(tb_v_node(p->node)));
    if (p->retry_ms < TB_PG_RETRY_MAX)
        p->retry_ms *= 2;
}

/* Its scope is that process: it may be another one than before. */
static void
meet(struct tb_proc *self, struct tb_pg *pg, struct tb_pg_peer *p,
     struct tb_pid pid)
{
    tb_pg_peer_down(self, pg, p, false);
    p->pid = pid;
    p->retry_ms = TB_PG_RETRY_MS;
    set_ref(pg, p, tb_monitor(self, pid));
}

/* More than anybody has in earnest: none of it counts until it comes again. */
static void
refuse(struct tb_proc *self, struct tb_pg *pg, struct tb_pg_peer *p)
{
    tb_log(TB_ERROR, "pg.too_many", "node=%s scope=%s its members are ignored",
           tb_atom_text(p->node).p, pg->scope);
    p->refused = true;
    tb_pg_drop(self, pg, &p->owner);
}

int
tb_pg_on_nodeup(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_pg *pg = state;
    tb_atom node = tb_intern(m->arg[0].text);
    struct tb_pg_peer *p = peer_of(pg, node);

    if (!node || p)
        return TB_NOREPLY;
    p = tb_new(struct tb_pg_peer);
    p->node = node;
    p->retry_ms = TB_PG_RETRY_MS;
    tb_list_init(&p->owner.members);
    tb_map_put(pg->peers, &p->node, sizeof(p->node), p);
    tb_pg_discover(self, pg, node);
    return TB_NOREPLY;
}

int
tb_pg_on_nodedown(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_pg *pg = state;
    struct tb_pg_peer *p = peer_of(pg, tb_intern(m->arg[0].text));

    if (!p)
        return TB_NOREPLY;
    tb_pg_peer_down(self, pg, p, false);
    tb_pg_tell(self, pg);
    tb_pg_peer_free(pg, p);
    return TB_NOREPLY;
}

int
tb_pg_on_retry(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_pg *pg = state;
    struct tb_pg_peer *p = peer_of(pg, tb_intern(m->arg[0].text));

    if (p)
        p->timer.n = 0;
    if (p)
        tb_pg_discover(self, pg, p->node);
    return TB_NOREPLY;
}

/* ------------------------------------------------------- what they say -- */

/* The peer whose scope that is; NULL: of a node that is not there. */
static struct tb_pg_peer *
speaker(struct tb_pg *pg, struct tb_pid pid)
{
    struct tb_pg_peer *p = peer_of(pg, pid.node);

    return p && !p->refused ? p : NULL;
}

int
tb_pg_on_discover(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_pg *pg = state;
    struct tb_pid pid = m->arg[0].pid;
    struct tb_pg_peer *p = speaker(pg, pid);
    bool is_new = p && !tb_pid_eq(p->pid, pid);

    if (!p || !is_connected(self, p->node))
        return TB_NOREPLY;
    if (is_new)
        meet(self, pg, p, pid);
    send_ours(self, pg, p);
    if (is_new)
        tb_send(self, pid, "{discover, Self}",
                TB_ARGS(tb_v_pid(tb_self(self))));
    tb_pg_tell(self, pg);
    return TB_NOREPLY;
}

typedef bool (*each_pid)(struct tb_proc *self, struct tb_pg *pg,
                         struct tb_pg_peer *p, struct tb_term group,
                         struct tb_pid pid);

static bool
add(struct tb_proc *self, struct tb_pg *pg, struct tb_pg_peer *p,
    struct tb_term group, struct tb_pid pid)
{
    return tb_pg_add(self, pg, &p->owner, p->node, group, pid);
}

/* A leave of who is no member is no harm. */
static bool
take_out(struct tb_proc *self, struct tb_pg *pg, struct tb_pg_peer *p,
         struct tb_term group, struct tb_pid pid)
{
    tb_pg_remove(self, pg, p->node, group, pid);
    return true;
}

/* A process, or a list of them; what is none is left out. */
static bool
each(struct tb_proc *self, struct tb_pg *pg, struct tb_pg_peer *p,
     struct tb_term group, struct tb_term pids, each_pid fn)
{
    struct tb_val h[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term item;

    if (tb_match("Pid:pid", pids, h) == 1)
        return fn(self, pg, p, group, h[0].pid);
    if (!tb_elems_open(&e, pids))
        return true;
    while (tb_elems_next(&e, &item))
        if (tb_match("Pid:pid", item, h) == 1 &&
            !fn(self, pg, p, group, h[0].pid))
            return false;
    return true;
}

static bool
add_again(struct tb_proc *self, struct tb_pg *pg, struct tb_pg_peer *p,
          struct tb_term group, struct tb_pid pid)
{
    return tb_pg_sync_add(self, pg, &p->owner, p->node, group, pid);
}

/* All that a peer's scope has, in place of what it had. */
static bool
take_sync(struct tb_proc *self, struct tb_pg *pg, struct tb_pg_peer *p,
          struct tb_term groups)
{
    struct tb_val h[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term item;

    for (tb_elems_open(&e, groups); tb_elems_next(&e, &item);)
        if (tb_match("{Group, Pids:list}", item, h) == 1 &&
            !each(self, pg, p, h[0].term, h[1].term, add_again))
            return false;
    return true;
}

int
tb_pg_on_sync(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_pg *pg = state;
    struct tb_pid pid = m->arg[0].pid;
    struct tb_pg_peer *p = speaker(pg, pid);

    if (!p || !is_connected(self, p->node))
        return TB_NOREPLY;
    if (!tb_pid_eq(p->pid, pid))
        meet(self, pg, p, pid);
    tb_pg_sync_begin(&p->owner);
    if (!take_sync(self, pg, p, m->arg[1].term))
        refuse(self, pg, p);
    else
        tb_pg_sync_end(self, pg, &p->owner);
    if (!p->told)
        send_ours(self, pg, p);
    tb_pg_tell(self, pg);
    return TB_NOREPLY;
}

int
tb_pg_on_join(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_pg *pg = state;
    struct tb_pg_peer *p = speaker(pg, m->arg[0].pid);

    if (!p || !tb_pid_eq(p->pid, m->arg[0].pid))
        return TB_NOREPLY;
    if (!each(self, pg, p, m->arg[1].term, m->arg[2].term, add))
        refuse(self, pg, p);
    tb_pg_tell(self, pg);
    return TB_NOREPLY;
}

int
tb_pg_on_leave(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_pg *pg = state;
    struct tb_pg_peer *p = speaker(pg, m->arg[0].pid);
    struct tb_elems e;
    struct tb_term group;

    if (!p || !tb_pid_eq(p->pid, m->arg[0].pid))
        return TB_NOREPLY;
    for (tb_elems_open(&e, m->arg[2].term); tb_elems_next(&e, &group);)
        each(self, pg, p, group, m->arg[1].term, take_out);
    tb_pg_tell(self, pg);
    return TB_NOREPLY;
}
