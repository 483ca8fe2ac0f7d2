/* detector.c - finds nodes that have gone silent, long before their ticks do.
 *
 * Every byte that comes is a sign of life. Where none comes for a while the
 * node's emulator is asked for one, which it gives without any Erlang process.
 * A node that stays silent is suspect; with down_ms it is disconnected after
 * that, unless others hear it. Whatever we missed because we ourselves did not
 * run is held against nobody.
 *
 *   up -> suspect -> up, as soon as something comes
 *                 -> down: disconnected, with reason probe_timeout
 *
 * In Erlang: the ticks of net_kernel, but for their 45 to 75 seconds.
 * Owns: nothing; its state is in the nodes' records. Thread: loop. */
#include "services/monitor.h"

#include <time.h>

#define MAX_OUTSTANDING                                                        \
    8                  /* probes to one node; each is answered in the end      \
                        */
#define MIN_PAUSE_MS 5 /* between two looks at all nodes */
#define STALL_MS     100

static uint64_t
now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t
now_ms(void)
{
    return now_us() / 1000;
}

/* -------------------------------------------------------------- hearing -- */

static void
heard(struct tb_proc *self, struct tb_monitor *mon, struct tb_watched *w,
      uint64_t then)
{
    if (tb_suspicion_heard(&w->listen.s, then))
        tb_watched_judge(self, mon, w, "heard");
}

/* That it takes what we write is life, too; what only went into our own
 * kernel's buffer is not. */
static void
look_for_life(struct tb_proc *self, struct tb_monitor *mon,
              struct tb_watched *w, const struct tb_peer_info *info)
{
    struct tb_listening *l = &w->listen;
    bool takes = l->blocked && info->bytes_written != l->bytes_written;

    if (info->bytes_in != l->bytes_in || takes)
        heard(self, mon, w, takes ? now_ms() : info->read_ms);
    l->bytes_in = info->bytes_in;
    l->bytes_written = info->bytes_written;
    l->blocked = info->blocked;
}

/* --------------------------------------------------------------- asking -- */

struct probe {
    tb_atom node;
    uint64_t connection_id, sent_us, stalls;
};

/* An answer that we ourselves were late to read measures no link. */
static int
on_answer(struct tb_proc *self, void *state, void *ctx, int status,
          struct tb_term result)
{
    struct tb_monitor *mon = state;
    struct probe *p = ctx;
    struct tb_watched *w = tb_watched_find(mon, p->node);

    (void)result;
    if (w && w->connected && w->connection_id == p->connection_id) {
        w->listen.outstanding--;
        w->listen.answers += status == 0;
        if (status == 0 && p->stalls == mon->stalls)
            tb_suspicion_rtt(&w->listen.s, &mon->options.detector.limits,
                             now_us() - p->sent_us);
        if (status == 0 && w->listen.on)
            heard(self, mon, w, now_ms());
    }
    tb_free(p);
    return TB_NOREPLY;
}

/* Behind bytes that wait for it a question is late, and may be what is too much
 * for the queue: that it takes them, or not, says as much. */
static void
ask(struct tb_proc *self, struct tb_monitor *mon, struct tb_watched *w)
{
    struct probe *p;

    if (w->listen.outstanding >= MAX_OUTSTANDING || w->listen.blocked)
        return;
    p = tb_new(struct probe);
    *p = (struct probe){ w->node, w->connection_id, now_us(), mon->stalls };
    w->listen.outstanding++;
    w->listen.probes++;
    tb_probe(self, w->node, on_answer, p);
}

/* ------------------------------------------------------------- judging -- */

static void
listen_again(struct tb_proc *self, struct tb_monitor *mon, uint64_t now,
             uint64_t at)
{
    uint64_t pause = at > now + MIN_PAUSE_MS ? at - now : MIN_PAUSE_MS;

    if (mon->listening)
        tb_cancel_timer(self, mon->listen_timer);
    mon->listening = at != UINT64_MAX;
    if (!mon->listening)
        return;
    mon->listen_due = now + pause;
    mon->listen_timer = tb_send_after(self, pause, "listen", TB_NONE);
}

static void
on_inquired(struct tb_proc *self, struct tb_monitor *mon, tb_atom node,
            unsigned asked, unsigned seen)
{
    struct tb_watched *w = tb_watched_find(mon, node);

    (void)asked;
    if (!w || !w->listen.inquiring)
        return;
    w->listen.inquiring = false;
    w->listen.inquired = true;
    if (seen && w->listen.s.suspect)
        tb_suspicion_vouch(&w->listen.s, &mon->options.detector.limits,
                           now_ms());
    listen_again(self, mon, now_ms(), now_ms()); /* it may be down by now */
}

/* Others are asked in time, and again for as long as it matters. */
static void
inquire(struct tb_proc *self, struct tb_monitor *mon, struct tb_watched *w,
        uint64_t now)
{
    const struct tb_detector_options *o = &mon->options.detector;
    struct tb_listening *l = &w->listen;

    if (!l->s.suspect || !o->limits.down_ms || !o->indirect || l->inquiring ||
        (l->inquired_ms && now < l->inquired_ms + o->limits.suspect_ms))
        return;
    l->inquiring = true;
    l->inquired_ms = now;
    tb_inquire(self, mon, w->node, o->indirect, on_inquired);
}

/* However short down_ms is, the others have had their say once. */
static bool
is_heard_out(const struct tb_monitor *mon, const struct tb_listening *l)
{
    return !mon->options.detector.indirect || l->inquired;
}

static void
judge(struct tb_proc *self, struct tb_monitor *mon, struct tb_watched *w,
      uint64_t now, uint64_t *next)
{
    unsigned judged = tb_suspicion_judge(
        &w->listen.s, &mon->options.detector.limits, now, next);

    if (judged & TB_JUDGED_ASK)
        ask(self, mon, w);
    if (judged & TB_JUDGED_SUSPECT) {
        w->listen.suspicions++;
        w->listen.inquired_ms = 0;
        w->listen.inquired = false;
        tb_watched_judge(self, mon, w, "silent");
    }
    if ((judged & TB_JUDGED_DOWN) && is_heard_out(mon, &w->listen))
        tb_disconnect_for(tb_self_node(self), w->node, -TB_EPROBE);
    else
        inquire(self, mon, w, now);
}

static bool
is_listened_to(struct tb_proc *self, const struct tb_watched *w,
               struct tb_peer_info *info)
{
    return w->connected && w->listen.on &&
           tb_peer_info(tb_self_node(self), w->node, info) &&
           info->connection_id == w->connection_id;
}

static void
look_at_all(struct tb_proc *self, struct tb_monitor *mon, uint64_t now)
{
    uint64_t soonest = UINT64_MAX, next;
    struct tb_peer_info info;

    TB_LIST_EACH (w, &mon->nodes, struct tb_watched, link) {
        if (!is_listened_to(self, w, &info))
            continue;
        look_for_life(self, mon, w, &info);
        judge(self, mon, w, now, &next);
        soonest = next < soonest ? next : soonest;
    }
    listen_again(self, mon, now, soonest);
}

static void
void_all(struct tb_monitor *mon, uint64_t late, uint64_t now)
{
    mon->stalls++;
    tb_log(TB_NOTICE, "monitor.stalled",
           "we were not running for %llu ms: no silence of that time counts",
           (unsigned long long)late);
    TB_LIST_EACH (w, &mon->nodes, struct tb_watched, link)
        tb_suspicion_void(&w->listen.s, now);
}

/* A late timer is a late loop: what it did not read cannot be missed. */
int
tb_on_listen(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_monitor *mon = state;
    uint64_t now = now_ms();

    (void)m;
    if (!mon->listening)
        return TB_NOREPLY; /* it was called off too late */
    if (now > mon->listen_due + STALL_MS)
        void_all(mon, now - mon->listen_due, now);
    look_at_all(self, mon, now);
    return TB_NOREPLY;
}

/* -------------------------------------------------------------- changes -- */

/* A node of another make than BEAM and tiebeam might not survive the question:
 * it is left to its ticks. */
static void
begin(struct tb_proc *self, struct tb_monitor *mon, struct tb_watched *w,
      const struct tb_peer_info *info)
{
    uint64_t now = now_ms();

    (void)mon;
    (void)self;
    w->listen = (struct tb_listening){ .on = true,
                                       .bytes_in = info->bytes_in,
                                       .bytes_written = info->bytes_written,
                                       .blocked = info->blocked };
    tb_suspicion_start(&w->listen.s, now);
}

void
tb_detector_node_up(struct tb_proc *self, struct tb_monitor *mon,
                    struct tb_watched *w)
{
    uint64_t now = now_ms();
    struct tb_peer_info info;

    if (mon->options.detector.off || w->listen.on ||
        !tb_watched_tracked(mon, w) ||
        !tb_peer_info(tb_self_node(self), w->node, &info) ||
        info.connection_id != w->connection_id || !info.answers_probes)
        return;
    begin(self, mon, w, &info);
    listen_again(self, mon, now, now); /* its first question is due */
}

static void
end(struct tb_proc *self, struct tb_monitor *mon, struct tb_watched *w)
{
    w->listen.on = false;
    w->listen.s.suspect = false;
    tb_watched_judge(self, mon, w, "detector_off");
}

void
tb_detector_configure(struct tb_proc *self, struct tb_monitor *mon)
{
    uint64_t now = now_ms();

    TB_LIST_EACH (w, &mon->nodes, struct tb_watched, link)
        if (mon->options.detector.off)
            end(self, mon, w);
        else if (w->connected)
            tb_detector_node_up(self, mon, w);
    listen_again(self, mon, now, mon->options.detector.off ? UINT64_MAX : now);
}

/* ----------------------------------------------------------------- info -- */

void
tb_put_listening(struct tb_proc *self, const struct tb_monitor *mon,
                 const struct tb_watched *w, struct tb_wr *out)
{
    const struct tb_listening *l = &w->listen;
    struct tb_peer_info info;

    if (!is_listened_to(self, w, &info)) {
        tb_build(out, "off", TB_NONE);
        return;
    }
    tb_build(
        out,
        "#{quiet_ms => Q, rtt_us => R, rttvar_us => V, timeout_ms => T, "
        "probes => P, answers => A, suspicions => S}",
        TB_ARGS(tb_v_int((int64_t)(now_ms() - l->s.quiet_from)),
                tb_v_int(l->s.srtt_us), tb_v_int(l->s.rttvar_us),
                tb_v_int(
                    tb_suspicion_timeout(&l->s, &mon->options.detector.limits)),
                tb_v_int((int64_t)l->probes), tb_v_int((int64_t)l->answers),
                tb_v_int((int64_t)l->suspicions)));
}
