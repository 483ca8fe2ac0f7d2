/* test_no_memory.c - sockets when memory fails, at each allocation: a node that
 * listens and one that dials it, over TCP and over TLS, with an epmd between
 * them; and a registration in epmd. Whatever fails, everything comes to an end,
 * somebody is told why, and nothing stays open. */
#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "base/wr.h"
#include "net/conn.h"
#include "net/epmd_client.h"
#include "net/tls.h"
#include "tb_test.h"
#include "term/ident.h"

enum {
    BODY = 300000,   /* more than one read or one TLS record takes */
    SETUP_MS = 5000, /* how long one side waits for one that gave up */
    TICK_MS = 2000,  /* of what has come up no byte is left out: no waiting */
    PATIENCE_MS = 20000 /* for what must never hang */
};

/* ------------------------------------------------------ a small epmd -- */

/* It knows one node. Its memory is not what fails. */
static struct {
    uv_tcp_t listener;
    uint16_t port, node_port;
    unsigned asked;
} epmd;

struct epmd_client {
    uv_tcp_t tcp;
    uv_write_t write;
    char in[512], out[64];
};

static void
on_epmd_client_closed(uv_handle_t *h)
{
    free(h->data);
}

static void
on_epmd_written(uv_write_t *req, int status)
{
    uv_stream_t *s = req->handle;
    struct epmd_client *c = s->data;

    (void)status;
    if (c->out[0] == 'w' && !uv_is_closing((uv_handle_t *)s))
        uv_close((uv_handle_t *)s, on_epmd_client_closed);
}

static void
on_epmd_read(uv_stream_t *s, ssize_t n, const uv_buf_t *in)
{
    static const char registered[] = "v\0\0\0\0\7";
    struct epmd_client *c = s->data;
    uint16_t port = htons(epmd.node_port);
    uv_buf_t buf = { c->out, 0 };

    if (n < 0) {
        uv_close((uv_handle_t *)s, on_epmd_client_closed);
        return;
    }
    epmd.asked++;
    if (in->base[2] == 'x') {
        buf.len = sizeof(registered) - 1;
        memcpy(c->out, registered, buf.len);
    } else {
        buf.len = 15;
        memcpy(c->out, "w\0\0\0H\0\0\6\0\5\0\1a\0\0", 15);
        memcpy(c->out + 2, &port, 2);
    }
    uv_write(&c->write, s, &buf, 1, on_epmd_written);
}

static void
on_epmd_alloc(uv_handle_t *h, size_t hint, uv_buf_t *buf)
{
    struct epmd_client *c = h->data;

    (void)hint;
    *buf = uv_buf_init(c->in, sizeof(c->in));
}

static void
on_epmd_client(uv_stream_t *listener, int status)
{
    struct epmd_client *c = calloc(1, sizeof(*c));

    assert_int_equal(status, 0);
    assert_non_null(c);
    uv_tcp_init(listener->loop, &c->tcp);
    c->tcp.data = c;
    assert_int_equal(uv_accept(listener, (uv_stream_t *)&c->tcp), 0);
    uv_read_start((uv_stream_t *)&c->tcp, on_epmd_alloc, on_epmd_read);
}

static void
start_epmd(uv_loop_t *loop)
{
    union tb_address at;
    int n = sizeof(at);

    tb_address_loopback(AF_INET, &at);
    uv_tcp_init(loop, &epmd.listener);
    assert_int_equal(uv_tcp_bind(&epmd.listener, &at.any, 0), 0);
    assert_int_equal(
        uv_listen((uv_stream_t *)&epmd.listener, 16, on_epmd_client), 0);
    uv_tcp_getsockname(&epmd.listener, &at.any, &n);
    epmd.port = ntohs(at.in.sin_port);
    epmd.asked = 0;
}

/* -------------------------------------------------------------- sides -- */

/* One of two nodes. */
struct side {
    struct tb_net net;
    struct tb_conn *conn; /* while it lasts */
    bool ready;           /* net is initialised */
    bool got;             /* the whole frame has come */
    int why;              /* of the last end */
    struct tb_cookie cookie;
};

static uint16_t
on_port(void *ctx, struct tb_text peer)
{
    (void)ctx;
    (void)peer;
    return 0; /* epmd knows */
}

static const struct tb_cookie *
on_cookie(void *ctx, struct tb_text peer)
{
    struct side *s = ctx;

    (void)peer;
    return &s->cookie;
}

static enum tb_hs_status_code
on_named(void *ctx, struct tb_conn *c)
{
    (void)ctx;
    (void)c;
    return TB_HS_OK;
}

static bool
on_alive(void *ctx, struct tb_conn *c)
{
    (void)ctx;
    (void)c;
    return true;
}

static void
send_frame(struct tb_conn *c)
{
    static const uint8_t body[BODY];
    struct tb_wr *w = tb_conn_out(c);

    tb_wr_u32(w, BODY);
    tb_wr_bytes(w, body, BODY);
    tb_conn_sent(c);
}

static void
on_up(void *ctx, struct tb_conn *c)
{
    struct side *s = ctx;

    s->conn = c;
    if (c->initiator)
        send_frame(c);
}

static void
on_frame(void *ctx, struct tb_conn *c, const uint8_t *p, size_t n)
{
    struct side *s = ctx;

    (void)p;
    assert_int_equal(n, BODY);
    s->got = true;
    if (!c->initiator) {
        send_frame(c); /* an echo */
        return;
    }
    /* the first forgets what was written, the second ticks */
    tb_conn_sweep(c, uv_now(s->net.loop), 0);
    tb_conn_sweep(c, uv_now(s->net.loop), 0);
    assert_true(c->doomed || !c->out.bad);
    tb_conn_leave(c);
}

static void
on_down(void *ctx, struct tb_conn *c, int why)
{
    struct side *s = ctx;

    (void)c;
    s->conn = NULL;
    s->why = why;
}

static const struct tb_conn_cb callbacks = {
    .port = on_port,
    .cookie = on_cookie,
    .named = on_named,
    .alive = on_alive,
    .up = on_up,
    .frame = on_frame,
    .down = on_down,
};

static struct tb_tls *tls; /* NULL: over TCP */

static int
side_init(struct side *s, uv_loop_t *loop, const char *name)
{
    int rc;

    *s = (struct side){ .cookie = { 6, "secret" } };
    s->net.loop = loop;
    s->net.transport = tls ? &tb_tls_transport : &tb_tcp;
    s->net.tls = tls;
    s->net.family = AF_INET;
    s->net.cb = &callbacks;
    s->net.ctx = s;
    s->net.name = tb_text_of(name);
    s->net.creation = 4;
    s->net.flags = TB_DFLAGS_OURS;
    s->net.epmd_port = epmd.port;
    s->net.setup_ms = SETUP_MS;
    s->net.tick_ms = TICK_MS;
    s->net.max_queue = s->net.max_frame = 1 << 20;
    rc = tb_net_init(&s->net);
    s->ready = rc == 0;
    return rc;
}

static void
side_end(struct side *s)
{
    if (!s->ready)
        return;
    tb_net_close(&s->net);
    tb_net_flush(&s->net);
    tb_net_end(&s->net);
}

/* ---------------------------------------------------------------- loop -- */

static struct {
    uv_loop_t loop;
    uv_timer_t patience;
    struct side *a, *b; /* static would be as good; they are large */
} world;

static void
on_patience_over(uv_timer_t *t)
{
    (void)t;
    fail_msg("nothing happens any more");
}

static void
world_init(void)
{
    uv_loop_init(&world.loop);
    uv_timer_init(&world.loop, &world.patience);
    uv_timer_start(&world.patience, on_patience_over, PATIENCE_MS, 0);
    start_epmd(&world.loop);
}

static void
turn(void)
{
    uv_run(&world.loop, UV_RUN_ONCE);
    if (world.a->ready)
        tb_net_flush(&world.a->net);
    if (world.b->ready)
        tb_net_flush(&world.b->net);
}

/* Nothing is left open, or the loop would not end. */
static void
world_end(void)
{
    uv_close((uv_handle_t *)&world.patience, NULL);
    uv_close((uv_handle_t *)&epmd.listener, NULL);
    while (uv_loop_alive(&world.loop))
        uv_run(&world.loop, UV_RUN_ONCE);
    assert_int_equal(uv_loop_close(&world.loop), 0);
}

/* ------------------------------------------------------- conversation -- */

static int
dial_once(void)
{
    struct tb_conn *c;

    world.b->got = false;
    world.b->why = -TB_ELIMIT; /* where it never begins */
    c = tb_conn_dial(&world.b->net, tb_text_of("a@localhost"), NULL);
    tb_net_flush(&world.b->net);
    while (c && (world.b->net.n_conns > 0 || world.a->net.n_conns > 0))
        turn();
    assert_true(world.a->got || !world.b->got);
    /* nobody waits for somebody who has given up */
    assert_int_not_equal(world.b->why, -TB_ETIMEOUT);
    return world.b->got ? 0 : world.b->why;
}

/* Returns how the last dial ended. */
static int
talk(unsigned dials)
{
    int rc;

    world_init();
    world.a->ready = world.b->ready = false;
    rc = side_init(world.a, &world.loop, "a@localhost");
    if (rc == 0)
        rc = tb_net_listen(&world.a->net, "127.0.0.1", 0, 0);
    epmd.node_port = world.a->net.port;
    if (rc == 0)
        rc = side_init(world.b, &world.loop, "b@localhost");
    for (unsigned i = 0; rc == 0 && i < dials; i++)
        if (dial_once() == 0)
            break;
        else if (i + 1 == dials)
            rc = world.b->why;
    side_end(world.a);
    side_end(world.b);
    world_end();
    assert_true(rc <= 0);
    return rc;
}

static int
talk_once(void)
{
    return talk(1);
}

static void
test_failing_memory_ends_a_connection(void **state)
{
    (void)state;
    tb_test_no_memory("a connection", talk_once);
}

/* After the one failure the second dial finds both nodes as they were. */
static void
test_failing_memory_ends_no_more_than_a_connection(void **state)
{
    bool failed = true;
    unsigned good = 0;

    (void)state;
    for (unsigned long n = 1; failed; n++) {
        int rc;

        tb_mem_fail_one(n);
        rc = talk(2);
        failed = tb_mem_fail_one(0);
        assert_true(rc == 0 || !world.a->ready || !world.b->ready ||
                    !world.a->net.port);
        good += rc == 0;
    }
    assert_true(good > 5);
}

/* ----------------------------------------------------------------- TLS -- */

static X509 *
self_signed(EVP_PKEY *key)
{
    X509 *cert = X509_new();

    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    return cert;
}

static int
tls_setup(void **state)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = self_signed(key);

    (void)state;
    tls = calloc(1, sizeof(*tls));
    assert_non_null(tls);
    tls->server_name = tb_strdup_n("", 0);
    tls->server = SSL_CTX_new(TLS_server_method());
    tls->client = SSL_CTX_new(TLS_client_method());
    assert_int_equal(SSL_CTX_use_certificate(tls->server, cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(tls->server, key), 1);
    X509_free(cert);
    EVP_PKEY_free(key);
    return 0;
}

static int
tls_teardown(void **state)
{
    (void)state;
    tb_tls_free(tls);
    tls = NULL;
    return 0;
}

/* -------------------------------------------------------- registration -- */

static struct {
    struct tb_epmd_reg *reg;
    int first; /* what the registration came to; 1: nothing yet */
} listing;

static void
on_first(void *ctx, int status)
{
    (void)ctx;
    listing.first = status;
}

static int
register_it(void)
{
    struct tb_epmd_config config = { .alive = "a",
                                     .family = AF_INET,
                                     .dist_port = 1,
                                     .command = "",
                                     .taken_ms = SETUP_MS };

    world_init();
    config.epmd_port = epmd.port;
    listing.first = 1;
    listing.reg = tb_epmd_register(&world.loop, &config, on_first, NULL, NULL);
    while (listing.reg && listing.first == 1)
        uv_run(&world.loop, UV_RUN_ONCE);
    assert_true(listing.first != 0 || tb_epmd_is_registered(listing.reg));
    tb_epmd_unregister(listing.reg);
    world_end();
    assert_true(listing.first == 0 || listing.first == 1 ||
                listing.first == -TB_ELIMIT);
    return listing.reg ? listing.first : -TB_ELIMIT;
}

static void
test_failing_memory_ends_a_registration(void **state)
{
    (void)state;
    tb_test_no_memory("a registration", register_it);
}

static int
setup(void **state)
{
    (void)state;
    world.a = calloc(1, sizeof(*world.a));
    world.b = calloc(1, sizeof(*world.b));
    return world.a && world.b ? 0 : -1;
}

static int
teardown(void **state)
{
    (void)state;
    free(world.a);
    free(world.b);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failing_memory_ends_a_registration),
        cmocka_unit_test(test_failing_memory_ends_a_connection),
        cmocka_unit_test(test_failing_memory_ends_no_more_than_a_connection),
        cmocka_unit_test_setup_teardown(test_failing_memory_ends_a_connection,
                                        tls_setup, tls_teardown),
        cmocka_unit_test_setup_teardown(
            test_failing_memory_ends_no_more_than_a_connection, tls_setup,
            tls_teardown),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
