/* net.c - what all connections of a node share: the listener, the sweep that
 * ticks, the flush at the end of a turn.
 * Owns: listener, resolver, connections. Thread: loop.
 * Source: kernel(6), net_ticktime. */
#include <arpa/inet.h>
#include <sys/resource.h>

#include "base/mem.h"
#include "net/conn.h"
#include "net/share.h"

/* ---------------------------------------------------------- listening -- */

/* Many may come at once; whom the kernel turns away tries again a second
 * later. */
#define BACKLOG 1024

/* How long before one that is left at the listener is looked at again. */
#define RETRY_MS 20

/* When memory is given back: after so much, in a sweep with so little. */
#define MUCH_BYTES  ((size_t)1 << 20)
#define QUIET_BYTES ((size_t)64 << 10)
#define BUSY_SWEEPS 60

static void accept_or_refuse(struct tb_net *net);

static void
on_retry(uv_timer_t *t)
{
    (void)t; /* the turn that it makes will ask: see tb_net_flush() */
}

static bool
is_too_early(struct tb_net *net)
{
    if (net->accepted++ < TB_MAX_ACCEPTS && tb_share_may_enter(net))
        return false;
    uv_timer_start(&net->retry, on_retry, RETRY_MS, 0);
    return true;
}

static void
on_refused(uv_handle_t *h)
{
    struct tb_net *net = h->data;

    net->refusing = false;
    if (net->waiting && net->listener)
        accept_or_refuse(net);
}

/* A connection that there is no memory for is closed with a handle of net's
 * own: while it waits at the listener, that takes no further one. One that may
 * not come in yet does wait there. */
static void
accept_or_refuse(struct tb_net *net)
{
    uv_stream_t *listener = (uv_stream_t *)net->listener;

    net->waiting = net->refusing || is_too_early(net);
    if (net->waiting || tb_conn_accept(net, listener) == 0)
        return;
    uv_tcp_init(net->loop, &net->refused);
    net->refused.data = net;
    net->refusing = true;
    uv_accept(listener, (uv_stream_t *)&net->refused);
    uv_close((uv_handle_t *)&net->refused, on_refused);
}

static void
on_connection(uv_stream_t *listener, int status)
{
    if (status == 0)
        accept_or_refuse(listener->data);
}

static void
on_listener_closed(uv_handle_t *h)
{
    tb_free(h);
}

static int
listen_on(struct tb_net *net, const char *address, int port)
{
    uv_tcp_t *listener;
    union tb_address at;
    int n = sizeof(at), rc = tb_address_of(net->family, address, &at);

    if (rc < 0)
        return rc;
    listener = tb_try_alloc(sizeof(*listener));
    if (!listener)
        return -TB_ELIMIT;
    uv_tcp_init(net->loop, listener);
    listener->data = net;
    tb_address_port(&at, (uint16_t)port);
    rc = uv_tcp_bind(listener, &at.any, 0);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)listener, BACKLOG, on_connection);
    if (rc < 0) {
        uv_close((uv_handle_t *)listener, on_listener_closed);
        return rc;
    }
    uv_tcp_getsockname(listener, &at.any, &n);
    net->listener = listener;
    net->port =
        ntohs(net->family == AF_INET6 ? at.in6.sin6_port : at.in.sin_port);
    return 0;
}

int
tb_net_listen(struct tb_net *net, const char *address, int min, int max)
{
    int rc = -EADDRINUSE;

    for (int port = min; rc == -EADDRINUSE && port <= max; port++)
        rc = listen_on(net, address, port);
    return rc;
}

/* --------------------------------------------------------------- ticks -- */

static uint64_t
sweep_interval(const struct tb_net *net)
{
    uint64_t quarter = net->tick_ms / 4;

    return quarter < 1000 ? quarter : 1000;
}

/* What many messages at once took is free behind them, but in pieces, which the
 * C library keeps: they go back when it is quiet again, or after a minute. */
static void
give_back(struct tb_net *net)
{
    bool quiet = net->moved < QUIET_BYTES;

    net->handled += net->moved;
    net->moved = 0;
    net->busy = net->handled ? net->busy + 1 : 0;
    if (net->handled >= MUCH_BYTES && (quiet || net->busy >= BUSY_SWEEPS)) {
        net->handled = 0;
        net->busy = 0;
        if (net->freed == 0) /* else there is more to come */
            net->freed = 1;
    }
    if (net->freed > 0) {
        net->freed--;
        tb_mem_give_back();
    }
}

static void
on_sweep(uv_timer_t *t)
{
    struct tb_net *net = t->data;
    uint64_t now = uv_now(net->loop), interval = sweep_interval(net);
    /* Time in which we did not run (stopped, starved) is not the peers'. */
    uint64_t late =
        now - net->swept_ms > 2 * interval ? now - net->swept_ms - interval : 0;

    net->swept_ms = now;
    TB_LIST_EACH (c, &net->conns, struct tb_conn, link)
        tb_conn_sweep(c, now, late);
    give_back(net);
}

/* Some descriptors are left for what is no connection of a peer, and so that
 * one too many can be accepted and closed. */
static unsigned
max_connections(void)
{
    struct rlimit files;
    rlim_t keep = TB_KEEP_FILES;

    if (getrlimit(RLIMIT_NOFILE, &files) < 0 ||
        files.rlim_cur >= TB_MAX_CONNECTIONS + keep)
        return TB_MAX_CONNECTIONS;
    if (files.rlim_cur < 2 * keep)
        keep = files.rlim_cur / 2;
    return (unsigned)(files.rlim_cur - keep);
}

int
tb_net_init(struct tb_net *net)
{
    int rc = tb_resolver_new(net->loop, net->family, &net->resolver);

    tb_list_init(&net->conns);
    tb_list_init(&net->dirty);
    tb_list_init(&net->pending);
    net->max_conns = max_connections();
    net->max_pending = TB_MAX_PENDING;
    if (net->max_pending > net->max_conns / 2)
        net->max_pending = net->max_conns / 2;
    net->expanded.control.max = net->expanded.payload.max = net->max_frame;
    net->max_queued = 2 * net->max_queue;
    if (net->max_queued < TB_MAX_QUEUED)
        net->max_queued = TB_MAX_QUEUED;
    if (rc < 0)
        return rc;
    uv_timer_init(net->loop, &net->retry);
    uv_timer_init(net->loop, &net->sweep);
    net->sweep.data = net;
    net->swept_ms = uv_now(net->loop);
    uv_timer_start(&net->sweep, on_sweep, sweep_interval(net),
                   sweep_interval(net));
    return 0;
}

void
tb_net_hold(struct tb_net *net, bool held)
{
    if (held == net->held)
        return;
    net->held = held;
    TB_LIST_EACH (c, &net->conns, struct tb_conn, link)
        tb_conn_hold(c);
}

void
tb_net_flush(struct tb_net *net)
{
    struct tb_list now;

    tb_list_init(&now); /* each once: a turn is a turn */
    TB_LIST_EACH (c, &net->dirty, struct tb_conn, dirty) {
        tb_list_del(&c->dirty);
        tb_list_add(&now, &c->dirty);
    }
    while (!tb_list_empty(&now)) {
        struct tb_conn *c = TB_ENTRY(now.next, struct tb_conn, dirty);

        tb_list_del(&c->dirty);
        tb_conn_turn(c);
    }
    net->accepted = 0;
    if (net->waiting && net->listener)
        accept_or_refuse(net);
}

void
tb_net_close(struct tb_net *net)
{
    if (net->listener)
        uv_close((uv_handle_t *)net->listener, on_listener_closed);
    net->listener = NULL;
    TB_LIST_EACH (c, &net->conns, struct tb_conn, link)
        tb_conn_leave(c);
}

void
tb_net_end(struct tb_net *net)
{
    tb_resolver_free(net->resolver);
    net->resolver = NULL;
    tb_expanded_free(&net->expanded, 0);
    uv_close((uv_handle_t *)&net->sweep, NULL);
    uv_close((uv_handle_t *)&net->retry, NULL);
}
