/* monitor_source.c - which nodes are managed: a list, what a function on a BEAM
 * node gives every now and then, or all that are there.
 *
 * A function that fails, whichever way, counts as the empty list, or with
 * on_error keep as the last one; it never stops the monitor. Answers and timers
 * carry the generation of the source that they belong to, and are nothing once
 * there is a newer one.
 * Owns: the managed set. Thread: loop. */
#include <stdio.h>
#include <string.h>

#include "services/monitor.h"

#define MFA_TIMEOUT_MS 5000

/* What the members of a new set are told with. */
enum occasion { FIRST, REFRESH, RECONFIGURE };

/* An answer that is waited for. */
struct fetch {
    uint64_t generation;
    enum occasion occasion;
};

/* ------------------------------------------------------------- the set -- */

static void
begin_set(struct tb_monitor *mon)
{
    TB_LIST_EACH (w, &mon->nodes, struct tb_watched, link)
        w->in_next = false;
}

static void
add_nodes(struct tb_proc *self, struct tb_monitor *mon, struct tb_term list)
{
    tb_atom us = tb_node_name(tb_self_node(self));
    struct tb_elems e;
    struct tb_term item;

    for (tb_elems_open(&e, list); tb_elems_next(&e, &item);) {
        tb_atom node = tb_rule_node(item);

        if (node && node != us)
            tb_watched_get(mon, node)->in_next = true;
    }
}

/* Everybody is in the set, or out of it, before anybody is told. */
static void
announce_difference(struct tb_proc *self, struct tb_monitor *mon)
{
    TB_LIST_EACH (w, &mon->nodes, struct tb_watched, link) {
        w->entered = w->in_next && !w->in_set;
        w->left = w->in_set && !w->in_next;
        w->in_set = w->in_next;
    }
    TB_LIST_EACH (w, &mon->nodes, struct tb_watched, link)
        if (w->entered)
            tb_notifier_tell(self, mon, w->node, true);
    TB_LIST_EACH (w, &mon->nodes, struct tb_watched, link)
        if (w->left)
            tb_notifier_tell(self, mon, w->node, false);
    TB_LIST_EACH (w, &mon->nodes, struct tb_watched, link)
        if (w->entered && w->connected)
            tb_notifier_node_up(self, mon, w);
}

static void
announce_connected(struct tb_proc *self, struct tb_monitor *mon)
{
    TB_LIST_EACH (w, &mon->nodes, struct tb_watched, link)
        if (w->in_set && w->connected)
            tb_notifier_tell(self, mon, w->node, true);
}

/* A hidden node is listened to, and its states are told, once it is in. */
static void
listen_to(struct tb_proc *self, struct tb_monitor *mon, struct tb_watched *w)
{
    tb_detector_node_up(self, mon, w);
    tb_watched_judge(self, mon, w, "managed");
}

/* Those that left the set are not disconnected. A refresh that says the same as
 * the one before leaves everybody's turn to be dialled as it is. */
static void
end_set(struct tb_proc *self, struct tb_monitor *mon, enum occasion occasion)
{
    announce_difference(self, mon);
    if (occasion == RECONFIGURE)
        announce_connected(self, mon);
    tb_notifier_catch_up(self, mon);
    TB_LIST_EACH (w, &mon->nodes, struct tb_watched, link)
        if (w->connected)
            listen_to(self, mon, w);
        else if (w->entered || w->left || occasion != REFRESH)
            tb_dialler_look(self, mon, w);
}

static void
answer_reconfigure(struct tb_proc *self, struct tb_monitor *mon,
                   const char *reply)
{
    if (!mon->waiting)
        return;
    tb_reply_to(self, mon->waiting, reply, TB_NONE);
    tb_from_free(mon->waiting);
    mon->waiting = NULL;
}

static void
take_list(struct tb_proc *self, struct tb_monitor *mon, struct tb_term list,
          enum occasion occasion)
{
    begin_set(mon);
    add_nodes(self, mon, list);
    end_set(self, mon, occasion);
    answer_reconfigure(self, mon, "ok");
}

/* ------------------------------------------------------------ nodes_mfa -- */

static void
refresh_later(struct tb_proc *self, struct tb_monitor *mon)
{
    mon->refresh_timer =
        tb_send_after(self, mon->options.refresh_ms, "{refresh, Generation}",
                      TB_ARGS(tb_v_int((int64_t)mon->generation)));
}

/* What belongs to the source before is late from now on. */
static void
next_generation(struct tb_proc *self, struct tb_monitor *mon)
{
    tb_cancel_timer(self, mon->refresh_timer);
    mon->generation++;
    mon->fetching = mon->nobody_to_ask = false;
}

/* Each new way in which it fails is one line of the log. */
static void
failed(struct tb_proc *self, struct tb_monitor *mon, enum occasion occasion,
       const char *why)
{
    struct tb_wr empty = { 0 };

    if (strcmp(why, mon->source_error) != 0)
        tb_log(TB_WARNING, "monitor.nodes_mfa_failed", "reason=%s, %s", why,
               mon->options.keep ? "the last list stays"
                                 : "counts as the empty list");
    snprintf(mon->source_error, sizeof(mon->source_error), "%s", why);
    if (mon->options.keep) {
        if (occasion == RECONFIGURE)
            announce_connected(self, mon);
        tb_notifier_catch_up(self, mon);
        answer_reconfigure(self, mon, "ok");
        return;
    }
    tb_build(&empty, "[]", TB_NONE);
    take_list(self, mon, tb_wr_term(&empty), occasion);
    tb_wr_free(&empty);
}

static void
failed_with(struct tb_proc *self, struct tb_monitor *mon,
            enum occasion occasion, const char *what, struct tb_term why)
{
    struct tb_wr w = { .max = 4096 };

    tb_wr_str(&w, what);
    tb_print_pretty(&w, why);
    tb_wr_bytes(&w, "", 1);
    failed(self, mon, occasion, w.bad ? what : (const char *)w.buf);
    tb_wr_free(&w);
}

static int
on_fetched(struct tb_proc *self, void *state, void *ctx, int status,
           struct tb_term result)
{
    struct tb_monitor *mon = state;
    struct fetch fetch = *(struct fetch *)ctx;

    tb_free(ctx);
    if (fetch.generation != mon->generation || status == -TB_ESTOPPED)
        return TB_NOREPLY;
    mon->fetching = false;
    if (status < 0) {
        failed_with(self, mon, fetch.occasion, "", result);
    } else if (tb_rule_count(result) > TB_MON_MAX_MANAGED) {
        failed(self, mon, fetch.occasion, "too many nodes");
    } else if (!tb_rule_all(result, tb_rule_is_node)) {
        failed_with(self, mon, fetch.occasion, "not a list of nodes: ", result);
    } else {
        if (mon->source_error[0])
            tb_log(TB_NOTICE, "monitor.nodes_mfa", "works again");
        mon->source_error[0] = '\0';
        take_list(self, mon, result, fetch.occasion);
    }
    refresh_later(self, mon);
    return TB_NOREPLY;
}

/* The attached node; else the first visible one in name order, so that it is
 * mostly the same one. */
static tb_atom
node_to_ask(struct tb_monitor *mon)
{
    struct tb_watched *first = NULL;

    TB_LIST_EACH (w, &mon->nodes, struct tb_watched, link) {
        if (!w->connected || !w->visible || w->listen.s.suspect)
            continue;
        if (w->node == mon->options.attached)
            return w->node;
        if (!first ||
            strcmp(tb_atom_text(w->node).p, tb_atom_text(first->node).p) < 0)
            first = w;
    }
    return first ? first->node : 0;
}

static void
fetch_nodes(struct tb_proc *self, struct tb_monitor *mon,
            enum occasion occasion)
{
    char module[TB_MON_ATOM_BYTES], function[TB_MON_ATOM_BYTES];
    tb_atom node = node_to_ask(mon);
    struct tb_val v[TB_MAX_HOLES];
    struct fetch *fetch;

    mon->nobody_to_ask = !node;
    if (!node) {
        failed(self, mon, occasion, "no visible node is connected");
        refresh_later(self, mon);
        return;
    }
    tb_match("{M:atom, F:atom, Args:list}",
             tb_wr_term(&mon->options.source_term), v);
    tb_mon_copy(module, v[0].text);
    tb_mon_copy(function, v[1].text);
    fetch = tb_new(struct fetch);
    *fetch = (struct fetch){ mon->generation, occasion };
    mon->fetching = true;
    tb_erpc(self, node, module, function, "Args", TB_ARGS(v[2]), MFA_TIMEOUT_MS,
            on_fetched, fetch);
}

int
tb_on_refresh(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_monitor *mon = state;

    if ((uint64_t)m->arg[0].i == mon->generation && !mon->fetching)
        fetch_nodes(self, mon, REFRESH);
    return TB_NOREPLY;
}

/* Not before the refresh that is due, had there been somebody to ask. */
void
tb_source_node_up(struct tb_proc *self, struct tb_monitor *mon)
{
    if (mon->options.source != TB_SOURCE_MFA || !mon->nobody_to_ask ||
        mon->fetching || !node_to_ask(mon))
        return;
    next_generation(self, mon);
    fetch_nodes(self, mon, REFRESH);
}

/* -------------------------------------------------------- configuration -- */

static void
use_source(struct tb_proc *self, struct tb_monitor *mon, enum occasion occasion)
{
    next_generation(self, mon);
    mon->source_error[0] = '\0';
    if (mon->options.source == TB_SOURCE_MFA) {
        fetch_nodes(self, mon, occasion);
    } else if (mon->options.source == TB_SOURCE_NODES) {
        take_list(self, mon, tb_wr_term(&mon->options.source_term), occasion);
    } else { /* who was in the set stays connected, and nothing is announced */
        TB_LIST_EACH (w, &mon->nodes, struct tb_watched, link) {
            w->in_set = false;
            tb_dialler_look(self, mon, w);
        }
        tb_notifier_catch_up(self, mon);
        answer_reconfigure(self, mon, "ok");
    }
}

void
tb_source_start(struct tb_proc *self, struct tb_monitor *mon)
{
    use_source(self, mon, FIRST);
}

/* Reads the list over the options that there are. False: the caller has been
 * told, and nothing has changed. */
static bool
read_options(struct tb_proc *self, struct tb_monitor *mon,
             const struct tb_msg *m, struct tb_monitor_options *o)
{
    const char *expected = "";
    struct tb_term bad = { NULL, 0 };

    if (tb_monitor_options_read(o, m->arg[0].term, &bad, &expected) == 0) {
        tb_monitor_options_fini(&mon->options);
        mon->options = *o;
        return true;
    }
    tb_reply(self, m, "{error, {badarg, What}}", TB_ARGS(tb_v_term(bad)));
    tb_monitor_options_fini(o);
    return false;
}

static int
use_options(struct tb_proc *self, struct tb_monitor *mon,
            const struct tb_msg *m)
{
    answer_reconfigure(self, mon, "{error, superseded}");
    mon->waiting = tb_from_keep(m);
    tb_notifier_configure(self, mon);
    tb_detector_configure(self, mon);
    tb_health_configure(self, mon);
    use_source(self, mon, RECONFIGURE);
    return TB_NOREPLY;
}

/* The source is what the list says, be it none; of the rest, what it does not
 * say stays. */
int
tb_on_reconfigure(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_monitor *mon = state;
    struct tb_monitor_options o;

    tb_monitor_options_copy(&o, &mon->options);
    tb_monitor_options_source(&o);
    return read_options(self, mon, m, &o) ? use_options(self, mon, m)
                                          : TB_NOREPLY;
}

/* A whole section: what it does not say is at its default. */
int
tb_on_reload(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_monitor *mon = state;
    struct tb_monitor_options o;

    tb_monitor_options_init(&o);
    return read_options(self, mon, m, &o) ? use_options(self, mon, m)
                                          : TB_NOREPLY;
}

void
tb_put_source(const struct tb_monitor *mon, struct tb_wr *w)
{
    struct tb_val term = tb_v_term(tb_wr_term(&mon->options.source_term));

    if (mon->options.source == TB_SOURCE_ALL)
        tb_build(w, "all", TB_NONE);
    else if (mon->options.source == TB_SOURCE_NODES)
        tb_build(w, "{nodes, Nodes}", TB_ARGS(term));
    else
        tb_build(w, "{nodes_mfa, MFA, #{error => Error, refresh_ms => Ms}}",
                 TB_ARGS(term,
                         tb_v_bin(mon->source_error, strlen(mon->source_error)),
                         tb_v_int(mon->options.refresh_ms)));
}
