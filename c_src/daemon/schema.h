/* schema.h - which keys a section of the file may have, and what they take. */
#ifndef TB_DAEMON_SCHEMA_H
#define TB_DAEMON_SCHEMA_H

#include "services/rule.h"

extern const struct tb_rule tb_discovery_rules[];

#endif
