/* monitor.h - what the files of the node monitor share.
 *
 * One process, node_monitor, whose state is struct tb_monitor. It owns all that
 * is declared here; functions without another word run in its handlers. */
#ifndef TB_SERVICES_MONITOR_H
#define TB_SERVICES_MONITOR_H

#include "tiebeam.h"

/* clang-format off */
#define TB_MON_MAX_CLIENTS   262144u   /* processes that watch something */
#define TB_MON_MAX_WATCHES   1048576u  /* their monitors of processes */
#define TB_MON_MAX_COUNT     1000u     /* the same subscription of a process */
#define TB_MON_TRANSITIONS   100       /* that info tells */
#define TB_MON_ATOM_BYTES    1024      /* of a C string: 255 characters */
/* clang-format on */

enum tb_node_health { TB_NODE_DOWN, TB_NODE_UP };

/* A node that somebody has an interest in. */
struct tb_watched {
    struct tb_list link; /* in monitor->nodes, oldest first */
    tb_atom node;
    bool connected;
    bool visible;
    enum tb_node_health state;
    uint64_t connection_id;
    uint32_t creation;
    uint64_t since_ms;       /* wall clock: of the state */
    struct tb_list watchers; /* struct tb_node_watch, by_node */
};

/* A change of a node's state. */
struct tb_transition {
    tb_atom node;
    enum tb_node_health from, to;
    uint64_t time_ms; /* wall clock */
    uint64_t connection_id;
    uint32_t creation;
    char reason[40]; /* an atom's text */
};

/* A process that watches something, wherever it lives. */
struct tb_client {
    struct tb_list link; /* in monitor->state_subs, or .next NULL */
    struct tb_pid pid;
    struct tb_ref ref;           /* our monitor on it */
    struct tb_list subs;         /* owned struct tb_sub */
    struct tb_list node_watches; /* owned struct tb_node_watch */
    struct tb_list proc_watches; /* owned struct tb_proc_watch */
};

struct tb_monitor {
    struct tb_map *by_name;    /* tb_atom -> struct tb_watched */
    struct tb_list nodes;      /* owned struct tb_watched */
    struct tb_map *clients;    /* tb_pid -> owned struct tb_client */
    struct tb_map *client_of;  /* tb_ref -> struct tb_client */
    struct tb_map *watches;    /* tb_ref -> struct tb_proc_watch */
    struct tb_list subs;       /* struct tb_sub, oldest first */
    struct tb_list state_subs; /* struct tb_client */
    struct tb_transition ring[TB_MON_TRANSITIONS];
    uint64_t transitions; /* ever; the next one's place in the ring */
};

/* A connection that came up or went down. */
struct tb_node_event {
    bool up;
    tb_atom node;
    bool visible;
    uint64_t connection_id;
    uint32_t creation;
    struct tb_text reason; /* of a nodedown; else "" */
};

/* ------------------------------------------------------- subscriber.c -- */

void tb_subscribers_init(struct tb_monitor *mon);
void tb_subscribers_free(struct tb_monitor *mon);

/* tb_subscribers_tell - nodeup or nodedown to all that asked for it.
 * tb_subscribers_state - {node_state, Node, State, Info}. */
void tb_subscribers_tell(struct tb_proc *self, struct tb_monitor *mon,
                         const struct tb_node_event *e);
void tb_subscribers_state(struct tb_proc *self, struct tb_monitor *mon,
                          const struct tb_transition *t);
size_t tb_subscribers_count(const struct tb_monitor *mon);

/* Requests; and the DOWN of a client, or of what one watches. */
int tb_on_monitor_nodes(struct tb_proc *self, void *state,
                        const struct tb_msg *m);
int tb_on_monitor_states(struct tb_proc *self, void *state,
                         const struct tb_msg *m);
int tb_on_monitor_node(struct tb_proc *self, void *state,
                       const struct tb_msg *m);
int tb_on_monitor(struct tb_proc *self, void *state, const struct tb_msg *m);
int tb_on_demonitor(struct tb_proc *self, void *state, const struct tb_msg *m);
int tb_on_down(struct tb_proc *self, void *state, const struct tb_msg *m);

/* ------------------------------------------------- monitor_nodes_opts.c -- */

/* What a subscription asks for, as bits; equal keys are one subscription. */
enum {
    TB_SUB_LIST = 1,     /* 3-tuples with a list */
    TB_SUB_MAP = 2,      /* 3-tuples with a map */
    TB_SUB_ID = 4,       /* connection_id */
    TB_SUB_REASON = 8,   /* nodedown_reason */
    TB_SUB_TYPE = 16,    /* node_type */
    TB_SUB_VISIBLE = 32, /* nodes of that type */
    TB_SUB_HIDDEN = 64,
    TB_SUB_KEYS = 128
};

/* tb_sub_parse - the key of the options of net_kernel:monitor_nodes/2. 0, or
 * -TB_EBADARG with what that function gives appended to error.
 * tb_sub_event - append the message that such a subscriber gets. */
int tb_sub_parse(struct tb_term options, unsigned *key, struct tb_wr *error);
void tb_sub_event(struct tb_wr *w, unsigned key, const struct tb_node_event *e);

/* ---------------------------------------------------------- watched.c -- */

struct tb_watched *tb_watched_find(struct tb_monitor *mon, tb_atom node);
/* tb_watched_get - the record, made where it is missing. */
struct tb_watched *tb_watched_get(struct tb_monitor *mon, tb_atom node);
/* tb_watched_release - free the record if nothing needs it any more. */
void tb_watched_release(struct tb_monitor *mon, struct tb_watched *w);

/* tb_watched_to - the only writer of a node's state: noted, and told. */
void tb_watched_to(struct tb_proc *self, struct tb_monitor *mon,
                   struct tb_watched *w, enum tb_node_health to,
                   struct tb_text reason);
const char *tb_health_name(enum tb_node_health h);
bool tb_watched_managed(const struct tb_monitor *mon,
                        const struct tb_watched *w);

/* tb_mon_copy - an atom's text as a C string; false where it is none. */
bool tb_mon_copy(char out[TB_MON_ATOM_BYTES], struct tb_text text);

/* tb_put_watched - append the map of info's nodes; tb_put_transitions - its
 * transitions, the newest last; tb_put_managed - the list of managed nodes. */
void tb_put_managed(struct tb_monitor *mon, struct tb_wr *w);
void tb_put_watched(struct tb_proc *self, struct tb_monitor *mon,
                    struct tb_wr *w);
void tb_put_transitions(const struct tb_monitor *mon, struct tb_wr *w);

#endif
