/* test_control.c - control messages: every row both ways, the older forms,
 * and what a peer may get wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/wr.h"
#include "dist/control.h"
#include "dist/dflags.h"
#include "term/check.h"
#include "term/ident.h"
#include "term/put.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))
#define HEAD      4 /* the length of the frame */

/* Headers are for test_atom_cache.c. */
#define PLAIN (TB_DFLAGS_OURS & ~TB_DFLAG(DIST_HDR_ATOM_CACHE))

static const struct row {
    enum tb_dop op;
    const char *name, *operands;
    bool payload;
} rows[] = {
#define PAYLOAD_NO  false
#define PAYLOAD_YES true
#define X(name, value, operands, payload)                                      \
    { DOP_##name, #name, operands, PAYLOAD_##payload },
    TB_DOPS(X)
#undef X
};

/* The operands of a row, one for every element behind the number. */
struct operands {
    size_t n, holes;
    struct tb_val v[8];
    char type[8][8];   /* as in the row: "pid", "" */
    size_t hole_of[8]; /* indices into v */
};

static struct tb_pid pid_cn, pid_b;
static struct tb_ref ref_b;
static struct tb_wr tuple, list, reason, token;

static struct tb_term
term_of(struct tb_wr *w, const char *text)
{
    struct tb_text_error error;

    assert_int_equal(tb_parse(w, text, strlen(text), &error), 0);
    return tb_wr_term(w);
}

static int
setup(void **state)
{
    (void)state;
    tb_atoms_ref();
    pid_cn =
        (struct tb_pid){ tb_intern(tb_text_of("cn@127.0.0.1")), 1, 0, 0xbeef };
    pid_b = (struct tb_pid){ tb_intern(tb_text_of("b@127.0.0.1")), 90, 0,
                             0x6b00e07d };
    ref_b = (struct tb_ref){ pid_b.node, pid_b.creation, 3, { 7, 8, 9 } };
    term_of(&tuple, "{lists, reverse, 1}");
    term_of(&list, "[link, monitor]");
    term_of(&reason, "{oops, [1 | x]}");
    term_of(&token, "{0, label, 1, x, 0}");
    return tb_control_init();
}

static int
teardown(void **state)
{
    (void)state;
    tb_wr_free(&tuple);
    tb_wr_free(&list);
    tb_wr_free(&reason);
    tb_wr_free(&token);
    tb_control_fini();
    tb_atoms_unref();
    return 0;
}

static struct tb_val
value_of(const char *type)
{
    struct tb_val v;

    if (strcmp(type, "pid") == 0)
        return tb_v_pid(pid_b);
    if (strcmp(type, "ref") == 0)
        return tb_v_ref(ref_b);
    if (strcmp(type, "int") == 0)
        return tb_v_int(3);
    if (strcmp(type, "atom") == 0)
        return tb_v_atom("rex");
    v = tb_v_term(tb_wr_term(strcmp(type, "tuple") == 0  ? &tuple
                             : strcmp(type, "list") == 0 ? &list
                             : strcmp(type, "_") == 0    ? &token
                                                         : &reason));
    return v;
}

/* A value of another type than that one. */
static struct tb_val
wrong_value_of(const char *type)
{
    return value_of(strcmp(type, "pid") == 0 ? "ref" : "pid");
}

static struct operands
operands_of(const struct row *row)
{
    struct operands o = { 0 };
    char text[100], *save, *word, *colon;

    snprintf(text, sizeof(text), "%s", row->operands);
    for (word = strtok_r(text, ", ", &save); word;
         word = strtok_r(NULL, ", ", &save)) {
        assert_true(o.n < LENGTH(o.v));
        colon = strchr(word, ':');
        snprintf(o.type[o.n], sizeof(o.type[0]), "%s",
                 colon                    ? colon + 1
                 : strcmp(word, "_") == 0 ? "_"
                                          : "");
        o.v[o.n] = value_of(o.type[o.n]);
        if (strcmp(word, "_") != 0)
            o.hole_of[o.holes++] = o.n;
        o.n++;
    }
    return o;
}

/* A frame without help from control.c. */
static void
put_raw(struct tb_wr *w, unsigned op, const struct tb_val *v, size_t n,
        struct tb_term payload)
{
    size_t at = w->len;

    tb_wr_u32(w, 0);
    tb_wr_bytes(w, "\x70\x83", 2);
    tb_put_tuple(w, (uint32_t)n + 1);
    tb_put_int(w, op);
    for (size_t i = 0; i < n; i++)
        tb_put_val(w, &v[i]);
    if (payload.n > 0) {
        tb_wr_u8(w, 131);
        tb_put_term(w, payload);
    }
    tb_wr_patch_u32(w, at, (uint32_t)(w->len - at - HEAD));
    assert_false(w->bad);
}

static struct tb_term
payload_of(const struct row *row)
{
    return row->payload ? tb_wr_term(&reason) : (struct tb_term){ 0 };
}

static int
get(const struct tb_wr *w, struct tb_control *c)
{
    return tb_control_get(w->buf + HEAD, w->len - HEAD, c);
}

/* From memory that ends where the frame does. */
static int
get_cut(const struct tb_wr *w, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    struct tb_control c;
    int rc;

    assert_non_null(copy);
    memcpy(copy, w->buf + HEAD, n);
    rc = tb_control_get(copy, n, &c);
    free(copy);
    return rc;
}

static void
assert_same_value(const struct tb_val *a, const struct tb_val *b)
{
    struct tb_wr one = { 0 }, other = { 0 };

    tb_put_val(&one, a);
    tb_put_val(&other, b);
    assert_false(one.bad || other.bad);
    assert_int_equal(one.len, other.len);
    assert_memory_equal(one.buf, other.buf, one.len);
    tb_wr_free(&one);
    tb_wr_free(&other);
}

static void
assert_same_bytes(const struct tb_wr *got, const struct tb_wr *want)
{
    assert_int_equal(got->len, want->len);
    assert_memory_equal(got->buf, want->buf, want->len);
}

/* What is put with these flags is the message with that number and those
 * elements. */
static void
assert_puts(uint64_t flags, enum tb_dop op, struct tb_args args,
            struct tb_term payload, unsigned as, struct tb_args elements,
            struct tb_term payload_as)
{
    struct tb_wr got = { 0 }, want = { 0 };

    put_raw(&want, as, elements.v, elements.n, payload_as);
    assert_int_equal(tb_control_put(&got, flags, op, args, payload), 0);
    assert_same_bytes(&got, &want);
    tb_wr_free(&got);
    tb_wr_free(&want);
}

static const struct tb_term none;

/* ----------------------------------------------------------- the table -- */

static void
test_control_init_is_idempotent(void **state)
{
    (void)state;
    assert_int_equal(tb_control_init(), 0);
    tb_control_fini();
    assert_int_equal(tb_control_init(), 0);
    assert_int_equal(tb_control_init(), 0);
}

static void
test_control_name_tells_the_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++)
        assert_string_equal(tb_control_name(rows[i].op), rows[i].name);
    assert_string_equal(tb_control_name(0), "?");
    assert_string_equal(tb_control_name(5), "?");
    assert_string_equal(tb_control_name(DOP_LAST + 1), "?");
    assert_string_equal(tb_control_name(UINT32_MAX), "?");
}

static void
test_control_rows_are_put_and_got_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        struct operands o = operands_of(&rows[i]);
        struct tb_val given[] = { o.v[0], o.v[2] };
        struct tb_args args = { o.n, o.v };
        struct tb_wr got = { 0 }, want = { 0 };
        struct tb_control c;

        if (rows[i].op == DOP_REG_SEND) { /* its cookie of old is put in */
            o.v[1] = tb_v_atom("");
            args = (struct tb_args){ LENGTH(given), given };
        }
        put_raw(&want, rows[i].op, o.v, o.n, payload_of(&rows[i]));
        assert_int_equal(
            tb_control_put(&got, PLAIN, rows[i].op, args, payload_of(&rows[i])),
            0);
        assert_same_bytes(&got, &want);
        assert_int_equal(get(&got, &c), 1);
        assert_int_equal(c.op, rows[i].op);
        for (size_t h = 0; h < o.holes; h++)
            assert_same_value(&c.arg[h], &o.v[o.hole_of[h]]);
        assert_int_equal(c.payload.n, payload_of(&rows[i]).n);
        if (c.payload.n > 0)
            assert_memory_equal(c.payload.p, reason.buf, reason.len);
        tb_wr_free(&got);
        tb_wr_free(&want);
    }
}

static void
test_control_put_appends_the_frame_of_the_example(void **state)
{
    static const uint8_t frame[] = "?\0\0\0\x40\x70\x83\x68\x03\x61\x16"
                                   "\x58\x77\x0c"
                                   "cn@127.0.0.1\0\0\0\x01\0\0\0\0\0\0\xbe\xef"
                                   "\x58\x77\x0b"
                                   "b@127.0.0.1\0\0\0\x5a\0\0\0\0\x6b\0\xe0\x7d"
                                   "\x83\x77\x02hi";
    static const uint8_t hi[] = { 0x77, 2, 'h', 'i' };
    struct tb_wr w = { 0 };
    struct tb_control c;

    (void)state;
    tb_wr_str(&w, "?"); /* what stands before it stays */
    assert_int_equal(tb_control_put(&w, PLAIN, DOP_SEND_SENDER,
                                    TB_ARGS(tb_v_pid(pid_cn), tb_v_pid(pid_b)),
                                    (struct tb_term){ hi, sizeof(hi) }),
                     0);
    assert_int_equal(w.len, sizeof(frame) - 1);
    assert_memory_equal(w.buf, frame, w.len);
    assert_int_equal(tb_control_get(frame + 1 + HEAD, w.len - 1 - HEAD, &c), 1);
    assert_int_equal(c.op, DOP_SEND_SENDER);
    assert_int_equal(c.arg[0].type, TB_T_TERM);
    assert_true(tb_pid_eq(c.arg[1].pid, pid_b));
    assert_int_equal(c.payload.n, sizeof(hi));
    assert_memory_equal(c.payload.p, hi, sizeof(hi));
    tb_wr_free(&w);
}

/* --------------------------------------------------------- older forms -- */

static void
test_control_exits_hold_their_reason_without_exit_payload(void **state)
{
    uint64_t flags = PLAIN & ~TB_DFLAG(EXIT_PAYLOAD);
    struct tb_term why = tb_wr_term(&reason);
    struct tb_val from = tb_v_pid(pid_cn), to = tb_v_pid(pid_b);
    struct tb_val ref = tb_v_ref(ref_b);

    (void)state;
    assert_puts(flags, DOP_PAYLOAD_EXIT, TB_ARGS(from, to), why, DOP_EXIT,
                TB_ARGS(from, to, tb_v_term(why)), none);
    assert_puts(flags, DOP_PAYLOAD_EXIT2, TB_ARGS(from, to), why, DOP_EXIT2,
                TB_ARGS(from, to, tb_v_term(why)), none);
    assert_puts(flags, DOP_PAYLOAD_MONITOR_P_EXIT, TB_ARGS(from, to, ref), why,
                DOP_MONITOR_P_EXIT, TB_ARGS(from, to, ref, tb_v_term(why)),
                none);
}

static void
test_control_send_leaves_out_the_sender_without_send_sender(void **state)
{
    struct tb_term msg = tb_wr_term(&tuple);
    struct tb_val from = tb_v_pid(pid_cn), to = tb_v_pid(pid_b);

    (void)state;
    assert_puts(PLAIN & ~TB_DFLAG(SEND_SENDER), DOP_SEND_SENDER,
                TB_ARGS(from, to), msg, DOP_SEND, TB_ARGS(tb_v_atom(""), to),
                msg);
}

static void
test_control_unlink_has_no_id_without_unlink_id(void **state)
{
    struct tb_val from = tb_v_pid(pid_cn), to = tb_v_pid(pid_b);

    (void)state;
    assert_puts(PLAIN & ~TB_DFLAG(UNLINK_ID), DOP_UNLINK_ID,
                TB_ARGS(tb_v_int(7), from, to), none, DOP_UNLINK,
                TB_ARGS(from, to), none);
}

static void
test_control_put_refuses_what_flags_have_no_form_for(void **state)
{
    static const struct {
        uint64_t without;
        enum tb_dop op;
    } refused[] = {
        { TB_DFLAG(ALIAS), DOP_ALIAS_SEND },
        { TB_DFLAG(SPAWN), DOP_SPAWN_REQUEST },
        { TB_DFLAG(SPAWN), DOP_SPAWN_REPLY },
        { TB_DFLAG(DIST_MONITOR), DOP_MONITOR_P },
        { TB_DFLAG(DIST_MONITOR), DOP_DEMONITOR_P },
        { TB_DFLAG(DIST_MONITOR), DOP_PAYLOAD_MONITOR_P_EXIT },
        { TB_DFLAG(UNLINK_ID), DOP_UNLINK_ID_ACK },
        { TB_DFLAG(ALTACT_SIG), DOP_ALTACT_SIG_SEND },
    };
    struct tb_wr w = { 0 };

    (void)state;
    for (size_t i = 0; i < LENGTH(refused); i++)
        for (size_t row = 0; row < LENGTH(rows); row++) {
            struct operands o = operands_of(&rows[row]);

            if (rows[row].op != refused[i].op)
                continue;
            assert_int_equal(tb_control_put(&w, PLAIN & ~refused[i].without,
                                            rows[row].op,
                                            (struct tb_args){ o.n, o.v },
                                            payload_of(&rows[row])),
                             -TB_ENOTSUP);
            assert_int_equal(w.len, 0);
            assert_false(w.bad);
        }
    tb_wr_free(&w);
}

static void
test_control_put_leaves_no_half_a_frame(void **state)
{
    struct tb_wr w = { .max = 60 };

    (void)state;
    tb_wr_str(&w, "before");
    assert_true(tb_control_put(&w, PLAIN, DOP_LINK,
                               TB_ARGS(tb_v_pid(pid_cn), tb_v_pid(pid_b)),
                               none) < 0);
    assert_true(w.bad);
    assert_int_equal(w.len, strlen("before"));
    tb_wr_free(&w);
}

/* ------------------------------------------------------- what is wrong -- */

static void
test_control_get_does_not_know_all_numbers(void **state)
{
    static const unsigned unknown[] = { 0, 5, 9, 17, 38, 255, 1000, INT32_MAX };
    struct tb_val v[] = { tb_v_pid(pid_cn), tb_v_pid(pid_b) };
    struct tb_control c;

    (void)state;
    for (size_t i = 0; i < LENGTH(unknown); i++) {
        struct tb_wr w = { 0 };

        put_raw(&w, unknown[i], v, LENGTH(v), none);
        assert_int_equal(get(&w, &c), 0);
        tb_wr_free(&w);
    }
}

static void
test_control_get_refuses_wrong_operands(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        const struct operands o = operands_of(&rows[i]);

        for (size_t at = 0; at < o.n; at++) {
            struct operands wrong = o;
            struct tb_wr w = { 0 };
            struct tb_control c;

            if (o.type[at][0] == '\0' || o.type[at][0] == '_')
                continue;
            wrong.v[at] = wrong_value_of(o.type[at]);
            put_raw(&w, rows[i].op, wrong.v, wrong.n, payload_of(&rows[i]));
            assert_int_equal(get(&w, &c), -TB_EPROTO);
            tb_wr_free(&w);
        }
    }
}

static void
test_control_get_refuses_a_wrong_arity(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        struct operands o = operands_of(&rows[i]);
        struct tb_wr fewer = { 0 }, more = { 0 };
        struct tb_control c;

        o.v[o.n] = o.v[o.n + 1] = value_of("_");
        put_raw(&fewer, rows[i].op, o.v, o.n - 1, payload_of(&rows[i]));
        put_raw(&more, rows[i].op, o.v, o.n + 2, payload_of(&rows[i]));
        assert_int_equal(get(&fewer, &c), -TB_EPROTO);
        assert_int_equal(get(&more, &c), -TB_EPROTO);
        tb_wr_free(&fewer);
        tb_wr_free(&more);
    }
}

static void
test_control_get_refuses_what_is_no_message(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        int rc;
    } wrong[] = {
        { "", 0, -TB_EPROTO },
        { "\x70", 1, -TB_EPROTO },
        { "\x44\x83\x68\x01\x61\x01", 6, -TB_EPROTO },
        { "\x70\x82\x68\x01\x61\x01", 6, -TB_EPROTO },
        { "\x70\x83\x68\0", 4, -TB_EPROTO },
        { "\x70\x83\x61\x01", 4, -TB_EPROTO },
        { "\x70\x83\x68\x01\x77\x01x", 7, -TB_EPROTO },
        { "\x70\x83\x68\x01\x62\xff\xff\xff\xff", 9, -TB_EPROTO },
        { "\x70\x83\x68\x02\x61\x01", 6, -TB_EBADTERM },
        { "\x70\x83\x01", 3, -TB_EUNKNOWN_TAG },
    };
    struct tb_control c;

    (void)state;
    for (size_t i = 0; i < LENGTH(wrong); i++)
        assert_int_equal(
            tb_control_get((const uint8_t *)wrong[i].bytes, wrong[i].n, &c),
            wrong[i].rc);
}

static void
test_control_get_wants_the_payload(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        int rc;
    } payloads[] = {
        { "", 0, -TB_EPROTO },
        { "\x82\x6a", 2, -TB_EPROTO },
        { "\x83", 1, -TB_EBADTERM },
        { "\x83\x77\x02h", 4, -TB_EBADTERM },
        { "\x83\x01", 2, -TB_EUNKNOWN_TAG },
        { "\x83\x6a", 2, 1 },
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        struct operands o = operands_of(&rows[i]);

        for (size_t p = 0; p < LENGTH(payloads); p++) {
            struct tb_wr w = { 0 };
            struct tb_control c;

            put_raw(&w, rows[i].op, o.v, o.n, none);
            tb_wr_bytes(&w, payloads[p].bytes, payloads[p].n);
            assert_int_equal(get(&w, &c), rows[i].payload ? payloads[p].rc : 1);
            tb_wr_free(&w);
        }
    }
}

static void
test_control_get_ignores_what_follows(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        struct operands o = operands_of(&rows[i]);
        struct tb_wr w = { 0 };
        struct tb_control c;

        put_raw(&w, rows[i].op, o.v, o.n, payload_of(&rows[i]));
        tb_wr_bytes(&w, "\x01more", 5);
        assert_int_equal(get(&w, &c), 1);
        assert_int_equal(c.payload.n, payload_of(&rows[i]).n);
        tb_wr_free(&w);
    }
}

static void
test_control_get_refuses_every_beginning(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        struct operands o = operands_of(&rows[i]);
        struct tb_wr w = { 0 };

        put_raw(&w, rows[i].op, o.v, o.n, payload_of(&rows[i]));
        for (size_t n = 0; n < w.len - HEAD; n++)
            assert_true(get_cut(&w, n) < 0);
        assert_int_equal(get_cut(&w, w.len - HEAD), 1);
        tb_wr_free(&w);
    }
}

static void
test_control_altact_sig_may_have_a_token(void **state)
{
    struct tb_val v[] = {
        tb_v_int(DOP_ALTACT_SIG_FLG_ALIAS | DOP_ALTACT_SIG_FLG_TOKEN),
        tb_v_pid(pid_cn),
        tb_v_ref(ref_b),
        tb_v_term(tb_wr_term(&token)),
    };
    struct tb_wr w = { 0 };
    struct tb_control c;

    (void)state;
    put_raw(&w, DOP_ALTACT_SIG_SEND, v, LENGTH(v), tb_wr_term(&reason));
    assert_int_equal(get(&w, &c), 1);
    assert_int_equal(c.op, DOP_ALTACT_SIG_SEND);
    assert_int_equal(c.arg[0].i, 6);
    assert_true(tb_pid_eq(c.arg[1].pid, pid_cn));
    assert_same_value(&c.arg[2], &v[2]);
    assert_int_equal(c.payload.n, reason.len);
    tb_wr_free(&w);
}

/* --------------------------------------------------------------- flags -- */

static FILE *
open_dist_hrl(void)
{
    char path[1024] = "";
    FILE *p = popen("erl -noshell -eval "
                    "'io:put_chars(code:lib_dir(kernel)), halt().' "
                    "2>/dev/null",
                    "r");

    if (!p)
        return NULL;
    if (!fgets(path, sizeof(path) - 32, p))
        path[0] = '\0';
    pclose(p);
    strcat(path, "/include/dist.hrl");
    return fopen(path, "r");
}

/* -define(DFLAG_X, 16#10). or -define(DFLAG_X, (16#1 bsl 32)). */
static bool
read_flag(const char *line, char name[64], uint64_t *value)
{
    unsigned long long number;
    const char *at = strstr(line, "16#"), *shift = strstr(line, " bsl ");

    if (sscanf(line, "-define(DFLAG_%63[A-Z0-9_],", name) != 1 || !at ||
        sscanf(at, "16#%llx", &number) != 1)
        return false;
    *value = (uint64_t)number << (shift ? strtoul(shift + 5, NULL, 10) : 0);
    return true;
}

static void
test_dflags_are_those_of_the_kernel(void **state)
{
    static const struct {
        const char *name;
        uint64_t value;
    } ours[] = {
#define X(name, bit, use) { #name, TB_DFLAG(name) },
        TB_DFLAGS(X)
#undef X
    };
    FILE *f = open_dist_hrl();
    char line[256], name[64];
    unsigned compared = 0;
    uint64_t value;

    (void)state;
    if (!f) {
        print_message("no dist.hrl of an Erlang kernel here\n");
        skip();
    }
    while (fgets(line, sizeof(line), f)) {
        if (!read_flag(line, name, &value))
            continue;
        for (size_t i = 0; i < LENGTH(ours); i++)
            if (strcmp(ours[i].name, name) == 0) {
                assert_true(ours[i].value == value);
                compared++;
            }
    }
    fclose(f);
    assert_true(compared >= 28); /* OTP 25 has that many of them */
}

/* A port of OTP 26 in the payload, or in the control tuple. */
static void
test_control_tells_what_an_old_peer_cannot_read(void **state)
{
    static const uint8_t port[] = "xw\3a@b\0\0\0\0\0\0\0\1\0\0\0\1";
    const struct tb_term wide = { port, sizeof(port) - 1 };
    const struct tb_term narrow = { port + 1, 5 };
    const uint64_t old = PLAIN & ~TB_DFLAG(V4_NC);
    struct tb_val v[3] = { tb_v_pid(pid_cn), tb_v_pid(pid_b) };
    struct tb_wr w = { 0 };

    (void)state;
    tb_wr_str(&w, "before");
    assert_int_equal(tb_control_put(&w, old, DOP_SEND_SENDER,
                                    (struct tb_args){ 2, v }, wide),
                     0);
    assert_false(tb_control_readable(old, w.buf + 6, w.len - 6));
    assert_true(tb_control_readable(PLAIN, w.buf + 6, w.len - 6));
    w.len = 6;
    tb_control_put(&w, old, DOP_SEND_SENDER, (struct tb_args){ 2, v }, narrow);
    assert_true(tb_control_readable(old, w.buf + 6, w.len - 6));
    w.len = 6;
    v[1] = tb_v_term(wide);
    v[2] = tb_v_ref(ref_b);
    tb_control_put(&w, old, DOP_MONITOR_P, (struct tb_args){ 3, v },
                   (struct tb_term){ 0 });
    assert_false(tb_control_readable(old, w.buf + 6, w.len - 6));
    tb_wr_free(&w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_control_init_is_idempotent),
        cmocka_unit_test(test_control_name_tells_the_rows),
        cmocka_unit_test(test_control_rows_are_put_and_got_back),
        cmocka_unit_test(test_control_put_appends_the_frame_of_the_example),
        cmocka_unit_test(
            test_control_exits_hold_their_reason_without_exit_payload),
        cmocka_unit_test(
            test_control_send_leaves_out_the_sender_without_send_sender),
        cmocka_unit_test(test_control_unlink_has_no_id_without_unlink_id),
        cmocka_unit_test(test_control_put_refuses_what_flags_have_no_form_for),
        cmocka_unit_test(test_control_put_leaves_no_half_a_frame),
        cmocka_unit_test(test_control_get_does_not_know_all_numbers),
        cmocka_unit_test(test_control_get_refuses_wrong_operands),
        cmocka_unit_test(test_control_get_refuses_a_wrong_arity),
        cmocka_unit_test(test_control_get_refuses_what_is_no_message),
        cmocka_unit_test(test_control_get_wants_the_payload),
        cmocka_unit_test(test_control_get_ignores_what_follows),
        cmocka_unit_test(test_control_get_refuses_every_beginning),
        cmocka_unit_test(test_control_altact_sig_may_have_a_token),
        cmocka_unit_test(test_control_tells_what_an_old_peer_cannot_read),
        cmocka_unit_test(test_dflags_are_those_of_the_kernel),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
