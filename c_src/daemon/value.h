/* value.h - terms of the configuration file as the texts that settings take. */
#ifndef TB_DAEMON_VALUE_H
#define TB_DAEMON_VALUE_H

#include "daemon/settings.h"

/* tb_value_text - append a value as a flag would give it; false where its type
 * is not one that such a setting takes. */
bool tb_value_text(enum tb_set_type type, struct tb_term t, struct tb_wr *w);

#endif
