/* set.c - the agreed set of hosts, and how it changes: by one host at a time,
 * each change with a stamp of its own.
 *
 * A set carries the stamps of all that it came from. So two of them that meet
 * tell whether one is the later one, or whether they grew apart: then the
 * union counts. And a host that comes from an earlier set, and is not in the
 * present one, was forgotten: it is cleared before it may join.
 * Owns: nothing. Thread: loop. */
#include <string.h>

#include "services/supervisor.h"

#define MAX_SPANS                                                              \
    64 /* changes of the node that decides, of which a set knows */

/* Stamps that one tiebeam node gave, one after the other. */
struct span {
    tb_atom by;
    int64_t from, to;
};

struct set {
    struct tb_place places[TB_MAX_SET];
    size_t n;
    struct span spans[MAX_SPANS];
    size_t n_spans;
};

/* --------------------------------------------------------------- a set -- */

static void
add_place(struct set *s, tb_atom node)
{
    size_t i = 0;

    while (i < s->n && s->places[i].node != node)
        i++;
    if (node && i == s->n && s->n < TB_MAX_SET)
        s->places[s->n++].node = node;
}

static size_t
earliest(const struct set *s)
{
    size_t at = 0;

    for (size_t i = 1; i < s->n_spans; i++)
        if (s->spans[i].to < s->spans[at].to)
            at = i;
    return at;
}

/* Of one that is full the earliest goes. */
static void
add_span(struct set *s, struct span add)
{
    for (size_t i = 0; i < s->n_spans; i++) {
        struct span *it = &s->spans[i];

        if (it->by != add.by || add.from > it->to + 1 || add.to < it->from - 1)
            continue;
        it->from = add.from < it->from ? add.from : it->from;
        it->to = add.to > it->to ? add.to : it->to;
        return;
    }
    if (s->n_spans == MAX_SPANS)
        s->spans[earliest(s)] = add;
    else
        s->spans[s->n_spans++] = add;
}

static bool
covers_span(const struct set *s, struct span span)
{
    for (size_t i = 0; i < s->n_spans; i++)
        if (s->spans[i].by == span.by && s->spans[i].from <= span.from &&
            s->spans[i].to >= span.to)
            return true;
    return s->n_spans == MAX_SPANS &&
           span.to <
               s->spans[earliest(s)].from; /* so old that it is not kept */
}

/* Whether b is a, or one that a came from. */
static bool
covers(const struct set *a, const struct set *b)
{
    for (size_t i = 0; i < b->n_spans; i++)
        if (!covers_span(a, b->spans[i]))
            return false;
    return true;
}

static void
read_places(struct set *s, struct tb_term list)
{
    struct tb_elems e;
    struct tb_term item;

    if (tb_elems_open(&e, list))
        while (tb_elems_next(&e, &item))
            add_place(s, tb_rule_node(item));
}

static void
read_spans(struct set *s, struct tb_term list)
{
    struct tb_val v[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term item;

    if (!tb_elems_open(&e, list))
        return;
    while (tb_elems_next(&e, &item))
        if (tb_match("{By:atom, From:int, To:int}", item, v) == 1)
            add_span(s, (struct span){ tb_intern(v[0].text), v[1].i, v[2].i });
}

/* Adds what is in {[Node], [{By, From, To}]}, and has that stamp. */
static void
read_set(struct set *s, struct tb_term value, int64_t counter, tb_atom node)
{
    struct tb_val v[TB_MAX_HOLES];

    if (!value.n || tb_match("{Nodes:list, Spans:list}", value, v) != 1)
        return;
    read_places(s, v[0].term);
    read_spans(s, v[1].term);
    add_span(s, (struct span){ node, counter, counter });
}

static struct set *
set_of(struct tb_term value, int64_t counter, tb_atom node)
{
    struct set *s = tb_new(struct set);

    read_set(s, value, counter, node);
    return s;
}

static struct set *
our_set(const struct tb_supervisor *sup)
{
    const struct tb_record *r = &sup->record[TB_RECORD_SET];

    return set_of(tb_wr_term(&r->value), r->counter, r->node);
}

static void
write_set(struct tb_wr *w, struct set *s)
{
    struct tb_wr names = { 0 }, nodes = { 0 }, items = { 0 }, spans = { 0 };

    tb_place_sort(s->places, s->n);
    for (size_t i = 0; i < s->n; i++)
        tb_build(&names, "Node", TB_ARGS(tb_v_node(s->places[i].node)));
    tb_build_list(&nodes, s->n, &names);
    for (size_t i = 0; i < s->n_spans; i++)
        tb_build(&items, "{By, From, To}",
                 TB_ARGS(tb_v_node(s->spans[i].by), tb_v_int(s->spans[i].from),
                         tb_v_int(s->spans[i].to)));
    tb_build_list(&spans, s->n_spans, &items);
    w->len = 0;
    tb_build(
        w, "{Nodes, Spans}",
        TB_ARGS(tb_v_term(tb_wr_term(&nodes)), tb_v_term(tb_wr_term(&spans))));
    tb_wr_free(&names);
    tb_wr_free(&nodes);
    tb_wr_free(&items);
    tb_wr_free(&spans);
}

/* ------------------------------------------------------------- members -- */

struct tb_term
tb_set_members(const struct tb_supervisor *sup)
{
    const struct tb_wr *value = &sup->record[TB_RECORD_SET].value;
    struct tb_val v[TB_MAX_HOLES];

    if (value->len && tb_match("{Nodes:list, _}", tb_wr_term(value), v) == 1)
        return v[0].term;
    return (struct tb_term){ 0 };
}

bool
tb_set_has(const struct tb_supervisor *sup, tb_atom node)
{
    struct tb_term members = tb_set_members(sup);
    struct tb_elems e;
    struct tb_term item;

    if (!members.n || !tb_elems_open(&e, members))
        return false;
    while (tb_elems_next(&e, &item))
        if (tb_rule_node(item) == node)
            return true;
    return false;
}

/* All that are here have it: the next change may come. */
bool
tb_set_is_recorded(const struct tb_supervisor *sup)
{
    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link)
        if (h->member && h->phase == TB_HOST_ATTACHED &&
            tb_record_lacks(sup, h, TB_RECORD_SET))
            return false;
    return !sup->set_merged;
}

/* It has a set that the present one came from, and that goes on without it. */
static bool
is_forgotten(const struct tb_supervisor *sup, const struct tb_host *h)
{
    struct set *ours, *its;
    bool forgotten;

    if (h->member || !h->set.len || h->phase < TB_HOST_READING)
        return false;
    ours = our_set(sup);
    its = set_of(tb_wr_term(&h->set), h->has[TB_RECORD_SET],
                 h->has_node[TB_RECORD_SET]);
    forgotten = covers(ours, its);
    tb_free(ours);
    tb_free(its);
    return forgotten;
}

/* What it tells of other hosts is as old as its set. */
static void
disbelieve(struct tb_proc *self, struct tb_supervisor *sup, struct tb_host *h)
{
    TB_LIST_EACH (home, &sup->homes, struct tb_home, link) {
        bool its = home == h->home;

        if (!its && (!home->copied || home->holder != h->node || home->host))
            continue;
        while (!tb_list_empty(&home->children))
            tb_work_deleted(
                self, sup, TB_ENTRY(home->children.next, struct tb_child, link),
                0);
        home->empty = its;
        home->copied = home->complete = false;
        home->n_asked = 0;
        home->seq = its ? home->seq : 0;
    }
}

void
tb_set_mark(struct tb_proc *self, struct tb_supervisor *sup, struct tb_host *h)
{
    bool before = h->forgotten;

    h->member = tb_set_has(sup, h->node);
    h->forgotten = is_forgotten(sup, h);
    if (h->forgotten && !before) {
        tb_log(TB_NOTICE, "host.forgotten", "node=%s name=%s: %s",
               tb_atom_text(h->node).p, sup->name,
               "it was away for too long, its children are stopped");
        disbelieve(self, sup, h);
    } else if (h->member && h->home && h->home->empty) {
        h->home->empty = false; /* a union has it again: its table counts */
        h->phase = TB_HOST_WAITING;
        h->why = "read_again";
    }
}

/* ------------------------------------------------------------- records -- */

void
tb_set_take(struct tb_supervisor *sup, int64_t counter, tb_atom node,
            struct tb_term value)
{
    struct tb_record *r = &sup->record[TB_RECORD_SET];
    struct set *ours = our_set(sup), *its = set_of(value, counter, node);

    if (r->value.len && covers(ours, its)) {
        tb_free(ours);
        tb_free(its);
        return;
    }
    sup->set_merged = r->value.len && !covers(its, ours);
    if (sup->set_merged) { /* they grew apart */
        read_set(its, tb_wr_term(&r->value), r->counter, r->node);
        write_set(&r->value, its);
    } else {
        r->value.len = 0;
        tb_wr_bytes(&r->value, value.p, value.n);
    }
    if (!sup->set_merged || counter > r->counter) {
        r->counter = counter;
        r->node = node;
    }
    tb_free(ours);
    tb_free(its);
}

/* ------------------------------------------------------- owner's work -- */

/* A stamp that nobody else gives: also a side that goes on without hosts which
 * it cannot see is told apart from them by it. */
static void
put_next(struct tb_proc *self, struct tb_supervisor *sup, struct set *s)
{
    struct tb_record *r = &sup->record[TB_RECORD_SET];

    r->counter++;
    r->node = sup->self_node;
    add_span(s, (struct span){ r->node, r->counter, r->counter });
    write_set(&r->value, s);
    sup->set_merged = false;
    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link) {
        h->sent[TB_RECORD_SET] = false;
        h->noted = h->member && h->down;
    }
    tb_sup_turn_ask(self, sup);
}

static void
join(struct tb_proc *self, struct tb_supervisor *sup, struct tb_host *h,
     struct set *s)
{
    add_place(s, h->node);
    h->member = true;
    put_next(self, sup, s);
    tb_log(TB_INFO_LEVEL, "host.joined", "node=%s name=%s",
           tb_atom_text(h->node).p, sup->name);
    if (sup->o.auto_balance && s->n > 1 && sup->table.counts.specs > 0)
        tb_balance_later(self, sup);
}

static void
leave(struct tb_proc *self, struct tb_supervisor *sup, struct tb_host *h,
      struct set *s, const char *why)
{
    size_t i = 0;

    while (i < s->n && s->places[i].node != h->node)
        i++;
    if (i < s->n)
        s->places[i] = s->places[--s->n];
    h->member = h->forget = false;
    put_next(self, sup, s);
    tb_drain_forget(sup, h->node);
    tb_log(TB_NOTICE, "host.left", "node=%s name=%s why=%s",
           tb_atom_text(h->node).p, sup->name, why);
}

/* It is connected to others, be it not to us: it is not gone. */
bool
tb_set_is_seen(const struct tb_supervisor *sup, const struct tb_host *h)
{
    TB_LIST_EACH (other, &sup->hosts, struct tb_host, link)
        if (h->phase == TB_HOST_AWAY && other->phase == TB_HOST_ATTACHED &&
            tb_host_sees(other, h->node))
            return true;
    return false;
}

/* NULL: it stays. Whatever ran there runs elsewhere by now. */
static const char *
why_leaves(struct tb_proc *self, const struct tb_supervisor *sup,
           const struct tb_host *h)
{
    uint64_t now = tb_now_ms(tb_self_node(self));
    bool gone = h->phase == TB_HOST_AWAY
                    ? h->down
                    : h->phase == TB_HOST_WAITING || h->phase == TB_HOST_NO;

    if (!h->member || !h->gone_ms || !gone || tb_home_of(sup, h->node) ||
        tb_set_is_seen(sup, h))
        return NULL;
    if (h->forget)
        return "asked";
    if (h->phase == TB_HOST_AWAY && (h->stopping || tb_drain_is(sup, h->node)))
        return "drained";
    if (tb_host_excluded(h))
        return "excluded";
    if (sup->o.forget_ms >= 0 && now - h->gone_ms >= (uint64_t)sup->o.forget_ms)
        return "forgotten";
    return NULL;
}

static bool
may_join(const struct tb_supervisor *sup, const struct tb_host *h)
{
    return h->phase == TB_HOST_ATTACHED && !h->member && !h->forgotten &&
           !h->stopping && !h->excluded && !h->looking_up &&
           h->owner == sup->self_node;
}

static bool
change(struct tb_proc *self, struct tb_supervisor *sup, struct set *s)
{
    bool news = false;

    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link) {
        const char *why = why_leaves(self, sup, h);

        if (why) {
            leave(self, sup, h, s, why);
            return true;
        }
        if (s->n < TB_MAX_SET && may_join(sup, h)) {
            join(self, sup, h, s);
            return true;
        }
        news = news || (h->member && h->down && !h->noted);
    }
    return news;
}

static void
clear(struct tb_proc *self, struct tb_host *h)
{
    if (!h->forgotten || h->clear_told || h->owner != h->sup->self_node ||
        h->phase != TB_HOST_ATTACHED) /* it takes no command before */
        return;
    h->clear_told = true;
    tb_command(self, h, "{clear, Inc}",
               TB_ARGS(tb_v_term(tb_wr_term(&h->home->inc))));
}

void
tb_set_turn(struct tb_proc *self, struct tb_supervisor *sup)
{
    struct set *s = our_set(sup);
    int64_t before = sup->record[TB_RECORD_SET].counter;

    if (sup->set_merged || (tb_set_is_recorded(sup) && change(self, sup, s) &&
                            before == sup->record[TB_RECORD_SET].counter))
        put_next(self, sup, s);
    tb_free(s);
    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link)
        clear(self, h);
}

/* {forget, Node}: true where it has left. */
bool
tb_set_forget(struct tb_proc *self, struct tb_supervisor *sup,
              struct tb_host *h)
{
    if (!h->member)
        return tb_set_is_recorded(sup);
    h->forget = true;
    tb_sup_turn_ask(self, sup);
    return false;
}
