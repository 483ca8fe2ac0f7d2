/* wr.h - growing writer with a cap and a sticky error (struct tb_wr). */
#ifndef TB_BASE_WR_H
#define TB_BASE_WR_H

#include "tiebeam.h"

/* tb_wr_more - tb_wr_room() where memory is needed. */
uint8_t *tb_wr_more(struct tb_wr *w, size_t n);

/* tb_wr_room - at least n writable bytes at the end, or NULL (and .bad).
 * tb_wr_add - the first n of them are written now. */
static inline uint8_t *
tb_wr_room(struct tb_wr *w, size_t n)
{
    if (!w->bad && w->buf && n <= w->cap - w->len)
        return w->buf + w->len;
    return tb_wr_more(w, n);
}

static inline void
tb_wr_add(struct tb_wr *w, size_t n)
{
    w->len += n;
}

static inline void
tb_wr_u8(struct tb_wr *w, uint8_t v)
{
    uint8_t *room = tb_wr_room(w, 1);

    if (room) {
        room[0] = v;
        w->len += 1;
    }
}

static inline void
tb_wr_u16(struct tb_wr *w, uint16_t v)
{
    tb_wr_u8(w, (uint8_t)(v >> 8));
    tb_wr_u8(w, (uint8_t)v);
}

static inline void
tb_wr_store_u32(uint8_t *to, uint32_t v)
{
    to[0] = (uint8_t)(v >> 24);
    to[1] = (uint8_t)(v >> 16);
    to[2] = (uint8_t)(v >> 8);
    to[3] = (uint8_t)v;
}

static inline void
tb_wr_u32(struct tb_wr *w, uint32_t v)
{
    uint8_t *room = tb_wr_room(w, 4);

    if (room) {
        tb_wr_store_u32(room, v);
        w->len += 4;
    }
}

static inline void
tb_wr_u64(struct tb_wr *w, uint64_t v)
{
    tb_wr_u32(w, (uint32_t)(v >> 32));
    tb_wr_u32(w, (uint32_t)v);
}

/* tb_wr_patch_u32 - overwrite four bytes written before, at offset at. */
static inline void
tb_wr_patch_u32(struct tb_wr *w, size_t at, uint32_t v)
{
    if (!w->bad)
        tb_wr_store_u32(w->buf + at, v);
}

/* tb_wr_clear - empty again; the memory stays, but for what exceeds keep. */
void tb_wr_clear(struct tb_wr *w, size_t keep);

/* tb_wr_status - 0, or why it is bad. */
int tb_wr_status(const struct tb_wr *w);

#endif
