/* supervisor_section.h - the section supervisors of the configuration file. */
#ifndef TB_DAEMON_SUPERVISOR_SECTION_H
#define TB_DAEMON_SUPERVISOR_SECTION_H

#include "daemon/config.h"
#include "daemon/reader.h"

/* tb_supervisor_section - check the section, and take it into c.
 * tb_supervisor_section_default - what runs where there is no file.
 * tb_supervisor_section_start - 0, or the error of the first that does not.
 * tb_supervisor_section_reload - c is to be as now: supervisors come, are told
 * of other options, and go; their entries change places. */
void tb_supervisor_section(struct tb_reader *r, struct tb_config *c,
                           const char *place, struct tb_term value);
void tb_supervisor_section_default(struct tb_config *c);
void tb_supervisor_section_fini(struct tb_config *c);
int tb_supervisor_section_start(struct tb_node *node,
                                const struct tb_config *c);
void tb_supervisor_section_reload(struct tb_node *node, struct tb_config *c,
                                  struct tb_config *now);

#endif
