/* host_filter.c - which nodes may be hosts, and a connection to each that the
 * hosts know of: a tiebeam node that found one of them, as a sidecar does,
 * works for all.
 * In Erlang: global's connect_all. */
#include <string.h>

#include "services/supervisor.h"

#define REACH_AGAIN_MS 10000
#define REACH_AT_ONCE  32 /* dialled at the same time */

/* -------------------------------------------------------------- filter -- */

static bool
in_list(struct tb_term list, tb_atom node)
{
    struct tb_elems e;
    struct tb_term item;

    if (!tb_elems_open(&e, list))
        return false;
    while (tb_elems_next(&e, &item))
        if (tb_rule_node(item) == node)
            return true;
    return false;
}

static bool
has_basename(const struct tb_supervisor *sup, tb_atom node)
{
    struct tb_text name = tb_atom_text(node);
    size_t n = sup->o.hosts.len;

    return name.n > n && name.p[n] == '@' &&
           memcmp(name.p, sup->o.hosts.buf, n) == 0;
}

/* As far as its name tells. */
static const char *
why_not_named(const struct tb_supervisor *sup, tb_atom node)
{
    switch (sup->o.filter) {
    case TB_HOSTS_BASENAME:
        return has_basename(sup, node) ? NULL : "other_basename";
    case TB_HOSTS_NODES:
        return in_list(tb_wr_term(&sup->o.hosts), node) ? NULL : "not_listed";
    case TB_HOSTS_MANAGED:
        return sup->managed.len && in_list(tb_wr_term(&sup->managed), node)
                   ? NULL
                   : "not_managed";
    case TB_HOSTS_MODULE:
    case TB_HOSTS_ALL:
        break;
    }
    return NULL;
}

/* NULL: it may be one. */
const char *
tb_host_why_none(const struct tb_supervisor *sup, const struct tb_host *h)
{
    return h->visible ? why_not_named(sup, h->node) : "hidden";
}

/* NULL: not by what it is. One that is a host already stays one while it is
 * away, or the managed nodes cannot be told. */
const char *
tb_host_excluded(const struct tb_host *h)
{
    enum tb_host_filter f = h->sup->o.filter;

    if (f == TB_HOSTS_MODULE)
        return h->foreign ? "no_module" : NULL;
    return f == TB_HOSTS_BASENAME || f == TB_HOSTS_NODES
               ? why_not_named(h->sup, h->node)
               : NULL;
}

void
tb_host_ask_file(struct tb_proc *self, struct tb_host *h, tb_done done)
{
    tb_erpc(self, h->node, "code", "which", "[tiebeam_host]", TB_NONE,
            TB_SUP_CALL_MS, done, h);
}

bool
tb_host_is_loaded(struct tb_term file)
{
    struct tb_val v[TB_MAX_HOLES];

    return tb_match("\"tiebeam_host.erl\"", file, v) == 1;
}

static int
on_which(struct tb_proc *self, void *state, void *ctx, int status,
         struct tb_term result)
{
    struct tb_host *h = ctx;

    (void)state;
    if (status == -TB_ESTOPPED)
        return TB_NOREPLY;
    h->looking_up = false;
    if (status == 0) {
        h->foreign = tb_host_is_loaded(result);
        h->leave |= h->foreign && h->sup->o.auto_balance;
        tb_sup_turn_ask(self, h->sup);
    }
    return TB_NOREPLY;
}

/* It may run one that was loaded when other options counted. */
void
tb_host_look_up(struct tb_proc *self, struct tb_host *h)
{
    if (h->sup->o.filter != TB_HOSTS_MODULE || h->looking_up)
        return;
    h->looking_up = true;
    tb_host_ask_file(self, h, on_which);
}

/* --------------------------------------------------------------- reach -- */

static bool
is_missing(struct tb_proc *self, const struct tb_supervisor *sup, tb_atom node)
{
    struct tb_peer_info info;

    return node && node != sup->self_node && !why_not_named(sup, node) &&
           !tb_peer_info(tb_self_node(self), node, &info);
}

/* It comes as a nodeup, or it is dialled again. */
static int
on_reached(struct tb_proc *self, void *state, void *ctx, int status,
           struct tb_term result)
{
    (void)state;
    (void)result;
    if (status != -TB_ESTOPPED) {
        struct tb_supervisor *sup = ctx;

        sup->reaching--;
        if (status < 0 && !sup->reach_again) {
            sup->reach_again = true;
            tb_send_after(self, REACH_AGAIN_MS, "reach", TB_NONE);
        }
    }
    return TB_NOREPLY;
}

static void
reach_from(struct tb_proc *self, struct tb_supervisor *sup,
           const struct tb_host *h)
{
    struct tb_elems e;
    struct tb_term item;

    if (!h->nodes.len || !tb_elems_open(&e, tb_wr_term(&h->nodes)))
        return;
    while (sup->reaching < REACH_AT_ONCE && tb_elems_next(&e, &item))
        if (is_missing(self, sup, tb_rule_node(item))) {
            sup->reaching++;
            tb_connect(self, tb_rule_node(item), on_reached, sup);
        }
}

void
tb_host_reach(struct tb_proc *self, struct tb_supervisor *sup)
{
    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link)
        if (h->phase == TB_HOST_READING || h->phase == TB_HOST_ATTACHED)
            reach_from(self, sup, h);
}

int
tb_on_reach(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_supervisor *sup = state;

    (void)m;
    sup->reach_again = false;
    tb_host_reach(self, sup);
    return TB_NOREPLY;
}
