/* services.h - the list of services; each is one file beside this. */
#ifndef TB_SERVICES_SERVICES_H
#define TB_SERVICES_SERVICES_H

#include "services/rule.h"
#include "tiebeam.h"

extern const struct tb_service tb_net_kernel;
extern const struct tb_service tb_rex;
extern const struct tb_service tb_tiebeam;
extern const struct tb_service tb_discovery;
extern const struct tb_service tb_node_monitor;
#define TB_CLUSTER_SCOPE "tiebeam_cluster" /* of pg, for process_cluster */

extern const struct tb_service tb_process_cluster;

/* A cluster of the configuration, which an instance of tb_cluster_seat is
 * started with. */
struct tb_cluster_config {
    struct tb_term cluster; /* its name */
    struct tb_term opts;    /* checked */
};
extern const struct tb_service tb_cluster_seat;
extern const struct tb_rule tb_cluster_rules[];

extern const struct tb_service tb_pg; /* its arg: the name of the scope */

/* What a discovery does to the world; each function can be replaced. */
struct tb_discovery_ops {
    /* NULL, or the part before '@' of the nodes that are looked for, where no
     * option tells it; false: not known */
    bool (*basename)(struct tb_proc *self, char out[256]);
    /* as tb_dns_lookup(), tb_connect() and tb_put_nodes() */
    void (*lookup)(struct tb_proc *self, struct tb_dns *dns,
                   enum tb_dns_type type, const char *name, uint64_t timeout_ms,
                   tb_done done, void *ctx);
    void (*connect)(struct tb_proc *self, tb_atom node, tb_done done,
                    void *ctx);
    int (*list)(struct tb_node *node, const char *which, struct tb_wr *w);
};

/* What an instance of tb_discovery is started with. */
struct tb_discovery_config {
    const char *name;                   /* registered */
    struct tb_term opts;                /* checked */
    const struct tb_discovery_ops *ops; /* NULL: the usual */
};

extern const struct tb_rule tb_discovery_rules[];
/* tb_discovery_lacks - what options lack that are right one by one, for
 * people; NULL: nothing. */
const char *tb_discovery_lacks(struct tb_term opts);
/* tb_discovery_fault - NULL, or the key that is wrong or lacks. */
const char *tb_discovery_fault(struct tb_term opts);

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
