/* resolve.c - c-ares on the loop.
 *
 * c-ares asks for its sockets to be watched (on_socket) and wants to be called
 * when they are ready or a second has passed; it answers in on_found.
 * Owns: the channel and its watchers. Thread: loop. */
#include "net/resolve.h"

#define CARES_NO_DEPRECATED /* the newer names are not in Debian 12 */
#include <ares.h>
#include <arpa/inet.h>
#include <string.h>

#include "base/mem.h"
#include "tiebeam.h"

/* --------------------------------------------------------- addresses -- */

int
tb_address_of(int family, const char *host, union tb_address *out)
{
    int rc;

    memset(out, 0, sizeof(*out));
    if (family == AF_INET6)
        rc = uv_ip6_addr(host ? host : "::", 0, &out->in6);
    else
        rc = uv_ip4_addr(host ? host : "0.0.0.0", 0, &out->in);
    return rc < 0 ? -TB_EBADARG : 0;
}

void
tb_address_loopback(int family, union tb_address *out)
{
    tb_address_of(family, family == AF_INET6 ? "::1" : "127.0.0.1", out);
}

void
tb_address_port(union tb_address *a, uint16_t port)
{
    if (a->any.sa_family == AF_INET6)
        a->in6.sin6_port = htons(port);
    else
        a->in.sin_port = htons(port);
}

/* ----------------------------------------------------------- channel -- */

#define MAX_DOMAINS 8
#define FIRST_TRY_MS                                                           \
    1500 /* of each server; the next round takes twice that                    \
          */
#define TRIES      2
#define EDNS_BYTES 1232 /* what every path carries unbroken */

struct watcher {
    struct tb_list link;
    uv_poll_t poll;
    ares_socket_t fd;
    struct tb_resolver *resolver;
};

struct tb_lookup {
    struct tb_resolver *resolver;
    tb_resolved done; /* NULL once cancelled */
    void *ctx;
    uv_timer_t now; /* for answers that are known at once */
    struct tb_addresses found;
    int status;
};

struct tb_resolver {
    uv_loop_t *loop;
    int family;
    ares_channel channel;
    uv_timer_t timer;
    struct tb_list watchers; /* owned */
    bool closing;
    /* NULL, or owned: it takes the first server's refusal for the answer. The
     * other one asks on, and in the end has forgotten why. */
    struct tb_resolver *frank;
};

static void
on_watcher_closed(uv_handle_t *h)
{
    tb_free(h->data);
}

static void
on_ready(uv_poll_t *poll, int status, int events)
{
    struct watcher *w = poll->data;
    ares_socket_t r =
        status < 0 || (events & UV_READABLE) ? w->fd : ARES_SOCKET_BAD;
    ares_socket_t wr =
        status < 0 || (events & UV_WRITABLE) ? w->fd : ARES_SOCKET_BAD;

    ares_process_fd(w->resolver->channel, r, wr);
}

static struct watcher *
watcher_of(struct tb_resolver *r, ares_socket_t fd)
{
    TB_LIST_EACH (w, &r->watchers, struct watcher, link)
        if (w->fd == fd)
            return w;
    return NULL;
}

static struct watcher *
watch(struct tb_resolver *r, ares_socket_t fd)
{
    struct watcher *w = tb_try_alloc(sizeof(*w));

    if (!w)
        return NULL;
    if (uv_poll_init_socket(r->loop, &w->poll, fd) < 0) {
        tb_free(w);
        return NULL;
    }
    w->poll.data = w;
    w->fd = fd;
    w->resolver = r;
    tb_list_add(&r->watchers, &w->link);
    return w;
}

static void
unwatch(struct watcher *w)
{
    tb_list_del(&w->link);
    uv_close((uv_handle_t *)&w->poll, on_watcher_closed);
}

static void
on_timer(uv_timer_t *t)
{
    struct tb_resolver *r = t->data;

    ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static void
on_socket(void *ctx, ares_socket_t fd, int readable, int writable)
{
    struct tb_resolver *r = ctx;
    struct watcher *w = watcher_of(r, fd);
    int events = (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0);

    if (!events) {
        if (w)
            unwatch(w);
        if (tb_list_empty(&r->watchers) && !r->closing)
            uv_timer_stop(&r->timer);
        return;
    }
    if (!w)
        w = watch(r, fd);
    if (w)
        uv_poll_start(&w->poll, events, on_ready);
    if (!uv_is_active((uv_handle_t *)&r->timer))
        uv_timer_start(&r->timer, on_timer, 1000, 1000);
}

static int
make_resolver(uv_loop_t *loop, struct ares_options *options, int mask,
              struct tb_resolver **out)
{
    struct tb_resolver *r = tb_try_alloc(sizeof(*r));

    options->sock_state_cb = on_socket;
    options->sock_state_cb_data = r;
    if (!r || ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) {
        tb_free(r);
        return -TB_ELIMIT;
    }
    if (ares_init_options(&r->channel, options,
                          mask | ARES_OPT_SOCK_STATE_CB) != ARES_SUCCESS) {
        ares_library_cleanup();
        tb_free(r);
        return -TB_ELIMIT;
    }
    r->loop = loop;
    tb_list_init(&r->watchers);
    uv_timer_init(loop, &r->timer);
    r->timer.data = r;
    *out = r;
    return 0;
}

int
tb_resolver_new(uv_loop_t *loop, int family, struct tb_resolver **out)
{
    struct ares_options options = { 0 };
    int rc = make_resolver(loop, &options, 0, out);

    if (rc == 0)
        (*out)->family = family;
    return rc;
}

/* Splits "a,b" in place. */
static int
split(char *text, char *words[], int max)
{
    int n = 0;
    char *rest = text, *word;

    while (n < max && (word = strsep(&rest, ",")))
        if (*word)
            words[n++] = word;
    return n;
}

static int
set_servers(struct tb_resolver *r, const char *nameservers)
{
    if (!nameservers ||
        ares_set_servers_ports_csv(r->channel, nameservers) == ARES_SUCCESS)
        return 0;
    return -TB_EBADARG;
}

int
tb_resolver_for_dns(uv_loop_t *loop, const char *nameservers,
                    const char *search, struct tb_resolver **out)
{
    char text[1024] = "", *domains[MAX_DOMAINS];
    struct ares_options options = { .timeout = FIRST_TRY_MS,
                                    .tries = TRIES,
                                    .flags = ARES_FLAG_EDNS,
                                    .ednspsz = EDNS_BYTES,
                                    .domains = domains };
    int mask =
        ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_FLAGS | ARES_OPT_EDNSPSZ;
    int rc;

    *out = NULL;
    if (search && strlen(search) >= sizeof(text))
        return -TB_EBADARG;
    if (search) {
        memcpy(text, search, strlen(search) + 1);
        options.ndomains = split(text, domains, MAX_DOMAINS);
        mask |= ARES_OPT_DOMAINS;
    }
#ifdef ARES_OPT_QUERY_CACHE
    mask |= ARES_OPT_QUERY_CACHE; /* of no seconds: every round asks */
#endif
    rc = make_resolver(loop, &options, mask, out);
    if (rc == 0)
        rc = set_servers(*out, nameservers);
    options.flags |= ARES_FLAG_NOCHECKRESP;
    if (rc == 0)
        rc = make_resolver(loop, &options, mask, &(*out)->frank);
    if (rc == 0)
        rc = set_servers((*out)->frank, nameservers);
    if (rc < 0) {
        tb_resolver_free(*out);
        *out = NULL;
    }
    return rc;
}

static void
on_resolver_closed(uv_handle_t *h)
{
    tb_free(h->data);
}

void
tb_resolver_free(struct tb_resolver *r)
{
    if (!r)
        return;
    tb_resolver_free(r->frank);
    r->closing = true;
    ares_destroy(r->channel); /* ends every lookup, then its sockets */
    ares_library_cleanup();
    uv_close((uv_handle_t *)&r->timer, on_resolver_closed);
}

/* ------------------------------------------------------- host names -- */

static void
on_lookup_closed(uv_handle_t *h)
{
    tb_free(h->data);
}

static void
finish(struct tb_lookup *l)
{
    uv_close((uv_handle_t *)&l->now, on_lookup_closed);
    if (l->done)
        l->done(l->ctx, l->status, &l->found);
}

static void
on_now(uv_timer_t *t)
{
    finish(t->data);
}

static int
status_of(int ares)
{
    switch (ares) {
    case ARES_SUCCESS:
        return 0;
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
    case ARES_EBADNAME:
        return -TB_ENXDOMAIN;
    case ARES_ETIMEOUT:
        return -TB_ETIMEOUT;
    default:
        return -EIO;
    }
}

/* c-ares calls this also from inside ares_getaddrinfo(), so the answer is
 * handed on from the loop. */
static void
on_found(void *ctx, int status, int timeouts, struct ares_addrinfo *result)
{
    struct tb_lookup *l = ctx;

    (void)timeouts;
    l->status = status_of(status);
    for (struct ares_addrinfo_node *n = result ? result->nodes : NULL; n;
         n = n->ai_next)
        if (n->ai_family == l->resolver->family &&
            n->ai_addrlen <= sizeof(union tb_address) &&
            l->found.n < TB_MAX_ADDRESSES)
            memcpy(&l->found.at[l->found.n++], n->ai_addr, n->ai_addrlen);
    if (result)
        ares_freeaddrinfo(result);
    if (l->status == 0 && l->found.n == 0)
        l->status = -TB_ENXDOMAIN;
    uv_timer_start(&l->now, on_now, 0, 0);
}

struct tb_lookup *
tb_resolve(struct tb_resolver *r, const char *host, tb_resolved done, void *ctx)
{
    struct ares_addrinfo_hints hints = { .ai_family = r->family,
                                         .ai_flags = ARES_AI_NOSORT,
                                         .ai_socktype = SOCK_STREAM };
    struct tb_lookup *l = tb_try_alloc(sizeof(*l));

    if (!l)
        return NULL;
    l->resolver = r;
    l->done = done;
    l->ctx = ctx;
    uv_timer_init(r->loop, &l->now);
    l->now.data = l;
    if (tb_address_of(r->family, host, &l->found.at[0]) == 0) {
        l->found.n = 1;
        uv_timer_start(&l->now, on_now, 0, 0);
    } else {
        ares_getaddrinfo(r->channel, host, NULL, &hints, on_found, l);
    }
    return l;
}

void
tb_lookup_cancel(struct tb_lookup *l)
{
    if (l)
        l->done = NULL;
}

/* ------------------------------------------------------------ records -- */

/* c-ares answers once, early or late; done() is called once, at once after it
 * or when the time is over. */
struct tb_records {
    tb_recorded done; /* NULL once told, or cancelled */
    void *ctx;
    uv_timer_t timer; /* until done() */
    int status;
    bool answered, told;
    struct tb_resolver *frank; /* NULL: it has been asked, or there is none */
    int type;
    char name[256];
    uint8_t *answer; /* owned */
    size_t n;
};

static int
error_of(int ares)
{
    switch (ares) {
    case ARES_ENODATA:
        return -TB_ENODATA;
    case ARES_EBADNAME:
        return -TB_EBADARG;
    case ARES_EFORMERR:
        return -TB_EFORMERR;
    case ARES_ESERVFAIL:
        return -TB_ESERVFAIL;
    case ARES_EREFUSED:
        return -TB_EREFUSED;
    case ARES_ENOTIMP:
        return -TB_ENOTSUP;
    case ARES_ECONNREFUSED:
        return -ECONNREFUSED;
    case ARES_EBADRESP:
        return -TB_EPROTO;
    case ARES_EDESTRUCTION:
    case ARES_ECANCELLED:
        return -TB_ESTOPPED;
    case ARES_ENOMEM:
        return -TB_ELIMIT;
    default:
        return status_of(ares);
    }
}

static void
on_records_closed(uv_handle_t *h)
{
    struct tb_records *q = h->data;

    tb_free(q->answer);
    tb_free(q);
}

/* Its memory goes when both have come: the answer, and the time to tell it. */
static void
release(struct tb_records *q)
{
    if (q->answered && q->told)
        uv_close((uv_handle_t *)&q->timer, on_records_closed);
}

static void
on_time(uv_timer_t *t)
{
    struct tb_records *q = t->data;
    tb_recorded done = q->done;

    q->done = NULL;
    q->told = true;
    if (done)
        done(q->ctx, q->answered ? q->status : -TB_ETIMEOUT, q->answer, q->n);
    release(q);
}

static void
on_answer(void *ctx, int status, int timeouts, unsigned char *p, int n)
{
    struct tb_records *q = ctx;
    struct tb_resolver *frank = q->frank;

    (void)timeouts;
    q->frank = NULL;
    if (status == ARES_ECONNREFUSED && frank && !q->told) {
        ares_search(frank->channel, q->name, 1, q->type, on_answer, q);
        return;
    }
    q->answered = true;
    q->status = error_of(status);
    if (q->told) {
        release(q);
        return;
    }
    if (status == ARES_SUCCESS && n > 0) {
        q->answer = tb_try_alloc((size_t)n);
        q->status = q->answer ? 0 : -TB_ELIMIT;
        q->n = q->answer ? (size_t)n : 0;
        if (q->answer)
            memcpy(q->answer, p, (size_t)n);
    }
    uv_timer_start(&q->timer, on_time, 0, 0);
}

struct tb_records *
tb_resolve_records(struct tb_resolver *r, const char *name, int type,
                   uint64_t timeout_ms, tb_recorded done, void *ctx)
{
    size_t n = strlen(name);
    struct tb_records *q =
        n < sizeof(q->name) ? tb_try_alloc(sizeof(*q)) : NULL;

    if (!q)
        return NULL;
    memcpy(q->name, name, n + 1);
    q->type = type;
    q->frank = r->frank;
    q->done = done;
    q->ctx = ctx;
    uv_timer_init(r->loop, &q->timer);
    q->timer.data = q;
    uv_timer_start(&q->timer, on_time, timeout_ms, 0);
    ares_search(r->channel, name, 1 /* internet */, type, on_answer, q);
    return q;
}

void
tb_records_cancel(struct tb_records *q)
{
    if (q)
        q->done = NULL;
}
