/* test_options.c - flags, environment, names, configuration, cookie, log lines.
 */
#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/config.h"
#include "daemon/cookie.h"
#include "daemon/logger.h"
#include "daemon/nodename.h"
#include "daemon/options.h"
#include "daemon/transport.h"
#include "tb_test.h"

#define ARGC_MAX 32

/* Everything that a start of the program would have read. */
struct world {
    struct tb_settings s;
    struct tb_words rest;
    struct tb_wr errors;
    struct tb_config config;
    char dir[64];
};

static const char *const variables[] = {
    "RELEASE_COOKIE",  "RELEASE_NODE",  "RELEASE_DISTRIBUTION",
    "ERL_EPMD_PORT",   "ERL_DIST_PORT", "ERL_FLAGS",
    "ERL_AFLAGS",      "ERL_ZFLAGS",    "NO_COLOR",
    "XDG_CONFIG_HOME", "TB_TEST",
};

static int
setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    for (size_t i = 0; i < sizeof(variables) / sizeof(*variables); i++)
        unsetenv(variables[i]);
    snprintf(w->dir, sizeof(w->dir), "/tmp/tb_options.XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    setenv("HOME", w->dir, 1);
    tb_settings_init(&w->s);
    *state = w;
    return 0;
}

static void
clear(struct world *w)
{
    tb_config_fini(&w->config);
    memset(&w->config, 0, sizeof(w->config));
    tb_words_fini(&w->rest);
    tb_settings_fini(&w->s);
    tb_settings_init(&w->s);
    w->errors.len = 0;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static int
teardown(void **state)
{
    struct world *w = *state;

    clear(w);
    tb_settings_fini(&w->s);
    tb_wr_free(&w->errors);
    assert_int_equal(nftw(w->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    free(w);
    return 0;
}

/* A command line as one text; the settings are new. */
static int
flags(struct world *w, const char *text)
{
    struct tb_words words = { 0 };
    char *argv[ARGC_MAX] = { (char *)(uintptr_t) "tiebeam" };
    int err;

    clear(w);
    tb_words_split(&words, text);
    assert_true(words.n < ARGC_MAX - 1);
    for (size_t i = 0; i < words.n; i++)
        argv[i + 1] = words.v[i];
    err = tb_options_read(&w->s, (int)words.n + 1, argv, &w->rest, &w->errors);
    tb_words_fini(&words);
    return err;
}

static const char *
errors(struct world *w)
{
    tb_wr_bytes(&w->errors, "", 1);
    w->errors.len--;
    return (const char *)w->errors.buf;
}

static void
assert_error(struct world *w, const char *line, const char *part)
{
    assert_int_equal(flags(w, line), -TB_EBADARG);
    if (!strstr(errors(w), part))
        fail_msg("%s: \"%s\" is not in \"%s\"", line, part, errors(w));
}

static void
assert_set(struct world *w, enum tb_set id, const char *text,
           const char *origin)
{
    assert_non_null(tb_settings_text(&w->s, id));
    assert_string_equal(tb_settings_text(&w->s, id), text);
    assert_string_equal(w->s.v[id].origin, origin);
}

static void
write_file(struct world *w, const char *name, const char *text, mode_t mode,
           char path[128])
{
    FILE *f;

    snprintf(path, 128, "%s/%s", w->dir, name);
    unlink(path);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

/* ------------------------------------------------------------- flags -- */

static void
test_options_have_defaults(void **state)
{
    struct world *w = *state;

    assert_int_equal(flags(w, ""), 0);
    assert_set(w, TB_SET_TICKTIME, "60", "default");
    assert_set(w, TB_SET_SETUPTIME, "7", "default");
    assert_set(w, TB_SET_EPMD_PORT, "4369", "default");
    assert_set(w, TB_SET_LOG_LEVEL, "notice", "default");
    assert_int_equal(tb_settings_number(&w->s, TB_SET_LOG_LEVEL), TB_NOTICE);
    assert_int_equal(tb_settings_number(&w->s, TB_SET_START_EPMD), 1);
    assert_int_equal(w->rest.n, 0);
}

static const char *
sample(const struct tb_setting *row)
{
    static char word[64];

    switch (row->type) {
    case TB_SET_LONG_NAME:
        return "a@b.c";
    case TB_SET_INT:
        snprintf(word, sizeof(word), "%.*s", (int)strcspn(row->values, "."),
                 row->values);
        return word;
    case TB_SET_WORD:
        snprintf(word, sizeof(word), "%.*s", (int)strcspn(row->values, "|"),
                 row->values);
        return word;
    case TB_SET_ADDRESS:
        return "{127,0,0,1}";
    case TB_SET_PORTS:
        return "a@b.c=1,d=65535";
    default:
        return "abc";
    }
}

static void
test_every_flag_and_twin_sets_its_value(void **state)
{
    struct world *w = *state;

    for (int i = 0; i < TB_SET_COUNT; i++) {
        const struct tb_setting *row = &tb_settings_table[i];
        bool plain = row->type == TB_SET_SWITCH;
        const char *value = plain ? "" : sample(row);
        const char *want = plain                         ? "true"
                           : row->type == TB_SET_ADDRESS ? "127.0.0.1"
                                                         : value;
        char line[160], origin[80];

        assert_non_null(row->key);
        assert_non_null(row->help);
        if (row->type == TB_SET_REFUSED || row->type == TB_SET_PAIRS)
            continue;
        snprintf(line, sizeof(line), "%s %s", row->twin, value);
        snprintf(origin, sizeof(origin), "flag %s", row->twin);
        assert_int_equal(flags(w, line), 0);
        assert_set(w, (enum tb_set)i, want, origin);
        if (!plain) {
            snprintf(line, sizeof(line), "%s=%s", row->twin, value);
            assert_int_equal(flags(w, line), 0);
            assert_set(w, (enum tb_set)i, want, origin);
        }
        if (!row->flag)
            continue;
        snprintf(line, sizeof(line), "%s %s", row->flag, value);
        snprintf(origin, sizeof(origin), "flag %s", row->flag);
        assert_int_equal(flags(w, line), 0);
        assert_set(w, (enum tb_set)i, want, origin);
    }
}

static void
test_unknown_flags_are_errors_with_the_nearest(void **state)
{
    struct world *w = *state;

    assert_error(w, "-snmae x", "-snmae: unknown flag, did you mean -sname?");
    assert_error(w, "--log-levle info", "did you mean --log-level?");
    assert_error(w, "--net-tick-time 5", "did you mean --net-ticktime?");
    assert_error(w, "-zzzzzzzzz", "unknown flag, see tiebeam --help");
    assert_error(w, "-kernel net_tiktime 5", "did you mean net_ticktime?");
    assert_error(w, "-a_b -c_d", "-c_d: unknown flag");
}

static void
test_bad_values_are_errors_that_tell_what_is_expected(void **state)
{
    struct world *w = *state;

    assert_error(w, "--net-ticktime x", "expected an integer in 1..4000000");
    assert_error(w, "--net-ticktime 0", "expected an integer in 1..4000000");
    assert_error(w, "--net-ticktime 60s", "not \"60s\"");
    assert_error(w, "--log-level loud", "expected emergency|alert");
    assert_error(w, "-connect_all true", "expected false");
    assert_error(w, "-kernel inet_dist_use_interface {1,2,3}", "{127,0,0,1}");
    assert_error(w, "-kernel inet_dist_use_interface {1,2,3,256}", "address");
    assert_error(w, "-ssl_dist_opt", "needs a value after each name");
    assert_error(w, "-ssl_dist_opt server_certfile -name x@y.z",
                 "needs a value after each name");
    assert_error(w, "--ssl-dist-opt=server_depth", "takes Name Value");
    assert_error(w, "-proto_dist udp", "expected inet_tcp");
    assert_error(w, "-epmd_module my_epmd", "no Erlang code");
    assert_error(w, "-sname", "needs a value: Name[@Host]");
    assert_error(w, "-sname -hidden", "-sname: needs a value");
    assert_error(w, "--hidden=yes", "takes no value");
    assert_error(w, "-kernel net_ticktime", "needs a value");
    assert_error(w, "-config a -config b", "given twice");
    assert_error(w, "-setcookie", "needs a value");
}

static void
test_names_keep_to_the_rules(void **state)
{
    struct world *w = *state;

    assert_int_equal(flags(w, "-sname a_B-9"), 0);
    assert_int_equal(flags(w, "-sname a@host"), 0);
    assert_int_equal(flags(w, "-name a@10.0.0.1"), 0);
    assert_error(w, "-sname a@h.x", "no dot");
    assert_error(w, "-name a@h", "-name a@127.0.0.1");
    assert_error(w, "-sname a.b", "letters, digits");
    assert_error(w, "-sname @h", "letters, digits");
    assert_error(w, "-sname a@", "is not a host name");
    assert_error(w, "-sname a@b@c", "is not a host name");
}

static void
test_kernel_takes_pairs_and_verbs_may_follow(void **state)
{
    struct world *w = *state;

    assert_int_equal(flags(w, "-kernel net_ticktime 5 net_setuptime 9 "
                              "ping a@b --timeout 2 -- -x"),
                     0);
    assert_set(w, TB_SET_TICKTIME, "5", "flag -kernel net_ticktime");
    assert_set(w, TB_SET_SETUPTIME, "9", "flag -kernel net_setuptime");
    assert_set(w, TB_SET_TIMEOUT, "2", "flag --timeout");
    assert_int_equal(w->rest.n, 3);
    assert_string_equal(w->rest.v[0], "ping");
    assert_string_equal(w->rest.v[2], "-x");
}

static void
test_setcookie_takes_one_cookie_or_one_for_a_node(void **state)
{
    struct world *w = *state;
    struct tb_pair *pc;

    assert_int_equal(
        flags(w, "-setcookie one -setcookie a@b two --setcookie=x@y ping n@h"),
        0);
    assert_set(w, TB_SET_COOKIE, "x@y", "flag --setcookie");
    assert_string_equal(tb_settings_shown(&w->s, TB_SET_COOKIE), "(not shown)");
    pc = TB_ENTRY(w->s.peer_cookies.next, struct tb_pair, link);
    assert_string_equal(pc->key, "a@b");
    assert_string_equal(pc->value, "two");
    assert_string_equal(w->rest.v[0], "ping");
    assert_error(w, "-setcookie @b two", "not a node name");
    assert_error(w, "-setcookie 'caf\xc3\xa9'", "printable");
    assert_null(strstr(errors(w), "caf"));
}

static void
test_args_file_is_read_in_place(void **state)
{
    struct world *w = *state;
    char path[128], line[300], loop[128], text[200];

    write_file(w, "vm.args",
               "## comment\n-sname app # more\n-setcookie 'a b'\n"
               "-kernel net_ticktime 9\n",
               0600, path);
    snprintf(line, sizeof(line), "-args_file %s --args-file=%s -sname last",
             path, path);
    assert_int_equal(flags(w, line), 0);
    assert_set(w, TB_SET_SNAME, "last", "flag -sname");
    assert_string_equal(tb_settings_text(&w->s, TB_SET_COOKIE), "a b");
    assert_set(w, TB_SET_TICKTIME, "9", "flag -kernel net_ticktime");

    snprintf(text, sizeof(text), "-args_file %s/loop.args", w->dir);
    write_file(w, "loop.args", text, 0600, loop);
    assert_error(w, text, "cannot read");
    assert_error(w, "-args_file /nonexistent/x", "cannot read");
    assert_error(w, "-args_file", "needs a value");
}

/* ------------------------------------------------------- precedence -- */

static void
test_flag_wins_over_environment_over_file(void **state)
{
    struct world *w = *state;
    char path[128], line[200], origin[200];

    write_file(w, "a.config",
               "[{tiebeam, [{cookie, \"f\"}]},\n"
               " {kernel, [{net_ticktime, 11}, {net_setuptime, 12}]}].\n",
               0600, path);
    setenv("RELEASE_COOKIE", "e", 1);
    setenv("ERL_FLAGS", "-kernel net_setuptime 13 +K true", 1);
    snprintf(line, sizeof(line), "-config %s", path);
    assert_int_equal(flags(w, line), 0);
    assert_int_equal(tb_config_read(&w->config, &w->s, &w->errors), 0);
    assert_set(w, TB_SET_COOKIE, "e", "environment RELEASE_COOKIE");
    assert_set(w, TB_SET_SETUPTIME, "13",
               "environment ERL_FLAGS -kernel net_setuptime");
    snprintf(origin, sizeof(origin), "file %s:2", path);
    assert_set(w, TB_SET_TICKTIME, "11", origin);

    snprintf(line, sizeof(line), "-setcookie c --net-setuptime 14 -config %s",
             path);
    assert_int_equal(flags(w, line), 0);
    assert_int_equal(tb_config_read(&w->config, &w->s, &w->errors), 0);
    assert_set(w, TB_SET_COOKIE, "c", "flag -setcookie");
    assert_set(w, TB_SET_SETUPTIME, "14", "flag --net-setuptime");
}

static void
test_environment_is_honoured(void **state)
{
    struct world *w = *state;

    setenv("ERL_EPMD_PORT", "5000", 1);
    setenv("ERL_DIST_PORT", "5001", 1);
    setenv("NO_COLOR", "1", 1);
    setenv("ERL_AFLAGS", "-sname a -setcookie x", 1);
    setenv("ERL_ZFLAGS", "-sname z -heart -pa 'a b' ebin", 1);
    assert_int_equal(flags(w, ""), 0);
    assert_set(w, TB_SET_EPMD_PORT, "5000", "environment ERL_EPMD_PORT");
    assert_set(w, TB_SET_DIST_PORT, "5001", "environment ERL_DIST_PORT");
    assert_non_null(tb_settings_text(&w->s, TB_SET_NO_COLOR));
    assert_set(w, TB_SET_SNAME, "z", "environment ERL_ZFLAGS -sname");
    assert_set(w, TB_SET_COOKIE, "x", "environment ERL_AFLAGS -setcookie");
    tb_wr_bytes(&w->s.notes, "", 1);
    assert_non_null(strstr((const char *)w->s.notes.buf,
                           "environment ERL_ZFLAGS: -heart ignored\n"));
    assert_non_null(strstr((const char *)w->s.notes.buf, "-pa ignored\n"));
    assert_int_equal(w->rest.n, 0);
    assert_false(tb_transport_epmd(&w->s));

    setenv("ERL_ZFLAGS", "-erl_epmd_port 5002", 1);
    assert_int_equal(flags(w, ""), 0);
    assert_set(w, TB_SET_DIST_PORT, "5002",
               "environment ERL_ZFLAGS -erl_epmd_port");
    assert_true(tb_transport_epmd(&w->s));
    setenv("ERL_ZFLAGS", "-start_epmd false", 1);
    assert_int_equal(flags(w, ""), 0);
    assert_false(tb_transport_epmd(&w->s));

    setenv("ERL_EPMD_PORT", "x", 1);
    assert_error(w, "", "environment: ERL_EPMD_PORT: expected an integer");
    setenv("ERL_EPMD_PORT", "", 1);
    assert_int_equal(flags(w, ""), 0);
}

/* -------------------------------------------------------------- name -- */

static void
assert_name(struct world *w, const char *line, const char *name, bool longname,
            const char *origin)
{
    struct tb_nodename n;

    assert_int_equal(flags(w, line), 0);
    assert_int_equal(tb_nodename_find(&w->s, &n, &w->errors), 0);
    assert_string_equal(n.text, name);
    assert_string_equal(n.origin, origin);
    assert_int_equal(n.long_names, longname);
}

static void
test_nodename_comes_from_flags_release_or_default(void **state)
{
    struct world *w = *state;
    struct tb_nodename n;
    char host[TB_NODENAME_MAX], own[2 * TB_NODENAME_MAX];

    tb_short_host(host);
    assert_null(strchr(host, '.'));
    snprintf(own, sizeof(own), "tiebeam@%s", host);
    assert_name(w, "", own, false, "default");
    assert_name(w, "-name a@b.c", "a@b.c", true, "flag -name");
    assert_name(w, "--sname a@b", "a@b", false, "flag --sname");
    setenv("ERL_FLAGS", "-name x@y.z", 1);
    assert_name(w, "-sname a@b", "a@b", false, "flag -sname");
    assert_name(w, "", "x@y.z", true, "environment ERL_FLAGS -name");
    unsetenv("ERL_FLAGS");

    setenv("RELEASE_NODE", "app@10.0.0.5", 1);
    assert_name(w, "", "tiebeam@10.0.0.5", true, "environment RELEASE_NODE");
    setenv("RELEASE_NODE", "app@h", 1);
    assert_name(w, "", "tiebeam@h", false, "environment RELEASE_NODE");
    setenv("RELEASE_NODE", "app", 1);
    assert_name(w, "", own, false, "environment RELEASE_NODE");

    assert_int_equal(flags(w, "-sname app@h"), 0);
    setenv("RELEASE_NODE", "app@h", 1);
    assert_int_equal(tb_nodename_find(&w->s, &n, &w->errors), -TB_EBADARG);
    assert_non_null(strstr(errors(w), "give another name with -sname"));
    assert_int_equal(flags(w, "-sname a -name a@b.c"), 0);
    assert_int_equal(tb_nodename_find(&w->s, &n, &w->errors), -TB_EBADARG);
    assert_non_null(strstr(errors(w), "a node has one name"));
}

/* ------------------------------------------------------------ config -- */

static int
config(struct world *w, const char *text, char path[128])
{
    char line[200];

    write_file(w, "t.config", text, 0600, path);
    snprintf(line, sizeof(line), "-config %s", path);
    assert_int_equal(flags(w, line), 0);
    return tb_config_read(&w->config, &w->s, &w->errors);
}

static void
assert_config_error(struct world *w, const char *text, unsigned line,
                    const char *message)
{
    char path[128], want[400];
    int err = config(w, text, path);

    snprintf(want, sizeof(want), "%s:%u: %s", path, line, message);
    if (err != -TB_EBADARG || !strstr(errors(w), want))
        fail_msg("%s\nwanted: %s\n   got: %s", text, want, errors(w));
}

static void
test_config_of_the_example_is_good(void **state)
{
    struct world *w = *state;

    assert_int_equal(flags(w, "-config priv/tiebeam.config.example"), 0);
    if (tb_config_read(&w->config, &w->s, &w->errors) != 0)
        fail_msg("%s", errors(w));
    assert_int_equal(w->config.n_discovery, 1);
    assert_string_equal(w->config.discovery[0].name, "dns_cluster");
}

static void
test_config_shares_a_release_file(void **state)
{
    struct world *w = *state;
    struct tb_val h[TB_MAX_HOLES];
    char path[128];

    assert_int_equal(
        config(w,
               "%% a release's\n"
               "[{my_app, [{any, thing}, #{k => [1.5]}]},\n"
               " {kernel, [{logger, []}, {net_ticktime, 30},\n"
               "   {inet_dist_use_interface, {127,0,0,1}}]},\n"
               " {tiebeam, [{name, 'tb@10.0.0.5'}, {max_queue, 1_000_000},\n"
               "   {epmd, <<\"/usr/bin/epmd\">>}, {start_epmd, false},\n"
               "   {log, [{level, debug}, {format, json}]},\n"
               "   {discovery, [{a, [{source, {nodes, ['x@y']}}]},\n"
               "                {b, [{source, ignore}, {interval, none},\n"
               "                     {log, off}]}]}]}].\n",
               path),
        0);
    assert_int_equal(tb_settings_number(&w->s, TB_SET_TICKTIME), 30);
    assert_int_equal(tb_settings_number(&w->s, TB_SET_MAX_QUEUE), 1000000);
    assert_int_equal(tb_settings_number(&w->s, TB_SET_START_EPMD), 0);
    assert_int_equal(tb_settings_number(&w->s, TB_SET_LOG_LEVEL), TB_DEBUG);
    assert_string_equal(tb_settings_text(&w->s, TB_SET_NAME), "tb@10.0.0.5");
    assert_string_equal(tb_settings_text(&w->s, TB_SET_EPMD), "/usr/bin/epmd");
    assert_string_equal(tb_settings_text(&w->s, TB_SET_LISTEN_ADDRESS),
                        "127.0.0.1");
    assert_int_equal(w->config.n_discovery, 2);
    assert_string_equal(w->config.discovery[1].name, "b");
    assert_int_equal(tb_match("[{source, {nodes, ['x@y']}}]",
                              w->config.discovery[0].opts, h),
                     1);
}

static void
test_config_errors_tell_file_and_line(void **state)
{
    struct world *w = *state;

    assert_config_error(w, "[{tiebeam,\n [{nmae, a}]}].", 2,
                        "tiebeam.nmae: unknown key, did you mean name?");
    assert_config_error(w, "[{tiebeam, [\n {log,\n  [{lvl, info}]}]}].", 3,
                        "tiebeam.log.lvl: unknown key, did you mean level?");
    assert_config_error(w, "[{tiebeam,\n\n [{log, [{level, loud}]}]}].", 3,
                        "tiebeam.log.level: expected emergency|");
    assert_config_error(w, "[{kernel,\n [{net_ticktime, \"6\"}]}].", 2,
                        "kernel.net_ticktime: expected an integer in "
                        "1..4000000, found \"6\"");
    assert_config_error(w, "[{kernel,\n [{net_ticktime, 0}]}].", 2,
                        "kernel.net_ticktime: expected an integer");
    assert_config_error(w, "[{tiebeam, [{sname,\n'a@b.c'}]}].", 2,
                        "tiebeam.sname: a short name's host has no dot");
    assert_config_error(w, "[{tiebeam, [{max_queue, 1}]}].", 1,
                        "tiebeam.max_queue: expected an integer in 65536");
    assert_config_error(w, "[{tiebeam, [\n{http, []}]}].", 2,
                        "tiebeam.http: not supported in this version");
    assert_config_error(w,
                        "[{tiebeam, [{supervisors, [{jobs, [\n{max_restart, "
                        "1}]}]}]}].",
                        2,
                        "tiebeam.supervisors.jobs.max_restart: unknown key, "
                        "did you mean max_restarts?");
    assert_config_error(w, "[{tiebeam, [{supervisors, [\n{rex, []}]}]}].", 2,
                        "tiebeam.supervisors: the name rex is taken");
    assert_config_error(w, "[{tiebeam, [{supervisors, [\n{pg, []}]}]}].", 2,
                        "tiebeam.supervisors: the name pg is taken");
    assert_config_error(w,
                        "[{tiebeam, [{supervisors, [{jobs, []}]}, {pg, "
                        "[{scopes, [pg,\njobs]}]}]}].",
                        2, "tiebeam.pg.scopes: the name jobs is taken");
    assert_config_error(w, "[{tibeam, []}].", 1, "tibeam: did you mean tiebe");
    assert_config_error(w, "[{tiebeam, [{name, 'a@b.c'},\n{name, x}]}].", 2,
                        "tiebeam: name is given twice");
    assert_config_error(w, "[{tiebeam, [hidden]}].", 1,
                        "tiebeam: expected {Key, Value}, found hidden");
    assert_config_error(w, "[{tiebeam, {a, b}}].", 1,
                        "tiebeam: expected a list of {Key, Value}");
    assert_config_error(w, "{tiebeam, []}.", 1,
                        "the file: expected a list, found {tiebeam,[]}");
    assert_config_error(w, "[].\n[].", 2, "expected one list, found a second");
    assert_config_error(w, "", 1, "expected one list, found nothing");
    assert_config_error(w, "[{tiebeam,\n [}].", 2, "");
}

static void
test_config_reports_all_errors_and_no_cookie(void **state)
{
    struct world *w = *state;

    assert_config_error(w,
                        "[{tiebeam, [{cookie, {secret}},\n {x, y}]},\n"
                        " {kernel, [{net_setuptime, 500}]}].",
                        1, "tiebeam.cookie: expected a string");
    assert_null(strstr(errors(w), "secret"));
    assert_non_null(strstr(errors(w), ":2: tiebeam.x: unknown key"));
    assert_non_null(strstr(errors(w), ":3: kernel.net_setuptime: expected"));
}

static void
test_config_checks_discovery(void **state)
{
    struct world *w = *state;

#define D(entries) "[{tiebeam, [{discovery,\n[" entries "]}]}]."
    assert_config_error(w, D("{a, [{sources, ignore}]}"), 2,
                        "tiebeam.discovery.sources: unknown key, did you mean "
                        "source?");
    assert_config_error(w, D("{a, [{source, {epmd, [1]}}]}"), 2,
                        "tiebeam.discovery.source: expected {dns, \"name\"}, "
                        "{srv, \"name\"}, {epmd, [\"host\"]}, {nodes, "
                        "['name@host']}, {hosts_file, \"path\"}, {mfa, M, F, "
                        "[A]} or ignore, found {epmd,[1]}");
    assert_config_error(w, D("{a, [{source, {dns, \"x\"}}]}"), 2,
                        "tiebeam.discovery.a: a DNS name gives hosts, not "
                        "nodes: {basename, \"app\"} is needed too");
    assert_config_error(w, D("{a, [{source, {dns, [{\"x@\", \"y\"}]}}]}"), 2,
                        "tiebeam.discovery.source: expected");
    assert_config_error(w, D("{a, [{nameservers, [\"ns1\"]}]}"), 2,
                        "tiebeam.discovery.nameservers: expected "
                        "[\"address:port\"]");
    assert_config_error(w, D("{a, [{mesh, attached}]}"), 2,
                        "tiebeam.discovery.a: {mesh, attached} needs");
    assert_config_error(w, D("{a, [{on_gone, {disconnect, 0}}]}"), 2,
                        "tiebeam.discovery.on_gone: expected keep, ");
    assert_config_error(w, D("{a, [{source, {nodes, [x]}}]}"), 2,
                        "tiebeam.discovery.source: expected");
    assert_config_error(w, D("{a, [{interval, 0}]}"), 2,
                        "tiebeam.discovery.interval: expected milliseconds");
    assert_config_error(w, D("{a, [{log, loud}]}"), 2,
                        "tiebeam.discovery.log: expected off or a level");
    assert_config_error(w, D("{a, [{mesh, some}]}"), 2,
                        "tiebeam.discovery.mesh: expected none, attached or "
                        "all");
    assert_config_error(w, D("{rex, []}"), 2,
                        "tiebeam.discovery: the name rex is taken");
    assert_config_error(w, D("{a, []}, {a, []}"), 2,
                        "tiebeam.discovery: a is given twice");
#undef D
}

static void
test_config_checks_the_node_monitor(void **state)
{
    struct world *w = *state;
    char path[128];

#define M(options) "[{tiebeam, [{node_monitor,\n" options "}]}]."
    assert_int_equal(
        config(w,
               M("[{nodes_mfa, {m, f, [1]}}, {refresh_ms, 200},\n"
                 " {on_error, keep}, {notify, [{cast, {a, 'b@c'}},\n"
                 "  {send, {a, 'b@c'}}, {call, m}]},\n"
                 " {detector, [{suspect_ms, 500}, {down_ms, none}]},\n"
                 " {health, [{probe, {call, a, {b, 1}}}]}]"),
               path),
        0);
    assert_term(w->config.monitor_options,
                "[{nodes_mfa, {m, f, [1]}}, {refresh_ms, 200}, {on_error, "
                "keep}, {notify, [{cast, {a, 'b@c'}}, {send, {a, 'b@c'}}, "
                "{call, m}]}, {detector, [{suspect_ms, 500}, {down_ms, "
                "none}]}, {health, [{probe, {call, a, {b, 1}}}]}]");
    assert_config_error(w, M("[{node, []}]"), 2,
                        "tiebeam.node_monitor.node: unknown key, did you mean "
                        "nodes?");
    assert_config_error(w, M("[{nodes, [x]}]"), 2,
                        "tiebeam.node_monitor.nodes: expected a list of at "
                        "most 16384 nodes, found [x]");
    assert_config_error(w, M("[{nodes_mfa, {m, f}}]"), 2,
                        "tiebeam.node_monitor.nodes_mfa: expected {Module");
    assert_config_error(w, M("[{nodes, []},\n{nodes_mfa, {m, f, []}}]"), 3,
                        "tiebeam.node_monitor: expected either nodes or nodes_"
                        "mfa, found {nodes_mfa,{m,f,[]}}");
    assert_config_error(w, M("[{refresh_ms, 0}]"), 2,
                        "tiebeam.node_monitor.refresh_ms: expected milli");
    assert_config_error(w, M("[{on_error, crash}]"), 2,
                        "tiebeam.node_monitor.on_error: expected empty or");
    assert_config_error(w, M("[{notify, [{cast, a}]}]"), 2,
                        "tiebeam.node_monitor.notify: expected a list of {ca");
    assert_config_error(w, M("[{detector, on}]"), 2,
                        "tiebeam.node_monitor.detector: expected off or a l");
    assert_config_error(w, M("[{detector,\n[{suspect, 1}]}]"), 3,
                        "tiebeam.node_monitor.detector.suspect: unknown key");
    assert_config_error(w, M("[{detector, [{down_ms, 5}]}]"), 2,
                        "tiebeam.node_monitor.detector.down_ms: expected mil");
    assert_config_error(w, M("[{detector, [{down_ms, 500}]}]"), 2,
                        "tiebeam.node_monitor: expected a down_ms of at least "
                        "suspect_ms");
    assert_config_error(w, M("[{health,\n\n[{probe, x}]}]"), 4,
                        "tiebeam.node_monitor.health.probe: expected emulator");
    assert_config_error(w, M("[{nodes, []}, {nodes, []}]"), 2,
                        "tiebeam.node_monitor: nodes is given twice");
    assert_config_error(w, M("[{nodes, []}|x]"), 2, "tiebeam.node_monitor");
    assert_config_error(w, M("x"), 2, "tiebeam.node_monitor: expected a list");
#undef M
}

static void
test_config_expands_variables(void **state)
{
    struct world *w = *state;
    char path[128];

    setenv("TB_TEST", "a\"b\\c", 1);
    assert_int_equal(config(w,
                            "% ${NOT_SET}\n[{tiebeam, [{cookie, "
                            "\"x${TB_TEST}y\"},\n {max_queue, "
                            "${TB_UNSET:-70000}}, {sname, '${TB_NO:-t}'}]},"
                            "{other, [$\", ${, \"\"]}].",
                            path),
                     0);
    assert_string_equal(tb_settings_text(&w->s, TB_SET_COOKIE), "xa\"b\\cy");
    assert_int_equal(tb_settings_number(&w->s, TB_SET_MAX_QUEUE), 70000);
    assert_string_equal(tb_settings_text(&w->s, TB_SET_SNAME), "t");
    assert_config_error(w, "[{tiebeam,\n [{cookie, \"${TB_UNSET}\"}]}].", 2,
                        "the environment has no TB_UNSET");
}

static void
test_config_file_may_lack_its_extension(void **state)
{
    struct world *w = *state;
    char path[128], line[200];

    write_file(w, "sys.config", "[].", 0600, path);
    snprintf(line, sizeof(line), "-config %s/sys", w->dir);
    assert_int_equal(flags(w, line), 0);
    assert_int_equal(tb_config_read(&w->config, &w->s, &w->errors), 0);
    assert_string_equal(w->config.path, path);

    snprintf(line, sizeof(line), "-config %s/none", w->dir);
    assert_int_equal(flags(w, line), 0);
    tb_config_fini(&w->config);
    assert_int_equal(tb_config_read(&w->config, &w->s, &w->errors),
                     -TB_EBADARG);
    assert_non_null(strstr(errors(w), "tiebeam: flag -config: cannot read"));
}

static void
test_config_default_finds_this_hosts_nodes(void **state)
{
    struct world *w = *state;
    struct tb_val h[TB_MAX_HOLES];
    char path[128];

    assert_int_equal(config(w, "[].", path), 0);
    assert_int_equal(tb_config_default(&w->config, &w->s, "h", &w->errors), 0);
    assert_int_equal(w->config.n_discovery, 1);
    assert_int_equal(
        tb_match("[{source, {epmd, [\"h\"]}}]", w->config.discovery[0].opts, h),
        1);
    clear(w);
    assert_int_equal(config(w, "[{tiebeam, [{discovery, []}]}].", path), 0);
    assert_int_equal(tb_config_default(&w->config, &w->s, "h", &w->errors), 0);
    assert_int_equal(w->config.n_discovery, 0);
}

static void
test_config_default_takes_a_dns_query(void **state)
{
    struct world *w = *state;
    struct tb_val h[TB_MAX_HOLES];

    setenv("DNS_CLUSTER_QUERY", "a.internal,b.internal", 1);
    setenv("RELEASE_NODE", "app@10.0.0.1", 1);
    assert_int_equal(flags(w, "--mesh all"), 0);
    assert_int_equal(tb_config_default(&w->config, &w->s, "h", &w->errors), 0);
    assert_int_equal(tb_match("[{source, {dns, [\"a.internal\", "
                              "\"b.internal\"]}}, {basename, \"app\"}, "
                              "{mesh, all}]",
                              w->config.discovery[0].opts, h),
                     1);
    clear(w);
    unsetenv("RELEASE_NODE");
    assert_int_equal(flags(w, "--dns-query c --attached app@h"), 0);
    assert_int_equal(tb_config_default(&w->config, &w->s, "h", &w->errors), 0);
    assert_int_equal(tb_match("[{source, {dns, [\"c\"]}}, {attached, app@h}]",
                              w->config.discovery[0].opts, h),
                     1);
    clear(w);
    assert_int_equal(flags(w, "--dns-query c"), 0);
    assert_int_equal(tb_config_default(&w->config, &w->s, "h", &w->errors),
                     -TB_EBADARG);
    assert_non_null(strstr(errors(w), "--basename or --attached"));
    unsetenv("DNS_CLUSTER_QUERY");
}

/* ------------------------------------------------------------ cookie -- */

static void
assert_cookie(struct world *w, const char *line, const char *cookie,
              const char *origin)
{
    struct tb_secret c;

    assert_int_equal(flags(w, line), 0);
    if (tb_cookie_find(&w->s, &c, &w->errors) != 0)
        fail_msg("%s", errors(w));
    if (cookie)
        assert_string_equal(c.text, cookie);
    assert_non_null(strstr(c.origin, origin));
}

static void
assert_no_cookie(struct world *w, const char *why)
{
    struct tb_secret c;

    assert_int_equal(flags(w, ""), 0);
    assert_int_equal(tb_cookie_find(&w->s, &c, &w->errors), -EPERM);
    if (!strstr(errors(w), why))
        fail_msg("\"%s\" is not in \"%s\"", why, errors(w));
}

static void
test_cookie_is_made_where_there_is_none(void **state)
{
    struct world *w = *state;
    char path[128];
    struct tb_secret first;
    struct stat st;

    assert_int_equal(flags(w, ""), 0);
    assert_int_equal(tb_cookie_find(&w->s, &first, &w->errors), 0);
    assert_int_equal(strlen(first.text), 20);
    assert_int_equal(strspn(first.text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"), 20);
    snprintf(path, sizeof(path), "%s/.erlang.cookie", w->dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0400);
    assert_int_equal(st.st_nlink, 1);
    assert_cookie(w, "", first.text, path);
}

static void
test_cookie_file_keeps_to_erls_rules(void **state)
{
    struct world *w = *state;
    char path[128], big[400];

    write_file(w, ".erlang.cookie", "SE CRET\r\n", 0400, path);
    assert_cookie(w, "", "SE CRET", path);
    write_file(w, ".erlang.cookie", "SECRET", 0640, path);
    assert_no_cookie(w, "must be accessible by owner only");
    assert_null(strstr(errors(w), "SECRET"));
    write_file(w, ".erlang.cookie", "SEC\tRET", 0600, path);
    assert_no_cookie(w, "bad characters");
    assert_null(strstr(errors(w), "RET"));
    write_file(w, ".erlang.cookie", "\n", 0600, path);
    assert_no_cookie(w, "is empty");
    memset(big, 'A', sizeof(big));
    big[sizeof(big) - 1] = '\0';
    write_file(w, ".erlang.cookie", big, 0600, path);
    assert_no_cookie(w, "more than 255");
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_no_cookie(w, "is not a regular file");
    assert_int_equal(rmdir(path), 0);
    unsetenv("HOME");
    assert_no_cookie(w, "HOME is not set");
}

static void
test_cookie_is_looked_for_in_order(void **state)
{
    struct world *w = *state;
    char path[128], dir[128];

    snprintf(dir, sizeof(dir), "%s/.config", w->dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    snprintf(dir, sizeof(dir), "%s/.config/erlang", w->dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    write_file(w, ".config/erlang/.erlang.cookie", "XDG", 0600, path);
    assert_cookie(w, "", "XDG", path);
    snprintf(dir, sizeof(dir), "%s/x", w->dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    setenv("XDG_CONFIG_HOME", dir, 1);
    snprintf(dir, sizeof(dir), "%s/x/erlang", w->dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    write_file(w, "x/erlang/.erlang.cookie", "OTHER", 0600, path);
    assert_cookie(w, "", "OTHER", path);
    write_file(w, ".erlang.cookie", "HOME", 0600, path);
    assert_cookie(w, "", "HOME", path);
    setenv("RELEASE_COOKIE", "ENV", 1);
    assert_cookie(w, "", "ENV", "environment RELEASE_COOKIE");
    assert_cookie(w, "-setcookie FLAG", "FLAG", "flag -setcookie");
}

/* --------------------------------------------------------------- log -- */

static void
test_logger_writes_one_safe_line(void **state)
{
    struct tb_logger plain = { 0 }, json = { .json = true };
    struct tb_wr w = { 0 };
    const char *line;

    (void)state;
    tb_logger_put(&plain, &w, TB_WARNING, "a.b", "x=1\n\033[2J", 3);
    tb_wr_bytes(&w, "", 1);
    line = (const char *)w.buf;
    assert_int_equal(line[10], 'T');
    assert_int_equal(line[26] == '+' || line[26] == '-', 1);
    assert_string_equal(line + 32, " warning: [a.b] x=1\\n\\x1b[2J "
                                   "(3 more not shown)\n");
    tb_wr_free(&w);
    tb_logger_put(&json, &w, TB_NOTICE, "a.b", "\"\\\n\x01\xff\xc3\xa9", 0);
    tb_wr_bytes(&w, "", 1);
    line = strstr((const char *)w.buf, "\"level\"");
    assert_non_null(line);
    assert_string_equal(line, "\"level\":\"notice\",\"event\":\"a.b\",\"text\":"
                              "\"\\\"\\\\\\n\\u0001\\ufffd\xc3\xa9\"}\n");
    tb_wr_free(&w);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_options_have_defaults),
        T(test_every_flag_and_twin_sets_its_value),
        T(test_unknown_flags_are_errors_with_the_nearest),
        T(test_bad_values_are_errors_that_tell_what_is_expected),
        T(test_names_keep_to_the_rules),
        T(test_kernel_takes_pairs_and_verbs_may_follow),
        T(test_setcookie_takes_one_cookie_or_one_for_a_node),
        T(test_args_file_is_read_in_place),
        T(test_flag_wins_over_environment_over_file),
        T(test_environment_is_honoured),
        T(test_nodename_comes_from_flags_release_or_default),
        T(test_config_of_the_example_is_good),
        T(test_config_shares_a_release_file),
        T(test_config_errors_tell_file_and_line),
        T(test_config_reports_all_errors_and_no_cookie),
        T(test_config_checks_discovery),
        T(test_config_checks_the_node_monitor),
        T(test_config_expands_variables),
        T(test_config_file_may_lack_its_extension),
        T(test_config_default_finds_this_hosts_nodes),
        T(test_config_default_takes_a_dns_query),
        T(test_cookie_is_made_where_there_is_none),
        T(test_cookie_file_keeps_to_erls_rules),
        T(test_cookie_is_looked_for_in_order),
        T(test_logger_writes_one_safe_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
