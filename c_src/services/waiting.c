/* waiting.c - who asked a discovery, and is answered later: when a round is
 * over, or enough nodes are connected. In Erlang: gen_server:reply/2. Owns:
 * callers that wait. Thread: loop. */
#include "services/discovery.h"

#define DEFAULT_AWAIT_MS 30000

enum wish { WISH_ROUND, WISH_NODES, WISH_MESH };

struct waiting {
    struct tb_list link;
    uint64_t id;
    struct tb_from *from; /* owned */
    enum wish wish;
    uint64_t round; /* the first one whose end will do */
    int64_t nodes;
};

/* ------------------------------------------------------------ results -- */

static void
put_connected(struct tb_proc *self, struct tb_discovery *d, struct tb_wr *w)
{
    if (d->o.attached && d->hub_nodes.len)
        tb_build(w, "L", TB_ARGS(tb_v_term(tb_wr_term(&d->hub_nodes))));
    else
        d->ops.list(tb_self_node(self), "connected", w);
}

/* {Connected, [{Node, Error}]} */
void
tb_discovery_put_result(struct tb_proc *self, struct tb_discovery *d,
                        struct tb_wr *w)
{
    struct tb_wr connected = { 0 }, failed = { 0 }, pairs = { 0 };
    size_t n = 0;

    put_connected(self, d, &connected);
    TB_LIST_EACH (c, &d->candidates, struct tb_candidate, link) {
        if (c->last >= 0)
            continue;
        tb_build(
            &pairs, "{Node, Why}",
            TB_ARGS(tb_v_node(c->node), tb_v_atom(tb_error_atom(c->last))));
        n++;
    }
    tb_build_list(&failed, n, &pairs);
    tb_build(w, "{Connected, Failed}",
             TB_ARGS(tb_v_term(tb_wr_term(&connected)),
                     tb_v_term(tb_wr_term(&failed))));
    tb_wr_free(&connected);
    tb_wr_free(&failed);
    tb_wr_free(&pairs);
}

int64_t
tb_discovery_count(const struct tb_discovery *d)
{
    int64_t n = 0;

    TB_LIST_EACH (c, &d->candidates, struct tb_candidate, link)
        n += c->connected || (c->node == d->o.attached && d->hub_up);
    return n;
}

/* ------------------------------------------------------- who waits -- */

static void
end_waiting(struct tb_discovery *d, struct waiting *w)
{
    tb_list_del(&w->link);
    tb_from_free(w->from);
    tb_free(w);
    d->n_waiting--;
}

void
tb_waiting_free(struct tb_discovery *d)
{
    TB_LIST_EACH (w, &d->waiting, struct waiting, link)
        end_waiting(d, w);
}

/* NULL: there are too many. timeout_ms < 0: none. */
static struct waiting *
wait_for(struct tb_proc *self, struct tb_discovery *d, const struct tb_msg *m,
         enum wish wish, int64_t timeout_ms)
{
    struct waiting *w;

    if (d->n_waiting >= TB_DISCOVERY_MAX_WAITING)
        return NULL;
    w = tb_new(struct waiting);
    w->id = ++d->next_waiting;
    w->from = tb_from_keep(m);
    w->wish = wish;
    w->round = d->round + 1;
    tb_list_add(&d->waiting, &w->link);
    d->n_waiting++;
    if (timeout_ms >= 0)
        tb_send_after(self, (uint64_t)timeout_ms, "{waited, Id}",
                      TB_ARGS(tb_v_int((int64_t)w->id)));
    return w;
}

void
tb_discovery_answer(struct tb_proc *self, struct tb_discovery *d)
{
    struct tb_wr result = { 0 };

    TB_LIST_EACH (w, &d->waiting, struct waiting, link) {
        if (w->wish != WISH_ROUND || w->round > d->round)
            continue;
        if (!result.len)
            tb_discovery_put_result(self, d, &result);
        tb_reply_to(self, w->from, "Result",
                    TB_ARGS(tb_v_term(tb_wr_term(&result))));
        end_waiting(d, w);
    }
    tb_wr_free(&result);
    tb_discovery_check_waiting(self, d);
}

void
tb_discovery_check_waiting(struct tb_proc *self, struct tb_discovery *d)
{
    int64_t n = d->n_waiting ? tb_discovery_count(d) : 0;

    TB_LIST_EACH (w, &d->waiting, struct waiting, link) {
        if (w->wish == WISH_ROUND || n < w->nodes ||
            (w->wish == WISH_MESH && !tb_mesh_is_full(d, w->nodes)))
            continue;
        tb_reply_to(self, w->from, "ok", TB_NONE);
        end_waiting(d, w);
    }
}

int
tb_on_waited(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_discovery *d = state;

    TB_LIST_EACH (w, &d->waiting, struct waiting, link)
        if ((int64_t)w->id == m->arg[0].i) {
            tb_reply_to(self, w->from, "{error, timeout}", TB_NONE);
            end_waiting(d, w);
        }
    return TB_NOREPLY;
}

/* ----------------------------------------------------------- requests -- */

static int
discover(struct tb_proc *self, struct tb_discovery *d, const struct tb_msg *m,
         int64_t timeout_ms)
{
    if (!wait_for(self, d, m, WISH_ROUND, timeout_ms))
        return tb_reply(self, m, "{error, system_limit}", TB_NONE);
    tb_round_begin(self, d, true);
    return TB_NOREPLY;
}

int
tb_on_discover(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    return discover(self, state, m, -1);
}

int
tb_on_discover_within(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    if (m->arg[0].i < 0)
        return tb_reply(self, m, "{error, badarg}", TB_NONE);
    return discover(self, state, m, m->arg[0].i);
}

static bool
read_await(struct tb_term opts, int64_t *timeout_ms, enum wish *wish)
{
    struct tb_val v[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term t;

    if (!tb_elems_open(&e, opts))
        return false;
    while (tb_elems_next(&e, &t))
        if (tb_match("{timeout, Ms:int}", t, v) == 1 && v[0].i >= 0)
            *timeout_ms = v[0].i;
        else if (tb_match("mesh", t, v) == 1)
            *wish = WISH_MESH;
        else
            return false;
    return true;
}

int
tb_on_await(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_discovery *d = state;
    int64_t timeout_ms = DEFAULT_AWAIT_MS;
    enum wish wish = WISH_NODES;
    struct waiting *w;

    if (m->arg[0].i < 0 || !read_await(m->arg[1].term, &timeout_ms, &wish) ||
        (wish == WISH_MESH && d->o.mesh == TB_MESH_NONE))
        return tb_reply(self, m, "{error, badarg}", TB_NONE);
    w = wait_for(self, d, m, wish, timeout_ms);
    if (!w)
        return tb_reply(self, m, "{error, system_limit}", TB_NONE);
    w->nodes = m->arg[0].i;
    tb_discovery_check_waiting(self, d);
    return TB_NOREPLY;
}
