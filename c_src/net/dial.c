/* dial.c - from the name of a node to a socket: its host, its port, connect.
 * In Erlang: the first half of inet_tcp_dist:setup/5.
 * Owns: lookups of a connection. Thread: loop. */
#include <arpa/inet.h>
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

static void
on_port(void *ctx, int status, const uint8_t *reply, size_t n)
{
    struct tb_conn *c = ctx;
    struct tb_epmd_node node = { 0 };
    struct sockaddr_in *to = &c->addresses.at[c->address];
    int rc = status;

    c->query = NULL;
    if (rc == 0)
        rc = tb_epmd_get_port2(reply, n, true, &node);
    if (rc < 0) {
        tb_dial_next(c, rc);
        return;
    }
    to->sin_port = htons(node.port);
    tb_conn_to(c, TB_CONN_CONNECT);
    rc = c->net->transport->connect(c->net, (struct sockaddr *)to,
                                    &tb_conn_stream_cb, c, &c->stream);
    if (rc < 0)
        tb_dial_next(c, rc);
    else
        c->open_handles++;
}

static struct tb_text
alive_part(const struct tb_conn *c)
{
    const char *at = memchr(c->hs.name, '@', c->hs.name_len);

    return (struct tb_text){ c->hs.name, (size_t)(at - c->hs.name) };
}

static void
try_address(struct tb_conn *c)
{
    struct sockaddr_in to = c->addresses.at[c->address];
    struct tb_wr request = { 0 };

    tb_conn_to(c, TB_CONN_LOOKUP);
    to.sin_port = htons(c->net->epmd_port);
    tb_epmd_put_port_please2(&request, alive_part(c));
    c->query = tb_epmd_ask(c->net->loop, &to, &request, on_port, c);
    tb_wr_free(&request);
    if (!c->query)
        tb_conn_fail(c, -TB_ELIMIT);
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
    const char *at = name.n < sizeof(((struct tb_conn *)0)->hs.name)
                         ? memchr(name.p, '@', name.n)
                         : NULL;
    struct tb_conn *c = at ? tb_conn_new(net, true, TB_CONN_RESOLVE) : NULL;

    if (!c)
        return NULL;
    c->owner = owner;
    memcpy(c->hs.name, name.p, name.n);
    c->hs.name_len = (uint8_t)name.n;
    c->lookup = tb_resolve(net->resolver, c->hs.name + (at - name.p) + 1,
                           on_addresses, c);
    if (!c->lookup)
        tb_conn_fail(c, -TB_ELIMIT);
    return c;
}
