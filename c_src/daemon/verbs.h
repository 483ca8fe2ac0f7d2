/* verbs.h - verbs that ask another node. Each returns an exit code. */
#ifndef TB_DAEMON_VERBS_H
#define TB_DAEMON_VERBS_H

#include "daemon/cli.h"

int tb_verb_ping(struct tb_cli *cli);
int tb_verb_nodes(struct tb_cli *cli);
int tb_verb_status(struct tb_cli *cli);
int tb_verb_call(struct tb_cli *cli);
int tb_verb_discover(struct tb_cli *cli);
int tb_verb_await(struct tb_cli *cli);

#endif
