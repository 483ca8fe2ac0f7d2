/* cli.h - verbs: tiebeam ping app@host. */
#ifndef TB_DAEMON_CLI_H
#define TB_DAEMON_CLI_H

#include <stdio.h>

#include "daemon/config.h"
#include "daemon/options.h"

/* Exit codes: sysexits(3) where they have one. */
enum {
    TB_EXIT_OK = 0,
    TB_EXIT_FAILED = 1,
    TB_EXIT_USAGE = 2,
    TB_EXIT_UNAVAILABLE = 69,
    TB_EXIT_INTERNAL = 70,
    TB_EXIT_IN_USE = 75,
    TB_EXIT_NO_PERMISSION = 77
};

struct tb_cli {
    struct tb_settings *settings; /* flags and environment */
    struct tb_words words;        /* the verb and its arguments */
    bool json;
};

struct tb_verb {
    const char *name, *args, *help;
    size_t args_min, args_max;
    int (*fn)(struct tb_cli *cli); /* returns an exit code */
};

extern const struct tb_verb tb_verbs[]; /* ends with { NULL } */

/* tb_cli_run - carry out a verb. Returns the exit code. */
int tb_cli_run(struct tb_cli *cli);

/* tb_cli_print - write a text out. */
void tb_cli_print(FILE *to, const struct tb_wr *w);

#endif
