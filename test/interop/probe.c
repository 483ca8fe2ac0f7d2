/* probe.c - a C node that does to BEAM processes what a suite tells it to, and
 * reports what came of it: the outgoing half of tiebeam.h.
 *
 * Usage: probe NODE@HOST COOKIE [clusters]. It ends with the cast stop. */
#include <stdio.h>
#include <string.h>

#include "tiebeam.h"

struct probe {
    struct tb_wr seen; /* messages, one after the other */
    size_t n_seen;
};

static int
note(struct probe *p, struct tb_term t)
{
    tb_wr_bytes(&p->seen, t.p, t.n);
    p->n_seen++;
    return TB_NOREPLY;
}

static int
on_message(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)self;
    return note(state, m->term);
}

/* -------------------------------------------------- member of a cluster -- */

static int
note_built(struct probe *p, const char *what, struct tb_args args)
{
    struct tb_wr w = { 0 };

    tb_build(&w, what, args);
    note(p, tb_wr_term(&w));
    tb_wr_free(&w);
    return TB_NOREPLY;
}

static int
see_members(struct tb_proc *self, void *state, struct tb_term cluster,
            struct tb_term plist)
{
    (void)self;
    return note_built(state, "{members, C, P}",
                      TB_ARGS(tb_v_term(cluster), tb_v_term(plist)));
}

static int
see_join(struct tb_proc *self, void *state, struct tb_term cluster,
         struct tb_term type, struct tb_pid pid, bool first_of_node)
{
    (void)self;
    return note_built(state, "{join, C, T, P, F}",
                      TB_ARGS(tb_v_term(cluster), tb_v_term(type),
                              tb_v_pid(pid), tb_v_bool(first_of_node)));
}

static int
see_leave(struct tb_proc *self, void *state, struct tb_term cluster,
          struct tb_term type, struct tb_pid pid, struct tb_term reason)
{
    (void)self;
    return note_built(state, "{leave, C, T, P, R}",
                      TB_ARGS(tb_v_term(cluster), tb_v_term(type),
                              tb_v_pid(pid), tb_v_term(reason)));
}

static int
see_leader(struct tb_proc *self, void *state, struct tb_term cluster,
           struct tb_pid leader)
{
    (void)self;
    return note_built(state, "{leader, C, P}",
                      TB_ARGS(tb_v_term(cluster), tb_v_pid(leader)));
}

static int
on_cluster_join(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    tb_cluster_join(self, m->arg[0], m->arg[1]);
    return tb_reply(self, m, "ok", TB_NONE);
}

static int
on_cluster_event(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    static const struct tb_cluster_events events = { see_members, see_join,
                                                     see_leave, see_leader };

    return tb_cluster_event(self, state, m, &events);
}

static int
on_cluster_down(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)self;
    (void)m;
    return note_built(state, "cluster_down", TB_NONE);
}

/* seen: all messages since the last time it was asked */
static int
on_seen(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct probe *p = state;
    struct tb_wr list = { 0 };
    int rc;

    tb_build_list(&list, p->n_seen, &p->seen);
    rc = tb_reply(self, m, "Seen", TB_ARGS(tb_v_term(tb_wr_term(&list))));
    tb_wr_free(&list);
    tb_wr_free(&p->seen);
    p->n_seen = 0;
    return rc;
}

static int
on_done(struct tb_proc *self, void *state, void *ctx, int status,
        struct tb_term result)
{
    struct tb_from *from = ctx;
    int rc = tb_reply_to(
        self, from, "{Status, Result}",
        TB_ARGS(tb_v_atom(status < 0 ? tb_error_atom(status) : "ok"),
                tb_v_term(result)));

    (void)state;
    tb_from_free(from);
    return rc;
}

static int
on_call(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    tb_call(self, m->arg[0].pid, "Request", TB_ARGS(m->arg[1]),
            (uint64_t)m->arg[2].i, on_done, tb_from_keep(m));
    return TB_NOREPLY;
}

static char *
c_string(struct tb_text t, char buf[256])
{
    snprintf(buf, 256, "%.*s", (int)t.n, t.p);
    return buf;
}

static int
on_call_name(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    char name[256];

    (void)state;
    tb_call_name(self, c_string(m->arg[0].text, name),
                 tb_intern(m->arg[1].text), "Request", TB_ARGS(m->arg[2]),
                 (uint64_t)m->arg[3].i, on_done, tb_from_keep(m));
    return TB_NOREPLY;
}

static int
on_erpc(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    char module[256], function[256];

    (void)state;
    tb_erpc(self, tb_intern(m->arg[0].text), c_string(m->arg[1].text, module),
            c_string(m->arg[2].text, function), "Args", TB_ARGS(m->arg[3]),
            (uint64_t)m->arg[4].i, on_done, tb_from_keep(m));
    return TB_NOREPLY;
}

static int
on_connect(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    tb_connect(self, tb_intern(m->arg[0].text), on_done, tb_from_keep(m));
    return TB_NOREPLY;
}

static int
on_monitor(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    return tb_reply(self, m, "Ref",
                    TB_ARGS(tb_v_ref(tb_monitor(self, m->arg[0].pid))));
}

static int
on_monitor_name(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    char name[256];
    struct tb_ref ref = tb_monitor_name(self, c_string(m->arg[0].text, name),
                                        tb_intern(m->arg[1].text));

    (void)state;
    return tb_reply(self, m, "Ref", TB_ARGS(tb_v_ref(ref)));
}

static int
on_demonitor(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    return tb_reply(self, m, "Was",
                    TB_ARGS(tb_v_bool(tb_demonitor(self, m->arg[0].ref))));
}

static int
on_link(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    tb_link(self, m->arg[0].pid);
    return tb_reply(self, m, "ok", TB_NONE);
}

static int
on_unlink(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    tb_unlink(self, m->arg[0].pid);
    return tb_reply(self, m, "ok", TB_NONE);
}

static int
on_exit_to(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    tb_exit(self, m->arg[0].pid, "Reason", TB_ARGS(m->arg[1]));
    return tb_reply(self, m, "ok", TB_NONE);
}

static int
on_send(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    tb_send(self, m->arg[0].pid, "Message", TB_ARGS(m->arg[1]));
    return tb_reply(self, m, "ok", TB_NONE);
}

static int
on_send_name(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    char name[256];

    (void)state;
    tb_send_name(self, c_string(m->arg[0].text, name),
                 tb_intern(m->arg[1].text), "Message", TB_ARGS(m->arg[2]));
    return tb_reply(self, m, "ok", TB_NONE);
}

static int
on_after(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_ref ref = tb_send_after(self, (uint64_t)m->arg[0].i, "Message",
                                      TB_ARGS(m->arg[1]));

    (void)state;
    return tb_reply(self, m, "Ref", TB_ARGS(tb_v_ref(ref)));
}

static int
on_cancel(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    return tb_reply(self, m, "Was",
                    TB_ARGS(tb_v_bool(tb_cancel_timer(self, m->arg[0].ref))));
}

static int
on_monitor_nodes(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    tb_monitor_nodes(self, tb_text_is(m->arg[0].text, "true"));
    return tb_reply(self, m, "ok", TB_NONE);
}

/* Status is ok where the node's emulator answered. */
static int
on_probe(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    tb_probe(self, tb_intern(m->arg[0].text), on_done, tb_from_keep(m));
    return TB_NOREPLY;
}

static int
on_sys(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    char name[256];

    (void)state;
    tb_sys_name(self, c_string(m->arg[0].text, name), tb_intern(m->arg[1].text),
                "Request", TB_ARGS(m->arg[2]), (uint64_t)m->arg[3].i, on_done,
                tb_from_keep(m));
    return TB_NOREPLY;
}

static int
on_peer_info(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_peer_info info;
    struct tb_node *node = tb_self_node(self);

    (void)state;
    if (!tb_peer_info(node, tb_intern(m->arg[0].text), &info))
        return tb_reply(self, m, "undefined", TB_NONE);
    return tb_reply(
        self, m,
        "#{visible => V, answers_probes => P, connection_id => Id, "
        "creation => C, silence_ms => S, bytes_in => I, bytes_out => O}",
        TB_ARGS(tb_v_bool(info.visible), tb_v_bool(info.answers_probes),
                tb_v_int((int64_t)info.connection_id), tb_v_int(info.creation),
                tb_v_int((int64_t)(tb_now_ms(node) - info.read_ms)),
                tb_v_int((int64_t)info.bytes_in),
                tb_v_int((int64_t)info.bytes_written)));
}

static int
on_disconnect_for(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    return tb_reply(
        self, m, "Was",
        TB_ARGS(tb_v_bool(tb_disconnect_for(
            tb_self_node(self), tb_intern(m->arg[0].text), -TB_EPROBE))));
}

static int
on_info(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_wr w = { 0 };
    int rc = tb_put_info(tb_self_node(self), &w);

    (void)state;
    if (rc == 0)
        rc = tb_reply(self, m, "Info", TB_ARGS(tb_v_term(tb_wr_term(&w))));
    tb_wr_free(&w);
    return rc;
}

/* crash: what a handler's error is to those who watch the process */
static int
on_crash(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)self;
    (void)state;
    (void)m;
    return -TB_EBADARG;
}

static int
on_stop(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    (void)m;
    tb_node_stop(tb_self_node(self));
    return TB_NOREPLY;
}

static void
terminate(struct tb_proc *self, void *state, struct tb_term why)
{
    struct probe *p = state;

    (void)self;
    (void)why;
    tb_wr_free(&p->seen);
}

/* clang-format off */
static const struct tb_clause clauses[] = {
    { TB_CALL, "seen",                                        on_seen          },
    { TB_CALL, "info",                                        on_info          },
    { TB_CALL, "{call, To:pid, Request, Timeout:int}",        on_call          },
    { TB_CALL, "{call, {Name:atom, Node:atom}, Request, Timeout:int}", on_call_name },
    { TB_CALL, "{erpc, Node:atom, M:atom, F:atom, Args:list, Timeout:int}", on_erpc },
    { TB_CALL, "{connect, Node:atom}",                        on_connect       },
    { TB_CALL, "{monitor, Pid:pid}",                          on_monitor       },
    { TB_CALL, "{monitor, {Name:atom, Node:atom}}",           on_monitor_name  },
    { TB_CALL, "{demonitor, Ref:ref}",                        on_demonitor     },
    { TB_CALL, "{link, Pid:pid}",                             on_link          },
    { TB_CALL, "{unlink, Pid:pid}",                           on_unlink        },
    { TB_CALL, "{exit, Pid:pid, Reason}",                     on_exit_to       },
    { TB_CALL, "{send, Pid:pid, Message}",                    on_send          },
    { TB_CALL, "{send, {Name:atom, Node:atom}, Message}",     on_send_name     },
    { TB_CALL, "{send_after, Ms:int, Message}",               on_after         },
    { TB_CALL, "{cancel_timer, Ref:ref}",                     on_cancel        },
    { TB_CALL, "{monitor_nodes, Flag:atom}",                  on_monitor_nodes },
    { TB_CALL, "{probe, Node:atom}",                          on_probe         },
    { TB_CALL, "{sys, {Name:atom, Node:atom}, Request, Timeout:int}", on_sys   },
    { TB_CALL, "{peer_info, Node:atom}",                      on_peer_info     },
    { TB_CALL, "{disconnect_for, Node:atom}",                 on_disconnect_for },
    { TB_CALL, "{cluster_join, Cluster, Type}",               on_cluster_join  },
    { TB_CALL, "crash",                                       on_crash         },
    { TB_CAST, "stop",                                        on_stop          },
    { TB_INFO, TB_CLUSTER_EVENT,                              on_cluster_event },
    { TB_INFO, TB_CLUSTER_DOWN,                               on_cluster_down  },
    { TB_INFO, "Any",                                         on_message       },
    { 0 },
};
/* clang-format on */

static const struct tb_service probe = {
    .name = "probe",
    .state_size = sizeof(struct probe),
    .trap_exit = true,
    .terminate = terminate,
    .clauses = clauses,
};

static void
on_ready(void *ctx, int status)
{
    (void)ctx;
    printf("ready %s\n", status < 0 ? tb_error_atom(status) : "ok");
    fflush(stdout);
}

static void
to_stderr(void *ctx, enum tb_level level, const char *event, const char *text,
          uint64_t suppressed)
{
    (void)ctx;
    (void)level;
    (void)suppressed;
    fprintf(stderr, "[%s] %s\n", event, text);
}

int
main(int argc, char **argv)
{
    struct tb_options options = { .name = argc > 1 ? argv[1] : NULL,
                                  .cookie = argc > 2 ? argv[2] : NULL };
    /* a detector, and clusters, would have calls of their own under way */
    bool clusters = argc > 3 && strcmp(argv[3], "clusters") == 0;
    static const char no_detector[] = "[{detector, off}]";
    struct tb_text_error error;
    struct tb_wr w = { 0 };
    struct tb_term monitor;
    int rc = tb_parse(&w, no_detector, sizeof(no_detector) - 1, &error);
    struct tb_node *node = tb_node_new(&options, &rc);

    monitor = tb_wr_term(&w);
    tb_log_to(to_stderr, NULL, TB_NOTICE);
    if (node)
        rc = tb_start(node, &probe, NULL, TB_PERMANENT, NULL);
    if (node && rc == 0)
        rc = tb_start_node_monitor(node, &monitor);
    if (node && rc == 0 && clusters)
        rc = tb_start_pg(node, "pg");
    if (node && rc == 0 && clusters)
        rc = tb_start_process_clusters(node);
    if (node && rc == 0)
        rc = tb_node_start(node, on_ready, NULL);
    if (node && rc == 0)
        rc = tb_node_run(node);
    tb_node_free(node);
    tb_wr_free(&w);
    return rc < 0;
}
