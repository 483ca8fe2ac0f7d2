/* node_monitor.c - who is up, who is down, and why.
 * In Erlang: net_kernel:monitor_nodes/2, erlang:monitor_node/2, and a process
 * that keeps a set of nodes connected.
 * Owns: struct tb_monitor, see monitor.h. Thread: loop. */
#include <stdio.h>

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

static struct tb_watched *
came_up(struct tb_proc *self, struct tb_monitor *mon,
        const struct tb_node_event *e)
{
    struct tb_watched *w = tb_watched_get(mon, e->node);

    w->connected = true;
    w->visible = e->visible;
    w->connection_id = e->connection_id;
    w->creation = e->creation;
    tb_detector_node_up(self, mon, w);
    tb_watched_judge(self, mon, w, "connected");
    return w;
}

static int
on_nodeup(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_monitor *mon = state;
    struct tb_node_event e = event_of(m, true);
    struct tb_watched *w = came_up(self, mon, &e);

    tb_subscribers_tell(self, mon, &e);
    if (tb_watched_managed(mon, w))
        tb_notifier_tell(self, mon, w->node, true);
    tb_notifier_node_up(self, mon, w);
    tb_health_node_up(self, mon, w);
    tb_source_node_up(self, mon);
    return TB_NOREPLY;
}

static int
on_nodedown(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_monitor *mon = state;
    struct tb_node_event e = event_of(m, false);
    struct tb_watched *w = tb_watched_find(mon, e.node);
    char reason[TB_MON_ATOM_BYTES];
    bool managed;

    if (!w || !w->connected)
        return TB_NOREPLY;
    managed = tb_watched_managed(mon, w);
    tb_notifier_node_down(w);
    w->connected = w->asking = false;
    w->listen = (struct tb_listening){ 0 };
    w->sick[0] = '\0';
    tb_subscribers_tell(self, mon, &e);
    snprintf(reason, sizeof(reason), "%.*s", (int)e.reason.n, e.reason.p);
    tb_watched_judge(self, mon, w, reason);
    if (managed)
        tb_notifier_tell(self, mon, w->node, false);
    tb_dialler_lost(self, w, e.reason);
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
    struct tb_wr source = { 0 }, managed = { 0 }, nodes = { 0 };
    struct tb_wr transitions = { 0 };
    int rc;

    tb_put_source(mon, &source);
    tb_put_managed(mon, &managed);
    tb_put_watched(self, mon, &nodes);
    tb_put_transitions(mon, &transitions);
    rc = tb_reply(
        self, m,
        "#{source => Source, managed => M, subscribers => S, nodes => N, "
        "transitions => T, stalls => Stalls}",
        TB_ARGS(tb_v_term(tb_wr_term(&source)), tb_v_term(tb_wr_term(&managed)),
                tb_v_int((int64_t)tb_map_count(mon->clients)),
                tb_v_term(tb_wr_term(&nodes)),
                tb_v_term(tb_wr_term(&transitions)),
                tb_v_int((int64_t)mon->stalls)));
    tb_wr_free(&source);
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

static void
terminate(struct tb_proc *self, void *state, struct tb_term why)
{
    struct tb_monitor *mon = state;

    (void)self;
    (void)why;
    tb_subscribers_free(mon);
    tb_notifier_free(mon);
    TB_LIST_EACH (w, &mon->nodes, struct tb_watched, link)
        tb_watched_free(mon, w);
    tb_map_free(mon->by_name);
    tb_from_free(mon->waiting);
    tb_monitor_options_fini(&mon->options);
}

/* Started again after a crash, it finds the connections that there are. */
static void
take_stock(struct tb_proc *self, struct tb_monitor *mon)
{
    struct tb_node *node = tb_self_node(self);
    struct tb_wr list = { 0 };
    struct tb_peer_info info;
    struct tb_elems e;
    struct tb_term item;

    tb_put_nodes(node, "connected", &list);
    for (tb_elems_open(&e, tb_wr_term(&list)); tb_elems_next(&e, &item);) {
        struct tb_node_event up = { .up = true, .node = tb_rule_node(item) };

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
    const struct tb_term *options = arg;
    struct tb_term bad;
    const char *expected;

    tb_monitor_options_init(&mon->options);
    mon->by_name = tb_map_new();
    tb_list_init(&mon->nodes);
    tb_list_init(&mon->targets);
    tb_subscribers_init(mon);
    if (options &&
        tb_monitor_options_read(&mon->options, *options, &bad, &expected) < 0) {
        terminate(self, mon, *options);
        return -TB_EBADARG;
    }
    tb_monitor_nodes(self, true);
    take_stock(self, mon);
    tb_notifier_configure(self, mon);
    tb_detector_configure(self, mon);
    tb_health_configure(self, mon);
    tb_source_start(self, mon);
    return 0;
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
    { TB_CALL, "{reconfigure, Options}",                  tb_on_reconfigure    },
    { TB_CALL, "{reload, Options}",                       tb_on_reload         },
    { TB_CALL, "{confirm_down, Node:atom, Creation:int}", tb_on_confirm        },
    { TB_CALL, "{confirm_down, _, _}",                    on_badarg            },
    { TB_CALL, "info",                                    on_info              },
    { TB_INFO, UP,                                        on_nodeup            },
    { TB_INFO, DOWN,                                      on_nodedown          },
    { TB_INFO, "{'DOWN', Ref:ref, process, Object, Why}", tb_on_down           },
    { TB_INFO, "{refresh, Generation:int}",               tb_on_refresh        },
    { TB_INFO, "{dial, Node:atom}",                       tb_on_dial           },
    { TB_INFO, "listen",                                  tb_on_listen         },
    { TB_INFO, "{health, Generation:int}",                tb_on_health         },
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

int
tb_start_node_monitor(struct tb_node *node, const struct tb_term *options)
{
    return tb_start(node, &tb_node_monitor, options, TB_PERMANENT, NULL);
}
