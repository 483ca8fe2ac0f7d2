/* places.c - on which of the hosts a child starts.
 * Owns: the list of places. Thread: loop. */
#include <string.h>

#include "services/supervisor.h"

#define LOCATE_MS 5000

static bool
takes_children(const struct tb_host *h, tb_atom owner)
{
    return h->phase == TB_HOST_ATTACHED && h->member && !h->draining &&
           !h->excluded && owner && h->owner == owner && tb_host_has_closed(h);
}

void
tb_places_update(struct tb_supervisor *sup)
{
    tb_atom owner = tb_view_owner(sup);
    size_t n = 0;

    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link)
        n += takes_children(h, owner);
    if (n != sup->n_places) {
        tb_free(sup->places);
        sup->places = tb_alloc((n + 1) * sizeof(*sup->places));
        sup->n_places = n;
    }
    n = 0;
    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link)
        if (takes_children(h, owner))
            sup->places[n++].node = h->node;
    if (n)
        tb_place_sort(sup->places, n);
}

struct tb_host *
tb_places_find(struct tb_supervisor *sup, struct tb_term spec)
{
    struct tb_wr located;
    struct tb_spec s;
    size_t i;

    if (sup->n_places == 0 || !tb_spec_read(&s, spec))
        return NULL;
    if (sup->o.locator == TB_LOCATE_LEAST_LOADED)
        for (i = 0; i < sup->n_places; i++)
            sup->places[i].load =
                tb_host_find(sup, sup->places[i].node)->home->n;
    located = tb_scratch_take(sup);
    tb_spec_put_located(&located, &s);
    i = tb_place_find(sup->o.locator, tb_wr_term(&located), sup->places,
                      sup->n_places);
    tb_scratch_give(sup, &located);
    return tb_host_find(sup, sup->places[i].node);
}

/* ----------------------------------------------------------- {M, F} -- */

/* What was asked together is answered together, but for requests that have
 * ended by then. */
struct question {
    struct tb_list asks; /* struct tb_request */
};

static struct tb_request *
first_of(const struct question *q)
{
    return TB_ENTRY(q->asks.next, struct tb_request, link);
}

static void
take_place(struct tb_proc *self, struct tb_supervisor *sup,
           struct tb_request *r, struct tb_term node)
{
    r->located = tb_rule_node(node);
    tb_list_del(&r->link);
    if (r->located)
        tb_request_run(self, sup, r);
    else
        tb_answer(self, sup, r, "{error, {bad_locator, Answer}}",
                  TB_ARGS(tb_v_term(node)));
}

static int
on_located(struct tb_proc *self, void *state, void *ctx, int status,
           struct tb_term result)
{
    struct tb_supervisor *sup = state;
    struct question *q = ctx;
    struct tb_elems e;
    struct tb_term node;
    bool list = status == 0 && tb_elems_open(&e, result);

    /* those of a supervisor that ends are freed with it */
    for (size_t i = 0; list && tb_elems_next(&e, &node); i++)
        if (!tb_list_empty(&q->asks) && first_of(q)->asked_at == i)
            take_place(self, sup, first_of(q), node);
    while (status != -TB_ESTOPPED && !tb_list_empty(&q->asks)) {
        struct tb_request *r = first_of(q);

        tb_list_del(&r->link);
        tb_answer(self, sup, r, "{error, {bad_locator, Answer}}",
                  TB_ARGS(tb_v_term(result)));
    }
    tb_free(q);
    return TB_NOREPLY;
}

void
tb_places_ask(struct tb_proc *self, struct tb_supervisor *sup,
              struct tb_request *r)
{
    tb_list_add(&sup->to_locate, &r->link);
    tb_sup_turn_ask(self, sup);
}

void
tb_places_put(const struct tb_supervisor *sup, struct tb_wr *w)
{
    struct tb_wr names = { 0 };

    for (size_t i = 0; i < sup->n_places; i++)
        tb_build(&names, "Node", TB_ARGS(tb_v_node(sup->places[i].node)));
    tb_build_list(w, sup->n_places, &names);
    tb_wr_free(&names);
}

/* One call for all that came in this turn: M:F([Spec], [Node]) gives a node for
 * each. */
void
tb_places_send(struct tb_proc *self, struct tb_supervisor *sup)
{
    struct tb_wr specs = { 0 }, list = { 0 }, nodes = { 0 };
    struct tb_val v[TB_MAX_HOLES];
    struct question *q;
    size_t n = 0;

    if (tb_list_empty(&sup->to_locate) || sup->n_places == 0)
        return;
    q = tb_new(struct question);
    tb_list_init(&q->asks);
    TB_LIST_EACH (r, &sup->to_locate, struct tb_request, link) {
        tb_list_del(&r->link);
        tb_list_add(&q->asks, &r->link);
        r->asked_at = n;
        if (tb_match("{_, Spec}", r->term, v) == 1)
            tb_wr_bytes(&specs, v[0].term.p, v[0].term.n);
        n++;
    }
    tb_build_list(&list, n, &specs);
    tb_places_put(sup, &nodes);
    tb_erpc(
        self, sup->places[0].node, sup->o.module, sup->o.function,
        "[Specs, Nodes]",
        TB_ARGS(tb_v_term(tb_wr_term(&list)), tb_v_term(tb_wr_term(&nodes))),
        LOCATE_MS, on_located, q);
    tb_wr_free(&specs);
    tb_wr_free(&list);
    tb_wr_free(&nodes);
}
