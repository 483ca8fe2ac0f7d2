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

/* A process that lives for one call: what a supervisor is told, and why. */
struct told {
    char name[256];
    struct tb_config *c; /* NULL: it is to leave */
};

struct errand {
    const struct tb_supervisor_entry *entry;
    struct tb_config *c;
};

static void
log_refused(const struct told *t, int status, struct tb_term result)
{
    struct tb_wr why = { .max = 512 };

    if (status == 0)
        tb_print(&why, result);
    else
        tb_wr_str(&why, tb_strerror(status));
    tb_log(TB_ERROR, "config.refused", "key=supervisors.%s: %.*s", t->name,
           (int)why.len, (const char *)why.buf);
    tb_wr_free(&why);
}

/* What was refused is tried again when the file is read again. */
static int
on_told(struct tb_proc *self, void *state, void *ctx, int status,
        struct tb_term result)
{
    struct told *t = state;
    struct tb_val h[TB_MAX_HOLES];
    struct tb_supervisor_entry *e;

    (void)ctx;
    if (status == -TB_ESTOPPED)
        return TB_NOREPLY;
    if (status == 0 && tb_match("ok", result, h) == 1) {
        tb_log(TB_NOTICE, "config.changed", "key=supervisors.%s%s", t->name,
               t->c ? "" : " ended: its children run on");
    } else {
        log_refused(t, status, result);
        e = t->c ? find(t->c, t->name) : NULL;
        if (e)
            e->opts.len = 0;
    }
    return tb_stop(self, "normal", TB_NONE);
}

static int
init(struct tb_proc *self, void *state, const void *arg)
{
    const struct errand *e = arg;
    struct told *t = state;
    tb_atom us = tb_node_name(tb_self_node(self));

    snprintf(t->name, sizeof(t->name), "%s", e->entry->name);
    t->c = e->c;
    if (t->c)
        tb_call_name(self, t->name, us, "{reload, Options}",
                     TB_ARGS(tb_v_term(tb_wr_term(&e->entry->opts))), 30000,
                     on_told, NULL);
    else
        tb_call_name(self, t->name, us, "'$tb_leave_service'", TB_NONE, 30000,
                     on_told, NULL);
    return 0;
}

static const struct tb_service teller = { .state_size = sizeof(struct told),
                                          .init = init };

static void
tell(struct tb_node *node, const struct tb_supervisor_entry *entry,
     struct tb_config *c)
{
    struct errand e = { entry, c };

    tb_start(node, &teller, &e, TB_TEMPORARY, NULL);
}

static void
start_new(struct tb_node *node, const struct tb_supervisor_entry *e)
{
    tb_log_started("supervisors.", e->name, start(node, e));
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
            tell(node, &old.supervisors[i], NULL);
    for (size_t i = 0; i < c->n_supervisors; i++) {
        const struct tb_supervisor_entry *e = &c->supervisors[i];
        const struct tb_supervisor_entry *was = find(&old, e->name);

        if (!was)
            start_new(node, e);
        else if (!is_same(&was->opts, &e->opts))
            tell(node, e, c);
    }
}
