/* share.c - what all connections may hold together, and who goes when that is
 * too much.
 * In Erlang: nothing; there each connection's memory is its own affair.
 * Owns: nothing. Borrows: net, its connections. Thread: loop. */
#include "net/share.h"

#include <stdio.h>

/* What was counted last stands in the connection, so that nothing is counted
 * twice; one that is to be closed counts no more. */
static void
count(size_t *all, size_t *counted, size_t now)
{
    *all += now - *counted;
    *counted = now;
}

static void
drop_parts(struct tb_conn *c)
{
    tb_frames_fini(&c->frames);
    count(&c->net->parts, &c->parts, 0);
}

/* Its flight belongs to the stream until that is closed. */
static void
drop_queue(struct tb_conn *c)
{
    tb_wr_free(&c->out);
    count(&c->net->queued, &c->queued, 0);
}

void
tb_share_parts(struct tb_conn *c)
{
    struct tb_net *net = c->net;
    struct tb_conn *most = c;

    count(&net->parts, &c->parts, c->doomed ? 0 : c->frames.part.len);
    if (net->parts <= TB_MAX_UNFINISHED)
        return;
    TB_LIST_EACH (other, &net->conns, struct tb_conn, link)
        if (other->parts > most->parts)
            most = other;
    tb_conn_fail(most, -TB_ELIMIT);
    drop_parts(most);
}

static void
drop_atoms(struct tb_conn *c)
{
    tb_atom_cache_fini(&c->atoms);
    count(&c->net->atoms, &c->told, 0);
}

void
tb_share_atoms(struct tb_conn *c)
{
    struct tb_net *net = c->net;
    struct tb_conn *most = c;

    count(&net->atoms, &c->told, c->doomed ? 0 : c->atoms.text.cap);
    if (net->atoms <= TB_MAX_ATOM_CACHES)
        return;
    TB_LIST_EACH (other, &net->conns, struct tb_conn, link)
        if (other->told > most->told)
            most = other;
    tb_conn_fail(most, -TB_ELIMIT);
    drop_atoms(most);
}

void
tb_share_queue(struct tb_conn *c)
{
    struct tb_net *net = c->net;
    struct tb_conn *most = c;

    count(&net->queued, &c->queued, c->doomed ? 0 : tb_conn_queued(c));
    if (net->queued <= net->max_queued)
        return;
    TB_LIST_EACH (other, &net->conns, struct tb_conn, link)
        if (other->queued > most->queued)
            most = other;
    tb_conn_fail(most, -TB_EQUEUE_FULL);
    drop_queue(most);
}

static struct tb_conn *
oldest_pending(const struct tb_net *net)
{
    return TB_ENTRY(net->pending.next, struct tb_conn, pending);
}

bool
tb_share_may_enter(const struct tb_net *net)
{
    return net->n_pending < net->max_pending ||
           uv_now(net->loop) - oldest_pending(net)->since_ms >= TB_PENDING_MS;
}

static void
turn_out(struct tb_conn *c, const char *trouble)
{
    snprintf(c->trouble, sizeof(c->trouble), "%s", trouble);
    tb_conn_fail(c, -TB_ELIMIT);
    tb_share_leave(c);
}

void
tb_share_enter(struct tb_conn *c)
{
    struct tb_net *net = c->net;

    tb_list_add(&net->pending, &c->pending);
    if (++net->n_pending > net->max_pending)
        turn_out(oldest_pending(net), "too many handshakes at once");
    else if (net->n_conns > net->max_conns)
        turn_out(oldest_pending(net), "too many connections");
}

void
tb_share_leave(struct tb_conn *c)
{
    if (!c->pending.next)
        return;
    tb_list_del(&c->pending);
    c->net->n_pending--;
}

void
tb_share_gone(struct tb_conn *c)
{
    tb_share_leave(c);
    drop_parts(c);
    drop_atoms(c);
    count(&c->net->queued, &c->queued, 0);
}
