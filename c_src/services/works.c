/* works.c - what is being done to children, and how it ends.
 * Owns: works. Thread: loop. */
#include "services/supervisor.h"

#define PLACE_FIRST_MS 50
#define PLACE_MOST_MS  5000
#define REFUSED_MS     20
#define MAX_REFUSED    100

/* ------------------------------------------------------------ birth, end -- */

struct tb_work *
tb_work_new(struct tb_child *c, enum tb_work_kind kind)
{
    struct tb_work *w = tb_new(struct tb_work);

    w->kind = kind;
    w->child = c;
    w->asked = c->starts / TB_STARTS_ASKED;
    tb_list_init(&w->asks);
    tb_list_init(&w->later);
    c->work = w;
    return w;
}

bool
tb_work_removes(const struct tb_work *w)
{
    return w->kind == TB_WORK_DELETE || (w->kind == TB_WORK_STOP && w->remove);
}

bool
tb_work_stops(const struct tb_work *w)
{
    return (w->kind == TB_WORK_STOP && !w->remove) ||
           (w->kind == TB_WORK_KEEP && w->stops);
}

static void
stop_waiting(struct tb_proc *self, struct tb_work *w)
{
    tb_list_del(&w->timed);
    if (w->waits)
        tb_demonitor(self, w->ref);
    w->waits = false;
}

/* It was busy when the others on a host that is drained were told to go. */
static void
catch_up(struct tb_proc *self, struct tb_supervisor *sup,
         const struct tb_work *w)
{
    struct tb_host *h = w->child ? w->child->home->host : NULL;

    if (!h || !h->draining || w->kind == TB_WORK_LEAVE ||
        w->kind == TB_WORK_DELETE)
        return;
    h->leave = true;
    tb_sup_turn_ask(self, sup);
}

/* What came meanwhile is looked at again. */
void
tb_work_end(struct tb_proc *self, struct tb_supervisor *sup, struct tb_work *w)
{
    struct tb_list later;

    tb_list_init(&later);
    stop_waiting(self, w);
    catch_up(self, sup, w);
    if (w->child && w->child->work == w)
        w->child->work = NULL;
    sup->table.n_fresh -= w->fresh;
    sup->moving -= w->moves;
    if (w->from)
        w->from->pending--;
    while (!tb_list_empty(&w->asks))
        tb_answer(self, sup, TB_ENTRY(w->asks.next, struct tb_request, link),
                  "{error, shutdown}", TB_NONE);
    TB_LIST_EACH (r, &w->later, struct tb_request, link) {
        tb_list_del(&r->link);
        tb_list_add(&later, &r->link);
    }
    tb_free(w);
    while (!tb_list_empty(&later))
        tb_request_run(self, sup,
                       TB_ENTRY(later.next, struct tb_request, link));
}

/* The child is gone, and what was being done to it has ended. */
static void
end_with_child(struct tb_proc *self, struct tb_supervisor *sup,
               struct tb_child *c)
{
    struct tb_work *w = c->work;

    c->work = NULL;
    tb_child_free(&sup->table, c);
    if (w) {
        w->child = NULL;
        tb_work_end(self, sup, w);
    }
}

static void
answer_asks(struct tb_proc *self, struct tb_supervisor *sup, struct tb_work *w,
            uint64_t seq, const char *reply, struct tb_args args)
{
    struct tb_child *c = w->child;
    struct tb_host *h = c->restart == TB_TEMPORARY ? NULL : c->home->host;

    TB_LIST_EACH (r, &w->asks, struct tb_request, link)
        tb_answer_when(self, sup, r, h, seq, reply, args);
}

void
tb_work_later(struct tb_proc *self, struct tb_supervisor *sup,
              struct tb_work *w, uint64_t ms)
{
    struct tb_wr key;

    tb_list_del(&w->timed);
    w->due_ms = tb_now_ms(tb_self_node(self)) + ms;
    tb_list_add(&sup->timed, &w->timed);
    key = tb_scratch_take(sup);
    tb_key_put(&key, w->child->key);
    tb_send_after(self, ms, "{due, Key}", TB_ARGS(tb_v_term(tb_wr_term(&key))));
    tb_scratch_give(sup, &key);
}

/* ------------------------------------------------------------- failures -- */

/* Since OTP 26.1 supervisor tells of a name that is taken as of an id. */
static bool
tells_child(const struct tb_work *w, struct tb_term reason)
{
    const struct tb_host *h = w->child->home->host;
    struct tb_val v[TB_MAX_HOLES];

    return w->child->named && w->fresh &&
           (!h || h->otp < 26 ||
            tb_match("{already_started, _}", reason, v) != 1);
}

static void
tell_failure(struct tb_proc *self, struct tb_supervisor *sup, struct tb_work *w,
             struct tb_term outcome)
{
    struct tb_wr reason = { 0 }, record = { 0 };
    struct tb_spec s;

    tb_reason_put(&reason, w->child->named, outcome);
    if (tells_child(w, tb_wr_term(&reason)) &&
        tb_spec_read(&s, tb_child_spec(w->child))) {
        tb_spec_put_record(&record, &s);
        answer_asks(self, sup, w, 0, "{error, {Reason, Child}}",
                    TB_ARGS(tb_v_term(tb_wr_term(&reason)),
                            tb_v_term(tb_wr_term(&record))));
    } else {
        answer_asks(self, sup, w, 0, "{error, Reason}",
                    TB_ARGS(tb_v_term(tb_wr_term(&reason))));
    }
    tb_wr_free(&reason);
    tb_wr_free(&record);
}

/* A name that is still held elsewhere is free when its holder has ended. */
static bool
waits_for_holder(struct tb_proc *self, struct tb_supervisor *sup,
                 struct tb_work *w, struct tb_term outcome)
{
    struct tb_val v[TB_MAX_HOLES];

    if (tb_match("{error, {already_started, Pid:pid}}", outcome, v) != 1)
        return false;
    w->waits = true;
    tb_list_add(&sup->waiting, &w->timed);
    w->ref = tb_monitor(self, v[0].pid);
    return true;
}

bool
tb_work_down(struct tb_proc *self, struct tb_supervisor *sup, struct tb_ref ref)
{
    TB_LIST_EACH (w, &sup->waiting, struct tb_work, timed)
        if (tb_ref_eq(w->ref, ref)) {
            tb_list_del(&w->timed);
            w->waits = false;
            tb_work_send(self, sup, w);
            return true;
        }
    return false;
}

/* -------------------------------------------------------------- started -- */

static void
place_again_later(struct tb_proc *self, struct tb_supervisor *sup,
                  struct tb_work *w)
{
    uint64_t ms = PLACE_FIRST_MS;

    for (unsigned i = 0; i < w->attempts && ms < PLACE_MOST_MS; i++)
        ms *= 2;
    w->attempts++;
    tb_work_later(self, sup, w, ms);
}

static void
run_on(struct tb_proc *self, struct tb_supervisor *sup, struct tb_child *c,
       struct tb_work *w)
{
    tb_work_end(self, sup, w);
    if (c->state == TB_CHILD_EXITED && sup->owning)
        tb_child_exited(self, sup, c);
}

static void
began(struct tb_proc *self, struct tb_supervisor *sup, struct tb_child *c,
      const struct tb_val *info, uint64_t seq)
{
    struct tb_work *w = c->work;

    if (w->kind == TB_WORK_START && info)
        answer_asks(self, sup, w, seq, "{ok, Pid, Info}",
                    TB_ARGS(tb_v_pid(c->pid), *info));
    else
        answer_asks(self, sup, w, seq, "{ok, Pid}", TB_ARGS(tb_v_pid(c->pid)));
    sup->starts += w->kind == TB_WORK_START;
    sup->restarts += w->kind == TB_WORK_RESTART;
    sup->moves += w->moves;
    sup->failovers += w->kind == TB_WORK_PLACE && !w->moves;
    c->started_s = (uint32_t)(tb_now_ms(tb_self_node(self)) / 1000);
    if (w->kind == TB_WORK_PLACE)
        tb_instance_settle(self, sup, c);
    if (w->unwanted) {
        w->unwanted = false;
        w->kind = TB_WORK_STOP;
        w->remove = true;
        tb_work_send(self, sup, w);
        return;
    }
    run_on(self, sup, c, w);
}

/* The child is not wanted any more: a start that said ignore. */
static void
ignored(struct tb_proc *self, struct tb_supervisor *sup, struct tb_child *c,
        uint64_t seq)
{
    struct tb_work *w = c->work;

    if (w->kind == TB_WORK_START)
        answer_asks(self, sup, w, seq, c->named ? "{ok, undefined}" : "ignore",
                    TB_NONE);
    if (w->kind == TB_WORK_PLACE && c->state != TB_CHILD_UNDEFINED) {
        struct tb_child *old = tb_children_other(&sup->table, c);

        if (old && !old->work) { /* nobody misses it there either */
            tb_work_new(old, TB_WORK_DELETE);
            tb_work_send(self, sup, old->work);
        }
    }
    if (c->state == TB_CHILD_NEW) {
        end_with_child(self, sup, c);
    } else if (w->kind == TB_WORK_RESTART) {
        w->kind = c->named ? TB_WORK_KEEP : TB_WORK_DELETE;
        w->undefined = true;
        tb_work_send(self, sup, w);
    } else {
        tb_work_end(self, sup, w);
    }
}

static void
failed(struct tb_proc *self, struct tb_supervisor *sup, struct tb_child *c,
       struct tb_term outcome)
{
    struct tb_work *w = c->work;

    if (w->kind == TB_WORK_START) {
        tell_failure(self, sup, w, outcome);
        if (w->fresh)
            end_with_child(self, sup, c);
        else
            tb_work_end(self, sup, w);
        return;
    }
    if (waits_for_holder(self, sup, w, outcome))
        return;
    if (w->kind == TB_WORK_RESTART)
        tb_lives_restart(self, sup, w);
    else
        place_again_later(self, sup, w);
}

static bool
is_start(const struct tb_work *w)
{
    return w && w->kind <= TB_WORK_PLACE;
}

/* It was to be there as one that does not run; and it runs, or is about to end.
 */
static void
kept_running(struct tb_proc *self, struct tb_supervisor *sup, struct tb_work *w)
{
    bool more = w->child->starts / TB_STARTS_ASKED > w->asked;

    if (tb_list_empty(&w->asks) && (w->undefined || more)) {
        tb_instance_settle(self, sup, w->child); /* it is right as it is */
        tb_work_end(self, sup, w);
        return;
    }
    w->kind = TB_WORK_STOP; /* then it is kept */
    tb_work_send(self, sup, w);
}

void
tb_work_started(struct tb_proc *self, struct tb_supervisor *sup,
                struct tb_child *c, struct tb_term outcome, uint64_t seq)
{
    struct tb_val v[TB_MAX_HOLES];

    if (c->work && c->work->kind == TB_WORK_KEEP &&
        tb_match("{present, _}", outcome, v) == 1) {
        kept_running(self, sup, c->work);
        return;
    }
    if (!is_start(c->work)) {
        if (c->state == TB_CHILD_NEW && !c->work)
            tb_child_free(&sup->table, c);
        return;
    }
    if (tb_match("{ok, Pid:pid}", outcome, v) == 1) {
        began(self, sup, c, NULL, seq);
    } else if (tb_match("{present, _}", outcome, v) == 1) {
        if (c->state == TB_CHILD_RUNNING)
            began(self, sup, c, NULL, seq);
    } else if (tb_match("{ok, Pid:pid, Info}", outcome, v) == 1) {
        began(self, sup, c, &v[1], seq);
    } else if (tb_match("ignore", outcome, v) == 1) {
        ignored(self, sup, c, seq);
    } else {
        failed(self, sup, c, outcome);
    }
}

void
tb_work_kept(struct tb_proc *self, struct tb_supervisor *sup,
             struct tb_child *c, uint64_t seq)
{
    struct tb_work *w = c->work;

    if (!w || w->kind != TB_WORK_KEEP)
        return;
    answer_asks(self, sup, w, seq, "ok", TB_NONE);
    sup->moves += w->moves;
    tb_instance_settle(self, sup, c);
    tb_work_end(self, sup, w);
}

/* ------------------------------------------------------ stopped, deleted -- */

void
tb_work_stopped(struct tb_proc *self, struct tb_supervisor *sup,
                struct tb_child *c)
{
    struct tb_work *w = c->work;

    if (!w)
        return;
    if (w->kind == TB_WORK_LEAVE && c->state == TB_CHILD_MOVING)
        tb_lives_move_on(self, sup, c);
    else if (is_start(w) || (w->kind == TB_WORK_STOP && w->remove))
        /* another one had begun to stop it */
        tb_work_send(self, sup, w);
    else if (w->kind == TB_WORK_STOP) { /* it says so from now on */
        w->kind = TB_WORK_KEEP;
        w->stops = true;
        tb_work_send(self, sup, w);
    }
}

static void
hold_all(struct tb_proc *self, struct tb_supervisor *sup, struct tb_list *list)
{
    TB_LIST_EACH (r, list, struct tb_request, link) {
        r->work = NULL;
        r->again = true;
        tb_request_hold(self, sup, r);
    }
}

/* What it stood in the way of goes on: a move, or that of a whole host. */
static void
make_way(struct tb_proc *self, struct tb_supervisor *sup,
         struct tb_child *stays)
{
    if (stays->home->host && stays->home->host->draining)
        stays->home->host->leave = true;
    if (stays->state == TB_CHILD_MOVING)
        sup->look_again = true;
    tb_sup_turn_ask(self, sup);
}

void
tb_work_deleted(struct tb_proc *self, struct tb_supervisor *sup,
                struct tb_child *c, uint64_t seq)
{
    struct tb_work *w = c->work;
    bool by_us = w && (w->kind == TB_WORK_STOP || w->kind == TB_WORK_DELETE);
    bool asked = by_us && !tb_list_empty(&w->asks);
    struct tb_child *other =
        w && tb_work_removes(w) ? tb_children_other(&sup->table, c) : NULL;

    if (w && w->kind == TB_WORK_STOP && !w->remove &&
        tb_children_other(&sup->table, c))
        hold_all(self, sup, &w->asks); /* that one is meant, too */
    else if (by_us || (w && tb_work_stops(w)))
        answer_asks(self, sup, w, seq, "ok", TB_NONE);
    if (other && w->moved)
        make_way(self, sup, other);
    else if (other)
        tb_instance_remove(self, sup, other, asked);
    end_with_child(self, sup, c);
}

/* -------------------------------------------------------- refused, again -- */

/* Another node decides now, or nobody for a moment: callers ask again. What we
 * decided ourselves is sent again when we are the owner once more. */
static void
give_up(struct tb_proc *self, struct tb_supervisor *sup, struct tb_child *c)
{
    struct tb_work *w = c->work;

    w->expired = w->expired || !tb_list_empty(&w->asks);
    hold_all(self, sup, &w->asks);
    hold_all(self, sup, &w->later);
    if (w->kind == TB_WORK_START && c->state == TB_CHILD_NEW)
        end_with_child(self, sup, c);
    else if (w->kind == TB_WORK_START || w->kind == TB_WORK_LEAVE ||
             ((w->kind == TB_WORK_STOP || w->stops) &&
              c->state != TB_CHILD_EXITED))
        tb_work_end(self, sup, w);
}

static void
call_off(struct tb_proc *self, struct tb_supervisor *sup, struct tb_child *c)
{
    hold_all(self, sup, &c->work->asks);
    hold_all(self, sup, &c->work->later);
    if (c->state == TB_CHILD_NEW)
        end_with_child(self, sup, c);
    else
        tb_work_end(self, sup, c->work);
}

/* What was to start elsewhere lives on: its host is back. What is on its way
 * comes to its end first, where this node decides. True: some was called off.
 */
bool
tb_works_call_off(struct tb_proc *self, struct tb_supervisor *sup,
                  const struct tb_home *lost, const struct tb_home *there)
{
    bool any = false;

    TB_LIST_EACH (c, &there->children, struct tb_child, link) {
        if (!c->work || c->work->from != lost ||
            (sup->owning && !c->work->timed.next))
            continue;
        call_off(self, sup, c);
        any = true;
    }
    return any;
}

/* The table of its host does not name it: it was never there, or was removed
 * while we were away. What nobody waits for is not begun again. */
void
tb_work_unseen(struct tb_proc *self, struct tb_supervisor *sup,
               struct tb_child *c)
{
    struct tb_work *w = c->work;
    struct tb_child *other = w ? tb_children_other(&sup->table, c) : NULL;

    if (!w || tb_list_empty(&w->asks)) {
        tb_work_deleted(self, sup, c, 0);
        if (other) /* it may have been on its way from there */
            make_way(self, sup, other);
    } else if (w->kind <= TB_WORK_KEEP && c->state != TB_CHILD_NEW) {
        hold_all(self, sup, &w->asks);
        hold_all(self, sup, &w->later);
        end_with_child(self, sup, c);
    }
}

void
tb_work_refused(struct tb_proc *self, struct tb_supervisor *sup,
                struct tb_child *c)
{
    struct tb_work *w = c->work;

    if (sup->owning && w->attempts++ < MAX_REFUSED)
        tb_work_later(self, sup, w, REFUSED_MS);
    else
        give_up(self, sup, c);
}

/* Another owner has placed it meanwhile. */
static bool
is_stale(const struct tb_supervisor *sup, const struct tb_child *c)
{
    const struct tb_child *other = tb_children_other(&sup->table, c);

    return c->state == TB_CHILD_NEW && c->work->kind != TB_WORK_START &&
           other && other->state != TB_CHILD_MOVING &&
           other->starts >= c->starts;
}

/* Another owner has decided meanwhile, or whoever asked for it waits no more:
 * what there is to do is looked at anew. */
static bool
is_void(const struct tb_work *w)
{
    const struct tb_child *c = w->child;
    bool over = c->restart == TB_TRANSIENT && !c->abnormal;
    bool exited = c->state == TB_CHILD_EXITED;

    if (!tb_list_empty(&w->asks) || c->state == TB_CHILD_NEW || w->moved)
        return false;
    if (w->kind == TB_WORK_RESTART)
        return c->state != TB_CHILD_RUNNING && (!exited || over);
    if (w->kind == TB_WORK_KEEP)
        return w->stops && c->state != TB_CHILD_STOPPED && !(exited && over);
    if (w->kind == TB_WORK_STOP && !w->remove && !w->yields)
        return true;
    return w->expired && w->kind != TB_WORK_PLACE;
}

/* What is on its way to a host that is back, or that took commands of another
 * node till now. */
void
tb_work_resume(struct tb_proc *self, struct tb_supervisor *sup,
               struct tb_home *home)
{
    TB_LIST_EACH (c, &home->children, struct tb_child, link) {
        if (c->work && is_void(c->work))
            tb_work_end(self, sup, c->work);
        if (!c->work || c->work->waits || c->work->timed.next)
            continue;
        if (is_stale(sup, c))
            end_with_child(self, sup, c);
        else
            tb_work_send(self, sup, c->work);
    }
}

/* The work of an entry of that child whose time has come, or NULL. */
static struct tb_work *
due_of(struct tb_supervisor *sup, struct tb_key key, uint64_t now)
{
    struct tb_child *c;
    size_t at = 0;

    while ((c = tb_children_each_key(&sup->table, key, &at)))
        if (c->work && c->work->due_ms && c->work->due_ms <= now)
            return c->work;
    return NULL;
}

void
tb_works_due(struct tb_proc *self, struct tb_supervisor *sup, struct tb_key key)
{
    uint64_t now = tb_now_ms(tb_self_node(self));
    struct tb_work *w;

    while ((w = due_of(sup, key, now))) {
        tb_list_del(&w->timed);
        w->due_ms = 0;
        if (sup->owning || tb_list_empty(&w->asks)) {
            tb_work_send(self, sup, w);
        } else { /* another node decides now */
            give_up(self, sup, w->child);
            tb_sup_turn_ask(self, sup);
        }
    }
}
