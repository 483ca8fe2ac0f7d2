/* tls_context.c - certificates, keys, versions and ciphers, read and checked
 * before anything starts.
 * In Erlang: the options of inet_tls_dist. Owns: the contexts. Thread: any.
 * Source: ssl, "Erlang Distribution over TLS". */
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "net/tls.h"

#define DEFAULT_DEPTH 10 /* as ssl has it */

void
tb_tls_reason(char *out, size_t n)
{
    unsigned long e = ERR_get_error();
    const char *text = ERR_SYSTEM_ERROR(e) ? strerror(ERR_GET_REASON(e))
                                           : ERR_reason_error_string(e);

    snprintf(out, n, "%s", e && text ? text : "unknown reason");
    ERR_clear_error();
}

/* Which option, of which role, its value, and what OpenSSL says. */
static int
refuse(struct tb_wr *why, const char *role, const char *option,
       const char *value)
{
    char reason[160];

    tb_tls_reason(reason, sizeof(reason));
    tb_wr_printf(why, "%s %s %s: %s", role, option, value, reason);
    return -TB_EBADARG;
}

static int
on_password(char *buf, int size, int writing, void *password)
{
    int n = password ? snprintf(buf, (size_t)size, "%s", (char *)password) : 0;

    (void)writing;
    return n < size ? n : 0;
}

static int
set_certificate(SSL_CTX *ctx, const char *name, const struct tb_tls_role *r,
                struct tb_wr *why)
{
    const char *key = r->keyfile ? r->keyfile : r->certfile;

    SSL_CTX_set_default_passwd_cb(ctx, on_password);
    SSL_CTX_set_default_passwd_cb_userdata(ctx, (void *)(uintptr_t)r->password);
    if (SSL_CTX_use_certificate_chain_file(ctx, r->certfile) != 1)
        return refuse(why, name, "certfile", r->certfile);
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1)
        return refuse(why, name, "keyfile", key);
    SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL);
    return 0;
}

static int
set_authorities(SSL_CTX *ctx, const char *name, const struct tb_tls_role *r,
                struct tb_wr *why)
{
    STACK_OF(X509_NAME) * names;

    if (SSL_CTX_load_verify_locations(ctx, r->cacertfile, NULL) != 1)
        return refuse(why, name, "cacertfile", r->cacertfile);
    names = SSL_load_client_CA_file(r->cacertfile);
    if (!names)
        return refuse(why, name, "cacertfile", r->cacertfile);
    SSL_CTX_set_client_CA_list(ctx, names);
    return 0;
}

static int
set_verification(SSL_CTX *ctx, const char *name, const struct tb_tls_role *r,
                 struct tb_wr *why)
{
    int mode = SSL_VERIFY_NONE;

    if (r->verify_peer && !r->cacertfile) {
        tb_wr_printf(why, "%s verify verify_peer needs a cacertfile", name);
        return -TB_EBADARG;
    }
    if (r->fail_if_no_peer_cert && !r->verify_peer) {
        tb_wr_printf(why, "%s fail_if_no_peer_cert needs verify verify_peer",
                     name);
        return -TB_EBADARG;
    }
    if (r->verify_peer)
        mode = SSL_VERIFY_PEER;
    if (r->verify_peer && r->fail_if_no_peer_cert)
        mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_CTX_set_verify(ctx, mode, NULL);
    SSL_CTX_set_verify_depth(ctx, r->depth >= 0 ? r->depth : DEFAULT_DEPTH);
    return r->cacertfile ? set_authorities(ctx, name, r, why) : 0;
}

struct suites {
    struct tb_wr old, new; /* joined by ':' */
};

static int
add_suite(SSL_CTX *ctx, const char *name, const char *suite, struct suites *s,
          struct tb_wr *why)
{
    const char *known = OPENSSL_cipher_name(suite);
    struct tb_wr *list;
    bool is_new;

    known = strcmp(known, "(NONE)") == 0 ? suite : known;
    is_new = strncmp(known, "TLS_", 4) == 0;
    if ((is_new ? SSL_CTX_set_ciphersuites(ctx, known)
                : SSL_CTX_set_cipher_list(ctx, known)) != 1)
        return refuse(why, name, "ciphers", suite);
    list = is_new ? &s->new : &s->old;
    tb_wr_printf(list, "%s%s", list->len ? ":" : "", known);
    return 0;
}

/* Without a suite of a version that version is not spoken. */
static int
use_suites(SSL_CTX *ctx, const char *name, struct suites *s, struct tb_wr *why)
{
    if (s->new.len == 0)
        SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    if (s->old.len == 0)
        SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
    if (SSL_CTX_get_min_proto_version(ctx) >
        SSL_CTX_get_max_proto_version(ctx)) {
        tb_wr_printf(why, "%s ciphers: none is of the versions", name);
        return -TB_EBADARG;
    }
    tb_wr_bytes(&s->new, "", 1);
    tb_wr_bytes(&s->old, "", 1);
    if (s->new.len > 1)
        SSL_CTX_set_ciphersuites(ctx, (const char *)s->new.buf);
    if (s->old.len > 1)
        SSL_CTX_set_cipher_list(ctx, (const char *)s->old.buf);
    return 0;
}

/* Suites of TLS 1.3 and those before it are two lists to OpenSSL; ssl has one,
 * and knows a suite by either of its names. */
static int
set_ciphers(SSL_CTX *ctx, const char *name, const char *ciphers,
            struct tb_wr *why)
{
    struct suites s = { 0 };
    char one[128];
    size_t n;
    int rc = 0;

    for (const char *p = ciphers; rc == 0 && *p; p += n + (p[n] == ':')) {
        n = strcspn(p, ":");
        snprintf(one, sizeof(one), "%.*s", (int)n, p);
        rc = add_suite(ctx, name, one, &s, why);
    }
    if (rc == 0)
        rc = use_suites(ctx, name, &s, why);
    tb_wr_free(&s.old);
    tb_wr_free(&s.new);
    return rc;
}

static void
set_versions(SSL_CTX *ctx, unsigned versions)
{
    unsigned v = versions ? versions : TB_TLS_1_2 | TB_TLS_1_3;

    SSL_CTX_set_min_proto_version(ctx, v & TB_TLS_1_2 ? TLS1_2_VERSION
                                                      : TLS1_3_VERSION);
    SSL_CTX_set_max_proto_version(ctx, v & TB_TLS_1_3 ? TLS1_3_VERSION
                                                      : TLS1_2_VERSION);
}

/* Nothing is ever resumed: a connection lives as long as both nodes do. */
static void
set_habits(SSL_CTX *ctx)
{
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_dh_auto(ctx, 1);
}

static int
make_context(SSL_CTX **out, const char *name, const SSL_METHOD *method,
             const struct tb_tls_role *r, struct tb_wr *why)
{
    SSL_CTX *ctx = *out = SSL_CTX_new(method);
    int rc = 0;

    if (!ctx)
        return refuse(why, name, "context", "");
    set_habits(ctx);
    set_versions(ctx, r->versions);
    if (r->certfile)
        rc = set_certificate(ctx, name, r, why);
    if (rc == 0)
        rc = set_verification(ctx, name, r, why);
    if (rc == 0 && r->ciphers)
        rc = set_ciphers(ctx, name, r->ciphers, why);
    return rc;
}

struct tb_tls *
tb_tls_new(const struct tb_tls_options *o, struct tb_wr *why)
{
    struct tb_tls *tls = tb_new(struct tb_tls);
    const char *sni = o->client.server_name;
    int rc;

    ERR_clear_error();
    tls->server_name = sni ? tb_strdup_n(sni, strlen(sni)) : NULL;
    rc = make_context(&tls->client, "client", TLS_client_method(), &o->client,
                      why);
    if (rc == 0 && !o->server.certfile) {
        tb_wr_str(why, "server certfile is missing");
        rc = -TB_EBADARG;
    }
    if (rc == 0)
        rc = make_context(&tls->server, "server", TLS_server_method(),
                          &o->server, why);
    if (rc == 0)
        return tls;
    tb_tls_free(tls);
    return NULL;
}

void
tb_tls_free(struct tb_tls *tls)
{
    if (!tls)
        return;
    SSL_CTX_free(tls->server);
    SSL_CTX_free(tls->client);
    tb_free(tls->server_name);
    tb_free(tls);
}
