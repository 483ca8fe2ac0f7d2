/* options.c - the command line, the environment and argument files.
 * In Erlang: erl's flags, with a --long twin each, and its ERL_*FLAGS.
 * Owns: nothing. Borrows: the settings it fills. Thread: before the loop. */
#include "daemon/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILES_MAX 8 /* argument files inside each other: a loop, then */

struct parser {
    struct tb_settings *s;
    struct tb_words *rest;
    struct tb_wr *errors;
    enum tb_rank rank;
    const char *source; /* "flag", "environment ERL_FLAGS" */
    int depth;
    const struct tb_words *in;
    size_t at;
};

static void parse_words(struct parser *p, const struct tb_words *in);

static void
report(struct parser *p, const char *flag, const char *what)
{
    if (p->rank == TB_RANK_ENV)
        tb_wr_printf(p->errors, "tiebeam: %s: %s: %s\n", p->source, flag, what);
    else
        tb_wr_printf(p->errors, "tiebeam: %s: %s\n", flag, what);
}

static const char *
peek(const struct parser *p)
{
    return p->at < p->in->n ? p->in->v[p->at] : NULL;
}

static bool
is_flag(const char *word)
{
    return word[0] == '-' && word[1] && !strchr("0123456789.", word[1]);
}

/* A word that can be a flag's value: "-1" can, "-sname" cannot. */
static const char *
peek_value(const struct parser *p)
{
    const char *word = peek(p);

    return word && is_flag(word) ? NULL : word;
}

static void
put(struct parser *p, enum tb_set id, const char *flag, const char *value)
{
    char origin[128];
    struct tb_wr why = { 0 };

    snprintf(origin, sizeof(origin), "%s %s", p->source, flag);
    if (tb_settings_put(p->s, id, value, p->rank, origin, &why) < 0) {
        tb_wr_bytes(&why, "", 1);
        report(p, flag, (const char *)why.buf);
    }
    tb_wr_free(&why);
}

/* ------------------------------------------------------------ lookup -- */

static int
find_setting(const char *flag, size_t n)
{
    for (int i = 0; i < TB_SET_COUNT; i++) {
        const struct tb_setting *row = &tb_settings_table[i];

        if (row->flag && strlen(row->flag) == n &&
            memcmp(row->flag, flag, n) == 0)
            return i;
        if (strlen(row->twin) == n && memcmp(row->twin, flag, n) == 0)
            return i;
    }
    return -1;
}

static int
find_kernel(const char *key)
{
    char flag[64];
    int n = snprintf(flag, sizeof(flag), "-kernel %s", key);

    return n < (int)sizeof(flag) ? find_setting(flag, (size_t)n) : -1;
}

static void
report_unknown(struct parser *p, const char *flag)
{
    struct tb_nearest near = { .word = flag };
    char what[128];

    for (int i = 0; i < TB_SET_COUNT; i++) {
        if (tb_settings_table[i].flag)
            tb_nearest_try(&near, tb_settings_table[i].flag);
        tb_nearest_try(&near, tb_settings_table[i].twin);
    }
    tb_nearest_try(&near, "-args_file");
    tb_nearest_try(&near, "-kernel");
    snprintf(what, sizeof(what), "unknown flag%s%s%s",
             near.best ? ", did you mean " : ", see tiebeam --help",
             near.best ? near.best : "", near.best ? "?" : "");
    report(p, flag, what);
}

/* ------------------------------------------------------------- flags -- */

static void
on_kernel_key(struct parser *p, const char *key)
{
    struct tb_nearest near = { .word = key };
    const char *value;
    char flag[80], what[128];
    int id = find_kernel(key);

    snprintf(flag, sizeof(flag), "-kernel %s", key);
    value = peek_value(p);
    if (value)
        p->at++;
    if (id >= 0 && value) {
        put(p, (enum tb_set)id, flag, value);
        return;
    }
    if (id < 0 && p->rank == TB_RANK_ENV) {
        tb_wr_printf(&p->s->notes, "%s: %s ignored\n", p->source, flag);
        return;
    }
    for (int i = 0; i < TB_SET_COUNT; i++)
        if (find_kernel(tb_settings_table[i].key) == i)
            tb_nearest_try(&near, tb_settings_table[i].key);
    snprintf(what, sizeof(what), "%s%s%s%s",
             id < 0 ? "unknown key" : "needs a value",
             id < 0 && near.best ? ", did you mean " : "",
             id < 0 && near.best ? near.best : "",
             id < 0 && near.best ? "?" : "");
    report(p, flag, what);
}

/* erl takes several pairs after one -kernel; here a verb may follow them. */
static void
on_kernel(struct parser *p)
{
    const char *key = peek_value(p);

    if (!key)
        report(p, "-kernel", "needs a key and a value");
    while (key) {
        p->at++;
        on_kernel_key(p, key);
        key = peek_value(p);
        if (key && find_kernel(key) < 0)
            key = NULL;
    }
}

static void
add_peer_cookie(struct parser *p, const char *node, const char *cookie)
{
    if (!tb_intern((struct tb_text){ node, strlen(node) })) {
        report(p, "-setcookie", "not a node name, which is Name@Host");
        return;
    }
    if (!tb_cookie_ok(cookie)) {
        report(p, "-setcookie", "a cookie has 1 to 255 printable characters");
        return;
    }
    tb_pair_add(&p->s->peer_cookies, node, cookie);
}

/* -ssl_dist_opt Name Value Name Value ... */
static void
on_ssl_dist_opt(struct parser *p, const char *flag)
{
    const char *name = peek_value(p), *value;

    do {
        p->at += name != NULL;
        value = name ? peek_value(p) : NULL;
        if (!value) {
            report(p, flag, "needs a value after each name");
            return;
        }
        p->at++;
        tb_pair_add(&p->s->tls_options, name, value);
        name = peek_value(p);
    } while (name && (strncmp(name, "server_", 7) == 0 ||
                      strncmp(name, "client_", 7) == 0));
}

/* -setcookie Cookie, or Node Cookie. */
static void
on_setcookie(struct parser *p, const char *flag)
{
    const char *first = peek_value(p), *second;

    if (!first) {
        report(p, flag, "needs a value: [Node] Cookie");
        return;
    }
    p->at++;
    second = peek_value(p);
    if (second && strchr(first, '@')) {
        p->at++;
        add_peer_cookie(p, first, second);
    } else {
        put(p, TB_SET_COOKIE, flag, first);
    }
}

static void
on_args_file(struct parser *p, const char *path)
{
    struct parser inner = *p;
    struct tb_words words = { 0 };
    struct tb_wr text = { 0 };
    char what[400];
    int err = p->depth < FILES_MAX ? tb_file_text(&text, path) : -TB_ELIMIT;

    if (err < 0) {
        snprintf(what, sizeof(what), "cannot read %s: %s", path,
                 tb_strerror(err));
        report(p, "-args_file", what);
    } else {
        tb_wr_bytes(&text, "", 1);
        tb_words_split(&words, (const char *)text.buf);
        inner.depth++;
        parse_words(&inner, &words);
    }
    tb_words_fini(&words);
    tb_wr_free(&text);
}

static bool
on_setting(struct parser *p, const char *word)
{
    size_t n = strncmp(word, "--", 2) == 0 ? strcspn(word, "=") : strlen(word);
    const char *value = word[n] ? word + n + 1 : NULL;
    int id = find_setting(word, n);
    char flag[64], what[160];

    if (id < 0)
        return false;
    snprintf(flag, sizeof(flag), "%.*s", (int)n, word);
    if (tb_settings_table[id].type == TB_SET_SWITCH) {
        if (value)
            report(p, flag, "takes no value");
        else
            put(p, (enum tb_set)id, flag, "true");
        return true;
    }
    if (id == TB_SET_COOKIE && !value) {
        on_setcookie(p, flag);
        return true;
    }
    if (id == TB_SET_SSL_OPT) {
        if (value)
            report(p, flag, "takes Name Value, each a word");
        else
            on_ssl_dist_opt(p, flag);
        return true;
    }
    if (!value && (value = peek_value(p)))
        p->at++;
    snprintf(what, sizeof(what), "needs a value: %s",
             tb_settings_table[id].values);
    if (!value)
        report(p, flag, what);
    else if (id == TB_SET_CONFIG && tb_settings_given(p->s, TB_SET_CONFIG))
        report(p, flag, "given twice, and one file is read");
    else
        put(p, (enum tb_set)id, flag, value);
    return true;
}

/* Of a release's ERL_FLAGS only what makes a node a member counts here. */
static bool
honoured(const char *word)
{
    static const char *const flags[] = { "-name",         "-sname",
                                         "-setcookie",    "-kernel",
                                         "-proto_dist",   "-ssl_dist_optfile",
                                         "-ssl_dist_opt", "-erl_epmd_port",
                                         "-start_epmd" };

    for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++)
        if (strcmp(flags[i], word) == 0)
            return true;
    return false;
}

static void
skip_flag(struct parser *p, const char *word)
{
    tb_wr_printf(&p->s->notes, "%s: %s ignored\n", p->source, word);
    while (peek(p) && peek(p)[0] != '-' && peek(p)[0] != '+')
        p->at++;
}

static void
parse_word(struct parser *p, const char *word)
{
    size_t args = strlen("--args-file=");

    if (p->rank == TB_RANK_ENV && !honoured(word)) {
        skip_flag(p, word);
    } else if (word[0] != '-' || !word[1]) {
        tb_words_add(p->rest, word, strlen(word));
    } else if (strcmp(word, "-kernel") == 0) {
        on_kernel(p);
    } else if (strncmp(word, "--args-file=", args) == 0) {
        on_args_file(p, word + args);
    } else if (strcmp(word, "-args_file") == 0 ||
               strcmp(word, "--args-file") == 0) {
        if (peek_value(p))
            on_args_file(p, p->in->v[p->at++]);
        else
            report(p, word, "needs a value: File");
    } else if (!on_setting(p, word)) {
        report_unknown(p, word);
    }
}

static void
parse_words(struct parser *p, const struct tb_words *in)
{
    p->in = in;
    p->at = 0;
    while (p->at < in->n) {
        const char *word = in->v[p->at++];

        if (p->rank == TB_RANK_FLAG && strcmp(word, "--") == 0)
            break;
        parse_word(p, word);
    }
    for (; p->at < in->n; p->at++)
        tb_words_add(p->rest, in->v[p->at], strlen(in->v[p->at]));
}

/* ------------------------------------------------------- environment -- */

/* An empty variable is one that is not set. */
static void
read_variables(struct parser *p)
{
    p->source = "environment";
    for (int i = 0; i < TB_SET_COUNT; i++) {
        const char *name = tb_settings_table[i].variable;
        const char *value = name ? getenv(name) : NULL;

        if (value && *value)
            put(p, (enum tb_set)i, name, value);
    }
}

/* The order in which erl looks at them; the last one wins. */
static void
read_erl_flags(const struct parser *outer)
{
    static const char *const names[] = { "ERL_AFLAGS", "ERL_FLAGS",
                                         "ERL_ZFLAGS" };
    char source[32];

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        const char *text = getenv(names[i]);
        struct parser p = *outer;
        struct tb_words words = { 0 };

        if (!text)
            continue;
        snprintf(source, sizeof(source), "environment %s", names[i]);
        p.source = source;
        tb_words_split(&words, text);
        parse_words(&p, &words);
        tb_words_fini(&words);
    }
}

int
tb_options_read(struct tb_settings *s, int argc, char **argv,
                struct tb_words *rest, struct tb_wr *errors)
{
    struct parser p = {
        .s = s, .rest = rest, .errors = errors, .rank = TB_RANK_ENV
    };
    size_t before = errors->len;
    struct tb_words words = { 0 };

    read_variables(&p);
    read_erl_flags(&p);
    for (int i = 1; i < argc; i++)
        tb_words_add(&words, argv[i], strlen(argv[i]));
    p.rank = TB_RANK_FLAG;
    p.source = "flag";
    parse_words(&p, &words);
    tb_words_fini(&words);
    return errors->len == before ? 0 : -TB_EBADARG;
}
