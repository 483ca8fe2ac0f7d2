/* tls.c - the transport of inet_tls and inet6_tls: OpenSSL between a TCP
 * stream and its connection, over memory.
 *
 *   read:   tcp -> in (lent) -> SSL -> net->tls->plain -> the owner
 *   write:  the owner -> SSL -> out -> flight -> tcp
 *
 * The SSL never touches a socket: it reads what TCP has just lent, and writes
 * into out. Of what is to be written no more is encrypted than the socket is
 * about to take.
 * In Erlang: inet_tls_dist, tls_connection. Owns: the SSL, the TCP stream and
 * the encrypted bytes that wait. Thread: loop. Source: RFC 5246, RFC 8446. */
#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "net/net.h"
#include "net/resolve.h"
#include "net/stream.h"

#define ENCRYPT_BYTES ((size_t)64 << 10)  /* at once */
#define MAX_ENCRYPTED (4 * ENCRYPT_BYTES) /* with what TLS says by itself */
#define KEEP_BYTES    4096

struct tls_stream {
    struct tb_stream base;
    struct tb_stream *tcp;
    struct tb_net *net;
    SSL *ssl;
    const char *host; /* borrowed; NULL: we are the server */
    bool open;        /* the TLS handshake is over */
    bool over;        /* its owner has been told that it ended */
    bool flying;      /* tcp works on .flight */
    bool writing;     /* the owner waits for written() */
    bool shut;        /* tcp is shut down when all has been written */

    const uint8_t *in; /* lent by tcp, not read yet */
    size_t in_n;
    const uint8_t *plain; /* of the owner, not encrypted yet */
    size_t plain_n;
    struct tb_wr out, flight; /* encrypted: to be written, being written */
    char trouble[128];
};

static struct tls_stream *
of(struct tb_stream *s)
{
    return TB_ENTRY(s, struct tls_stream, base);
}

/* ------------------------------------------------- memory beneath SSL -- */

static int
bio_read(BIO *b, char *to, size_t n, size_t *got)
{
    struct tls_stream *t = BIO_get_data(b);

    BIO_clear_retry_flags(b);
    if (t->in_n == 0) {
        BIO_set_retry_read(b);
        return 0;
    }
    *got = n < t->in_n ? n : t->in_n;
    memcpy(to, t->in, *got);
    t->in += *got;
    t->in_n -= *got;
    return 1;
}

static int
bio_write(BIO *b, const char *p, size_t n, size_t *put)
{
    struct tls_stream *t = BIO_get_data(b);

    BIO_clear_retry_flags(b);
    tb_wr_bytes(&t->out, p, n);
    *put = n;
    return t->out.bad ? 0 : 1;
}

static long
bio_ctrl(BIO *b, int what, long n, void *p)
{
    (void)b;
    (void)n;
    (void)p;
    return what == BIO_CTRL_FLUSH;
}

static BIO_METHOD *method;
static pthread_once_t method_once = PTHREAD_ONCE_INIT;

static void
free_method(void)
{
    BIO_meth_free(method);
}

static void
make_method(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "memory");
    if (!method)
        return;
    BIO_meth_set_read_ex(method, bio_read);
    BIO_meth_set_write_ex(method, bio_write);
    BIO_meth_set_ctrl(method, bio_ctrl);
    OPENSSL_atexit(free_method);
}

static bool
attach_memory(struct tls_stream *t)
{
    BIO *b;

    pthread_once(&method_once, make_method);
    b = method ? BIO_new(method) : NULL;
    if (!b)
        return false;
    BIO_set_data(b, t);
    BIO_set_init(b, 1);
    SSL_set_bio(t->ssl, b, b);
    return true;
}

/* ------------------------------------------------------- verification -- */

/* A node may be named after an address, which certificates hold in either
 * form. */
static bool
is_of_host(X509 *cert, const char *host)
{
    return X509_check_host(cert, host, 0, 0, NULL) == 1 ||
           X509_check_ip_asc(cert, host, 0) == 1;
}

/* Whom we expect: the host of the node dialled, or who is configured to be
 * there; "": anybody with a certificate of our authorities. */
static const char *
expected_host(const struct tls_stream *t)
{
    const char *given = t->net->tls->server_name;

    return given ? given : t->host;
}

static int
on_verify(int ok, X509_STORE_CTX *x)
{
    SSL *ssl =
        X509_STORE_CTX_get_ex_data(x, SSL_get_ex_data_X509_STORE_CTX_idx());
    const char *host = expected_host(SSL_get_app_data(ssl));

    if (!ok || X509_STORE_CTX_get_error_depth(x) > 0 || !host[0] ||
        is_of_host(X509_STORE_CTX_get_current_cert(x), host))
        return ok;
    X509_STORE_CTX_set_error(x, X509_V_ERR_HOSTNAME_MISMATCH);
    return 0;
}

static void
expect_host(struct tls_stream *t)
{
    const char *host = expected_host(t);
    union tb_address a;

    SSL_set_verify(t->ssl, SSL_get_verify_mode(t->ssl), on_verify);
    if (host[0] && tb_address_of(AF_INET, host, &a) < 0 &&
        tb_address_of(AF_INET6, host, &a) < 0)
        SSL_set_tlsext_host_name(t->ssl, host);
}

/* -------------------------------------------------------- birth, end -- */

static void
free_stream(struct tls_stream *t)
{
    SSL_free(t->ssl);
    tb_wr_free(&t->out);
    tb_wr_free(&t->flight);
    tb_free(t);
}

static struct tls_stream *
tls_new(struct tb_net *net, const char *host, const struct tb_stream_cb *cb,
        void *owner)
{
    struct tls_stream *t = tb_try_alloc(sizeof(*t));

    if (!t)
        return NULL;
    t->base = (struct tb_stream){ &tb_tls_transport, cb, owner };
    t->net = net;
    t->host = host;
    t->out.max = t->flight.max = MAX_ENCRYPTED;
    t->ssl = SSL_new(host ? net->tls->client : net->tls->server);
    if (!t->ssl || !attach_memory(t)) {
        free_stream(t);
        return NULL;
    }
    SSL_set_app_data(t->ssl, t);
    if (host) {
        expect_host(t);
        SSL_set_connect_state(t->ssl);
    } else {
        SSL_set_accept_state(t->ssl);
    }
    return t;
}

static void
on_closed(void *owner)
{
    struct tls_stream *t = owner;

    t->base.cb->closed(t->base.owner);
    free_stream(t);
}

static void
tls_close(struct tb_stream *s)
{
    of(s)->over = true;
    of(s)->tcp->transport->close(of(s)->tcp);
}

/* The owner hears of an end once; of a dial as the end of that. */
static void
tell_end(struct tls_stream *t, int status)
{
    if (t->over)
        return;
    t->over = true;
    if (t->host && !t->open)
        t->base.cb->opened(t->base.owner, status);
    else
        t->base.cb->ended(t->base.owner, status);
}

/* ------------------------------------------------------------ writing -- */

/* What is encrypted goes out as far as the socket takes it. */
static int
flush(struct tls_stream *t)
{
    struct tb_wr empty = t->flight;
    const struct tb_transport *tcp = t->tcp->transport;
    ssize_t n;

    if (t->flying || t->out.len == 0)
        return t->out.bad ? -TB_ELIMIT : 0;
    t->flight = t->out;
    t->out = empty;
    n = tcp->try_write(t->tcp, t->flight.buf, t->flight.len);
    if (n < 0)
        return (int)n;
    if ((size_t)n == t->flight.len) {
        tb_wr_clear(&t->flight, KEEP_BYTES);
        return 0;
    }
    t->flying = true;
    return tcp->write(t->tcp, t->flight.buf + n, t->flight.len - (size_t)n);
}

/* Encrypts until the socket is full. Returns bytes taken, or an error. */
static ssize_t
encrypt(struct tls_stream *t, const uint8_t *p, size_t n)
{
    size_t done = 0, part;
    int rc = 0;

    while (rc == 0 && done < n && !t->flying) {
        part = n - done < ENCRYPT_BYTES ? n - done : ENCRYPT_BYTES;
        if (SSL_write_ex(t->ssl, p + done, part, &part) != 1)
            return -TB_ETLS;
        done += part;
        rc = flush(t);
    }
    return rc < 0 ? rc : (ssize_t)done;
}

static ssize_t
tls_try_write(struct tb_stream *s, const uint8_t *p, size_t n)
{
    struct tls_stream *t = of(s);

    if (!t->open || t->over)
        return -TB_ECLOSED;
    return encrypt(t, p, n);
}

/* try_write() has left these bytes since a flight is under way: its end goes
 * on with them. */
static int
tls_write(struct tb_stream *s, const uint8_t *p, size_t n)
{
    of(s)->plain = p;
    of(s)->plain_n = n;
    of(s)->writing = true;
    return 0;
}

static void
shut_when_written(struct tls_stream *t)
{
    if (t->shut && !t->flying && t->out.len == 0)
        t->tcp->transport->shutdown(t->tcp);
}

static void
on_written(void *owner, int status)
{
    struct tls_stream *t = owner;
    ssize_t n = status;

    t->flying = false;
    tb_wr_clear(&t->flight, KEEP_BYTES);
    if (status == 0)
        n = flush(t);
    if (n == 0 && t->plain_n > 0)
        n = encrypt(t, t->plain, t->plain_n);
    if (n > 0) {
        t->plain += n;
        t->plain_n -= (size_t)n;
    }
    shut_when_written(t);
    if (!t->writing && n < 0)
        tell_end(t, (int)n);
    if (!t->writing || (n >= 0 && t->plain_n > 0))
        return;
    t->writing = false;
    t->base.cb->written(t->base.owner, n < 0 ? (int)n : 0);
}

static void
tls_shutdown(struct tb_stream *s)
{
    struct tls_stream *t = of(s);

    SSL_shutdown(t->ssl);
    flush(t);
    t->shut = true;
    shut_when_written(t);
}

/* ------------------------------------------------------------ reading -- */

/* OpenSSL looks at the certificate with verify_none too; then it is not why. */
static void
note_trouble(struct tls_stream *t)
{
    long verified = SSL_get_verify_result(t->ssl);

    if (verified == X509_V_OK ||
        SSL_get_verify_mode(t->ssl) == SSL_VERIFY_NONE) {
        tb_tls_reason(t->trouble, sizeof(t->trouble));
        return;
    }
    snprintf(t->trouble, sizeof(t->trouble), "the certificate: %s",
             X509_verify_cert_error_string(verified));
    ERR_clear_error();
}

/* Why a call of SSL did not succeed; asked at once after it. */
static int
reason_of_stop(struct tls_stream *t, int rc)
{
    int why = SSL_get_error(t->ssl, rc);

    if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_ZERO_RETURN)
        note_trouble(t);
    return why;
}

static void
stopped(struct tls_stream *t, int why)
{
    flush(t); /* also the alert that says why */
    if (why != SSL_ERROR_WANT_READ)
        tell_end(t, why == SSL_ERROR_ZERO_RETURN ? 0 : -TB_ETLS);
}

static bool
shake_hands(struct tls_stream *t)
{
    int rc;

    ERR_clear_error();
    rc = SSL_do_handshake(t->ssl);
    if (rc != 1) {
        stopped(t, reason_of_stop(t, rc));
        return false;
    }
    t->open = true;
    flush(t);
    if (t->host)
        t->base.cb->opened(t->base.owner, 0);
    return true;
}

/* Returns why it stopped: SSL_ERROR_NONE, the buffer is full. */
static int
fill(struct tls_stream *t, uint8_t *plain, size_t *n)
{
    size_t part;
    int rc;

    ERR_clear_error(); /* SSL_get_error() looks at what is left there */
    for (*n = 0; *n < TB_TLS_PLAIN; *n += part) {
        rc = SSL_read_ex(t->ssl, plain + *n, TB_TLS_PLAIN - *n, &part);
        if (rc != 1)
            return reason_of_stop(t, rc);
    }
    return SSL_ERROR_NONE;
}

static void
decrypt(struct tls_stream *t)
{
    uint8_t *plain = t->net->tls->plain;
    size_t n;
    int why;

    do {
        why = fill(t, plain, &n);
        if (n > 0)
            t->base.cb->read(t->base.owner, plain, n);
    } while (why == SSL_ERROR_NONE);
    stopped(t, why);
}

static void
on_read(void *owner, const uint8_t *p, size_t n)
{
    struct tls_stream *t = owner;

    if (t->over)
        return;
    t->in = p;
    t->in_n = n;
    if (t->open || shake_hands(t))
        decrypt(t);
    t->in_n = 0;
}

static void
on_ended(void *owner, int status)
{
    struct tls_stream *t = owner;

    t->tcp->transport->read_stop(t->tcp);
    if (!t->open && !t->over) {
        snprintf(t->trouble, sizeof(t->trouble),
                 "closed during the TLS handshake");
        status = t->host ? -TB_ETLS : status;
    }
    tell_end(t, status);
}

static void
on_opened(void *owner, int status)
{
    struct tls_stream *t = owner;

    if (t->over)
        return;
    if (status < 0) {
        tell_end(t, status);
        return;
    }
    t->tcp->transport->read_start(t->tcp);
    shake_hands(t);
}

static const struct tb_stream_cb callbacks = {
    .opened = on_opened,
    .read = on_read,
    .ended = on_ended,
    .written = on_written,
    .closed = on_closed,
};

/* ---------------------------------------------------------- interface -- */

static int
tls_connect(struct tb_net *net, const struct sockaddr *to, const char *host,
            const struct tb_stream_cb *cb, void *owner, struct tb_stream **out)
{
    struct tls_stream *t = tls_new(net, host, cb, owner);
    int rc;

    if (!t)
        return -TB_ELIMIT;
    rc = tb_tcp.connect(net, to, host, &callbacks, t, &t->tcp);
    if (rc < 0)
        free_stream(t);
    else
        *out = &t->base;
    return rc;
}

static int
tls_accept(struct tb_net *net, uv_stream_t *listener,
           const struct tb_stream_cb *cb, void *owner, struct tb_stream **out)
{
    struct tls_stream *t = tls_new(net, NULL, cb, owner);
    int rc;

    if (!t)
        return -TB_ELIMIT;
    rc = tb_tcp.accept(net, listener, &callbacks, t, &t->tcp);
    if (rc < 0)
        free_stream(t);
    else
        *out = &t->base;
    return rc;
}

static void
tls_read_start(struct tb_stream *s)
{
    of(s)->tcp->transport->read_start(of(s)->tcp);
}

/* What TCP has lent is still handed on. */
static void
tls_read_stop(struct tb_stream *s)
{
    of(s)->tcp->transport->read_stop(of(s)->tcp);
}

static size_t
tls_unwritten(const struct tb_stream *s)
{
    const struct tls_stream *t = TB_ENTRY(s, const struct tls_stream, base);

    return t->tcp->transport->unwritten(t->tcp) + t->out.len + t->plain_n;
}

static int
tls_peer(struct tb_stream *s, struct sockaddr_storage *out)
{
    return of(s)->tcp->transport->peer(of(s)->tcp, out);
}

static const char *
tls_trouble(const struct tb_stream *s)
{
    const struct tls_stream *t = TB_ENTRY(s, const struct tls_stream, base);

    if (!t->trouble[0] && !t->open && !SSL_in_before(t->ssl))
        return "the TLS handshake was not answered";
    return t->trouble;
}

const struct tb_transport tb_tls_transport = {
    .length_bytes = 4,
    .connect = tls_connect,
    .accept = tls_accept,
    .read_start = tls_read_start,
    .read_stop = tls_read_stop,
    .try_write = tls_try_write,
    .write = tls_write,
    .shutdown = tls_shutdown,
    .close = tls_close,
    .unwritten = tls_unwritten,
    .peer = tls_peer,
    .trouble = tls_trouble,
};
