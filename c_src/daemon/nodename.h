/* nodename.h - what this node is called. */
#ifndef TB_DAEMON_NODENAME_H
#define TB_DAEMON_NODENAME_H

#include "daemon/settings.h"

#define TB_NODENAME_MAX 256

struct tb_nodename {
    char text[TB_NODENAME_MAX]; /* "tiebeam@host" */
    bool long_names;
    char origin[TB_NODENAME_MAX];
};

/* tb_nodename_find - the name that settings and RELEASE_NODE give. Returns 0,
 * or -TB_EBADARG with lines appended to errors. May ask the resolver. */
int tb_nodename_find(const struct tb_settings *s, struct tb_nodename *out,
                     struct tb_wr *errors);

/* tb_nodename_host - the part after '@'; "" without one. Borrowed. */
const char *tb_nodename_host(const char *node);

/* tb_short_host - this host's name up to its first dot.
 * tb_long_host - its name with its domain; false where it has none. */
void tb_short_host(char host[TB_NODENAME_MAX]);
bool tb_long_host(char host[TB_NODENAME_MAX]);

#endif
