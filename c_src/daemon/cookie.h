/* cookie.h - the cluster's secret. */
#ifndef TB_DAEMON_COOKIE_H
#define TB_DAEMON_COOKIE_H

#include "daemon/settings.h"

struct tb_secret {
    char text[256];   /* never in a message */
    char origin[512]; /* "flag -setcookie", "file /root/.erlang.cookie" */
};

/* tb_cookie_find - the cookie from settings, else from the file that erl reads,
 * which is made where there is none. Returns 0, or -EPERM with a line appended
 * to errors. */
int tb_cookie_find(const struct tb_settings *s, struct tb_secret *out,
                   struct tb_wr *errors);

#endif
