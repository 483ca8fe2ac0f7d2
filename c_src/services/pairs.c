/* pairs.c - pairs of BEAM nodes that lack a connection: probed, then linked.
 *
 * Where links join the nodes to more than one group, two groups are linked when
 * all pairs between them can be: a part of them would make the nodes' global
 * disconnect the rest again, see prevent_overlapping_partitions in kernel(6).
 * In Erlang: net_kernel:connect_node/1. Owns: pairs. Thread: loop. */
#include <stdio.h>
#include <string.h>

#include "services/mesh.h"

#define PROBE_MS       700 /* ends before the next pass */
#define FRESH_MS       2000
#define MAX_PAIRS      20000
#define MAX_WORK       512
#define BLIND_FAILURES 8 /* as often a pair is linked without a probe */

/* --------------------------------------------------------------- pairs -- */

static struct tb_pair **
bucket_of(struct tb_mesh *m, tb_atom a, tb_atom b)
{
    return &m->bucket[(a * 31 + b) % TB_DISCOVERY_BUCKETS];
}

struct tb_pair *
tb_pair_find(struct tb_mesh *m, tb_atom x, tb_atom y)
{
    tb_atom a = x < y ? x : y, b = x < y ? y : x;
    struct tb_pair *p = *bucket_of(m, a, b);

    while (p && (p->a != a || p->b != b))
        p = p->next;
    return p;
}

struct tb_pair *
tb_pair_get(struct tb_mesh *m, tb_atom x, tb_atom y)
{
    struct tb_pair *p = tb_pair_find(m, x, y), **bucket;

    if (p || m->n_pairs >= MAX_PAIRS)
        return p;
    p = tb_new(struct tb_pair);
    p->a = x < y ? x : y;
    p->b = x < y ? y : x;
    bucket = bucket_of(m, p->a, p->b);
    p->next = *bucket;
    *bucket = p;
    tb_list_add(&m->pairs, &p->link);
    m->n_pairs++;
    return p;
}

void
tb_pair_drop(struct tb_mesh *m, struct tb_pair *p)
{
    struct tb_pair **at = bucket_of(m, p->a, p->b);

    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    tb_list_del(&p->link);
    m->n_pairs--;
    tb_free(p);
}

/* --------------------------------------------------------------- groups -- */

unsigned
tb_mesh_group(struct tb_mesh *m, unsigned i)
{
    while (m->group[i] != i) {
        m->group[i] = m->group[m->group[i]];
        i = m->group[i];
    }
    return i;
}

static bool
same_gap(struct tb_mesh *m, const struct tb_pair *p, const struct tb_pair *q)
{
    unsigned a = tb_mesh_group(m, p->i), b = tb_mesh_group(m, p->j);
    unsigned x = tb_mesh_group(m, q->i), y = tb_mesh_group(m, q->j);

    return q->pass == m->pass && ((a == x && b == y) || (a == y && b == x));
}

static bool
is_fresh(const struct tb_pair *p, int64_t now)
{
    return p->reachable_ms > 0 && now - p->reachable_ms < FRESH_MS;
}

/* Whether all pairs between the two groups of p can be linked now. After a
 * minute the others are not waited for: perhaps they never can. */
static bool
gap_can_close(struct tb_discovery *d, const struct tb_pair *p, int64_t now)
{
    struct tb_mesh *m = &d->mesh;

    if (tb_mesh_is_hub(d) || tb_mesh_group(m, p->i) == tb_mesh_group(m, p->j) ||
        now - p->missing_ms > TB_MESH_SETTLED_MS)
        return true;
    TB_LIST_EACH (q, &m->pairs, struct tb_pair, link)
        if (same_gap(m, p, q) && !is_fresh(q, now))
            return false;
    return true;
}

/* ----------------------------------------------------------------- work -- */

static const char *
text(tb_atom node)
{
    return tb_atom_text(node).p;
}

/* Either end may be the one that reaches the other. */
static tb_atom
dialler(const struct tb_discovery *d, const struct tb_pair *p)
{
    if (tb_mesh_is_hub(d))
        return d->o.attached;
    return p->failures & 1 ? p->b : p->a;
}

static tb_atom
other_end(const struct tb_discovery *d, const struct tb_pair *p)
{
    return dialler(d, p) == p->a ? p->b : p->a;
}

/* The attached node tries in each round, as long as that bothers nobody: the
 * candidate's own pause is for those that refuse. */
static int64_t
pause_of(struct tb_discovery *d, unsigned failures)
{
    int64_t ms = 1000 << (failures < 6 ? failures : 6);

    if (tb_mesh_is_hub(d) && d->o.interval_ms >= 0 && d->o.interval_ms < ms)
        return d->o.interval_ms / 2;
    return tb_discovery_jitter(d, ms);
}

static void
pair_failed(struct tb_discovery *d, struct tb_pair *p, const char *what,
            bool pause)
{
    p->failures++;
    if (pause)
        p->not_before_ms = tb_discovery_now_ms() + pause_of(d, p->failures);
    if (tb_mesh_is_hub(d) ||
        p->failures < 2) /* the round tells why, or it passes */
        return;
    tb_discovery_error(d, "discovery.not_linked", -TB_ENOCONNECTION, !p->told,
                       "%s and %s: %s", text(p->a), text(p->b), what);
    p->told = true;
}

static void
finish_work(struct tb_proc *self, struct tb_discovery *d, struct tb_pair *p)
{
    p->busy = false;
    d->mesh.work--;
    if (d->mesh.work == 0)
        tb_mesh_done(self, d);
}

void
tb_pair_linked(struct tb_discovery *d, struct tb_pair *p)
{
    p->linked_ms = tb_discovery_now_ms();
    p->missing_ms = 0;
    p->failures = 0;
    p->told = false;
    d->mesh.linked_some = true;
}

static int
on_linked(struct tb_proc *self, void *state, void *ctx, int status,
          struct tb_term result)
{
    struct tb_discovery *d = state;
    struct tb_pair *p = ctx;
    struct tb_val v[TB_MAX_HOLES];
    struct tb_candidate *c = tb_candidate_find(d, other_end(d, p));

    if (status == -TB_ESTOPPED)
        return TB_NOREPLY;
    if (status == 0 && tb_match("true", result, v) == 1) {
        tb_pair_linked(d, p);
        if (tb_mesh_is_hub(d) && c)
            c->connected = true;
    } else {
        p->reachable_ms = 0;
        pair_failed(d, p, "the connection was refused", true);
    }
    finish_work(self, d, p);
    return TB_NOREPLY;
}

static void
link_pair(struct tb_proc *self, struct tb_discovery *d, struct tb_pair *p)
{
    struct tb_candidate *c = tb_candidate_find(d, other_end(d, p));

    if (p->busy)
        return;
    p->busy = true;
    d->mesh.work++;
    if (tb_mesh_is_hub(d) && c)
        c->dialled_ms = tb_discovery_now_ms();
    tb_mesh_apply(self, dialler(d, p), d->o.connect, "net_kernel:connect_node",
                  other_end(d, p), d->o.connect_timeout_ms, on_linked, p);
}

/* p has been reached: it is linked, and all that waited for it. */
static void
try_link(struct tb_proc *self, struct tb_discovery *d, struct tb_pair *p)
{
    struct tb_mesh *m = &d->mesh;
    int64_t now = tb_discovery_now_ms();

    if (p->pass != m->pass || !gap_can_close(d, p, now))
        return;
    if (tb_mesh_is_hub(d) || tb_mesh_group(m, p->i) == tb_mesh_group(m, p->j)) {
        link_pair(self, d, p);
        return;
    }
    TB_LIST_EACH (q, &m->pairs, struct tb_pair, link)
        if (same_gap(m, p, q) && is_fresh(q, now))
            link_pair(self, d, q);
}

static int
on_probed(struct tb_proc *self, void *state, void *ctx, int status,
          struct tb_term result)
{
    struct tb_discovery *d = state;
    struct tb_pair *p = ctx;
    struct tb_val v[TB_MAX_HOLES];

    if (status == -TB_ESTOPPED)
        return TB_NOREPLY;
    p->busy = false;
    if (status == 0 && tb_match("{port, _, _}", result, v) == 1) {
        p->reachable_ms = tb_discovery_now_ms();
        try_link(self, d, p);
    } else {
        p->reachable_ms = 0;
        pair_failed(d, p, "neither reaches the other's epmd", false);
    }
    finish_work(self, d, p);
    return TB_NOREPLY;
}

/* A probe is short where connect_node is not: it asks the other end's epmd, as
 * connecting does first. */
static void
probe(struct tb_proc *self, struct tb_discovery *d, struct tb_pair *p)
{
    const char *to = text(other_end(d, p)), *at = strchr(to, '@');
    char name[256];

    snprintf(name, sizeof(name), "%.*s", (int)(at - to), to);
    p->busy = true;
    d->mesh.work++;
    tb_erpc(self, dialler(d, p), "erl_epmd", "port_please", "[Name, Host, Ms]",
            TB_ARGS(tb_v_str(name), tb_v_str(at + 1), tb_v_int(PROBE_MS)),
            PROBE_MS + 200, on_probed, p);
}

static bool
is_due(struct tb_discovery *d, const struct tb_pair *p, int64_t now)
{
    struct tb_candidate *c = tb_candidate_find(d, other_end(d, p));

    if (!tb_mesh_is_hub(d))
        return now >= p->not_before_ms;
    if (d->phase == TB_ROUND_LINK && d->by_hand)
        return true;
    return now >= p->not_before_ms && (!c || now >= c->not_before_ms);
}

void
tb_pair_begin(struct tb_proc *self, struct tb_discovery *d, struct tb_pair *p,
              int64_t now)
{
    if (p->busy || !is_due(d, p, now) || d->mesh.work >= MAX_WORK)
        return;
    if (tb_mesh_is_hub(d) ||
        p->failures % BLIND_FAILURES == BLIND_FAILURES - 1) {
        p->reachable_ms = now;
        try_link(self, d, p);
    } else {
        probe(self, d, p);
    }
}
