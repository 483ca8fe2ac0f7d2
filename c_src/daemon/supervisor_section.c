/* supervisor_section.c - the section supervisors of the configuration file:
 * [{Name, [{Key, Value}]}].
 * Owns: nothing. Thread: any. */
#include "daemon/supervisor_section.h"

#include <stdio.h>
#include <string.h>

#include "daemon/sections.h"
#include "services/supervisor_options.h"

bool
tb_config_name_free(const struct tb_config *c, const char *name)
{
    static const char *const ours[] = { "net_kernel", "rex", "tiebeam",
                                        "node_monitor" };

    for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
        if (strcmp(ours[i], name) == 0)
            return false;
    for (size_t i = 0; i < c->n_discovery; i++)
        if (strcmp(c->discovery[i].name, name) == 0)
            return false;
    for (size_t i = 0; i < c->n_supervisors; i++)
        if (strcmp(c->supervisors[i].name, name) == 0)
            return false;
    return true;
}

static void
add(struct tb_config *c, char *name, struct tb_term opts)
{
    size_t n = c->n_supervisors;
    struct tb_supervisor_config *all = tb_alloc((n + 1) * sizeof(*all));
    uint8_t *copy = tb_alloc(opts.n);

    memcpy(copy, opts.p, opts.n);

    if (n)
        memcpy(all, c->supervisors, n * sizeof(*all));
    all[n] =
        (struct tb_supervisor_config){ .name = name, .opts = { copy, opts.n } };
    tb_free(c->supervisors);
    c->supervisors = all;
    c->n_supervisors = n + 1;
}

static void
on_key(struct tb_reader *r, const char *section, struct tb_text key,
       struct tb_term value)
{
    tb_check_pair(r, tb_supervisor_rules, section, key, value);
}

static void
on_supervisor(struct tb_reader *r, const char *section, struct tb_text key,
              struct tb_term opts)
{
    struct tb_config *c = ((struct tb_sections *)r->ctx)->c;
    char *name = tb_copy_n(key.p, key.n);
    char place[128];

    if (!tb_config_name_free(c, name))
        tb_problem(r, key.p, "%s: the name %s is taken", section, name);
    snprintf(place, sizeof(place), "%s.%s", section, name);
    tb_each_pair(r, place, opts, on_key);
    add(c, name, opts);
}

void
tb_supervisor_section(struct tb_reader *r, struct tb_config *c,
                      const char *place, struct tb_term value)
{
    c->has_supervisors = true;
    tb_each_pair(r, place, value, on_supervisor);
}

void
tb_supervisor_section_default(struct tb_config *c)
{
    struct tb_wr none = { 0 };

    if (c->path || c->has_supervisors || c->n_supervisors)
        return;
    tb_build(&none, "[]", TB_NONE);
    add(c, tb_copy("global_supervisor"), tb_wr_term(&none));
    tb_wr_free(&none);
}

void
tb_supervisor_section_fini(struct tb_config *c)
{
    for (size_t i = 0; i < c->n_supervisors; i++) {
        tb_free((char *)(uintptr_t)c->supervisors[i].name);
        tb_free((uint8_t *)(uintptr_t)c->supervisors[i].opts.p);
    }
    tb_free(c->supervisors);
}

bool
tb_supervisor_section_same(const struct tb_config *a, const struct tb_config *b)
{
    if (a->n_supervisors != b->n_supervisors)
        return false;
    for (size_t i = 0; i < a->n_supervisors; i++) {
        const struct tb_supervisor_config *x = &a->supervisors[i];
        const struct tb_supervisor_config *y = &b->supervisors[i];

        if (strcmp(x->name, y->name) != 0 || x->opts.n != y->opts.n ||
            memcmp(x->opts.p, y->opts.p, x->opts.n) != 0)
            return false;
    }
    return true;
}
