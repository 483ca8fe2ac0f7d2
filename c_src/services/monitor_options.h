/* monitor_options.h - what the node monitor can be told. */
#ifndef TB_SERVICES_MONITOR_OPTIONS_H
#define TB_SERVICES_MONITOR_OPTIONS_H

#include "services/rule.h"
#include "services/suspicion.h"

/* clang-format off */
#define TB_MON_MAX_MANAGED   16384u    /* nodes of a source */
#define TB_MON_MAX_TARGETS   256u      /* that are notified */
/* clang-format on */

enum tb_source { TB_SOURCE_ALL, TB_SOURCE_NODES, TB_SOURCE_MFA };

struct tb_detector_options {
    bool off;
    struct tb_suspicion_limits limits;
    uint32_t indirect; /* others that are asked before a node is down */
};

struct tb_health_options {
    struct tb_wr probe; /* owned: {call, Name}, {call, Name, Request}; empty:
                         * the emulator's answers are enough */
    uint32_t interval_ms, timeout_ms;
};

struct tb_monitor_options {
    enum tb_source source;
    struct tb_wr source_term; /* owned: [Node], {M, F, Args}, or empty */
    tb_atom attached;         /* that is asked for it first; 0: none */
    uint32_t refresh_ms;
    bool keep;           /* on_error */
    struct tb_wr notify; /* owned: [Target] */
    struct tb_detector_options detector;
    struct tb_health_options health;
};

/* The keys of the section, and of the two lists in it. */
extern const struct tb_rule tb_monitor_rules[];
extern const struct tb_rule tb_detector_rules[];
extern const struct tb_rule tb_health_rules[];

/* tb_monitor_options_init - the defaults.
 * tb_monitor_options_source - the defaults of what the source is.
 * tb_monitor_options_read - check the list and take it over what o holds. 0, or
 * -TB_EBADARG and the first thing that is wrong in *bad, and what was expected
 * instead in *expected; o is then to be thrown away. */
void tb_monitor_options_init(struct tb_monitor_options *o);
void tb_monitor_options_source(struct tb_monitor_options *o);
int tb_monitor_options_read(struct tb_monitor_options *o, struct tb_term list,
                            struct tb_term *bad, const char **expected);
void tb_monitor_options_fini(struct tb_monitor_options *o);
/* tb_monitor_options_copy - an owned copy. */
void tb_monitor_options_copy(struct tb_monitor_options *to,
                             const struct tb_monitor_options *from);

#endif
