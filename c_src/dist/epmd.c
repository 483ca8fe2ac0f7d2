/* epmd.c - requests to the Erlang port mapper daemon and its replies.
 * In Erlang: erl_epmd. Owns: nothing. Borrows: all. Thread: any.
 * Source: erl_dist_protocol, "EPMD Protocol". */
#include "dist/epmd.h"

#include <string.h>

#include "base/limits.h"

enum {
    EPMD_ALIVE2_REQ = 'x',
    EPMD_ALIVE2_RESP = 'y',
    EPMD_ALIVE2_X_RESP = 'v',
    EPMD_PORT_PLEASE2_REQ = 'z',
    EPMD_PORT2_RESP = 'w',
    EPMD_NAMES_REQ = 'n'
};

enum { NODE_TYPE_HIDDEN = 72, PROTOCOL_TCP = 0 };

/* OTP 23 chooses the form of its handshake by these; others do not look. */
enum { DIST_HIGHEST = 6, DIST_LOWEST = 5 };

static void
put_request(struct tb_wr *w, size_t length, uint8_t tag, struct tb_text name)
{
    if (name.n > TB_MAX_NODE_BYTES)
        w->bad = true;
    tb_wr_u16(w, (uint16_t)length);
    tb_wr_u8(w, tag);
}

void
tb_epmd_put_alive2(struct tb_wr *w, struct tb_text name, uint16_t port)
{
    put_request(w, 13 + name.n, EPMD_ALIVE2_REQ, name);
    tb_wr_u16(w, port);
    tb_wr_u8(w, NODE_TYPE_HIDDEN);
    tb_wr_u8(w, PROTOCOL_TCP);
    tb_wr_u16(w, DIST_HIGHEST);
    tb_wr_u16(w, DIST_LOWEST);
    tb_wr_u16(w, (uint16_t)name.n);
    tb_wr_bytes(w, name.p, name.n);
    tb_wr_u16(w, 0);
}

void
tb_epmd_put_port_please2(struct tb_wr *w, struct tb_text name)
{
    put_request(w, 1 + name.n, EPMD_PORT_PLEASE2_REQ, name);
    tb_wr_bytes(w, name.p, name.n);
}

void
tb_epmd_put_names(struct tb_wr *w)
{
    put_request(w, 1, EPMD_NAMES_REQ, (struct tb_text){ NULL, 0 });
}

/* More may come only while the fields read ran out of bytes. */
static int
reply_end(const struct tb_rd *r)
{
    if (r->bad)
        return 0;
    return tb_rd_left(r) > 0 ? -TB_EPROTO : 1;
}

int
tb_epmd_get_alive2(const uint8_t *p, size_t n, uint32_t *creation)
{
    struct tb_rd r = { p, p, false };
    uint8_t tag, result;
    uint32_t value;
    int rc;

    if (n == 0)
        return 0;
    r.end += n;
    tag = tb_rd_u8(&r);
    if (tag != EPMD_ALIVE2_X_RESP && tag != EPMD_ALIVE2_RESP)
        return -TB_EPROTO;
    result = tb_rd_u8(&r);
    if (result != 0)
        return -TB_EIN_USE;
    value = tag == EPMD_ALIVE2_X_RESP ? tb_rd_u32(&r) : tb_rd_u16(&r);
    rc = reply_end(&r);
    if (rc <= 0)
        return rc;
    if (value == 0) /* the wildcard: no pid of ours may carry it */
        return -TB_EPROTO;
    *creation = value;
    return 1;
}

/* 1 for a whole reply, 0 where bytes are missing. */
static int
parse_port2(struct tb_rd *r, struct tb_epmd_node *node)
{
    uint16_t length;

    if (tb_rd_u8(r) != EPMD_PORT2_RESP)
        return -TB_EPROTO;
    if (tb_rd_u8(r) != 0)
        return -TB_ENOT_IN_EPMD;
    node->port = tb_rd_u16(r);
    (void)tb_rd_u8(r); /* type: 'M' and 'H' are dialled alike */
    (void)tb_rd_u8(r);
    node->highest = tb_rd_u16(r);
    node->lowest = tb_rd_u16(r);
    length = tb_rd_u16(r);
    if (length > TB_MAX_NODE_BYTES)
        return -TB_EPROTO;
    (void)tb_rd_take(r, length);
    length = tb_rd_u16(r);
    (void)tb_rd_take(r, length);
    return reply_end(r);
}

int
tb_epmd_get_port2(const uint8_t *p, size_t n, bool eof,
                  struct tb_epmd_node *out)
{
    struct tb_epmd_node node = { 0, 0, 0 };
    struct tb_rd r = { p, p, false };
    int rc = 0;

    if (n > 0) {
        r.end += n;
        rc = parse_port2(&r, &node);
    }
    if (rc == 0 && eof)
        return -TB_EPROTO;
    if (rc <= 0)
        return rc;
    if (node.port == 0)
        return -TB_EPROTO;
    *out = node;
    return 1;
}

static int
parse_port(struct tb_text text, uint16_t *port)
{
    uint32_t value = 0;

    if (text.n == 0 || text.n > 5)
        return -TB_EPROTO;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return -TB_EPROTO;
        value = value * 10 + (uint32_t)(text.p[i] - '0');
    }
    if (value == 0 || value > UINT16_MAX)
        return -TB_EPROTO;
    *port = (uint16_t)value;
    return 0;
}

/* name NAME at port PORT; a name could contain the words in between, so the
 * last occurrence counts. */
static int
parse_name_line(struct tb_text line, struct tb_text *name, uint16_t *port)
{
    static const char before[] = "name ", between[] = " at port ";
    const size_t nbefore = sizeof(before) - 1, nbetween = sizeof(between) - 1;
    size_t at = line.n;
    struct tb_text digits;

    if (line.n < nbefore + nbetween || memcmp(line.p, before, nbefore) != 0)
        return -TB_EPROTO;
    at -= nbetween;
    while (at > nbefore && memcmp(line.p + at, between, nbetween) != 0)
        at--;
    if (at == nbefore)
        return -TB_EPROTO;
    digits.p = line.p + at + nbetween;
    digits.n = line.n - at - nbetween;
    if (parse_port(digits, port) < 0)
        return -TB_EPROTO;
    name->p = line.p + nbefore;
    name->n = at - nbefore;
    return 1;
}

int
tb_epmd_next_name(struct tb_rd *r, struct tb_text *name, uint16_t *port)
{
    size_t left = tb_rd_left(r);
    const uint8_t *line = r->p, *end;

    if (r->bad)
        return -TB_EPROTO;
    if (left == 0)
        return 0;
    end = memchr(line, '\n', left);
    if (!end)
        return -TB_EPROTO;
    left = (size_t)(end - line);
    (void)tb_rd_take(r, left + 1);
    return parse_name_line((struct tb_text){ (const char *)line, left }, name,
                           port);
}
