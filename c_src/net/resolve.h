/* resolve.h - host names to addresses, without blocking.
 * In Erlang: inet:getaddrs/2. */
#ifndef TB_NET_RESOLVE_H
#define TB_NET_RESOLVE_H

#include <netinet/in.h>
#include <stddef.h>
#include <uv.h>

#define TB_MAX_ADDRESSES 8

struct tb_resolver;
struct tb_lookup;

struct tb_addresses {
    unsigned n;
    struct sockaddr_in at[TB_MAX_ADDRESSES]; /* port 0 */
};

/* status: 0 and at least one address, -TB_ENXDOMAIN or another error. Called
 * from the loop; not after tb_lookup_cancel(). */
typedef void (*tb_resolved)(void *ctx, int status,
                            const struct tb_addresses *found);

/* tb_resolver_new - reads resolv.conf once. tb_resolver_free - drops what is
 * under way; asynchronous: handles close on the loop. */
int tb_resolver_new(uv_loop_t *loop, struct tb_resolver **out);
void tb_resolver_free(struct tb_resolver *r);

/* tb_resolve - a name of the hosts file or of DNS, or an address as text.
 * Returns the lookup, which ends with its callback, or NULL (no memory). */
struct tb_lookup *tb_resolve(struct tb_resolver *r, const char *host,
                             tb_resolved done, void *ctx);
void tb_lookup_cancel(struct tb_lookup *l);

#endif
