/* handshake_script.h - a worked example of the handshake and its variants, as
 * what either role is fed; and the other ways to bring a role to its end. */
#ifndef TB_TEST_DIST_HANDSHAKE_SCRIPT_H
#define TB_TEST_DIST_HANDSHAKE_SCRIPT_H

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "dist/frame.h"
#include "dist/handshake.h"
#include "recording.h"

#define TEXT(s) ((struct tb_text)TEXT_INIT(s))
#define TEXT_INIT(s)                                                           \
    {                                                                          \
        s, sizeof(s) - 1                                                       \
    } /* of what is static */

#define A_NAME  "cn@127.0.0.1"
#define A_FLAGS UINT64_C(0xd075f5fbc)
#define B_NAME  "b@127.0.0.1"
#define B_FLAGS UINT64_C(0xd07df7fbd)

/* Without their lengths. */
#define NAME_MSG "N\0\0\0\x0d\x07\x5f\x5f\xbc\0\0\xbe\xef\0\x0c" A_NAME
#define CHALLENGE_MSG                                                          \
    "N\0\0\0\x0d\x07\xdf\x7f\xbd\0\0\x04\xd2\x6b\0\xe0\x7d\0\x0b" B_NAME
#define REPLY_MSG                                                              \
    "r\xff\xff\xff\xff\xbd\xfc\x2d\xb0\xaa\x59\x9f\x59\x19\xe5\x65\xc3\x28"    \
    "\x21\x6a\x51"
#define ACK_MSG                                                                \
    "a\x5d\xfd\x18\x1e\x69\xaa\x58\x7c\xc8\x12\xeb\x33\x3e\x65\x36\xb6"

/* As OTP 23 opens: the low flags, and the rest in the complement. */
#define OLD_NAME_MSG   "n\0\x05\x01\xdf\x7f\xbc" A_NAME
#define COMPLEMENT_MSG "c\0\0\0\x01\0\0\xbe\xef"

/* What a role is fed from start to end, and how its owner decides. */
struct script {
    bool dial;
    enum tb_hs_status_code status;
    size_t n;
    struct tb_text in[3];
};

enum { DIAL, DIAL_ALIVE, ACCEPT, ACCEPT_ALIVE, ACCEPT_OLD, NSCRIPTS };

/* clang-format off */
static const struct script scripts[] = {
    [DIAL] = { true, TB_HS_OK, 3,
        { TEXT_INIT("sok"), TEXT_INIT(CHALLENGE_MSG), TEXT_INIT(ACK_MSG) } },
    [DIAL_ALIVE] = { true, TB_HS_OK, 3,
        { TEXT_INIT("salive"), TEXT_INIT(CHALLENGE_MSG), TEXT_INIT(ACK_MSG) } },
    [ACCEPT] = { false, TB_HS_OK, 2,
        { TEXT_INIT(NAME_MSG), TEXT_INIT(REPLY_MSG) } },
    [ACCEPT_ALIVE] = { false, TB_HS_STATUS_ALIVE, 3,
        { TEXT_INIT(NAME_MSG), TEXT_INIT("strue"), TEXT_INIT(REPLY_MSG) } },
    [ACCEPT_OLD] = { false, TB_HS_OK_SIMULTANEOUS, 3,
        { TEXT_INIT(OLD_NAME_MSG), TEXT_INIT(COMPLEMENT_MSG),
          TEXT_INIT(REPLY_MSG) } },
};
/* clang-format on */

static inline struct tb_cookie
cookie_of(struct tb_text text)
{
    struct tb_cookie cookie = { .n = (uint8_t)text.n };

    memcpy(cookie.text, text.p, text.n);
    return cookie;
}

/* A of the worked example where it dials, else B. */
static inline struct tb_handshake
new_hs(bool dial)
{
    struct tb_handshake hs = {
        .our_name = dial ? TEXT(A_NAME) : TEXT(B_NAME),
        .our_flags = dial ? A_FLAGS : B_FLAGS,
        .our_creation = dial ? 0xbeef : 0x6b00e07d,
        .length_bytes = 2,
        .challenge = dial ? 0xffffffff : 1234,
        .cookie = cookie_of(TEXT("secret")),
    };

    if (dial) {
        memcpy(hs.name, B_NAME, sizeof(B_NAME));
        hs.name_len = sizeof(B_NAME) - 1;
    }
    return hs;
}

/* Feeds the first n bytes from the heap, where an overrun is noticed. */
static inline int
feed_part(struct tb_handshake *hs, struct tb_text t, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    int rc;

    assert_non_null(copy);
    memcpy(copy, t.p, n < t.n ? n : t.n);
    if (n > t.n)
        memset(copy + t.n, '!', n - t.n);
    rc = tb_hs_feed(hs, copy, n);
    free(copy);
    return rc;
}

static inline int
feed(struct tb_handshake *hs, struct tb_text t)
{
    return feed_part(hs, t, t.n);
}

/* What the owner does. */
static inline int
decide(struct tb_handshake *hs, const struct script *s, int rc)
{
    if (rc == TB_HS_NAMED)
        return tb_hs_status(hs, s->status);
    return rc == TB_HS_ALIVE ? tb_hs_alive(hs, true) : rc;
}

static inline int
begin(struct tb_handshake *hs, const struct script *s, size_t messages)
{
    int rc = TB_HS_MORE;

    *hs = new_hs(s->dial);
    if (s->dial)
        tb_hs_start(hs);
    else
        tb_hs_accept(hs);
    for (size_t i = 0; i < messages && rc == TB_HS_MORE; i++)
        rc = decide(hs, s, feed(hs, s->in[i]));
    return rc;
}

static inline void
assert_out(struct tb_handshake *hs, struct tb_text want)
{
    assert_int_equal(tb_wr_status(&hs->out), 0);
    assert_int_equal(hs->out.len, want.n);
    assert_memory_equal(hs->out.buf, want.p, want.n);
    tb_wr_clear(&hs->out, 0);
}

/* What an acceptor makes of a name message with that name and those flags. */
static inline int
feed_name(struct tb_handshake *hs, struct tb_text name, uint64_t flags)
{
    struct tb_wr w = { 0 };
    int rc;

    tb_wr_u8(&w, 'N');
    tb_wr_u64(&w, flags);
    tb_wr_u32(&w, 0);
    tb_wr_u16(&w, (uint16_t)name.n);
    tb_wr_bytes(&w, name.p, name.n);
    begin(hs, &scripts[ACCEPT], 0);
    rc = feed(hs, (struct tb_text){ (const char *)w.buf, w.len });
    tb_wr_free(&w);
    return rc;
}

/* Moves what one has to say to the other; both must cut it alike. */
static inline int
carry(struct tb_handshake *from, struct tb_handshake *to)
{
    struct tb_frames f = { .length_bytes = from->length_bytes,
                           .max = TB_MAX_HANDSHAKE };
    const uint8_t *body;
    size_t n;
    int rc = TB_HS_MORE;

    tb_frames_lend(&f, from->out.buf, from->out.len);
    while (tb_frames_next(&f, &body, &n) == 1) {
        assert_int_equal(rc, TB_HS_MORE);
        rc = tb_hs_feed(to, body, n);
    }
    assert_int_equal(f.n, 0);
    tb_frames_fini(&f);
    tb_wr_clear(&from->out, 0);
    return rc;
}

static inline int
result_of(struct tb_text text)
{
    return tb_text_is(text, "done")          ? TB_HS_DONE
           : tb_text_is(text, "nok")         ? -TB_ENOK
           : tb_text_is(text, "not_allowed") ? -TB_ENOT_ALLOWED
                                             : INT_MIN;
}

static inline struct tb_handshake
recorded_hs(const struct recording *rec)
{
    struct tb_text peer = recording_get(rec, 'P');
    struct tb_handshake hs = {
        .our_name = recording_get(rec, 'N'),
        .our_flags = recording_get_number(rec, 'F'),
        .our_creation = (uint32_t)recording_get_number(rec, 'K'),
        .length_bytes = 2,
        .challenge = (uint32_t)recording_get_number(rec, 'H'),
        .cookie = cookie_of(recording_get(rec, 'C')),
    };

    memcpy(hs.name, peer.p, peer.n);
    hs.name_len = (uint8_t)peer.n;
    return hs;
}

/* What came goes in, and what we then say must be what was said then. */
static inline void
replay(const char *file, bool dial)
{
    static const struct script owner = { .status = TB_HS_OK };
    struct recording rec = recording_open(file);
    struct tb_handshake hs = recorded_hs(&rec);
    struct tb_rd r = tb_rd_of(rec.p, rec.n);
    struct entry e;
    size_t said = 0;
    int rc = TB_HS_MORE;

    if (dial)
        tb_hs_start(&hs);
    else
        tb_hs_accept(&hs);
    while (recording_next(&r, &e)) {
        if (e.tag == '<') {
            e.data.p += 2;
            e.data.n -= 2;
            rc = decide(&hs, &owner, feed(&hs, e.data));
        } else if (e.tag == '>') {
            assert_true(hs.out.len - said >= e.data.n);
            assert_memory_equal(hs.out.buf + said, e.data.p, e.data.n);
            said += e.data.n;
        }
    }
    assert_int_equal(said, hs.out.len);
    assert_int_equal(rc, result_of(recording_get(&rec, 'R')));
    tb_hs_fini(&hs);
    recording_close(&rec);
}

#endif
