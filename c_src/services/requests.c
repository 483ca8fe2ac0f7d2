/* requests.c - what callers ask of the node that decides.
 * In Erlang: the handle_call/3 of supervisor and DynamicSupervisor.
 * Owns: nothing. Thread: loop. */
#include "services/supervisor.h"

/* --------------------------------------------------------------- helpers -- */

static void
ask(struct tb_work *w, struct tb_request *r)
{
    r->work = w;
    tb_list_add(&w->asks, &r->link);
}

static void
after(struct tb_proc *self, struct tb_supervisor *sup, struct tb_work *w,
      struct tb_request *r)
{
    tb_list_add(&w->later, &r->link);
    tb_pace_hurry(self, sup, w);
}

/* What is being done to a child, be it on another host than where it is shown:
 * it moves. */
static struct tb_work *
busy(struct tb_supervisor *sup, struct tb_child *c)
{
    struct tb_child *other = tb_children_other(&sup->table, c);

    return c->work ? c->work : other ? other->work : NULL;
}

static void
answer_pid(struct tb_proc *self, struct tb_supervisor *sup,
           struct tb_request *r, const char *reply, struct tb_pid pid)
{
    tb_answer(self, sup, r, reply, TB_ARGS(tb_v_pid(pid)));
}

/* A restart that waits for its time, or for a name to be free, waits no more.
 */
static void
cut_short(struct tb_proc *self, struct tb_supervisor *sup, struct tb_child *c)
{
    struct tb_work *w = c->work;

    if (w && tb_list_empty(&w->asks) && tb_list_empty(&w->later) &&
        (w->timed.next || w->waits) && c->state != TB_CHILD_NEW && !w->yields)
        tb_work_end(self, sup, w);
}

/* ----------------------------------------------------------------- start -- */

/* The request came before, and its answer was lost: true where that settles
 * it. */
static bool
was_here(struct tb_proc *self, struct tb_supervisor *sup, struct tb_request *r)
{
    struct tb_child *c = tb_children_best(&sup->table, r->key);

    if (!c || c->home->lost)
        return false;
    if (c->work && c->work->kind == TB_WORK_START)
        ask(c->work, r);
    else if (c->work)
        after(self, sup, c->work, r);
    else if (c->pid.node)
        answer_pid(self, sup, r, "{ok, Pid}", c->pid);
    else
        tb_answer(self, sup, r,
                  c->named ? "{ok, undefined}" : "{error, normal}", TB_NONE);
    return true;
}

/* Whether a child of that id stands in the way, and what that means. */
static bool
id_taken(struct tb_proc *self, struct tb_supervisor *sup, struct tb_request *r,
         struct tb_term id)
{
    struct tb_child *c = tb_children_id(&sup->table, id);

    if (!c)
        return false;
    if (c->work && (c->state == TB_CHILD_NEW || c->work->kind >= TB_WORK_KEEP))
        after(self, sup, c->work, r);
    else if (c->pid.node)
        answer_pid(self, sup, r, "{error, {already_started, Pid}}", c->pid);
    else
        tb_answer(self, sup, r, "{error, already_present}", TB_NONE);
    return true;
}

static bool
is_full(const struct tb_supervisor *sup)
{
    return sup->o.max_children >= 0 &&
           (int64_t)(sup->table.counts.specs + sup->table.n_fresh) >=
               sup->o.max_children;
}

static void
start_at(struct tb_proc *self, struct tb_supervisor *sup, struct tb_request *r,
         struct tb_host *h, struct tb_term spec)
{
    struct tb_child *c;
    struct tb_work *w;

    c = tb_child_new(&sup->table, h->home, r->key, spec, TB_CHILD_NEW);
    if (!c) {
        tb_answer(self, sup, r, "{error, system_limit}", TB_NONE);
        return;
    }
    c->starts = 1;
    c->era = (uint32_t)sup->era;
    w = tb_work_new(c, TB_WORK_START);
    w->fresh = true;
    sup->table.n_fresh++;
    ask(w, r);
    tb_work_send(self, sup, w);
}

static struct tb_host *
located(struct tb_supervisor *sup, tb_atom node)
{
    for (size_t i = 0; i < sup->n_places; i++)
        if (sup->places[i].node == node)
            return tb_host_find(sup, node);
    return NULL;
}

/* A host that was there when {M, F} was asked may have gone since. */
static bool
locate_again(struct tb_proc *self, struct tb_supervisor *sup,
             struct tb_request *r)
{
    if (r->relocated || !tb_host_find(sup, r->located))
        return false;
    r->relocated = true;
    r->located = 0;
    tb_places_ask(self, sup, r);
    return true;
}

static void
start_checked(struct tb_proc *self, struct tb_supervisor *sup,
              struct tb_request *r, struct tb_term spec)
{
    struct tb_spec s;
    struct tb_host *h;

    if (!tb_spec_read(&s, spec) || (s.named && id_taken(self, sup, r, s.id)))
        return;
    if (is_full(sup)) {
        tb_answer(self, sup, r, "{error, max_children}", TB_NONE);
    } else if (sup->n_places == 0 && tb_has_to_close(sup)) {
        tb_request_hold(self, sup, r);
    } else if (sup->n_places == 0) {
        tb_answer(self, sup, r, "{error, no_hosts}", TB_NONE);
    } else if (sup->o.locator == TB_LOCATE_FUN && !r->located) {
        tb_places_ask(self, sup, r);
    } else {
        h = r->located ? located(sup, r->located) : tb_places_find(sup, spec);
        if (h)
            start_at(self, sup, r, h, spec);
        else if (!locate_again(self, sup, r))
            tb_answer(self, sup, r, "{error, {bad_locator, Node}}",
                      TB_ARGS(tb_v_node(r->located)));
    }
}

static void
do_start(struct tb_proc *self, struct tb_supervisor *sup, struct tb_request *r,
         const struct tb_val *v)
{
    struct tb_wr spec, why = { 0 };

    if ((r->again || r->passed) && was_here(self, sup, r))
        return;
    spec = tb_scratch_take(sup);
    if (tb_spec_put(&spec, v[0].term, &why) < 0)
        tb_answer(self, sup, r, "{error, Why}",
                  TB_ARGS(tb_v_term(tb_wr_term(&why))));
    else
        start_checked(self, sup, r, tb_wr_term(&spec));
    tb_scratch_give(sup, &spec);
    tb_wr_free(&why);
}

/* ----------------------------------------------------- stop and the rest -- */

/* By pid, a dynamic one; by id, a named one. NULL: answered, or waiting. */
static struct tb_child *
find_target(struct tb_proc *self, struct tb_supervisor *sup,
            struct tb_request *r, const struct tb_val *what)
{
    struct tb_val p[TB_MAX_HOLES];
    struct tb_child *c = NULL;

    if (tb_match("Pid:pid", what->term, p) == 1)
        c = tb_children_pid(&sup->table, p[0].pid);
    if (c && c->named)
        c = NULL;
    if (!c)
        c = tb_children_id(&sup->table, what->term);
    if (!c) {
        tb_answer(self, sup, r, r->again ? "ok" : "{error, not_found}",
                  TB_NONE);
        return NULL;
    }
    cut_short(self, sup, c);
    if (busy(sup, c)) {
        after(self, sup, busy(sup, c), r);
        return NULL;
    }
    return c;
}

static void
do_terminate(struct tb_proc *self, struct tb_supervisor *sup,
             struct tb_request *r, const struct tb_val *v)
{
    struct tb_child *c = find_target(self, sup, r, &v[0]);
    struct tb_work *w;
    bool idle;

    if (!c)
        return;
    idle = c->state == TB_CHILD_STOPPED || c->state == TB_CHILD_UNDEFINED;
    if (c->named && idle && tb_starts_is_stopped(c->starts)) {
        tb_answer(self, sup, r, "ok", TB_NONE);
        return;
    }
    w = tb_work_new(c, c->named && idle ? TB_WORK_KEEP : TB_WORK_STOP);
    w->stops = c->named && idle;
    w->remove = !c->named || c->restart == TB_TEMPORARY;
    ask(w, r);
    tb_work_send(self, sup, w);
}

/* Only a named child that does not run; else the error that says so. */
static struct tb_child *
find_idle(struct tb_proc *self, struct tb_supervisor *sup, struct tb_request *r,
          const struct tb_val *id, bool removes)
{
    struct tb_child *c = tb_children_id(&sup->table, id->term);

    if (!c) {
        tb_answer(self, sup, r,
                  removes && r->again ? "ok" : "{error, not_found}",
                  TB_NONE); /* it may be gone by the same request */
    } else if (c->work &&
               (c->state == TB_CHILD_NEW || c->work->kind == TB_WORK_START ||
                c->work->kind >= TB_WORK_KEEP)) {
        after(self, sup, c->work, r);
    } else if (c->pid.node && r->again && !removes) {
        answer_pid(self, sup, r, "{ok, Pid}", c->pid); /* by this very one */
    } else if (c->pid.node) {
        tb_answer(self, sup, r, "{error, running}", TB_NONE);
    } else if (c->state == TB_CHILD_EXITED || c->state == TB_CHILD_MOVING ||
               c->work) {
        tb_answer(self, sup, r, "{error, restarting}", TB_NONE);
    } else if (busy(sup, c)) {
        after(self, sup, busy(sup, c), r);
    } else {
        return c;
    }
    return NULL;
}

static void
do_restart(struct tb_proc *self, struct tb_supervisor *sup,
           struct tb_request *r, const struct tb_val *v)
{
    struct tb_child *c = find_idle(self, sup, r, &v[0], false);
    struct tb_work *w;

    if (!c)
        return;
    w = tb_work_new(c, TB_WORK_START);
    ask(w, r);
    tb_work_send(self, sup, w);
}

static void
do_delete(struct tb_proc *self, struct tb_supervisor *sup, struct tb_request *r,
          const struct tb_val *v)
{
    struct tb_child *c = find_idle(self, sup, r, &v[0], true);
    struct tb_work *w;

    if (!c)
        return;
    w = tb_work_new(c, TB_WORK_DELETE);
    ask(w, r);
    tb_work_send(self, sup, w);
}

/* ----------------------------------------------------------------- hosts -- */

static void
do_rebalance(struct tb_proc *self, struct tb_supervisor *sup,
             struct tb_request *r, const struct tb_val *v)
{
    (void)v;
    sup->balance_ms = 1; /* in this turn */
    tb_sup_turn_ask(self, sup);
    tb_answer(self, sup, r, "ok", TB_NONE);
}

static void
drain(struct tb_proc *self, struct tb_supervisor *sup, struct tb_request *r,
      const struct tb_val *v, bool keep)
{
    struct tb_host *h = tb_host_find(sup, tb_intern(v[0].text));

    if (!h || (!h->home && !keep)) {
        tb_answer(self, sup, r, "{error, not_found}", TB_NONE);
        return;
    }
    tb_drain(sup, h, keep ? TB_DRAIN_KEEP : TB_DRAIN_ASKED);
    tb_log(TB_NOTICE, "host.draining", "node=%s name=%s",
           tb_atom_text(h->node).p, sup->name);
    tb_sup_turn_ask(self, sup);
    tb_answer(self, sup, r, "ok", TB_NONE);
}

static void
do_drain(struct tb_proc *self, struct tb_supervisor *sup, struct tb_request *r,
         const struct tb_val *v)
{
    drain(self, sup, r, v, false);
}

static void
do_drain_keep(struct tb_proc *self, struct tb_supervisor *sup,
              struct tb_request *r, const struct tb_val *v)
{
    drain(self, sup, r, v, true);
}

static void
do_undrain(struct tb_proc *self, struct tb_supervisor *sup,
           struct tb_request *r, const struct tb_val *v)
{
    bool known = tb_undrain(sup, tb_intern(v[0].text));

    tb_sup_turn_ask(self, sup);
    tb_answer(self, sup, r, known ? "ok" : "{error, not_found}", TB_NONE);
}

/* Answered when all hosts have recorded that it is no member any more. */
static void
do_forget(struct tb_proc *self, struct tb_supervisor *sup, struct tb_request *r,
          const struct tb_val *v)
{
    struct tb_host *h = tb_host_find(sup, tb_intern(v[0].text));

    if (h &&
        ((h->phase != TB_HOST_AWAY && !h->gone_ms) || tb_set_is_seen(sup, h))) {
        tb_answer(self, sup, r, "{error, {connected, Node}}",
                  TB_ARGS(tb_v_node(h->node)));
    } else if (!h || (!h->member && !r->again)) {
        tb_answer(self, sup, r, r->again ? "ok" : "{error, not_found}",
                  TB_NONE);
    } else if (tb_set_forget(self, sup, h)) {
        tb_answer(self, sup, r, "ok", TB_NONE);
    } else {
        r->again = true;
        tb_request_hold(self, sup, r);
    }
}

static void
do_stop(struct tb_proc *self, struct tb_supervisor *sup, struct tb_request *r,
        const struct tb_val *v)
{
    tb_close(self, sup, v[0].term);
    tb_answer(self, sup, r, "ok", TB_NONE);
}

/* clang-format off */
static const struct {
    const char *pattern;
    void (*fn)(struct tb_proc *self, struct tb_supervisor *sup,
               struct tb_request *r, const struct tb_val *v);
} requests[] = {
    { "{start_child, Spec}",        do_start      },
    { "{terminate_child, Which}",   do_terminate  },
    { "{restart_child, Id}",        do_restart    },
    { "{delete_child, Id}",         do_delete     },
    { "rebalance",                  do_rebalance  },
    { "{drain, Node:atom}",         do_drain      },
    { "{drain, Node:atom, keep}",   do_drain_keep },
    { "{undrain, Node:atom}",       do_undrain    },
    { "{forget, Node:atom}",        do_forget     },
    { "{'$tb_stop', Reason}",       do_stop       },
    { "{'$tb_options', Options}",   tb_options_do },
};
/* clang-format on */

void
tb_request_do(struct tb_proc *self, struct tb_supervisor *sup,
              struct tb_request *r)
{
    struct tb_val v[TB_MAX_HOLES];

    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
        if (tb_match(requests[i].pattern, r->term, v) == 1) {
            requests[i].fn(self, sup, r, v);
            return;
        }
    tb_answer(self, sup, r, "{error, unknown_call}", TB_NONE);
}
