/* connect.h - how two nodes come to have one connection, whoever dials. */
#ifndef TB_NODE_CONNECT_H
#define TB_NODE_CONNECT_H

#include "node/peer.h"

/* tb_connect_yield - the peer dials too, and its connection goes first.
 * tb_connect_met - the connection c to it is up, its own or ours: nothing else
 * is waited for.
 * tb_connect_failed - c, our dial, has ended and that is why.
 * tb_connect_turned_down - a stranger has not proved who he is; whom he claimed
 * to be may be waited for. */
void tb_connect_yield(struct tb_peer *p);
void tb_connect_met(struct tb_peer *p, const struct tb_conn *c);
void tb_connect_failed(struct tb_peer *p, const struct tb_conn *c, int why);
void tb_connect_turned_down(struct tb_node *node, const struct tb_conn *c);

/* tb_connect_settle - what tb_connect() gives to all that wait for it.
 * tb_connect_forget - without a word. */
void tb_connect_settle(struct tb_peer *p, int status, const char *result,
                       struct tb_args args);
void tb_connect_forget(struct tb_peer *p);

#endif
