/* host_confirm.c - is a host that is away gone for good? The node monitor asks
 * the other nodes, and dials it.
 * Owns: nothing. Thread: loop. */
#include <stdio.h>

#include "services/supervisor.h"

#define CONFIRM_FIRST_MS 5
#define CONFIRM_MOST_MS  1000

static int
on_confirmed(struct tb_proc *self, void *state, void *ctx, int status,
             struct tb_term result)
{
    struct tb_host *h = ctx;
    struct tb_val v[TB_MAX_HOLES];
    uint64_t now, wait = CONFIRM_FIRST_MS;
    bool unknown;

    (void)state;
    if (status == -TB_ESTOPPED)
        return TB_NOREPLY;
    now = tb_now_ms(tb_self_node(self));
    h->confirming = false;
    if (h->phase != TB_HOST_AWAY || h->down)
        return TB_NOREPLY;
    if (h->confirm_late) { /* it was back since then: asked anew */
        tb_sup_turn_ask(self, h->sup);
        return TB_NOREPLY;
    }
    unknown = status == 0 && tb_match("{unknown, Why:atom}", result, v) == 1;
    if ((status == 0 && tb_match("{down, Why:atom}", result, v) == 1) ||
        (unknown &&
         now - h->lost_ms >= tb_node_ticktime_ms(tb_self_node(self)))) {
        char why[64];

        snprintf(why, sizeof(why), "%.*s", (int)v[0].text.n, v[0].text.p);
        tb_host_lost(self, h->sup, h, why);
        return TB_NOREPLY;
    }
    for (unsigned i = 0; i < h->confirm_n && wait < CONFIRM_MOST_MS; i++)
        wait *= 2;
    h->confirm_n++;
    h->confirm_ms = now + wait;
    tb_send_after(self, wait, "look", TB_NONE);
    return TB_NOREPLY;
}

static void
confirm(struct tb_proc *self, struct tb_host *h)
{
    h->confirming = true;
    h->confirm_late = false;
    h->ask = ++h->sup->n_asks;
    tb_call_name(self, "node_monitor", h->sup->self_node,
                 "{confirm_down, Node, Creation}",
                 TB_ARGS(tb_v_node(h->node), tb_v_int(h->creation)),
                 TB_SUP_CALL_MS, on_confirmed, h);
}

/* Its node said that there is none, but before we heard of one: it may have
 * been started since, by another tiebeam node. */
static void
ask_anew(struct tb_host *h)
{
    if (h->phase != TB_HOST_NO || !h->gone_ms || tb_host_why_none(h->sup, h))
        return;
    h->phase = TB_HOST_WAITING;
    h->why = "asked_again";
}

/* Its node, asked since we heard of that incarnation, has said that there is
 * another one, or none. */
static bool
is_gone(const struct tb_home *home, const struct tb_host *h)
{
    return h->none > home->made ||
           (h->home && h->phase >= TB_HOST_READING && h->ask > home->made) ||
           (h->home && h->phase == TB_HOST_NO);
}

/* Copies may tell of an incarnation later: one that was there before, or the
 * next one, of which we have not been told. So what is attached, or was taken
 * for down, or said that there is none, is asked anew. */
static void
see_copied(struct tb_proc *self, struct tb_supervisor *sup,
           struct tb_home *home, struct tb_host *h)
{
    if (h->phase == TB_HOST_AWAY) {
        if (h->down && !h->confirming) {
            h->down = false;
            h->confirm_ms = 0;
        }
    } else if (is_gone(home, h)) {
        tb_home_lose(sup, home);
    } else if (h->phase == TB_HOST_ATTACHED) {
        tb_host_attach_again(self, h);
    } else {
        ask_anew(h);
    }
}

bool
tb_host_matters(const struct tb_supervisor *sup, const struct tb_host *h)
{
    return h->home || tb_home_of(sup, h->node) || tb_set_has(sup, h->node);
}

/* Of those whose loss would matter. */
void
tb_hosts_look(struct tb_proc *self, struct tb_supervisor *sup)
{
    uint64_t now = tb_now_ms(tb_self_node(self));

    TB_LIST_EACH (home, &sup->homes, struct tb_home, link)
        if (!home->lost && !home->host)
            see_copied(self, sup, home, tb_host_get(self, sup, home->node));
    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link)
        if (h->phase == TB_HOST_AWAY && !h->down && !h->confirming &&
            h->confirm_ms <= now && tb_host_matters(sup, h))
            confirm(self, h);
}
