/* monitor_section.h - the section node_monitor of the configuration file. */
#ifndef TB_DAEMON_MONITOR_SECTION_H
#define TB_DAEMON_MONITOR_SECTION_H

#include "daemon/config.h"
#include "daemon/reader.h"

/* tb_monitor_section - check it, and take it into c. */
void tb_monitor_section(struct tb_reader *r, struct tb_config *c,
                        const char *place, struct tb_term value);

/* tb_monitor_section_default - where the file has none.
 * tb_monitor_section_reload - a changed one is used from now on, and told to
 * the service. Takes over what now holds of it. */
void tb_monitor_section_default(struct tb_config *c);
void tb_monitor_section_reload(struct tb_node *node, struct tb_config *c,
                               struct tb_config *now);

#endif
