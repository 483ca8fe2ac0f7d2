/* supervisor_section.c - the section supervisors of the configuration file:
 * [{Name, [{Key, Value}]}], and what runs brought in line with it when it is
 * read again.
 * Owns: nothing. Thread: any; start and reload: loop. */
#include "daemon/supervisor_section.h"

#include <stdio.h>
#include <string.h>

#include "daemon/sections.h"
#include "daemon/teller.h"
#include "services/supervisor_options.h"

static void
add(struct tb_config *c, char *name, struct tb_term opts)
{
    size_t n = c->n_supervisors;
    struct tb_supervisor_entry *all = tb_alloc((n + 1) * sizeof(*all));

    if (n)
        memcpy(all, c->supervisors, n * sizeof(*all));
    all[n] = (struct tb_supervisor_entry){ .name = name };
    tb_wr_bytes(&all[n].opts, opts.p, opts.n);
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
        tb_free(c->supervisors[i].name);
        tb_wr_free(&c->supervisors[i].opts);
    }
    tb_free(c->supervisors);
}

/* --------------------------------------------------------------- running -- */

static int
start(struct tb_node *node, const struct tb_supervisor_entry *e)
{
    struct tb_text name = { e->name, strlen(e->name) };

    return tb_start_owned(node, &tb_supervisor,
                          tb_supervisor_config_new(name, tb_wr_term(&e->opts)),
                          tb_supervisor_config_free, TB_PERMANENT, NULL);
}

int
tb_supervisor_section_start(struct tb_node *node, const struct tb_config *c)
{
    int err = 0;

    for (size_t i = 0; err >= 0 && i < c->n_supervisors; i++)
        err = start(node, &c->supervisors[i]);
    return err;
}

static struct tb_supervisor_entry *
find(const struct tb_config *c, const char *name)
{
    for (size_t i = 0; i < c->n_supervisors; i++)
        if (strcmp(c->supervisors[i].name, name) == 0)
            return &c->supervisors[i];
    return NULL;
}

#define SECTION "supervisors."

/* It is tried again when the file is read again. */
static void
on_refused(void *ctx, const char *key)
{
    struct tb_supervisor_entry *e = find(ctx, key + sizeof(SECTION) - 1);

    if (e)
        e->opts.len = 0;
}

static void
reload(struct tb_node *node, struct tb_config *c,
       const struct tb_supervisor_entry *e)
{
    char key[320];

    snprintf(key, sizeof(key), SECTION "%s", e->name);
    tb_tell(node, &(struct tb_errand){
                      .name = e->name,
                      .request = "{reload, Options}",
                      .args = TB_ARGS(tb_v_term(tb_wr_term(&e->opts))),
                      .key = key,
                      .refused = on_refused,
                      .ctx = c,
                  });
}

static void
end(struct tb_node *node, const struct tb_supervisor_entry *e)
{
    char key[320];

    snprintf(key, sizeof(key), SECTION "%s ended: its children run on",
             e->name);
    tb_tell(node, &(struct tb_errand){ .name = e->name,
                                       .request = "'$tb_leave_service'",
                                       .key = key });
}

static void
start_new(struct tb_node *node, const struct tb_supervisor_entry *e)
{
    tb_log_started(SECTION, e->name, start(node, e));
}

static bool
is_same(const struct tb_wr *a, const struct tb_wr *b)
{
    return a->len == b->len && memcmp(a->buf, b->buf, a->len) == 0;
}

void
tb_supervisor_section_reload(struct tb_node *node, struct tb_config *c,
                             struct tb_config *now)
{
    struct tb_config old = *c;

    c->supervisors = now->supervisors;
    c->n_supervisors = now->n_supervisors;
    now->supervisors = old.supervisors;
    now->n_supervisors = old.n_supervisors;
    for (size_t i = 0; i < old.n_supervisors; i++)
        if (!find(c, old.supervisors[i].name))
            end(node, &old.supervisors[i]);
    for (size_t i = 0; i < c->n_supervisors; i++) {
        const struct tb_supervisor_entry *e = &c->supervisors[i];
        const struct tb_supervisor_entry *was = find(&old, e->name);

        if (!was)
            start_new(node, e);
        else if (!is_same(&was->opts, &e->opts))
            reload(node, c, e);
    }
}
