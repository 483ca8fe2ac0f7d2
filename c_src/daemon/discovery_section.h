/* discovery_section.h - the section discovery, as processes that run. */
#ifndef TB_DAEMON_DISCOVERY_SECTION_H
#define TB_DAEMON_DISCOVERY_SECTION_H

#include "daemon/config.h"

/* An instance: its process is given this at each restart. */
struct tb_instance {
    struct tb_list link;
    struct tb_wr opts;                 /* owned */
    struct tb_discovery_config config; /* its name is owned */
    bool wanted;
};

struct tb_instances {
    struct tb_list all; /* owned struct tb_instance */
    struct tb_list
        gone; /* owned: their processes have ended, or are about to */
};

/* tb_instances_start - one process for each instance of the configuration;
 * 0, or as tb_start().
 * tb_instances_reload - those that are new are started, those that are gone are
 * stopped, those that are others are told so; each is logged.
 * tb_instances_free - after the node has ended. */
int tb_instances_start(struct tb_instances *s, struct tb_node *node,
                       const struct tb_config *config);
void tb_instances_reload(struct tb_instances *s, struct tb_node *node,
                         const struct tb_config *config);
void tb_instances_free(struct tb_instances *s);

#endif
