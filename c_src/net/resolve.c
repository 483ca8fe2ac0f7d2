/* resolve.c - c-ares on the loop.
 *
 * c-ares asks for its sockets to be watched (on_socket) and wants to be called
 * when they are ready or a second has passed; it answers in on_found.
 * Owns: the channel and its watchers. Thread: loop. */
#include "net/resolve.h"

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

int
tb_resolver_new(uv_loop_t *loop, int family, struct tb_resolver **out)
{
    struct tb_resolver *r = tb_try_alloc(sizeof(*r));
    struct ares_options options = { .sock_state_cb = on_socket,
                                    .sock_state_cb_data = r };

    if (!r || ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) {
        tb_free(r);
        return -TB_ELIMIT;
    }
    if (ares_init_options(&r->channel, &options, ARES_OPT_SOCK_STATE_CB) !=
        ARES_SUCCESS) {
        ares_library_cleanup();
        tb_free(r);
        return -TB_ELIMIT;
    }
    r->loop = loop;
    r->family = family;
    tb_list_init(&r->watchers);
    uv_timer_init(loop, &r->timer);
    r->timer.data = r;
    *out = r;
    return 0;
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
    r->closing = true;
    ares_destroy(r->channel); /* ends every lookup, then its sockets */
    ares_library_cleanup();
    uv_close((uv_handle_t *)&r->timer, on_resolver_closed);
}

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
