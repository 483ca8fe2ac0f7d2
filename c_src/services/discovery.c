/* discovery.c - finds nodes and connects to them, round after round: what it
 * is asked, and what it tells.
 * In Erlang: libcluster, dns_cluster. Owns: an instance. Thread: loop. */
#include "services/discovery.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

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

    tb_discovery_put_result(self, d, &part[0]);
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
            tb_v_int(tb_discovery_count(d)), tb_v_term(tb_wr_term(&part[0])),
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

/* The program around us knows it. */
static bool
lacks_only_basename(const struct tb_discovery *d, const char *fault)
{
    return d->ops.basename && strcmp(fault, "basename") == 0;
}

static void
take_options(struct tb_proc *self, struct tb_discovery *d)
{
    tb_discovery_read(&d->o, tb_wr_term(&d->opts));
    if (d->ops.basename && !d->o.basename[0] &&
        !d->ops.basename(self, d->o.basename))
        d->o.basename[0] = '\0';
    tb_sources_open(self, d);
}

/* The rounds begin anew; who is connected stays so. opts: taken. */
static int
renew(struct tb_proc *self, struct tb_discovery *d, const struct tb_msg *m,
      struct tb_wr *opts)
{
    tb_wr_free(&d->opts);
    d->opts = *opts;
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

static int
refuse(struct tb_proc *self, const struct tb_msg *m, const char *fault)
{
    return tb_reply(self, m, "{error, {badarg, What}}",
                    TB_ARGS(tb_v_atom(fault)));
}

static int
on_reconfigure(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_discovery *d = state;
    const char *fault = tb_discovery_fault(m->arg[0].term);
    struct tb_wr opts = { 0 };

    if (fault && !lacks_only_basename(d, fault))
        return refuse(self, m, fault);
    merge(d, m->arg[0].term, &opts);
    if (!opts.bad &&
        (d->ops.basename || !tb_discovery_lacks(tb_wr_term(&opts))))
        return renew(self, d, m, &opts);
    tb_wr_free(&opts);
    return refuse(self, m, "basename");
}

/* The whole configuration is another one; it has been checked. */
static int
on_reload(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    const char *fault = tb_discovery_fault(m->arg[0].term);
    struct tb_wr opts = { 0 };

    if (fault && !lacks_only_basename(state, fault))
        return refuse(self, m, fault);
    tb_build(&opts, "Opts", TB_ARGS(tb_v_term(m->arg[0].term)));
    return renew(self, state, m, &opts);
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

static void
take_ops(struct tb_discovery *d, const struct tb_discovery_ops *given)
{
    d->ops = usual;
    if (!given)
        return;
    d->ops.basename = given->basename;
    if (given->lookup)
        d->ops.lookup = given->lookup;
    if (given->connect)
        d->ops.connect = given->connect;
    if (given->list)
        d->ops.list = given->list;
}

static int
init(struct tb_proc *self, void *state, const void *arg)
{
    struct tb_discovery *d = state;
    const struct tb_discovery_config *config = arg;
    struct tb_text us = tb_atom_text(tb_node_name(tb_self_node(self)));

    d->config = config;
    take_ops(d, config->ops);
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
    tb_waiting_free(d);
    TB_LIST_EACH (c, &d->candidates, struct tb_candidate, link)
        tb_candidate_drop(d, c);
    tb_mesh_free(&d->mesh);
    tb_sources_close(d);
    tb_wr_free(&d->hub_nodes);
    tb_wr_free(&d->opts);
}

/* clang-format off */
static const struct tb_clause clauses[] = {
    { TB_CALL, "discover_nodes",              tb_on_discover     },
    { TB_CALL, "{discover_nodes, Ms:int}",    tb_on_discover_within },
    { TB_CAST, "discover_nodes",              on_cast            },
    { TB_CALL, "has_ran",                     on_has_ran         },
    { TB_CALL, "{await, N:int, Opts:list}",   tb_on_await        },
    { TB_CALL, "info",                        on_info            },
    { TB_CALL, "{reconfigure, Opts:list}",    on_reconfigure     },
    { TB_CALL, "{reload, Opts:list}",         on_reload          },
    { TB_CALL, "stop",                        on_stop            },
    { TB_INFO, "round",                       on_timer           },
    { TB_INFO, "{over, Phase:int}",           on_over            },
    { TB_INFO, "{waited, Id:int}",            tb_on_waited       },
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

int
tb_start_discovery(struct tb_node *node,
                   const struct tb_discovery_config *config)
{
    const char *fault = tb_discovery_fault(config->opts);
    bool told = config->ops && config->ops->basename;

    if (!config->name || (fault && !(told && strcmp(fault, "basename") == 0)))
        return -TB_EBADARG;
    return tb_start(node, &tb_discovery, config, TB_TRANSIENT, NULL);
}
