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
tb_state_name(enum tb_node_state s)
{
    static const char *const names[] = {
        [TB_NODE_IS_DOWN] = "down",
        [TB_NODE_IS_SUSPECT] = "suspect",
        [TB_NODE_IS_DEGRADED] = "degraded",
        [TB_NODE_IS_UP] = "up",
    };

    return names[s];
}

/* ------------------------------------------------------------ records -- */

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
    tb_list_init(&w->outboxes);
    tb_list_add(&mon->nodes, &w->link);
    tb_map_put(mon->by_name, &w->node, sizeof(w->node), w);
    return w;
}

void
tb_watched_free(struct tb_monitor *mon, struct tb_watched *w)
{
    tb_notifier_node_down(w);
    tb_map_take(mon->by_name, &w->node, sizeof(w->node));
    tb_list_del(&w->link);
    tb_free(w);
}

void
tb_watched_release(struct tb_monitor *mon, struct tb_watched *w)
{
    const struct tb_dialling *d = &w->dial;

    if (!w->connected && !w->in_set && !d->wanted && !d->busy && !d->timed)
        tb_watched_free(mon, w);
}

bool
tb_watched_managed(const struct tb_monitor *mon, const struct tb_watched *w)
{
    return mon->options.source == TB_SOURCE_ALL ? w->connected && w->visible
                                                : w->in_set;
}

/* Hidden nodes are people and C nodes, which come and go. */
bool
tb_watched_tracked(const struct tb_monitor *mon, const struct tb_watched *w)
{
    return w->visible || w->told != TB_NODE_IS_DOWN ||
           tb_watched_managed(mon, w);
}

/* ------------------------------------------------------------- states -- */

static void
note(struct tb_proc *self, struct tb_monitor *mon, const struct tb_watched *w,
     enum tb_node_state from, const char *reason)
{
    struct tb_transition *t = &mon->ring[mon->transitions % TB_MON_TRANSITIONS];

    *t = (struct tb_transition){ .node = w->node,
                                 .from = from,
                                 .to = w->state,
                                 .time_ms = wall_ms(),
                                 .connection_id = w->connection_id,
                                 .creation = w->creation };
    snprintf(t->reason, sizeof(t->reason), "%s", reason);
    mon->transitions++;
    tb_subscribers_state(self, mon, t);
}

/* node.up and node.down are told where connections are made. */
static void
log_state(const struct tb_watched *w, enum tb_node_state from,
          const char *reason)
{
    if (w->state == TB_NODE_IS_SUSPECT || w->state == TB_NODE_IS_DEGRADED)
        tb_log(TB_WARNING,
               w->state == TB_NODE_IS_SUSPECT ? "node.suspect"
                                              : "node.degraded",
               "node=%s reason=%s", tb_atom_text(w->node).p, reason);
    else if (w->state == TB_NODE_IS_UP && from != TB_NODE_IS_DOWN)
        tb_log(TB_NOTICE, "node.recovered", "node=%s reason=%s",
               tb_atom_text(w->node).p, reason);
}

void
tb_watched_judge(struct tb_proc *self, struct tb_monitor *mon,
                 struct tb_watched *w, const char *reason)
{
    enum tb_node_state from = w->told;
    enum tb_node_state is = !w->connected         ? TB_NODE_IS_DOWN
                            : w->listen.s.suspect ? TB_NODE_IS_SUSPECT
                            : w->sick[0] != '\0'  ? TB_NODE_IS_DEGRADED
                                                  : TB_NODE_IS_UP;

    if (w->state != is)
        w->since_ms = wall_ms();
    w->state = is;
    if (is == from || !tb_watched_tracked(mon, w))
        return;
    w->told = is;
    log_state(w, from, reason);
    note(self, mon, w, from, reason);
}

/* --------------------------------------------------------------- info -- */

/* As it announced it; one that was never here has not. */
static const char *
type_of(const struct tb_watched *w)
{
    if (w->connection_id == 0)
        return "unknown";
    return w->visible ? "visible" : "hidden";
}

static void
put_dialling(const struct tb_watched *w, struct tb_wr *out)
{
    if (w->connected)
        tb_build(out, "connected", TB_NONE);
    else if (w->dial.last < 0)
        tb_build(out, "{failed, Times, Why}",
                 TB_ARGS(tb_v_int(w->dial.failures),
                         tb_v_atom(tb_error_atom(w->dial.last))));
    else
        tb_build(out, "Dialled",
                 TB_ARGS(tb_v_atom(w->dial.busy ? "dialling" : "waiting")));
}

static void
put_one(struct tb_proc *self, struct tb_monitor *mon, struct tb_watched *w,
        struct tb_wr *out)
{
    struct tb_wr dial = { 0 }, listen = { 0 };

    put_dialling(w, &dial);
    tb_put_listening(self, mon, w, &listen);
    tb_build(out, "Node", TB_ARGS(tb_v_node(w->node)));
    tb_build(out,
             "#{state => S, type => T, managed => M, connection_id => Id, "
             "creation => C, since_ms => Since, connection => Dial, "
             "health => Health, detector => Listen}",
             TB_ARGS(tb_v_atom(tb_state_name(w->state)), tb_v_atom(type_of(w)),
                     tb_v_bool(tb_watched_managed(mon, w)),
                     tb_v_int((int64_t)w->connection_id), tb_v_int(w->creation),
                     tb_v_int((int64_t)w->since_ms),
                     tb_v_term(tb_wr_term(&dial)),
                     tb_v_atom(w->sick[0] ? w->sick : "ok"),
                     tb_v_term(tb_wr_term(&listen))));
    tb_wr_free(&dial);
    tb_wr_free(&listen);
}

void
tb_put_watched(struct tb_proc *self, struct tb_monitor *mon, struct tb_wr *w)
{
    struct tb_wr pairs = { 0 };
    size_t n = 0;

    TB_LIST_EACH (node, &mon->nodes, struct tb_watched, link) {
        put_one(self, mon, node, &pairs);
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
             TB_ARGS(tb_v_node(t->node), tb_v_atom(tb_state_name(t->from)),
                     tb_v_atom(tb_state_name(t->to)), tb_v_atom(t->reason),
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
