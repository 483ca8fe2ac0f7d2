/* process_cluster.c - clusters of processes: who is in, and who leads.
 * In Erlang: what gen_cluster is for, with pg and global.
 *
 * A cluster is a name, of any term; a member is a process anywhere, of a type.
 * Members are those of the group {Cluster, Type} of the scope tiebeam_cluster
 * of pg. The leader is who holds the cluster's name in global. There is no
 * protocol between tiebeam nodes: each sees what pg and global tell it.
 * Owns: struct tb_clusters, see cluster.h. Thread: loop. */
#include "services/cluster.h"

/* --------------------------------------------------------- the scope -- */

static void
attach_later(struct tb_proc *self)
{
    tb_send_after(self, TB_CL_ATTACH_MS, "attach", TB_NONE);
}

/* A group of the scope, and who joined or left it. Others' groups are none of
 * ours. */
static void
each_pid(struct tb_proc *self, struct tb_clusters *cs, struct tb_term group,
         struct tb_term pids,
         void (*fn)(struct tb_proc *, struct tb_clusters *, struct tb_term,
                    struct tb_term, struct tb_pid))
{
    struct tb_val g[TB_MAX_HOLES], h[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term item;

    if (group.n > TB_CL_MAX_NAME || tb_match("{Cluster, Type}", group, g) != 1)
        return;
    for (tb_elems_open(&e, pids); tb_elems_next(&e, &item);)
        if (tb_match("Pid:pid", item, h) == 1)
            fn(self, cs, g[0].term, g[1].term, h[0].pid);
}

static int
on_attached(struct tb_proc *self, void *state, void *ctx, int status,
            struct tb_term result)
{
    struct tb_clusters *cs = state;
    struct tb_val h[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term group, pids;

    (void)ctx;
    if (status < 0 || tb_match("{Ref:ref, Groups:map}", result, h) != 1) {
        attach_later(self);
        return TB_NOREPLY;
    }
    cs->news = h[0].ref;
    cs->scope = tb_monitor_name(self, TB_CLUSTER_SCOPE,
                                tb_node_name(tb_self_node(self)));
    for (tb_elems_open_map(&e, h[1].term); tb_elems_next(&e, &group);) {
        tb_elems_next(&e, &pids);
        each_pid(self, cs, group, pids, tb_cl_join);
    }
    return TB_NOREPLY;
}

static int
on_attach(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    (void)m;
    tb_call_name(self, TB_CLUSTER_SCOPE, tb_node_name(tb_self_node(self)),
                 "monitor", TB_NONE, TB_CL_ASK_MS, on_attached, NULL);
    return TB_NOREPLY;
}

static int
on_news_join(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_clusters *cs = state;

    if (tb_ref_eq(m->arg[0].ref, cs->news))
        each_pid(self, cs, m->arg[1].term, m->arg[2].term, tb_cl_join);
    return TB_NOREPLY;
}

static int
on_news_leave(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_clusters *cs = state;

    if (tb_ref_eq(m->arg[0].ref, cs->news))
        each_pid(self, cs, m->arg[1].term, m->arg[2].term, tb_cl_leave);
    return TB_NOREPLY;
}

/* ------------------------------------------------------------ questions -- */

static int
reply_term(struct tb_proc *self, const struct tb_msg *m, struct tb_wr *w)
{
    int rc = tb_reply(self, m, "Term", TB_ARGS(tb_v_term(tb_wr_term(w))));

    tb_wr_free(w);
    return rc;
}

static int
on_plist(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_wr w = { 0 };

    tb_cl_put_plist(tb_cluster_find(state, m->arg[0].term), &w);
    return reply_term(self, m, &w);
}

static int
on_mod_plist(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    uint8_t type[TB_KEY_BYTES];
    struct tb_wr w = { 0 };

    tb_key(m->arg[1].term, type);
    tb_cl_put_pids(tb_cluster_find(state, m->arg[0].term), type, &w);
    return reply_term(self, m, &w);
}

static int
on_leader(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_cluster *c = tb_cluster_find(state, m->arg[0].term);
    struct tb_wr w = { 0 };

    tb_cl_put_leader(tb_cl_leader(c, m->from.pid.node), &w);
    return reply_term(self, m, &w);
}

static int
on_clusters(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_clusters *cs = state;
    struct tb_wr list = { 0 }, w = { 0 };
    size_t n = 0;

    TB_LIST_EACH (c, &cs->all, struct tb_cluster, link)
        if (!tb_list_empty(&c->members)) {
            tb_wr_bytes(&list, c->name.buf, c->name.len);
            n++;
        }
    tb_build_list(&w, n, &list);
    tb_wr_free(&list);
    return reply_term(self, m, &w);
}

static void
put_views(const struct tb_cluster *c, struct tb_wr *w)
{
    struct tb_wr pairs = { 0 };
    size_t n = 0;

    TB_LIST_EACH (v, &c->views, struct tb_cl_view, link) {
        tb_build(&pairs, "Node", TB_ARGS(tb_v_node(v->node)));
        tb_cl_put_leader(v->holder, &pairs);
        n++;
    }
    tb_build_map(w, n, &pairs);
    tb_wr_free(&pairs);
}

static int
on_info(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_cluster *c = tb_cluster_find(state, m->arg[0].term);
    struct tb_wr views = { 0 }, plist = { 0 };
    int64_t tells = 0;
    int rc;

    if (!c)
        return tb_reply(self, m, "{error, unknown}", TB_NONE);
    TB_LIST_EACH (t, &c->tells, struct tb_cl_tell, by_cluster)
        tells += t->cluster == c;
    put_views(c, &views);
    tb_cl_put_plist(c, &plist);
    rc = tb_reply(
        self, m, "#{plist => P, holders => H, told => T, registered => R}",
        TB_ARGS(tb_v_term(tb_wr_term(&plist)), tb_v_term(tb_wr_term(&views)),
                tb_v_int(tells), tb_v_int((int64_t)c->takeovers)));
    tb_wr_free(&views);
    tb_wr_free(&plist);
    return rc;
}

static int
on_tell(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_clusters *cs = state;
    struct tb_cluster *c;

    if (m->arg[0].term.n > TB_CL_MAX_NAME)
        return tb_reply(self, m, "{error, system_limit}", TB_NONE);
    c = tb_cluster_get(cs, m->arg[0].term);
    if (tb_cl_tell(self, cs, c, m->arg[1].pid)) {
        if (!tb_cl_leader(c, 0).node)
            tb_cl_check(self, cs, c);
        return tb_reply(self, m, "ok", TB_NONE);
    }
    tb_cluster_release(self, cs, c);
    return tb_reply(self, m, "{error, system_limit}", TB_NONE);
}

static int
on_untell(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_clusters *cs = state;
    struct tb_cluster *c = tb_cluster_find(cs, m->arg[0].term);

    if (c) {
        tb_cl_untell(self, cs, c, m->arg[1].pid);
        tb_cluster_release(self, cs, c);
    }
    return tb_reply(self, m, "ok", TB_NONE);
}

static int
on_badarg(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    return tb_reply(self, m, "{error, badarg}", TB_NONE);
}

/* ---------------------------------------------------------------- nodes -- */

static int
on_nodeup(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    tb_cl_node_up(self, state, tb_intern(m->arg[0].text));
    return TB_NOREPLY;
}

static int
on_nodedown(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    tb_cl_node_down(self, state, tb_intern(m->arg[0].text));
    return TB_NOREPLY;
}

/* --------------------------------------------------- in good order -- */

static bool
has_ours(struct tb_proc *self, const struct tb_cluster *c)
{
    TB_LIST_EACH (m, &c->members, struct tb_cl_member, by_cluster)
        if (m->proc->pid.node == tb_node_name(tb_self_node(self)))
            return true;
    return false;
}

/* A process of ours is in one still, or a name of one is on its way. */
static bool
is_under_way(struct tb_proc *self, const struct tb_clusters *cs)
{
    TB_LIST_EACH (c, &cs->all, struct tb_cluster, link)
        if (c->busy || c->left.node || has_ours(self, c))
            return true;
    return false;
}

/* The scope was ours alone: it has ended. */
static int
on_scope_left(struct tb_proc *self, void *state, void *ctx, int status,
              struct tb_term result)
{
    struct tb_clusters *cs = state;

    (void)ctx;
    (void)result;
    if (status == -TB_ESTOPPED)
        return TB_NOREPLY;
    tb_reply_to(self, cs->ending, "ok", TB_NONE);
    return tb_stop(self, "normal", TB_NONE);
}

static int
on_ending(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_clusters *cs = state;

    (void)m;
    if (!cs->ending)
        return TB_NOREPLY;
    if (cs->looks > 0 && is_under_way(self, cs)) {
        cs->looks--;
        tb_send_after(self, TB_CL_END_MS, "ending", TB_NONE);
        return TB_NOREPLY;
    }
    if (cs->scope.n)
        tb_demonitor(self, cs->scope);
    cs->scope.n = 0;
    tb_call_name(self, TB_CLUSTER_SCOPE, tb_node_name(tb_self_node(self)),
                 "'$tb_leave_service'", TB_NONE, TB_CL_ASK_MS, on_scope_left,
                 NULL);
    return TB_NOREPLY;
}

/* The configuration wants no clusters any more. */
static int
on_leave_service(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_clusters *cs = state;

    if (cs->ending)
        return tb_reply(self, m, "{error, ending}", TB_NONE);
    tb_let_go(self);
    cs->ending = tb_from_keep(m);
    cs->looks = TB_CL_END_LOOKS;
    tb_cl_leave_ours(self, cs);
    return on_ending(self, cs, NULL);
}

/* --------------------------------------------------------- life, death -- */

static void
terminate(struct tb_proc *self, void *state, struct tb_term why)
{
    struct tb_clusters *cs = state;

    (void)self;
    (void)why;
    tb_from_free(cs->ending);
    tb_clusters_free(cs);
}

static void
take_stock(struct tb_proc *self, struct tb_clusters *cs)
{
    struct tb_wr list = { 0 };
    struct tb_elems e;
    struct tb_term item;

    tb_put_nodes(tb_self_node(self), "visible", &list);
    for (tb_elems_open(&e, tb_wr_term(&list)); tb_elems_next(&e, &item);)
        tb_cl_node_up(self, cs, tb_rule_node(item));
    tb_wr_free(&list);
}

static int
init(struct tb_proc *self, void *state, const void *arg)
{
    struct tb_clusters *cs = state;

    (void)arg;
    cs->by_name = tb_map_new();
    cs->procs = tb_map_new();
    cs->proc_of = tb_map_new();
    tb_list_init(&cs->all);
    tb_list_init(&cs->nodes);
    tb_list_init(&cs->waits);
    tb_monitor_nodes(self, true);
    take_stock(self, cs);
    return on_attach(self, cs, NULL);
}

/* clang-format off */
#define VISIBLE "#{node_type := visible}"

static const struct tb_clause clauses[] = {
    { TB_CALL, "{join, Cluster, Type, Pid:pid}",            tb_cl_on_join        },
    { TB_CALL, "{join, Cluster, Type, Pid:pid, Opts}",      tb_cl_on_join_opts   },
    { TB_CALL, "{leave, Cluster, Pid:pid}",                 tb_cl_on_leave       },
    { TB_CALL, "{plist, Cluster}",                          on_plist             },
    { TB_CALL, "{mod_plist, Cluster, Type}",                on_mod_plist         },
    { TB_CALL, "{leader, Cluster}",                         on_leader            },
    { TB_CALL, "{tell, Cluster, Pid:pid}",                  on_tell              },
    { TB_CALL, "{untell, Cluster, Pid:pid}",                on_untell            },
    { TB_CALL, "clusters",                                  on_clusters          },
    { TB_CALL, "{info, Cluster}",                           on_info              },
    { TB_CALL, "'$tb_leave_service'",                       on_leave_service     },
    { TB_CALL, "{join, _, _, _}",                           on_badarg            },
    { TB_CALL, "{join, _, _, _, _}",                        on_badarg            },
    { TB_CALL, "{leave, _, _}",                             on_badarg            },
    { TB_CALL, "{tell, _, _}",                              on_badarg            },
    { TB_INFO, "{Ref:ref, join, Group, Pids}",              on_news_join         },
    { TB_INFO, "{Ref:ref, leave, Group, Pids}",             on_news_leave        },
    { TB_INFO, "{'DOWN', Ref:ref, process, _, Reason}",     tb_cl_on_down        },
    { TB_INFO, "{nodeup, Node:atom, " VISIBLE "}",          on_nodeup            },
    { TB_INFO, "{nodedown, Node:atom, " VISIBLE "}",        on_nodedown          },
    { TB_INFO, "{left, Cluster, Type, Pid:pid}",            tb_cl_on_leave_timer },
    { TB_INFO, "{waited, Cluster, Type, Pid:pid}",          tb_cl_on_wait_timer  },
    { TB_INFO, "{check, Cluster}",                          tb_cl_on_check       },
    { TB_INFO, "attach",                                    on_attach            },
    { TB_INFO, "ending",                                    on_ending            },
    { TB_FUN,  "{global, resolve_it, [_, Name, Pid1:pid, Pid2:pid]}",
                                                            tb_cl_on_resolve     },
    { 0 },
};
/* clang-format on */

const struct tb_service tb_process_cluster = {
    .name = "process_cluster",
    .state_size = sizeof(struct tb_clusters),
    .trap_exit = true,
    .init = init,
    .terminate = terminate,
    .clauses = clauses,
};

/* Nobody else has a scope of that name: one that is there is good. */
int
tb_start_process_clusters(struct tb_node *node)
{
    int rc = tb_start_pg(node, TB_CLUSTER_SCOPE);

    if (rc < 0 && rc != -TB_EIN_USE)
        return rc;
    return tb_start(node, &tb_process_cluster, NULL, TB_PERMANENT, NULL);
}
