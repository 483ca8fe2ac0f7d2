/* handshake.h - the distribution handshake, both roles, as bytes.
 * Source: erl_dist_protocol, "Distribution Handshake".
 *
 * The owner cuts the stream into frames (2-byte lengths over TCP, 4-byte over
 * TLS) and feeds each frame's body; what is to be sent is appended to hs->out
 * with its length. An initiator begins with tb_hs_start(). An acceptor stops
 * at TB_HS_NAMED until the owner, who knows all connections, gives a status. */
#ifndef TB_DIST_HANDSHAKE_H
#define TB_DIST_HANDSHAKE_H

#include "base/rd.h"
#include "base/wr.h"
#include "dist/dflags.h"

#define TB_DIGEST_BYTES 16
#define TB_MAX_COOKIE   255

struct tb_cookie {
    uint8_t n;
    char text[TB_MAX_COOKIE];
};

/* tb_hs_digest - MD5(cookie, decimal of challenge). Returns 0, -TB_EAUTH for an
 * empty cookie, -TB_ENOTSUP where OpenSSL has no MD5. */
int tb_hs_digest(const struct tb_cookie *cookie, uint32_t challenge,
                 uint8_t out[TB_DIGEST_BYTES]);

enum tb_hs_result {
    TB_HS_MORE = 0,  /* feed the next frame */
    TB_HS_NAMED = 1, /* acceptor: peer's name is known, call tb_hs_status() */
    TB_HS_ALIVE = 2, /* initiator: "alive"; call tb_hs_alive() */
    TB_HS_DONE = 3   /* up; all further bytes are 4-byte frames */
};

enum tb_hs_status_code {
    TB_HS_OK,
    TB_HS_OK_SIMULTANEOUS,
    TB_HS_NOK,
    TB_HS_NOT_ALLOWED,
    TB_HS_STATUS_ALIVE
};

struct tb_handshake;
typedef int (*tb_hs_step)(struct tb_handshake *hs, struct tb_rd *r);

struct tb_handshake {
    /* given by the owner before the start */
    struct tb_text our_name; /* borrowed */
    uint64_t our_flags;
    uint32_t our_creation;
    unsigned length_bytes;   /* 2 or 4 */
    uint32_t challenge;      /* ours: random */
    struct tb_cookie cookie; /* initiator: at the start; acceptor: at NAMED */

    /* of the peer; name is complete at TB_HS_NAMED, all of it at TB_HS_DONE.
     * An initiator's owner fills name with whom it dials. */
    char name[256];
    uint8_t name_len;
    uint64_t flags; /* its own, the digest expanded */
    uint32_t creation;

    struct tb_wr out; /* owned: tb_hs_fini() */

    /* after -TB_ENAME: how the node there calls itself, for people; what is
     * not printable ASCII is '?' */
    char seen_name[256];

    /* private */
    tb_hs_step step; /* the state; NULL: over */
    uint32_t peer_challenge;
    bool old_opening; /* it began with 'n' */
};

/* tb_hs_start - initiator: send_name. tb_hs_accept - acceptor: wait for it.
 * Before either all of hs is zero but what the owner gives. */
void tb_hs_start(struct tb_handshake *hs);
void tb_hs_accept(struct tb_handshake *hs);
void tb_hs_fini(struct tb_handshake *hs);

/* tb_hs_feed - one frame's body. Returns enum tb_hs_result, or
 *   -TB_EPROTO (malformed, or out of turn), -TB_EAUTH, -TB_EFLAGS, -TB_ENAME,
 *   -TB_ENOK, -TB_ENOT_ALLOWED, -TB_EALIVE (the peer answered "false"),
 *   -TB_ELIMIT (too long, or no memory for hs->out), -TB_ENOTSUP (no MD5).
 * On an error what stands in hs->out (a "not_allowed") is sent, then the
 * connection is closed; whatever is fed after it, or after TB_HS_DONE, gives
 * -TB_EPROTO. With -TB_EFLAGS name and flags are filled. */
int tb_hs_feed(struct tb_handshake *hs, const uint8_t *p, size_t n);

/* tb_hs_status - acceptor: answer the name. A nok or not_allowed returns the
 * error to close with, after hs->out has been sent. After "alive" the peer
 * must answer "true" before it is challenged. Also: -TB_EBADARG (not at
 * TB_HS_NAMED), -TB_ELIMIT. */
int tb_hs_status(struct tb_handshake *hs, enum tb_hs_status_code status);

/* tb_hs_alive - initiator: "true" where the old connection is dead, else
 * "false" and -TB_EALIVE. Also: -TB_EBADARG (not at TB_HS_ALIVE). */
int tb_hs_alive(struct tb_handshake *hs, bool proceed);

/* tb_hs_effective_flags - what both sides have, digests expanded. */
uint64_t tb_hs_effective_flags(const struct tb_handshake *hs);

#endif
