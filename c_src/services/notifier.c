/* notifier.c - tells the managed nodes to servers and modules on BEAM nodes.
 *
 *   {cast, {Name, Node}}  gen_server:cast, {node_up, N} and {node_down, N}
 *   {send, {Name, Node}}  the same as plain messages
 *   {call, Module}        Module:node_up(N), Module:node_down(N) on each
 *                         managed node that is visible, one call at a time
 *
 * Whoever could not be told, since its node was not connected, is told of all
 * managed nodes when that is, and so is a new target: node_up may come twice,
 * and must not matter.
 * Owns: targets, and what waits for them. Thread: loop. */
#include <string.h>

#include "services/monitor.h"

#define CALL_TIMEOUT_MS 5000
#define PENDING_OF_NODE 2 /* down and up: what came between is no news */

enum kind { CAST, SEND, CALL };

struct tb_target {
    struct tb_list link;
    uint64_t id; /* never another one's */
    bool fresh;  /* it has not been told of those who are there */
    bool stays;  /* while the options are read anew */
    enum kind kind;
    tb_atom node;                 /* CAST, SEND */
    char name[TB_MON_ATOM_BYTES]; /* the server's, or the module's */
};

struct item {
    struct tb_list link;
    tb_atom node;
    bool up;
};

/* What one module on one node has still to hear. */
struct tb_outbox {
    struct tb_list link; /* in watched->outboxes */
    struct tb_target *target;
    struct tb_list items; /* owned struct item */
    uint64_t connection_id;
    bool busy; /* the call for the first of them runs */
};

/* ------------------------------------------------------------ targets -- */

static void
outbox_free(struct tb_outbox *box)
{
    TB_LIST_EACH (item, &box->items, struct item, link)
        tb_free(item);
    tb_list_del(&box->link);
    tb_free(box);
}

static struct tb_outbox *
outbox_of(struct tb_watched *w, uint64_t target)
{
    TB_LIST_EACH (box, &w->outboxes, struct tb_outbox, link)
        if (box->target->id == target)
            return box;
    return NULL;
}

void
tb_notifier_node_down(struct tb_watched *w)
{
    TB_LIST_EACH (box, &w->outboxes, struct tb_outbox, link)
        outbox_free(box);
}

void
tb_notifier_free(struct tb_monitor *mon)
{
    TB_LIST_EACH (w, &mon->nodes, struct tb_watched, link)
        tb_notifier_node_down(w);
    TB_LIST_EACH (t, &mon->targets, struct tb_target, link)
        tb_free(t);
    tb_list_init(&mon->targets);
}

/* False: it is none. */
static bool
read_target(struct tb_term term, struct tb_target *t)
{
    struct tb_val v[TB_MAX_HOLES];

    *t = (struct tb_target){ .kind = CALL };
    if (tb_match("{call, Module:atom}", term, v) != 1) {
        t->kind = CAST;
        if (tb_match("{cast, {Name:atom, Node:atom}}", term, v) != 1) {
            t->kind = SEND;
            if (tb_match("{send, {Name:atom, Node:atom}}", term, v) != 1)
                return false;
        }
        t->node = tb_intern(v[1].text);
    }
    return tb_mon_copy(t->name, v[0].text);
}

static struct tb_target *
target_find(struct tb_monitor *mon, const struct tb_target *like)
{
    TB_LIST_EACH (t, &mon->targets, struct tb_target, link)
        if (t->kind == like->kind && t->node == like->node &&
            strcmp(t->name, like->name) == 0)
            return t;
    return NULL;
}

/* One that was there before has still to hear what waits for it. */
static void
put_target(struct tb_monitor *mon, struct tb_term term)
{
    struct tb_target read, *t;

    if (!read_target(term, &read))
        return;
    t = target_find(mon, &read);
    if (!t) {
        t = tb_new(struct tb_target);
        *t = read;
        t->id = ++mon->target_ids;
        t->fresh = true;
        tb_list_add(&mon->targets, &t->link);
    }
    t->stays = true;
    if (t->kind != CALL)
        tb_watched_get(mon, t->node)->dial.wanted = true;
}

static void
drop_target(struct tb_monitor *mon, struct tb_target *t)
{
    TB_LIST_EACH (w, &mon->nodes, struct tb_watched, link) {
        struct tb_outbox *box = outbox_of(w, t->id);

        if (box)
            outbox_free(box);
    }
    tb_list_del(&t->link);
    tb_free(t);
}

/* Nobody has to connect to itself. */
static void
look_at_nodes(struct tb_proc *self, struct tb_monitor *mon)
{
    tb_atom us = tb_node_name(tb_self_node(self));

    TB_LIST_EACH (w, &mon->nodes, struct tb_watched, link) {
        if (w->node == us)
            w->dial.wanted = false;
        tb_dialler_look(self, mon, w);
    }
}

void
tb_notifier_configure(struct tb_proc *self, struct tb_monitor *mon)
{
    struct tb_elems e;
    struct tb_term term;

    TB_LIST_EACH (w, &mon->nodes, struct tb_watched, link)
        w->dial.wanted = false;
    TB_LIST_EACH (t, &mon->targets, struct tb_target, link)
        t->stays = false;
    tb_elems_open(&e, tb_wr_term(&mon->options.notify));
    while (tb_elems_next(&e, &term))
        put_target(mon, term);
    TB_LIST_EACH (t, &mon->targets, struct tb_target, link)
        if (!t->stays)
            drop_target(mon, t);
    look_at_nodes(self, mon);
}

/* -------------------------------------------------------------- calls -- */

struct call {
    tb_atom at;
    uint64_t connection_id, target;
};

static void call_next(struct tb_proc *self, struct tb_watched *w,
                      struct tb_outbox *box);

static void
log_failure(const struct tb_watched *w, const struct tb_outbox *box,
            struct tb_term why)
{
    struct tb_wr text = { .max = 512 };

    tb_print_pretty(&text, why);
    tb_log(TB_WARNING, "monitor.notify_failed", "node=%s module=%s reason=%.*s",
           tb_atom_text(w->node).p, box->target->name, (int)text.len,
           (const char *)text.buf);
    tb_wr_free(&text);
}

/* What was not heard is not told again: a later change, or a reconfigure,
 * tells it anew. */
static int
on_called(struct tb_proc *self, void *state, void *ctx, int status,
          struct tb_term result)
{
    struct tb_monitor *mon = state;
    struct call *call = ctx;
    struct tb_watched *w = tb_watched_find(mon, call->at);
    struct tb_outbox *box = w ? outbox_of(w, call->target) : NULL;

    if (box && box->busy && box->connection_id == call->connection_id) {
        box->busy = false;
        if (status < 0 && status != -TB_ESTOPPED)
            log_failure(w, box, result);
        if (status != -TB_ESTOPPED)
            call_next(self, w, box);
    }
    tb_free(call);
    return TB_NOREPLY;
}

static void
call_next(struct tb_proc *self, struct tb_watched *w, struct tb_outbox *box)
{
    struct item *item = TB_ENTRY(box->items.next, struct item, link);
    struct call *call;

    if (box->busy || tb_list_empty(&box->items))
        return;
    box->busy = true;
    call = tb_new(struct call);
    *call = (struct call){ w->node, box->connection_id, box->target->id };
    tb_erpc(self, w->node, box->target->name,
            item->up ? "node_up" : "node_down", "[Node]",
            TB_ARGS(tb_v_node(item->node)), CALL_TIMEOUT_MS, on_called, call);
    tb_list_del(&item->link);
    tb_free(item);
}

static void
put_item(struct tb_outbox *box, tb_atom node, bool up)
{
    struct item *last = NULL;
    int pending = 0;

    TB_LIST_EACH (item, &box->items, struct item, link)
        if (item->node == node) {
            last = item;
            pending++;
        }
    if (last && last->up == up)
        return;
    if (pending == PENDING_OF_NODE) { /* the one before says the same */
        tb_list_del(&last->link);
        tb_free(last);
        return;
    }
    last = tb_new(struct item);
    last->node = node;
    last->up = up;
    tb_list_add(&box->items, &last->link);
}

static void
queue_call(struct tb_proc *self, struct tb_watched *w, struct tb_target *t,
           tb_atom node, bool up)
{
    struct tb_outbox *box = outbox_of(w, t->id);

    if (!box) {
        box = tb_new(struct tb_outbox);
        box->target = t;
        box->connection_id = w->connection_id;
        tb_list_init(&box->items);
        tb_list_add(&w->outboxes, &box->link);
    }
    put_item(box, node, up);
    call_next(self, w, box);
}

/* -------------------------------------------------------------- telling -- */

static bool
takes_calls(const struct tb_monitor *mon, const struct tb_watched *w)
{
    return w->connected && w->visible && tb_watched_managed(mon, w);
}

static void
send_one(struct tb_proc *self, const struct tb_target *t, tb_atom node, bool up)
{
    struct tb_args args =
        TB_ARGS(tb_v_atom(up ? "node_up" : "node_down"), tb_v_node(node));

    tb_send_name(self, t->name, t->node,
                 t->kind == CAST ? "{'$gen_cast', {Event, Node}}"
                                 : "{Event, Node}",
                 args);
}

/* A node does not hear of itself. */
static void
tell_target(struct tb_proc *self, struct tb_monitor *mon, struct tb_target *t,
            tb_atom node, bool up)
{
    struct tb_watched *at =
        t->kind == CALL ? NULL : tb_watched_find(mon, t->node);

    if (t->kind != CALL &&
        (t->node == tb_node_name(tb_self_node(self)) || (at && at->connected)))
        send_one(self, t, node, up);
    if (t->kind == CALL)
        TB_LIST_EACH (w, &mon->nodes, struct tb_watched, link)
            if (w->node != node && takes_calls(mon, w))
                queue_call(self, w, t, node, up);
}

void
tb_notifier_tell(struct tb_proc *self, struct tb_monitor *mon, tb_atom node,
                 bool up)
{
    TB_LIST_EACH (t, &mon->targets, struct tb_target, link)
        tell_target(self, mon, t, node, up);
}

static void
tell_all(struct tb_proc *self, struct tb_monitor *mon, struct tb_target *t,
         struct tb_watched *at)
{
    for (struct tb_list *l = mon->nodes.next; l != &mon->nodes; l = l->next) {
        struct tb_watched *w = TB_ENTRY(l, struct tb_watched, link);

        if (!tb_watched_managed(mon, w) || (t->kind == CALL && w == at))
            continue;
        if (t->kind == CALL)
            queue_call(self, at, t, w->node, true);
        else
            send_one(self, t, w->node, true);
    }
}

/* Whether that node is where the target is told, and can be. */
static bool
hears(const struct tb_monitor *mon, const struct tb_target *t,
      const struct tb_watched *w)
{
    return t->kind == CALL ? takes_calls(mon, w)
                           : w->connected && t->node == w->node;
}

void
tb_notifier_node_up(struct tb_proc *self, struct tb_monitor *mon,
                    struct tb_watched *w)
{
    TB_LIST_EACH (t, &mon->targets, struct tb_target, link)
        if (hears(mon, t, w))
            tell_all(self, mon, t, w);
}

void
tb_notifier_catch_up(struct tb_proc *self, struct tb_monitor *mon)
{
    TB_LIST_EACH (t, &mon->targets, struct tb_target, link) {
        if (!t->fresh)
            continue;
        t->fresh = false;
        for (struct tb_list *l = mon->nodes.next; l != &mon->nodes;
             l = l->next) {
            struct tb_watched *w = TB_ENTRY(l, struct tb_watched, link);

            if (hears(mon, t, w))
                tell_all(self, mon, t, w);
        }
    }
}
