/* peer_config.h - what is given for single peers: a cookie, a port. */
#ifndef TB_NODE_PEER_CONFIG_H
#define TB_NODE_PEER_CONFIG_H

#include "node/node.h"

/* tb_cookie_of - from text. Returns 0, or -TB_EBADARG: empty or too long. */
int tb_cookie_of(struct tb_cookie *to, const char *text);

/* tb_peer_cookie - the one to prove to that peer, and to ask of it.
 * tb_peer_port - where it listens; 0: its epmd has to be asked. */
const struct tb_cookie *tb_peer_cookie(const struct tb_node *node,
                                       struct tb_text peer);
uint16_t tb_peer_port(const struct tb_node *node, struct tb_text peer);

#endif
