/* watch.h - links and monitors, in both directions.
 * Source: erl_dist_protocol, "Link Protocol". */
#ifndef TB_NODE_WATCH_H
#define TB_NODE_WATCH_H

#include "node/peer.h"
#include "node/proc.h"

struct tb_monitor {
    struct tb_ref ref;
    struct tb_peer *peer;    /* of the far side; NULL: both are here */
    struct tb_proc *watcher; /* NULL: it is remote */
    struct tb_proc *target;  /* NULL: it is remote */
    struct tb_pid watcher_pid;
    struct tb_pid target_pid; /* .node 0 where the target is a name */
    char *name;               /* owned; the target as it was given */
    tb_atom name_node;
    struct tb_list by_watcher, by_target, by_peer;
};

struct tb_half_link {
    struct tb_proc *proc;
    struct tb_pid other;
    struct tb_peer *peer; /* NULL: other is here */
    bool active;
    uint64_t unlink_id; /* of ours, not acknowledged yet; 0: none */
    struct tb_list by_proc, by_peer;
};

/* From a peer (route.c). to: a pid or a name's atom, as it came. */
void tb_watch_monitor_p(struct tb_peer *p, struct tb_pid from,
                        struct tb_term to, struct tb_ref ref);
void tb_watch_demonitor_p(struct tb_peer *p, struct tb_ref ref);
void tb_watch_down(struct tb_peer *p, struct tb_ref ref, struct tb_term reason);
void tb_watch_link(struct tb_peer *p, struct tb_pid from, struct tb_pid to);
void tb_watch_unlink(struct tb_peer *p, struct tb_pid from, struct tb_pid to,
                     const struct tb_val *id);
void tb_watch_unlink_ack(struct tb_peer *p, uint64_t id, struct tb_pid from,
                         struct tb_pid to);
void tb_watch_exit(struct tb_peer *p, struct tb_pid from, struct tb_pid to,
                   struct tb_term reason);

/* tb_watch_pid, tb_watch_name - monitors of p under a reference that is made
 * already (calls). tb_watch_pending - on what a peer will spawn for p; it gets
 * its target with tb_watch_spawn_reply(), or its DOWN. */
void tb_watch_pid(struct tb_proc *p, struct tb_ref ref, struct tb_pid target);
void tb_watch_name(struct tb_proc *p, struct tb_ref ref, struct tb_text name,
                   tb_atom node);
void tb_watch_pending(struct tb_proc *p, struct tb_ref ref,
                      struct tb_peer *peer);
/* tb_watch_failed - DOWN of what could not even be asked for. */
void tb_watch_failed(struct tb_proc *p, struct tb_ref ref, const char *reason);
void tb_watch_spawn_reply(struct tb_peer *peer, struct tb_ref ref,
                          struct tb_pid us, struct tb_term result);
/* tb_watch_spawned - p was started at a peer's request: its parent's link and
 * monitor. */
void tb_watch_spawned(struct tb_proc *p, struct tb_peer *peer,
                      struct tb_pid parent, struct tb_ref ref, bool link,
                      bool monitor);
void tb_watch_local_link(struct tb_proc *a, struct tb_proc *b);

/* tb_watch_proc_ended - DOWN and EXIT to all that watch it; forgets it.
 * tb_watch_peer_lost - DOWN and EXIT noconnection here; forgets it. */
void tb_watch_proc_ended(struct tb_proc *p);
void tb_watch_peer_lost(struct tb_peer *peer);

/* tb_watch_are_many - the peer has its share of monitors and links. */
bool tb_watch_are_many(const struct tb_peer *p, bool link);

/* Between watch.c and link.c. tb_watch_too_many - it has its share; it is
 * cut off. tb_link_add - an active half of p. */
extern const struct tb_term tb_noproc, tb_noconnection;
bool tb_watch_too_many(struct tb_peer *p, bool link);
struct tb_half_link *tb_link_add(struct tb_proc *p, struct tb_peer *peer,
                                 struct tb_pid other);
void tb_links_proc_ended(struct tb_proc *p);
void tb_links_peer_lost(struct tb_peer *peer);

#endif
