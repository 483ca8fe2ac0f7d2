/* names.c - what an epmd lists. In Erlang: net_adm:names/1.
 * Owns: its questions. Thread: loop. Source: erl_dist_protocol, "EPMD
 * Protocol". */
#include <string.h>

#include "base/mem.h"
#include "net/resolve.h"
#include "node/call.h"
#include "node/node.h"
#include "term/put.h"

struct question {
    struct tb_list link; /* in node->questions */
    struct tb_node *node;
    struct tb_ref ref; /* of the call that waits */
    struct tb_lookup *lookup;
    struct tb_epmd_query *query;
};

static void
question_free(struct question *q)
{
    tb_lookup_cancel(q->lookup);
    tb_epmd_cancel(q->query);
    tb_list_del(&q->link);
    tb_free(q);
}

void
tb_names_end(struct tb_node *node)
{
    while (!tb_list_empty(&node->questions))
        question_free(TB_ENTRY(node->questions.next, struct question, link));
}

static void
fail(struct question *q, int why)
{
    tb_call_settle(q->node, q->ref, why, "{error, Why}",
                   TB_ARGS(tb_v_atom(tb_error_atom(why))));
    question_free(q);
}

static int
put_names(struct tb_wr *w, const uint8_t *reply, size_t n)
{
    struct tb_rd r = tb_rd_of(reply, n);
    struct tb_text name;
    uint16_t port;
    uint32_t count = 0;
    int rc;

    tb_rd_u32(&r); /* epmd's own port */
    tb_put_list(w, 0);
    while ((rc = tb_epmd_next_name(&r, &name, &port)) == 1) {
        tb_build(w, "{Name, Port}",
                 TB_ARGS(tb_v_bin(name.p, name.n), tb_v_int(port)));
        count++;
    }
    tb_wr_patch_u32(w, 1, count);
    tb_put_nil(w);
    return rc;
}

static void
on_names(void *ctx, int status, const uint8_t *reply, size_t n)
{
    struct question *q = ctx;
    struct tb_wr w = { 0 };

    q->query = NULL;
    if (status == 0)
        status = put_names(&w, reply, n);
    if (status < 0) {
        fail(q, status);
    } else {
        tb_call_settle(q->node, q->ref, 0, "{ok, Names}",
                       TB_ARGS(tb_v_term(tb_wr_term(&w))));
        question_free(q);
    }
    tb_wr_free(&w);
}

static void
on_host(void *ctx, int status, const struct tb_addresses *found)
{
    struct question *q = ctx;
    struct tb_wr request = { 0 };
    union tb_address to = found->at[0];

    q->lookup = NULL;
    if (status < 0) {
        fail(q, status);
        return;
    }
    tb_address_port(&to, q->node->net.epmd_port);
    tb_epmd_put_names(&request);
    q->query = tb_epmd_ask(q->node->net.loop, &to.any, &request, on_names, q);
    tb_wr_free(&request);
    if (!q->query)
        fail(q, -TB_ELIMIT);
}

void
tb_epmd_names(struct tb_proc *self, const char *host, tb_done done, void *ctx)
{
    struct question *q = tb_new(struct question);

    q->node = self->node;
    q->ref = tb_call_expect(self, TB_CALL_OWN, TB_INFINITY, done, ctx);
    tb_list_add(&self->node->questions, &q->link);
    if (self->node->net.resolver)
        q->lookup = tb_resolve(self->node->net.resolver, host, on_host, q);
    if (!q->lookup)
        fail(q, -TB_ELIMIT);
}
