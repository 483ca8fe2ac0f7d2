/* connect.c - one connection between two nodes, whoever dials, and not too many
 * dials at once.
 * In Erlang: net_kernel's pending connections.
 * Owns: callers of tb_connect(), timers. Borrows: peers. Thread: loop.
 * Source: net_kernel.erl, dist_util.erl. */
#include "node/connect.h"

#include <string.h>

#include "base/mem.h"
#include "node/call.h"
#include "term/ident.h"

struct waiter {
    struct tb_list link;
    struct tb_ref ref; /* of the call that tb_call_settle() ends */
};

static void
on_patience_closed(uv_handle_t *h)
{
    tb_free(h);
}

static void
stop_patience(struct tb_peer *p)
{
    if (p->patience)
        uv_close((uv_handle_t *)p->patience, on_patience_closed);
    p->patience = NULL;
}

static void
end_patience(void *ctx, void *peer)
{
    (void)ctx;
    stop_patience(peer);
}

void
tb_peers_end(struct tb_node *node)
{
    tb_map_each(node->peers, end_patience, NULL);
}

void
tb_connect_settle(struct tb_peer *p, int status, const char *result,
                  struct tb_args args)
{
    TB_LIST_EACH (w, &p->waiters, struct waiter, link) {
        tb_call_settle(p->node, w->ref, status, result, args);
        tb_list_del(&w->link);
        tb_free(w);
    }
}

static void
give_up(struct tb_peer *p, int why, const char *seen_name, const char *trouble)
{
    tb_log(trouble[0] && why != -TB_ECLOSED ? TB_NOTICE : TB_INFO_LEVEL,
           "node.connect_failed", "node=%s reason=%s%s%s%s%s",
           tb_atom_text(p->name).p, tb_error_atom(why),
           seen_name[0] ? " seen=" : "", seen_name, trouble[0] ? ": " : "",
           trouble);
    if (why == -TB_ENAME && seen_name[0])
        tb_connect_settle(p, why, "{wrong_name, Seen}",
                          TB_ARGS(tb_v_bin(seen_name, strlen(seen_name))));
    else if (why == -TB_ETLS && trouble[0])
        tb_connect_settle(p, why, "{tls_error, Text}",
                          TB_ARGS(tb_v_bin(trouble, strlen(trouble))));
    else
        tb_connect_settle(p, why, "Why",
                          TB_ARGS(tb_v_atom(tb_error_atom(why))));
    tb_peer_unreachable(p);
}

/* Whether a handshake that the other side began is on its way. A dial of ours
 * would make it give up that one, and we take it: both would be lost. */
static bool
is_calling(const struct tb_peer *p)
{
    struct tb_net *net = &p->node->net;
    struct tb_text name = tb_atom_text(p->name);

    TB_LIST_EACH (c, &net->pending, struct tb_conn, pending)
        if (c->hs.name_len == name.n && memcmp(c->hs.name, name.p, name.n) == 0)
            return true;
    return false;
}

static void wait_for_theirs(struct tb_peer *p);

static void
dial_now(struct tb_peer *p)
{
    struct tb_node *node = p->node;

    if (node->n_dials >= TB_MAX_DIALS) {
        tb_list_add(&node->queued, &p->queued);
        return;
    }
    p->dial = tb_conn_dial(&node->net, tb_atom_text(p->name), p);
    node->n_dials += p->dial != NULL;
    if (!p->dial)
        wait_for_theirs(p); /* no memory: fails when patience is over */
}

static void
dial_ended(struct tb_peer *p)
{
    struct tb_node *node = p->node;

    p->dial = NULL;
    node->n_dials--;
    while (node->n_dials < TB_MAX_DIALS && !tb_list_empty(&node->queued)) {
        struct tb_peer *next =
            TB_ENTRY(node->queued.next, struct tb_peer, queued);

        tb_list_del(&next->queued);
        tb_peer_dial(next);
    }
}

static void
on_patience_over(uv_timer_t *t)
{
    struct tb_peer *p = t->data;

    stop_patience(p);
    if (is_calling(p)) /* and does not go on: a stranger, for all we know */
        dial_now(p);
    else
        give_up(p, -TB_ENOK, "", "");
}

/* Their connection goes first; ours ends here. */
static void
wait_for_theirs(struct tb_peer *p)
{
    if (p->patience || p->node->state == TB_NODE_ENDED)
        return;
    p->patience = tb_new(uv_timer_t);
    uv_timer_init(p->node->net.loop, p->patience);
    p->patience->data = p;
    uv_timer_start(p->patience, on_patience_over, p->node->net.setup_ms, 0);
}

void
tb_peer_dial(struct tb_peer *p)
{
    /* before the name is ours we would take over the peers of whom it
     * belongs to; see tb_peers_start() */
    if (p->conn || p->dial || p->patience || p->queued.next ||
        p->node->state != TB_NODE_UP)
        return;
    if (is_calling(p))
        wait_for_theirs(p);
    else
        dial_now(p);
}

static void
start_dialling(void *ctx, void *peer)
{
    (void)ctx;
    tb_peer_dial(peer);
}

void
tb_peers_start(struct tb_node *node)
{
    tb_map_each(node->peers, start_dialling, NULL);
}

static void
drop_dial(struct tb_peer *p)
{
    if (!p->dial)
        return;
    p->dial->owner = NULL;
    tb_conn_fail(p->dial, -TB_EREPLACED);
    dial_ended(p);
}

void
tb_connect(struct tb_proc *self, tb_atom node, tb_done done, void *ctx)
{
    struct tb_peer *p = tb_peer_get(self->node, node);
    struct tb_ref ref =
        tb_call_expect(self, TB_CALL_OWN, TB_INFINITY, done, ctx);
    struct waiter *w;

    if (!p || p->conn) {
        tb_call_settle(self->node, ref, 0, "Node", TB_ARGS(tb_v_node(node)));
        return;
    }
    if (tb_call_is_one_too_many(self)) {
        tb_call_settle(self->node, ref, -TB_ELIMIT, "system_limit", TB_NONE);
        tb_peer_release(p);
        return;
    }
    w = tb_new(struct waiter);
    w->ref = ref;
    tb_list_add(&p->waiters, &w->link);
    tb_peer_dial(p);
}

/* What waited for that handshake need not wait any longer. */
void
tb_connect_turned_down(struct tb_node *node, const struct tb_conn *c)
{
    tb_atom name = tb_atom_find((struct tb_text){ c->hs.name, c->hs.name_len });
    struct tb_peer *p = name ? tb_peer_find(node, name) : NULL;

    if (!p || !p->patience || is_calling(p))
        return;
    stop_patience(p);
    tb_peer_dial(p);
}

void
tb_connect_yield(struct tb_peer *p)
{
    drop_dial(p);
    wait_for_theirs(p);
}

void
tb_connect_met(struct tb_peer *p, const struct tb_conn *c)
{
    tb_list_del(&p->queued);
    if (p->dial == c)
        dial_ended(p);
    drop_dial(p);
    stop_patience(p);
}

void
tb_connect_failed(struct tb_peer *p, const struct tb_conn *c, int why)
{
    dial_ended(p);
    if (why == -TB_ENOK)
        wait_for_theirs(p);
    else
        give_up(p, why, c->hs.seen_name, c->trouble);
}

void
tb_connect_forget(struct tb_peer *p)
{
    stop_patience(p);
    tb_list_del(&p->queued);
    TB_LIST_EACH (w, &p->waiters, struct waiter, link)
        tb_free(w);
}
