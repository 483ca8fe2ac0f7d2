/* cluster_leader.c - the leader of a cluster: who holds its name in global.
 *
 * global runs on the BEAM nodes alone, so each of them is asked what it knows:
 * its view. Where one has no holder, a member is registered through a BEAM
 * node, the member's own if it lives on one. global decides who comes first,
 * with locks of its own that no end of ours can leave behind; the names that
 * meet after a split are resolved by global:random_notify_name/3, which kills
 * nobody.
 *
 * What can be wrong with a view, and what is done:
 *   nobody holds the name anywhere      the first member does, from now on
 *   the holder is a process of a C node, and this node has lost it, as a
 *   connection to us is enough for it   it is registered again, through it
 *   it is not connected to the holder's node, in two checks   a split: one of
 *   the members on its side does, where there is one
 * Owns: the views. Thread: loop. Source: global.erl. */
#include <stdlib.h>
#include <string.h>

#include "services/cluster.h"

/* A question about a cluster, which may be gone when it is answered. */
struct ask {
    uint8_t cluster[TB_KEY_BYTES];
    tb_atom node;
    struct tb_pid pid; /* who is registered */
};

static struct ask *
ask_new(const struct tb_cluster *c, tb_atom node, struct tb_pid pid)
{
    struct ask *a = tb_new(struct ask);

    memcpy(a->cluster, c->key, sizeof(a->cluster));
    a->node = node;
    a->pid = pid;
    return a;
}

static int
by_node(tb_atom a, tb_atom b)
{
    return strcmp(tb_atom_text(a).p, tb_atom_text(b).p);
}

/* ---------------------------------------------------------------- nodes -- */

static bool
is_node(const struct tb_clusters *cs, tb_atom node)
{
    TB_LIST_EACH (n, &cs->nodes, struct tb_cl_node, link)
        if (n->node == node)
            return true;
    return false;
}

void
tb_cl_node_up(struct tb_proc *self, struct tb_clusters *cs, tb_atom node)
{
    struct tb_list *before = &cs->nodes;
    struct tb_cl_node *n;

    if (is_node(cs, node))
        return;
    n = tb_new(struct tb_cl_node);
    n->node = node;
    TB_LIST_EACH (other, &cs->nodes, struct tb_cl_node, link)
        if (by_node(other->node, node) > 0 && before == &cs->nodes)
            before = &other->link;
    tb_list_add(before, &n->link);
    TB_LIST_EACH (c, &cs->all, struct tb_cluster, link)
        tb_cl_check(self, cs, c);
}

static void
drop_view(struct tb_cluster *c, tb_atom node)
{
    TB_LIST_EACH (v, &c->views, struct tb_cl_view, link)
        if (v->node == node) {
            tb_list_del(&v->link);
            tb_free(v);
        }
}

void
tb_cl_node_down(struct tb_proc *self, struct tb_clusters *cs, tb_atom node)
{
    TB_LIST_EACH (n, &cs->nodes, struct tb_cl_node, link)
        if (n->node == node) {
            tb_list_del(&n->link);
            tb_free(n);
        }
    TB_LIST_EACH (c, &cs->all, struct tb_cluster, link) {
        drop_view(c, node);
        tb_cl_tell_leader(self, c);
    }
}

/* ---------------------------------------------------------------- views -- */

static struct tb_cl_view *
view_find(const struct tb_cluster *c, tb_atom node)
{
    TB_LIST_EACH (v, &c->views, struct tb_cl_view, link)
        if (v->node == node)
            return v;
    return NULL;
}

static struct tb_cl_view *
view_get(struct tb_cluster *c, tb_atom node)
{
    struct tb_cl_view *v = view_find(c, node);

    if (v)
        return v;
    v = tb_new(struct tb_cl_view);
    v->node = node;
    tb_list_add(&c->views, &v->link);
    return v;
}

/* The holder that most can be expected to see: that of the first view. */
static struct tb_pid
any_holder(const struct tb_cluster *c)
{
    struct tb_cl_view *first = NULL;

    TB_LIST_EACH (v, &c->views, struct tb_cl_view, link)
        if (v->holder.node && (!first || by_node(v->node, first->node) < 0))
            first = v;
    return first ? first->holder : (struct tb_pid){ 0 };
}

struct tb_pid
tb_cl_leader(const struct tb_cluster *c, tb_atom node)
{
    struct tb_cl_view *v = c && node ? view_find(c, node) : NULL;

    if (!c)
        return (struct tb_pid){ 0 };
    return v ? v->holder : any_holder(c);
}

void
tb_cl_put_leader(struct tb_pid leader, struct tb_wr *w)
{
    tb_build(w, "Leader",
             TB_ARGS(leader.node ? tb_v_pid(leader) : tb_v_atom("undefined")));
}

static bool
is_asking(const struct tb_cluster *c)
{
    TB_LIST_EACH (v, &c->views, struct tb_cl_view, link)
        if (v->asking)
            return true;
    return false;
}

static void
set_timer(struct tb_proc *self, struct tb_cluster *c, unsigned ms)
{
    if (c->timer.n)
        tb_cancel_timer(self, c->timer);
    c->timer = tb_send_after(self, ms, "{check, Cluster}",
                             TB_ARGS(tb_v_term(tb_wr_term(&c->name))));
}

/* Again soon, later each time. */
static void
retry(struct tb_proc *self, struct tb_cluster *c)
{
    set_timer(self, c, c->retry_ms);
    if (c->retry_ms < TB_CL_SOON_MS)
        c->retry_ms *= 2;
}

/* -------------------------------------------------------- registrations -- */

static bool
holds_another(const struct tb_clusters *cs, const struct tb_cluster *c,
              struct tb_pid pid)
{
    TB_LIST_EACH (other, &cs->all, struct tb_cluster, link)
        if (other != c && tb_pid_eq(any_holder(other), pid))
            return true;
    return false;
}

static int
on_registered(struct tb_proc *self, void *state, void *ctx, int status,
              struct tb_term result)
{
    struct tb_clusters *cs = state;
    struct ask *a = ctx;
    struct tb_cluster *c = tb_cluster_of_key(cs, a->cluster);
    struct tb_cl_view *v = c ? view_find(c, a->node) : NULL;
    struct tb_val h[TB_MAX_HOLES];

    if (c) {
        c->busy = false;
        if (status == 0 && tb_match("yes", result, h) == 1) {
            c->retry_ms = TB_CL_RETRY_MS;
            c->takeovers++;
            if (v)
                v->holder = a->pid;
            if (!tb_cl_member_find(cs, c, a->pid, NULL))
                c->left = a->pid; /* meanwhile */
            tb_cl_tell_leader(self, c);
            tb_cl_check(self, cs, c);
        } else {
            retry(self, c);
        }
        tb_cluster_release(self, cs, c);
    }
    tb_free(a);
    return TB_NOREPLY;
}

/* re_register_name takes the name from whoever has it; it is also the only one
 * that gives a process a second name. */
static void
enter(struct tb_proc *self, struct tb_cluster *c, tb_atom through,
      struct tb_pid pid, bool again)
{
    c->busy = true;
    tb_erpc(self, through, "global",
            again ? "re_register_name" : "register_name",
            "[Name, Pid, {global, random_notify_name}]",
            TB_ARGS(tb_v_term(tb_wr_term(&c->name)), tb_v_pid(pid)),
            TB_CL_LOCK_MS, on_registered, ask_new(c, through, pid));
}

/* ----------------------------------------------------------- candidates -- */

/* Whether a comes before b: a process of a BEAM node, then by node, then the
 * older. Every tiebeam node finds the same. */
static bool
comes_before(const struct tb_clusters *cs, struct tb_pid a, struct tb_pid b)
{
    bool beam = is_node(cs, a.node);
    int order;

    if (beam != is_node(cs, b.node))
        return beam;
    order = by_node(a.node, b.node);
    if (order != 0)
        return order < 0;
    if (a.serial != b.serial)
        return a.serial < b.serial;
    return a.id < b.id;
}

static bool
lists_node(struct tb_term nodes, tb_atom node)
{
    struct tb_elems e;
    struct tb_term item;

    for (tb_elems_open(&e, nodes); tb_elems_next(&e, &item);)
        if (tb_rule_node(item) == node)
            return true;
    return false;
}

/* Where a candidate may live: NULL, or on that node, or on one of side, or on
 * no BEAM node. */
struct where {
    tb_atom node;
    struct tb_term side;
};

static bool
is_there(const struct tb_clusters *cs, const struct where *w, tb_atom node)
{
    return !w || node == w->node || !is_node(cs, node) ||
           lists_node(w->side, node);
}

static struct tb_pid
candidate(struct tb_clusters *cs, const struct tb_cluster *c,
          const struct where *w)
{
    struct tb_pid best = { 0 };

    TB_LIST_EACH (m, &c->members, struct tb_cl_member, by_cluster) {
        struct tb_pid pid = m->proc->pid;

        if (m->count > 0 && is_there(cs, w, pid.node) &&
            (!best.node || comes_before(cs, pid, best)))
            best = pid;
    }
    return best;
}

static void
elect(struct tb_proc *self, struct tb_clusters *cs, struct tb_cluster *c,
      const struct where *w)
{
    struct tb_pid pid = candidate(cs, c, w);
    tb_atom through = pid.node;

    if (!pid.node || tb_list_empty(&cs->nodes))
        return;
    if (!is_node(cs, pid.node))
        through = w ? w->node
                    : TB_ENTRY(cs->nodes.next, struct tb_cl_node, link)->node;
    enter(self, c, through, pid, holds_another(cs, c, pid));
}

/* -------------------------------------------------------- who has left -- */

static int
on_unregistered(struct tb_proc *self, void *state, void *ctx, int status,
                struct tb_term result)
{
    struct tb_clusters *cs = state;
    struct ask *a = ctx;
    struct tb_cluster *c = tb_cluster_of_key(cs, a->cluster);

    (void)status;
    (void)result;
    if (c) {
        c->busy = false;
        tb_cl_check(self, cs, c);
    }
    tb_free(a);
    return TB_NOREPLY;
}

/* It holds the name still, and is no member any more: the next one gets it. */
static void
replace(struct tb_proc *self, struct tb_clusters *cs, struct tb_cluster *c,
        tb_atom view)
{
    struct tb_pid next = candidate(cs, c, NULL);
    tb_atom through = is_node(cs, next.node) ? next.node : view;

    if (next.node) {
        enter(self, c, through, next, true);
        return;
    }
    c->busy = true;
    tb_erpc(self, view, "global", "unregister_name", "[Name]",
            TB_ARGS(tb_v_term(tb_wr_term(&c->name))), TB_CL_LOCK_MS,
            on_unregistered, ask_new(c, view, next));
}

/* The node that has it as the holder still; 0: none has. */
static tb_atom
holds_still(const struct tb_cluster *c)
{
    TB_LIST_EACH (v, &c->views, struct tb_cl_view, link)
        if (c->left.node && tb_pid_eq(v->holder, c->left))
            return v->node;
    return 0;
}

static void
replace_left(struct tb_proc *self, struct tb_clusters *cs, struct tb_cluster *c)
{
    tb_atom view = holds_still(c);

    if (view && !tb_cl_member_find(cs, c, c->left, NULL))
        replace(self, cs, c, view);
    else
        c->left.node = 0;
}

/* ---------------------------------------------------------------- checks -- */

/* The nodes that a node without a holder is connected to: the holder's? */
static int
on_side(struct tb_proc *self, void *state, void *ctx, int status,
        struct tb_term result)
{
    struct tb_clusters *cs = state;
    struct ask *a = ctx;
    struct tb_cluster *c = tb_cluster_of_key(cs, a->cluster);
    struct tb_cl_view *v = c ? view_find(c, a->node) : NULL;
    struct where w = { a->node, result };

    if (c)
        c->busy = false;
    if (v && !v->holder.node && status == 0) {
        if (lists_node(result, a->pid.node))
            v->misses = 0; /* global has not told it yet */
        else if (++v->misses >= TB_CL_SPLIT_SEEN)
            elect(self, cs, c, &w);
    }
    if (c && !c->busy)
        set_timer(self, c, TB_CL_SOON_MS);
    if (c)
        tb_cluster_release(self, cs, c);
    tb_free(a);
    return TB_NOREPLY;
}

static void
mend(struct tb_proc *self, struct tb_clusters *cs, struct tb_cluster *c,
     struct tb_cl_view *v)
{
    struct tb_pid holder = any_holder(c);

    if (!holder.node) {
        elect(self, cs, c, NULL);
    } else if (!is_node(cs, holder.node) &&
               tb_cl_member_find(cs, c, holder, NULL)) {
        enter(self, c, v->node, holder, true);
    } else {
        c->busy = true;
        tb_erpc(self, v->node, "erlang", "nodes", "[]", TB_NONE, TB_CL_ASK_MS,
                on_side, ask_new(c, v->node, holder));
    }
}

/* More than one holder, or one that we do not monitor. */
static bool
is_odd(struct tb_clusters *cs, const struct tb_cluster *c)
{
    struct tb_pid holder = any_holder(c);

    TB_LIST_EACH (v, &c->views, struct tb_cl_view, link)
        if (!tb_pid_eq(v->holder, holder))
            return true;
    return holder.node && !tb_cl_member_find(cs, c, holder, NULL);
}

/* All views are known. */
static void
judge(struct tb_proc *self, struct tb_clusters *cs, struct tb_cluster *c)
{
    tb_cl_tell_leader(self, c);
    if (c->busy)
        return;
    replace_left(self, cs, c);
    if (is_odd(cs, c)) {
        retry(self, c);
    } else {
        c->retry_ms = TB_CL_RETRY_MS;
        set_timer(self, c, TB_CL_CHECK_MS);
    }
    if (tb_list_empty(&c->members))
        return;
    TB_LIST_EACH (v, &c->views, struct tb_cl_view, link)
        if (v->known && !v->holder.node && !c->busy)
            mend(self, cs, c, v);
}

static void
take_view(struct tb_cl_view *v, int status, struct tb_term result)
{
    struct tb_val h[TB_MAX_HOLES];

    v->asking = false;
    v->known = status == 0;
    if (!v->known)
        return;
    v->holder = (struct tb_pid){ 0 };
    if (tb_match("Pid:pid", result, h) != 1)
        return;
    v->holder = h[0].pid;
    v->misses = 0;
}

static int
on_holder(struct tb_proc *self, void *state, void *ctx, int status,
          struct tb_term result)
{
    struct tb_clusters *cs = state;
    struct ask *a = ctx;
    struct tb_cluster *c = tb_cluster_of_key(cs, a->cluster);
    struct tb_cl_view *v = c ? view_find(c, a->node) : NULL;

    if (v)
        take_view(v, status, result);
    if (c && !is_asking(c)) {
        judge(self, cs, c);
        tb_cluster_release(self, cs, c);
    }
    tb_free(a);
    return TB_NOREPLY;
}

void
tb_cl_check(struct tb_proc *self, struct tb_clusters *cs, struct tb_cluster *c)
{
    set_timer(self, c, TB_CL_CHECK_MS);
    if (tb_list_empty(&cs->nodes))
        c->left.node = 0; /* nobody knows it as the holder */
    if (tb_list_empty(&c->members) && tb_list_empty(&c->tells) && !c->left.node)
        return;
    TB_LIST_EACH (n, &cs->nodes, struct tb_cl_node, link) {
        struct tb_cl_view *v = view_get(c, n->node);

        if (v->asking)
            continue;
        v->asking = true;
        tb_erpc(self, n->node, "global", "whereis_name", "[Name]",
                TB_ARGS(tb_v_term(tb_wr_term(&c->name))), TB_CL_ASK_MS,
                on_holder, ask_new(c, n->node, (struct tb_pid){ 0 }));
    }
}

int
tb_cl_on_check(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_clusters *cs = state;
    struct tb_cluster *c = tb_cluster_find(cs, m->arg[0].term);

    if (!c)
        return TB_NOREPLY;
    c->timer.n = 0;
    tb_cl_check(self, cs, c);
    /* one that does not answer must not keep the others waiting; where the
     * name is taken, global says no */
    if (!any_holder(c).node && !c->busy)
        elect(self, cs, c, NULL);
    tb_cluster_release(self, cs, c);
    return TB_NOREPLY;
}

/* ---------------------------------------------------------------- losses -- */

void
tb_cl_lost(struct tb_proc *self, struct tb_clusters *cs, struct tb_cluster *c,
           struct tb_pid pid, bool dead)
{
    bool held = false;

    if (!dead) {
        if (!tb_pid_eq(c->left, pid) && !c->left.node)
            c->left = pid;
        if (!c->busy)
            replace_left(self, cs, c);
        return;
    }
    TB_LIST_EACH (v, &c->views, struct tb_cl_view, link)
        if (tb_pid_eq(v->holder, pid)) {
            v->holder = (struct tb_pid){ 0 };
            held = true;
        }
    if (held)
        c->retry_ms = TB_CL_RETRY_MS; /* now is the time to hurry */
    if (held && !any_holder(c).node && !c->busy)
        elect(self, cs, c, NULL); /* at once; the nodes may not know yet */
    else if (held)
        retry(self, c); /* elsewhere, or soon */
}

/* --------------------------------------------------------------- resolve -- */

/* Two holders of a name have met, and the second is a process of ours. */
int
tb_cl_on_resolve(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_clusters *cs = state;
    struct tb_pid a = m->arg[1].pid, b = m->arg[2].pid;
    bool first = comes_before(cs, a, b);

    tb_send(self, first ? b : a, "{global_name_conflict, Name}",
            TB_ARGS(m->arg[0]));
    return tb_reply(self, m, "Pid", TB_ARGS(tb_v_pid(first ? a : b)));
}
