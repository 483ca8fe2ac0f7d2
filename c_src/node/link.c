/* link.c - links, in both directions, by OTP's rules.
 *
 * A link is a half on each side that is here. A half of ours that was unlinked
 * stays, inactive, until the peer has acknowledged: an exit that was on its
 * way before that does not count.
 * Owns: half links. Thread: loop.
 * Source: erl_dist_protocol, "Link Protocol". */
#include "base/mem.h"
#include "node/route.h"
#include "node/watch.h"
#include "term/get.h"

static const struct tb_term no_payload;

struct link_key {
    uint32_t id, serial; /* of the process here */
    struct tb_pid other;
};

static struct tb_half_link *
find_link(struct tb_node *node, struct tb_pid here, struct tb_pid other)
{
    struct link_key key = { here.id, here.serial, other };

    return tb_map_get(node->links, &key, sizeof(key));
}

struct tb_half_link *
tb_link_add(struct tb_proc *p, struct tb_peer *peer, struct tb_pid other)
{
    struct tb_half_link *l = tb_new(struct tb_half_link);
    struct link_key key = { p->pid.id, p->pid.serial, other };

    l->proc = p;
    l->other = other;
    l->peer = peer;
    l->active = true;
    tb_map_put(p->node->links, &key, sizeof(key), l);
    tb_list_add(&p->links, &l->by_proc);
    if (peer) {
        tb_list_add(&peer->links, &l->by_peer);
        peer->n_signals++;
        peer->n_links++;
    }
    return l;
}

static void
link_free(struct tb_half_link *l)
{
    struct link_key key = { l->proc->pid.id, l->proc->pid.serial, l->other };
    struct tb_peer *peer = l->peer;

    tb_map_take(l->proc->node->links, &key, sizeof(key));
    tb_list_del(&l->by_proc);
    tb_list_del(&l->by_peer);
    tb_free(l);
    if (peer) {
        peer->n_signals--;
        peer->n_links--;
        tb_peer_release(peer);
    }
}

static void
link_half(struct tb_proc *p, struct tb_peer *peer, struct tb_pid other)
{
    struct tb_half_link *l = find_link(p->node, p->pid, other);

    if (!l)
        l = tb_link_add(p, peer, other);
    l->active = true;
    l->unlink_id = 0;
}

void
tb_watch_local_link(struct tb_proc *a, struct tb_proc *b)
{
    link_half(a, NULL, b->pid);
    link_half(b, NULL, a->pid);
}

void
tb_link(struct tb_proc *self, struct tb_pid pid)
{
    struct tb_node *node = self->node;
    struct tb_peer *peer = tb_peer_get(node, pid.node);
    struct tb_proc *local = tb_proc_of(node, pid);
    struct tb_half_link *l = find_link(node, self->pid, pid);

    if (l && l->active)
        return;
    if (!peer) {
        if (local == self)
            return;
        if (local)
            tb_watch_local_link(self, local);
        else
            tb_proc_exit_signal(self, pid, tb_noproc, true);
        return;
    }
    link_half(self, peer, pid);
    tb_peer_signal(peer, true, DOP_LINK,
                   TB_ARGS(tb_v_pid(self->pid), tb_v_pid(pid)), no_payload);
}

static void
unlink_remote(struct tb_half_link *l)
{
    struct tb_proc *p = l->proc;

    l->active = false;
    l->unlink_id = ++p->node->next_unlink;
    tb_peer_signal(l->peer, false, DOP_UNLINK_ID,
                   TB_ARGS(tb_v_int((int64_t)l->unlink_id), tb_v_pid(p->pid),
                           tb_v_pid(l->other)),
                   no_payload);
    /* UNLINK, the form of old, is never acknowledged */
    if (!l->peer->conn || !(l->peer->conn->flags & TB_DFLAG(UNLINK_ID)))
        link_free(l);
}

void
tb_unlink(struct tb_proc *self, struct tb_pid pid)
{
    struct tb_half_link *l = find_link(self->node, self->pid, pid);
    struct tb_half_link *back = find_link(self->node, pid, self->pid);

    if (!l || !l->active)
        return;
    if (l->peer) {
        unlink_remote(l);
        return;
    }
    link_free(l);
    if (back)
        link_free(back);
}

void
tb_watch_link(struct tb_peer *p, struct tb_pid from, struct tb_pid to)
{
    struct tb_proc *here = tb_proc_of(p->node, to);
    struct tb_half_link *l = find_link(p->node, to, from);

    if (!here)
        tb_peer_signal(p, false, DOP_PAYLOAD_EXIT,
                       TB_ARGS(tb_v_pid(to), tb_v_pid(from)), tb_noproc);
    else if (!l && !tb_watch_too_many(p, true))
        tb_link_add(here, p, from);
}

void
tb_watch_unlink(struct tb_peer *p, struct tb_pid from, struct tb_pid to,
                const struct tb_val *id)
{
    struct tb_half_link *l = find_link(p->node, to, from);

    /* before any other signal to that process */
    if (id)
        tb_peer_signal(p, false, DOP_UNLINK_ID_ACK,
                       TB_ARGS(*id, tb_v_pid(to), tb_v_pid(from)), no_payload);
    if (l && l->active)
        link_free(l);
}

void
tb_watch_unlink_ack(struct tb_peer *p, uint64_t id, struct tb_pid from,
                    struct tb_pid to)
{
    struct tb_half_link *l = find_link(p->node, to, from);

    if (l && !l->active && l->unlink_id == id)
        link_free(l);
}

void
tb_watch_exit(struct tb_peer *p, struct tb_pid from, struct tb_pid to,
              struct tb_term reason)
{
    struct tb_half_link *l = find_link(p->node, to, from);
    struct tb_proc *here;

    if (!l || !l->active) /* not linked, or not any more */
        return;
    here = l->proc;
    link_free(l);
    tb_proc_exit_signal(here, from, reason, true);
}

static void
break_link(struct tb_proc *p, struct tb_half_link *l)
{
    struct tb_term reason = tb_wr_term(&p->reason);
    struct tb_proc *other = l->peer ? NULL : tb_proc_of(p->node, l->other);
    struct tb_half_link *back =
        other ? find_link(p->node, other->pid, p->pid) : NULL;

    if (l->peer && l->active)
        tb_peer_signal(l->peer, false, DOP_PAYLOAD_EXIT,
                       TB_ARGS(tb_v_pid(p->pid), tb_v_pid(l->other)), reason);
    link_free(l);
    if (back) {
        link_free(back);
        tb_proc_exit_signal(other, p->pid, reason, true);
    }
}

void
tb_links_proc_ended(struct tb_proc *p)
{
    while (!tb_list_empty(&p->links))
        break_link(p, TB_ENTRY(p->links.next, struct tb_half_link, by_proc));
}

void
tb_links_peer_lost(struct tb_peer *peer)
{
    while (!tb_list_empty(&peer->links)) {
        struct tb_half_link *l =
            TB_ENTRY(peer->links.next, struct tb_half_link, by_peer);
        struct tb_proc *p = l->proc;
        struct tb_pid other = l->other;
        bool active = l->active;

        link_free(l);
        if (active)
            tb_proc_exit_signal(p, other, tb_noconnection, true);
    }
}
