/* bench_crowd.c - thousands of nodes in one program, for the benchmark; and
 * the CPU time of any process, finer than /proc tells it.
 *
 * Usage: bench_crowd NODE PORT COOKIE, of the node to connect to.
 * One command a line on stdin, one line of answer each:
 *   connect N     N nodes more, each a pid that joined the process bench
 *   broadcast N   bench sends a message to the first N: microseconds
 *   cpu PID       nanoseconds that this process has used
 *   kill PID      with SIGKILL, at once: 0 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "dist/control.h"
#include "dist/handshake.h"
#include "term/ident.h"

struct peer {
    int fd;
    struct tb_pid pid;
    uint64_t flags;
};

static struct peer *peers;
static size_t n_peers;
static struct tb_text node;
static uint16_t port;
static struct tb_cookie cookie;

static void
die(const char *what)
{
    perror(what);
    exit(1);
}

static int64_t
now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void
read_all(int fd, void *p, size_t n)
{
    if (n && recv(fd, p, n, MSG_WAITALL) != (ssize_t)n)
        die("recv");
}

static void
write_all(int fd, struct tb_wr *w)
{
    if (w->bad || send(fd, w->buf, w->len, 0) != (ssize_t)w->len)
        die("send");
    tb_wr_free(w);
}

/* ---------------------------------------------------------- handshake -- */

static int
dial(void)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
        die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

static void
shake_hands(struct peer *p, struct tb_text name)
{
    struct tb_handshake hs = { .our_name = name,
                               .our_flags = TB_DFLAGS_OURS,
                               .our_creation = p->pid.creation,
                               .length_bytes = 2,
                               .challenge = 4711,
                               .cookie = cookie };
    uint8_t head[2], body[1024];
    size_t n;
    int rc;

    hs.name_len = (uint8_t)node.n;
    memcpy(hs.name, node.p, node.n);
    tb_hs_start(&hs);
    do {
        if (hs.out.len)
            write_all(p->fd, &hs.out);
        read_all(p->fd, head, 2);
        n = (size_t)(head[0] << 8 | head[1]);
        if (n > sizeof(body))
            die("handshake");
        read_all(p->fd, body, n);
        rc = tb_hs_feed(&hs, body, n);
    } while (rc == TB_HS_MORE);
    if (rc != TB_HS_DONE)
        die(tb_strerror(rc));
    p->flags = tb_hs_effective_flags(&hs);
    tb_hs_fini(&hs);
}

static void
cast(const struct peer *p, const char *request, struct tb_args args)
{
    struct tb_wr message = { 0 }, payload = { 0 }, frame = { 0 };

    tb_build(&message, request, args);
    tb_build(&payload, "{'$gen_cast', Request}",
             TB_ARGS(tb_v_term(tb_wr_term(&message))));
    tb_control_put(&frame, p->flags, DOP_REG_SEND,
                   TB_ARGS(tb_v_pid(p->pid), tb_v_atom("bench")),
                   tb_wr_term(&payload));
    write_all(p->fd, &frame);
    tb_wr_free(&message);
    tb_wr_free(&payload);
}

/* ----------------------------------------------------------- messages -- */

/* Until a message comes; frames of no length are ticks. */
static void
read_message(const struct peer *p)
{
    uint8_t bytes[4096];
    bool found = false;

    while (!found) {
        ssize_t n = recv(p->fd, bytes, sizeof(bytes), 0), at = 0;
        uint32_t length;

        for (; n - at >= 4; at += 4 + (ssize_t)length) {
            memcpy(&length, bytes + at, 4);
            length = ntohl(length);
            found |= length > 0;
        }
        if (n <= 0 || at != n) /* nothing that small comes in parts */
            die("recv");
    }
}

/* Ticks that have come are dropped, and answered. */
static void
tick_all(void)
{
    uint8_t bytes[4096];
    struct tb_wr tick;

    for (size_t i = 0; i < n_peers; i++) {
        while (recv(peers[i].fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
            continue;
        tick = (struct tb_wr){ 0 };
        tb_wr_u32(&tick, 0);
        write_all(peers[i].fd, &tick);
    }
}

static void
connect_peers(size_t n)
{
    peers = realloc(peers, (n_peers + n) * sizeof(*peers));
    if (!peers)
        die("realloc");
    for (; n > 0; n--, n_peers++) {
        struct peer *p = &peers[n_peers];
        char name[64];

        snprintf(name, sizeof(name), "crowd_%zu@127.0.0.1", n_peers);
        p->pid = (struct tb_pid){ tb_intern(tb_text_of(name)), 1, 0, 4 };
        p->fd = dial();
        shake_hands(p, tb_text_of(name));
        cast(p, "{join, Pid}", TB_ARGS(tb_v_pid(p->pid)));
        read_message(p); /* it has */
        if (n_peers % 1000 == 0)
            tick_all();
    }
}

static int64_t
broadcast(size_t n)
{
    int64_t start;

    tick_all();
    start = now_us();
    cast(&peers[0], "{broadcast, N}", TB_ARGS(tb_v_int((int64_t)n)));
    for (size_t i = 0; i < n && i < n_peers; i++)
        read_message(&peers[i]);
    return now_us() - start;
}

static int64_t
cpu_ns(pid_t pid)
{
    struct timespec t = { 0 };
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) < 0)
        return -1;
    return t.tv_sec * 1000000000 + t.tv_nsec;
}

static void
obey(const char *command, long n)
{
    if (strcmp(command, "connect") == 0) {
        connect_peers((size_t)n);
        printf("%zu\n", n_peers);
    } else if (strcmp(command, "broadcast") == 0 && n_peers > 0) {
        printf("%lld\n", (long long)broadcast((size_t)n));
    } else if (strcmp(command, "cpu") == 0) {
        printf("%lld\n", (long long)cpu_ns((pid_t)n));
    } else if (strcmp(command, "kill") == 0 && n > 1) {
        printf("%d\n", kill((pid_t)n, SIGKILL));
    } else {
        printf("?\n");
    }
    fflush(stdout);
}

int
main(int argc, char **argv)
{
    char line[128], command[32];
    struct rlimit limit;
    long n;

    if (argc < 4 || strlen(argv[1]) > 255 || strlen(argv[3]) > TB_MAX_COOKIE)
        return 2;
    node = tb_text_of(argv[1]);
    port = (uint16_t)strtol(argv[2], NULL, 10);
    cookie.n = (uint8_t)strlen(argv[3]);
    memcpy(cookie.text, argv[3], cookie.n);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    tb_atoms_ref();
    while (fgets(line, sizeof(line), stdin))
        if (sscanf(line, "%31s %ld", command, &n) == 2)
            obey(command, n);
    return 0;
}
