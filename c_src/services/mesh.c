/* mesh.c - lets BEAM nodes connect to each other, though none of our code runs
 * on them: each is asked for its nodes(), and of every pair that lacks one end
 * connects to the other.
 *
 * A pass: ask, judge the answers that came soon, and work on the pairs that
 * lack, see pairs.c.
 * In Erlang: erlang:nodes/0, init:get_status/0. Owns: the pass. Thread: loop.
 */
#include <stdio.h>
#include <string.h>

#include "services/mesh.h"

#define PASS_MS     1000 /* from pass to pass; 20 ms more for each node */
#define JUDGE_MS    250  /* the answers that have not come by then wait */
#define ASK_MS      3000
#define MAX_MEMBERS 1024

enum about { ABOUT_NODES, ABOUT_HIDDEN, ABOUT_STATUS };

struct question {
    unsigned pass, place;
    enum about about;
};

/* --------------------------------------------------------------- calls -- */

static void
put_args(struct tb_wr *w, struct tb_term list, tb_atom arg)
{
    struct tb_wr items = { 0 };
    struct tb_elems e;
    struct tb_term t;
    size_t n = 0;

    for (tb_elems_open(&e, list); tb_elems_next(&e, &t); n++)
        tb_build(&items, "T", TB_ARGS(tb_v_term(t)));
    if (arg) {
        tb_build(&items, "N", TB_ARGS(tb_v_node(arg)));
        n++;
    }
    tb_build_list(w, n, &items);
    tb_wr_free(&items);
}

void
tb_mesh_apply(struct tb_proc *self, tb_atom at, struct tb_term mfa,
              const char *otp, tb_atom arg, uint64_t timeout_ms, tb_done done,
              void *ctx)
{
    char module[256] = "", function[256] = "";
    struct tb_val v[TB_MAX_HOLES];
    struct tb_wr args = { 0 }, none = { 0 };

    tb_build(&none, "[]", TB_NONE);
    if (mfa.n && tb_match("{M:atom, F:atom, A:list}", mfa, v) == 1) {
        snprintf(module, sizeof(module), "%.*s", (int)v[0].text.n, v[0].text.p);
        snprintf(function, sizeof(function), "%.*s", (int)v[1].text.n,
                 v[1].text.p);
        put_args(&args, v[2].term, arg);
    } else if (otp) {
        snprintf(module, sizeof(module), "%.*s", (int)strcspn(otp, ":"), otp);
        snprintf(function, sizeof(function), "%s", strchr(otp, ':') + 1);
        put_args(&args, tb_wr_term(&none), arg);
    }
    tb_erpc(self, at, module, function, "Args",
            TB_ARGS(tb_v_term(tb_wr_term(&args))), timeout_ms, done, ctx);
    tb_wr_free(&args);
    tb_wr_free(&none);
}

void
tb_mesh_leave(struct tb_proc *self, struct tb_discovery *d, tb_atom node)
{
    TB_LIST_EACH (c, &d->candidates, struct tb_candidate, link) {
        bool tells = tb_mesh_is_hub(d)
                         ? c->node == d->o.attached
                         : d->o.mesh == TB_MESH_ALL && c->connected;

        if (tells && c->node != node)
            tb_mesh_apply(self, c->node, d->o.disconnect,
                          "erlang:disconnect_node", node, ASK_MS, NULL, NULL);
    }
}

/* --------------------------------------------------------------- state -- */

void
tb_mesh_init(struct tb_mesh *m)
{
    tb_list_init(&m->pairs);
    m->judged = true;
}

static void
free_pass(struct tb_mesh *m)
{
    tb_free(m->member);
    tb_free(m->has);
    tb_free(m->group);
    m->member = NULL;
    m->has = NULL;
    m->group = NULL;
    m->n = m->rows = 0;
}

void
tb_mesh_free(struct tb_mesh *m)
{
    free_pass(m);
    tb_wr_free(&m->hidden);
    TB_LIST_EACH (p, &m->pairs, struct tb_pair, link)
        tb_pair_drop(m, p);
}

/* ---------------------------------------------------------------- judge -- */

/* Whom the attached node is connected to. A node found that is a hidden one is
 * linked when it is there, although nodes() will never have it. */
static void
mark_linked(struct tb_discovery *d)
{
    struct tb_mesh *m = &d->mesh;
    struct tb_val v[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term t;

    tb_candidates_mark(d, tb_wr_term(&d->hub_nodes));
    if (!m->hidden.len || !tb_elems_open(&e, tb_wr_term(&m->hidden)))
        return;
    while (tb_elems_next(&e, &t)) {
        struct tb_candidate *c = NULL;

        if (tb_match("Node:atom", t, v) == 1)
            c = tb_candidate_find(d, tb_intern(v[0].text));
        if (!c)
            continue;
        c->connected = true;
        if (c->place < m->n && m->member[c->place].node == c->node)
            m->has[c->place] = 1;
    }
}

/* One that drops again soon is given more and more time: nodes that partition
 * themselves are not fought. */
static void
pair_missing(struct tb_discovery *d, struct tb_pair *p, int64_t now)
{
    if (p->missing_ms == 0)
        p->missing_ms = now;
    if (p->linked_ms == 0)
        return;
    if (p->dropped_ms && now - p->dropped_ms < TB_MESH_SETTLED_MS) {
        unsigned n = ++p->repeats < 6 ? p->repeats : 6;

        p->not_before_ms = now + tb_discovery_jitter(d, 1000 << n);
    } else {
        p->repeats = 0;
    }
    p->dropped_ms = now;
    p->linked_ms = 0;
}

static void
pair_holds(struct tb_discovery *d, unsigned i, unsigned j, int64_t now)
{
    struct tb_mesh *m = &d->mesh;
    struct tb_pair *p = tb_pair_find(m, m->member[i].node, m->member[j].node);

    if (!p || p->busy)
        return;
    if (p->linked_ms == 0)
        tb_pair_linked(d, p);
    else if (now - p->linked_ms > TB_MESH_SETTLED_MS)
        tb_pair_drop(m, p);
}

static bool
has(const struct tb_mesh *m, unsigned i, unsigned j)
{
    return m->has[(size_t)i * m->n + j];
}

static bool
can_judge(const struct tb_mesh *m, unsigned i)
{
    return (i >= m->rows || m->member[i].listed) && !m->member[i].stopping;
}

static void
judge_pair(struct tb_discovery *d, unsigned i, unsigned j, int64_t now)
{
    struct tb_mesh *m = &d->mesh;
    struct tb_pair *p;

    if (has(m, i, j) && (j >= m->rows || has(m, j, i))) {
        m->group[tb_mesh_group(m, i)] = tb_mesh_group(m, j);
        pair_holds(d, i, j, now);
        return;
    }
    m->missing++;
    p = tb_pair_get(m, m->member[i].node, m->member[j].node);
    if (!p)
        return;
    p->i = i;
    p->j = j;
    p->pass = m->pass;
    pair_missing(d, p, now);
}

static void
drop_strangers(struct tb_mesh *m, int64_t now)
{
    TB_LIST_EACH (p, &m->pairs, struct tb_pair, link)
        if (!p->busy && p->pass != m->pass && p->linked_ms == 0 &&
            now - p->missing_ms > TB_MESH_SETTLED_MS)
            tb_pair_drop(m, p);
}

static void
arm(struct tb_proc *self, struct tb_discovery *d)
{
    struct tb_mesh *m = &d->mesh;
    uint64_t pause = PASS_MS + (uint64_t)m->n * 20;

    if (m->timed || d->o.mesh == TB_MESH_NONE)
        return;
    m->timed = true;
    tb_send_after(self, m->linked_some ? 50 : pause, "mesh_tick", TB_NONE);
}

static void
judge_all(struct tb_proc *self, struct tb_discovery *d)
{
    struct tb_mesh *m = &d->mesh;
    int64_t now = tb_discovery_now_ms();

    if (tb_mesh_is_hub(d) && d->hub_up)
        mark_linked(d);
    m->missing = m->members = 0;
    for (unsigned i = 0; i < m->n; i++)
        m->group[i] = i;
    for (unsigned i = 0; i < m->n; i++) {
        if (can_judge(m, i))
            m->members++;
        for (unsigned j = i + 1; i < m->rows && j < m->n; j++)
            if (can_judge(m, i) && can_judge(m, j))
                judge_pair(d, i, j, now);
    }
    m->known = true;
    drop_strangers(m, now);
    m->work++; /* so that the pass does not end before all are begun */
    TB_LIST_EACH (p, &m->pairs, struct tb_pair, link)
        if (p->pass == m->pass)
            tb_pair_begin(self, d, p, now);
    if (--m->work == 0)
        tb_mesh_done(self, d);
    else if (tb_mesh_is_hub(d)) /* one of them may take long */
        arm(self, d);
}

void
tb_mesh_judge(struct tb_proc *self, struct tb_discovery *d, int64_t pass)
{
    struct tb_mesh *m = &d->mesh;

    if (pass != (int64_t)m->pass || m->judged)
        return;
    m->judged = true;
    judge_all(self, d);
}

/* ------------------------------------------------------------------ ask -- */

static void
take_list(struct tb_discovery *d, unsigned place, struct tb_term list)
{
    struct tb_mesh *m = &d->mesh;
    struct tb_val v[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term t;

    if (!tb_elems_open(&e, list))
        return;
    m->member[place].listed = true;
    while (tb_elems_next(&e, &t)) {
        struct tb_candidate *c = NULL;

        if (tb_match("Node:atom", t, v) == 1)
            c = tb_candidate_find(d, tb_intern(v[0].text));
        if (c && c->place < m->n && m->member[c->place].node == c->node)
            m->has[(size_t)place * m->n + c->place] = 1;
    }
    if (tb_mesh_is_hub(d)) {
        d->hub_up = true;
        d->hub_nodes.len = 0;
        tb_build(&d->hub_nodes, "L", TB_ARGS(tb_v_term(list)));
    }
}

static void
take_status(struct tb_discovery *d, unsigned place, struct tb_term status)
{
    struct tb_mesh_member *member = &d->mesh.member[place];
    struct tb_candidate *c = tb_candidate_find(d, member->node);
    struct tb_val v[TB_MAX_HOLES];

    member->stopping = tb_match("{stopping, _}", status, v) == 1;
    if (member->stopping && c)
        c->stopping_ms = tb_discovery_now_ms();
}

static int
on_asked(struct tb_proc *self, void *state, void *ctx, int status,
         struct tb_term result)
{
    struct tb_discovery *d = state;
    struct question at = *(struct question *)ctx;
    struct tb_mesh *m = &d->mesh;

    tb_free(ctx);
    if (status == -TB_ESTOPPED || at.pass != m->pass || m->judged)
        return TB_NOREPLY;
    if (status == 0 && at.about == ABOUT_STATUS)
        take_status(d, at.place, result);
    else if (status == 0 && at.about == ABOUT_HIDDEN)
        tb_build(&d->mesh.hidden, "L", TB_ARGS(tb_v_term(result)));
    else if (status == 0)
        take_list(d, at.place, result);
    if (--m->waiting == 0)
        tb_mesh_judge(self, d, m->pass);
    return TB_NOREPLY;
}

static struct question *
question_new(struct tb_discovery *d, unsigned place, enum about about)
{
    struct question *q = tb_new(struct question);

    *q = (struct question){ d->mesh.pass, place, about };
    d->mesh.waiting++;
    return q;
}

static void
ask(struct tb_proc *self, struct tb_discovery *d, unsigned place)
{
    static const struct tb_term otp;
    tb_atom node = d->mesh.member[place].node;

    tb_mesh_apply(self, node, d->o.list_nodes, "erlang:nodes", 0, ASK_MS,
                  on_asked, question_new(d, place, ABOUT_NODES));
    tb_mesh_apply(self, node, otp, "init:get_status", 0, ASK_MS, on_asked,
                  question_new(d, place, ABOUT_STATUS));
    if (tb_mesh_is_hub(d) && !d->o.list_nodes.n)
        tb_erpc(self, node, "erlang", "nodes", "[hidden]", TB_NONE, ASK_MS,
                on_asked, question_new(d, place, ABOUT_HIDDEN));
}

static bool
is_member(const struct tb_discovery *d, const struct tb_candidate *c)
{
    return tb_mesh_is_hub(d) ? c->node != d->o.attached && c->seen
                             : c->place != 0;
}

/* c->place is 1 + its place among the visible nodes of this one. */
static void
mark_visible(struct tb_proc *self, struct tb_discovery *d)
{
    struct tb_val v[TB_MAX_HOLES];
    struct tb_wr nodes = { 0 };
    struct tb_elems e;
    struct tb_term t;

    TB_LIST_EACH (c, &d->candidates, struct tb_candidate, link)
        c->place = 0;
    tb_put_nodes(tb_self_node(self), "visible", &nodes);
    for (tb_elems_open(&e, tb_wr_term(&nodes)); tb_elems_next(&e, &t);) {
        struct tb_candidate *c = NULL;

        if (tb_match("Node:atom", t, v) == 1)
            c = tb_candidate_find(d, tb_intern(v[0].text));
        if (c)
            c->place = 1;
    }
    tb_wr_free(&nodes);
}

static void
add_member(struct tb_mesh *m, struct tb_candidate *c)
{
    c->place = m->n;
    m->member[m->n++].node = c->node;
}

static void
gather(struct tb_proc *self, struct tb_discovery *d)
{
    struct tb_mesh *m = &d->mesh;
    struct tb_candidate *hub = tb_candidate_find(d, d->o.attached);
    unsigned max =
        tb_mesh_is_hub(d) ? TB_DISCOVERY_MAX_CANDIDATES : MAX_MEMBERS;

    free_pass(m);
    mark_visible(self, d);
    m->member = tb_alloc((d->n_candidates + 1) * sizeof(*m->member));
    if (tb_mesh_is_hub(d) && hub)
        add_member(m, hub);
    TB_LIST_EACH (c, &d->candidates, struct tb_candidate, link)
        if (m->n < max && is_member(d, c))
            add_member(m, c);
        else if (c != hub || !tb_mesh_is_hub(d))
            c->place = UINT32_MAX;
    m->rows = tb_mesh_is_hub(d) ? 1 : m->n;
    m->has = tb_alloc((size_t)m->rows * m->n + 1);
    m->group = tb_alloc((m->n + 1) * sizeof(*m->group));
}

void
tb_mesh_pass(struct tb_proc *self, struct tb_discovery *d)
{
    struct tb_mesh *m = &d->mesh;

    if (!m->judged)
        return; /* one has just begun */
    gather(self, d);
    m->pass++;
    m->waiting = 1;
    m->judged = false;
    m->linked_some = false;
    d->hub_up = false;
    m->hidden.len = 0;
    for (unsigned i = 0; i < m->rows && i < m->n; i++)
        ask(self, d, i);
    if (!tb_mesh_is_hub(d))
        tb_send_after(self, JUDGE_MS, "{mesh_judge, Pass}",
                      TB_ARGS(tb_v_int(m->pass)));
    if (--m->waiting == 0)
        tb_mesh_judge(self, d, m->pass);
}

/* ------------------------------------------------------------------ end -- */

static void
tell(struct tb_discovery *d)
{
    struct tb_mesh *m = &d->mesh;
    bool changed = !m->told || m->missing != m->told_missing ||
                   m->members != m->told_members;

    if (!changed || tb_mesh_is_hub(d) || m->members < 2 || m->linked_some)
        return;
    m->told = true;
    m->told_missing = m->missing;
    m->told_members = m->members;
    if (m->missing == 0)
        tb_discovery_log(d, "discovery.mesh", "[%s] all %u nodes are linked",
                         d->config->name, m->members);
    else
        tb_discovery_log(d, "discovery.mesh",
                         "[%s] of %u nodes %u pairs are not linked",
                         d->config->name, m->members, m->missing);
}

void
tb_mesh_done(struct tb_proc *self, struct tb_discovery *d)
{
    static const struct tb_term none;
    struct tb_mesh *m = &d->mesh;

    if (!m->judged)
        return;
    if (tb_mesh_is_hub(d))
        TB_LIST_EACH (c, &d->candidates, struct tb_candidate, link)
            if (c->connected && c->last != 0)
                tb_candidate_outcome(self, d, c, 0, none);
    tell(d);
    tb_discovery_check_waiting(self, d);
    tb_round_linked(self, d);
    arm(self, d);
}

void
tb_mesh_tick(struct tb_proc *self, struct tb_discovery *d)
{
    d->mesh.timed = false;
    if (d->o.mesh == TB_MESH_ALL ||
        (tb_mesh_is_hub(d) && d->phase == TB_ROUND_IDLE && d->rounds > 0))
        tb_mesh_pass(self, d);
}

bool
tb_mesh_is_full(const struct tb_discovery *d, int64_t n)
{
    return d->mesh.known && d->mesh.missing == 0 &&
           (int64_t)d->mesh.members >= n;
}

void
tb_mesh_put(const struct tb_discovery *d, struct tb_wr *w)
{
    static const char *const kinds[] = { "none", "attached", "all" };
    const struct tb_mesh *m = &d->mesh;

    tb_build(w, "#{kind => K, members => N, missing => Missing}",
             TB_ARGS(tb_v_atom(kinds[d->o.mesh]),
                     tb_v_int(m->known ? m->members : 0),
                     tb_v_int(m->known ? m->missing : 0)));
}
