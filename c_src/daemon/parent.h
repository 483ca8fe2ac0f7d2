/* parent.h - the program that runs this one, at the other end of stdin. */
#ifndef TB_DAEMON_PARENT_H
#define TB_DAEMON_PARENT_H

#include <stdbool.h>
#include <uv.h>

struct tb_parent {
    uv_poll_t stdin_poll;
    void (*gone)(void *ctx);
    void *ctx;
    char line[8]; /* the last one, as far as it matters */
    size_t n;
    bool open;
};

/* tb_parent_check - whether stdin is something that somebody can close. */
bool tb_parent_check(void);
/* tb_parent_watch - call gone, once, when stdin is closed or a line "stop"
 * comes. Standard output and standard error do not block from now on: a parent
 * that does not read loses lines. Does not keep the loop alive. Returns 0, or
 * a negative errno.
 * tb_parent_unwatch - before the loop ends; harmless without a watch. */
int tb_parent_watch(struct tb_parent *p, uv_loop_t *loop,
                    void (*gone)(void *ctx), void *ctx);
void tb_parent_unwatch(struct tb_parent *p);

#endif
