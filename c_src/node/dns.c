/* dns.c - records of DNS, for processes. In Erlang: inet_res:lookup/5.
 * Owns: its questions. Thread: loop. */
#include "dist/dns.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "net/resolve.h"
#include "node/call.h"
#include "node/node.h"

struct tb_dns {
    struct tb_node *node;
    struct tb_resolver *resolver; /* owned */
};

struct question {
    struct tb_list link; /* in node->dns_questions */
    struct tb_node *node;
    struct tb_ref ref; /* of the call that waits */
    enum tb_dns_type type;
    struct tb_records *records;
};

struct tb_dns *
tb_dns_new(struct tb_node *node, const char *nameservers, const char *search,
           int *error)
{
    struct tb_dns *dns = tb_new(struct tb_dns);

    dns->node = node;
    *error = tb_resolver_for_dns(node->net.loop, nameservers, search,
                                 &dns->resolver);
    if (*error == 0)
        return dns;
    tb_free(dns);
    return NULL;
}

void
tb_dns_free(struct tb_dns *dns)
{
    if (!dns)
        return;
    tb_resolver_free(dns->resolver); /* its questions end with TB_ESTOPPED */
    tb_free(dns);
}

static void
question_free(struct question *q)
{
    tb_records_cancel(q->records);
    tb_list_del(&q->link);
    tb_free(q);
}

void
tb_dns_end(struct tb_node *node)
{
    while (!tb_list_empty(&node->dns_questions))
        question_free(
            TB_ENTRY(node->dns_questions.next, struct question, link));
}

static void
put_record(struct tb_wr *w, enum tb_dns_type type,
           const struct tb_dns_record *r)
{
    char text[INET6_ADDRSTRLEN];
    int family = type == TB_DNS_AAAA ? AF_INET6 : AF_INET;
    const char *name = type == TB_DNS_A || type == TB_DNS_AAAA
                           ? inet_ntop(family, r->address, text, sizeof(text))
                           : r->name;
    struct tb_val v = tb_v_bin(name, strlen(name));

    if (type == TB_DNS_SRV)
        tb_build(w, "{Target, Port, Priority, Weight, Ttl}",
                 TB_ARGS(v, tb_v_int(r->srv.port), tb_v_int(r->srv.priority),
                         tb_v_int(r->srv.weight), tb_v_int(r->ttl)));
    else
        tb_build(w, "{Name, Ttl}", TB_ARGS(v, tb_v_int(r->ttl)));
}

/* A name that has only an alias for another type has no such record. */
static int
put_records(struct tb_wr *list, enum tb_dns_type type, const uint8_t *p,
            size_t n)
{
    struct tb_dns_reader d;
    struct tb_dns_record r;
    struct tb_wr records = { 0 };
    size_t count = 0;
    int rc = tb_dns_open(&d, type, p, n);

    while (rc == 0 && (rc = tb_dns_next(&d, &r)) == 1) {
        put_record(&records, type, &r);
        rc = ++count > TB_MAX_DNS_RECORDS ? -TB_ELIMIT : 0;
    }
    if (rc == 0 && count == 0)
        rc = -TB_ENODATA;
    if (rc == 0)
        rc = tb_build_list(list, count, &records);
    tb_wr_free(&records);
    return rc;
}

static void
on_records(void *ctx, int status, const uint8_t *answer, size_t n)
{
    struct question *q = ctx;
    struct tb_wr list = { 0 };

    q->records = NULL;
    if (status == 0)
        status = put_records(&list, q->type, answer, n);
    tb_call_settle(q->node, q->ref, status, "Result",
                   TB_ARGS(status == 0 ? tb_v_term(tb_wr_term(&list))
                                       : tb_v_atom(tb_error_atom(status))));
    tb_wr_free(&list);
    question_free(q);
}

void
tb_dns_lookup(struct tb_proc *self, struct tb_dns *dns, enum tb_dns_type type,
              const char *name, uint64_t timeout_ms, tb_done done, void *ctx)
{
    struct question *q = tb_new(struct question);
    char reverse[TB_DNS_NAME_MAX];

    q->node = self->node;
    q->type = type;
    q->ref = tb_call_expect(self, TB_CALL_OWN, TB_INFINITY, done, ctx);
    tb_list_add(&self->node->dns_questions, &q->link);
    if (type == TB_DNS_PTR && tb_dns_reverse(name, reverse))
        name = reverse;
    q->records = tb_resolve_records(dns->resolver, name, (int)type, timeout_ms,
                                    on_records, q);
    if (!q->records)
        on_records(q, -TB_ELIMIT, NULL, 0);
}
