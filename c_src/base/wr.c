/* wr.c - growing writer: all output is made in one of these.
 * Owns: its buffer. Thread: any, one at a time. */
#include "base/wr.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"

static bool
grow(struct tb_wr *w, size_t need)
{
    size_t max = w->max ? w->max : TB_MAX_FRAME;
    size_t cap = w->cap ? w->cap : 64;
    uint8_t *buf;

    if (need > max)
        return false;
    while (cap < need)
        cap *= 2;
    if (cap > max)
        cap = max;
    buf = tb_try_realloc(w->buf, cap);
    if (!buf)
        return false;
    w->buf = buf;
    w->cap = cap;
    return true;
}

uint8_t *
tb_wr_room(struct tb_wr *w, size_t n)
{
    if (w->bad)
        return NULL;
    if (n > w->cap - w->len && (n > SIZE_MAX - w->len || !grow(w, w->len + n)))
        w->bad = true;
    return w->bad || !w->buf ? NULL : w->buf + w->len;
}

void
tb_wr_add(struct tb_wr *w, size_t n)
{
    w->len += n;
}

void
tb_wr_bytes(struct tb_wr *w, const void *p, size_t n)
{
    uint8_t *room = n ? tb_wr_room(w, n) : NULL;

    if (!room)
        return;
    memcpy(room, p, n);
    w->len += n;
}

void
tb_wr_str(struct tb_wr *w, const char *s)
{
    tb_wr_bytes(w, s, strlen(s));
}

void
tb_wr_u8(struct tb_wr *w, uint8_t v)
{
    tb_wr_bytes(w, &v, 1);
}

void
tb_wr_u16(struct tb_wr *w, uint16_t v)
{
    tb_wr_bytes(w, (uint8_t[]){ (uint8_t)(v >> 8), (uint8_t)v }, 2);
}

static void
store_u32(uint8_t *to, uint32_t v)
{
    to[0] = (uint8_t)(v >> 24);
    to[1] = (uint8_t)(v >> 16);
    to[2] = (uint8_t)(v >> 8);
    to[3] = (uint8_t)v;
}

void
tb_wr_u32(struct tb_wr *w, uint32_t v)
{
    uint8_t *room = tb_wr_room(w, 4);

    if (!room)
        return;
    store_u32(room, v);
    w->len += 4;
}

void
tb_wr_u64(struct tb_wr *w, uint64_t v)
{
    tb_wr_u32(w, (uint32_t)(v >> 32));
    tb_wr_u32(w, (uint32_t)v);
}

void
tb_wr_printf(struct tb_wr *w, const char *fmt, ...)
{
    char text[256], *room;
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n < (int)sizeof(text)) {
        tb_wr_bytes(w, text, n > 0 ? (size_t)n : 0);
        return;
    }
    room = (char *)tb_wr_room(w, (size_t)n + 1); /* and the NUL */
    if (!room)
        return;
    va_start(ap, fmt);
    vsnprintf(room, (size_t)n + 1, fmt, ap);
    va_end(ap);
    w->len += (size_t)n;
}

void
tb_wr_patch_u32(struct tb_wr *w, size_t at, uint32_t v)
{
    if (!w->bad)
        store_u32(w->buf + at, v);
}

void
tb_wr_clear(struct tb_wr *w, size_t keep)
{
    w->len = 0;
    w->bad = false;
    if (w->cap > keep)
        tb_wr_free(w);
}

void
tb_wr_free(struct tb_wr *w)
{
    tb_free(w->buf);
    w->buf = NULL;
    w->len = w->cap = 0;
    w->bad = false;
}

int
tb_wr_status(const struct tb_wr *w)
{
    return w->bad ? -TB_ELIMIT : 0;
}
