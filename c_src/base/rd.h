/* rd.h - bounds-checked reader: the only way to read a peer's bytes.
 *
 * Getters give 0 after a failure; read all fields, then ask .bad once. */
#ifndef TB_BASE_RD_H
#define TB_BASE_RD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tb_rd {
    const uint8_t *p, *end;
    bool bad;
};

static inline struct tb_rd
tb_rd_of(const void *p, size_t n)
{
    return (struct tb_rd){ p, (const uint8_t *)p + n, false };
}

static inline size_t
tb_rd_left(const struct tb_rd *r)
{
    return r->bad ? 0 : (size_t)(r->end - r->p);
}

/* tb_rd_take - the next n bytes, or NULL. */
static inline const uint8_t *
tb_rd_take(struct tb_rd *r, size_t n)
{
    const uint8_t *at = r->p;

    if (n > tb_rd_left(r)) {
        r->bad = true;
        return NULL;
    }
    r->p += n;
    return at;
}

static inline uint8_t
tb_rd_u8(struct tb_rd *r)
{
    const uint8_t *b = tb_rd_take(r, 1);

    return b ? b[0] : 0;
}

static inline uint16_t
tb_rd_u16(struct tb_rd *r)
{
    const uint8_t *b = tb_rd_take(r, 2);

    return b ? (uint16_t)((unsigned)b[0] << 8 | b[1]) : (uint16_t)0;
}

static inline uint32_t
tb_rd_u32(struct tb_rd *r)
{
    const uint8_t *b = tb_rd_take(r, 4);

    if (!b)
        return 0;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 |
           b[3];
}

static inline uint64_t
tb_rd_u64(struct tb_rd *r)
{
    uint64_t high = tb_rd_u32(r);

    return high << 32 | tb_rd_u32(r);
}

#endif
