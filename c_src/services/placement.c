/* placement.c - locators that need no one's answer.
 * In Erlang: erlang:phash2/2. Owns, borrows: nothing. Thread: any. */
#include "services/placement.h"

#include <stdlib.h>
#include <string.h>

static int
by_name(tb_atom a, tb_atom b)
{
    struct tb_text x = tb_atom_text(a), y = tb_atom_text(b);
    size_t n = x.n < y.n ? x.n : y.n;
    int order = memcmp(x.p, y.p, n);

    return order ? order : x.n == y.n ? 0 : x.n < y.n ? -1 : 1;
}

static int
compare(const void *a, const void *b)
{
    const struct tb_place *p = a, *q = b;

    return by_name(p->node, q->node);
}

bool
tb_place_in_order(tb_atom a, tb_atom b)
{
    return by_name(a, b) <= 0;
}

void
tb_place_sort(struct tb_place *places, size_t n)
{
    qsort(places, n, sizeof(*places), compare);
}

static uint64_t
mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* The same on every node, and for ever: not a secret's. */
static uint64_t
hash_name(tb_atom node)
{
    struct tb_text name = tb_atom_text(node);
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < name.n; i++)
        h = (h ^ (uint8_t)name.p[i]) * 0x100000001b3u;
    return mix(h);
}

/* The host with the highest score: one that comes takes its share from each of
 * the others, and moves nothing between them. */
static size_t
rendezvous(struct tb_term located, const struct tb_place *places, size_t n)
{
    uint64_t child = mix(tb_phash2(located, 0)), best = 0;
    size_t at = 0;

    for (size_t i = 0; i < n; i++) {
        uint64_t score = mix(child ^ hash_name(places[i].node));

        if (i == 0 || score > best) {
            best = score;
            at = i;
        }
    }
    return at;
}

static size_t
least_loaded(const struct tb_place *places, size_t n)
{
    size_t at = 0;

    for (size_t i = 1; i < n; i++)
        if (places[i].load < places[at].load)
            at = i;
    return at;
}

size_t
tb_place_find(enum tb_locator how, struct tb_term located,
              const struct tb_place *places, size_t n)
{
    switch (how) {
    case TB_LOCATE_RENDEZVOUS:
        return rendezvous(located, places, n);
    case TB_LOCATE_LEAST_LOADED:
        return least_loaded(places, n);
    case TB_LOCATE_PHASH2:
    case TB_LOCATE_FUN:
        break;
    }
    return tb_phash2(located, (uint32_t)n);
}
