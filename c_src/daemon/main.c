/* main.c - flags, configuration, name and cookie are checked; then the daemon
 * runs, or a verb.
 * In Erlang: what erl and init do before any code runs.
 * Owns: settings and configuration. Thread: main. */
#include <stdio.h>

#include "daemon/cli.h"
#include "daemon/help.h"
#include "daemon/parent.h"
#include "daemon/run.h"
#include "daemon/tls_options.h"
#include "daemon/transport.h"

static bool
given(const struct tb_run *d, enum tb_set id)
{
    return tb_settings_text(&d->settings, id) != NULL;
}

/* Nothing starts before all of this is in order. */
static int
check_all(struct tb_run *d, struct tb_wr *errors)
{
    bool ok = tb_config_read(&d->config, &d->settings, errors) == 0;

    ok = tb_nodename_find(&d->settings, &d->name, errors) == 0 && ok;
    ok = tb_transport_check(&d->settings, errors) == 0 && ok;
    if (given(d, TB_SET_SIDECAR) && !tb_parent_check()) {
        tb_wr_str(errors, "tiebeam: --sidecar: stdin is no pipe that a "
                          "program could close\n");
        ok = false;
    }
    ok = ok && tb_config_default(&d->config, &d->settings,
                                 tb_nodename_host(d->name.text), errors) == 0;
    if (!ok)
        return TB_EXIT_USAGE;
    if (tb_cookie_find(&d->settings, &d->cookie, errors) < 0)
        return TB_EXIT_NO_PERMISSION;
    return tb_tls_read(&d->settings, &d->tls, errors) == 0 ? TB_EXIT_OK
                                                           : TB_EXIT_USAGE;
}

static int
start(struct tb_run *d)
{
    struct tb_wr errors = { 0 };
    int code = check_all(d, &errors);

    tb_cli_print(stderr, &errors);
    tb_wr_free(&errors);
    if (code == TB_EXIT_OK)
        code = tb_run(d);
    tb_config_fini(&d->config);
    return code;
}

static int
dispatch(struct tb_run *d, struct tb_words *words)
{
    struct tb_cli cli = { .settings = &d->settings, .words = *words };

    if (given(d, TB_SET_HELP))
        tb_help_print();
    else if (given(d, TB_SET_VERSION))
        puts("tiebeam " TB_VERSION);
    else if (given(d, TB_SET_MESSAGES))
        tb_help_messages();
    else if (words->n == 0)
        return start(d);
    else
        return tb_cli_run(&cli);
    return TB_EXIT_OK;
}

int
main(int argc, char **argv)
{
    struct tb_run d = { .argc = argc, .argv = argv };
    struct tb_words words = { 0 };
    struct tb_wr errors = { 0 };
    int code = TB_EXIT_USAGE;

    tb_settings_init(&d.settings);
    if (tb_options_read(&d.settings, argc, argv, &words, &errors) == 0)
        code = dispatch(&d, &words);
    tb_cli_print(stderr, &errors);
    tb_wr_free(&errors);
    tb_words_fini(&words);
    tb_settings_fini(&d.settings);
    return code;
}
