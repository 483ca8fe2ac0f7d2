/* pg_section.h - the section pg of the configuration file. */
#ifndef TB_DAEMON_PG_SECTION_H
#define TB_DAEMON_PG_SECTION_H

#include "daemon/config.h"
#include "daemon/reader.h"

/* tb_pg_section - check the section and take it into c; a line per error.
 * tb_pg_section_default - the scope pg, where no section says otherwise.
 * tb_pg_section_start - start the scopes. 0, or as tb_start().
 * tb_pg_section_same - whether both would start the same. */
void tb_pg_section(struct tb_reader *r, struct tb_config *c, const char *place,
                   struct tb_term value);
void tb_pg_section_default(struct tb_config *c);
int tb_pg_section_start(struct tb_node *node, const struct tb_config *c);
bool tb_pg_section_same(const struct tb_config *a, const struct tb_config *b);
void tb_pg_section_fini(struct tb_config *c);

#endif
