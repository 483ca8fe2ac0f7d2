/* cluster_join.c - requests that change who is a member of a cluster.
 *
 * A process is a member by the word of its own node's scope of pg, so that it
 * stays one when a tiebeam node goes. On a BEAM node that scope is started
 * where there is none. A node that has no pg at all (a C node of another make)
 * is spoken for by our own scope.
 * Owns: callers that wait. Thread: loop. */
#include <string.h>

#include "services/cluster.h"

/* A join or a leave under way. */
struct op {
    struct tb_wr cluster, type, group;
    struct tb_pid pid;
    struct tb_wr pids;     /* of a leave: so often as it is in */
    struct leaving *leave; /* NULL: a join */
};

/* A {leave, ...}: one op for each type. */
struct leaving {
    struct tb_from *from; /* owned; NULL: nobody waits */
    size_t left;          /* ops that are under way */
};

static struct op *
op_new(struct tb_term cluster, struct tb_term type, struct tb_pid pid)
{
    struct op *o = tb_new(struct op);

    tb_wr_bytes(&o->cluster, cluster.p, cluster.n);
    tb_wr_bytes(&o->type, type.p, type.n);
    tb_build(&o->group, "{Cluster, Type}",
             TB_ARGS(tb_v_term(cluster), tb_v_term(type)));
    o->pid = pid;
    return o;
}

static void
op_free(struct op *o)
{
    tb_wr_free(&o->cluster);
    tb_wr_free(&o->type);
    tb_wr_free(&o->group);
    tb_wr_free(&o->pids);
    tb_free(o);
}

static tb_atom
us(struct tb_proc *self)
{
    return tb_node_name(tb_self_node(self));
}

static struct tb_val
group_of(const struct op *o)
{
    return tb_v_term(tb_wr_term(&o->group));
}

/* --------------------------------------------------------------- waits -- */

void
tb_cl_wait_free(struct tb_cl_wait *w)
{
    tb_list_del(&w->link);
    tb_from_free(w->from);
    tb_free(w);
}

static void
wait_new(struct tb_proc *self, struct tb_clusters *cs, const struct tb_msg *m,
         bool tell)
{
    struct tb_cl_wait *w = tb_new(struct tb_cl_wait);

    w->from = tb_from_keep(m);
    w->pid = m->arg[2].pid;
    w->tell = tell;
    tb_key(m->arg[0].term, w->cluster);
    tb_key(m->arg[1].term, w->type);
    w->timer = tb_send_after(self, TB_CL_WAIT_MS, "{waited, C, T, Pid}",
                             TB_ARGS(m->arg[0], m->arg[1], m->arg[2]));
    tb_list_add(&cs->waits, &w->link);
}

static bool
waits_for(const struct tb_cl_wait *w, const uint8_t cluster[TB_KEY_BYTES],
          const uint8_t type[TB_KEY_BYTES], struct tb_pid pid)
{
    return tb_pid_eq(w->pid, pid) &&
           memcmp(w->cluster, cluster, TB_KEY_BYTES) == 0 &&
           memcmp(w->type, type, TB_KEY_BYTES) == 0;
}

void
tb_cl_joined(struct tb_proc *self, struct tb_clusters *cs,
             const struct tb_cl_member *m)
{
    TB_LIST_EACH (w, &cs->waits, struct tb_cl_wait, link) {
        if (!waits_for(w, m->cluster->key, m->type_key, m->proc->pid))
            continue;
        if (w->tell)
            tb_cl_tell(self, cs, m->cluster, w->pid);
        tb_cancel_timer(self, w->timer);
        tb_reply_to(self, w->from, "ok", TB_NONE);
        tb_cl_wait_free(w);
    }
}

static void
give_up(struct tb_proc *self, struct tb_clusters *cs, struct tb_term cluster,
        struct tb_term type, struct tb_pid pid, struct tb_val why)
{
    uint8_t ck[TB_KEY_BYTES], tk[TB_KEY_BYTES];

    tb_key(cluster, ck);
    tb_key(type, tk);
    TB_LIST_EACH (w, &cs->waits, struct tb_cl_wait, link) {
        if (!waits_for(w, ck, tk, pid))
            continue;
        tb_cancel_timer(self, w->timer);
        tb_reply_to(self, w->from, "{error, Why}", TB_ARGS(why));
        tb_cl_wait_free(w);
    }
}

int
tb_cl_on_wait_timer(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    give_up(self, state, m->arg[0].term, m->arg[1].term, m->arg[2].pid,
            tb_v_atom("timeout"));
    return TB_NOREPLY;
}

/* --------------------------------------------------------------- joins -- */

/* The last step: pg has it, or not. */
static int
on_joined(struct tb_proc *self, void *state, void *ctx, int status,
          struct tb_term result)
{
    struct op *o = ctx;
    struct tb_val h[TB_MAX_HOLES], why = tb_v_term(result);

    if (status == 0 && tb_match("ok", result, h) == 1) {
        if (o->pid.node != us(self))
            tb_send_name(self, TB_CLUSTER_SCOPE, us(self),
                         "{'$gen_cast', {discover_node, Node}}",
                         TB_ARGS(tb_v_node(o->pid.node)));
    } else {
        if (tb_match("{error, Why}", result, h) == 1)
            why = h[0];
        give_up(self, state, tb_wr_term(&o->cluster), tb_wr_term(&o->type),
                o->pid, why);
    }
    op_free(o);
    return TB_NOREPLY;
}

static void
join_here(struct tb_proc *self, struct op *o, const char *request)
{
    tb_call_name(self, TB_CLUSTER_SCOPE, us(self), request,
                 TB_ARGS(group_of(o), tb_v_pid(o->pid)), TB_CL_ASK_MS,
                 on_joined, o);
}

/* Whether it is in already, on its own node. */
static int
on_their_members(struct tb_proc *self, void *state, void *ctx, int status,
                 struct tb_term result)
{
    struct op *o = ctx;
    struct tb_val h[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term item;
    struct tb_wr ok = { 0 };

    if (status < 0 || !tb_elems_open(&e, result))
        return on_joined(self, state, o, status < 0 ? status : -TB_EEXIT,
                         result);
    while (tb_elems_next(&e, &item))
        if (tb_match("Pid:pid", item, h) == 1 && tb_pid_eq(h[0].pid, o->pid)) {
            tb_build(&ok, "ok", TB_NONE);
            on_joined(self, state, o, 0, tb_wr_term(&ok));
            tb_wr_free(&ok);
            return TB_NOREPLY;
        }
    tb_erpc(self, o->pid.node, "pg", "join", "[Scope, Group, Pid]",
            TB_ARGS(tb_v_atom(TB_CLUSTER_SCOPE), group_of(o), tb_v_pid(o->pid)),
            TB_CL_ASK_MS, on_joined, o);
    return TB_NOREPLY;
}

static int
on_scope_there(struct tb_proc *self, void *state, void *ctx, int status,
               struct tb_term result)
{
    struct op *o = ctx;

    if (status == -TB_EEXIT || status == -TB_ETIMEOUT)
        join_here(self, o, "{announce, Group, Pid}"); /* it has no pg */
    else if (status < 0)
        return on_joined(self, state, o, status, result);
    else
        tb_erpc(self, o->pid.node, "pg", "get_local_members", "[Scope, Group]",
                TB_ARGS(tb_v_atom(TB_CLUSTER_SCOPE), group_of(o)), TB_CL_ASK_MS,
                on_their_members, o);
    return TB_NOREPLY;
}

static void
join(struct tb_proc *self, struct op *o)
{
    if (o->pid.node == us(self))
        join_here(self, o, "{join, Group, Pid}");
    else
        tb_erpc(self, o->pid.node, "pg", "start", "[Scope]",
                TB_ARGS(tb_v_atom(TB_CLUSTER_SCOPE)), TB_CL_ASK_MS,
                on_scope_there, o);
}

static int
on_join(struct tb_proc *self, struct tb_clusters *cs, const struct tb_msg *m,
        bool tell)
{
    struct tb_pid pid = m->arg[2].pid;
    struct tb_cl_member *mb;
    struct tb_cluster *c;
    uint8_t type[TB_KEY_BYTES];

    if (m->arg[0].term.n + m->arg[1].term.n > TB_CL_MAX_NAME)
        return tb_reply(self, m, "{error, system_limit}", TB_NONE);
    c = tb_cluster_find(cs, m->arg[0].term);
    tb_key(m->arg[1].term, type);
    mb = c ? tb_cl_member_find(cs, c, pid, type) : NULL;
    if (mb && mb->count > 0) {
        if (tell && !tb_cl_tell(self, cs, c, pid))
            return tb_reply(self, m, "{error, system_limit}", TB_NONE);
        return tb_reply(self, m, "ok", TB_NONE);
    }
    wait_new(self, cs, m, tell);
    join(self, op_new(m->arg[0].term, m->arg[1].term, pid));
    return TB_NOREPLY;
}

int
tb_cl_on_join(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    return on_join(self, state, m, true);
}

int
tb_cl_on_join_opts(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_val h[TB_MAX_HOLES];

    if (tb_match("[]", m->arg[3].term, h) == 1)
        return on_join(self, state, m, true);
    if (tb_match("[{tell, Tell:atom}]", m->arg[3].term, h) == 1 &&
        (tb_text_is(h[0].text, "true") || tb_text_is(h[0].text, "false")))
        return on_join(self, state, m, tb_text_is(h[0].text, "true"));
    return tb_reply(self, m, "{error, {badarg, Opts}}", TB_ARGS(m->arg[3]));
}

/* -------------------------------------------------------------- leaves -- */

static void
leaving_release(struct tb_proc *self, struct leaving *l)
{
    if (--l->left > 0)
        return;
    if (l->from)
        tb_reply_to(self, l->from, "ok", TB_NONE);
    tb_from_free(l->from);
    tb_free(l);
}

/* pg has it no longer, or never had. */
static void
left(struct tb_proc *self, struct tb_clusters *cs, struct op *o)
{
    struct tb_cluster *c = tb_cluster_find(cs, tb_wr_term(&o->cluster));
    struct tb_cl_member *m;
    struct tb_wr reason = { 0 };
    uint8_t type[TB_KEY_BYTES];

    tb_key(tb_wr_term(&o->type), type);
    m = c ? tb_cl_member_find(cs, c, o->pid, type) : NULL;
    tb_build(&reason, "leave", TB_NONE);
    if (m)
        tb_cl_gone(self, cs, m, tb_wr_term(&reason), false);
    tb_wr_free(&reason);
    leaving_release(self, o->leave);
    op_free(o);
}

static int
on_left_here(struct tb_proc *self, void *state, void *ctx, int status,
             struct tb_term result)
{
    (void)status;
    (void)result;
    left(self, state, ctx);
    return TB_NOREPLY;
}

static void
leave_here(struct tb_proc *self, struct op *o)
{
    tb_call_name(self, TB_CLUSTER_SCOPE, us(self), "{leave, Group, Pids}",
                 TB_ARGS(group_of(o), tb_v_term(tb_wr_term(&o->pids))),
                 TB_CL_ASK_MS, on_left_here, o);
}

static int
on_left_there(struct tb_proc *self, void *state, void *ctx, int status,
              struct tb_term result)
{
    struct tb_val h[TB_MAX_HOLES];

    if (status == 0 && tb_match("ok", result, h) == 1)
        left(self, state, ctx);
    else
        leave_here(self, ctx); /* it may be one that we speak for */
    return TB_NOREPLY;
}

static void
leave(struct tb_proc *self, struct tb_cl_member *m, struct leaving *l)
{
    struct op *o = op_new(tb_wr_term(&m->cluster->name), tb_wr_term(&m->type),
                          m->proc->pid);
    struct tb_wr pids = { 0 };

    for (uint32_t i = 0; i < m->count; i++)
        tb_build(&pids, "Pid", TB_ARGS(tb_v_pid(o->pid)));
    tb_build_list(&o->pids, m->count, &pids);
    tb_wr_free(&pids);
    m->asked = true;
    o->leave = l;
    l->left++;
    if (o->pid.node == us(self))
        leave_here(self, o);
    else
        tb_erpc(self, o->pid.node, "pg", "leave", "[Scope, Group, Pids]",
                TB_ARGS(tb_v_atom(TB_CLUSTER_SCOPE), group_of(o),
                        tb_v_term(tb_wr_term(&o->pids))),
                TB_CL_ASK_MS, on_left_there, o);
}

int
tb_cl_on_leave(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_clusters *cs = state;
    struct tb_cluster *c = tb_cluster_find(cs, m->arg[0].term);
    struct tb_pid pid = m->arg[1].pid;
    struct tb_cl_proc *p = tb_cl_proc_find(cs, pid);
    struct leaving *l;

    if (!c || !p || !tb_cl_member_find(cs, c, pid, NULL))
        return tb_reply(self, m, "not_joined", TB_NONE);
    l = tb_new(struct leaving);
    l->from = tb_from_keep(m);
    l->left = 1;
    TB_LIST_EACH (mb, &p->members, struct tb_cl_member, by_proc)
        if (mb->cluster == c)
            leave(self, mb, l);
    tb_cl_untell(self, cs, c, pid);
    leaving_release(self, l);
    return TB_NOREPLY;
}

static void
leave_all(struct tb_proc *self, const struct tb_cluster *c, struct leaving *l)
{
    TB_LIST_EACH (m, &c->members, struct tb_cl_member, by_cluster)
        if (m->proc->pid.node == us(self) && m->count > 0 && !m->asked)
            leave(self, m, l);
}

void
tb_cl_leave_ours(struct tb_proc *self, struct tb_clusters *cs)
{
    struct leaving *l = tb_new(struct leaving);

    l->left = 1;
    TB_LIST_EACH (c, &cs->all, struct tb_cluster, link)
        leave_all(self, c, l);
    leaving_release(self, l);
}
