/* tcp.c - the transport of inet_tcp and inet6_tcp.
 * In Erlang: inet_tcp_dist, inet6_tcp_dist. Owns: its socket. Thread: loop. */
#include <sys/ioctl.h>

#include "base/mem.h"
#include "net/net.h"
#include "net/stream.h"

struct tcp_stream {
    struct tb_stream base;
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    uv_shutdown_t shutdown;
    struct tb_net *net;
};

static struct tcp_stream *
of(struct tb_stream *s)
{
    return TB_ENTRY(s, struct tcp_stream, base);
}

static struct tcp_stream *
tcp_new(struct tb_net *net, const struct tb_stream_cb *cb, void *owner)
{
    struct tcp_stream *t = tb_try_alloc(sizeof(*t));

    if (!t)
        return NULL;
    t->base = (struct tb_stream){ &tb_tcp, cb, owner };
    t->net = net;
    uv_tcp_init(net->loop, &t->tcp);
    t->tcp.data = t;
    return t;
}

static void
on_closed(uv_handle_t *h)
{
    struct tcp_stream *t = h->data;

    if (t->base.cb)
        t->base.cb->closed(t->base.owner);
    tb_free(t);
}

static void
tcp_close(struct tb_stream *s)
{
    struct tcp_stream *t = of(s);

    if (!uv_is_closing((uv_handle_t *)&t->tcp))
        uv_close((uv_handle_t *)&t->tcp, on_closed);
}

/* A stream that never became its owner's: nobody hears of its end. */
static int
drop(struct tcp_stream *t, int rc)
{
    t->base.cb = NULL;
    tcp_close(&t->base);
    return rc;
}

static bool
is_open(struct tcp_stream *t)
{
    return !uv_is_closing((uv_handle_t *)&t->tcp);
}

static void
on_connect(uv_connect_t *req, int status)
{
    struct tcp_stream *t = req->handle->data;

    if (is_open(t))
        t->base.cb->opened(t->base.owner, status);
}

static int
tcp_connect(struct tb_net *net, const struct sockaddr *to, const char *host,
            const struct tb_stream_cb *cb, void *owner, struct tb_stream **out)
{
    struct tcp_stream *t = tcp_new(net, cb, owner);
    int rc;

    (void)host;
    if (!t)
        return -TB_ELIMIT;
    rc = uv_tcp_connect(&t->connect, &t->tcp, to, on_connect);
    if (rc < 0)
        return drop(t, rc);
    uv_tcp_nodelay(&t->tcp, 1);
    *out = &t->base;
    return 0;
}

static int
tcp_accept(struct tb_net *net, uv_stream_t *listener,
           const struct tb_stream_cb *cb, void *owner, struct tb_stream **out)
{
    struct tcp_stream *t = tcp_new(net, cb, owner);
    int rc;

    if (!t)
        return -TB_ELIMIT;
    rc = uv_accept(listener, (uv_stream_t *)&t->tcp);
    if (rc < 0)
        return drop(t, rc);
    uv_tcp_nodelay(&t->tcp, 1);
    *out = &t->base;
    return 0;
}

static void
on_alloc(uv_handle_t *h, size_t hint, uv_buf_t *buf)
{
    struct tcp_stream *t = h->data;

    (void)hint;
    *buf = uv_buf_init((char *)t->net->scratch, sizeof(t->net->scratch));
}

static void
on_read(uv_stream_t *h, ssize_t n, const uv_buf_t *buf)
{
    struct tcp_stream *t = h->data;

    if (n > 0)
        t->base.cb->read(t->base.owner, (const uint8_t *)buf->base, (size_t)n);
    else if (n < 0)
        t->base.cb->ended(t->base.owner, n == UV_EOF ? 0 : (int)n);
}

static void
tcp_read_start(struct tb_stream *s)
{
    uv_read_start((uv_stream_t *)&of(s)->tcp, on_alloc, on_read);
}

static void
tcp_read_stop(struct tb_stream *s)
{
    uv_read_stop((uv_stream_t *)&of(s)->tcp);
}

static uv_buf_t
buffer(const uint8_t *p, size_t n)
{
    return (uv_buf_t){ (char *)(uintptr_t)p, n };
}

static ssize_t
tcp_try_write(struct tb_stream *s, const uint8_t *p, size_t n)
{
    uv_buf_t buf = buffer(p, n);
    int rc = uv_try_write((uv_stream_t *)&of(s)->tcp, &buf, 1);

    return rc == UV_EAGAIN ? 0 : rc;
}

static void
on_write(uv_write_t *req, int status)
{
    struct tcp_stream *t = req->handle->data;

    if (is_open(t))
        t->base.cb->written(t->base.owner, status);
}

static int
tcp_write(struct tb_stream *s, const uint8_t *p, size_t n)
{
    struct tcp_stream *t = of(s);
    uv_buf_t buf = buffer(p, n);

    return uv_write(&t->write, (uv_stream_t *)&t->tcp, &buf, 1, on_write);
}

static void
tcp_shutdown(struct tb_stream *s)
{
    struct tcp_stream *t = of(s);

    uv_shutdown(&t->shutdown, (uv_stream_t *)&t->tcp, NULL);
}

static size_t
tcp_unwritten(const struct tb_stream *s)
{
    const struct tcp_stream *t = TB_ENTRY(s, const struct tcp_stream, base);

    uv_os_fd_t fd;
    int kernel = 0;

    /* what the kernel has, and the peer has not acknowledged, is on its way
     * still: a slow reader shows in that long before our queue moves */
    if (uv_fileno((const uv_handle_t *)&t->tcp, &fd) < 0 ||
        ioctl(fd, TIOCOUTQ, &kernel) < 0)
        kernel = 0;
    return uv_stream_get_write_queue_size((const uv_stream_t *)&t->tcp) +
           (size_t)kernel;
}

static int
tcp_peer(struct tb_stream *s, struct sockaddr_storage *out)
{
    int n = sizeof(*out);

    return uv_tcp_getpeername(&of(s)->tcp, (struct sockaddr *)out, &n);
}

static const char *
tcp_trouble(const struct tb_stream *s)
{
    (void)s;
    return "";
}

const struct tb_transport tb_tcp = {
    .length_bytes = 2,
    .connect = tcp_connect,
    .accept = tcp_accept,
    .read_start = tcp_read_start,
    .read_stop = tcp_read_stop,
    .try_write = tcp_try_write,
    .write = tcp_write,
    .shutdown = tcp_shutdown,
    .close = tcp_close,
    .unwritten = tcp_unwritten,
    .peer = tcp_peer,
    .trouble = tcp_trouble,
};
