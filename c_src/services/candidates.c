/* candidates.c - the nodes that a discovery has heard of, and how each is
 * faring. A change of an outcome is one log line, however long it lasts.
 * In Erlang: the meta of a libcluster strategy. Owns: candidates. Thread: loop.
 */
#include <stdio.h>
#include <string.h>

#include "services/discovery.h"

const char *
tb_candidate_name(const struct tb_candidate *c)
{
    return tb_atom_text(c->node).p;
}

bool
tb_is_sidecar(struct tb_text name)
{
    size_t n = strlen(TB_SIDECAR_PREFIX);

    return name.n > n && memcmp(name.p, TB_SIDECAR_PREFIX, n) == 0;
}

static struct tb_candidate **
bucket_of(struct tb_discovery *d, tb_atom node)
{
    return &d->bucket[node % TB_DISCOVERY_BUCKETS];
}

struct tb_candidate *
tb_candidate_find(struct tb_discovery *d, tb_atom node)
{
    struct tb_candidate *c = *bucket_of(d, node);

    while (c && c->node != node)
        c = c->next;
    return c;
}

static struct tb_candidate *
candidate_new(struct tb_discovery *d, tb_atom node)
{
    struct tb_candidate **bucket = bucket_of(d, node), *c;

    if (d->n_candidates >= TB_DISCOVERY_MAX_CANDIDATES)
        return NULL;
    c = tb_new(struct tb_candidate);
    c->node = node;
    c->last = TB_OUTCOME_NONE;
    c->stopping_ms = -1;
    c->next = *bucket;
    *bucket = c;
    tb_list_add(&d->candidates, &c->link);
    d->n_candidates++;
    return c;
}

void
tb_candidate_drop(struct tb_discovery *d, struct tb_candidate *c)
{
    struct tb_candidate **at = bucket_of(d, c->node);

    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    tb_list_del(&c->link);
    d->n_candidates--;
    tb_free(c);
}

static bool
has_basename(struct tb_text name, const char *basename)
{
    size_t n = strlen(basename);

    return n == 0 ||
           (name.n > n && memcmp(name.p, basename, n) == 0 && name.p[n] == '@');
}

struct tb_candidate *
tb_candidate_see(struct tb_proc *self, struct tb_discovery *d,
                 const struct tb_query *q, struct tb_text name)
{
    const char *basename = q && q->basename[0] ? q->basename : d->o.basename;
    struct tb_candidate *c;
    tb_atom node;

    node = tb_intern(name);
    if (!has_basename(name, basename) && node != d->o.attached)
        return NULL;
    if (!node || node == tb_node_name(tb_self_node(self)))
        return NULL;
    c = tb_candidate_find(d, node);
    if (!c)
        c = candidate_new(d, node);
    if (!c)
        return NULL;
    c->seen = true;
    return c;
}

void
tb_candidates_mark(struct tb_discovery *d, struct tb_term list)
{
    struct tb_val v[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term item;

    TB_LIST_EACH (c, &d->candidates, struct tb_candidate, link)
        c->connected = false;
    if (!tb_elems_open(&e, list))
        return;
    while (tb_elems_next(&e, &item)) {
        struct tb_candidate *c = NULL;

        if (tb_match("Node:atom", item, v) == 1)
            c = tb_candidate_find(d, tb_intern(v[0].text));
        if (c)
            c->connected = true;
    }
}

/* {discovery, Instance, Event, Node, Info} */
void
tb_candidate_tell(struct tb_proc *self, struct tb_discovery *d,
                  struct tb_candidate *c, const char *event, int cause)
{
    int64_t ms = c->dialled_ms ? tb_discovery_now_ms() - c->dialled_ms : 0;
    struct tb_val v[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term to;

    c->dialled_ms = 0;
    if (!d->o.notify.n || !tb_elems_open(&e, d->o.notify))
        return;
    while (tb_elems_next(&e, &to)) {
        char name[256];

        if (tb_match("{send, {Name:atom, Node:atom}}", to, v) != 1)
            continue;
        snprintf(name, sizeof(name), "%.*s", (int)v[0].text.n, v[0].text.p);
        tb_send_name(
            self, name, tb_intern(v[1].text),
            "{discovery, I, Event, Node, #{duration_ms => Ms, reason => Why}}",
            TB_ARGS(tb_v_atom(d->config->name), tb_v_atom(event),
                    tb_v_node(c->node), tb_v_int(ms),
                    tb_v_atom(cause ? tb_error_atom(cause) : "ok")));
    }
}

/* ---------------------------------------------------------- the gone -- */

/* It has been missing from enough answers, each of them complete. */
static void
leave(struct tb_proc *self, struct tb_discovery *d, struct tb_candidate *c)
{
    tb_discovery_log(d, "discovery.gone",
                     "[%s] %s: not in the last %u answers, disconnected",
                     d->config->name, tb_candidate_name(c), c->gone);
    tb_candidate_tell(self, d, c, "disconnected", 0);
    tb_mesh_leave(self, d, c->node);
    tb_disconnect(tb_self_node(self), c->node);
    if (c->busy == 0)
        tb_candidate_drop(d, c);
}

/* A failed, an empty or a partial answer says nothing of what it lacks. */
void
tb_candidates_sift(struct tb_proc *self, struct tb_discovery *d)
{
    TB_LIST_EACH (c, &d->candidates, struct tb_candidate, link) {
        if (c->seen || c->node == d->o.attached) {
            c->gone = 0;
            continue;
        }
        if (!d->complete) {
            c->seen = true;
            continue;
        }
        c->gone++;
        if (d->o.gone_after && c->gone >= d->o.gone_after && c->connected)
            leave(self, d, c);
        else if (!c->connected && c->busy == 0)
            tb_candidate_drop(d, c);
    }
}

/* ---------------------------------------------------------- outcomes -- */

/* Those that cost the other side nothing and nobody a log line are tried in
 * every round: a node that is about to start is found when it has. */
static bool
costs_nothing(int status)
{
    switch (status) {
    case -TB_ENO_EPMD:
    case -TB_ENOT_IN_EPMD:
    case -TB_ENXDOMAIN:
    case -TB_ETIMEOUT:
    case -TB_ENOCONNECTION:
        return true;
    default: /* an errno: no way to that host */
        return status > -TB_E_FIRST;
    }
}

/* A node that refuses us logs an error each time: 1, 3, 7 ... 63 intervals. */
static void
back_off(struct tb_discovery *d, struct tb_candidate *c)
{
    int64_t interval = d->o.interval_ms > 0 ? d->o.interval_ms : 5000;
    unsigned n = c->failures < 6 ? c->failures : 6;

    c->not_before_ms =
        tb_discovery_now_ms() +
        tb_discovery_jitter(d, interval * (int64_t)((1u << n) - 1));
}

static const char *
other_kind(const char *seen)
{
    const char *at = strchr(seen, '@');

    return at && strchr(at, '.') ? "name" : "sname";
}

static bool
is_long(const char *node)
{
    const char *at = strchr(node, '@');

    return at && strpbrk(at, ".:");
}

/* A node that calls itself otherwise than it was found. */
static void
put_wrong_name(struct tb_proc *self, struct tb_term why, char *out, size_t max)
{
    const char *us = tb_atom_text(tb_node_name(tb_self_node(self))).p;
    struct tb_val v[TB_MAX_HOLES];
    char seen[256] = "?";

    if (tb_match("{wrong_name, Seen:bin}", why, v) == 1)
        snprintf(seen, sizeof(seen), "%.*s", (int)v[0].text.n, v[0].text.p);
    if (is_long(seen) == is_long(us))
        snprintf(out, max, "calls itself %s: look for it under that name",
                 seen);
    else
        snprintf(out, max, "calls itself %s: start with -%s tiebeam%s to join",
                 seen, other_kind(seen),
                 strchr(seen, '@') ? strchr(seen, '@') : "");
}

static void
tell_failure(struct tb_proc *self, struct tb_discovery *d,
             struct tb_candidate *c, int status, struct tb_term why)
{
    bool changed = status != c->last;
    char text[400];

    if (status == -TB_ENAME)
        put_wrong_name(self, why, text, sizeof(text));
    else if (status == -TB_ENOCONNECTION && d->o.mesh == TB_MESH_ATTACHED)
        snprintf(text, sizeof(text), "%s cannot connect to it, this node can",
                 tb_atom_text(d->o.attached).p);
    else /* a dial that is cut off has not come further than its handshake */
        snprintf(text, sizeof(text), "%s%s", tb_strerror(status),
                 status == -TB_ECLOSED ? "; does it speak TLS?"
                 : status == -TB_ETLS  ? "; does it speak TLS, too?"
                                       : "");
    tb_discovery_error(d,
                       status == -TB_ENAME ? "discovery.wrong_name"
                                           : "discovery.not_connected",
                       status, changed, "%s: %s", tb_candidate_name(c), text);
}

/* What epmd has instead, where the name that was built is not in it. */
static int
on_hint(struct tb_proc *self, void *state, void *ctx, int status,
        struct tb_term result)
{
    struct tb_discovery *d = state;
    struct tb_candidate *c = ctx;
    struct tb_val v[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term item;
    struct tb_wr w = { 0 };

    (void)self;
    c->busy--;
    if (status == -TB_ESTOPPED || c->last != -TB_ENOT_IN_EPMD)
        return TB_NOREPLY;
    if (status == 0 && tb_match("{ok, Names:list}", result, v) == 1)
        for (tb_elems_open(&e, v[0].term);
             w.len < 200 && tb_elems_next(&e, &item);)
            if (tb_match("{Name:bin, _}", item, v) == 1 &&
                !tb_is_sidecar(v[0].text))
                tb_wr_printf(&w, "%s%.*s", w.len ? ", " : "", (int)v[0].text.n,
                             v[0].text.p);
    tb_discovery_error(d, "discovery.not_connected", -TB_ENOT_IN_EPMD, true,
                       "%s: %s, only %.*s", tb_candidate_name(c),
                       tb_strerror(-TB_ENOT_IN_EPMD), w.len ? (int)w.len : 7,
                       w.len ? (const char *)w.buf : "nothing");
    tb_wr_free(&w);
    return TB_NOREPLY;
}

static void
failed(struct tb_proc *self, struct tb_discovery *d, struct tb_candidate *c,
       int status, struct tb_term why)
{
    c->failures++;
    if (!costs_nothing(status))
        back_off(d, c);
    if (status == -TB_ENOT_IN_EPMD && status != c->last) {
        c->busy++;
        tb_epmd_names(self, strchr(tb_candidate_name(c), '@') + 1, on_hint, c);
        return; /* counted and told by it */
    }
    tell_failure(self, d, c, status, why);
}

void
tb_candidate_outcome(struct tb_proc *self, struct tb_discovery *d,
                     struct tb_candidate *c, int status, struct tb_term why)
{
    if (status == 0) {
        if (c->last != 0 && c->node != d->o.attached) {
            tb_discovery_log(d, "discovery.connected", "[%s] %s",
                             d->config->name, tb_candidate_name(c));
            tb_candidate_tell(self, d, c, "connected", 0);
        }
        c->failures = 0;
        c->not_before_ms = 0;
        c->tried_srv = false;
    } else {
        failed(self, d, c, status, why);
        tb_candidate_tell(self, d, c, "not_connected", status);
    }
    c->last = status;
}
