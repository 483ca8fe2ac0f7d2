/* discovery_section.c - the instances of discovery: started, and brought in
 * line with the configuration when it is read again.
 * In Erlang: application:set_env/3 and a supervisor's children.
 * Owns: the instances' options. Thread: loop. */
#include "daemon/discovery_section.h"

#include <stdio.h>
#include <string.h>

#include "daemon/teller.h"

static struct tb_instance *
find(struct tb_instances *s, const char *name)
{
    TB_LIST_EACH (i, &s->all, struct tb_instance, link)
        if (strcmp(i->config.name, name) == 0)
            return i;
    return NULL;
}

static void
take_options(struct tb_instance *i, struct tb_term opts)
{
    i->opts.len = 0;
    tb_wr_bytes(&i->opts, opts.p, opts.n);
    i->config.opts = tb_wr_term(&i->opts);
}

static int
start(struct tb_instances *s, struct tb_node *node,
      const struct tb_discovery_config *config)
{
    struct tb_instance *i = tb_new(struct tb_instance);
    int err;

    i->config.name = tb_copy(config->name);
    i->wanted = true;
    take_options(i, config->opts);
    err = tb_start_discovery(node, &i->config);
    tb_list_add(err < 0 ? &s->gone : &s->all, &i->link);
    return err;
}

int
tb_instances_start(struct tb_instances *s, struct tb_node *node,
                   const struct tb_config *config)
{
    int err = 0;

    tb_list_init(&s->all);
    tb_list_init(&s->gone);
    for (size_t i = 0; err >= 0 && i < config->n_discovery; i++)
        err = start(s, node, &config->discovery[i]);
    return err;
}

static void
free_all(struct tb_list *list)
{
    TB_LIST_EACH (i, list, struct tb_instance, link) {
        tb_list_del(&i->link);
        tb_free((char *)(uintptr_t)i->config.name);
        tb_wr_free(&i->opts);
        tb_free(i);
    }
}

void
tb_instances_free(struct tb_instances *s)
{
    if (!s->all.next)
        return; /* none was started */
    free_all(&s->all);
    free_all(&s->gone);
}

/* ------------------------------------------------------------- reload -- */

/* A process that lives for one call: what the instance is told, and why. */
struct errand {
    const char *name;
    struct tb_term opts; /* n == 0: it is to stop */
};

struct told {
    char name[256];
    bool stop;
};

static int
on_told(struct tb_proc *self, void *state, void *ctx, int status,
        struct tb_term result)
{
    struct told *t = state;
    struct tb_val h[TB_MAX_HOLES];

    (void)ctx;
    if (status == 0 && tb_match("ok", result, h) == 1)
        tb_log(TB_NOTICE, "config.changed", "key=discovery.%s%s", t->name,
               t->stop ? " stopped" : "");
    else
        tb_log(TB_ERROR, "config.refused", "key=discovery.%s: %s", t->name,
               tb_strerror(status));
    return tb_stop(self, "normal", TB_NONE);
}

static int
init(struct tb_proc *self, void *state, const void *arg)
{
    const struct errand *e = arg;
    struct told *t = state;
    tb_atom us = tb_node_name(tb_self_node(self));

    snprintf(t->name, sizeof(t->name), "%s", e->name);
    t->stop = e->opts.n == 0;
    if (t->stop)
        tb_call_name(self, e->name, us, "stop", TB_NONE, 30000, on_told, NULL);
    else
        tb_call_name(self, e->name, us, "{reload, Options}",
                     TB_ARGS(tb_v_term(e->opts)), 30000, on_told, NULL);
    return 0;
}

static const struct tb_service teller = { .state_size = sizeof(struct told),
                                          .init = init };

static bool
is_same(const struct tb_instance *i, struct tb_term opts)
{
    return i->opts.len == opts.n && memcmp(i->opts.buf, opts.p, opts.n) == 0;
}

static void
reload_one(struct tb_instances *s, struct tb_node *node,
           const struct tb_discovery_config *config)
{
    struct tb_instance *i = find(s, config->name);
    struct errand e = { .name = config->name, .opts = config->opts };

    if (!i) {
        tb_log_started("discovery.", config->name, start(s, node, config));
        return;
    }
    i->wanted = true;
    if (is_same(i, config->opts))
        return;
    take_options(i, config->opts);
    tb_start(node, &teller, &e, TB_TEMPORARY, NULL);
}

void
tb_instances_reload(struct tb_instances *s, struct tb_node *node,
                    const struct tb_config *config)
{
    TB_LIST_EACH (i, &s->all, struct tb_instance, link)
        i->wanted = false;
    for (size_t i = 0; i < config->n_discovery; i++)
        reload_one(s, node, &config->discovery[i]);
    TB_LIST_EACH (i, &s->all, struct tb_instance, link) {
        struct errand e = { .name = i->config.name };

        if (i->wanted)
            continue;
        tb_start(node, &teller, &e, TB_TEMPORARY, NULL);
        tb_list_del(&i->link);
        tb_list_add(&s->gone, &i->link);
    }
}
