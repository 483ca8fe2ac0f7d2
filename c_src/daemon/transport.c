/* transport.c - settings of how a node is reached, and how it reaches others.
 * In Erlang: -proto_dist, -erl_epmd_port, -start_epmd.
 * Owns: nothing. Borrows: the settings. Thread: any. */
#include "daemon/transport.h"

#include <string.h>

/* As release scripts do, $ERL_DIST_PORT means no epmd, too. */
bool
tb_transport_epmd(const struct tb_settings *s)
{
    const char *from = s->v[TB_SET_DIST_PORT].origin;

    if (tb_settings_given(s, TB_SET_START_EPMD))
        return tb_settings_number(s, TB_SET_START_EPMD) != 0;
    return !from || strcmp(from, "environment ERL_DIST_PORT") != 0;
}

void
tb_transport_options(const struct tb_settings *s, struct tb_options *o)
{
    const char *proto = tb_settings_text(s, TB_SET_PROTO_DIST);

    o->inet6 = strncmp(proto, "inet6", strlen("inet6")) == 0;
    o->epmd_port = (int)tb_settings_number(s, TB_SET_EPMD_PORT);
    o->dial_port = (int)tb_settings_number(s, TB_SET_DIST_PORT);
}

int
tb_transport_ports(const struct tb_settings *s, struct tb_node *node)
{
    const char *rest = tb_settings_text(s, TB_SET_PEER_PORTS);
    char peer[256];
    int port, err = 0;

    while (rest && err >= 0 && tb_ports_next(&rest, peer, &port))
        err = tb_node_set_port(node, peer, port);
    return err;
}
