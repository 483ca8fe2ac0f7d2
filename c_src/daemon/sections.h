/* sections.h - the checks of a configuration file that parses. */
#ifndef TB_DAEMON_SECTIONS_H
#define TB_DAEMON_SECTIONS_H

#include "daemon/config.h"
#include "daemon/reader.h"

/* What the reader of a configuration file has as its ctx. */
struct tb_sections {
    struct tb_config *c;
    struct tb_settings *s;
};

/* tb_sections_check - check the whole file, take its values into the settings
 * and the configuration, and append a line per error. */
void tb_sections_check(struct tb_reader *r);

/* tb_config_name_free - whether nothing is registered by that name.
 * tb_config_add - one more discovery; takes over name. */
bool tb_config_name_free(const struct tb_config *c, const char *name);
void tb_config_add(struct tb_config *c, char *name, struct tb_term opts);

#endif
