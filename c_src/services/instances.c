/* instances.c - of several entries of one child, which of them go: those that
 * stand in for a host that is back, those that lose against another one, what
 * is left of a move.
 *
 * None goes before one that stays is in two places: known to its host's backup
 * too. Till then its work waits, in tb_supervisor.yielding.
 * Owns: nothing. Thread: loop. */
#include "services/supervisor.h"

#define UNSEEN_MS 5000 /* till hosts that are parted may try to connect */

/* ------------------------------------------------------------ two places -- */

bool
tb_host_sees(const struct tb_host *h, tb_atom node)
{
    struct tb_elems e;
    struct tb_term item;

    if (!h->nodes.len || !tb_elems_open(&e, tb_wr_term(&h->nodes)))
        return false;
    while (tb_elems_next(&e, &item))
        if (tb_rule_node(item) == node)
            return true;
    return false;
}

/* While a host and its backup do not see each other, a tiebeam node on the
 * other side may have it drop what it holds: what was acknowledged before does
 * not count any more. When they do it is sent all again. */
void
tb_instances_parted(struct tb_host *h, uint64_t seq)
{
    if (h->backup && !tb_host_sees(h, h->backup))
        h->parted = seq + 1;
}

/* All that it had sent to its backup before it was attached was acknowledged to
 * others: it is asked for once more at once, else in a while. */
static void
owe(struct tb_proc *self, struct tb_host *h, uint64_t seq)
{
    bool untold = h->copied == 0 && h->backup && tb_host_sees(h, h->backup);

    if (!h->owed)
        h->owed_ms = untold ? 0 : tb_now_ms(tb_self_node(self));
    if (h->owed < seq)
        h->owed = seq;
    if (h->owed < h->parted)
        h->owed = h->parted;
}

/* No other host could have what is there, or it has it up to seq. */
static bool
has_given(const struct tb_supervisor *sup, const struct tb_host *h,
          uint64_t seq)
{
    if (!tb_has_second_place(sup, h))
        return h->member;
    return h->backup && h->copied && h->copied >= seq && h->copied >= h->parted;
}

static bool
is_twice(struct tb_proc *self, struct tb_supervisor *sup,
         const struct tb_child *c)
{
    struct tb_host *h = c->home->host;

    if (!h || h->phase != TB_HOST_ATTACHED)
        return false;
    if (c->restart == TB_TEMPORARY || has_given(sup, h, c->seq))
        return true;
    owe(self, h, c->seq);
    return false;
}

/* ------------------------------------------------------- which of them -- */

enum verdict { STAYS, WAITS, GOES };

static bool
is_there(const struct tb_child *c)
{
    return c->home->host && c->state != TB_CHILD_NEW;
}

static bool
goes_first(const struct tb_child *a, const struct tb_child *b)
{
    return a->starts != b->starts
               ? a->starts > b->starts
               : tb_place_in_order(a->home->node, b->home->node);
}

/* It is about to be deleted itself. */
static bool
is_going(const struct tb_child *c)
{
    return c->work && tb_work_removes(c->work);
}

static enum verdict
judge_by(struct tb_proc *self, struct tb_supervisor *sup,
         const struct tb_child *stays)
{
    return !is_going(stays) && is_twice(self, sup, stays) ? GOES : WAITS;
}

/* c was stopped by request, or is done: that goes for o too, unless more was
 * asked of that one since. The tiebeam nodes of before did not count that. */
static bool
has_to_stop(const struct tb_child *c, const struct tb_child *o)
{
    uint64_t asked = c->starts / TB_STARTS_ASKED;
    uint64_t of_o = o->starts / TB_STARTS_ASKED;

    return c->state == TB_CHILD_STOPPED && o->state != TB_CHILD_STOPPED &&
           o->state != TB_CHILD_UNDEFINED &&
           (of_o < asked ||
            (of_o == asked && !tb_starts_is_stopped(c->starts)));
}

static void
stop_too(struct tb_proc *self, struct tb_supervisor *sup, struct tb_child *o)
{
    if (sup->owning && !o->work && o->state != TB_CHILD_NEW)
        tb_work_send(self, sup, tb_work_new(o, TB_WORK_STOP));
}

/* One that its host does not have any more was removed there, or moved. */
static enum verdict
judge_stand_in(struct tb_proc *self, struct tb_supervisor *sup,
               const struct tb_child *c)
{
    enum verdict verdict = GOES;
    struct tb_child *o;
    size_t at = 0;

    while ((o = tb_children_each_key(&sup->table, c->key, &at))) {
        bool told = c->state == TB_CHILD_STOPPED &&
                    !tb_stands_for_attached(sup, o); /* what c was told */

        if (o->home == c->home || !o->home->host || o->home->empty)
            continue;
        if (told && has_to_stop(c, o)) {
            stop_too(self, sup, o);
            verdict = WAITS;
        } else if ((told || tb_child_stands_for(c, o->home)) &&
                   (o->state == TB_CHILD_NEW || !is_twice(self, sup, o))) {
            verdict = WAITS;
        }
    }
    return verdict;
}

/* It has arrived where it moved to: not by one that stands in for this host. */
static enum verdict
judge_moving(struct tb_proc *self, struct tb_supervisor *sup,
             const struct tb_child *c)
{
    struct tb_child *o;
    size_t at = 0;

    while ((o = tb_children_each_key(&sup->table, c->key, &at)))
        if (o->home != c->home && is_there(o) && o->starts > c->starts &&
            o->state != TB_CHILD_MOVING && !tb_child_stands_for(o, c->home))
            return judge_by(self, sup, o);
    return STAYS;
}

static enum verdict
judge_loser(struct tb_proc *self, struct tb_supervisor *sup,
            const struct tb_child *c)
{
    struct tb_child *o = tb_children_other(&sup->table, c);

    if (!o || !is_there(o) || o->state == TB_CHILD_MOVING ||
        !goes_first(o, c) || tb_stands_for_attached(sup, o))
        return STAYS;
    return judge_by(self, sup, o);
}

static bool
key_is_lower(struct tb_key a, struct tb_key b)
{
    if (a.node == b.node)
        return a.creation != b.creation ? a.creation < b.creation : a.n < b.n;
    return tb_place_in_order(a.node, b.node);
}

/* Both sides of a cut were asked for a child of that id: one of them stays. */
static struct tb_child *
rival_of(struct tb_supervisor *sup, const struct tb_child *c)
{
    struct tb_child *o;
    size_t at = 0;

    if (!c->named)
        return NULL;
    while ((o = tb_children_each_id(&sup->table, tb_child_id(c), &at)))
        if (key_is_lower(o->key, c->key) && is_there(o) && !is_going(o) &&
            !tb_tombstone_is(sup, o->key) && !tb_stands_for_attached(sup, o))
            return o;
    return NULL;
}

static enum verdict
judge(struct tb_proc *self, struct tb_supervisor *sup, const struct tb_child *c)
{
    struct tb_child *rival;

    if (tb_tombstone_is(sup, c->key))
        return GOES;
    if (tb_stands_for_attached(sup, c))
        return judge_stand_in(self, sup, c);
    rival = rival_of(sup, c);
    if (rival)
        return judge_by(self, sup, rival);
    if (c->state == TB_CHILD_MOVING)
        return judge_moving(self, sup, c);
    return judge_loser(self, sup, c);
}

bool
tb_instance_stays(struct tb_proc *self, struct tb_supervisor *sup,
                  const struct tb_child *c)
{
    return judge(self, sup, c) == STAYS;
}

/* ------------------------------------------------------- they go -- */

/* By a child of another key that has its id: it is removed for good. */
static bool
is_superseded(struct tb_supervisor *sup, const struct tb_child *c)
{
    return !tb_tombstone_is(sup, c->key) && !tb_stands_for_attached(sup, c) &&
           rival_of(sup, c);
}

bool
tb_instance_yield(struct tb_proc *self, struct tb_supervisor *sup,
                  struct tb_child *c)
{
    struct tb_work *w;

    if (tb_instance_stays(self, sup, c))
        return false;
    w = tb_work_new(c, TB_WORK_STOP);
    w->remove = w->yields = true;
    w->moved = !is_superseded(sup, c);
    tb_work_send(self, sup, w);
    return true;
}

/* There is one more entry of this child, or another one: the others may be
 * superfluous. */
void
tb_instance_settle(struct tb_proc *self, struct tb_supervisor *sup,
                   const struct tb_child *c)
{
    struct tb_child *o;
    size_t at = 0;

    while ((o = tb_children_each_key(&sup->table, c->key, &at)))
        if (o != c && !o->work && is_there(o))
            tb_instance_yield(self, sup, o);
}

/* Whether w may be sent. What has no reason any more is no work. */
bool
tb_instance_may_go(struct tb_proc *self, struct tb_supervisor *sup,
                   struct tb_work *w)
{
    struct tb_child *c = w->child;
    enum verdict verdict = judge(self, sup, c);

    w->told = verdict == GOES;
    w->moved = !is_superseded(sup, c);
    if (verdict == WAITS) {
        tb_list_del(&w->timed);
        w->due_ms = 0;
        tb_list_add(&sup->yielding, &w->timed);
    } else if (verdict == STAYS) {
        sup->look_again = true;
        tb_sup_turn_ask(self, sup);
        tb_work_end(self, sup, w);
    }
    return verdict == GOES;
}

/* Its child is removed: it goes, too, whoever would stay. */
void
tb_instance_remove(struct tb_proc *self, struct tb_supervisor *sup,
                   struct tb_child *c, bool running)
{
    if (c->state == TB_CHILD_NEW || (!running && c->pid.node) ||
        (c->work && (!c->work->yields || c->work->told)))
        return;
    if (!c->work)
        tb_work_new(c, TB_WORK_STOP)->remove = true;
    c->work->moved = true;
    c->work->yields = false;
    tb_work_send(self, sup, c->work);
}

/* ----------------------------------------------------------------- turns -- */

/* To name its backup anew connects it, too. */
static void
ask_again(struct tb_proc *self, struct tb_host *h)
{
    uint64_t now = tb_now_ms(tb_self_node(self));
    uint64_t ms = tb_host_sees(h, h->backup) ? TB_SUP_COPY_MS : UNSEEN_MS;

    if (h->backup && !h->backup_asked && now - h->owed_ms >= ms) {
        h->owed_ms = now;
        tb_backup_again(self, h);
    }
}

/* True: what was waited for has come. */
static bool
look_at_hosts(struct tb_proc *self, struct tb_supervisor *sup)
{
    bool news = false;

    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link) {
        if (!h->owed)
            continue;
        if (h->phase != TB_HOST_ATTACHED || has_given(sup, h, h->owed)) {
            h->owed = 0;
            news = true;
        } else {
            ask_again(self, h);
        }
    }
    return news;
}

/* Those that wait are looked at when a host has given what it owes, and from
 * time to time. */
void
tb_instances_turn(struct tb_proc *self, struct tb_supervisor *sup)
{
    uint64_t now = tb_now_ms(tb_self_node(self));
    bool news = look_at_hosts(self, sup);
    struct tb_list list;

    if (tb_list_empty(&sup->yielding) ||
        (!news && now - sup->yield_ms < TB_SUP_TICK_MS))
        return;
    sup->yield_ms = now;
    tb_list_init(&list);
    TB_LIST_EACH (w, &sup->yielding, struct tb_work, timed) {
        tb_list_del(&w->timed);
        tb_list_add(&list, &w->timed);
    }
    while (!tb_list_empty(&list)) {
        struct tb_work *w = TB_ENTRY(list.next, struct tb_work, timed);

        tb_list_del(&w->timed);
        tb_work_send(self, sup, w);
    }
}
