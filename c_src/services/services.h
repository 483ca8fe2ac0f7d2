/* services.h - the list of services; each is one file beside this. */
#ifndef TB_SERVICES_SERVICES_H
#define TB_SERVICES_SERVICES_H

#include "tiebeam.h"

extern const struct tb_service tb_net_kernel;
extern const struct tb_service tb_rex;
extern const struct tb_service tb_tiebeam;
extern const struct tb_service tb_discovery;
extern const struct tb_service tb_node_monitor;

/* What an instance of tb_discovery is started with. */
struct tb_discovery_config {
    const char *name;    /* registered */
    struct tb_term opts; /* checked: {source, _}, {interval, _}, {log, _} */
};

/* Functions of tb_net_kernel, which tb_tiebeam shares: {connect, Node} and
 * {disconnect, Node} under other names. */
int tb_on_connect_node(struct tb_proc *self, void *state,
                       const struct tb_msg *m);
int tb_on_disconnect_node(struct tb_proc *self, void *state,
                          const struct tb_msg *m);

/* tb_reply_nodes - erlang:nodes(Which) as the answer; badarg where it is no
 * such kind. */
int tb_reply_nodes(struct tb_proc *self, const struct tb_msg *m,
                   const char *which);

#endif
