/* suspicion.h - when silence is suspicious: arithmetic alone, no clock and no
 * connection of its own.
 *
 * Times are milliseconds of one clock; round trips are microseconds. */
#ifndef TB_SERVICES_SUSPICION_H
#define TB_SERVICES_SUSPICION_H

#include <stdbool.h>
#include <stdint.h>

struct tb_suspicion_limits {
    uint32_t suspect_ms; /* silence, at most, until a node is suspect */
    uint32_t probe_ms;   /* silence until it is asked, and between questions */
    uint32_t max_ms;     /* however slow a link is measured to be */
    uint32_t down_ms;    /* silence until it is down; 0: never for silence */
};

struct tb_suspicion {
    uint64_t quiet_from; /* since when nothing has come */
    uint64_t asked;      /* the last question; 0: none in this silence */
    uint64_t warned;     /* when suspicion was announced to ourselves; 0: not */
    uint64_t vouched;    /* until when somebody else's word counts */
    bool suspect;
    uint32_t srtt_us, rttvar_us; /* as RFC 6298 has them; srtt 0: none yet */
};

/* What follows from a silence: bits. */
enum {
    TB_JUDGED_ASK = 1,     /* send a probe */
    TB_JUDGED_SUSPECT = 2, /* it is suspect from now on */
    TB_JUDGED_DOWN = 4     /* it is down */
};

/* tb_suspicion_start - the connection is up, now.
 * tb_suspicion_heard - something came then; true: it was suspect until now.
 * tb_suspicion_rtt - a question was answered after that long.
 * tb_suspicion_void - we ourselves were not there: the silence before now is
 * nobody's. What is suspect stays so until it is heard.
 * tb_suspicion_vouch - somebody else has just heard it. */
void tb_suspicion_start(struct tb_suspicion *s, uint64_t now);
bool tb_suspicion_heard(struct tb_suspicion *s, uint64_t then);
void tb_suspicion_rtt(struct tb_suspicion *s,
                      const struct tb_suspicion_limits *l, uint64_t us);
void tb_suspicion_void(struct tb_suspicion *s, uint64_t now);
void tb_suspicion_vouch(struct tb_suspicion *s,
                        const struct tb_suspicion_limits *l, uint64_t now);

/* tb_suspicion_judge - what follows now, and in *next when to judge again.
 * Between two calls the caller has looked for what has come. */
unsigned tb_suspicion_judge(struct tb_suspicion *s,
                            const struct tb_suspicion_limits *l, uint64_t now,
                            uint64_t *next);

/* tb_suspicion_timeout - the silence that makes this node suspect. */
uint32_t tb_suspicion_timeout(const struct tb_suspicion *s,
                              const struct tb_suspicion_limits *l);

#endif
