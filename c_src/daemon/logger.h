/* logger.h - log lines on stderr. */
#ifndef TB_DAEMON_LOGGER_H
#define TB_DAEMON_LOGGER_H

#include "daemon/settings.h"

struct tb_logger {
    int fd;
    bool json, color;
};

/* tb_logger_start - from now on events go to stderr as the settings say. l
 * must live until tb_log_to() is called again. */
void tb_logger_start(struct tb_logger *l, const struct tb_settings *s);
/* tb_logger_level - another level, from now on. */
void tb_logger_level(struct tb_logger *l, const struct tb_settings *s);
/* tb_logger_put - one event as a line appended to w; the sink's inner part. */
void tb_logger_put(const struct tb_logger *l, struct tb_wr *w,
                   enum tb_level level, const char *event, const char *text,
                   uint64_t suppressed);

/* tb_json_str - append a JSON string with its quotes. */
void tb_json_str(struct tb_wr *w, const char *p, size_t n);

#endif
