/* teller.c - a request to a service of this node, and a line in the log.
 * Owns: nothing. Thread: loop. */
#include "daemon/teller.h"

#include <stdio.h>

#define TELL_MS 30000

struct told {
    char key[320];
    void (*refused)(void *ctx, const char *key);
    void *ctx;
};

static void
log_refused(const struct told *t, int status, struct tb_term result)
{
    struct tb_wr why = { .max = 512 };

    if (status == 0)
        tb_print(&why, result);
    else
        tb_wr_str(&why, tb_strerror(status));
    tb_log(TB_ERROR, "config.refused", "key=%s: %.*s", t->key, (int)why.len,
           (const char *)why.buf);
    tb_wr_free(&why);
}

/* One that is not there, or ends meanwhile, finds it when it begins again; but
 * for those where somebody wants to know. */
static bool
is_done(const struct told *t, int status, struct tb_term result)
{
    struct tb_val h[TB_MAX_HOLES];

    if (status == -TB_ENOPROC || status == -TB_EEXIT)
        return !t->refused;
    return status == 0 && tb_match("ok", result, h) == 1;
}

static int
on_told(struct tb_proc *self, void *state, void *ctx, int status,
        struct tb_term result)
{
    const struct told *t = state;

    (void)ctx;
    if (status == -TB_ESTOPPED)
        return TB_NOREPLY;
    if (is_done(t, status, result)) {
        tb_log(TB_NOTICE, "config.changed", "key=%s", t->key);
    } else {
        log_refused(t, status, result);
        if (t->refused)
            t->refused(t->ctx, t->key);
    }
    return tb_stop(self, "normal", TB_NONE);
}

static int
init(struct tb_proc *self, void *state, const void *arg)
{
    const struct tb_errand *e = arg;
    struct told *t = state;

    snprintf(t->key, sizeof(t->key), "%s", e->key);
    t->refused = e->refused;
    t->ctx = e->ctx;
    if (e->name)
        tb_call_name(self, e->name, tb_node_name(tb_self_node(self)),
                     e->request, e->args, TELL_MS, on_told, NULL);
    else
        tb_call(self, e->pid, e->request, e->args, TELL_MS, on_told, NULL);
    return 0;
}

static const struct tb_service teller = { .state_size = sizeof(struct told),
                                          .init = init };

void
tb_tell(struct tb_node *node, const struct tb_errand *e)
{
    tb_start(node, &teller, e, TB_TEMPORARY, NULL);
}

void
tb_log_started(const char *section, const char *name, int err)
{
    tb_log(err < 0 ? TB_ERROR : TB_NOTICE,
           err < 0 ? "config.refused" : "config.changed", "key=%s%s %s",
           section, name, err < 0 ? tb_strerror(err) : "started");
}
