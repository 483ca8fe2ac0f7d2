/* status.c - what a tiebeam tells of itself, for people.
 * Owns, borrows: nothing. Thread: any. */
#include "daemon/status.h"

#include <stdio.h>
#include <string.h>

#include "daemon/logger.h"

static const char *const node_keys[] = { "name", "version",    "creation",
                                         "port", "registered", "uptime_ms",
                                         NULL };
static const char *const peer_keys[] = {
    "type",      "connection_id",      "creation", "up_ms",
    "frames_in", "frames_out",         "bytes_in", "bytes_out",
    "queued",    "monitors_and_links", NULL
};
static const char *const counter_keys[] = {
    "connections",     "dropped",     "unexpected", "late_replies",
    "unknown_control", "unknown_tag", NULL
};
static const char *const table_keys[] = { "processes", "names",      "monitors",
                                          "links",     "calls",      "timers",
                                          "peers",     "node_names", NULL };

struct view {
    struct tb_term info, nodes, peers;
    const char *asker;
};

/* The value of a key, which is an atom that may need quotes. */
static bool
lookup(struct tb_term map, struct tb_text key, struct tb_term *value)
{
    struct tb_val h[TB_MAX_HOLES];
    char pattern[320];

    if (memchr(key.p, '\'', key.n) ||
        snprintf(pattern, sizeof(pattern), "#{'%.*s' := V}", (int)key.n,
                 key.p) >= (int)sizeof(pattern) ||
        tb_match(pattern, map, h) != 1)
        return false;
    *value = h[0].term;
    return true;
}

static bool
lookup_key(struct tb_term map, const char *key, struct tb_term *value)
{
    return lookup(map, (struct tb_text){ key, strlen(key) }, value);
}

static void
put_text(struct tb_wr *w, struct tb_term t)
{
    struct tb_val h[TB_MAX_HOLES];

    if (tb_match("A:atom", t, h) == 1 || tb_match("B:bin", t, h) == 1)
        tb_wr_bytes(w, h[0].text.p, h[0].text.n);
    else
        tb_print_pretty(w, t);
}

static void
put_json_value(struct tb_wr *w, struct tb_term t)
{
    struct tb_wr text = { 0 };
    struct tb_val h[TB_MAX_HOLES];

    put_text(&text, t);
    if (tb_match("N:int", t, h) == 1 || tb_match("true", t, h) == 1 ||
        tb_match("false", t, h) == 1)
        tb_wr_bytes(w, text.buf, text.len);
    else
        tb_json_str(w, (const char *)text.buf, text.len);
    tb_wr_free(&text);
}

/* "key":value, of the keys that the map has. */
static void
put_json_fields(struct tb_wr *w, struct tb_term map, const char *const *keys)
{
    const char *comma = "";
    struct tb_term value;

    for (; *keys; keys++)
        if (lookup_key(map, *keys, &value)) {
            tb_wr_printf(w, "%s\"%s\":", comma, *keys);
            put_json_value(w, value);
            comma = ",";
        }
}

static void
put_json_section(struct tb_wr *w, struct tb_term info, const char *name,
                 const char *const *keys)
{
    struct tb_term map;

    if (!lookup_key(info, name, &map))
        return;
    tb_wr_printf(w, ",\"%s\":{", name);
    put_json_fields(w, map, keys);
    tb_wr_str(w, "}");
}

/* The next node but the asker, and what info has on it. */
static bool
next_peer(const struct view *v, struct tb_elems *e, struct tb_text *name,
          struct tb_term *peer)
{
    struct tb_term node;
    struct tb_val h[TB_MAX_HOLES];

    while (tb_elems_next(e, &node))
        if (tb_match("Node:atom", node, h) == 1 &&
            !tb_text_is(h[0].text, v->asker) &&
            lookup(v->peers, h[0].text, peer)) {
            *name = h[0].text;
            return true;
        }
    return false;
}

static void
put_json(struct tb_wr *w, const struct view *v)
{
    struct tb_term peer;
    struct tb_text name;
    struct tb_elems e;
    const char *comma = "";

    tb_wr_str(w, "{");
    put_json_fields(w, v->info, node_keys);
    put_json_section(w, v->info, "counters", counter_keys);
    put_json_section(w, v->info, "tables", table_keys);
    tb_wr_str(w, ",\"nodes\":{");
    if (v->nodes.n && tb_elems_open(&e, v->nodes))
        for (; next_peer(v, &e, &name, &peer); comma = ",") {
            tb_wr_str(w, comma);
            tb_json_str(w, name.p, name.n);
            tb_wr_str(w, ":{");
            put_json_fields(w, peer, peer_keys);
            tb_wr_str(w, "}");
        }
    tb_wr_str(w, "}}\n");
}

static int64_t
number(struct tb_term map, const char *key)
{
    struct tb_val h[TB_MAX_HOLES];
    struct tb_term t;

    return lookup_key(map, key, &t) && tb_match("N:int", t, h) == 1 ? h[0].i
                                                                    : 0;
}

static void
put_duration(struct tb_wr *w, int64_t ms)
{
    long long s = ms / 1000;

    if (s >= 86400)
        tb_wr_printf(w, "%lldd ", s / 86400);
    if (s >= 3600)
        tb_wr_printf(w, "%lldh ", s / 3600 % 24);
    if (s >= 60)
        tb_wr_printf(w, "%lldm ", s / 60 % 60);
    tb_wr_printf(w, "%llds", s % 60);
}

static void
put_peer(struct tb_wr *w, struct tb_text name, struct tb_term peer)
{
    struct tb_term type;

    tb_wr_printf(w, "  %-32.*s ", (int)name.n, name.p);
    if (lookup_key(peer, "type", &type))
        put_text(w, type);
    tb_wr_str(w, ", up ");
    put_duration(w, number(peer, "up_ms"));
    tb_wr_printf(w, ", %lld bytes in, %lld out, %lld waiting\n",
                 (long long)number(peer, "bytes_in"),
                 (long long)number(peer, "bytes_out"),
                 (long long)number(peer, "queued"));
}

static void
put_row(struct tb_wr *w, const char *title, struct tb_term map,
        const char *const *keys)
{
    const char *comma = "";
    struct tb_term value;

    tb_wr_printf(w, "%-12s", title);
    for (; *keys; keys++)
        if (lookup_key(map, *keys, &value)) {
            tb_wr_printf(w, "%s%s ", comma, *keys);
            put_text(w, value);
            comma = ", ";
        }
    tb_wr_str(w, "\n");
}

static void
put_table(struct tb_wr *w, const struct view *v)
{
    struct tb_term value;
    struct tb_text name;
    struct tb_elems e;

    for (const char *const *key = node_keys; *key; key++) {
        if (!lookup_key(v->info, *key, &value))
            continue;
        if (strcmp(*key, "uptime_ms") == 0) {
            tb_wr_printf(w, "%-12s", "uptime");
            put_duration(w, number(v->info, *key));
        } else {
            tb_wr_printf(w, "%-12s", *key);
            put_text(w, value);
        }
        tb_wr_str(w, "\n");
    }
    if (lookup_key(v->info, "counters", &value))
        put_row(w, "counters", value, counter_keys);
    if (lookup_key(v->info, "tables", &value))
        put_row(w, "tables", value, table_keys);
    tb_wr_str(w, "nodes\n");
    if (v->nodes.n && tb_elems_open(&e, v->nodes))
        while (next_peer(v, &e, &name, &value))
            put_peer(w, name, value);
}

void
tb_status_put(struct tb_wr *w, struct tb_term info, struct tb_term nodes,
              const char *asker, bool json)
{
    struct view v = { .info = info, .nodes = nodes, .asker = asker };

    if (!lookup_key(info, "nodes", &v.peers))
        v.nodes = v.peers = (struct tb_term){ NULL, 0 };
    if (json)
        put_json(w, &v);
    else
        put_table(w, &v);
}
