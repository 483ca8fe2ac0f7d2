/* subscriber.c - processes that watch nodes, states and other processes.
 * In Erlang: net_kernel:monitor_nodes/2, erlang:monitor_node/2 and monitor/3,
 * for processes anywhere in the cluster.
 *
 * A client is a process with at least one interest, and we monitor it: its end,
 * or that of the connection to it, takes all its interests back.
 * Owns: clients and what hangs on them. Thread: loop. */
#include <string.h>

#include "services/monitor.h"

/* A process that watches something, wherever it lives. */
struct tb_client {
    struct tb_list link; /* in monitor->state_subs, or .next NULL */
    struct tb_pid pid;
    struct tb_ref ref;           /* our monitor on it */
    struct tb_list subs;         /* owned struct tb_sub */
    struct tb_list node_watches; /* owned struct tb_node_watch */
    struct tb_list proc_watches; /* owned struct tb_proc_watch */
};

/* A subscription of monitor_nodes. */
struct tb_sub {
    struct tb_list by_client;
    struct tb_list all; /* in monitor->subs */
    struct tb_client *client;
    unsigned key; /* TB_SUB_* */
    unsigned count;
};

/* A monitor_node; while the node is connected. */
struct tb_node_watch {
    struct tb_list by_client, by_node;
    struct tb_client *client;
    struct tb_watched *node;
};

/* A monitor of a process; the reference is ours, so the client has it too. */
struct tb_proc_watch {
    struct tb_list by_client;
    struct tb_client *client;
    struct tb_ref ref;
    struct tb_wr tag; /* of the DOWN message; empty: 'DOWN' */
};

/* ------------------------------------------------------------ clients -- */

static struct tb_client *
client_find(struct tb_monitor *mon, struct tb_pid pid)
{
    return tb_map_get(mon->clients, &pid, sizeof(pid));
}

/* For one more interest. NULL: there are too many. */
static struct tb_client *
client_get(struct tb_proc *self, struct tb_monitor *mon, struct tb_pid pid)
{
    struct tb_client *c = client_find(mon, pid);

    if (mon->interests >= TB_MON_MAX_INTERESTS)
        return NULL;
    if (c || tb_map_count(mon->clients) >= TB_MON_MAX_CLIENTS)
        return c;
    c = tb_new(struct tb_client);
    c->pid = pid;
    c->ref = tb_monitor(self, pid);
    tb_list_init(&c->subs);
    tb_list_init(&c->node_watches);
    tb_list_init(&c->proc_watches);
    tb_map_put(mon->clients, &c->pid, sizeof(c->pid), c);
    tb_map_put(mon->client_of, &c->ref, sizeof(c->ref), c);
    return c;
}

static void
sub_free(struct tb_monitor *mon, struct tb_sub *s)
{
    mon->interests--;
    tb_list_del(&s->by_client);
    tb_list_del(&s->all);
    tb_free(s);
}

static void
node_watch_free(struct tb_monitor *mon, struct tb_node_watch *w)
{
    mon->interests--;
    tb_list_del(&w->by_client);
    tb_list_del(&w->by_node);
    tb_free(w);
}

static void
proc_watch_free(struct tb_monitor *mon, struct tb_proc_watch *w)
{
    mon->interests--;
    mon->tag_bytes -= w->tag.cap;
    tb_map_take(mon->watches, &w->ref, sizeof(w->ref));
    tb_list_del(&w->by_client);
    tb_wr_free(&w->tag);
    tb_free(w);
}

static void
client_free(struct tb_monitor *mon, struct tb_client *c)
{
    tb_map_take(mon->clients, &c->pid, sizeof(c->pid));
    tb_map_take(mon->client_of, &c->ref, sizeof(c->ref));
    tb_list_del(&c->link);
    TB_LIST_EACH (s, &c->subs, struct tb_sub, by_client)
        sub_free(mon, s);
    TB_LIST_EACH (w, &c->node_watches, struct tb_node_watch, by_client)
        node_watch_free(mon, w);
    TB_LIST_EACH (p, &c->proc_watches, struct tb_proc_watch, by_client)
        proc_watch_free(mon, p);
    tb_free(c);
}

/* No interest is left: we need not watch it any more. */
static void
client_release(struct tb_proc *self, struct tb_monitor *mon,
               struct tb_client *c)
{
    if (!tb_list_empty(&c->subs) || !tb_list_empty(&c->node_watches) ||
        !tb_list_empty(&c->proc_watches) || c->link.next)
        return;
    tb_demonitor(self, c->ref);
    client_free(mon, c);
}

static void
client_gone(struct tb_proc *self, struct tb_monitor *mon, struct tb_client *c)
{
    TB_LIST_EACH (w, &c->proc_watches, struct tb_proc_watch, by_client)
        tb_demonitor(self, w->ref);
    client_free(mon, c);
}

void
tb_subscribers_init(struct tb_monitor *mon)
{
    mon->clients = tb_map_new();
    mon->client_of = tb_map_new();
    mon->watches = tb_map_new();
    tb_list_init(&mon->subs);
    tb_list_init(&mon->state_subs);
}

static void
free_client(void *ctx, void *client)
{
    client_free(ctx, client);
}

void
tb_subscribers_free(struct tb_monitor *mon)
{
    tb_map_each(mon->clients, free_client, mon);
    tb_map_free(mon->clients);
    tb_map_free(mon->client_of);
    tb_map_free(mon->watches);
}

static int
reply_limit(struct tb_proc *self, const struct tb_msg *m)
{
    return tb_reply(self, m, "{error, system_limit}", TB_NONE);
}

static int
reply_badarg(struct tb_proc *self, const struct tb_msg *m)
{
    return tb_reply(self, m, "{error, badarg}", TB_NONE);
}

/* 1: true; 0: false; negative: no boolean. */
static int
flag_of(struct tb_term flag)
{
    struct tb_val v[TB_MAX_HOLES];

    return tb_match("true", flag, v) == 1    ? 1
           : tb_match("false", flag, v) == 1 ? 0
                                             : -1;
}

/* A client whose node is lost is about to be forgotten: nobody is dialled for
 * it. */
static void
send_to(struct tb_proc *self, struct tb_pid to, const char *msg,
        struct tb_args args)
{
    struct tb_node *node = tb_self_node(self);
    struct tb_peer_info info;

    if (to.node == tb_node_name(node) || tb_peer_info(node, to.node, &info))
        tb_send(self, to, msg, args);
}

/* ------------------------------------------------------ monitor_nodes -- */

static struct tb_sub *
sub_find(struct tb_client *c, unsigned key)
{
    TB_LIST_EACH (s, &c->subs, struct tb_sub, by_client)
        if (s->key == key)
            return s;
    return NULL;
}

static int
subscribe(struct tb_proc *self, struct tb_monitor *mon, const struct tb_msg *m,
          unsigned key)
{
    struct tb_client *c = client_get(self, mon, m->from.pid);
    struct tb_sub *s;

    if (!c)
        return reply_limit(self, m);
    s = sub_find(c, key);
    if (!s) {
        s = tb_new(struct tb_sub);
        s->client = c;
        s->key = key;
        mon->interests++;
        tb_list_add(&c->subs, &s->by_client);
        tb_list_add(&mon->subs, &s->all);
    }
    if (s->count == TB_MON_MAX_COUNT)
        return reply_limit(self, m);
    s->count++;
    return tb_reply(self, m, "ok", TB_NONE);
}

/* One false takes back however many true there were. */
static int
unsubscribe(struct tb_proc *self, struct tb_monitor *mon,
            const struct tb_msg *m, unsigned key)
{
    struct tb_client *c = client_find(mon, m->from.pid);
    struct tb_sub *s = c ? sub_find(c, key) : NULL;

    if (s) {
        sub_free(mon, s);
        client_release(self, mon, c);
    }
    return tb_reply(self, m, "ok", TB_NONE);
}

int
tb_on_monitor_nodes(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    int flag = flag_of(m->arg[0].term);
    struct tb_wr error = { 0 };
    unsigned key;
    int rc;

    if (flag < 0)
        return tb_reply(self, m, "error", TB_NONE);
    if (tb_sub_parse(m->arg[1].term, &key, &error) < 0)
        rc = tb_reply(self, m, "{error, Why}",
                      TB_ARGS(tb_v_term(tb_wr_term(&error))));
    else
        rc = flag ? subscribe(self, state, m, key)
                  : unsubscribe(self, state, m, key);
    tb_wr_free(&error);
    return rc;
}

static void
tell_watchers(struct tb_proc *self, struct tb_monitor *mon,
              const struct tb_node_event *e)
{
    struct tb_watched *node = tb_watched_find(mon, e->node);

    while (node && !tb_list_empty(&node->watchers)) {
        struct tb_node_watch *w =
            TB_ENTRY(node->watchers.next, struct tb_node_watch, by_node);
        struct tb_client *c = w->client;

        send_to(self, c->pid, "{nodedown, Node}", TB_ARGS(tb_v_node(e->node)));
        node_watch_free(mon, w);
        client_release(self, mon, c);
    }
}

/* Each form of the message is made once, however many ask for it. */
void
tb_subscribers_tell(struct tb_proc *self, struct tb_monitor *mon,
                    const struct tb_node_event *e)
{
    unsigned type = e->visible ? TB_SUB_VISIBLE : TB_SUB_HIDDEN;
    struct tb_wr made[TB_SUB_KEYS] = { { 0 } };

    TB_LIST_EACH (s, &mon->subs, struct tb_sub, all) {
        struct tb_wr *w = &made[s->key];

        if (!(s->key & type))
            continue;
        if (w->len == 0)
            tb_sub_event(w, s->key, e);
        for (unsigned i = 0; i < s->count; i++)
            send_to(self, s->client->pid, "Event",
                    TB_ARGS(tb_v_term(tb_wr_term(w))));
    }
    for (size_t i = 0; i < TB_SUB_KEYS; i++)
        tb_wr_free(&made[i]);
    if (!e->up)
        tell_watchers(self, mon, e);
}

/* ------------------------------------------------------------- states -- */

int
tb_on_monitor_states(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_monitor *mon = state;
    int flag = flag_of(m->arg[0].term);
    struct tb_client *c;

    if (flag < 0)
        return reply_badarg(self, m);
    c = flag ? client_get(self, mon, m->from.pid)
             : client_find(mon, m->from.pid);
    if (flag && !c)
        return reply_limit(self, m);
    if (flag && !c->link.next) {
        tb_list_add(&mon->state_subs, &c->link);
    } else if (!flag && c) {
        tb_list_del(&c->link);
        client_release(self, mon, c);
    }
    return tb_reply(self, m, "ok", TB_NONE);
}

void
tb_subscribers_state(struct tb_proc *self, struct tb_monitor *mon,
                     const struct tb_transition *t)
{
    struct tb_wr w = { 0 };

    if (tb_list_empty(&mon->state_subs))
        return;
    tb_build(&w,
             "{node_state, Node, To, #{from => From, reason => Why, "
             "connection_id => Id, creation => C, time_ms => Time}}",
             TB_ARGS(tb_v_node(t->node), tb_v_atom(tb_state_name(t->to)),
                     tb_v_atom(tb_state_name(t->from)), tb_v_atom(t->reason),
                     tb_v_int((int64_t)t->connection_id), tb_v_int(t->creation),
                     tb_v_int((int64_t)t->time_ms)));
    TB_LIST_EACH (c, &mon->state_subs, struct tb_client, link)
        send_to(self, c->pid, "Event", TB_ARGS(tb_v_term(tb_wr_term(&w))));
    tb_wr_free(&w);
}

/* ------------------------------------------------------- monitor_node -- */

static struct tb_node_watch *
node_watch_find(struct tb_client *c, tb_atom node)
{
    TB_LIST_EACH (w, &c->node_watches, struct tb_node_watch, by_client)
        if (w->node->node == node)
            return w;
    return NULL;
}

static int
watch_node(struct tb_proc *self, struct tb_monitor *mon, const struct tb_msg *m,
           struct tb_watched *node)
{
    struct tb_client *c = client_get(self, mon, m->from.pid);
    struct tb_node_watch *w;

    if (!c)
        return reply_limit(self, m);
    if (!node_watch_find(c, node->node)) {
        w = tb_new(struct tb_node_watch);
        w->client = c;
        w->node = node;
        mon->interests++;
        tb_list_add(&c->node_watches, &w->by_client);
        tb_list_add(&node->watchers, &w->by_node);
    }
    return tb_reply(self, m, "true", TB_NONE);
}

static int
unwatch_node(struct tb_proc *self, struct tb_monitor *mon,
             const struct tb_msg *m, tb_atom node)
{
    struct tb_client *c = client_find(mon, m->from.pid);
    struct tb_node_watch *w = c ? node_watch_find(c, node) : NULL;

    if (w) {
        node_watch_free(mon, w);
        client_release(self, mon, c);
    }
    return tb_reply(self, m, "true", TB_NONE);
}

/* A node to which there is no connection is down already: nobody is dialled
 * for the question. */
int
tb_on_monitor_node(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_monitor *mon = state;
    tb_atom node = tb_intern(m->arg[0].text);
    struct tb_watched *w = node ? tb_watched_find(mon, node) : NULL;
    int flag = flag_of(m->arg[1].term);

    if (flag < 0)
        return reply_badarg(self, m);
    if (!flag)
        return unwatch_node(self, mon, m, node);
    if (node && node == tb_node_name(tb_self_node(self)))
        return tb_reply(self, m, "true", TB_NONE);
    if (w && w->connected)
        return watch_node(self, mon, m, w);
    tb_send(self, m->from.pid, "{nodedown, Node}", TB_ARGS(m->arg[0]));
    return tb_reply(self, m, "true", TB_NONE);
}

/* ------------------------------------------------- monitor, demonitor -- */

/* {tag, Term} as erlang:monitor/3 has it; there is no alias across a node. */
static bool
read_monitor_options(struct tb_term options, struct tb_wr *tag)
{
    struct tb_val v[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term item;

    if (!tb_elems_open(&e, options))
        return false;
    while (tb_elems_next(&e, &item)) {
        if (tb_match("{tag, Tag}", item, v) != 1)
            return false;
        tag->len = 0;
        tb_wr_bytes(tag, v[0].term.p, v[0].term.n);
    }
    return tb_match("[]", e.rest, v) == 1;
}

static bool
start_watch(struct tb_proc *self, struct tb_term target, struct tb_ref *ref)
{
    struct tb_val v[TB_MAX_HOLES];
    char name[TB_MON_ATOM_BYTES];
    tb_atom node;

    if (tb_match("Pid:pid", target, v) == 1) {
        *ref = tb_monitor(self, v[0].pid);
        return true;
    }
    if (tb_match("{Name:atom, Node:atom}", target, v) != 1 ||
        !tb_mon_copy(name, v[0].text))
        return false;
    node = tb_intern(v[1].text);
    if (!node)
        return false;
    *ref = tb_monitor_name(self, name, node);
    return true;
}

int
tb_on_monitor(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_monitor *mon = state;
    struct tb_wr tag = { 0 };
    struct tb_client *c = NULL;
    struct tb_proc_watch *w;
    struct tb_ref ref;

    if (!read_monitor_options(m->arg[1].term, &tag))
        goto badarg;
    if (mon->tag_bytes + tag.cap <= TB_MON_MAX_TAGS)
        c = client_get(self, mon, m->from.pid);
    if (!c) {
        tb_wr_free(&tag);
        return reply_limit(self, m);
    }
    if (!start_watch(self, m->arg[0].term, &ref)) {
        client_release(self, mon, c);
        goto badarg;
    }
    w = tb_new(struct tb_proc_watch);
    w->client = c;
    w->ref = ref;
    w->tag = tag;
    mon->interests++;
    mon->tag_bytes += tag.cap;
    tb_list_add(&c->proc_watches, &w->by_client);
    tb_map_put(mon->watches, &w->ref, sizeof(w->ref), w);
    return tb_reply(self, m, "Ref", TB_ARGS(tb_v_ref(ref)));
badarg:
    tb_wr_free(&tag);
    return reply_badarg(self, m);
}

/* flush is for the caller's side: a DOWN is sent before this answer, or never.
 * -1: not the options of erlang:demonitor/2; 1: info. */
static int
read_demonitor_options(struct tb_term options)
{
    struct tb_val v[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term item;
    int info = 0;

    if (!tb_elems_open(&e, options))
        return -1;
    while (tb_elems_next(&e, &item)) {
        if (tb_match("info", item, v) == 1)
            info = 1;
        else if (tb_match("flush", item, v) != 1)
            return -1;
    }
    return tb_match("[]", e.rest, v) == 1 ? info : -1;
}

/* The monitors of others are none of the caller's, and stay. */
int
tb_on_demonitor(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_monitor *mon = state;
    struct tb_ref ref = m->arg[0].ref;
    struct tb_proc_watch *w = tb_map_get(mon->watches, &ref, sizeof(ref));
    int info = read_demonitor_options(m->arg[1].term);
    bool found = w && tb_pid_eq(w->client->pid, m->from.pid);

    if (info < 0 || ref.node != tb_node_name(tb_self_node(self)))
        return reply_badarg(self, m);
    if (found) {
        struct tb_client *c = w->client;

        tb_demonitor(self, ref);
        proc_watch_free(mon, w);
        client_release(self, mon, c);
    }
    return tb_reply(self, m, "Was", TB_ARGS(tb_v_bool(!info || found)));
}

static void
pass_on(struct tb_proc *self, struct tb_monitor *mon, struct tb_proc_watch *w,
        const struct tb_msg *m)
{
    struct tb_client *c = w->client;
    struct tb_val tag =
        w->tag.len ? tb_v_term(tb_wr_term(&w->tag)) : tb_v_atom("DOWN");

    send_to(self, c->pid, "{Tag, Ref, process, Object, Reason}",
            TB_ARGS(tag, m->arg[0], m->arg[1], m->arg[2]));
    proc_watch_free(mon, w);
    client_release(self, mon, c);
}

int
tb_on_down(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_monitor *mon = state;
    struct tb_ref ref = m->arg[0].ref;
    struct tb_proc_watch *w = tb_map_get(mon->watches, &ref, sizeof(ref));
    struct tb_client *c = tb_map_get(mon->client_of, &ref, sizeof(ref));

    if (w)
        pass_on(self, mon, w, m);
    else if (c)
        client_gone(self, mon, c);
    return TB_NOREPLY;
}
