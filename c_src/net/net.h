/* net.h - what all connections of a node share. */
#ifndef TB_NET_NET_H
#define TB_NET_NET_H

#include <uv.h>

#include "base/limits.h"
#include "dist/control.h"
#include "dist/handshake.h"
#include "net/stream.h"
#include "tiebeam.h"

struct tb_conn;
struct tb_resolver;

/* What connections tell the node. None is called from inside a tb_conn_*. */
struct tb_conn_cb {
    /* the port of that node, 0: not known without epmd */
    uint16_t (*port)(void *ctx, struct tb_text peer);
    /* the cookie for that peer */
    const struct tb_cookie *(*cookie)(void *ctx, struct tb_text peer);
    /* acceptor: who calls, and may it? (hs.name is known) */
    enum tb_hs_status_code (*named)(void *ctx, struct tb_conn *c);
    /* initiator: the peer believes in an old connection; is it dead? */
    bool (*alive)(void *ctx, struct tb_conn *c);
    void (*up)(void *ctx, struct tb_conn *c);
    /* one message; p is lent. Ticks do not come here. */
    void (*frame)(void *ctx, struct tb_conn *c, const uint8_t *p, size_t n);
    /* much waits for it, and it does not read; once until it does */
    void (*slow)(void *ctx, struct tb_conn *c);
    /* once for every connection, up or not; its memory goes later */
    void (*down)(void *ctx, struct tb_conn *c, int why);
};

struct tb_net {
    uv_loop_t *loop;
    const struct tb_transport *transport;
    int family;         /* AF_INET or AF_INET6 */
    struct tb_tls *tls; /* owned; NULL: plain */
    const struct tb_conn_cb *cb;
    void *ctx;

    struct tb_text name; /* borrowed: "app@host" */
    uint32_t creation;
    uint64_t flags;
    uint16_t epmd_port;
    uint32_t setup_ms, tick_ms;
    size_t max_queue, max_frame;

    struct tb_resolver *resolver; /* owned */
    struct tb_list conns;         /* owned struct tb_conn */
    struct tb_list dirty;         /* of those: with something to do */
    struct tb_list pending;       /* of those: accepted, in the handshake */
    unsigned n_conns, max_conns, n_pending, max_pending;
    size_t turn_frames, turn_bytes; /* read since the node looked */
    size_t parts; /* bytes of unfinished frames, all connections */
    size_t atoms; /* bytes of the text of atoms that peers told, likewise */
    struct tb_expanded expanded; /* the message that is read, of any peer */
    size_t queued, max_queued;   /* that wait to be written, likewise */
    bool held;                   /* nothing is read: see tb_net_hold() */
    unsigned freed;              /* sweeps that give memory back */
    size_t moved,
        handled;        /* bytes of this sweep; since memory was given back */
    unsigned busy;      /* sweeps, since then */
    uv_tcp_t *listener; /* owned; NULL: does not listen */
    unsigned accepted;  /* in this turn */
    uv_tcp_t refused;   /* while .refusing */
    bool refusing;
    bool waiting; /* another one at the listener meanwhile */
    uint16_t port;
    uv_timer_t sweep, retry;
    uint64_t swept_ms;
    uint8_t scratch[TB_READ_CHUNK]; /* every read goes here first */
};

/* tb_net_init - 0 or an error; net's options are filled in before.
 * tb_net_listen - 0 or the error of the last port tried.
 * tb_net_close - leave all peers, while the loop runs on.
 * tb_net_end - once n_conns is 0: close what is left. */
int tb_net_init(struct tb_net *net);
int tb_net_listen(struct tb_net *net, const char *address, int min, int max);
void tb_net_close(struct tb_net *net);
void tb_net_end(struct tb_net *net);

/* tb_net_hold - read from no peer, as long as what they sent has not been
 * handled; or again. */
void tb_net_hold(struct tb_net *net, bool held);

/* tb_net_flush - write what has gathered and close what is doomed; the node
 * calls it once per turn of the loop. */
void tb_net_flush(struct tb_net *net);

#endif
