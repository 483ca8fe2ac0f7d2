/* md5.c - MD5, as erts has one of its own: OpenSSL refuses it in FIPS mode, and
 * takes milliseconds and megabytes to make itself ready for sixteen bytes.
 * Owns: nothing. Thread: any. Source: RFC 1321. */
#include "base/md5.h"

#include <string.h>

#define BLOCK_BYTES 64

/* floor(2^32 * abs(sin(i + 1))) */
/* clang-format off */
static const uint32_t sines[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee,
    0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be,
    0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa,
    0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed,
    0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c,
    0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05,
    0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039,
    0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1,
    0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};
/* clang-format on */

static const uint8_t shifts[4][4] = {
    { 7, 12, 17, 22 }, { 5, 9, 14, 20 }, { 4, 11, 16, 23 }, { 6, 10, 15, 21 }
};

static uint32_t
get_u32(const uint8_t *p)
{
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 |
           p[0];
}

static void
put_u32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

/* The function of a round, and the word of the block that step i takes. */
static uint32_t
mix(unsigned i, const uint32_t s[4], unsigned *word)
{
    uint32_t b = s[1], c = s[2], d = s[3];

    switch (i / 16) {
    case 0:
        *word = i;
        return (b & c) | (~b & d);
    case 1:
        *word = (5 * i + 1) % 16;
        return (d & b) | (~d & c);
    case 2:
        *word = (3 * i + 5) % 16;
        return b ^ c ^ d;
    default:
        *word = (7 * i) % 16;
        return c ^ (b | ~d);
    }
}

static void
add_block(uint32_t state[4], const uint8_t *block)
{
    uint32_t s[4];

    memcpy(s, state, sizeof(s));
    for (unsigned i = 0; i < 64; i++) {
        unsigned word, by = shifts[i / 16][i % 4];
        uint32_t x = s[0] + mix(i, s, &word) + sines[i];

        x += get_u32(block + 4 * word);
        s[0] = s[3];
        s[3] = s[2];
        s[2] = s[1];
        s[1] += x << by | x >> (32 - by);
    }
    for (int i = 0; i < 4; i++)
        state[i] += s[i];
}

void
tb_md5(const void *bytes, size_t n, uint8_t out[TB_MD5_BYTES])
{
    uint32_t state[4] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476 };
    uint8_t last[2 * BLOCK_BYTES] = { 0 };
    const uint8_t *p = bytes;
    uint64_t bits = 8 * (uint64_t)n;
    size_t pad;

    for (; n >= BLOCK_BYTES; p += BLOCK_BYTES, n -= BLOCK_BYTES)
        add_block(state, p);
    if (n > 0)
        memcpy(last, p, n);
    last[n] = 0x80;
    pad = n < BLOCK_BYTES - 8 ? BLOCK_BYTES : 2 * BLOCK_BYTES;
    put_u32(last + pad - 8, (uint32_t)bits);
    put_u32(last + pad - 4, (uint32_t)(bits >> 32));
    for (size_t i = 0; i < pad; i += BLOCK_BYTES)
        add_block(state, last + i);
    for (int i = 0; i < 4; i++)
        put_u32(out + 4 * i, state[i]);
    explicit_bzero(last, sizeof(last));
}
