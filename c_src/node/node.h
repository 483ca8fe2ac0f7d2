/* node.h - the local node: the records that the files of node/ share.
 *
 * One tree owns everything: node -> { peers, processes } -> { monitors, links,
 * calls, timers }. What is keyed by a reference or a pid is found in the
 * node's maps, and is freed with the process or the peer it belongs to. */
#ifndef TB_NODE_NODE_H
#define TB_NODE_NODE_H

#include <uv.h>

#include "dist/control.h"
#include "net/conn.h"
#include "net/epmd_client.h"
#include "net/net.h"
#include "tiebeam.h"

enum tb_node_state { TB_NODE_NEW, TB_NODE_STARTING, TB_NODE_UP, TB_NODE_ENDED };

struct tb_counters {
    uint64_t unknown_control; /* control messages that no row describes */
    uint64_t unknown_tag;     /* frames dropped for a tag not known */
    uint64_t dropped;         /* messages to nobody */
    uint64_t unexpected;      /* messages that no clause matched */
    uint64_t late;            /* replies after their call had ended */
    uint64_t connections;     /* ever up; the last one's connection_id */
};

struct tb_node {
    struct tb_net net;
    uv_loop_t own_loop; /* used where options.loop is NULL */
    bool owns_loop;
    enum tb_node_state state;
    struct tb_options options; /* its strings are owned copies */
    int start_error;
    void (*ready)(void *ctx, int status);
    void *ready_ctx;

    tb_atom name;
    uint32_t creation;
    struct tb_cookie cookie;
    struct tb_map *cookies; /* peer -> owned struct tb_cookie */
    struct tb_map *ports;   /* node or host, as text -> port */
    struct tb_epmd_reg *epmd;
    char *alive; /* owned: the name before '@' */
    bool stop_asked;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle; /* runs while processes have messages left */
    bool gathering; /* see let_gather() */

    struct tb_map *peers;         /* tb_atom -> owned struct tb_peer */
    struct tb_map *procs;         /* id, serial -> owned struct tb_proc */
    struct tb_map *names;         /* registered name -> struct tb_proc */
    struct tb_map *monitors;      /* struct tb_monitor, see watch.c */
    struct tb_map *links;         /* struct tb_half_link, see watch.c */
    struct tb_map *calls;         /* tb_ref -> struct tb_pending */
    struct tb_map *timers;        /* tb_ref -> struct tb_timer */
    struct tb_map *compiled;      /* tb_service -> owned struct tb_compiled */
    struct tb_list all;           /* struct tb_proc, oldest first */
    struct tb_list runnable;      /* of those: with messages, or dying */
    struct tb_list node_subs;     /* of those: tb_monitor_nodes() */
    struct tb_list have_funs;     /* of those: with clauses of TB_FUN */
    struct tb_proc *sup;          /* of the services */
    struct tb_list questions;     /* to epmds, see names.c */
    struct tb_list dns_questions; /* see dns.c */
    struct tb_list queued;        /* struct tb_peer: to be dialled */
    unsigned n_dials;             /* on their way; then the next is dialled */
    size_t pending_bytes;         /* for peers that are not up yet */

    uint32_t next_id, next_serial;
    uint64_t next_ref, next_unlink;
    uint64_t started_ms;
    size_t mail_bytes;    /* in the mailboxes of processes that run */
    struct tb_wr payload; /* where messages are built; see route.c */
    struct tb_counters count;
};

/* node.c */
struct tb_ref tb_node_ref(struct tb_node *node);
/* tb_node_is_us - a pid of this incarnation of this node. */
bool tb_node_is_us(const struct tb_node *node, struct tb_pid pid);

/* names.c, dns.c: give up what is asked. */
void tb_names_end(struct tb_node *node);
void tb_dns_end(struct tb_node *node);

#endif
