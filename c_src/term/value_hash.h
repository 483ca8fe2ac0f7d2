/* value_hash.h - hashes of values, with secrets: who does not know them cannot
 * make two terms collide. For checked bytes. */
#ifndef TB_TERM_VALUE_HASH_H
#define TB_TERM_VALUE_HASH_H

#include "base/rd.h"

struct tb_hasher {
    struct tb_rd r; /* behind the tag that is hashed */
    uint64_t secret[2];
};

/* What begins the hash of each type. */
enum tb_seed {
    TB_SEED_INT = 1,
    TB_SEED_NEGATIVE,
    TB_SEED_FLOAT,
    TB_SEED_ATOM,
    TB_SEED_BITS,
    TB_SEED_PID,
    TB_SEED_PORT,
    TB_SEED_REF,
    TB_SEED_EXPORT,
    TB_SEED_FUN,
    TB_SEED_RECORD,
    TB_SEED_TUPLE,
    TB_SEED_NIL,
    TB_SEED_LIST,
    TB_SEED_MAP,
    TB_SEED_PAIR,
    TB_SEED_TAIL
};

__extension__ typedef unsigned __int128 tb_u128;

/* tb_hash_mix - the hash h and one thing more. */
static inline uint64_t
tb_hash_mix(const struct tb_hasher *w, uint64_t h, uint64_t x)
{
    tb_u128 m = (tb_u128)(h ^ w->secret[0]) * (x ^ w->secret[1]);

    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* tb_hash_leaf - whether the tag is of a term without parts, other than a
 * STRING_EXT; then its hash, and r stands behind it.
 * tb_hash_int - of that integer.
 * tb_hash_fun, tb_hash_record - what is not parts, and how many parts follow.
 */
bool tb_hash_leaf(struct tb_hasher *w, uint8_t tag, uint64_t *h);
uint64_t tb_hash_int(struct tb_hasher *w, int64_t i);
uint64_t tb_hash_fun(struct tb_hasher *w, uint64_t *parts);
uint64_t tb_hash_record(struct tb_hasher *w, uint64_t *parts);

#endif
