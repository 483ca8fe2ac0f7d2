/* log.c - events with levels, one sink, and a rate limit per event id and per
 * node or address that an event is about: whoever is noisy hides himself.
 * In Erlang: logger. Library default: silent.
 * Owns: counts of events. Thread: each thread has a sink of its own. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/limits.h"
#include "tiebeam.h"

/* Places that are looked at for one that is new. */
#define TRIES 8

/* Of an event id, or of that and what it is about: the first word of its text
 * where that is node=... or from=... */
struct tally {
    const char *event;
    char about[TB_LOG_ABOUT_BYTES];
    enum tb_level level;
    time_t second;
    unsigned in_second;
    uint64_t left_out;
};

static _Thread_local struct {
    tb_log_sink sink;
    void *ctx;
    enum tb_level level;
    uint64_t left_out; /* of all tallies */
    struct tally events[TB_LOG_IDS];
    struct tally abouts[TB_LOG_ABOUTS];
} logger;

void
tb_log_to(tb_log_sink sink, void *ctx, enum tb_level level)
{
    logger.sink = sink;
    logger.ctx = ctx;
    logger.level = level;
}

static time_t
now_second(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* Ids are string literals, few and fixed; should the table ever be full, the
 * last place serves all that are left. */
static struct tally *
tally_of_event(const char *event)
{
    size_t i = 0;

    while (i < TB_LOG_IDS - 1 && logger.events[i].event &&
           strcmp(logger.events[i].event, event) != 0)
        i++;
    logger.events[i].event = event;
    return &logger.events[i];
}

static void
about_of(const char *text, char about[TB_LOG_ABOUT_BYTES])
{
    size_t n = 0;

    if (strncmp(text, "node=", 5) == 0 || strncmp(text, "from=", 5) == 0)
        n = strcspn(text, " ");
    if (n >= TB_LOG_ABOUT_BYTES)
        n = TB_LOG_ABOUT_BYTES - 1;
    memcpy(about, text, n);
    about[n] = '\0';
}

static size_t
hash_of(const char *event, const char *about)
{
    size_t h = 5381;

    for (; *event; event++)
        h = 33 * h + (unsigned char)*event;
    for (; *about; about++)
        h = 33 * h + (unsigned char)*about;
    return h;
}

/* NULL: all places are taken by others of this second, or by what is still to
 * be told. */
static struct tally *
tally_of_about(const char *event, const char *about, time_t now)
{
    size_t h = hash_of(event, about);
    struct tally *spare = NULL;

    for (size_t i = 0; i < TRIES; i++) {
        struct tally *t = &logger.abouts[(h + i) % TB_LOG_ABOUTS];

        if (t->event && strcmp(t->event, event) == 0 &&
            strcmp(t->about, about) == 0)
            return t;
        if (!spare && t->second != now && t->left_out == 0)
            spare = t;
    }
    if (spare) {
        spare->event = event;
        snprintf(spare->about, sizeof(spare->about), "%s", about);
    }
    return spare;
}

static bool
may_print(struct tally *t, unsigned most, time_t now)
{
    if (t->second != now) {
        t->second = now;
        t->in_second = 0;
    }
    return t->in_second++ < most;
}

static void
print(struct tally *t, enum tb_level level, const char *text)
{
    uint64_t left_out = t->left_out;

    logger.left_out -= left_out;
    t->left_out = 0;
    logger.sink(logger.ctx, level, t->event, text, left_out);
}

void
tb_log(enum tb_level level, const char *event, const char *fmt, ...)
{
    char text[TB_MAX_LOG_LINE], about[TB_LOG_ABOUT_BYTES];
    struct tally *all, *t;
    time_t now;
    va_list ap;
    bool passed;

    if (!logger.sink || level > logger.level)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    now = now_second();
    about_of(text, about);
    all = tally_of_event(event);
    t = tally_of_about(event, about, now);
    /* what is not shown of one is not counted to all */
    passed = (!t || may_print(t, TB_LOG_BURST, now)) &&
             may_print(all, TB_LOG_BURST_ALL, now);
    t = t ? t : all;
    t->level = level;
    if (passed) {
        print(t, level, text);
    } else {
        t->left_out++;
        logger.left_out++;
    }
}

static void
tell(struct tally *t, size_t n, time_t now)
{
    for (; n > 0; n--, t++)
        if (t->left_out > 0 && t->second != now)
            print(t, t->level, *t->about ? t->about : "and");
}

void
tb_log_tell(void)
{
    time_t now;

    if (logger.left_out == 0 || !logger.sink)
        return;
    now = now_second();
    tell(logger.events, TB_LOG_IDS, now);
    tell(logger.abouts, TB_LOG_ABOUTS, now);
}
