/* atom_cache.h - the atoms that a peer told us over one connection, and the
 * distribution header, which tells more of them and which ones its message
 * refers to. */
#ifndef TB_DIST_ATOM_CACHE_H
#define TB_DIST_ATOM_CACHE_H

#include "base/rd.h"
#include "term/expand.h"

/* A half-byte for each atom, the low one first, and one for all of them. */
#define TB_LONG_ATOMS 1 /* of the last one: lengths are u16 */
#define TB_NEW_ENTRY  8
#define TB_SEGMENT    7 /* high bits of its slot */

/* One direction of one connection; zeroed: empty, and without memory. */
struct tb_atom_cache {
    uint32_t *slot;    /* owned: where its atom begins in text, 0: unset */
    struct tb_wr text; /* owned: atoms as terms, the replaced ones too */
    size_t replaced;   /* bytes of these */
};

/* tb_atom_cache_read - step behind a header, which begins at its number of
 * atoms. They are kept, and refs tells them: until the next call. 0,
 * -TB_EATOM_CACHE (the header is cut or wrong, or names a slot that is unset),
 * -TB_ELIMIT (no memory).
 * tb_atom_cache_fini - free.
 * Source: erl_ext_dist, "Distribution Header". */
int tb_atom_cache_read(struct tb_atom_cache *c, struct tb_rd *r,
                       struct tb_ref_table *refs);
void tb_atom_cache_fini(struct tb_atom_cache *c);

#endif
