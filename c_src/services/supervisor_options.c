/* supervisor_options.c - the options of a supervisor, checked and read.
 * In Erlang: supervisor:check_flags/1, DynamicSupervisor.init/1.
 * Owns: nothing. Thread: any. */
#include "services/supervisor_options.h"

#include <stdio.h>
#include <string.h>

#define SETTLE_MS        1000
#define MOVE_CONCURRENCY 50
#define FORGET_MS        86400000

/* -------------------------------------------------------------- checks -- */

static bool
natural(const struct tb_val *h)
{
    return h[0].i >= 0;
}

static bool
positive(const struct tb_val *h)
{
    return h[0].i > 0;
}

static bool
up_to_a_million(const struct tb_val *h)
{
    return h[0].i > 0 && h[0].i <= 1000000;
}

static bool
at_most_an_hour(const struct tb_val *h)
{
    return h[0].i >= 0 && h[0].i <= 3600000;
}

static bool
is_boolean(const struct tb_val *h)
{
    return tb_text_is(h[0].text, "true") || tb_text_is(h[0].text, "false");
}

static bool
any(struct tb_term t)
{
    (void)t;
    return true;
}

static bool
proper(const struct tb_val *h)
{
    return tb_rule_all(h[0].term, any);
}

static bool
chars(const struct tb_val *h)
{
    return tb_rule_chars(h[0].term);
}

static bool
rising(const struct tb_val *h)
{
    return h[0].i > 0 && h[1].i >= h[0].i && h[1].i <= 86400000;
}

#define LOCATOR "phash2, rendezvous, least_loaded or {Module, Function}"
#define HOSTS   "module, all, {basename, Text}, {nodes, [Node]} or managed"
#define BACKOFF "none or {MinMs, MaxMs}"

/* clang-format off */
const struct tb_rule tb_supervisor_rules[] = {
    { "strategy",         "one_for_one",        NULL,     "one_for_one" },
    { "max_restarts",     "N:int",              natural,  "an integer from 0 on" },
    { "max_seconds",      "N:int",              positive, "an integer from 1 on" },
    { "max_children",     "infinity",           NULL,     "infinity or an integer from 0 on" },
    { "max_children",     "N:int",              natural,  NULL },
    { "auto_shutdown",    "never",              NULL,     "never" },
    { "extra_arguments",  "L:list",             proper,   "a list" },
    { "auto_balance",     "B:atom",             is_boolean, "true or false" },
    { "locator",          "phash2",             NULL,     LOCATOR },
    { "locator",          "rendezvous",         NULL,     NULL },
    { "locator",          "least_loaded",       NULL,     NULL },
    { "locator",          "{M:atom, F:atom}",   NULL,     NULL },
    { "hosts",            "module",             NULL,     HOSTS },
    { "hosts",            "all",                NULL,     NULL },
    { "hosts",            "managed",            NULL,     NULL },
    { "hosts",            "{basename, B}",      chars,    NULL },
    { "hosts",            "{nodes, L:list}",    tb_rule_are_nodes, NULL },
    { "host_module",      "load",               NULL,     "load or preloaded" },
    { "host_module",      "preloaded",          NULL,     NULL },
    { "split_policy",     "restart",            NULL,     "restart; majority is not supported in this version" },
    { "settle_ms",        "N:int",              at_most_an_hour, "milliseconds in 0..3600000" },
    { "move_concurrency", "N:int",              positive, "an integer from 1 on" },
    { "forget_ms",        "infinity",           NULL,     "infinity or milliseconds from 0 on" },
    { "forget_ms",        "N:int",              natural,  NULL },
    { "start_rate",       "infinity",           NULL,     "infinity or an integer in 1..1000000" },
    { "start_rate",       "N:int",              up_to_a_million, NULL },
    { "backoff",          "none",               NULL,     BACKOFF },
    { "backoff",          "{Min:int, Max:int}", rising,   NULL },
    { "global",           "B:atom",             is_boolean, "true or false" },
    { NULL, NULL, NULL, NULL },
};

/* What supervisor, DynamicSupervisor and GlobalSupervisor call it. */
static const struct { const char *key, *reason; } reasons[] = {
    { "strategy",        "invalid_strategy" },
    { "max_restarts",    "invalid_intensity" },
    { "max_seconds",     "invalid_period" },
    { "max_children",    "invalid_max_children" },
    { "extra_arguments", "invalid_extra_arguments" },
    { "auto_balance",    "invalid_auto_balance" },
    { "locator",         "invalid_locator" },
};
/* clang-format on */

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

static int
refuse(struct tb_wr *why, struct tb_text key, struct tb_term value)
{
    char reason[300];

    snprintf(reason, sizeof(reason), "invalid_%.*s", (int)key.n, key.p);
    for (size_t i = 0; i < LENGTH(reasons); i++)
        if (tb_text_is(key, reasons[i].key))
            snprintf(reason, sizeof(reason), "%s", reasons[i].reason);
    tb_build(why, "{supervisor_data, {Reason, Value}}",
             TB_ARGS(tb_v_atom(reason), tb_v_term(value)));
    return -TB_EBADARG;
}

/* ------------------------------------------------------------- reading -- */

static void
read_text(char out[256], struct tb_text text)
{
    snprintf(out, 256, "%.*s", (int)text.n, text.p);
}

static void
read_hosts(struct tb_supervisor_options *o, struct tb_term value)
{
    struct tb_val h[TB_MAX_HOLES];

    o->hosts.len = 0;
    if (tb_match("{basename, B}", value, h) == 1) {
        o->filter = TB_HOSTS_BASENAME;
        tb_get_chars(h[0].term, &o->hosts);
    } else if (tb_match("{nodes, L}", value, h) == 1) {
        o->filter = TB_HOSTS_NODES;
        tb_wr_bytes(&o->hosts, h[0].term.p, h[0].term.n);
    } else {
        o->filter = tb_match("all", value, h) == 1       ? TB_HOSTS_ALL
                    : tb_match("managed", value, h) == 1 ? TB_HOSTS_MANAGED
                                                         : TB_HOSTS_MODULE;
    }
}

static void
read_locator(struct tb_supervisor_options *o, struct tb_term value)
{
    struct tb_val h[TB_MAX_HOLES];

    if (tb_match("{M:atom, F:atom}", value, h) == 1) {
        o->locator = TB_LOCATE_FUN;
        read_text(o->module, h[0].text);
        read_text(o->function, h[1].text);
    } else {
        o->locator =
            tb_match("rendezvous", value, h) == 1     ? TB_LOCATE_RENDEZVOUS
            : tb_match("least_loaded", value, h) == 1 ? TB_LOCATE_LEAST_LOADED
                                                      : TB_LOCATE_PHASH2;
    }
}

static void
read_backoff(struct tb_supervisor_options *o, struct tb_term value)
{
    struct tb_val h[TB_MAX_HOLES];

    o->backoff_min = o->backoff_max = 0;
    if (tb_match("{Min:int, Max:int}", value, h) == 1) {
        o->backoff_min = h[0].i;
        o->backoff_max = h[1].i;
    }
}

static bool
read_number(struct tb_supervisor_options *o, struct tb_text key,
            struct tb_term value)
{
    const struct {
        const char *key;
        int64_t *to;
    } numbers[] = {
        { "max_restarts", &o->max_restarts },
        { "max_seconds", &o->max_seconds },
        { "max_children", &o->max_children },
        { "settle_ms", &o->settle_ms },
        { "move_concurrency", &o->move_concurrency },
        { "forget_ms", &o->forget_ms },
        { "start_rate", &o->start_rate },
    };
    struct tb_val h[TB_MAX_HOLES];

    for (size_t i = 0; i < LENGTH(numbers); i++)
        if (tb_text_is(key, numbers[i].key)) {
            *numbers[i].to = tb_match("N:int", value, h) == 1 ? h[0].i : -1;
            return true;
        }
    return false;
}

/* A checked value. */
static void
take(struct tb_supervisor_options *o, struct tb_text key, struct tb_term value)
{
    struct tb_val h[TB_MAX_HOLES];

    if (read_number(o, key, value))
        return;
    if (tb_text_is(key, "hosts")) {
        read_hosts(o, value);
    } else if (tb_text_is(key, "locator")) {
        read_locator(o, value);
    } else if (tb_text_is(key, "backoff")) {
        read_backoff(o, value);
    } else if (tb_text_is(key, "global")) {
        o->global = tb_match("true", value, h) == 1;
    } else if (tb_text_is(key, "auto_balance")) {
        o->auto_balance = tb_match("true", value, h) == 1;
    } else if (tb_text_is(key, "host_module")) {
        o->preloaded = tb_match("preloaded", value, h) == 1;
    } else if (tb_text_is(key, "extra_arguments")) {
        o->extra_arguments.len = 0;
        tb_wr_bytes(&o->extra_arguments, value.p, value.n);
    }
}

/* ------------------------------------------------------------ as a term -- */

static struct tb_val
or_infinity(int64_t n)
{
    return n < 0 ? tb_v_atom("infinity") : tb_v_int(n);
}

static void
put_choices(const struct tb_supervisor_options *o, struct tb_wr *locator,
            struct tb_wr *hosts, struct tb_wr *backoff)
{
    static const char *const locators[] = { "phash2", "rendezvous",
                                            "least_loaded" };

    if (o->locator == TB_LOCATE_FUN)
        tb_build(locator, "{M, F}",
                 TB_ARGS(tb_v_atom(o->module), tb_v_atom(o->function)));
    else
        tb_build(locator, "L", TB_ARGS(tb_v_atom(locators[o->locator])));
    if (o->filter == TB_HOSTS_NODES)
        tb_build(hosts, "{nodes, L}",
                 TB_ARGS(tb_v_term(tb_wr_term(&o->hosts))));
    else if (o->filter == TB_HOSTS_BASENAME)
        tb_build(hosts, "{basename, B}",
                 TB_ARGS(tb_v_bin(o->hosts.buf, o->hosts.len)));
    else
        tb_build(
            hosts, "F",
            TB_ARGS(tb_v_atom(o->filter == TB_HOSTS_ALL       ? "all"
                              : o->filter == TB_HOSTS_MANAGED ? "managed"
                                                              : "module")));
    if (o->backoff_max)
        tb_build(backoff, "{Min, Max}",
                 TB_ARGS(tb_v_int(o->backoff_min), tb_v_int(o->backoff_max)));
    else
        tb_build(backoff, "none", TB_NONE);
}

/* Those that all tiebeam nodes have to agree on; each may see to its own pace.
 */
static void
put_all(struct tb_supervisor_options *o)
{
    struct tb_wr locator = { 0 }, hosts = { 0 }, backoff = { 0 };

    put_choices(o, &locator, &hosts, &backoff);
    o->all.len = 0;
    tb_build(&o->all,
             "[{strategy, one_for_one}, {max_restarts, R}, {max_seconds, S}, "
             "{max_children, C}, {extra_arguments, E}, {auto_balance, A}, "
             "{locator, L}, {hosts, H}, {split_policy, restart}, "
             "{forget_ms, F}, {backoff, B}]",
             TB_ARGS(tb_v_int(o->max_restarts), tb_v_int(o->max_seconds),
                     or_infinity(o->max_children),
                     tb_v_term(tb_wr_term(&o->extra_arguments)),
                     tb_v_bool(o->auto_balance),
                     tb_v_term(tb_wr_term(&locator)),
                     tb_v_term(tb_wr_term(&hosts)), or_infinity(o->forget_ms),
                     tb_v_term(tb_wr_term(&backoff))));
    tb_wr_free(&locator);
    tb_wr_free(&hosts);
    tb_wr_free(&backoff);
}

/* What each tiebeam node has for itself. */
static void
put_own(const struct tb_supervisor_options *o, struct tb_wr *w)
{
    tb_build(w,
             "[{host_module, L}, {settle_ms, S}, {move_concurrency, C}, "
             "{start_rate, R}, {global, G}]",
             TB_ARGS(tb_v_atom(o->preloaded ? "preloaded" : "load"),
                     tb_v_int(o->settle_ms), tb_v_int(o->move_concurrency),
                     or_infinity(o->start_rate), tb_v_bool(o->global)));
}

/* The elements of a list, and how many. */
static size_t
put_items(struct tb_wr *w, struct tb_term list)
{
    struct tb_elems e;
    struct tb_term item;
    size_t n = 0;

    for (tb_elems_open(&e, list); tb_elems_next(&e, &item); n++)
        tb_wr_bytes(w, item.p, item.n);
    return n;
}

static void
put_list(const struct tb_supervisor_options *o, enum tb_options_kept kept,
         const struct tb_term *more, struct tb_wr *w)
{
    struct tb_wr items = { 0 }, own = { 0 };
    size_t n =
        kept == TB_OPTIONS_ALL ? put_items(&items, tb_wr_term(&o->all)) : 0;

    put_own(o, &own);
    n += put_items(&items, tb_wr_term(&own));
    if (more)
        n += put_items(&items, *more);
    tb_build_list(w, n, &items);
    tb_wr_free(&items);
    tb_wr_free(&own);
}

void
tb_supervisor_options_put(const struct tb_supervisor_options *o,
                          struct tb_wr *w)
{
    put_list(o, TB_OPTIONS_ALL, NULL, w);
}

int
tb_supervisor_options_change(struct tb_supervisor_options *changed,
                             const struct tb_supervisor_options *o,
                             enum tb_options_kept kept, struct tb_term list,
                             struct tb_wr *why)
{
    struct tb_wr both = { 0 };
    int rc = tb_supervisor_options_read(changed, list, why);

    if (rc < 0)
        return rc;
    tb_supervisor_options_fini(changed);
    put_list(o, kept, &list, &both);
    rc = tb_supervisor_options_read(changed, tb_wr_term(&both), why);
    tb_wr_free(&both);
    return rc;
}

int
tb_supervisor_options_read(struct tb_supervisor_options *o, struct tb_term list,
                           struct tb_wr *why)
{
    struct tb_val h[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term item;
    const char *expected;

    *o = (struct tb_supervisor_options){ .max_restarts = 3,
                                         .max_seconds = 5,
                                         .max_children = -1,
                                         .auto_balance = true,
                                         .settle_ms = SETTLE_MS,
                                         .move_concurrency = MOVE_CONCURRENCY,
                                         .forget_ms = FORGET_MS,
                                         .start_rate = -1 };
    tb_build(&o->extra_arguments, "[]", TB_NONE);
    if (!tb_elems_open(&e, list)) {
        tb_build(why, "{supervisor_data, {invalid_type, L}}",
                 TB_ARGS(tb_v_term(list)));
        return -TB_EBADARG;
    }
    while (tb_elems_next(&e, &item)) {
        if (tb_match("{Key:atom, Value}", item, h) != 1) {
            tb_build(why, "{supervisor_data, {invalid_option, O}}",
                     TB_ARGS(tb_v_term(item)));
            return -TB_EBADARG;
        }
        if (tb_rule_check(tb_supervisor_rules, h[0].text, h[1].term,
                          &expected) != 1)
            return refuse(why, h[0].text, h[1].term);
        take(o, h[0].text, h[1].term);
    }
    put_all(o);
    return 0;
}

void
tb_supervisor_options_fini(struct tb_supervisor_options *o)
{
    tb_wr_free(&o->extra_arguments);
    tb_wr_free(&o->hosts);
    tb_wr_free(&o->all);
}
