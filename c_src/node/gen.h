/* gen.h - what a message is to a process: the protocols of gen and sys. */
#ifndef TB_NODE_GEN_H
#define TB_NODE_GEN_H

#include "node/proc.h"

/* tb_gen_init, tb_gen_fini - the patterns that all processes share. */
int tb_gen_init(void);
void tb_gen_fini(void);

/* tb_gen_message - let p handle one message; what its handler returned.
 * tb_gen_is_urgent - is it one that p handles while suspended, too? */
int tb_gen_message(struct tb_proc *p, struct tb_term message);
bool tb_gen_is_urgent(const struct tb_proc *p, struct tb_term message);

/* tb_gen_compile - clauses to code; NULL and *error for a bad pattern. */
struct tb_compiled *tb_gen_compile(const struct tb_service *s, int *error);

/* sys.c */
int tb_sys_request(struct tb_proc *p, const struct tb_from *from,
                   struct tb_term request);
void tb_sys_log(struct tb_proc *p, struct tb_term message);
void tb_sys_free(struct tb_proc *p);

#endif
