/* conn.h - one peer: look up, connect, handshake, frames, ticks, close. */
#ifndef TB_NET_CONN_H
#define TB_NET_CONN_H

#include "dist/atom_cache.h"
#include "dist/frame.h"
#include "net/net.h"
#include "net/resolve.h"

enum tb_conn_state {
    TB_CONN_RESOLVE,   /* the host of the name */
    TB_CONN_LOOKUP,    /* the port, in the epmd there */
    TB_CONN_CONNECT,   /* the socket */
    TB_CONN_HANDSHAKE, /* dist/handshake.c speaks */
    TB_CONN_UP,
    TB_CONN_CLOSED /* down() has been called; handles are closing */
};

struct tb_conn {
    struct tb_list link;    /* in net->conns */
    struct tb_list dirty;   /* in net->dirty, or .next NULL */
    struct tb_list pending; /* in net->pending, or .next NULL */
    struct tb_net *net;
    enum tb_conn_state state;
    bool initiator;
    bool doomed; /* will be closed, with this reason, when the loop is here */
    int why;
    char trouble[128]; /* of the stream, for people; "" where why says it all */
    bool wrote;        /* since the last sweep */
    bool throttled;    /* reading is stopped until it reads */
    bool paused;       /* reading is stopped until its next turn */
    bool slow;         /* and it reads nothing: that has been told */
    bool flying;       /* the stream works on .flight */
    size_t unwritten;  /* at the last sweep */
    size_t turn_bytes; /* read in this turn */
    bool leaving;      /* tb_conn_leave() */
    bool shut;         /* its last byte has been written */
    uint64_t read_ms, since_ms;
    uint64_t flags; /* effective, once up */

    struct tb_stream *stream;
    struct tb_handshake hs;
    struct tb_frames frames;
    struct tb_atom_cache atoms; /* that the peer told; once up */
    struct tb_wr out, flight;   /* being filled, being written */
    size_t flown;               /* of flight: written already */
    size_t over;                /* queued with one message that was too large */
    size_t before;              /* queued before the message being appended */
    size_t parts, queued, told; /* as counted, see share.c */
    struct tb_lookup *lookup;
    struct tb_epmd_query *query;
    struct tb_addresses addresses;
    unsigned address; /* the one that is tried */
    uv_timer_t timer; /* of the setup */
    int open_handles;

    void *owner; /* of the node: its peer */
    uint64_t frames_in, frames_out, bytes_in, bytes_out;
};

/* tb_conn_dial - connect to that node. NULL: no memory. */
struct tb_conn *tb_conn_dial(struct tb_net *net, struct tb_text name,
                             void *owner);

/* tb_conn_accept - a connection that waits at the listener. An error: it waits
 * there still.
 * tb_conn_turn - write what has gathered, or close.
 * tb_conn_sweep - once a second or so: tick, and judge silence; late is time in
 * which we did not run. */
int tb_conn_accept(struct tb_net *net, uv_stream_t *listener);
void tb_conn_turn(struct tb_conn *c);
void tb_conn_sweep(struct tb_conn *c, uint64_t now, uint64_t late);

/* tb_conn_hold - net->held has changed. */
void tb_conn_hold(struct tb_conn *c);

/* tb_conn_out - where to append whole frames; after it call tb_conn_sent().
 * tb_conn_queued - bytes that wait to be written. */
struct tb_wr *tb_conn_out(struct tb_conn *c);
void tb_conn_sent(struct tb_conn *c);
size_t tb_conn_queued(const struct tb_conn *c);

/* tb_conn_fail - close with that reason, at its next turn; what has gathered
 * is still tried to be written. */
void tb_conn_fail(struct tb_conn *c, int why);

/* tb_conn_leave - write out, say goodbye, and close when the peer has: an
 * abrupt end could make its kernel throw away what it has not read yet. */
void tb_conn_leave(struct tb_conn *c);

/* Between conn.c and dial.c. tb_conn_to is the only writer of the state.
 * tb_dial_next - another address of the host may serve; else the connection
 * fails with that reason. */
extern const struct tb_stream_cb tb_conn_stream_cb;
struct tb_conn *tb_conn_new(struct tb_net *net, bool initiator,
                            enum tb_conn_state state);
void tb_conn_to(struct tb_conn *c, enum tb_conn_state state);
void tb_dial_next(struct tb_conn *c, int why);

#endif
