/* verbs.h - verbs that ask another node. Each returns an exit code. */
#ifndef TB_DAEMON_VERBS_H
#define TB_DAEMON_VERBS_H

#include "daemon/cli.h"
#include "daemon/client.h"
#include "daemon/nodename.h"

int tb_verb_ping(struct tb_cli *cli);
int tb_verb_nodes(struct tb_cli *cli);
int tb_verb_status(struct tb_cli *cli);
int tb_verb_call(struct tb_cli *cli);
int tb_verb_discover(struct tb_cli *cli);
int tb_verb_await(struct tb_cli *cli);
int tb_verb_events(struct tb_cli *cli); /* events.c */

/* tb_verb_ask - let c ask; 0 with its result, or the exit code.
 * tb_verb_failure - say why it failed.
 * tb_verb_node - the tiebeam that a verb is for; buf is used where no flag
 * names it. */
int tb_verb_ask(struct tb_cli *cli, struct tb_client *c);
void tb_verb_failure(struct tb_cli *cli, const struct tb_client *c);
const char *tb_verb_node(struct tb_cli *cli, char buf[TB_NODENAME_MAX]);

#endif
