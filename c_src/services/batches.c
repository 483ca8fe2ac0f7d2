/* batches.c - {start_children, [Spec]}: as that many requests, answered
 * together. They are read some at a time, so that the hosts have work, and
 * others their turn, while the rest is read.
 * Owns: batches. Thread: loop. */
#include "services/supervisor.h"

#define MAX_BATCH 1000000
#define SLICE     2000

static void
batch_free(struct tb_batch *b)
{
    for (size_t i = 0; i < b->n; i++)
        tb_wr_free(&b->results[i]);
    tb_free(b->results);
    tb_wr_free(&b->specs);
    tb_list_del(&b->link);
    tb_from_free(b->from);
    tb_free(b);
}

/* ------------------------------------------------------------- reading -- */

static void
read_next(struct tb_proc *self, struct tb_supervisor *sup, struct tb_batch *b,
          struct tb_term spec)
{
    struct tb_wr term = tb_scratch_take(sup);
    struct tb_request *r;

    tb_build(&term, "{start_child, Spec}", TB_ARGS(tb_v_term(spec)));
    r = tb_request_new(self, sup, NULL, tb_wr_term(&term));
    tb_scratch_give(sup, &term);
    r->batch = b;
    r->index = b->read++;
    if (b->read == b->n)
        tb_list_del(&b->link);
    tb_request_run(self, sup, r); /* may end the batch */
}

static void
read_slice(struct tb_proc *self, struct tb_supervisor *sup, struct tb_batch *b)
{
    struct tb_term spec;
    size_t n = b->n - b->read;

    if (n > SLICE)
        n = SLICE;
    while (n-- > 0 && tb_elems_next(&b->rest, &spec))
        read_next(self, sup, b, spec);
}

/* One slice of each, and what the rest needs: a look at the sockets first. */
int
tb_on_batches(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_supervisor *sup = state;

    (void)m;
    TB_LIST_EACH (b, &sup->batches, struct tb_batch, link)
        read_slice(self, sup, b);
    if (!tb_list_empty(&sup->batches))
        tb_send_after(self, 0, "batches", TB_NONE);
    return TB_NOREPLY;
}

int
tb_on_start_children(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_supervisor *sup = state;
    bool others = !tb_list_empty(&sup->batches);
    struct tb_elems e;
    struct tb_batch *b;

    if (!tb_elems_open(&e, m->arg[0].term) || e.left > MAX_BATCH)
        return tb_reply(self, m, "{error, badarg}", TB_NONE);
    if (e.left == 0)
        return tb_reply(self, m, "[]", TB_NONE);
    b = tb_new(struct tb_batch);
    b->from = tb_from_keep(m);
    b->n = b->left = e.left;
    b->results = tb_alloc(b->n * sizeof(*b->results));
    tb_wr_bytes(&b->specs, m->arg[0].term.p, m->arg[0].term.n);
    tb_elems_open(&b->rest, tb_wr_term(&b->specs));
    tb_list_add(&sup->batches, &b->link);
    return others ? TB_NOREPLY : tb_on_batches(self, sup, m);
}

/* ----------------------------------------------------------- answering -- */

static void
answer(struct tb_proc *self, struct tb_batch *b)
{
    struct tb_wr items = { 0 }, list = { 0 };

    for (size_t i = 0; i < b->n; i++) {
        tb_wr_bytes(&items, b->results[i].buf, b->results[i].len);
        tb_wr_free(&b->results[i]);
    }
    tb_build_list(&list, b->n, &items);
    tb_reply_to(self, b->from, "Results",
                TB_ARGS(tb_v_term(tb_wr_term(&list))));
    tb_wr_free(&items);
    tb_wr_free(&list);
}

void
tb_batch_take(struct tb_proc *self, struct tb_request *r)
{
    struct tb_batch *b = r->batch;

    b->results[r->index] = r->reply;
    r->reply = (struct tb_wr){ 0 };
    if (--b->left > 0)
        return;
    answer(self, b);
    batch_free(b);
}

/* ---------------------------------------------------------------- death -- */

void
tb_batch_leave(struct tb_request *r)
{
    if (r->batch && --r->batch->left == 0)
        batch_free(r->batch);
}

void
tb_batches_free(struct tb_supervisor *sup)
{
    TB_LIST_EACH (b, &sup->batches, struct tb_batch, link) {
        b->left -= b->n - b->read;
        tb_list_del(&b->link);
        if (b->left == 0)
            batch_free(b);
    }
}
