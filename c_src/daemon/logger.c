/* logger.c - log lines on stderr, in OTP's single-line style or as JSON.
 * In Erlang: logger_formatter. Owns: nothing. Thread: loop. */
#include "daemon/logger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const struct {
    const char *name, *color;
} levels[] = {
    [TB_EMERGENCY] = { "emergency", "\033[1;31m" },
    [TB_ALERT] = { "alert", "\033[1;31m" },
    [TB_CRITICAL] = { "critical", "\033[1;31m" },
    [TB_ERROR] = { "error", "\033[31m" },
    [TB_WARNING] = { "warning", "\033[33m" },
    [TB_NOTICE] = { "notice", "\033[32m" },
    [TB_INFO_LEVEL] = { "info", "\033[36m" },
    [TB_DEBUG] = { "debug", "\033[2m" },
};

/* RFC 3339 with microseconds, local time, as OTP prints it. */
static void
put_time(struct tb_wr *w)
{
    struct timespec now;
    struct tm tm;
    char date[32];
    long off;

    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &tm);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
    off = labs(tm.tm_gmtoff) / 60;
    tb_wr_printf(w, "%s.%06ld%c%02ld:%02ld", date, now.tv_nsec / 1000,
                 tm.tm_gmtoff < 0 ? '-' : '+', off / 60, off % 60);
}

/* How many bytes the UTF-8 character at p has; 0: it is none. */
static size_t
utf8_bytes(const unsigned char *p, size_t n)
{
    size_t need = p[0] < 0x80                   ? 1
                  : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
                  : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
                  : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
                                                : 0;

    if (need == 0 || need > n)
        return 0;
    for (size_t i = 1; i < need; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return need;
}

static void
put_json_char(struct tb_wr *w, const char *p, size_t bytes)
{
    if (bytes == 0)
        tb_wr_str(w, "\\ufffd");
    else if (*p == '"' || *p == '\\')
        tb_wr_printf(w, "\\%c", *p);
    else if (*p == '\n')
        tb_wr_str(w, "\\n");
    else if ((unsigned char)*p < 0x20 || *p == 0x7f)
        tb_wr_printf(w, "\\u%04x", (unsigned)*p);
    else
        tb_wr_bytes(w, p, bytes);
}

void
tb_json_str(struct tb_wr *w, const char *p, size_t n)
{
    tb_wr_str(w, "\"");
    for (size_t i = 0; i < n;) {
        size_t bytes = utf8_bytes((const unsigned char *)p + i, n - i);

        put_json_char(w, p + i, bytes);
        i += bytes ? bytes : 1;
    }
    tb_wr_str(w, "\"");
}

/* A peer may choose parts of a text: it must not write lines or move a
 * terminal's cursor. */
static void
put_plain(struct tb_wr *w, const char *p)
{
    for (; *p; p++)
        if (*p == '\n')
            tb_wr_str(w, "\\n");
        else if ((unsigned char)*p < 0x20 || *p == 0x7f)
            tb_wr_printf(w, "\\x%02x", (unsigned)*p);
        else
            tb_wr_bytes(w, p, 1);
}

static void
put_text_line(const struct tb_logger *l, struct tb_wr *w, enum tb_level level,
              const char *event, const char *text, uint64_t suppressed)
{
    put_time(w);
    tb_wr_printf(w, " %s%s:%s [%s] ", l->color ? levels[level].color : "",
                 levels[level].name, l->color ? "\033[0m" : "", event);
    put_plain(w, text);
    if (suppressed)
        tb_wr_printf(w, " (%llu more not shown)",
                     (unsigned long long)suppressed);
    tb_wr_str(w, "\n");
}

static void
put_json_line(struct tb_wr *w, enum tb_level level, const char *event,
              const char *text, uint64_t suppressed)
{
    tb_wr_str(w, "{\"ts\":\"");
    put_time(w);
    tb_wr_printf(w, "\",\"level\":\"%s\",\"event\":", levels[level].name);
    tb_json_str(w, event, strlen(event));
    tb_wr_str(w, ",\"text\":");
    tb_json_str(w, text, strlen(text));
    if (suppressed)
        tb_wr_printf(w, ",\"suppressed\":%llu", (unsigned long long)suppressed);
    tb_wr_str(w, "}\n");
}

void
tb_logger_put(const struct tb_logger *l, struct tb_wr *w, enum tb_level level,
              const char *event, const char *text, uint64_t suppressed)
{
    if (l->json)
        put_json_line(w, level, event, text, suppressed);
    else
        put_text_line(l, w, level, event, text, suppressed);
}

/* One write per line, so that lines of two processes do not mix. A reader that
 * is gone or too slow loses lines; the node goes on. */
static void
sink(void *ctx, enum tb_level level, const char *event, const char *text,
     uint64_t suppressed)
{
    const struct tb_logger *l = ctx;
    struct tb_wr w = { 0 };

    tb_logger_put(l, &w, level, event, text, suppressed);
    if (write(l->fd, w.buf, w.len) < 0)
        (void)0;
    tb_wr_free(&w);
}

void
tb_logger_level(struct tb_logger *l, const struct tb_settings *s)
{
    tb_log_to(sink, l, (enum tb_level)tb_settings_number(s, TB_SET_LOG_LEVEL));
}

void
tb_logger_start(struct tb_logger *l, const struct tb_settings *s)
{
    l->fd = STDERR_FILENO;
    l->json = tb_settings_number(s, TB_SET_LOG_FORMAT) == 1;
    l->color = !tb_settings_text(s, TB_SET_NO_COLOR) && isatty(l->fd);
    tb_logger_level(l, s);
}
