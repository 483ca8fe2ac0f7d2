/* peer.c - other nodes: their records, what is sent to them, up and down.
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
#include "node/connect.h"
#include "node/peer_config.h"
#include "node/route.h"
#include "node/watch.h"
#include "term/ident.h"
#include "term/put.h"

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
drop_pending(struct tb_peer *p)
{
    p->node->pending_bytes -= p->pending.len;
    tb_wr_free(&p->pending);
}

void
tb_peer_free(struct tb_peer *p)
{
    tb_connect_forget(p);
    drop_pending(p);
    tb_free(p);
}

void
tb_peer_release(struct tb_peer *p)
{
    if (p->conn || p->dial || p->patience || p->queued.next ||
        p->n_signals > 0 || p->n_ongoing > 0 || p->pending.len > 0 ||
        !tb_list_empty(&p->waiters))
        return;
    tb_map_take(p->node->peers, &p->name, sizeof(p->name));
    tb_peer_free(p);
}

void
tb_peer_unreachable(struct tb_peer *p)
{
    drop_pending(p);
    tb_watch_peer_lost(p);
    tb_peer_release(p);
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

/* Who comes with one question and goes again is no news. */
static enum tb_level
level_of(const struct tb_peer *p, int why)
{
    size_t n = strlen(TB_CLIENT_PREFIX);
    bool client = !p->visible && strncmp(name_of(p), TB_CLIENT_PREFIX, n) == 0;

    return client && (why == 0 || why == -TB_ECLOSED) ? TB_INFO_LEVEL
                                                      : TB_NOTICE;
}

static void
node_up(struct tb_peer *p)
{
    tb_log(level_of(p, 0), "node.up", "node=%s type=%s", name_of(p),
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
    tb_log(level_of(p, why), "node.down", "node=%s reason=%s", name_of(p),
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

/* The newest form, for ourselves: tb_control_get() reads it. */
#define PENDING_FLAGS (TB_DFLAGS_OURS & ~TB_DFLAG(DIST_HDR_ATOM_CACHE))

/* Takes back the frame that begins at that offset, where the peer would close
 * the connection over it. */
static bool
take_back(struct tb_peer *p, size_t at)
{
    struct tb_wr *out = &p->conn->out;

    if (out->bad ||
        tb_control_readable(p->conn->flags, out->buf + at, out->len - at))
        return false;
    out->len = at;
    tb_log(TB_NOTICE, "peer.unreadable", "node=%s", name_of(p));
    return true;
}

static bool
has_reason(enum tb_dop op)
{
    return op == DOP_PAYLOAD_EXIT || op == DOP_PAYLOAD_EXIT2 ||
           op == DOP_PAYLOAD_MONITOR_P_EXIT;
}

/* An end is told in any case, if need be with another reason. */
static int
put_signal(struct tb_peer *p, enum tb_dop op, struct tb_args args,
           struct tb_term payload)
{
    static const uint8_t notsup[] = { 119, 6, 'n', 'o', 't', 's', 'u', 'p' };
    struct tb_wr *out = tb_conn_out(p->conn);
    size_t at = out->len;
    int rc = tb_control_put(out, p->conn->flags, op, args, payload);

    if (rc < 0 || !take_back(p, at))
        return rc;
    if (!has_reason(op))
        return -TB_ENOTSUP;
    payload = (struct tb_term){ notsup, sizeof(notsup) };
    return tb_control_put(out, p->conn->flags, op, args, payload);
}

void
tb_peer_signal(struct tb_peer *p, bool connect, enum tb_dop op,
               struct tb_args args, struct tb_term payload)
{
    if (p->conn) {
        if (p->conn->doomed)
            return; /* its end is told in this turn */
        if (put_signal(p, op, args, payload) != -TB_ENOTSUP)
            tb_conn_sent(p->conn);
        else if (op == DOP_SPAWN_REQUEST)
            spawn_refused(p, args);
    } else if ((connect || p->pending.len > 0) &&
               p->node->state < TB_NODE_ENDED) {
        size_t before = p->pending.len;

        /* what takes back a signal that waits has to wait behind it */
        if (before < p->node->net.max_queue &&
            p->node->pending_bytes < p->node->net.max_queued)
            tb_control_put(&p->pending, PENDING_FLAGS, op, args, payload);
        p->pending.bad = false;
        p->node->pending_bytes += p->pending.len - before;
        tb_peer_dial(p);
    }
}

struct tb_wr *
tb_peer_begin(struct tb_peer *p, enum tb_dop op, struct tb_args args,
              size_t *at)
{
    struct tb_wr *out;

    if (!p->conn || p->conn->doomed)
        return NULL;
    out = tb_conn_out(p->conn);
    return tb_control_begin(out, p->conn->flags, op, args, at) == 0 ? out
                                                                    : NULL;
}

bool
tb_peer_takes_tables(const struct tb_peer *p)
{
    return p->conn && !p->conn->doomed &&
           tb_control_takes_tables(p->conn->flags);
}

struct tb_wr *
tb_peer_begin_with(struct tb_peer *p, const struct tb_atom_table *table,
                   enum tb_dop op, struct tb_args args, size_t *at)
{
    struct tb_wr *out;

    if (!tb_peer_takes_tables(p))
        return NULL;
    out = tb_conn_out(p->conn);
    *at = out->len;
    return tb_control_begin_with(out, p->conn->flags, table, op, args) == 0
               ? out
               : NULL;
}

int
tb_peer_end(struct tb_peer *p, size_t at)
{
    struct tb_wr *out = &p->conn->out;
    int rc = tb_control_end(out, at);

    if (rc == 0 && !take_back(p, at))
        tb_conn_sent(p->conn);
    out->bad = false; /* it is the message that is */
    return rc;
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
    p->node->pending_bytes -= pending.len;
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
    tb_connect_yield(p);
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
    tb_atom name =
        tb_intern_peer((struct tb_text){ c->hs.name, c->hs.name_len });
    struct tb_peer *p = name ? tb_peer_get(node, name) : NULL;

    if (!p) {
        tb_conn_fail(c, -TB_ELIMIT);
        return;
    }
    tb_connect_met(p, c);
    if (p->conn) {
        struct tb_conn *old = p->conn;

        lose_connection(p, -TB_EREPLACED);
        tb_conn_fail(old, -TB_EREPLACED);
        p = tb_peer_get(node, name);
    }
    c->owner = p;
    p->conn = c;
    p->ignored = false;
    p->creation = c->hs.creation;
    p->visible = c->hs.flags & TB_DFLAG(PUBLISHED);
    p->connection_id = ++node->count.connections;
    node_up(p);
    send_pending(p);
    tb_connect_settle(p, 0, "Node", TB_ARGS(tb_v_node(name)));
}

/* Of a later release, or nonsense: counted, and said once a connection. */
static void
ignored(struct tb_peer *p, uint64_t *count, const char *what)
{
    if (!p->ignored)
        tb_log(TB_NOTICE, "peer.unknown", "node=%s ignored=%s", name_of(p),
               what);
    p->ignored = true;
    ++*count;
}

static int
read_frame(struct tb_conn *c, const uint8_t *frame, size_t n,
           struct tb_control *out)
{
    if (c->flags & TB_DFLAG(DIST_HDR_ATOM_CACHE))
        return tb_control_read(&c->atoms, &c->net->expanded, frame, n, out);
    return tb_control_get(frame, n, out);
}

/* What a few bytes have become counts for its turn, as if all had come. */
static void
charge(struct tb_conn *c, size_t n)
{
    const struct tb_expanded *e = &c->net->expanded;
    size_t all = e->control.len + e->payload.len, more = all > n ? all - n : 0;

    c->turn_bytes += more;
    c->net->turn_bytes += more;
}

static void
on_frame(void *ctx, struct tb_conn *c, const uint8_t *frame, size_t n)
{
    struct tb_node *node = ctx;
    struct tb_peer *p = c->owner;
    struct tb_control control = { 0 };
    int rc = read_frame(c, frame, n, &control);

    if (rc == 1)
        rc = tb_route_in(p, &control);
    else if (rc == 0)
        ignored(p, &node->count.unknown_control, "control_message");
    if (rc == -TB_EUNKNOWN_TAG)
        ignored(p, &node->count.unknown_tag, "term");
    else if (rc < 0)
        tb_conn_fail(c, rc);
    charge(c, n);
    tb_expanded_free(&node->net.expanded, TB_READ_CHUNK);
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
    is_noise = why == -TB_ENOK || (c->hs.name_len == 0 && !c->trouble[0]);
    tb_log(is_noise ? TB_DEBUG : TB_NOTICE, "conn.refused",
           "from=%s name=%.*s reason=%s%s%s", address, (int)c->hs.name_len,
           c->hs.name, tb_error_atom(why), c->trouble[0] ? ": " : "",
           c->trouble);
}

/* Told, throttled, and in the end cut. */
static void
on_slow(void *ctx, struct tb_conn *c)
{
    (void)ctx;
    tb_log(TB_WARNING, "node.slow", "node=%.*s queued=%zu", (int)c->hs.name_len,
           c->hs.name, tb_conn_queued(c));
}

static void
on_down(void *ctx, struct tb_conn *c, int why)
{
    struct tb_peer *p = c->owner;

    if (!p && !c->initiator) {
        refused(c, why);
        tb_connect_turned_down(ctx, c);
    } else if (!p) {
        return; /* a dial that was given up */
    } else if (c == p->conn) {
        lose_connection(p, why);
        tb_peer_release(p);
    } else {
        tb_connect_failed(p, c, why);
    }
}

const struct tb_conn_cb tb_peer_conn_cb = {
    .port = on_port,
    .cookie = on_cookie,
    .named = on_named,
    .alive = on_alive,
    .up = on_up,
    .frame = on_frame,
    .slow = on_slow,
    .down = on_down,
};
