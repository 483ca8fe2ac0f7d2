/* control.h - frame to control message and back.
 *
 * The layout without a distribution header: 112, 131, control, [131, payload].
 * A connection that negotiated DIST_HDR_ATOM_CACHE would read its header here
 * too; nothing above sees the difference. */
#ifndef TB_DIST_CONTROL_H
#define TB_DIST_CONTROL_H

#include "dist/dop.h"
#include "tiebeam.h"

struct tb_control {
    enum tb_dop op;
    struct tb_val arg[TB_MAX_HOLES]; /* the holes of the row's pattern */
    struct tb_term payload;          /* n == 0: none */
};

/* tb_control_init - compile the table; 0 or an error (of ours). Idempotent. */
int tb_control_init(void);
void tb_control_fini(void);

/* tb_control_get - 1 and *out (which borrows from p), 0 for a message that is
 * not known (to be counted), or
 *   -TB_EBADTERM, -TB_EUNKNOWN_TAG (drop the frame, keep the connection),
 *   -TB_EPROTO: a known number with wrong operands. */
int tb_control_get(const uint8_t *p, size_t n, struct tb_control *out);

/* tb_control_put - append a whole frame, its length first. The message is
 * given in its newest form and written in the form that flags call for: no
 * EXIT_PAYLOAD, no SEND_SENDER, no UNLINK_ID. Returns 0, -TB_ENOTSUP where
 * these flags have no form for it, or the sticky error of w. */
int tb_control_put(struct tb_wr *w, uint64_t flags, enum tb_dop op,
                   struct tb_args args, struct tb_term payload);

/* tb_control_begin - the same for a message whose payload the caller appends
 * to w, as a term. 0 and *at, or -TB_ENOTSUP.
 * tb_control_end - the frame that begins at is complete: 0, or the error of w,
 * and the frame is taken back. */
int tb_control_begin(struct tb_wr *w, uint64_t flags, enum tb_dop op,
                     struct tb_args args, size_t *at);
int tb_control_end(struct tb_wr *w, size_t at);

/* tb_control_readable - whether a peer with these flags can read all terms of
 * the complete frame that begins at p: identifiers of OTP 26 and later make
 * OTP 23 close the connection. */
bool tb_control_readable(uint64_t flags, const uint8_t *p, size_t n);

/* tb_control_name - "SEND_SENDER", or "?". */
const char *tb_control_name(unsigned op);

#endif
