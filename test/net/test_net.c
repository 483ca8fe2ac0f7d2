/* test_net.c - the listener, with a net that belongs to no node. */
#include "net/net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "net/conn.h"

static const struct tb_cookie *
no_cookie(void *ctx, struct tb_text peer)
{
    static const struct tb_cookie none;

    (void)ctx;
    (void)peer;
    return &none;
}

static void
on_down(void *ctx, struct tb_conn *c, int why)
{
    (void)ctx;
    (void)c;
    (void)why;
}

static const struct tb_conn_cb callbacks = { .cookie = no_cookie,
                                             .down = on_down };

static int
dial(uint16_t port)
{
    union tb_address to;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    tb_address_loopback(AF_INET, &to);
    tb_address_port(&to, port);
    assert_int_equal(connect(fd, &to.any, sizeof(to.in)), 0);
    return fd;
}

static void
run_until_pending(struct tb_net *net, unsigned n)
{
    while (net->n_pending != n) {
        uv_run(net->loop, UV_RUN_ONCE);
        tb_net_flush(net);
    }
}

/* The nth allocation of an accept fails, and all that follow it. */
static void
accepts_after_failure(struct tb_net *net, unsigned long nth)
{
    int first = dial(net->port), second = dial(net->port);

    tb_mem_fail_after(nth);
    while (!net->accept_later)
        uv_run(net->loop, UV_RUN_ONCE);
    tb_net_flush(net);
    tb_mem_fail_after(0);
    assert_int_equal(net->n_pending, 0);
    run_until_pending(net, 2);
    close(first);
    close(second);
    run_until_pending(net, 0);
}

static void
test_accept_without_memory(void **state)
{
    struct tb_net *net = tb_new(struct tb_net);
    uv_loop_t loop;

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    net->loop = &loop;
    net->transport = &tb_tcp;
    net->family = AF_INET;
    net->cb = &callbacks;
    net->setup_ms = 60000;
    net->tick_ms = 400;
    assert_int_equal(tb_net_init(net), 0);
    assert_int_equal(tb_net_listen(net, "127.0.0.1", 0, 0), 0);
    accepts_after_failure(net, 1); /* no connection */
    accepts_after_failure(net, 2); /* no stream */
    tb_net_close(net);
    tb_net_end(net);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    tb_free(net);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accept_without_memory),
    };

    alarm(60); /* what is waited for may not come */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
