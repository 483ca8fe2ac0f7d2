/* run.h - the daemon, once all that it is given is in order. */
#ifndef TB_DAEMON_RUN_H
#define TB_DAEMON_RUN_H

#include "daemon/config.h"
#include "daemon/cookie.h"
#include "daemon/nodename.h"
#include "daemon/settings.h"

struct tb_run {
    int argc;
    char **argv; /* read again at SIGHUP */
    struct tb_settings settings;
    struct tb_config config;
    struct tb_nodename name;
    struct tb_secret cookie;
    struct tb_tls *tls; /* owned until the node has it; NULL: plain TCP */
};

/* tb_run - join the cluster, and run until SIGTERM or SIGINT. Returns the exit
 * code. */
int tb_run(struct tb_run *r);

#endif
