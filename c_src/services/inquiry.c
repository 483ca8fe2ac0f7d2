/* inquiry.c - what other nodes know of a node that we do not hear.
 *
 * A visible node that is connected to it is let call its net_kernel, as
 * net_adm:ping/1 does. Who is not connected to it is not asked further: a
 * question must not make connections.
 * Owns: inquiries, while they run. Thread: loop. */
#include "services/monitor.h"

struct inquiry {
    tb_atom node;
    unsigned asked, pending, seen;
    tb_inquiry_end end;
};

struct question {
    struct inquiry *inquiry;
    tb_atom other;
};

static void
finish_one(struct tb_proc *self, struct tb_monitor *mon, struct inquiry *q,
           int status)
{
    if (--q->pending > 0)
        return;
    if (status != -TB_ESTOPPED)
        q->end(self, mon, q->node, q->asked, q->seen);
    tb_free(q);
}

static int
on_ping(struct tb_proc *self, void *state, void *ctx, int status,
        struct tb_term result)
{
    struct question *question = ctx;
    struct tb_val v[TB_MAX_HOLES];

    if (status == 0 && tb_match("yes", result, v) == 1)
        question->inquiry->seen++;
    finish_one(self, state, question->inquiry, status);
    tb_free(question);
    return TB_NOREPLY;
}

static bool
is_member(struct tb_term list, tb_atom node)
{
    struct tb_elems e;
    struct tb_term item;

    for (tb_elems_open(&e, list); tb_elems_next(&e, &item);)
        if (tb_rule_node(item) == node)
            return true;
    return false;
}

/* nodes(connected) of the other one */
static int
on_neighbours(struct tb_proc *self, void *state, void *ctx, int status,
              struct tb_term result)
{
    struct tb_monitor *mon = state;
    struct question *question = ctx;
    int64_t ms = mon->options.detector.limits.suspect_ms;

    if (status == 0 && is_member(result, question->inquiry->node)) {
        tb_erpc(self, question->other, "gen_server", "call",
                "[{net_kernel, Node}, {is_auth, Other}, Ms]",
                TB_ARGS(tb_v_node(question->inquiry->node),
                        tb_v_node(question->other), tb_v_int(ms)),
                (uint64_t)ms * 2, on_ping, question);
        return TB_NOREPLY;
    }
    finish_one(self, mon, question->inquiry, status);
    tb_free(question);
    return TB_NOREPLY;
}

static void
put_question(struct tb_proc *self, struct tb_monitor *mon, struct inquiry *q,
             tb_atom other)
{
    struct question *question = tb_new(struct question);

    *question = (struct question){ q, other };
    q->asked++;
    q->pending++;
    tb_erpc(self, other, "erlang", "nodes", "[connected]", TB_NONE,
            mon->options.detector.limits.suspect_ms, on_neighbours, question);
}

void
tb_inquire(struct tb_proc *self, struct tb_monitor *mon, tb_atom node,
           unsigned n, tb_inquiry_end end)
{
    struct inquiry *q = tb_new(struct inquiry);

    *q = (struct inquiry){ .node = node, .pending = 1, .end = end };
    TB_LIST_EACH (w, &mon->nodes, struct tb_watched, link)
        if (q->asked < n && w->node != node && w->visible &&
            w->state >= TB_NODE_IS_DEGRADED)
            put_question(self, mon, q, w->node);
    finish_one(self, mon, q, 0);
}
