/* status.h - what a tiebeam tells of itself, for people. */
#ifndef TB_DAEMON_STATUS_H
#define TB_DAEMON_STATUS_H

#include "tiebeam.h"

/* tb_status_put - append what the process tiebeam gives for info and nodes, as
 * a table or as JSON; less the node that asked. */
void tb_status_put(struct tb_wr *w, struct tb_term info, struct tb_term nodes,
                   const char *asker, bool json);

#endif
