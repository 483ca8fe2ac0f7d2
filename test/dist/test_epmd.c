/* test_epmd.c - requests to epmd and its replies, against recorded ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "dist/epmd.h"
#include "recording.h"

#define TEXT(s) ((struct tb_text){ s, sizeof(s) - 1 })

/* Copies to the heap, where an overrun is noticed. */
static uint8_t *
copy_of(struct tb_text t, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);

    assert_non_null(copy);
    memcpy(copy, t.p, n);
    return copy;
}

static int
get_alive2(struct tb_text reply, size_t n, uint32_t *creation)
{
    uint8_t *copy = copy_of(reply, n);
    int rc = tb_epmd_get_alive2(copy, n, creation);

    free(copy);
    return rc;
}

static int
get_port2(struct tb_text reply, size_t n, bool eof, struct tb_epmd_node *out)
{
    uint8_t *copy = copy_of(reply, n);
    int rc = tb_epmd_get_port2(copy, n, eof, out);

    free(copy);
    return rc;
}

static void
assert_sent(const struct recording *rec, struct tb_wr *w)
{
    struct tb_text sent = recording_get(rec, '>');

    assert_int_equal(tb_wr_status(w), 0);
    assert_int_equal(w->len, sent.n);
    assert_memory_equal(w->buf, sent.p, sent.n);
    tb_wr_free(w);
}

static void
test_epmd_registers_as_recorded(void **state)
{
    struct recording rec = recording_open("otp25/epmd_alive2.bin");
    struct tb_text reply = recording_get(&rec, '<');
    struct tb_wr w = { 0 };
    uint32_t creation = 0;

    (void)state;
    tb_epmd_put_alive2(&w, recording_get(&rec, 'N'),
                       (uint16_t)recording_get_number(&rec, 'T'));
    assert_sent(&rec, &w);
    for (size_t n = 0; n < reply.n; n++)
        assert_int_equal(get_alive2(reply, n, &creation), 0);
    assert_int_equal(creation, 0);
    assert_int_equal(get_alive2(reply, reply.n, &creation), 1);
    assert_true(creation >= 4);
    recording_close(&rec);
}

static void
test_epmd_reads_short_creation(void **state)
{
    const struct tb_text reply = TEXT("y\0\0\3");
    uint32_t creation = 0;

    (void)state;
    for (size_t n = 0; n < reply.n; n++)
        assert_int_equal(get_alive2(reply, n, &creation), 0);
    assert_int_equal(get_alive2(reply, reply.n, &creation), 1);
    assert_int_equal(creation, 3);
}

static void
test_epmd_refuses_bad_registration(void **state)
{
    uint32_t creation = 7;

    (void)state;
    assert_int_equal(get_alive2(TEXT("v\1\0\0\0\x63"), 6, &creation),
                     -TB_EIN_USE);
    assert_int_equal(get_alive2(TEXT("y\1\0\x63"), 4, &creation), -TB_EIN_USE);
    assert_int_equal(get_alive2(TEXT("w\0\0\0\0\4"), 6, &creation), -TB_EPROTO);
    assert_int_equal(get_alive2(TEXT("w"), 1, &creation), -TB_EPROTO);
    assert_int_equal(get_alive2(TEXT("v\0\0\0\0\4x"), 7, &creation),
                     -TB_EPROTO);
    assert_int_equal(get_alive2(TEXT("v\0\0\0\0\0"), 6, &creation), -TB_EPROTO);
    assert_int_equal(creation, 7);
    assert_true(-TB_EIN_USE < 0);
}

static void
test_epmd_looks_up_as_recorded(void **state)
{
    struct recording rec = recording_open("otp25/epmd_port2.bin");
    struct tb_text reply = recording_get(&rec, '<');
    struct tb_epmd_node node = { 0, 0, 0 };
    struct tb_wr w = { 0 };

    (void)state;
    tb_epmd_put_port_please2(&w, recording_get(&rec, 'P'));
    assert_sent(&rec, &w);
    for (size_t n = 0; n < reply.n; n++) {
        assert_int_equal(get_port2(reply, n, false, &node), 0);
        assert_int_equal(get_port2(reply, n, true, &node), -TB_EPROTO);
    }
    assert_int_equal(node.port, 0);
    assert_int_equal(get_port2(reply, reply.n, false, &node), 1);
    assert_true(node.port > 0);
    assert_int_equal(node.highest, 6);
    assert_int_equal(node.lowest, 5);
    recording_close(&rec);
}

static void
test_epmd_does_not_know_as_recorded(void **state)
{
    struct recording rec = recording_open("otp25/epmd_port2_unknown.bin");
    struct tb_text reply = recording_get(&rec, '<');
    struct tb_epmd_node node;
    struct tb_wr w = { 0 };

    (void)state;
    tb_epmd_put_port_please2(&w, recording_get(&rec, 'P'));
    assert_sent(&rec, &w);
    assert_int_equal(get_port2(reply, 0, false, &node), 0);
    assert_int_equal(get_port2(reply, 1, false, &node), 0);
    assert_int_equal(get_port2(reply, 2, false, &node), -TB_ENOT_IN_EPMD);
    recording_close(&rec);
}

static void
test_epmd_refuses_bad_lookup(void **state)
{
    const struct tb_text extra = TEXT("w\0\x10\x00H\0\0\6\0\5\0\1b\0\2xy");
    struct tb_epmd_node node = { 0, 0, 0 };

    (void)state;
    assert_int_equal(get_port2(extra, extra.n, true, &node), 1);
    assert_int_equal(node.port, 0x1000);
    assert_int_equal(get_port2(TEXT("v\0"), 2, false, &node), -TB_EPROTO);
    assert_int_equal(
        get_port2(TEXT("w\0\0\0H\0\0\6\0\5\0\1b\0\0"), 15, true, &node),
        -TB_EPROTO);
    assert_int_equal(
        get_port2(TEXT("w\0\0\1H\0\0\6\0\5\0\1b\0\0x"), 16, true, &node),
        -TB_EPROTO);
    assert_int_equal(
        get_port2(TEXT("w\0\0\1H\0\0\6\0\5\1\0"), 12, false, &node),
        -TB_EPROTO);
    assert_int_equal(node.port, 0x1000);
}

static void
test_epmd_lists_names_as_recorded(void **state)
{
    struct recording rec = recording_open("otp25/epmd_names.bin");
    struct tb_text reply = recording_get(&rec, '<'), name;
    struct tb_rd r = tb_rd_of(reply.p, reply.n);
    struct tb_wr w = { 0 };
    uint16_t port = 0;

    (void)state;
    tb_epmd_put_names(&w);
    assert_sent(&rec, &w);
    (void)tb_rd_u32(&r);
    assert_int_equal(tb_epmd_next_name(&r, &name, &port), 1);
    assert_true(tb_text_is(name, "cn"));
    assert_true(port > 0);
    assert_int_equal(tb_epmd_next_name(&r, &name, &port), 1);
    assert_true(tb_text_is(name, "b"));
    assert_int_equal(tb_epmd_next_name(&r, &name, &port), 0);
    assert_int_equal(tb_epmd_next_name(&r, &name, &port), 0);
    recording_close(&rec);
}

static int
next_name(const char *line, struct tb_text *name, uint16_t *port)
{
    struct tb_rd r = tb_rd_of(line, strlen(line));

    return tb_epmd_next_name(&r, name, port);
}

static void
test_epmd_refuses_bad_names(void **state)
{
    static const char *const bad[] = {
        "\n",
        "name",
        "name a at port 1",
        "name a at port \n",
        "name a at port 0\n",
        "name a at port 65536\n",
        "name a at port 000001\n",
        "name a at port -1\n",
        "name a at port 1 \n",
        "name  at port 1\n",
        "name at port 1\n",
        "nome a at port 1\n",
        "name a at part 1\n",
    };
    struct tb_text name = { NULL, 0 };
    uint16_t port = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(next_name(bad[i], &name, &port), -TB_EPROTO);
    assert_null(name.p);
    assert_int_equal(port, 0);
    assert_int_equal(next_name("name a at port 65535\nname", &name, &port), 1);
    assert_true(tb_text_is(name, "a"));
    assert_int_equal(port, 65535);
    assert_int_equal(next_name("name x at port 1 at port 2\n", &name, &port),
                     1);
    assert_true(tb_text_is(name, "x at port 1"));
    assert_int_equal(port, 2);
}

static void
test_epmd_refuses_long_names(void **state)
{
    char text[256];
    struct tb_wr w = { 0 };

    (void)state;
    memset(text, 'n', sizeof(text));
    tb_epmd_put_alive2(&w, (struct tb_text){ text, 255 }, 1);
    assert_int_equal(tb_wr_status(&w), 0);
    assert_int_equal(w.len, 2 + 13 + 255);
    assert_int_equal(w.buf[0] << 8 | w.buf[1], 13 + 255);
    tb_wr_free(&w);
    tb_epmd_put_alive2(&w, (struct tb_text){ text, 256 }, 1);
    assert_int_equal(tb_wr_status(&w), -TB_ELIMIT);
    tb_wr_free(&w);
    tb_epmd_put_port_please2(&w, (struct tb_text){ text, 256 });
    assert_int_equal(tb_wr_status(&w), -TB_ELIMIT);
    tb_wr_free(&w);
}

static void
test_epmd_survives_failing_allocations(void **state)
{
    char text[200];
    struct tb_wr w = { 0 };
    int rc;

    (void)state;
    memset(text, 'n', sizeof(text));
    for (unsigned long fail = 1;; fail++) {
        tb_mem_fail_after(fail);
        tb_epmd_put_alive2(&w, (struct tb_text){ text, sizeof(text) }, 1);
        tb_mem_fail_after(0);
        rc = tb_wr_status(&w);
        tb_wr_free(&w);
        if (rc == 0)
            break;
        assert_int_equal(rc, -TB_ELIMIT);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_epmd_registers_as_recorded),
        cmocka_unit_test(test_epmd_reads_short_creation),
        cmocka_unit_test(test_epmd_refuses_bad_registration),
        cmocka_unit_test(test_epmd_looks_up_as_recorded),
        cmocka_unit_test(test_epmd_does_not_know_as_recorded),
        cmocka_unit_test(test_epmd_refuses_bad_lookup),
        cmocka_unit_test(test_epmd_lists_names_as_recorded),
        cmocka_unit_test(test_epmd_refuses_bad_names),
        cmocka_unit_test(test_epmd_refuses_long_names),
        cmocka_unit_test(test_epmd_survives_failing_allocations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
