/* proc.c - local processes: birth, mailbox, run queue, death.
 * In Erlang: a process and its scheduler.
 *
 * A message of a peer is handled where it was read, without a copy, if nothing
 * waits before it; local messages and signals always wait for the next turn,
 * so no handler ever runs inside another one.
 * Owns: processes and their mail. Thread: loop. */
#include "node/proc.h"

#include <string.h>

#include "base/mem.h"
#include "node/call.h"
#include "node/gen.h"
#include "node/peer.h"
#include "node/watch.h"
#include "term/get.h"
#include "term/ident.h"
#include "term/put.h"

/* Messages handled before the sockets are looked at again. */
#define TURN_MESSAGES 4096

struct pid_key {
    uint32_t id, serial;
};

struct tb_proc *
tb_proc_of(struct tb_node *node, struct tb_pid pid)
{
    struct pid_key key = { pid.id, pid.serial };

    if (!tb_node_is_us(node, pid))
        return NULL;
    return tb_map_get(node->procs, &key, sizeof(key));
}

struct tb_proc *
tb_proc_named(struct tb_node *node, struct tb_text name)
{
    return tb_map_get(node->names, name.p, name.n);
}

static void
make_runnable(struct tb_proc *p)
{
    if (!p->runnable.next)
        tb_list_add(&p->node->runnable, &p->runnable);
}

/* -------------------------------------------------------------- birth -- */

static void
next_pid(struct tb_node *node, struct tb_pid *pid)
{
    do {
        if (++node->next_id > TB_MAX_PID_ID) {
            node->next_id = 1;
            node->next_serial = (node->next_serial + 1) & TB_MAX_PID_SERIAL;
        }
        *pid = (struct tb_pid){ node->name, node->next_id, node->next_serial,
                                node->creation };
    } while (tb_proc_of(node, *pid));
}

static const struct tb_compiled *
code_of(struct tb_node *node, const struct tb_service *service, int *error)
{
    uintptr_t key = (uintptr_t)service;
    struct tb_compiled *code = tb_map_get(node->compiled, &key, sizeof(key));

    if (code)
        return code;
    code = tb_gen_compile(service, error);
    if (code)
        tb_map_put(node->compiled, &key, sizeof(key), code);
    return code;
}

int
tb_register(struct tb_proc *p, const char *name)
{
    size_t n = strlen(name);

    if (p->name || tb_map_put(p->node->names, name, n, p) < 0)
        return -TB_EIN_USE;
    p->name = tb_strdup_n(name, n);
    return 0;
}

static struct tb_proc *
proc_alloc(struct tb_node *node, const struct tb_service *service,
           const struct tb_compiled *code)
{
    struct tb_proc *p = tb_new(struct tb_proc);
    struct pid_key key;

    p->node = node;
    p->service = service;
    p->code = code;
    p->state = tb_alloc(service->state_size);
    tb_list_init(&p->mail);
    tb_list_init(&p->monitors);
    tb_list_init(&p->monitored_by);
    tb_list_init(&p->links);
    tb_list_init(&p->calls);
    tb_list_init(&p->timers);
    next_pid(node, &p->pid);
    key = (struct pid_key){ p->pid.id, p->pid.serial };
    tb_map_put(node->procs, &key, sizeof(key), p);
    tb_list_add(&node->all, &p->all);
    if (code->has_funs)
        tb_list_add(&node->have_funs, &p->have_fun);
    return p;
}

static void end_proc(struct tb_proc *p);

int
tb_proc_new(struct tb_node *node, const struct tb_service *service,
            const void *arg, struct tb_proc *link_to, struct tb_proc **out)
{
    const struct tb_compiled *code;
    struct tb_proc *p;
    int rc = 0;

    code = code_of(node, service, &rc);
    if (!code)
        return rc;
    p = proc_alloc(node, service, code);
    p->parent = link_to ? link_to->pid : p->pid;
    if (service->name)
        rc = tb_register(p, service->name);
    if (rc == 0 && service->init)
        rc = service->init(p, p->state, arg);
    if (rc < 0) {
        tb_wr_clear(&p->reason, SIZE_MAX);
        tb_build(&p->reason, "{error, R}",
                 TB_ARGS(tb_v_atom(tb_error_atom(rc))));
        p->dying = true;
        end_proc(p);
        return rc;
    }
    p->started = true;
    if (link_to)
        tb_watch_local_link(link_to, p);
    if (out)
        *out = p;
    return 0;
}

/* -------------------------------------------------------------- death -- */

static void
free_mail(struct tb_proc *p)
{
    tb_proc_suspend(p); /* so that none of it counts */
    TB_LIST_EACH (mail, &p->mail, struct tb_mail, link)
        tb_free(mail);
    tb_list_init(&p->mail);
}

static void
leave_origin(struct tb_proc *p)
{
    struct tb_peer *peer = tb_peer_find(p->node, p->origin);

    if (!peer || peer->n_ongoing == 0)
        return;
    peer->n_ongoing--;
    tb_peer_release(peer);
}

static void
end_proc(struct tb_proc *p)
{
    struct pid_key key = { p->pid.id, p->pid.serial };

    tb_calls_end(p);
    if (p->started && p->service->terminate)
        p->service->terminate(p, p->state, tb_wr_term(&p->reason));
    if (p->name)
        tb_map_take(p->node->names, p->name, strlen(p->name));
    tb_map_take(p->node->procs, &key, sizeof(key));
    tb_list_del(&p->all);
    tb_list_del(&p->have_fun);
    tb_list_del(&p->runnable);
    tb_list_del(&p->node_sub);
    tb_watch_proc_ended(p);
    tb_calls_free(p);
    tb_timers_free(p);
    tb_sys_free(p);
    leave_origin(p);
    free_mail(p);
    tb_wr_free(&p->reason);
    tb_free(p->name);
    tb_free(p->state);
    tb_free(p);
}

void
tb_proc_kill(struct tb_proc *p, struct tb_term reason)
{
    if (p->dying)
        return;
    p->dying = true;
    tb_wr_clear(&p->reason, SIZE_MAX);
    if (reason.n)
        tb_put_term(&p->reason, reason);
    else /* it could not be built; peers need one */
        tb_build(&p->reason, "{error, system_limit}", TB_NONE);
    make_runnable(p);
}

static void
kill_with(struct tb_proc *p, const char *reason, struct tb_args args)
{
    struct tb_wr w = { 0 };

    tb_build(&w, reason, args);
    tb_proc_kill(p, tb_wr_term(&w));
    tb_wr_free(&w);
}

int
tb_stop(struct tb_proc *p, const char *reason, struct tb_args args)
{
    kill_with(p, reason, args);
    return TB_STOP;
}

void
tb_proc_result(struct tb_proc *p, int rc)
{
    if (rc >= 0)
        return;
    tb_log(TB_ERROR, "process.crashed", "name=%s reason={error,%s}",
           p->name            ? p->name
           : p->service->name ? p->service->name
                              : "-",
           tb_error_atom(rc));
    kill_with(p, "{error, R}", TB_ARGS(tb_v_atom(tb_error_atom(rc))));
}

void
tb_proc_exit_signal(struct tb_proc *p, struct tb_pid from,
                    struct tb_term reason, bool linked)
{
    static const struct tb_ref none;
    struct tb_text text = { "", 0 };

    tb_get_atom(reason, &text);
    if (!linked && tb_text_is(text, "kill")) {
        kill_with(p, "killed", TB_NONE);
    } else if (p->service->trap_exit) {
        struct tb_wr w = { 0 };

        tb_build(&w, "{'EXIT', From, Reason}",
                 TB_ARGS(tb_v_pid(from), tb_v_term(reason)));
        tb_proc_enqueue(p, TB_MAIL_TERM, none, tb_wr_term(&w));
        tb_wr_free(&w);
    } else if (!tb_text_is(text, "normal")) {
        tb_proc_kill(p, reason);
    }
}

/* --------------------------------------------------------------- mail -- */

/* What waits in processes that run is counted for the node too: see
 * tb_procs_are_behind(). */
static void
charge(struct tb_proc *p, const struct tb_mail *mail)
{
    size_t size = sizeof(*mail) + mail->n;

    p->mail_bytes += size;
    if (!p->suspended)
        p->node->mail_bytes += size;
}

static void
discharge(struct tb_proc *p, const struct tb_mail *mail)
{
    size_t size = sizeof(*mail) + mail->n;

    p->mail_bytes -= size;
    if (!p->suspended)
        p->node->mail_bytes -= size;
}

bool
tb_procs_are_behind(const struct tb_node *node, bool already)
{
    return node->mail_bytes > (already ? TB_MAIL_HIGH / 2 : TB_MAIL_HIGH);
}

void
tb_proc_enqueue(struct tb_proc *p, enum tb_mail_kind kind, struct tb_ref ref,
                struct tb_term message)
{
    struct tb_mail *mail;

    if (p->dying || (kind == TB_MAIL_TERM && message.n == 0))
        return; /* what could not be built has been told of already */
    if (p->suspended && p->mail_bytes > TB_MAX_MAILBOX) {
        tb_log(TB_ERROR, "process.mailbox_full", "name=%s",
               p->name ? p->name : "-");
        kill_with(p, "{error, system_limit}", TB_NONE);
        return;
    }
    mail = tb_alloc(sizeof(*mail) + message.n);
    mail->kind = kind;
    mail->ref = ref;
    mail->n = message.n;
    if (message.n)
        memcpy(mail->bytes, message.p, message.n);
    charge(p, mail);
    tb_list_add(&p->mail, &mail->link);
    /* what waits for tb_proc_resume() need not be looked through till then */
    if (!p->suspended || (kind == TB_MAIL_TERM && tb_gen_is_urgent(p, message)))
        make_runnable(p);
}

static void
handle(struct tb_proc *p, struct tb_term message)
{
    p->messages_in++;
    if (p->sys)
        tb_sys_log(p, message);
    tb_proc_result(p, tb_gen_message(p, message));
}

void
tb_proc_receive(struct tb_proc *p, struct tb_term message)
{
    static const struct tb_ref none;
    bool at_once =
        p->suspended ? tb_gen_is_urgent(p, message) : tb_list_empty(&p->mail);

    if (p->dying)
        p->node->count.dropped++;
    else if (at_once)
        handle(p, message);
    else
        tb_proc_enqueue(p, TB_MAIL_TERM, none, message);
}

/* The mail that is next: while suspended, only what is urgent. */
static struct tb_mail *
next_mail(struct tb_proc *p)
{
    TB_LIST_EACH (mail, &p->mail, struct tb_mail, link) {
        struct tb_term t = { mail->bytes, mail->n };

        if (!p->suspended ||
            (mail->kind == TB_MAIL_TERM && tb_gen_is_urgent(p, t)))
            return mail;
    }
    return NULL;
}

static void
take_mail(struct tb_proc *p, struct tb_mail *mail)
{
    tb_list_del(&mail->link);
    discharge(p, mail);
}

void
tb_proc_drop_down(struct tb_proc *p, struct tb_ref ref)
{
    struct tb_val v[TB_MAX_HOLES];

    TB_LIST_EACH (mail, &p->mail, struct tb_mail, link) {
        struct tb_term t = { mail->bytes, mail->n };

        if (mail->kind == TB_MAIL_TERM &&
            tb_match("{'DOWN', Ref:ref, process, _, _}", t, v) == 1 &&
            tb_ref_eq(v[0].ref, ref)) {
            take_mail(p, mail);
            tb_free(mail);
            return;
        }
    }
}

static void
run_mail(struct tb_proc *p, struct tb_mail *mail)
{
    take_mail(p, mail);
    if (mail->kind == TB_MAIL_CALL_TIMEOUT)
        tb_call_timed_out(p, mail->ref);
    else
        handle(p, (struct tb_term){ mail->bytes, mail->n });
    tb_free(mail);
}

void
tb_proc_suspend(struct tb_proc *p)
{
    if (!p->suspended)
        p->node->mail_bytes -= p->mail_bytes;
    p->suspended = true;
}

void
tb_proc_resume(struct tb_proc *p)
{
    if (p->suspended)
        p->node->mail_bytes += p->mail_bytes;
    p->suspended = false;
    if (!tb_list_empty(&p->mail))
        make_runnable(p);
}

bool
tb_procs_run(struct tb_node *node)
{
    for (int i = 0; i < TURN_MESSAGES && !tb_list_empty(&node->runnable); i++) {
        struct tb_proc *p =
            TB_ENTRY(node->runnable.next, struct tb_proc, runnable);
        struct tb_mail *mail;

        tb_list_del(&p->runnable);
        if (p->dying) {
            end_proc(p);
            continue;
        }
        mail = next_mail(p);
        if (!mail)
            continue;
        run_mail(p, mail);
        if (p->dying || !tb_list_empty(&p->mail))
            make_runnable(p);
    }
    return !tb_list_empty(&node->runnable);
}

/* ------------------------------------------------------------- public -- */

struct tb_node *
tb_self_node(const struct tb_proc *self)
{
    return self->node;
}

struct tb_pid
tb_self(const struct tb_proc *self)
{
    return self->pid;
}

void
tb_monitor_nodes(struct tb_proc *self, bool on)
{
    if (!on)
        tb_list_del(&self->node_sub);
    else if (!self->node_sub.next)
        tb_list_add(&self->node->node_subs, &self->node_sub);
}

bool
tb_whereis(struct tb_node *node, struct tb_text name, struct tb_pid *pid)
{
    struct tb_proc *p = tb_proc_named(node, name);

    if (p)
        *pid = p->pid;
    return p;
}

bool
tb_is_alive(struct tb_node *node, struct tb_pid pid)
{
    struct tb_proc *p = tb_proc_of(node, pid);

    return p && !p->dying;
}
