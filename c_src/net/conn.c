/* conn.c - one peer's connection, from its name to its end.
 * In Erlang: dist_util, and a connection's part of net_kernel.
 *
 *   RESOLVE -> LOOKUP -> CONNECT -> HANDSHAKE -> UP -> CLOSED
 *   (dialled)              ^            ^
 *                next address           accepted connections begin here
 *
 * A connection is never closed from inside a call of its user: it is doomed,
 * and tb_conn_turn() closes it. So nobody loses a record under his hands.
 * Owns: its stream, buffers, lookups. Borrows: net. Thread: loop.
 * Source: dist_util.erl, kernel(6). */
#include "net/conn.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/mem.h"
#include "net/epmd_client.h"
#include "net/share.h"

static void settle(struct tb_conn *c);
static void on_setup_timeout(uv_timer_t *t);

static void
mark_dirty(struct tb_conn *c)
{
    if (!c->dirty.next)
        tb_list_add(&c->net->dirty, &c->dirty);
}

void
tb_conn_fail(struct tb_conn *c, int why)
{
    if (c->doomed || c->state == TB_CONN_CLOSED)
        return;
    c->doomed = true;
    c->why = c->leaving ? -TB_ESTOPPED : why;
    mark_dirty(c);
}

/* An idle connection keeps no more than this of a buffer. */
#define KEEP_BYTES 4096

/* Much may be freed when a connection ends, and some only after it. */
#define GIVE_BACK_SWEEPS 3

/* What has gathered within a turn is written from here on. */
#define WRITE_BYTES ((size_t)256 << 10)

/* How long a peer has to close after we have. */
#define LEAVE_MS 500

void
tb_conn_leave(struct tb_conn *c)
{
    if (c->state != TB_CONN_UP) {
        tb_conn_fail(c, -TB_ESTOPPED);
        return;
    }
    c->leaving = true;
    uv_timer_start(&c->timer, on_setup_timeout, LEAVE_MS, 0);
    mark_dirty(c);
}

/* The one place that writes the state. */
void
tb_conn_to(struct tb_conn *c, enum tb_conn_state state)
{
    if (state != TB_CONN_HANDSHAKE)
        tb_share_leave(c);
    c->state = state;
}

/* ------------------------------------------------------------- birth -- */

static void
note_trouble(struct tb_conn *c)
{
    if (c->doomed) /* for a reason that was there before */
        return;
    snprintf(c->trouble, sizeof(c->trouble), "%s",
             c->stream->transport->trouble(c->stream));
}

static void
on_setup_timeout(uv_timer_t *t)
{
    struct tb_conn *c = t->data;

    if (c->stream)
        note_trouble(c);
    tb_conn_fail(c, -TB_ETIMEOUT);
}

static void
restart_setup_timer(struct tb_conn *c)
{
    uv_timer_start(&c->timer, on_setup_timeout, c->net->setup_ms, 0);
}

struct tb_conn *
tb_conn_new(struct tb_net *net, bool initiator, enum tb_conn_state state)
{
    struct tb_conn *c = tb_try_alloc(sizeof(*c));

    if (!c)
        return NULL;
    c->net = net;
    c->initiator = initiator;
    c->state = state;
    c->since_ms = c->read_ms = uv_now(net->loop);
    c->out.max = c->flight.max =
        net->max_queue + net->max_frame + TB_QUEUE_SLACK + 4096;
    c->frames.length_bytes = net->transport->length_bytes;
    c->frames.max = TB_MAX_HANDSHAKE;
    c->hs.our_name = net->name;
    c->hs.our_flags = net->flags;
    c->hs.our_creation = net->creation;
    c->hs.length_bytes = net->transport->length_bytes;
    uv_timer_init(net->loop, &c->timer);
    c->timer.data = c;
    c->open_handles = 1;
    tb_list_add(&net->conns, &c->link);
    net->n_conns++;
    if (getrandom(&c->hs.challenge, sizeof(c->hs.challenge), 0) < 0)
        tb_conn_fail(c, -EIO);
    restart_setup_timer(c);
    return c;
}

static void
free_conn(struct tb_conn *c)
{
    tb_hs_fini(&c->hs);
    tb_frames_fini(&c->frames);
    tb_atom_cache_fini(&c->atoms);
    tb_wr_free(&c->out);
    tb_wr_free(&c->flight);
    tb_free(c);
}

static void
handle_closed(struct tb_conn *c)
{
    if (--c->open_handles == 0)
        free_conn(c);
}

static void
on_timer_closed(uv_handle_t *h)
{
    handle_closed(h->data);
}

static void
on_stream_closed(void *owner)
{
    handle_closed(owner);
}

static void
conn_close(struct tb_conn *c)
{
    if (c->state == TB_CONN_CLOSED)
        return;
    tb_list_del(&c->link);
    tb_list_del(&c->dirty);
    c->net->n_conns--;
    c->net->freed = GIVE_BACK_SWEEPS;
    tb_share_gone(c);
    tb_lookup_cancel(c->lookup);
    tb_epmd_cancel(c->query);
    tb_conn_to(c, TB_CONN_CLOSED);
    c->net->cb->down(c->net->ctx, c, c->why);
    uv_close((uv_handle_t *)&c->timer, on_timer_closed);
    if (c->stream)
        c->stream->transport->close(c->stream);
}

/* ---------------------------------------------------------- handshake -- */

static void
write_handshake(struct tb_conn *c)
{
    c->out.bad |= c->hs.out.bad;
    tb_wr_bytes(&c->out, c->hs.out.buf, c->hs.out.len);
    tb_wr_clear(&c->hs.out, 0);
    if (c->out.bad)
        tb_conn_fail(c, -TB_ELIMIT);
    mark_dirty(c);
}

static void
load_cookie(struct tb_conn *c)
{
    struct tb_text peer = { c->hs.name, c->hs.name_len };

    c->hs.cookie = *c->net->cb->cookie(c->net->ctx, peer);
}

static void
on_opened(void *owner, int status)
{
    struct tb_conn *c = owner;

    if (c->doomed)
        return;
    if (status < 0) {
        note_trouble(c);
        c->stream->transport->close(c->stream);
        c->stream = NULL;
        tb_dial_next(c, status);
        return;
    }
    tb_conn_to(c, TB_CONN_HANDSHAKE);
    restart_setup_timer(c);
    load_cookie(c);
    tb_hs_start(&c->hs);
    write_handshake(c);
    c->stream->transport->read_start(c->stream);
}

static void
go_up(struct tb_conn *c)
{
    tb_conn_to(c, TB_CONN_UP);
    uv_timer_stop(&c->timer);
    explicit_bzero(&c->hs.cookie, sizeof(c->hs.cookie));
    c->flags = tb_hs_effective_flags(&c->hs);
    c->frames.length_bytes = 4;
    c->frames.max = c->net->max_frame;
    c->since_ms = uv_now(c->net->loop);
    c->net->cb->up(c->net->ctx, c);
}

static void
handshake_frame(struct tb_conn *c, const uint8_t *p, size_t n)
{
    int rc = tb_hs_feed(&c->hs, p, n);

    if (rc == TB_HS_NAMED) {
        load_cookie(c);
        rc = tb_hs_status(&c->hs, c->net->cb->named(c->net->ctx, c));
        restart_setup_timer(c);
    } else if (rc == TB_HS_ALIVE) {
        rc = tb_hs_alive(&c->hs, c->net->cb->alive(c->net->ctx, c));
    }
    if (c->hs.out.len)
        write_handshake(c);
    if (rc < 0)
        tb_conn_fail(c, rc);
    else if (rc == TB_HS_DONE && !c->doomed)
        go_up(c);
}

/* ------------------------------------------------------------ reading -- */

static void
take_frame(struct tb_conn *c, const uint8_t *p, size_t n)
{
    if (c->state == TB_CONN_HANDSHAKE) {
        handshake_frame(c, p, n);
        return;
    }
    c->frames_in++;
    c->net->turn_frames++;
    if (n > 0) /* of no length: a tick */
        c->net->cb->frame(c->net->ctx, c, p, n);
}

static void
take_bytes(struct tb_conn *c, const uint8_t *p, size_t n)
{
    const uint8_t *body;
    size_t len;
    int rc = 0;

    tb_frames_lend(&c->frames, p, n);
    while (!c->doomed && !c->throttled && c->turn_bytes < TB_READ_TURN &&
           (rc = tb_frames_next(&c->frames, &body, &len)) > 0) {
        take_frame(c, body, len);
        if (c->out.len > TB_QUEUE_HIGH)
            settle(c);
    }
    if (rc >= 0) /* where it was stopped, whole frames too */
        rc = tb_frames_keep(&c->frames);
    if (rc < 0)
        tb_conn_fail(c, rc);
    tb_share_parts(c);
    tb_share_atoms(c);
}

/* A record of TLS where a handshake begins: 21 is an alert, 22 a hello. Their
 * length would be longer than any handshake's. */
static bool
is_tls(const struct tb_conn *c, const uint8_t *p, size_t n)
{
    return c->bytes_in == 0 && c->frames.length_bytes == 2 && n >= 2 &&
           (p[0] == 21 || p[0] == 22) && p[1] == 3;
}

/* Others have their turn, however much one has to say. */
static void
share_turn(struct tb_conn *c, size_t n)
{
    c->turn_bytes += n;
    if (c->turn_bytes == 0)
        return;
    mark_dirty(c);
    if (c->turn_bytes < TB_READ_TURN || c->paused || c->throttled)
        return;
    c->paused = true;
    c->stream->transport->read_stop(c->stream);
}

static void
begin_turn(struct tb_conn *c)
{
    if (c->paused && !c->throttled && !c->doomed)
        c->stream->transport->read_start(c->stream);
    c->paused = false;
    c->turn_bytes = 0;
}

static void
on_read(void *owner, const uint8_t *p, size_t n)
{
    struct tb_conn *c = owner;

    if (is_tls(c, p, n)) {
        snprintf(c->trouble, sizeof(c->trouble), "the peer speaks TLS");
        tb_conn_fail(c, -TB_ETLS);
        return;
    }
    c->read_ms = uv_now(c->net->loop);
    c->bytes_in += n;
    c->net->turn_bytes += n;
    c->net->moved += n;
    if (!c->leaving && !c->doomed)
        take_bytes(c, p, n);
    share_turn(c, n);
}

/* With TLS the end can come in one read with more than a turn. */
static void
take_kept(struct tb_conn *c)
{
    size_t before;

    do {
        before = c->frames.part.len;
        c->turn_bytes = 0;
        if (!c->leaving && !c->doomed)
            take_bytes(c, NULL, 0);
    } while (c->frames.part.len < before && !c->doomed && !c->throttled);
}

/* A BEAM that does not like our digest closes without a word. */
static int
reason_of_end(const struct tb_conn *c, int status)
{
    if (status == -TB_ETLS)
        return status;
    if (c->state == TB_CONN_HANDSHAKE && c->initiator && c->hs.flags)
        return -TB_EAUTH;
    return status == 0 || status == UV_ECONNRESET ? -TB_ECLOSED : status;
}

static void
on_ended(void *owner, int status)
{
    struct tb_conn *c = owner;

    if (c->paused)
        take_kept(c);
    note_trouble(c);
    if (c->initiator && c->bytes_in == 0 && !c->trouble[0] && !c->net->tls)
        snprintf(c->trouble, sizeof(c->trouble),
                 "closed before a word: does it speak TLS?");
    c->stream->transport->read_stop(c->stream);
    tb_conn_fail(c, reason_of_end(c, status));
}

/* ------------------------------------------------------------ writing -- */

size_t
tb_conn_queued(const struct tb_conn *c)
{
    return c->out.len + c->flight.len - c->flown;
}

struct tb_wr *
tb_conn_out(struct tb_conn *c)
{
    c->before = tb_conn_queued(c);
    return &c->out;
}

static void
flight_done(struct tb_conn *c)
{
    c->bytes_out += c->flight.len;
    c->net->moved += c->flight.len;
    c->flown = 0;
    c->flying = false;
    if (c->flight.cap > TB_READ_CHUNK)
        c->net->freed = GIVE_BACK_SWEEPS;
    tb_wr_clear(&c->flight, KEEP_BYTES);
}

static void
fly(struct tb_conn *c)
{
    struct tb_wr empty = c->flight;
    ssize_t n;
    int rc = 0;

    c->flight = c->out;
    c->out = empty;
    c->wrote = true;
    c->flying = true;
    n = c->stream->transport->try_write(c->stream, c->flight.buf,
                                        c->flight.len);
    if (n == (ssize_t)c->flight.len) {
        flight_done(c);
        return;
    }
    c->flown = n > 0 ? (size_t)n : 0;
    if (n >= 0)
        rc = c->stream->transport->write(c->stream, c->flight.buf + n,
                                         c->flight.len - (size_t)n);
    if (n < 0 || rc < 0)
        tb_conn_fail(c, -TB_ECLOSED);
}

static bool
can_fly(const struct tb_conn *c)
{
    return c->stream && !c->flying && c->out.len > 0 && !c->out.bad &&
           (c->state == TB_CONN_UP || c->state == TB_CONN_HANDSHAKE);
}

/* One message of any size is taken; while it leaves, small ones behind it. */
static bool
is_full(struct tb_conn *c)
{
    size_t queued = tb_conn_queued(c);

    if (c->before > c->net->max_queue)
        return queued > c->over + TB_QUEUE_SLACK;
    c->over = queued;
    return false;
}

void
tb_conn_sent(struct tb_conn *c)
{
    c->frames_out++;
    mark_dirty(c);
    if (c->out.bad || is_full(c))
        tb_conn_fail(c, -TB_EQUEUE_FULL);
    else if (c->out.len >= WRITE_BYTES && can_fly(c))
        fly(c); /* the peer has work while we go on */
    tb_share_queue(c);
}

/* A peer that does not read is not read from, until half of what waits for
 * it has gone; and none is while the node lags behind. */
static void
throttle(struct tb_conn *c)
{
    size_t queued = c->flying ? tb_conn_queued(c) : 0;
    bool held = c->net->held;

    if (c->state != TB_CONN_UP || c->doomed)
        return;
    if (!c->throttled && (held || queued > TB_QUEUE_HIGH)) {
        c->throttled = true;
        c->stream->transport->read_stop(c->stream);
    } else if (c->throttled && !held && queued < TB_QUEUE_HIGH / 2) {
        c->throttled = c->slow = false;
        c->stream->transport->read_start(c->stream);
    }
}

void
tb_conn_hold(struct tb_conn *c)
{
    if (c->net->held)
        throttle(c);
    else if (c->throttled)
        mark_dirty(c); /* what was kept of it is taken first */
}

static void
settle(struct tb_conn *c)
{
    if (can_fly(c))
        fly(c);
    throttle(c);
    tb_share_queue(c);
}

static void
on_written(void *owner, int status)
{
    struct tb_conn *c = owner;

    if (status < 0) {
        tb_conn_fail(c, -TB_ECLOSED);
        return;
    }
    flight_done(c);
    mark_dirty(c);
}

void
tb_conn_turn(struct tb_conn *c)
{
    bool was_stopped = c->throttled || c->paused;

    begin_turn(c);
    settle(c);
    if (was_stopped && !c->throttled && !c->doomed && !c->leaving) {
        take_bytes(c, NULL, 0);
        share_turn(c, 0);
    }
    if (c->leaving && !c->shut && !c->flying && c->out.len == 0) {
        c->shut = true;
        c->stream->transport->shutdown(c->stream);
    }
    if (c->doomed)
        conn_close(c);
}

/* We do not read from a throttled peer; that it reads is its sign of life. */
static void
note_progress(struct tb_conn *c, uint64_t now)
{
    size_t left = c->stream->transport->unwritten(c->stream);

    if (left != c->unwritten || c->net->held) {
        c->read_ms = now;
    } else if (!c->slow) {
        c->slow = true;
        c->net->cb->slow(c->net->ctx, c);
    }
    c->unwritten = left;
}

void
tb_conn_sweep(struct tb_conn *c, uint64_t now, uint64_t late)
{
    c->read_ms = c->read_ms + late < now ? c->read_ms + late : now;
    if (c->state != TB_CONN_UP)
        return;
    if (c->throttled)
        note_progress(c, now);
    if (!c->wrote && !c->flying && c->out.len == 0 && !c->leaving) {
        tb_wr_u32(&c->out, 0); /* a tick */
        c->frames_out++;
        mark_dirty(c);
        if (c->out.bad)
            tb_conn_fail(c, -TB_ELIMIT);
    }
    c->wrote = false;
    if (now - c->read_ms >= c->net->tick_ms)
        tb_conn_fail(c, c->throttled ? -TB_EQUEUE_FULL : -TB_ETICK);
}

const struct tb_stream_cb tb_conn_stream_cb = {
    .opened = on_opened,
    .read = on_read,
    .ended = on_ended,
    .written = on_written,
    .closed = on_stream_closed,
};

int
tb_conn_accept(struct tb_net *net, uv_stream_t *listener)
{
    struct tb_conn *c = tb_conn_new(net, false, TB_CONN_HANDSHAKE);
    int rc;

    if (!c)
        return -TB_ELIMIT;
    rc = net->transport->accept(net, listener, &tb_conn_stream_cb, c,
                                &c->stream);
    if (rc < 0) {
        tb_conn_fail(c, -TB_ECLOSED);
        return rc;
    }
    c->open_handles++;
    tb_hs_accept(&c->hs);
    net->transport->read_start(c->stream);
    tb_share_enter(c);
    return 0;
}
