/* conn.h - one peer: look up, connect, handshake, frames, ticks, close. */
#ifndef TB_NET_CONN_H
#define TB_NET_CONN_H

#include "dist/frame.h"
#include "net/net.h"
#include "net/resolve.h"

enum tb_conn_state {
    TB_CONN_RESOLVE,   /* the host of the name */
    TB_CONN_LOOKUP,    /* the port, in the epmd there */
    TB_CONN_CONNECT,   /* the socket */
    TB_CONN_HANDSHAKE, /* dist/handshake.c speaks */
    TB_CONN_UP,
    TB_CONN_CLOSED     /* down() has been called; handles are closing */
};

struct tb_conn {
    struct tb_list link;  /* in net->conns */
    struct tb_list dirty; /* in net->dirty, or .next NULL */
    struct tb_net *net;
    enum tb_conn_state state;
    bool initiator;
    bool doomed; /* will be closed, with this reason, when the loop is here */
    int why;
    bool wrote;     /* since the last sweep */
    bool throttled; /* reading is stopped until it reads */
    bool flying;    /* the stream works on .flight */
    uint64_t read_ms, since_ms;
    uint64_t flags; /* effective, once up */

    struct tb_stream *stream;
    struct tb_handshake hs;
    struct tb_frames frames;
    struct tb_wr held;        /* came, and not looked at while throttled */
    struct tb_wr out, flight; /* being filled, being written */
    size_t flown;             /* of flight: written already */
    size_t before;            /* queued before the message being appended */
    struct tb_lookup *lookup;
    struct tb_epmd_query *query;
    struct tb_addresses addresses;
    unsigned address; /* the one that is tried */
    uv_timer_t timer; /* of the setup */
    int open_handles;

    void *owner; /* of the node: its peer */
    uint64_t frames_in, frames_out, bytes_in, bytes_out;
};

/* tb_net_init - 0 or an error; net's options are filled in before.
 * tb_net_listen - 0 or the error of the last port tried.
 * tb_net_close - closes all; asynchronous: the loop runs until it is done. */
int tb_net_init(struct tb_net *net);
int tb_net_listen(struct tb_net *net, const char *address, int min, int max);
void tb_net_close(struct tb_net *net);

/* tb_net_flush - write what has gathered and close what is doomed; the node
 * calls it once per turn of the loop. */
void tb_net_flush(struct tb_net *net);

/* tb_conn_dial - connect to that node. NULL: no memory. */
struct tb_conn *tb_conn_dial(struct tb_net *net, struct tb_text name,
                             void *owner);

/* tb_conn_out - where to append whole frames; after it call tb_conn_sent().
 * tb_conn_queued - bytes that wait to be written. */
struct tb_wr *tb_conn_out(struct tb_conn *c);
void tb_conn_sent(struct tb_conn *c);
size_t tb_conn_queued(const struct tb_conn *c);

/* tb_conn_fail - close with that reason, at the next flush; what has gathered
 * is still tried to be written. */
void tb_conn_fail(struct tb_conn *c, int why);

#endif
