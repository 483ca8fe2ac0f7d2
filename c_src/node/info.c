/* info.c - what a node tells of itself.
 * In Erlang: net_kernel:nodes_info/0 and erlang:system_info/1.
 * Owns: nothing. Thread: loop. */
#include <string.h>

#include "node/node.h"
#include "node/peer.h"
#include "term/ident.h"
#include "term/put.h"

tb_atom
tb_node_name(const struct tb_node *node)
{
    return node->name;
}

int
tb_node_port(const struct tb_node *node)
{
    return node->net.port;
}

bool
tb_node_is_inet6(const struct tb_node *node)
{
    return node->net.family == AF_INET6;
}

uint32_t
tb_node_ticktime_ms(const struct tb_node *node)
{
    return (uint32_t)node->net.tick_ms;
}

bool
tb_node_in_epmd(const struct tb_node *node)
{
    return tb_epmd_is_registered(node->epmd);
}

void *
tb_node_loop(struct tb_node *node)
{
    return node->net.loop;
}

uint64_t
tb_now_ms(const struct tb_node *node)
{
    return uv_now(node->net.loop);
}

bool
tb_peer_info(struct tb_node *node, tb_atom peer, struct tb_peer_info *info)
{
    struct tb_peer *p = tb_peer_find(node, peer);
    struct tb_conn *c = p ? p->conn : NULL;
    size_t left;

    if (!c)
        return false;
    left = c->flying ? c->stream->transport->unwritten(c->stream) : 0;
    *info = (struct tb_peer_info){
        .connection_id = p->connection_id,
        .creation = p->creation,
        .visible = p->visible,
        .answers_probes = c->flags & TB_DFLAG(SPAWN),
        .read_ms = c->read_ms,
        .bytes_in = c->bytes_in,
        .bytes_written = c->bytes_out + (c->flying ? c->flight.len - left : 0),
        .blocked = left > 0,
    };
    return true;
}

struct peer_list {
    struct tb_wr *w;
    uint32_t n;
    uint64_t now;
};

static void
put_peer(void *ctx, void *value)
{
    struct peer_list *l = ctx;
    struct tb_peer *p = value;
    struct tb_conn *c = p->conn;

    if (!c)
        return;
    l->n++;
    tb_put_atom(l->w, tb_atom_text(p->name));
    tb_build(
        l->w,
        "#{type => T, connection_id => Id, creation => C, up_ms => Up, "
        "frames_in => Fi, frames_out => Fo, bytes_in => Bi, "
        "bytes_out => Bo, queued => Q, monitors_and_links => S}",
        TB_ARGS(tb_v_atom(p->visible ? "visible" : "hidden"),
                tb_v_int((int64_t)p->connection_id), tb_v_int(p->creation),
                tb_v_int((int64_t)(l->now - c->since_ms)),
                tb_v_int((int64_t)c->frames_in),
                tb_v_int((int64_t)c->frames_out),
                tb_v_int((int64_t)c->bytes_in), tb_v_int((int64_t)c->bytes_out),
                tb_v_int((int64_t)tb_conn_queued(c)), tb_v_int(p->n_signals)));
}

static void
put_counters(struct tb_node *node, struct tb_wr *w)
{
    const struct tb_counters *c = &node->count;

    tb_build(
        w,
        "#{unknown_control => A, unknown_tag => B, dropped => C, "
        "unexpected => D, late_replies => E, connections => F}",
        TB_ARGS(tb_v_int((int64_t)c->unknown_control),
                tb_v_int((int64_t)c->unknown_tag),
                tb_v_int((int64_t)c->dropped), tb_v_int((int64_t)c->unexpected),
                tb_v_int((int64_t)c->late), tb_v_int((int64_t)c->connections)));
}

static void
put_tables(struct tb_node *node, struct tb_wr *w)
{
    tb_build(w,
             "#{processes => A, names => B, monitors => C, links => D, "
             "calls => E, timers => F, peers => G, node_names => H}",
             TB_ARGS(tb_v_int((int64_t)tb_map_count(node->procs)),
                     tb_v_int((int64_t)tb_map_count(node->names)),
                     tb_v_int((int64_t)tb_map_count(node->monitors)),
                     tb_v_int((int64_t)tb_map_count(node->links)),
                     tb_v_int((int64_t)tb_map_count(node->calls)),
                     tb_v_int((int64_t)tb_map_count(node->timers)),
                     tb_v_int((int64_t)tb_map_count(node->peers)),
                     tb_v_int((int64_t)tb_atoms_count())));
}

int
tb_put_info(struct tb_node *node, struct tb_wr *w)
{
    struct tb_wr peers = { 0 }, counters = { 0 }, tables = { 0 };
    struct peer_list l = { &peers, 0, uv_now(node->net.loop) };

    tb_put_map(&peers, 0);
    tb_map_each(node->peers, put_peer, &l);
    tb_wr_patch_u32(&peers, 1, l.n);
    put_counters(node, &counters);
    put_tables(node, &tables);
    tb_build(
        w,
        "#{name => N, version => V, creation => C, port => P, "
        "registered => R, uptime_ms => U, nodes => Nodes, "
        "counters => Counters, tables => Tables}",
        TB_ARGS(tb_v_node(node->name), tb_v_bin(TB_VERSION, strlen(TB_VERSION)),
                tb_v_int(node->creation), tb_v_int(node->net.port),
                tb_v_bool(tb_node_in_epmd(node)),
                tb_v_int((int64_t)(l.now - node->started_ms)),
                tb_v_term(tb_wr_term(&peers)), tb_v_term(tb_wr_term(&counters)),
                tb_v_term(tb_wr_term(&tables))));
    tb_wr_free(&peers);
    tb_wr_free(&counters);
    tb_wr_free(&tables);
    return tb_wr_status(w);
}

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
