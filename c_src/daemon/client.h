/* client.h - a short-lived hidden node that asks one thing of another node. */
#ifndef TB_DAEMON_CLIENT_H
#define TB_DAEMON_CLIENT_H

#include "daemon/settings.h"

struct tb_client {
    /* given */
    const char *target; /* "app@host" */
    const char *cookie;
    char cookie_origin[512];
    const struct tb_settings *settings; /* how nodes are reached */
    struct tb_tls *tls;                 /* taken over; NULL: plain */
    uint64_t timeout_ms;
    /* asks, once connected, with tb_client_done and the client as its ctx */
    void (*ask)(struct tb_proc *self, struct tb_client *c);
    void *ctx; /* its own */
    /* NULL, or: takes the messages that come unasked. A negative error ends
     * the run. */
    int (*heard)(struct tb_proc *self, struct tb_client *c, struct tb_term m);
    bool endless; /* the timeout is the connection's only */

    /* found */
    char name[256]; /* our own, while it ran */
    int status;     /* 0, or why not */
    bool finished;
    bool connected;      /* status is the call's, not the connection's */
    struct tb_wr result; /* the reply, or the reason */
    struct tb_wr others; /* text: the names that epmd has instead */
    uint64_t elapsed_us; /* of the connection and the call */
};

/* tb_client_run - start the node, ask, stop it. Returns c->status.
 * Ownership: result and others are c's, freed by tb_client_fini(). */
int tb_client_run(struct tb_client *c);
void tb_client_fini(struct tb_client *c);

/* tb_client_peer - the node asked, for the calls of ask.
 * tb_client_done - the end of the one call of ask. */
tb_atom tb_client_peer(const struct tb_client *c);
int tb_client_done(struct tb_proc *self, void *state, void *ctx, int status,
                   struct tb_term result);

/* tb_client_explain - append why it failed, for people. */
void tb_client_explain(const struct tb_client *c, struct tb_wr *w);

#endif
