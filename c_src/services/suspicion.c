/* suspicion.c - when silence is suspicious.
 *
 * A link's round trips stretch its timeout, as they stretch TCP's: where
 * answers take long, or come irregularly, more silence is needed. Nobody is
 * accused the moment the time is over, but at a second look: what had come
 * meanwhile was only not read yet.
 * Owns, borrows: nothing. Thread: any. Source: RFC 6298. */
#include "services/suspicion.h"

/* Between the first look and the second one. */
#define SECOND_LOOK_MS UINT64_C(20)

/* One is asked by that part of probe_ms before it is due, where we look anyway:
 * then all are soon asked at the same time. */
#define EARLY 4

void
tb_suspicion_start(struct tb_suspicion *s, uint64_t now)
{
    *s = (struct tb_suspicion){ .quiet_from = now };
}

bool
tb_suspicion_heard(struct tb_suspicion *s, uint64_t then)
{
    bool was = s->suspect;

    if (then > s->quiet_from)
        s->quiet_from = then;
    s->asked = s->warned = s->vouched = 0;
    s->suspect = false;
    return was;
}

uint32_t
tb_suspicion_timeout(const struct tb_suspicion *s,
                     const struct tb_suspicion_limits *l)
{
    uint64_t answer_us = s->srtt_us + 4 * (uint64_t)s->rttvar_us;
    uint64_t ms = l->probe_ms + answer_us / 1000 + 2ull * SECOND_LOOK_MS;

    if (ms > l->max_ms)
        ms = l->max_ms;
    return ms > l->suspect_ms ? (uint32_t)ms : l->suspect_ms;
}

/* One answer counts for no more than the silence that was suspicious: a stop of
 * the peer says little about the link. */
void
tb_suspicion_rtt(struct tb_suspicion *s, const struct tb_suspicion_limits *l,
                 uint64_t us)
{
    uint64_t most = UINT64_C(1000) * tb_suspicion_timeout(s, l);
    uint32_t r = (uint32_t)(us < most ? us : most);
    uint32_t off = r > s->srtt_us ? r - s->srtt_us : s->srtt_us - r;

    if (s->srtt_us == 0) {
        s->srtt_us = r ? r : 1;
        s->rttvar_us = r / 2;
        return;
    }
    s->rttvar_us = s->rttvar_us - s->rttvar_us / 4 + off / 4;
    s->srtt_us = s->srtt_us - s->srtt_us / 8 + r / 8;
}

void
tb_suspicion_void(struct tb_suspicion *s, uint64_t now)
{
    s->quiet_from = now;
    s->warned = 0;
}

void
tb_suspicion_vouch(struct tb_suspicion *s, const struct tb_suspicion_limits *l,
                   uint64_t now)
{
    s->vouched = now + 3 * (uint64_t)l->suspect_ms;
}

static uint64_t
sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static bool
must_ask(struct tb_suspicion *s, const struct tb_suspicion_limits *l,
         uint64_t now, uint64_t *next)
{
    uint64_t due = (s->asked ? s->asked : s->quiet_from) + l->probe_ms;

    if (s->srtt_us == 0 && s->asked == 0)
        due = now; /* how long do answers take here? */
    if (now + l->probe_ms / EARLY < due) {
        *next = sooner(*next, due);
        return false;
    }
    s->asked = now;
    *next = sooner(*next, now + l->probe_ms);
    return true;
}

static bool
becomes_suspect(struct tb_suspicion *s, uint64_t timeout, uint64_t now,
                uint64_t *next)
{
    uint64_t due = s->quiet_from + timeout - 2ull * SECOND_LOOK_MS;

    if (s->warned)
        due = s->warned + SECOND_LOOK_MS;
    if (now < due) {
        *next = sooner(*next, due);
        return false;
    }
    s->suspect = s->warned != 0;
    s->warned = now;
    if (!s->suspect)
        *next = sooner(*next, now + SECOND_LOOK_MS);
    return s->suspect;
}

/* A link that needs more time to be suspect needs as much more to be down. */
static bool
is_down(const struct tb_suspicion *s, const struct tb_suspicion_limits *l,
        uint64_t timeout, uint64_t now, uint64_t *next)
{
    uint64_t due = s->quiet_from + l->down_ms + (timeout - l->suspect_ms);

    if (due < s->vouched)
        due = s->vouched;
    if (now < due)
        *next = sooner(*next, due);
    return now >= due;
}

unsigned
tb_suspicion_judge(struct tb_suspicion *s, const struct tb_suspicion_limits *l,
                   uint64_t now, uint64_t *next)
{
    uint64_t timeout = tb_suspicion_timeout(s, l);
    bool was_suspect = s->suspect;
    unsigned judged = 0;

    *next = UINT64_MAX;
    if (must_ask(s, l, now, next))
        judged |= TB_JUDGED_ASK;
    if (!was_suspect && becomes_suspect(s, timeout, now, next))
        judged |= TB_JUDGED_SUSPECT;
    if (s->suspect && l->down_ms && is_down(s, l, timeout, now, next))
        judged |= TB_JUDGED_DOWN;
    return judged;
}
