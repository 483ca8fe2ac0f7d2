/* tombstones.c - keys of children that were removed while a host was away that
 * may still have them.
 * Owns: the keys. Thread: loop. */
#include "services/supervisor.h"

#define FORGET_AFTER_MS 3000

void
tb_tombstone_add(struct tb_supervisor *sup, struct tb_key key)
{
    struct tb_key *copy;

    if (tb_tombstone_is(sup, key))
        return;
    copy = tb_new(struct tb_key);
    *copy = key;
    tb_map_put(sup->tombstones, &key, sizeof(key), copy);
}

bool
tb_tombstone_is(const struct tb_supervisor *sup, struct tb_key key)
{
    return tb_map_get(sup->tombstones, &key, sizeof(key)) != NULL;
}

static void
free_key(void *ctx, void *value)
{
    (void)ctx;
    tb_free(value);
}

static void
clear(struct tb_supervisor *sup)
{
    tb_map_each(sup->tombstones, free_key, NULL);
    tb_map_free(sup->tombstones);
    sup->tombstones = NULL;
}

void
tb_tombstones_free(struct tb_supervisor *sup)
{
    clear(sup);
}

struct listing {
    struct tb_supervisor *sup;
    struct tb_wr keys;
    size_t n;
};

static void
list_key(void *ctx, void *value)
{
    struct listing *l = ctx;
    const struct tb_key *key = value;

    if (tb_children_best(&l->sup->table, *key))
        return;
    tb_key_put(&l->keys, *key);
    l->n++;
}

static void
take_key(struct tb_supervisor *sup, struct tb_term item)
{
    struct tb_key key;

    if (tb_key_read(&key, item))
        tb_free(tb_map_take(sup->tombstones, &key, sizeof(key)));
}

/* Every host is here, and none has one of them: they may be forgotten. */
static bool
are_over(struct tb_proc *self, const struct tb_supervisor *sup)
{
    if (!sup->owning || tb_map_count(sup->tombstones) == 0 ||
        !tb_all_attached(sup) || !tb_set_is_recorded(sup) ||
        tb_now_ms(tb_self_node(self)) - sup->changed_ms < FORGET_AFTER_MS)
        return false;
    TB_LIST_EACH (home, &sup->homes, struct tb_home, link)
        if (!home->host)
            return false;
    return true;
}

void
tb_tombstones_tick(struct tb_proc *self, struct tb_supervisor *sup)
{
    struct listing l = { .sup = sup };
    struct tb_wr list = { 0 };
    struct tb_elems e;
    struct tb_term item;

    if (!are_over(self, sup))
        return;
    tb_map_each(sup->tombstones, list_key, &l);
    tb_build_list(&list, l.n, &l.keys);
    if (l.n)
        TB_LIST_EACH (h, &sup->hosts, struct tb_host, link)
            tb_command(self, h, "{forget, Keys}",
                       TB_ARGS(tb_v_term(tb_wr_term(&list))));
    for (tb_elems_open(&e, tb_wr_term(&list)); tb_elems_next(&e, &item);)
        take_key(sup, item);
    tb_wr_free(&l.keys);
    tb_wr_free(&list);
}
