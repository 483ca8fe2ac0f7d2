/* moves.c - children that belong on another host go there: after a host has
 * come, and away from one that is drained.
 * Owns: nothing. Thread: loop. */
#include <string.h>

#include "services/supervisor.h"

/* --------------------------------------------------------------- drained -- */

static bool
mark_is(const struct tb_host *h, struct tb_term mark)
{
    struct tb_val v[TB_MAX_HOLES];
    struct tb_wr inc = { 0 };
    bool same;

    if (tb_match("{Node:atom, keep}", mark, v) == 1)
        return tb_intern(v[0].text) == h->node;
    if (!h->home ||
        (tb_match("{Node:atom, {C:int, Id:bin}}", mark, v) != 1 &&
         tb_match("{Node:atom, {crashes, {C:int, Id:bin}}}", mark, v) != 1) ||
        tb_intern(v[0].text) != h->node)
        return false;
    tb_build(&inc, "{C, Id}", TB_ARGS(v[1], v[2]));
    same = inc.len == h->home->inc.len &&
           memcmp(inc.buf, h->home->inc.buf, inc.len) == 0;
    tb_wr_free(&inc);
    return same;
}

bool
tb_drain_has(const struct tb_host *h, struct tb_term marks)
{
    struct tb_elems e;
    struct tb_term mark;

    if (!tb_elems_open(&e, marks))
        return false;
    while (tb_elems_next(&e, &mark))
        if (mark_is(h, mark))
            return true;
    return false;
}

/* The marks without those of that node, or of crashes, and their number. */
static size_t
others(const struct tb_supervisor *sup, tb_atom node, bool crashes,
       struct tb_wr *w)
{
    const struct tb_wr *marks = &sup->record[TB_RECORD_DRAINED].value;
    struct tb_val v[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term mark;
    size_t n = 0;

    if (!marks->len || !tb_elems_open(&e, tb_wr_term(marks)))
        return 0;
    while (tb_elems_next(&e, &mark))
        if ((crashes || tb_match("{_, {crashes, _}}", mark, v) != 1) &&
            tb_match("{Node:atom, _}", mark, v) == 1 &&
            tb_intern(v[0].text) != node) {
            tb_wr_bytes(w, mark.p, mark.n);
            n++;
        }
    return n;
}

void
tb_drain(struct tb_supervisor *sup, struct tb_host *h, enum tb_drain_why why)
{
    struct tb_wr marks = { 0 }, list = { 0 };
    size_t n = others(sup, h->node, true, &marks);

    if (why == TB_DRAIN_KEEP)
        tb_build(&marks, "{Node, keep}", TB_ARGS(tb_v_node(h->node)));
    else
        tb_build(
            &marks,
            why == TB_DRAIN_CRASHES ? "{Node, {crashes, Inc}}" : "{Node, Inc}",
            TB_ARGS(tb_v_node(h->node), tb_v_term(tb_wr_term(&h->home->inc))));
    tb_build_list(&list, n + 1, &marks);
    tb_record_set(sup, TB_RECORD_DRAINED, tb_wr_term(&list));
    tb_wr_free(&marks);
    tb_wr_free(&list);
    h->draining = true;
    h->leave = true;
    tb_places_update(sup);
}

bool
tb_undrain(struct tb_supervisor *sup, tb_atom node)
{
    struct tb_wr marks = { 0 }, list = { 0 };
    struct tb_host *h = tb_host_find(sup, node);
    bool known = h || tb_drain_is(sup, node);
    size_t n = others(sup, node, true, &marks);

    tb_build_list(&list, n, &marks);
    tb_record_set(sup, TB_RECORD_DRAINED, tb_wr_term(&list));
    tb_wr_free(&marks);
    tb_wr_free(&list);
    if (h) {
        h->draining = h->stopping;
        tb_intensity_clear(&h->restarts);
    }
    tb_places_update(sup);
    return known;
}

/* By people, whichever incarnation they meant. */
bool
tb_drain_is(const struct tb_supervisor *sup, tb_atom node)
{
    const struct tb_wr *marks = &sup->record[TB_RECORD_DRAINED].value;
    struct tb_val v[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term mark;

    if (!marks->len || !tb_elems_open(&e, tb_wr_term(marks)))
        return false;
    while (tb_elems_next(&e, &mark))
        if (tb_match("{_, {crashes, _}}", mark, v) != 1 &&
            tb_match("{Node:atom, _}", mark, v) == 1 &&
            tb_intern(v[0].text) == node)
            return true;
    return false;
}

/* It has left the set: its marks go, but for one that is to outlast that. */
void
tb_drain_forget(struct tb_supervisor *sup, tb_atom node)
{
    const struct tb_wr *old = &sup->record[TB_RECORD_DRAINED].value;
    struct tb_wr marks = { 0 }, list = { 0 };
    size_t n = others(sup, node, true, &marks), before;
    struct tb_val v[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term mark;

    if (!old->len || !tb_elems_open(&e, tb_wr_term(old)))
        return;
    for (before = 0; tb_elems_next(&e, &mark); before++)
        if (tb_match("{Node:atom, keep}", mark, v) == 1 &&
            tb_intern(v[0].text) == node) {
            tb_wr_bytes(&marks, mark.p, mark.n);
            n++;
        }
    tb_build_list(&list, n, &marks);
    if (n < before)
        tb_record_set(sup, TB_RECORD_DRAINED, tb_wr_term(&list));
    tb_wr_free(&marks);
    tb_wr_free(&list);
}

/* A new generation begins with a clean sheet, but for what people drained. */
void
tb_drain_forget_crashes(struct tb_supervisor *sup)
{
    struct tb_wr marks = { 0 }, list = { 0 };
    size_t n = others(sup, 0, false, &marks);

    tb_build_list(&list, n, &marks);
    if (sup->record[TB_RECORD_DRAINED].value.len)
        tb_record_set(sup, TB_RECORD_DRAINED, tb_wr_term(&list));
    tb_wr_free(&marks);
    tb_wr_free(&list);
}

/* ----------------------------------------------------------------- plans -- */

static bool
belongs_elsewhere(struct tb_proc *self, struct tb_supervisor *sup,
                  struct tb_child *c)
{
    struct tb_host *to;

    if (c->restart == TB_TEMPORARY || c->work || c->state == TB_CHILD_NEW ||
        c->state == TB_CHILD_STOPPING || c->state == TB_CHILD_MOVING ||
        tb_children_other(&sup->table, c))
        return false;
    if (!c->home->host->draining && !c->home->host->excluded &&
        sup->o.locator != TB_LOCATE_PHASH2 &&
        sup->o.locator != TB_LOCATE_RENDEZVOUS)
        return false; /* where it is, it may stay */
    to = tb_places_of(self, sup, c);
    return to && to->home != c->home;
}

/* On its way here, or not yet gone from where it was, or about to start. */
static bool
is_arriving(const struct tb_supervisor *sup, const struct tb_child *c)
{
    if (!c->work)
        return tb_children_other(&sup->table, c) != NULL;
    return c->work->kind != TB_WORK_LEAVE && c->work->kind != TB_WORK_DELETE &&
           c->work->kind != TB_WORK_STOP;
}

/* Those that shall go come to the head of the list. True: some are arriving,
 * and have to be asked for later. */
static bool
plan(struct tb_proc *self, struct tb_supervisor *sup, struct tb_host *h)
{
    struct tb_list chosen;
    bool arriving = false;

    tb_list_init(&chosen);
    TB_LIST_EACH (c, &h->home->children, struct tb_child, link) {
        arriving = arriving || is_arriving(sup, c);
        c->wanted = belongs_elsewhere(self, sup, c);
        if (!c->wanted)
            continue;
        tb_list_del(&c->link);
        tb_list_add(&chosen, &c->link);
    }
    while (!tb_list_empty(&chosen)) {
        struct tb_list *l = chosen.prev;

        tb_list_del(l);
        tb_list_add(h->home->children.next, l);
    }
    return arriving;
}

static bool
is_free(const struct tb_child *c)
{
    return !c->work && c->state != TB_CHILD_MOVING &&
           c->state != TB_CHILD_STOPPING;
}

static bool
is_idle(const struct tb_child *c)
{
    return c->state == TB_CHILD_STOPPED || c->state == TB_CHILD_UNDEFINED;
}

static void
set_off(struct tb_proc *self, struct tb_supervisor *sup, struct tb_child *c)
{
    struct tb_host *to = tb_places_of(self, sup, c);
    struct tb_work *w;

    /* an original that is back meanwhile stays where it is */
    if (!to || to->home == c->home || tb_children_other(&sup->table, c))
        return;
    if (is_idle(c)) {
        w = tb_work_keep_at(self, sup, c, to);
    } else {
        w = tb_work_new(c, TB_WORK_LEAVE);
        w->to = to->node;
        tb_work_send(self, sup, w);
    }
    w->moves = true;
    sup->moving++;
}

static void
pump(struct tb_proc *self, struct tb_supervisor *sup, struct tb_host *h)
{
    while (sup->moving < (size_t)sup->o.move_concurrency &&
           !tb_list_empty(&h->home->children)) {
        struct tb_child *c =
            TB_ENTRY(h->home->children.next, struct tb_child, link);

        if (!c->wanted)
            return;
        if (is_free(c) && !is_idle(c) && !tb_pace_move(self, sup))
            return;
        c->wanted = false;
        tb_list_del(&c->link);
        tb_list_add(&h->home->children, &c->link);
        if (is_free(c))
            set_off(self, sup, c);
    }
}

void
tb_balance_later(struct tb_proc *self, struct tb_supervisor *sup)
{
    sup->balance_ms =
        tb_now_ms(tb_self_node(self)) + (uint64_t)sup->o.settle_ms + 1;
}

void
tb_moves_turn(struct tb_proc *self, struct tb_supervisor *sup)
{
    bool all =
        sup->balance_ms && sup->balance_ms <= tb_now_ms(tb_self_node(self));

    if (!sup->owning || sup->closing)
        return;
    if (all)
        sup->balance_ms = 0;
    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link) {
        if (h->phase != TB_HOST_ATTACHED || !h->home || !h->member ||
            !tb_host_has_closed(h))
            continue;
        if (h->leave || all)
            h->leave = plan(self, sup, h) && (h->draining || h->excluded);
        pump(self, sup, h);
    }
}
