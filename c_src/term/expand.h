/* expand.h - terms in which atoms may be references into the table of their
 * message (ATOM_CACHE_REF): checked, and made terms like any others. */
#ifndef TB_TERM_EXPAND_H
#define TB_TERM_EXPAND_H

#include "base/rd.h"
#include "tiebeam.h"

#define TB_MESSAGE_ATOMS 255 /* at most, of the protocol */

/* The atoms of one message: each a term, at an offset of bytes. Behind the last
 * of them TB_ATOM_SLACK more bytes can be read, whatever they are. */
#define TB_ATOM_SLACK 32
struct tb_ref_table {
    const uint8_t *bytes; /* borrowed */
    unsigned n;
    uint32_t at[TB_MESSAGE_ATOMS];
};

/* tb_expand - as tb_check(), where references may stand for atoms. The term
 * that comes of it has none: if there was one, it is in w, else it is still
 * where it was read. w is emptied; its .max is how long the term may become.
 * Errors: as tb_check(); -TB_EATOM_CACHE for a reference to nothing;
 * -TB_ELIMIT where the term becomes too long, too.
 * Source: erl_ext_dist, "Distribution Header", ATOM_CACHE_REF. */
int tb_expand(struct tb_rd *r, const struct tb_ref_table *refs, struct tb_wr *w,
              struct tb_term *out);

#endif
