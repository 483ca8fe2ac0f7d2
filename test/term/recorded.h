/* recorded.h - walks the terms that record.escript wrote. */
#ifndef TB_TEST_TERM_RECORDED_H
#define TB_TEST_TERM_RECORDED_H

#include <stdio.h>

#include "base/rd.h"
#include "base/wr.h"

#define RECORDED_TERMS "test/data/otp25/terms.bin"

/* recorded_open - the file, into w (to be freed), and a reader of it.
 * recorded_next - the next term without its version byte; false at the end. */
static inline struct tb_rd
recorded_open(struct tb_wr *w)
{
    FILE *f = fopen(RECORDED_TERMS, "rb");
    uint8_t *room;
    size_t n = 1;

    if (!f)
        fail_msg("%s: no such recording", RECORDED_TERMS);
    while (n > 0 && (room = tb_wr_room(w, 4096))) {
        n = fread(room, 1, 4096, f);
        tb_wr_add(w, n);
    }
    fclose(f);
    assert_false(w->bad);
    assert_true(w->len > 0);
    return tb_rd_of(w->buf, w->len);
}

static inline bool
recorded_next(struct tb_rd *r, const uint8_t **p, size_t *n)
{
    if (tb_rd_left(r) == 0)
        return false;
    *n = tb_rd_u32(r) - 1;
    assert_int_equal(tb_rd_u8(r), 131);
    *p = tb_rd_take(r, *n);
    assert_non_null(*p);
    return true;
}

#endif
