/* node_monitor.c - who is up, who is down, and why.
 * In Erlang: net_kernel:monitor_nodes/2, erlang:monitor_node/2, and a process
 * that keeps a set of nodes connected.
 * Owns: struct tb_monitor, see monitor.h. Thread: loop. */
#include "services/monitor.h"

#include "services/services.h"

/* ------------------------------------------------------------- events -- */

static struct tb_node_event
event_of(const struct tb_msg *m, bool up)
{
    return (struct tb_node_event){
        .up = up,
        .node = tb_intern(m->arg[0].text),
        .connection_id = (uint64_t)m->arg[1].i,
        .visible = tb_text_is(m->arg[2].text, "visible"),
        .creation = (uint32_t)m->arg[3].i,
        .reason = up ? (struct tb_text){ "", 0 } : m->arg[4].text,
    };
}

static void
came_up(struct tb_proc *self, struct tb_monitor *mon,
        const struct tb_node_event *e)
{
    struct tb_watched *w = tb_watched_get(mon, e->node);

    w->connected = true;
    w->visible = e->visible;
    w->connection_id = e->connection_id;
    w->creation = e->creation;
    tb_watched_to(self, mon, w, TB_NODE_UP, (struct tb_text){ "connected", 9 });
}

static int
on_nodeup(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_node_event e = event_of(m, true);

    came_up(self, state, &e);
    tb_subscribers_tell(self, state, &e);
    return TB_NOREPLY;
}

static int
on_nodedown(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_monitor *mon = state;
    struct tb_node_event e = event_of(m, false);
    struct tb_watched *w = tb_watched_find(mon, e.node);

    if (!w || !w->connected)
        return TB_NOREPLY;
    w->connected = false;
    tb_subscribers_tell(self, mon, &e);
    tb_watched_to(self, mon, w, TB_NODE_DOWN, e.reason);
    tb_watched_release(mon, w);
    return TB_NOREPLY;
}

/* ----------------------------------------------------------- requests -- */

static int
on_nodes(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    return tb_reply_nodes(self, m, "connected");
}

static int
on_visible(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    return tb_reply_nodes(self, m, "visible");
}

static int
on_hidden(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    return tb_reply_nodes(self, m, "hidden");
}

static int
on_managed(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_wr list = { 0 };
    int rc;

    tb_put_managed(state, &list);
    rc = tb_reply(self, m, "Nodes", TB_ARGS(tb_v_term(tb_wr_term(&list))));
    tb_wr_free(&list);
    return rc;
}

static int
on_info(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_monitor *mon = state;
    struct tb_wr managed = { 0 }, nodes = { 0 }, transitions = { 0 };
    int rc;

    tb_put_managed(mon, &managed);
    tb_put_watched(self, mon, &nodes);
    tb_put_transitions(mon, &transitions);
    rc = tb_reply(self, m,
                  "#{managed => M, subscribers => S, nodes => N, "
                  "transitions => T}",
                  TB_ARGS(tb_v_term(tb_wr_term(&managed)),
                          tb_v_int((int64_t)tb_subscribers_count(mon)),
                          tb_v_term(tb_wr_term(&nodes)),
                          tb_v_term(tb_wr_term(&transitions))));
    tb_wr_free(&managed);
    tb_wr_free(&nodes);
    tb_wr_free(&transitions);
    return rc;
}

static int
on_badarg(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    return tb_reply(self, m, "{error, badarg}", TB_NONE);
}

/* --------------------------------------------------------- life, death -- */

/* Started again after a crash, it finds the connections that there are. */
static void
take_stock(struct tb_proc *self, struct tb_monitor *mon)
{
    struct tb_node *node = tb_self_node(self);
    struct tb_wr list = { 0 };
    struct tb_val v[TB_MAX_HOLES];
    struct tb_peer_info info;
    struct tb_elems e;
    struct tb_term item;

    tb_put_nodes(node, "connected", &list);
    for (tb_elems_open(&e, tb_wr_term(&list)); tb_elems_next(&e, &item);) {
        struct tb_node_event up = { .up = true };

        if (tb_match("Node:atom", item, v) != 1)
            continue;
        up.node = tb_intern(v[0].text);
        if (!tb_peer_info(node, up.node, &info))
            continue;
        up.visible = info.visible;
        up.connection_id = info.connection_id;
        up.creation = info.creation;
        came_up(self, mon, &up);
    }
    tb_wr_free(&list);
}

static int
init(struct tb_proc *self, void *state, const void *arg)
{
    struct tb_monitor *mon = state;

    (void)arg;
    mon->by_name = tb_map_new();
    tb_list_init(&mon->nodes);
    tb_subscribers_init(mon);
    tb_monitor_nodes(self, true);
    take_stock(self, mon);
    return 0;
}

static void
terminate(struct tb_proc *self, void *state, struct tb_term why)
{
    struct tb_monitor *mon = state;

    (void)self;
    (void)why;
    tb_subscribers_free(mon);
    TB_LIST_EACH (w, &mon->nodes, struct tb_watched, link)
        tb_free(w);
    tb_map_free(mon->by_name);
}

/* clang-format off */
#define UP   "{nodeup, Node:atom, #{connection_id := Id:int, "                \
             "node_type := Type:atom, creation := C:int}}"
#define DOWN "{nodedown, Node:atom, #{connection_id := Id:int, "              \
             "node_type := Type:atom, creation := C:int, "                    \
             "nodedown_reason := Why:atom}}"

static const struct tb_clause clauses[] = {
    { TB_CALL, "nodes",                                   on_nodes             },
    { TB_CALL, "{nodes, all}",                            on_nodes             },
    { TB_CALL, "{nodes, visible}",                        on_visible           },
    { TB_CALL, "{nodes, hidden}",                         on_hidden            },
    { TB_CALL, "{nodes, managed}",                        on_managed           },
    { TB_CALL, "{monitor_nodes, Flag, Options}",          tb_on_monitor_nodes  },
    { TB_CALL, "{monitor_states, Flag}",                  tb_on_monitor_states },
    { TB_CALL, "{monitor_node, Node:atom, Flag}",         tb_on_monitor_node   },
    { TB_CALL, "{monitor, Target, Options}",              tb_on_monitor        },
    { TB_CALL, "{demonitor, Ref:ref, Options}",           tb_on_demonitor      },
    { TB_CALL, "{monitor_node, _, _}",                    on_badarg            },
    { TB_CALL, "{demonitor, _, _}",                       on_badarg            },
    { TB_CALL, "info",                                    on_info              },
    { TB_INFO, UP,                                        on_nodeup            },
    { TB_INFO, DOWN,                                      on_nodedown          },
    { TB_INFO, "{'DOWN', Ref:ref, process, Object, Why}", tb_on_down           },
    { 0 },
};
/* clang-format on */

const struct tb_service tb_node_monitor = {
    .name = "node_monitor",
    .state_size = sizeof(struct tb_monitor),
    .trap_exit = true,
    .init = init,
    .terminate = terminate,
    .clauses = clauses,
};
