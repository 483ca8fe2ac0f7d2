/* cluster_seat.c - what the configuration says of a cluster: nodes through
 * which it is found, and whether this node has a member in it.
 *
 * That member answers a gen_server:call to {global, Cluster} while it leads:
 * leader, plist and {mod_plist, Type}, also in gen_cluster's form.
 * Owns: nothing. Thread: loop. */
#include "services/services.h"

#define SEEDS_MS 5000u /* until those that were lost are dialled again */
#define AGAIN_MS 200u  /* until a service that has ended is asked again */

struct seat {
    const struct tb_cluster_config *config;
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

    for (tb_elems_open(&e, s->config->opts); tb_elems_next(&e, &item);)
        if (tb_match("{Key:atom, Value}", item, h) == 1 &&
            tb_text_is(h[0].text, key))
            return h[1].term;
    return (struct tb_term){ 0 };
}

static int
on_seeds(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_term seeds = option(state, "seed"), item;
    struct tb_elems e;

    (void)m;
    if (seeds.n == 0)
        return TB_NOREPLY;
    if (tb_rule_is_node(seeds))
        dial(self, tb_rule_node(seeds));
    else
        for (tb_elems_open(&e, seeds); tb_elems_next(&e, &item);)
            dial(self, tb_rule_node(item));
    tb_send_after(self, SEEDS_MS, "seeds", TB_NONE);
    return TB_NOREPLY;
}

/* --------------------------------------------------------------- member -- */

static int
on_join(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct seat *s = state;
    struct tb_term type = option(s, "member");

    (void)m;
    if (type.n)
        tb_cluster_join(self, tb_v_term(s->config->cluster), tb_v_term(type));
    return TB_NOREPLY;
}

static int
on_down(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    (void)m;
    tb_send_after(self, AGAIN_MS, "join", TB_NONE);
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

static int
forward(struct tb_proc *self, const struct seat *s, const struct tb_msg *m,
        const char *request, struct tb_val more)
{
    struct tb_val v[] = { tb_v_term(s->config->cluster), more };
    struct tb_args args = { more.type == TB_T_NONE ? 1 : 2, v };

    tb_call_name(self, "process_cluster", tb_node_name(tb_self_node(self)),
                 request, args, 5000, on_answer, tb_from_keep(m));
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
    struct seat *s = state;

    return tb_reply(self, m, "Name", TB_ARGS(tb_v_term(s->config->cluster)));
}

static int
init(struct tb_proc *self, void *state, const void *arg)
{
    struct seat *s = state;

    s->config = arg;
    on_join(self, s, NULL);
    return on_seeds(self, s, NULL);
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
    { 0 },
};
/* clang-format on */

const struct tb_service tb_cluster_seat = {
    .state_size = sizeof(struct seat),
    .trap_exit = true,
    .init = init,
    .clauses = clauses,
};
