/* questions.c - the questions of a discovery's sources, and what the answers
 * make of them: names of nodes.
 * In Erlang: inet_res:lookup/3, net_adm:names/1, net_adm:host_file/0, rpc.
 * Owns: questions under way. Thread: loop. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "services/discovery.h"

/* Whose answer comes. A later round makes it worthless. */
struct question {
    uint64_t round;
    unsigned query, half;
};

/* ----------------------------------------------------------- answers -- */

static struct question *
question_new(struct tb_discovery *d, unsigned query, unsigned half)
{
    struct question *a = tb_new(struct question);

    a->round = d->round;
    a->query = query;
    a->half = half;
    d->asked++;
    return a;
}

/* The half that an answer is for, or NULL where it comes too late. half_of()
 * frees its question. */
static struct tb_half *
half_at(struct tb_discovery *d, const struct question *at, int status,
        struct tb_query **q)
{
    if (status == -TB_ESTOPPED || at->round != d->round ||
        d->phase != TB_ROUND_ASK || at->query >= d->n_queries)
        return NULL;
    *q = &d->query[at->query];
    return &(*q)->half[at->half];
}

static struct tb_half *
half_of(struct tb_discovery *d, struct question *a, int status,
        struct tb_query **q)
{
    struct tb_half *h = half_at(d, a, status, q);

    tb_free(a);
    return h;
}

void
tb_half_settle(struct tb_half *h, int status, unsigned count, int64_t ttl)
{
    h->status = status;
    h->count = status == 0 ? count : 0;
    h->ttl = status == 0 ? ttl : -1;
    h->done = true;
}

/* ---------------------------------------------------------------- DNS -- */

static const char *
basename_of(const struct tb_discovery *d, const struct tb_query *q)
{
    return q->basename[0] ? q->basename : d->o.basename;
}

static bool
other_family(struct tb_proc *self, const struct tb_half *h)
{
    bool inet6 = tb_node_is_inet6(tb_self_node(self));

    return (h->type == TB_DNS_A && inet6) || (h->type == TB_DNS_AAAA && !inet6);
}

static void
see_host(struct tb_proc *self, struct tb_discovery *d, struct tb_query *q,
         struct tb_text host, int64_t port)
{
    struct tb_candidate *c;
    char node[600];
    int n = snprintf(node, sizeof(node), "%s@%.*s", basename_of(d, q),
                     (int)host.n, host.p);

    if (n >= (int)sizeof(node))
        return;
    c = tb_candidate_see(self, d, q, (struct tb_text){ node, (size_t)n });
    if (c && port > 0)
        c->srv_port = (uint16_t)port;
}

/* ---------------------------------------------------------------- PTR -- */

struct reverse {
    struct question at;
    char address[64];
};

/* Among short names a host is one without its domain. */
static struct tb_text
host_of(struct tb_proc *self, struct tb_text name)
{
    const char *us = tb_atom_text(tb_node_name(tb_self_node(self))).p;
    const char *dot = memchr(name.p, '.', name.n);

    if (dot && !strpbrk(strchr(us, '@'), ".:"))
        name.n = (size_t)(dot - name.p);
    return name;
}

/* Of several names of one address the first counts. */
static int
on_name(struct tb_proc *self, void *state, void *ctx, int status,
        struct tb_term result)
{
    struct tb_discovery *d = state;
    struct reverse *r = ctx;
    struct tb_val v[TB_MAX_HOLES];
    struct tb_query *q;
    struct tb_elems e;
    struct tb_term t;
    struct tb_half *h = half_at(d, &r->at, status, &q);

    if (h && status == 0 && tb_elems_open(&e, result) &&
        tb_elems_next(&e, &t) && tb_match("{Name:bin, _}", t, v) == 1) {
        see_host(self, d, q, host_of(self, v[0].text), 0);
        h->count++;
    } else if (h) {
        h->status = status < 0 ? status : -TB_ENODATA;
        snprintf(q->nameless, sizeof(q->nameless), "%s", r->address);
    }
    tb_free(r);
    if (!h)
        return TB_NOREPLY;
    h->done = --h->pending == 0;
    tb_round_answered(self, d);
    return TB_NOREPLY;
}

static void
ask_name(struct tb_proc *self, struct tb_discovery *d, unsigned query,
         struct tb_text address)
{
    struct reverse *r = tb_new(struct reverse);
    struct tb_half *h = &d->query[query].half[2];

    r->at = (struct question){ d->round, query, 2 };
    snprintf(r->address, sizeof(r->address), "%.*s", (int)address.n, address.p);
    h->pending++;
    h->done = false;
    d->asked++;
    d->ops.lookup(self, d->dns, TB_DNS_PTR, r->address,
                  d->o.connect_timeout_ms / 2, on_name, r);
}

/* An address of the other family is counted and not dialled. */
static void
see_record(struct tb_proc *self, struct tb_discovery *d, struct tb_query *q,
           const struct tb_half *h, struct tb_text host, int64_t port)
{
    if (other_family(self, h))
        return;
    if (d->o.names && h->type != TB_DNS_SRV)
        ask_name(self, d, (unsigned)(q - d->query), host);
    else
        see_host(self, d, q, host, port);
}

/* ------------------------------------------------------ A, AAAA, SRV -- */

static int
on_records(struct tb_proc *self, void *state, void *ctx, int status,
           struct tb_term result)
{
    struct tb_discovery *d = state;
    struct tb_val v[TB_MAX_HOLES];
    struct tb_query *q;
    struct tb_half *h = half_of(d, ctx, status, &q);
    struct tb_elems e;
    struct tb_term t;
    int64_t ttl = INT64_MAX;
    unsigned n = 0;

    if (!h)
        return TB_NOREPLY;
    if (status == 0 && tb_elems_open(&e, result))
        while (tb_elems_next(&e, &t)) {
            bool srv =
                tb_match("{Host:bin, Port:int, _, _, Ttl:int}", t, v) == 1;

            if (!srv && tb_match("{Host:bin, Ttl:int}", t, v) != 1)
                continue;
            see_record(self, d, q, h, v[0].text, srv ? v[1].i : 0);
            ttl = v[srv ? 2 : 1].i < ttl ? v[srv ? 2 : 1].i : ttl;
            n++;
        }
    tb_half_settle(h, status, n, ttl);
    tb_round_answered(self, d);
    return TB_NOREPLY;
}

/* Names are asked for once the addresses are there. */
static void
ask_query(struct tb_proc *self, struct tb_discovery *d, unsigned i)
{
    struct tb_query *q = &d->query[i];

    for (unsigned k = 0; k < q->n_halves; k++) {
        q->half[k].pending = 0;
        if (q->half[k].type == TB_DNS_PTR)
            tb_half_settle(&q->half[k], 0, 0, -1);
        else
            d->ops.lookup(self, d->dns, q->half[k].type, q->name,
                          d->o.connect_timeout_ms / 2, on_records,
                          question_new(d, i, k));
    }
}

void
tb_ask_dns(struct tb_proc *self, struct tb_discovery *d)
{
    if ((d->dns_broken && !d->o.nameservers[0]) || !d->dns)
        tb_sources_open_dns(self, d); /* resolv.conf may be another by now */
    for (unsigned i = 0; d->dns && i < d->n_queries; i++)
        ask_query(self, d, i);
}

/* --------------------------------------------------------------- epmd -- */

static unsigned
see_names(struct tb_proc *self, struct tb_discovery *d, struct tb_query *q,
          struct tb_term names)
{
    struct tb_val v[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term item;
    char node[600];
    unsigned count = 0;

    for (tb_elems_open(&e, names); tb_elems_next(&e, &item); count++) {
        int n;

        if (tb_match("{Name:bin, _}", item, v) != 1 ||
            (!basename_of(d, q)[0] && tb_is_sidecar(v[0].text)))
            continue;
        n = snprintf(node, sizeof(node), "%.*s@%s", (int)v[0].text.n,
                     v[0].text.p, q->name);
        if (n > 0 && (size_t)n < sizeof(node))
            tb_candidate_see(self, d, q, (struct tb_text){ node, (size_t)n });
    }
    return count;
}

static int
on_names(struct tb_proc *self, void *state, void *ctx, int status,
         struct tb_term result)
{
    struct tb_discovery *d = state;
    struct tb_val v[TB_MAX_HOLES];
    struct tb_query *q;
    struct tb_half *h = half_of(d, ctx, status, &q);
    unsigned n = 0;

    if (!h)
        return TB_NOREPLY;
    if (status == 0 && tb_match("{ok, Names:list}", result, v) == 1)
        n = see_names(self, d, q, v[0].term);
    tb_half_settle(h, status, n, -1);
    tb_round_answered(self, d);
    return TB_NOREPLY;
}

void
tb_ask_epmds(struct tb_proc *self, struct tb_discovery *d, unsigned from)
{
    for (unsigned i = from; i < d->n_queries; i++)
        tb_epmd_names(self, d->query[i].name, on_names, question_new(d, i, 0));
}

/* --------------------------------------------------------- hosts file -- */

static int
read_hosts(const char *path, struct tb_wr *hosts)
{
    struct tb_wr text = { .max = 1u << 20 };
    struct tb_text_error error;
    char chunk[4096];
    FILE *f = fopen(path, "re");
    size_t n;
    int rc;

    if (!f)
        return -errno;
    while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
        tb_wr_bytes(&text, chunk, n);
    fclose(f);
    rc = text.bad ? -TB_ELIMIT
                  : tb_consult(hosts, (const char *)text.buf, text.len, NULL,
                               &error);
    tb_wr_free(&text);
    return rc;
}

void
tb_ask_hosts_file(struct tb_proc *self, struct tb_discovery *d)
{
    struct tb_wr hosts = { 0 };
    int rc = read_hosts(d->query[0].name, &hosts);

    if (rc == 0)
        tb_sources_take_hosts(d, tb_wr_term(&hosts));
    for (unsigned i = 0; i < d->n_queries; i++)
        d->query[i].half[0].done = false;
    tb_half_settle(&d->query[0].half[0], rc, d->n_queries - 1, -1);
    tb_wr_free(&hosts);
    tb_ask_epmds(self, d, 1);
}

/* ---------------------------------------------------------------- mfa -- */

unsigned
tb_see_nodes(struct tb_proc *self, struct tb_discovery *d,
             const struct tb_query *q, struct tb_term nodes)
{
    struct tb_val v[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term item;
    unsigned n = 0;

    for (tb_elems_open(&e, nodes); tb_elems_next(&e, &item); n++)
        if (tb_match("Node:atom", item, v) == 1)
            tb_candidate_see(self, d, q, v[0].text);
    return n;
}

static int
on_mfa(struct tb_proc *self, void *state, void *ctx, int status,
       struct tb_term result)
{
    struct tb_discovery *d = state;
    struct tb_val v[TB_MAX_HOLES];
    struct tb_query *q;
    struct tb_half *h = half_of(d, ctx, status, &q);
    unsigned n = 0;

    if (!h)
        return TB_NOREPLY;
    if (status == 0 && tb_match("Nodes:list", result, v) == 1)
        n = tb_see_nodes(self, d, q, result);
    else if (status == 0)
        status = -TB_EBADTERM;
    tb_half_settle(h, status, n, -1);
    tb_round_answered(self, d);
    return TB_NOREPLY;
}

/* The attached node, else the first visible one by name. */
static tb_atom
node_to_ask(struct tb_proc *self, struct tb_discovery *d)
{
    struct tb_val v[TB_MAX_HOLES];
    struct tb_wr nodes = { 0 };
    struct tb_elems e;
    struct tb_term t;
    tb_atom first = d->o.attached;

    if (first)
        return first;
    tb_put_nodes(tb_self_node(self), "visible", &nodes);
    for (tb_elems_open(&e, tb_wr_term(&nodes)); tb_elems_next(&e, &t);)
        if (tb_match("Node:atom", t, v) == 1) {
            tb_atom node = tb_intern(v[0].text);

            if (!first ||
                strcmp(tb_atom_text(node).p, tb_atom_text(first).p) < 0)
                first = node;
        }
    tb_wr_free(&nodes);
    return first;
}

void
tb_ask_mfa(struct tb_proc *self, struct tb_discovery *d)
{
    tb_atom node = node_to_ask(self, d);
    struct tb_val v[TB_MAX_HOLES];
    struct tb_wr mfa = { 0 };

    if (!node) {
        tb_half_settle(&d->query[0].half[0], -TB_ENOCONNECTION, 0, -1);
        return;
    }
    if (tb_match("{mfa, M:atom, F:atom, A:list}", d->o.what, v) == 1)
        tb_build(&mfa, "{M, F, A}", TB_ARGS(v[0], v[1], tb_v_term(v[2].term)));
    else if (tb_match("{mfa, MFA}", d->o.what, v) == 1)
        tb_build(&mfa, "MFA", TB_ARGS(v[0]));
    snprintf(d->query[0].name, sizeof(d->query[0].name), "mfa on %s",
             tb_atom_text(node).p);
    tb_mesh_apply(self, node, tb_wr_term(&mfa), NULL, 0,
                  d->o.connect_timeout_ms, on_mfa, question_new(d, 0, 0));
    tb_wr_free(&mfa);
}
