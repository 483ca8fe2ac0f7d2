/* test_handshake.c - both roles: against the worked example, against each
 * other, against recorded nodes, and against what nobody should send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"
#include "dist/handshake.h"
#include "handshake_script.h"

static void
test_handshake_digest_is_md5(void **state)
{
    static const struct {
        uint32_t challenge;
        const char *digest;
    } known[] = {
        { 1234, &REPLY_MSG[5] },
        { 4294967295, &ACK_MSG[1] },
        { 0, "\x17\x5e\xc7\x7a\x7f\x63\x08\x25"
             "\x90\x98\x7d\x0d\x8b\x05\x1a\xff" },
    };
    struct tb_cookie cookie = cookie_of(TEXT("secret"));
    uint8_t digest[TB_DIGEST_BYTES];

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(tb_hs_digest(&cookie, known[i].challenge, digest), 0);
        assert_memory_equal(digest, known[i].digest, TB_DIGEST_BYTES);
    }
    memset(cookie.text, 'x', sizeof(cookie.text));
    cookie.n = TB_MAX_COOKIE;
    assert_int_equal(tb_hs_digest(&cookie, UINT32_MAX, digest), 0);
    cookie.n = 0;
    assert_int_equal(tb_hs_digest(&cookie, 1, digest), -TB_EAUTH);
}

static void
test_handshake_dials_as_in_the_example(void **state)
{
    struct tb_handshake hs;

    (void)state;
    assert_int_equal(begin(&hs, &scripts[DIAL], 0), TB_HS_MORE);
    assert_out(&hs, TEXT("\0\x1b" NAME_MSG));
    assert_int_equal(feed(&hs, TEXT("sok")), TB_HS_MORE);
    assert_int_equal(feed(&hs, TEXT(CHALLENGE_MSG)), TB_HS_MORE);
    assert_out(&hs, TEXT("\0\x15" REPLY_MSG));
    assert_int_equal(feed(&hs, TEXT(ACK_MSG)), TB_HS_DONE);
    assert_out(&hs, TEXT(""));
    assert_true(hs.flags == B_FLAGS);
    assert_int_equal(hs.creation, 0x6b00e07d);
    assert_true(tb_hs_effective_flags(&hs) == A_FLAGS);
    tb_hs_fini(&hs);
}

static void
test_handshake_accepts_as_in_the_example(void **state)
{
    struct tb_handshake hs;

    (void)state;
    assert_int_equal(begin(&hs, &scripts[ACCEPT], 0), TB_HS_MORE);
    assert_out(&hs, TEXT(""));
    assert_int_equal(feed(&hs, TEXT(NAME_MSG)), TB_HS_NAMED);
    assert_string_equal(hs.name, A_NAME);
    assert_int_equal(hs.name_len, strlen(A_NAME));
    assert_int_equal(tb_hs_status(&hs, TB_HS_OK), TB_HS_MORE);
    assert_out(&hs, TEXT("\0\x03sok\0\x1e" CHALLENGE_MSG));
    assert_int_equal(feed(&hs, TEXT(REPLY_MSG)), TB_HS_DONE);
    assert_out(&hs, TEXT("\0\x11" ACK_MSG));
    assert_true(hs.flags == A_FLAGS);
    assert_int_equal(hs.creation, 0xbeef);
    tb_hs_fini(&hs);
}

static void
test_handshake_accepts_an_old_opening(void **state)
{
    struct tb_handshake hs;

    (void)state;
    assert_int_equal(begin(&hs, &scripts[ACCEPT_OLD], 1), TB_HS_MORE);
    assert_string_equal(hs.name, A_NAME);
    assert_out(&hs, TEXT("\0\x10sok_simultaneous\0\x1e" CHALLENGE_MSG));
    assert_int_equal(feed(&hs, TEXT(COMPLEMENT_MSG)), TB_HS_MORE);
    assert_out(&hs, TEXT(""));
    assert_true(hs.flags == UINT64_C(0x101df7fbc));
    assert_int_equal(hs.creation, 0xbeef);
    assert_int_equal(feed(&hs, TEXT(REPLY_MSG)), TB_HS_DONE);
    assert_out(&hs, TEXT("\0\x11" ACK_MSG));
    tb_hs_fini(&hs);
}

static void
test_handshake_answers_alive(void **state)
{
    struct tb_handshake hs;

    (void)state;
    for (int proceed = 0; proceed <= 1; proceed++) {
        begin(&hs, &scripts[DIAL], 0);
        tb_wr_clear(&hs.out, 0);
        assert_int_equal(feed(&hs, TEXT("salive")), TB_HS_ALIVE);
        assert_int_equal(tb_hs_alive(&hs, proceed),
                         proceed ? TB_HS_MORE : -TB_EALIVE);
        assert_out(&hs, proceed ? TEXT("\0\5strue") : TEXT("\0\6sfalse"));
        assert_int_equal(feed(&hs, TEXT(CHALLENGE_MSG)),
                         proceed ? TB_HS_MORE : -TB_EPROTO);
        tb_hs_fini(&hs);
    }
    assert_int_equal(begin(&hs, &scripts[ACCEPT_ALIVE], 1), TB_HS_MORE);
    assert_out(&hs, TEXT("\0\6salive"));
    assert_int_equal(feed(&hs, TEXT("sfalse")), -TB_EALIVE);
    assert_out(&hs, TEXT(""));
    tb_hs_fini(&hs);
}

static void
test_handshake_obeys_the_status(void **state)
{
    static const struct {
        struct tb_text status;
        int result;
    } known[] = {
        { TEXT_INIT("sok"), TB_HS_MORE },
        { TEXT_INIT("sok_simultaneous"), TB_HS_MORE },
        { TEXT_INIT("snok"), -TB_ENOK },
        { TEXT_INIT("snot_allowed"), -TB_ENOT_ALLOWED },
        { TEXT_INIT("salive"), TB_HS_ALIVE },
        { TEXT_INIT("snamed:\0\3x@y\0\0\0\1"), -TB_EPROTO },
        { TEXT_INIT("strue"), -TB_EPROTO },
        { TEXT_INIT("s"), -TB_EPROTO },
        { TEXT_INIT("ok"), -TB_EPROTO },
        { TEXT_INIT("sOK"), -TB_EPROTO },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        struct tb_handshake hs;

        begin(&hs, &scripts[DIAL], 0);
        assert_int_equal(feed(&hs, known[i].status), known[i].result);
        tb_hs_fini(&hs);
    }
}

static void
test_handshake_gives_the_status(void **state)
{
    static const struct {
        enum tb_hs_status_code status;
        struct tb_text out;
        int result;
    } known[] = {
        { TB_HS_NOK, TEXT_INIT("\0\4snok"), -TB_ENOK },
        { TB_HS_NOT_ALLOWED, TEXT_INIT("\0\x0csnot_allowed"),
          -TB_ENOT_ALLOWED },
    };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct tb_handshake hs;

        begin(&hs, &scripts[ACCEPT], 0);
        assert_int_equal(tb_hs_status(&hs, TB_HS_OK), -TB_EBADARG);
        assert_int_equal(feed(&hs, TEXT(NAME_MSG)), TB_HS_NAMED);
        assert_int_equal(tb_hs_status(&hs, known[i].status), known[i].result);
        assert_out(&hs, known[i].out);
        assert_int_equal(tb_hs_status(&hs, TB_HS_OK), -TB_EBADARG);
        assert_int_equal(feed(&hs, TEXT(REPLY_MSG)), -TB_EPROTO);
        tb_hs_fini(&hs);
    }
}

/* An old name ends with its frame: cut off it is another one. */
static int
truncated(struct tb_text msg, size_t n)
{
    if (msg.p[0] != 'n' || n < sizeof("n\0\5flag") - 1)
        return -TB_EPROTO;
    return n <= sizeof("n\0\5flagcn@") - 1 ? -TB_ENAME : TB_HS_NAMED;
}

static void
test_handshake_refuses_every_truncation(void **state)
{
    (void)state;
    for (size_t i = 0; i < NSCRIPTS; i++)
        for (size_t m = 0; m < scripts[i].n; m++)
            for (size_t n = 0; n < scripts[i].in[m].n; n++) {
                struct tb_text msg = scripts[i].in[m];
                struct tb_handshake hs;

                assert_int_equal(begin(&hs, &scripts[i], m), TB_HS_MORE);
                assert_int_equal(feed_part(&hs, msg, n), truncated(msg, n));
                tb_hs_fini(&hs);
            }
}

/* Names may be followed by what later releases add; nothing else may. */
static void
test_handshake_ignores_more_only_behind_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < NSCRIPTS; i++)
        for (size_t m = 0; m < scripts[i].n; m++) {
            struct tb_text msg = scripts[i].in[m];
            struct tb_handshake hs;
            int rc;

            assert_int_equal(begin(&hs, &scripts[i], m), TB_HS_MORE);
            rc = feed_part(&hs, msg, msg.n + 1);
            if (msg.p[0] == 'N' || msg.p[0] == 'n')
                assert_true(rc >= 0);
            else
                assert_int_equal(rc, -TB_EPROTO);
            tb_hs_fini(&hs);
        }
}

static bool
in_turn(const struct script *s, size_t message, char tag)
{
    if (message == 0 && !s->dial)
        return tag == 'N' || tag == 'n';
    return message < s->n && s->in[message].p[0] == tag;
}

static void
test_handshake_refuses_what_is_out_of_turn(void **state)
{
    static const struct tb_text any[] = { TEXT_INIT("sok"),
                                          TEXT_INIT("strue"),
                                          TEXT_INIT(NAME_MSG),
                                          TEXT_INIT(OLD_NAME_MSG),
                                          TEXT_INIT(COMPLEMENT_MSG),
                                          TEXT_INIT(CHALLENGE_MSG),
                                          TEXT_INIT(REPLY_MSG),
                                          TEXT_INIT(ACK_MSG),
                                          TEXT_INIT("x") };

    (void)state;
    for (size_t i = 0; i < NSCRIPTS; i++)
        for (size_t m = 0; m <= scripts[i].n; m++)
            for (size_t a = 0; a < sizeof(any) / sizeof(any[0]); a++) {
                struct tb_handshake hs;

                if (in_turn(&scripts[i], m, any[a].p[0]))
                    continue;
                begin(&hs, &scripts[i], m);
                assert_int_equal(feed(&hs, any[a]), -TB_EPROTO);
                assert_int_equal(tb_hs_status(&hs, TB_HS_OK), -TB_EBADARG);
                assert_int_equal(tb_hs_alive(&hs, true), -TB_EBADARG);
                tb_hs_fini(&hs);
            }
}

static void
test_handshake_refuses_haste(void **state)
{
    struct tb_handshake hs;

    (void)state;
    begin(&hs, &scripts[ACCEPT], 0);
    assert_int_equal(feed(&hs, TEXT(NAME_MSG)), TB_HS_NAMED);
    assert_int_equal(feed(&hs, TEXT(REPLY_MSG)), -TB_EPROTO);
    assert_int_equal(tb_hs_status(&hs, TB_HS_OK), -TB_EBADARG);
    tb_hs_fini(&hs);
    begin(&hs, &scripts[DIAL], 0);
    assert_int_equal(feed(&hs, TEXT("salive")), TB_HS_ALIVE);
    assert_int_equal(feed(&hs, TEXT(CHALLENGE_MSG)), -TB_EPROTO);
    assert_int_equal(tb_hs_alive(&hs, true), -TB_EBADARG);
    tb_hs_fini(&hs);
    memset(&hs, 0, sizeof(hs));
    assert_int_equal(feed(&hs, TEXT("sok")), -TB_EPROTO);
    tb_hs_fini(&hs);
}

static void
test_handshake_refuses_what_is_too_long(void **state)
{
    struct tb_text name = TEXT(NAME_MSG);
    struct tb_handshake hs;

    (void)state;
    begin(&hs, &scripts[ACCEPT], 0);
    assert_int_equal(feed_part(&hs, name, TB_MAX_HANDSHAKE), TB_HS_NAMED);
    tb_hs_fini(&hs);
    begin(&hs, &scripts[ACCEPT], 0);
    assert_int_equal(feed_part(&hs, name, TB_MAX_HANDSHAKE + 1), -TB_ELIMIT);
    assert_int_equal(feed(&hs, name), -TB_EPROTO);
    tb_hs_fini(&hs);
}

static void
test_handshake_refuses_another_cookie(void **state)
{
    static const size_t last[] = { [DIAL] = 2, [ACCEPT] = 1 };

    (void)state;
    for (size_t i = DIAL; i <= ACCEPT; i += ACCEPT - DIAL)
        for (int bit = 0; bit < 8 * TB_DIGEST_BYTES; bit++) {
            struct tb_text msg = scripts[i].in[last[i]];
            struct tb_handshake hs;
            char other[64];

            memcpy(other, msg.p, msg.n);
            other[msg.n - TB_DIGEST_BYTES + (size_t)bit / 8] ^=
                (char)(1 << bit % 8);
            begin(&hs, &scripts[i], last[i]);
            tb_wr_clear(&hs.out, 0);
            assert_int_equal(feed(&hs, (struct tb_text){ other, msg.n }),
                             -TB_EAUTH);
            assert_out(&hs, TEXT(""));
            tb_hs_fini(&hs);
        }
}

static void
test_handshake_needs_a_cookie(void **state)
{
    struct tb_handshake hs;

    (void)state;
    begin(&hs, &scripts[ACCEPT], 1);
    hs.cookie.n = 0;
    assert_int_equal(feed(&hs, TEXT(REPLY_MSG)), -TB_EAUTH);
    tb_hs_fini(&hs);
    begin(&hs, &scripts[DIAL], 1);
    hs.cookie.n = 0;
    assert_int_equal(feed(&hs, TEXT(CHALLENGE_MSG)), -TB_EAUTH);
    tb_hs_fini(&hs);
}

static void
test_handshake_checks_names(void **state)
{
    static const struct tb_text good[] = { TEXT_INIT("a@b"),
                                           TEXT_INIT("a-b@c.d.e"),
                                           TEXT_INIT("\xc3\xa4@\xe2\x82\xac") };
    static const struct tb_text bad[] = { TEXT_INIT(""),
                                          TEXT_INIT("a"),
                                          TEXT_INIT("@"),
                                          TEXT_INIT("@b"),
                                          TEXT_INIT("a@"),
                                          TEXT_INIT("a@b@c"),
                                          TEXT_INIT("a@@"),
                                          TEXT_INIT("a@b\0"),
                                          TEXT_INIT("a@b\n"),
                                          TEXT_INIT("a\x7f@b"),
                                          TEXT_INIT("\xc3@b"),
                                          TEXT_INIT("a@\xff"),
                                          TEXT_INIT("\xc0\x80@b"),
                                          TEXT_INIT("abc.def"),
                                          TEXT_INIT("\xed\xa0\x80@b") };
    char longest[257];
    struct tb_handshake hs;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(feed_name(&hs, good[i], A_FLAGS), TB_HS_NAMED);
        assert_int_equal(hs.name_len, good[i].n);
        assert_memory_equal(hs.name, good[i].p, good[i].n);
        tb_hs_fini(&hs);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(feed_name(&hs, bad[i], A_FLAGS), -TB_ENAME);
        assert_int_equal(strlen(hs.seen_name), bad[i].n);
        assert_out(&hs, TEXT(""));
        tb_hs_fini(&hs);
    }
    memset(longest, 'h', sizeof(longest));
    longest[1] = '@';
    for (size_t n = 255; n <= 257; n++) {
        struct tb_text name = { longest, n };

        assert_int_equal(feed_name(&hs, name, A_FLAGS),
                         n == 255 ? TB_HS_NAMED : -TB_ENAME);
        assert_int_equal(strlen(n == 255 ? hs.name : hs.seen_name), 255);
        tb_hs_fini(&hs);
    }
}

static void
test_handshake_refuses_to_name_others(void **state)
{
    struct tb_handshake hs;

    (void)state;
    assert_int_equal(feed_name(&hs, TEXT("host"), A_FLAGS | TB_DFLAG(NAME_ME)),
                     -TB_ENAME);
    tb_hs_fini(&hs);
    assert_int_equal(feed_name(&hs, TEXT("a@b"), A_FLAGS | TB_DFLAG(NAME_ME)),
                     -TB_ENAME);
    tb_hs_fini(&hs);
}

static void
test_handshake_notes_whom_it_reached(void **state)
{
    struct tb_handshake hs;

    (void)state;
    begin(&hs, &scripts[DIAL], 1);
    hs.name[0] = 'c';
    assert_int_equal(feed(&hs, TEXT(CHALLENGE_MSG)), -TB_ENAME);
    assert_string_equal(hs.seen_name, B_NAME);
    assert_true(hs.flags == 0);
    tb_hs_fini(&hs);
    begin(&hs, &scripts[DIAL], 1);
    hs.name_len--;
    assert_int_equal(feed(&hs, TEXT(CHALLENGE_MSG)), -TB_ENAME);
    tb_hs_fini(&hs);
}

static void
test_handshake_refuses_missing_flags(void **state)
{
    const uint64_t digest = TB_DFLAG(MANDATORY_25_DIGEST);
    struct tb_handshake hs;

    (void)state;
    assert_int_equal(feed_name(&hs, TEXT(A_NAME), digest), TB_HS_NAMED);
    assert_true(hs.flags == (digest | TB_DFLAGS_DIGEST));
    tb_hs_fini(&hs);
    for (int bit = 0; bit < 64; bit++) {
        uint64_t flag = TB_DFLAGS_MANDATORY & UINT64_C(1) << bit;

        if (!flag)
            continue;
        assert_int_equal(
            feed_name(&hs, TEXT(A_NAME), A_FLAGS & ~flag & ~digest),
            -TB_EFLAGS);
        assert_out(&hs, TEXT("\0\x0csnot_allowed"));
        assert_string_equal(hs.name, A_NAME);
        tb_hs_fini(&hs);
    }
    begin(&hs, &scripts[DIAL], 1);
    tb_wr_clear(&hs.out, 0);
    assert_int_equal(
        feed(&hs,
             TEXT("N\0\0\0\0\0\x05\x01\x84\0\0\4\xd2\0\0\0\1\0\x0b" B_NAME)),
        -TB_EFLAGS);
    assert_out(&hs, TEXT(""));
    tb_hs_fini(&hs);
}

static void
test_handshake_refuses_old_nodes(void **state)
{
    struct tb_handshake hs;

    (void)state;
    begin(&hs, &scripts[ACCEPT_OLD], 0);
    assert_int_equal(feed(&hs, TEXT("n\0\5\0\xdf\x7f\xbc" A_NAME)), -TB_EFLAGS);
    assert_out(&hs, TEXT("\0\x0csnot_allowed"));
    tb_hs_fini(&hs);
    begin(&hs, &scripts[ACCEPT_OLD], 0);
    assert_int_equal(feed(&hs, TEXT("n\0\5\1\0\0\0" A_NAME)), TB_HS_NAMED);
    assert_int_equal(tb_hs_status(&hs, TB_HS_OK), TB_HS_MORE);
    tb_wr_clear(&hs.out, 0);
    assert_int_equal(feed(&hs, TEXT(COMPLEMENT_MSG)), -TB_EFLAGS);
    assert_out(&hs, TEXT("\0\x0csnot_allowed"));
    tb_hs_fini(&hs);
}

static void
test_handshake_roles_agree(void **state)
{
    static const enum tb_hs_status_code codes[] = { TB_HS_OK,
                                                    TB_HS_OK_SIMULTANEOUS,
                                                    TB_HS_STATUS_ALIVE };

    (void)state;
    for (unsigned length = 2; length <= 4; length += 2)
        for (size_t i = 0; i < 3; i++) {
            struct tb_handshake a = new_hs(true), b = new_hs(false);

            a.length_bytes = b.length_bytes = length;
            tb_hs_start(&a);
            tb_hs_accept(&b);
            assert_int_equal(carry(&a, &b), TB_HS_NAMED);
            assert_int_equal(tb_hs_status(&b, codes[i]), TB_HS_MORE);
            if (codes[i] == TB_HS_STATUS_ALIVE) {
                assert_int_equal(carry(&b, &a), TB_HS_ALIVE);
                assert_int_equal(tb_hs_alive(&a, true), TB_HS_MORE);
                assert_int_equal(carry(&a, &b), TB_HS_MORE);
            }
            assert_int_equal(carry(&b, &a), TB_HS_MORE);
            assert_int_equal(carry(&a, &b), TB_HS_DONE);
            assert_int_equal(carry(&b, &a), TB_HS_DONE);
            assert_true(tb_hs_effective_flags(&a) == tb_hs_effective_flags(&b));
            assert_string_equal(b.name, A_NAME);
            tb_hs_fini(&a);
            tb_hs_fini(&b);
        }
}

static void
test_handshake_says_what_was_recorded(void **state)
{
    (void)state;
    replay("otp25/dial.bin", true);
    replay("otp25/dial_alive.bin", true);
    replay("otp25/dial_nok.bin", true);
    replay("otp25/dial_not_allowed.bin", true);
    replay("otp25/accept.bin", false);
}

static void
test_handshake_survives_failing_allocations(void **state)
{
    (void)state;
    for (size_t i = 0; i < NSCRIPTS; i++) {
        int rc = -TB_ELIMIT;

        for (unsigned long fail = 1; rc != TB_HS_DONE; fail++) {
            struct tb_handshake hs;

            tb_mem_fail_after(fail);
            rc = begin(&hs, &scripts[i], scripts[i].n);
            tb_mem_fail_after(0);
            if (rc != TB_HS_DONE) {
                assert_int_equal(rc, -TB_ELIMIT);
                assert_int_equal(tb_wr_status(&hs.out), -TB_ELIMIT);
            }
            tb_hs_fini(&hs);
        }
    }
}

static void
test_handshake_refuses_our_own_long_name(void **state)
{
    struct tb_handshake hs = new_hs(true);
    char text[256];

    (void)state;
    memset(text, 'n', sizeof(text));
    hs.our_name = (struct tb_text){ text, sizeof(text) };
    tb_hs_start(&hs);
    assert_int_equal(tb_wr_status(&hs.out), -TB_ELIMIT);
    assert_int_equal(feed(&hs, TEXT("sok")), -TB_ELIMIT);
    tb_hs_fini(&hs);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake_digest_is_md5),
        cmocka_unit_test(test_handshake_dials_as_in_the_example),
        cmocka_unit_test(test_handshake_accepts_as_in_the_example),
        cmocka_unit_test(test_handshake_accepts_an_old_opening),
        cmocka_unit_test(test_handshake_answers_alive),
        cmocka_unit_test(test_handshake_obeys_the_status),
        cmocka_unit_test(test_handshake_gives_the_status),
        cmocka_unit_test(test_handshake_refuses_every_truncation),
        cmocka_unit_test(test_handshake_ignores_more_only_behind_names),
        cmocka_unit_test(test_handshake_refuses_what_is_out_of_turn),
        cmocka_unit_test(test_handshake_refuses_haste),
        cmocka_unit_test(test_handshake_refuses_what_is_too_long),
        cmocka_unit_test(test_handshake_refuses_another_cookie),
        cmocka_unit_test(test_handshake_needs_a_cookie),
        cmocka_unit_test(test_handshake_checks_names),
        cmocka_unit_test(test_handshake_refuses_to_name_others),
        cmocka_unit_test(test_handshake_notes_whom_it_reached),
        cmocka_unit_test(test_handshake_refuses_missing_flags),
        cmocka_unit_test(test_handshake_refuses_old_nodes),
        cmocka_unit_test(test_handshake_roles_agree),
        cmocka_unit_test(test_handshake_says_what_was_recorded),
        cmocka_unit_test(test_handshake_survives_failing_allocations),
        cmocka_unit_test(test_handshake_refuses_our_own_long_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
