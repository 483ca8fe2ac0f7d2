/* cluster_seat.c - what the configuration says of a cluster: nodes through
 * which it is found, and whether this node has a member in it.
 *
 * That member answers a gen_server:call to {global, Cluster} while it leads:
 * leader, plist and {mod_plist, Type}, also in gen_cluster's form.
 * Owns: what the configuration says, shared with who read it. Thread: loop. */
#include <string.h>

#include "services/services.h"

#define SEEDS_MS 5000u /* until those that were lost are dialled again */
#define AGAIN_MS 200u  /* until a service that has ended is asked again */
#define PASS_MS  50u   /* until we look again who leads, */
#define PASSES   40    /* so often at most */
#define ASK_MS   5000u

struct tb_seat {
    unsigned holders; /* who may use it still */
    struct tb_wr cluster, opts;
    struct tb_pid pid; /* of the process; .node 0: there was none yet */
    bool leaving;
};

struct seat {
    struct tb_seat *config;
    struct tb_wr type;    /* of our member; of no length: there is none */
    struct tb_ref seeds;  /* .n 0: there are none */
    bool joins;           /* a timer runs, to join again */
    unsigned passes;      /* left */
    struct tb_from *told; /* who waits for the change, or the end; or NULL */
};

/* ------------------------------------------------------------- options -- */

static bool
is_seed(const struct tb_val *h)
{
    return tb_rule_is_node(h[0].term);
}

/* clang-format off */
const struct tb_rule tb_cluster_rules[] = {
    { "seed",   "Node",       is_seed,   "a node, or a list of nodes" },
    { "seed",   "Nodes:list", tb_rule_are_nodes, NULL                  },
    { "member", "Type",       NULL,      "the type of our member"     },
    { 0 },
};
/* clang-format on */

/* ---------------------------------------------------------------- seeds -- */

static int
on_dialled(struct tb_proc *self, void *state, void *ctx, int status,
           struct tb_term result)
{
    (void)self;
    (void)state;
    (void)ctx;
    (void)status; /* it is dialled again */
    (void)result;
    return TB_NOREPLY;
}

static void
dial(struct tb_proc *self, tb_atom node)
{
    struct tb_peer_info info;

    if (node && node != tb_node_name(tb_self_node(self)) &&
        !tb_peer_info(tb_self_node(self), node, &info))
        tb_connect(self, node, on_dialled, NULL);
}

/* The value of that key; .n 0: there is none. */
static struct tb_term
option(const struct seat *s, const char *key)
{
    struct tb_val h[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term item;

    for (tb_elems_open(&e, tb_wr_term(&s->config->opts));
         tb_elems_next(&e, &item);)
        if (tb_match("{Key:atom, Value}", item, h) == 1 &&
            tb_text_is(h[0].text, key))
            return h[1].term;
    return (struct tb_term){ 0 };
}

static void
dial_seeds(struct tb_proc *self, struct seat *s)
{
    struct tb_term seeds = option(s, "seed"), item;
    struct tb_elems e;

    if (s->seeds.n)
        tb_cancel_timer(self, s->seeds);
    s->seeds.n = 0;
    if (seeds.n == 0)
        return;
    if (tb_rule_is_node(seeds))
        dial(self, tb_rule_node(seeds));
    else
        for (tb_elems_open(&e, seeds); tb_elems_next(&e, &item);)
            dial(self, tb_rule_node(item));
    s->seeds = tb_send_after(self, SEEDS_MS, "seeds", TB_NONE);
}

static int
on_seeds(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)m;
    dial_seeds(self, state);
    return TB_NOREPLY;
}

/* --------------------------------------------------------------- member -- */

static struct tb_val
cluster_of(const struct seat *s)
{
    return tb_v_term(tb_wr_term(&s->config->cluster));
}

static void
join(struct tb_proc *self, struct seat *s)
{
    struct tb_term type = option(s, "member");

    s->type.len = 0;
    if (!type.n || s->config->leaving)
        return;
    tb_wr_bytes(&s->type, type.p, type.n);
    tb_cluster_join(self, cluster_of(s), tb_v_term(type));
}

static int
on_join(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct seat *s = state;

    (void)m;
    s->joins = false;
    join(self, s);
    return TB_NOREPLY;
}

static int
on_down(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct seat *s = state;

    (void)m;
    if (!s->joins)
        tb_send_after(self, AGAIN_MS, "join", TB_NONE);
    s->joins = true;
    return TB_NOREPLY;
}

static int
on_leader(struct tb_proc *self, void *state, struct tb_term cluster,
          struct tb_pid leader)
{
    struct tb_wr name = { .max = 256 };

    (void)state;
    tb_print(&name, cluster);
    if (tb_pid_eq(leader, tb_self(self)))
        tb_log(TB_NOTICE, "cluster.leader", "cluster=%.*s leads it",
               (int)name.len, (const char *)name.buf);
    tb_wr_free(&name);
    return TB_NOREPLY;
}

static int
on_event(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    static const struct tb_cluster_events events = { .leader = on_leader };

    return tb_cluster_event(self, state, m, &events);
}

static int
on_answer(struct tb_proc *self, void *state, void *ctx, int status,
          struct tb_term result)
{
    struct tb_from *from = ctx;
    int rc = status == 0
                 ? tb_reply_to(self, from, "Result", TB_ARGS(tb_v_term(result)))
                 : tb_reply_to(self, from, "{error, Why}",
                               TB_ARGS(tb_v_term(result)));

    (void)state;
    tb_from_free(from);
    return rc;
}

static void
ask(struct tb_proc *self, const struct seat *s, const char *request,
    struct tb_val more, tb_done done, void *ctx)
{
    struct tb_val v[] = { cluster_of(s), more };
    struct tb_args args = { more.type == TB_T_NONE ? 1 : 2, v };

    tb_call_name(self, "process_cluster", tb_node_name(tb_self_node(self)),
                 request, args, ASK_MS, done, ctx);
}

static int
forward(struct tb_proc *self, const struct seat *s, const struct tb_msg *m,
        const char *request, struct tb_val more)
{
    ask(self, s, request, more, on_answer, tb_from_keep(m));
    return TB_NOREPLY;
}

static int
on_ask_leader(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    return forward(self, state, m, "{leader, C}", (struct tb_val){ 0 });
}

static int
on_ask_plist(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    return forward(self, state, m, "{plist, C}", (struct tb_val){ 0 });
}

static int
on_ask_mod_plist(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    return forward(self, state, m, "{mod_plist, C, T}", m->arg[0]);
}

static int
on_ask_name(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    return tb_reply(self, m, "Name", TB_ARGS(cluster_of(state)));
}

/* -------------------------------------------------------------- changes -- */

static int
done(struct tb_proc *self, struct seat *s)
{
    if (s->told)
        tb_reply_to(self, s->told, "ok", TB_NONE);
    tb_from_free(s->told);
    s->told = NULL;
    if (!s->config->leaving)
        return TB_NOREPLY;
    tb_let_go(self);
    return tb_stop(self, "normal", TB_NONE);
}

/* Whoever comes next has the name before we end: else there would be a while
 * in which nobody leads. */
static int
on_who_leads(struct tb_proc *self, void *state, void *ctx, int status,
             struct tb_term result)
{
    struct seat *s = state;
    struct tb_val h[TB_MAX_HOLES];

    (void)ctx;
    if (status != 0 || tb_match("Leader:pid", result, h) != 1 ||
        !tb_pid_eq(h[0].pid, tb_self(self)) || s->passes == 0)
        return status == -TB_ESTOPPED ? TB_NOREPLY : done(self, s);
    s->passes--;
    tb_send_after(self, PASS_MS, "pass", TB_NONE);
    return TB_NOREPLY;
}

static int
on_pass(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    const struct seat *s = state;

    (void)m;
    if (s->config->leaving)
        ask(self, s, "{leader, C}", (struct tb_val){ 0 }, on_who_leads, NULL);
    return TB_NOREPLY;
}

/* Where the service has ended, so have the memberships. */
static int
on_left(struct tb_proc *self, void *state, void *ctx, int status,
        struct tb_term result)
{
    struct seat *s = state;

    (void)ctx;
    (void)result;
    if (status == -TB_ESTOPPED)
        return TB_NOREPLY;
    if (s->config->leaving)
        return on_pass(self, s, NULL);
    join(self, s);
    return done(self, s);
}

/* What comes meanwhile is seen when that is done. */
static int
leave(struct tb_proc *self, struct seat *s, const struct tb_msg *m)
{
    if (s->told)
        return tb_reply(self, m, "ok", TB_NONE);
    s->told = tb_from_keep(m);
    if (s->type.len) {
        s->passes = PASSES;
        ask(self, s, "{leave, C, Self}", tb_v_pid(tb_self(self)), on_left,
            NULL);
        return TB_NOREPLY;
    }
    join(self, s);
    return done(self, s);
}

static int
on_changed(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct seat *s = state;
    struct tb_term type = option(s, "member");

    dial_seeds(self, s);
    if (type.n == s->type.len &&
        (type.n == 0 || memcmp(type.p, s->type.buf, type.n) == 0))
        return tb_reply(self, m, "ok", TB_NONE);
    return leave(self, s, m);
}

static int
on_leave_service(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct seat *s = state;

    return s->config->leaving ? leave(self, s, m)
                              : tb_reply(self, m, "{error, badarg}", TB_NONE);
}

/* It has crashed while it was about to leave. */
static int
on_late(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)m;
    return done(self, state);
}

/* --------------------------------------------------- life, death -- */

struct tb_seat *
tb_seat_new(struct tb_term cluster, struct tb_term opts)
{
    struct tb_seat *seat = tb_new(struct tb_seat);

    seat->holders = 1;
    tb_wr_bytes(&seat->cluster, cluster.p, cluster.n);
    tb_wr_bytes(&seat->opts, opts.p, opts.n);
    return seat;
}

void
tb_seat_free(struct tb_seat *seat)
{
    if (!seat || --seat->holders > 0)
        return;
    tb_wr_free(&seat->cluster);
    tb_wr_free(&seat->opts);
    tb_free(seat);
}

void
tb_seat_change(struct tb_seat *seat, struct tb_term opts)
{
    seat->opts.len = 0;
    tb_wr_bytes(&seat->opts, opts.p, opts.n);
}

void
tb_seat_leave(struct tb_seat *seat)
{
    seat->leaving = true;
}

struct tb_pid
tb_seat_pid(const struct tb_seat *seat)
{
    return seat->pid;
}

static int
init(struct tb_proc *self, void *state, const void *arg)
{
    struct seat *s = state;

    s->config = (struct tb_seat *)(uintptr_t)arg;
    s->config->pid = tb_self(self);
    if (s->config->leaving) {
        tb_send(self, tb_self(self), "late", TB_NONE);
        return 0;
    }
    join(self, s);
    dial_seeds(self, s);
    return 0;
}

static void
terminate(struct tb_proc *self, void *state, struct tb_term why)
{
    struct seat *s = state;

    (void)self;
    (void)why;
    tb_wr_free(&s->type);
    tb_from_free(s->told);
}

/* clang-format off */
static const struct tb_clause clauses[] = {
    { TB_CALL, "leader",                                    on_ask_leader    },
    { TB_CALL, "plist",                                     on_ask_plist     },
    { TB_CALL, "{mod_plist, Type}",                         on_ask_mod_plist },
    { TB_CALL, "{'$gen_cluster', leader}",                  on_ask_leader    },
    { TB_CALL, "{'$gen_cluster', plist}",                   on_ask_plist     },
    { TB_CALL, "{'$gen_cluster', {mod_plist, Type}}",       on_ask_mod_plist },
    { TB_CALL, "{'$gen_cluster', globally_registered_name}", on_ask_name     },
    { TB_INFO, TB_CLUSTER_EVENT,                            on_event         },
    { TB_INFO, TB_CLUSTER_DOWN,                             on_down          },
    { TB_INFO, "join",                                      on_join          },
    { TB_INFO, "seeds",                                     on_seeds         },
    { TB_INFO, "pass",                                      on_pass          },
    { TB_INFO, "late",                                      on_late          },
    { TB_CALL, TB_SEAT_CHANGED,                             on_changed       },
    { TB_CALL, TB_SEAT_LEAVE,                               on_leave_service },
    { 0 },
};
/* clang-format on */

const struct tb_service tb_cluster_seat = {
    .state_size = sizeof(struct seat),
    .trap_exit = true,
    .init = init,
    .terminate = terminate,
    .clauses = clauses,
};

static void
let_go(void *seat)
{
    tb_seat_free(seat);
}

int
tb_seat_start(struct tb_node *node, struct tb_seat *seat)
{
    seat->holders++;
    return tb_start_owned(node, &tb_cluster_seat, seat, let_go, TB_PERMANENT,
                          NULL);
}
