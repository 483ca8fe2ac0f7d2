/* parent.c - the program that runs this one: its end is ours, even when it has
 * no time to say so, since the system closes its end of stdin.
 * In Erlang: the owner of a port. Owns: the watch of stdin. Thread: loop. */
#include "daemon/parent.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool
tb_parent_check(void)
{
    struct stat st;

    return fstat(STDIN_FILENO, &st) == 0 &&
           (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) ||
            isatty(STDIN_FILENO));
}

void
tb_parent_unwatch(struct tb_parent *p)
{
    if (!p->open)
        return;
    p->open = false;
    uv_close((uv_handle_t *)&p->stdin_poll, NULL);
}

/* True: it was the line that ends us. */
static bool
take(struct tb_parent *p, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] == '\n') {
            if (p->n == strlen("stop") && memcmp(p->line, "stop", p->n) == 0)
                return true;
            p->n = 0;
        } else if (p->n < sizeof(p->line)) {
            p->line[p->n++] = bytes[i];
        }
    }
    return false;
}

static void
on_readable(uv_poll_t *handle, int status, int events)
{
    struct tb_parent *p = handle->data;
    char bytes[256];
    ssize_t n = -1;

    (void)events;
    if (status == 0)
        n = read(STDIN_FILENO, bytes, sizeof(bytes));
    if (status == 0 && n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0 && !take(p, bytes, (size_t)n))
        return;
    tb_parent_unwatch(p);
    p->gone(p->ctx);
}

static void
never_block(int fd)
{
    struct stat st;
    int flags = fcntl(fd, F_GETFL);

    if (flags >= 0 && fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode))
        fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

int
tb_parent_watch(struct tb_parent *p, uv_loop_t *loop, void (*gone)(void *ctx),
                void *ctx)
{
    int err = uv_poll_init(loop, &p->stdin_poll, STDIN_FILENO);

    if (err < 0)
        return err;
    p->open = true;
    p->gone = gone;
    p->ctx = ctx;
    p->stdin_poll.data = p;
    never_block(STDOUT_FILENO);
    never_block(STDERR_FILENO);
    uv_unref((uv_handle_t *)&p->stdin_poll);
    return uv_poll_start(&p->stdin_poll, UV_READABLE | UV_DISCONNECT,
                         on_readable);
}
