/* lives.c - what becomes of children that end, and of those whose host is
 * lost. In Erlang: supervisor:restart/2. Owns: nothing. Thread: loop. */
#include "services/supervisor.h"

/* ------------------------------------------------------------- restarts -- */

/* Too many restarts on that host: children go elsewhere, as long as there is
 * an elsewhere. */
static void
give_up_host(struct tb_proc *self, struct tb_supervisor *sup, struct tb_host *h)
{
    size_t others = 0;

    for (size_t i = 0; i < sup->n_places; i++)
        others += sup->places[i].node != h->node;
    tb_log(TB_ERROR, "supervisor.max_intensity",
           "name=%s node=%s hosts_left=%zu", sup->name, tb_atom_text(h->node).p,
           others);
    if (others) {
        tb_drain(sup, h, TB_DRAIN_CRASHES);
    } else {
        struct tb_wr why = { 0 };

        tb_build(&why, "shutdown", TB_NONE);
        tb_close(self, sup, tb_wr_term(&why));
        tb_wr_free(&why);
    }
}

static uint64_t
pause_of(struct tb_proc *self, struct tb_supervisor *sup, struct tb_child *c)
{
    int64_t now_s = (int64_t)(tb_now_ms(tb_self_node(self)) / 1000);
    int64_t ms = sup->o.backoff_min;

    if (now_s - c->started_s > 1 + sup->o.backoff_max / 1000)
        c->failures = 0; /* it had recovered */
    for (unsigned i = 0; i < c->failures && ms < sup->o.backoff_max; i++)
        ms *= 2;
    if (c->failures < 64)
        c->failures++;
    return (uint64_t)(ms < sup->o.backoff_max ? ms : sup->o.backoff_max);
}

void
tb_lives_restart(struct tb_proc *self, struct tb_supervisor *sup,
                 struct tb_work *w)
{
    struct tb_child *c = w->child;
    struct tb_host *h = c->home->host;
    int64_t now_s = (int64_t)(tb_now_ms(tb_self_node(self)) / 1000);

    if (!h || h->draining) {
        tb_work_end(self, sup, w); /* it will go elsewhere */
    } else if (sup->o.backoff_max) {
        tb_work_later(self, sup, w, pause_of(self, sup, c));
    } else if (sup->taking_over || /* when it ended nobody can tell */
               tb_intensity_add(&h->restarts, now_s, sup->o.max_restarts,
                                sup->o.max_seconds)) {
        tb_work_send(self, sup, w);
    } else {
        tb_work_end(self, sup, w);
        give_up_host(self, sup, h);
    }
}

/* It has done what it is for. */
static bool
is_over(const struct tb_child *c)
{
    return c->state == TB_CHILD_EXITED && c->restart == TB_TRANSIENT &&
           !c->abnormal;
}

void
tb_child_exited(struct tb_proc *self, struct tb_supervisor *sup,
                struct tb_child *c)
{
    struct tb_host *h = c->home->host;
    struct tb_work *w;
    bool over = c->restart == TB_TEMPORARY || is_over(c);

    if (c->work || !h || h->stopping || sup->closing || !tb_host_has_closed(h))
        return;
    if (!over) {
        if (h->draining) {
            h->leave = true;
            tb_sup_turn_ask(self, sup);
        } else {
            w = tb_work_new(c, TB_WORK_RESTART);
            w->paced = sup->taking_over;
            tb_lives_restart(self, sup, w);
        }
        return;
    }
    w = tb_work_new(c, c->named && c->restart != TB_TEMPORARY ? TB_WORK_KEEP
                                                              : TB_WORK_DELETE);
    w->stops = w->kind == TB_WORK_KEEP;
    tb_work_send(self, sup, w);
}

/* ------------------------------------------------------------- elsewhere -- */

static void
hand_over(struct tb_work *from, struct tb_work *to)
{
    TB_LIST_EACH (r, &from->asks, struct tb_request, link) {
        tb_list_del(&r->link);
        tb_list_add(&to->asks, &r->link);
        r->work = to;
    }
    TB_LIST_EACH (r, &from->later, struct tb_request, link) {
        tb_list_del(&r->link);
        tb_list_add(&to->later, &r->link);
    }
}

/* A host that has left the set is emptied when it comes back: nothing can stand
 * in for what is there. */
static bool
may_be_back(const void *ctx, tb_atom node)
{
    const struct tb_supervisor *sup = ctx;

    return tb_set_has(sup, node) || tb_home_of(sup, node);
}

/* The same child, on another host. */
static struct tb_work *
place(struct tb_proc *self, struct tb_supervisor *sup, struct tb_child *old,
      enum tb_work_kind kind, struct tb_host *to)
{
    struct tb_home *lost =
        old->home->lost && old->state != TB_CHILD_NEW ? old->home : NULL;
    bool stops = kind == TB_WORK_KEEP &&
                 (is_over(old) || (old->work && tb_work_stops(old->work)));
    struct tb_child *c;
    struct tb_work *w;

    c = tb_children_on(&sup->table, old->key, to->home); /* it left there */
    if (!c)
        c = tb_child_new(&sup->table, to->home, old->key, tb_child_spec(old),
                         TB_CHILD_NEW);
    tb_child_follow(
        c, old,
        tb_starts_more(stops ? tb_starts_stopped(old->starts) : old->starts),
        lost, may_be_back, sup);
    c->order = old->order;
    c->era = old->era;
    w = tb_work_new(c, kind);
    w->stops = stops;
    w->undefined = !stops && (old->state == TB_CHILD_UNDEFINED ||
                              (old->work && old->work->undefined));
    if (old->work) {
        w->fresh = kind == TB_WORK_START && old->work->fresh;
        sup->table.n_fresh += w->fresh;
        w->moves = old->work->moves;
        w->unwanted = old->work->unwanted;
        old->work->moves = false;
        hand_over(old->work, w);
    }
    tb_located_used(sup, old->key);
    w->paced = kind == TB_WORK_PLACE && !w->moves; /* one that moves has paid */
    tb_work_send(self, sup, w);
    return w;
}

/* One that does not run is there before it is gone here. */
struct tb_work *
tb_work_keep_at(struct tb_proc *self, struct tb_supervisor *sup,
                struct tb_child *c, struct tb_host *to)
{
    return place(self, sup, c, TB_WORK_KEEP, to);
}

/* It has left its old host. */
void
tb_lives_move_on(struct tb_proc *self, struct tb_supervisor *sup,
                 struct tb_child *c)
{
    struct tb_host *to = tb_places_of(self, sup, c);
    struct tb_child *there =
        to ? tb_children_on(&sup->table, c->key, to->home) : NULL;

    if (c->home->host && !tb_host_has_closed(c->home->host))
        return;
    if (there == c) { /* it may stay after all */
        if (!c->work)
            tb_work_new(c, TB_WORK_PLACE);
        c->work->kind = TB_WORK_PLACE;
        c->starts = tb_starts_more(c->starts);
        tb_work_send(self, sup, c->work);
        return;
    }
    if (to && !there)
        place(self, sup, c, TB_WORK_PLACE, to);
    if (c->work)
        tb_work_end(self, sup, c->work);
}

/* ------------------------------------------------------------ lost hosts -- */

bool
tb_stands_for_attached(struct tb_supervisor *sup, const struct tb_child *c)
{
    if (!c->stands_for)
        return false;
    TB_LIST_EACH (home, &sup->homes, struct tb_home, link)
        if (home != c->home && home->host && !home->empty &&
            tb_child_stands_for(c, home))
            return true;
    return false;
}

static void
forget(struct tb_proc *self, struct tb_supervisor *sup, struct tb_child *c)
{
    tb_work_deleted(self, sup, c, 0);
}

enum fate { FATE_GONE, FATE_KEPT, FATE_STARTED };

/* It takes the place, and has not been told to go for c's sake. */
static bool
is_instead(const struct tb_child *other, const struct tb_child *c)
{
    return other->starts >= c->starts && other->state != TB_CHILD_MOVING &&
           !(other->work && other->work->told);
}

static enum fate
fate_of(struct tb_proc *self, struct tb_supervisor *sup, struct tb_child *c)
{
    const struct tb_work *w = c->work;
    struct tb_child *other = tb_children_other(&sup->table, c);

    if (c->restart == TB_TEMPORARY && !(w && w->fresh))
        return FATE_GONE;
    if (tb_tombstone_is(sup, c->key) || tb_stands_for_attached(sup, c))
        return FATE_GONE;
    if (other && is_instead(other, c))
        return FATE_GONE;
    if (w && w->yields && tb_instance_stays(self, sup, c))
        w = NULL;
    if (w && tb_work_removes(w))
        return FATE_GONE;
    if (w && (w->kind == TB_WORK_STOP || w->kind == TB_WORK_KEEP))
        return FATE_KEPT;
    if (c->state == TB_CHILD_STOPPED || c->state == TB_CHILD_UNDEFINED)
        return w && w->kind == TB_WORK_START ? FATE_STARTED : FATE_KEPT;
    if (is_over(c))
        return c->named ? FATE_KEPT : FATE_GONE;
    return FATE_STARTED;
}

/* What a request had been about to remove is gone with its host; the copies
 * must not bring it back. */
static void
forget_lost(struct tb_proc *self, struct tb_supervisor *sup, struct tb_child *c)
{
    const struct tb_work *w = c->work;
    struct tb_wr key = { 0 };

    if (w && !w->moved && !w->yields && c->restart != TB_TEMPORARY &&
        tb_work_removes(w)) {
        tb_key_put(&key, c->key);
        tb_tombstone_add(sup, c->key);
        TB_LIST_EACH (h, &sup->hosts, struct tb_host, link)
            tb_command(self, h, "{tombstone, [Key]}",
                       TB_ARGS(tb_v_term(tb_wr_term(&key))));
        tb_wr_free(&key);
    }
    forget(self, sup, c);
}

static bool
recover_child(struct tb_proc *self, struct tb_supervisor *sup,
              struct tb_home *lost, struct tb_child *c)
{
    enum fate fate = fate_of(self, sup, c);
    struct tb_child *there;
    struct tb_host *to;
    struct tb_work *w;
    bool asked;

    if (fate == FATE_GONE) {
        forget_lost(self, sup, c);
        return true;
    }
    to = tb_places_of(self, sup, c);
    there = to ? tb_children_on(&sup->table, c->key, to->home) : NULL;
    if (!to || (there && there->work))
        return false;
    asked = c->work && c->work->kind == TB_WORK_START;
    w = place(self, sup, c,
              fate == FATE_KEPT ? TB_WORK_KEEP
              : asked           ? TB_WORK_START
                                : TB_WORK_PLACE,
              to);
    tb_child_show(&sup->table, w->child, c->shown || w->child->shown);
    w->from = lost;
    lost->pending++;
    forget(self, sup, c);
    return true;
}

static void
ask_copies(struct tb_proc *self, struct tb_host *h, const struct tb_home *home)
{
    tb_command(self, h, "{copies, Node}", TB_ARGS(tb_v_node(home->node)));
}

/* Copies are asked for where this node was not the one that knew it all. */
static bool
is_known(struct tb_proc *self, struct tb_supervisor *sup, struct tb_home *home)
{
    if (home->known || home->complete)
        return true;
    if (home->n_asked)
        return false;
    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link)
        if (h->phase == TB_HOST_ATTACHED && !h->forgotten) {
            tb_home_ask(home, h->node);
            ask_copies(self, h, home);
        }
    return false;
}

/* What that host refused has no key to be known by: it is asked once more; if
 * another node decides now, when this one does again. */
void
tb_lives_refused(struct tb_proc *self, struct tb_supervisor *sup,
                 struct tb_host *host)
{
    TB_LIST_EACH (home, &sup->homes, struct tb_home, link)
        if (home->lost && tb_home_asks(home, host->node)) {
            if (sup->owning)
                ask_copies(self, host, home);
            else
                home->n_asked = 0;
        }
}

void
tb_home_forget(struct tb_proc *self, struct tb_supervisor *sup,
               struct tb_home *home)
{
    while (!tb_list_empty(&home->children))
        forget(self, sup, TB_ENTRY(home->children.next, struct tb_child, link));
    if (!home->pending)
        tb_home_free(sup, home);
}

static void
drop(struct tb_proc *self, struct tb_supervisor *sup, struct tb_home *home)
{
    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link)
        tb_command(
            self, h, "{drop, Node, Inc}",
            TB_ARGS(tb_v_node(home->node), tb_v_term(tb_wr_term(&home->inc))));
    tb_home_forget(self, sup, home);
}

/* All that came from there runs elsewhere: where each host is by now. */
static void
set_barrier(struct tb_proc *self, struct tb_supervisor *sup,
            struct tb_home *home)
{
    home->drop_ms = tb_now_ms(tb_self_node(self));
    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link)
        if (h->phase == TB_HOST_ATTACHED)
            h->barrier = h->home->seq;
}

static bool
is_behind(const struct tb_supervisor *sup, const struct tb_host *h)
{
    return h->phase == TB_HOST_ATTACHED && h->member &&
           tb_has_second_place(sup, h) &&
           (!h->backup || h->copied < h->barrier);
}

/* And what runs elsewhere is backed up from there, be it that it came from
 * another host which is lost since. An acknowledgement that went astray is not
 * waited for for ever: the backup is sent all once more. */
static bool
is_in_two_places(struct tb_proc *self, struct tb_supervisor *sup,
                 struct tb_home *home)
{
    bool again =
        tb_now_ms(tb_self_node(self)) - home->drop_ms >= TB_SUP_COPY_MS;
    bool all = true;

    TB_LIST_EACH (other, &sup->homes, struct tb_home, link)
        if (other->lost && (other->n || other->pending))
            return false;
    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link) {
        if (!is_behind(sup, h))
            continue;
        all = false;
        if (!again || !h->backup || h->backup_asked)
            continue;
        tb_backup_again(self, h);
        home->drop_ms = tb_now_ms(tb_self_node(self));
    }
    return all;
}

/* What callers wait for is theirs. */
static void
forget_stale(struct tb_proc *self, struct tb_supervisor *sup,
             struct tb_home *home)
{
    home->stale = home->known = home->complete = home->copied = false;
    home->seq = home->drop_ms = 0;
    home->n_asked = 0;
    TB_LIST_EACH (c, &home->children, struct tb_child, link)
        if (!c->work || tb_list_empty(&c->work->asks))
            forget(self, sup, c);
}

static void
recover_home(struct tb_proc *self, struct tb_supervisor *sup,
             struct tb_home *home)
{
    struct tb_list left;

    if (home->empty) {
        drop(self, sup, home);
        return;
    }
    if (home->stale)
        forget_stale(self, sup, home);
    if (!is_known(self, sup, home))
        return;
    tb_list_init(&left);
    while (!tb_list_empty(&home->children)) {
        struct tb_child *c =
            TB_ENTRY(home->children.next, struct tb_child, link);

        if (recover_child(self, sup, home, c))
            continue;
        tb_list_del(&c->link); /* till there is a host for it */
        tb_list_add(&left, &c->link);
    }
    while (!tb_list_empty(&left)) {
        struct tb_list *l = left.next;

        tb_list_del(l);
        tb_list_add(&home->children, l);
    }
    if (home->n || home->pending) {
        home->drop_ms = 0;
        return;
    }
    if (!home->drop_ms)
        set_barrier(self, sup, home);
    if (is_in_two_places(self, sup, home))
        drop(self, sup, home);
}

void
tb_lives_recover(struct tb_proc *self, struct tb_supervisor *sup)
{
    struct tb_home *lost[64];
    size_t n = 0;

    TB_LIST_EACH (home, &sup->homes, struct tb_home, link)
        if (home->lost && n < 64)
            lost[n++] = home;
    sup->safe = n == 0;
    for (size_t i = 0; i < n; i++)
        recover_home(self, sup, lost[i]);
}

/* ----------------------------------------------------- what there is now -- */

/* A child of a table that was read, with nothing being done to it. */
static void
check_child(struct tb_proc *self, struct tb_supervisor *sup, struct tb_child *c)
{
    struct tb_child *other = tb_children_other(&sup->table, c);

    if (tb_instance_yield(self, sup, c))
        return;
    if (c->state == TB_CHILD_EXITED)
        tb_child_exited(self, sup, c);
    else if (c->state == TB_CHILD_MOVING &&
             (!other || (other->state != TB_CHILD_NEW && !other->work)))
        tb_lives_move_on(self, sup, c);
}

static void
check_home(struct tb_proc *self, struct tb_supervisor *sup,
           struct tb_home *home)
{
    sup->taking_over = true;
    TB_LIST_EACH (c, &home->children, struct tb_child, link)
        if (!c->work)
            check_child(self, sup, c);
    sup->taking_over = false;
}

/* After a host has attached, or this node has become the owner. */
void
tb_lives_check(struct tb_proc *self, struct tb_supervisor *sup)
{
    bool again = sup->look_again;

    if (!sup->owning || sup->closing)
        return;
    sup->look_again = false;
    tb_instances_turn(self, sup);
    TB_LIST_EACH (home, &sup->homes, struct tb_home, link) {
        struct tb_host *h = home->host;

        if (!h || h->phase != TB_HOST_ATTACHED || h->owner != sup->self_node ||
            !h->member || !tb_host_has_closed(h))
            continue;
        if (home->fresh || !sup->looked)
            tb_work_resume(self, sup, home);
        if (home->fresh || !sup->looked || again)
            check_home(self, sup, home);
        home->fresh = false;
    }
    sup->looked = true;
}
