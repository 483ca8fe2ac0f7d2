/* sections.c - the checks of a configuration file: every error located.
 * In Erlang: the environment of the applications tiebeam and kernel.
 * Owns: nothing. Borrows: the reader. Thread: any. */
#include "daemon/sections.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "daemon/cluster_section.h"
#include "daemon/monitor_section.h"
#include "daemon/pg_section.h"
#include "daemon/supervisor_section.h"
#include "daemon/value.h"

static struct tb_sections *
to(const struct tb_reader *r)
{
    return r->ctx;
}

/* ---------------------------------------------------------- settings -- */

static void
wrong_type(struct tb_reader *r, const struct tb_setting *row,
           struct tb_term value)
{
    char expected[160];

    if (row->type == TB_SET_SECRET) { /* it is not repeated */
        tb_problem(r, value.p, "%s: expected a string", row->place);
        return;
    }
    snprintf(expected, sizeof(expected), "%s%s",
             row->type == TB_SET_INT ? "an integer in " : "", row->values);
    tb_unexpected(r, value, row->place, expected);
}

static void
on_setting(struct tb_reader *r, enum tb_set id, struct tb_term value)
{
    const struct tb_setting *row = &tb_settings_table[id];
    struct tb_wr text = { 0 }, why = { 0 };
    char origin[PATH_MAX + 32];

    snprintf(origin, sizeof(origin), "file %s:%u", r->path,
             tb_line_of(r, value.p));
    if (!tb_value_text(row->type, value, &text)) {
        wrong_type(r, row, value);
    } else {
        tb_wr_bytes(&text, "", 1);
        if (tb_settings_put(to(r)->s, id, (const char *)text.buf, TB_RANK_FILE,
                            origin, &why) < 0)
            tb_problem(r, value.p, "%s: %.*s", row->place, (int)why.len,
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
    tb_check_pair(r, tb_discovery_rules, section, key, value);
}

static void
on_discovery(struct tb_reader *r, const char *section, struct tb_text key,
             struct tb_term opts)
{
    char *name = tb_copy_n(key.p, key.n);
    size_t before = r->errors->len;

    if (!tb_config_name_free(to(r)->c, name))
        tb_problem(r, key.p, "%s: the name %s is taken", section, name);
    tb_each_pair(r, section, opts, on_discovery_key);
    if (r->errors->len == before && tb_discovery_lacks(opts))
        tb_problem(r, key.p, "%s.%s: %s", section, name,
                   tb_discovery_lacks(opts));
    tb_config_add(to(r)->c, name, opts);
}

/* ---------------------------------------------------------- sections -- */

static void on_key(struct tb_reader *r, const char *section, struct tb_text key,
                   struct tb_term value);

static void
on_log(struct tb_reader *r, const char *place, struct tb_term value)
{
    tb_each_pair(r, place, value, on_key);
}

static void
on_discoveries(struct tb_reader *r, const char *place, struct tb_term value)
{
    to(r)->c->has_discovery = true;
    tb_each_pair(r, place, value, on_discovery);
}

static void
on_node_monitor(struct tb_reader *r, const char *place, struct tb_term value)
{
    tb_monitor_section(r, to(r)->c, place, value);
}

static void
on_pg(struct tb_reader *r, const char *place, struct tb_term value)
{
    tb_pg_section(r, to(r)->c, place, value);
}

static void
on_supervisors(struct tb_reader *r, const char *place, struct tb_term value)
{
    tb_supervisor_section(r, to(r)->c, place, value);
}

static void
on_clusters(struct tb_reader *r, const char *place, struct tb_term value)
{
    tb_cluster_section(r, to(r)->c, place, value);
}

static void
on_later(struct tb_reader *r, const char *place, struct tb_term value)
{
    tb_problem(r, value.p, "%s: not supported in this version", place);
}

/* What is no setting of settings_table.c. */
/* clang-format off */
static const struct {
    const char *place;
    void (*fn)(struct tb_reader *r, const char *place, struct tb_term value);
} keys[] = {
    { "tiebeam.log",              on_log         },
    { "tiebeam.discovery",        on_discoveries },
    { "tiebeam.node_monitor",     on_node_monitor },
    { "tiebeam.pg",               on_pg          },
    { "tiebeam.supervisors",      on_supervisors },
    { "tiebeam.process_clusters", on_clusters    },
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
    tb_problem(r, key.p, "%s.%s: unknown key%s%s%s", section, name,
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
        tb_unexpected(r, item, "the file", "{Application, [{Key, Value}]}");
        return;
    }
    snprintf(name, sizeof(name), "%.*s", (int)h[0].text.n, h[0].text.p);
    if (strcmp(name, "tiebeam") == 0 || strcmp(name, "kernel") == 0) {
        tb_each_pair(r, name, h[1].term, on_key);
        return;
    }
    /* The file may be a release's: other applications are none of ours. */
    near.word = name;
    tb_nearest_try(&near, "tiebeam");
    if (near.best)
        tb_problem(r, h[0].text.p, "%s: did you mean tiebeam?", name);
}

void
tb_sections_check(struct tb_reader *r)
{
    struct tb_elems e;
    struct tb_term list, item;

    if (!tb_reader_one_list(r, &list))
        return;
    for (tb_elems_open(&e, list); tb_elems_next(&e, &item);)
        on_application(r, item);
}
