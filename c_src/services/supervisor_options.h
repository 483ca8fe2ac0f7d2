/* supervisor_options.h - what a supervisor can be told. */
#ifndef TB_SERVICES_SUPERVISOR_OPTIONS_H
#define TB_SERVICES_SUPERVISOR_OPTIONS_H

#include "services/placement.h"
#include "services/rule.h"

enum tb_host_filter {
    TB_HOSTS_MODULE, /* visible nodes whose release contains the module */
    TB_HOSTS_ALL,    /* visible nodes */
    TB_HOSTS_BASENAME,
    TB_HOSTS_NODES,
    TB_HOSTS_MANAGED /* those of the node monitor */
};

struct tb_supervisor_options {
    int64_t max_restarts, max_seconds;
    int64_t max_children;         /* -1: infinity */
    struct tb_wr extra_arguments; /* owned: a list */
    bool auto_balance;
    enum tb_locator locator;
    char module[256], function[256]; /* of TB_LOCATE_FUN */
    enum tb_host_filter filter;
    struct tb_wr hosts; /* owned: [Node], or the base name's characters */
    bool preloaded;     /* host_module: nothing is loaded */
    int64_t settle_ms, move_concurrency;
    int64_t start_rate;               /* a second; -1: infinity */
    int64_t backoff_min, backoff_max; /* ms; 0: intensity counts instead */
    bool global;      /* the name is registered with global, too */
    struct tb_wr all; /* owned: those that all nodes agree on, as a proplist */
};

/* Whose options stay where a list names none. */
enum tb_options_kept {
    TB_OPTIONS_OWN, /* those that each tiebeam node has for itself */
    TB_OPTIONS_ALL
};

extern const struct tb_rule tb_supervisor_rules[];

/* tb_supervisor_options_read - check and take a list of options; 0, or
 * -TB_EBADARG and the reason that GlobalSupervisor and supervisor give,
 * {supervisor_data, {invalid_period, V}}, appended to why. Ownership: o, ended
 * with tb_supervisor_options_fini() in any case. */
int tb_supervisor_options_read(struct tb_supervisor_options *o,
                               struct tb_term list, struct tb_wr *why);
/* tb_supervisor_options_change - the same for a list on top of what o has, of
 * which the options kept stay where the list does not name them.
 * tb_supervisor_options_put - append all of o as a list. */
int tb_supervisor_options_change(struct tb_supervisor_options *changed,
                                 const struct tb_supervisor_options *o,
                                 enum tb_options_kept kept, struct tb_term list,
                                 struct tb_wr *why);
void tb_supervisor_options_put(const struct tb_supervisor_options *o,
                               struct tb_wr *w);
void tb_supervisor_options_fini(struct tb_supervisor_options *o);

#endif
