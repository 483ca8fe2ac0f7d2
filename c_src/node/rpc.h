/* rpc.h - functions that peers may call: rpc, erpc and spawn. */
#ifndef TB_NODE_RPC_H
#define TB_NODE_RPC_H

#include "node/peer.h"
#include "node/proc.h"

/* tb_rpc_spawn_request - SPAWN_REQUEST of a peer. */
void tb_rpc_spawn_request(struct tb_peer *peer, struct tb_ref request,
                          struct tb_pid from, struct tb_term mfa,
                          struct tb_term options, struct tb_term args);

/* tb_rpc_spawn_here - the same for a process of this node, which monitors the
 * worker as ref; args as of erpc:execute_call/4. */
void tb_rpc_spawn_here(struct tb_proc *self, struct tb_ref ref,
                       struct tb_term args);

#endif
