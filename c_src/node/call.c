/* call.c - outgoing calls that wait for their end, and timers.
 * In Erlang: gen:call/4, erpc:call/5, erlang:send_after/3.
 *
 * A call is a monitor and a reference: the same one, so that a reply and a
 * DOWN both find it. Every end comes as a message to the process, in order
 * with all others, and is handed to done() from there.
 * Owns: pending calls and timers. Thread: loop. Source: gen.erl, erpc.erl. */
#include "node/call.h"

#include <string.h>

#include "base/mem.h"
#include "node/peer.h"
#include "node/route.h"
#include "node/rpc.h"
#include "node/watch.h"
#include "term/etf.h"
#include "term/get.h"
#include "term/ident.h"
#include "term/put.h"

static const struct tb_term no_term;

struct tb_pending {
    struct tb_list link; /* in proc->calls */
    struct tb_proc *proc;
    enum tb_call_kind kind;
    struct tb_ref ref;
    tb_done done;
    void *ctx;
    uv_timer_t *timer; /* NULL: infinity */
    bool down;         /* its DOWN has come */
};

static struct tb_pending *
find_call(struct tb_node *node, struct tb_ref ref)
{
    return tb_map_get(node->calls, &ref, sizeof(ref));
}

static void
on_timer_closed(uv_handle_t *h)
{
    tb_free(h);
}

static uv_timer_t *
timer_new(struct tb_node *node, uint64_t ms, uv_timer_cb fire, void *data)
{
    uv_timer_t *t = tb_new(uv_timer_t);

    uv_timer_init(node->net.loop, t);
    uv_update_time(node->net.loop); /* a long handler makes no timer short */
    t->data = data;
    uv_timer_start(t, fire, ms, 0);
    return t;
}

static void
timer_free(uv_timer_t *t)
{
    if (t)
        uv_close((uv_handle_t *)t, on_timer_closed);
}

static void
call_free(struct tb_pending *c)
{
    tb_map_take(c->proc->node->calls, &c->ref, sizeof(c->ref));
    c->proc->n_calls--;
    tb_list_del(&c->link);
    timer_free(c->timer);
    tb_free(c);
}

/* The time is over when the process comes to hear of it, not before what
 * waits in its mailbox already. */
static void
on_call_timer(uv_timer_t *t)
{
    struct tb_pending *c = t->data;

    tb_proc_enqueue(c->proc, TB_MAIL_CALL_TIMEOUT, c->ref, no_term);
}

struct tb_ref
tb_call_expect(struct tb_proc *p, enum tb_call_kind kind, uint64_t timeout_ms,
               tb_done done, void *ctx)
{
    struct tb_pending *c = tb_new(struct tb_pending);

    c->proc = p;
    c->kind = kind;
    c->ref = tb_node_ref(p->node);
    c->done = done;
    c->ctx = ctx;
    if (timeout_ms != TB_INFINITY)
        c->timer = timer_new(p->node, timeout_ms, on_call_timer, c);
    tb_map_put(p->node->calls, &c->ref, sizeof(c->ref), c);
    tb_list_add(&p->calls, &c->link);
    p->n_calls++;
    return c->ref;
}

bool
tb_call_is_one_too_many(const struct tb_proc *p)
{
    return p->n_calls > TB_MAX_CALLS;
}

static void
finish(struct tb_pending *c, int status, struct tb_term result)
{
    struct tb_proc *p = c->proc;
    tb_done done = c->done;
    void *ctx = c->ctx;

    /* the DOWN may wait behind the reply already */
    if (!tb_demonitor(p, c->ref) && !c->down && c->kind != TB_CALL_OWN)
        tb_proc_drop_down(p, c->ref);
    call_free(c);
    if (done)
        tb_proc_result(p, done(p, p->state, ctx, status, result));
}

static void
finish_with(struct tb_pending *c, int status, const char *result,
            struct tb_args args)
{
    struct tb_wr w = { 0 };

    tb_build(&w, result, args);
    finish(c, status, tb_wr_term(&w));
    tb_wr_free(&w);
}

void
tb_call_timed_out(struct tb_proc *p, struct tb_ref ref)
{
    struct tb_pending *c = find_call(p->node, ref);

    if (c)
        finish_with(c, -TB_ETIMEOUT, "timeout", TB_NONE);
}

void
tb_call_settle(struct tb_node *node, struct tb_ref ref, int status,
               const char *result, struct tb_args args)
{
    static const struct tb_ref none;
    struct tb_pending *c = find_call(node, ref);
    struct tb_wr value = { 0 }, w = { 0 };

    if (!c)
        return;
    tb_build(&value, result, args);
    tb_build(&w, "{Ref, {Status, Result}}",
             TB_ARGS(tb_v_ref(ref), tb_v_int(status),
                     tb_v_term(tb_wr_term(&value))));
    tb_proc_enqueue(c->proc, TB_MAIL_TERM, none, tb_wr_term(&w));
    tb_wr_free(&value);
    tb_wr_free(&w);
}

struct tb_ref
tb_expect(struct tb_proc *self, uint64_t timeout_ms, tb_done done, void *ctx)
{
    return tb_call_expect(self, TB_CALL_OWN, timeout_ms, done, ctx);
}

void
tb_settle(struct tb_node *node, struct tb_ref ref, int status,
          const char *result, struct tb_args args)
{
    tb_call_settle(node, ref, status, result, args);
}

struct tb_proc *
tb_call_alias(struct tb_node *node, struct tb_ref alias)
{
    struct tb_pending *c = find_call(node, alias);

    if (!c)
        node->count.late++;
    return c ? c->proc : NULL;
}

/* --------------------------------------------------------------- ends -- */

static void
ended_by_reply(struct tb_pending *c, struct tb_term reply)
{
    struct tb_val v[TB_MAX_HOLES];

    if (c->kind == TB_CALL_OWN &&
        tb_match("{Status:int, Result}", reply, v) == 1)
        finish(c, (int)v[0].i, v[1].term);
    else
        finish(c, 0, reply);
}

/* Why a call that was not answered has ended. */
static void
ended_by_exit(struct tb_pending *c, struct tb_term reason)
{
    struct tb_text text = { "", 0 };
    int status = -TB_EEXIT;

    tb_get_atom(reason, &text);
    if (tb_text_is(text, "noproc"))
        status = -TB_ENOPROC;
    else if (tb_text_is(text, "noconnection"))
        status = -TB_ENOCONNECTION;
    finish(c, status, reason);
}

/* The exit reason of erpc:execute_call/4 is its result. */
static void
ended_by_result(struct tb_pending *c, struct tb_term reason)
{
    struct tb_val v[TB_MAX_HOLES];

    if (tb_match("{Ref:ref, return, Value}", reason, v) == 1)
        finish(c, 0, v[1].term);
    else if (tb_match("{Ref:ref, error, Reason, Stack}", reason, v) == 1)
        finish_with(c, -TB_EEXIT, "{error, Reason, Stack}",
                    TB_ARGS(v[1], v[2]));
    else if (tb_match("{Ref:ref, Class:atom, Reason}", reason, v) == 1)
        finish_with(c, -TB_EEXIT, "{Class, Reason}", TB_ARGS(v[1], v[2]));
    else
        ended_by_exit(c, reason);
}

/* Most messages are no ends of calls; their first bytes tell. */
static bool
may_be_end(struct tb_term t)
{
    if (t.p[0] != ETF_SMALL_TUPLE)
        return false;
    return t.p[1] == 5 || (t.p[1] == 2 && (t.p[2] == ETF_NEWER_REFERENCE ||
                                           t.p[2] == ETF_LIST));
}

bool
tb_call_message(struct tb_proc *p, struct tb_term t)
{
    struct tb_val v[TB_MAX_HOLES];
    struct tb_pending *c = NULL;
    bool reply = false;

    if (!may_be_end(t))
        return false;
    if (tb_match("{'DOWN', Ref:ref, process, _, Reason}", t, v) == 1)
        c = find_call(p->node, v[0].ref);
    else if (tb_match("{Ref:ref, Reply}", t, v) == 1 ||
             tb_match("{[alias|Ref:ref], Reply}", t, v) == 1)
        reply = true;
    else
        return false;
    if (reply)
        c = find_call(p->node, v[0].ref);
    if (!c || c->proc != p) { /* an answer to none: swallowed, as it is late */
        p->node->count.late += reply;
        return reply && v[0].ref.node == p->node->name;
    }
    c->down = !reply;
    if (reply)
        ended_by_reply(c, v[1].term);
    else if (c->kind == TB_CALL_ERPC)
        ended_by_result(c, v[1].term);
    else if (c->kind == TB_CALL_PROBE && tb_match("noproc", v[1].term, v) == 1)
        finish(c, 0, tb_noproc);
    else
        ended_by_exit(c, v[1].term);
    return true;
}

void
tb_calls_end(struct tb_proc *p)
{
    struct tb_pending *last = TB_ENTRY(p->calls.prev, struct tb_pending, link);
    bool more = !tb_list_empty(&p->calls);

    /* a done(), or terminate, may begin new ones: see tb_calls_free() */
    while (more) {
        struct tb_pending *c = TB_ENTRY(p->calls.next, struct tb_pending, link);

        more = c != last;
        finish_with(c, -TB_ESTOPPED, "shutdown", TB_NONE);
    }
}

void
tb_calls_free(struct tb_proc *p)
{
    while (!tb_list_empty(&p->calls))
        call_free(TB_ENTRY(p->calls.next, struct tb_pending, link));
}

/* ------------------------------------------------------------- public -- */

/* Why a call that has a reference already cannot be made; NULL: it can. */
static const char *
hindrance(const struct tb_proc *self, const struct tb_wr *request)
{
    if (tb_call_is_one_too_many(self))
        return "system_limit";
    return request->bad ? "badarg" : NULL;
}

static void
build_request(struct tb_wr *w, struct tb_proc *self, struct tb_ref ref,
              const char *protocol, const char *request, struct tb_args args)
{
    struct tb_wr req = { 0 };

    tb_build(&req, request, args);
    tb_build(w, "{Protocol, {From, [alias|Ref]}, Request}",
             TB_ARGS(tb_v_atom(protocol), tb_v_pid(self->pid), tb_v_ref(ref),
                     tb_v_term(tb_wr_term(&req))));
    w->bad |= req.bad;
    tb_wr_free(&req);
}

void
tb_call(struct tb_proc *self, struct tb_pid to, const char *request,
        struct tb_args args, uint64_t timeout_ms, tb_done done, void *ctx)
{
    struct tb_ref ref =
        tb_call_expect(self, TB_CALL_GEN, timeout_ms, done, ctx);
    struct tb_wr w = { 0 };
    const char *hindered;
    struct tb_route r;

    build_request(&w, self, ref, "$gen_call", request, args);
    hindered = hindrance(self, &w);
    if (hindered) {
        tb_watch_failed(self, ref, hindered);
    } else {
        tb_watch_pid(self, ref, to);
        tb_route_to(&r, self, to);
        tb_put_term(r.w, tb_wr_term(&w));
        tb_route_end(&r);
    }
    tb_wr_free(&w);
}

/* The end of build_request() for a name. */
static void
call_name(struct tb_proc *self, const char *name, tb_atom node,
          struct tb_ref ref, struct tb_wr *request)
{
    const char *hindered = hindrance(self, request);
    struct tb_route r;

    if (hindered) {
        tb_watch_failed(self, ref, hindered);
    } else {
        tb_watch_name(self, ref, tb_text_of(name), node);
        tb_route_to_name(&r, self, tb_text_of(name), node);
        tb_put_term(r.w, tb_wr_term(request));
        tb_route_end(&r);
    }
    tb_wr_free(request);
}

void
tb_call_name(struct tb_proc *self, const char *name, tb_atom node,
             const char *request, struct tb_args args, uint64_t timeout_ms,
             tb_done done, void *ctx)
{
    struct tb_ref ref =
        tb_call_expect(self, TB_CALL_GEN, timeout_ms, done, ctx);
    struct tb_wr w = { 0 };

    build_request(&w, self, ref, "$gen_call", request, args);
    call_name(self, name, node, ref, &w);
}

void
tb_sys_name(struct tb_proc *self, const char *name, tb_atom node,
            const char *request, struct tb_args args, uint64_t timeout_ms,
            tb_done done, void *ctx)
{
    struct tb_ref ref =
        tb_call_expect(self, TB_CALL_GEN, timeout_ms, done, ctx);
    struct tb_wr w = { 0 };

    build_request(&w, self, ref, "system", request, args);
    call_name(self, name, node, ref, &w);
}

/* The peer's init process leads the spawned one: what it prints goes to the
 * peer's user, and nobody waits for io of ours. */
static void
request_spawn(struct tb_proc *self, struct tb_peer *peer, struct tb_ref ref,
              struct tb_term arguments)
{
    struct tb_pid init = { peer->name, 0, 0, peer->creation };
    struct tb_wr mfa = { 0 }, options = { 0 };

    tb_build(&mfa, "{erpc, execute_call, 4}", TB_NONE);
    tb_build(&options, "[monitor]", TB_NONE);
    tb_watch_pending(self, ref, peer);
    tb_peer_signal(peer, true, DOP_SPAWN_REQUEST,
                   TB_ARGS(tb_v_ref(ref), tb_v_pid(self->pid), tb_v_pid(init),
                           tb_v_term(tb_wr_term(&mfa)),
                           tb_v_term(tb_wr_term(&options))),
                   arguments);
    tb_wr_free(&mfa);
    tb_wr_free(&options);
}

void
tb_erpc(struct tb_proc *self, tb_atom node, const char *module,
        const char *function, const char *arglist, struct tb_args args,
        uint64_t timeout_ms, tb_done done, void *ctx)
{
    struct tb_peer *peer = tb_peer_get(self->node, node);
    struct tb_ref ref =
        tb_call_expect(self, TB_CALL_ERPC, timeout_ms, done, ctx);
    struct tb_wr list = { 0 }, w = { 0 };
    const char *hindered;

    tb_build(&list, arglist, args);
    tb_build(&w, "[Ref, M, F, Args]",
             TB_ARGS(tb_v_ref(ref), tb_v_atom(module), tb_v_atom(function),
                     tb_v_term(tb_wr_term(&list))));
    hindered = hindrance(self, &w);
    if (hindered)
        tb_watch_failed(self, ref, hindered);
    else if (peer)
        request_spawn(self, peer, ref, tb_wr_term(&w));
    else
        tb_rpc_spawn_here(self, ref, tb_wr_term(&w));
    tb_wr_free(&list);
    tb_wr_free(&w);
}

/* The end of what watches a name that nobody has is told by the emulator
 * itself: noproc is the sign of life. */
void
tb_probe(struct tb_proc *self, tb_atom node, tb_done done, void *ctx)
{
    struct tb_peer *peer = tb_peer_find(self->node, node);
    struct tb_ref ref =
        tb_call_expect(self, TB_CALL_PROBE, TB_INFINITY, done, ctx);

    if (tb_call_is_one_too_many(self))
        tb_watch_failed(self, ref, "system_limit");
    else if (peer && peer->conn)
        tb_watch_name(self, ref, tb_text_of("$tiebeam_probe"), node);
    else
        tb_watch_failed(self, ref, "noconnection");
}

/* -------------------------------------------------------------- timers -- */

struct tb_timer {
    struct tb_list link; /* in proc->timers */
    struct tb_proc *proc;
    struct tb_ref ref;
    uv_timer_t *timer;
    struct tb_wr message;
};

static void
free_timer(struct tb_timer *t)
{
    tb_map_take(t->proc->node->timers, &t->ref, sizeof(t->ref));
    tb_list_del(&t->link);
    timer_free(t->timer);
    tb_wr_free(&t->message);
    tb_free(t);
}

static void
on_send_after(uv_timer_t *handle)
{
    static const struct tb_ref none;
    struct tb_timer *t = handle->data;

    tb_proc_enqueue(t->proc, TB_MAIL_TERM, none, tb_wr_term(&t->message));
    free_timer(t);
}

struct tb_ref
tb_send_after(struct tb_proc *self, uint64_t ms, const char *msg,
              struct tb_args args)
{
    struct tb_timer *t = tb_new(struct tb_timer);

    t->proc = self;
    t->ref = tb_node_ref(self->node);
    tb_build(&t->message, msg, args);
    tb_map_put(self->node->timers, &t->ref, sizeof(t->ref), t);
    tb_list_add(&self->timers, &t->link);
    t->timer = timer_new(self->node, ms, on_send_after, t);
    return t->ref;
}

bool
tb_cancel_timer(struct tb_proc *self, struct tb_ref ref)
{
    struct tb_timer *t = tb_map_get(self->node->timers, &ref, sizeof(ref));

    if (!t || t->proc != self)
        return false;
    free_timer(t);
    return true;
}

void
tb_timers_free(struct tb_proc *p)
{
    while (!tb_list_empty(&p->timers))
        free_timer(TB_ENTRY(p->timers.next, struct tb_timer, link));
}
