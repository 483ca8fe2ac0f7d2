/* transport.h - settings of how a node is reached, and how it reaches others.
 */
#ifndef TB_DAEMON_TRANSPORT_H
#define TB_DAEMON_TRANSPORT_H

#include "daemon/settings.h"

/* tb_transport_check - whether these settings go together. Returns 0, or
 * -TB_EBADARG with lines appended to errors.
 * tb_transport_options - what concerns dialling: IPv6, ports. Where the node
 * listens, and TLS, are left to the caller.
 * tb_transport_ports - tell the node the peer_ports. Returns 0 or an error.
 * tb_transport_epmd - whether an epmd is started where none answers. */
int tb_transport_check(const struct tb_settings *s, struct tb_wr *errors);
void tb_transport_options(const struct tb_settings *s, struct tb_options *o);
int tb_transport_ports(const struct tb_settings *s, struct tb_node *node);
bool tb_transport_epmd(const struct tb_settings *s);

#endif
