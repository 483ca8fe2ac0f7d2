/* monitor_nodes_opts.c - the options of a subscription, and what it is told.
 * In Erlang: net_kernel:monitor_nodes/2, option by option and error by error.
 * Owns, borrows: nothing. Thread: any. */
#include <stdio.h>
#include <string.h>

#include "services/monitor.h"

static unsigned
filter_of(struct tb_text type)
{
    if (tb_text_is(type, "visible"))
        return TB_SUB_VISIBLE;
    if (tb_text_is(type, "hidden"))
        return TB_SUB_HIDDEN;
    if (tb_text_is(type, "all"))
        return TB_SUB_VISIBLE | TB_SUB_HIDDEN;
    return 0;
}

static bool
same(struct tb_term a, struct tb_term b)
{
    return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}

/* -------------------------------------------------------------- lists -- */

/* What has been seen of a list of options. */
struct seen {
    struct tb_term type; /* the first {node_type, _}; n == 0: none */
    struct tb_wr unknown;
    size_t n_unknown;
};

static int
mismatch(struct tb_wr *error, struct tb_term first, struct tb_term second)
{
    tb_build(error, "{option_value_mismatch, [Second, First]}",
             TB_ARGS(tb_v_term(second), tb_v_term(first)));
    return -TB_EBADARG;
}

static int
take_item(struct seen *s, struct tb_term item, unsigned *key,
          struct tb_wr *error)
{
    struct tb_val v[TB_MAX_HOLES];

    if (tb_match("connection_id", item, v) == 1) {
        *key |= TB_SUB_ID;
    } else if (tb_match("nodedown_reason", item, v) == 1) {
        *key |= TB_SUB_REASON;
    } else if (tb_match("{node_type, _}", item, v) != 1) {
        tb_wr_bytes(&s->unknown, item.p, item.n);
        s->n_unknown++;
    } else if (s->type.n == 0) {
        s->type = item;
    } else if (!same(s->type, item)) {
        return mismatch(error, s->type, item);
    }
    return 0;
}

static int
judge_list(const struct seen *s, unsigned *key, struct tb_wr *error)
{
    struct tb_val v[TB_MAX_HOLES];
    struct tb_wr list = { 0 };
    unsigned filter = TB_SUB_VISIBLE;

    if (s->type.n) {
        filter = tb_match("{node_type, T:atom}", s->type, v) == 1
                     ? filter_of(v[0].text)
                     : 0;
        *key |= TB_SUB_TYPE;
    }
    if (!filter) {
        tb_build(error, "{bad_option_value, Option}",
                 TB_ARGS(tb_v_term(s->type)));
        return -TB_EBADARG;
    }
    *key |= filter;
    if (s->n_unknown == 0)
        return 0;
    tb_build_list(&list, s->n_unknown, &s->unknown);
    tb_build(error, "{unknown_options, List}",
             TB_ARGS(tb_v_term(tb_wr_term(&list))));
    tb_wr_free(&list);
    return -TB_EBADARG;
}

static int
invalid(struct tb_wr *error, struct tb_term options)
{
    tb_build(error, "{invalid_options, Options}", TB_ARGS(tb_v_term(options)));
    return -TB_EBADARG;
}

static int
parse_list(struct tb_term options, unsigned *key, struct tb_wr *error)
{
    struct seen s = { 0 };
    struct tb_val v[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term item;
    int rc = 0;

    for (tb_elems_open(&e, options); rc == 0 && tb_elems_next(&e, &item);) {
        *key |= TB_SUB_LIST;
        rc = take_item(&s, item, key, error);
    }
    if (rc == 0 && tb_match("[]", e.rest, v) != 1)
        rc = invalid(error, options);
    if (rc == 0)
        rc = judge_list(&s, key, error);
    tb_wr_free(&s.unknown);
    return rc;
}

/* --------------------------------------------------------------- maps -- */

static const struct {
    const char *name;
    unsigned bit;
} map_keys[] = {
    { "connection_id", TB_SUB_ID }, /* in the order in which OTP judges */
    { "nodedown_reason", TB_SUB_REASON },
    { "node_type", TB_SUB_TYPE },
};

#define MAP_KEYS (sizeof(map_keys) / sizeof(map_keys[0]))

static unsigned
bit_of(struct tb_text key)
{
    for (size_t i = 0; i < MAP_KEYS; i++)
        if (tb_text_is(key, map_keys[i].name))
            return map_keys[i].bit;
    return 0;
}

static bool
take_value(unsigned bit, struct tb_term value, unsigned *key)
{
    struct tb_val v[TB_MAX_HOLES];
    unsigned filter;

    if (tb_match("Value:atom", value, v) != 1)
        return false;
    if (bit == TB_SUB_TYPE) {
        filter = filter_of(v[0].text);
        *key =
            (*key & ~(unsigned)(TB_SUB_VISIBLE | TB_SUB_HIDDEN)) | bit | filter;
        return filter != 0;
    }
    if (tb_text_is(v[0].text, "true"))
        *key |= bit;
    return tb_text_is(v[0].text, "true") || tb_text_is(v[0].text, "false");
}

static int
bad_value(struct tb_wr *error, const char *name, struct tb_term value)
{
    char text[64];

    snprintf(text, sizeof(text), "{bad_option_value, #{%s => Value}}", name);
    tb_build(error, text, TB_ARGS(tb_v_term(value)));
    return -TB_EBADARG;
}

/* What is left of the map without the keys that are known. */
static int
unknown_keys(struct tb_wr *error, struct tb_term options)
{
    struct tb_wr pairs = { 0 }, map = { 0 };
    struct tb_val v[TB_MAX_HOLES];
    struct tb_term key, value;
    struct tb_elems e;
    size_t n = 0;

    for (tb_elems_open_map(&e, options); tb_elems_next(&e, &key);) {
        tb_elems_next(&e, &value);
        if (tb_match("Key:atom", key, v) == 1 && bit_of(v[0].text))
            continue;
        tb_wr_bytes(&pairs, key.p, key.n);
        tb_wr_bytes(&pairs, value.p, value.n);
        n++;
    }
    tb_build_map(&map, n, &pairs);
    tb_build(error, "{unknown_options, Map}",
             TB_ARGS(tb_v_term(tb_wr_term(&map))));
    tb_wr_free(&map);
    tb_wr_free(&pairs);
    return -TB_EBADARG;
}

static int
parse_map(struct tb_term options, unsigned *key, struct tb_wr *error)
{
    struct tb_val v[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term item;
    size_t known = 0, all = 0;

    *key = TB_SUB_MAP | TB_SUB_VISIBLE;
    for (size_t i = 0; i < MAP_KEYS; i++) {
        char pattern[64];

        snprintf(pattern, sizeof(pattern), "#{%s := Value}", map_keys[i].name);
        if (tb_match(pattern, options, v) != 1)
            continue;
        known++;
        if (!take_value(map_keys[i].bit, v[0].term, key))
            return bad_value(error, map_keys[i].name, v[0].term);
    }
    for (tb_elems_open_map(&e, options); tb_elems_next(&e, &item);)
        all++;
    return all == 2 * known ? 0 : unknown_keys(error, options);
}

int
tb_sub_parse(struct tb_term options, unsigned *key, struct tb_wr *error)
{
    struct tb_val v[TB_MAX_HOLES];

    *key = 0;
    if (tb_match("Options:list", options, v) == 1)
        return parse_list(options, key, error);
    if (tb_match("Options:map", options, v) == 1)
        return parse_map(options, key, error);
    return invalid(error, options);
}

/* ------------------------------------------------------------- events -- */

static void
add_item(char text[160], bool map, const char *name)
{
    size_t n = strlen(text);
    const char *comma = text[n - 1] == '{' || text[n - 1] == '[' ? "" : ", ";

    snprintf(text + n, 160 - n, map ? "%s%s => V" : "%s{%s, V}", comma, name);
}

/* The elements stand in the order in which OTP lists them. */
void
tb_sub_event(struct tb_wr *w, unsigned key, const struct tb_node_event *e)
{
    bool map = key & TB_SUB_MAP;
    struct tb_val v[4] = { tb_v_node(e->node) };
    char text[160];
    size_t n = 1;

    snprintf(text, sizeof(text), "{%s, Node%s", e->up ? "nodeup" : "nodedown",
             map                 ? ", #{"
             : key & TB_SUB_LIST ? ", ["
                                 : "");
    if (key & TB_SUB_ID) {
        add_item(text, map, "connection_id");
        v[n++] = tb_v_int((int64_t)e->connection_id);
    }
    if ((key & TB_SUB_REASON) && !e->up) {
        add_item(text, map, "nodedown_reason");
        v[n++] = tb_v_atom_n(e->reason);
    }
    if (key & TB_SUB_TYPE) {
        add_item(text, map, "node_type");
        v[n++] = tb_v_atom(e->visible ? "visible" : "hidden");
    }
    snprintf(text + strlen(text), sizeof(text) - strlen(text),
             map                 ? "}}"
             : key & TB_SUB_LIST ? "]}"
                                 : "}");
    tb_build(w, text, (struct tb_args){ n, v });
}
