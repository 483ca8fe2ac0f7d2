/* pg_groups.c - who is in what group of a scope, and by whose word.
 * In Erlang: the table of pg, and the maps of its state.
 * Owns: groups and memberships. Thread: loop. */
#include <string.h>

#include "services/pg.h"

struct member_key {
    tb_atom peer;
    uint8_t group[TB_KEY_BYTES];
    struct tb_pid pid;
};

static struct member_key
key_of(tb_atom peer, const uint8_t group[TB_KEY_BYTES], struct tb_pid pid)
{
    struct member_key k = { .peer = peer, .pid = pid };

    memcpy(k.group, group, sizeof(k.group));
    return k;
}

/* -------------------------------------------------------------- groups -- */

struct tb_pg_group *
tb_pg_group_find(struct tb_pg *pg, struct tb_term name)
{
    uint8_t key[TB_KEY_BYTES];

    tb_key(name, key);
    return tb_map_get(pg->groups, key, sizeof(key));
}

struct tb_pg_group *
tb_pg_group_get(struct tb_pg *pg, struct tb_term name)
{
    struct tb_pg_group *g = tb_pg_group_find(pg, name);

    if (g)
        return g;
    g = tb_new(struct tb_pg_group);
    tb_key(name, g->key);
    tb_wr_bytes(&g->name, name.p, name.n);
    tb_list_init(&g->members);
    tb_list_init(&g->watches);
    tb_list_add(&pg->group_list, &g->link);
    tb_map_put(pg->groups, g->key, sizeof(g->key), g);
    return g;
}

void
tb_pg_group_release(struct tb_pg *pg, struct tb_pg_group *g)
{
    if (!tb_list_empty(&g->members) || !tb_list_empty(&g->watches) ||
        pg->news.group == g)
        return;
    tb_map_take(pg->groups, g->key, sizeof(g->key));
    tb_list_del(&g->link);
    tb_wr_free(&g->name);
    tb_free(g);
}

/* --------------------------------------------------------- memberships -- */

static struct tb_pg_member *
find(struct tb_pg *pg, tb_atom peer, const uint8_t group[TB_KEY_BYTES],
     struct tb_pid pid)
{
    struct member_key k = key_of(peer, group, pid);

    return tb_map_get(pg->members, &k, sizeof(k));
}

static struct tb_pg_member *
find_in(struct tb_pg *pg, tb_atom peer, struct tb_term group, struct tb_pid pid)
{
    uint8_t key[TB_KEY_BYTES];

    tb_key(group, key);
    return find(pg, peer, key, pid);
}

static bool
has_room(const struct tb_pg *pg, const struct tb_pg_owner *owner, tb_atom peer,
         struct tb_term group)
{
    size_t n = peer ? owner->n : pg->n_locals;

    return group.n <= TB_PG_MAX_GROUP && n < TB_PG_MAX_MEMBERS &&
           owner->bytes + group.n <= TB_PG_MAX_BYTES;
}

static struct tb_pg_member *
member_new(struct tb_pg *pg, struct tb_pg_owner *owner, tb_atom peer,
           struct tb_pg_group *g, struct tb_pid pid)
{
    struct tb_pg_member *mb = tb_new(struct tb_pg_member);
    struct member_key k = key_of(peer, g->key, pid);

    mb->group = g;
    mb->owner = owner;
    mb->peer = peer;
    mb->pid = pid;
    tb_list_add(&g->members, &mb->by_group);
    tb_list_add(&owner->members, &mb->by_owner);
    tb_map_put(pg->members, &k, sizeof(k), mb);
    owner->bytes += g->name.len;
    return mb;
}

static void
member_free(struct tb_pg *pg, struct tb_pg_member *mb)
{
    struct member_key k = key_of(mb->peer, mb->group->key, mb->pid);

    tb_map_take(pg->members, &k, sizeof(k));
    mb->owner->bytes -= mb->group->name.len;
    tb_list_del(&mb->by_group);
    tb_list_del(&mb->by_owner);
    tb_free(mb);
}

static void
count_owned(struct tb_pg *pg, struct tb_pg_member *mb, int by)
{
    mb->count += (uint32_t)by;
    mb->owner->n += (size_t)by;
    if (!mb->peer)
        pg->n_locals += (size_t)by;
}

bool
tb_pg_add(struct tb_proc *self, struct tb_pg *pg, struct tb_pg_owner *owner,
          tb_atom peer, struct tb_term group, struct tb_pid pid)
{
    struct tb_pg_group *g;
    struct tb_pg_member *mb;

    if (!has_room(pg, owner, peer, group))
        return false;
    g = tb_pg_group_get(pg, group);
    mb = find(pg, peer, g->key, pid);
    if (!mb)
        mb = member_new(pg, owner, peer, g, pid);
    count_owned(pg, mb, 1);
    tb_pg_news(self, pg, g, "join", pid);
    return true;
}

static void
remove_one(struct tb_proc *self, struct tb_pg *pg, struct tb_pg_member *mb)
{
    tb_pg_news(self, pg, mb->group, "leave", mb->pid);
    count_owned(pg, mb, -1);
    if (mb->count == 0)
        member_free(pg, mb);
}

bool
tb_pg_remove(struct tb_proc *self, struct tb_pg *pg, tb_atom peer,
             struct tb_term group, struct tb_pid pid)
{
    struct tb_pg_member *mb = find_in(pg, peer, group, pid);

    if (!mb)
        return false;
    remove_one(self, pg, mb); /* the group goes when that has been told */
    return true;
}

uint32_t
tb_pg_count(struct tb_pg *pg, tb_atom peer, struct tb_term group,
            struct tb_pid pid)
{
    struct tb_pg_member *mb = find_in(pg, peer, group, pid);

    return mb ? mb->count : 0;
}

void
tb_pg_drop(struct tb_proc *self, struct tb_pg *pg, struct tb_pg_owner *owner)
{
    while (!tb_list_empty(&owner->members))
        remove_one(
            self, pg,
            TB_ENTRY(owner->members.next, struct tb_pg_member, by_owner));
}

struct drop {
    struct tb_proc *self;
    struct tb_pg *pg;
};

static void
drop_peer(void *ctx, void *value)
{
    const struct drop *d = ctx;

    tb_pg_drop(d->self, d->pg, &((struct tb_pg_peer *)value)->owner);
}

static void
drop_local(void *ctx, void *value)
{
    const struct drop *d = ctx;

    tb_pg_drop(d->self, d->pg, &((struct tb_pg_local *)value)->owner);
}

void
tb_pg_drop_all(struct tb_proc *self, struct tb_pg *pg)
{
    struct drop d = { self, pg };

    tb_map_each(pg->peers, drop_peer, &d);
    tb_map_each(pg->locals, drop_local, &d);
}

void
tb_pg_sync_begin(struct tb_pg_owner *owner)
{
    TB_LIST_EACH (mb, &owner->members, struct tb_pg_member, by_owner)
        mb->seen = 0;
}

bool
tb_pg_sync_add(struct tb_proc *self, struct tb_pg *pg,
               struct tb_pg_owner *owner, tb_atom peer, struct tb_term group,
               struct tb_pid pid)
{
    struct tb_pg_member *mb = find_in(pg, peer, group, pid);

    if (mb && mb->seen < mb->count) {
        mb->seen++;
        return true;
    }
    if (!tb_pg_add(self, pg, owner, peer, group, pid))
        return false;
    mb = mb ? mb : find_in(pg, peer, group, pid);
    mb->seen++;
    return true;
}

void
tb_pg_sync_end(struct tb_proc *self, struct tb_pg *pg,
               struct tb_pg_owner *owner)
{
    TB_LIST_EACH (mb, &owner->members, struct tb_pg_member, by_owner)
        for (uint32_t more = mb->count - mb->seen; more > 0; more--)
            remove_one(self, pg, mb);
}

/* --------------------------------------------------------------- lists -- */

static size_t
put_pids(const struct tb_pg_group *g, bool local, struct tb_wr *w)
{
    size_t n = 0;

    TB_LIST_EACH (mb, &g->members, struct tb_pg_member, by_group)
        for (uint32_t i = 0; i < mb->count && (!local || !mb->peer); i++, n++)
            tb_build(w, "Pid", TB_ARGS(tb_v_pid(mb->pid)));
    return n;
}

void
tb_pg_put_members(struct tb_pg *pg, struct tb_term group, bool local,
                  struct tb_wr *w)
{
    const struct tb_pg_group *g = tb_pg_group_find(pg, group);
    struct tb_wr pids = { 0 };
    size_t n = g ? put_pids(g, local, &pids) : 0;

    tb_build_list(w, n, &pids);
    tb_wr_free(&pids);
}

static bool
has_any(const struct tb_pg_group *g, bool local)
{
    TB_LIST_EACH (mb, &g->members, struct tb_pg_member, by_group)
        if (!local || !mb->peer)
            return true;
    return false;
}

void
tb_pg_put_groups(struct tb_pg *pg, bool local, struct tb_wr *w)
{
    struct tb_wr list = { 0 };
    size_t n = 0;

    TB_LIST_EACH (g, &pg->group_list, struct tb_pg_group, link)
        if (has_any(g, local)) {
            tb_wr_bytes(&list, g->name.buf, g->name.len);
            n++;
        }
    tb_build_list(w, n, &list);
    tb_wr_free(&list);
}

void
tb_pg_put_ours(struct tb_pg *pg, struct tb_wr *w)
{
    struct tb_wr list = { 0 };
    size_t n = 0;

    TB_LIST_EACH (g, &pg->group_list, struct tb_pg_group, link) {
        struct tb_wr pids = { 0 }, all = { 0 };
        size_t k = put_pids(g, true, &pids);

        tb_build_list(&all, k, &pids);
        if (k > 0) {
            tb_build(&list, "{Group, Pids}",
                     TB_ARGS(tb_v_term(tb_wr_term(&g->name)),
                             tb_v_term(tb_wr_term(&all))));
            n++;
        }
        tb_wr_free(&pids);
        tb_wr_free(&all);
    }
    tb_build_list(w, n, &list);
    tb_wr_free(&list);
}
