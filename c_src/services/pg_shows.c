/* pg_shows.c - what a scope is asked: its groups, their members, how many.
 * In Erlang: the questions of pg, as calls.
 * Owns: nothing. Thread: loop. */
#include "services/pg.h"

static int
reply_list(struct tb_proc *self, const struct tb_msg *m, struct tb_wr *w)
{
    int rc = tb_reply(self, m, "List", TB_ARGS(tb_v_term(tb_wr_term(w))));

    tb_wr_free(w);
    return rc;
}

int
tb_pg_on_get_members(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_wr w = { 0 };

    tb_pg_put_members(state, m->arg[0].term, false, &w);
    return reply_list(self, m, &w);
}

int
tb_pg_on_get_local_members(struct tb_proc *self, void *state,
                           const struct tb_msg *m)
{
    struct tb_wr w = { 0 };

    tb_pg_put_members(state, m->arg[0].term, true, &w);
    return reply_list(self, m, &w);
}

int
tb_pg_on_which_groups(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_wr w = { 0 };

    tb_pg_put_groups(state, false, &w);
    return reply_list(self, m, &w);
}

int
tb_pg_on_which_local_groups(struct tb_proc *self, void *state,
                            const struct tb_msg *m)
{
    struct tb_wr w = { 0 };

    tb_pg_put_groups(state, true, &w);
    return reply_list(self, m, &w);
}

struct tally {
    size_t n;
    struct tb_wr list;
};

static void
put_peer(void *ctx, void *value)
{
    struct tally *t = ctx;
    const struct tb_pg_peer *p = value;

    if (!p->pid.node)
        return;
    tb_build(&t->list, "Node", TB_ARGS(tb_v_node(p->node)));
    t->n++;
}

int
tb_pg_on_info(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_pg *pg = state;
    struct tally peers = { 0 };
    struct tb_wr list = { 0 };
    int rc;

    tb_map_each(pg->peers, put_peer, &peers);
    tb_build_list(&list, peers.n, &peers.list);
    rc = tb_reply(self, m,
                  "#{scope => S, peers => P, groups => G, members => M, "
                  "local => L, monitors => W}",
                  TB_ARGS(tb_v_atom(pg->scope), tb_v_term(tb_wr_term(&list)),
                          tb_v_int((int64_t)tb_map_count(pg->groups)),
                          tb_v_int((int64_t)tb_map_count(pg->members)),
                          tb_v_int((int64_t)pg->n_locals),
                          tb_v_int((int64_t)tb_map_count(pg->watch_of))));
    tb_wr_free(&list);
    tb_wr_free(&peers.list);
    return rc;
}
