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

static bool
is_inet6(const struct tb_settings *s)
{
    const char *proto = tb_settings_text(s, TB_SET_PROTO_DIST);

    return strncmp(proto, "inet6", strlen("inet6")) == 0;
}

int
tb_transport_check(const struct tb_settings *s, struct tb_wr *errors)
{
    const char *address = tb_settings_text(s, TB_SET_LISTEN_ADDRESS);
    size_t before = errors->len;

    if (tb_settings_text(s, TB_SET_LISTEN_MAX) &&
        tb_settings_number(s, TB_SET_LISTEN_MIN) >
            tb_settings_number(s, TB_SET_LISTEN_MAX))
        tb_wr_str(errors, "tiebeam: inet_dist_listen_min is above "
                          "inet_dist_listen_max\n");
    if (address && (strchr(address, ':') != NULL) != is_inet6(s))
        tb_wr_printf(errors,
                     "tiebeam: inet_dist_use_interface %s is no address for "
                     "-proto_dist %s\n",
                     address, tb_settings_text(s, TB_SET_PROTO_DIST));
    return errors->len == before ? 0 : -TB_EBADARG;
}

void
tb_transport_options(const struct tb_settings *s, struct tb_options *o)
{
    o->inet6 = is_inet6(s);
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
