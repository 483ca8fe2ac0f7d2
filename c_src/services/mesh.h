/* mesh.h - what mesh.c and pairs.c share. */
#ifndef TB_SERVICES_MESH_H
#define TB_SERVICES_MESH_H

#include "services/discovery.h"

#define TB_MESH_SETTLED_MS 60000 /* a pair that held that long is forgotten */

struct tb_pair {
    struct tb_list link;
    struct tb_pair *next; /* in its bucket */
    tb_atom a, b;
    unsigned i, j, pass; /* its places in that pass */
    bool busy, told;
    unsigned failures, repeats;
    int64_t missing_ms, linked_ms, dropped_ms; /* since; 0: not */
    int64_t reachable_ms, not_before_ms;
};

static inline bool
tb_mesh_is_hub(const struct tb_discovery *d)
{
    return d->o.mesh == TB_MESH_ATTACHED;
}

/* tb_pair_find - NULL: it never lacked. tb_pair_get - NULL: there are too many.
 * tb_pair_linked - it holds from now on. tb_pair_begin - probe or link it, if
 * its time has come. tb_mesh_group - of a place: whom links join. */
struct tb_pair *tb_pair_find(struct tb_mesh *m, tb_atom x, tb_atom y);
struct tb_pair *tb_pair_get(struct tb_mesh *m, tb_atom x, tb_atom y);
void tb_pair_drop(struct tb_mesh *m, struct tb_pair *p);
void tb_pair_linked(struct tb_discovery *d, struct tb_pair *p);
void tb_pair_begin(struct tb_proc *self, struct tb_discovery *d,
                   struct tb_pair *p, int64_t now);
unsigned tb_mesh_group(struct tb_mesh *m, unsigned i);

/* tb_mesh_done - no probe and no dial is under way. */
void tb_mesh_done(struct tb_proc *self, struct tb_discovery *d);

#endif
