/* discovery.c - finds nodes and connects to them, round after round.
 *
 * Sources: {epmd, [Host]}, whatever is registered there; {nodes, [Node]};
 * ignore. A round asks the source, dials all that is not connected, and is
 * over when each dial has ended; the next one comes an interval later. Each
 * change of an outcome is one log line, however long it lasts.
 * In Erlang: libcluster's Epmd and LocalEpmd strategies.
 * Owns: candidates. Thread: loop. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "services/services.h"

#define DEFAULT_INTERVAL_MS 5000
#define MAX_CANDIDATES      4096
#define MAX_HOSTS           64

struct candidate {
    struct tb_list link;
    tb_atom node;
    bool seen;         /* in this round's answer */
    int last;          /* the last outcome; 1: none yet */
    unsigned failures; /* in a row */
    unsigned skip;     /* rounds in which it is left alone */
};

struct waiting {
    struct tb_list link;
    struct tb_from *from; /* owned */
};

struct discovery {
    const struct tb_discovery_config *config;
    char own_host[256];
    int64_t interval_ms; /* < 0: on request only */
    bool quiet, ignore;
    enum tb_level level;          /* of changes */
    struct tb_term hosts, nodes;  /* of the configuration; n == 0: not given */
    struct tb_list candidates;    /* owned struct candidate */
    struct tb_list waiting;       /* owned struct waiting */
    unsigned n_candidates, asked; /* asked: answers that are still to come */
    uint64_t rounds;
    bool running, timed; /* timed: the next round's timer runs */
};

/* ------------------------------------------------------- candidates -- */

static struct candidate *
candidate_of(struct discovery *d, tb_atom node)
{
    struct candidate *c;

    TB_LIST_EACH (known, &d->candidates, struct candidate, link)
        if (known->node == node)
            return known;
    if (d->n_candidates >= MAX_CANDIDATES)
        return NULL;
    c = tb_new(struct candidate);
    c->node = node;
    c->last = 1;
    tb_list_add(&d->candidates, &c->link);
    d->n_candidates++;
    return c;
}

static void
forget(struct discovery *d, struct candidate *c)
{
    tb_list_del(&c->link);
    tb_free(c);
    d->n_candidates--;
}

static void
see(struct tb_proc *self, struct discovery *d, struct tb_text name)
{
    tb_atom node = tb_intern(name);
    struct candidate *c;

    if (!node || node == tb_node_name(tb_self_node(self)))
        return;
    c = candidate_of(d, node);
    if (c)
        c->seen = true;
}

/* --------------------------------------------------------- outcomes -- */

static const char *
other_kind(const char *seen)
{
    const char *at = strchr(seen, '@');

    return at && strchr(at, '.') ? "name" : "sname";
}

/* A node that calls itself otherwise than it was found: its names are of the
 * other kind, so say how to start to match them. */
static void
log_wrong_name(struct discovery *d, struct candidate *c, struct tb_term why)
{
    struct tb_val v[TB_MAX_HOLES];
    char seen[256] = "?";

    if (tb_match("{wrong_name, Seen:bin}", why, v) == 1)
        snprintf(seen, sizeof(seen), "%.*s", (int)v[0].text.n, v[0].text.p);
    tb_log(d->level, "discovery.wrong_name",
           "[%s] %s calls itself %s: start with -%s tiebeam%s to join it",
           d->config->name, tb_atom_text(c->node).p, seen, other_kind(seen),
           strchr(seen, '@') ? strchr(seen, '@') : "");
}

static void
log_outcome(struct discovery *d, struct candidate *c, int status,
            struct tb_term why)
{
    if (d->quiet || status == c->last)
        return;
    if (status == 0)
        tb_log(d->level, "discovery.connected", "[%s] %s", d->config->name,
               tb_atom_text(c->node).p);
    else if (status == -TB_ENAME)
        log_wrong_name(d, c, why);
    else
        tb_log(d->level, "discovery.not_connected", "[%s] %s: %s",
               d->config->name, tb_atom_text(c->node).p, tb_strerror(status));
}

/* {Connected, [{Node, Error}]} */
static void
put_result(struct tb_proc *self, struct discovery *d, struct tb_wr *w)
{
    struct tb_wr connected = { 0 }, failed = { 0 }, pairs = { 0 };
    size_t n = 0;

    tb_put_nodes(tb_self_node(self), "connected", &connected);
    TB_LIST_EACH (c, &d->candidates, struct candidate, link) {
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

/* ------------------------------------------------------------- rounds -- */

static void
answer_waiting(struct tb_proc *self, struct discovery *d)
{
    struct tb_wr result = { 0 };

    if (tb_list_empty(&d->waiting))
        return;
    put_result(self, d, &result);
    TB_LIST_EACH (w, &d->waiting, struct waiting, link) {
        tb_reply_to(self, w->from, "Result",
                    TB_ARGS(tb_v_term(tb_wr_term(&result))));
        tb_list_del(&w->link);
        tb_from_free(w->from);
        tb_free(w);
    }
    tb_wr_free(&result);
}

static void
end_round(struct tb_proc *self, struct discovery *d)
{
    d->running = false;
    d->rounds++;
    answer_waiting(self, d);
    if (d->interval_ms >= 0 && !d->timed) {
        d->timed = true;
        tb_send_after(self, (uint64_t)d->interval_ms, "round", TB_NONE);
    }
}

/* A node that refuses us logs an error each time: 1, 3, 7 … 63 rounds. */
static unsigned
pause_after(unsigned failures)
{
    return (1u << (failures < 6 ? failures : 6)) - 1;
}

static int
on_dialled(struct tb_proc *self, void *state, void *ctx, int status,
           struct tb_term result)
{
    struct discovery *d = state;
    struct candidate *c = ctx;

    log_outcome(d, c, status, result);
    c->last = status;
    c->failures = status < 0 ? c->failures + 1 : 0;
    c->skip = pause_after(c->failures);
    if (--d->asked == 0)
        end_round(self, d);
    return TB_NOREPLY;
}

/* Gone from the source: nobody is disconnected for it. */
static void
dial_candidates(struct tb_proc *self, struct discovery *d)
{
    d->asked++; /* so that the round does not end before all are dialled */
    TB_LIST_EACH (c, &d->candidates, struct candidate, link) {
        if (!c->seen) {
            forget(d, c);
            continue;
        }
        if (c->skip > 0 && tb_list_empty(&d->waiting)) {
            c->skip--;
            continue;
        }
        d->asked++;
        tb_connect(self, c->node, on_dialled, c);
    }
    if (--d->asked == 0)
        end_round(self, d);
}

/* Hosts are asked side by side; the ctx of an answer is its host's place.
 * Where none is given, it is this one. */
static void
host_at(struct discovery *d, uintptr_t place, char host[256])
{
    struct tb_wr w = { 0 };
    struct tb_elems e;
    struct tb_term item;

    snprintf(host, 256, "%s", d->own_host);
    for (tb_elems_open(&e, d->hosts); tb_elems_next(&e, &item);)
        if (place-- == 0 && tb_get_chars(item, &w))
            snprintf(host, 256, "%s", (const char *)w.buf);
    tb_wr_free(&w);
}

static void
see_named(struct tb_proc *self, struct discovery *d, const char *host,
          struct tb_term names)
{
    struct tb_val v[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term item;
    char node[512];
    int n;

    for (tb_elems_open(&e, names); tb_elems_next(&e, &item);) {
        if (tb_match("{Name:bin, _}", item, v) != 1)
            continue;
        n = snprintf(node, sizeof(node), "%.*s@%s", (int)v[0].text.n,
                     v[0].text.p, host);
        if (n > 0 && (size_t)n < sizeof(node))
            see(self, d, (struct tb_text){ node, (size_t)n });
    }
}

static int
on_names(struct tb_proc *self, void *state, void *ctx, int status,
         struct tb_term result)
{
    struct discovery *d = state;
    struct tb_val v[TB_MAX_HOLES];
    char host[256];

    host_at(d, (uintptr_t)ctx, host);
    if (status == 0 && tb_match("{ok, Names:list}", result, v) == 1)
        see_named(self, d, host, v[0].term);
    else if (!d->quiet)
        tb_log(TB_INFO_LEVEL, "discovery.no_names", "[%s] epmd at %s: %s",
               d->config->name, host, tb_strerror(status));
    if (--d->asked == 0)
        dial_candidates(self, d);
    return TB_NOREPLY;
}

static void
ask_hosts(struct tb_proc *self, struct discovery *d, unsigned n)
{
    char host[256];

    d->asked = n;
    for (uintptr_t i = 0; i < n; i++) {
        host_at(d, i, host);
        tb_epmd_names(self, host, on_names, (void *)i);
    }
}

static void
see_listed(struct tb_proc *self, struct discovery *d)
{
    struct tb_val v[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term item;

    for (tb_elems_open(&e, d->nodes); tb_elems_next(&e, &item);)
        if (tb_match("Node:atom", item, v) == 1)
            see(self, d, v[0].text);
}

static unsigned
count_hosts(struct discovery *d)
{
    struct tb_elems e;
    struct tb_term item;
    unsigned n = 0;

    for (tb_elems_open(&e, d->hosts);
         n < MAX_HOSTS && tb_elems_next(&e, &item);)
        n++;
    return n ? n : 1;
}

static int
begin_round(struct tb_proc *self, struct discovery *d)
{
    if (d->running)
        return TB_NOREPLY;
    d->running = true;
    TB_LIST_EACH (c, &d->candidates, struct candidate, link)
        c->seen = false;
    if (d->hosts.n) {
        ask_hosts(self, d, count_hosts(d));
    } else {
        if (d->nodes.n)
            see_listed(self, d);
        dial_candidates(self, d);
    }
    return TB_NOREPLY;
}

/* ----------------------------------------------------------- requests -- */

static int
on_round(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)m;
    return begin_round(self, state);
}

static int
on_timer(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct discovery *d = state;

    (void)m;
    d->timed = false;
    return begin_round(self, d);
}

static int
on_discover(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct discovery *d = state;
    struct waiting *w = tb_new(struct waiting);

    w->from = tb_from_keep(m);
    tb_list_add(&d->waiting, &w->link);
    return begin_round(self, d);
}

static int
on_has_ran(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct discovery *d = state;

    return tb_reply(self, m, "Ran",
                    TB_ARGS(tb_v_bool(d->rounds > 0 && !d->ignore)));
}

static int
on_info(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct discovery *d = state;
    struct tb_wr result = { 0 };
    int rc;

    put_result(self, d, &result);
    rc = tb_reply(
        self, m, "#{name => N, rounds => R, candidates => C, result => Res}",
        TB_ARGS(tb_v_atom(d->config->name), tb_v_int((int64_t)d->rounds),
                tb_v_int(d->n_candidates), tb_v_term(tb_wr_term(&result))));
    tb_wr_free(&result);
    return rc;
}

static int
on_stop(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    tb_reply(self, m, "ok", TB_NONE);
    return tb_stop(self, "normal", TB_NONE);
}

static enum tb_level
level_of(struct tb_text name)
{
    static const char *const names[] = { "emergency", "alert",   "critical",
                                         "error",     "warning", "notice",
                                         "info",      "debug" };

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (tb_text_is(name, names[i]))
            return (enum tb_level)i;
    return TB_NOTICE;
}

static void
read_option(struct discovery *d, struct tb_term option)
{
    struct tb_val v[TB_MAX_HOLES];

    if (tb_match("{source, {epmd, Hosts:list}}", option, v) == 1)
        d->hosts = v[0].term;
    else if (tb_match("{source, {nodes, Nodes:list}}", option, v) == 1)
        d->nodes = v[0].term;
    else if (tb_match("{source, ignore}", option, v) == 1)
        d->ignore = true;
    else if (tb_match("{interval, Ms:int}", option, v) == 1)
        d->interval_ms = v[0].i;
    else if (tb_match("{interval, none}", option, v) == 1)
        d->interval_ms = -1;
    else if (tb_match("{log, off}", option, v) == 1)
        d->quiet = true;
    else if (tb_match("{log, Level:atom}", option, v) == 1)
        d->level = level_of(v[0].text);
}

static int
init(struct tb_proc *self, void *state, const void *arg)
{
    struct discovery *d = state;
    const struct tb_discovery_config *config = arg;
    struct tb_text us = tb_atom_text(tb_node_name(tb_self_node(self)));
    struct tb_elems e;
    struct tb_term option;

    d->config = config;
    d->interval_ms = DEFAULT_INTERVAL_MS;
    d->level = TB_NOTICE;
    snprintf(d->own_host, sizeof(d->own_host), "%s", strchr(us.p, '@') + 1);
    tb_list_init(&d->candidates);
    tb_list_init(&d->waiting);
    for (tb_elems_open(&e, config->opts); tb_elems_next(&e, &option);)
        read_option(d, option);
    if (!d->ignore)
        tb_send_after(self, 0, "round", TB_NONE);
    return tb_register(self, config->name);
}

static void
terminate(struct tb_proc *self, void *state, struct tb_term why)
{
    struct discovery *d = state;

    (void)self;
    (void)why;
    TB_LIST_EACH (c, &d->candidates, struct candidate, link)
        forget(d, c);
    TB_LIST_EACH (w, &d->waiting, struct waiting, link) {
        tb_from_free(w->from);
        tb_free(w);
    }
}

/* clang-format off */
static const struct tb_clause clauses[] = {
    { TB_CALL, "discover_nodes", on_discover },
    { TB_CAST, "discover_nodes", on_round    },
    { TB_CALL, "has_ran",        on_has_ran  },
    { TB_CALL, "info",           on_info     },
    { TB_CALL, "stop",           on_stop     },
    { TB_INFO, "round",          on_timer    },
    { 0 },
};
/* clang-format on */

const struct tb_service tb_discovery = {
    .state_size = sizeof(struct discovery),
    .trap_exit = true,
    .init = init,
    .terminate = terminate,
    .clauses = clauses,
};
