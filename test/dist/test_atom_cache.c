/* test_atom_cache.c - distribution headers: what a BEAM sent, what none would
 * send, and what we send ourselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/limits.h"
#include "base/wr.h"
#include "dist/control.h"
#include "dist/dflags.h"
#include "tb_test.h"
#include "term/check.h"
#include "term/ident.h"

/* One direction of a connection, and the last message of it. */
static struct tb_atom_cache cache;
static struct tb_expanded expanded;
static struct tb_control control;
static uint8_t *message; /* owned */

static int
setup(void **state)
{
    int rc = tb_test_atoms(state);

    return rc ? rc : tb_control_init();
}

static void
forget(void)
{
    tb_atom_cache_fini(&cache);
    tb_expanded_free(&expanded, 0);
    free(message);
    message = NULL;
}

static int
teardown(void **state)
{
    forget();
    tb_control_fini();
    return tb_test_atoms_gone(state);
}

/* From memory that ends where the message does, and stays as long as it. */
static int
feed(const void *p, size_t n)
{
    free(message);
    message = malloc(n ? n : 1);
    assert_non_null(message);
    memcpy(message, p, n);
    control = (struct tb_control){ 0 };
    return tb_control_read(&cache, &expanded, message, n, &control);
}

#define FEED(s) feed(s, sizeof(s) - 1)

/* ---------------------------------------------------- what a BEAM sent -- */

#define EUR5 "e282ace282ace282ace282ace282ac"
#define EUR  EUR5 EUR5 EUR5 EUR5 EUR5

/* A process of b@127.0.0.1, OTP 25, to {x, 'cn@127.0.0.1'}: */
static const char *const recorded[] = {
    /* {hello, world, [hello, a]} */
    "8344068ff9e900250b62403132372e302e302e3105004f01787b0568656c6c6f5505776f72"
    "6c64bd01616804610658520000000009000000006b01efe0520152026803520352046c0000"
    "0002520352056a",
    /* the same */
    "8344060771610025054f7b55bd6804610658520000000009000000006b01efe05201520268"
    "03520352046c00000002520352056a",
    /* {L, hello}, L of 100 characters, 300 bytes */
    "83440507a11725054f31012c" EUR EUR EUR EUR
    "7b6804610658520000000009000000006b01efe052015202680252035204",
    /* the same */
    "83440507211725054f317b6804610658520000000009000000006b01efe052015202680252"
    "035204",
    /* [fun(Z) -> {Z, Y, hello} end, fun lists:map/2], Y = yyy, of module cap */
    "83440707b1ba0c25054fc3036361703203797979a1056c69737473e1036d61706804610658"
    "520000000009000000006b01efe0520152026c00000002700000003701d0cf5957d0f856ca"
    "c87e4288a89cb47a0000000000000001520361006206867aca58520000000009000000006b"
    "01efe05204715205520661026a",
};

static size_t
unhex(const char *hex, uint8_t out[1024])
{
    size_t n = strlen(hex) / 2;
    char digits[3] = "";

    assert_true(n <= 1024);
    for (size_t i = 0; i < n; i++) {
        memcpy(digits, hex + 2 * i, 2);
        out[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return n;
}

static int
feed_recorded(size_t i)
{
    uint8_t bytes[1024];
    size_t n = unhex(recorded[i], bytes);

    return feed(bytes, n);
}

static void
assert_sent(const char *name)
{
    struct tb_val v[TB_MAX_HOLES];

    assert_int_equal(control.op, DOP_REG_SEND);
    assert_int_equal(tb_match("Pid:pid", control.arg[0].term, v), 1);
    assert_int_equal(v[0].pid.id, 9);
    assert_int_equal(v[0].pid.creation, 0x6b01efe0);
    assert_true(tb_text_is(tb_atom_text(v[0].pid.node), "b@127.0.0.1"));
    assert_true(tb_text_is(control.arg[1].text, name));
}

static void
test_cache_reads_what_a_beam_sent(void **state)
{
    char text[1024] = "{'";

    (void)state;
    for (int i = 0; i < 100; i++)
        strcat(text, "\xe2\x82\xac");
    strcat(text, "', hello}");
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(feed_recorded(i), 1);
        assert_sent("x");
        assert_term(control.payload,
                    i < 2 ? "{hello, world, [hello, a]}" : text);
    }
    forget();
}

/* A fun tells its length: of atoms, not of references. */
static void
test_cache_makes_funs_longer(void **state)
{
    static const char head[] = "\x6c\x00\x00\x00\x02\x70\x00\x00\x00\x48\x01";
    static const char tail[] = "\x77\x03yyy\x71\x77\x05lists\x77\x03map\x61\x02"
                               "\x6a";
    struct tb_term t;

    (void)state;
    for (size_t i = 0; i < LENGTH(recorded); i++)
        assert_int_equal(feed_recorded(i), 1);
    t = control.payload;
    assert_int_equal(tb_check_whole(t.p, t.n, &t), 0);
    assert_memory_equal(t.p, head, sizeof(head) - 1);
    assert_int_equal(tb_skip(t.p + 5), 1 + 0x48);
    assert_memory_equal(t.p + t.n - (sizeof(tail) - 1), tail, sizeof(tail) - 1);
    forget();
}

static void
test_cache_refuses_every_beginning(void **state)
{
    uint8_t bytes[1024];

    (void)state;
    for (size_t i = 0; i < LENGTH(recorded); i++) {
        size_t n = unhex(recorded[i], bytes);

        for (size_t cut = 0; cut < n; cut++) {
            for (size_t before = 0; before < i; before++)
                assert_int_equal(feed_recorded(before), 1);
            assert_true(feed(bytes, cut) < 0);
            forget();
        }
    }
}

/* Of a connection over which not much was said. */
static void
test_cache_is_small_at_first(void **state)
{
    (void)state;
    assert_int_equal(FEED("\x83\x44\0\x68\x03\x61\x15\x6a\x6a"), -TB_EPROTO);
    assert_null(cache.slot);
    assert_int_equal(cache.text.cap, 0);
    for (size_t i = 0; i < LENGTH(recorded); i++)
        assert_int_equal(feed_recorded(i), 1);
    assert_in_range(2048 * sizeof(cache.slot[0]) + cache.text.cap, 1, 16384);
    forget();
}

/* --------------------------------------------------------- made by hand -- */

/* {7, Pid, Pid}: the group leader, of which nothing has to be known, with a
 * header of these atoms. */
#define PID(atom) "\x58" atom "\0\0\0\x01\0\0\0\x02\0\0\0\x03"
#define A_AT_B                                                                 \
    "\x77\x03"                                                                 \
    "a@b"
#define LEADER "\x68\x03\x61\x07" PID(A_AT_B) PID(A_AT_B)
/* {2, '', Pid} and a payload */
#define SEND "\x68\x03\x61\x02\x77\0" PID(A_AT_B)

static const struct {
    const char *bytes;
    size_t n;
    int rc;
} messages[] = {
#define M(s, rc)                                                               \
    {                                                                          \
        s, sizeof(s) - 1, rc                                                   \
    }
    M("\x83\x44\0" LEADER, 1),
    M("\x83\x44\0" SEND "\x6a", 1),
    M("\x83\x44\0" SEND "\x6a, and more", 1), /* is not looked at */
    M("\x83\x44\0" SEND, -TB_EPROTO),
    M("\x70\x83" LEADER, -TB_EPROTO),   /* no header */
    M("\x83\x45\0" LEADER, -TB_EPROTO), /* a fragment: not announced */
    M("\x83\x46\0" LEADER, -TB_EPROTO),
    M("\x83", -TB_EPROTO),
    M("", -TB_EPROTO),
    M("\x83\x44", -TB_EATOM_CACHE), /* cut */
    M("\x83\x44\x01", -TB_EATOM_CACHE),
    M("\x83\x44\x01\x08", -TB_EATOM_CACHE),
    M("\x83\x44\x01\x08\x05", -TB_EATOM_CACHE),
    M("\x83\x44\x01\x08\x05\x02"
      "a",
      -TB_EATOM_CACHE),
    M("\x83\x44\x01\x18\x05\x02", -TB_EATOM_CACHE),
    M("\x83\x44\xff\x88", -TB_EATOM_CACHE),
    M("\x83\x44\x01\0\x05" SEND "\x52\0", -TB_EATOM_CACHE), /* unset */
    M("\x83\x44\x01\0", -TB_EATOM_CACHE),
    M("\x83\x44\x02\x08\x05\x01"
      "a\x06" SEND "\x6a",
      -TB_EATOM_CACHE),
    /* which exists, but in no atom of this message */
    M("\x83\x44\0" SEND "\x52\0", -TB_EATOM_CACHE),
    M("\x83\x44\0\x68\x03\x61\x02\x52\0" PID(A_AT_B) "\x6a", -TB_EATOM_CACHE),
    M("\x83\x44\x01\x08\x05\x01"
      "a" SEND "\x52\x01",
      -TB_EATOM_CACHE),
    M("\x83\x44\x01\x08\x05\x01"
      "a" SEND "\x52\xff",
      -TB_EATOM_CACHE),
    M("\x83\x44\x01\x08\x05\x01"
      "a" SEND "\x52",
      -TB_EBADTERM),
    M("\x83\x44\x01\x08\x05\x01"
      "a" SEND "\x52\0",
      1),
    /* no text of an atom */
    M("\x83\x44\x01\x08\x05\x01\xff" LEADER, -TB_EATOM_CACHE),
    M("\x83\x44\x01\x08\x05\x02\xc3"
      "a" LEADER,
      -TB_EATOM_CACHE),
    M("\x83\x44\x01\x08\x05\x03\xed\xa0\x80" LEADER, -TB_EATOM_CACHE),
    M("\x83\x44\x01\x08\x05\0" SEND "\x52\0", 1), /* '' */
    /* where an atom has to be */
    M("\x83\x44\x01\x08\x05\x01"
      "a" SEND "\x71\x52\0\x52\0\x61\x01",
      1),
    M("\x83\x44\x01\x08\x05\x01"
      "a" SEND "\x59\x52\0\0\0\0\x01\0\0\0\x01",
      1),
    M("\x83\x44\x01\x08\x05\x01"
      "a" SEND "\x78\x52\0\0\0\0\x01\0\0\0\x01\0\0\0"
      "\x01",
      1),
    M("\x83\x44\x01\x08\x05\x01"
      "a" SEND "\x5a\0\x01\x52\0\0\0\0\x01\0\0\0\x01",
      1),
    M("\x83\x44\x01\x08\x05\x01"
      "a" SEND "\x5a\0\x06\x52\0\0\0\0\x01\0\0\0\x01",
      -TB_EBADTERM),
    M("\x83\x44\x01\x08\x05\x01"
      "a" SEND "\x72\0\x01\x52\0\0\0\0\0\x01",
      1),
    M("\x83\x44\x01\x08\x05\x01"
      "a" SEND "\x65\x52\0\0\0\0\x01\x01",
      1),
    M("\x83\x44\x01\x08\x05\x01"
      "a" SEND "\x66\x52\0\0\0\0\x01\x01",
      1),
    M("\x83\x44\x01\x08\x05\x01"
      "a" SEND "\x67\x52\0\0\0\0\x01\0\0\0\x01\x01",
      1),
    M("\x83\x44\x01\x08\x05\x01"
      "a" SEND "\x43\0\0\0\x01\0\x52\0\x52\0\x52\0"
      "\x52\0",
      1),
    M("\x83\x44\x01\x08\x05\x01"
      "a" SEND "\x58\x61\0\0\0\0\x01\0\0\0\x01\0\0\0"
      "\x01",
      -TB_EBADTERM),
    /* the last bytes of a message */
    M("\x83\x44\x01\x08\x05\x01"
      "a" SEND "\x68\x01\x52\0",
      1),
    M("\x83\x44\x01\x08\x05\x01"
      "a" SEND "\x68\0",
      1),
    M("\x83\x44\x01\x08\x05\x01"
      "a" SEND "\x68\x02\x52\0\x6a",
      1),
    M("\x83\x44\x01\x08\x05\x01"
      "a" SEND "\x68\x02\x52\0\x61\x01",
      1),
    M("\x83\x44\x01\x08\x05\x01"
      "a" SEND "\x68\x02\x52\0\x62\0\0\0\x01",
      1),
    /* maps: a key twice, once as a reference */
    M("\x83\x44\x01\x08\x05\x01"
      "a" SEND "\x74\0\0\0\x02\x52\0\x6a\x77\x01"
      "a"
      "\x6a",
      -TB_EBADTERM),
    M("\x83\x44\x01\x08\x05\x01"
      "a" SEND "\x74\0\0\0\x02\x52\0\x6a\x77\x01"
      "b"
      "\x6a",
      1),
    M("\x83\x44\x01\x08\x05\x01"
      "a" SEND "\x6c\0\0\0\x09\x52\0\x52\0\x6a",
      -TB_EBADTERM),
    M("\x83\x44\x01\x08\x05\x01"
      "a" SEND "\x01",
      -TB_EUNKNOWN_TAG),
    M("\x83\x44\x01\x08\x05\x01"
      "a" SEND "\x68\x02\x52\0\x01",
      -TB_EUNKNOWN_TAG),
#undef M
};

static void
test_cache_by_hand(void **state)
{
    struct tb_term t;

    (void)state;
    for (size_t i = 0; i < LENGTH(messages); i++) {
        int rc = feed(messages[i].bytes, messages[i].n);

        if (rc != messages[i].rc)
            print_message("message %zu: %d\n", i, rc);
        assert_int_equal(rc, messages[i].rc);
        if (rc == 1 && control.payload.n > 0)
            assert_int_equal(
                tb_check_whole(control.payload.p, control.payload.n, &t), 0);
        forget();
    }
}

/* Atoms are told by messages that are dropped, too. */
static void
test_cache_hears_of_dropped_messages(void **state)
{
    static const char *const dropped[] = {
        "\x68\x01\x61\x63", /* an unknown number */
        "\x01",             /* an unknown tag */
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(dropped); i++) {
        struct tb_wr w = { 0 };
        int rc;

        tb_wr_bytes(&w, "\x83\x44\x01\x0f\xff\x05later", 11);
        tb_wr_str(&w, dropped[i]);
        rc = feed(w.buf, w.len);
        assert_true(rc == 0 || rc == -TB_EUNKNOWN_TAG);
        tb_wr_free(&w);
        assert_int_equal(FEED("\x83\x44\x01\x07\xff" SEND "\x52\0"), 1);
        assert_term(control.payload, "later");
        forget();
    }
}

static void
test_cache_slots_are_written_again(void **state)
{
    (void)state;
    assert_int_equal(FEED("\x83\x44\x01\x08\x05\x03old" SEND "\x52\0"), 1);
    /* index 5 of other segments is another slot */
    assert_int_equal(FEED("\x83\x44\x01\x0f\x05\x05other" SEND "\x52\0"), 1);
    /* within one message: each is what it was when it was read */
    assert_int_equal(FEED("\x83\x44\x03\x80\x00\x05\x05\x03new\x05" SEND
                          "\x68\x03\x52\0\x52\x01\x52\x02"),
                     1);
    assert_term(control.payload, "{old, new, new}");
    assert_int_equal(
        FEED("\x83\x44\x02\x70\0\x05\x05" SEND "\x68\x02\x52\0\x52\x01"), 1);
    assert_term(control.payload, "{new, other}");
    forget();
}

/* One of 256 characters is none; one of 255 has up to 1020 bytes. */
static void
test_cache_takes_the_longest_atoms(void **state)
{
    (void)state;
    for (size_t chars = 255; chars <= 256; chars++)
        for (size_t bytes = 1; bytes <= 4; bytes++) {
            static const char *const one[] = { "", "a", "\xc3\xa5",
                                               "\xe2\x82\xac",
                                               "\xf0\x9f\x98\x80" };
            struct tb_wr w = { 0 };

            tb_wr_bytes(&w, "\x83\x44\x01\x18\x05", 5);
            tb_wr_u16(&w, (uint16_t)(chars * bytes));
            for (size_t i = 0; i < chars; i++)
                tb_wr_str(&w, one[bytes]);
            tb_wr_bytes(&w, SEND "\x52\0", sizeof(SEND "\x52\0") - 1);
            assert_int_equal(feed(w.buf, w.len),
                             chars == 255 ? 1 : -TB_EATOM_CACHE);
            if (chars == 255)
                assert_int_equal(control.payload.n,
                                 chars * bytes + (chars * bytes > 255 ? 3 : 2));
            tb_wr_free(&w);
            forget();
        }
}

/* ------------------------------------------------------------- copying -- */

/* What refers to nothing is read where it is, header or no header. */
static void
test_cache_copies_only_what_has_references(void **state)
{
    (void)state;
    assert_int_equal(FEED("\x83\x44\0" SEND "\x6d\0\0\0\x03"
                          "abc"),
                     1);
    assert_ptr_equal(control.payload.p, message + 3 + sizeof(SEND) - 1);
    assert_int_equal(FEED("\x83\x44\x01\x08\x05\x01"
                          "a\x68\x03\x61\x02\x52\0" PID(A_AT_B) "\x6d\0\0\0\x03"
                                                                "abc"),
                     1);
    assert_ptr_equal(control.payload.p, message + sizeof(SEND) + 6);
    assert_int_equal(control.payload.n, 8);
    forget();
}

/* Behind a large binary, and before it. */
static void
test_cache_copies_large_binaries(void **state)
{
    const size_t n = 3 << 20;
    struct tb_wr w = { 0 };
    const uint8_t *p;

    (void)state;
    tb_wr_bytes(&w,
                "\x83\x44\x01\x08\x05\x01"
                "a" SEND "\x68\x03\x52\0",
                sizeof("\x83\x44\x01\x08\x05\x01"
                       "a" SEND "\x68\x03\x52\0") -
                    1);
    tb_wr_u8(&w, 109);
    tb_wr_u32(&w, (uint32_t)n);
    memset(tb_wr_room(&w, n), 'x', n);
    tb_wr_add(&w, n);
    tb_wr_bytes(&w, "\x52\0", 2);
    assert_int_equal(feed(w.buf, w.len), 1);
    p = control.payload.p;
    assert_int_equal(control.payload.n, 2 + 3 + 5 + n + 3);
    assert_memory_equal(p,
                        "\x68\x03\x77\x01"
                        "a\x6d",
                        6);
    assert_memory_equal(p + 10 + n - 1,
                        "x\x77\x01"
                        "a",
                        4);
    tb_wr_free(&w);
    forget();
}

/* A reference is two bytes, and the atom may be a thousand: how long a message
 * may be counts for what it becomes. */
static void
test_cache_expands_within_a_limit(void **state)
{
    struct tb_wr w = { 0 };

    (void)state;
    tb_wr_bytes(&w, "\x83\x44\x01\x08\x05\xff", 6);
    for (int i = 0; i < 255; i++)
        tb_wr_u8(&w, 'a');
    tb_wr_bytes(&w, SEND "\x6c\0\0\x03\xe8",
                sizeof(SEND "\x6c\0\0\x03\xe8") - 1);
    for (int i = 0; i < 1000; i++)
        tb_wr_bytes(&w, "\x52\0", 2);
    tb_wr_u8(&w, 106);
    expanded.payload.max = 5 + 1000 * 257 + 1 + TB_ATOM_SLACK;
    assert_int_equal(feed(w.buf, w.len), 1);
    assert_int_equal(control.payload.n, 5 + 1000 * 257 + 1);
    tb_expanded_free(&expanded, 0);
    expanded.payload.max--;
    assert_int_equal(feed(w.buf, w.len), -TB_ELIMIT);
    assert_in_range(expanded.payload.cap, 0, expanded.payload.max);
    expanded.payload.max = 0;
    tb_wr_free(&w);
    forget();
}

/* --------------------------------------------------------------- at random --
 */

static uint32_t seed;

static uint32_t
random_below(uint32_t n)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % n;
}

/* What each slot holds: a number and how often it is written out. */
static struct {
    unsigned number, times;
} model[2048];

static void
put_model_text(struct tb_wr *w, unsigned slot)
{
    for (unsigned i = 0; i < model[slot].times; i++)
        tb_wr_printf(w, "%06u", model[slot].number);
}

static size_t
model_bytes(unsigned slot)
{
    return 6u * model[slot].times;
}

static void
put_atoms(struct tb_wr *w, const unsigned *slots, const bool *is_new,
          unsigned n)
{
    tb_wr_u8(w, (uint8_t)n);
    for (unsigned i = 0; i <= n; i += 2) {
        unsigned half[2] = { 0, 0 };

        for (unsigned k = 0; k < 2; k++)
            if (i + k < n)
                half[k] = slots[i + k] >> 8 | (is_new[i + k] ? 8u : 0u);
        tb_wr_u8(w, (uint8_t)(half[1] << 4 | half[0]));
    }
    for (unsigned i = 0; i < n; i++) {
        tb_wr_u8(w, (uint8_t)slots[i]);
        if (is_new[i]) {
            tb_wr_u8(w, (uint8_t)model_bytes(slots[i]));
            put_model_text(w, slots[i]);
        }
    }
}

/* Slots that collide, are read again, and are written over, at length. */
static void
test_cache_is_what_a_model_says(void **state)
{
    unsigned slots[255], n;
    bool is_new[255];

    (void)state;
    seed = 1;
    memset(model, 0, sizeof(model));
    for (unsigned round = 0; round < 3000; round++) {
        struct tb_wr w = { 0 }, want = { 0 };

        n = 1 + random_below(round % 50 ? 20 : 255);
        for (unsigned i = 0; i < n; i++) {
            unsigned slot = random_below(round % 7 ? 2048 : 40);

            for (unsigned k = 0; k < i; k++) /* each once */
                if (slots[k] == slot) {
                    slot = (slot + 1) % 2048;
                    k = (unsigned)-1;
                }
            slots[i] = slot;
            is_new[i] = model[slot].times == 0 || random_below(3) == 0;
            if (is_new[i]) {
                model[slot].number = round;
                model[slot].times = 1 + random_below(42);
            }
        }
        tb_wr_bytes(&w, "\x83\x44", 2);
        put_atoms(&w, slots, is_new, n);
        tb_wr_bytes(&w, SEND, sizeof(SEND) - 1);
        tb_wr_u8(&w, 104);
        tb_wr_u8(&w, (uint8_t)n);
        tb_wr_bytes(&want, w.buf + w.len - 2, 2);
        for (unsigned i = n; i-- > 0;) {
            tb_wr_u8(&w, 82);
            tb_wr_u8(&w, (uint8_t)i);
            tb_wr_u8(&want, 119);
            tb_wr_u8(&want, (uint8_t)model_bytes(slots[i]));
            put_model_text(&want, slots[i]);
        }
        assert_int_equal(feed(w.buf, w.len), 1);
        assert_int_equal(control.payload.n, want.len);
        assert_memory_equal(control.payload.p, want.buf, want.len);
        assert_in_range(cache.text.len, 0, 3 * 2048 * 260);
        tb_wr_free(&w);
        tb_wr_free(&want);
    }
    forget();
}

/* Slots are written over with the longest atoms: memory has an end. */
static void
test_cache_has_a_limit(void **state)
{
    struct tb_wr text = { 0 };

    (void)state;
    for (int i = 0; i < 255; i++)
        tb_wr_str(&text, "\xf0\x9f\x98\x80");
    for (unsigned round = 0; round < 60; round++) {
        struct tb_wr w = { 0 };

        tb_wr_bytes(&w, "\x83\x44\xff", 3);
        for (unsigned i = 0; i < 128; i++) /* the last: long atoms */
            tb_wr_u8(&w, (uint8_t)((i == 127 ? 1u : 8u + round % 8) << 4 |
                                   (8u + round % 8)));
        for (unsigned i = 0; i < 255; i++) {
            tb_wr_u8(&w, (uint8_t)i);
            tb_wr_u16(&w, 1020);
            tb_wr_bytes(&w, text.buf, text.len);
        }
        tb_wr_bytes(&w, SEND "\x52\xfe", sizeof(SEND "\x52\xfe") - 1);
        assert_int_equal(feed(w.buf, w.len), 1);
        assert_int_equal(control.payload.n, 3 + 1020);
        assert_in_range(cache.text.cap, 0, TB_MAX_ATOM_CACHE);
        tb_wr_free(&w);
    }
    tb_wr_free(&text);
    forget();
}

/* ---------------------------------------------------- what we send -- */

#define TO_A_PID TB_ARGS(tb_v_pid(tb_test_pid(1)), tb_v_pid(tb_test_pid(2)))

static int
feed_frame(const struct tb_wr *w)
{
    struct tb_rd r = tb_rd_of(w->buf, w->len);

    assert_false(w->bad);
    assert_int_equal(tb_rd_u32(&r), w->len - 4);
    return feed(w->buf + 4, w->len - 4);
}

static void
test_header_without_atoms(void **state)
{
    static const char frame[] = "\0\0\0\x2f\x83\x44\0\x68\x03\x61\x16"
                                "\x58\x77\x03"
                                "a@b\0\0\0\x01\0\0\0\x02\0\0\0\x03"
                                "\x58\x77\x03"
                                "a@b\0\0\0\x02\0\0\0\x02\0\0\0\x03"
                                "\x77\x02hi";
    struct tb_wr w = { 0 };
    size_t at;

    (void)state;
    assert_int_equal(tb_control_put(&w, TB_DFLAGS_OURS, DOP_SEND_SENDER,
                                    TO_A_PID, tb_test_term("hi")),
                     0);
    assert_int_equal(w.len, sizeof(frame) - 1);
    assert_memory_equal(w.buf, frame, w.len);
    assert_int_equal(feed_frame(&w), 1);
    assert_int_equal(control.op, DOP_SEND_SENDER);
    assert_term(control.payload, "hi");
    w.len = 0;
    assert_int_equal(
        tb_control_begin(&w, TB_DFLAGS_OURS, DOP_SEND_SENDER, TO_A_PID, &at),
        0);
    tb_wr_bytes(&w, "\x77\x02hi", 4);
    assert_int_equal(tb_control_end(&w, at), 0);
    assert_memory_equal(w.buf, frame, w.len);
    tb_wr_free(&w);
    forget();
}

/* A term that is sent with a table is the one that arrives. */
static void
assert_carried(struct tb_term t, unsigned atoms)
{
    struct tb_atom_table *table = tb_atom_table_new();
    struct tb_wr body = { 0 }, w = { 0 };

    tb_atom_table_put(table, &body, t);
    assert_int_equal(table->n, atoms);
    assert_int_equal(tb_control_begin_with(&w, TB_DFLAGS_OURS, table,
                                           DOP_SEND_SENDER, TO_A_PID),
                     0);
    tb_wr_bytes(&w, body.buf, body.len);
    assert_int_equal(tb_control_end(&w, 0), 0);
    assert_int_equal(feed_frame(&w), 1);
    assert_int_equal(control.payload.n, t.n);
    assert_memory_equal(control.payload.p, t.p, t.n);
    assert_true(tb_pid_eq(control.arg[1].pid, tb_test_pid(2)));
    tb_atom_table_free(table);
    tb_wr_free(&body);
    tb_wr_free(&w);
    forget();
}

static void
test_table_carries_terms(void **state)
{
    struct tb_wr w = { 0 };

    (void)state;
    assert_carried(tb_test_term("17"), 0);
    assert_carried(tb_test_term("a"), 1);
    assert_carried(tb_test_term("''"), 1);
    assert_carried(tb_test_term("[a, b, {a, [b | a]}, #{a => c, d => <<1>>}]"),
                   4);
    tb_build(&w, "[P, Q, R, S, 'a@b']",
             TB_ARGS(tb_v_pid(tb_test_pid(1)), tb_v_pid(tb_test_pid(2)),
                     tb_v_ref(tb_test_ref(1)), tb_v_ref(tb_test_ref(5))));
    assert_carried(tb_wr_term(&w), 1);
    tb_wr_free(&w);
    for (size_t i = 0; i < LENGTH(recorded); i++)
        assert_int_equal(feed_recorded(i), 1);
    tb_wr_bytes(&w, control.payload.p, control.payload.n);
    assert_carried(tb_wr_term(&w), 0); /* a fun, and an export */
    tb_wr_free(&w);
}

static void
put_many(struct tb_wr *w, unsigned n, unsigned chars)
{
    tb_wr_u8(w, 108);
    tb_wr_u32(w, 2 * n);
    for (unsigned i = 0; i < 2 * n; i++) {
        struct tb_wr text = { 0 };

        tb_wr_printf(&text, "%05u", i % n);
        for (unsigned k = 5; k < chars; k++)
            tb_wr_str(&text, "\xc3\xa5");
        tb_build(w, "A",
                 TB_ARGS(tb_v_atom_n(
                     (struct tb_text){ (const char *)text.buf, text.len })));
        tb_wr_free(&text);
    }
    tb_wr_u8(w, 106);
}

/* Those that have no place in it are written out. */
static void
test_table_may_be_full(void **state)
{
    static const unsigned numbers[] = { 1, 2, 3, 254, 255, 256, 700 };

    (void)state;
    for (size_t i = 0; i < LENGTH(numbers); i++)
        for (unsigned chars = 5; chars <= 255; chars += 250) {
            struct tb_wr w = { 0 };
            unsigned n = numbers[i];

            put_many(&w, n, chars);
            assert_carried(tb_wr_term(&w), n < 255 ? n : 255);
            tb_wr_free(&w);
        }
}

/* Pids of many nodes, too; NULL writes the atoms. */
static void
test_table_puts_pids(void **state)
{
    struct tb_atom_table *table = tb_atom_table_new();
    struct tb_wr with = { 0 }, without = { 0 }, w = { 0 };

    (void)state;
    for (uint32_t i = 0; i < 600; i++) {
        struct tb_pid pid = { 0, i, 1, 2 };
        char name[32];

        snprintf(name, sizeof(name), "n%u@host", (unsigned)(i * i % 300));
        pid.node = tb_intern(tb_text_of(name));
        tb_atom_table_put_pid(table, &with, pid);
        tb_atom_table_put_pid(NULL, &without, pid);
    }
    assert_int_equal(tb_control_begin_with(&w, TB_DFLAGS_OURS, table,
                                           DOP_SEND_SENDER, TO_A_PID),
                     0);
    tb_wr_bytes(&w, "\x6c\0\0\x02\x58", 5);
    tb_wr_bytes(&w, with.buf, with.len);
    tb_wr_u8(&w, 106);
    assert_int_equal(tb_control_end(&w, 0), 0);
    assert_int_equal(feed_frame(&w), 1);
    assert_int_equal(control.payload.n, 5 + without.len + 1);
    assert_memory_equal(control.payload.p + 5, without.buf, without.len);
    assert_true(with.len < without.len);
    tb_atom_table_free(table);
    tb_atom_table_free(NULL);
    tb_wr_free(&with);
    tb_wr_free(&without);
    tb_wr_free(&w);
    forget();
}

/* Without the flag, and to those whose messages are looked through: OTP 23. */
static void
test_table_is_for_who_can_read_it(void **state)
{
    const uint64_t without[] = { TB_DFLAG(DIST_HDR_ATOM_CACHE),
                                 TB_DFLAG(V4_NC) };
    struct tb_atom_table *table = tb_atom_table_new();
    struct tb_wr w = { 0 };

    (void)state;
    assert_true(tb_control_takes_tables(TB_DFLAGS_OURS));
    for (size_t i = 0; i < LENGTH(without); i++) {
        uint64_t flags = TB_DFLAGS_OURS & ~without[i];

        assert_false(tb_control_takes_tables(flags));
        assert_int_equal(
            tb_control_begin_with(&w, flags, table, DOP_SEND_SENDER, TO_A_PID),
            -TB_ENOTSUP);
        assert_int_equal(w.len, 0);
    }
    tb_atom_table_free(table);
    tb_wr_free(&w);
}

/* A port of OTP 26 behind a header. */
static void
test_header_tells_what_an_old_peer_cannot_read(void **state)
{
    static const uint8_t port[] = "xw\3a@b\0\0\0\0\0\0\0\1\0\0\0\1";
    const uint64_t old = TB_DFLAGS_OURS & ~TB_DFLAG(V4_NC);
    struct tb_wr w = { 0 };

    (void)state;
    tb_control_put(&w, old, DOP_SEND_SENDER, TO_A_PID,
                   (struct tb_term){ port, sizeof(port) - 1 });
    assert_false(tb_control_readable(old, w.buf, w.len));
    w.len = 0;
    tb_control_put(&w, old, DOP_SEND_SENDER, TO_A_PID, tb_test_term("[port]"));
    assert_true(tb_control_readable(old, w.buf, w.len));
    tb_wr_free(&w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cache_reads_what_a_beam_sent),
        cmocka_unit_test(test_cache_makes_funs_longer),
        cmocka_unit_test(test_cache_refuses_every_beginning),
        cmocka_unit_test(test_cache_is_small_at_first),
        cmocka_unit_test(test_cache_by_hand),
        cmocka_unit_test(test_cache_hears_of_dropped_messages),
        cmocka_unit_test(test_cache_slots_are_written_again),
        cmocka_unit_test(test_cache_takes_the_longest_atoms),
        cmocka_unit_test(test_cache_copies_only_what_has_references),
        cmocka_unit_test(test_cache_copies_large_binaries),
        cmocka_unit_test(test_cache_expands_within_a_limit),
        cmocka_unit_test(test_cache_is_what_a_model_says),
        cmocka_unit_test(test_cache_has_a_limit),
        cmocka_unit_test(test_header_without_atoms),
        cmocka_unit_test(test_table_carries_terms),
        cmocka_unit_test(test_table_may_be_full),
        cmocka_unit_test(test_table_puts_pids),
        cmocka_unit_test(test_table_is_for_who_can_read_it),
        cmocka_unit_test(test_header_tells_what_an_old_peer_cannot_read),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
