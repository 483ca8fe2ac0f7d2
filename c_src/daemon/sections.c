/* sections.c - the checks of a configuration file: every error located.
 * In Erlang: the environment of the applications tiebeam and kernel.
 * Owns: nothing. Borrows: the reader. Thread: any. */
#include "daemon/sections.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "daemon/schema.h"
#include "daemon/value.h"

#define SHOWN_MAX 60 /* characters of a wrong value that a message repeats */

typedef void (*pair_fn)(struct tb_reader *r, const char *section,
                        struct tb_text key, struct tb_term value);

/* ------------------------------------------------------------ errors -- */

static unsigned
line_of(const struct tb_reader *r, const void *at)
{
    size_t offset = (size_t)((const uint8_t *)at - r->c->body.buf);
    size_t n = r->lines.len / sizeof(struct tb_line), low = 0;
    struct tb_line line = { 0, 1 };

    while (low < n) {
        size_t mid = low + (n - low) / 2;
        struct tb_line l;

        memcpy(&l, r->lines.buf + mid * sizeof(l), sizeof(l));
        if (l.at > offset) {
            n = mid;
            continue;
        }
        line = l;
        low = mid + 1;
    }
    return line.line;
}

__attribute__((format(printf, 3, 4))) static void
problem(struct tb_reader *r, const void *at, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    tb_wr_printf(r->errors, "%s:%u: %s\n", r->c->path, line_of(r, at), text);
}

static void
unexpected(struct tb_reader *r, struct tb_term found, const char *what,
           const char *expected)
{
    struct tb_wr w = { 0 };
    struct tb_val h[TB_MAX_HOLES];

    tb_wr_str(&w, "\"");
    if (tb_match("[]", found, h) != 1 && tb_match("L:list", found, h) == 1 &&
        tb_value_text(TB_SET_TEXT, found, &w)) {
        tb_wr_str(&w, "\"");
    } else {
        w.len = 0;
        tb_print(&w, found);
    }
    problem(r, found.p, "%s: expected %s, found %.*s%s", what, expected,
            (int)(w.len < SHOWN_MAX ? w.len : SHOWN_MAX), (const char *)w.buf,
            w.len > SHOWN_MAX ? "..." : "");
    tb_wr_free(&w);
}

/* ------------------------------------------------------------- pairs -- */

static bool
given_before(struct tb_term list, const struct tb_text *key)
{
    struct tb_elems e;
    struct tb_term item;
    struct tb_val h[TB_MAX_HOLES];

    tb_elems_open(&e, list);
    while (tb_elems_next(&e, &item))
        if (tb_match("{Key:atom, _}", item, h) == 1) {
            if (h[0].text.p == key->p)
                return false;
            if (h[0].text.n == key->n &&
                memcmp(h[0].text.p, key->p, key->n) == 0)
                return true;
        }
    return false;
}

static void
each_pair(struct tb_reader *r, const char *section, struct tb_term list,
          pair_fn fn)
{
    struct tb_elems e;
    struct tb_term item;
    struct tb_val h[TB_MAX_HOLES];

    if (!tb_elems_open(&e, list)) {
        unexpected(r, list, section, "a list of {Key, Value}");
        return;
    }
    while (tb_elems_next(&e, &item))
        if (tb_match("{Key:atom, Value}", item, h) != 1)
            unexpected(r, item, section, "{Key, Value}");
        else if (given_before(list, &h[0].text))
            problem(r, h[0].text.p, "%s: %.*s is given twice", section,
                    (int)h[0].text.n, h[0].text.p);
        else
            fn(r, section, h[0].text, h[1].term);
}

/* ---------------------------------------------------------- settings -- */

static void
wrong_type(struct tb_reader *r, const struct tb_setting *row,
           struct tb_term value)
{
    char expected[160];

    if (row->type == TB_SET_SECRET) { /* it is not repeated */
        problem(r, value.p, "%s: expected a string", row->place);
        return;
    }
    snprintf(expected, sizeof(expected), "%s%s",
             row->type == TB_SET_INT ? "an integer in " : "", row->values);
    unexpected(r, value, row->place, expected);
}

static void
on_setting(struct tb_reader *r, enum tb_set id, struct tb_term value)
{
    const struct tb_setting *row = &tb_settings_table[id];
    struct tb_wr text = { 0 }, why = { 0 };
    char origin[PATH_MAX + 32];

    snprintf(origin, sizeof(origin), "file %s:%u", r->c->path,
             line_of(r, value.p));
    if (!tb_value_text(row->type, value, &text)) {
        wrong_type(r, row, value);
    } else {
        tb_wr_bytes(&text, "", 1);
        if (tb_settings_put(r->s, id, (const char *)text.buf, TB_RANK_FILE,
                            origin, &why) < 0)
            problem(r, value.p, "%s: %.*s", row->place, (int)why.len,
                    (const char *)why.buf);
    }
    tb_wr_free(&text);
    tb_wr_free(&why);
}

/* --------------------------------------------------------- discovery -- */

static void
on_discovery_key(struct tb_reader *r, const char *section, struct tb_text key,
                 struct tb_term value)
{
    struct tb_nearest near = { 0 };
    const char *expected = NULL;
    char name[64], what[96];
    int result = tb_rule_check(tb_discovery_rules, key, value, &expected);

    snprintf(name, sizeof(name), "%.*s", (int)key.n, key.p);
    snprintf(what, sizeof(what), "%s.%s", section, name);
    if (result == 0) {
        unexpected(r, value, what, expected);
    } else if (result == -TB_ENOTSUP) {
        problem(r, key.p, "%s: not supported in this version", what);
    } else if (result < 0) {
        near.word = name;
        for (const struct tb_rule *u = tb_discovery_rules; u->key; u++)
            if (u->pattern)
                tb_nearest_try(&near, u->key);
        problem(r, key.p, "%s: unknown key%s%s%s", what,
                near.best ? ", did you mean " : "", near.best ? near.best : "",
                near.best ? "?" : "");
    }
}

static bool
name_free(const struct tb_config *c, const char *name)
{
    static const char *const ours[] = { "net_kernel", "rex", "tiebeam" };

    for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
        if (strcmp(ours[i], name) == 0)
            return false;
    for (size_t i = 0; i < c->n_discovery; i++)
        if (strcmp(c->discovery[i].name, name) == 0)
            return false;
    return true;
}

static void
on_discovery(struct tb_reader *r, const char *section, struct tb_text key,
             struct tb_term opts)
{
    char *name = tb_copy_n(key.p, key.n);

    if (!name_free(r->c, name))
        problem(r, key.p, "%s: the name %s is taken", section, name);
    each_pair(r, section, opts, on_discovery_key);
    tb_config_add(r->c, name, opts);
}

/* ---------------------------------------------------------- sections -- */

static void on_key(struct tb_reader *r, const char *section, struct tb_text key,
                   struct tb_term value);

static void
on_log(struct tb_reader *r, const char *place, struct tb_term value)
{
    each_pair(r, place, value, on_key);
}

static void
on_discoveries(struct tb_reader *r, const char *place, struct tb_term value)
{
    r->c->has_discovery = true;
    each_pair(r, place, value, on_discovery);
}

static void
on_later(struct tb_reader *r, const char *place, struct tb_term value)
{
    problem(r, value.p, "%s: not supported in this version", place);
}

/* What is no setting of settings_table.c. */
/* clang-format off */
static const struct {
    const char *place;
    void (*fn)(struct tb_reader *r, const char *place, struct tb_term value);
} keys[] = {
    { "tiebeam.log",              on_log         },
    { "tiebeam.discovery",        on_discoveries },
    { "tiebeam.node_monitor",     on_later       },
    { "tiebeam.supervisors",      on_later       },
    { "tiebeam.process_clusters", on_later       },
    { "tiebeam.http",             on_later       },
};
/* clang-format on */

#define KEYS (sizeof(keys) / sizeof(keys[0]))

/* The last word of a place that lies in that section, or NULL. */
static const char *
key_in(const char *place, const char *section)
{
    size_t n = strlen(section);

    if (!place || strncmp(place, section, n) != 0 || place[n] != '.')
        return NULL;
    return strchr(place + n + 1, '.') ? NULL : place + n + 1;
}

static void
unknown_key(struct tb_reader *r, const char *section, struct tb_text key)
{
    char name[64];
    struct tb_nearest near = { .word = name };

    snprintf(name, sizeof(name), "%.*s", (int)key.n, key.p);
    for (int i = 0; i < TB_SET_COUNT; i++)
        if (key_in(tb_settings_table[i].place, section))
            tb_nearest_try(&near, key_in(tb_settings_table[i].place, section));
    for (size_t i = 0; i < KEYS; i++)
        if (keys[i].fn != on_later && key_in(keys[i].place, section))
            tb_nearest_try(&near, key_in(keys[i].place, section));
    problem(r, key.p, "%s.%s: unknown key%s%s%s", section, name,
            near.best ? ", did you mean " : "", near.best ? near.best : "",
            near.best ? "?" : "");
}

static void
on_key(struct tb_reader *r, const char *section, struct tb_text key,
       struct tb_term value)
{
    char place[128];
    int n =
        snprintf(place, sizeof(place), "%s.%.*s", section, (int)key.n, key.p);

    for (int i = 0; i < TB_SET_COUNT && n < (int)sizeof(place); i++)
        if (tb_settings_table[i].place &&
            strcmp(tb_settings_table[i].place, place) == 0) {
            on_setting(r, (enum tb_set)i, value);
            return;
        }
    for (size_t i = 0; i < KEYS; i++)
        if (strcmp(keys[i].place, place) == 0) {
            keys[i].fn(r, place, value);
            return;
        }
    if (strcmp(section, "kernel") != 0) /* erl's kernel has many more */
        unknown_key(r, section, key);
}

static void
on_application(struct tb_reader *r, struct tb_term item)
{
    struct tb_val h[TB_MAX_HOLES];
    struct tb_nearest near = { .best = NULL };
    char name[64];

    if (tb_match("{App:atom, Keys}", item, h) != 1) {
        unexpected(r, item, "the file", "{Application, [{Key, Value}]}");
        return;
    }
    snprintf(name, sizeof(name), "%.*s", (int)h[0].text.n, h[0].text.p);
    if (strcmp(name, "tiebeam") == 0 || strcmp(name, "kernel") == 0) {
        each_pair(r, name, h[1].term, on_key);
        return;
    }
    /* The file may be a release's: other applications are none of ours. */
    near.word = name;
    tb_nearest_try(&near, "tiebeam");
    if (near.best)
        problem(r, h[0].text.p, "%s: did you mean tiebeam?", name);
}

void
tb_sections_check(struct tb_reader *r)
{
    struct tb_elems e;
    struct tb_term list, item;

    tb_elems_open(&e, tb_wr_term(&r->c->body));
    if (!tb_elems_next(&e, &list)) {
        tb_wr_printf(r->errors, "%s:1: expected one list, found nothing\n",
                     r->c->path);
        return;
    }
    if (tb_elems_next(&e, &item))
        problem(r, item.p, "expected one list, found a second term");
    if (!tb_elems_open(&e, list)) {
        unexpected(r, list, "the file", "a list");
        return;
    }
    while (tb_elems_next(&e, &item))
        on_application(r, item);
}
