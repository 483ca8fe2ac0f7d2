/* sup.c - the supervisor of a node's services.
 * In Erlang: supervisor, one_for_one, max_restarts 3 in max_seconds 5. It has
 * one liberty: where OTP would give up and take the node down, it waits until
 * the intensity allows the restart, since the other services do their work.
 * Owns: the list of children. Thread: loop. Source: supervisor.erl. */
#include "node/sup.h"

#include <string.h>

#include "base/mem.h"
#include "node/watch.h"
#include "term/ident.h"
#include "term/put.h"

#define MAX_RESTARTS 3
#define MAX_SECONDS  UINT64_C(5)

struct child {
    struct tb_list link;
    uint64_t id; /* in start order */
    const struct tb_service *service;
    const void *arg;
    void (*free_arg)(void *arg); /* NULL: it is not ours */
    enum tb_restart restart;
    char *name;        /* owned; what it is registered as, or NULL */
    struct tb_pid pid; /* node 0: restarting */
    uint64_t restarts[MAX_RESTARTS]; /* when, in ms; the oldest first */
};

struct sup {
    struct tb_list children; /* owned struct child, oldest first */
    uint64_t next_id;
};

static int
sup_init(struct tb_proc *self, void *state, const void *arg)
{
    struct sup *s = state;

    (void)self;
    (void)arg;
    tb_list_init(&s->children);
    return 0;
}

static void
forget(struct child *c)
{
    if (c->free_arg)
        c->free_arg((void *)(uintptr_t)c->arg);
    tb_list_del(&c->link);
    tb_free(c->name);
    tb_free(c);
}

static void
report(const char *name, struct tb_term reason)
{
    struct tb_wr w = { .max = 512 };

    tb_print_pretty(&w, reason);
    tb_log(TB_ERROR, "service.ended", "name=%s reason=%.*s", name, (int)w.len,
           (const char *)w.buf);
    tb_wr_free(&w);
}

static void
sup_terminate(struct tb_proc *self, void *state, struct tb_term why)
{
    struct sup *s = state;
    struct tb_node *node = self->node;

    while (!tb_list_empty(&s->children))
        forget(TB_ENTRY(s->children.next, struct child, link));
    node->sup = NULL;
    if (node->state != TB_NODE_ENDED) { /* as a BEAM without its kernel_sup */
        report("tiebeam_sup", why);
        node->start_error = -TB_EEXIT;
        tb_node_stop(node);
    }
}

static const char *
id_of(const struct child *c)
{
    return c->name ? c->name : "undefined";
}

/* ----------------------------------------------------------- restarts -- */

static bool
is_normal(struct tb_term reason)
{
    struct tb_val v[TB_MAX_HOLES];

    return tb_match("normal", reason, v) == 1 ||
           tb_match("shutdown", reason, v) == 1 ||
           tb_match("{shutdown, _}", reason, v) == 1;
}

/* How long the intensity makes a restart wait; 0: none. */
static uint64_t
pause_before_restart(struct child *c, uint64_t now)
{
    uint64_t free_at = c->restarts[0] + MAX_SECONDS * 1000;

    return c->restarts[0] == 0 || free_at <= now ? 0 : free_at - now;
}

static void
note_restart(struct child *c, uint64_t now)
{
    memmove(c->restarts, c->restarts + 1,
            sizeof(c->restarts) - sizeof(c->restarts[0]));
    c->restarts[MAX_RESTARTS - 1] = now;
}

static void start_again(struct tb_proc *self, struct child *c);

static void
start_later(struct tb_proc *self, struct child *c, uint64_t ms)
{
    tb_log(TB_WARNING, "service.restart_delayed", "name=%s ms=%llu", id_of(c),
           (unsigned long long)ms);
    tb_send_after(self, ms, "{restart, Id}", TB_ARGS(tb_v_int((int64_t)c->id)));
}

static void
restart(struct tb_proc *self, struct child *c)
{
    uint64_t now = uv_now(self->node->net.loop);
    uint64_t pause = pause_before_restart(c, now);

    c->pid = (struct tb_pid){ 0 };
    if (pause)
        start_later(self, c, pause);
    else
        start_again(self, c);
}

static void
start_again(struct tb_proc *self, struct child *c)
{
    struct tb_proc *p;
    int rc;

    note_restart(c, uv_now(self->node->net.loop));
    rc = tb_proc_new(self->node, c->service, c->arg, self, &p);
    if (rc < 0) {
        tb_log(TB_ERROR, "service.start_failed", "name=%s reason=%s", id_of(c),
               tb_error_atom(rc));
        restart(self, c);
        return;
    }
    c->pid = p->pid;
    tb_log(TB_NOTICE, "service.restarted", "name=%s", id_of(c));
}

static int
on_restart(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct sup *s = state;

    TB_LIST_EACH (c, &s->children, struct child, link)
        if (c->id == (uint64_t)m->arg[0].i && !c->pid.node)
            start_again(self, c);
    return TB_NOREPLY;
}

static int
on_exit(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct sup *s = state;
    struct tb_term reason = m->arg[1].term;

    TB_LIST_EACH (c, &s->children, struct child, link) {
        if (!tb_pid_eq(c->pid, m->arg[0].pid))
            continue;
        if (!is_normal(reason))
            report(id_of(c), reason);
        if (c->restart == TB_PERMANENT ||
            (c->restart == TB_TRANSIENT && !is_normal(reason)))
            restart(self, c);
        else
            forget(c);
        break;
    }
    return TB_NOREPLY;
}

/* ----------------------------------------------- supervisor's requests -- */

static int
on_which_children(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct sup *s = state;
    struct tb_wr w = { 0 };
    struct tb_wr list = { 0 };
    size_t n = 0;
    int rc;

    TB_LIST_EACH (c, &s->children, struct child, link) {
        struct tb_val id = tb_v_atom(id_of(c));

        tb_build(
            &w, "{Id, Pid, worker, [Id]}",
            TB_ARGS(id,
                    c->pid.node ? tb_v_pid(c->pid) : tb_v_atom("restarting"),
                    id));
        n++;
    }
    tb_build_list(&list, n, &w);
    rc = tb_reply(self, m, "Children", TB_ARGS(tb_v_term(tb_wr_term(&list))));
    tb_wr_free(&list);
    tb_wr_free(&w);
    return rc;
}

static int
on_count_children(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct sup *s = state;
    int64_t specs = 0, active = 0;

    TB_LIST_EACH (c, &s->children, struct child, link) {
        specs++;
        active += c->pid.node != 0;
    }
    return tb_reply(
        self, m, "[{specs, N}, {active, A}, {supervisors, 0}, {workers, N}]",
        TB_ARGS(tb_v_int(specs), tb_v_int(active), tb_v_int(specs)));
}

/* clang-format off */
static const struct tb_clause clauses[] = {
    { TB_CALL, "which_children",           on_which_children },
    { TB_CALL, "count_children",           on_count_children },
    { TB_INFO, "{'EXIT', Pid:pid, Reason}", on_exit          },
    { TB_INFO, "{restart, Id:int}",        on_restart        },
    { 0 },
};
/* clang-format on */

static const struct tb_service sup_service = {
    .name = "tiebeam_sup",
    .state_size = sizeof(struct sup),
    .trap_exit = true,
    .init = sup_init,
    .terminate = sup_terminate,
    .clauses = clauses,
    .callback = "tiebeam_sup",
};

int
tb_sup_start(struct tb_node *node)
{
    return tb_proc_new(node, &sup_service, NULL, NULL, &node->sup);
}

static int
start(struct tb_node *node, const struct tb_service *service, const void *arg,
      void (*free_arg)(void *arg), enum tb_restart restart_type,
      struct tb_pid *pid)
{
    struct sup *s = node->sup ? node->sup->state : NULL;
    struct tb_proc *p;
    struct child *c;
    int rc = s ? tb_proc_new(node, service, arg, node->sup, &p) : -TB_ESTOPPED;

    if (rc < 0)
        return rc;
    c = tb_new(struct child);
    c->id = ++s->next_id;
    c->service = service;
    c->arg = arg;
    c->free_arg = free_arg;
    c->restart = restart_type;
    c->pid = p->pid;
    c->name = p->name ? tb_strdup_n(p->name, strlen(p->name)) : NULL;
    tb_list_add(&s->children, &c->link);
    if (pid)
        *pid = p->pid;
    return 0;
}

int
tb_start(struct tb_node *node, const struct tb_service *service,
         const void *arg, enum tb_restart restart_type, struct tb_pid *pid)
{
    return start(node, service, arg, NULL, restart_type, pid);
}

int
tb_start_owned(struct tb_node *node, const struct tb_service *service,
               void *arg, void (*free_arg)(void *arg),
               enum tb_restart restart_type, struct tb_pid *pid)
{
    int rc = start(node, service, arg, free_arg, restart_type, pid);

    if (rc < 0)
        free_arg(arg);
    return rc;
}

void
tb_let_go(struct tb_proc *self)
{
    struct sup *s = self->node->sup ? self->node->sup->state : NULL;

    if (!s)
        return;
    TB_LIST_EACH (c, &s->children, struct child, link)
        if (tb_pid_eq(c->pid, self->pid))
            c->restart = TB_TEMPORARY;
}

static void
end_now(struct tb_proc *p)
{
    static const uint8_t shutdown[] = { 119, 8,   's', 'h', 'u',
                                        't', 'd', 'o', 'w', 'n' };

    struct tb_node *node = p->node;
    struct tb_pid pid = p->pid;

    tb_proc_kill(p, (struct tb_term){ shutdown, sizeof(shutdown) });
    while (tb_proc_of(node, pid)) /* others may have messages without end */
        tb_procs_run(node);
}

void
tb_sup_stop(struct tb_node *node)
{
    struct sup *s;

    /* the supervisor itself may end while its children do */
    while (node->sup && (s = node->sup->state, !tb_list_empty(&s->children))) {
        struct child *c = TB_ENTRY(s->children.prev, struct child, link);
        struct tb_proc *p = tb_proc_of(node, c->pid);
        void (*free_arg)(void *arg) = c->free_arg;
        void *arg = (void *)(uintptr_t)c->arg;

        c->free_arg = NULL;
        forget(c);
        if (p)
            end_now(p);
        if (free_arg)
            free_arg(arg);
    }
    while (!tb_list_empty(&node->all))
        end_now(TB_ENTRY(node->all.prev, struct tb_proc, all));
}
