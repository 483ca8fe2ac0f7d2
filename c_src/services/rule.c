/* rule.c - options checked against their table.
 * Owns, borrows: nothing. Thread: any. */
#include "services/rule.h"

#include <string.h>

bool
tb_rule_all(struct tb_term list, bool (*ok)(struct tb_term))
{
    struct tb_val h[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term t;

    if (!tb_elems_open(&e, list))
        return false;
    while (tb_elems_next(&e, &t))
        if (!ok(t))
            return false;
    return tb_match("[]", e.rest, h) == 1;
}

size_t
tb_rule_count(struct tb_term list)
{
    struct tb_elems e;
    struct tb_term t;
    size_t n = 0;

    if (tb_elems_open(&e, list))
        while (tb_elems_next(&e, &t))
            n++;
    return n;
}

tb_atom
tb_rule_node(struct tb_term t)
{
    struct tb_val h[TB_MAX_HOLES];

    return tb_match("N:atom", t, h) == 1 ? tb_intern(h[0].text) : 0;
}

bool
tb_rule_is_node(struct tb_term t)
{
    return tb_rule_node(t) != 0;
}

bool
tb_rule_are_nodes(const struct tb_val *holes)
{
    return tb_rule_all(holes[0].term, tb_rule_is_node);
}

/* A list of texts is iodata, too, and another thing than one text. */
static bool
has_texts(struct tb_term t)
{
    struct tb_val h[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term item;

    if (!tb_elems_open(&e, t))
        return false;
    while (tb_elems_next(&e, &item))
        if (tb_match("C:int", item, h) != 1)
            return true;
    return false;
}

bool
tb_rule_chars(struct tb_term t)
{
    struct tb_wr w = { 0 };
    bool ok = !has_texts(t) && tb_get_chars(t, &w) && w.len > 0 &&
              w.len < 256 && !memchr(w.buf, '\0', w.len);

    tb_wr_free(&w);
    return ok;
}

bool
tb_rule_level(struct tb_text name, enum tb_level *level)
{
    static const char *const names[] = { "emergency", "alert",   "critical",
                                         "error",     "warning", "notice",
                                         "info",      "debug" };

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (tb_text_is(name, names[i])) {
            *level = (enum tb_level)i;
            return true;
        }
    return false;
}

int
tb_rule_check(const struct tb_rule *rules, struct tb_text key,
              struct tb_term value, const char **expected)
{
    struct tb_val h[TB_MAX_HOLES];
    bool found = false;

    for (; rules->key; rules++) {
        if (!tb_text_is(key, rules->key))
            continue;
        if (!rules->pattern)
            return -TB_ENOTSUP;
        found = true;
        if (rules->expected)
            *expected = rules->expected;
        if (tb_match(rules->pattern, value, h) == 1 &&
            (!rules->also || rules->also(h)))
            return 1;
    }
    return found ? 0 : -TB_EBADARG;
}
