/* pg_section.h - the section pg of the configuration file. */
#ifndef TB_DAEMON_PG_SECTION_H
#define TB_DAEMON_PG_SECTION_H

#include "daemon/config.h"
#include "daemon/reader.h"

/* tb_pg_section - check the section and take it into c; a line per error.
 * tb_pg_section_default - the scope pg, where no section says otherwise.
 * tb_pg_section_start - start the scopes. 0, or as tb_start().
 * tb_pg_section_reload - c is to be as now: scopes come and go; the lists
 * change places. */
void tb_pg_section(struct tb_reader *r, struct tb_config *c, const char *place,
                   struct tb_term value);
void tb_pg_section_default(struct tb_config *c);
int tb_pg_section_start(struct tb_node *node, const struct tb_config *c);
void tb_pg_section_reload(struct tb_node *node, struct tb_config *c,
                          struct tb_config *now);
void tb_pg_section_fini(struct tb_config *c);

#endif
