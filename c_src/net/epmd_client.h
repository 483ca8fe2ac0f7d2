/* epmd_client.h - conversations with epmd: ask it, and be listed in it.
 * In Erlang: erl_epmd. Source: erl_dist_protocol, "EPMD Protocol". */
#ifndef TB_NET_EPMD_CLIENT_H
#define TB_NET_EPMD_CLIENT_H

#include "dist/epmd.h"
#include "net/net.h"

/* One question. It ends in one callback, or in tb_epmd_cancel(). */
struct tb_epmd_query;

/* reply: all that came until epmd closed; lent. status: 0, -TB_ENO_EPMD where
 * nothing listens, -TB_EPROTO, or a negative errno. */
typedef void (*tb_epmd_answer)(void *ctx, int status, const uint8_t *reply,
                               size_t n);

/* tb_epmd_ask - send a request (of dist/epmd.h) to the epmd at an address.
 * Returns NULL where there is no memory, or was none for the request. */
struct tb_epmd_query *tb_epmd_ask(uv_loop_t *loop, const struct sockaddr *to,
                                  const struct tb_wr *request,
                                  tb_epmd_answer done, void *ctx);
void tb_epmd_cancel(struct tb_epmd_query *q);

/* A registration: kept, renewed when epmd restarts, retried while the name is
 * still taken by our own predecessor. */
struct tb_epmd_config {
    const char *alive; /* the name before '@'; borrowed */
    int family;        /* of this host's epmd: AF_INET or AF_INET6 */
    uint16_t epmd_port;
    uint16_t dist_port;  /* where we listen */
    const char *command; /* starts epmd; NULL: "epmd"; "": never */
    uint32_t taken_ms;   /* how long "name in use" is retried */
    bool optional; /* a first failure is told at once, unless we start epmd;
                    * then it is tried again, unless nobody starts one */
};

/* first: 0, -TB_EIN_USE, or -TB_ENO_EPMD. The creation that epmd gives is not
 * used, see node.c. renewed: 0 listed again, or why not any more; or NULL. */
struct tb_epmd_reg;
struct tb_epmd_reg *tb_epmd_register(uv_loop_t *loop,
                                     const struct tb_epmd_config *config,
                                     void (*first)(void *ctx, int status),
                                     void (*renewed)(void *ctx, int status),
                                     void *ctx);
/* tb_epmd_unregister - asynchronous; NULL is harmless. */
void tb_epmd_unregister(struct tb_epmd_reg *reg);
bool tb_epmd_is_registered(const struct tb_epmd_reg *reg);

#endif
