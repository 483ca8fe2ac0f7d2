/* homes.c - incarnations of hosts, and what lives there.
 * Owns: homes. Thread: loop. */
#include <string.h>

#include "services/supervisor.h"

static struct tb_home *
find(struct tb_supervisor *sup, tb_atom node, const struct tb_wr *inc)
{
    TB_LIST_EACH (it, &sup->homes, struct tb_home, link)
        if (it->node == node && it->inc.len == inc->len &&
            memcmp(it->inc.buf, inc->buf, inc->len) == 0)
            return it;
    return NULL;
}

/* As we would write it; false: it is no incarnation. */
static bool
put_inc(struct tb_wr *w, struct tb_term inc)
{
    struct tb_val h[TB_MAX_HOLES];

    return tb_match("{C:int, Id:bin}", inc, h) == 1 &&
           tb_build(w, "{C, Id}", TB_ARGS(h[0], h[1])) == 0;
}

struct tb_home *
tb_home_find(struct tb_supervisor *sup, tb_atom node, struct tb_term inc)
{
    struct tb_wr w = { 0 };
    struct tb_home *home = put_inc(&w, inc) ? find(sup, node, &w) : NULL;

    tb_wr_free(&w);
    return home;
}

struct tb_home *
tb_home_get(struct tb_supervisor *sup, tb_atom node, struct tb_term inc)
{
    struct tb_home *home = tb_home_find(sup, node, inc);
    struct tb_wr w = { 0 };

    if (home || !put_inc(&w, inc))
        return home;
    home = tb_new(struct tb_home);
    home->node = node;
    home->inc = w;
    home->made = sup->n_asks;
    tb_list_init(&home->children);
    tb_list_add(&sup->homes, &home->link);
    return home;
}

struct tb_home *
tb_home_of(const struct tb_supervisor *sup, tb_atom node)
{
    TB_LIST_EACH (it, &sup->homes, struct tb_home, link)
        if (it->node == node)
            return it;
    return NULL;
}

/* What was there has to start elsewhere; till then it is shown as it was. */
void
tb_home_lose(struct tb_supervisor *sup, struct tb_home *home)
{
    if (home->lost)
        return;
    home->lost = true;
    if (home->host && home->host->home == home)
        home->host->home = NULL;
    home->host = NULL;
    TB_LIST_EACH (c, &home->children, struct tb_child, link)
        if (c->pid.node)
            tb_child_set(&sup->table, c, TB_CHILD_EXITED, NULL),
                c->abnormal = true;
}

/* A host is back that another tiebeam node may have told things in our absence:
 * that one may have dealt with others that are lost, or will be. What we knew
 * of them counts no more, only the copies do. */
void
tb_homes_age(struct tb_supervisor *sup)
{
    TB_LIST_EACH (home, &sup->homes, struct tb_home, link)
        if (!home->host || home->host->phase < TB_HOST_READING)
            home->stale = true;
}

/* It was taken for lost, as by a tiebeam node that was alone, and lives. What
 * is there is about to be told. */
void
tb_home_found(struct tb_home *home)
{
    home->lost = home->complete = home->copied = false;
    home->drop_ms = 0;
    home->n_asked = 0;
}

void
tb_home_ask(struct tb_home *home, tb_atom node)
{
    tb_atom *more = tb_alloc((home->n_asked + 1) * sizeof(*more));

    if (home->n_asked)
        memcpy(more, home->asked, home->n_asked * sizeof(*more));
    more[home->n_asked++] = node;
    tb_free(home->asked);
    home->asked = more;
}

bool
tb_home_asks(const struct tb_home *home, tb_atom node)
{
    for (size_t i = 0; i < home->n_asked; i++)
        if (home->asked[i] == node)
            return true;
    return false;
}

bool
tb_home_told(struct tb_home *home, tb_atom node)
{
    for (size_t i = 0; i < home->n_asked; i++)
        if (home->asked[i] == node) {
            home->asked[i] = home->asked[--home->n_asked];
            return home->n_asked == 0;
        }
    return false;
}

void
tb_home_free(struct tb_supervisor *sup, struct tb_home *home)
{
    (void)sup;
    tb_list_del(&home->link);
    tb_free(home->asked);
    tb_wr_free(&home->inc);
    tb_free(home);
}
