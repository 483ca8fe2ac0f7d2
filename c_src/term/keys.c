/* keys.c - maps with the same key twice, found by hashes of the keys' values.
 *
 * One pass over the term. Outside of keys only maps are looked at; inside of
 * one each part is hashed, in a form that does not depend on its encoding, and
 * with secrets, so that no peer can make two keys collide. Where two hashes of
 * a map are the same, another pass with other secrets has the last word.
 *
 * What is open hangs on a stack of levels, not on ours: a key and a map may be
 * as deep as a peer likes, up to a limit. The hashes of a map's keys are sorted
 * when it ends, and now and then before: so duplicates by the million are found
 * before they need room.
 * In Erlang: erts_validate_and_sort_flatmap() and its kin.
 * Owns: nothing. Thread: any. Source: erl_ext_dist. */
#include "term/keys.h"

#include <string.h>
#include <sys/random.h>

#include "base/limits.h"
#include "base/mem.h"
#include "term/check.h"
#include "term/etf.h"
#include "term/value_hash.h"

#define FEW_KEYS   32 /* compared with each other */
#define SORT_EARLY ((size_t)1 << 16)

enum level_kind { IN_VALUES, IN_TUPLE, IN_LIST, IN_MAP };

/* What is open. IN_VALUES is a map whose own hash nobody asks for. */
struct level {
    uint64_t left;  /* parts; of IN_VALUES: terms of the value begun */
    uint64_t h;     /* of the parts before */
    uint64_t key;   /* IN_MAP: of the key whose value comes */
    size_t first;   /* of a map: where its hashes begin */
    uint32_t pairs; /* of a map: still to come */
    uint8_t kind;   /* enum level_kind */
    bool some;      /* IN_LIST: an element came; IN_MAP: a key comes */
};

struct walk {
    struct tb_hasher in;
    struct level *level;
    size_t n_levels, max_levels;
    uint64_t *hash;
    size_t n_hashes, max_hashes;
    int error;
    struct level few_levels[16];
    uint64_t few_hashes[32];
};

/* --------------------------------------------------------------- keys -- */

static bool
are_few_twins(const uint64_t *h, size_t n)
{
    for (size_t i = 1; i < n; i++)
        for (size_t k = 0; k < i; k++)
            if (h[i] == h[k])
                return true;
    return false;
}

/* Where each of 256 heaps ends, in order of the eight bits above bit. */
static void
measure_heaps(const uint64_t *h, size_t n, unsigned bit, size_t end[256])
{
    size_t sum = 0;

    memset(end, 0, 256 * sizeof(end[0]));
    for (size_t i = 0; i < n; i++)
        end[h[i] >> bit & 255]++;
    for (size_t i = 0; i < 256; i++)
        end[i] = sum += end[i];
}

/* Twins are in the same heap, whatever bits make the heaps: hashes are spread
 * evenly, and where they are not, they are the same. In place. */
static void
make_heaps(uint64_t *h, unsigned bit, const size_t end[256])
{
    size_t next[256] = { 0 };

    memcpy(next + 1, end, 255 * sizeof(next[0]));
    for (size_t i = 0; i < 256; i++)
        while (next[i] < end[i]) {
            uint64_t x = h[next[i]];
            size_t home = x >> bit & 255;

            h[next[i]] = h[next[home]];
            h[next[home]++] = x;
        }
}

static bool
has_twins(uint64_t *h, size_t n, unsigned bit)
{
    size_t end[256];

    if (n <= FEW_KEYS)
        return are_few_twins(h, n);
    if (bit == 0)
        return true;
    bit -= 8;
    measure_heaps(h, n, bit, end);
    make_heaps(h, bit, end);
    for (size_t i = 0, first = 0; i < 256; first = end[i++])
        if (has_twins(h + first, end[i] - first, bit))
            return true;
    return false;
}

static void
check_hashes(struct walk *w, size_t first)
{
    if (has_twins(w->hash + first, w->n_hashes - first, 64))
        w->error = -TB_EBADTERM;
}

static void *
grow(struct walk *w, void *p, const void *few, size_t *max, size_t size)
{
    void *bigger = tb_try_realloc(p == few ? NULL : p, 2 * *max * size);

    if (!bigger) {
        w->error = -TB_ELIMIT;
        return p;
    }
    if (p == few)
        memcpy(bigger, few, *max * size);
    *max *= 2;
    return bigger;
}

static void
add_key(struct walk *w, size_t first, uint64_t h)
{
    size_t n;

    if (w->n_hashes == w->max_hashes)
        w->hash =
            grow(w, w->hash, w->few_hashes, &w->max_hashes, sizeof(*w->hash));
    if (w->error < 0)
        return;
    w->hash[w->n_hashes++] = h;
    n = w->n_hashes - first;
    if (n == SORT_EARLY || n == 8 * SORT_EARLY || n == 64 * SORT_EARLY)
        check_hashes(w, first);
}

static void
end_map(struct walk *w, const struct level *l)
{
    check_hashes(w, l->first);
    w->n_hashes = l->first;
}

/* ------------------------------------------------------------- levels -- */

static void
push(struct walk *w, struct level l)
{
    if (w->n_levels >= TB_MAX_MAP_DEPTH)
        w->error = -TB_ELIMIT;
    else if (w->n_levels == w->max_levels)
        w->level =
            grow(w, w->level, w->few_levels, &w->max_levels, sizeof(*w->level));
    if (w->error < 0)
        return;
    l.first = w->n_hashes;
    w->level[w->n_levels++] = l;
}

static struct level *
top_of(struct walk *w)
{
    return &w->level[w->n_levels - 1];
}

/* Bytes as elements of a list. */
static void
add_bytes(struct walk *w, struct level *l)
{
    size_t n = tb_rd_u16(&w->in.r);
    const uint8_t *p = tb_rd_take(&w->in.r, n);

    l->some |= n > 0;
    for (size_t i = 0; i < n; i++)
        l->h = tb_hash_mix(&w->in, l->h, tb_hash_int(&w->in, p[i]));
}

/* A list without elements is its tail. */
static uint64_t
list_with(struct walk *w, const struct level *l, uint64_t tail)
{
    return l->some ? tb_hash_mix(&w->in,
                                 tb_hash_mix(&w->in, l->h, TB_SEED_TAIL), tail)
                   : tail;
}

static uint64_t
hash_string(struct walk *w)
{
    struct level l = { .h = TB_SEED_LIST };

    add_bytes(w, &l);
    return list_with(w, &l, TB_SEED_NIL);
}

/* A list is its elements and what is behind the last of them, in however many
 * pieces it comes. True: there was one more, and *h is what is behind it, or 0
 * if that is still to come. */
static bool
is_next_piece(struct walk *w, size_t base, uint8_t tag, uint64_t *h)
{
    struct level *l = top_of(w);

    if (w->n_levels == base || l->kind != IN_LIST || l->left > 1 ||
        (tag != ETF_LIST && tag != ETF_STRING))
        return false;
    *h = 0;
    if (tag == ETF_LIST) {
        l->left += tb_rd_u32(&w->in.r);
    } else {
        add_bytes(w, l);
        *h = TB_SEED_NIL;
    }
    return true;
}

/* True: it has no parts, and *h is its hash. Else the parts follow. */
static bool
open_container(struct walk *w, uint8_t tag, uint64_t *h)
{
    struct level l = { .kind = IN_TUPLE };

    switch (tag) {
    case ETF_STRING:
        *h = hash_string(w);
        return true;
    case ETF_LIST:
        l.kind = IN_LIST;
        l.h = TB_SEED_LIST;
        l.left = (uint64_t)tb_rd_u32(&w->in.r) + 1;
        break;
    case ETF_MAP:
        l.kind = IN_MAP;
        l.some = true; /* a key comes */
        l.left = l.pairs = tb_rd_u32(&w->in.r);
        l.h = tb_hash_mix(&w->in, TB_SEED_MAP, l.left);
        break;
    case ETF_NEW_FUN:
        l.h = tb_hash_fun(&w->in, &l.left);
        break;
    case ETF_RECORD:
        l.h = tb_hash_record(&w->in, &l.left);
        break;
    default:
        l.left =
            tag == ETF_SMALL_TUPLE ? tb_rd_u8(&w->in.r) : tb_rd_u32(&w->in.r);
        l.h = tb_hash_mix(&w->in, TB_SEED_TUPLE, l.left);
        break;
    }
    if (l.left > 0)
        push(w, l);
    *h = l.h;
    return l.left == 0;
}

/* The hash of a part of l. True: it was the last, and *h is now l's. */
static bool
take_part(struct walk *w, struct level *l, uint64_t *h)
{
    switch (l->kind) {
    case IN_LIST:
        if (l->left == 1) {
            *h = list_with(w, l, *h);
            return true;
        }
        l->left--;
        l->some = true;
        l->h = tb_hash_mix(&w->in, l->h, *h);
        return false;
    case IN_MAP:
        if (l->some) {
            l->key = *h;
            add_key(w, l->first, *h);
        } else { /* in whatever order the pairs come */
            l->h += tb_hash_mix(&w->in,
                                tb_hash_mix(&w->in, TB_SEED_PAIR, l->key), *h);
            l->pairs--;
        }
        l->some = !l->some;
        if (l->pairs == 0)
            end_map(w, l);
        *h = tb_hash_mix(&w->in, TB_SEED_MAP, l->h);
        return l->pairs == 0;
    default:
        l->h = tb_hash_mix(&w->in, l->h, *h);
        *h = l->h;
        return --l->left == 0;
    }
}

static uint64_t
hash_key(struct walk *w)
{
    size_t base = w->n_levels;
    uint64_t h = 0;

    while (w->error == 0) {
        uint8_t tag = tb_rd_u8(&w->in.r);
        bool whole;

        if (is_next_piece(w, base, tag, &h))
            whole = h != 0;
        else
            whole = tb_hash_leaf(&w->in, tag, &h) || open_container(w, tag, &h);
        while (whole && w->n_levels > base) {
            whole = take_part(w, top_of(w), &h);
            w->n_levels -= whole;
        }
        if (whole)
            break;
    }
    return h;
}

/* -------------------------------------------------------------- values -- */

/* A key, whose value comes. */
static void
begin_pair(struct walk *w)
{
    uint64_t h = hash_key(w);
    struct level *l = top_of(w);

    if (w->error < 0)
        return;
    add_key(w, l->first, h);
    l->pairs--;
    l->left = 1;
}

static void
step_over(struct walk *w)
{
    struct level *l = top_of(w);
    uint64_t owes = 0;

    if (*w->in.r.p != ETF_MAP) {
        tb_rd_take(&w->in.r, tb_skip_tag(w->in.r.p, &owes));
        l->left += owes - 1;
        return;
    }
    l->left--;
    tb_rd_u8(&w->in.r);
    push(w, (struct level){ .kind = IN_VALUES, .pairs = tb_rd_u32(&w->in.r) });
}

static void
walk(struct walk *w)
{
    push(w, (struct level){ .kind = IN_VALUES, .left = 1 });
    while (w->n_levels > 0 && w->error == 0) {
        struct level *l = top_of(w);

        if (l->left > 0) {
            step_over(w);
        } else if (l->pairs > 0) {
            begin_pair(w);
        } else {
            end_map(w, l);
            w->n_levels--;
        }
    }
}

static void
walk_init(struct walk *w, struct tb_term t, const uint64_t secret[2])
{
    w->in = (struct tb_hasher){ tb_rd_of(t.p, t.n), { secret[0], secret[1] } };
    w->level = w->few_levels;
    w->hash = w->few_hashes;
    w->n_levels = w->n_hashes = 0;
    w->max_levels = sizeof(w->few_levels) / sizeof(w->few_levels[0]);
    w->max_hashes = sizeof(w->few_hashes) / sizeof(w->few_hashes[0]);
    w->error = 0;
}

static void
walk_fini(struct walk *w)
{
    if (w->level != w->few_levels)
        tb_free(w->level);
    if (w->hash != w->few_hashes)
        tb_free(w->hash);
}

static int
check_with(struct tb_term t, const uint64_t secret[2])
{
    struct walk w;

    walk_init(&w, t, secret);
    walk(&w);
    walk_fini(&w);
    return w.error;
}

/* Drawn once for the thread. */
static const uint64_t *
secrets(void)
{
    static _Thread_local uint64_t s[4];

    if (!s[0] && getrandom(s, sizeof(s), 0) != sizeof(s))
        for (size_t i = 0; i < 4; i++)
            s[i] = (uint64_t)(uintptr_t)&s * (i + 1);
    s[0] |= 1;
    return s;
}

int
tb_keys_check(struct tb_term t)
{
    const uint64_t *s = secrets();
    int rc = check_with(t, s);

    return rc == -TB_EBADTERM ? check_with(t, s + 2) : rc;
}

static uint64_t
hash_with(struct tb_term t, const uint64_t secret[2])
{
    struct walk w;
    uint64_t h;

    walk_init(&w, t, secret);
    h = hash_key(&w);
    walk_fini(&w);
    return h;
}

void
tb_key(struct tb_term t, uint8_t key[TB_KEY_BYTES])
{
    const uint64_t *s = secrets();
    uint64_t h[2] = { hash_with(t, s), hash_with(t, s + 2) };

    memcpy(key, h, sizeof(h));
}
