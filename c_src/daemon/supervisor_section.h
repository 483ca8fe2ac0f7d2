/* supervisor_section.h - the section supervisors of the configuration file. */
#ifndef TB_DAEMON_SUPERVISOR_SECTION_H
#define TB_DAEMON_SUPERVISOR_SECTION_H

#include "daemon/config.h"
#include "daemon/reader.h"

/* tb_supervisor_section - check the section, and take it into c.
 * tb_supervisor_section_default - what runs where there is no file.
 * tb_supervisor_section_same - whether both would start the same. */
void tb_supervisor_section(struct tb_reader *r, struct tb_config *c,
                           const char *place, struct tb_term value);
void tb_supervisor_section_default(struct tb_config *c);
void tb_supervisor_section_fini(struct tb_config *c);
bool tb_supervisor_section_same(const struct tb_config *a,
                                const struct tb_config *b);

/* tb_config_name_free - whether no service of that name is there. */
bool tb_config_name_free(const struct tb_config *c, const char *name);

#endif
