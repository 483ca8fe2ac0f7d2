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

/* supervisor_verbs.c */
int tb_verb_children(struct tb_cli *cli);
int tb_verb_start_child(struct tb_cli *cli);
int tb_verb_stop_child(struct tb_cli *cli);
int tb_verb_drain(struct tb_cli *cli);
int tb_verb_undrain(struct tb_cli *cli);
int tb_verb_forget(struct tb_cli *cli);
int tb_verb_rebalance(struct tb_cli *cli);
int tb_verb_explain(struct tb_cli *cli);

/* tb_verb_ask - let c ask; 0 with its result, or the exit code.
 * tb_verb_failure - say why it failed.
 * tb_verb_request - ask a process of a running tiebeam; 0 or the exit code, and
 * then why has been said. c is ended with tb_client_fini() in any case.
 * tb_verb_parse - a term that the user wrote; false: that has been said.
 * tb_verb_print - the reply.
 * tb_verb_node - the tiebeam that a verb is for; buf is used where no flag
 * names it. */
int tb_verb_ask(struct tb_cli *cli, struct tb_client *c);
int tb_verb_request(struct tb_cli *cli, struct tb_client *c, const char *name,
                    const struct tb_wr *request);
bool tb_verb_parse(const char *text, struct tb_wr *w);
void tb_verb_print(const struct tb_cli *cli, const struct tb_client *c);
void tb_verb_failure(struct tb_cli *cli, const struct tb_client *c);
const char *tb_verb_node(struct tb_cli *cli, char buf[TB_NODENAME_MAX]);

#endif
