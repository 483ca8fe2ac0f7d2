/* bench_server.c - the C side of the benchmark: what tb_bench.erl's gen_server
 * does, as a user of the library would write it.
 *
 * Usage: bench_server NODE@HOST COOKIE [CERTIFICATES]. It ends with SIGTERM. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "tiebeam.h"

struct bench {
    int64_t sunk;
    struct tb_pid *crowd; /* owned */
    size_t n_crowd, room;
};

static int
on_echo(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    (void)state;
    return tb_reply(self, m, "Term", TB_ARGS(m->arg[0]));
}

static int
on_sink(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct bench *b = state;

    (void)self;
    (void)m;
    b->sunk++;
    return TB_NOREPLY;
}

static int
on_sunk(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct bench *b = state;

    return tb_reply(self, m, "N", TB_ARGS(tb_v_int(b->sunk)));
}

static int
on_flood(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    static const char zeros[4096];
    size_t size = (size_t)m->arg[2].i;

    (void)state;
    if (size > sizeof(zeros))
        return -TB_EBADARG;
    for (int64_t i = 0; i < m->arg[1].i; i++)
        tb_send(self, m->arg[0].pid, "{flood, Data}",
                TB_ARGS(tb_v_bin(zeros, size)));
    return TB_NOREPLY;
}

static int
on_join(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct bench *b = state;

    if (b->n_crowd == b->room) {
        size_t room = b->room ? 2 * b->room : 64;
        struct tb_pid *crowd = tb_alloc(room * sizeof(*crowd));

        if (b->crowd)
            memcpy(crowd, b->crowd, b->n_crowd * sizeof(*crowd));
        tb_free(b->crowd);
        b->crowd = crowd;
        b->room = room;
    }
    b->crowd[b->n_crowd++] = m->arg[0].pid;
    tb_send(self, m->arg[0].pid, "joined", TB_NONE);
    return TB_NOREPLY;
}

static int
on_broadcast(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct bench *b = state;

    for (size_t i = 0; i < b->n_crowd && (int64_t)i < m->arg[0].i; i++)
        tb_send(self, b->crowd[i], "{broadcast, I}",
                TB_ARGS(tb_v_int((int64_t)i)));
    return TB_NOREPLY;
}

static void
terminate(struct tb_proc *self, void *state, struct tb_term why)
{
    struct bench *b = state;

    (void)self;
    (void)why;
    tb_free(b->crowd);
}

/* clang-format off */
static const struct tb_clause clauses[] = {
    { TB_CALL, "{echo, Term}",                   on_echo      },
    { TB_CAST, "{sink, _}",                      on_sink      },
    { TB_CALL, "sunk",                           on_sunk      },
    { TB_CAST, "{flood, To:pid, N:int, Size:int}", on_flood   },
    { TB_CAST, "{join, Pid:pid}",                on_join      },
    { TB_CAST, "{broadcast, N:int}",             on_broadcast },
    { 0 },
};
/* clang-format on */

static const struct tb_service bench = {
    .name = "bench",
    .state_size = sizeof(struct bench),
    .terminate = terminate,
    .clauses = clauses,
};

/* Thousands of peers need as many descriptors. */
static void
raise_nofile(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void
on_ready(void *ctx, int status)
{
    (void)ctx;
    if (status == 0)
        puts("ready");
    fflush(stdout);
}

/* TLS 1.3 with the certificates of test/interop/certs.sh; exits where they are
 * refused. */
static struct tb_tls *
tls_of(const char *dir)
{
    char cert[512], key[512], ca[512];
    struct tb_tls_role role = { .certfile = cert,
                                .keyfile = key,
                                .cacertfile = ca,
                                .verify_peer = true,
                                .depth = -1,
                                .versions = TB_TLS_1_3 };
    struct tb_tls_options o = { role, role };
    struct tb_tls *tls;

    snprintf(cert, sizeof(cert), "%s/node.pem", dir);
    snprintf(key, sizeof(key), "%s/node.key", dir);
    snprintf(ca, sizeof(ca), "%s/ca.pem", dir);
    tls = tb_tls_new(&o, NULL);
    if (!tls) {
        fprintf(stderr, "bench_server: no certificates in %s\n", dir);
        exit(1);
    }
    return tls;
}

int
main(int argc, char **argv)
{
    struct tb_options options = { .name = argc > 1 ? argv[1] : NULL,
                                  .cookie = argc > 2 ? argv[2] : NULL,
                                  .tls = argc > 3 ? tls_of(argv[3]) : NULL };
    int rc = 0;
    struct tb_node *node = tb_node_new(&options, &rc);

    raise_nofile();
    if (node)
        rc = tb_start_kernel(node);
    if (node && rc == 0)
        rc = tb_start(node, &bench, NULL, TB_PERMANENT, NULL);
    if (node && rc == 0)
        rc = tb_node_start(node, on_ready, NULL);
    if (node && rc == 0)
        rc = tb_node_run(node);
    tb_node_free(node);
    if (rc < 0)
        fprintf(stderr, "bench_server: %s\n", tb_strerror(rc));
    return rc < 0;
}
