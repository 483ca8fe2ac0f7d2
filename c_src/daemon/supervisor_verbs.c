/* supervisor_verbs.c - verbs for the supervisors of a running tiebeam.
 * In Erlang: supervisor:which_children/1 and its kin, typed by hand.
 * Owns: nothing. Borrows: settings. Thread: none; each verb runs to its end. */
#include <stdio.h>

#include "daemon/logger.h"
#include "daemon/verbs.h"

static const char *
name_at(const struct tb_cli *cli, size_t i)
{
    return cli->words.n > i ? cli->words.v[i] : "global_supervisor";
}

/* Asks, prints the reply, and fails where that is {error, _}. */
static int
ask(struct tb_cli *cli, const char *name, const struct tb_wr *request)
{
    struct tb_val h[TB_MAX_HOLES];
    struct tb_client c;
    int code = tb_verb_request(cli, &c, name, request);

    if (code == TB_EXIT_OK) {
        tb_verb_print(cli, &c);
        if (tb_match("{error, _}", tb_wr_term(&c.result), h) == 1)
            code = TB_EXIT_FAILED;
    }
    tb_client_fini(&c);
    return code;
}

static int
ask_with(struct tb_cli *cli, const char *name, const char *request,
         struct tb_args args)
{
    struct tb_wr w = { 0 };
    int code;

    tb_build(&w, request, args);
    code = ask(cli, name, &w);
    tb_wr_free(&w);
    return code;
}

/* A term that the user wrote, in a request. */
static int
ask_term(struct tb_cli *cli, const char *name, const char *request,
         const char *text)
{
    struct tb_wr term = { 0 };
    int code = TB_EXIT_USAGE;

    if (tb_verb_parse(text, &term))
        code =
            ask_with(cli, name, request, TB_ARGS(tb_v_term(tb_wr_term(&term))));
    tb_wr_free(&term);
    return code;
}

/* ------------------------------------------------------------- children -- */

static void
put_text(struct tb_wr *w, bool json, struct tb_term t)
{
    struct tb_wr text = { 0 };

    tb_print_pretty(&text, t);
    if (json)
        tb_json_str(w, (const char *)text.buf, text.len);
    else
        tb_wr_bytes(w, text.buf, text.len);
    tb_wr_free(&text);
}

static void
put_child(struct tb_wr *w, bool json, const struct tb_val *v, bool first)
{
    tb_wr_str(w, !json ? "" : first ? "{\"id\":" : ",{\"id\":");
    put_text(w, json, v[0].term);
    tb_wr_str(w, json ? ",\"pid\":" : "  ");
    put_text(w, json, v[1].term);
    tb_wr_str(w, json ? ",\"type\":" : "  ");
    put_text(w, json, v[2].term);
    tb_wr_str(w, json ? "}" : "\n");
}

static void
print_children(const struct tb_cli *cli, struct tb_term list)
{
    struct tb_val v[TB_MAX_HOLES];
    struct tb_wr w = { 0 };
    struct tb_elems e;
    struct tb_term item;
    bool first = true;

    tb_wr_str(&w, cli->json ? "[" : "");
    for (tb_elems_open(&e, list); tb_elems_next(&e, &item);)
        if (tb_match("{Id, Pid, Type, _}", item, v) == 1) {
            put_child(&w, cli->json, v, first);
            first = false;
        }
    tb_wr_str(&w, cli->json ? "]\n" : "");
    tb_cli_print(stdout, &w);
    tb_wr_free(&w);
}

int
tb_verb_children(struct tb_cli *cli)
{
    struct tb_val h[TB_MAX_HOLES];
    struct tb_wr request = { 0 };
    struct tb_client c;
    int code;

    tb_build(&request, "which_children", TB_NONE);
    code = tb_verb_request(cli, &c, name_at(cli, 1), &request);
    if (code == TB_EXIT_OK &&
        tb_match("L:list", tb_wr_term(&c.result), h) == 1) {
        print_children(cli, h[0].term);
    } else if (code == TB_EXIT_OK) {
        tb_verb_print(cli, &c);
        code = TB_EXIT_FAILED;
    }
    tb_wr_free(&request);
    tb_client_fini(&c);
    return code;
}

int
tb_verb_start_child(struct tb_cli *cli)
{
    return ask_term(cli, name_at(cli, 2), "{start_child, Spec}",
                    cli->words.v[1]);
}

int
tb_verb_stop_child(struct tb_cli *cli)
{
    return ask_term(cli, name_at(cli, 2), "{terminate_child, Id}",
                    cli->words.v[1]);
}

/* ---------------------------------------------------------------- hosts -- */

int
tb_verb_drain(struct tb_cli *cli)
{
    return ask_with(cli, name_at(cli, 2), "{drain, Node}",
                    TB_ARGS(tb_v_atom(cli->words.v[1])));
}

int
tb_verb_forget(struct tb_cli *cli)
{
    return ask_with(cli, name_at(cli, 2), "{forget, Node}",
                    TB_ARGS(tb_v_atom(cli->words.v[1])));
}

int
tb_verb_undrain(struct tb_cli *cli)
{
    return ask_with(cli, name_at(cli, 2), "{undrain, Node}",
                    TB_ARGS(tb_v_atom(cli->words.v[1])));
}

int
tb_verb_rebalance(struct tb_cli *cli)
{
    return ask_with(cli, name_at(cli, 1), "rebalance", TB_NONE);
}

int
tb_verb_explain(struct tb_cli *cli)
{
    return ask_term(cli, name_at(cli, 2), "{explain, Id}",
                    cli->words.n > 1 ? cli->words.v[1] : "undefined");
}
