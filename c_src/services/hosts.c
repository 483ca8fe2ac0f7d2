/* hosts.c - who may run children, and the way to each: is the host's process
 * there, can it be started, has it gone?
 * In Erlang: net_kernel:monitor_nodes/2, code:load_binary/3.
 * Owns: hosts. Thread: loop. */
#include <string.h>

#include "services/supervisor.h"

/* What the others had copied there is gone with it: they are to send all again
 * to the next one, and nothing counts before that has it. */
static void
lose_copies(const struct tb_host *h)
{
    TB_LIST_EACH (o, &h->sup->hosts, struct tb_host, link) {
        if (o->early_holder == h->node)
            o->early_holder = 0;
        if (o->home && o->home->backed_by == h->node)
            o->home->backed_by = 0;
        if (o->backup != h->node)
            continue;
        o->copied = 0;
        o->backup_told = false;
    }
}

/* What we heard of since its node was asked last may be what is there now. */
static void
lose_homes_of(struct tb_proc *self, const struct tb_host *h,
              const struct tb_home *but)
{
    TB_LIST_EACH (home, &h->sup->homes, struct tb_home, link) {
        bool had_closed = home != h->home || tb_host_has_closed(h);

        if (home->node != h->node || home == but ||
            (home != h->home && home->made >= h->ask))
            continue;
        if (home == h->home)
            lose_copies(h);
        tb_home_lose(h->sup, home);
        if (!had_closed)
            tb_home_close(self, h->sup, home);
    }
}

/* --------------------------------------------------------------- hosts -- */

struct tb_host *
tb_host_find(struct tb_supervisor *sup, tb_atom node)
{
    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link)
        if (h->node == node)
            return h;
    return NULL;
}

struct tb_host *
tb_host_get(struct tb_proc *self, struct tb_supervisor *sup, tb_atom node)
{
    struct tb_host *h = tb_host_find(sup, node);
    struct tb_list *before = &sup->hosts;

    if (h)
        return h;
    h = tb_new(struct tb_host);
    h->why = "not_connected";
    h->sup = sup;
    h->node = node;
    h->lost_ms = tb_now_ms(tb_self_node(self));
    tb_list_init(&h->unacked);
    TB_LIST_EACH (it, &sup->hosts, struct tb_host, link)
        if (before == &sup->hosts && tb_place_in_order(node, it->node))
            before = &it->link;
    tb_list_add(before, &h->link);
    return h;
}

static void
host_free(struct tb_host *h)
{
    tb_list_del(&h->link);
    tb_intensity_clear(&h->restarts);
    tb_wr_free(&h->run);
    tb_wr_free(&h->nodes);
    tb_wr_free(&h->set);
    tb_free(h);
}

void
tb_hosts_free(struct tb_supervisor *sup)
{
    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link)
        host_free(h);
    TB_LIST_EACH (home, &sup->homes, struct tb_home, link)
        tb_home_free(sup, home);
}

static void
set_phase(struct tb_host *h, enum tb_host_phase phase, const char *why)
{
    h->phase = phase;
    h->why = why;
}

/* -------------------------------------------------------------- attach -- */

static void ask_attach(struct tb_proc *self, struct tb_host *h);

static struct tb_host *
asking(void *ctx, int status)
{
    struct tb_host *h = ctx;

    return status != -TB_ESTOPPED && h->phase == TB_HOST_ASKING ? h : NULL;
}

/* kernel_safe_sup has it, or somebody else was faster. */
static int
on_begun(struct tb_proc *self, void *state, void *ctx, int status,
         struct tb_term result)
{
    struct tb_host *h = asking(ctx, status);
    struct tb_val v[TB_MAX_HOLES];
    struct tb_wr text = { .max = 512 };

    (void)state;
    if (!h)
        return TB_NOREPLY;
    if (status == 0 &&
        (tb_match("{ok, _}", result, v) == 1 ||
         tb_match("{error, {already_started, _}}", result, v) == 1)) {
        ask_attach(self, h);
        return TB_NOREPLY;
    }
    set_phase(h, TB_HOST_WAITING, "not_started");
    tb_print(&text, result);
    tb_log(TB_WARNING, "host.not_started", "node=%s name=%s why=%.*s",
           tb_atom_text(h->node).p, h->sup->name, (int)text.len,
           (const char *)text.buf);
    tb_wr_free(&text);
    return TB_NOREPLY;
}

static void
begin(struct tb_proc *self, struct tb_host *h)
{
    tb_erpc(self, h->node, "supervisor", "start_child",
            "[kernel_safe_sup, #{id => {tiebeam_host, Name}, "
            "start => {tiebeam_host, start_link, [Name]}, "
            "restart => temporary, shutdown => infinity, type => supervisor, "
            "modules => [tiebeam_host]}]",
            TB_ARGS(tb_v_atom(h->sup->name), tb_v_atom(h->sup->name)),
            TB_SUP_CALL_MS, on_begun, h);
}

static int
on_loaded(struct tb_proc *self, void *state, void *ctx, int status,
          struct tb_term result)
{
    struct tb_host *h = asking(ctx, status);
    struct tb_val v[TB_MAX_HOLES];

    (void)state;
    if (!h)
        return TB_NOREPLY;
    if (status == 0 && tb_match("{module, _}", result, v) == 1) {
        begin(self, h);
        return TB_NOREPLY;
    }
    set_phase(h, TB_HOST_NO, "not_loaded");
    tb_log(TB_WARNING, "host.not_loaded", "node=%s name=%s: %s",
           tb_atom_text(h->node).p, h->sup->name,
           "it does not take the module tiebeam_host");
    return TB_NOREPLY;
}

static void
load(struct tb_proc *self, struct tb_host *h)
{
    tb_erpc(self, h->node, "code", "load_binary",
            "[tiebeam_host, \"tiebeam_host.erl\", Beam]",
            TB_ARGS(tb_v_bin(tb_host_beam, tb_host_beam_len)), TB_SUP_CALL_MS,
            on_loaded, h);
}

/* A release that contains the module starts its own. A module that was loaded
 * before, by us or by another tiebeam, is there but in no file. */
static int
on_which(struct tb_proc *self, void *state, void *ctx, int status,
         struct tb_term result)
{
    struct tb_host *h = asking(ctx, status);
    struct tb_val v[TB_MAX_HOLES];
    const struct tb_supervisor_options *o;

    (void)state;
    if (!h)
        return TB_NOREPLY;
    o = &h->sup->o;
    if (status != 0)
        set_phase(h, TB_HOST_WAITING, "no_answer");
    else if (tb_host_is_loaded(result) && !o->preloaded &&
             o->filter != TB_HOSTS_MODULE)
        begin(self, h);
    else if (tb_match("File:list", result, v) == 1)
        set_phase(h, TB_HOST_WAITING, "not_started");
    else if (o->preloaded || o->filter == TB_HOSTS_MODULE)
        set_phase(h, TB_HOST_NO, "no_module");
    else
        load(self, h);
    if (h->phase != TB_HOST_ASKING)
        tb_sup_turn_ask(self, h->sup);
    return TB_NOREPLY;
}

static void
set_gone(struct tb_proc *self, struct tb_host *h)
{
    if (!h->gone_ms)
        h->gone_ms = tb_now_ms(tb_self_node(self));
}

static void
drop_monitor(struct tb_proc *self, struct tb_host *h)
{
    if (h->monitored)
        tb_demonitor(self, h->monitor);
    h->monitored = false;
}

static void
attached(struct tb_proc *self, struct tb_host *h, struct tb_term inc,
         struct tb_term info)
{
    struct tb_supervisor *sup = h->sup;
    struct tb_home *home = tb_home_get(sup, h->node, inc);
    bool lived;

    if (home && home->lost && home->pending)
        TB_LIST_EACH (there, &sup->homes, struct tb_home, link)
            home->stale |= tb_works_call_off(self, sup, home, there);
    if (!home || (home->lost && home->pending)) { /* till that is done */
        set_gone(self, h);
        set_phase(h, TB_HOST_WAITING, "no_answer");
        return;
    }
    set_phase(h, TB_HOST_READING, NULL);
    h->not_spoken = false;
    h->down = h->stopping = false;
    h->told = h->close_told = h->clear_told = h->noted = false;
    h->gone_ms = 0;
    lose_homes_of(self, h, home);
    lived = h->home == home || home->lost;
    if (home->lost)
        tb_home_found(home);
    h->home = home;
    home->host = h;
    TB_LIST_EACH (c, &home->children, struct tb_child, link)
        c->seen = false;
    memset(h->sent, 0, sizeof(h->sent));
    h->run.len = 0;
    h->n_run = 0;
    h->backup_asked = h->early_holder = 0;
    h->no_backup_asked = h->backup_told = false;
    tb_host_take_info(self, sup, h, info);
    if (h->missed && (lived || h->generation)) /* others have decided there */
        tb_homes_age(sup);
    h->owed = h->parted = 0;
    tb_instances_parted(h, home->seq);
    h->copied = h->backup && home->backed_by == h->backup ? home->backed : 0;
    tb_set_mark(self, sup, h);
    drop_monitor(self, h);
    h->monitor = tb_monitor_name(self, sup->host_name, h->node);
    h->monitored = true;
    tb_host_look_up(self, h);
}

static bool
is_spoken(int64_t version)
{
    return version >= TB_HOST_OLDEST && version <= TB_HOST_VERSION;
}

/* It may be replaced by another one: asked again in a while. */
static void
not_spoken(struct tb_proc *self, struct tb_host *h, bool is_attached)
{
    if (!h->not_spoken)
        tb_log(TB_WARNING, "host.other_version",
               "node=%s name=%s: its tiebeam_host does not speak versions %d "
               "to %d: it is no host",
               tb_atom_text(h->node).p, h->sup->name, TB_HOST_OLDEST,
               TB_HOST_VERSION);
    h->not_spoken = true;
    if (is_attached)
        tb_send_name(self, h->sup->host_name, h->node,
                     "{'$gen_cast', {detach, Me}}",
                     TB_ARGS(tb_v_pid(tb_self(self))));
    if (h->home)
        tb_host_lost(self, h->sup, h, "other_version");
    set_phase(h, TB_HOST_WAITING, "other_version");
}

static void
no_process(struct tb_proc *self, struct tb_host *h)
{
    if (h->home)
        tb_host_lost(self, h->sup, h, "ended");
    set_gone(self, h);
    h->none = h->ask;
    tb_host_ask_file(self, h, on_which);
}

static int
on_attached(struct tb_proc *self, void *state, void *ctx, int status,
            struct tb_term result)
{
    struct tb_host *h = asking(ctx, status);
    struct tb_val v[TB_MAX_HOLES];

    (void)state;
    if (!h)
        return TB_NOREPLY;
    if (status == 0 && tb_match("{ok, V:int, Inc, Info:map}", result, v) == 1) {
        h->version = v[0].i;
        if (is_spoken(h->version))
            attached(self, h, v[1].term, v[2].term);
        else
            not_spoken(self, h, true);
    } else if (status == 0 && tb_match("{error, {version, _}}", result, v) == 1)
        not_spoken(self, h, false);
    else if (status == -TB_ENOPROC)
        no_process(self, h);
    else {
        if (status == -TB_ETIMEOUT)
            h->gone_ms = 0; /* there may be one by now */
        set_phase(h, TB_HOST_WAITING, "no_answer");
    }
    if (h->phase != TB_HOST_ASKING)
        tb_sup_turn_ask(self, h->sup);
    return TB_NOREPLY;
}

static void
ask_attach(struct tb_proc *self, struct tb_host *h)
{
    set_phase(h, TB_HOST_ASKING, NULL);
    h->ask = ++h->sup->n_asks;
    tb_call_name(self, h->sup->host_name, h->node,
                 "{attach, V, Me, #{lease => Ms}}",
                 TB_ARGS(tb_v_int(TB_HOST_VERSION), tb_v_pid(tb_self(self)),
                         tb_v_int(TB_HOST_LEASE_MS)),
                 TB_SUP_CALL_MS, on_attached, h);
}

static void
consider(struct tb_proc *self, struct tb_host *h)
{
    const char *why = tb_host_why_none(h->sup, h);

    if (why)
        set_phase(h, TB_HOST_NO, why);
    else
        ask_attach(self, h);
}

/* It will not tell of which copies it holds: all are asked anew. */
static void
ask_again(struct tb_supervisor *sup)
{
    TB_LIST_EACH (home, &sup->homes, struct tb_home, link)
        if (!home->complete)
            home->n_asked = 0;
}

/* Another one may be there by now, of which we have not been told. */
void
tb_host_attach_again(struct tb_proc *self, struct tb_host *h)
{
    ask_again(h->sup);
    ask_attach(self, h);
    tb_sup_turn_ask(self, h->sup);
}

/* ---------------------------------------------------------------- gone -- */

static void
away(struct tb_proc *self, struct tb_host *h)
{
    drop_monitor(self, h);
    if (h->phase == TB_HOST_ATTACHED)
        h->sup->era++, h->sup->changed_ms = tb_now_ms(tb_self_node(self));
    set_phase(h, TB_HOST_AWAY, "not_connected");
    h->missed = true;
    h->owner = 0;
    h->lost_ms = tb_now_ms(tb_self_node(self));
    h->confirm_ms = 0;
    h->confirm_n = 0;
    h->confirm_late = h->confirming;
    h->sup->whole = false; /* till the end of this turn, at least */
    ask_again(h->sup);
    tb_places_update(h->sup);
    tb_answers_copied(self, h->sup, h);
    tb_sup_turn_ask(self, h->sup);
}

/* That incarnation is gone for good, and what was there before it. */
void
tb_host_lost(struct tb_proc *self, struct tb_supervisor *sup, struct tb_host *h,
             const char *why)
{
    tb_log(TB_NOTICE, "host.lost", "node=%s name=%s children=%zu why=%s",
           tb_atom_text(h->node).p, sup->name, h->home ? h->home->n : 0, why);
    if (h->phase == TB_HOST_AWAY)
        h->down = true;
    set_gone(self, h);
    lose_homes_of(self, h, NULL);
    h->copied = UINT64_MAX; /* its answers wait for nobody any more */
    tb_answers_copied(self, sup, h);
    h->copied = 0;
    h->backup = h->backup_asked = h->old_backup = h->early_holder = 0;
    h->no_backup_asked = false;
    tb_intensity_clear(&h->restarts);
    sup->whole = false;
    if (sup->balance_ms) /* its loss moves nothing; one that came does */
        tb_balance_later(self, sup);
    ask_again(sup);
    tb_places_update(sup);
    tb_sup_turn_ask(self, sup);
}

/* The process of the host itself ended, and its children with it. */
bool
tb_host_down(struct tb_proc *self, struct tb_supervisor *sup, struct tb_ref ref,
             struct tb_term reason)
{
    struct tb_val v[TB_MAX_HOLES];

    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link) {
        if (!h->monitored || !tb_ref_eq(h->monitor, ref))
            continue;
        h->monitored = false;
        if (tb_match("noconnection", reason, v) == 1) {
            if (h->phase != TB_HOST_AWAY)
                away(self, h);
            return true;
        }
        if (h->phase == TB_HOST_ATTACHED)
            sup->era++;
        sup->changed_ms = tb_now_ms(tb_self_node(self));
        set_phase(h, TB_HOST_WAITING, "ended");
        h->owner = 0;
        tb_host_lost(self, sup, h, "ended");
        if (!h->stopping) /* else not before its node is gone, or in a while */
            ask_attach(self, h);
        return true;
    }
    return false;
}

/* It is empty, and another incarnation from now on. */
void
tb_host_cleared(struct tb_proc *self, struct tb_supervisor *sup,
                struct tb_host *h)
{
    drop_monitor(self, h);
    set_phase(h, TB_HOST_WAITING, "cleared");
    h->owner = 0;
    h->forgotten = false;
    tb_host_lost(self, sup, h, "cleared");
    ask_attach(self, h);
}

int
tb_on_host_nodeup(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_supervisor *sup = state;
    tb_atom node = tb_intern(m->arg[0].text);
    struct tb_host *h;

    if (!node || !tb_text_is(m->arg[1].text, "visible"))
        return TB_NOREPLY;
    h = tb_host_get(self, sup, node);
    h->visible = true;
    if (h->home && h->creation != (uint32_t)m->arg[2].i)
        tb_host_lost(self, sup, h, "restarted");
    h->creation = (uint32_t)m->arg[2].i;
    h->down = false;
    h->gone_ms = 0;
    consider(self, h);
    tb_sup_turn_ask(self, sup);
    return TB_NOREPLY;
}

/* One that was connected before this process began. */
void
tb_host_connected(struct tb_proc *self, struct tb_supervisor *sup, tb_atom node)
{
    struct tb_peer_info info;
    struct tb_host *h;

    if (!node || !tb_peer_info(tb_self_node(self), node, &info) ||
        !info.visible)
        return;
    h = tb_host_get(self, sup, node);
    h->visible = true;
    h->creation = info.creation;
    consider(self, h);
}

int
tb_on_host_nodedown(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_supervisor *sup = state;
    struct tb_host *h = tb_host_find(sup, tb_intern(m->arg[0].text));

    if (h && h->phase != TB_HOST_AWAY)
        away(self, h);
    return TB_NOREPLY;
}

/* ---------------------------------------------------------------- turn -- */

/* Members of the set that this node has never seen. */
static void
know_members(struct tb_proc *self, struct tb_supervisor *sup)
{
    struct tb_term members = tb_set_members(sup);
    struct tb_elems e;
    struct tb_term item;

    if (!members.n || !tb_elems_open(&e, members))
        return;
    while (tb_elems_next(&e, &item))
        if (tb_rule_node(item))
            tb_host_get(self, sup, tb_rule_node(item));
}

/* What is none may be one by other options, and the other way round. */
void
tb_hosts_reconsider(struct tb_proc *self, struct tb_supervisor *sup)
{
    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link)
        if (h->phase == TB_HOST_NO && h->visible)
            consider(self, h);
        else if (h->phase >= TB_HOST_READING)
            tb_host_look_up(self, h);
}

static int
on_managed(struct tb_proc *self, void *state, void *ctx, int status,
           struct tb_term result)
{
    struct tb_supervisor *sup = ctx;

    (void)state;
    if (status != 0)
        return TB_NOREPLY;
    sup->managed.len = 0;
    tb_wr_bytes(&sup->managed, result.p, result.n);
    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link)
        if (h->phase == TB_HOST_NO && h->visible && !tb_host_why_none(sup, h))
            consider(self, h);
    return TB_NOREPLY;
}

/* It went, and nothing of it matters. Calls that know it have ended. */
static bool
is_stranger(struct tb_proc *self, const struct tb_host *h)
{
    return h->phase == TB_HOST_AWAY && !h->confirming && !h->looking_up &&
           !tb_host_matters(h->sup, h) && tb_list_empty(&h->unacked) &&
           tb_now_ms(tb_self_node(self)) - h->lost_ms >
               UINT64_C(4) * TB_SUP_CALL_MS;
}

void
tb_hosts_tick(struct tb_proc *self, struct tb_supervisor *sup)
{
    know_members(self, sup);
    if (sup->o.filter == TB_HOSTS_MANAGED)
        tb_call_name(self, "node_monitor", sup->self_node, "{nodes, managed}",
                     TB_NONE, TB_SUP_CALL_MS, on_managed, sup);
    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link) {
        if (h->phase == TB_HOST_WAITING)
            ask_attach(self, h);
        if (is_stranger(self, h))
            host_free(h);
    }
    tb_hosts_look(self, sup);
}
