/* wire.c - a link between two network namespaces that can be slow, lossy or
 * cut, in each direction on its own; for kernels without netem.
 *
 * Usage: wire NS_A NS_B DEV. It makes a tun device in each namespace, prints
 * "ready", and carries packets until its standard input ends. Commands, a line
 * each, answered with "ok":
 *
 *   set DIRECTION DELAY_MS JITTER_MS LOSS_PERCENT
 *
 * DIRECTION is ab, ba or both; a loss of 100 is a cut. Packets stay in order.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define QUEUE 16384
#define MTU   1500

struct packet {
    uint64_t due_us;
    uint16_t n;
    uint8_t bytes[MTU];
};

struct direction {
    int from, to;
    double delay_ms, jitter_ms, loss;
    uint64_t last_us;
    struct packet *queue; /* a ring */
    unsigned first, n;
};

static struct direction ways[2];

static uint64_t
now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void
die(const char *what)
{
    perror(what);
    exit(1);
}

static int
tun_in(const char *ns, const char *dev)
{
    char path[256];
    struct ifreq r = { .ifr_flags = IFF_TUN | IFF_NO_PI };
    int at, fd;

    snprintf(path, sizeof(path), "/var/run/netns/%s", ns);
    at = open(path, O_RDONLY | O_CLOEXEC);
    if (at < 0 || setns(at, CLONE_NEWNET) < 0)
        die(path);
    close(at);
    fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", dev);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &r) < 0)
        die("/dev/net/tun");
    return fd;
}

/* Repeatable: the same loss in every run. */
static double
chance(void)
{
    static uint64_t x = 88172645463325252u;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return (double)(x >> 11) / (double)(UINT64_C(1) << 53);
}

static void
take(struct direction *d, const uint8_t *p, size_t n)
{
    double ms = d->delay_ms + (2 * chance() - 1) * d->jitter_ms;
    uint64_t due = now_us() + (uint64_t)(ms > 0 ? ms * 1000 : 0);
    struct packet *packet = &d->queue[(d->first + d->n) % QUEUE];

    if (d->n == QUEUE || chance() * 100 < d->loss)
        return;
    d->last_us = due > d->last_us ? due : d->last_us;
    packet->due_us = d->last_us;
    packet->n = (uint16_t)n;
    memcpy(packet->bytes, p, n);
    d->n++;
}

static void
receive(struct direction *d)
{
    uint8_t buf[MTU];
    ssize_t n;

    while ((n = read(d->from, buf, sizeof(buf))) > 0)
        take(d, buf, (size_t)n);
}

/* Milliseconds until the next packet is due; -1: none waits. */
static int
deliver(struct direction *d)
{
    uint64_t now = now_us();

    while (d->n > 0) {
        struct packet *p = &d->queue[d->first];

        if (p->due_us > now)
            return (int)((p->due_us - now) / 1000) + 1;
        if (write(d->to, p->bytes, p->n) < 0 && errno == EAGAIN)
            return 1;
        d->first = (d->first + 1) % QUEUE;
        d->n--;
    }
    return -1;
}

static bool
command(void)
{
    char line[128], way[8];
    double delay, jitter, loss;

    if (!fgets(line, sizeof(line), stdin))
        return false;
    if (sscanf(line, "set %7s %lf %lf %lf", way, &delay, &jitter, &loss) != 4) {
        puts("what?");
        return true;
    }
    for (int i = 0; i < 2; i++)
        if (strcmp(way, "both") == 0 || strcmp(way, i ? "ba" : "ab") == 0) {
            ways[i].delay_ms = delay;
            ways[i].jitter_ms = jitter;
            ways[i].loss = loss;
        }
    puts("ok");
    return true;
}

int
main(int argc, char **argv)
{
    struct pollfd fds[3] = { { .fd = 0, .events = POLLIN } };

    if (argc != 4) {
        fputs("Usage: wire NS_A NS_B DEV\n", stderr);
        return 2;
    }
    setvbuf(stdin, NULL, _IONBF, 0); /* poll sees each line */
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 0; i < 2; i++) {
        int fd = tun_in(argv[i + 1], argv[3]);

        ways[i].from = ways[1 - i].to = fd;
        ways[i].queue = calloc(QUEUE, sizeof(struct packet));
        fds[i + 1] = (struct pollfd){ .fd = fd, .events = POLLIN };
    }
    puts("ready");
    for (;;) {
        int a = deliver(&ways[0]), b = deliver(&ways[1]);
        int wait = a < 0 ? b : b < 0 ? a : a < b ? a : b;

        if (poll(fds, 3, wait) < 0 && errno != EINTR)
            die("poll");
        if (fds[0].revents && !command())
            return 0;
        receive(&ways[0]);
        receive(&ways[1]);
    }
}
