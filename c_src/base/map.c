/* map.c - hash map over uthash, keyed with SipHash-1-3.
 * Owns: entries and copies of keys. Borrows: values. Thread: one at a time. */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>

#include "base/mem.h"
#include "tiebeam.h"

struct entry;

static uint32_t hash_bytes(const void *key, size_t n);

#define HASH_FUNCTION(keyptr, keylen, hashv)                                   \
    ((hashv) = hash_bytes((keyptr), (keylen)))
#define uthash_malloc(n)       tb_try_alloc(n)
#define uthash_free(p, n)      tb_free(p)
#define HASH_NONFATAL_OOM      1
#define uthash_nonfatal_oom(e) ((e)->lost = 1)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include <uthash.h>

struct entry {
    UT_hash_handle hh;
    void *value;
    int lost; /* out of memory while it was added */
    uint8_t key[];
};

struct tb_map {
    struct entry *table;
};

static uint64_t
rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

struct sip {
    uint64_t a, b, c, d;
};

/* By value, so that the state stays in registers. */
static inline struct sip
sip_round(struct sip v)
{
    v.a += v.b;
    v.b = rotate(v.b, 13) ^ v.a;
    v.a = rotate(v.a, 32);
    v.c += v.d;
    v.d = rotate(v.d, 16) ^ v.c;
    v.a += v.d;
    v.d = rotate(v.d, 21) ^ v.a;
    v.c += v.b;
    v.b = rotate(v.b, 17) ^ v.c;
    v.c = rotate(v.c, 32);
    return v;
}

/* The key is drawn once for the thread, so that no peer can foresee which
 * of its references collide. */
static const uint64_t *
hash_key(void)
{
    static _Thread_local uint64_t key[2];

    if (!key[0] && getrandom(key, sizeof(key), 0) != sizeof(key))
        key[0] = (uint64_t)(uintptr_t)&key;
    key[0] |= 1;
    return key;
}

static uint32_t
hash_bytes(const void *bytes, size_t n)
{
    const uint64_t *k = hash_key();
    struct sip v = { k[0] ^ 0x736f6d6570736575u, k[1] ^ 0x646f72616e646f6du,
                     k[0] ^ 0x6c7967656e657261u, k[1] ^ 0x7465646279746573u };
    const uint8_t *p = bytes;
    uint64_t last = (uint64_t)n << 56, word;

    for (; n >= 8; p += 8, n -= 8) {
        memcpy(&word, p, 8);
        v.d ^= word;
        v = sip_round(v);
        v.a ^= word;
    }
    word = 0;
    if (n > 0)
        memcpy(&word, p, n);
    last |= word;
    v.d ^= last;
    v = sip_round(v);
    v.a ^= last;
    v.c ^= 0xff;
    v = sip_round(sip_round(sip_round(v)));
    return (uint32_t)(v.a ^ v.b ^ v.c ^ v.d);
}

struct tb_map *
tb_map_new(void)
{
    return tb_try_alloc(sizeof(struct tb_map));
}

/* uthash's macros are long; the functions around them are not.
 * NOLINTBEGIN(readability-function-size) */
static struct entry *
find_hashed(const struct tb_map *m, const void *key, size_t n, unsigned hash)
{
    struct entry *e;

    HASH_FIND_BYHASHVALUE(hh, m->table, key, n, hash, e);
    return e;
}

static struct entry *
find(const struct tb_map *m, const void *key, size_t n)
{
    return m->table ? find_hashed(m, key, n, hash_bytes(key, n)) : NULL;
}

static void
drop(struct tb_map *m, struct entry *e)
{
    HASH_DEL(m->table, e);
    tb_free(e);
}

int
tb_map_put(struct tb_map *m, const void *key, size_t n, void *value)
{
    unsigned hash = hash_bytes(key, n);
    struct entry *e;

    if (find_hashed(m, key, n, hash))
        return -EEXIST;
    e = tb_try_alloc(sizeof(*e) + n);
    if (!e)
        return -ENOMEM;
    memcpy(e->key, key, n);
    e->value = value;
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, m->table, e->key, n, hash, e);
    if (e->lost) {
        tb_free(e);
        return -ENOMEM;
    }
    return 0;
}

void *
tb_map_get(const struct tb_map *m, const void *key, size_t n)
{
    struct entry *e = find(m, key, n);

    return e ? e->value : NULL;
}

void *
tb_map_take(struct tb_map *m, const void *key, size_t n)
{
    struct entry *e = find(m, key, n);
    void *value = e ? e->value : NULL;

    if (e)
        drop(m, e);
    return value;
}

/* NOLINTEND(readability-function-size) */

size_t
tb_map_count(const struct tb_map *m)
{
    return HASH_COUNT(m->table);
}

void
tb_map_each(struct tb_map *m, void (*fn)(void *, void *), void *ctx)
{
    struct entry *e, *next;

    HASH_ITER(hh, m->table, e, next)
    fn(ctx, e->value);
}

void
tb_map_free(struct tb_map *m)
{
    struct entry *e, *next;

    if (!m)
        return;
    HASH_ITER(hh, m->table, e, next)
    drop(m, e);
    tb_free(m);
}
#pragma GCC diagnostic pop
