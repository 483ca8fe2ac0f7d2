/* pg.c - process groups: a scope of pg, as a process of its name.
 * In Erlang: pg, whose protocol it speaks with the scopes of BEAM nodes. So
 * pg:get_members/2 there shows our members, and get_members here theirs.
 *
 * A local process is a member by our own word, and any other by that of its
 * node's scope. Owns: struct tb_pg. Thread: loop. Source: pg.erl. */
#include "services/pg.h"

#include <stdio.h>

#include "services/services.h"

/* ------------------------------------------------------------ monitors -- */

void
tb_pg_ref_put(struct tb_pg *pg, struct tb_ref ref, enum tb_pg_kind kind,
              void *what)
{
    struct tb_pg_ref *r = tb_new(struct tb_pg_ref);

    *r = (struct tb_pg_ref){ ref, kind, what };
    tb_map_put(pg->refs, &r->ref, sizeof(r->ref), r);
}

void
tb_pg_ref_take(struct tb_pg *pg, struct tb_ref ref)
{
    tb_free(tb_map_take(pg->refs, &ref, sizeof(ref)));
}

/* -------------------------------------------------------------- locals -- */

static struct tb_pg_local *
local_of(struct tb_pg *pg, struct tb_pid pid)
{
    return tb_map_get(pg->locals, &pid, sizeof(pid));
}

static struct tb_pg_local *
local_get(struct tb_proc *self, struct tb_pg *pg, struct tb_pid pid)
{
    struct tb_pg_local *l = local_of(pg, pid);

    if (l)
        return l;
    l = tb_new(struct tb_pg_local);
    l->pid = pid;
    l->ref = tb_monitor(self, pid);
    tb_list_init(&l->owner.members);
    tb_map_put(pg->locals, &l->pid, sizeof(l->pid), l);
    tb_pg_ref_put(pg, l->ref, TB_PG_LOCAL, l);
    return l;
}

static void
local_free(struct tb_pg *pg, struct tb_pg_local *l)
{
    tb_pg_ref_take(pg, l->ref);
    tb_map_take(pg->locals, &l->pid, sizeof(l->pid));
    tb_free(l);
}

static void
local_release(struct tb_proc *self, struct tb_pg *pg, struct tb_pg_local *l)
{
    if (!l || !tb_list_empty(&l->owner.members))
        return;
    tb_demonitor(self, l->ref);
    local_free(pg, l);
}

/* It has ended: its groups, each as often as it was in it. */
static void
local_down(struct tb_proc *self, struct tb_pg *pg, struct tb_pg_local *l)
{
    struct tb_wr list = { 0 }, groups = { 0 };
    size_t n = 0;

    TB_LIST_EACH (mb, &l->owner.members, struct tb_pg_member, by_owner)
        for (uint32_t i = 0; i < mb->count; i++, n++)
            tb_wr_bytes(&list, mb->group->name.buf, mb->group->name.len);
    tb_build_list(&groups, n, &list);
    tb_pg_broadcast(self, pg, "{leave, Self, Pid, Groups}",
                    TB_ARGS(tb_v_pid(tb_self(self)), tb_v_pid(l->pid),
                            tb_v_term(tb_wr_term(&groups))));
    tb_pg_drop(self, pg, &l->owner);
    tb_pg_tell(self, pg);
    tb_wr_free(&list);
    tb_wr_free(&groups);
    local_free(pg, l);
}

/* ---------------------------------------------------- joins and leaves -- */

/* A process or a list of them, as a list: 0; or the first that is no pid, or,
 * where only ours may be, is not of this node. */
static bool
pids_of(struct tb_proc *self, struct tb_term pids, bool any, struct tb_wr *list,
        struct tb_term *bad)
{
    tb_atom us = tb_node_name(tb_self_node(self));
    struct tb_val h[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term item;

    if (tb_match("Pid:pid", pids, h) == 1)
        tb_build(list, "[Pid]", TB_ARGS(h[0]));
    else if (tb_match("Pids:list", pids, h) == 1)
        tb_wr_bytes(list, pids.p, pids.n);
    *bad = pids;
    if (list->len == 0)
        return false;
    for (tb_elems_open(&e, tb_wr_term(list)); tb_elems_next(&e, &item);) {
        *bad = item;
        if (tb_match("Pid:pid", item, h) != 1 || (!any && h[0].pid.node != us))
            return false;
    }
    *bad = pids;
    return tb_match("[]", e.rest, h) == 1;
}

/* What peers are sent: a process alone where it is one, which every release
 * takes, or a list. */
static struct tb_val
one_or_all(const struct tb_wr *list)
{
    struct tb_val h[TB_MAX_HOLES];

    return tb_match("[Pid:pid]", tb_wr_term(list), h) == 1
               ? h[0]
               : tb_v_term(tb_wr_term(list));
}

/* How many of them are in: all, or there was no room. */
static size_t
add_all(struct tb_proc *self, struct tb_pg *pg, struct tb_term group,
        const struct tb_wr *list, struct tb_wr *done)
{
    struct tb_val h[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term item;
    size_t n = 0;

    for (tb_elems_open(&e, tb_wr_term(list)); tb_elems_next(&e, &item);) {
        struct tb_pg_local *l;

        if (tb_match("Pid:pid", item, h) != 1)
            continue;
        l = local_get(self, pg, h[0].pid);
        if (!tb_pg_add(self, pg, &l->owner, 0, group, l->pid)) {
            local_release(self, pg, l);
            break;
        }
        tb_wr_bytes(done, item.p, item.n);
        n++;
    }
    return n;
}

static size_t
remove_all(struct tb_proc *self, struct tb_pg *pg, struct tb_term group,
           const struct tb_wr *list, struct tb_wr *done)
{
    struct tb_val h[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term item;
    size_t n = 0;

    for (tb_elems_open(&e, tb_wr_term(list)); tb_elems_next(&e, &item);)
        if (tb_match("Pid:pid", item, h) == 1 &&
            tb_pg_remove(self, pg, 0, group, h[0].pid)) {
            tb_wr_bytes(done, item.p, item.n);
            n++;
            local_release(self, pg, local_of(pg, h[0].pid));
        }
    return n;
}

static int
join(struct tb_proc *self, struct tb_pg *pg, const struct tb_msg *m,
     const struct tb_val *arg, bool any)
{
    struct tb_wr list = { 0 }, done = { 0 }, joined = { 0 };
    struct tb_term bad;
    size_t n = 0;
    int rc;

    if (!pids_of(self, arg[1].term, any, &list, &bad)) {
        rc = tb_raise(self, m, "{nolocal, Pid}", TB_ARGS(tb_v_term(bad)));
    } else {
        n = add_all(self, pg, arg[0].term, &list, &done);
        tb_build_list(&joined, n, &done);
        if (n > 0)
            tb_pg_broadcast(
                self, pg, "{join, Self, Group, Pids}",
                TB_ARGS(tb_v_pid(tb_self(self)), arg[0], one_or_all(&joined)));
        tb_pg_tell(self, pg);
        rc = joined.len == list.len
                 ? tb_reply(self, m, "ok", TB_NONE)
                 : tb_reply(self, m, "{error, system_limit}", TB_NONE);
    }
    tb_wr_free(&list);
    tb_wr_free(&done);
    tb_wr_free(&joined);
    return rc;
}

static int
leave(struct tb_proc *self, struct tb_pg *pg, const struct tb_msg *m,
      const struct tb_val *arg)
{
    struct tb_wr list = { 0 }, done = { 0 }, left = { 0 };
    struct tb_term bad;
    size_t n = 0;
    int rc;

    if (!pids_of(self, arg[1].term, true, &list, &bad)) {
        rc = tb_raise(self, m, "{nolocal, Pid}", TB_ARGS(tb_v_term(bad)));
    } else {
        n = remove_all(self, pg, arg[0].term, &list, &done);
        tb_build_list(&left, n, &done);
        if (n > 0)
            tb_pg_broadcast(
                self, pg, "{leave, Self, Pids, [Group]}",
                TB_ARGS(tb_v_pid(tb_self(self)), one_or_all(&left), arg[0]));
        tb_pg_tell(self, pg);
        rc = tb_reply(self, m, n > 0 ? "ok" : "not_joined", TB_NONE);
    }
    tb_wr_free(&list);
    tb_wr_free(&done);
    tb_wr_free(&left);
    return rc;
}

static int
on_join(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    return join(self, state, m, m->arg, false);
}

/* As join, also for a process whose node has no scope. */
static int
on_announce(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    return join(self, state, m, m->arg, true);
}

static int
on_leave(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    return leave(self, state, m, m->arg);
}

/* ------------------------------------------------------------ elsewhere -- */

static int
on_discover_node(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    tb_pg_discover(self, state, tb_intern(m->arg[0].text));
    return TB_NOREPLY;
}

/* ----------------------------------------------------------- functions -- */

/* Functions of pg for rpc; a scope may stand before their arguments. */
static const struct {
    const char *name, *plain, *scoped, *request;
    unsigned n; /* arguments */
} functions[] = {
    { "get_members", "[G]", "[S:atom, G]", "{get_members, G}", 1 },
    { "get_local_members", "[G]", "[S:atom, G]", "{get_local_members, G}", 1 },
    { "which_groups", "[]", "[S:atom]", "which_groups", 0 },
    { "which_local_groups", "[]", "[S:atom]", "which_local_groups", 0 },
    { "join", "[G, P]", "[S:atom, G, P]", "{join, G, P}", 2 },
    { "leave", "[G, P]", "[S:atom, G, P]", "{leave, G, P}", 2 },
};

#define FUNCTIONS (sizeof(functions) / sizeof(functions[0]))

static int
on_answer(struct tb_proc *self, void *state, void *ctx, int status,
          struct tb_term result)
{
    struct tb_from *from = ctx;
    struct tb_msg m = { .from = *from };
    struct tb_val h[TB_MAX_HOLES];
    int rc;

    (void)state;
    if (status < 0)
        rc = tb_raise(self, &m, "Why", TB_ARGS(tb_v_term(result)));
    else if (tb_match("{error, Why}", result, h) == 1)
        rc = tb_raise(self, &m, "Why", TB_ARGS(h[0]));
    else
        rc = tb_reply(self, &m, "Result", TB_ARGS(tb_v_term(result)));
    tb_from_free(from);
    return rc;
}

/* Nobody starts a scope from afar; one that runs is as good. */
static int
on_start(struct tb_proc *self, const struct tb_msg *m, struct tb_text scope)
{
    struct tb_pid pid;

    if (!tb_whereis(tb_self_node(self), scope, &pid))
        return tb_raise(self, m, "undef", TB_NONE);
    return tb_reply(self, m, "{error, {already_started, Pid}}",
                    TB_ARGS(tb_v_pid(pid)));
}

/* Any scope has these functions for all of them: that one is asked. */
static int
on_function(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    tb_atom us = tb_node_name(tb_self_node(self));
    struct tb_val h[TB_MAX_HOLES];

    (void)state;
    if (tb_text_is(m->arg[0].text, "start") &&
        tb_match("[Scope:atom]", m->arg[1].term, h) == 1)
        return on_start(self, m, h[0].text);
    for (size_t i = 0; i < FUNCTIONS; i++) {
        struct tb_args args = { functions[i].n, h };
        char scope[256] = "pg";

        if (!tb_text_is(m->arg[0].text, functions[i].name))
            continue;
        if (tb_match(functions[i].plain, m->arg[1].term, h) != 1) {
            if (tb_match(functions[i].scoped, m->arg[1].term, h) != 1)
                break;
            snprintf(scope, sizeof(scope), "%.*s", (int)h[0].text.n,
                     h[0].text.p);
            args.v++;
        }
        tb_call_name(self, scope, us, functions[i].request, args, 5000,
                     on_answer, tb_from_keep(m));
        return TB_NOREPLY;
    }
    return tb_raise(self, m, "undef", TB_NONE);
}

/* --------------------------------------------------------- life, death -- */

static int
on_down(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_pg *pg = state;
    struct tb_ref ref = m->arg[0].ref;
    struct tb_pg_ref *r = tb_map_get(pg->refs, &ref, sizeof(ref));

    if (!r)
        return TB_NOREPLY;
    if (r->kind == TB_PG_LOCAL)
        local_down(self, pg, r->what);
    else if (r->kind == TB_PG_WATCH)
        tb_pg_watch_free(pg, r->what);
    else
        tb_pg_peer_down(self, pg, r->what, true);
    tb_pg_tell(self, pg);
    return TB_NOREPLY;
}

/* The configuration names it no more. Who watches is told that all have left;
 * the scopes of other nodes see by our end that ours have. */
static int
on_leave_service(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    tb_let_go(self);
    tb_pg_drop_all(self, state);
    tb_pg_tell(self, state);
    tb_reply(self, m, "ok", TB_NONE);
    return tb_stop(self, "normal", TB_NONE);
}

static void
free_peer(void *ctx, void *value)
{
    tb_pg_peer_free(ctx, value);
}

static void
free_local(void *ctx, void *value)
{
    local_free(ctx, value);
}

static void
free_watch(void *ctx, void *value)
{
    tb_pg_watch_free(ctx, value);
}

static void
free_member(void *ctx, void *value)
{
    (void)ctx;
    tb_free(value);
}

static void
terminate(struct tb_proc *self, void *state, struct tb_term why)
{
    struct tb_pg *pg = state;

    (void)self;
    (void)why;
    tb_wr_free(&pg->news.pids);
    tb_map_each(pg->watch_of, free_watch, pg);
    tb_map_each(pg->peers, free_peer, pg);
    tb_map_each(pg->locals, free_local, pg);
    tb_map_each(pg->members, free_member, pg);
    TB_LIST_EACH (g, &pg->group_list, struct tb_pg_group, link) {
        tb_wr_free(&g->name);
        tb_free(g);
    }
    tb_map_free(pg->watch_of);
    tb_map_free(pg->peers);
    tb_map_free(pg->locals);
    tb_map_free(pg->members);
    tb_map_free(pg->groups);
    tb_map_free(pg->refs);
}

/* Started again after a crash, it finds the connections that there are. */
static void
take_stock(struct tb_proc *self, struct tb_pg *pg)
{
    struct tb_wr list = { 0 };
    struct tb_elems e;
    struct tb_term item;

    tb_put_nodes(tb_self_node(self), "connected", &list);
    for (tb_elems_open(&e, tb_wr_term(&list)); tb_elems_next(&e, &item);) {
        struct tb_msg m = { .term = item };

        if (tb_match("Node:atom", item, m.arg) == 1)
            tb_pg_on_nodeup(self, pg, &m);
    }
    tb_wr_free(&list);
}

static int
init(struct tb_proc *self, void *state, const void *arg)
{
    struct tb_pg *pg = state;
    int rc = tb_register(self, arg);

    if (rc < 0)
        return rc;
    pg->scope = arg;
    pg->groups = tb_map_new();
    pg->members = tb_map_new();
    pg->locals = tb_map_new();
    pg->peers = tb_map_new();
    pg->refs = tb_map_new();
    pg->watch_of = tb_map_new();
    tb_list_init(&pg->group_list);
    tb_list_init(&pg->watches);
    tb_monitor_nodes(self, true);
    take_stock(self, pg);
    return 0;
}

/* clang-format off */
static const struct tb_clause clauses[] = {
    { TB_CALL, "{get_members, Group}",                  tb_pg_on_get_members        },
    { TB_CALL, "{get_local_members, Group}",            tb_pg_on_get_local_members  },
    { TB_CALL, "which_groups",                          tb_pg_on_which_groups       },
    { TB_CALL, "which_local_groups",                    tb_pg_on_which_local_groups },
    { TB_CALL, "{join, Group, PidOrPids}",              on_join                     },
    { TB_CALL, "{leave, Group, PidOrPids}",             on_leave                    },
    { TB_CALL, "{announce, Group, PidOrPids}",          on_announce                 },
    { TB_CALL, "monitor",                               tb_pg_on_monitor            },
    { TB_CALL, "{monitor, Group}",                      tb_pg_on_monitor_group      },
    { TB_CALL, "{demonitor, Ref:ref}",                  tb_pg_on_demonitor          },
    { TB_CALL, "{join_local, Group, PidOrPids}",        on_join                     },
    { TB_CALL, "{leave_local, Group, PidOrPids}",       on_leave                    },
    { TB_CALL, "info",                                  tb_pg_on_info               },
    { TB_CALL, "'$tb_leave_service'",                   on_leave_service            },
    { TB_CAST, "{discover_node, Node:atom}",            on_discover_node            },
    { TB_CAST, "{sync, Peer:pid, Groups:list}",         tb_pg_on_sync               },
    { TB_INFO, "{discover, Peer:pid}",                  tb_pg_on_discover           },
    { TB_INFO, "{discover, Peer:pid, _}",               tb_pg_on_discover           },
    { TB_INFO, "{join, Peer:pid, Group, PidOrPids}",    tb_pg_on_join               },
    { TB_INFO, "{leave, Peer:pid, PidOrPids, Gs:list}", tb_pg_on_leave              },
    { TB_INFO, "{nodeup, Node:atom, _}",                tb_pg_on_nodeup             },
    { TB_INFO, "{nodedown, Node:atom, _}",              tb_pg_on_nodedown           },
    { TB_INFO, "{'DOWN', Ref:ref, process, _, _}",      on_down                     },
    { TB_INFO, "{retry, Node:atom}",                    tb_pg_on_retry              },
    { TB_FUN,  "{pg, Function:atom, Args:list}",        on_function                 },
    { 0 },
};
/* clang-format on */

const struct tb_service tb_pg = {
    .state_size = sizeof(struct tb_pg),
    .trap_exit = true,
    .init = init,
    .terminate = terminate,
    .clauses = clauses,
};

int
tb_start_pg(struct tb_node *node, const char *scope)
{
    return tb_start(node, &tb_pg, scope, TB_PERMANENT, NULL);
}
