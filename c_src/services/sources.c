/* sources.c - where a discovery looks: DNS, epmds, lists, a function; and what
 * the log is told of it.
 * In Erlang: libcluster's strategies DNSPoll, Epmd, LocalEpmd; dns_cluster;
 * net_adm:host_file/0. Owns: queries and the DNS client. Thread: loop. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "services/discovery.h"

/* ----------------------------------------------------------- queries -- */

static struct tb_query *
add_query(struct tb_discovery *d, const char *name, const char *basename)
{
    struct tb_query *q;

    if (d->n_queries >= TB_DISCOVERY_MAX_QUERIES)
        return NULL;
    q = &d->query[d->n_queries++];
    snprintf(q->name, sizeof(q->name), "%s", name);
    snprintf(q->basename, sizeof(q->basename), "%s", basename);
    return q;
}

static void
add_half(struct tb_query *q, const char *what, enum tb_dns_type type)
{
    q->half[q->n_halves++] = (struct tb_half){ .what = what, .type = type };
}

static void
chars_of(struct tb_term t, char out[TB_DISCOVERY_NAME])
{
    struct tb_wr w = { 0 };

    out[0] = '\0';
    if (tb_get_chars(t, &w) && w.buf)
        snprintf(out, TB_DISCOVERY_NAME, "%s", (const char *)w.buf);
    tb_wr_free(&w);
}

static void
add_dns(struct tb_discovery *d, struct tb_term t)
{
    char name[TB_DISCOVERY_NAME], basename[TB_DISCOVERY_NAME] = "";
    struct tb_val v[TB_MAX_HOLES];
    struct tb_query *q;

    if (tb_match("{Basename, Query}", t, v) == 1) {
        chars_of(v[0].term, basename);
        t = v[1].term;
    }
    chars_of(t, name);
    q = add_query(d, name, basename);
    if (q && d->o.source == TB_SOURCE_SRV)
        add_half(q, "SRV", TB_DNS_SRV);
    if (q && d->o.source == TB_SOURCE_DNS) {
        add_half(q, "A", TB_DNS_A);
        add_half(q, "AAAA", TB_DNS_AAAA);
        if (d->o.names)
            add_half(q, "PTR", TB_DNS_PTR);
    }
}

static void
add_host(struct tb_discovery *d, const char *host)
{
    struct tb_query *q = add_query(d, host, "");

    if (q)
        add_half(q, "epmd", 0);
}

static void
add_each(struct tb_discovery *d, struct tb_term list,
         void (*add)(struct tb_discovery *d, struct tb_term t))
{
    struct tb_elems e;
    struct tb_term t;

    for (tb_elems_open(&e, list); tb_elems_next(&e, &t);)
        add(d, t);
}

static void
add_host_term(struct tb_discovery *d, struct tb_term t)
{
    char host[TB_DISCOVERY_NAME];

    chars_of(t, host);
    add_host(d, host);
}

/* One query, or a list of them; "app" is one. */
static void
add_dns_queries(struct tb_discovery *d)
{
    struct tb_val v[TB_MAX_HOLES];

    if (tb_rule_chars(d->o.what) || tb_match("{_, _}", d->o.what, v) == 1)
        add_dns(d, d->o.what);
    else
        add_each(d, d->o.what, add_dns);
}

void
tb_sources_open_dns(struct tb_proc *self, struct tb_discovery *d)
{
    const char *servers = d->o.nameservers[0] ? d->o.nameservers : NULL;
    const char *search = d->o.search[0] ? d->o.search : NULL;
    int err;

    tb_dns_free(d->dns);
    d->dns = tb_dns_new(tb_self_node(self), servers, search, &err);
    if (!d->dns)
        tb_log(TB_ERROR, "discovery.no_dns", "[%s] %s", d->config->name,
               tb_strerror(err));
    d->dns_broken = false;
}

void
tb_sources_open(struct tb_proc *self, struct tb_discovery *d)
{
    struct tb_val v[TB_MAX_HOLES];
    char path[TB_DISCOVERY_NAME];

    tb_sources_close(d);
    d->query = tb_alloc(TB_DISCOVERY_MAX_QUERIES * sizeof(*d->query));
    switch (d->o.source) {
    case TB_SOURCE_DNS:
    case TB_SOURCE_SRV:
        add_dns_queries(d);
        tb_sources_open_dns(self, d);
        break;
    case TB_SOURCE_EPMD:
        if (d->o.what.n && tb_match("[]", d->o.what, v) != 1)
            add_each(d, d->o.what, add_host_term);
        else
            add_host(d, d->own_host);
        break;
    case TB_SOURCE_HOSTS_FILE:
        chars_of(d->o.what, path);
        add_half(add_query(d, path, ""), "file", 0);
        break;
    case TB_SOURCE_MFA:
        add_half(add_query(d, "mfa", ""), "mfa", 0);
        break;
    default:
        break;
    }
}

void
tb_sources_close(struct tb_discovery *d)
{
    tb_dns_free(d->dns);
    d->dns = NULL;
    tb_free(d->query);
    d->query = NULL;
    d->n_queries = 0;
}

/* The first query is the file, the others are its hosts, of which those that
 * were there before keep what the log was told. */
void
tb_sources_take_hosts(struct tb_discovery *d, struct tb_term hosts)
{
    unsigned old_n = d->n_queries;
    struct tb_query *old = d->query;

    d->query = tb_alloc(TB_DISCOVERY_MAX_QUERIES * sizeof(*d->query));
    d->query[0] = old[0];
    d->n_queries = 1;
    add_each(d, hosts, add_host_term);
    for (unsigned i = 1; i < d->n_queries; i++)
        for (unsigned k = 1; k < old_n; k++)
            if (strcmp(d->query[i].name, old[k].name) == 0)
                d->query[i] = old[k];
    tb_free(old);
}

/* --------------------------------------------------------------- round -- */

void
tb_sources_ask(struct tb_proc *self, struct tb_discovery *d)
{
    for (unsigned i = 0; i < d->n_queries; i++)
        for (unsigned k = 0; k < d->query[i].n_halves; k++)
            d->query[i].half[k].done = false;
    switch (d->o.source) {
    case TB_SOURCE_DNS:
    case TB_SOURCE_SRV:
        tb_ask_dns(self, d);
        break;
    case TB_SOURCE_EPMD:
        tb_ask_epmds(self, d, 0);
        break;
    case TB_SOURCE_HOSTS_FILE:
        tb_ask_hosts_file(self, d);
        break;
    case TB_SOURCE_MFA:
        tb_ask_mfa(self, d);
        break;
    case TB_SOURCE_NODES:
        tb_see_nodes(self, d, NULL, d->o.what);
        break;
    default:
        break;
    }
}

void
tb_sources_timed_out(struct tb_discovery *d)
{
    for (unsigned i = 0; i < d->n_queries; i++)
        for (unsigned k = 0; k < d->query[i].n_halves; k++)
            if (!d->query[i].half[k].done)
                tb_half_settle(&d->query[i].half[k], -TB_ETIMEOUT, 0, -1);
}

/* A name with addresses of one family is answered in full. */
static int
status_of(const struct tb_query *q)
{
    int worst = 0, nodata = 0, families = 0;

    for (unsigned k = 0; k < q->n_halves; k++) {
        bool family = q->half[k].type != TB_DNS_PTR;

        families += family;
        if (family && q->half[k].status == -TB_ENODATA)
            nodata++;
        else if (q->half[k].status < 0)
            worst = q->half[k].status;
    }
    if (worst == 0 && nodata > 0 && nodata == families)
        worst = -TB_ENODATA;
    return worst;
}

static bool
has_changed(struct tb_query *q)
{
    bool changed = !q->told;

    for (unsigned k = 0; k < q->n_halves; k++) {
        changed = changed || q->told_status[k] != q->half[k].status ||
                  q->told_count[k] != q->half[k].count;
        q->told_status[k] = q->half[k].status;
        q->told_count[k] = q->half[k].count;
    }
    q->told = true;
    return changed;
}

/* "A 3 (ttl 5), AAAA nodata" */
static void
put_halves(const struct tb_query *q, char *out, size_t max)
{
    size_t n = 0;

    out[0] = '\0';
    for (unsigned k = 0; k < q->n_halves && n < max; k++) {
        const struct tb_half *h = &q->half[k];

        n +=
            (size_t)snprintf(out + n, max - n, "%s%s ", k ? ", " : "", h->what);
        if (n < max && h->status < 0)
            n += (size_t)snprintf(out + n, max - n, "%s",
                                  tb_error_atom(h->status));
        if (n < max && h->status < 0 && h->type == TB_DNS_PTR)
            n += (size_t)snprintf(out + n, max - n, " of %s", q->nameless);
        if (n < max && h->status >= 0)
            n += (size_t)snprintf(out + n, max - n, "%u", h->count);
        if (n < max && h->status == 0 && h->ttl >= 0)
            n += (size_t)snprintf(out + n, max - n, " (ttl %lld)",
                                  (long long)h->ttl);
    }
}

static bool
is_dns(const struct tb_discovery *d)
{
    return d->o.source == TB_SOURCE_DNS || d->o.source == TB_SOURCE_SRV;
}

static void
tell(struct tb_discovery *d, struct tb_query *q, int status)
{
    bool was_bad = false, first = !q->told, changed;
    char text[200], asked[600] = "";

    for (unsigned k = 0; k < q->n_halves; k++)
        was_bad = was_bad || q->told_status[k] < 0;
    changed = has_changed(q);
    put_halves(q, text, sizeof(text));
    if (is_dns(d) && d->o.nameservers[0])
        snprintf(asked, sizeof(asked), ", asked %s", d->o.nameservers);
    if (status < 0)
        tb_discovery_error(d, "discovery.no_answer", status, changed,
                           "%s: %s: %s%s", q->name, text, tb_strerror(status),
                           asked);
    else if (changed && (is_dns(d) || (was_bad && !first)))
        tb_discovery_log(d, "discovery.answer", "[%s] %s: %s", d->config->name,
                         q->name, text);
}

bool
tb_sources_tell(struct tb_discovery *d)
{
    bool complete = d->o.source == TB_SOURCE_NODES || d->n_queries > 0;

    for (unsigned i = 0; i < d->n_queries; i++) {
        int status = status_of(&d->query[i]);

        tell(d, &d->query[i], status);
        complete = complete && status == 0;
        if (status == -TB_ETIMEOUT || status == -ECONNREFUSED)
            d->dns_broken = true;
    }
    return complete;
}

/* A list of {Name, [{What, Count | Error, Ttl}]}. */
void
tb_sources_put(struct tb_discovery *d, struct tb_wr *w)
{
    struct tb_wr queries = { 0 };

    for (unsigned i = 0; i < d->n_queries; i++) {
        const struct tb_query *q = &d->query[i];
        struct tb_wr halves = { 0 }, list = { 0 };

        for (unsigned k = 0; k < q->n_halves; k++) {
            const struct tb_half *h = &q->half[k];

            tb_build(&halves, "{What, Result, Ttl}",
                     TB_ARGS(tb_v_atom(h->what),
                             h->status < 0 ? tb_v_atom(tb_error_atom(h->status))
                                           : tb_v_int(h->count),
                             h->ttl < 0 ? tb_v_atom("undefined")
                                        : tb_v_int(h->ttl)));
        }
        tb_build_list(&list, q->n_halves, &halves);
        tb_build(&queries, "{Name, Halves}",
                 TB_ARGS(tb_v_str(q->name), tb_v_term(tb_wr_term(&list))));
        tb_wr_free(&halves);
        tb_wr_free(&list);
    }
    tb_build_list(w, d->n_queries, &queries);
    tb_wr_free(&queries);
}
