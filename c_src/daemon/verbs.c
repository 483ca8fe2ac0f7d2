/* verbs.c - verbs that ask another node.
 * In Erlang: net_adm:ping/1, and gen_server:call/2 typed by hand.
 * Owns: nothing. Borrows: settings. Thread: none; each verb runs to its end. */
#include "daemon/verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/cookie.h"
#include "daemon/logger.h"
#include "daemon/status.h"
#include "daemon/tls_options.h"

/* ------------------------------------------------------ asking a node -- */

static bool
read_config(struct tb_cli *cli, struct tb_config *config)
{
    struct tb_wr errors = { 0 };
    bool ok = tb_config_read(config, cli->settings, &errors) == 0;

    tb_cli_print(stderr, &errors);
    tb_wr_free(&errors);
    return ok;
}

static bool
find_cookie(struct tb_cli *cli, struct tb_secret *cookie)
{
    struct tb_wr errors = { 0 };
    bool ok = tb_cookie_find(cli->settings, cookie, &errors) == 0;

    tb_cli_print(stderr, &errors);
    tb_wr_free(&errors);
    return ok;
}

static const char *
peer_cookie(const struct tb_settings *s, const char *node)
{
    TB_LIST_EACH (pc, &s->peer_cookies, struct tb_pair, link)
        if (strcmp(pc->key, node) == 0)
            return pc->value;
    return NULL;
}

static bool
read_tls(const struct tb_cli *cli, struct tb_tls **tls)
{
    struct tb_wr errors = { 0 };
    bool ok = tb_tls_read(cli->settings, tls, &errors) == 0;

    tb_cli_print(stderr, &errors);
    tb_wr_free(&errors);
    return ok;
}

int
tb_verb_ask(struct tb_cli *cli, struct tb_client *c)
{
    const struct tb_settings *s = cli->settings;
    struct tb_secret cookie = { "", "flag -setcookie" };
    const char *own = peer_cookie(s, c->target);
    struct tb_config config;
    int code = TB_EXIT_OK;

    if (!tb_client_peer(c)) {
        fprintf(stderr, "tiebeam: %s: not a node name, which is Name@Host\n",
                c->target);
        return TB_EXIT_USAGE;
    }
    if (!read_config(cli, &config))
        code = TB_EXIT_USAGE;
    else if (!own && !find_cookie(cli, &cookie))
        code = TB_EXIT_NO_PERMISSION;
    else if (!read_tls(cli, &c->tls))
        code = TB_EXIT_USAGE;
    if (code == TB_EXIT_OK) {
        c->cookie = own ? own : cookie.text;
        snprintf(c->cookie_origin, sizeof(c->cookie_origin), "%s",
                 cookie.origin);
        c->settings = s;
        c->timeout_ms = (uint64_t)tb_settings_number(s, TB_SET_TIMEOUT) * 1000;
        if (tb_client_run(c) < 0)
            code = TB_EXIT_FAILED;
    }
    tb_config_fini(&config);
    return code;
}

void
tb_verb_failure(struct tb_cli *cli, const struct tb_client *c)
{
    struct tb_wr why = { 0 }, w = { 0 };

    tb_client_explain(c, &why);
    if (cli->json) {
        tb_wr_str(&w, "{\"error\":");
        tb_json_str(&w, tb_error_atom(c->status),
                    strlen(tb_error_atom(c->status)));
        tb_wr_str(&w, ",\"text\":");
        tb_json_str(&w, (const char *)why.buf, why.len);
        tb_wr_str(&w, "}\n");
    } else {
        tb_wr_str(&w, "tiebeam: ");
        tb_wr_bytes(&w, why.buf, why.len);
        tb_wr_str(&w, "\n");
    }
    tb_cli_print(cli->json ? stdout : stderr, &w);
    tb_wr_free(&why);
    tb_wr_free(&w);
}

const char *
tb_verb_node(struct tb_cli *cli, char buf[TB_NODENAME_MAX])
{
    char host[TB_NODENAME_MAX];

    if (tb_settings_text(cli->settings, TB_SET_NODE))
        return tb_settings_text(cli->settings, TB_SET_NODE);
    tb_short_host(host);
    snprintf(buf, TB_NODENAME_MAX, "tiebeam@%.200s", host);
    return buf;
}

/* -------------------------------------------------------------- verbs -- */

static void
ask_ping(struct tb_proc *self, struct tb_client *c)
{
    tb_call_name(self, "net_kernel", tb_client_peer(c), "{is_auth, Me:atom}",
                 TB_ARGS(tb_v_node(tb_node_name(tb_self_node(self)))),
                 c->timeout_ms, tb_client_done, c);
}

int
tb_verb_ping(struct tb_cli *cli)
{
    struct tb_client c = { .target = cli->words.v[1], .ask = ask_ping };
    struct tb_val h[TB_MAX_HOLES];
    int code = tb_verb_ask(cli, &c);
    bool yes =
        code == TB_EXIT_OK && tb_match("yes", tb_wr_term(&c.result), h) == 1;

    if (yes && cli->json)
        printf("{\"result\":\"pong\",\"ms\":%.1f}\n",
               (double)c.elapsed_us / 1000);
    else if (yes)
        puts("pong");
    else if (!cli->json && code < TB_EXIT_USAGE)
        puts("pang");
    if (code == TB_EXIT_FAILED)
        tb_verb_failure(cli, &c);
    tb_client_fini(&c);
    return code == TB_EXIT_OK && !yes ? TB_EXIT_FAILED : code;
}

static void
ask_nodes(struct tb_proc *self, struct tb_client *c)
{
    tb_call_name(self, "tiebeam", tb_client_peer(c), "nodes", TB_NONE,
                 c->timeout_ms, tb_client_done, c);
}

static void
put_node(struct tb_wr *w, struct tb_text node, bool json, bool first)
{
    if (json) {
        tb_wr_str(w, first ? "" : ",");
        tb_json_str(w, node.p, node.n);
    } else {
        tb_wr_bytes(w, node.p, node.n);
        tb_wr_str(w, "\n");
    }
}

static void
print_nodes(const struct tb_cli *cli, const struct tb_client *c)
{
    struct tb_wr w = { 0 };
    struct tb_elems e;
    struct tb_term item;
    struct tb_val h[TB_MAX_HOLES];
    bool first = true;

    tb_wr_str(&w, cli->json ? "[" : "");
    if (!tb_elems_open(&e, tb_wr_term(&c->result)))
        e.left = 0;
    while (e.left && tb_elems_next(&e, &item)) {
        if (tb_match("Node:atom", item, h) != 1 ||
            tb_text_is(h[0].text, c->name))
            continue; /* we ourselves are one of them */
        put_node(&w, h[0].text, cli->json, first);
        first = false;
    }
    tb_wr_str(&w, cli->json ? "]\n" : "");
    tb_cli_print(stdout, &w);
    tb_wr_free(&w);
}

int
tb_verb_nodes(struct tb_cli *cli)
{
    char node[TB_NODENAME_MAX];
    struct tb_client c = { .target = tb_verb_node(cli, node),
                           .ask = ask_nodes };
    int code = tb_verb_ask(cli, &c);

    if (code == TB_EXIT_OK)
        print_nodes(cli, &c);
    else if (code == TB_EXIT_FAILED)
        tb_verb_failure(cli, &c);
    tb_client_fini(&c);
    return code;
}

/* The names are asked for first, since info has them as keys only. */
static int
on_nodes(struct tb_proc *self, void *state, void *ctx, int status,
         struct tb_term result)
{
    struct tb_client *c = ctx;

    if (status < 0)
        return tb_client_done(self, state, c, status, result);
    tb_wr_bytes(c->ctx, result.p, result.n);
    tb_call_name(self, "tiebeam", tb_client_peer(c), "info", TB_NONE,
                 c->timeout_ms, tb_client_done, c);
    return TB_NOREPLY;
}

static void
ask_info(struct tb_proc *self, struct tb_client *c)
{
    tb_call_name(self, "tiebeam", tb_client_peer(c), "nodes", TB_NONE,
                 c->timeout_ms, on_nodes, c);
}

int
tb_verb_status(struct tb_cli *cli)
{
    char node[TB_NODENAME_MAX];
    struct tb_wr w = { 0 }, nodes = { 0 };
    struct tb_client c = { .target = tb_verb_node(cli, node),
                           .ask = ask_info,
                           .ctx = &nodes };
    int code = tb_verb_ask(cli, &c);

    if (code == TB_EXIT_OK)
        tb_status_put(&w, tb_wr_term(&c.result), tb_wr_term(&nodes), c.name,
                      cli->json);
    else if (code == TB_EXIT_FAILED)
        tb_verb_failure(cli, &c);
    tb_cli_print(stdout, &w);
    tb_wr_free(&w);
    tb_wr_free(&nodes);
    tb_client_fini(&c);
    return code;
}

struct request {
    const char *name;
    struct tb_term term;
};

static void
ask_call(struct tb_proc *self, struct tb_client *c)
{
    const struct request *r = c->ctx;

    tb_call_name(self, r->name, tb_client_peer(c), "Request",
                 TB_ARGS(tb_v_term(r->term)), c->timeout_ms, tb_client_done, c);
}

bool
tb_verb_parse(const char *text, struct tb_wr *w)
{
    struct tb_text_error e;
    int err = tb_parse(w, text, strlen(text), &e);

    if (err == -TB_ESYNTAX)
        fprintf(stderr, "tiebeam: column %u: %s\n  %s\n  %*s\n", e.column,
                e.what, text, (int)e.column, "^");
    else if (err < 0)
        fprintf(stderr, "tiebeam: %s\n", tb_strerror(err));
    return err >= 0;
}

void
tb_verb_print(const struct tb_cli *cli, const struct tb_client *c)
{
    struct tb_wr text = { 0 }, w = { 0 };

    tb_print_pretty(&text, tb_wr_term(&c->result));
    if (cli->json) {
        tb_wr_str(&w, "{\"reply\":");
        tb_json_str(&w, (const char *)text.buf, text.len);
        tb_wr_printf(&w, ",\"ms\":%.1f}", (double)c->elapsed_us / 1000);
    } else {
        tb_wr_bytes(&w, text.buf, text.len);
    }
    tb_wr_str(&w, "\n");
    tb_cli_print(stdout, &w);
    tb_wr_free(&text);
    tb_wr_free(&w);
}

int
tb_verb_call(struct tb_cli *cli)
{
    struct tb_wr term = { 0 };
    struct request r = { .name = cli->words.v[2] };
    struct tb_client c = { .target = cli->words.v[1],
                           .ask = ask_call,
                           .ctx = &r };
    int code = TB_EXIT_USAGE;

    if (tb_verb_parse(cli->words.v[3], &term)) {
        r.term = tb_wr_term(&term);
        code = tb_verb_ask(cli, &c);
        if (code == TB_EXIT_OK)
            tb_verb_print(cli, &c);
        else if (code == TB_EXIT_FAILED)
            tb_verb_failure(cli, &c);
    }
    tb_wr_free(&term);
    tb_client_fini(&c);
    return code;
}

/* ----------------------------------------------------------- discovery -- */

static const char *const default_discovery = "dns_cluster";

static void
print_found(const struct tb_cli *cli, const struct tb_client *c)
{
    struct tb_wr w = { 0 };
    struct tb_elems e;
    struct tb_term t;
    struct tb_val h[TB_MAX_HOLES], v[TB_MAX_HOLES];
    const char *comma = "";

    if (tb_match("{Connected:list, Failed:list}", tb_wr_term(&c->result), h) !=
        1)
        return;
    tb_wr_str(&w, cli->json ? "{\"connected\":[" : "");
    for (tb_elems_open(&e, h[0].term); tb_elems_next(&e, &t);)
        if (tb_match("Node:atom", t, v) == 1 && !tb_text_is(v[0].text, c->name))
            put_node(&w, v[0].text, cli->json, !*comma), comma = ",";
    tb_wr_str(&w, cli->json ? "],\"failed\":{" : "");
    comma = "";
    for (tb_elems_open(&e, h[1].term); tb_elems_next(&e, &t);) {
        if (tb_match("{Node:atom, Why:atom}", t, v) != 1)
            continue;
        tb_wr_str(&w, cli->json ? comma : "");
        comma = ",";
        if (cli->json)
            tb_json_str(&w, v[0].text.p, v[0].text.n);
        else
            tb_wr_bytes(&w, v[0].text.p, v[0].text.n);
        tb_wr_str(&w, cli->json ? ":" : ": ");
        if (cli->json)
            tb_json_str(&w, v[1].text.p, v[1].text.n);
        else
            tb_wr_bytes(&w, v[1].text.p, v[1].text.n);
        tb_wr_str(&w, cli->json ? "" : "\n");
    }
    tb_wr_str(&w, cli->json ? "}}\n" : "");
    tb_cli_print(stdout, &w);
    tb_wr_free(&w);
}

int
tb_verb_request(struct tb_cli *cli, struct tb_client *c, const char *name,
                const struct tb_wr *request)
{
    static char node[TB_NODENAME_MAX];
    struct request r = { .name = name, .term = tb_wr_term(request) };
    int code;

    *c = (struct tb_client){ .target = tb_verb_node(cli, node),
                             .ask = ask_call,
                             .ctx = &r };
    code = tb_verb_ask(cli, c);
    if (code == TB_EXIT_FAILED)
        tb_verb_failure(cli, c);
    return code;
}

int
tb_verb_discover(struct tb_cli *cli)
{
    const char *name = cli->words.n > 1 ? cli->words.v[1] : default_discovery;
    struct tb_wr request = { 0 };
    struct tb_client c;
    int code;

    tb_build(&request, "discover_nodes", TB_NONE);
    code = tb_verb_request(cli, &c, name, &request);
    if (code == TB_EXIT_OK)
        print_found(cli, &c);
    tb_wr_free(&request);
    tb_client_fini(&c);
    return code;
}

/* await N [mesh] [NAME]. 0: those were not the words. */
static bool
read_await(const struct tb_cli *cli, int64_t *n, bool *mesh, const char **name)
{
    char *end;
    size_t i = 2;

    *n = strtoll(cli->words.v[1], &end, 10);
    *mesh = i < cli->words.n && strcmp(cli->words.v[i], "mesh") == 0;
    i += *mesh;
    *name = i < cli->words.n ? cli->words.v[i++] : default_discovery;
    return !*end && end != cli->words.v[1] && *n >= 0 && i == cli->words.n;
}

int
tb_verb_await(struct tb_cli *cli)
{
    int64_t seconds = tb_settings_number(cli->settings, TB_SET_TIMEOUT), n;
    struct tb_wr request = { 0 }, why = { 0 };
    struct tb_val h[TB_MAX_HOLES];
    char longer[32];
    const char *name;
    struct tb_client c;
    bool mesh, ok;
    int code;

    if (!read_await(cli, &n, &mesh, &name)) {
        fputs("Usage: tiebeam await N [mesh] [NAME]\n", stderr);
        return TB_EXIT_USAGE;
    }
    /* the tiebeam says that the time is over, so that the call outlasts it */
    snprintf(longer, sizeof(longer), "%lld", (long long)seconds + 1);
    tb_settings_put(cli->settings, TB_SET_TIMEOUT, longer, TB_RANK_FLAG, "verb",
                    &why);
    tb_build(&request,
             mesh ? "{await, N, [mesh, {timeout, Ms}]}"
                  : "{await, N, [{timeout, Ms}]}",
             TB_ARGS(tb_v_int(n), tb_v_int(seconds * 1000)));
    code = tb_verb_request(cli, &c, name, &request);
    ok = code == TB_EXIT_OK && tb_match("ok", tb_wr_term(&c.result), h) == 1;
    if (code == TB_EXIT_OK)
        tb_verb_print(cli, &c);
    tb_wr_free(&request);
    tb_wr_free(&why);
    tb_client_fini(&c);
    return code == TB_EXIT_OK && !ok ? TB_EXIT_FAILED : code;
}
