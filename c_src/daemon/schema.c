/* schema.c - keys of services in the configuration file, as data.
 * Owns, borrows: nothing. Thread: any. */
#include "daemon/schema.h"

#include <string.h>

static const char *const log_levels[] = { "emergency", "alert",   "critical",
                                          "error",     "warning", "notice",
                                          "info",      "debug" };

static bool
level_ok(const struct tb_val *h)
{
    for (size_t i = 0; i < sizeof(log_levels) / sizeof(*log_levels); i++)
        if (tb_text_is(h[0].text, log_levels[i]))
            return true;
    return false;
}

static bool
interval_ok(const struct tb_val *h)
{
    return h[0].i >= 100 && h[0].i <= 86400000;
}

static bool
host_ok(struct tb_term t)
{
    struct tb_val h[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term first;

    if (tb_match("H:atom", t, h) == 1 || tb_match("H:bin", t, h) == 1)
        return h[0].text.n > 0;
    return tb_elems_open(&e, t) && tb_elems_next(&e, &first) &&
           tb_match("C:int", first, h) == 1;
}

static bool
node_ok(struct tb_term t)
{
    return tb_rule_node(t) != 0;
}

static bool
hosts_ok(const struct tb_val *h)
{
    return tb_rule_all(h[0].term, host_ok);
}

static bool
nodes_ok(const struct tb_val *h)
{
    return tb_rule_all(h[0].term, node_ok);
}

/* clang-format off */
const struct tb_rule tb_discovery_rules[] = {
    { "source",      "{epmd, Hosts:list}",  hosts_ok,
      "{epmd, [\"host\"]}, {nodes, ['name@host']} or ignore" },
    { "source",      "{nodes, Nodes:list}", nodes_ok,    NULL },
    { "source",      "ignore",              NULL,        NULL },
    { "interval",    "Ms:int",              interval_ok,
      "milliseconds in 100..86400000, or none" },
    { "interval",    "none",                NULL,        NULL },
    { "log",         "off",                 NULL,
      "off or a level, such as notice" },
    { "log",         "Level:atom",          level_ok,    NULL },
    { "basename",    NULL, NULL, NULL },
    { "mesh",        NULL, NULL, NULL },
    { "nameservers", NULL, NULL, NULL },
    { "attached",    NULL, NULL, NULL },
    { "on_gone",     NULL, NULL, NULL },
    { NULL,          NULL, NULL, NULL },
};
/* clang-format on */
