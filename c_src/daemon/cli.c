/* cli.c - verbs: what people and scripts ask from a shell.
 * In Erlang: net_adm:ping/1, and gen_server:call/2 typed by hand.
 * Owns: nothing. Borrows: settings. Thread: none; each verb runs to its end. */
#include "daemon/cli.h"

#include <stdio.h>
#include <string.h>

#include "daemon/cookie.h"
#include "daemon/help.h"
#include "daemon/logger.h"
#include "daemon/nodename.h"
#include "daemon/tls_options.h"
#include "daemon/transport.h"
#include "daemon/verbs.h"

void
tb_cli_print(FILE *to, const struct tb_wr *w)
{
    if (w->len)
        fwrite(w->buf, 1, w->len, to);
}

static int
verb_show_config(struct tb_cli *cli)
{
    struct tb_wr errors = { 0 };
    struct tb_config config;
    struct tb_nodename name;
    struct tb_secret cookie;
    int code = TB_EXIT_USAGE;

    if (tb_config_read(&config, cli->settings, &errors) == 0 &&
        tb_nodename_find(cli->settings, &name, &errors) == 0) {
        code = tb_cookie_find(cli->settings, &cookie, &errors) == 0
                   ? TB_EXIT_OK
                   : TB_EXIT_NO_PERMISSION;
        tb_help_settings(cli->settings, &name,
                         code == TB_EXIT_OK ? cookie.origin : "refused",
                         cli->json);
    }
    tb_cli_print(stderr, &errors);
    tb_wr_free(&errors);
    tb_config_fini(&config);
    return code;
}

static void
print_check(const struct tb_cli *cli, const char *path,
            const struct tb_wr *errors)
{
    struct tb_wr w = { 0 };
    const char *p = (const char *)errors->buf, *end = p + errors->len;

    tb_wr_str(&w, "{\"file\":");
    tb_json_str(&w, path, strlen(path));
    tb_wr_str(&w, ",\"errors\":[");
    while (errors->len && p < end) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        size_t n = (size_t)((nl ? nl : end) - p);

        tb_wr_str(&w, p == (const char *)errors->buf ? "" : ",");
        tb_json_str(&w, p, n);
        p += n + 1;
    }
    tb_wr_str(&w, "]}\n");
    if (cli->json)
        tb_cli_print(stdout, &w);
    else if (errors->len)
        tb_cli_print(stderr, errors);
    else
        printf("%s: ok\n", path);
    tb_wr_free(&w);
}

static int
verb_check_config(struct tb_cli *cli)
{
    struct tb_wr errors = { 0 };
    struct tb_config config = { 0 };
    struct tb_tls *tls = NULL;
    const char *path;
    int code;

    if (cli->words.n > 1)
        tb_settings_put(cli->settings, TB_SET_CONFIG, cli->words.v[1],
                        TB_RANK_FLAG, "argument", &errors);
    path = tb_settings_text(cli->settings, TB_SET_CONFIG);
    if (!path) {
        fputs("tiebeam: check-config: give a FILE, or -config FILE\n", stderr);
        return TB_EXIT_USAGE;
    }
    if (tb_config_read(&config, cli->settings, &errors) == 0 &&
        tb_transport_check(cli->settings, &errors) == 0)
        tb_tls_read(cli->settings, &tls, &errors);
    tb_tls_free(tls);
    print_check(cli, config.path, &errors);
    code = errors.len ? TB_EXIT_USAGE : TB_EXIT_OK;
    tb_wr_free(&errors);
    tb_config_fini(&config);
    return code;
}

/* clang-format off */
const struct tb_verb tb_verbs[] = {
    { "ping", "NODE", "pong if that node is up, else pang and why",
      1, 1, tb_verb_ping },
    { "nodes", "", "the nodes that a running tiebeam is connected to",
      0, 0, tb_verb_nodes },
    { "status", "", "a running tiebeam: its peers and counters",
      0, 0, tb_verb_status },
    { "events", "[--follow]", "when nodes came and went, and why",
      0, 0, tb_verb_events },
    { "call", "NODE NAME TERM", "gen_server:call({NAME, NODE}, TERM)",
      3, 3, tb_verb_call },
    { "discover", "[NAME]", "a round of discovery now, and what it found",
      0, 1, tb_verb_discover },
    { "await", "N [mesh] [NAME]", "wait until N nodes are found (--timeout S)",
      1, 3, tb_verb_await },
    { "children", "[NAME]", "the children of a supervisor",
      0, 1, tb_verb_children },
    { "start-child", "SPEC [NAME]", "start a child: a map, or a tuple",
      1, 2, tb_verb_start_child },
    { "stop-child", "ID [NAME]", "stop the child with that id",
      1, 2, tb_verb_stop_child },
    { "drain", "NODE [NAME]", "children leave that node, and none comes",
      1, 2, tb_verb_drain },
    { "undrain", "NODE [NAME]", "children may run there again",
      1, 2, tb_verb_undrain },
    { "forget", "NODE [NAME]", "it is down, and does not come back",
      1, 2, tb_verb_forget },
    { "rebalance", "[NAME]", "children go to where they belong",
      0, 1, tb_verb_rebalance },
    { "explain", "[ID] [NAME]", "where a child is, and why; all nodes, and why not",
      0, 2, tb_verb_explain },
    { "show-config", "", "every setting, and where it comes from",
      0, 0, verb_show_config },
    { "check-config", "[FILE]", "check a configuration file",
      0, 1, verb_check_config },
    { 0 },
};
/* clang-format on */

static int
unknown_verb(const char *name)
{
    struct tb_nearest near = { .word = name };

    for (const struct tb_verb *v = tb_verbs; v->name; v++)
        tb_nearest_try(&near, v->name);
    fprintf(stderr, "tiebeam: %s: unknown verb%s%s%s\n", name,
            near.best ? ", did you mean " : ", see tiebeam --help",
            near.best ? near.best : "", near.best ? "?" : "");
    return TB_EXIT_USAGE;
}

int
tb_cli_run(struct tb_cli *cli)
{
    const struct tb_verb *v = tb_verbs;
    size_t args = cli->words.n - 1;

    cli->json = tb_settings_text(cli->settings, TB_SET_JSON) != NULL;
    while (v->name && strcmp(v->name, cli->words.v[0]) != 0)
        v++;
    if (!v->name)
        return unknown_verb(cli->words.v[0]);
    if (args < v->args_min || args > v->args_max) {
        fprintf(stderr, "Usage: tiebeam %s %s\n", v->name, v->args);
        return TB_EXIT_USAGE;
    }
    return v->fn(cli);
}
