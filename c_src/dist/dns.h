/* dns.h - answers of name servers, as bytes.
 * In Erlang: inet_dns. Source: RFC 1035, section 4; RFC 2782; RFC 3596. */
#ifndef TB_DIST_DNS_H
#define TB_DIST_DNS_H

#include "base/rd.h"
#include "tiebeam.h"

#define TB_DNS_NAME_MAX 256 /* as text, with its NUL */

struct tb_dns_record {
    uint32_t ttl; /* seconds */
    union {
        uint8_t address[16]; /* A: the first four */
        struct {
            uint16_t priority, weight, port;
        } srv;
    };
    char name[TB_DNS_NAME_MAX]; /* SRV: the target; PTR: the host */
};

struct tb_dns_reader {
    struct tb_rd all, r; /* the message; what is left of it */
    enum tb_dns_type type;
    unsigned left; /* records */
};

/* tb_dns_open - read the header and the question. Returns 0, the error that
 * the server tells, -TB_ENODATA where there are no records at all, or
 * -TB_EPROTO.
 * tb_dns_next - 1 and the next record of that type, 0 at the end, -TB_EPROTO.
 * A record whose name is no host name is left out. */
int tb_dns_open(struct tb_dns_reader *d, enum tb_dns_type type,
                const uint8_t *p, size_t n);
int tb_dns_next(struct tb_dns_reader *d, struct tb_dns_record *out);

/* tb_dns_error - of a response code; 0 for none. */
int tb_dns_error(unsigned rcode);

/* tb_dns_reverse - the name under which the host of an address is asked for
 * (type PTR), as text. false: the text is no address. */
bool tb_dns_reverse(const char *address, char out[TB_DNS_NAME_MAX]);

#endif
