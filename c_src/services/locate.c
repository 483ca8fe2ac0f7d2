/* locate.c - the locator {Module, Function} of a BEAM node, asked where the
 * children of a lost or drained host are to go: one call for all that are not
 * known yet. Till it answers they wait; where it does not, phash2 tells.
 * What it once said of a child that runs is no reason to move it.
 * Owns: its answers, till they are used or old. Thread: loop. */
#include "services/supervisor.h"

#define LOCATE_MS 5000
#define KEEP_MS   10000
#define MAX_KEYS  10000 /* in one question */

struct tb_located {
    struct tb_list link; /* in tb_supervisor.unlocated: to be asked next */
    struct tb_key key;
    tb_atom node; /* 0: not known */
    bool asked;
};

struct question {
    size_t n;
    struct tb_key keys[];
};

/* ----------------------------------------------------------------- ask -- */

static struct tb_located *
entry(struct tb_supervisor *sup, struct tb_key key)
{
    struct tb_located *l = tb_map_get(sup->located, &key, sizeof(key));

    if (l)
        return l;
    l = tb_new(struct tb_located);
    l->key = key;
    tb_map_put(sup->located, &key, sizeof(key), l);
    return l;
}

struct tb_host *
tb_places_of(struct tb_proc *self, struct tb_supervisor *sup,
             const struct tb_child *c)
{
    struct tb_located *l;

    if (sup->o.locator != TB_LOCATE_FUN || sup->n_places == 0)
        return tb_places_find(sup, tb_child_spec(c));
    l = entry(sup, c->key);
    for (size_t i = 0; l->node && i < sup->n_places; i++)
        if (sup->places[i].node == l->node)
            return tb_host_find(sup, l->node);
    if (!l->asked) {
        l->node = 0;
        l->asked = true;
        tb_list_add(&sup->unlocated, &l->link);
        tb_sup_turn_ask(self, sup);
    }
    return NULL;
}

void
tb_located_used(struct tb_supervisor *sup, struct tb_key key)
{
    struct tb_located *l = tb_map_take(sup->located, &key, sizeof(key));

    if (!l)
        return;
    tb_list_del(&l->link);
    tb_free(l);
}

/* ------------------------------------------------------------- answers -- */

static bool
is_place(const struct tb_supervisor *sup, tb_atom node)
{
    for (size_t i = 0; i < sup->n_places; i++)
        if (sup->places[i].node == node)
            return true;
    return false;
}

static tb_atom
otherwise(struct tb_supervisor *sup, struct tb_key key)
{
    struct tb_child *c = tb_children_best(&sup->table, key);
    struct tb_host *h = c ? tb_places_find(sup, tb_child_spec(c)) : NULL;

    return h ? h->node : 0;
}

/* How many of them it could not tell. */
static size_t
take_answers(struct tb_supervisor *sup, const struct question *q, bool list,
             struct tb_elems *e)
{
    struct tb_term item;
    size_t bad = 0;

    for (size_t i = 0; i < q->n; i++) {
        struct tb_located *l =
            tb_map_get(sup->located, &q->keys[i], sizeof(q->keys[i]));
        tb_atom node = list && tb_elems_next(e, &item) ? tb_rule_node(item) : 0;
        bool good = node && is_place(sup, node);

        bad += !good;
        if (!l)
            continue;
        l->asked = false;
        l->node = good ? node : otherwise(sup, l->key);
    }
    return bad;
}

/* Those that wait are planned again. */
static void
go_on(struct tb_proc *self, struct tb_supervisor *sup)
{
    sup->look_again = true;
    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link)
        if (h->draining || h->excluded)
            h->leave = true;
    tb_sup_turn_ask(self, sup);
}

static int
on_located(struct tb_proc *self, void *state, void *ctx, int status,
           struct tb_term result)
{
    struct tb_supervisor *sup = state;
    struct question *q = ctx;
    struct tb_elems e;
    struct tb_wr text = { .max = 256 };
    size_t bad;

    if (status == -TB_ESTOPPED) {
        tb_free(q);
        return TB_NOREPLY;
    }
    sup->locating = false;
    sup->located_ms = tb_now_ms(tb_self_node(self));
    bad = take_answers(sup, q, status == 0 && tb_elems_open(&e, result), &e);
    if (bad) {
        if (status == 0)
            tb_print(&text, result);
        else
            tb_wr_str(&text, tb_strerror(status));
        tb_log(TB_NOTICE, "supervisor.locator_failed",
               "name=%s %s:%s children=%zu: phash2 tells where they go: %.*s",
               sup->name, sup->o.module, sup->o.function, bad, (int)text.len,
               (const char *)text.buf);
        tb_wr_free(&text);
    }
    tb_free(q);
    go_on(self, sup);
    return TB_NOREPLY;
}

/* ---------------------------------------------------------------- send -- */

/* In the form in which it was started: the tuple of five, or the map. */
static bool
put_spec(struct tb_supervisor *sup, struct tb_key key, struct tb_wr *w)
{
    struct tb_child *c = tb_children_best(&sup->table, key);
    struct tb_spec s;

    if (!c || !tb_spec_read(&s, tb_child_spec(c)))
        return false;
    if (s.named)
        tb_spec_put_map(w, &s);
    else
        tb_spec_put_located(w, &s);
    return true;
}

static size_t
count(const struct tb_supervisor *sup)
{
    size_t n = 0;

    for (const struct tb_list *l = sup->unlocated.next;
         l != &sup->unlocated && n < MAX_KEYS; l = l->next)
        n++;
    return n;
}

/* Of children that went meanwhile nothing is asked. */
static void
take_keys(struct tb_supervisor *sup, struct question *q, struct tb_wr *specs)
{
    for (size_t left = count(sup); left > 0; left--) {
        struct tb_located *l =
            TB_ENTRY(sup->unlocated.next, struct tb_located, link);

        tb_list_del(&l->link);
        if (put_spec(sup, l->key, specs))
            q->keys[q->n++] = l->key;
        else
            tb_located_used(sup, l->key);
    }
}

void
tb_located_send(struct tb_proc *self, struct tb_supervisor *sup)
{
    struct tb_wr specs = { 0 }, list = { 0 }, nodes = { 0 };
    struct question *q;

    if (sup->locating || tb_list_empty(&sup->unlocated) || sup->n_places == 0)
        return;
    q = tb_alloc(sizeof(*q) + count(sup) * sizeof(q->keys[0]));
    take_keys(sup, q, &specs);
    if (q->n == 0) {
        tb_free(q);
        return;
    }
    sup->locating = true;
    tb_build_list(&list, q->n, &specs);
    tb_places_put(sup, &nodes);
    tb_erpc(
        self, sup->places[0].node, sup->o.module, sup->o.function,
        "[Specs, Nodes]",
        TB_ARGS(tb_v_term(tb_wr_term(&list)), tb_v_term(tb_wr_term(&nodes))),
        LOCATE_MS, on_located, q);
    tb_wr_free(&specs);
    tb_wr_free(&list);
    tb_wr_free(&nodes);
}

/* ----------------------------------------------------------------- end -- */

static void
free_one(void *ctx, void *value)
{
    struct tb_located *l = value;

    (void)ctx;
    tb_list_del(&l->link);
    tb_free(l);
}

void
tb_located_free(struct tb_supervisor *sup)
{
    tb_map_each(sup->located, free_one, NULL);
    tb_map_free(sup->located);
    sup->located = NULL;
}

/* Answers that nobody used: the children went another way, or hosts changed. */
void
tb_located_tick(struct tb_proc *self, struct tb_supervisor *sup)
{
    if (sup->locating || tb_map_count(sup->located) == 0 ||
        !tb_list_empty(&sup->unlocated) ||
        tb_now_ms(tb_self_node(self)) - sup->located_ms < KEEP_MS)
        return;
    tb_located_free(sup);
    sup->located = tb_map_new();
}
