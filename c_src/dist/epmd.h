/* epmd.h - requests to the Erlang port mapper daemon and its replies, as
 * bytes. Source: erl_dist_protocol, "EPMD Protocol". */
#ifndef TB_DIST_EPMD_H
#define TB_DIST_EPMD_H

#include "base/rd.h"
#include "base/wr.h"

#define TB_EPMD_PORT 4369

/* Requests, with their two bytes of length. name: the part before '@', of at
 * most TB_MAX_NODE_BYTES (else w is bad). */
void tb_epmd_put_alive2(struct tb_wr *w, struct tb_text name, uint16_t port);
void tb_epmd_put_port_please2(struct tb_wr *w, struct tb_text name);
void tb_epmd_put_names(struct tb_wr *w);

/* Replies; all read what has come so far, and return
 *   1 where it is complete and *out is written, 0 where more must come,
 *   a negative error: -TB_EPROTO, -TB_EIN_USE, -TB_ENOT_IN_EPMD.
 * eof: the peer has closed, nothing more will come. A reply with more bytes
 * than it should have is malformed, and so are creation 0 and port 0. */
int tb_epmd_get_alive2(const uint8_t *p, size_t n, uint32_t *creation);

struct tb_epmd_node {
    uint16_t port;
    uint16_t highest, lowest; /* distribution versions */
};
int tb_epmd_get_port2(const uint8_t *p, size_t n, bool eof,
                      struct tb_epmd_node *out);

/* tb_epmd_next_name - step through a complete answer to NAMES (behind its
 * first four bytes): 1 and the next name, 0 at the end, -TB_EPROTO. */
int tb_epmd_next_name(struct tb_rd *r, struct tb_text *name, uint16_t *port);

#endif
