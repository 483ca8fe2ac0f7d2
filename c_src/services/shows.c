/* shows.c - what any node that sees all hosts answers from memory.
 * In Erlang: supervisor:which_children/1, count_children/1.
 * Owns: nothing. Thread: loop. */
#include <stdlib.h>
#include <string.h>

#include "services/supervisor.h"

typedef void (*show_fn)(struct tb_proc *self, struct tb_supervisor *sup,
                        struct tb_request *r, const struct tb_val *v);

/* -------------------------------------------------------------- children -- */

static int
newest_first(const void *a, const void *b)
{
    const struct tb_child *x = *(struct tb_child *const *)a;
    const struct tb_child *y = *(struct tb_child *const *)b;

    return x->order < y->order ? 1 : x->order > y->order ? -1 : 0;
}

static struct tb_val
pid_or_state(const struct tb_child *c)
{
    if (c->pid.node)
        return tb_v_pid(c->pid);
    if (c->state == TB_CHILD_STOPPED || c->state == TB_CHILD_UNDEFINED)
        return tb_v_atom("undefined");
    return tb_v_atom("restarting");
}

static size_t
add_shown(struct tb_home *home, struct tb_child **all, size_t n)
{
    TB_LIST_EACH (c, &home->children, struct tb_child, link)
        if (c->shown)
            all[n++] = c;
    return n;
}

/* As a supervisor lists those with an id. */
static size_t
put_newest_first(struct tb_supervisor *sup, struct tb_shown *s)
{
    struct tb_child **all =
        tb_alloc((sup->table.counts.specs + 1) * sizeof(void *));
    size_t n = 0;

    TB_LIST_EACH (home, &sup->homes, struct tb_home, link)
        n = add_shown(home, all, n);
    qsort(all, n, sizeof(void *), newest_first);
    for (size_t i = 0; i < n; i++)
        tb_child_put_shown(s, all[i], pid_or_state(all[i]));
    tb_free(all);
    return n;
}

/* There may be many, more than a processor keeps at hand: each is looked at
 * once, and the next one is fetched meanwhile. */
static size_t
put_shown(struct tb_home *home, struct tb_shown *s)
{
    size_t n = 0;

    TB_LIST_EACH (c, &home->children, struct tb_child, link) {
        __builtin_prefetch(c->link.next);
        __builtin_prefetch((const char *)c->link.next + 64);
        if (!c->shown)
            continue;
        tb_child_put_shown(s, c, pid_or_state(c));
        n++;
    }
    return n;
}

static size_t
put_any_order(struct tb_supervisor *sup, struct tb_shown *s)
{
    size_t n = 0;

    TB_LIST_EACH (home, &sup->homes, struct tb_home, link)
        n += put_shown(home, s);
    return n;
}

static void
on_which_children(struct tb_proc *self, struct tb_supervisor *sup,
                  struct tb_request *r, const struct tb_val *v)
{
    struct tb_shown shown = { .table = tb_answer_table(self, r) };
    struct tb_wr list = { 0 };
    size_t n;

    (void)v;
    n = sup->table.index[TB_BY_ID].n > 0 ? put_newest_first(sup, &shown)
                                         : put_any_order(sup, &shown);
    tb_build_list(&list, n, &shown.items);
    tb_wr_free(&shown.items);
    tb_answer_with(self, sup, r, shown.table, tb_wr_term(&list));
    tb_wr_free(&list);
    tb_shown_free(&shown);
}

static void
on_count_children(struct tb_proc *self, struct tb_supervisor *sup,
                  struct tb_request *r, const struct tb_val *v)
{
    const struct tb_counts *n = &sup->table.counts;

    (void)v;
    tb_answer(self, sup, r,
              "[{specs, N}, {active, A}, {supervisors, S}, {workers, W}]",
              TB_ARGS(tb_v_int((int64_t)n->specs), tb_v_int((int64_t)n->active),
                      tb_v_int((int64_t)n->supervisors),
                      tb_v_int((int64_t)n->workers)));
}

/* A named one by its id; a dynamic one by its pid, as simple_one_for_one. */
static struct tb_child *
find_shown(struct tb_supervisor *sup, struct tb_term which)
{
    struct tb_child *c = tb_children_id(&sup->table, which);
    struct tb_val p[TB_MAX_HOLES];

    if (!c && tb_match("Pid:pid", which, p) == 1) {
        c = tb_children_pid(&sup->table, p[0].pid);
        if (c && c->named)
            c = NULL;
    }
    return c && c->shown ? c : NULL;
}

static void
on_get_childspec(struct tb_proc *self, struct tb_supervisor *sup,
                 struct tb_request *r, const struct tb_val *v)
{
    struct tb_child *c = find_shown(sup, v[0].term);
    struct tb_wr map = { 0 };
    struct tb_spec s;

    if (!c || !tb_spec_read(&s, tb_child_spec(c))) {
        tb_answer(self, sup, r, "{error, not_found}", TB_NONE);
        return;
    }
    tb_spec_put_map(&map, &s);
    tb_answer(self, sup, r, "{ok, Map}", TB_ARGS(tb_v_term(tb_wr_term(&map))));
    tb_wr_free(&map);
}

static void
on_which_child(struct tb_proc *self, struct tb_supervisor *sup,
               struct tb_request *r, const struct tb_val *v)
{
    struct tb_child *c = find_shown(sup, v[0].term);
    struct tb_shown child = { 0 };

    if (!c) {
        tb_answer(self, sup, r, "{error, not_found}", TB_NONE);
        return;
    }
    tb_child_put_shown(&child, c, pid_or_state(c));
    tb_answer(self, sup, r, "{ok, Child}",
              TB_ARGS(tb_v_term(tb_wr_term(&child.items))));
    tb_shown_free(&child);
}

/* ---------------------------------------------------------------- places -- */

static void
on_locate(struct tb_proc *self, struct tb_supervisor *sup, struct tb_request *r,
          const struct tb_val *v)
{
    struct tb_wr spec = { 0 }, why = { 0 };
    struct tb_host *h;

    if (tb_spec_put(&spec, v[0].term, &why) < 0) {
        tb_answer(self, sup, r, "{error, Why}",
                  TB_ARGS(tb_v_term(tb_wr_term(&why))));
    } else if (sup->o.locator == TB_LOCATE_FUN) {
        tb_answer(
            self, sup, r, "{error, {locator, {M, F}}}",
            TB_ARGS(tb_v_atom(sup->o.module), tb_v_atom(sup->o.function)));
    } else {
        h = tb_places_find(sup, tb_wr_term(&spec));
        if (h)
            tb_answer(self, sup, r, "Node", TB_ARGS(tb_v_node(h->node)));
        else if (!tb_view_owner(sup) && !tb_has_no_hosts(sup))
            tb_request_hold(self, sup, r); /* till the hosts agree */
        else
            tb_answer(self, sup, r, "{error, no_hosts}", TB_NONE);
    }
    tb_wr_free(&spec);
    tb_wr_free(&why);
}

static void
on_hosts(struct tb_proc *self, struct tb_supervisor *sup, struct tb_request *r,
         const struct tb_val *v)
{
    struct tb_wr names = { 0 }, list = { 0 };

    (void)v;
    for (size_t i = 0; i < sup->n_places; i++)
        tb_build(&names, "Node", TB_ARGS(tb_v_node(sup->places[i].node)));
    tb_build_list(&list, sup->n_places, &names);
    tb_answer(self, sup, r, "List", TB_ARGS(tb_v_term(tb_wr_term(&list))));
    tb_wr_free(&names);
    tb_wr_free(&list);
}

static const char *
state_of(const struct tb_host *h)
{
    if (h->phase == TB_HOST_ATTACHED)
        return h->stopping   ? "stopping"
               : h->draining ? "draining"
               : h->excluded ? tb_host_excluded(h)
               : h->member   ? "attached"
                             : "joining";
    if (h->down)
        return "down";
    return h->phase == TB_HOST_ASKING || h->phase == TB_HOST_READING
               ? "attaching"
           : h->why ? h->why
                    : "not_connected";
}

static struct tb_val
node_or_none(tb_atom node)
{
    return node ? tb_v_node(node) : tb_v_atom("none");
}

static void
put_host(struct tb_wr *w, const struct tb_host *h)
{
    struct tb_wr inc = { 0 }, sees = { 0 };

    if (h->nodes.len && h->phase >= TB_HOST_READING)
        tb_wr_bytes(&sees, h->nodes.buf, h->nodes.len);
    else
        tb_build(&sees, "[]", TB_NONE);
    if (h->home)
        tb_build(&inc, "Inc", TB_ARGS(tb_v_term(tb_wr_term(&h->home->inc))));
    else
        tb_build(&inc, "none", TB_NONE);
    tb_build(w, "Node", TB_ARGS(tb_v_node(h->node)));
    tb_build(w,
             "#{state => S, children => N, owner => O, epoch => E, "
             "incarnation => I, version => V, backup => B, draining => D, "
             "waiting_for_backup => U, sees => L}",
             TB_ARGS(tb_v_atom(state_of(h)),
                     tb_v_int(h->home ? (int64_t)h->home->n : 0),
                     node_or_none(h->owner), tb_v_int(h->epoch),
                     tb_v_term(tb_wr_term(&inc)),
                     h->phase >= TB_HOST_READING ? tb_v_int(h->version)
                                                 : tb_v_atom("none"),
                     node_or_none(h->backup), tb_v_bool(h->draining),
                     tb_v_bool(!tb_list_empty(&h->unacked)),
                     tb_v_term(tb_wr_term(&sees))));
    tb_wr_free(&sees);
    tb_wr_free(&inc);
}

static void
put_hosts(struct tb_supervisor *sup, struct tb_wr *map)
{
    struct tb_wr pairs = { 0 };
    size_t n = 0;

    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link) {
        put_host(&pairs, h);
        n++;
    }
    tb_build_map(map, n, &pairs);
    tb_wr_free(&pairs);
}

static size_t
waiting_starts(const struct tb_supervisor *sup)
{
    size_t n = 0;

    TB_LIST_EACH (home, &sup->homes, struct tb_home, link)
        n += home->lost ? home->n : 0;
    TB_LIST_EACH (w, &sup->paced, struct tb_work, timed)
        n++;
    return n + sup->table.n_fresh;
}

static void
put_pair(struct tb_wr *w, size_t *n, const char *key, struct tb_val value)
{
    tb_build(w, "Key", TB_ARGS(tb_v_atom(key)));
    tb_build(w, "Value", TB_ARGS(value));
    ++*n;
}

static void
put_counters(const struct tb_supervisor *sup, struct tb_wr *w)
{
    tb_build(w, "#{starts => S, restarts => R, failovers => F, moves => M}",
             TB_ARGS(tb_v_int((int64_t)sup->starts),
                     tb_v_int((int64_t)sup->restarts),
                     tb_v_int((int64_t)sup->failovers),
                     tb_v_int((int64_t)sup->moves)));
}

static void
put_set(const struct tb_supervisor *sup, struct tb_wr *w)
{
    struct tb_term members = tb_set_members(sup);

    if (members.n)
        tb_wr_bytes(w, members.p, members.n);
    else
        tb_build(w, "[]", TB_NONE);
}

static void
on_info(struct tb_proc *self, struct tb_supervisor *sup, struct tb_request *r,
        const struct tb_val *v)
{
    struct tb_wr hosts = { 0 }, counts = { 0 }, set = { 0 };
    struct tb_wr pairs = { 0 }, map = { 0 };
    size_t n = 0;

    (void)v;
    put_hosts(sup, &hosts);
    put_counters(sup, &counts);
    put_set(sup, &set);
    put_pair(&pairs, &n, "name", tb_v_atom(sup->name));
    put_pair(&pairs, &n, "whole", tb_v_bool(sup->whole));
    put_pair(&pairs, &n, "owner", node_or_none(tb_view_owner(sup)));
    put_pair(&pairs, &n, "owning", tb_v_bool(sup->owning));
    put_pair(&pairs, &n, "generation", tb_v_int(tb_generation(sup)));
    put_pair(&pairs, &n, "options", tb_v_term(tb_wr_term(&sup->o.all)));
    put_pair(&pairs, &n, "options_differ", tb_v_bool(sup->differs));
    put_pair(&pairs, &n, "children",
             tb_v_int((int64_t)sup->table.counts.specs));
    put_pair(&pairs, &n, "waiting", tb_v_int((int64_t)waiting_starts(sup)));
    put_pair(&pairs, &n, "held", tb_v_int((int64_t)sup->n_held));
    put_pair(&pairs, &n, "global",
             sup->no_clusters ? tb_v_atom("no_process_clusters")
                              : tb_v_bool(sup->o.global));
    put_pair(&pairs, &n, "safe", tb_v_bool(tb_is_safe(sup)));
    put_pair(&pairs, &n, "set", tb_v_term(tb_wr_term(&set)));
    put_pair(&pairs, &n, "tombstones",
             tb_v_int((int64_t)tb_map_count(sup->tombstones)));
    put_pair(&pairs, &n, "hosts", tb_v_term(tb_wr_term(&hosts)));
    put_pair(&pairs, &n, "counters", tb_v_term(tb_wr_term(&counts)));
    tb_build_map(&map, n, &pairs);
    tb_answer(self, sup, r, "Map", TB_ARGS(tb_v_term(tb_wr_term(&map))));
    tb_wr_free(&hosts);
    tb_wr_free(&counts);
    tb_wr_free(&set);
    tb_wr_free(&pairs);
    tb_wr_free(&map);
}

/* --------------------------------------------------------------- explain -- */

static const char *const states[] = { "starting", "running",   "exited",
                                      "stopped",  "undefined", "stopping",
                                      "moving" };

static struct tb_child *
find_any(struct tb_supervisor *sup, struct tb_term what)
{
    struct tb_val p[TB_MAX_HOLES];
    struct tb_child *c = NULL;

    if (tb_match("Pid:pid", what, p) == 1)
        c = tb_children_pid(&sup->table, p[0].pid);
    return c ? c : tb_children_id(&sup->table, what);
}

/* Where a child is, why there, and why the other nodes are no hosts. */
static void
on_explain(struct tb_proc *self, struct tb_supervisor *sup,
           struct tb_request *r, const struct tb_val *v)
{
    struct tb_child *c = find_any(sup, v[0].term);
    struct tb_wr hosts = { 0 };
    struct tb_host *to;

    put_hosts(sup, &hosts);
    if (!c) {
        tb_answer(self, sup, r, "#{child => not_found, hosts => Hosts}",
                  TB_ARGS(tb_v_term(tb_wr_term(&hosts))));
    } else {
        to = sup->o.locator == TB_LOCATE_FUN
                 ? c->home->host /* not judged while it runs */
                 : tb_places_find(sup, tb_child_spec(c));
        tb_answer(self, sup, r,
                  "#{node => Node, state => S, starts => N, pid => P, "
                  "belongs_to => To, spec => Spec, hosts => Hosts}",
                  TB_ARGS(tb_v_node(c->home->node), tb_v_atom(states[c->state]),
                          tb_v_int((int64_t)(c->starts % TB_STARTS_ASKED)),
                          pid_or_state(c), node_or_none(to ? to->node : 0),
                          tb_v_term(tb_child_spec(c)),
                          tb_v_term(tb_wr_term(&hosts))));
    }
    tb_wr_free(&hosts);
}

/* clang-format off */
static const struct {
    const char *pattern;
    show_fn fn;
} shows[] = {
    { "which_children",        on_which_children },
    { "count_children",        on_count_children },
    { "{get_childspec, Id}",   on_get_childspec  },
    { "{which_child, Id}",     on_which_child    },
    { "{locate, Spec}",        on_locate         },
    { "hosts",                 on_hosts          },
    { "info",                  on_info           },
    { "{explain, Child}",      on_explain        },
};
/* clang-format on */

bool
tb_show(struct tb_proc *self, struct tb_supervisor *sup, struct tb_request *r)
{
    struct tb_val v[TB_MAX_HOLES];

    for (size_t i = 0; i < sizeof(shows) / sizeof(shows[0]); i++)
        if (tb_match(shows[i].pattern, r->term, v) == 1) {
            shows[i].fn(self, sup, r, v);
            return true;
        }
    return false;
}

/* Of which nobody has to see all hosts: they tell what is missing. */
bool
tb_show_anyway(struct tb_proc *self, struct tb_supervisor *sup,
               struct tb_request *r)
{
    struct tb_val v[TB_MAX_HOLES];

    if (tb_match("info", r->term, v) == 1)
        on_info(self, sup, r, v);
    else if (tb_match("{explain, Child}", r->term, v) == 1)
        on_explain(self, sup, r, v);
    else
        return false;
    return true;
}
