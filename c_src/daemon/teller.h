/* teller.h - what a service of this node is told when the configuration is read
 * again. */
#ifndef TB_DAEMON_TELLER_H
#define TB_DAEMON_TELLER_H

#include "tiebeam.h"

struct tb_errand {
    const char *name; /* of the service; NULL: see pid */
    struct tb_pid pid;
    const char *request; /* a term, which it answers with ok */
    struct tb_args args; /* of the request */
    const char *key;     /* of the configuration, and what becomes of it */
    void (*refused)(void *ctx, const char *key); /* if it says no; or NULL */
    void *ctx;
};

/* tb_tell - a process that lives for one call does it; the log has how it went.
 * All but request is copied. */
void tb_tell(struct tb_node *node, const struct tb_errand *e);

/* tb_log_started - the line for what is new there: err is what its start gave.
 * The key is section and name. */
void tb_log_started(const char *section, const char *name, int err);

#endif
