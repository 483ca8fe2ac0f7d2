/* config.h - the configuration file. */
#ifndef TB_DAEMON_CONFIG_H
#define TB_DAEMON_CONFIG_H

#include "daemon/settings.h"
#include "services/services.h"

struct tb_supervisor_entry {
    char *name;
    struct tb_wr opts;
};

struct tb_cluster_entry {
    struct tb_wr cluster, opts;
    struct tb_seat *seat; /* owned; NULL: it has not been started */
};

struct tb_config {
    char *path;        /* owned; NULL: no file */
    struct tb_wr body; /* the file as a term; entries borrow from it */
    bool has_discovery;
    struct tb_discovery_config *discovery; /* owned, and the names */
    size_t n_discovery;
    bool has_scopes;
    char **scopes; /* owned, and each: scopes of pg */
    size_t n_scopes;
    bool has_supervisors;
    struct tb_supervisor_entry *supervisors; /* owned, and all in it */
    size_t n_supervisors;
    struct tb_cluster_entry *clusters; /* owned, and all in it */
    size_t n_clusters;
    bool no_clusters;               /* process_clusters, off */
    struct tb_wr monitor;           /* owned: the section node_monitor */
    struct tb_term monitor_options; /* it, as the service is started with it */
};

/* tb_config_read - read and check the file that settings name, if any; its
 * values go into settings, under what flags and environment gave. Every error
 * is a line "file:line: message" appended to errors. Returns 0, or -TB_EBADARG
 * where there are any. Ownership: c, ended with tb_config_fini() in any case.
 */
int tb_config_read(struct tb_config *c, struct tb_settings *s,
                   struct tb_wr *errors);

/* tb_config_default - what runs where the file names no discovery: the one that
 * flags and DNS_CLUSTER_QUERY ask for, else one that finds the nodes in the
 * epmd of this host. Returns 0, or -TB_EBADARG with a line in errors. */
int tb_config_default(struct tb_config *c, const struct tb_settings *s,
                      const char *host, struct tb_wr *errors);

void tb_config_fini(struct tb_config *c);

/* tb_config_expand - append raw with each ${VAR} and ${VAR:-default} replaced;
 * inside quotes a value is escaped. A line per variable that is not set is
 * appended to errors. */
void tb_config_expand(struct tb_wr *w, const struct tb_wr *raw,
                      const char *path, struct tb_wr *errors);

#endif
