/* placement.h - on which host a child belongs. */
#ifndef TB_SERVICES_PLACEMENT_H
#define TB_SERVICES_PLACEMENT_H

#include "tiebeam.h"

enum tb_locator {
    TB_LOCATE_PHASH2,
    TB_LOCATE_RENDEZVOUS,
    TB_LOCATE_LEAST_LOADED,
    TB_LOCATE_FUN /* {M, F}: asked on a BEAM node */
};

struct tb_place {
    tb_atom node;
    size_t load; /* children there, and on their way */
};

/* tb_place_sort - in the order of Erlang terms, as lists:sort/1 of the names.
 * tb_place_in_order - a comes before b there, or is b.
 * tb_place_find - which of n > 0 places the locator names for what it sees of
 * a child spec. phash2 is GlobalSupervisor.locate/2, bit for bit. Not for
 * TB_LOCATE_FUN. */
void tb_place_sort(struct tb_place *places, size_t n);
bool tb_place_in_order(tb_atom a, tb_atom b);
size_t tb_place_find(enum tb_locator how, struct tb_term located,
                     const struct tb_place *places, size_t n);

#endif
