/* discovery.c - finds nodes and connects to them, round after round: what it
 * is asked, and what it tells.
 * In Erlang: libcluster, dns_cluster. Owns: an instance. Thread: loop. */
#include "services/discovery.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define DEFAULT_AWAIT_MS 30000

enum wish { WISH_ROUND, WISH_NODES, WISH_MESH };

struct waiting {
    struct tb_list link;
    uint64_t id;
    struct tb_from *from; /* owned */
    enum wish wish;
    uint64_t round; /* the first one whose end will do */
    int64_t nodes;
};

static const struct tb_discovery_ops usual = { .lookup = tb_dns_lookup,
                                               .connect = tb_connect,
                                               .list = tb_put_nodes };

/* ------------------------------------------------------- small things -- */

int64_t
tb_discovery_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Nodes that were started together must not dial in step. */
int64_t
tb_discovery_jitter(struct tb_discovery *d, int64_t ms)
{
    d->random = d->random * 6364136223846793005u + 1442695040888963407u;
    return ms - ms / 4 + (int64_t)((d->random >> 33) % (uint64_t)(ms / 2 + 1));
}

void
tb_discovery_log(struct tb_discovery *d, const char *event, const char *fmt,
                 ...)
{
    char text[1024];
    va_list ap;

    if (d->o.quiet)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    tb_log(d->o.level, event, "%s", text);
}

static void
count_cause(struct tb_discovery *d, const char *cause)
{
    unsigned i = 0;

    while (i < d->n_causes && strcmp(d->cause[i].atom, cause) != 0)
        i++;
    if (i == TB_DISCOVERY_CAUSES)
        return;
    snprintf(d->cause[i].atom, sizeof(d->cause[i].atom), "%s", cause);
    d->cause[i].count++;
    if (i == d->n_causes)
        d->n_causes++;
    snprintf(d->last_cause, sizeof(d->last_cause), "%s", cause);
}

void
tb_discovery_error(struct tb_discovery *d, const char *event, int cause,
                   bool changed, const char *fmt, ...)
{
    va_list ap;

    count_cause(d, tb_error_atom(cause));
    va_start(ap, fmt);
    vsnprintf(d->last_error, sizeof(d->last_error), fmt, ap);
    va_end(ap);
    if (changed)
        tb_discovery_log(d, event, "[%s] %s", d->config->name, d->last_error);
}

/* ------------------------------------------------------------ results -- */

static void
put_connected(struct tb_proc *self, struct tb_discovery *d, struct tb_wr *w)
{
    if (d->o.attached && d->hub_nodes.len)
        tb_build(w, "L", TB_ARGS(tb_v_term(tb_wr_term(&d->hub_nodes))));
    else
        d->ops->list(tb_self_node(self), "connected", w);
}

/* {Connected, [{Node, Error}]} */
static void
put_result(struct tb_proc *self, struct tb_discovery *d, struct tb_wr *w)
{
    struct tb_wr connected = { 0 }, failed = { 0 }, pairs = { 0 };
    size_t n = 0;

    put_connected(self, d, &connected);
    TB_LIST_EACH (c, &d->candidates, struct tb_candidate, link) {
        if (c->last >= 0)
            continue;
        tb_build(
            &pairs, "{Node, Why}",
            TB_ARGS(tb_v_node(c->node), tb_v_atom(tb_error_atom(c->last))));
        n++;
    }
    tb_build_list(&failed, n, &pairs);
    tb_build(w, "{Connected, Failed}",
             TB_ARGS(tb_v_term(tb_wr_term(&connected)),
                     tb_v_term(tb_wr_term(&failed))));
    tb_wr_free(&connected);
    tb_wr_free(&failed);
    tb_wr_free(&pairs);
}

static int64_t
count_connected(const struct tb_discovery *d)
{
    int64_t n = 0;

    TB_LIST_EACH (c, &d->candidates, struct tb_candidate, link)
        n += c->connected || (c->node == d->o.attached && d->hub_up);
    return n;
}

/* ------------------------------------------------------- who waits -- */

static void
end_waiting(struct tb_discovery *d, struct waiting *w)
{
    tb_list_del(&w->link);
    tb_from_free(w->from);
    tb_free(w);
    d->n_waiting--;
}

/* NULL: there are too many. timeout_ms < 0: none. */
static struct waiting *
wait_for(struct tb_proc *self, struct tb_discovery *d, const struct tb_msg *m,
         enum wish wish, int64_t timeout_ms)
{
    struct waiting *w;

    if (d->n_waiting >= TB_DISCOVERY_MAX_WAITING)
        return NULL;
    w = tb_new(struct waiting);
    w->id = ++d->next_waiting;
    w->from = tb_from_keep(m);
    w->wish = wish;
    w->round = d->round + 1;
    tb_list_add(&d->waiting, &w->link);
    d->n_waiting++;
    if (timeout_ms >= 0)
        tb_send_after(self, (uint64_t)timeout_ms, "{waited, Id}",
                      TB_ARGS(tb_v_int((int64_t)w->id)));
    return w;
}

void
tb_discovery_answer(struct tb_proc *self, struct tb_discovery *d)
{
    struct tb_wr result = { 0 };

    TB_LIST_EACH (w, &d->waiting, struct waiting, link) {
        if (w->wish != WISH_ROUND || w->round > d->round)
            continue;
        if (!result.len)
            put_result(self, d, &result);
        tb_reply_to(self, w->from, "Result",
                    TB_ARGS(tb_v_term(tb_wr_term(&result))));
        end_waiting(d, w);
    }
    tb_wr_free(&result);
    tb_discovery_check_waiting(self, d);
}

void
tb_discovery_check_waiting(struct tb_proc *self, struct tb_discovery *d)
{
    int64_t n = d->n_waiting ? count_connected(d) : 0;

    TB_LIST_EACH (w, &d->waiting, struct waiting, link) {
        if (w->wish == WISH_ROUND || n < w->nodes ||
            (w->wish == WISH_MESH && !tb_mesh_is_full(d, w->nodes)))
            continue;
        tb_reply_to(self, w->from, "ok", TB_NONE);
        end_waiting(d, w);
    }
}

static int
on_waited(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_discovery *d = state;

    TB_LIST_EACH (w, &d->waiting, struct waiting, link)
        if ((int64_t)w->id == m->arg[0].i) {
            tb_reply_to(self, w->from, "{error, timeout}", TB_NONE);
            end_waiting(d, w);
        }
    return TB_NOREPLY;
}

/* ----------------------------------------------------------- requests -- */

static int
on_cast(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)m;
    tb_round_begin(self, state, true);
    return TB_NOREPLY;
}

static int
on_timer(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_discovery *d = state;

    (void)m;
    d->timed = false;
    tb_round_begin(self, d, false);
    return TB_NOREPLY;
}

static int
discover(struct tb_proc *self, struct tb_discovery *d, const struct tb_msg *m,
         int64_t timeout_ms)
{
    if (!wait_for(self, d, m, WISH_ROUND, timeout_ms))
        return tb_reply(self, m, "{error, system_limit}", TB_NONE);
    tb_round_begin(self, d, true);
    return TB_NOREPLY;
}

static int
on_discover(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    return discover(self, state, m, -1);
}

static int
on_discover_within(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    if (m->arg[0].i < 0)
        return tb_reply(self, m, "{error, badarg}", TB_NONE);
    return discover(self, state, m, m->arg[0].i);
}

static bool
read_await(struct tb_term opts, int64_t *timeout_ms, enum wish *wish)
{
    struct tb_val v[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term t;

    if (!tb_elems_open(&e, opts))
        return false;
    while (tb_elems_next(&e, &t))
        if (tb_match("{timeout, Ms:int}", t, v) == 1 && v[0].i >= 0)
            *timeout_ms = v[0].i;
        else if (tb_match("mesh", t, v) == 1)
            *wish = WISH_MESH;
        else
            return false;
    return true;
}

static int
on_await(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_discovery *d = state;
    int64_t timeout_ms = DEFAULT_AWAIT_MS;
    enum wish wish = WISH_NODES;
    struct waiting *w;

    if (m->arg[0].i < 0 || !read_await(m->arg[1].term, &timeout_ms, &wish) ||
        (wish == WISH_MESH && d->o.mesh != TB_MESH_ALL))
        return tb_reply(self, m, "{error, badarg}", TB_NONE);
    w = wait_for(self, d, m, wish, timeout_ms);
    if (!w)
        return tb_reply(self, m, "{error, system_limit}", TB_NONE);
    w->nodes = m->arg[0].i;
    tb_discovery_check_waiting(self, d);
    return TB_NOREPLY;
}

static int
on_has_ran(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_discovery *d = state;
    bool ran = d->rounds > 0 && d->o.source != TB_SOURCE_IGNORE;

    return tb_reply(self, m, "Ran", TB_ARGS(tb_v_bool(ran)));
}

static void
put_causes(const struct tb_discovery *d, struct tb_wr *w)
{
    struct tb_wr pairs = { 0 };

    for (unsigned i = 0; i < d->n_causes; i++)
        tb_build(&pairs, "{Cause, N}",
                 TB_ARGS(tb_v_atom(d->cause[i].atom),
                         tb_v_int((int64_t)d->cause[i].count)));
    tb_build_list(w, d->n_causes, &pairs);
    tb_wr_free(&pairs);
}

static void
put_last_error(const struct tb_discovery *d, struct tb_wr *w)
{
    if (d->n_causes == 0)
        tb_build(w, "undefined", TB_NONE);
    else
        tb_build(w, "{Cause, Text}",
                 TB_ARGS(tb_v_atom(d->last_cause),
                         tb_v_bin(d->last_error, strlen(d->last_error))));
}

static int
on_info(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    static const char *const sources[] = { "epmd",  "nodes",      "dns",
                                           "srv",   "hosts_file", "mfa",
                                           "ignore" };
    struct tb_discovery *d = state;
    struct tb_wr part[5] = { 0 };
    int rc;

    put_result(self, d, &part[0]);
    tb_sources_put(d, &part[1]);
    put_causes(d, &part[2]);
    put_last_error(d, &part[3]);
    tb_mesh_put(d, &part[4]);
    rc = tb_reply(
        self, m,
        "#{name => N, source => S, interval => I, rounds => R, "
        "candidates => C, connected => Up, result => Result, "
        "queries => Q, errors => E, last_error => L, mesh => M}",
        TB_ARGS(
            tb_v_atom(d->config->name), tb_v_atom(sources[d->o.source]),
            d->o.interval_ms < 0 ? tb_v_atom("none")
                                 : tb_v_int(d->o.interval_ms),
            tb_v_int((int64_t)d->rounds), tb_v_int(d->n_candidates),
            tb_v_int(count_connected(d)), tb_v_term(tb_wr_term(&part[0])),
            tb_v_term(tb_wr_term(&part[1])), tb_v_term(tb_wr_term(&part[2])),
            tb_v_term(tb_wr_term(&part[3])), tb_v_term(tb_wr_term(&part[4]))));
    for (size_t i = 0; i < sizeof(part) / sizeof(*part); i++)
        tb_wr_free(&part[i]);
    return rc;
}

static int
on_stop(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    tb_reply(self, m, "ok", TB_NONE);
    return tb_stop(self, "normal", TB_NONE);
}

/* ----------------------------------------------------------- options -- */

/* Options over those there are: of a key that is given again the new one. */
static void
merge(struct tb_discovery *d, struct tb_term opts, struct tb_wr *w)
{
    struct tb_wr items = { 0 };
    struct tb_elems e, f;
    struct tb_term t, u;
    struct tb_val v[TB_MAX_HOLES], x[TB_MAX_HOLES];
    size_t n = 0;

    for (tb_elems_open(&e, tb_wr_term(&d->opts)); tb_elems_next(&e, &t);) {
        bool kept = tb_match("{Key:atom, _}", t, v) == 1;

        for (tb_elems_open(&f, opts); kept && tb_elems_next(&f, &u);)
            kept = !(tb_match("{Key:atom, _}", u, x) == 1 &&
                     v[0].text.n == x[0].text.n &&
                     memcmp(v[0].text.p, x[0].text.p, x[0].text.n) == 0);
        if (kept && tb_build(&items, "T", TB_ARGS(tb_v_term(t))) == 0)
            n++;
    }
    for (tb_elems_open(&e, opts); tb_elems_next(&e, &t); n++)
        tb_build(&items, "T", TB_ARGS(tb_v_term(t)));
    tb_build_list(w, n, &items);
    tb_wr_free(&items);
}

static void
take_options(struct tb_proc *self, struct tb_discovery *d)
{
    tb_discovery_read(&d->o, tb_wr_term(&d->opts));
    if (d->ops->basename && !d->o.basename[0])
        d->ops->basename(self, d->o.basename);
    tb_sources_open(self, d);
}

/* The rounds begin anew; who is connected stays so. */
static int
on_reconfigure(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_discovery *d = state;
    const char *fault = tb_discovery_fault(m->arg[0].term);
    struct tb_wr opts = { 0 };

    if (!fault) {
        merge(d, m->arg[0].term, &opts);
        fault = opts.bad || tb_discovery_lacks(tb_wr_term(&opts)) ? "basename"
                                                                  : NULL;
    }
    if (fault) {
        tb_wr_free(&opts);
        return tb_reply(self, m, "{error, {badarg, What}}",
                        TB_ARGS(tb_v_atom(fault)));
    }
    tb_wr_free(&d->opts);
    d->opts = opts;
    tb_cancel_timer(self, d->clock);
    d->phase = TB_ROUND_IDLE;
    d->asked = 0;
    d->round++; /* what is still to come is of an old one */
    TB_LIST_EACH (c, &d->candidates, struct tb_candidate, link)
        c->dialling = false;
    take_options(self, d);
    if (d->o.source != TB_SOURCE_IGNORE)
        tb_round_begin(self, d, true);
    return tb_reply(self, m, "ok", TB_NONE);
}

/* ---------------------------------------------------------- messages -- */

static int
on_over(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    tb_round_timed_out(self, state, m->arg[0].i);
    return TB_NOREPLY;
}

static int
on_mesh_tick(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)m;
    tb_mesh_tick(self, state);
    return TB_NOREPLY;
}

static int
on_mesh_judge(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    tb_mesh_judge(self, state, m->arg[0].i);
    return TB_NOREPLY;
}

/* Who waits for nodes is told at once. A mesh of all looks at whom it got. */
static int
on_node(struct tb_proc *self, struct tb_discovery *d, const struct tb_msg *m,
        bool up)
{
    struct tb_candidate *c = tb_candidate_find(d, tb_intern(m->arg[0].text));

    if (!c || d->o.mesh == TB_MESH_ATTACHED)
        return TB_NOREPLY;
    c->connected = up;
    if (!up && c->last == 0)
        c->last = TB_OUTCOME_NONE;
    tb_discovery_check_waiting(self, d);
    return TB_NOREPLY;
}

static int
on_nodeup(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    return on_node(self, state, m, true);
}

static int
on_nodedown(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    return on_node(self, state, m, false);
}

/* ------------------------------------------------------ life and death -- */

static int
init(struct tb_proc *self, void *state, const void *arg)
{
    struct tb_discovery *d = state;
    const struct tb_discovery_config *config = arg;
    struct tb_text us = tb_atom_text(tb_node_name(tb_self_node(self)));

    d->config = config;
    d->ops = config->ops ? config->ops : &usual;
    d->random = (uint64_t)tb_discovery_now_ms() ^ (uint64_t)(uintptr_t)d;
    snprintf(d->own_host, sizeof(d->own_host), "%s", strchr(us.p, '@') + 1);
    tb_list_init(&d->candidates);
    tb_list_init(&d->waiting);
    tb_mesh_init(&d->mesh);
    tb_build(&d->opts, "Opts", TB_ARGS(tb_v_term(config->opts)));
    take_options(self, d);
    tb_monitor_nodes(self, true);
    if (d->o.source != TB_SOURCE_IGNORE && d->o.interval_ms >= 0) {
        d->timed = true;
        tb_send_after(self, 0, "round", TB_NONE);
    }
    return tb_register(self, config->name);
}

static void
terminate(struct tb_proc *self, void *state, struct tb_term why)
{
    struct tb_discovery *d = state;

    (void)self;
    (void)why;
    TB_LIST_EACH (w, &d->waiting, struct waiting, link)
        end_waiting(d, w);
    TB_LIST_EACH (c, &d->candidates, struct tb_candidate, link)
        tb_candidate_drop(d, c);
    tb_mesh_free(&d->mesh);
    tb_sources_close(d);
    tb_wr_free(&d->hub_nodes);
    tb_wr_free(&d->opts);
}

/* clang-format off */
static const struct tb_clause clauses[] = {
    { TB_CALL, "discover_nodes",              on_discover        },
    { TB_CALL, "{discover_nodes, Ms:int}",    on_discover_within },
    { TB_CAST, "discover_nodes",              on_cast            },
    { TB_CALL, "has_ran",                     on_has_ran         },
    { TB_CALL, "{await, N:int, Opts:list}",   on_await           },
    { TB_CALL, "info",                        on_info            },
    { TB_CALL, "{reconfigure, Opts:list}",    on_reconfigure     },
    { TB_CALL, "stop",                        on_stop            },
    { TB_INFO, "round",                       on_timer           },
    { TB_INFO, "{over, Phase:int}",           on_over            },
    { TB_INFO, "{waited, Id:int}",            on_waited          },
    { TB_INFO, "mesh_tick",                   on_mesh_tick       },
    { TB_INFO, "{mesh_judge, Pass:int}",      on_mesh_judge      },
    { TB_INFO, "{nodeup, Node:atom, _}",      on_nodeup          },
    { TB_INFO, "{nodedown, Node:atom, _}",    on_nodedown        },
    { 0 },
};
/* clang-format on */

const struct tb_service tb_discovery = {
    .state_size = sizeof(struct tb_discovery),
    .trap_exit = true,
    .init = init,
    .terminate = terminate,
    .clauses = clauses,
};
