/* client.c - a short-lived hidden node that asks one thing of another node.
 * In Erlang: erl_call. Its name is the first free one of a few, since a BEAM
 * node keeps the name of every node it has met for ever.
 * Owns: its node while it runs. Thread: its own loop. */
#include "daemon/client.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "daemon/nodename.h"
#include "daemon/tls_options.h"
#include "daemon/transport.h"

#define SLOTS 64

/* A name in the abstract namespace goes with its process, however that ends. */
static int
take_slot(int *slot)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un a = { .sun_family = AF_UNIX };

    for (*slot = 0; fd >= 0 && *slot < SLOTS; ++*slot) {
        int n = snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1,
                         TB_CLIENT_PREFIX "%d", *slot);
        socklen_t len =
            (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);

        if (bind(fd, (const struct sockaddr *)&a, len) == 0)
            return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

static uint64_t
now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Long names go with long ones; nobody dials us, so that any host will do. */
static void
own_name(struct tb_client *c, int slot)
{
    const char *theirs = tb_nodename_host(c->target);
    char host[TB_NODENAME_MAX];

    tb_short_host(host);
    snprintf(c->name, sizeof(c->name), TB_CLIENT_PREFIX "%d@%.200s", slot,
             strpbrk(theirs, ".:") ? theirs : host);
}

static struct tb_client *
client_of(void *state)
{
    return *(struct tb_client **)state;
}

static int
finish(struct tb_proc *self, struct tb_client *c, int status)
{
    if (c->finished) /* what the end of the node still ends */
        return TB_NOREPLY;
    c->finished = true;
    c->status = status;
    c->elapsed_us = now_us() - c->elapsed_us;
    tb_node_stop(tb_self_node(self));
    return TB_NOREPLY;
}

int
tb_client_done(struct tb_proc *self, void *state, void *ctx, int status,
               struct tb_term result)
{
    struct tb_client *c = ctx;

    (void)state;
    if (!c->finished)
        tb_wr_bytes(&c->result, result.p, result.n);
    return finish(self, c, status);
}

static int
on_names(struct tb_proc *self, void *state, void *ctx, int status,
         struct tb_term result)
{
    struct tb_client *c = ctx;
    struct tb_val h[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term item;

    (void)state;
    if (status == 0 && tb_match("{ok, Names:list}", result, h) == 1 &&
        tb_elems_open(&e, h[0].term))
        while (tb_elems_next(&e, &item))
            if (tb_match("{Name:bin, _}", item, h) == 1) {
                tb_wr_str(&c->others, c->others.len ? ", " : "");
                tb_wr_bytes(&c->others, h[0].text.p, h[0].text.n);
            }
    return finish(self, c, -TB_ENOT_IN_EPMD);
}

static int
on_connected(struct tb_proc *self, void *state, void *ctx, int status,
             struct tb_term result)
{
    struct tb_client *c = ctx;

    (void)state;
    if (status == 0) {
        c->connected = true;
        c->ask(self, c);
        return TB_NOREPLY;
    }
    tb_wr_bytes(&c->result, result.p, result.n);
    if (status != -TB_ENOT_IN_EPMD)
        return finish(self, c, status);
    tb_epmd_names(self, tb_nodename_host(c->target), on_names, c);
    return TB_NOREPLY;
}

static int
init(struct tb_proc *self, void *state, const void *arg)
{
    struct tb_client *c = *(struct tb_client *const *)arg;

    *(struct tb_client **)state = c;
    c->elapsed_us = now_us();
    tb_send_after(self, c->timeout_ms, "timeout", TB_NONE);
    tb_connect(self, tb_client_peer(c), on_connected, c);
    return 0;
}

static int
on_timeout(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_client *c = client_of(state);

    (void)m;
    return c->endless && c->connected ? TB_NOREPLY
                                      : finish(self, c, -TB_ETIMEOUT);
}

static int
on_message(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_client *c = client_of(state);
    int rc = c->heard && !c->finished ? c->heard(self, c, m->term) : 0;

    return rc < 0 ? finish(self, c, rc) : TB_NOREPLY;
}

static const struct tb_clause clauses[] = {
    { TB_INFO, "timeout", on_timeout },
    { TB_INFO, "Message", on_message },
    { 0 },
};

static const struct tb_service service = {
    .state_size = sizeof(struct tb_client *),
    .init = init,
    .clauses = clauses,
};

tb_atom
tb_client_peer(const struct tb_client *c)
{
    return tb_intern((struct tb_text){ c->target, strlen(c->target) });
}

struct start {
    struct tb_client *c;
    struct tb_node *node;
};

static void
on_ready(void *ctx, int error)
{
    struct start *s = ctx;
    struct tb_pid pid;

    if (error == 0)
        error = tb_start(s->node, &service, &s->c, TB_TEMPORARY, &pid);
    if (error < 0) {
        s->c->status = error;
        tb_node_stop(s->node);
    }
}

static int
run_node(struct tb_client *c)
{
    struct start s = { .c = c };
    struct tb_options o = {
        .name = c->name,
        .cookie = c->cookie,
        .tls = c->tls,
        .listen_min = -1,
        .epmd_command = "",
        .no_epmd = true,
        .setuptime_ms = (uint32_t)c->timeout_ms,
    };
    int err = 0;

    c->tls = NULL;
    tb_transport_options(c->settings, &o);
    s.node = tb_node_new(&o, &err);
    if (!s.node)
        return err;
    err = tb_transport_ports(c->settings, s.node);
    if (err >= 0)
        err = tb_node_start(s.node, on_ready, &s);
    if (err >= 0)
        err = tb_node_run(s.node);
    tb_node_free(s.node);
    return err < 0 ? err : c->status;
}

int
tb_client_run(struct tb_client *c)
{
    int slot, fd = take_slot(&slot);

    c->status = -TB_EBADARG;
    if (!tb_client_peer(c))
        return c->status;
    c->status = -TB_ELIMIT;
    if (fd < 0)
        return c->status;
    own_name(c, slot);
    c->status = -TB_ETIMEOUT;
    c->status = run_node(c);
    close(fd);
    return c->status;
}

void
tb_client_fini(struct tb_client *c)
{
    tb_tls_free(c->tls);
    tb_wr_free(&c->result);
    tb_wr_free(&c->others);
}

/* ----------------------------------------------------------- explain -- */

static int
epmd_port(const struct tb_client *c)
{
    return (int)tb_settings_number(c->settings, TB_SET_EPMD_PORT);
}

static void
explain_names(const struct tb_client *c, struct tb_wr *w)
{
    tb_wr_printf(w, "the epmd of %s (port %d) knows no node of that name",
                 tb_nodename_host(c->target), epmd_port(c));
    if (c->others.len)
        tb_wr_printf(w, ", only %.*s", (int)c->others.len,
                     (const char *)c->others.buf);
}

static void
explain_tls(const struct tb_client *c, struct tb_wr *w)
{
    struct tb_val h[TB_MAX_HOLES];

    tb_wr_str(w, tb_strerror(c->status));
    if (tb_match("{tls_error, Text:bin}", tb_wr_term(&c->result), h) == 1)
        tb_wr_printf(w, ": %.*s", (int)h[0].text.n, h[0].text.p);
}

static void
explain_call(const struct tb_client *c, struct tb_wr *w)
{
    if (c->status == -TB_ETIMEOUT || c->status == -TB_ENOPROC) {
        tb_wr_str(w, tb_strerror(c->status));
        return;
    }
    tb_wr_printf(w, "%s: ", tb_strerror(c->status));
    if (c->result.len)
        tb_print_pretty(w, tb_wr_term(&c->result));
}

void
tb_client_explain(const struct tb_client *c, struct tb_wr *w)
{
    const char *host = tb_nodename_host(c->target);

    tb_wr_printf(w, "%s: ", c->target);
    if (c->connected)
        explain_call(c, w);
    else if (c->status == -TB_EBADARG)
        tb_wr_str(w, "not a node name, which is Name@Host");
    else if (c->status == -TB_ELIMIT)
        tb_wr_printf(w, "%d tiebeam commands are running already", SLOTS);
    else if (c->status == -TB_EAUTH)
        tb_wr_printf(w, "the cookies differ; ours is from %s",
                     c->cookie_origin);
    else if (c->status == -TB_ENO_EPMD)
        tb_wr_printf(w, "no epmd answers on %s, port %d", host, epmd_port(c));
    else if (c->status == -TB_ENOT_IN_EPMD)
        explain_names(c, w);
    else if (c->status == -TB_ENXDOMAIN)
        tb_wr_printf(w, "the host name %s does not resolve", host);
    else if (c->status == -TB_ETLS)
        explain_tls(c, w);
    else if (c->status == -TB_ECLOSED && !tb_tls_wanted(c->settings))
        tb_wr_str(w, "it closed the connection at once: "
                     "does it speak TLS (-proto_dist inet_tls)?");
    else if (c->status == -TB_ETIMEOUT)
        tb_wr_printf(w, "no connection within %llu s",
                     (unsigned long long)c->timeout_ms / 1000);
    else
        tb_wr_str(w, tb_strerror(c->status));
}
