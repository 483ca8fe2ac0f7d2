/* cluster_members.c - who is in a cluster, and who is told of it.
 *
 * pg says who is a member. Each is monitored too, for the reason of its end:
 * that comes with its DOWN, and as a rule before pg's word that it has left. So
 * a leave without a DOWN waits a little before it is told as one.
 * Owns: clusters, members, processes, and who is told. Thread: loop. */
#include "services/cluster.h"

#include <string.h>

/* ------------------------------------------------------------ clusters -- */

struct tb_cluster *
tb_cluster_of_key(struct tb_clusters *cs, const uint8_t key[TB_KEY_BYTES])
{
    return tb_map_get(cs->by_name, key, TB_KEY_BYTES);
}

struct tb_cluster *
tb_cluster_find(struct tb_clusters *cs, struct tb_term name)
{
    uint8_t key[TB_KEY_BYTES];

    tb_key(name, key);
    return tb_cluster_of_key(cs, key);
}

struct tb_cluster *
tb_cluster_get(struct tb_clusters *cs, struct tb_term name)
{
    struct tb_cluster *c = tb_cluster_find(cs, name);

    if (c)
        return c;
    c = tb_new(struct tb_cluster);
    tb_key(name, c->key);
    tb_wr_bytes(&c->name, name.p, name.n);
    c->retry_ms = TB_CL_RETRY_MS;
    tb_list_init(&c->members);
    tb_list_init(&c->tells);
    tb_list_init(&c->views);
    tb_list_add(&cs->all, &c->link);
    tb_map_put(cs->by_name, c->key, sizeof(c->key), c);
    return c;
}

static void
cluster_free(struct tb_clusters *cs, struct tb_cluster *c)
{
    tb_map_take(cs->by_name, c->key, sizeof(c->key));
    tb_list_del(&c->link);
    TB_LIST_EACH (v, &c->views, struct tb_cl_view, link)
        tb_free(v);
    tb_wr_free(&c->name);
    tb_free(c);
}

void
tb_cluster_release(struct tb_proc *self, struct tb_clusters *cs,
                   struct tb_cluster *c)
{
    if (!tb_list_empty(&c->members) || !tb_list_empty(&c->tells) || c->busy ||
        c->left.node)
        return;
    if (c->timer.n)
        tb_cancel_timer(self, c->timer);
    cluster_free(cs, c);
}

/* ----------------------------------------------------------- processes -- */

struct tb_cl_proc *
tb_cl_proc_find(struct tb_clusters *cs, struct tb_pid pid)
{
    return tb_map_get(cs->procs, &pid, sizeof(pid));
}

static struct tb_cl_proc *
proc_get(struct tb_proc *self, struct tb_clusters *cs, struct tb_pid pid)
{
    struct tb_cl_proc *p = tb_cl_proc_find(cs, pid);

    if (p)
        return p;
    p = tb_new(struct tb_cl_proc);
    p->pid = pid;
    p->ref = tb_monitor(self, pid);
    tb_list_init(&p->members);
    tb_list_init(&p->tells);
    tb_map_put(cs->procs, &p->pid, sizeof(p->pid), p);
    tb_map_put(cs->proc_of, &p->ref, sizeof(p->ref), p);
    return p;
}

static void
proc_free(struct tb_clusters *cs, struct tb_cl_proc *p)
{
    tb_map_take(cs->procs, &p->pid, sizeof(p->pid));
    tb_map_take(cs->proc_of, &p->ref, sizeof(p->ref));
    tb_free(p);
}

static void
proc_release(struct tb_proc *self, struct tb_clusters *cs, struct tb_cl_proc *p)
{
    if (!tb_list_empty(&p->members) || !tb_list_empty(&p->tells))
        return;
    tb_demonitor(self, p->ref);
    proc_free(cs, p);
}

/* --------------------------------------------------------------- tells -- */

static void
tell_free(struct tb_clusters *cs, struct tb_cl_tell *t)
{
    tb_list_del(&t->by_cluster);
    tb_list_del(&t->by_proc);
    cs->n_tells--;
    tb_free(t);
}

static struct tb_cl_tell *
tell_find(const struct tb_cl_proc *p, const struct tb_cluster *c)
{
    TB_LIST_EACH (t, &p->tells, struct tb_cl_tell, by_proc)
        if (t->cluster == c)
            return t;
    return NULL;
}

static void
tell(struct tb_proc *self, const struct tb_cl_tell *t, const char *event,
     struct tb_args args)
{
    struct tb_wr w = { 0 };

    tb_build(&w, event, args);
    tb_send(self, t->proc->pid, "{process_cluster, Cluster, Event}",
            TB_ARGS(tb_v_term(tb_wr_term(&t->cluster->name)),
                    tb_v_term(tb_wr_term(&w))));
    tb_wr_free(&w);
}

static void
tell_all(struct tb_proc *self, const struct tb_cluster *c, const char *event,
         struct tb_args args)
{
    TB_LIST_EACH (t, &c->tells, struct tb_cl_tell, by_cluster)
        tell(self, t, event, args);
}

bool
tb_cl_tell(struct tb_proc *self, struct tb_clusters *cs, struct tb_cluster *c,
           struct tb_pid pid)
{
    struct tb_cl_proc *p;
    struct tb_cl_tell *t;
    struct tb_wr plist = { 0 }, leader = { 0 };

    if (cs->n_tells >= TB_CL_MAX_TELLS)
        return false;
    p = proc_get(self, cs, pid);
    t = tell_find(p, c);
    if (!t) {
        t = tb_new(struct tb_cl_tell);
        t->cluster = c;
        t->proc = p;
        tb_list_add(&c->tells, &t->by_cluster);
        tb_list_add(&p->tells, &t->by_proc);
        cs->n_tells++;
    }
    t->leader = tb_cl_leader(c, pid.node);
    tb_cl_put_plist(c, &plist);
    tb_cl_put_leader(t->leader, &leader);
    tell(
        self, t, "{plist, Plist, Leader}",
        TB_ARGS(tb_v_term(tb_wr_term(&plist)), tb_v_term(tb_wr_term(&leader))));
    tb_wr_free(&plist);
    tb_wr_free(&leader);
    return true;
}

void
tb_cl_untell(struct tb_proc *self, struct tb_clusters *cs, struct tb_cluster *c,
             struct tb_pid pid)
{
    struct tb_cl_proc *p = tb_cl_proc_find(cs, pid);
    struct tb_cl_tell *t = p ? tell_find(p, c) : NULL;

    if (!t)
        return;
    tell_free(cs, t);
    proc_release(self, cs, p);
}

void
tb_cl_tell_leader(struct tb_proc *self, struct tb_cluster *c)
{
    TB_LIST_EACH (t, &c->tells, struct tb_cl_tell, by_cluster) {
        struct tb_pid leader = tb_cl_leader(c, t->proc->pid.node);

        if (!leader.node || tb_pid_eq(leader, t->leader))
            continue;
        t->leader = leader;
        tell(self, t, "{leader, Pid}", TB_ARGS(tb_v_pid(leader)));
    }
}

/* ------------------------------------------------------------- members -- */

struct tb_cl_member *
tb_cl_member_find(struct tb_clusters *cs, const struct tb_cluster *c,
                  struct tb_pid pid, const uint8_t *type_key)
{
    struct tb_cl_proc *p = tb_cl_proc_find(cs, pid);

    if (!p)
        return NULL;
    TB_LIST_EACH (m, &p->members, struct tb_cl_member, by_proc)
        if (m->cluster == c &&
            (!type_key || memcmp(m->type_key, type_key, TB_KEY_BYTES) == 0))
            return m;
    return NULL;
}

static bool
is_first_of_node(const struct tb_cluster *c, tb_atom node)
{
    TB_LIST_EACH (m, &c->members, struct tb_cl_member, by_cluster)
        if (m->proc->pid.node == node)
            return false;
    return true;
}

static struct tb_cl_member *
member_new(struct tb_proc *self, struct tb_clusters *cs, struct tb_cluster *c,
           struct tb_term type, struct tb_pid pid)
{
    struct tb_cl_member *m = tb_new(struct tb_cl_member);

    m->cluster = c;
    m->proc = proc_get(self, cs, pid);
    tb_key(type, m->type_key);
    tb_wr_bytes(&m->type, type.p, type.n);
    tb_list_add(&c->members, &m->by_cluster);
    tb_list_add(&m->proc->members, &m->by_proc);
    return m;
}

static void
cancel_leave(struct tb_proc *self, struct tb_cl_member *m)
{
    if (m->timer.n)
        tb_cancel_timer(self, m->timer);
    m->timer.n = 0;
}

static void
member_free(struct tb_cl_member *m)
{
    tb_list_del(&m->by_cluster);
    tb_list_del(&m->by_proc);
    tb_wr_free(&m->type);
    tb_free(m);
}

void
tb_cl_join(struct tb_proc *self, struct tb_clusters *cs, struct tb_term cluster,
           struct tb_term type, struct tb_pid pid)
{
    struct tb_cluster *c = tb_cluster_get(cs, cluster);
    uint8_t key[TB_KEY_BYTES];
    struct tb_cl_member *m;
    bool is_first;

    tb_key(type, key);
    m = tb_cl_member_find(cs, c, pid, key);
    if (m) {
        m->count++;
        cancel_leave(self, m);
        tb_cl_joined(self, cs, m);
        return;
    }
    is_first = is_first_of_node(c, pid.node);
    m = member_new(self, cs, c, type, pid);
    m->count = 1;
    tell_all(self, c, "{join, Type, Pid, IsFirst}",
             TB_ARGS(tb_v_term(tb_wr_term(&m->type)), tb_v_pid(pid),
                     tb_v_bool(is_first)));
    tb_cl_joined(self, cs, m);
    if (!tb_cl_leader(c, 0).node)
        tb_cl_check(self, cs, c);
}

void
tb_cl_gone(struct tb_proc *self, struct tb_clusters *cs, struct tb_cl_member *m,
           struct tb_term reason, bool dead)
{
    struct tb_cluster *c = m->cluster;
    struct tb_cl_proc *p = m->proc;
    struct tb_pid pid = p->pid;
    struct tb_wr type = m->type;

    m->type = (struct tb_wr){ 0 };
    cancel_leave(self, m);
    member_free(m);
    tell_all(self, c, "{leave, Type, Pid, Reason}",
             TB_ARGS(tb_v_term(tb_wr_term(&type)), tb_v_pid(pid),
                     tb_v_term(reason)));
    tb_wr_free(&type);
    if (!dead)
        proc_release(self, cs, p);
    if (!tb_cl_member_find(cs, c, pid, NULL))
        tb_cl_lost(self, cs, c, pid, dead);
    tb_cluster_release(self, cs, c);
}

static void
gone_by_request(struct tb_proc *self, struct tb_clusters *cs,
                struct tb_cl_member *m)
{
    struct tb_wr reason = { 0 };

    tb_build(&reason, "leave", TB_NONE);
    tb_cl_gone(self, cs, m, tb_wr_term(&reason), false);
    tb_wr_free(&reason);
}

void
tb_cl_leave(struct tb_proc *self, struct tb_clusters *cs,
            struct tb_term cluster, struct tb_term type, struct tb_pid pid)
{
    struct tb_cluster *c = tb_cluster_find(cs, cluster);
    uint8_t key[TB_KEY_BYTES];
    struct tb_cl_member *m;

    tb_key(type, key);
    m = c ? tb_cl_member_find(cs, c, pid, key) : NULL;
    if (!m || m->count == 0 || --m->count > 0)
        return;
    if (m->asked)
        gone_by_request(self, cs, m);
    else
        m->timer = tb_send_after(
            self, TB_CL_LEAVE_MS, "{left, Cluster, Type, Pid}",
            TB_ARGS(tb_v_term(cluster), tb_v_term(type), tb_v_pid(pid)));
}

int
tb_cl_on_leave_timer(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_clusters *cs = state;
    struct tb_cluster *c = tb_cluster_find(cs, m->arg[0].term);
    uint8_t key[TB_KEY_BYTES];
    struct tb_cl_member *member;

    tb_key(m->arg[1].term, key);
    member = c ? tb_cl_member_find(cs, c, m->arg[2].pid, key) : NULL;
    if (member && member->count == 0) {
        member->timer.n = 0;
        gone_by_request(self, cs, member);
    }
    return TB_NOREPLY;
}

/* A process has ended, or the connection to its node. */
static void
proc_down(struct tb_proc *self, struct tb_clusters *cs, struct tb_cl_proc *p,
          struct tb_term reason)
{
    TB_LIST_EACH (t, &p->tells, struct tb_cl_tell, by_proc) {
        struct tb_cluster *c = t->cluster;

        tell_free(cs, t);
        tb_cluster_release(self, cs, c);
    }
    while (!tb_list_empty(&p->members))
        tb_cl_gone(self, cs,
                   TB_ENTRY(p->members.next, struct tb_cl_member, by_proc),
                   reason, true);
    proc_free(cs, p);
}

int
tb_cl_on_down(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_clusters *cs = state;
    struct tb_ref ref = m->arg[0].ref;
    struct tb_cl_proc *p = tb_map_get(cs->proc_of, &ref, sizeof(ref));

    if (p)
        proc_down(self, cs, p, m->arg[1].term);
    else if (cs->scope.n && tb_ref_eq(cs->scope, ref))
        /* what we know came from there: a new process begins anew */
        return tb_stop(self, "{scope_down, Why}", TB_ARGS(m->arg[1]));
    return TB_NOREPLY;
}

/* --------------------------------------------------------------- lists -- */

static size_t
put_of_type(const struct tb_cluster *c, const uint8_t *key, struct tb_wr *w)
{
    size_t n = 0;

    TB_LIST_EACH (m, &c->members, struct tb_cl_member, by_cluster)
        if (memcmp(m->type_key, key, TB_KEY_BYTES) == 0) {
            tb_build(w, "Pid", TB_ARGS(tb_v_pid(m->proc->pid)));
            n++;
        }
    return n;
}

void
tb_cl_put_pids(const struct tb_cluster *c, const uint8_t *type_key,
               struct tb_wr *w)
{
    struct tb_wr pids = { 0 };
    size_t n = c ? put_of_type(c, type_key, &pids) : 0;

    tb_build_list(w, n, &pids);
    tb_wr_free(&pids);
}

static bool
is_first_of_type(const struct tb_cluster *c, const struct tb_cl_member *m)
{
    TB_LIST_EACH (other, &c->members, struct tb_cl_member, by_cluster)
        if (memcmp(other->type_key, m->type_key, TB_KEY_BYTES) == 0)
            return other == m;
    return true;
}

void
tb_cl_put_plist(const struct tb_cluster *c, struct tb_wr *w)
{
    struct tb_wr list = { 0 };
    size_t n = 0;

    if (c)
        TB_LIST_EACH (m, &c->members, struct tb_cl_member, by_cluster) {
            struct tb_wr pids = { 0 };

            if (!is_first_of_type(c, m))
                continue;
            tb_cl_put_pids(c, m->type_key, &pids);
            tb_build(&list, "{Type, Pids}",
                     TB_ARGS(tb_v_term(tb_wr_term(&m->type)),
                             tb_v_term(tb_wr_term(&pids))));
            tb_wr_free(&pids);
            n++;
        }
    tb_build_list(w, n, &list);
    tb_wr_free(&list);
}

/* ----------------------------------------------------------------- end -- */

static void
free_proc(void *ctx, void *value)
{
    proc_free(ctx, value);
}

static void
free_all_of(struct tb_clusters *cs, struct tb_cluster *c)
{
    TB_LIST_EACH (m, &c->members, struct tb_cl_member, by_cluster)
        member_free(m);
    TB_LIST_EACH (t, &c->tells, struct tb_cl_tell, by_cluster)
        tell_free(cs, t);
    cluster_free(cs, c);
}

void
tb_clusters_free(struct tb_clusters *cs)
{
    TB_LIST_EACH (c, &cs->all, struct tb_cluster, link)
        free_all_of(cs, c);
    tb_map_each(cs->procs, free_proc, cs);
    TB_LIST_EACH (n, &cs->nodes, struct tb_cl_node, link)
        tb_free(n);
    TB_LIST_EACH (w, &cs->waits, struct tb_cl_wait, link)
        tb_cl_wait_free(w);
    tb_map_free(cs->by_name);
    tb_map_free(cs->procs);
    tb_map_free(cs->proc_of);
}
