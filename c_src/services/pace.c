/* pace.c - how many starts a second a supervisor decides by itself: for lost
 * hosts, moves, and what ended while nobody watched. What somebody asked for,
 * and the restart of a child that has just ended, do not wait.
 *
 * A bucket that holds what comes in in a tenth of a second. It is looked at
 * when something is taken, and by a timer only while something waits.
 * Owns: nothing. Thread: loop. */
#include "services/supervisor.h"

#define LEAST_WAIT_MS 10

/* In thousandths of a start. */
static int64_t
bucket_size(int64_t rate)
{
    return rate > 10 ? rate * 100 : 1000;
}

static void
refill(struct tb_proc *self, struct tb_supervisor *sup)
{
    uint64_t now = tb_now_ms(tb_self_node(self));
    int64_t size = bucket_size(sup->o.start_rate);
    uint64_t most = (uint64_t)(size / sup->o.start_rate) + 1;
    uint64_t ms = now - sup->pace_ms;

    sup->pace_ms = now;
    sup->tokens += (int64_t)(ms < most ? ms : most) * sup->o.start_rate;
    if (sup->tokens > size)
        sup->tokens = size;
}

static void
ask(struct tb_proc *self, struct tb_supervisor *sup)
{
    int64_t lacks = 1000 - sup->tokens;
    int64_t ms = (lacks + sup->o.start_rate - 1) / sup->o.start_rate;

    if (sup->pace_asked)
        return;
    sup->pace_asked = true;
    tb_send_after(self, (uint64_t)(ms < LEAST_WAIT_MS ? LEAST_WAIT_MS : ms),
                  "pace", TB_NONE);
}

static bool
take(struct tb_proc *self, struct tb_supervisor *sup)
{
    if (sup->o.start_rate < 0)
        return true;
    refill(self, sup);
    if (sup->tokens < 1000)
        return false;
    sup->tokens -= 1000;
    return true;
}

bool
tb_pace_start(struct tb_proc *self, struct tb_supervisor *sup,
              struct tb_work *w)
{
    if (!w->paced || w->paid) {
        w->paid = false;
        return true;
    }
    if (tb_list_empty(&sup->paced) && take(self, sup))
        return true;
    tb_list_del(&w->timed);
    w->due_ms = 0;
    tb_list_add(&sup->paced, &w->timed);
    w->queued = true;
    ask(self, sup);
    return false;
}

bool
tb_pace_move(struct tb_proc *self, struct tb_supervisor *sup)
{
    if (tb_list_empty(&sup->paced) && take(self, sup))
        return true;
    ask(self, sup);
    return false;
}

static void
go(struct tb_proc *self, struct tb_supervisor *sup, struct tb_work *w)
{
    tb_list_del(&w->timed);
    w->queued = false;
    w->paid = sup->owning;
    tb_work_send(self, sup, w); /* not the owner: sent when we are again */
    w->paid = false;
}

void
tb_pace_hurry(struct tb_proc *self, struct tb_supervisor *sup,
              struct tb_work *w)
{
    if (w->queued)
        go(self, sup, w);
}

void
tb_pace_go_on(struct tb_proc *self, struct tb_supervisor *sup)
{
    while (!tb_list_empty(&sup->paced) && (!sup->owning || take(self, sup)))
        go(self, sup, TB_ENTRY(sup->paced.next, struct tb_work, timed));
    if (!tb_list_empty(&sup->paced))
        ask(self, sup);
    tb_sup_turn_ask(self, sup);
}

int
tb_on_pace(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_supervisor *sup = state;

    (void)m;
    sup->pace_asked = false;
    tb_pace_go_on(self, sup);
    return TB_NOREPLY;
}
