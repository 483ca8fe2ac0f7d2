/* call.h - outgoing calls that wait for their end, and timers. */
#ifndef TB_NODE_CALL_H
#define TB_NODE_CALL_H

#include "node/proc.h"

enum tb_call_kind {
    TB_CALL_GEN,   /* ends with {Ref, Reply}, or the DOWN of Ref */
    TB_CALL_ERPC,  /* ends with the DOWN of Ref, whose reason tells all */
    TB_CALL_PROBE, /* the DOWN of Ref is its answer */
    TB_CALL_OWN    /* ends with tb_call_settle() */
};

/* tb_call_expect - a call of p that ends in done(); its reference. */
struct tb_ref tb_call_expect(struct tb_proc *p, enum tb_call_kind kind,
                             uint64_t timeout_ms, tb_done done, void *ctx);
/* tb_call_is_one_too_many - the one that p has just begun must end at once. */
bool tb_call_is_one_too_many(const struct tb_proc *p);
/* tb_call_settle - end a TB_CALL_OWN, if it still waits: status and result. */
void tb_call_settle(struct tb_node *node, struct tb_ref ref, int status,
                    const char *result, struct tb_args args);

/* tb_call_message - is this message the end of a call of p? Then it has been
 * handed to its done(). */
bool tb_call_message(struct tb_proc *p, struct tb_term message);
/* tb_call_alias - the process that waits for an answer to this alias. */
struct tb_proc *tb_call_alias(struct tb_node *node, struct tb_ref alias);
void tb_call_timed_out(struct tb_proc *p, struct tb_ref ref);
/* tb_calls_end - p ends: so do its calls. tb_calls_free - forget, without a
 * word, those that were begun since. */
void tb_calls_end(struct tb_proc *p);
void tb_calls_free(struct tb_proc *p);
void tb_timers_free(struct tb_proc *p);

#endif
