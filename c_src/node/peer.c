/* peer.c - other nodes: dialling, simultaneous connects, up and down.
 * In Erlang: net_kernel's connection table.
 *
 * A record lives while it has a connection, one on its way, or something that
 * waits for one: signals, monitors, links, callers of tb_connect().
 * Owns: peers. Borrows: connections, which belong to net. Thread: loop.
 * Source: net_kernel.erl, dist_util.erl. */
#include "node/peer.h"

#include <string.h>

#include "base/mem.h"
#include "base/rd.h"
#include "node/call.h"
#include "node/peer_config.h"
#include "node/route.h"
#include "node/watch.h"
#include "term/ident.h"
#include "term/put.h"

struct waiter {
    struct tb_list link;
    struct tb_ref ref; /* of the call that tb_call_settle() ends */
};

static const char *
name_of(const struct tb_peer *p)
{
    return tb_atom_text(p->name).p;
}

struct tb_peer *
tb_peer_find(struct tb_node *node, tb_atom name)
{
    return tb_map_get(node->peers, &name, sizeof(name));
}

struct tb_peer *
tb_peer_get(struct tb_node *node, tb_atom name)
{
    struct tb_peer *p = tb_peer_find(node, name);

    if (p || name == node->name)
        return p;
    p = tb_new(struct tb_peer);
    p->node = node;
    p->name = name;
    p->pending.max = node->net.max_queue + node->net.max_frame;
    tb_list_init(&p->monitors);
    tb_list_init(&p->links);
    tb_list_init(&p->waiters);
    tb_map_put(node->peers, &name, sizeof(name), p);
    return p;
}

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
tb_peer_free(struct tb_peer *p)
{
    stop_patience(p);
    TB_LIST_EACH (w, &p->waiters, struct waiter, link)
        tb_free(w);
    tb_wr_free(&p->pending);
    tb_free(p);
}

void
tb_peer_release(struct tb_peer *p)
{
    if (p->conn || p->dial || p->patience || p->n_signals > 0 ||
        p->n_ongoing > 0 || p->pending.len > 0 || !tb_list_empty(&p->waiters))
        return;
    tb_map_take(p->node->peers, &p->name, sizeof(p->name));
    tb_peer_free(p);
}

/* ------------------------------------------------------------- events -- */

static void
tell_subscribers(struct tb_peer *p, const char *event, struct tb_args args)
{
    static const struct tb_ref none;
    struct tb_wr w = { 0 };

    tb_build(&w, event, args);
    TB_LIST_EACH (sub, &p->node->node_subs, struct tb_proc, node_sub)
        tb_proc_enqueue(sub, TB_MAIL_TERM, none, tb_wr_term(&w));
    tb_wr_free(&w);
}

static struct tb_val
type_of(const struct tb_peer *p)
{
    return tb_v_atom(p->visible ? "visible" : "hidden");
}

static void
node_up(struct tb_peer *p)
{
    tb_log(TB_NOTICE, "node.up", "node=%s type=%s", name_of(p),
           p->visible ? "visible" : "hidden");
    tell_subscribers(
        p,
        "{nodeup, Node, #{connection_id => Id, node_type => T, creation => C}}",
        TB_ARGS(tb_v_node(p->name), tb_v_int((int64_t)p->connection_id),
                type_of(p), tb_v_int(p->creation)));
}

static void
node_down(struct tb_peer *p, int why)
{
    tb_log(TB_NOTICE, "node.down", "node=%s reason=%s", name_of(p),
           tb_error_atom(why));
    tell_subscribers(p,
                     "{nodedown, Node, #{connection_id => Id, node_type => T, "
                     "creation => C, nodedown_reason => Why}}",
                     TB_ARGS(tb_v_node(p->name),
                             tb_v_int((int64_t)p->connection_id), type_of(p),
                             tb_v_int(p->creation),
                             tb_v_atom(tb_error_atom(why))));
}

/* -------------------------------------------------------------- sends -- */

/* The peer knows no spawn requests; who made this one must not wait. */
static void
spawn_refused(struct tb_peer *p, struct tb_args args)
{
    struct tb_val ref = args.v[0], us = args.v[1];
    struct tb_wr w = { 0 };

    tb_build(&w, "notsup", TB_NONE);
    tb_watch_spawn_reply(p, ref.ref, us.pid, tb_wr_term(&w));
    tb_wr_free(&w);
}

void
tb_peer_signal(struct tb_peer *p, bool connect, enum tb_dop op,
               struct tb_args args, struct tb_term payload)
{
    if (p->conn) {
        struct tb_wr *out = tb_conn_out(p->conn);

        if (p->conn->doomed)
            return; /* its end is told in this turn */
        if (tb_control_put(out, p->conn->flags, op, args, payload) !=
            -TB_ENOTSUP)
            tb_conn_sent(p->conn);
        else if (op == DOP_SPAWN_REQUEST)
            spawn_refused(p, args);
    } else if ((connect || p->pending.len > 0) &&
               p->node->state < TB_NODE_ENDED) {
        /* what takes back a signal that waits has to wait behind it */
        if (p->pending.len < p->node->net.max_queue)
            tb_control_put(&p->pending, TB_DFLAGS_OURS, op, args, payload);
        p->pending.bad = false;
        tb_peer_dial(p);
    }
}

static unsigned
operands(const struct tb_control *c)
{
    unsigned n = 0;

    while (n < TB_MAX_HOLES && c->arg[n].type != TB_T_NONE)
        n++;
    return n;
}

/* What waited was written in the newest form; a peer of fewer capabilities
 * gets it in its own. */
static void
send_pending(struct tb_peer *p)
{
    struct tb_wr pending = p->pending;
    struct tb_rd r = tb_rd_of(pending.buf, pending.len);

    p->pending = (struct tb_wr){ .max = pending.max };
    while (tb_rd_left(&r) > 0) {
        struct tb_control c = { 0 };
        size_t n = tb_rd_u32(&r);
        const uint8_t *frame = tb_rd_take(&r, n);

        if (frame && tb_control_get(frame, n, &c) == 1)
            tb_peer_signal(p, false, c.op,
                           (struct tb_args){ operands(&c), c.arg }, c.payload);
    }
    tb_wr_free(&pending);
}

/* ------------------------------------------------------- connecting -- */

static void
settle_waiters(struct tb_peer *p, int status, const char *result,
               struct tb_args args)
{
    TB_LIST_EACH (w, &p->waiters, struct waiter, link) {
        tb_call_settle(p->node, w->ref, status, result, args);
        tb_list_del(&w->link);
        tb_free(w);
    }
}

static void
connect_failed(struct tb_peer *p, int why, const char *seen_name,
               const char *trouble)
{
    tb_log(trouble[0] && why != -TB_ECLOSED ? TB_NOTICE : TB_INFO_LEVEL,
           "node.connect_failed", "node=%s reason=%s%s%s%s%s", name_of(p),
           tb_error_atom(why), seen_name[0] ? " seen=" : "", seen_name,
           trouble[0] ? ": " : "", trouble);
    if (why == -TB_ENAME && seen_name[0])
        settle_waiters(p, why, "{wrong_name, Seen}",
                       TB_ARGS(tb_v_bin(seen_name, strlen(seen_name))));
    else
        settle_waiters(p, why, "Why", TB_ARGS(tb_v_atom(tb_error_atom(why))));
    tb_wr_clear(&p->pending, 0);
    tb_watch_peer_lost(p);
    tb_peer_release(p);
}

/* Whether a handshake that the other side began is on its way. A dial of ours
 * would make it give up that one, and we take it: both would be lost. */
static bool
is_calling(const struct tb_peer *p)
{
    struct tb_net *net = &p->node->net;
    struct tb_text name = tb_atom_text(p->name);

    if (net->n_pending == 0)
        return false;
    TB_LIST_EACH (c, &net->conns, struct tb_conn, link)
        if (!c->initiator && c->state == TB_CONN_HANDSHAKE &&
            c->hs.name_len == name.n && memcmp(c->hs.name, name.p, name.n) == 0)
            return true;
    return false;
}

static void wait_for_theirs(struct tb_peer *p);

static void
dial_now(struct tb_peer *p)
{
    p->dial = tb_conn_dial(&p->node->net, tb_atom_text(p->name), p);
    if (!p->dial)
        wait_for_theirs(p); /* no memory: fails when patience is over */
}

static void
on_patience_over(uv_timer_t *t)
{
    struct tb_peer *p = t->data;

    stop_patience(p);
    if (is_calling(p)) /* and does not go on: a stranger, for all we know */
        dial_now(p);
    else
        connect_failed(p, -TB_ENOK, "", "");
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
    if (p->conn || p->dial || p->patience || p->node->state != TB_NODE_UP)
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
    p->dial = NULL;
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
    w = tb_new(struct waiter);
    w->ref = ref;
    tb_list_add(&p->waiters, &w->link);
    tb_peer_dial(p);
}

bool
tb_disconnect_for(struct tb_node *node, tb_atom peer, int why)
{
    struct tb_peer *p = tb_peer_find(node, peer);

    if (!p || !p->conn)
        return false;
    tb_conn_fail(p->conn, why);
    return true;
}

bool
tb_disconnect(struct tb_node *node, tb_atom peer)
{
    return tb_disconnect_for(node, peer, -TB_EDISCONNECT);
}

/* ------------------------------------------------- what net tells us -- */

static const struct tb_cookie *
on_cookie(void *ctx, struct tb_text peer)
{
    return tb_peer_cookie(ctx, peer);
}

static uint16_t
on_port(void *ctx, struct tb_text peer)
{
    return tb_peer_port(ctx, peer);
}

/* A name is interned, and a record made, only once the cookie has been
 * proved: before it a stranger costs nothing that lasts. */
static enum tb_hs_status_code
on_named(void *ctx, struct tb_conn *c)
{
    struct tb_node *node = ctx;
    struct tb_text theirs = { c->hs.name, c->hs.name_len };
    struct tb_text ours = tb_atom_text(node->name);
    tb_atom name = tb_atom_find(theirs);
    struct tb_peer *p = name ? tb_peer_find(node, name) : NULL;
    size_t n = ours.n < theirs.n ? ours.n : theirs.n;
    int order = memcmp(ours.p, theirs.p, n);

    if (name == node->name || node->state != TB_NODE_UP)
        return TB_HS_NOK;
    if (p && p->conn)
        return TB_HS_STATUS_ALIVE;
    if (!p || !p->dial)
        return TB_HS_OK;
    if (order > 0 || (order == 0 && ours.n > theirs.n))
        return TB_HS_NOK;
    drop_dial(p);
    wait_for_theirs(p);
    return TB_HS_OK_SIMULTANEOUS;
}

static bool
on_alive(void *ctx, struct tb_conn *c)
{
    struct tb_peer *p = c->owner;

    (void)ctx;
    return p && !p->conn;
}

static void
lose_connection(struct tb_peer *p, int why)
{
    p->conn->owner = NULL;
    p->conn = NULL;
    p->stdlib_major = 0;
    tb_watch_peer_lost(p);
    node_down(p, why);
}

static void
on_up(void *ctx, struct tb_conn *c)
{
    struct tb_node *node = ctx;
    tb_atom name = tb_intern((struct tb_text){ c->hs.name, c->hs.name_len });
    struct tb_peer *p = name ? tb_peer_get(node, name) : NULL;

    if (!p) {
        tb_conn_fail(c, -TB_ELIMIT);
        return;
    }
    if (p->dial == c)
        p->dial = NULL;
    drop_dial(p);
    stop_patience(p);
    if (p->conn) {
        struct tb_conn *old = p->conn;

        lose_connection(p, -TB_EREPLACED);
        tb_conn_fail(old, -TB_EREPLACED);
        p = tb_peer_get(node, name);
    }
    c->owner = p;
    p->conn = c;
    p->creation = c->hs.creation;
    p->visible = c->hs.flags & TB_DFLAG(PUBLISHED);
    p->connection_id = ++node->count.connections;
    node_up(p);
    send_pending(p);
    settle_waiters(p, 0, "Node", TB_ARGS(tb_v_node(name)));
}

static void
on_frame(void *ctx, struct tb_conn *c, const uint8_t *frame, size_t n)
{
    struct tb_node *node = ctx;
    struct tb_control control = { 0 };
    int rc = tb_control_get(frame, n, &control);

    if (rc == 1)
        rc = tb_route_in(c->owner, &control);
    else if (rc == 0)
        node->count.unknown_control++;
    if (rc == -TB_EUNKNOWN_TAG)
        node->count.unknown_tag++;
    else if (rc < 0)
        tb_conn_fail(c, rc);
}

static void
refused(struct tb_conn *c, int why)
{
    struct sockaddr_storage from = { 0 };
    char address[64] = "?";
    bool is_noise;

    if (why == -TB_EREPLACED || why == -TB_ESTOPPED)
        return;
    if (c->stream && c->stream->transport->peer(c->stream, &from) == 0)
        uv_ip_name((struct sockaddr *)&from, address, sizeof(address));
    /* one of two that were dialled at once, or a port scan: nobody's fault */
    is_noise = why == -TB_ENOK || (c->hs.name_len == 0 && why != -TB_ETLS);
    tb_log(is_noise ? TB_DEBUG : TB_NOTICE, "conn.refused",
           "from=%s name=%.*s reason=%s%s%s", address, (int)c->hs.name_len,
           c->hs.name, tb_error_atom(why), c->trouble[0] ? ": " : "",
           c->trouble);
}

/* What waited for that handshake need not wait any longer. */
static void
call_back(struct tb_node *node, const struct tb_conn *c)
{
    tb_atom name = tb_atom_find((struct tb_text){ c->hs.name, c->hs.name_len });
    struct tb_peer *p = name ? tb_peer_find(node, name) : NULL;

    if (!p || !p->patience || is_calling(p))
        return;
    stop_patience(p);
    tb_peer_dial(p);
}

static void
on_down(void *ctx, struct tb_conn *c, int why)
{
    struct tb_peer *p = c->owner;

    if (!p && !c->initiator) {
        refused(c, why);
        call_back(ctx, c);
    } else if (!p) {
        return; /* a dial that was given up */
    } else if (c == p->conn) {
        lose_connection(p, why);
        tb_peer_release(p);
    } else {
        p->dial = NULL;
        if (why == -TB_ENOK)
            wait_for_theirs(p);
        else
            connect_failed(p, why, c->hs.seen_name, c->trouble);
    }
}

const struct tb_conn_cb tb_peer_conn_cb = {
    .port = on_port,
    .cookie = on_cookie,
    .named = on_named,
    .alive = on_alive,
    .up = on_up,
    .frame = on_frame,
    .down = on_down,
};

/* -------------------------------------------------------------- lists -- */

struct node_list {
    struct tb_wr *w;
    uint32_t n;
    bool visible, hidden;
};

static void
put_node(void *ctx, void *value)
{
    struct node_list *l = ctx;
    struct tb_peer *p = value;

    if (!p->conn || !(p->visible ? l->visible : l->hidden))
        return;
    tb_put_atom(l->w, tb_atom_text(p->name));
    l->n++;
}

int
tb_put_nodes(struct tb_node *node, const char *which, struct tb_wr *w)
{
    bool known = strcmp(which, "known") == 0, self = strcmp(which, "this") == 0;
    bool all = known || strcmp(which, "connected") == 0;
    struct node_list l = { w, 0, all || strcmp(which, "visible") == 0,
                           all || strcmp(which, "hidden") == 0 };
    size_t at = w->len;

    if (!l.visible && !l.hidden && !self)
        return -TB_EBADARG;
    tb_put_list(w, 0);
    if (self || known) {
        tb_put_atom(w, tb_atom_text(node->name));
        l.n++;
    }
    tb_map_each(node->peers, put_node, &l);
    if (l.n > 0) {
        tb_wr_patch_u32(w, at + 1, l.n);
    } else { /* an empty list is NIL alone */
        w->len = at;
    }
    tb_put_nil(w);
    return tb_wr_status(w);
}
