/* sys.c - system messages: look into a process, hold it, stop it.
 * In Erlang: sys, and gen_server's callbacks for it.
 * Owns: what debugging asked for, per process. Thread: loop.
 * Source: sys.erl. */
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "node/gen.h"
#include "node/peer.h"
#include "node/route.h"
#include "term/ident.h"
#include "term/put.h"

struct event {
    struct tb_list link;
    size_t n;
    uint8_t bytes[]; /* the message */
};

struct tb_sys {
    bool statistics;
    time_t since;
    uint64_t in_before, out_before; /* the counters when it was switched on */
    int64_t keep;                   /* events of the log; 0: off */
    int64_t n_events;
    struct tb_list events; /* owned struct event, oldest first */
};

static struct tb_sys *
sys_of(struct tb_proc *p)
{
    if (!p->sys) {
        p->sys = tb_new(struct tb_sys);
        tb_list_init(&p->sys->events);
    }
    return p->sys;
}

static void
drop_events(struct tb_sys *s, int64_t keep)
{
    while (s->n_events > keep) {
        struct event *e = TB_ENTRY(s->events.next, struct event, link);

        tb_list_del(&e->link);
        tb_free(e);
        s->n_events--;
    }
}

void
tb_sys_free(struct tb_proc *p)
{
    if (!p->sys)
        return;
    drop_events(p->sys, 0);
    tb_free(p->sys);
    p->sys = NULL;
}

void
tb_sys_log(struct tb_proc *p, struct tb_term message)
{
    struct tb_sys *s = p->sys;
    struct event *e;

    if (s->keep == 0 || message.n > TB_MAX_LOGGED_TERM)
        return;
    e = tb_alloc(sizeof(*e) + message.n);
    e->n = message.n;
    memcpy(e->bytes, message.p, message.n);
    tb_list_add(&s->events, &e->link);
    s->n_events++;
    drop_events(s, s->keep);
}

static int
answer(struct tb_proc *p, const struct tb_from *from, const char *reply,
       struct tb_args args)
{
    return tb_reply_to(p, from, reply, args);
}

/* -------------------------------------------------------------- state -- */

static void
put_state(struct tb_proc *p, struct tb_wr *w)
{
    if (p->service->format)
        p->service->format(p, p->state, w);
    if (w->bad || w->len == 0) {
        tb_wr_clear(w, SIZE_MAX);
        tb_put_map(w, 0);
    }
}

/* From stdlib 5.1 (OTP 26.1) on, sys expects {ok, State}. */
static void
answer_state(struct tb_proc *p, const struct tb_from *from, bool wrapped,
             const char *result)
{
    struct tb_wr w = { 0 };

    if (strcmp(result, "state") == 0)
        put_state(p, &w);
    else
        tb_build(&w, result, TB_NONE);
    answer(p, from, wrapped ? "{ok, State}" : "State",
           TB_ARGS(tb_v_term(tb_wr_term(&w))));
    tb_wr_free(&w);
}

static bool
is_new(int major, int minor)
{
    return major > 5 || (major == 5 && minor >= 1);
}

/* As long as sys:get_state/1 waits; a caller that is no BEAM may not answer. */
#define VERSION_TIMEOUT_MS 5000

/* A request that waits until we know how old its caller is. */
struct asked {
    struct tb_from *from; /* owned */
    struct tb_pid who;    /* whose state */
};

static void
parse_version(struct tb_term vsn, int *major, int *minor)
{
    struct tb_elems e;
    struct tb_term item;
    int64_t c;
    int v[2] = { 0, 0 }, part = 0;

    for (tb_elems_open(&e, vsn); part < 2 && tb_elems_next(&e, &item);) {
        struct tb_val digit[TB_MAX_HOLES];

        c = tb_match("C:int", item, digit) == 1 ? digit[0].i : 0;
        if (c == '.')
            part++;
        else if (c >= '0' && c <= '9' && v[part] < 10000)
            v[part] = 10 * v[part] + (int)(c - '0');
    }
    *major = v[0];
    *minor = v[1];
}

static int
on_version(struct tb_proc *self, void *state, void *ctx, int status,
           struct tb_term result)
{
    struct asked *a = ctx;
    struct tb_node *node = tb_self_node(self);
    struct tb_peer *peer = tb_peer_find(node, a->from->pid.node);
    struct tb_proc *p = tb_proc_of(node, a->who);
    struct tb_val v[TB_MAX_HOLES];
    int major = 6, minor = 0; /* not a BEAM: as the newest do */

    (void)state;
    if (status == 0 && tb_match("{ok, Vsn:list}", result, v) == 1)
        parse_version(v[0].term, &major, &minor);
    if (peer && peer->conn) {
        peer->stdlib_major = major;
        peer->stdlib_minor = minor;
    }
    if (p && !p->dying)
        answer_state(p, a->from, is_new(major, minor), "state");
    tb_from_free(a->from);
    tb_free(a);
    return TB_NOREPLY;
}

static int
get_state(struct tb_proc *p, const struct tb_from *from)
{
    struct tb_peer *peer = tb_peer_find(p->node, from->pid.node);
    struct tb_msg m = { .from = *from };
    struct asked *a;

    if (!peer || !peer->conn || peer->stdlib_major || !p->node->sup) {
        answer_state(p, from,
                     !peer || is_new(peer->stdlib_major, peer->stdlib_minor),
                     "state");
        return TB_NOREPLY;
    }
    a = tb_new(struct asked);
    a->from = tb_from_keep(&m);
    a->who = p->pid;
    /* the supervisor asks, since this process may be suspended */
    tb_erpc(p->node->sup, peer->name, "application", "get_key", "[stdlib, vsn]",
            TB_NONE, VERSION_TIMEOUT_MS, on_version, a);
    return TB_NOREPLY;
}

/* As supervisor:format_status/2 has it. */
static void
put_callback(const struct tb_proc *p, struct tb_wr *w)
{
    if (p->service->callback)
        tb_build(w, "[{supervisor, [{\"Callback\", Module}]}]",
                 TB_ARGS(tb_v_atom(p->service->callback)));
    else
        tb_build(w, "[]", TB_NONE);
}

static void
put_misc(struct tb_proc *p, struct tb_wr *w)
{
    struct tb_wr state = { 0 }, callback = { 0 };
    char header[300];

    snprintf(header, sizeof(header), "Status for generic server %s",
             p->name ? p->name : "");
    put_state(p, &state);
    put_callback(p, &callback);
    tb_build(w,
             "[{header, Header}, {data, [{\"Status\", S}, "
             "{\"Parent\", Parent}, {\"Logged events\", []}]}, "
             "{data, [{\"State\", State}]} | Callback]",
             TB_ARGS(tb_v_str(header),
                     tb_v_atom(p->suspended ? "suspended" : "running"),
                     tb_v_pid(p->parent), tb_v_term(tb_wr_term(&state)),
                     tb_v_term(tb_wr_term(&callback))));
    tb_wr_free(&state);
    tb_wr_free(&callback);
}

static int
get_status(struct tb_proc *p, const struct tb_from *from)
{
    struct tb_wr misc = { 0 };
    int rc;

    put_misc(p, &misc);
    rc = answer(
        p, from,
        "{status, Pid, {module, Module}, "
        "[[{'$ancestors', [Parent]}], State, Parent, [], Misc]}",
        TB_ARGS(tb_v_pid(p->pid),
                tb_v_atom(p->service->name ? p->service->name : "tiebeam"),
                tb_v_pid(p->parent),
                tb_v_atom(p->suspended ? "suspended" : "running"),
                tb_v_pid(p->parent), tb_v_term(tb_wr_term(&misc))));
    tb_wr_free(&misc);
    return rc;
}

/* -------------------------------------------------------------- debug -- */

static void
put_time(struct tb_wr *w, time_t t)
{
    struct tm tm;

    localtime_r(&t, &tm);
    tb_build(w, "{{Y, Mo, D}, {H, Mi, S}}",
             TB_ARGS(tb_v_int(tm.tm_year + 1900), tb_v_int(tm.tm_mon + 1),
                     tb_v_int(tm.tm_mday), tb_v_int(tm.tm_hour),
                     tb_v_int(tm.tm_min), tb_v_int(tm.tm_sec)));
}

static int
statistics(struct tb_proc *p, const struct tb_from *from)
{
    struct tb_sys *s = p->sys;
    struct tb_wr since = { 0 }, now = { 0 };
    int rc;

    if (!s || !s->statistics)
        return answer(p, from, "{ok, no_statistics}", TB_NONE);
    put_time(&since, s->since);
    put_time(&now, time(NULL));
    rc = answer(p, from,
                "{ok, [{start_time, Since}, {current_time, Now}, "
                "{reductions, 0}, {messages_in, In}, {messages_out, Out}]}",
                TB_ARGS(tb_v_term(tb_wr_term(&since)),
                        tb_v_term(tb_wr_term(&now)),
                        tb_v_int((int64_t)(p->messages_in - s->in_before)),
                        tb_v_int((int64_t)(p->messages_out - s->out_before))));
    tb_wr_free(&since);
    tb_wr_free(&now);
    return rc;
}

static void
switch_statistics(struct tb_proc *p, bool on)
{
    struct tb_sys *s = sys_of(p);

    s->statistics = on;
    s->since = time(NULL);
    s->in_before = p->messages_in;
    s->out_before = p->messages_out;
}

static void
switch_log(struct tb_proc *p, int64_t keep)
{
    struct tb_sys *s = sys_of(p);

    s->keep = keep < TB_MAX_SYS_LOG ? keep : TB_MAX_SYS_LOG;
    drop_events(s, s->keep);
}

static int
get_log(struct tb_proc *p, const struct tb_from *from)
{
    struct tb_wr w = { 0 };
    int rc;

    if (!p->sys || p->sys->n_events == 0)
        return answer(p, from, "{ok, []}", TB_NONE);
    tb_put_list(&w, (uint32_t)p->sys->n_events);
    TB_LIST_EACH (e, &p->sys->events, struct event, link)
        tb_build(&w, "{in, Message}",
                 TB_ARGS(tb_v_term((struct tb_term){ e->bytes, e->n })));
    tb_put_nil(&w);
    rc = answer(p, from, "{ok, Events}", TB_ARGS(tb_v_term(tb_wr_term(&w))));
    tb_wr_free(&w);
    return rc;
}

#define DEFAULT_LOG 10

static int
debug(struct tb_proc *p, const struct tb_from *from, struct tb_term what)
{
    struct tb_val v[TB_MAX_HOLES];

    if (tb_match("{statistics, get}", what, v) == 1)
        return statistics(p, from);
    if (tb_match("{log, get}", what, v) == 1)
        return get_log(p, from);
    if (tb_match("{statistics, true}", what, v) == 1)
        switch_statistics(p, true);
    else if (tb_match("{statistics, false}", what, v) == 1)
        switch_statistics(p, false);
    else if (tb_match("{log, true}", what, v) == 1)
        switch_log(p, DEFAULT_LOG);
    else if (tb_match("{log, {true, N:int}}", what, v) == 1 && v[0].i > 0)
        switch_log(p, v[0].i);
    else if (tb_match("{log, false}", what, v) == 1)
        switch_log(p, 0);
    else if (tb_match("no_debug", what, v) == 1)
        tb_sys_free(p);
    else if (tb_match("{trace, _}", what, v) != 1 &&
             tb_match("{log, print}", what, v) != 1 &&
             tb_match("{log_to_file, _}", what, v) != 1 &&
             tb_match("{install, _}", what, v) != 1 &&
             tb_match("{remove, _}", what, v) != 1)
        return answer(p, from, "unknown_debug", TB_NONE);
    return answer(p, from, "ok", TB_NONE);
}

/* ----------------------------------------------------------- requests -- */

static int
suspend(struct tb_proc *p, const struct tb_from *from)
{
    tb_proc_suspend(p);
    return answer(p, from, "ok", TB_NONE);
}

static int
resume(struct tb_proc *p, const struct tb_from *from)
{
    int rc = answer(p, from, "ok", TB_NONE);

    tb_proc_resume(p);
    return rc;
}

static int
terminate(struct tb_proc *p, const struct tb_from *from, struct tb_val reason)
{
    answer(p, from, "ok", TB_NONE);
    if (p->service->stop)
        return p->service->stop(p, p->state, reason.term);
    return tb_stop(p, "Reason", TB_ARGS(reason));
}

/* Funs cannot run here. */
static int
replace_state(struct tb_proc *p, const struct tb_from *from, struct tb_val fun)
{
    return answer(p, from, "{error, {callback_failed, Fun, {error, notsup}}}",
                  TB_ARGS(fun));
}

int
tb_sys_request(struct tb_proc *p, const struct tb_from *from, struct tb_term t)
{
    struct tb_val v[TB_MAX_HOLES];

    if (tb_match("get_state", t, v) == 1)
        return get_state(p, from);
    if (tb_match("get_status", t, v) == 1)
        return get_status(p, from);
    if (tb_match("suspend", t, v) == 1)
        return suspend(p, from);
    if (tb_match("resume", t, v) == 1)
        return resume(p, from);
    if (tb_match("{terminate, Reason}", t, v) == 1)
        return terminate(p, from, v[0]);
    if (tb_match("{replace_state, Fun}", t, v) == 1)
        return replace_state(p, from, v[0]);
    if (tb_match("{debug, What}", t, v) == 1)
        return debug(p, from, v[0].term);
    if (tb_match("{change_code, _, _, _}", t, v) == 1 && p->suspended)
        return answer(p, from, "ok", TB_NONE);
    return answer(p, from, "{error, {unknown_system_msg, Request}}",
                  TB_ARGS(tb_v_term(t)));
}
