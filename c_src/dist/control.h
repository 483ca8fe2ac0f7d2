/* control.h - frame to control message and back.
 *
 * The layout without a distribution header: 112, 131, control, [131, payload];
 * where both sides announced DIST_HDR_ATOM_CACHE: 131, 68, the atoms of the
 * message, control, [payload], and its terms may refer to these atoms. Nothing
 * above sees the difference: what is read has no references, and only what is
 * begun with a table has them when it is written. */
#ifndef TB_DIST_CONTROL_H
#define TB_DIST_CONTROL_H

#include "dist/atom_cache.h"
#include "dist/dop.h"
#include "term/atom_table.h"

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

/* What a message becomes where its atoms were references. Zeroed but for .max,
 * which is how long either may become; owned by who has it. */
struct tb_expanded {
    struct tb_wr control, payload;
};

/* tb_control_read - the same for a connection with atom caches. cache is the
 * peer's, and is told of each frame, in the order in which they come; *out
 * borrows from p and to. -TB_EATOM_CACHE and -TB_ELIMIT, too: no further frame
 * can be read.
 * tb_expanded_free - its memory; or only what it needs beyond keep bytes. */
int tb_control_read(struct tb_atom_cache *cache, struct tb_expanded *to,
                    const uint8_t *p, size_t n, struct tb_control *out);
void tb_expanded_free(struct tb_expanded *e, size_t keep);

/* tb_control_put - append a whole frame, its length first. The message is
 * given in its newest form and written in the form that flags call for: no
 * EXIT_PAYLOAD, no SEND_SENDER, no UNLINK_ID. Returns 0, -TB_ENOTSUP where
 * these flags have no form for it, or the sticky error of w. */
int tb_control_put(struct tb_wr *w, uint64_t flags, enum tb_dop op,
                   struct tb_args args, struct tb_term payload);

/* tb_control_begin - the same for a message whose payload the caller appends
 * to w, as a term. 0 and *at, or -TB_ENOTSUP.
 * tb_control_begin_with - the same where that payload has references to the
 * atoms of a table; it begins where w ends. -TB_ENOTSUP, too, without
 * tb_control_takes_tables().
 * tb_control_end - the frame that begins at is complete: 0, or the error of w,
 * and the frame is taken back. */
int tb_control_begin(struct tb_wr *w, uint64_t flags, enum tb_dop op,
                     struct tb_args args, size_t *at);
int tb_control_begin_with(struct tb_wr *w, uint64_t flags,
                          const struct tb_atom_table *table, enum tb_dop op,
                          struct tb_args args);
int tb_control_end(struct tb_wr *w, size_t at);
bool tb_control_takes_tables(uint64_t flags);

/* tb_control_readable - whether a peer with these flags can read all terms of
 * the complete frame that begins at p: identifiers of OTP 26 and later make
 * OTP 23 close the connection. */
bool tb_control_readable(uint64_t flags, const uint8_t *p, size_t n);

/* tb_control_name - "SEND_SENDER", or "?". */
const char *tb_control_name(unsigned op);

#endif
