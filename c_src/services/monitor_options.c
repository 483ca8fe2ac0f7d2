/* monitor_options.c - the options of the node monitor, checked and read.
 * Owns: nothing. Thread: any. */
#include "services/monitor_options.h"

#include <string.h>

#define SUSPECT_MS        1000
#define SLOWER_AT_MOST    10 /* times suspect_ms, on a slow link */
#define REFRESH_MS        5000
#define HEALTH_MS         5000
#define HEALTH_TIMEOUT_MS 1000
#define INDIRECT          3

/* -------------------------------------------------------------- checks -- */

static bool
nodes_ok(const struct tb_val *h)
{
    return tb_rule_count(h[0].term) <= TB_MON_MAX_MANAGED &&
           tb_rule_are_nodes(h);
}

/* Names go where C strings do. */
static bool
name_ok(const struct tb_val *h)
{
    return h[0].text.n > 0 && !memchr(h[0].text.p, '\0', h[0].text.n);
}

static bool
mfa_ok(const struct tb_val *h)
{
    struct tb_val v[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term item;

    for (tb_elems_open(&e, h[2].term); tb_elems_next(&e, &item);)
        continue;
    return name_ok(h) && name_ok(h + 1) && tb_match("[]", e.rest, v) == 1;
}

static bool
target_ok(struct tb_term t)
{
    struct tb_val h[TB_MAX_HOLES];

    if (tb_match("{call, Module:atom}", t, h) == 1)
        return name_ok(h);
    if (tb_match("{cast, {Name:atom, Node:atom}}", t, h) == 1 ||
        tb_match("{send, {Name:atom, Node:atom}}", t, h) == 1)
        return name_ok(h) && tb_intern(h[1].text) != 0;
    return false;
}

static bool
targets_ok(const struct tb_val *h)
{
    return tb_rule_count(h[0].term) <= TB_MON_MAX_TARGETS &&
           tb_rule_all(h[0].term, target_ok);
}

static bool
attached_ok(const struct tb_val *h)
{
    return tb_intern(h[0].text) != 0;
}

static bool
between(int64_t i, int64_t low, int64_t high)
{
    return i >= low && i <= high;
}

static bool
interval_ok(const struct tb_val *h)
{
    return between(h[0].i, 100, 86400000);
}

static bool
probe_ms_ok(const struct tb_val *h)
{
    return between(h[0].i, 50, 3600000);
}

static bool
silence_ok(const struct tb_val *h)
{
    return between(h[0].i, 100, 3600000);
}

static bool
indirect_ok(const struct tb_val *h)
{
    return between(h[0].i, 0, 16);
}

#define INTERVAL "milliseconds in 100..86400000"
#define SILENCE  "milliseconds in 100..3600000"

/* clang-format off */
const struct tb_rule tb_monitor_rules[] = {
    { "nodes",      "Nodes:list", nodes_ok,
      "a list of at most 16384 nodes" },
    { "nodes_mfa",  "{M:atom, F:atom, Args:list}", mfa_ok,
      "{Module, Function, Args}" },
    { "attached",   "Node:atom", attached_ok, "a node, 'name@host'" },
    { "refresh_ms", "Ms:int", interval_ok, INTERVAL },
    { "on_error",   "empty", NULL, "empty or keep" },
    { "on_error",   "keep", NULL, NULL },
    { "notify",     "Targets:list", targets_ok,
      "a list of {cast, {Name, Node}}, {send, {Name, Node}}, {call, Module}" },
    { "detector",   "off", NULL, "off or a list of {Key, Value}" },
    { "detector",   "Options:list", NULL, NULL },
    { "health",     "off", NULL, "off or a list of {Key, Value}" },
    { "health",     "Options:list", NULL, NULL },
    { NULL, NULL, NULL, NULL },
};

const struct tb_rule tb_detector_rules[] = {
    { "suspect_ms",     "Ms:int", silence_ok, SILENCE },
    { "probe_ms",       "Ms:int", probe_ms_ok, "milliseconds in 50..3600000" },
    { "max_suspect_ms", "Ms:int", silence_ok, SILENCE },
    { "down_ms",        "Ms:int", silence_ok, SILENCE ", or none" },
    { "down_ms",        "none", NULL, NULL },
    { "indirect",       "N:int", indirect_ok, "an integer in 0..16" },
    { NULL, NULL, NULL, NULL },
};

const struct tb_rule tb_health_rules[] = {
    { "probe",       "emulator", NULL,
      "emulator, {call, Name} or {call, Name, Request}" },
    { "probe",       "{call, Name:atom}", name_ok, NULL },
    { "probe",       "{call, Name:atom, Request}", name_ok, NULL },
    { "interval_ms", "Ms:int", interval_ok, INTERVAL },
    { "timeout_ms",  "Ms:int", silence_ok, SILENCE },
    { NULL, NULL, NULL, NULL },
};
/* clang-format on */

/* -------------------------------------------------------------- values -- */

void
tb_monitor_options_source(struct tb_monitor_options *o)
{
    o->source = TB_SOURCE_ALL;
    tb_wr_free(&o->source_term);
    o->attached = 0;
    o->refresh_ms = REFRESH_MS;
    o->keep = false;
}

static void
detector_defaults(struct tb_detector_options *d)
{
    *d = (struct tb_detector_options){ .limits.suspect_ms = SUSPECT_MS,
                                       .indirect = INDIRECT };
}

static void
health_defaults(struct tb_health_options *h)
{
    tb_wr_free(&h->probe);
    h->interval_ms = HEALTH_MS;
    h->timeout_ms = HEALTH_TIMEOUT_MS;
}

/* What was not given follows from what was. */
static void
complete(struct tb_suspicion_limits *l)
{
    if (!l->probe_ms)
        l->probe_ms = l->suspect_ms / 2;
    if (!l->max_ms)
        l->max_ms = l->suspect_ms * SLOWER_AT_MOST;
}

void
tb_monitor_options_init(struct tb_monitor_options *o)
{
    *o = (struct tb_monitor_options){ .source = TB_SOURCE_ALL };
    tb_monitor_options_source(o);
    tb_build(&o->notify, "[]", TB_NONE);
    detector_defaults(&o->detector);
    complete(&o->detector.limits);
    health_defaults(&o->health);
}

void
tb_monitor_options_fini(struct tb_monitor_options *o)
{
    tb_wr_free(&o->source_term);
    tb_wr_free(&o->notify);
    tb_wr_free(&o->health.probe);
}

static void
copy_wr(struct tb_wr *to, const struct tb_wr *from)
{
    *to = (struct tb_wr){ 0 };
    if (from->len)
        tb_wr_bytes(to, from->buf, from->len);
}

void
tb_monitor_options_copy(struct tb_monitor_options *to,
                        const struct tb_monitor_options *from)
{
    *to = *from;
    copy_wr(&to->source_term, &from->source_term);
    copy_wr(&to->notify, &from->notify);
    copy_wr(&to->health.probe, &from->health.probe);
}

static void
set_term(struct tb_wr *w, struct tb_term t)
{
    w->len = 0;
    tb_wr_bytes(w, t.p, t.n);
}

/* ------------------------------------------------------------- reading -- */

struct reading {
    struct tb_monitor_options *o;
    bool has_source;
    struct tb_term bad;
    const char *expected;
};

static bool
fails(struct reading *r, struct tb_term bad, const char *expected)
{
    r->bad = bad;
    r->expected = expected;
    return false;
}

static void
take_detector(struct reading *r, struct tb_text key, struct tb_term value)
{
    struct tb_suspicion_limits *l = &r->o->detector.limits;
    struct tb_val v[TB_MAX_HOLES];
    uint32_t n = tb_match("N:int", value, v) == 1 ? (uint32_t)v[0].i : 0;

    if (tb_text_is(key, "suspect_ms"))
        l->suspect_ms = n;
    else if (tb_text_is(key, "probe_ms"))
        l->probe_ms = n;
    else if (tb_text_is(key, "max_suspect_ms"))
        l->max_ms = n;
    else if (tb_text_is(key, "down_ms"))
        l->down_ms = n;
    else
        r->o->detector.indirect = n;
}

static void
take_health(struct reading *r, struct tb_text key, struct tb_term value)
{
    struct tb_health_options *h = &r->o->health;
    struct tb_val v[TB_MAX_HOLES];
    bool is_int = tb_match("N:int", value, v) == 1;

    if (tb_text_is(key, "interval_ms") && is_int)
        h->interval_ms = (uint32_t)v[0].i;
    else if (tb_text_is(key, "timeout_ms") && is_int)
        h->timeout_ms = (uint32_t)v[0].i;
    else if (tb_match("emulator", value, v) == 1)
        tb_wr_free(&h->probe);
    else
        set_term(&h->probe, value);
}

static bool
given_before(struct tb_term list, struct tb_term item, struct tb_text key)
{
    struct tb_val v[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term other;

    for (tb_elems_open(&e, list); tb_elems_next(&e, &other);) {
        if (other.p == item.p)
            return false;
        if (tb_match("{Key:atom, _}", other, v) == 1 && v[0].text.n == key.n &&
            memcmp(v[0].text.p, key.p, key.n) == 0)
            return true;
    }
    return false;
}

typedef bool (*take_fn)(struct reading *r, struct tb_term pair,
                        struct tb_text key, struct tb_term value);

/* Each {Key, Value} of a list that passes its rules goes to take(). */
static bool
read_list(struct reading *r, const struct tb_rule *rules, struct tb_term list,
          take_fn take)
{
    struct tb_val v[TB_MAX_HOLES];
    const char *expected = "a key that is known";
    struct tb_elems e;
    struct tb_term item;

    if (!tb_elems_open(&e, list))
        return fails(r, list, "a list of {Key, Value}");
    while (tb_elems_next(&e, &item)) {
        if (tb_match("{Key:atom, Value}", item, v) != 1)
            return fails(r, item, "{Key, Value}");
        if (given_before(list, item, v[0].text))
            return fails(r, item, "a key once");
        if (tb_rule_check(rules, v[0].text, v[1].term, &expected) != 1)
            return fails(r, item, expected);
        if (!take(r, item, v[0].text, v[1].term))
            return false;
    }
    if (tb_match("[]", e.rest, v) != 1)
        return fails(r, list, "a list of {Key, Value}");
    return true;
}

static bool
on_detector_key(struct reading *r, struct tb_term pair, struct tb_text key,
                struct tb_term value)
{
    (void)pair;
    take_detector(r, key, value);
    return true;
}

static bool
on_health_key(struct reading *r, struct tb_term pair, struct tb_text key,
              struct tb_term value)
{
    (void)pair;
    take_health(r, key, value);
    return true;
}

static bool
read_detector(struct reading *r, struct tb_term pair, struct tb_term value)
{
    struct tb_suspicion_limits *l = &r->o->detector.limits;
    struct tb_val v[TB_MAX_HOLES];

    detector_defaults(&r->o->detector);
    if (tb_match("off", value, v) == 1)
        r->o->detector.off = true;
    else if (!read_list(r, tb_detector_rules, value, on_detector_key))
        return false;
    complete(l);
    if (l->down_ms && l->down_ms < l->suspect_ms)
        return fails(r, pair, "a down_ms of at least suspect_ms");
    if (l->probe_ms > l->suspect_ms)
        return fails(r, pair, "a probe_ms of at most suspect_ms");
    return true;
}

static bool
read_source(struct reading *r, struct tb_term pair, enum tb_source source,
            struct tb_term value)
{
    if (r->has_source)
        return fails(r, pair, "either nodes or nodes_mfa");
    r->has_source = true;
    r->o->source = source;
    set_term(&r->o->source_term, value);
    return true;
}

static bool
on_monitor_key(struct reading *r, struct tb_term pair, struct tb_text key,
               struct tb_term value)
{
    struct tb_monitor_options *o = r->o;
    struct tb_val v[TB_MAX_HOLES];

    if (tb_text_is(key, "nodes"))
        return read_source(r, pair, TB_SOURCE_NODES, value);
    if (tb_text_is(key, "nodes_mfa"))
        return read_source(r, pair, TB_SOURCE_MFA, value);
    if (tb_text_is(key, "detector"))
        return read_detector(r, pair, value);
    if (tb_text_is(key, "health")) {
        health_defaults(&o->health);
        return tb_match("off", value, v) == 1 ||
               read_list(r, tb_health_rules, value, on_health_key);
    }
    if (tb_text_is(key, "notify"))
        set_term(&o->notify, value);
    else if (tb_text_is(key, "attached"))
        o->attached = tb_rule_node(value);
    else if (tb_text_is(key, "on_error"))
        o->keep = tb_match("keep", value, v) == 1;
    else if (tb_match("Ms:int", value, v) == 1)
        o->refresh_ms = (uint32_t)v[0].i;
    return true;
}

int
tb_monitor_options_read(struct tb_monitor_options *o, struct tb_term list,
                        struct tb_term *bad, const char **expected)
{
    struct reading r = { .o = o };

    if (read_list(&r, tb_monitor_rules, list, on_monitor_key))
        return 0;
    *bad = r.bad;
    *expected = r.expected;
    return -TB_EBADARG;
}
