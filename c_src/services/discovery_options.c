/* discovery_options.c - what a discovery can be told.
 * In Erlang: the config of a libcluster strategy. Owns: nothing. Borrows: the
 * options. Thread: any. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "services/discovery.h"

#define DEFAULT_INTERVAL_MS        5000
#define DEFAULT_CONNECT_TIMEOUT_MS 10000
#define DEFAULT_GONE_AFTER         3

/* ------------------------------------------------------------ checks -- */

static bool
interval_ok(const struct tb_val *h)
{
    return h[0].i >= 100 && h[0].i <= 86400000;
}

static bool
timeout_ok(const struct tb_val *h)
{
    return h[0].i >= 100 && h[0].i <= 120000;
}

static bool
level_ok(const struct tb_val *h)
{
    enum tb_level level;

    return tb_rule_level(h[0].text, &level);
}

static bool
hosts_ok(const struct tb_val *h)
{
    return tb_rule_all(h[0].term, tb_rule_chars);
}

static bool
is_basename(struct tb_term t)
{
    struct tb_wr w = { 0 };
    bool ok =
        tb_rule_chars(t) && tb_get_chars(t, &w) && !memchr(w.buf, '@', w.len);

    tb_wr_free(&w);
    return ok;
}

/* "name", or {"basename", "name"} as dns_cluster has it. */
static bool
query_ok(struct tb_term t)
{
    struct tb_val h[TB_MAX_HOLES];

    if (tb_match("{Basename, Query}", t, h) == 1)
        return is_basename(h[0].term) && tb_rule_chars(h[1].term);
    return tb_rule_chars(t);
}

/* One of them, or a list of them: a list of characters is one. */
static bool
queries_ok(const struct tb_val *h)
{
    struct tb_elems e;
    struct tb_term t;
    unsigned n = 0;

    if (query_ok(h[0].term))
        return true;
    if (!tb_elems_open(&e, h[0].term))
        return false;
    for (; tb_elems_next(&e, &t); n++)
        if (!query_ok(t))
            return false;
    return n > 0 && n <= TB_DISCOVERY_MAX_QUERIES;
}

static bool
chars_ok(const struct tb_val *h)
{
    return tb_rule_chars(h[0].term);
}

static bool
basename_ok(const struct tb_val *h)
{
    return is_basename(h[0].term);
}

static bool
node_ok(const struct tb_val *h)
{
    return tb_intern(h[0].text) != 0;
}

/* An address, or one with a port: 10.0.0.2:53, [fd00::2]:53. */
static bool
nameserver_ok(struct tb_term t)
{
    struct tb_wr w = { 0 };
    char text[256], *host = text, *colon, *end;
    uint8_t address[16];
    bool ok = tb_rule_chars(t) && tb_get_chars(t, &w);

    if (ok)
        snprintf(text, sizeof(text), "%.*s", (int)w.len, (char *)w.buf);
    tb_wr_free(&w);
    if (!ok || inet_pton(AF_INET6, text, address) == 1)
        return ok;
    colon = strrchr(text, ':');
    if (colon) {
        long port = strtol(colon + 1, &end, 10);

        if (*end || end == colon + 1 || port < 1 || port > UINT16_MAX)
            return false;
        *colon = '\0';
    }
    if (*host == '[' && host[strlen(host) - 1] == ']') {
        host[strlen(host) - 1] = '\0';
        return inet_pton(AF_INET6, host + 1, address) == 1;
    }
    return inet_pton(AF_INET, host, address) == 1;
}

static bool
nameservers_ok(const struct tb_val *h)
{
    struct tb_elems e;
    struct tb_term t;

    return tb_elems_open(&e, h[0].term) && tb_elems_next(&e, &t) &&
           tb_rule_all(h[0].term, nameserver_ok);
}

static bool
is_notice(struct tb_term t)
{
    struct tb_val h[TB_MAX_HOLES];

    return tb_match("{send, {Name:atom, Node:atom}}", t, h) == 1 &&
           tb_intern(h[1].text) != 0;
}

static bool
notices_ok(const struct tb_val *h)
{
    return tb_rule_all(h[0].term, is_notice);
}

static bool
gone_ok(const struct tb_val *h)
{
    return h[0].i >= 1 && h[0].i <= 1000;
}

/* clang-format off */
const struct tb_rule tb_discovery_rules[] = {
    { "source", "{epmd, Hosts:list}",   hosts_ok,
      "{dns, \"name\"}, {srv, \"name\"}, {epmd, [\"host\"]}, "
      "{nodes, ['name@host']}, {hosts_file, \"path\"}, {mfa, M, F, [A]} or "
      "ignore" },
    { "source", "{nodes, Nodes:list}",  tb_rule_are_nodes, NULL },
    { "source", "{dns, Queries}",       queries_ok,  NULL },
    { "source", "{srv, Queries}",       queries_ok,  NULL },
    { "source", "{hosts_file, Path}",   chars_ok,    NULL },
    { "source", "{mfa, M:atom, F:atom, A:list}",   NULL, NULL },
    { "source", "{mfa, {M:atom, F:atom, A:list}}", NULL, NULL },
    { "source", "ignore",               NULL,        NULL },
    { "basename", "Name",               basename_ok,
      "the part of node names before the @" },
    { "interval", "Ms:int",             interval_ok,
      "milliseconds in 100..86400000, or none" },
    { "interval", "none",               NULL,        NULL },
    { "connect_timeout", "Ms:int",      timeout_ok,
      "milliseconds in 100..120000" },
    { "mesh", "none",                   NULL,        "none, attached or all" },
    { "mesh", "attached",               NULL,        NULL },
    { "mesh", "all",                    NULL,        NULL },
    { "attached", "Node:atom",          node_ok,     "a node, 'name@host'" },
    { "nameservers", "List:list",       nameservers_ok,
      "[\"address:port\"], such as [\"10.0.0.2:53\", \"[fd00::2]:53\"]" },
    { "hosts", "addresses",             NULL,
      "addresses, or names, which their PTR records tell" },
    { "hosts", "names",                 NULL,        NULL },
    { "search", "Domains:list",         hosts_ok,    "[\"domain\"]" },
    { "on_gone", "keep",                NULL,
      "keep, disconnect or {disconnect, Answers}" },
    { "on_gone", "disconnect",          NULL,        NULL },
    { "on_gone", "{disconnect, N:int}", gone_ok,     NULL },
    { "connect", "{M:atom, F:atom, A:list}",    NULL,
      "{Module, Function, Args}; the node is one more argument" },
    { "disconnect", "{M:atom, F:atom, A:list}", NULL,
      "{Module, Function, Args}; the node is one more argument" },
    { "list_nodes", "{M:atom, F:atom, A:list}", NULL,
      "{Module, Function, Args}" },
    { "notify", "List:list",            notices_ok,
      "[{send, {Name, Node}}]" },
    { "log", "off",                     NULL,
      "off or a level, such as notice" },
    { "log", "Level:atom",              level_ok,    NULL },
    { NULL, NULL, NULL, NULL },
};
/* clang-format on */

/* ----------------------------------------------------------- reading -- */

static void
copy_chars(char *out, size_t max, struct tb_term t)
{
    struct tb_wr w = { 0 };

    if (tb_get_chars(t, &w))
        snprintf(out, max, "%s", (const char *)w.buf);
    tb_wr_free(&w);
}

/* ["a", "b"] as "a,b" */
static void
join(char *out, size_t max, struct tb_term list)
{
    struct tb_wr w = { 0 };
    struct tb_elems e;
    struct tb_term t;

    for (tb_elems_open(&e, list); tb_elems_next(&e, &t);) {
        tb_wr_str(&w, w.len ? "," : "");
        tb_get_chars(t, &w);
    }
    if (w.len)
        snprintf(out, max, "%.*s", (int)w.len, (const char *)w.buf);
    tb_wr_free(&w);
}

static bool
read_source(struct tb_discovery_options *o, struct tb_term option)
{
    static const struct {
        const char *pattern;
        enum tb_source source;
    } forms[] = {
        { "{source, {epmd, What:list}}", TB_SOURCE_EPMD },
        { "{source, {nodes, What:list}}", TB_SOURCE_NODES },
        { "{source, {dns, What}}", TB_SOURCE_DNS },
        { "{source, {srv, What}}", TB_SOURCE_SRV },
        { "{source, {hosts_file, What}}", TB_SOURCE_HOSTS_FILE },
        { "{source, What:tuple}", TB_SOURCE_MFA }, /* {mfa, ...} is left */
    };
    struct tb_val v[TB_MAX_HOLES];

    if (tb_match("{source, ignore}", option, v) == 1) {
        o->source = TB_SOURCE_IGNORE;
        return true;
    }
    for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++)
        if (tb_match(forms[i].pattern, option, v) == 1) {
            o->source = forms[i].source;
            o->what = v[0].term;
            return true;
        }
    return false;
}

static bool
read_way(struct tb_discovery_options *o, struct tb_term option)
{
    struct tb_val v[TB_MAX_HOLES];

    if (tb_match("{mesh, none}", option, v) == 1)
        o->mesh = TB_MESH_NONE;
    else if (tb_match("{mesh, attached}", option, v) == 1)
        o->mesh = TB_MESH_ATTACHED;
    else if (tb_match("{mesh, all}", option, v) == 1)
        o->mesh = TB_MESH_ALL;
    else if (tb_match("{on_gone, keep}", option, v) == 1)
        o->gone_after = 0;
    else if (tb_match("{on_gone, disconnect}", option, v) == 1)
        o->gone_after = DEFAULT_GONE_AFTER;
    else if (tb_match("{on_gone, {disconnect, N:int}}", option, v) == 1)
        o->gone_after = (unsigned)v[0].i;
    else if (tb_match("{connect, What:tuple}", option, v) == 1)
        o->connect = v[0].term;
    else if (tb_match("{disconnect, What:tuple}", option, v) == 1)
        o->disconnect = v[0].term;
    else if (tb_match("{list_nodes, What:tuple}", option, v) == 1)
        o->list_nodes = v[0].term;
    else
        return false;
    return true;
}

static void
read_other(struct tb_discovery_options *o, struct tb_term option)
{
    struct tb_val v[TB_MAX_HOLES];

    if (tb_match("{interval, Ms:int}", option, v) == 1)
        o->interval_ms = v[0].i;
    else if (tb_match("{interval, none}", option, v) == 1)
        o->interval_ms = -1;
    else if (tb_match("{connect_timeout, Ms:int}", option, v) == 1)
        o->connect_timeout_ms = (uint64_t)v[0].i;
    else if (tb_match("{attached, Node:atom}", option, v) == 1)
        o->attached = tb_intern(v[0].text);
    else if (tb_match("{basename, Name}", option, v) == 1)
        copy_chars(o->basename, sizeof(o->basename), v[0].term);
    else if (tb_match("{nameservers, List}", option, v) == 1)
        join(o->nameservers, sizeof(o->nameservers), v[0].term);
    else if (tb_match("{search, List}", option, v) == 1)
        join(o->search, sizeof(o->search), v[0].term);
    else if (tb_match("{notify, List}", option, v) == 1)
        o->notify = v[0].term;
    else if (tb_match("{hosts, Kind:atom}", option, v) == 1)
        o->names = tb_text_is(v[0].text, "names");
    else if (tb_match("{log, off}", option, v) == 1)
        o->quiet = true;
    else if (tb_match("{log, Level:atom}", option, v) == 1)
        tb_rule_level(v[0].text, &o->level);
}

/* The part before '@' of the attached node, where none was given. */
static void
default_basename(struct tb_discovery_options *o)
{
    bool needs = o->source == TB_SOURCE_DNS || o->source == TB_SOURCE_SRV;
    struct tb_text name;

    if (!needs || o->basename[0] || !o->attached)
        return;
    name = tb_atom_text(o->attached);
    snprintf(o->basename, sizeof(o->basename), "%.*s",
             (int)strcspn(name.p, "@"), name.p);
}

void
tb_discovery_read(struct tb_discovery_options *o, struct tb_term opts)
{
    struct tb_elems e;
    struct tb_term option;
    bool mesh = false;

    memset(o, 0, sizeof(*o));
    o->source = TB_SOURCE_EPMD;
    o->interval_ms = DEFAULT_INTERVAL_MS;
    o->connect_timeout_ms = DEFAULT_CONNECT_TIMEOUT_MS;
    o->level = TB_NOTICE;
    for (tb_elems_open(&e, opts); tb_elems_next(&e, &option);) {
        struct tb_val v[TB_MAX_HOLES];

        mesh = mesh || tb_match("{mesh, _}", option, v) == 1;
        if (!read_source(o, option) && !read_way(o, option))
            read_other(o, option);
    }
    if (!mesh && o->attached)
        o->mesh = TB_MESH_ATTACHED;
    default_basename(o);
}

static bool
all_have_basenames(struct tb_term queries)
{
    struct tb_elems e;
    struct tb_term t;
    struct tb_val v[TB_MAX_HOLES];

    if (tb_match("{_, _}", queries, v) == 1)
        return true;
    if (tb_rule_chars(queries) || !tb_elems_open(&e, queries))
        return false;
    while (tb_elems_next(&e, &t))
        if (tb_match("{_, _}", t, v) != 1)
            return false;
    return true;
}

const char *
tb_discovery_lacks(struct tb_term opts)
{
    struct tb_discovery_options o;

    tb_discovery_read(&o, opts);
    if ((o.source == TB_SOURCE_DNS || o.source == TB_SOURCE_SRV) &&
        !o.basename[0] && !all_have_basenames(o.what))
        return "a DNS name gives hosts, not nodes: {basename, \"app\"} is "
               "needed too, or {\"app\", \"name\"} in its place";
    if (o.mesh == TB_MESH_ATTACHED && !o.attached)
        return "{mesh, attached} needs {attached, 'name@host'}";
    return NULL;
}

const char *
tb_discovery_fault(struct tb_term opts)
{
    static _Thread_local char key[64];
    struct tb_elems e;
    struct tb_term option;
    const char *expected;

    if (!tb_elems_open(&e, opts))
        return "options";
    while (tb_elems_next(&e, &option)) {
        struct tb_val v[TB_MAX_HOLES];

        if (tb_match("{Key:atom, Value}", option, v) != 1)
            return "options";
        if (tb_rule_check(tb_discovery_rules, v[0].text, v[1].term,
                          &expected) != 1) {
            snprintf(key, sizeof(key), "%.*s", (int)v[0].text.n, v[0].text.p);
            return key;
        }
    }
    return tb_discovery_lacks(opts) ? "basename" : NULL;
}
