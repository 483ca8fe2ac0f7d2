/* health.c - is the application there as well as the emulator?
 *
 * The probe {call, Name} asks the process of that name for its sys statistics,
 * which every process of OTP answers, and none while it is stuck; {call, Name,
 * Request} is a gen_server:call of one's own, and any reply will do. A managed
 * node whose process does not answer is degraded, and stays connected.
 * Owns: nothing. Thread: loop. */
#include <stdio.h>
#include <string.h>

#include "services/monitor.h"

/* A question that is under way; the connection tells whether it is stale. */
struct question {
    tb_atom node;
    uint64_t connection_id;
};

static bool
is_asked(const struct tb_monitor *mon, const struct tb_watched *w)
{
    return w->connected && w->visible && !w->asking &&
           tb_watched_managed(mon, w) && mon->options.health.probe.len;
}

/* An exit says why in its own words; a word is enough here. */
static void
set_sick(struct tb_proc *self, struct tb_monitor *mon, struct tb_watched *w,
         const char *why)
{
    snprintf(w->sick, sizeof(w->sick), "%s", why);
    tb_watched_judge(self, mon, w, why[0] ? why : "answers");
}

static int
on_answer(struct tb_proc *self, void *state, void *ctx, int status,
          struct tb_term result)
{
    struct tb_monitor *mon = state;
    struct question *q = ctx;
    struct tb_watched *w = tb_watched_find(mon, q->node);

    (void)result;
    if (w && w->connected && w->connection_id == q->connection_id) {
        w->asking = false;
        if (mon->options.health.probe.len && status != -TB_ENOCONNECTION &&
            status != -TB_ESTOPPED)
            set_sick(self, mon, w, status == 0 ? "" : tb_error_atom(status));
    }
    tb_free(q);
    return TB_NOREPLY;
}

static void
ask(struct tb_proc *self, struct tb_monitor *mon, struct tb_watched *w)
{
    const struct tb_health_options *o = &mon->options.health;
    struct question *q = tb_new(struct question);
    char name[TB_MON_ATOM_BYTES] = "";
    struct tb_val v[TB_MAX_HOLES];

    *q = (struct question){ w->node, w->connection_id };
    w->asking = true;
    if (tb_match("{call, Name:atom, Request}", tb_wr_term(&o->probe), v) == 1 &&
        tb_mon_copy(name, v[0].text)) {
        tb_call_name(self, name, w->node, "Request", TB_ARGS(v[1]),
                     o->timeout_ms, on_answer, q);
    } else {
        tb_match("{call, Name:atom}", tb_wr_term(&o->probe), v);
        tb_mon_copy(name, v[0].text);
        tb_sys_name(self, name, w->node, "{debug, {statistics, get}}", TB_NONE,
                    o->timeout_ms, on_answer, q);
    }
}

void
tb_health_node_up(struct tb_proc *self, struct tb_monitor *mon,
                  struct tb_watched *w)
{
    if (is_asked(mon, w))
        ask(self, mon, w);
}

static void
ask_all(struct tb_proc *self, struct tb_monitor *mon)
{
    TB_LIST_EACH (w, &mon->nodes, struct tb_watched, link)
        tb_health_node_up(self, mon, w);
    mon->health_timer = tb_send_after(
        self, mon->options.health.interval_ms, "{health, Generation}",
        TB_ARGS(tb_v_int((int64_t)mon->health_generation)));
}

int
tb_on_health(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_monitor *mon = state;

    if ((uint64_t)m->arg[0].i == mon->health_generation)
        ask_all(self, mon);
    return TB_NOREPLY;
}

void
tb_health_configure(struct tb_proc *self, struct tb_monitor *mon)
{
    tb_cancel_timer(self, mon->health_timer);
    mon->health_generation++;
    if (mon->options.health.probe.len)
        ask_all(self, mon);
    else
        TB_LIST_EACH (w, &mon->nodes, struct tb_watched, link)
            if (w->sick[0])
                set_sick(self, mon, w, "");
}
