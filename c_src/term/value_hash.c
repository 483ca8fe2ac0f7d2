/* value_hash.c - hashes of terms without parts: equal where =:= says so, in
 * whatever encoding they come; but 0.0 and -0.0 differ, as from OTP 27 on.
 * In Erlang: erts_internal_hash(). Owns: nothing. Thread: any.
 * Source: erl_ext_dist; utils.c, eq(). */
#include "term/value_hash.h"

#include <endian.h>
#include <string.h>

#include "term/chars.h"
#include "term/check.h"
#include "term/etf.h"
#include "tiebeam.h"

static uint64_t
mix_bytes(const struct tb_hasher *w, uint64_t h, const uint8_t *p, size_t n)
{
    uint64_t word;

    h = tb_hash_mix(w, h, n);
    for (; n > 0; p += 8, n -= n < 8 ? n : 8) {
        word = 0;
        memcpy(&word, p, n < 8 ? n : 8);
        h = tb_hash_mix(w, h, le64toh(word));
    }
    return h;
}

/* Magnitudes are hashed without leading zeros: the last bytes here. */
static uint64_t
hash_magnitude(struct tb_hasher *w, bool negative, const uint8_t *p, size_t n)
{
    while (n > 0 && p[n - 1] == 0)
        n--;
    return mix_bytes(w, negative && n > 0 ? TB_SEED_NEGATIVE : TB_SEED_INT, p,
                     n);
}

/* As hash_magnitude() of its bytes. */
uint64_t
tb_hash_int(struct tb_hasher *w, int64_t i)
{
    uint64_t u = i < 0 ? 0 - (uint64_t)i : (uint64_t)i, n = 0;

    while (n < 8 && u >> (8 * n) > 0)
        n++;
    n = tb_hash_mix(w, i < 0 ? TB_SEED_NEGATIVE : TB_SEED_INT, n);
    return u > 0 ? tb_hash_mix(w, n, u) : n;
}

static uint64_t
hash_big(struct tb_hasher *w, size_t n)
{
    bool negative = tb_rd_u8(&w->r) != 0;

    return hash_magnitude(w, negative, tb_rd_take(&w->r, n), n);
}

static uint64_t
hash_float(struct tb_hasher *w, bool is_text)
{
    uint64_t bits;
    double f = 0;

    if (!is_text)
        return tb_hash_mix(w, TB_SEED_FLOAT, tb_rd_u64(&w->r));
    tb_float_text(tb_rd_take(&w->r, 31), &f);
    memcpy(&bits, &f, sizeof(bits));
    return tb_hash_mix(w, TB_SEED_FLOAT, bits);
}

/* As characters, one by one where that is what the encodings differ in. */
static uint64_t
hash_atom(struct tb_hasher *w)
{
    uint8_t tag = tb_rd_u8(&w->r);
    bool is_short = tag == ETF_SMALL_ATOM_UTF8 || tag == ETF_SMALL_ATOM;
    bool is_utf8 = tag == ETF_SMALL_ATOM_UTF8 || tag == ETF_ATOM_UTF8;
    size_t n = is_short ? tb_rd_u8(&w->r) : tb_rd_u16(&w->r);
    const uint8_t *p = tb_rd_take(&w->r, n);
    struct tb_rd chars = tb_rd_of(p, n);
    uint64_t h = TB_SEED_ATOM;

    if (tb_is_ascii(p, n))
        return mix_bytes(w, h, p, n);
    while (tb_rd_left(&chars) > 0)
        h = tb_hash_mix(
            w, h, is_utf8 ? (uint64_t)tb_utf8_get(&chars) : tb_rd_u8(&chars));
    return h;
}

static uint64_t
hash_bits(struct tb_hasher *w, bool is_whole)
{
    size_t n = tb_rd_u32(&w->r);
    unsigned bits = is_whole ? 8 : tb_rd_u8(&w->r);
    const uint8_t *p = tb_rd_take(&w->r, n);
    uint64_t h;

    if (bits == 8)
        return mix_bytes(w, TB_SEED_BITS, p, n);
    h = mix_bytes(w, TB_SEED_BITS, p, n - 1);
    return tb_hash_mix(w, h, (uint64_t)bits << 8 | p[n - 1] >> (8 - bits));
}

/* Old forms have narrower fields of the same meaning. */
static uint64_t
hash_pid(struct tb_hasher *w)
{
    bool is_new = tb_rd_u8(&w->r) == ETF_NEW_PID;
    uint64_t h = tb_hash_mix(w, TB_SEED_PID, hash_atom(w));

    h = tb_hash_mix(w, h, tb_rd_u64(&w->r)); /* id, serial */
    return tb_hash_mix(w, h, is_new ? tb_rd_u32(&w->r) : tb_rd_u8(&w->r));
}

static uint64_t
hash_port(struct tb_hasher *w, uint8_t tag)
{
    uint64_t h = tb_hash_mix(w, TB_SEED_PORT, hash_atom(w));

    h = tb_hash_mix(w, h,
                    tag == ETF_V4_PORT ? tb_rd_u64(&w->r) : tb_rd_u32(&w->r));
    return tb_hash_mix(w, h,
                       tag == ETF_PORT ? tb_rd_u8(&w->r) : tb_rd_u32(&w->r));
}

/* Words that are missing are as good as 0. */
static uint64_t
hash_ref(struct tb_hasher *w, uint8_t tag)
{
    size_t n = tag == ETF_REFERENCE ? 1 : tb_rd_u16(&w->r);
    uint64_t h = tb_hash_mix(w, TB_SEED_REF, hash_atom(w)), creation = 0;
    uint64_t id[TB_REF_WORDS] = { 0 };

    if (tag != ETF_REFERENCE)
        creation =
            tag == ETF_NEW_REFERENCE ? tb_rd_u8(&w->r) : tb_rd_u32(&w->r);
    for (size_t i = 0; i < n; i++)
        id[i] = tb_rd_u32(&w->r);
    if (tag == ETF_REFERENCE)
        creation = tb_rd_u8(&w->r);
    h = tb_hash_mix(w, h, creation);
    for (size_t i = 0; i < TB_REF_WORDS; i++)
        h = tb_hash_mix(w, h, id[i]);
    return h;
}

static uint64_t
hash_export(struct tb_hasher *w)
{
    uint64_t h = tb_hash_mix(w, TB_SEED_EXPORT, hash_atom(w));

    h = tb_hash_mix(w, h, hash_atom(w));
    tb_rd_u8(&w->r);
    return tb_hash_mix(w, h, tb_rd_u8(&w->r));
}

static uint64_t
small_int(struct tb_hasher *w)
{
    return tb_rd_u8(&w->r) == ETF_SMALL_INTEGER ? tb_rd_u8(&w->r)
                                                : tb_rd_u32(&w->r);
}

/* What makes two of them the same: the module, the old uniq, the index, and
 * the free variables, which follow. */
uint64_t
tb_hash_fun(struct tb_hasher *w, uint64_t *parts)
{
    uint64_t h, index;

    tb_rd_take(&w->r, 4 + 1 + 16);
    index = tb_rd_u32(&w->r);
    *parts = tb_rd_u32(&w->r);
    h = tb_hash_mix(w, TB_SEED_FUN, hash_atom(w));
    small_int(w);
    h = tb_hash_mix(w, h, small_int(w));
    hash_pid(w);
    return tb_hash_mix(w, tb_hash_mix(w, h, index), *parts);
}

uint64_t
tb_hash_record(struct tb_hasher *w, uint64_t *parts)
{
    uint64_t h;

    *parts = tb_rd_u32(&w->r);
    h = tb_hash_mix(w, TB_SEED_RECORD, tb_rd_u8(&w->r));
    for (uint64_t i = 0; i < *parts + 2; i++)
        h = tb_hash_mix(w, h, hash_atom(w));
    return h;
}

static bool
hash_leaf(struct tb_hasher *w, uint8_t tag, uint64_t *h)
{
    switch (tag) {
    case ETF_SMALL_INTEGER:
        *h = tb_hash_int(w, tb_rd_u8(&w->r));
        return true;
    case ETF_INTEGER:
        *h = tb_hash_int(w, (int32_t)tb_rd_u32(&w->r));
        return true;
    case ETF_SMALL_BIG:
        *h = hash_big(w, tb_rd_u8(&w->r));
        return true;
    case ETF_LARGE_BIG:
        *h = hash_big(w, tb_rd_u32(&w->r));
        return true;
    case ETF_NEW_FLOAT:
    case ETF_FLOAT:
        *h = hash_float(w, tag == ETF_FLOAT);
        return true;
    case ETF_BINARY:
    case ETF_BIT_BINARY:
        *h = hash_bits(w, tag == ETF_BINARY);
        return true;
    case ETF_NIL:
        *h = TB_SEED_NIL;
        return true;
    default:
        return false;
    }
}

static bool
hash_identifier(struct tb_hasher *w, uint8_t tag, uint64_t *h)
{
    switch (tag) {
    case ETF_SMALL_ATOM_UTF8:
    case ETF_ATOM_UTF8:
    case ETF_SMALL_ATOM:
    case ETF_ATOM:
        w->r.p--;
        *h = hash_atom(w);
        return true;
    case ETF_NEW_PID:
    case ETF_PID:
        w->r.p--;
        *h = hash_pid(w);
        return true;
    case ETF_NEW_PORT:
    case ETF_V4_PORT:
    case ETF_PORT:
        *h = hash_port(w, tag);
        return true;
    case ETF_REFERENCE:
    case ETF_NEWER_REFERENCE:
    case ETF_NEW_REFERENCE:
        *h = hash_ref(w, tag);
        return true;
    case ETF_EXPORT:
        *h = hash_export(w);
        return true;
    default:
        return false;
    }
}

bool
tb_hash_leaf(struct tb_hasher *w, uint8_t tag, uint64_t *h)
{
    return hash_leaf(w, tag, h) || hash_identifier(w, tag, h);
}
