/* recent.h - patterns given as text, compiled once. */
#ifndef TB_TERM_RECENT_H
#define TB_TERM_RECENT_H

#include "term/pattern.h"

/* tb_recent_pattern - the compiled form of source: one that is kept, where a
 * node of this thread makes that worth it, else *scratch. NULL and *error for
 * a bad one. Borrowed until the next call.
 * tb_recent_free - forget them; the thread's last node is gone. */
const struct tb_pattern *
tb_recent_pattern(const char *source, struct tb_pattern *scratch, int *error);
void tb_recent_free(void);

#endif
