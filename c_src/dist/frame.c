/* frame.c - cuts a stream into length-prefixed frames, a tick being an empty
 * one. In Erlang: {packet, 2} and {packet, 4} of gen_tcp.
 * Owns: the bytes of an unfinished frame. Borrows: what was lent.
 * Thread: any, one at a time.
 * Source: erl_dist_protocol, "Protocol between Connected Nodes".
 *
 * part.len is 0 once the frame in it was handed out; its memory stays until
 * nothing can refer to it any more. */
#include "dist/frame.h"

#include "base/rd.h"

static size_t
announced(const struct tb_frames *f, const uint8_t *p)
{
    struct tb_rd r = tb_rd_of(p, f->length_bytes);

    return f->length_bytes == 2 ? tb_rd_u16(&r) : tb_rd_u32(&r);
}

/* Tells whether part holds that many bytes, after taking from those lent. */
static bool
top_up(struct tb_frames *f, size_t bytes)
{
    size_t take;

    if (f->part.len < bytes && f->n > 0) {
        take = bytes - f->part.len;
        take = take < f->n ? take : f->n;
        f->part.max = SIZE_MAX; /* f->max has been asked, or it is a header */
        tb_wr_bytes(&f->part, f->p, take);
        f->p += take;
        f->n -= take;
    }
    return !f->part.bad && f->part.len >= bytes;
}

static int
next_lent(struct tb_frames *f, const uint8_t **body, size_t *n)
{
    size_t head = f->length_bytes, length;

    if (f->n < head)
        return 0;
    length = announced(f, f->p);
    if (length > f->max)
        return -TB_ELIMIT;
    if (f->n - head < length)
        return 0;
    *body = f->p + head;
    *n = length;
    f->p += head + length;
    f->n -= head + length;
    return 1;
}

static int
next_kept(struct tb_frames *f, const uint8_t **body, size_t *n)
{
    size_t head = f->length_bytes, length;

    if (!top_up(f, head))
        return tb_wr_status(&f->part);
    length = announced(f, f->part.buf);
    if (length > f->max)
        return -TB_ELIMIT;
    if (!top_up(f, head + length))
        return tb_wr_status(&f->part);
    if (f->part.len > head + length) {
        /* The owner kept whole frames: go on as if all had been lent. */
        if (!top_up(f, f->part.len + f->n))
            return tb_wr_status(&f->part);
        f->p = f->part.buf;
        f->n = f->part.len;
        f->part.len = 0;
        return next_lent(f, body, n);
    }
    *body = f->part.buf + head;
    *n = length;
    f->part.len = 0;
    return 1;
}

void
tb_frames_lend(struct tb_frames *f, const uint8_t *p, size_t n)
{
    f->p = p;
    f->n = n;
}

int
tb_frames_next(struct tb_frames *f, const uint8_t **body, size_t *n)
{
    if (f->part.bad)
        return -TB_ELIMIT;
    if (f->part.len > 0)
        return next_kept(f, body, n);
    if (f->n > 0)
        return next_lent(f, body, n);
    tb_wr_free(&f->part);
    return 0;
}

int
tb_frames_keep(struct tb_frames *f)
{
    struct tb_wr part = { .max = SIZE_MAX };

    if (f->part.bad)
        return -TB_ELIMIT;
    if (f->part.len > 0) {
        (void)top_up(f, f->part.len + f->n);
    } else {
        /* Fresh memory: f->p may lie in part, and a tail needs little. */
        if (f->n > 0)
            tb_wr_bytes(&part, f->p, f->n);
        tb_wr_free(&f->part);
        f->part = part;
    }
    f->p = NULL;
    f->n = 0;
    return tb_wr_status(&f->part);
}

void
tb_frames_fini(struct tb_frames *f)
{
    tb_wr_free(&f->part);
    f->p = NULL;
    f->n = 0;
}
