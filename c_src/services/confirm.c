/* confirm.c - is that incarnation of a node really gone? Asked by whoever is
 * about to act on it.
 *
 * A lost connection only opens the question. The answer is
 *
 *   {up, [Node]}    these are connected to it, be it we
 *   {down, Why}     nobody who could be asked is, and it is refused when we
 *                   dial, or answers as another incarnation (restarted)
 *   {unknown, Why}  nobody is, but it is not refused either: a cut, a stop
 *
 * Owns: questions, while they run. Thread: loop. */
#include <errno.h>

#include "services/monitor.h"

#define ASK_MS  2000
#define DIAL_MS 3000 /* who asks waits no 5 s, and a cut answers no dial */

struct confirm {
    struct tb_from *from; /* owned */
    tb_atom node;
    uint32_t creation; /* 0: whichever */
    unsigned pending;
    int dialled; /* 1: not tried */
    struct tb_wr seen;
    size_t n_seen;
};

struct question {
    struct confirm *confirm;
    tb_atom other;
};

static bool
refused(int status)
{
    return status == -ECONNREFUSED || status == -TB_ENOT_IN_EPMD ||
           status == -TB_ENAME;
}

/* The incarnation that we are connected to; 0: none. */
static uint32_t
creation_here(struct tb_proc *self, tb_atom node)
{
    struct tb_peer_info info;

    return tb_peer_info(tb_self_node(self), node, &info) ? info.creation : 0;
}

static void
see(struct confirm *c, tb_atom by)
{
    tb_build(&c->seen, "Node", TB_ARGS(tb_v_node(by)));
    c->n_seen++;
}

static void
answer(struct tb_proc *self, struct confirm *c)
{
    uint32_t here = creation_here(self, c->node);
    struct tb_wr list = { 0 };
    const char *why = c->dialled == 1 ? "silent" : tb_error_atom(c->dialled);

    if (here && c->creation && here != c->creation) {
        tb_reply_to(self, c->from, "{down, restarted}", TB_NONE);
    } else if (c->n_seen) {
        tb_build_list(&list, c->n_seen, &c->seen);
        tb_reply_to(self, c->from, "{up, By}",
                    TB_ARGS(tb_v_term(tb_wr_term(&list))));
    } else {
        tb_reply_to(self, c->from, "{Is, Why}",
                    TB_ARGS(tb_v_atom(refused(c->dialled) ? "down" : "unknown"),
                            tb_v_atom(why)));
    }
    tb_wr_free(&list);
}

static void
finish_one(struct tb_proc *self, struct confirm *c, int status)
{
    if (--c->pending > 0)
        return;
    if (status != -TB_ESTOPPED)
        answer(self, c);
    tb_from_free(c->from);
    tb_wr_free(&c->seen);
    tb_free(c);
}

static int
on_neighbours(struct tb_proc *self, void *state, void *ctx, int status,
              struct tb_term result)
{
    struct question *q = ctx;
    struct tb_elems e;
    struct tb_term item;

    (void)state;
    if (status == 0)
        for (tb_elems_open(&e, result); tb_elems_next(&e, &item);)
            if (tb_rule_node(item) == q->confirm->node)
                see(q->confirm, q->other);
    finish_one(self, q->confirm, status);
    tb_free(q);
    return TB_NOREPLY;
}

static int
on_dialled(struct tb_proc *self, void *state, void *ctx, int status,
           struct tb_term result)
{
    struct confirm *c = ctx;

    (void)state;
    (void)result;
    c->dialled = status;
    if (status == 0)
        see(c, tb_node_name(tb_self_node(self)));
    finish_one(self, c, status);
    return TB_NOREPLY;
}

/* It goes on for as long as a dial may; its outcome may come too late. */
static int
on_connected(struct tb_proc *self, void *state, void *ctx, int status,
             struct tb_term result)
{
    struct tb_ref *awaited = ctx;

    (void)state;
    (void)result;
    if (status != -TB_ESTOPPED)
        tb_settle(tb_self_node(self), *awaited, status, "ok", TB_NONE);
    tb_free(awaited);
    return TB_NOREPLY;
}

static void
ask_all(struct tb_proc *self, struct tb_monitor *mon, struct confirm *c)
{
    TB_LIST_EACH (w, &mon->nodes, struct tb_watched, link) {
        struct question *q;

        if (w->node == c->node || !w->visible || w->state < TB_NODE_IS_DEGRADED)
            continue;
        q = tb_new(struct question);
        *q = (struct question){ c, w->node };
        c->pending++;
        tb_erpc(self, w->node, "erlang", "nodes", "[connected]", TB_NONE,
                ASK_MS, on_neighbours, q);
    }
}

/* A connection that is silent is no sign of life, and cannot be dialled. */
static void
look_ourselves(struct tb_proc *self, struct tb_monitor *mon, struct confirm *c)
{
    struct tb_watched *w = tb_watched_find(mon, c->node);
    struct tb_ref *awaited;

    if (w && w->connected && w->listen.s.suspect)
        return;
    c->pending++;
    awaited = tb_new(struct tb_ref);
    *awaited = tb_expect(self, DIAL_MS, on_dialled, c);
    tb_connect(self, c->node, on_connected, awaited);
}

int
tb_on_confirm(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_monitor *mon = state;
    tb_atom node = tb_intern(m->arg[0].text);
    int64_t creation = m->arg[1].i;
    struct confirm *c;

    if (!node || creation < 0 || creation > UINT32_MAX ||
        node == tb_node_name(tb_self_node(self)))
        return tb_reply(self, m, "{error, badarg}", TB_NONE);
    c = tb_new(struct confirm);
    *c = (struct confirm){ .from = tb_from_keep(m),
                           .node = node,
                           .creation = (uint32_t)creation,
                           .pending = 1,
                           .dialled = 1 };
    ask_all(self, mon, c);
    look_ourselves(self, mon, c);
    finish_one(self, c, 0);
    return TB_NOREPLY;
}
