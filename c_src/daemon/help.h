/* help.h - what the program says of itself. */
#ifndef TB_DAEMON_HELP_H
#define TB_DAEMON_HELP_H

#include "daemon/nodename.h"
#include "daemon/settings.h"

/* tb_help_print - flags by group, and verbs, on stdout. */
void tb_help_print(void);
/* tb_help_messages - the clause tables of all services, on stdout. */
void tb_help_messages(void);
/* tb_help_settings - each setting with its value and origin, on stdout. */
void tb_help_settings(const struct tb_settings *s, const struct tb_nodename *n,
                      const char *cookie_origin, bool json);

#endif
