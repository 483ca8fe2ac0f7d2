/* monitor.h - what the files of the node monitor share.
 *
 * One process, node_monitor, whose state is struct tb_monitor. All functions
 * here run in its handlers, and self is that process. */
#ifndef TB_SERVICES_MONITOR_H
#define TB_SERVICES_MONITOR_H

#include "services/monitor_options.h"

/* clang-format off */
#define TB_MON_MAX_CLIENTS   262144u   /* processes that watch something */
#define TB_MON_MAX_INTERESTS 1048576u  /* what they watch, all together */
#define TB_MON_MAX_TAGS      67108864u /* bytes of the tags of DOWN messages */
#define TB_MON_MAX_COUNT     1000u     /* the same subscription of a process */
#define TB_MON_TRANSITIONS   100       /* that info tells */
#define TB_MON_ATOM_BYTES    1024      /* of a C string: 255 characters */
/* clang-format on */

enum tb_node_state {
    TB_NODE_IS_DOWN,
    TB_NODE_IS_SUSPECT,  /* silent */
    TB_NODE_IS_DEGRADED, /* its emulator answers, the application does not */
    TB_NODE_IS_UP
};

/* How a node is reached where it is wanted and not there. */
struct tb_dialling {
    bool wanted; /* by a notify target that lives there */
    bool busy;
    bool timed;
    struct tb_ref timer;
    unsigned failures; /* in a row */
    int last;          /* the last outcome */
    uint64_t until_ms; /* one that was found silent is looked for till then */
};

/* What the detector knows of a connected node. */
struct tb_listening {
    bool on;
    struct tb_suspicion s;
    uint64_t bytes_in, bytes_written;
    bool blocked;         /* when last looked at, bytes waited for it */
    unsigned outstanding; /* probes */
    uint64_t probes, answers, suspicions;
    bool inquiring;       /* others are being asked */
    bool inquired;        /* they have been, in this silence */
    uint64_t inquired_ms; /* when they last were */
};

/* A node that somebody has an interest in. */
struct tb_watched {
    struct tb_list link; /* in monitor->nodes, oldest first */
    tb_atom node;
    bool in_set;                 /* of the source */
    bool in_next, entered, left; /* while that is being made anew */
    bool connected;
    bool visible;
    enum tb_node_state state, told; /* told: to subscribers, the last one */
    uint64_t connection_id;
    uint32_t creation;
    uint64_t since_ms; /* wall clock: of the state */
    struct tb_dialling dial;
    struct tb_listening listen;
    bool asking;             /* its application, now */
    char sick[40];           /* why its application is not well; "": it is */
    struct tb_list watchers; /* struct tb_node_watch, by_node */
    struct tb_list outboxes; /* owned struct tb_outbox, see notifier.c */
};

/* A change of a node's state. */
struct tb_transition {
    tb_atom node;
    enum tb_node_state from, to;
    uint64_t time_ms; /* wall clock */
    uint64_t connection_id;
    uint32_t creation;
    char reason[40]; /* an atom's text */
};

struct tb_monitor {
    struct tb_monitor_options options;
    struct tb_map *by_name; /* tb_atom -> struct tb_watched */
    struct tb_list nodes;   /* owned struct tb_watched */

    struct tb_map *clients;    /* tb_pid -> owned struct tb_client */
    struct tb_map *client_of;  /* tb_ref -> struct tb_client */
    struct tb_map *watches;    /* tb_ref -> struct tb_proc_watch */
    struct tb_list subs;       /* struct tb_sub, oldest first */
    struct tb_list state_subs; /* struct tb_client */
    size_t interests; /* subscriptions, monitors of nodes and processes */
    size_t tag_bytes; /* that those of processes hold */

    struct tb_transition ring[TB_MON_TRANSITIONS];
    uint64_t transitions; /* ever; the next one's place in the ring */

    uint64_t generation; /* of the source: what is of an older one is late */
    struct tb_ref refresh_timer;
    bool fetching;           /* nodes_mfa runs */
    bool nobody_to_ask;      /* for nodes_mfa: the next node will do */
    char source_error[96];   /* why it failed; "": it did not */
    struct tb_from *waiting; /* owned: who reconfigured, or NULL */

    uint64_t target_ids;    /* given so far */
    struct tb_list targets; /* owned struct tb_target, see notifier.c */

    struct tb_ref listen_timer;
    bool listening;      /* it runs */
    uint64_t listen_due; /* when it should come */
    uint64_t stalls;     /* of our own loop */
    uint64_t health_generation;
    struct tb_ref health_timer;
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
/* tb_watched_get - the record, made where it is missing.
 * tb_watched_release - free the record if nothing needs it any more. */
struct tb_watched *tb_watched_get(struct tb_monitor *mon, tb_atom node);
void tb_watched_release(struct tb_monitor *mon, struct tb_watched *w);
void tb_watched_free(struct tb_monitor *mon, struct tb_watched *w);

/* tb_watched_managed - announced to notify targets: the source's nodes; where
 * there is none, the visible ones that are connected.
 * tb_watched_tracked - its states are told, and listened for: those of visible
 * and of managed nodes, and of one that was managed until it is down. */
bool tb_watched_managed(const struct tb_monitor *mon,
                        const struct tb_watched *w);
bool tb_watched_tracked(const struct tb_monitor *mon,
                        const struct tb_watched *w);

/* tb_watched_judge - its state follows from what is known of it; a change is
 * noted and told. reason: an atom's text. */
void tb_watched_judge(struct tb_proc *self, struct tb_monitor *mon,
                      struct tb_watched *w, const char *reason);

/* tb_put_watched - append the map of info's nodes; tb_put_transitions - its
 * transitions, the newest last; tb_put_managed - the list of managed nodes. */
void tb_put_managed(struct tb_monitor *mon, struct tb_wr *w);
void tb_put_watched(struct tb_proc *self, struct tb_monitor *mon,
                    struct tb_wr *w);
void tb_put_transitions(const struct tb_monitor *mon, struct tb_wr *w);

/* tb_state_name - up, suspect, degraded or down.
 * tb_mon_copy - an atom's text as a C string; false where it is none. */
const char *tb_state_name(enum tb_node_state s);
bool tb_mon_copy(char out[TB_MON_ATOM_BYTES], struct tb_text text);

/* ---------------------------------------------------------- dialler.c -- */

/* tb_dialler_look - dial it soon, where it is wanted and not connected.
 * tb_dialler_lost - it was connected until now. */
void tb_dialler_look(struct tb_proc *self, struct tb_monitor *mon,
                     struct tb_watched *w);
void tb_dialler_lost(struct tb_proc *self, struct tb_watched *w,
                     struct tb_text reason);
bool tb_dialler_wants(const struct tb_proc *self, const struct tb_watched *w);
int tb_on_dial(struct tb_proc *self, void *state, const struct tb_msg *m);

/* --------------------------------------------------- monitor_source.c -- */

/* tb_source_start - evaluate the source of the options for the first time.
 * tb_source_node_up - a node that may be asked is there. */
void tb_source_start(struct tb_proc *self, struct tb_monitor *mon);
void tb_source_node_up(struct tb_proc *self, struct tb_monitor *mon);
int tb_on_refresh(struct tb_proc *self, void *state, const struct tb_msg *m);
int tb_on_reconfigure(struct tb_proc *self, void *state,
                      const struct tb_msg *m);
int tb_on_reload(struct tb_proc *self, void *state, const struct tb_msg *m);
void tb_put_source(const struct tb_monitor *mon, struct tb_wr *w);

/* --------------------------------------------------------- notifier.c -- */

/* tb_notifier_configure - the targets of the options instead of those before.
 * tb_notifier_tell - node_up or node_down of a managed node, to all targets.
 * tb_notifier_node_up - all that is managed, to the targets on that node.
 * tb_notifier_node_down - what waits for them is dropped.
 * tb_notifier_catch_up - all that is managed, to the targets that are new. */
void tb_notifier_configure(struct tb_proc *self, struct tb_monitor *mon);
void tb_notifier_tell(struct tb_proc *self, struct tb_monitor *mon,
                      tb_atom node, bool up);
void tb_notifier_node_up(struct tb_proc *self, struct tb_monitor *mon,
                         struct tb_watched *w);
void tb_notifier_node_down(struct tb_watched *w);
void tb_notifier_catch_up(struct tb_proc *self, struct tb_monitor *mon);
void tb_notifier_free(struct tb_monitor *mon);

/* --------------------------------------------------------- detector.c -- */

/* tb_detector_configure - what the options say holds from now on.
 * tb_detector_node_up - listen to it, if it is worth it. */
void tb_detector_configure(struct tb_proc *self, struct tb_monitor *mon);
void tb_detector_node_up(struct tb_proc *self, struct tb_monitor *mon,
                         struct tb_watched *w);
int tb_on_listen(struct tb_proc *self, void *state, const struct tb_msg *m);
void tb_put_listening(struct tb_proc *self, const struct tb_monitor *mon,
                      const struct tb_watched *w, struct tb_wr *out);

/* ----------------------------------------------------------- health.c -- */

void tb_health_configure(struct tb_proc *self, struct tb_monitor *mon);
void tb_health_node_up(struct tb_proc *self, struct tb_monitor *mon,
                       struct tb_watched *w);
int tb_on_health(struct tb_proc *self, void *state, const struct tb_msg *m);

/* ---------------------------------------------------------- inquiry.c -- */

/* tb_inquire - do others hear that node? As many as n are asked, and end() is
 * called once: seen is how many said yes. */
typedef void (*tb_inquiry_end)(struct tb_proc *self, struct tb_monitor *mon,
                               tb_atom node, unsigned asked, unsigned seen);
void tb_inquire(struct tb_proc *self, struct tb_monitor *mon, tb_atom node,
                unsigned n, tb_inquiry_end end);

/* --------------------------------------------------------- confirm.c -- */

int tb_on_confirm(struct tb_proc *self, void *state, const struct tb_msg *m);

#endif
