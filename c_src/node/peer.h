/* peer.h - another node: connected, being connected, or merely named by a
 * monitor or a link. In Erlang: an entry of the distribution table. */
#ifndef TB_NODE_PEER_H
#define TB_NODE_PEER_H

#include "node/node.h"

struct tb_peer {
    struct tb_node *node;
    tb_atom name;
    struct tb_conn *conn;  /* up */
    struct tb_conn *dial;  /* ours, on its way */
    struct tb_list queued; /* in node->queued, or .next NULL */
    uv_timer_t *patience;  /* theirs goes first: how long we wait for it */
    uint32_t creation;
    bool visible;
    bool ignored; /* something that it sent; it has been said */
    uint64_t connection_id;
    int stdlib_major, stdlib_minor; /* of its OTP, once asked; see sys.c */

    struct tb_list monitors; /* struct tb_monitor, by_peer */
    struct tb_list links;    /* struct tb_half_link, by_peer */
    unsigned n_signals;      /* of both: bounded */
    unsigned n_links;        /* of these; likewise */
    unsigned n_ongoing;      /* processes spawned for it that run */
    struct tb_wr pending;    /* frames for when it is up */
    struct tb_list waiters;  /* owned struct waiter: tb_connect() */
};

/* tb_peer_get - the record, made where it is missing; NULL: the name is ours.
 * tb_peer_find - or NULL. */
struct tb_peer *tb_peer_get(struct tb_node *node, tb_atom name);
struct tb_peer *tb_peer_find(struct tb_node *node, tb_atom name);
/* tb_peer_release - free the record if nothing needs it any more. */
void tb_peer_release(struct tb_peer *p);
void tb_peer_free(struct tb_peer *p);
/* tb_peer_unreachable - it cannot be connected: what waited for that ends. */
void tb_peer_unreachable(struct tb_peer *p);
/* tb_peers_start - the node is a member now: dial whom processes want.
 * tb_peers_end - the node stops: nobody is waited for any more. */
void tb_peers_start(struct tb_node *node);
void tb_peers_end(struct tb_node *node);

/* tb_peer_signal - send a control message. connect: dial where needed and keep
 * the message till then; else it is dropped. Never fails to its caller. */
void tb_peer_signal(struct tb_peer *p, bool connect, enum tb_dop op,
                    struct tb_args args, struct tb_term payload);

/* tb_peer_begin - begin a message whose payload the caller
 * appends, as a term, to what is returned; NULL where the peer is not
 * connected, or has no form for it.
 * tb_peer_end - the message is complete: 0 and it is sent, or -TB_ELIMIT: it
 * is too long, or something in it is no term, and none is sent. What the peer
 * cannot read is dropped, with 0. */
struct tb_wr *tb_peer_begin(struct tb_peer *p, enum tb_dop op,
                            struct tb_args args, size_t *at);
int tb_peer_end(struct tb_peer *p, size_t at);

/* tb_peer_takes_tables - whether it can be sent a payload with references, in
 * this turn. tb_peer_begin_with - as tb_peer_begin(), of such a payload. */
bool tb_peer_takes_tables(const struct tb_peer *p);
struct tb_wr *tb_peer_begin_with(struct tb_peer *p,
                                 const struct tb_atom_table *table,
                                 enum tb_dop op, struct tb_args args,
                                 size_t *at);

/* tb_peer_dial - connect, unless that is under way. */
void tb_peer_dial(struct tb_peer *p);

/* Handed to net (struct tb_conn_cb). */
extern const struct tb_conn_cb tb_peer_conn_cb;

#endif
