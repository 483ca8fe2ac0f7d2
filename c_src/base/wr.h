/* wr.h - growing writer with a cap and a sticky error (struct tb_wr). */
#ifndef TB_BASE_WR_H
#define TB_BASE_WR_H

#include "tiebeam.h"

/* tb_wr_room - at least n writable bytes at the end, or NULL (and .bad).
 * tb_wr_add - the first n of them are written now. */
uint8_t *tb_wr_room(struct tb_wr *w, size_t n);
void tb_wr_add(struct tb_wr *w, size_t n);

void tb_wr_u8(struct tb_wr *w, uint8_t v);
void tb_wr_u16(struct tb_wr *w, uint16_t v);
void tb_wr_u32(struct tb_wr *w, uint32_t v);
void tb_wr_u64(struct tb_wr *w, uint64_t v);

/* tb_wr_patch_u32 - overwrite four bytes written before, at offset at. */
void tb_wr_patch_u32(struct tb_wr *w, size_t at, uint32_t v);

/* tb_wr_clear - empty again; the memory stays, but for what exceeds keep. */
void tb_wr_clear(struct tb_wr *w, size_t keep);

/* tb_wr_status - 0, or why it is bad. */
int tb_wr_status(const struct tb_wr *w);

#endif
