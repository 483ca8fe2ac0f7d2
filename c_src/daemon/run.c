/* run.c - the daemon: node, services, signals. SIGTERM and SIGINT leave the
 * cluster, SIGHUP reads the configuration again.
 * In Erlang: what init and kernel do. Owns: the node, its loop, the log.
 * Borrows: settings and configuration. Thread: loop. */
#include "daemon/run.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#include "daemon/cli.h"
#include "daemon/cluster_section.h"
#include "daemon/discovery_section.h"
#include "daemon/logger.h"
#include "daemon/monitor_section.h"
#include "daemon/notify.h"
#include "daemon/options.h"
#include "daemon/pg_section.h"
#include "daemon/parent.h"
#include "daemon/supervisor_section.h"
#include "daemon/tls_options.h"
#include "daemon/transport.h"
#include "services/services.h"

static const int signals[] = { SIGTERM, SIGINT, SIGHUP };

#define PATIENCE_MS 4000 /* of those who stop us; systemd has 90 s */
#define SIGNALS     (sizeof(signals) / sizeof(signals[0]))

struct daemon {
    struct tb_run *r;
    struct tb_logger logger;
    uv_loop_t loop;
    uv_signal_t signal[SIGNALS];
    struct tb_parent parent;
    uv_timer_t patience; /* once it is stopping */
    struct tb_instances instances;
    struct tb_node *node;
    bool stopping;
};

static int64_t
number(const struct daemon *d, enum tb_set id)
{
    return tb_settings_number(&d->r->settings, id);
}

static bool
given(const struct daemon *d, enum tb_set id)
{
    return tb_settings_text(&d->r->settings, id) != NULL;
}

/* Each line of a text as an event of its own. */
static void
log_lines(enum tb_level level, const char *event, const struct tb_wr *text)
{
    const char *p = (const char *)text->buf, *end = p + text->len, *nl;

    for (; text->len && p < end; p = nl + 1) {
        nl = memchr(p, '\n', (size_t)(end - p));
        nl = nl ? nl : end;
        tb_log(level, event, "%.*s", (int)(nl - p), p);
    }
}

/* ------------------------------------------------------------ reload -- */

/* See take_log_level() and renew_tls(). */
static bool
is_taken(enum tb_set id)
{
    return id == TB_SET_LOG_LEVEL || id == TB_SET_SSL_OPTFILE;
}

static void
compare_settings(struct daemon *d, const struct tb_settings *now)
{
    for (int i = 0; i < TB_SET_COUNT; i++) {
        const char *old = d->r->settings.v[i].text, *new = now->v[i].text;

        if ((!old && !new) || (old && new &&strcmp(old, new) == 0))
            continue;
        tb_log(TB_NOTICE, "config.changed", "key=%s old=%s new=%s%s",
               tb_settings_table[i].key,
               tb_settings_shown(&d->r->settings, (enum tb_set)i),
               tb_settings_shown(now, (enum tb_set)i),
               is_taken((enum tb_set)i) ? "" : " needs a restart");
    }
}

static void
take_log_level(struct daemon *d, const struct tb_settings *now)
{
    struct tb_wr why = { 0 };

    tb_settings_put(&d->r->settings, TB_SET_LOG_LEVEL,
                    tb_settings_text(now, TB_SET_LOG_LEVEL), TB_RANK_FLAG,
                    now->v[TB_SET_LOG_LEVEL].origin, &why);
    tb_wr_free(&why);
    tb_logger_level(&d->logger, &d->r->settings);
}

/* New connections use what the files hold now; those that are up go on. */
static void
renew_tls(struct daemon *d, const struct tb_settings *now, struct tb_wr *errors)
{
    struct tb_tls *tls;

    if (tb_tls_read(now, &tls, errors) < 0)
        log_lines(TB_ERROR, "tls.refused", errors);
    else if (tls && tb_node_set_tls(d->node, tls) == 0)
        tb_log(TB_NOTICE, "tls.renewed", "for connections from now on");
}

static void
reload(struct daemon *d)
{
    struct tb_settings now;
    struct tb_config config = { 0 };
    struct tb_words words = { 0 };
    struct tb_wr errors = { 0 };

    tb_settings_init(&now);
    if (tb_options_read(&now, d->r->argc, d->r->argv, &words, &errors) < 0 ||
        tb_config_read(&config, &now, &errors) < 0 ||
        tb_config_default(&config, &now, tb_nodename_host(d->r->name.text),
                          &errors) < 0) {
        log_lines(TB_ERROR, "config.refused", &errors);
    } else {
        compare_settings(d, &now);
        tb_pg_section_reload(d->node, &d->r->config, &config);
        tb_cluster_section_reload(d->node, &d->r->config, &config);
        tb_instances_reload(&d->instances, d->node, &config);
        tb_monitor_section_reload(d->node, &d->r->config, &config);
        tb_supervisor_section_reload(d->node, &d->r->config, &config);
        take_log_level(d, &now);
        renew_tls(d, &now, &errors);
        tb_log(TB_NOTICE, "config.reloaded", "file=%s",
               config.path ? config.path : "none");
    }
    tb_words_fini(&words);
    tb_wr_free(&errors);
    tb_config_fini(&config);
    tb_settings_fini(&now);
}

/* ----------------------------------------------------------- signals -- */

static void
on_patience_over(uv_timer_t *timer)
{
    (void)timer;
    tb_log(TB_WARNING, "node.stopping", "peers do not let go: no more waiting");
    _exit(TB_EXIT_OK);
}

static void
leave(struct daemon *d, const char *why)
{
    if (d->stopping)
        return;
    d->stopping = true;
    tb_log(TB_NOTICE, "node.stopping", "%s", why);
    tb_notify("STOPPING=1");
    uv_timer_init(&d->loop, &d->patience);
    uv_timer_start(&d->patience, on_patience_over, PATIENCE_MS, 0);
    uv_unref((uv_handle_t *)&d->patience);
    tb_node_stop(d->node);
}

static void
on_parent_gone(void *ctx)
{
    leave(ctx, "stdin=closed");
}

static void
on_signal(uv_signal_t *handle, int sig)
{
    struct daemon *d = handle->data;
    char why[32];

    if (sig == SIGHUP) {
        reload(d);
        return;
    }
    if (d->stopping && sig == SIGINT) /* somebody who cannot wait */
        _exit(TB_EXIT_OK);
    snprintf(why, sizeof(why), "signal=SIG%s", sigabbrev_np(sig));
    leave(d, why);
}

static void
watch_signals(struct daemon *d)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    for (size_t i = 0; i < SIGNALS; i++) {
        uv_signal_init(&d->loop, &d->signal[i]);
        d->signal[i].data = d;
        uv_signal_start(&d->signal[i], on_signal, signals[i]);
        uv_unref((uv_handle_t *)&d->signal[i]);
    }
}

/* Who says twice that we shall stop must not make the exit code another. */
static void
unwatch_signals(struct daemon *d)
{
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < SIGNALS; i++)
        sigaddset(&set, signals[i]);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    for (size_t i = 0; i < SIGNALS; i++)
        uv_close((uv_handle_t *)&d->signal[i], NULL);
    uv_run(&d->loop, UV_RUN_DEFAULT);
}

/* ------------------------------------------------------------- start -- */

static void
set_listen(const struct daemon *d, struct tb_options *o)
{
    if (number(d, TB_SET_DIST_LISTEN) == 0) {
        o->listen_min = -1;
        o->no_epmd = true;
    } else if (given(d, TB_SET_DIST_PORT)) {
        o->listen_min = o->listen_max = (int)number(d, TB_SET_DIST_PORT);
    } else if (given(d, TB_SET_LISTEN_MIN)) { /* as kernel does */
        o->listen_min = o->listen_max = (int)number(d, TB_SET_LISTEN_MIN);
        if (given(d, TB_SET_LISTEN_MAX))
            o->listen_max = (int)number(d, TB_SET_LISTEN_MAX);
    }
    o->listen_address =
        tb_settings_text(&d->r->settings, TB_SET_LISTEN_ADDRESS);
}

static struct tb_options
node_options(struct daemon *d)
{
    struct tb_options o = {
        .name = d->r->name.text,
        .cookie = d->r->cookie.text,
        .tls = d->r->tls,
        .epmd_command = tb_settings_text(&d->r->settings, TB_SET_EPMD),
        .ticktime_ms = (uint32_t)(number(d, TB_SET_TICKTIME) * 1000),
        .setuptime_ms = (uint32_t)(number(d, TB_SET_SETUPTIME) * 1000),
        .max_queue = (size_t)number(d, TB_SET_MAX_QUEUE),
        .max_frame = (size_t)number(d, TB_SET_MAX_FRAME),
        .loop = &d->loop,
    };

    if (!tb_transport_epmd(&d->r->settings))
        o.epmd_command = "";
    tb_transport_options(&d->r->settings, &o);
    set_listen(d, &o);
    return o;
}

static int
start_services(struct daemon *d)
{
    struct tb_pid pid;
    int err = tb_start_kernel(d->node);

    if (err >= 0)
        err = tb_start(d->node, &tb_tiebeam, NULL, TB_PERMANENT, &pid);
    if (err >= 0)
        err = tb_start_node_monitor(d->node, &d->r->config.monitor_options);
    if (err >= 0)
        err = tb_pg_section_start(d->node, &d->r->config);
    if (err >= 0)
        err = tb_cluster_section_start(d->node, &d->r->config);
    if (err >= 0)
        err = tb_instances_start(&d->instances, d->node, &d->r->config);
    if (err >= 0)
        err = tb_supervisor_section_start(d->node, &d->r->config);
    if (err < 0)
        tb_log(TB_CRITICAL, "service.failed", "error=%s", tb_strerror(err));
    return err;
}

static int
set_peer_cookies(struct daemon *d)
{
    int err = 0;

    TB_LIST_EACH (pc, &d->r->settings.peer_cookies, struct tb_pair, link) {
        tb_atom peer = tb_intern((struct tb_text){ pc->key, strlen(pc->key) });

        if (err >= 0)
            err = tb_node_set_cookie(d->node, peer, pc->value);
    }
    return err;
}

/* For the log of the program that runs us. */
static void
log_start(const struct daemon *d)
{
    tb_log(TB_NOTICE, "node.started", "node=%s port=%d version=" TB_VERSION,
           d->r->name.text, tb_node_port(d->node));
}

/* What to paste into a shell of the cluster comes last. */
static void
print_block(const struct daemon *d)
{
    int port = tb_node_port(d->node);

    printf("tiebeam " TB_VERSION "\n"
           "  node    %s (%s names, %s)\n"
           "  cookie  %s\n",
           d->r->name.text, d->r->name.long_names ? "long" : "short",
           d->r->name.origin, d->r->cookie.origin);
    if (port > 0)
        printf("  port    %d\n", port);
    else
        printf("  port    none: dials only\n");
    printf("  epmd    port %d%s\n"
           "  try     gen_server:call({tiebeam,'%s'}, info).\n",
           (int)number(d, TB_SET_EPMD_PORT),
           tb_node_in_epmd(d->node) ? "" : ", not registered there",
           d->r->name.text);
    fflush(stdout);
}

static void
on_ready(void *ctx, int error)
{
    struct daemon *d = ctx;

    if (error < 0)
        return; /* tb_node_run() gives it too */
    if (given(d, TB_SET_SIDECAR))
        log_start(d);
    else
        print_block(d);
    tb_notify("READY=1");
}

static int
exit_code(const struct daemon *d, int err)
{
    int port = (int)number(d, TB_SET_EPMD_PORT);

    switch (err) {
    case -TB_EIN_USE:
        tb_log(TB_CRITICAL, "node.refused",
               "the name %s is in use, says epmd on port %d", d->r->name.text,
               port);
        return TB_EXIT_IN_USE;
    case -TB_ENO_EPMD:
        tb_log(TB_CRITICAL, "node.refused", "no epmd on port %d, and %s", port,
               tb_transport_epmd(&d->r->settings) ? "none could be started"
                                                  : "start_epmd is false");
        return TB_EXIT_UNAVAILABLE;
    case -EADDRINUSE:
        tb_log(TB_CRITICAL, "node.refused", "the port to listen on is in use");
        return TB_EXIT_IN_USE;
    default:
        tb_log(TB_CRITICAL, "node.refused", "%s", tb_strerror(err));
        return TB_EXIT_INTERNAL;
    }
}

/* Each connection is one; where the system lets us have more, it is for those
 * who ask. */
static void
want_files(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

static int
run_node(struct daemon *d)
{
    struct tb_options o = node_options(d);
    int run_err, err = 0;

    want_files();

    d->node = tb_node_new(&o, &err);
    if (!d->node)
        return exit_code(d, err);
    watch_signals(d);
    if (given(d, TB_SET_SIDECAR))
        err = tb_parent_watch(&d->parent, &d->loop, on_parent_gone, d);
    if (err >= 0)
        err = set_peer_cookies(d);
    if (err >= 0)
        err = tb_transport_ports(&d->r->settings, d->node);
    if (err >= 0)
        err = start_services(d);
    if (err >= 0)
        err = tb_node_start(d->node, on_ready, d);
    if (err < 0)
        tb_node_stop(d->node);
    run_err = tb_node_run(d->node);
    err = err < 0 ? err : run_err;
    tb_parent_unwatch(&d->parent);
    if (d->stopping)
        uv_close((uv_handle_t *)&d->patience, NULL);
    unwatch_signals(d);
    tb_node_free(d->node);
    tb_instances_free(&d->instances);
    return err < 0 ? exit_code(d, err) : TB_EXIT_OK;
}

int
tb_run(struct tb_run *r)
{
    struct daemon daemon = { .r = r }, *d = &daemon;
    int code;

    tb_logger_start(&d->logger, &d->r->settings);
    log_lines(TB_DEBUG, "options.ignored", &d->r->settings.notes);
    if (uv_loop_init(&d->loop) != 0)
        return TB_EXIT_INTERNAL;
    code = run_node(d);
    uv_run(&d->loop, UV_RUN_DEFAULT);
    uv_loop_close(&d->loop);
    tb_log_to(NULL, NULL, TB_EMERGENCY);
    return code;
}
