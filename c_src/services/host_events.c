/* host_events.c - what hosts tell, taken into the table.
 * Owns: nothing. Thread: loop. */
#include <string.h>

#include "services/supervisor.h"

struct event {
    struct tb_proc *self;
    struct tb_supervisor *sup;
    struct tb_host *host;
    struct tb_home *home;
    uint64_t seq;
};

typedef void (*event_fn)(struct event *e, const struct tb_val *v);

/* --------------------------------------------------------------- states -- */

static bool
is_normal(struct tb_term reason)
{
    struct tb_val v[TB_MAX_HOLES];

    return tb_match("normal", reason, v) == 1 ||
           tb_match("shutdown", reason, v) == 1 ||
           tb_match("{shutdown, _}", reason, v) == 1;
}

static void
take_state(struct event *e, struct tb_child *c, struct tb_term state)
{
    struct tb_children *t = &e->sup->table;
    struct tb_val v[TB_MAX_HOLES];

    if (tb_match("{running, Pid:pid}", state, v) == 1) {
        tb_child_set(t, c, TB_CHILD_RUNNING, &v[0].pid);
    } else if (tb_match("running", state, v) == 1) { /* of a copy */
        c->abnormal = true;
        tb_child_set(t, c, TB_CHILD_EXITED, NULL);
    } else if (tb_match("{exited, Reason, _}", state, v) == 1 ||
               tb_match("{exited, Reason}", state, v) == 1) {
        c->abnormal = !is_normal(v[0].term);
        tb_child_set(t, c, TB_CHILD_EXITED, NULL);
    } else if (tb_match("{stopping, Pid:pid, _}", state, v) == 1) {
        tb_child_set(t, c, TB_CHILD_STOPPING, &v[0].pid);
    } else if (tb_match("{moving, _}", state, v) == 1) {
        tb_child_set(t, c, TB_CHILD_MOVING, NULL);
    } else if (tb_match("undefined", state, v) == 1) {
        tb_child_set(t, c, TB_CHILD_UNDEFINED, NULL);
    } else {
        tb_child_set(t, c, TB_CHILD_STOPPED, NULL);
    }
}

/* The child that the host speaks of; made where it is not known. */
static struct tb_child *
child_of(struct event *e, struct tb_home *home, const struct tb_val *key,
         const struct tb_val *count, const struct tb_val *spec)
{
    struct tb_key k;
    struct tb_child *c;

    if (!tb_key_read(&k, key->term))
        return NULL;
    c = tb_children_on(&e->sup->table, k, home);
    if (!c && spec)
        c = tb_child_new(&e->sup->table, home, k, spec->term, TB_CHILD_NEW);
    if (c && count)
        tb_child_count(c, count->term);
    if (c && home == e->home)
        c->seq = e->seq;
    return c;
}

/* ---------------------------------------------------------------- tables -- */

static void
take_entries(struct event *e, struct tb_home *home, struct tb_term list)
{
    struct tb_val v[TB_MAX_HOLES];
    struct tb_elems items;
    struct tb_term item;

    if (!tb_elems_open(&items, list))
        return;
    while (tb_elems_next(&items, &item)) {
        struct tb_child *c;

        if (tb_match("{Key, Count, Spec, State}", item, v) != 1)
            continue;
        c = child_of(e, home, &v[0], &v[1], &v[2]);
        if (!c)
            continue;
        c->seen = true;
        take_state(e, c, v[3].term);
        tb_child_show(&e->sup->table, c, true);
    }
}

static void
on_entries(struct event *e, const struct tb_val *v)
{
    if (e->host->phase == TB_HOST_READING && !e->home->empty)
        take_entries(e, e->home, v[0].term);
}

/* That host has copies of all that was here up to seq. */
static void
backed(struct tb_proc *self, struct tb_supervisor *sup, struct tb_home *home,
       tb_atom holder, uint64_t seq)
{
    struct tb_host *h = home->host;

    if (home->backed_by == holder && home->backed >= seq)
        return;
    if (home->backed_by != holder && h && h->backup && h->backup != holder)
        return; /* a former backup's */
    home->backed_by = holder;
    home->backed = seq;
    if (!h || h->backup != holder || h->phase < TB_HOST_READING ||
        seq <= h->copied)
        return;
    h->copied = seq;
    tb_answers_copied(self, sup, h);
}

/* What another host holds for one that is not here: the later set counts. */
static void
on_copies(struct event *e, const struct tb_val *v)
{
    tb_atom node = tb_intern(v[0].text);
    struct tb_home *home = node ? tb_home_get(e->sup, node, v[1].term) : NULL;
    uint64_t seq = (uint64_t)v[2].i;

    if (home && !e->host->forgotten)
        backed(e->self, e->sup, home, e->host->node, seq);
    if (!home || home->host || e->host->forgotten ||
        !tb_host_has_closed(e->host) || (home->known && home->seq >= seq))
        return;
    if (seq < home->seq || (home->n && seq == home->seq && !home->copied))
        return;
    if (seq > home->seq)
        TB_LIST_EACH (c, &home->children, struct tb_child, link)
            if (!c->work)
                tb_child_free(&e->sup->table, c);
    home->copied = true;
    home->holder = e->host->node;
    home->seq = seq;
    take_entries(e, home, v[3].term);
}

static void
on_copies_end(struct event *e, const struct tb_val *v)
{
    tb_atom node = tb_intern(v[0].text);

    TB_LIST_EACH (home, &e->sup->homes, struct tb_home, link)
        if (home->node == node && home->lost &&
            tb_home_told(home, e->host->node))
            home->complete = true;
    tb_sup_turn_ask(e->self, e->sup);
}

static void
on_tombstones(struct event *e, const struct tb_val *v)
{
    struct tb_elems items;
    struct tb_term item;
    struct tb_key key;

    if (tb_elems_open(&items, v[0].term))
        while (tb_elems_next(&items, &item))
            if (tb_key_read(&key, item))
                tb_tombstone_add(e->sup, key);
}

/* The table is read: what it did not name is no longer there. */
static void
on_attached(struct event *e, const struct tb_val *v)
{
    bool missed = e->host->missed;

    (void)v;
    if (e->host->phase != TB_HOST_READING)
        return;
    e->host->phase = TB_HOST_ATTACHED;
    e->host->missed = e->home->stale = false;
    e->sup->era++;
    e->sup->changed_ms = tb_now_ms(tb_self_node(e->self));
    TB_LIST_EACH (c, &e->home->children, struct tb_child, link)
        if (!c->seen && (missed || !c->work || !c->work->from))
            tb_work_unseen(e->self, e->sup, c);
    tb_log(TB_INFO_LEVEL, "host.attached", "node=%s name=%s children=%zu",
           tb_atom_text(e->host->node).p, e->sup->name, e->home->n);
    e->sup->looked = false;
    e->home->fresh = true;
}

/* --------------------------------------------------------------- changes -- */

static void
on_started(struct event *e, const struct tb_val *v)
{
    struct tb_val s[TB_MAX_HOLES];
    struct tb_child *c;
    bool ok = tb_match("{ok, Pid:pid}", v[3].term, s) == 1 ||
              tb_match("{ok, Pid:pid, _}", v[3].term, s) == 1;
    bool present = !ok && tb_match("{present, State}", v[3].term, s) == 1;
    bool kept = !ok && !present && tb_match("ignore", v[3].term, s) == 1;

    c = child_of(e, e->home, &v[0], ok || present ? &v[1] : NULL, &v[2]);
    if (!c)
        return;
    if (ok)
        tb_child_set(&e->sup->table, c, TB_CHILD_RUNNING, &s[0].pid);
    else if (present)
        take_state(e, c, s[0].term);
    else if (kept && c->named && c->restart != TB_TEMPORARY &&
             c->state == TB_CHILD_NEW)
        tb_child_set(&e->sup->table, c, TB_CHILD_UNDEFINED, NULL);
    if (c->state != TB_CHILD_NEW)
        tb_child_show(&e->sup->table, c, true);
    tb_work_started(e->self, e->sup, c, v[3].term, e->seq);
}

static void
on_kept(struct event *e, const struct tb_val *v)
{
    struct tb_val s[TB_MAX_HOLES];
    struct tb_child *c = child_of(e, e->home, &v[0], &v[1], &v[2]);

    if (!c)
        return;
    if (tb_match("{present, State}", v[3].term, s) == 1)
        take_state(e, c, s[0].term);
    else
        take_state(e, c, v[3].term);
    tb_child_show(&e->sup->table, c, true);
    tb_work_kept(e->self, e->sup, c, e->seq);
}

static void
on_stopped(struct event *e, const struct tb_val *v)
{
    struct tb_val f[TB_MAX_HOLES];
    struct tb_child *c = child_of(e, e->home, &v[0], NULL, NULL);
    bool gone = tb_match("not_found", v[2].term, f) == 1 ||
                tb_match("delete", v[1].term, f) == 1 ||
                tb_match("{delete, _}", v[1].term, f) == 1;

    if (!c)
        return;
    if (gone) {
        tb_work_deleted(e->self, e->sup, c, e->seq);
        return;
    }
    tb_child_set(&e->sup->table, c,
                 tb_match("{moving, _}", v[1].term, f) == 1 ? TB_CHILD_MOVING
                                                            : TB_CHILD_STOPPED,
                 NULL);
    tb_work_stopped(e->self, e->sup, c);
}

static void
on_deleted(struct event *e, const struct tb_val *v)
{
    struct tb_child *c = child_of(e, e->home, &v[0], NULL, NULL);

    if (c)
        tb_work_deleted(e->self, e->sup, c, e->seq);
}

static void
on_exited(struct event *e, const struct tb_val *v)
{
    struct tb_child *c = child_of(e, e->home, &v[0], NULL, NULL);

    if (!c)
        return;
    c->abnormal = !is_normal(v[2].term);
    tb_child_set(&e->sup->table, c, TB_CHILD_EXITED, NULL);
    if (e->sup->owning)
        tb_child_exited(e->self, e->sup, c);
}

static void
on_record(struct event *e, const struct tb_val *v)
{
    tb_record_take(e->sup, e->host, v[0].text, v[1].term, v[2].term);
    if (tb_text_is(v[0].text, "generation")) {
        struct tb_val n[TB_MAX_HOLES];

        if (tb_match("N:int", v[2].term, n) == 1)
            e->host->generation = n[0].i;
    }
}

static void
on_dropped(struct event *e, const struct tb_val *v)
{
    struct tb_home *home =
        tb_home_find(e->sup, tb_intern(v[0].text), v[1].term);

    /* of one that lives a former backup has dropped what it had */
    if (home && !home->host && !e->sup->owning)
        tb_home_forget(e->self, e->sup, home);
}

static void
on_cleared(struct event *e, const struct tb_val *v)
{
    (void)v;
    tb_host_cleared(e->self, e->sup, e->host);
}

static void
on_closed(struct event *e, const struct tb_val *v)
{
    bool news = v[0].i > e->host->closed; /* else what is there came after */
    bool late = !e->sup->owning && e->host->generation > v[0].i;

    if (news) {
        e->host->closed = v[0].i;
        e->host->close_told = false;
        tb_places_update(e->sup);
    }
    tb_closed_is(e->self, e->sup, v[0].i);
    if (news && late) { /* one that knew it before may have begun the next */
        e->host->missed = true;
        tb_host_attach_again(e->self, e->host);
    } else if (news)
        tb_home_close(e->self, e->sup, e->home);
    tb_close_check(e->self, e->sup);
}

static void
on_owner(struct event *e, const struct tb_val *v)
{
    e->host->owner = tb_text_is(v[0].text, "none") ? 0 : tb_intern(v[0].text);
    e->host->epoch = v[1].i;
}

static void
on_nodes(struct event *e, const struct tb_val *v)
{
    e->host->nodes.len = 0;
    tb_wr_bytes(&e->host->nodes, v[0].term.p, v[0].term.n);
    tb_instances_parted(e->host, e->seq);
    tb_host_reach(e->self, e->sup);
}

static void
on_stopping(struct event *e, const struct tb_val *v)
{
    (void)v;
    e->host->stopping = true;
    tb_log(TB_INFO_LEVEL, "host.stopping", "node=%s name=%s",
           tb_atom_text(e->host->node).p, e->sup->name);
}

static void
on_refused(struct event *e, const struct tb_val *v)
{
    struct tb_elems items;
    struct tb_term item;
    struct tb_key key;

    tb_log(TB_INFO_LEVEL, "host.refused", "node=%s name=%s reason=%.*s",
           tb_atom_text(e->host->node).p, e->sup->name, (int)v[0].text.n,
           v[0].text.p);
    memset(e->host->sent, 0, sizeof(e->host->sent));
    e->host->backup_asked = 0;
    e->host->no_backup_asked = e->host->backup_told = false;
    e->host->clear_told = e->host->close_told = false;
    tb_lives_refused(e->self, e->sup, e->host);
    if (!tb_elems_open(&items, v[1].term))
        return;
    while (tb_elems_next(&items, &item)) {
        struct tb_child *c = tb_key_read(&key, item)
                                 ? tb_children_on(&e->sup->table, key, e->home)
                                 : NULL;

        if (c && c->work)
            tb_work_refused(e->self, e->sup, c);
    }
}

static void
on_backup(struct event *e, const struct tb_val *v)
{
    struct tb_host *h = e->host;
    tb_atom now = tb_text_is(v[0].text, "none") ? 0 : tb_intern(v[0].text);

    if (now != h->backup) /* the same has what it had */
        h->copied = now && now == h->early_holder ? h->early : 0;
    h->backup = now;
    h->early_holder = 0;
    h->backup_asked = 0;
    h->no_backup_asked = false;
    tb_answers_copied(e->self, e->sup, h);
}

static void
on_nothing(struct event *e, const struct tb_val *v)
{
    (void)e;
    (void)v;
}

/* clang-format off */
static const struct {
    const char *pattern;
    event_fn fn;
} events[] = {
    { "{started, Key, Count, Spec, Outcome}",        on_started     },
    { "{exited, Key, Pid:pid, Reason}",              on_exited      },
    { "{stopped, Key, Final, Reason}",               on_stopped     },
    { "{deleted, Key}",                              on_deleted     },
    { "{entries, List}",                             on_entries     },
    { "{copies, Node:atom, Inc, Seq:int, List}",     on_copies      },
    { "{copies, Node:atom}",                         on_copies_end  },
    { "{tombstones, Keys}",                          on_tombstones  },
    { "attached",                                    on_attached    },
    { "{kept, Key, Count, Spec, State}",             on_kept        },
    { "{record, Name:atom, Stamp, Value}",           on_record      },
    { "{recorded, _}",                               on_nothing     },
    { "{dropped, Node:atom, Inc}",                   on_dropped     },
    { "{closed, Generation:int}",                    on_closed      },
    { "{cleared, Inc}",                              on_cleared     },
    { "{owner, Node:atom, Epoch:int}",               on_owner       },
    { "{nodes, Nodes}",                              on_nodes       },
    { "{stopping, Reason}",                          on_stopping    },
    { "{refused, Reason:atom, Keys}",                on_refused     },
    { "{backup, Node:atom}",                         on_backup      },
};
/* clang-format on */

#define EVENTS (sizeof(events) / sizeof(events[0]))

static void
take_event(struct event *e, struct tb_term t)
{
    struct tb_val v[TB_MAX_HOLES];

    for (size_t i = 0; i < EVENTS; i++)
        if (tb_match(events[i].pattern, t, v) == 1) {
            events[i].fn(e, v);
            return;
        }
}

int
tb_on_host_events(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_supervisor *sup = state;
    struct event e = { .self = self, .sup = sup };
    struct tb_elems items;
    struct tb_term item;

    e.host = tb_host_find(sup, tb_intern(m->arg[1].text));
    if (!e.host || e.host->phase < TB_HOST_READING || !e.host->home)
        return TB_NOREPLY;
    e.home = e.host->home;
    if (tb_home_find(sup, e.host->node, m->arg[2].term) != e.home ||
        !tb_elems_open(&items, m->arg[4].term))
        return TB_NOREPLY;
    e.seq = (uint64_t)m->arg[3].i;
    if (e.seq > e.home->seq)
        e.home->seq = e.seq;
    while (tb_elems_next(&items, &item) && e.host->home == e.home)
        take_event(&e, item);
    tb_sup_turn_ask(self, sup);
    return TB_NOREPLY;
}

int
tb_on_host_copied(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_supervisor *sup = state;
    struct tb_host *h = tb_host_find(sup, tb_intern(m->arg[2].text));
    tb_atom holder = tb_intern(m->arg[1].text);
    struct tb_host *by = tb_host_find(sup, holder);
    uint64_t seq = (uint64_t)m->arg[4].i;

    if (!h || !h->home || tb_home_find(sup, h->node, m->arg[3].term) != h->home)
        return TB_NOREPLY;
    if (!h->copied && (!by || by->phase < TB_HOST_READING))
        return TB_NOREPLY;     /* it is lost, or else will tell */
    if (holder != h->backup) { /* it comes another way, and may be faster */
        h->early_holder = holder;
        h->early = seq;
        return TB_NOREPLY;
    }
    h->home->backed_by = holder;
    h->home->backed = seq;
    if (seq > h->copied) {
        h->copied = seq;
        h->late_ms = tb_now_ms(tb_self_node(self));
    }
    tb_answers_copied(self, sup, h);
    if ((seq >= h->barrier && !sup->safe) || (h->owed && seq >= h->owed))
        tb_sup_turn_ask(self, sup);
    if (h->old_backup && h->old_backup != h->backup && sup->owning) {
        struct tb_host *old = tb_host_find(sup, h->old_backup);

        if (old)
            tb_command(self, old, "{drop, Node, Inc}",
                       TB_ARGS(tb_v_node(h->node),
                               tb_v_term(tb_wr_term(&h->home->inc))));
    }
    h->old_backup = 0;
    return TB_NOREPLY;
}

/* What the answer to attach says of the host. */
static void
take_number(struct tb_host *h, struct tb_text key, int64_t n)
{
    if (tb_text_is(key, "closed"))
        h->closed = n;
    else if (tb_text_is(key, "epoch"))
        h->epoch = n;
    else if (tb_text_is(key, "otp"))
        h->otp = n;
    else if (tb_text_is(key, "seq") && h->home)
        h->home->seq = (uint64_t)n;
}

static void
take_name(struct tb_host *h, struct tb_text key, struct tb_text name)
{
    tb_atom node = tb_text_is(name, "none") ? 0 : tb_intern(name);

    if (tb_text_is(key, "owner"))
        h->owner = node;
    else if (tb_text_is(key, "backup"))
        h->backup = node;
}

static void
take_records(struct tb_supervisor *sup, struct tb_host *h, struct tb_term map)
{
    struct tb_val n[TB_MAX_HOLES], v[TB_MAX_HOLES], g[TB_MAX_HOLES];
    struct tb_elems items;
    struct tb_term name, record;

    if (!tb_elems_open_map(&items, map))
        return;
    while (tb_elems_next(&items, &name) && tb_elems_next(&items, &record)) {
        if (tb_match("Name:atom", name, n) != 1 ||
            tb_match("{Stamp, Value}", record, v) != 1)
            continue;
        tb_record_take(sup, h, n[0].text, v[0].term, v[1].term);
        if (tb_text_is(n[0].text, "generation") &&
            tb_match("N:int", v[1].term, g) == 1)
            h->generation = g[0].i;
    }
}

static void
take_key(struct tb_supervisor *sup, struct tb_host *h, struct tb_text key,
         struct tb_term value)
{
    struct tb_val v[TB_MAX_HOLES];

    if (tb_text_is(key, "nodes")) {
        h->nodes.len = 0;
        tb_wr_bytes(&h->nodes, value.p, value.n);
    } else if (tb_text_is(key, "records")) {
        take_records(sup, h, value);
    } else if (tb_match("N:int", value, v) == 1) {
        take_number(h, key, v[0].i);
    } else if (tb_match("Name:atom", value, v) == 1) {
        take_name(h, key, v[0].text);
    }
}

void
tb_host_take_info(struct tb_proc *self, struct tb_supervisor *sup,
                  struct tb_host *h, struct tb_term info)
{
    struct tb_val v[TB_MAX_HOLES];
    struct tb_elems items;
    struct tb_term key, value;

    h->generation = 0;
    h->closed = 0;
    h->owner = h->backup = 0;
    h->set.len = 0;
    memset(h->has, 0, sizeof(h->has));
    memset(h->has_node, 0, sizeof(h->has_node));
    if (!tb_elems_open_map(&items, info))
        return;
    while (tb_elems_next(&items, &key) && tb_elems_next(&items, &value))
        if (tb_match("Key:atom", key, v) == 1)
            take_key(sup, h, v[0].text, value);
    tb_closed_is(self, sup, h->closed);
    tb_host_reach(self, sup);
}
