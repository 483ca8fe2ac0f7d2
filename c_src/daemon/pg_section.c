/* pg_section.c - the section pg of the configuration file: which scopes.
 * Owns: the names of the scopes, in the configuration. Thread: any; the start:
 * loop. */
#include "daemon/pg_section.h"

#include <stdio.h>
#include <string.h>

#include "daemon/sections.h"

static bool
is_there(const struct tb_config *c, const char *name)
{
    for (size_t i = 0; i < c->n_scopes; i++)
        if (strcmp(c->scopes[i], name) == 0)
            return true;
    return false;
}

/* pg itself is among the names that nobody else takes. */
static bool
is_free(const struct tb_config *c, const char *name)
{
    return strcmp(name, "pg") == 0 ? !is_there(c, name)
                                   : tb_config_name_free(c, name);
}

static void
add(struct tb_config *c, char *name)
{
    char **all = tb_alloc((c->n_scopes + 1) * sizeof(*all));

    if (c->n_scopes)
        memcpy(all, c->scopes, c->n_scopes * sizeof(*all));
    all[c->n_scopes++] = name;
    tb_free(c->scopes);
    c->scopes = all;
}

static void
on_scope(struct tb_reader *r, const char *what, struct tb_term item)
{
    struct tb_config *c = ((struct tb_sections *)r->ctx)->c;
    struct tb_val h[TB_MAX_HOLES];
    char *name;

    if (tb_match("Scope:atom", item, h) != 1 || h[0].text.n == 0) {
        tb_unexpected(r, item, what, "the name of a scope, an atom");
        return;
    }
    name = tb_copy_n(h[0].text.p, h[0].text.n);
    if (!is_free(c, name)) {
        tb_problem(r, item.p, "%s: the name %s is taken", what, name);
        tb_free(name);
        return;
    }
    add(c, name);
}

static void
on_key(struct tb_reader *r, const char *section, struct tb_text key,
       struct tb_term value)
{
    struct tb_elems e;
    struct tb_term item;
    char what[128];

    snprintf(what, sizeof(what), "%s.%.*s", section, (int)key.n, key.p);
    if (!tb_text_is(key, "scopes")) {
        tb_problem(r, key.p, "%s: unknown key, there is only scopes", what);
    } else if (!tb_elems_open(&e, value)) {
        tb_unexpected(r, value, what, "a list of atoms");
    } else {
        while (tb_elems_next(&e, &item))
            on_scope(r, what, item);
    }
}

void
tb_pg_section(struct tb_reader *r, struct tb_config *c, const char *place,
              struct tb_term value)
{
    c->has_scopes = true;
    tb_each_pair(r, place, value, on_key);
}

void
tb_pg_section_default(struct tb_config *c)
{
    if (!c->has_scopes)
        add(c, tb_copy("pg"));
}

int
tb_pg_section_start(struct tb_node *node, const struct tb_config *c)
{
    int err = 0;

    for (size_t i = 0; err >= 0 && i < c->n_scopes; i++)
        err = tb_start_pg(node, c->scopes[i]);
    return err;
}

bool
tb_pg_section_same(const struct tb_config *a, const struct tb_config *b)
{
    if (a->n_scopes != b->n_scopes)
        return false;
    for (size_t i = 0; i < a->n_scopes; i++)
        if (strcmp(a->scopes[i], b->scopes[i]) != 0)
            return false;
    return true;
}

void
tb_pg_section_fini(struct tb_config *c)
{
    for (size_t i = 0; i < c->n_scopes; i++)
        tb_free(c->scopes[i]);
    tb_free(c->scopes);
}
