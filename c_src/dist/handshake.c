/* handshake.c - the distribution handshake, version 6, both roles.
 * In Erlang: dist_util:handshake_we_started/1, handshake_other_started/1.
 *
 *   we initiate:  > name  < status  < challenge  > reply  < ack
 *   we accept:    < name  > status [< answer to "alive"]
 *                 > challenge [< complement of an old name] < reply  > ack
 *
 * A step is a state; NULL is the one where all is over. It reads a message
 * into locals, checks it, then writes to hs. A step names the one that
 * follows, so the last stand first.
 * Owns: out. Borrows: our_name. Thread: any, one at a time.
 * Source: erl_dist_protocol, "Distribution Handshake". */
/* MD5_Init() and the two after it, which OpenSSL 3 would rather not have: its
 * way to the same code takes 2 ms and 2 MiB to make itself ready, and there is
 * none in FIPS mode, where erts connects all the same. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "dist/handshake.h"

#include <openssl/crypto.h>
#include <openssl/md5.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/rd.h"
#include "term/check.h"
#include "term/etf.h"

static uint64_t
expand(uint64_t flags)
{
    return flags |
           (flags & TB_DFLAG(MANDATORY_25_DIGEST) ? TB_DFLAGS_DIGEST : 0);
}

static bool
suffice(uint64_t flags)
{
    return (~flags & TB_DFLAGS_MANDATORY) == 0;
}

uint64_t
tb_hs_effective_flags(const struct tb_handshake *hs)
{
    return expand(hs->our_flags) & expand(hs->flags);
}

int
tb_hs_digest(const struct tb_cookie *cookie, uint32_t challenge,
             uint8_t out[TB_DIGEST_BYTES])
{
    char text[TB_MAX_COOKIE + sizeof("4294967295")];
    size_t n = cookie->n;
    MD5_CTX md5;
    int ok;

    if (n == 0) /* a cookie that was forgotten must let nobody in */
        return -TB_EAUTH;
    memcpy(text, cookie->text, n);
    n += (size_t)snprintf(text + n, sizeof(text) - n, "%lu",
                          (unsigned long)challenge);
    ok = MD5_Init(&md5) && MD5_Update(&md5, text, n) && MD5_Final(out, &md5);
    OPENSSL_cleanse(text, sizeof(text));
    OPENSSL_cleanse(&md5, sizeof(md5));
    return ok ? 0 : -TB_ENOTSUP;
}

static int
check_digest(const struct tb_handshake *hs, struct tb_rd *r)
{
    const uint8_t *theirs = tb_rd_take(r, TB_DIGEST_BYTES);
    uint8_t ours[TB_DIGEST_BYTES];
    int rc;

    if (!theirs || tb_rd_left(r) > 0)
        return -TB_EPROTO;
    rc = tb_hs_digest(&hs->cookie, hs->challenge, ours);
    if (rc < 0)
        return rc;
    return CRYPTO_memcmp(ours, theirs, sizeof(ours)) == 0 ? 0 : -TB_EAUTH;
}

/* One '@' inside, and UTF-8 as of an atom. Control characters are refused as
 * well: names end up in logs. */
static bool
is_node_name(struct tb_text name)
{
    uint8_t atom[3 + TB_MAX_NODE_BYTES] = { ETF_ATOM_UTF8, 0, (uint8_t)name.n };
    struct tb_term term;
    size_t ats = 0;

    if (name.n < 3 || name.n > TB_MAX_NODE_BYTES || name.p[0] == '@' ||
        name.p[name.n - 1] == '@')
        return false;
    for (size_t i = 0; i < name.n; i++) {
        atom[3 + i] = (uint8_t)name.p[i];
        ats += name.p[i] == '@';
        if (atom[3 + i] < ' ' || atom[3 + i] == 0x7f)
            return false;
    }
    return ats == 1 && tb_check_whole(atom, 3 + name.n, &term) == 0;
}

/* Keeps a wrong name for people. */
static int
wrong_name(struct tb_handshake *hs, struct tb_text name)
{
    size_t n = name.n < TB_MAX_NODE_BYTES ? name.n : TB_MAX_NODE_BYTES;

    for (size_t i = 0; i < n; i++)
        hs->seen_name[i] =
            (char)(name.p[i] >= ' ' && name.p[i] <= '~' ? name.p[i] : '?');
    hs->seen_name[n] = 0;
    return -TB_ENAME;
}

static void
put_head(struct tb_handshake *hs, size_t body, char tag)
{
    if (hs->length_bytes == 2)
        tb_wr_u16(&hs->out, (uint16_t)body);
    else
        tb_wr_u32(&hs->out, (uint32_t)body);
    tb_wr_u8(&hs->out, (uint8_t)tag);
}

static void
put_status(struct tb_handshake *hs, const char *status)
{
    put_head(hs, 1 + strlen(status), 's');
    tb_wr_str(&hs->out, status);
}

/* send_name, and with a challenge in it the challenge message. */
static void
put_name(struct tb_handshake *hs, const uint32_t *challenge)
{
    size_t fields = 1 + 8 + (challenge ? 4u : 0u) + 4 + 2;

    if (hs->our_name.n > TB_MAX_NODE_BYTES)
        hs->out.bad = true;
    put_head(hs, fields + hs->our_name.n, 'N');
    tb_wr_u64(&hs->out, hs->our_flags);
    if (challenge)
        tb_wr_u32(&hs->out, *challenge);
    tb_wr_u32(&hs->out, hs->our_creation);
    tb_wr_u16(&hs->out, (uint16_t)hs->our_name.n);
    tb_wr_bytes(&hs->out, hs->our_name.p, hs->our_name.n);
}

/* The ack, and with our challenge in it the challenge reply. */
static int
put_digest(struct tb_handshake *hs, const uint32_t *challenge)
{
    uint8_t digest[TB_DIGEST_BYTES];
    int rc = tb_hs_digest(&hs->cookie, hs->peer_challenge, digest);

    if (rc < 0)
        return rc;
    put_head(hs, (challenge ? 5u : 1u) + sizeof(digest), challenge ? 'r' : 'a');
    if (challenge)
        tb_wr_u32(&hs->out, *challenge);
    tb_wr_bytes(&hs->out, digest, sizeof(digest));
    return 0;
}

static struct tb_text
get_text(struct tb_rd *r, size_t n)
{
    const uint8_t *p = tb_rd_take(r, n);

    return (struct tb_text){ (const char *)p, p ? n : 0 };
}

static bool
says(struct tb_text t, const char *word)
{
    return t.n > 0 && t.n == strlen(word) && memcmp(t.p, word, t.n) == 0;
}

static struct tb_text
get_status(struct tb_rd *r)
{
    uint8_t tag = tb_rd_u8(r);

    return get_text(r, tag == 's' ? tb_rd_left(r) : 0);
}

/* Until tb_hs_status() or tb_hs_alive() whatever comes is out of turn. */
static int
step_wait_owner(struct tb_handshake *hs, struct tb_rd *r)
{
    (void)hs;
    (void)r;
    return -TB_EPROTO;
}

static int
step_wait_ack(struct tb_handshake *hs, struct tb_rd *r)
{
    int rc = tb_rd_u8(r) == 'a' ? check_digest(hs, r) : -TB_EPROTO;

    return rc < 0 ? rc : TB_HS_DONE;
}

static int
step_wait_challenge(struct tb_handshake *hs, struct tb_rd *r)
{
    uint8_t tag = tb_rd_u8(r);
    uint64_t flags = expand(tb_rd_u64(r));
    uint32_t challenge = tb_rd_u32(r), creation = tb_rd_u32(r);
    struct tb_text name = get_text(r, tb_rd_u16(r));

    if (tag != 'N' || r->bad)
        return -TB_EPROTO;
    if (name.n != hs->name_len || memcmp(name.p, hs->name, name.n) != 0)
        return wrong_name(hs, name);
    hs->flags = flags;
    hs->creation = creation;
    hs->peer_challenge = challenge;
    if (!suffice(flags))
        return -TB_EFLAGS;
    hs->step = step_wait_ack;
    return put_digest(hs, &hs->challenge);
}

static int
step_wait_status(struct tb_handshake *hs, struct tb_rd *r)
{
    struct tb_text status = get_status(r);

    if (says(status, "nok"))
        return -TB_ENOK;
    if (says(status, "not_allowed"))
        return -TB_ENOT_ALLOWED;
    if (says(status, "alive")) {
        hs->step = step_wait_owner;
        return TB_HS_ALIVE;
    }
    if (!says(status, "ok") && !says(status, "ok_simultaneous"))
        return -TB_EPROTO; /* "named:" too: we never ask for a name */
    hs->step = step_wait_challenge;
    return TB_HS_MORE;
}

static int
step_wait_reply(struct tb_handshake *hs, struct tb_rd *r)
{
    uint8_t tag = tb_rd_u8(r);
    uint32_t challenge = tb_rd_u32(r);
    int rc = tag == 'r' ? check_digest(hs, r) : -TB_EPROTO;

    if (rc < 0)
        return rc;
    hs->peer_challenge = challenge;
    rc = put_digest(hs, NULL);
    return rc < 0 ? rc : TB_HS_DONE;
}

static int
refuse_flags(struct tb_handshake *hs)
{
    put_status(hs, "not_allowed");
    return -TB_EFLAGS;
}

static int
step_wait_complement(struct tb_handshake *hs, struct tb_rd *r)
{
    uint8_t tag = tb_rd_u8(r);
    uint64_t high = tb_rd_u32(r);
    uint32_t creation = tb_rd_u32(r);

    if (tag != 'c' || r->bad || tb_rd_left(r) > 0)
        return -TB_EPROTO;
    hs->flags = expand(high << 32 | hs->flags);
    hs->creation = creation;
    if (!suffice(hs->flags))
        return refuse_flags(hs);
    hs->step = step_wait_reply;
    return TB_HS_MORE;
}

static int
challenge_peer(struct tb_handshake *hs)
{
    hs->step = hs->old_opening ? step_wait_complement : step_wait_reply;
    put_name(hs, &hs->challenge);
    return TB_HS_MORE;
}

static int
step_wait_answer(struct tb_handshake *hs, struct tb_rd *r)
{
    struct tb_text answer = get_status(r);

    if (says(answer, "true"))
        return challenge_peer(hs);
    return says(answer, "false") ? -TB_EALIVE : -TB_EPROTO;
}

/* The name is known even of a peer that is refused for its flags. OTP 23
 * opens with 'n' where epmd did not tell it our version (always 5 in there);
 * what it leaves out comes in the complement, so only then can the flags be
 * judged. */
static int
step_wait_name(struct tb_handshake *hs, struct tb_rd *r)
{
    uint8_t tag = tb_rd_u8(r);
    bool old = tag == 'n';
    uint16_t version = old ? tb_rd_u16(r) : 6;
    uint64_t flags = old ? tb_rd_u32(r) : expand(tb_rd_u64(r));
    uint32_t creation = old ? 0 : tb_rd_u32(r);
    struct tb_text name = get_text(r, old ? tb_rd_left(r) : tb_rd_u16(r));

    if ((!old && tag != 'N') || version < 5 || r->bad)
        return -TB_EPROTO;
    if ((flags & TB_DFLAG(NAME_ME)) || !is_node_name(name))
        return wrong_name(hs, name);
    memcpy(hs->name, name.p, name.n);
    hs->name[name.n] = 0;
    hs->name_len = (uint8_t)name.n;
    hs->flags = flags;
    hs->creation = creation;
    hs->old_opening = old;
    if (old ? !(flags & TB_DFLAG(HANDSHAKE_23)) : !suffice(flags))
        return refuse_flags(hs);
    hs->step = step_wait_owner;
    return TB_HS_NAMED;
}

/* Nothing follows an error, the end, or output that could not be made. */
static int
settle(struct tb_handshake *hs, int rc)
{
    if (hs->out.bad)
        rc = -TB_ELIMIT;
    if (rc < 0 || rc == TB_HS_DONE)
        hs->step = NULL;
    return rc;
}

void
tb_hs_start(struct tb_handshake *hs)
{
    hs->step = step_wait_status;
    put_name(hs, NULL);
}

void
tb_hs_accept(struct tb_handshake *hs)
{
    hs->step = step_wait_name;
}

void
tb_hs_fini(struct tb_handshake *hs)
{
    tb_wr_free(&hs->out);
    OPENSSL_cleanse(&hs->cookie, sizeof(hs->cookie));
    hs->step = NULL;
}

int
tb_hs_feed(struct tb_handshake *hs, const uint8_t *p, size_t n)
{
    struct tb_rd r = n > 0 ? tb_rd_of(p, n) : (struct tb_rd){ p, p, true };

    if (n > TB_MAX_HANDSHAKE || hs->out.bad)
        return settle(hs, -TB_ELIMIT);
    return settle(hs, hs->step ? hs->step(hs, &r) : -TB_EPROTO);
}

int
tb_hs_status(struct tb_handshake *hs, enum tb_hs_status_code status)
{
    static const struct {
        const char *text;
        int result;
    } row[] = {
        [TB_HS_OK] = { "ok", TB_HS_MORE },
        [TB_HS_OK_SIMULTANEOUS] = { "ok_simultaneous", TB_HS_MORE },
        [TB_HS_NOK] = { "nok", -TB_ENOK },
        [TB_HS_NOT_ALLOWED] = { "not_allowed", -TB_ENOT_ALLOWED },
        [TB_HS_STATUS_ALIVE] = { "alive", TB_HS_MORE },
    };

    if (hs->step != step_wait_owner)
        return -TB_EBADARG;
    put_status(hs, row[status].text);
    if (status == TB_HS_STATUS_ALIVE)
        hs->step = step_wait_answer;
    else if (row[status].result >= 0)
        (void)challenge_peer(hs);
    return settle(hs, row[status].result);
}

int
tb_hs_alive(struct tb_handshake *hs, bool proceed)
{
    if (hs->step != step_wait_owner)
        return -TB_EBADARG;
    put_status(hs, proceed ? "true" : "false");
    hs->step = step_wait_challenge;
    return settle(hs, proceed ? TB_HS_MORE : -TB_EALIVE);
}
