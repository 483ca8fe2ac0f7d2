/* route.h - messages between local processes and the world. */
#ifndef TB_NODE_ROUTE_H
#define TB_NODE_ROUTE_H

#include "node/peer.h"
#include "node/proc.h"

/* tb_route_in - one control message of a peer. 0, or the error to close the
 * connection with. */
int tb_route_in(struct tb_peer *p, const struct tb_control *c);

/* tb_route_build - the message that a template gives, in the node's buffer:
 * valid until the next call. */
struct tb_term tb_route_build(struct tb_node *node, const char *pattern,
                              struct tb_args args);

/* tb_route_send - a message to a pid, a name, or an answer to a caller.
 * Answers never connect. */
void tb_route_send(struct tb_proc *self, struct tb_pid to,
                   struct tb_term message, bool connect);
void tb_route_send_name(struct tb_proc *self, struct tb_text name, tb_atom at,
                        struct tb_term message);
void tb_route_answer(struct tb_proc *self, const struct tb_from *from,
                     struct tb_term reply);

#endif
