/* epmd_client.c - questions to epmd, and the registration that lives exactly
 * as long as its connection.
 *
 *   registration:  CONNECTING -> ASKED -> LISTED
 *                      ^           |        |      lost, refused, taken:
 *                      +---- WAITING <------+      again after a pause
 *
 * Owns: its sockets and timers. Thread: loop.
 * Source: erl_dist_protocol, "EPMD Protocol". */
#include "net/epmd_client.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/resolve.h"

/* Nothing in epmd waits on anybody, so it answers at once or never. */
#define QUERY_TIMEOUT_MS 5000

struct tb_epmd_query {
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_connect_t connect;
    uv_write_t write;
    struct tb_wr request, reply;
    tb_epmd_answer done; /* NULL once it has been called */
    void *ctx;
    int late; /* what it means that the timer runs out */
    int open_handles;
    char chunk[2048];
};

static void
on_query_closed(uv_handle_t *h)
{
    struct tb_epmd_query *q = h->data;

    if (--q->open_handles > 0)
        return;
    tb_wr_free(&q->request);
    tb_wr_free(&q->reply);
    tb_free(q);
}

void
tb_epmd_cancel(struct tb_epmd_query *q)
{
    if (!q || uv_is_closing((uv_handle_t *)&q->tcp))
        return;
    q->done = NULL;
    uv_close((uv_handle_t *)&q->tcp, on_query_closed);
    uv_close((uv_handle_t *)&q->timer, on_query_closed);
}

static void
answer(struct tb_epmd_query *q, int status)
{
    tb_epmd_answer done = q->done;
    void *ctx = q->ctx;

    if (!done)
        return;
    q->done = NULL;
    done(ctx, status, q->reply.buf, q->reply.len);
    tb_epmd_cancel(q);
}

static void
on_query_alloc(uv_handle_t *h, size_t hint, uv_buf_t *buf)
{
    struct tb_epmd_query *q = h->data;

    (void)hint;
    *buf = uv_buf_init(q->chunk, sizeof(q->chunk));
}

static void
on_query_read(uv_stream_t *h, ssize_t n, const uv_buf_t *buf)
{
    struct tb_epmd_query *q = h->data;

    if (n > 0)
        tb_wr_bytes(&q->reply, buf->base, (size_t)n);
    if (q->reply.bad)
        answer(q, -TB_EPROTO);
    else if (n < 0)
        answer(q, n == UV_EOF ? 0 : (int)n);
}

static int
no_epmd(int status)
{
    return status == UV_ECONNREFUSED ? -TB_ENO_EPMD : status;
}

static void
on_query_connect(uv_connect_t *req, int status)
{
    struct tb_epmd_query *q = req->handle->data;
    uv_stream_t *stream = (uv_stream_t *)&q->tcp;
    uv_buf_t buf;

    if (uv_is_closing((uv_handle_t *)&q->tcp))
        return;
    if (status < 0) {
        answer(q, no_epmd(status));
        return;
    }
    buf = uv_buf_init((char *)q->request.buf, (unsigned)q->request.len);
    uv_read_start(stream, on_query_alloc, on_query_read);
    uv_write(&q->write, stream, &buf, 1, NULL);
}

static void
on_query_timeout(uv_timer_t *t)
{
    struct tb_epmd_query *q = t->data;

    answer(q, q->late);
}

struct tb_epmd_query *
tb_epmd_ask(uv_loop_t *loop, const struct sockaddr *to,
            const struct tb_wr *request, tb_epmd_answer done, void *ctx)
{
    struct tb_epmd_query *q = tb_try_alloc(sizeof(*q));
    int rc;

    if (!q)
        return NULL;
    q->reply.max = TB_MAX_EPMD_REPLY;
    q->done = done;
    q->ctx = ctx;
    q->request.bad = request->bad;
    tb_wr_bytes(&q->request, request->buf, request->len);
    uv_tcp_init(loop, &q->tcp);
    uv_timer_init(loop, &q->timer);
    q->open_handles = 2;
    q->tcp.data = q->timer.data = q;
    if (q->request.bad) {
        tb_epmd_cancel(q);
        return NULL;
    }
    rc = uv_tcp_connect(&q->connect, &q->tcp, to, on_query_connect);
    q->late = rc < 0 ? no_epmd(rc) : -TB_ETIMEOUT; /* never from in here */
    uv_timer_start(&q->timer, on_query_timeout, rc < 0 ? 0 : QUERY_TIMEOUT_MS,
                   0);
    return q;
}

/* ------------------------------------------------------ registration -- */

/* A predecessor's name goes when epmd notices its death: soon, but not at
 * once. Pauses grow from the first to the last of these. */
#define FIRST_PAUSE_MS 10
#define LAST_PAUSE_MS  1000

struct tb_epmd_reg {
    uv_loop_t *loop;
    struct tb_epmd_config config;
    void (*first)(void *, int);
    void (*renewed)(void *, int);
    void *ctx;

    uv_tcp_t *tcp;    /* the connection; NULL: none */
    uv_timer_t timer; /* pause, or the wait for an answer */
    uint64_t started_ms;
    uint32_t pause_ms;
    bool listed, known; /* known: first() has been called */
    bool spawned;       /* epmd was started in this outage */
    bool cannot_spawn;
    bool closing;
};

/* A connection of its own memory: an old one may still be closing. */
struct reg_conn {
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    struct tb_epmd_reg *reg; /* NULL once given up */
    struct tb_wr request, reply;
    char chunk[64];
};

static void try_now(struct tb_epmd_reg *reg);

static void
on_reg_conn_closed(uv_handle_t *h)
{
    struct reg_conn *rc = h->data;

    tb_wr_free(&rc->request);
    tb_wr_free(&rc->reply);
    tb_free(rc);
}

static void
give_up_connection(struct tb_epmd_reg *reg)
{
    struct reg_conn *rc = reg->tcp ? reg->tcp->data : NULL;

    if (!rc)
        return;
    rc->reg = NULL;
    reg->tcp = NULL;
    uv_close((uv_handle_t *)&rc->tcp, on_reg_conn_closed);
}

static void
on_pause_over(uv_timer_t *t)
{
    try_now(t->data);
}

static void
tell_first(struct tb_epmd_reg *reg, int status)
{
    reg->known = true;
    reg->first(reg->ctx, status);
}

static bool
may_pass(const struct tb_epmd_reg *reg, int why)
{
    const char *command = reg->config.command;

    if (why == -TB_ENO_EPMD) /* unless nobody starts one, as erl has it */
        return !reg->cannot_spawn && (!command || command[0]);
    return why == -TB_EIN_USE || why == -ECONNRESET || why == -EPIPE;
}

static bool
is_final(const struct tb_epmd_reg *reg, int why)
{
    uint64_t waited = uv_now(reg->loop) - reg->started_ms;

    if (reg->known)
        return false;
    return !may_pass(reg, why) || waited >= reg->config.taken_ms ||
           (reg->config.optional && why != -TB_ENO_EPMD);
}

static void
lost(struct tb_epmd_reg *reg, int why)
{
    bool was_listed = reg->listed;

    give_up_connection(reg);
    reg->listed = false;
    if (was_listed) {
        reg->pause_ms = FIRST_PAUSE_MS;
        reg->spawned = false;
        if (reg->renewed)
            reg->renewed(reg->ctx, why);
    }
    if (is_final(reg, why)) {
        tell_first(reg, why);
        if (reg->closing || (why == -TB_ENO_EPMD && !may_pass(reg, why))) {
            uv_timer_stop(&reg->timer);
            return;
        }
    }
    uv_timer_start(&reg->timer, on_pause_over, reg->pause_ms, 0);
    reg->pause_ms =
        2 * reg->pause_ms < LAST_PAUSE_MS ? 2 * reg->pause_ms : LAST_PAUSE_MS;
}

static void
listed(struct tb_epmd_reg *reg)
{
    uv_timer_stop(&reg->timer);
    reg->listed = true;
    reg->pause_ms = FIRST_PAUSE_MS;
    if (!reg->known)
        tell_first(reg, 0);
    else if (reg->renewed)
        reg->renewed(reg->ctx, 0);
}

static void
on_reg_read(uv_stream_t *h, ssize_t n, const uv_buf_t *buf)
{
    struct reg_conn *rc = h->data;
    uint32_t creation = 0;
    int got;

    if (!rc->reg)
        return;
    if (n < 0) {
        lost(rc->reg, n == UV_EOF ? -ECONNRESET : (int)n);
        return;
    }
    if (rc->reg->listed)
        return;
    tb_wr_bytes(&rc->reply, buf->base, (size_t)n);
    got = rc->reply.bad
              ? -TB_ELIMIT
              : tb_epmd_get_alive2(rc->reply.buf, rc->reply.len, &creation);
    if (got < 0)
        lost(rc->reg, got);
    else if (got == 1)
        listed(rc->reg);
}

static void
on_reg_alloc(uv_handle_t *h, size_t hint, uv_buf_t *buf)
{
    struct reg_conn *rc = h->data;

    (void)hint;
    *buf = uv_buf_init(rc->chunk, sizeof(rc->chunk));
}

static void
on_epmd_exit(uv_process_t *p, int64_t status, int signal)
{
    (void)status;
    (void)signal;
    uv_close((uv_handle_t *)p, (uv_close_cb)tb_free);
}

/* "epmd -daemon" returns at once; a second epmd ends by itself. */
static void
start_epmd(struct tb_epmd_reg *reg)
{
    const char *command = reg->config.command ? reg->config.command : "epmd";
    char port[16];
    char port_flag[] = "-port", daemon_flag[] = "-daemon";
    char *argv[] = { (char *)(uintptr_t)command, port_flag, port, daemon_flag,
                     NULL };
    uv_process_options_t o = { .file = command,
                               .args = argv,
                               .exit_cb = on_epmd_exit };
    uv_process_t *p;

    if (reg->spawned || !command[0])
        return;
    reg->spawned = true;
    snprintf(port, sizeof(port), "%u", reg->config.epmd_port);
    p = tb_try_alloc(sizeof(*p));
    if (p && uv_spawn(reg->loop, p, &o) < 0) {
        reg->cannot_spawn = true;
        uv_close((uv_handle_t *)p, (uv_close_cb)tb_free);
    }
}

static void
on_reg_connect(uv_connect_t *req, int status)
{
    struct reg_conn *rc = req->handle->data;
    uv_stream_t *stream = (uv_stream_t *)&rc->tcp;
    uv_buf_t buf;

    if (!rc->reg)
        return;
    if (status < 0) {
        if (status == UV_ECONNREFUSED)
            start_epmd(rc->reg);
        lost(rc->reg, no_epmd(status));
        return;
    }
    buf = uv_buf_init((char *)rc->request.buf, (unsigned)rc->request.len);
    uv_read_start(stream, on_reg_alloc, on_reg_read);
    uv_write(&rc->write, stream, &buf, 1, NULL);
}

static void
on_reg_silent(uv_timer_t *t)
{
    lost(t->data, -TB_ENO_EPMD);
}

static void
try_now(struct tb_epmd_reg *reg)
{
    union tb_address to;
    struct reg_conn *rc = tb_try_alloc(sizeof(*rc));
    int status;

    if (!rc) {
        lost(reg, -TB_ELIMIT);
        return;
    }
    rc->reg = reg;
    tb_address_loopback(reg->config.family, &to);
    tb_address_port(&to, reg->config.epmd_port);
    uv_tcp_init(reg->loop, &rc->tcp);
    rc->tcp.data = rc;
    reg->tcp = &rc->tcp;
    tb_epmd_put_alive2(
        &rc->request,
        (struct tb_text){ reg->config.alive, strlen(reg->config.alive) },
        reg->config.dist_port);
    status = rc->request.bad ? -TB_ELIMIT
                             : uv_tcp_connect(&rc->connect, &rc->tcp, &to.any,
                                              on_reg_connect);
    if (status < 0)
        lost(reg, status);
    else
        uv_timer_start(&reg->timer, on_reg_silent, QUERY_TIMEOUT_MS, 0);
}

struct tb_epmd_reg *
tb_epmd_register(uv_loop_t *loop, const struct tb_epmd_config *config,
                 void (*first)(void *, int), void (*renewed)(void *, int),
                 void *ctx)
{
    struct tb_epmd_reg *reg = tb_try_alloc(sizeof(*reg));

    if (!reg)
        return NULL;
    reg->loop = loop;
    reg->config = *config;
    reg->first = first;
    reg->renewed = renewed;
    reg->ctx = ctx;
    reg->pause_ms = FIRST_PAUSE_MS;
    reg->started_ms = uv_now(loop);
    uv_timer_init(loop, &reg->timer);
    reg->timer.data = reg;
    uv_timer_start(&reg->timer, on_pause_over, 0, 0);
    return reg;
}

static void
on_reg_closed(uv_handle_t *h)
{
    tb_free(h->data);
}

void
tb_epmd_unregister(struct tb_epmd_reg *reg)
{
    if (!reg || reg->closing)
        return;
    reg->closing = true;
    give_up_connection(reg);
    uv_close((uv_handle_t *)&reg->timer, on_reg_closed);
}

bool
tb_epmd_is_registered(const struct tb_epmd_reg *reg)
{
    return reg && reg->listed;
}
