/* frame.h - cuts a stream into length-prefixed frames.
 *
 * Bytes that come are lent for the call; only an unfinished frame is copied,
 * into memory that grows with what arrives, never with what was announced. */
#ifndef TB_DIST_FRAME_H
#define TB_DIST_FRAME_H

#include "base/wr.h"

struct tb_frames {
    unsigned length_bytes; /* 2 or 4; may change between frames */
    size_t max;            /* longest body accepted */
    struct tb_wr part;     /* owned: an unfinished frame */
    const uint8_t *p;      /* what is left of the bytes lent */
    size_t n;
};

/* tb_frames_lend - the bytes to cut up; valid until tb_frames_keep().
 * tb_frames_next - 1 and a body (borrowed; of no length: a tick), 0 when
 *   nothing complete is left, -TB_ELIMIT for an announced length above max.
 * tb_frames_keep - copy what is left over. 0 or -TB_ELIMIT (no memory).
 * tb_frames_fini - free. */
void tb_frames_lend(struct tb_frames *f, const uint8_t *p, size_t n);
int tb_frames_next(struct tb_frames *f, const uint8_t **body, size_t *n);
int tb_frames_keep(struct tb_frames *f);
void tb_frames_fini(struct tb_frames *f);

#endif
