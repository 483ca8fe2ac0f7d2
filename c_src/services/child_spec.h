/* child_spec.h - what a child of a supervisor is. */
#ifndef TB_SERVICES_CHILD_SPEC_H
#define TB_SERVICES_CHILD_SPEC_H

#include "tiebeam.h"

/* A child as its hosts keep it, {Kind, Id, {M, F, A}, Restart, Significant,
 * Shutdown, Type, Modules}, taken apart. The parts are borrowed. */
struct tb_spec {
    bool named; /* by the id of an Erlang child spec; else dynamic */
    struct tb_term id, mfa, shutdown, modules;
    enum tb_restart restart;
    bool significant, supervisor;
};

/* tb_spec_put - append what the hosts keep of a child spec that somebody asks
 * to start: the tuple of five that DynamicSupervisor sends, or a map or a
 * tuple of six for supervisor. 0, or -TB_EBADARG and the reason that these two
 * give appended to why.
 * tb_spec_read - take apart what hosts keep; false: it is none. */
int tb_spec_put(struct tb_wr *w, struct tb_term asked, struct tb_wr *why);
bool tb_spec_read(struct tb_spec *s, struct tb_term kept);

/* tb_spec_put_located - append what the locator sees of it: the tuple of five,
 * or the id.
 * tb_spec_put_map - as supervisor:get_childspec/2 shows it.
 * tb_spec_put_record - the child record in {error, {Reason, Child}}. */
void tb_spec_put_located(struct tb_wr *w, const struct tb_spec *s);
void tb_spec_put_map(struct tb_wr *w, const struct tb_spec *s);
void tb_spec_put_record(struct tb_wr *w, const struct tb_spec *s);

const char *tb_restart_atom(enum tb_restart restart);

#endif
