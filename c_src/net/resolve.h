/* resolve.h - host names to addresses, without blocking.
 * In Erlang: inet:getaddrs/2. */
#ifndef TB_NET_RESOLVE_H
#define TB_NET_RESOLVE_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#define TB_MAX_ADDRESSES 8

struct tb_resolver;
struct tb_lookup;

union tb_address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

struct tb_addresses {
    unsigned n;
    union tb_address at[TB_MAX_ADDRESSES]; /* port 0 */
};

/* tb_address_of - from text; host NULL: every address of this host. Returns 0,
 * or -TB_EBADARG where it is none of that family.
 * tb_address_loopback - 127.0.0.1 or ::1.
 * tb_address_port - set the port. */
int tb_address_of(int family, const char *host, union tb_address *out);
void tb_address_loopback(int family, union tb_address *out);
void tb_address_port(union tb_address *a, uint16_t port);

/* status: 0 and at least one address, -TB_ENXDOMAIN or another error. Called
 * from the loop; not after tb_lookup_cancel(). */
typedef void (*tb_resolved)(void *ctx, int status,
                            const struct tb_addresses *found);

/* tb_resolver_new - reads resolv.conf once. family: AF_INET, or AF_INET6 where
 * all names are looked up as such. tb_resolver_free - drops what is under way;
 * asynchronous: handles close on the loop.
 * tb_resolver_for_dns - one for tb_resolve_records(): nameservers and search as
 * tb_dns_new() has them. 0, -TB_EBADARG or -TB_ELIMIT. */
int tb_resolver_new(uv_loop_t *loop, int family, struct tb_resolver **out);
int tb_resolver_for_dns(uv_loop_t *loop, const char *nameservers,
                        const char *search, struct tb_resolver **out);
void tb_resolver_free(struct tb_resolver *r);

/* tb_resolve - a name of the hosts file or of DNS, or an address as text.
 * Returns the lookup, which ends with its callback, or NULL (no memory). */
struct tb_lookup *tb_resolve(struct tb_resolver *r, const char *host,
                             tb_resolved done, void *ctx);
void tb_lookup_cancel(struct tb_lookup *l);

/* tb_resolve_records - ask DNS alone for the records of a type (RFC 1035).
 * answer: the message, lent; empty on errors. Called once, from the loop, at
 * the latest after timeout_ms; not after tb_records_cancel(). NULL: no memory.
 */
struct tb_records;
typedef void (*tb_recorded)(void *ctx, int status, const uint8_t *answer,
                            size_t n);
struct tb_records *tb_resolve_records(struct tb_resolver *r, const char *name,
                                      int type, uint64_t timeout_ms,
                                      tb_recorded done, void *ctx);
void tb_records_cancel(struct tb_records *q);

#endif
