/* node.c - the local node: birth, membership, the turn of the loop, end.
 * In Erlang: the emulator's boot and init:stop/0.
 * Owns: everything, see node.h. Thread: loop. */
#include "node/node.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "node/call.h"
#include "node/gen.h"
#include "node/peer.h"
#include "node/peer_config.h"
#include "node/proc.h"
#include "node/sup.h"
#include "term/ident.h"
#include "term/put.h"

/* How long a name is fought for that our own predecessor still holds. */
#define NAME_TAKEN_MS 5000

/* Messages in a turn from which on, and as long as, they are let gather. */
#define GATHER_BEGIN 16
#define GATHER_STAY  8
#define GATHER_NS    50000

#define DEFAULT_TICKTIME_MS 60000
#define DEFAULT_SETUP_MS    7000

static _Thread_local unsigned nodes; /* users of the compiled tables */

bool
tb_node_is_us(const struct tb_node *node, struct tb_pid pid)
{
    return pid.node == node->name && pid.creation == node->creation;
}

struct tb_ref
tb_node_ref(struct tb_node *node)
{
    uint64_t n = ++node->next_ref;

    /* three words, the first below 2^18: what every release takes */
    return (struct tb_ref){ .node = node->name,
                            .creation = node->creation,
                            .n = 3,
                            .id = { (uint32_t)(n & 0x3ffff),
                                    (uint32_t)(n >> 18), 0 } };
}

/* --------------------------------------------------------------- turns -- */

static void end_node(struct tb_node *node);
static void close_handles(struct tb_node *node);

static void
on_idle(uv_idle_t *h)
{
    (void)h; /* only there so that the loop does not sleep */
}

/* One turn: processes handle what waits, connections write what that gave.
 * Bounded, so that the sockets are looked at again. */
static void
turn(struct tb_node *node)
{
    bool left = false;

    tb_log_tell();
    for (int i = 0; i < 4; i++) {
        left = tb_procs_run(node);
        tb_net_flush(&node->net);
        if (!left && tb_list_empty(&node->runnable))
            break;
    }
    tb_net_hold(&node->net, tb_procs_are_behind(node, node->net.held));
    left = !tb_list_empty(&node->runnable) || !tb_list_empty(&node->net.dirty);
    if (node->stop_asked)
        end_node(node);
    if (node->state == TB_NODE_ENDED && node->net.n_conns == 0) {
        close_handles(node);
        return;
    }
    if (left)
        uv_idle_start(&node->idle, on_idle);
    else
        uv_idle_stop(&node->idle);
}

/* Where many messages come at once, those who send them are left alone for a
 * moment, and what has come by then is read at once: to wake us for each one
 * costs a BEAM more than to write it. One caller, or a few, never get here;
 * nor does a stream of long messages, which must not stand still. */
static void
let_gather(struct tb_node *node)
{
    const struct timespec moment = { .tv_nsec = GATHER_NS };
    struct tb_net *net = &node->net;

    node->gathering =
        net->turn_frames >= (node->gathering ? GATHER_STAY : GATHER_BEGIN) &&
        net->turn_bytes < TB_READ_CHUNK;
    net->turn_frames = 0;
    net->turn_bytes = 0;
    if (node->gathering && !uv_is_active((uv_handle_t *)&node->idle))
        nanosleep(&moment, NULL);
}

static void
on_prepare(uv_prepare_t *h)
{
    turn(h->data);
    let_gather(h->data);
}

static void
on_check(uv_check_t *h)
{
    turn(h->data);
}

/* --------------------------------------------------------------- birth -- */

static char *
copy_of(const char *s)
{
    return s ? tb_strdup_n(s, strlen(s)) : NULL;
}

static void
free_copy(const char *s)
{
    tb_free((void *)(uintptr_t)s);
}

static void
copy_options(struct tb_node *node, const struct tb_options *o)
{
    node->options = *o;
    node->options.name = copy_of(o->name);
    node->options.cookie = NULL; /* lives in a type that no log can print */
    node->options.listen_address = copy_of(o->listen_address);
    node->options.epmd_command = copy_of(o->epmd_command);
}

static void
make_tables(struct tb_node *node)
{
    struct tb_map **maps[] = { &node->cookies, &node->ports, &node->peers,
                               &node->procs,   &node->names, &node->monitors,
                               &node->links,   &node->calls, &node->timers,
                               &node->compiled };

    for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++)
        *maps[i] = tb_map_new();
    tb_list_init(&node->all);
    tb_list_init(&node->runnable);
    tb_list_init(&node->node_subs);
    tb_list_init(&node->have_funs);
    tb_list_init(&node->questions);
    tb_list_init(&node->queued);
    tb_list_init(&node->dns_questions);
}

/* As erl and ei do: one environment variable for the whole cluster. */
static uint16_t
epmd_port(const struct tb_options *o)
{
    const char *text = getenv("ERL_EPMD_PORT");
    long port = o->epmd_port ? o->epmd_port : text ? strtol(text, NULL, 10) : 0;

    return port > 0 && port <= UINT16_MAX ? (uint16_t)port : TB_EPMD_PORT;
}

static void
init_net(struct tb_node *node)
{
    const struct tb_options *o = &node->options;
    struct tb_net *net = &node->net;

    net->transport = o->tls ? &tb_tls_transport : &tb_tcp;
    net->family = o->inet6 ? AF_INET6 : AF_INET;
    net->cb = &tb_peer_conn_cb;
    net->ctx = node;
    net->name = tb_atom_text(node->name);
    net->flags = TB_DFLAGS_OURS;
    net->epmd_port = epmd_port(o);
    net->tick_ms = o->ticktime_ms ? o->ticktime_ms : DEFAULT_TICKTIME_MS;
    net->setup_ms = o->setuptime_ms ? o->setuptime_ms : DEFAULT_SETUP_MS;
    net->max_queue = o->max_queue ? o->max_queue : TB_MAX_QUEUE;
    net->max_frame = o->max_frame && o->max_frame < TB_MAX_FRAME ? o->max_frame
                                                                 : TB_MAX_FRAME;
}

/* Ours, not epmd's: processes exist before epmd has answered, and epmd counts
 * from the clock again when it restarts. All that a peer needs is that the
 * next incarnation has another. */
static uint32_t
random_creation(void)
{
    uint32_t c = 0;

    if (getrandom(&c, sizeof(c), 0) < 0)
        c = (uint32_t)uv_hrtime();
    return c < 4 ? c + 4 : c;
}

static void
start_turns(struct tb_node *node)
{
    uv_loop_t *loop = node->net.loop;

    uv_prepare_init(loop, &node->prepare);
    uv_check_init(loop, &node->check);
    uv_idle_init(loop, &node->idle);
    node->prepare.data = node->check.data = node->idle.data = node;
    uv_prepare_start(&node->prepare, on_prepare);
    uv_check_start(&node->check, on_check);
}

struct tb_node *
tb_node_new(const struct tb_options *o, int *error)
{
    struct tb_node *node = tb_new(struct tb_node);
    int rc;

    tb_atoms_ref();
    nodes++;
    make_tables(node);
    copy_options(node, o);
    node->net.tls = o->tls;
    node->name = o->name ? tb_intern_peer(tb_text_of(o->name)) : 0;
    rc = node->name ? tb_cookie_of(&node->cookie, o->cookie) : -TB_EBADARG;
    if (rc == 0)
        rc = tb_control_init();
    if (rc == 0)
        rc = tb_gen_init();
    node->net.loop = o->loop;
    if (rc == 0 && !o->loop) {
        rc = uv_loop_init(&node->own_loop);
        node->owns_loop = rc == 0;
        node->net.loop = &node->own_loop;
    }
    if (rc < 0) {
        *error = rc;
        tb_node_free(node);
        return NULL;
    }
    node->creation = random_creation();
    node->started_ms = uv_now(node->net.loop);
    init_net(node);
    rc = tb_sup_start(node);
    if (rc < 0) {
        *error = rc;
        tb_node_free(node);
        return NULL;
    }
    return node;
}

int
tb_node_set_tls(struct tb_node *node, struct tb_tls *tls)
{
    bool had = node->net.tls != NULL;
    struct tb_tls *old = had ? node->net.tls : tls;

    if (had)
        node->net.tls = tls;
    tb_tls_free(old);
    return had ? 0 : -TB_EBADARG;
}

/* ---------------------------------------------------------- membership -- */

static void
become_ready(struct tb_node *node, int status)
{
    if (status == 0) {
        node->state = TB_NODE_UP;
        tb_peers_start(node);
    }
    node->start_error = status;
    if (node->ready)
        node->ready(node->ready_ctx, status);
    if (status < 0)
        tb_node_stop(node);
}

/* Where nobody asks epmd, being listed there is a courtesy. */
static void
on_registered(void *ctx, int status)
{
    struct tb_node *node = ctx;

    if (status < 0 && node->options.dial_port) {
        tb_log(TB_NOTICE, "epmd.not_registered", "reason=%s",
               tb_error_atom(status));
        status = 0;
    }
    become_ready(node, status);
}

static void
on_renewed(void *ctx, int status)
{
    struct tb_node *node = ctx;

    if (status == 0)
        tb_log(TB_NOTICE, "epmd.registered", "name=%s again",
               tb_atom_text(node->name).p);
    else
        tb_log(TB_WARNING, "epmd.lost", "reason=%s", tb_error_atom(status));
}

static void
on_unlisted(uv_timer_t *t)
{
    struct tb_node *node = t->data;

    uv_close((uv_handle_t *)t, (uv_close_cb)tb_free);
    if (node->state == TB_NODE_STARTING)
        become_ready(node, 0);
}

static int
register_name(struct tb_node *node)
{
    const char *name = tb_atom_text(node->name).p;
    struct tb_epmd_config config = { .family = node->net.family,
                                     .optional = node->options.dial_port != 0,
                                     .epmd_port = node->net.epmd_port,
                                     .dist_port = node->net.port,
                                     .command = node->options.epmd_command,
                                     .taken_ms = NAME_TAKEN_MS };
    uv_timer_t *unlisted;

    if (!node->options.no_epmd) {
        node->alive = tb_strdup_n(name, strcspn(name, "@"));
        config.alive = node->alive;
        node->epmd = tb_epmd_register(node->net.loop, &config, on_registered,
                                      on_renewed, node);
        return node->epmd ? 0 : -TB_ELIMIT;
    }
    unlisted = tb_new(uv_timer_t);
    uv_timer_init(node->net.loop, unlisted);
    unlisted->data = node;
    return uv_timer_start(unlisted, on_unlisted, 0, 0);
}

/* A peer may close while we write; where nobody cares otherwise, that must
 * not end the program. */
static void
survive_sigpipe(void)
{
    struct sigaction now;

    if (sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN);
}

int
tb_node_start(struct tb_node *node, void (*ready)(void *, int), void *ctx)
{
    const struct tb_options *o = &node->options;
    int max = o->listen_max > o->listen_min ? o->listen_max : o->listen_min;
    int rc;

    node->ready = ready;
    node->ready_ctx = ctx;
    node->net.creation = node->creation;
    rc = tb_net_init(&node->net);
    if (rc < 0)
        return rc;
    node->state = TB_NODE_STARTING;
    survive_sigpipe();
    start_turns(node);
    if (o->listen_min >= 0)
        rc = tb_net_listen(&node->net, o->listen_address, o->listen_min, max);
    if (rc == 0)
        rc = register_name(node);
    if (rc < 0) {
        node->start_error = rc;
        tb_node_stop(node);
    }
    return rc;
}

int
tb_node_run(struct tb_node *node)
{
    uv_run(node->net.loop, UV_RUN_DEFAULT);
    return node->start_error;
}

/* ----------------------------------------------------------------- end -- */

void
tb_node_stop(struct tb_node *node)
{
    node->stop_asked = true;
    if (node->state == TB_NODE_STARTING || node->state == TB_NODE_UP)
        uv_idle_start(&node->idle, on_idle);
}

static void
end_node(struct tb_node *node)
{
    if (node->state == TB_NODE_ENDED)
        return;
    node->state = TB_NODE_ENDED;
    tb_sup_stop(node);
    tb_epmd_unregister(node->epmd);
    node->epmd = NULL;
    tb_names_end(node);
    tb_dns_end(node);
    tb_peers_end(node);
    tb_net_close(&node->net);
    tb_net_flush(&node->net);
}

/* All peers have been left: nothing keeps the loop alive any more. */
static void
close_handles(struct tb_node *node)
{
    if (uv_is_closing((uv_handle_t *)&node->prepare))
        return;
    tb_net_end(&node->net);
    uv_close((uv_handle_t *)&node->prepare, NULL);
    uv_close((uv_handle_t *)&node->check, NULL);
    uv_close((uv_handle_t *)&node->idle, NULL);
}

static void
free_peer(void *ctx, void *peer)
{
    (void)ctx;
    tb_peer_free(peer);
}

static void
free_value(void *ctx, void *value)
{
    (void)ctx;
    tb_free(value);
}

static void
free_code(void *ctx, void *code)
{
    (void)ctx;
    tb_compiled_free(code);
}

static void
free_tables(struct tb_node *node)
{
    tb_map_each(node->peers, free_peer, NULL);
    tb_map_each(node->cookies, free_value, NULL);
    tb_map_each(node->compiled, free_code, NULL);
    tb_map_free(node->cookies);
    tb_map_free(node->ports);
    tb_map_free(node->peers);
    tb_map_free(node->procs);
    tb_map_free(node->names);
    tb_map_free(node->monitors);
    tb_map_free(node->links);
    tb_map_free(node->calls);
    tb_map_free(node->timers);
    tb_map_free(node->compiled);
}

void
tb_node_free(struct tb_node *node)
{
    if (!node)
        return;
    if (node->state == TB_NODE_NEW) /* it never ran */
        tb_sup_stop(node);
    else
        end_node(node);
    if (node->owns_loop) {
        uv_run(&node->own_loop, UV_RUN_DEFAULT);
        uv_loop_close(&node->own_loop);
    }
    free_tables(node);
    tb_wr_free(&node->payload);
    tb_tls_free(node->net.tls);
    free_copy(node->alive);
    free_copy(node->options.name);
    free_copy(node->options.listen_address);
    free_copy(node->options.epmd_command);
    if (--nodes == 0) {
        tb_control_fini();
        tb_gen_fini();
    }
    explicit_bzero(&node->cookie, sizeof(node->cookie));
    tb_free(node);
    tb_atoms_unref();
}
