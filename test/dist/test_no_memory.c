/* test_no_memory.c - the protocol as bytes when memory fails, at each
 * allocation. */
#include <string.h>

#include "dist/control.h"
#include "dist/epmd.h"
#include "tb_test.h"
#include "term/ident.h"

#include "handshake_script.h"

static int
compile_the_rows(void)
{
    int rc = tb_control_init();

    assert_true(rc == 0 || rc == -TB_ELIMIT);
    tb_control_fini();
    return rc;
}

static struct tb_args
operands(const struct tb_val v[3])
{
    return (struct tb_args){ 3, v };
}

/* A message out, and in again as a peer sees it. */
static int
carry_a_message(void)
{
    struct tb_atom_cache cache = { 0 };
    struct tb_expanded to = { 0 };
    struct tb_wr w = { 0 };
    struct tb_control c;
    struct tb_val v[3] = { 0 };
    struct tb_term payload = { (const uint8_t *)"m\0\0\0\2hi", 7 };
    int rc;

    tb_atoms_ref();
    v[0] = tb_v_pid(tb_test_pid(1));
    v[1] = tb_v_pid(tb_test_pid(2));
    v[2] = tb_v_ref(tb_test_ref(1));
    rc = v[2].ref.node ? tb_control_init() : -TB_ELIMIT;
    if (rc == 0)
        rc = tb_control_put(&w, TB_DFLAGS_OURS, DOP_PAYLOAD_MONITOR_P_EXIT,
                            operands(v), payload);
    assert_true(rc == 0 || rc == -TB_ELIMIT);
    /* the sender's table of names is not the receiver's */
    tb_atoms_unref();
    tb_atoms_ref();
    if (rc == 0)
        rc = tb_control_read(&cache, &to, w.buf + 4, w.len - 4, &c);
    assert_true(rc != 1 || (c.payload.n == 7 && c.arg[1].pid.id == 2));
    tb_wr_free(&w);
    tb_atom_cache_fini(&cache);
    tb_expanded_free(&to, 0);
    tb_control_fini();
    tb_atoms_unref();
    return rc == 1 ? 0 : rc;
}

/* {6, Pid, '', x} and [fun, a, a], all but the last by reference; then the
 * same again over other atoms, until they are put in order. */
static int
read_references(void)
{
    static const char frame[] =
        "\x83\x44\x03\x88\x08\0\x03"
        "a@b\x01\0\x02\x01"
        "x"
        "\x68\x04\x61\x06\x58\x52\0\0\0\0\x01\0\0\0\x02\0\0\0\x03\x52\x01"
        "\x52\x02\x6c\0\0\0\x02\x70\0\0\0\x37\x01"
        "0123456789abcdef"
        "\0\0\0\0\0\0\0\x01\x52\x02\x61\0\x61\0\x58\x52\0\0\0\0\x01\0\0"
        "\0\x02\0\0\0\x03\x52\x02\x52\x02\x6a";
    struct tb_atom_cache cache = { 0 };
    struct tb_expanded to = { 0 };
    struct tb_control c;
    int rc;

    tb_atoms_ref();
    rc = tb_control_init();
    for (int i = 0; i < 1000 && rc >= 0; i++)
        rc = tb_control_read(&cache, &to, (const uint8_t *)frame,
                             sizeof(frame) - 1, &c);
    /* where the name of its node has no room a pid is none */
    assert_true(rc == 1 || rc == -TB_ELIMIT || rc == -TB_EPROTO);
    tb_atom_cache_fini(&cache);
    tb_expanded_free(&to, 0);
    tb_control_fini();
    tb_atoms_unref();
    return rc == 1 ? 0 : -TB_ELIMIT;
}

static int
shake_hands(const struct script *s)
{
    struct tb_handshake hs;
    int rc = begin(&hs, s, s->n);

    assert_true(rc == TB_HS_DONE || rc == -TB_ELIMIT);
    tb_hs_fini(&hs);
    return rc == TB_HS_DONE ? 0 : rc;
}

static int
dial(void)
{
    return shake_hands(&scripts[DIAL_ALIVE]);
}

static int
accept(void)
{
    return shake_hands(&scripts[ACCEPT_ALIVE]);
}

static int
accept_old(void)
{
    return shake_hands(&scripts[ACCEPT_OLD]);
}

/* A stream in pieces that never end where a frame does. */
static int
cut_a_stream(void)
{
    enum { FRAMES = 20, BODY = 1000, PIECE = 777 };
    static uint8_t stream[FRAMES * (4 + BODY)];
    struct tb_frames f = { .length_bytes = 4, .max = BODY };
    const uint8_t *body;
    size_t n, frames = 0;
    int rc = 0;

    for (size_t i = 0; i < FRAMES; i++)
        memcpy(stream + i * (4 + BODY), "\0\0\x03\xe8", 4);
    for (size_t at = 0; at < sizeof(stream) && rc >= 0; at += PIECE) {
        size_t left = sizeof(stream) - at;

        tb_frames_lend(&f, stream + at, left < PIECE ? left : PIECE);
        while ((rc = tb_frames_next(&f, &body, &n)) == 1)
            frames += n == BODY;
        if (rc == 0)
            rc = tb_frames_keep(&f);
    }
    assert_true(rc == -TB_ELIMIT || (rc == 0 && frames == FRAMES));
    tb_frames_fini(&f);
    return rc;
}

static int
ask_epmd(void)
{
    static const char name[] = "a name that needs more than the first room, "
                               "which has no more than sixty-four bytes";
    struct tb_wr alive = { 0 }, port = { 0 }, names = { 0 };
    int rc;

    tb_epmd_put_alive2(&alive, tb_text_of(name), 1);
    tb_epmd_put_port_please2(&port, tb_text_of(name));
    tb_epmd_put_names(&names);
    rc = alive.bad || port.bad || names.bad ? -TB_ELIMIT : 0;
    tb_wr_free(&alive);
    tb_wr_free(&port);
    tb_wr_free(&names);
    return rc;
}

static void
test_failing_memory_is_reported(void **state)
{
    (void)state;
    tb_test_no_memory("compiling the control messages", compile_the_rows);
    tb_test_no_memory("a control message", carry_a_message);
    tb_test_no_memory("messages with references to atoms", read_references);
    tb_test_no_memory("a handshake, dialled", dial);
    tb_test_no_memory("a handshake, accepted", accept);
    tb_test_no_memory("a handshake, accepted of old", accept_old);
    tb_test_no_memory("frames", cut_a_stream);
    tb_test_no_memory("requests to epmd", ask_epmd);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failing_memory_is_reported),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
