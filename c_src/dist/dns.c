/* dns.c - answers of name servers, as bytes.
 * In Erlang: inet_dns. Owns: nothing. Borrows: the message. Thread: any.
 * Source: RFC 1035, section 4; RFC 2782; RFC 3596. */
#include "dist/dns.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define HEADER    12
#define MAX_JUMPS 32 /* compression pointers in one name */

int
tb_dns_error(unsigned rcode)
{
    static const int errors[] = {
        0, -TB_EFORMERR, -TB_ESERVFAIL, -TB_ENXDOMAIN, -TB_ENOTSUP, -TB_EREFUSED
    };

    return rcode < sizeof(errors) / sizeof(*errors) ? errors[rcode]
                                                    : -TB_ESERVFAIL;
}

/* A label becomes text; a dot or a control character in it would not be told
 * from a border. */
static bool
put_label(char *out, size_t *n, const uint8_t *label, size_t len)
{
    if (*n + len + 2 > TB_DNS_NAME_MAX)
        return false;
    if (*n > 0)
        out[(*n)++] = '.';
    for (size_t i = 0; i < len; i++) {
        if (!isalnum(label[i]) && label[i] != '-' && label[i] != '_')
            return false;
        out[(*n)++] = (char)label[i];
    }
    return true;
}

/* Reads a name, compressed or not. out: NULL to skip it. Returns whether it is
 * a host name; r->bad tells of what is no name at all. */
static bool
get_name(const struct tb_rd *all, struct tb_rd *r, char *out)
{
    struct tb_rd at = *r;
    size_t n = 0;
    bool ok = true, jumped = false;

    for (int jumps = 0; !at.bad;) {
        uint8_t len = tb_rd_u8(&at);

        if (len >= 0xc0) {
            size_t offset = (size_t)(len & 0x3f) << 8 | tb_rd_u8(&at);

            if (!jumped)
                *r = at;
            jumped = true;
            at.bad = at.bad || ++jumps > MAX_JUMPS ||
                     offset >= (size_t)(all->end - all->p);
            if (!at.bad)
                at = tb_rd_of(all->p + offset,
                              (size_t)(all->end - all->p) - offset);
        } else if (len > 0) {
            const uint8_t *label = len < 64 ? tb_rd_take(&at, len) : NULL;

            at.bad = at.bad || !label;
            ok = ok && label && (!out || put_label(out, &n, label, len));
        } else {
            break;
        }
    }
    if (!jumped || at.bad)
        *r = at;
    if (out)
        out[ok ? n : 0] = '\0';
    return ok && !at.bad && n > 0;
}

int
tb_dns_open(struct tb_dns_reader *d, enum tb_dns_type type, const uint8_t *p,
            size_t n)
{
    unsigned flags, questions, answers;

    d->all = d->r = tb_rd_of(p, n);
    d->type = type;
    tb_rd_u16(&d->r);
    flags = tb_rd_u16(&d->r);
    questions = tb_rd_u16(&d->r);
    answers = tb_rd_u16(&d->r);
    tb_rd_u32(&d->r);
    for (; questions > 0 && !d->r.bad; questions--) {
        get_name(&d->all, &d->r, NULL);
        tb_rd_u32(&d->r);
    }
    d->left = answers;
    if (n < HEADER || d->r.bad || !(flags & 0x8000))
        return -TB_EPROTO;
    if (flags & 0xf)
        return tb_dns_error(flags & 0xf);
    return answers ? 0 : -TB_ENODATA;
}

static bool
get_data(struct tb_dns_reader *d, struct tb_rd *data, size_t n,
         struct tb_dns_record *out)
{
    size_t address = d->type == TB_DNS_AAAA ? 16 : 4;
    const uint8_t *p;

    switch (d->type) {
    case TB_DNS_A:
    case TB_DNS_AAAA:
        p = n == address ? tb_rd_take(data, n) : NULL;
        if (p)
            memcpy(out->address, p, n);
        return p != NULL;
    case TB_DNS_SRV:
        out->srv.priority = tb_rd_u16(data);
        out->srv.weight = tb_rd_u16(data);
        out->srv.port = tb_rd_u16(data);
        return get_name(&d->all, data, out->name);
    default:
        return get_name(&d->all, data, out->name);
    }
}

int
tb_dns_next(struct tb_dns_reader *d, struct tb_dns_record *out)
{
    while (d->left > 0) {
        struct tb_rd data;
        unsigned type, class, n;

        d->left--;
        memset(out, 0, sizeof(*out));
        get_name(&d->all, &d->r, NULL);
        type = tb_rd_u16(&d->r);
        class = tb_rd_u16(&d->r);
        out->ttl = tb_rd_u32(&d->r);
        n = tb_rd_u16(&d->r);
        data = d->r;
        if (!tb_rd_take(&d->r, n) || d->r.bad)
            return -TB_EPROTO;
        data.end = data.p + n;
        if (type == (unsigned)d->type && class == 1 &&
            get_data(d, &data, n, out))
            return 1;
    }
    return 0;
}

bool
tb_dns_reverse(const char *address, char out[TB_DNS_NAME_MAX])
{
    uint8_t a[16];

    if (inet_pton(AF_INET, address, a) == 1) {
        snprintf(out, TB_DNS_NAME_MAX, "%u.%u.%u.%u.in-addr.arpa", a[3], a[2],
                 a[1], a[0]);
        return true;
    }
    if (inet_pton(AF_INET6, address, a) != 1)
        return false;
    for (size_t i = 0; i < 16; i++)
        snprintf(out + i * 4, 5, "%x.%x.", a[15 - i] & 0xf, a[15 - i] >> 4);
    memcpy(out + 64, "ip6.arpa", sizeof("ip6.arpa"));
    return true;
}
