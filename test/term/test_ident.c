/* test_ident.c - node names as small values, and the pids and references that
 * carry them. */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "tb_test.h"
#include "term/check.h"
#include "term/etf.h"
#include "term/get.h"
#include "term/ident.h"
#include "term/put.h"

#define NODE                                                                   \
    "\x77\x03"                                                                 \
    "a@b"

/* ------------------------------------------------------- identifiers -- */

static void
assert_pid(struct tb_term t, uint32_t id, uint32_t serial, uint32_t creation)
{
    struct tb_pid pid;

    assert_true(tb_get_pid(t, &pid));
    assert_true(tb_text_is(tb_atom_text(pid.node), "a@b"));
    assert_true(pid.id == id && pid.serial == serial);
    assert_true(pid.creation == creation);
}

static void
test_pid_is_put_and_got(void **state)
{
    struct tb_pid pid = { tb_intern(tb_text_of("a@b")), 1, 2, UINT32_MAX };
    struct tb_wr w = { 0 };

    (void)state;
    tb_put_pid(&w, pid);
    assert_pid(tb_wr_term(&w), 1, 2, UINT32_MAX);
    assert_put(&w, "\x58" NODE "\0\0\0\x01\0\0\0\x02\xff\xff\xff\xff");
    assert_pid(TERM("\x58" NODE "\xff\xff\xff\xff\xff\xff\xff\xfe\0\0\0\x04"),
               UINT32_MAX, UINT32_MAX - 1, 4);
    assert_pid(TERM("\x67" NODE "\0\0\0\x07\0\0\0\x08\x03"), 7, 8, 3);
    assert_pid(TERM("\x58\x64\0\x03"
                    "a@b\0\0\0\x07\0\0\0\x08\0\0\0\x09"),
               7, 8, 9);
    pid.node = 0;
    tb_put_pid(&w, pid);
    assert_true(w.bad);
    tb_wr_free(&w);
}

static void
assert_ref(struct tb_term t, uint32_t n, uint32_t creation)
{
    struct tb_ref ref;

    assert_true(tb_get_ref(t, &ref));
    assert_true(tb_text_is(tb_atom_text(ref.node), "a@b"));
    assert_int_equal(ref.n, n);
    assert_int_equal(ref.creation, creation);
    for (uint32_t i = 0; i < TB_REF_WORDS; i++)
        assert_int_equal(ref.id[i], i < n ? i + 1 : 0);
}

static void
test_ref_is_put_and_got(void **state)
{
    (void)state;
    assert_ref(TERM("\x65" NODE "\0\0\0\x01\x03"), 1, 3);
    assert_ref(TERM("\x72\0\x03" NODE "\x02\0\0\0\x01\0\0\0\x02\0\0\0\x03"), 3,
               2);
    for (uint32_t n = 1; n <= TB_REF_WORDS; n++) {
        struct tb_ref ref = { tb_intern(tb_text_of("a@b")), 9, n, { 0 } };
        struct tb_wr w = { 0 };

        for (uint32_t i = 0; i < n; i++)
            ref.id[i] = i + 1;
        tb_put_ref(&w, ref);
        assert_int_equal(w.len, 3 + 5 + 4 + 4 * n);
        assert_int_equal(w.buf[0], ETF_NEWER_REFERENCE);
        assert_ref(tb_wr_term(&w), n, 9);
        tb_wr_free(&w);
    }
}

static void
test_ref_of_no_words_or_too_many_is_not_put(void **state)
{
    (void)state;
    for (uint32_t n = 0; n <= TB_REF_WORDS + 1; n += TB_REF_WORDS + 1) {
        struct tb_ref ref = { tb_intern(tb_text_of("a@b")), 9, n, { 0 } };
        struct tb_wr w = { 0 };

        tb_put_ref(&w, ref);
        assert_true(w.bad);
        assert_int_equal(w.len, 0);
        tb_wr_free(&w);
    }
}

static void
test_identifiers_of_no_node_name_are_not_got(void **state)
{
    struct tb_pid pid = { 0 };
    struct tb_ref ref = { 0 };

    (void)state;
    assert_false(
        tb_get_pid(TERM("\x58\x77\0\0\0\0\x01\0\0\0\x02\0\0\0\x03"), &pid));
    assert_false(tb_get_pid(TERM("\x58\x77\x05"
                                 "a@b\0c\0\0\0\x01\0\0\0\x02\0\0\0\x03"),
                            &pid));
    assert_false(tb_get_ref(TERM("\x5a\0\x01\x77\x05"
                                 "a@b\0c\0\0\0\x01\0\0\0\x02"),
                            &ref));
    assert_false(tb_get_pid(tb_test_term("pid"), &pid));
    assert_false(
        tb_get_ref(TERM("\x58" NODE "\0\0\0\x01\0\0\0\x02\0\0\0\x03"), &ref));
    assert_int_equal(pid.node, 0);
    assert_int_equal(ref.node, 0);
}

/* -------------------------------------------------------- node names -- */

static void
test_intern_takes_node_names_only(void **state)
{
    static const char *const bad[] = { "", "a", "@", "a@", "@b", "a@b@c" };
    char name[TB_MAX_NODE_BYTES + 1];
    tb_atom a = tb_intern(tb_text_of("a@b"));

    (void)state;
    assert_int_not_equal(a, 0);
    assert_int_equal(tb_intern(tb_text_of("a@b")), a);
    assert_int_equal(tb_atom_find(tb_text_of("a@b")), a);
    assert_int_not_equal(tb_intern(tb_text_of("a@c")), a);
    for (size_t i = 0; i < LENGTH(bad); i++)
        assert_int_equal(tb_intern(tb_text_of(bad[i])), 0);
    assert_int_equal(tb_intern((struct tb_text){ "a@b\0c", 5 }), 0);
    memset(name, 'n', sizeof(name));
    name[3] = '@';
    assert_int_equal(tb_intern((struct tb_text){ name, sizeof(name) }), 0);
    assert_int_not_equal(tb_intern((struct tb_text){ name, TB_MAX_NODE_BYTES }),
                         0);
    assert_int_equal(tb_atom_text(0).n, 0);
    assert_int_equal(tb_atom_text(UINT32_MAX).n, 0);
}

/* Names in messages leave room for those of nodes that connect. */
static void
test_atoms_of_messages_fill_half_the_table(void **state)
{
    char name[32];
    unsigned kept = 0;
    size_t before = tb_atoms_count();

    (void)state;
    for (unsigned i = 0; i <= TB_MAX_ATOMS_FOREIGN; i++) {
        snprintf(name, sizeof(name), "n%u@foreign", i);
        kept += tb_atom_of(tb_text_of(name), true) != 0;
    }
    assert_true(kept <= TB_MAX_ATOMS_FOREIGN);
    assert_true(kept >= TB_MAX_ATOMS_FOREIGN - before);
    assert_int_equal(tb_atom_of(tb_text_of("x@foreign"), true), 0);
    assert_int_equal(tb_intern(tb_text_of("x@asked.for")), 0);
    assert_int_not_equal(tb_intern_peer(tb_text_of("x@connected")), 0);
    assert_int_equal(tb_intern_peer(tb_text_of("noname")), 0);
    assert_int_not_equal(tb_atom_of(tb_text_of("x@near"), false), 0);
    assert_int_not_equal(tb_atom_of(tb_text_of("n0@foreign"), true), 0);
}

static void
test_atoms_survive_failing_allocations(void **state)
{
    (void)state;
    TB_FAIL_EACH_ALLOC(12, {
        char name[32];

        snprintf(name, sizeof(name), "f%lu@h", tb_nth_);
        if (!tb_atom_of(tb_text_of(name), false))
            assert_int_equal(tb_atom_find(tb_text_of(name)), 0);
    });
    assert_int_not_equal(tb_atom_of(tb_text_of("f1@h"), false), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pid_is_put_and_got),
        cmocka_unit_test(test_ref_is_put_and_got),
        cmocka_unit_test(test_ref_of_no_words_or_too_many_is_not_put),
        cmocka_unit_test(test_identifiers_of_no_node_name_are_not_got),
        cmocka_unit_test(test_intern_takes_node_names_only),
        cmocka_unit_test(test_atoms_survive_failing_allocations),
        cmocka_unit_test(test_atoms_of_messages_fill_half_the_table),
    };

    return cmocka_run_group_tests(tests, tb_test_atoms, tb_test_atoms_gone);
}
