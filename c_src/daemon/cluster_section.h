/* cluster_section.h - the section process_clusters of the configuration. */
#ifndef TB_DAEMON_CLUSTER_SECTION_H
#define TB_DAEMON_CLUSTER_SECTION_H

#include "daemon/config.h"
#include "daemon/reader.h"

/* tb_cluster_section - check the section and take it into c; a line per error.
 * tb_cluster_section_start - the service, and a process for each cluster. 0, or
 * as tb_start().
 * tb_cluster_section_reload - c is to be as now: clusters come, are told of
 * other options, and go; the lists change places. */
void tb_cluster_section(struct tb_reader *r, struct tb_config *c,
                        const char *place, struct tb_term value);
int tb_cluster_section_start(struct tb_node *node, struct tb_config *c);
void tb_cluster_section_reload(struct tb_node *node, struct tb_config *c,
                               struct tb_config *now);
void tb_cluster_section_fini(struct tb_config *c);

#endif
