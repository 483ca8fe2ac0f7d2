/* gen.c - what a message is to a process: gen_server in C.
 * In Erlang: gen_server:loop/7. Owns: nothing. Thread: loop.
 * Source: gen.erl, gen_server.erl. */
#include "node/gen.h"

#include <string.h>

#include "base/mem.h"
#include "node/call.h"
#include "node/route.h"
#include "term/get.h"
#include "term/ident.h"
#include "term/put.h"

enum envelope {
    ENV_CALL,
    ENV_CAST,
    ENV_SYSTEM,
    ENV_FUN,
    ENV_EXIT,
    ENV_IO,
    ENV_COUNT
};

static const char *const envelopes[ENV_COUNT] = {
    [ENV_CALL] = "{'$gen_call', {From:pid, Tag}, Request}",
    [ENV_CAST] = "{'$gen_cast', Request}",
    [ENV_SYSTEM] = "{system, {From:pid, Tag}, Request}",
    [ENV_FUN] = "{'$tb_fun', {From:pid, Tag}, MFA:tuple}",
    [ENV_EXIT] = "{'EXIT', From:pid, Reason}",
    [ENV_IO] = "{io_request, From:pid, ReplyAs, _}",
};
static _Thread_local struct tb_pattern *compiled[ENV_COUNT];

int
tb_gen_init(void)
{
    int rc = 0;

    for (int i = 0; i < ENV_COUNT && rc == 0; i++)
        if (!compiled[i])
            compiled[i] = tb_pattern_new(envelopes[i], &rc);
    return rc;
}

void
tb_gen_fini(void)
{
    for (int i = 0; i < ENV_COUNT; i++) {
        tb_free(compiled[i]);
        compiled[i] = NULL;
    }
}

static bool
is_parents_exit(const struct tb_proc *p, const struct tb_val v[])
{
    return tb_pid_eq(v[0].pid, p->parent) && !tb_pid_eq(p->pid, p->parent);
}

bool
tb_gen_is_urgent(const struct tb_proc *p, struct tb_term t)
{
    struct tb_val v[TB_MAX_HOLES];

    return tb_pattern_match(compiled[ENV_SYSTEM], t, false, v) ||
           (tb_pattern_match(compiled[ENV_EXIT], t, false, v) &&
            is_parents_exit(p, v));
}

/* ------------------------------------------------------------ clauses -- */

void
tb_compiled_free(void *code)
{
    struct tb_compiled *c = code;

    for (size_t i = 0; i < c->n; i++)
        tb_free(c->clause[i].pattern);
    tb_free(c);
}

struct tb_compiled *
tb_gen_compile(const struct tb_service *s, int *error)
{
    struct tb_compiled *code;
    size_t n = 0;

    while (s->clauses && s->clauses[n].kind != TB_END)
        n++;
    code = tb_alloc(sizeof(*code) + n * sizeof(code->clause[0]));
    code->n = n;
    for (size_t i = 0; i < n; i++) {
        const struct tb_clause *c = &s->clauses[i];

        code->clause[i] =
            (struct tb_clause_code){ c->kind, tb_pattern_new(c->pattern, error),
                                     c->fn };
        code->has_funs |= c->kind == TB_FUN;
        if (!code->clause[i].pattern) {
            tb_log(TB_ERROR, "service.bad_pattern", "name=%s pattern=%s",
                   s->name ? s->name : "-", c->pattern);
            tb_compiled_free(code);
            return NULL;
        }
    }
    return code;
}

/* The handler's result, or 1 where no clause matches. */
#define NO_CLAUSE 1000

static int
run_clause(struct tb_proc *p, enum tb_kind kind, struct tb_msg *m)
{
    for (size_t i = 0; i < p->code->n; i++) {
        const struct tb_clause_code *c = &p->code->clause[i];

        if (c->kind == kind &&
            tb_pattern_match(c->pattern, m->term, false, m->arg))
            return c->fn(p, p->state, m);
    }
    return NO_CLAUSE;
}

/* ------------------------------------------------------------ messages -- */

static int
on_call(struct tb_proc *p, struct tb_msg *m)
{
    int rc = run_clause(p, TB_CALL, m);

    if (rc != NO_CLAUSE)
        return rc;
    p->node->count.unexpected++;
    return tb_reply(p, m, "{error, unknown_call}", TB_NONE);
}

static int
on_fun(struct tb_proc *p, struct tb_msg *m)
{
    int rc = run_clause(p, TB_FUN, m);

    return rc == NO_CLAUSE ? tb_raise(p, m, "badarg", TB_NONE) : rc;
}

static int
on_other(struct tb_proc *p, enum tb_kind kind, struct tb_msg *m)
{
    int rc = run_clause(p, kind, m);

    if (rc != NO_CLAUSE)
        return rc;
    p->node->count.unexpected++;
    return TB_NOREPLY;
}

/* Somebody took us for a group leader; nobody shall wait for our io. */
static int
on_io_request(struct tb_proc *p, const struct tb_val v[])
{
    tb_send(p, v[0].pid, "{io_reply, ReplyAs, {error, request}}",
            TB_ARGS(v[1]));
    return TB_NOREPLY;
}

static int
dispatch(struct tb_proc *p, enum envelope env, struct tb_val v[],
         struct tb_msg *m)
{
    if (env == ENV_CAST) {
        m->term = v[0].term;
        return on_other(p, TB_CAST, m);
    }
    if (env == ENV_IO)
        return on_io_request(p, v);
    if (env == ENV_EXIT)
        return is_parents_exit(p, v) ? tb_stop(p, "Reason", TB_ARGS(v[1]))
                                     : on_other(p, TB_INFO, m);
    if (v[1].term.n > TB_MAX_TAG) /* of no caller; and it may be kept */
        return on_other(p, TB_INFO, m);
    m->from = (struct tb_from){ v[0].pid, v[1].term };
    m->term = v[2].term;
    if (env == ENV_SYSTEM)
        return tb_sys_request(p, &m->from, m->term);
    return env == ENV_CALL ? on_call(p, m) : on_fun(p, m);
}

int
tb_gen_message(struct tb_proc *p, struct tb_term t)
{
    struct tb_val v[TB_MAX_HOLES];
    struct tb_msg m;

    m.term = t;
    m.from = (struct tb_from){ 0 };
    for (int i = 0; i < ENV_COUNT; i++)
        if (tb_pattern_match(compiled[i], t, false, v))
            return dispatch(p, (enum envelope)i, v, &m);
    if (tb_call_message(p, t))
        return TB_NOREPLY;
    return on_other(p, TB_INFO, &m);
}

/* ------------------------------------------------------------- replies -- */

struct tb_atom_table *
tb_atom_table_for(struct tb_proc *self, const struct tb_from *from)
{
    return tb_route_takes_tables(self, from) ? tb_atom_table_new() : NULL;
}

int
tb_reply_with(struct tb_proc *self, const struct tb_from *from,
              const struct tb_atom_table *t, struct tb_term reply)
{
    struct tb_route r;
    int sent;

    tb_route_to_caller(&r, self, from, t);
    tb_put_tuple(r.w, 2);
    tb_put_term(r.w, from->tag);
    tb_put_term(r.w, reply);
    sent = tb_route_end(&r);
    return sent < 0 ? sent : TB_NOREPLY;
}

int
tb_reply_to(struct tb_proc *self, const struct tb_from *from, const char *reply,
            struct tb_args args)
{
    struct tb_route r;
    int rc, sent;

    tb_route_to_caller(&r, self, from, NULL);
    tb_put_tuple(r.w, 2);
    tb_put_term(r.w, from->tag);
    rc = tb_build(r.w, reply, args);
    sent = tb_route_end(&r);
    /* too large, or a value that no peer would take */
    return rc < 0 ? rc : sent < 0 ? sent : TB_NOREPLY;
}

int
tb_reply(struct tb_proc *self, const struct tb_msg *m, const char *reply,
         struct tb_args args)
{
    return tb_reply_to(self, &m->from, reply, args);
}

int
tb_raise(struct tb_proc *self, const struct tb_msg *m, const char *reason,
         struct tb_args args)
{
    struct tb_wr why = { 0 }, tag = { 0 };
    struct tb_val v[TB_MAX_HOLES];
    struct tb_from from = m->from;
    int rc;

    tb_build(&why, reason, args);
    if (tb_match("['$fun'|Ref:ref]", from.tag, v) == 1) {
        tb_build(&tag, "['$raise'|Ref]", TB_ARGS(v[0]));
        from.tag = tb_wr_term(&tag);
        rc = tb_reply_to(self, &from, "Why",
                         TB_ARGS(tb_v_term(tb_wr_term(&why))));
    } else {
        rc = tb_reply_to(self, &from, "{error, Why}",
                         TB_ARGS(tb_v_term(tb_wr_term(&why))));
    }
    tb_wr_free(&why);
    tb_wr_free(&tag);
    return rc;
}

struct tb_from *
tb_from_keep(const struct tb_msg *m)
{
    struct tb_from *from = tb_alloc(sizeof(*from) + m->from.tag.n);
    uint8_t *tag = (uint8_t *)(from + 1);

    memcpy(tag, m->from.tag.p, m->from.tag.n);
    *from = (struct tb_from){ m->from.pid, { tag, m->from.tag.n } };
    return from;
}

void
tb_from_free(struct tb_from *from)
{
    tb_free(from);
}
