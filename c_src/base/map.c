/* map.c - hash map over uthash, keyed with SipHash-1-3.
 * Owns: entries and copies of keys. Borrows: values. Thread: one at a time. */
#include "base/map.h"

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

static void
sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
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
    uint64_t v[4] = { k[0] ^ 0x736f6d6570736575u, k[1] ^ 0x646f72616e646f6du,
                      k[0] ^ 0x6c7967656e657261u, k[1] ^ 0x7465646279746573u };
    const uint8_t *p = bytes;
    uint64_t last = (uint64_t)n << 56, word;

    for (; n >= 8; p += 8, n -= 8) {
        memcpy(&word, p, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    for (size_t i = 0; i < n; i++)
        last |= (uint64_t)p[i] << (8 * i);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return (uint32_t)(v[0] ^ v[1] ^ v[2] ^ v[3]);
}

struct tb_map *
tb_map_new(void)
{
    return tb_try_alloc(sizeof(struct tb_map));
}

/* uthash's macros are long; the functions around them are not.
 * NOLINTBEGIN(readability-function-size) */
static struct entry *
find(const struct tb_map *m, const void *key, size_t n)
{
    struct entry *e;

    HASH_FIND(hh, m->table, key, n, e);
    return e;
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
    struct entry *e;

    if (find(m, key, n))
        return -EEXIST;
    e = tb_try_alloc(sizeof(*e) + n);
    if (!e)
        return -ENOMEM;
    memcpy(e->key, key, n);
    e->value = value;
    HASH_ADD_KEYPTR(hh, m->table, e->key, n, e);
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
