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
extern const struct tb_service tb_supervisor;

extern const struct tb_service tb_process_cluster;

/* A cluster of the configuration, and the process that sees to it.
 * tb_seat_new - both are copied; opts are checked. Ownership: the caller's, and
 *   its process's as long as that may be started again.
 * tb_seat_start - 0, or as tb_start().
 * tb_seat_change - other options; tb_seat_leave - it is to end. Both count once
 *   the process has been told, by the call TB_SEAT_CHANGED or TB_SEAT_LEAVE,
 *   which it answers with ok when that is done, or when it starts again.
 * tb_seat_pid - where it is now. */
#define TB_SEAT_CHANGED "'$tb_changed'"
#define TB_SEAT_LEAVE   "'$tb_leave_service'"
struct tb_seat;
struct tb_seat *tb_seat_new(struct tb_term cluster, struct tb_term opts);
void tb_seat_free(struct tb_seat *seat);
int tb_seat_start(struct tb_node *node, struct tb_seat *seat);
void tb_seat_change(struct tb_seat *seat, struct tb_term opts);
void tb_seat_leave(struct tb_seat *seat);
struct tb_pid tb_seat_pid(const struct tb_seat *seat);
extern const struct tb_service tb_cluster_seat;
extern const struct tb_rule tb_cluster_rules[];

extern const struct tb_service tb_pg; /* its arg: the name of the scope */

/* What an instance of tb_supervisor is started with, by tb_start_owned().
 * tb_supervisor_config_new - both are copied. */
struct tb_supervisor_config {
    char *name;         /* owned; registered */
    struct tb_wr *opts; /* owned; checked, and replaced by what is told later */
};
struct tb_supervisor_config *tb_supervisor_config_new(struct tb_text name,
                                                      struct tb_term opts);
void tb_supervisor_config_free(void *config);

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
