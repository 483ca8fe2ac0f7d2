/* log.c - events with levels, one sink, and a rate limit per event id.
 * In Erlang: logger. Library default: silent.
 * Owns: counters of event ids. Thread: each thread has a sink of its own. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/limits.h"
#include "tiebeam.h"

struct id_count {
    const char *event;
    time_t second;
    unsigned in_second;
    uint64_t suppressed;
};

static _Thread_local struct {
    tb_log_sink sink;
    void *ctx;
    enum tb_level level;
    struct id_count ids[TB_LOG_IDS];
} logger;

void
tb_log_to(tb_log_sink sink, void *ctx, enum tb_level level)
{
    logger.sink = sink;
    logger.ctx = ctx;
    logger.level = level;
}

/* Ids are string literals, few and fixed; should the table ever be full, the
 * last place serves all that are left. */
static struct id_count *
count_of(const char *event)
{
    size_t i = 0;

    while (i < TB_LOG_IDS - 1 && logger.ids[i].event &&
           strcmp(logger.ids[i].event, event) != 0)
        i++;
    logger.ids[i].event = event;
    return &logger.ids[i];
}

static bool
may_print(struct id_count *id)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (id->second != now.tv_sec) {
        id->second = now.tv_sec;
        id->in_second = 0;
    }
    if (id->in_second++ < TB_LOG_BURST)
        return true;
    id->suppressed++;
    return false;
}

void
tb_log(enum tb_level level, const char *event, const char *fmt, ...)
{
    char text[TB_MAX_LOG_LINE];
    struct id_count *id;
    va_list ap;

    if (!logger.sink || level > logger.level)
        return;
    id = count_of(event);
    if (!may_print(id))
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    logger.sink(logger.ctx, level, event, text, id->suppressed);
    id->suppressed = 0;
}
