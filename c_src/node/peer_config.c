/* peer_config.c - what is given for single peers: a cookie, a port.
 * In Erlang: erlang:set_cookie/2, and what an epmd module answers.
 * Owns: both tables. Thread: loop. */
#include "node/peer_config.h"

#include <string.h>

#include "base/mem.h"
#include "term/ident.h"

int
tb_cookie_of(struct tb_cookie *to, const char *text)
{
    size_t n = text ? strlen(text) : 0;

    if (n == 0 || n > TB_MAX_COOKIE)
        return -TB_EBADARG;
    to->n = (uint8_t)n;
    memcpy(to->text, text, n);
    return 0;
}

int
tb_node_set_cookie(struct tb_node *node, tb_atom peer, const char *cookie)
{
    struct tb_cookie *c = tb_new(struct tb_cookie);
    int rc = tb_cookie_of(c, cookie);

    if (rc < 0) {
        tb_free(c);
        return rc;
    }
    tb_free(tb_map_take(node->cookies, &peer, sizeof(peer)));
    return tb_map_put(node->cookies, &peer, sizeof(peer), c);
}

const struct tb_cookie *
tb_peer_cookie(const struct tb_node *node, struct tb_text peer)
{
    tb_atom name = tb_atom_find(peer);
    const struct tb_cookie *own =
        name ? tb_map_get(node->cookies, &name, sizeof(name)) : NULL;

    return own ? own : &node->cookie;
}

int
tb_node_set_port(struct tb_node *node, const char *peer, int port)
{
    size_t n = strlen(peer);

    if (n == 0 || n > TB_MAX_NODE_BYTES || port < 0 || port > UINT16_MAX)
        return -TB_EBADARG;
    tb_map_take(node->ports, peer, n);
    if (port == 0)
        return 0;
    return tb_map_put(node->ports, peer, n, (void *)(uintptr_t)port);
}

/* That of the node goes before that of its host, that before the one of all. */
uint16_t
tb_peer_port(const struct tb_node *node, struct tb_text peer)
{
    const char *at = memchr(peer.p, '@', peer.n);
    const void *port = tb_map_get(node->ports, peer.p, peer.n);

    if (!port && at)
        port =
            tb_map_get(node->ports, at + 1, peer.n - (size_t)(at + 1 - peer.p));
    return port ? (uint16_t)(uintptr_t)port : (uint16_t)node->options.dial_port;
}
