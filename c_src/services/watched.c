/* watched.c - the nodes that somebody has an interest in, and their states.
 * In Erlang: the sys_dist table, seen by its subscribers.
 * Owns: the records and the last transitions. Thread: loop. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "services/monitor.h"

static uint64_t
wall_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

bool
tb_mon_copy(char out[TB_MON_ATOM_BYTES], struct tb_text text)
{
    if (text.n >= TB_MON_ATOM_BYTES || memchr(text.p, '\0', text.n))
        return false;
    memcpy(out, text.p, text.n);
    out[text.n] = '\0';
    return true;
}

const char *
tb_health_name(enum tb_node_health h)
{
    static const char *const names[] = {
        [TB_NODE_DOWN] = "down", [TB_NODE_UP] = "up"
    };

    return names[h];
}

struct tb_watched *
tb_watched_find(struct tb_monitor *mon, tb_atom node)
{
    return tb_map_get(mon->by_name, &node, sizeof(node));
}

struct tb_watched *
tb_watched_get(struct tb_monitor *mon, tb_atom node)
{
    struct tb_watched *w = tb_watched_find(mon, node);

    if (w)
        return w;
    w = tb_new(struct tb_watched);
    w->node = node;
    w->since_ms = wall_ms();
    tb_list_init(&w->watchers);
    tb_list_add(&mon->nodes, &w->link);
    tb_map_put(mon->by_name, &w->node, sizeof(w->node), w);
    return w;
}

void
tb_watched_release(struct tb_monitor *mon, struct tb_watched *w)
{
    if (w->connected || !tb_list_empty(&w->watchers))
        return;
    tb_map_take(mon->by_name, &w->node, sizeof(w->node));
    tb_list_del(&w->link);
    tb_free(w);
}

bool
tb_watched_managed(const struct tb_monitor *mon, const struct tb_watched *w)
{
    (void)mon;
    return w->connected && w->visible;
}

void
tb_watched_to(struct tb_proc *self, struct tb_monitor *mon,
              struct tb_watched *w, enum tb_node_health to,
              struct tb_text reason)
{
    struct tb_transition *t = &mon->ring[mon->transitions % TB_MON_TRANSITIONS];
    enum tb_node_health from = w->state;

    if (from == to)
        return;
    w->state = to;
    w->since_ms = wall_ms();
    if (!w->visible && !tb_watched_managed(mon, w))
        return; /* people and C nodes that come and go */
    *t = (struct tb_transition){ w->node,          from,        to, w->since_ms,
                                 w->connection_id, w->creation, "" };
    snprintf(t->reason, sizeof(t->reason), "%.*s", (int)reason.n, reason.p);
    mon->transitions++;
    tb_subscribers_state(self, mon, t);
}

/* --------------------------------------------------------------- info -- */

static void
put_one(struct tb_monitor *mon, struct tb_watched *w, struct tb_wr *out)
{
    tb_build(out, "Node", TB_ARGS(tb_v_node(w->node)));
    tb_build(out,
             "#{state => S, type => T, managed => M, connection_id => Id, "
             "creation => C, since_ms => Since}",
             TB_ARGS(tb_v_atom(tb_health_name(w->state)),
                     tb_v_atom(w->visible ? "visible" : "hidden"),
                     tb_v_bool(tb_watched_managed(mon, w)),
                     tb_v_int((int64_t)w->connection_id), tb_v_int(w->creation),
                     tb_v_int((int64_t)w->since_ms)));
}

void
tb_put_watched(struct tb_proc *self, struct tb_monitor *mon, struct tb_wr *w)
{
    struct tb_wr pairs = { 0 };
    size_t n = 0;

    (void)self;
    TB_LIST_EACH (node, &mon->nodes, struct tb_watched, link) {
        put_one(mon, node, &pairs);
        n++;
    }
    tb_build_map(w, n, &pairs);
    tb_wr_free(&pairs);
}

void
tb_put_managed(struct tb_monitor *mon, struct tb_wr *w)
{
    struct tb_wr list = { 0 };
    size_t n = 0;

    TB_LIST_EACH (node, &mon->nodes, struct tb_watched, link)
        if (tb_watched_managed(mon, node)) {
            tb_build(&list, "Node", TB_ARGS(tb_v_node(node->node)));
            n++;
        }
    tb_build_list(w, n, &list);
    tb_wr_free(&list);
}

static void
put_transition(struct tb_wr *w, const struct tb_transition *t)
{
    tb_build(w,
             "#{node => Node, from => From, to => To, reason => Why, "
             "connection_id => Id, creation => C, time_ms => Time}",
             TB_ARGS(tb_v_node(t->node), tb_v_atom(tb_health_name(t->from)),
                     tb_v_atom(tb_health_name(t->to)), tb_v_atom(t->reason),
                     tb_v_int((int64_t)t->connection_id), tb_v_int(t->creation),
                     tb_v_int((int64_t)t->time_ms)));
}

void
tb_put_transitions(const struct tb_monitor *mon, struct tb_wr *w)
{
    uint64_t kept = mon->transitions < TB_MON_TRANSITIONS ? mon->transitions
                                                          : TB_MON_TRANSITIONS;
    struct tb_wr list = { 0 };

    for (uint64_t i = mon->transitions - kept; i < mon->transitions; i++)
        put_transition(&list, &mon->ring[i % TB_MON_TRANSITIONS]);
    tb_build_list(w, (size_t)kept, &list);
    tb_wr_free(&list);
}
