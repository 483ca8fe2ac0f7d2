/* watch.c - monitors, in both directions, by OTP's rules; and the ends of all
 * that watches.
 *
 * A monitor is one record, whoever watches whom. It hangs in the lists of what
 * it belongs to: the processes, and the peer with which it ends.
 * Owns: monitors. Thread: loop.
 * Source: erl_dist_protocol, "Protocol between Connected Nodes". */
#include "node/watch.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "node/route.h"
#include "term/get.h"
#include "term/ident.h"

static const struct tb_ref no_ref;
static const uint8_t etf_noproc[] = { 119, 6, 'n', 'o', 'p', 'r', 'o', 'c' };
const struct tb_term tb_noproc = { etf_noproc, sizeof(etf_noproc) };
static const uint8_t etf_noconnection[] = { 119, 12,  'n', 'o', 'c', 'o', 'n',
                                            'n', 'e', 'c', 't', 'i', 'o', 'n' };
const struct tb_term tb_noconnection = { etf_noconnection,
                                         sizeof(etf_noconnection) };
static const struct tb_term no_payload;

/* ------------------------------------------------------ monitor table -- */

/* References of ours are unique; those of a peer are so for that peer. */
struct monitor_key {
    const struct tb_peer *owner; /* NULL: made here */
    struct tb_ref ref;
};

static struct monitor_key
key_of(const struct tb_monitor *m)
{
    return (struct monitor_key){ m->watcher ? NULL : m->peer, m->ref };
}

static struct tb_monitor *
monitor_new(struct tb_node *node, struct tb_peer *peer, struct tb_ref ref,
            struct tb_proc *watcher, struct tb_proc *target)
{
    struct tb_monitor *m = tb_new(struct tb_monitor);
    struct monitor_key key;

    m->ref = ref;
    m->peer = peer;
    m->watcher = watcher;
    m->target = target;
    key = key_of(m);
    if (tb_map_put(node->monitors, &key, sizeof(key), m) < 0) {
        tb_free(m); /* a peer uses a reference twice: the first counts */
        return NULL;
    }
    if (watcher) {
        m->watcher_pid = watcher->pid;
        tb_list_add(&watcher->monitors, &m->by_watcher);
    }
    if (target) {
        m->target_pid = target->pid;
        tb_list_add(&target->monitored_by, &m->by_target);
    }
    if (peer) {
        tb_list_add(&peer->monitors, &m->by_peer);
        peer->n_signals++;
    }
    return m;
}

static void
monitor_free(struct tb_node *node, struct tb_monitor *m)
{
    struct monitor_key key = key_of(m);
    struct tb_peer *peer = m->peer;

    tb_map_take(node->monitors, &key, sizeof(key));
    tb_list_del(&m->by_watcher);
    tb_list_del(&m->by_target);
    tb_list_del(&m->by_peer);
    tb_free(m->name);
    tb_free(m);
    if (peer) {
        peer->n_signals--;
        tb_peer_release(peer);
    }
}

static struct tb_monitor *
find_monitor(struct tb_node *node, const struct tb_peer *owner,
             struct tb_ref ref)
{
    struct monitor_key key = { owner, ref };

    return tb_map_get(node->monitors, &key, sizeof(key));
}

static void
send_down(struct tb_proc *to, struct tb_ref ref, struct tb_val object,
          struct tb_term reason)
{
    struct tb_wr w = { 0 };

    tb_build(&w, "{'DOWN', Ref, process, Object, Reason}",
             TB_ARGS(tb_v_ref(ref), object, tb_v_term(reason)));
    tb_proc_enqueue(to, TB_MAIL_TERM, no_ref, tb_wr_term(&w));
    tb_wr_free(&w);
}

/* DOWN names the target as the monitor did: {Name, Node}, or the pid. */
static void
down_here(struct tb_monitor *m, struct tb_term reason)
{
    struct tb_wr w = { 0 };

    if (m->name) {
        tb_build(&w, "{Name, Node}",
                 TB_ARGS(tb_v_atom(m->name), tb_v_node(m->name_node)));
        send_down(m->watcher, m->ref, tb_v_term(tb_wr_term(&w)), reason);
        tb_wr_free(&w);
    } else if (m->target_pid.node) {
        send_down(m->watcher, m->ref, tb_v_pid(m->target_pid), reason);
    } else { /* a process that has not been spawned yet */
        send_down(m->watcher, m->ref, tb_v_atom("undefined"), reason);
    }
}

static void
down_there(struct tb_monitor *m, struct tb_term reason)
{
    struct tb_val object =
        m->name ? tb_v_atom(m->name) : tb_v_pid(m->target_pid);

    tb_peer_signal(m->peer, false, DOP_PAYLOAD_MONITOR_P_EXIT,
                   TB_ARGS(object, tb_v_pid(m->watcher_pid), tb_v_ref(m->ref)),
                   reason);
}

static void
fire(struct tb_node *node, struct tb_monitor *m, struct tb_term reason)
{
    if (m->watcher)
        down_here(m, reason);
    else
        down_there(m, reason);
    monitor_free(node, m);
}

void
tb_watch_failed(struct tb_proc *p, struct tb_ref ref, const char *reason)
{
    struct tb_wr w = { 0 };

    tb_build(&w, "Reason", TB_ARGS(tb_v_atom(reason)));
    send_down(p, ref, tb_v_atom("undefined"), tb_wr_term(&w));
    tb_wr_free(&w);
}

/* ----------------------------------------------------- monitors, ours -- */

void
tb_watch_pid(struct tb_proc *p, struct tb_ref ref, struct tb_pid target)
{
    struct tb_node *node = p->node;
    struct tb_proc *local = tb_proc_of(node, target);
    struct tb_peer *peer = tb_peer_get(node, target.node);
    struct tb_monitor *m;

    if (!peer) {
        if (local)
            monitor_new(node, NULL, ref, p, local);
        else
            send_down(p, ref, tb_v_pid(target), tb_noproc);
        return;
    }
    m = monitor_new(node, peer, ref, p, NULL);
    m->target_pid = target;
    tb_peer_signal(peer, true, DOP_MONITOR_P,
                   TB_ARGS(tb_v_pid(p->pid), tb_v_pid(target), tb_v_ref(ref)),
                   no_payload);
}

void
tb_watch_name(struct tb_proc *p, struct tb_ref ref, struct tb_text name,
              tb_atom at)
{
    struct tb_node *node = p->node;
    struct tb_peer *peer = tb_peer_get(node, at);
    struct tb_proc *local = peer ? NULL : tb_proc_named(node, name);
    struct tb_monitor *m = monitor_new(node, peer, ref, p, local);

    m->name = tb_strdup_n(name.p, name.n);
    m->name_node = at;
    if (peer)
        tb_peer_signal(
            peer, true, DOP_MONITOR_P,
            TB_ARGS(tb_v_pid(p->pid), tb_v_atom_n(name), tb_v_ref(ref)),
            no_payload);
    else if (!local)
        fire(node, m, tb_noproc);
}

void
tb_watch_pending(struct tb_proc *p, struct tb_ref ref, struct tb_peer *peer)
{
    monitor_new(p->node, peer, ref, p, NULL);
}

struct tb_ref
tb_monitor(struct tb_proc *self, struct tb_pid pid)
{
    struct tb_ref ref = tb_node_ref(self->node);

    tb_watch_pid(self, ref, pid);
    return ref;
}

struct tb_ref
tb_monitor_name(struct tb_proc *self, const char *name, tb_atom node)
{
    struct tb_ref ref = tb_node_ref(self->node);

    tb_watch_name(self, ref, tb_text_of(name), node);
    return ref;
}

static void
send_demonitor(struct tb_peer *peer, struct tb_pid us, struct tb_val target,
               struct tb_ref ref)
{
    tb_peer_signal(peer, false, DOP_DEMONITOR_P,
                   TB_ARGS(tb_v_pid(us), target, tb_v_ref(ref)), no_payload);
}

static void
stop_watching(struct tb_node *node, struct tb_monitor *m)
{
    if (m->peer && (m->name || m->target_pid.node))
        send_demonitor(m->peer, m->watcher_pid,
                       m->name ? tb_v_atom(m->name) : tb_v_pid(m->target_pid),
                       m->ref);
    monitor_free(node, m);
}

bool
tb_demonitor(struct tb_proc *self, struct tb_ref ref)
{
    struct tb_monitor *m = find_monitor(self->node, NULL, ref);

    if (!m || m->watcher != self)
        return false;
    stop_watching(self->node, m);
    return true;
}

void
tb_watch_spawn_reply(struct tb_peer *peer, struct tb_ref ref, struct tb_pid us,
                     struct tb_term result)
{
    struct tb_monitor *m = find_monitor(peer->node, NULL, ref);
    struct tb_pid pid;
    bool spawned = tb_get_pid(result, &pid);

    if (m && (m->peer != peer || m->name || m->target_pid.node))
        return; /* no request of ours to this peer */
    if (m && spawned)
        m->target_pid = pid;
    else if (m)
        fire(peer->node, m, result);
    else if (spawned) /* given up meanwhile */
        send_demonitor(peer, us, tb_v_pid(pid), ref);
}

void
tb_watch_down(struct tb_peer *peer, struct tb_ref ref, struct tb_term reason)
{
    struct tb_monitor *m = find_monitor(peer->node, NULL, ref);

    if (m && m->peer == peer)
        fire(peer->node, m, reason);
}

/* --------------------------------------------------- monitors, theirs -- */

bool
tb_watch_are_many(const struct tb_peer *p, bool link)
{
    return p->n_signals >= TB_MAX_SIGNALS ||
           (link && p->n_links >= TB_MAX_LINKS);
}

bool
tb_watch_too_many(struct tb_peer *p, bool link)
{
    if (!tb_watch_are_many(p, link))
        return false;
    tb_log(TB_WARNING, "peer.too_many_signals", "node=%s monitors_and_links=%u",
           tb_atom_text(p->name).p, p->n_signals);
    tb_conn_fail(p->conn, -TB_ELIMIT);
    return true;
}

void
tb_watch_monitor_p(struct tb_peer *p, struct tb_pid from, struct tb_term to,
                   struct tb_ref ref)
{
    struct tb_text name;
    struct tb_pid pid;
    bool by_name = tb_get_atom(to, &name);
    struct tb_proc *target = by_name ? tb_proc_named(p->node, name)
                             : tb_get_pid(to, &pid) ? tb_proc_of(p->node, pid)
                                                    : NULL;
    struct tb_monitor *m;

    if (!target) {
        tb_peer_signal(p, false, DOP_PAYLOAD_MONITOR_P_EXIT,
                       TB_ARGS(tb_v_term(to), tb_v_pid(from), tb_v_ref(ref)),
                       tb_noproc);
        return;
    }
    m = tb_watch_too_many(p, false)
            ? NULL
            : monitor_new(p->node, p, ref, NULL, target);
    if (!m)
        return;
    m->watcher_pid = from;
    if (by_name)
        m->name = tb_strdup_n(name.p, name.n);
}

void
tb_watch_demonitor_p(struct tb_peer *p, struct tb_ref ref)
{
    struct tb_monitor *m = find_monitor(p->node, p, ref);

    if (m)
        monitor_free(p->node, m);
}

void
tb_watch_spawned(struct tb_proc *p, struct tb_peer *peer, struct tb_pid parent,
                 struct tb_ref ref, bool link, bool monitor)
{
    struct tb_monitor *m = NULL;

    if (link)
        tb_link_add(p, peer, parent);
    if (monitor)
        m = monitor_new(p->node, peer, ref, NULL, p);
    if (m)
        m->watcher_pid = parent;
}

/* --------------------------------------------------------------- ends -- */

void
tb_watch_proc_ended(struct tb_proc *p)
{
    tb_links_proc_ended(p);
    while (!tb_list_empty(&p->monitored_by))
        fire(p->node,
             TB_ENTRY(p->monitored_by.next, struct tb_monitor, by_target),
             tb_wr_term(&p->reason));
    while (!tb_list_empty(&p->monitors))
        stop_watching(
            p->node, TB_ENTRY(p->monitors.next, struct tb_monitor, by_watcher));
}

void
tb_watch_peer_lost(struct tb_peer *peer)
{
    peer->n_signals++; /* so that it outlives the last of its records */
    tb_links_peer_lost(peer);
    while (!tb_list_empty(&peer->monitors)) {
        struct tb_monitor *m =
            TB_ENTRY(peer->monitors.next, struct tb_monitor, by_peer);

        if (m->watcher)
            down_here(m, tb_noconnection);
        monitor_free(peer->node, m);
    }
    peer->n_signals--;
}
