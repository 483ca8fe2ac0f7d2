/* sections.h - the checks of a configuration file that parses. */
#ifndef TB_DAEMON_SECTIONS_H
#define TB_DAEMON_SECTIONS_H

#include "daemon/config.h"

struct tb_reader {
    struct tb_config *c; /* body holds the file */
    struct tb_settings *s;
    struct tb_wr *errors;
    struct tb_wr lines; /* struct tb_line of every term of the body */
};

/* tb_sections_check - check the whole file, take its values into the settings
 * and the configuration, and append a line per error. */
void tb_sections_check(struct tb_reader *r);

/* tb_config_add - one more discovery; takes over name. */
void tb_config_add(struct tb_config *c, char *name, struct tb_term opts);

#endif
