/* dial.c - from the name of a node to a socket: its host, its port, connect.
 * In Erlang: the first half of inet_tcp_dist:setup/5.
 * Owns: lookups of a connection. Thread: loop. */
#include <string.h>

#include "net/conn.h"
#include "net/epmd_client.h"

static void try_address(struct tb_conn *c);

/* Another address of the host may serve; the last one's error counts. */
void
tb_dial_next(struct tb_conn *c, int why)
{
    if (++c->address < c->addresses.n)
        try_address(c);
    else
        tb_conn_fail(c, why);
}

/* The name of a node that is dialled has a host. */
static size_t
alive_length(const struct tb_conn *c)
{
    return strcspn(c->hs.name, "@");
}

static const char *
host_of(const struct tb_conn *c)
{
    return c->hs.name + alive_length(c) + 1;
}

static void
connect_to(struct tb_conn *c, uint16_t port)
{
    union tb_address *to = &c->addresses.at[c->address];
    int rc;

    tb_address_port(to, port);
    tb_conn_to(c, TB_CONN_CONNECT);
    rc = c->net->transport->connect(c->net, &to->any, host_of(c),
                                    &tb_conn_stream_cb, c, &c->stream);
    if (rc < 0)
        tb_dial_next(c, rc);
    else
        c->open_handles++;
}

static void
on_port(void *ctx, int status, const uint8_t *reply, size_t n)
{
    struct tb_conn *c = ctx;
    struct tb_epmd_node node = { 0 };
    int rc = status;

    c->query = NULL;
    if (rc == 0)
        rc = tb_epmd_get_port2(reply, n, true, &node);
    if (rc < 0)
        tb_dial_next(c, rc);
    else
        connect_to(c, node.port);
}

static void
ask_epmd(struct tb_conn *c)
{
    union tb_address to = c->addresses.at[c->address];
    struct tb_wr request = { 0 };

    tb_conn_to(c, TB_CONN_LOOKUP);
    tb_address_port(&to, c->net->epmd_port);
    tb_epmd_put_port_please2(&request,
                             (struct tb_text){ c->hs.name, alive_length(c) });
    c->query = tb_epmd_ask(c->net->loop, &to.any, &request, on_port, c);
    tb_wr_free(&request);
    if (!c->query)
        tb_conn_fail(c, -TB_ELIMIT);
}

static void
try_address(struct tb_conn *c)
{
    struct tb_text peer = { c->hs.name, c->hs.name_len };
    uint16_t port = c->net->cb->port(c->net->ctx, peer);

    if (port)
        connect_to(c, port);
    else
        ask_epmd(c);
}

static void
on_addresses(void *ctx, int status, const struct tb_addresses *found)
{
    struct tb_conn *c = ctx;

    c->lookup = NULL;
    if (status < 0) {
        tb_conn_fail(c, status);
        return;
    }
    c->addresses = *found;
    c->address = 0;
    try_address(c);
}

struct tb_conn *
tb_conn_dial(struct tb_net *net, struct tb_text name, void *owner)
{
    bool ok = name.n < sizeof(((struct tb_conn *)0)->hs.name) &&
              memchr(name.p, '@', name.n);
    struct tb_conn *c = ok ? tb_conn_new(net, true, TB_CONN_RESOLVE) : NULL;

    if (!c)
        return NULL;
    c->owner = owner;
    memcpy(c->hs.name, name.p, name.n);
    c->hs.name_len = (uint8_t)name.n;
    c->lookup = tb_resolve(net->resolver, host_of(c), on_addresses, c);
    if (!c->lookup)
        tb_conn_fail(c, -TB_ELIMIT);
    return c;
}
