/* pg_watches.c - processes that are told of joins and leaves.
 * In Erlang: pg:monitor_scope/1, pg:monitor/2 and pg:demonitor/2, by the same
 * requests, from any node.
 * Owns: the watches. Thread: loop. */
#include "services/pg.h"

/* ---------------------------------------------------------------- news -- */

static void
tell_one(struct tb_proc *self, const struct tb_pg *pg,
         const struct tb_pg_watch *w, struct tb_term pids)
{
    tb_send(self, w->pid, "{Ref, What, Group, Pids}",
            TB_ARGS(tb_v_ref(w->ref), tb_v_atom(pg->news.what),
                    tb_v_term(tb_wr_term(&pg->news.group->name)),
                    tb_v_term(pids)));
}

void
tb_pg_tell(struct tb_proc *self, struct tb_pg *pg)
{
    struct tb_pg_group *g = pg->news.group;
    struct tb_wr pids = { 0 };

    if (!g)
        return;
    if (!tb_list_empty(&pg->watches) || !tb_list_empty(&g->watches)) {
        tb_build_list(&pids, pg->news.n, &pg->news.pids);
        TB_LIST_EACH (all, &pg->watches, struct tb_pg_watch, link)
            tell_one(self, pg, all, tb_wr_term(&pids));
        TB_LIST_EACH (one, &g->watches, struct tb_pg_watch, by_group)
            tell_one(self, pg, one, tb_wr_term(&pids));
        tb_wr_free(&pids);
    }
    tb_wr_free(&pg->news.pids);
    pg->news = (struct tb_pg_news){ 0 };
    tb_pg_group_release(pg, g);
}

void
tb_pg_news(struct tb_proc *self, struct tb_pg *pg, struct tb_pg_group *g,
           const char *what, struct tb_pid pid)
{
    if (pg->news.group != g || pg->news.what != what)
        tb_pg_tell(self, pg);
    pg->news.group = g;
    pg->news.what = what;
    tb_build(&pg->news.pids, "Pid", TB_ARGS(tb_v_pid(pid)));
    pg->news.n++;
}

/* ------------------------------------------------------------- watches -- */

/* NULL: there are too many. */
static struct tb_pg_watch *
watch_new(struct tb_proc *self, struct tb_pg *pg, struct tb_pid pid,
          struct tb_pg_group *g)
{
    struct tb_pg_watch *w;

    if (tb_map_count(pg->watch_of) >= TB_PG_MAX_WATCHES)
        return NULL;
    w = tb_new(struct tb_pg_watch);
    w->pid = pid;
    w->ref = tb_monitor(self, pid);
    w->group = g;
    if (g)
        tb_list_add(&g->watches, &w->by_group);
    else
        tb_list_add(&pg->watches, &w->link);
    tb_map_put(pg->watch_of, &w->ref, sizeof(w->ref), w);
    tb_pg_ref_put(pg, w->ref, TB_PG_WATCH, w);
    return w;
}

void
tb_pg_watch_free(struct tb_pg *pg, struct tb_pg_watch *w)
{
    tb_pg_ref_take(pg, w->ref);
    tb_map_take(pg->watch_of, &w->ref, sizeof(w->ref));
    tb_list_del(&w->link);
    tb_list_del(&w->by_group);
    if (w->group)
        tb_pg_group_release(pg, w->group);
    tb_free(w);
}

static int
too_many(struct tb_proc *self, const struct tb_msg *m)
{
    return tb_reply(self, m, "{error, system_limit}", TB_NONE);
}

/* #{Group => Pids} */
static void
put_all(struct tb_pg *pg, struct tb_wr *w)
{
    struct tb_wr pairs = { 0 };
    size_t n = 0;

    TB_LIST_EACH (g, &pg->group_list, struct tb_pg_group, link) {
        if (tb_list_empty(&g->members))
            continue;
        tb_wr_bytes(&pairs, g->name.buf, g->name.len);
        tb_pg_put_members(pg, tb_wr_term(&g->name), false, &pairs);
        n++;
    }
    tb_build_map(w, n, &pairs);
    tb_wr_free(&pairs);
}

int
tb_pg_on_monitor(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_pg *pg = state;
    struct tb_pg_watch *w = watch_new(self, pg, m->from.pid, NULL);
    struct tb_wr all = { 0 };
    int rc;

    if (!w)
        return too_many(self, m);
    put_all(pg, &all);
    rc = tb_reply(self, m, "{Ref, Groups}",
                  TB_ARGS(tb_v_ref(w->ref), tb_v_term(tb_wr_term(&all))));
    tb_wr_free(&all);
    return rc;
}

int
tb_pg_on_monitor_group(struct tb_proc *self, void *state,
                       const struct tb_msg *m)
{
    struct tb_pg *pg = state;
    struct tb_term name = m->arg[0].term;
    struct tb_pg_group *g;
    struct tb_pg_watch *w;
    struct tb_wr pids = { 0 };
    int rc;

    if (name.n > TB_PG_MAX_GROUP)
        return too_many(self, m);
    g = tb_pg_group_get(pg, name);
    w = watch_new(self, pg, m->from.pid, g);
    if (!w) {
        tb_pg_group_release(pg, g);
        return too_many(self, m);
    }
    tb_pg_put_members(pg, name, false, &pids);
    rc = tb_reply(self, m, "{Ref, Pids}",
                  TB_ARGS(tb_v_ref(w->ref), tb_v_term(tb_wr_term(&pids))));
    tb_wr_free(&pids);
    return rc;
}

int
tb_pg_on_demonitor(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_pg *pg = state;
    struct tb_ref ref = m->arg[0].ref;
    struct tb_pg_watch *w = tb_map_get(pg->watch_of, &ref, sizeof(ref));

    if (!w)
        return tb_reply(self, m, "false", TB_NONE);
    tb_demonitor(self, w->ref);
    tb_pg_watch_free(pg, w);
    return tb_reply(self, m, "ok", TB_NONE);
}
