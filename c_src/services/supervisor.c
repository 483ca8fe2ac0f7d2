/* supervisor.c - a supervisor whose children run on all hosts of a cluster.
 * In Erlang: supervisor, DynamicSupervisor.
 *
 * The children's parents are the hosts, one process of tiebeam_host on each
 * BEAM node; they keep the tables. This process attaches to them, reads,
 * decides, and may be killed at any moment.
 * Owns: struct tb_supervisor, see supervisor.h. Thread: loop. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "services/supervisor.h"

#define MAX_SCRATCH 4096 /* bytes of a writer that is kept */
#define IDLE_TICKS  10   /* one of so many looks at all of it anyway */

/* ----------------------------------------------------------------- turns -- */

void
tb_sup_turn_ask(struct tb_proc *self, struct tb_supervisor *sup)
{
    if (sup->turn_asked)
        return;
    sup->turn_asked = true;
    tb_send(self, tb_self(self), "turn", TB_NONE);
}

static int
on_turn(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_supervisor *sup = state;

    (void)m;
    sup->turn_asked = false;
    if (sup->ended)
        return TB_NOREPLY;
    tb_view_update(self, sup);
    tb_places_update(sup);
    tb_view_owner_work(self, sup);
    tb_places_update(sup);
    if (sup->owning && !sup->closing) {
        tb_lives_check(self, sup);
        tb_lives_recover(self, sup);
        tb_moves_turn(self, sup);
    }
    tb_requests_dispatch(self, sup);
    tb_places_send(self, sup);
    tb_located_send(self, sup);
    tb_hosts_look(self, sup);
    tb_commands_send(self, sup);
    tb_close_check(self, sup);
    tb_sup_tick_ask(self, sup);
    return TB_NOREPLY;
}

/* -------------------------------------------------------------- scratch -- */

struct tb_wr
tb_scratch_take(struct tb_supervisor *sup)
{
    return sup->n_scratch ? sup->scratch[--sup->n_scratch]
                          : (struct tb_wr){ 0 };
}

void
tb_scratch_give(struct tb_supervisor *sup, struct tb_wr *w)
{
    if (sup->n_scratch == TB_SUP_SCRATCH || w->bad || w->cap > MAX_SCRATCH) {
        tb_wr_free(w);
        return;
    }
    w->len = 0;
    sup->scratch[sup->n_scratch++] = *w;
}

/* --------------------------------------------------------------- ticks -- */

static bool
hosts_settled(const struct tb_supervisor *sup)
{
    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link)
        if (h->phase != TB_HOST_ATTACHED && h->phase != TB_HOST_NO)
            return false;
    TB_LIST_EACH (home, &sup->homes, struct tb_home, link)
        if (home->lost || !home->host)
            return false;
    return true;
}

/* Nothing waits for its time, but for leases. */
static bool
is_idle(struct tb_proc *self, const struct tb_supervisor *sup)
{
    return sup->whole && !sup->closing && !sup->differs && !sup->imposes &&
           !sup->balance_ms && sup->o.filter != TB_HOSTS_MANAGED &&
           tb_list_empty(&sup->requests) && tb_list_empty(&sup->yielding) &&
           tb_map_count(sup->tombstones) == 0 &&
           tb_map_count(sup->located) == 0 && hosts_settled(sup) &&
           tb_now_ms(tb_self_node(self)) - sup->since_ms > TB_SUP_SETTLE_MS;
}

/* 0: nothing will be due. */
static uint64_t
next_tick(struct tb_proc *self, const struct tb_supervisor *sup)
{
    uint64_t now = tb_now_ms(tb_self_node(self));

    if (!is_idle(self, sup))
        return now + TB_SUP_TICK_MS;
    if (tb_has_no_hosts(sup))
        return 0;
    return sup->lease_ms > now ? sup->lease_ms : now;
}

void
tb_sup_tick_ask(struct tb_proc *self, struct tb_supervisor *sup)
{
    uint64_t now = tb_now_ms(tb_self_node(self)), at = next_tick(self, sup);

    if (sup->lease_ms && sup->lease_ms < at && !tb_has_no_hosts(sup))
        at = sup->lease_ms;
    if (sup->balance_ms > now && sup->balance_ms < at)
        at = sup->balance_ms;
    if (!at || sup->ended || (sup->tick_ms && sup->tick_ms <= at))
        return;
    if (sup->tick_ms)
        tb_cancel_timer(self, sup->tick);
    sup->tick_ms = at;
    sup->tick = tb_send_after(self, at > now ? at - now : 0, "tick", TB_NONE);
}

static void
renew_leases(struct tb_proc *self, struct tb_supervisor *sup)
{
    uint64_t now = tb_now_ms(tb_self_node(self));

    if (now < sup->lease_ms)
        return;
    tb_view_leases(self, sup, true);
    sup->lease_ms = now + TB_HOST_LEASE_MS / 3;
}

static int
on_tick(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_supervisor *sup = state;

    (void)m;
    sup->tick_ms = 0;
    renew_leases(self, sup);
    if (is_idle(self, sup) && ++sup->idle_ticks % IDLE_TICKS) {
        tb_sup_tick_ask(self, sup);
        return TB_NOREPLY;
    }
    tb_hosts_tick(self, sup);
    tb_requests_expire(self, sup);
    tb_tombstones_tick(self, sup);
    tb_located_tick(self, sup);
    tb_sup_turn_ask(self, sup); /* which asks for the next tick */
    return TB_NOREPLY;
}

static int
on_look(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)m;
    tb_hosts_look(self, state);
    return TB_NOREPLY;
}

static int
on_due(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_key key;

    if (tb_key_read(&key, m->arg[0].term))
        tb_works_due(self, state, key);
    return TB_NOREPLY;
}

static int
on_down(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_supervisor *sup = state;

    if (!tb_host_down(self, sup, m->arg[0].ref, m->arg[1].term))
        tb_work_down(self, sup, m->arg[0].ref);
    return TB_NOREPLY;
}

/* ---------------------------------------------------------------- global -- */

static void
join_after(struct tb_proc *self, struct tb_supervisor *sup, uint64_t ms)
{
    if (!sup->joins)
        tb_send_after(self, ms, "join", TB_NONE);
    sup->joins = true;
}

/* The supervisors of that name on all tiebeam nodes are members of a cluster:
 * its leader holds the name in global. Where there is no service for that it is
 * waited for. */
static int
on_join(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_supervisor *sup = state;
    struct tb_pid service;
    bool there =
        tb_whereis(tb_self_node(self),
                   (struct tb_text){ "process_cluster", 15 }, &service);

    (void)m;
    sup->joins = false;
    if (sup->o.global && there) {
        tb_cluster_join(self, tb_v_atom(sup->name), tb_v_atom("supervisor"));
    } else if (sup->o.global) {
        if (!sup->no_clusters)
            tb_log(TB_WARNING, "supervisor.no_clusters",
                   "name=%s: {global, true}, but process_clusters is off: the "
                   "name is not in global",
                   sup->name);
        join_after(self, sup, TB_SUP_JOIN_MS);
    }
    sup->no_clusters = sup->o.global && !there;
    return TB_NOREPLY;
}

static int
on_cluster_down(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)m;
    join_after(self, state, TB_SUP_TICK_MS);
    return TB_NOREPLY;
}

/* Told to leave, it gives the name to the next one, or releases it. */
static int
on_left(struct tb_proc *self, void *state, void *ctx, int status,
        struct tb_term result)
{
    struct tb_supervisor *sup = state;

    (void)ctx;
    (void)result;
    if (status != -TB_ESTOPPED && sup->o.global) /* again, meanwhile */
        join_after(self, sup, 0);
    return TB_NOREPLY;
}

void
tb_sup_global(struct tb_proc *self, struct tb_supervisor *sup)
{
    if (sup->o.global)
        join_after(self, sup, 0);
    else
        tb_call_name(self, "process_cluster", sup->self_node,
                     "{leave, Name, Self}",
                     TB_ARGS(tb_v_atom(sup->name), tb_v_pid(tb_self(self))),
                     TB_SUP_WAIT_MS, on_left, NULL);
}

/* Who leads is of no interest to a supervisor: each one serves all callers. */
static int
on_cluster_event(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)self;
    (void)state;
    (void)m;
    return TB_NOREPLY;
}

/* -------------------------------------------------------------- requests -- */

static int
on_request(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_supervisor *sup = state;
    struct tb_request *r = tb_request_new(self, sup, m, m->term);

    if (!tb_show_anyway(self, sup, r))
        tb_request_run(self, sup, r);
    return TB_NOREPLY;
}

/* Another tiebeam passes on what it was asked. */
static int
on_forward(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_supervisor *sup = state;
    struct tb_request *r;
    struct tb_key key;
    bool again;

    if (!sup->owning || !sup->whole || sup->closing)
        return tb_reply(self, m, "'$tb_not_owner'", TB_NONE);
    if (!tb_key_read(&key, m->arg[0].term))
        return tb_reply(self, m, "{error, badarg}", TB_NONE);
    again = tb_text_is(m->arg[1].text, "true");
    if (again && tb_request_again(sup, m, key))
        return TB_NOREPLY;
    r = tb_request_new(self, sup, m, m->arg[2].term);
    r->passed = true;
    r->again = again;
    r->key = key;
    tb_request_run(self, sup, r);
    return TB_NOREPLY;
}

static int
on_badarg(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    return tb_reply(self, m, "{error, badarg}", TB_NONE);
}

static int
on_cast_rebalance(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_supervisor *sup = state;

    tb_request_run(self, sup, tb_request_new(self, sup, NULL, m->term));
    return TB_NOREPLY;
}

/* gen_server:stop/1: the children stop first. */
static int
on_stop(struct tb_proc *self, void *state, struct tb_term why)
{
    struct tb_supervisor *sup = state;
    struct tb_wr term = { 0 };
    struct tb_request *r;

    if (!sup->close_reason.len)
        tb_wr_bytes(&sup->close_reason, why.p, why.n);
    if (sup->owning || tb_has_no_hosts(sup)) {
        tb_close(self, sup, why);
        return TB_NOREPLY;
    }
    tb_build(&term, "{'$tb_stop', Reason}", TB_ARGS(tb_v_term(why)));
    r = tb_request_new(self, sup, NULL, tb_wr_term(&term));
    r->lasts = true;
    tb_request_run(self, sup, r);
    tb_wr_free(&term);
    return TB_NOREPLY;
}

/* Answered at the end: see closing.c. */
static int
on_stop_service(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_supervisor *sup = state;
    struct tb_wr normal = { 0 };
    int rc;

    if (sup->stopper)
        return tb_reply(self, m, "{error, stopping}", TB_NONE);
    tb_let_go(self);
    sup->stopper = tb_from_keep(m);
    tb_build(&normal, "normal", TB_NONE);
    rc = on_stop(self, sup, tb_wr_term(&normal));
    tb_wr_free(&normal);
    return rc;
}

/* The configuration names it no more: what there is goes on without us. */
static int
on_leave_service(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_supervisor *sup = state;

    tb_let_go(self);
    sup->ended = true;
    tb_view_leases(self, sup, true);
    tb_reply(self, m, "ok", TB_NONE);
    tb_stop(self, "normal", TB_NONE);
    return TB_NOREPLY;
}

/* -------------------------------------------------------- life and death -- */

struct tb_supervisor_config *
tb_supervisor_config_new(struct tb_text name, struct tb_term opts)
{
    struct tb_supervisor_config *config = tb_new(struct tb_supervisor_config);

    config->name = tb_alloc(name.n + 1);
    memcpy(config->name, name.p, name.n);
    config->opts = tb_new(struct tb_wr);
    tb_wr_bytes(config->opts, opts.p, opts.n);
    return config;
}

void
tb_supervisor_config_free(void *arg)
{
    struct tb_supervisor_config *config = arg;

    tb_wr_free(config->opts);
    tb_free(config->opts);
    tb_free(config->name);
    tb_free(config);
}

static void
free_works(struct tb_home *home)
{
    TB_LIST_EACH (c, &home->children, struct tb_child, link)
        tb_free(c->work);
}

static void
terminate(struct tb_proc *self, void *state, struct tb_term why)
{
    struct tb_supervisor *sup = state;

    (void)self;
    (void)why;
    tb_batches_free(sup);
    TB_LIST_EACH (r, &sup->requests, struct tb_request, all) {
        tb_batch_leave(r);
        tb_list_del(&r->all);
        tb_from_free(r->from);
        tb_wr_free(&r->reply);
        tb_free(r);
    }
    TB_LIST_EACH (home, &sup->homes, struct tb_home, link)
        free_works(home);
    tb_children_fini(&sup->table);
    tb_hosts_free(sup);
    for (int i = 0; i < TB_RECORDS; i++)
        tb_wr_free(&sup->record[i].value);
    tb_tombstones_free(sup);
    tb_located_free(sup);
    tb_free(sup->places);
    while (sup->n_scratch)
        tb_wr_free(&sup->scratch[--sup->n_scratch]);
    tb_wr_free(&sup->managed);
    tb_wr_free(&sup->close_reason);
    tb_from_free(sup->stopper);
    tb_supervisor_options_fini(&sup->o);
}

static void
take_stock(struct tb_proc *self, struct tb_supervisor *sup)
{
    struct tb_wr list = { 0 };
    struct tb_elems e;
    struct tb_term item;

    tb_put_nodes(tb_self_node(self), "visible", &list);
    for (tb_elems_open(&e, tb_wr_term(&list)); tb_elems_next(&e, &item);)
        tb_host_connected(self, sup, tb_rule_node(item));
    tb_wr_free(&list);
}

/* Another process of this node was before, a moment ago perhaps: what it could
 * count to meanwhile, one in a microsecond, is past. */
static uint64_t
first_key(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec << 20 | (uint64_t)now.tv_nsec >> 10;
}

static int
init(struct tb_proc *self, void *state, const void *arg)
{
    struct tb_supervisor *sup = state;
    const struct tb_supervisor_config *config = arg;
    struct tb_wr why = { 0 };
    int rc;

    sup->config = config;
    sup->name = config->name;
    rc = tb_supervisor_options_read(&sup->o, tb_wr_term(config->opts), &why);
    tb_wr_free(&why);
    if (rc == 0)
        rc = tb_register(self, config->name);
    if (rc < 0) {
        tb_supervisor_options_fini(&sup->o);
        return rc;
    }
    snprintf(sup->host_name, sizeof(sup->host_name), "tiebeam_host_%s",
             config->name);
    sup->self_node = tb_node_name(tb_self_node(self));
    sup->creation = tb_self(self).creation;
    sup->next_n = first_key();
    sup->since_ms = tb_now_ms(tb_self_node(self));
    sup->closed = -1;
    tb_children_init(&sup->table);
    tb_list_init(&sup->hosts);
    tb_list_init(&sup->homes);
    tb_list_init(&sup->requests);
    tb_list_init(&sup->batches);
    tb_list_init(&sup->held);
    tb_list_init(&sup->timed);
    tb_list_init(&sup->waiting);
    tb_list_init(&sup->paced);
    tb_list_init(&sup->yielding);
    tb_list_init(&sup->to_locate);
    sup->tombstones = tb_map_new();
    sup->located = tb_map_new();
    tb_list_init(&sup->unlocated);
    tb_monitor_nodes(self, true);
    take_stock(self, sup);
    tb_sup_tick_ask(self, sup);
    if (sup->o.global)
        tb_sup_global(self, sup);
    return 0;
}

/* clang-format off */
#define UP   "{nodeup, Node:atom, #{node_type := Type:atom, creation := C:int}}"

static const struct tb_clause clauses[] = {
    { TB_INFO, "{tiebeam_host, N:atom, Node:atom, Inc, Seq:int, Events}", tb_on_host_events },
    { TB_INFO, "{tiebeam_copied, N:atom, H:atom, Node:atom, Inc, Seq:int}", tb_on_host_copied },
    { TB_INFO, "turn",                                    on_turn             },
    { TB_INFO, "join",                                    on_join             },
    { TB_INFO, TB_CLUSTER_EVENT,                          on_cluster_event    },
    { TB_INFO, TB_CLUSTER_DOWN,                           on_cluster_down     },
    { TB_CALL, "{start_children, Specs}",                 tb_on_start_children },
    { TB_INFO, "batches",                                 tb_on_batches       },
    { TB_CALL, "{'$tb_forward', Key, Again:atom, Request}", on_forward        },
    { TB_CALL, "'$tb_stop_service'",                      on_stop_service     },
    { TB_CALL, "'$tb_leave_service'",                     on_leave_service    },
    { TB_CALL, "{reconfigure, Options}",                  tb_on_sup_reconfigure   },
    { TB_CALL, "{reload, Options}",                       tb_on_sup_reload },
    { TB_CALL, "{'$tb_stop', _}",                         on_badarg           },
    { TB_CALL, "_",                                       on_request          },
    { TB_CAST, "rebalance",                               on_cast_rebalance   },
    { TB_INFO, UP,                                        tb_on_host_nodeup   },
    { TB_INFO, "{nodedown, Node:atom, Info}",             tb_on_host_nodedown },
    { TB_INFO, "{'DOWN', Ref:ref, process, _, Why}",      on_down             },
    { TB_INFO, "tick",                                    on_tick             },
    { TB_INFO, "look",                                    on_look             },
    { TB_INFO, "reach",                                   tb_on_reach         },
    { TB_INFO, "{due, Key}",                              on_due              },
    { TB_INFO, "pace",                                    tb_on_pace          },
    { 0 },
};
/* clang-format on */

const struct tb_service tb_supervisor = {
    .state_size = sizeof(struct tb_supervisor),
    .trap_exit = true,
    .init = init,
    .terminate = terminate,
    .stop = on_stop,
    .clauses = clauses,
    .callback = "Elixir.Supervisor.Default", /* as a DynamicSupervisor */
};
