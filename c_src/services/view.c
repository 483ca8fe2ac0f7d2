/* view.c - what this node sees of the hosts, whether it is the one that
 * decides, and the records that all of them share.
 * Owns: nothing. Thread: loop. */
#include <string.h>

#include "services/supervisor.h"

static const char *const record_names[TB_RECORDS] = {
    [TB_RECORD_OPTIONS] = "options",
    [TB_RECORD_DRAINED] = "drained",
    [TB_RECORD_GENERATION] = "generation",
    [TB_RECORD_SET] = "set",
};

/* -------------------------------------------------------------- records -- */

static bool
is_older(int64_t counter, tb_atom node, int64_t than, tb_atom than_node)
{
    if (counter != than || node == than_node || !node || !than_node)
        return counter < than || (counter == than && !node && than_node);
    return tb_place_in_order(node, than_node);
}

void
tb_record_take(struct tb_supervisor *sup, struct tb_host *from,
               struct tb_text name, struct tb_term stamp, struct tb_term value)
{
    struct tb_val v[TB_MAX_HOLES];
    enum tb_record_id id = TB_RECORD_OPTIONS;
    struct tb_record *r;
    tb_atom node;

    while (id < TB_RECORDS && !tb_text_is(name, record_names[id]))
        id++;
    if (id == TB_RECORDS || tb_match("{Counter:int, Node:atom}", stamp, v) != 1)
        return;
    r = &sup->record[id];
    node = tb_intern(v[1].text);
    if (from) {
        from->has[id] = v[0].i;
        from->has_node[id] = node;
        from->sent[id] = false;
    }
    if (id == TB_RECORD_SET) {
        if (from) {
            from->set.len = 0;
            tb_wr_bytes(&from->set, value.p, value.n);
        }
        tb_set_take(sup, v[0].i, node, value);
        return;
    }
    if (r->value.len && !is_older(r->counter, r->node, v[0].i, node))
        return;
    r->counter = v[0].i;
    r->node = node;
    r->value.len = 0;
    tb_wr_bytes(&r->value, value.p, value.n);
}

void
tb_record_set(struct tb_supervisor *sup, enum tb_record_id id,
              struct tb_term value)
{
    struct tb_record *r = &sup->record[id];
    struct tb_wr w = { 0 };

    tb_wr_bytes(&w, value.p, value.n); /* it may be a part of the old one */
    tb_wr_free(&r->value);
    r->value = w;
    r->counter++;
    r->node = sup->self_node;
    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link)
        h->sent[id] = false;
}

bool
tb_record_lacks(const struct tb_supervisor *sup, const struct tb_host *h,
                enum tb_record_id id)
{
    const struct tb_record *r = &sup->record[id];

    return r->value.len &&
           is_older(h->has[id], h->has_node[id], r->counter, r->node);
}

static void
send_record(struct tb_proc *self, struct tb_supervisor *sup, struct tb_host *h,
            enum tb_record_id id)
{
    const struct tb_record *r = &sup->record[id];

    if (!tb_record_lacks(sup, h, id) || h->sent[id])
        return;
    h->sent[id] = true;
    tb_command(self, h, "{record, Name, {Counter, Node}, Value}",
               TB_ARGS(tb_v_atom(record_names[id]), tb_v_int(r->counter),
                       tb_v_node(r->node), tb_v_term(tb_wr_term(&r->value))));
    if (id == TB_RECORD_GENERATION) { /* what follows is of the new one */
        tb_host_send(self, h);
        h->generation = tb_generation(sup);
    }
}

/* ------------------------------------------------------------------ view -- */

static bool
counts(const struct tb_host *h)
{
    return h->phase == TB_HOST_ATTACHED;
}

bool
tb_all_attached(const struct tb_supervisor *sup)
{
    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link)
        if (h->member && !counts(h))
            return false;
    return true;
}

bool
tb_has_no_hosts(const struct tb_supervisor *sup)
{
    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link)
        if (counts(h))
            return false;
    return true;
}

/* The host that all who are attached to us name; 0: they do not agree. */
tb_atom
tb_view_owner(const struct tb_supervisor *sup)
{
    bool no_set = sup->record[TB_RECORD_SET].value.len == 0;
    tb_atom owner = 0;

    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link) {
        if (!counts(h) || (!h->member && !no_set))
            continue;
        if (!h->owner || (owner && owner != h->owner))
            return 0;
        owner = h->owner;
    }
    return owner;
}

static bool
is_looking(const struct tb_supervisor *sup)
{
    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link)
        if (h->phase == TB_HOST_ASKING || h->phase == TB_HOST_READING)
            return true;
    return false;
}

/* One that is up and does not answer may have children that we do not know of,
 * and the names of those. */
static bool
is_settled(const struct tb_host *h)
{
    return counts(h) || h->down || h->phase == TB_HOST_NO ||
           (h->phase == TB_HOST_WAITING && (h->gone_ms || h->not_spoken));
}

static bool
sees_members(const struct tb_supervisor *sup)
{
    struct tb_term members = tb_set_members(sup);
    struct tb_elems e;
    struct tb_term item;

    if (!members.n || !tb_elems_open(&e, members))
        return true;
    while (tb_elems_next(&e, &item)) {
        const struct tb_host *h = NULL;

        TB_LIST_EACH (it, &sup->hosts, struct tb_host, link)
            if (it->node == tb_rule_node(item))
                h = it;
        if (!h || !is_settled(h))
            return false;
    }
    return true;
}

/* A moment after the start nobody can tell yet that there are no hosts. Later a
 * node that is asked once more, or a new one, changes nothing. */
static bool
is_whole(struct tb_proc *self, struct tb_supervisor *sup)
{
    uint64_t age = tb_now_ms(tb_self_node(self)) - sup->since_ms;

    if (!sees_members(sup))
        return false;
    if (age >= TB_SUP_SETTLE_MS)
        return !is_looking(sup) || !tb_has_no_hosts(sup) || sup->whole;
    return !tb_has_no_hosts(sup) && (!is_looking(sup) || sup->whole);
}

static void
mark_members(struct tb_proc *self, struct tb_supervisor *sup)
{
    const struct tb_wr *drained = &sup->record[TB_RECORD_DRAINED].value;

    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link) {
        tb_set_mark(self, sup, h);
        h->excluded = counts(h) && tb_host_excluded(h);
        h->draining = h->stopping ||
                      (drained->len && tb_drain_has(h, tb_wr_term(drained)));
    }
}

/* Options of a generation that is closed bind nobody. */
bool
tb_is_open(const struct tb_supervisor *sup)
{
    return sup->record[TB_RECORD_GENERATION].value.len &&
           tb_generation(sup) > sup->closed;
}

void
tb_view_leases(struct tb_proc *self, struct tb_supervisor *sup, bool all)
{
    bool ready = sup->whole && !sup->differs && !sup->ended;

    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link) {
        if (!counts(h) || (!all && h->told && h->ready_told == ready))
            continue;
        h->told = true;
        h->ready_told = ready;
        tb_send_name(self, sup->host_name, h->node,
                     "{'$gen_cast', {lease, Me, Ready}}",
                     TB_ARGS(tb_v_pid(tb_self(self)), tb_v_bool(ready)));
    }
}

static void
own(struct tb_supervisor *sup, bool owning)
{
    if (owning == sup->owning)
        return;
    sup->owning = owning;
    sup->looked = false;
    tb_log(TB_INFO_LEVEL, owning ? "supervisor.owner" : "supervisor.not_owner",
           "name=%s", sup->name);
}

void
tb_view_update(struct tb_proc *self, struct tb_supervisor *sup)
{
    mark_members(self, sup);
    tb_options_see(self, sup);
    sup->whole = is_whole(self, sup);
    own(sup, sup->whole && !sup->differs && !sup->ended &&
                 tb_view_owner(sup) == sup->self_node);
    tb_view_leases(self, sup, false);
    if (tb_is_open(sup))
        sup->began_open = true;
    TB_LIST_EACH (home, &sup->homes, struct tb_home, link)
        if (home->host && counts(home->host) && home->host->owner)
            home->known = home->host->owner == sup->self_node;
}

/* ---------------------------------------------------------- owner's work -- */

static void
open_generation(struct tb_supervisor *sup)
{
    struct tb_wr w = { 0 };

    if (tb_generation(sup) > sup->closed)
        return;
    tb_build(&w, "N", TB_ARGS(tb_v_int(sup->closed + 1)));
    tb_record_set(sup, TB_RECORD_GENERATION, tb_wr_term(&w));
    tb_wr_free(&w);
    tb_drain_forget_crashes(sup);
}

/* Those of an open generation are ours, since we own, but where nobody else
 * has decided for a while. */
static void
record_options(struct tb_supervisor *sup, bool opened)
{
    const struct tb_record *r = &sup->record[TB_RECORD_OPTIONS];

    if ((opened || sup->imposes) && !tb_options_same(&r->value, &sup->o.all))
        tb_record_set(sup, TB_RECORD_OPTIONS, tb_wr_term(&sup->o.all));
}

static bool
may_back_up(const struct tb_host *h)
{
    return counts(h) && h->member && !h->stopping && !h->excluded &&
           tb_host_has_closed(h); /* else it drops what it has */
}

/* The next one in the order of names. */
static tb_atom
backup_of(const struct tb_supervisor *sup, const struct tb_host *of)
{
    const struct tb_list *l = of->link.next;

    for (; l != &of->link; l = l->next) {
        const struct tb_host *h = TB_ENTRY(l, struct tb_host, link);

        if (l != &sup->hosts && may_back_up(h))
            return h->node;
    }
    return 0;
}

static void
name_backup(struct tb_proc *self, struct tb_supervisor *sup, struct tb_host *h)
{
    tb_atom to = backup_of(sup, h);
    const struct tb_host *now = h->backup ? tb_host_find(sup, h->backup) : NULL;

    if (to ? to == h->backup_asked : h->no_backup_asked) /* once */
        return;
    if (to == h->backup) {
        if (to && !h->copied && !h->backup_told) /* it was started anew */
            tb_backup_again(self, h);
        return;
    }
    if (now && now->member && !now->down && now->phase == TB_HOST_AWAY)
        return; /* it may be back in a moment */
    if (h->backup && !h->old_backup)
        h->old_backup = h->backup;
    h->backup_asked = to;
    h->no_backup_asked = !to;
    h->backup_told = to;
    h->early_holder = 0; /* what it acknowledges comes after this */
    if (to)
        tb_command(self, h, "{backup, Node}", TB_ARGS(tb_v_node(to)));
    else
        tb_command(self, h, "{backup, none}", TB_NONE);
}

/* Or it is on its way to one. */
bool
tb_has_second_place(const struct tb_supervisor *sup, const struct tb_host *h)
{
    return h->backup || (h->member && backup_of(sup, h));
}

/* All of it, be it that an acknowledgement went astray. */
void
tb_backup_again(struct tb_proc *self, struct tb_host *h)
{
    h->backup_asked = h->backup;
    h->backup_told = true;
    tb_command(self, h, "{backup, Node}", TB_ARGS(tb_v_node(h->backup)));
}

/* Whatever host is lost now, nothing is lost with it. */
bool
tb_is_safe(const struct tb_supervisor *sup)
{
    TB_LIST_EACH (home, &sup->homes, struct tb_home, link)
        if (home->lost)
            return false;
    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link)
        if (counts(h) && h->member && tb_has_second_place(sup, h) &&
            (!h->backup || h->copied < h->home->seq))
            return false;
    return sup->whole && sup->table.n_fresh == 0;
}

void
tb_view_owner_work(struct tb_proc *self, struct tb_supervisor *sup)
{
    bool open = tb_is_open(sup);

    if (!sup->owning || sup->closing)
        return;
    open_generation(sup);
    record_options(sup, !open);
    tb_set_turn(self, sup);
    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link) {
        if (!counts(h) || h->owner != sup->self_node)
            continue;
        if (h->closed < sup->closed && !h->close_told) {
            h->close_told = true;
            tb_command(self, h, "{close, N}", TB_ARGS(tb_v_int(sup->closed)));
        }
        send_record(self, sup, h, TB_RECORD_GENERATION);
        send_record(self, sup, h, TB_RECORD_OPTIONS);
        send_record(self, sup, h, TB_RECORD_DRAINED);
        if (!h->member)
            continue; /* a set without it would tell that it was forgotten */
        send_record(self, sup, h, TB_RECORD_SET);
        name_backup(self, sup, h);
        tb_answers_copied(self, sup, h);
        tb_answers_late(self, h);
    }
}
