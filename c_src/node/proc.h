/* proc.h - local processes: mailbox, life and death. */
#ifndef TB_NODE_PROC_H
#define TB_NODE_PROC_H

#include "node/node.h"
#include "term/pattern.h"

struct tb_sys;

struct tb_clause_code {
    enum tb_kind kind;
    struct tb_pattern *pattern; /* owned */
    tb_handler fn;
};

/* A service's clauses, compiled once per node. */
struct tb_compiled {
    size_t n;
    bool has_funs;
    struct tb_clause_code clause[];
};

enum tb_mail_kind { TB_MAIL_TERM, TB_MAIL_CALL_TIMEOUT };

struct tb_mail {
    struct tb_list link;
    enum tb_mail_kind kind;
    struct tb_ref ref; /* of the call that timed out */
    size_t n;
    uint8_t bytes[];
};

struct tb_proc {
    struct tb_list all;      /* in node->all */
    struct tb_list runnable; /* in node->runnable, or .next NULL */
    struct tb_list node_sub; /* in node->node_subs, or .next NULL */
    struct tb_list have_fun; /* in node->have_funs, or .next NULL */
    struct tb_node *node;
    struct tb_pid pid;
    tb_atom origin; /* the peer that spawned it, or 0; counted there */
    char *name;     /* owned; registered, or NULL */
    const struct tb_service *service;
    const struct tb_compiled *code;
    void *state;  /* owned */
    bool started; /* init succeeded: terminate is owed */
    bool dying;
    bool suspended;
    struct tb_wr reason; /* why it is dying */
    struct tb_pid parent;

    struct tb_list mail; /* owned struct tb_mail */
    size_t mail_bytes;
    struct tb_list monitors;     /* struct tb_monitor, by_watcher */
    struct tb_list monitored_by; /* struct tb_monitor, by_target */
    struct tb_list links;        /* struct tb_half_link, by_proc */
    struct tb_list calls;        /* struct tb_pending */
    unsigned n_calls;
    struct tb_list timers; /* struct tb_timer */
    struct tb_sys *sys;    /* owned; debugging that was asked for */
    uint64_t messages_in, messages_out;
};

/* tb_proc_new - make a process and run its init. link_to: NULL, or the parent
 * that hears of its end. 0 and *out, or what init gave (it is gone then). */
int tb_proc_new(struct tb_node *node, const struct tb_service *service,
                const void *arg, struct tb_proc *link_to, struct tb_proc **out);

struct tb_proc *tb_proc_of(struct tb_node *node, struct tb_pid pid);
struct tb_proc *tb_proc_named(struct tb_node *node, struct tb_text name);

/* tb_proc_receive - a message from a peer; handled at once where nothing
 * waits before it. tb_proc_enqueue - a local one; handled in a later turn. */
void tb_proc_receive(struct tb_proc *p, struct tb_term message);
void tb_proc_enqueue(struct tb_proc *p, enum tb_mail_kind kind,
                     struct tb_ref ref, struct tb_term message);

/* tb_proc_drop_down - the DOWN of that monitor, if it waits in the mailbox. */
void tb_proc_drop_down(struct tb_proc *p, struct tb_ref ref);

/* tb_proc_exit_signal - as OTP treats one: linked says that it came over a
 * link, where even kill is an ordinary reason. */
void tb_proc_exit_signal(struct tb_proc *p, struct tb_pid from,
                         struct tb_term reason, bool linked);

/* tb_proc_kill - it ends with that reason in this turn. */
void tb_proc_kill(struct tb_proc *p, struct tb_term reason);
/* tb_proc_result - what a handler of p returned. */
void tb_proc_result(struct tb_proc *p, int rc);

/* tb_proc_suspend - only what is urgent is handled. tb_proc_resume - messages
 * that waited meanwhile go on. */
void tb_proc_suspend(struct tb_proc *p);
void tb_proc_resume(struct tb_proc *p);

/* tb_procs_are_behind - so much mail waits that no more shall be read from
 * peers; already: it has been so.
 * tb_procs_run - a bounded number of waiting messages; true: some are left. */
bool tb_procs_are_behind(const struct tb_node *node, bool already);
bool tb_procs_run(struct tb_node *node);

void tb_compiled_free(void *compiled);

#endif
