/* children.c - the table of a supervisor's children: one block of memory for
 * each, and two arrays in which they are found by key and by pid.
 * Owns: the children. Thread: loop. */
#include "services/children.h"

#include <stddef.h>
#include <string.h>
#include <sys/random.h>

#define FIRST_CAP 64

/* ------------------------------------------------------------- hashes -- */

__extension__ typedef unsigned __int128 u128;

/* Callers choose ids and pids: who does not know the secrets cannot make them
 * collide. */
static uint64_t
mix(const struct tb_children *t, uint64_t h, uint64_t x)
{
    u128 m = (u128)(h ^ t->secret[0]) * (x ^ t->secret[1]);

    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static uint64_t
hash_bytes(const struct tb_children *t, const uint8_t *p, size_t n)
{
    uint64_t h = n, word;

    for (; n >= 8; p += 8, n -= 8) {
        memcpy(&word, p, 8);
        h = mix(t, h, word);
    }
    word = 0;
    if (n)
        memcpy(&word, p, n);
    return mix(t, h, word);
}

static uint64_t
hash_key(const struct tb_children *t, struct tb_key k)
{
    return mix(t, mix(t, 1, (uint64_t)k.node << 32 | k.creation), k.n);
}

static uint64_t
hash_pid(const struct tb_children *t, struct tb_pid p)
{
    return mix(t, mix(t, 2, (uint64_t)p.node << 32 | p.creation),
               (uint64_t)p.serial << 32 | p.id);
}

/* --------------------------------------------------------------- keys -- */

bool
tb_key_read(struct tb_key *key, struct tb_term t)
{
    struct tb_val h[TB_MAX_HOLES];

    if (tb_match("{Node:atom, C:int, N:int}", t, h) != 1)
        return false;
    *key = (struct tb_key){ .node = tb_intern(h[0].text),
                            .creation = (uint32_t)h[1].i,
                            .n = (uint64_t)h[2].i };
    return key->node != 0;
}

void
tb_key_put(struct tb_wr *w, struct tb_key key)
{
    tb_build(w, "{Node, C, N}",
             TB_ARGS(tb_v_node(key.node), tb_v_int(key.creation),
                     tb_v_int((int64_t)key.n)));
}

struct tb_term
tb_child_id(const struct tb_child *c)
{
    return (struct tb_term){ c->own, c->id_n };
}

struct tb_term
tb_child_spec(const struct tb_child *c)
{
    return tb_form_spec(c->form, tb_child_id(c),
                        (struct tb_term){ c->own + c->id_n, c->args_n });
}

void
tb_child_put_shown(struct tb_shown *s, const struct tb_child *c,
                   struct tb_val pid)
{
    tb_form_show(s, c->form, tb_child_id(c), pid);
}

static bool
has_key(const struct tb_child *c, struct tb_key k)
{
    return c->key.n == k.n && c->key.node == k.node &&
           c->key.creation == k.creation;
}

/* ------------------------------------------------------------- arrays -- */

static size_t
slot_of(const struct tb_children *t, const struct tb_child *c, enum tb_index by)
{
    struct tb_term id = tb_child_id(c);
    uint64_t h = by == TB_BY_KEY   ? hash_key(t, c->key)
                 : by == TB_BY_PID ? hash_pid(t, c->pid)
                                   : hash_bytes(t, id.p, id.n);

    return h & (t->index[by].cap - 1);
}

static void
insert(struct tb_children *t, struct tb_child *c, enum tb_index by)
{
    struct tb_child **at = t->index[by].at;
    size_t mask = t->index[by].cap - 1, i = slot_of(t, c, by);

    while (at[i])
        i = (i + 1) & mask;
    at[i] = c;
}

static void
resize(struct tb_children *t, enum tb_index by, size_t cap)
{
    struct tb_child **old = t->index[by].at;
    size_t before = t->index[by].cap;

    t->index[by].cap = cap;
    t->index[by].at = tb_alloc(cap * sizeof(void *));
    for (size_t i = 0; i < before; i++)
        if (old[i])
            insert(t, old[i], by);
    tb_free(old);
}

static void
make_room(struct tb_children *t, enum tb_index by)
{
    size_t cap = t->index[by].cap;

    if ((t->index[by].n + 1) * 4 > cap * 3)
        resize(t, by, cap ? cap * 2 : FIRST_CAP);
}

/* What many children took does not stay when they are gone. */
static void
give_room(struct tb_children *t, enum tb_index by)
{
    size_t cap = t->index[by].cap;

    if (cap > FIRST_CAP && t->index[by].n * 8 < cap)
        resize(t, by, cap / 2);
}

static void
put_in(struct tb_children *t, struct tb_child *c, enum tb_index by)
{
    make_room(t, by);
    insert(t, c, by);
    t->index[by].n++;
}

/* What stands behind the hole, and could stand in it, moves there. */
static void
take_out(struct tb_children *t, struct tb_child *c, enum tb_index by)
{
    struct tb_child **at = t->index[by].at;
    size_t mask = t->index[by].cap - 1, hole = slot_of(t, c, by);

    while (at[hole] != c)
        hole = (hole + 1) & mask;
    at[hole] = NULL;
    for (size_t i = (hole + 1) & mask; at[i]; i = (i + 1) & mask) {
        size_t from = slot_of(t, at[i], by);

        if (((i - from) & mask) < ((i - hole) & mask))
            continue;
        at[hole] = at[i];
        at[i] = NULL;
        hole = i;
    }
    t->index[by].n--;
    give_room(t, by);
}

/* ------------------------------------------------------------ children -- */

/* Few have it: its length stands before it. */
static void
set_stands_for(struct tb_child *c, const struct tb_term *list)
{
    uint32_t n;

    tb_free(c->stands_for);
    c->stands_for = NULL;
    if (!list || list->n > UINT32_MAX)
        return;
    n = (uint32_t)list->n;
    c->stands_for = tb_alloc(sizeof(n) + list->n);
    memcpy(c->stands_for, &n, sizeof(n));
    memcpy(c->stands_for + sizeof(n), list->p, list->n);
}

void
tb_children_init(struct tb_children *t)
{
    *t = (struct tb_children){ .forms = tb_map_new() };
    if (getrandom(t->secret, sizeof(t->secret), 0) < 0)
        t->secret[0] = (uintptr_t)t;
    for (enum tb_index by = TB_BY_KEY; by < TB_INDEXES; by++)
        make_room(t, by);
}

void
tb_children_fini(struct tb_children *t)
{
    for (size_t i = 0; i < t->index[TB_BY_KEY].cap; i++)
        if (t->index[TB_BY_KEY].at[i]) {
            set_stands_for(t->index[TB_BY_KEY].at[i], NULL);
            tb_form_release(t, t->index[TB_BY_KEY].at[i]->form);
            tb_free(t->index[TB_BY_KEY].at[i]);
        }
    tb_map_free(t->forms);
    tb_wr_free(&t->scratch);
    tb_wr_free(&t->key);
    for (enum tb_index by = TB_BY_KEY; by < TB_INDEXES; by++)
        tb_free(t->index[by].at);
    *t = (struct tb_children){ 0 };
}

static void
count(struct tb_children *t, struct tb_child *c, bool add)
{
    size_t one = add ? 1 : (size_t)-1;

    t->counts.specs += one;
    if (c->supervisor)
        t->counts.supervisors += one;
    else
        t->counts.workers += one;
}

static void
count_active(struct tb_children *t, struct tb_child *c)
{
    bool active = c->shown && c->pid.node;

    if (active == c->counted)
        return;
    c->counted = active;
    t->counts.active += active ? 1 : (size_t)-1;
}

void
tb_child_show(struct tb_children *t, struct tb_child *c, bool shown)
{
    if (c->shown != shown)
        count(t, c, shown);
    c->shown = shown;
    count_active(t, c);
}

static bool
same_pid(struct tb_pid a, const struct tb_pid *b)
{
    return b ? tb_pid_eq(a, *b) : a.node == 0;
}

void
tb_child_set(struct tb_children *t, struct tb_child *c,
             enum tb_child_state state, const struct tb_pid *pid)
{
    c->state = (uint8_t)state;
    if (same_pid(c->pid, pid))
        return;
    if (c->pid.node)
        take_out(t, c, TB_BY_PID);
    c->pid = pid ? *pid : (struct tb_pid){ 0 };
    if (c->pid.node)
        put_in(t, c, TB_BY_PID);
    count_active(t, c);
}

struct tb_child *
tb_child_new(struct tb_children *t, struct tb_home *home, struct tb_key key,
             struct tb_term spec, enum tb_child_state state)
{
    struct tb_term args;
    struct tb_spec s;
    struct tb_form *form = tb_form_get(t, spec, &s, &args);
    size_t id_n = form && s.named ? s.id.n : 0;
    struct tb_child *c;

    if (!form)
        return NULL;
    c = tb_alloc(offsetof(struct tb_child, own) + id_n + args.n);
    c->form = form;
    c->id_n = (uint32_t)id_n;
    c->args_n = (uint32_t)args.n;
    if (id_n)
        memcpy(c->own, s.id.p, id_n);
    memcpy(c->own + id_n, args.p, args.n);
    c->named = s.named;
    c->key = key;
    c->restart = (uint8_t)s.restart;
    c->supervisor = s.supervisor;
    c->state = (uint8_t)state;
    c->order = ++t->last_order;
    c->home = home;
    tb_list_add(&home->children, &c->link);
    home->n++;
    put_in(t, c, TB_BY_KEY);
    if (c->named)
        put_in(t, c, TB_BY_ID);
    return c;
}

void
tb_child_free(struct tb_children *t, struct tb_child *c)
{
    tb_child_set(t, c, TB_CHILD_STOPPED, NULL);
    tb_child_show(t, c, false);
    take_out(t, c, TB_BY_KEY);
    if (c->named)
        take_out(t, c, TB_BY_ID);
    tb_list_del(&c->link);
    c->home->n--;
    set_stands_for(c, NULL);
    tb_form_release(t, c->form);
    tb_free(c);
}

/* -------------------------------------------------------------- counts -- */

bool
tb_starts_is_stopped(uint64_t starts)
{
    return (starts & TB_STARTS_ASKED) != 0;
}

/* So many of them that they reach what was asked for do not change that. */
uint64_t
tb_starts_more(uint64_t starts)
{
    uint64_t more = starts + 1;

    return more % TB_STARTS_ASKED ? more : more + TB_STARTS_ASKED;
}

/* Who knows of starts only starts one again that is odd, and leaves it so. */
uint64_t
tb_starts_stopped(uint64_t starts)
{
    return starts + (tb_starts_is_stopped(starts) ? 2 : 1) * TB_STARTS_ASKED;
}

uint64_t
tb_starts_asked(uint64_t starts)
{
    return tb_starts_more(starts + (tb_starts_is_stopped(starts) ? 1 : 2) *
                                       TB_STARTS_ASKED);
}

void
tb_child_count(struct tb_child *c, struct tb_term count)
{
    struct tb_val h[TB_MAX_HOLES];

    set_stands_for(c, NULL);
    if (tb_match("{Starts:int, _}", count, h) == 1)
        c->starts = (uint64_t)h[0].i;
    if (tb_match("{_, []}", count, h) != 1 &&
        tb_match("{_, List:list}", count, h) == 1)
        set_stands_for(c, &h[0].term);
}

static bool
stands_list(const struct tb_child *c, struct tb_elems *e)
{
    uint32_t n;

    if (!c->stands_for)
        return false;
    memcpy(&n, c->stands_for, sizeof(n));
    return tb_elems_open(e, (struct tb_term){ c->stands_for + sizeof(n), n });
}

bool
tb_child_stands_for(const struct tb_child *c, const struct tb_home *home)
{
    struct tb_val h[TB_MAX_HOLES];
    struct tb_wr inc = { 0 };
    struct tb_elems e;
    struct tb_term item;
    bool found = false;

    if (!stands_list(c, &e))
        return false;
    while (!found && tb_elems_next(&e, &item)) {
        if (tb_match("{Node:atom, {C:int, Id:bin}}", item, h) != 1 ||
            tb_intern(h[0].text) != home->node)
            continue;
        inc.len = 0;
        tb_build(&inc, "{C, Id}", TB_ARGS(h[1], h[2]));
        found = inc.len == home->inc.len &&
                memcmp(inc.buf, home->inc.buf, inc.len) == 0;
    }
    tb_wr_free(&inc);
    return found;
}

void
tb_child_put_count(struct tb_wr *w, const struct tb_child *c, uint64_t starts)
{
    struct tb_term list;
    uint32_t n;

    if (!c->stands_for) {
        tb_build(w, "{Starts, []}", TB_ARGS(tb_v_int((int64_t)starts)));
        return;
    }
    memcpy(&n, c->stands_for, sizeof(n));
    list = (struct tb_term){ c->stands_for + sizeof(n), n };
    tb_build(w, "{Starts, List}",
             TB_ARGS(tb_v_int((int64_t)starts), tb_v_term(list)));
}

/* Of a node the last incarnation is the only one that may come back. */
static size_t
put_stands(struct tb_wr *w, const struct tb_child *c, tb_atom but,
           bool (*may)(const void *ctx, tb_atom node), const void *ctx)
{
    struct tb_val h[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term item;
    size_t n = 0;

    if (!stands_list(c, &e))
        return 0;
    while (e.left >= TB_MAX_STANDS && tb_elems_next(&e, &item))
        ; /* the earliest */
    while (tb_elems_next(&e, &item)) {
        tb_atom node =
            tb_match("{Node:atom, _}", item, h) == 1 ? tb_intern(h[0].text) : 0;

        if (!node || node == but || !may(ctx, node))
            continue;
        tb_wr_bytes(w, item.p, item.n);
        n++;
    }
    return n;
}

void
tb_child_follow(struct tb_child *c, const struct tb_child *old, uint64_t starts,
                const struct tb_home *lost,
                bool (*may)(const void *ctx, tb_atom node), const void *ctx)
{
    struct tb_wr items = { 0 }, list = { 0 };
    struct tb_term stands;
    size_t n;

    c->starts = starts;
    n = put_stands(&items, old, lost ? lost->node : 0, may, ctx);
    if (lost && may(ctx, lost->node)) {
        tb_build(
            &items, "{Node, Inc}",
            TB_ARGS(tb_v_node(lost->node), tb_v_term(tb_wr_term(&lost->inc))));
        n++;
    }
    if (n)
        tb_build_list(&list, n, &items);
    stands = tb_wr_term(&list);
    set_stands_for(c, n ? &stands : NULL);
    tb_wr_free(&items);
    tb_wr_free(&list);
}

/* ------------------------------------------------------------- finding -- */

struct tb_child *
tb_children_on(const struct tb_children *t, struct tb_key key,
               const struct tb_home *home)
{
    struct tb_child **at = t->index[TB_BY_KEY].at;
    size_t mask = t->index[TB_BY_KEY].cap - 1;

    for (size_t i = hash_key(t, key) & mask; at[i]; i = (i + 1) & mask)
        if (at[i]->home == home && has_key(at[i], key))
            return at[i];
    return NULL;
}

static bool
is_better(const struct tb_child *a, const struct tb_child *b)
{
    if (!b || a->home->lost != b->home->lost)
        return !b || b->home->lost;
    if (a->shown != b->shown)
        return a->shown;
    return a->starts > b->starts;
}

struct tb_child *
tb_children_best(const struct tb_children *t, struct tb_key key)
{
    struct tb_child **at = t->index[TB_BY_KEY].at, *best = NULL;
    size_t mask = t->index[TB_BY_KEY].cap - 1;

    for (size_t i = hash_key(t, key) & mask; at[i]; i = (i + 1) & mask)
        if (has_key(at[i], key) && is_better(at[i], best))
            best = at[i];
    return best;
}

struct tb_child *
tb_children_other(const struct tb_children *t, const struct tb_child *c)
{
    struct tb_child **at = t->index[TB_BY_KEY].at, *best = NULL;
    size_t mask = t->index[TB_BY_KEY].cap - 1;

    for (size_t i = hash_key(t, c->key) & mask; at[i]; i = (i + 1) & mask)
        if (at[i] != c && !at[i]->home->lost && has_key(at[i], c->key) &&
            is_better(at[i], best))
            best = at[i];
    return best;
}

struct tb_child *
tb_children_id(const struct tb_children *t, struct tb_term id)
{
    struct tb_child **at = t->index[TB_BY_ID].at, *best = NULL;
    size_t mask = t->index[TB_BY_ID].cap - 1;

    for (size_t i = hash_bytes(t, id.p, id.n) & mask; at[i]; i = (i + 1) & mask)
        if (at[i]->id_n == id.n && memcmp(at[i]->own, id.p, id.n) == 0 &&
            is_better(at[i], best))
            best = at[i];
    return best;
}

struct tb_child *
tb_children_each_key(const struct tb_children *t, struct tb_key key, size_t *at)
{
    struct tb_child **slot = t->index[TB_BY_KEY].at, *c;
    size_t mask = t->index[TB_BY_KEY].cap - 1, h = hash_key(t, key);

    while ((c = slot[(h + *at) & mask]) != NULL) {
        ++*at;
        if (has_key(c, key))
            return c;
    }
    return NULL;
}

struct tb_child *
tb_children_each_id(const struct tb_children *t, struct tb_term id, size_t *at)
{
    struct tb_child **slot = t->index[TB_BY_ID].at, *c;
    size_t mask = t->index[TB_BY_ID].cap - 1, h = hash_bytes(t, id.p, id.n);

    while ((c = slot[(h + *at) & mask]) != NULL) {
        ++*at;
        if (c->id_n == id.n && memcmp(c->own, id.p, id.n) == 0)
            return c;
    }
    return NULL;
}

struct tb_child *
tb_children_pid(const struct tb_children *t, struct tb_pid pid)
{
    struct tb_child **at = t->index[TB_BY_PID].at;
    size_t mask = t->index[TB_BY_PID].cap - 1;

    for (size_t i = hash_pid(t, pid) & mask; at[i]; i = (i + 1) & mask)
        if (tb_pid_eq(at[i]->pid, pid))
            return at[i];
    return NULL;
}
