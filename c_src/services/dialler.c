/* dialler.c - connects to the nodes that are wanted, all side by side, and
 * again when they are lost.
 * Owns: nothing. Thread: loop. */
#include <string.h>
#include <sys/random.h>

#include "services/monitor.h"

#define FIRST_MS    100
#define LONGEST_MS  5000
#define REFUSED_MS  60000  /* it logs an error each time that we call */
#define LOOK_FOR_MS 600000 /* a silent node that no source names */

bool
tb_dialler_wants(const struct tb_proc *self, const struct tb_watched *w)
{
    return w->in_set || w->dial.wanted ||
           tb_now_ms(tb_self_node(self)) < w->dial.until_ms;
}

/* A quarter more or less, so that nodes lost together do not come together. */
static uint64_t
jittered(uint64_t ms)
{
    uint16_t r = 0;

    if (getrandom(&r, sizeof(r), GRND_NONBLOCK) < 0)
        r = UINT16_MAX / 2;
    return ms - ms / 4 + ms / 2 * r / UINT16_MAX;
}

static uint64_t
pause_after(const struct tb_dialling *d)
{
    uint64_t ms = (uint64_t)FIRST_MS << (d->failures < 6 ? d->failures : 6);

    if (d->last == -TB_EAUTH || d->last == -TB_ENOT_ALLOWED ||
        d->last == -TB_ENAME || d->last == -TB_EFLAGS)
        return REFUSED_MS;
    return ms < LONGEST_MS ? ms : LONGEST_MS;
}

static void
dial_after(struct tb_proc *self, struct tb_watched *w, uint64_t ms)
{
    struct tb_dialling *d = &w->dial;

    if (w->connected || d->busy || d->timed || !tb_dialler_wants(self, w))
        return;
    d->timed = true;
    d->timer =
        tb_send_after(self, ms, "{dial, Node}", TB_ARGS(tb_v_node(w->node)));
}

void
tb_dialler_look(struct tb_proc *self, struct tb_monitor *mon,
                struct tb_watched *w)
{
    if (!tb_dialler_wants(self, w)) {
        w->dial.timed &= !tb_cancel_timer(self, w->dial.timer);
        tb_watched_release(mon, w);
        return;
    }
    if (w->dial.timed && tb_cancel_timer(self, w->dial.timer))
        w->dial.timed = false;
    dial_after(self, w, 0);
}

static int
on_dialled(struct tb_proc *self, void *state, void *ctx, int status,
           struct tb_term result)
{
    struct tb_monitor *mon = state;
    struct tb_watched *w = tb_watched_find(mon, (tb_atom)(uintptr_t)ctx);

    (void)result;
    if (!w)
        return TB_NOREPLY;
    w->dial.busy = false;
    w->dial.last = status;
    w->dial.failures = status < 0 ? w->dial.failures + 1 : 0;
    if (status < 0)
        dial_after(self, w, jittered(pause_after(&w->dial)));
    tb_watched_release(mon, w);
    return TB_NOREPLY;
}

int
tb_on_dial(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_monitor *mon = state;
    struct tb_watched *w = tb_watched_find(mon, tb_intern(m->arg[0].text));

    if (!w || !w->dial.timed)
        return TB_NOREPLY;
    w->dial.timed = false;
    if (!w->connected && !w->dial.busy && tb_dialler_wants(self, w)) {
        w->dial.busy = true;
        tb_connect(self, w->node, on_dialled, (void *)(uintptr_t)w->node);
    }
    tb_watched_release(mon, w);
    return TB_NOREPLY;
}

/* A node that went silent may be back under the same name, and nobody else
 * would find out for us. */
void
tb_dialler_lost(struct tb_proc *self, struct tb_watched *w,
                struct tb_text reason)
{
    if (w->visible && (tb_text_is(reason, tb_error_atom(-TB_EPROBE)) ||
                       tb_text_is(reason, tb_error_atom(-TB_ETICK))))
        w->dial.until_ms = tb_now_ms(tb_self_node(self)) + LOOK_FOR_MS;
    w->dial.failures = 0;
    w->dial.last = 0;
    dial_after(self, w, jittered(FIRST_MS));
}
