/* cluster_client.c - being a member of a cluster, for processes in C.
 * In Erlang: tiebeam_cluster, the callbacks of that behaviour.
 * Owns: nothing. Thread: loop. */
#include "services/services.h"

static int
on_answer(struct tb_proc *self, void *state, void *ctx, int status,
          struct tb_term result)
{
    (void)self;
    (void)state;
    (void)ctx;
    (void)status; /* where the service has ended, TB_CLUSTER_DOWN tells */
    (void)result;
    return TB_NOREPLY;
}

void
tb_cluster_join(struct tb_proc *self, struct tb_val cluster, struct tb_val type)
{
    tb_atom us = tb_node_name(tb_self_node(self));

    tb_monitor_name(self, "process_cluster", us);
    tb_call_name(self, "process_cluster", us, "{join, Cluster, Type, Self}",
                 TB_ARGS(cluster, type, tb_v_pid(tb_self(self))), 30000,
                 on_answer, NULL);
}

static int
tell_members(struct tb_proc *self, void *state, const struct tb_msg *m,
             const struct tb_cluster_events *e, const struct tb_val *h)
{
    struct tb_val leader[TB_MAX_HOLES];
    int rc = TB_NOREPLY;

    if (e->members)
        rc = e->members(self, state, m->arg[0].term, h[0].term);
    if (rc == TB_NOREPLY && e->leader &&
        tb_match("Leader:pid", h[1].term, leader) == 1)
        rc = e->leader(self, state, m->arg[0].term, leader[0].pid);
    return rc;
}

int
tb_cluster_event(struct tb_proc *self, void *state, const struct tb_msg *m,
                 const struct tb_cluster_events *e)
{
    struct tb_term cluster = m->arg[0].term, event = m->arg[1].term;
    struct tb_val h[TB_MAX_HOLES];

    if (tb_match("{plist, Plist:list, Leader}", event, h) == 1)
        return tell_members(self, state, m, e, h);
    if (e->join && tb_match("{join, Type, Pid:pid, F:atom}", event, h) == 1)
        return e->join(self, state, cluster, h[0].term, h[1].pid,
                       tb_text_is(h[2].text, "true"));
    if (e->leave && tb_match("{leave, Type, Pid:pid, Reason}", event, h) == 1)
        return e->leave(self, state, cluster, h[0].term, h[1].pid, h[2].term);
    if (e->leader && tb_match("{leader, Pid:pid}", event, h) == 1)
        return e->leader(self, state, cluster, h[0].pid);
    return TB_NOREPLY;
}
