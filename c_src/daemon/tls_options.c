/* tls_options.c - ssl_dist_optfile and ssl_dist_opt. As in erl the file goes
 * before the flags, role by role.
 * In Erlang: ssl_dist_sup:consult/1, inet_tls_dist:ssl_options/2.
 * Owns: texts of options while they are read. Thread: any.
 * Source: ssl, "Erlang Distribution over TLS". */
#include "daemon/tls_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/options.h"
#include "daemon/reader.h"
#include "daemon/value.h"

struct tls_read {
    struct tb_tls_options o;
    struct tb_words texts; /* owned: what the options point to */
    bool from_file[2];     /* the file has that role */
};

/* --------------------------------------------------------- one option -- */

static int
keep_text(struct tls_read *t, const char **to, const char *value)
{
    if (!value[0])
        return -TB_EBADARG;
    tb_words_add(&t->texts, value, strlen(value));
    *to = t->texts.v[t->texts.n - 1];
    return 0;
}

static int
either(const char *value, const char *yes, const char *no, bool *out)
{
    *out = strcmp(value, yes) == 0;
    return *out || strcmp(value, no) == 0 ? 0 : -TB_EBADARG;
}

static int
set_verify(struct tls_read *t, struct tb_tls_role *r, const char *value)
{
    (void)t;
    return either(value, "verify_peer", "verify_none", &r->verify_peer);
}

static int
set_fail_if_none(struct tls_read *t, struct tb_tls_role *r, const char *value)
{
    if (r == &t->o.client)
        return -TB_ENOTSUP;
    return either(value, "true", "false", &r->fail_if_no_peer_cert);
}

static int
set_depth(struct tls_read *t, struct tb_tls_role *r, const char *value)
{
    char *end;
    long n = strtol(value, &end, 10);

    (void)t;
    r->depth = (int)n;
    return value[0] && !*end && n >= 0 && n <= 255 ? 0 : -TB_EBADARG;
}

static int
set_versions(struct tls_read *t, struct tb_tls_role *r, const char *value)
{
    size_t n;

    (void)t;
    for (r->versions = 0; *value; value += n + (value[n] == ':')) {
        n = strcspn(value, ":");
        if (n == 7 && memcmp(value, "tlsv1.2", n) == 0)
            r->versions |= TB_TLS_1_2;
        else if (n == 7 && memcmp(value, "tlsv1.3", n) == 0)
            r->versions |= TB_TLS_1_3;
        else
            return -TB_EBADARG;
    }
    return r->versions ? 0 : -TB_EBADARG;
}

static int
set_server_name(struct tls_read *t, struct tb_tls_role *r, const char *value)
{
    if (r == &t->o.server)
        return -TB_ENOTSUP;
    if (strcmp(value, "disable") != 0)
        return keep_text(t, &r->server_name, value);
    r->server_name = "";
    return 0;
}

/* Nothing else is ever done here. */
static int
set_secure_renegotiate(struct tls_read *t, struct tb_tls_role *r,
                       const char *value)
{
    (void)t;
    (void)r;
    return strcmp(value, "true") == 0 ? 0 : -TB_EBADARG;
}

#define TEXT(field) NULL, offsetof(struct tb_tls_role, field)

/* clang-format off */
static const struct tls_option {
    const char *name, *expected;
    int (*set)(struct tls_read *t, struct tb_tls_role *r, const char *value);
    size_t text; /* where there is no set: offset of a text of the role */
} options[] = {
    { "certfile",   "a file name", TEXT(certfile) },
    { "keyfile",    "a file name", TEXT(keyfile) },
    { "cacertfile", "a file name", TEXT(cacertfile) },
    { "password",   "a string",    TEXT(password) },
    { "ciphers",    "a list of names of cipher suites", TEXT(ciphers) },
    { "verify",     "verify_peer or verify_none", set_verify, 0 },
    { "fail_if_no_peer_cert", "true or false", set_fail_if_none, 0 },
    { "depth",      "an integer in 0..255", set_depth, 0 },
    { "versions",   "a list of 'tlsv1.2' and 'tlsv1.3'", set_versions, 0 },
    { "server_name_indication", "a host name or disable", set_server_name, 0 },
    { "secure_renegotiate", "true", set_secure_renegotiate, 0 },
};
/* clang-format on */

#define OPTIONS (sizeof(options) / sizeof(options[0]))

static int
apply(const struct tls_option *o, struct tls_read *t, struct tb_tls_role *role,
      const char *value)
{
    if (o->set)
        return o->set(t, role, value);
    return keep_text(t, (const char **)((char *)role + o->text), value);
}

/* Sets one option. Returns 0, or -TB_EBADARG with why not. */
static int
set_option(struct tls_read *t, struct tb_tls_role *role, const char *name,
           const char *value, struct tb_wr *why)
{
    struct tb_nearest near = { .word = name };
    int rc;

    for (size_t i = 0; i < OPTIONS; i++) {
        tb_nearest_try(&near, options[i].name);
        if (strcmp(options[i].name, name) != 0)
            continue;
        rc = apply(&options[i], t, role, value);
        if (rc == -TB_EBADARG)
            tb_wr_printf(why, "expected %s", options[i].expected);
        else if (rc == -TB_ENOTSUP)
            tb_wr_printf(why, "not an option of a %s",
                         role == &t->o.server ? "server" : "client");
        return rc < 0 ? -TB_EBADARG : 0;
    }
    tb_wr_printf(why, "not supported%s%s%s", near.best ? ", did you mean " : "",
                 near.best ? near.best : "", near.best ? "?" : "");
    return -TB_EBADARG;
}

/* ----------------------------------------------------------- the file -- */

static bool
is_string(struct tb_term value)
{
    struct tb_val h[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term first;

    return !tb_elems_open(&e, value) || !tb_elems_next(&e, &first) ||
           tb_match("C:int", first, h) == 1;
}

/* A list of atoms or strings as "a:b"; anything else as a flag gives it. */
static bool
text_of(struct tb_term value, struct tb_wr *w)
{
    struct tb_elems e;
    struct tb_term item;
    struct tb_val h[TB_MAX_HOLES];
    bool ok = true;

    if (tb_match("N:int", value, h) == 1)
        return tb_value_text(TB_SET_INT, value, w);
    if (is_string(value))
        return tb_value_text(TB_SET_TEXT, value, w);
    for (tb_elems_open(&e, value); ok && tb_elems_next(&e, &item);) {
        tb_wr_str(w, w->len ? ":" : "");
        ok = tb_value_text(TB_SET_TEXT, item, w);
    }
    return ok;
}

static void
on_option(struct tb_reader *r, const char *section, struct tb_text key,
          struct tb_term value)
{
    struct tls_read *t = r->ctx;
    bool server = strcmp(section, "server") == 0;
    struct tb_wr text = { 0 }, why = { 0 };
    char name[64];

    snprintf(name, sizeof(name), "%.*s", (int)key.n, key.p);
    if (!text_of(value, &text))
        text.len = 0;
    tb_wr_bytes(&text, "", 1);
    if (set_option(t, server ? &t->o.server : &t->o.client, name,
                   (const char *)text.buf, &why) < 0)
        tb_problem(r, value.p, "%s.%s: %.*s", section, name, (int)why.len,
                   (const char *)why.buf);
    tb_wr_free(&text);
    tb_wr_free(&why);
}

static void
on_role(struct tb_reader *r, const char *section, struct tb_text key,
        struct tb_term value)
{
    struct tls_read *t = r->ctx;
    bool server = tb_text_is(key, "server");

    if (!server && !tb_text_is(key, "client")) {
        tb_problem(r, key.p, "%s: expected server or client, found %.*s",
                   section, (int)key.n, key.p);
        return;
    }
    t->from_file[server] = true;
    tb_each_pair(r, server ? "server" : "client", value, on_option);
}

static void
read_optfile(struct tls_read *t, const struct tb_setting_value *v,
             struct tb_wr *errors)
{
    struct tb_reader r = { .path = v->text, .errors = errors, .ctx = t };
    struct tb_wr text = { 0 };
    struct tb_term list;
    int err = tb_file_text(&text, v->text);

    if (err < 0)
        tb_wr_printf(errors, "tiebeam: %s: cannot read %s: %s\n", v->origin,
                     v->text, tb_strerror(err));
    else if (tb_reader_consult(&r, &text) == 0 && tb_reader_one_list(&r, &list))
        tb_each_pair(&r, "the file", list, on_role);
    tb_reader_fini(&r);
    tb_wr_free(&text);
}

/* ---------------------------------------------------------- the flags -- */

/* -ssl_dist_opt server_certfile "/etc/node.pem" */
static void
take_flags(struct tls_read *t, const struct tb_settings *s,
           struct tb_wr *errors)
{
    struct tb_wr why = { 0 };

    TB_LIST_EACH (pair, &s->tls_options, struct tb_pair, link) {
        bool server = strncmp(pair->key, "server_", 7) == 0;

        if (!server && strncmp(pair->key, "client_", 7) != 0)
            tb_wr_str(&why, "expected server_Option or client_Option");
        else if (!t->from_file[server])
            set_option(t, server ? &t->o.server : &t->o.client, pair->key + 7,
                       pair->value, &why);
        if (why.len)
            tb_wr_printf(errors, "tiebeam: -ssl_dist_opt %s: %.*s\n", pair->key,
                         (int)why.len, (const char *)why.buf);
        why.len = 0;
    }
    tb_wr_free(&why);
}

/* --------------------------------------------------------------- all -- */

bool
tb_tls_wanted(const struct tb_settings *s)
{
    const char *proto = tb_settings_text(s, TB_SET_PROTO_DIST);

    return strstr(proto, "tls") != NULL;
}

static struct tb_tls *
make(const struct tb_settings *s, const struct tls_read *t,
     struct tb_wr *errors)
{
    const struct tb_setting_value *file = &s->v[TB_SET_SSL_OPTFILE];
    struct tb_wr why = { 0 };
    struct tb_tls *tls = tb_tls_new(&t->o, &why);

    if (!tls)
        tb_wr_printf(errors, "%s: %.*s\n",
                     file->text ? file->text : "tiebeam: -ssl_dist_opt",
                     (int)why.len, (const char *)why.buf);
    tb_wr_free(&why);
    return tls;
}

int
tb_tls_read(const struct tb_settings *s, struct tb_tls **out,
            struct tb_wr *errors)
{
    /* what ssl has where nothing is said: a client verifies */
    struct tls_read t = { .o = { .server = { .depth = -1 },
                                 .client = { .depth = -1,
                                             .verify_peer = true } } };
    const struct tb_setting_value *file = &s->v[TB_SET_SSL_OPTFILE];
    size_t before = errors->len;

    *out = NULL;
    if (!tb_tls_wanted(s)) {
        if (file->text || !tb_list_empty(&s->tls_options))
            tb_wr_printf(errors,
                         "tiebeam: options of TLS are given, but proto_dist "
                         "is %s: use -proto_dist inet_tls\n",
                         tb_settings_text(s, TB_SET_PROTO_DIST));
        return errors->len == before ? 0 : -TB_EBADARG;
    }
    if (file->text)
        read_optfile(&t, file, errors);
    take_flags(&t, s, errors);
    if (errors->len == before)
        *out = make(s, &t, errors);
    tb_words_fini(&t.texts);
    return *out ? 0 : -TB_EBADARG;
}
