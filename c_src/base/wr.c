/* wr.c - growing writer: all output is made in one of these.
 * Owns: its buffer. Thread: any, one at a time. */
#include "base/wr.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"

/* From here on capacity does not double: the C library maps, and so clears,
 * what is larger than 32 MiB each time anew. */
#define LARGE ((size_t)4 << 20)

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
    if (cap > LARGE)
        cap = need + need / 4;
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
tb_wr_more(struct tb_wr *w, size_t n)
{
    if (w->bad)
        return NULL;
    if (n > w->cap - w->len && (n > SIZE_MAX - w->len || !grow(w, w->len + n)))
        w->bad = true;
    return w->bad || !w->buf ? NULL : w->buf + w->len;
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
