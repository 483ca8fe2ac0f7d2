/* rpc.c - functions that peers may call: rpc, erpc and spawn.
 * In Erlang: erpc:execute_call/4, erpc:execute_cast/3, and spawned processes.
 *
 * A request makes a process here, the worker. It asks the process whose clause
 * table has the function (TB_FUN), waits for the answer, and ends; its exit
 * reason is what its caller sees. So links, monitors and exit signals work on
 * it as on any process.
 * Owns: nothing. Thread: loop. Source: erpc.erl; erl_dist_protocol,
 * SPAWN_REQUEST. */
#include "node/rpc.h"

#include <string.h>

#include "base/mem.h"
#include "node/gen.h"
#include "node/route.h"
#include "node/watch.h"
#include "term/get.h"
#include "term/ident.h"
#include "term/put.h"

struct worker {
    struct tb_wr result_ref; /* of erpc:execute_call; empty: nobody asks */
    struct tb_wr mfa;        /* {Module, Function, Args} */
    struct tb_ref owner;     /* our monitor on who has the function */
};

/* What a worker is started with; borrowed. */
struct job {
    struct tb_term result_ref; /* n == 0: none */
    struct tb_val module, function;
    struct tb_term args;
};

/* --------------------------------------------------------------- ends -- */

static int
end_with_error(struct tb_proc *self, struct worker *w, struct tb_term reason)
{
    struct tb_val v[TB_MAX_HOLES], why = tb_v_term(reason);

    if (tb_match("{M, F, Args}", tb_wr_term(&w->mfa), v) != 1)
        return tb_stop(self, "{error, system_limit}", TB_NONE);
    if (w->result_ref.len)
        return tb_stop(self, "{Ref, error, Reason, [{M, F, Args, []}]}",
                       TB_ARGS(tb_v_term(tb_wr_term(&w->result_ref)), why, v[0],
                               v[1], v[2]));
    return tb_stop(self, "{Reason, [{M, F, Args, []}]}",
                   TB_ARGS(why, v[0], v[1], v[2]));
}

static int
on_value(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct worker *w = state;

    if (!w->result_ref.len)
        return tb_stop(self, "normal", TB_NONE);
    return tb_stop(self, "{Ref, return, Value}",
                   TB_ARGS(tb_v_term(tb_wr_term(&w->result_ref)), m->arg[0]));
}

static int
on_raise(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    return end_with_error(self, state, m->arg[0].term);
}

static int
on_owner_down(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct worker *w = state;

    if (!w->result_ref.len)
        return tb_stop(self, "Reason", TB_ARGS(m->arg[0]));
    return tb_stop(self, "{Ref, exit, Reason}",
                   TB_ARGS(tb_v_term(tb_wr_term(&w->result_ref)), m->arg[0]));
}

/* -------------------------------------------------------------- begin -- */

/* A process that has this function: with these arguments, or of this arity. */
static struct tb_proc *
owner_of(struct tb_node *node, struct tb_term mfa)
{
    struct tb_val v[TB_MAX_HOLES];

    TB_LIST_EACH (p, &node->have_funs, struct tb_proc, have_fun)
        for (size_t i = 0; i < p->code->n; i++)
            if (p->code->clause[i].kind == TB_FUN &&
                tb_pattern_match(p->code->clause[i].pattern, mfa, true, v))
                return p;
    return NULL;
}

static int
worker_init(struct tb_proc *self, void *state, const void *arg)
{
    struct worker *w = state;
    const struct job *job = arg;
    struct tb_proc *owner;
    struct tb_wr undef = { 0 };

    if (job->result_ref.n)
        tb_put_term(&w->result_ref, job->result_ref);
    tb_build(&w->mfa, "{M, F, Args}",
             TB_ARGS(job->module, job->function, tb_v_term(job->args)));
    owner = owner_of(self->node, tb_wr_term(&w->mfa));
    if (!owner) {
        tb_build(&undef, "undef", TB_NONE);
        end_with_error(self, w, tb_wr_term(&undef));
        tb_wr_free(&undef);
        return 0;
    }
    w->owner = tb_monitor(self, owner->pid);
    tb_send(self, owner->pid, "{'$tb_fun', {From, ['$fun'|Ref]}, MFA}",
            TB_ARGS(tb_v_pid(self->pid), tb_v_ref(w->owner),
                    tb_v_term(tb_wr_term(&w->mfa))));
    return 0;
}

static void
worker_terminate(struct tb_proc *self, void *state, struct tb_term why)
{
    struct worker *w = state;

    (void)self;
    (void)why;
    tb_wr_free(&w->result_ref);
    tb_wr_free(&w->mfa);
}

/* clang-format off */
static const struct tb_clause clauses[] = {
    { TB_INFO, "{['$fun'|_], Value}",               on_value      },
    { TB_INFO, "{['$raise'|_], Reason}",            on_raise      },
    { TB_INFO, "{'DOWN', _, process, _, Reason}",   on_owner_down },
    { 0 },
};
/* clang-format on */

static const struct tb_service worker_service = {
    .state_size = sizeof(struct worker),
    .init = worker_init,
    .terminate = worker_terminate,
    .clauses = clauses,
};

/* ----------------------------------------------------------- requests -- */

static bool
has_option(struct tb_term options, const char *name)
{
    struct tb_elems e;
    struct tb_term item;
    struct tb_text text;

    for (tb_elems_open(&e, options); tb_elems_next(&e, &item);)
        if (tb_get_atom(item, &text) && tb_text_is(text, name))
            return true;
    return false;
}

/* erpc's own functions are unwrapped; any other is called as it stands. */
static bool
job_of(struct job *job, struct tb_term mfa, struct tb_term args)
{
    struct tb_val v[TB_MAX_HOLES], a[TB_MAX_HOLES];

    *job = (struct job){ 0 };
    if (tb_match("{M:atom, F:atom, Arity:int}", mfa, v) != 1 ||
        !tb_is_list(args))
        return false;
    if (tb_text_is(v[0].text, "erpc") &&
        tb_text_is(v[1].text, "execute_call") &&
        tb_match("[Ref, M:atom, F:atom, Args:list]", args, a) == 1 &&
        a[0].term.n <= TB_MAX_TAG) { /* it is kept */
        *job = (struct job){ a[0].term, a[1], a[2], a[3].term };
        return true;
    }
    if (tb_text_is(v[0].text, "erpc") &&
        tb_text_is(v[1].text, "execute_cast") &&
        tb_match("[M:atom, F:atom, Args:list]", args, a) == 1) {
        *job = (struct job){ { 0 }, a[0], a[1], a[2].term };
        return true;
    }
    *job = (struct job){ { 0 }, v[0], v[1], args };
    return true;
}

static void
spawn_reply(struct tb_peer *peer, struct tb_ref request, struct tb_pid to,
            int64_t flags, struct tb_val result)
{
    static const struct tb_term none;

    tb_peer_signal(
        peer, false, DOP_SPAWN_REPLY,
        TB_ARGS(tb_v_ref(request), tb_v_pid(to), tb_v_int(flags), result),
        none);
}

void
tb_rpc_spawn_request(struct tb_peer *peer, struct tb_ref request,
                     struct tb_pid from, struct tb_term mfa,
                     struct tb_term options, struct tb_term args)
{
    bool link = has_option(options, "link");
    bool monitor = has_option(options, "monitor");
    struct tb_proc *p;
    struct job job;

    if (!job_of(&job, mfa, args)) {
        spawn_reply(peer, request, from, 0, tb_v_atom("badarg"));
        return;
    }
    if (peer->n_ongoing >= TB_MAX_ONGOING || tb_watch_are_many(peer, link) ||
        tb_proc_new(peer->node, &worker_service, &job, NULL, &p) < 0) {
        spawn_reply(peer, request, from, 0, tb_v_atom("system_limit"));
        return;
    }
    p->origin = peer->name;
    peer->n_ongoing++;
    /* always, and before its end is told */
    spawn_reply(peer, request, from,
                (link ? DOP_SPAWN_LINK : 0) | (monitor ? DOP_SPAWN_MONITOR : 0),
                tb_v_pid(p->pid));
    tb_watch_spawned(p, peer, from, request, link, monitor);
}

void
tb_rpc_spawn_here(struct tb_proc *self, struct tb_ref ref, struct tb_term args)
{
    struct tb_val a[TB_MAX_HOLES];
    struct tb_proc *p;
    struct job job;

    if (args.n == 0 ||
        tb_match("[Ref, M:atom, F:atom, Args:list]", args, a) != 1) {
        tb_watch_failed(self, ref, "badarg");
        return;
    }
    job = (struct job){ a[0].term, a[1], a[2], a[3].term };
    if (tb_proc_new(self->node, &worker_service, &job, NULL, &p) == 0)
        tb_watch_pid(self, ref, p->pid);
    else
        tb_watch_failed(self, ref, "system_limit");
}
