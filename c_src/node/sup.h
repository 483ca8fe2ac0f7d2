/* sup.h - the supervisor of a node's services, registered as tiebeam_sup.
 * In Erlang: a one_for_one supervisor; it answers which_children and
 * count_children as one. */
#ifndef TB_NODE_SUP_H
#define TB_NODE_SUP_H

#include "node/proc.h"

/* tb_sup_start - 0, or an error. tb_sup_stop - ends its children, the newest
 * first, then itself, all with reason shutdown. */
int tb_sup_start(struct tb_node *node);
void tb_sup_stop(struct tb_node *node);

#endif
