/* pg_section.c - the section pg of the configuration file: which scopes; they
 * come and go when it is read again.
 * Owns: the names of the scopes, in the configuration. Thread: any; start and
 * reload: loop. */
#include "daemon/pg_section.h"

#include <stdio.h>
#include <string.h>

#include "daemon/sections.h"
#include "daemon/teller.h"

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

static int
start(struct tb_node *node, const char *scope)
{
    return tb_start_owned(node, &tb_pg, tb_copy(scope), tb_free, TB_PERMANENT,
                          NULL);
}

int
tb_pg_section_start(struct tb_node *node, const struct tb_config *c)
{
    int err = 0;

    for (size_t i = 0; err >= 0 && i < c->n_scopes; i++)
        err = start(node, c->scopes[i]);
    return err;
}

/* ------------------------------------------------------------- reload -- */

/* One that does not start is tried again when the file is read again. */
static void
start_new(struct tb_node *node, struct tb_config *c, size_t at)
{
    int err = start(node, c->scopes[at]);

    tb_log_started("pg.scopes.", c->scopes[at], err);
    if (err >= 0)
        return;
    tb_free(c->scopes[at]);
    c->scopes[at] = c->scopes[--c->n_scopes];
}

static void
end(struct tb_node *node, const char *scope)
{
    char key[320];

    snprintf(key, sizeof(key), "pg.scopes.%s ended", scope);
    tb_tell(node, &(struct tb_errand){ .name = scope,
                                       .request = "'$tb_leave_service'",
                                       .key = key });
}

void
tb_pg_section_reload(struct tb_node *node, struct tb_config *c,
                     struct tb_config *now)
{
    struct tb_config old = *c;

    c->scopes = now->scopes;
    c->n_scopes = now->n_scopes;
    now->scopes = old.scopes;
    now->n_scopes = old.n_scopes;
    for (size_t i = 0; i < old.n_scopes; i++)
        if (!is_there(c, old.scopes[i]))
            end(node, old.scopes[i]);
    for (size_t i = c->n_scopes; i-- > 0;)
        if (!is_there(&old, c->scopes[i]))
            start_new(node, c, i);
}

void
tb_pg_section_fini(struct tb_config *c)
{
    for (size_t i = 0; i < c->n_scopes; i++)
        tb_free(c->scopes[i]);
    tb_free(c->scopes);
}
