/* get.h - typed reads of checked terms. They give false where the term is of
 * another type or does not fit; *out is then unchanged. */
#ifndef TB_TERM_GET_H
#define TB_TERM_GET_H

#include "tiebeam.h"

bool tb_get_int(struct tb_term t, int64_t *out);
bool tb_get_uint(struct tb_term t, uint64_t *out);
bool tb_get_float(struct tb_term t, double *out);
/* Latin-1 atoms are read where they are ASCII. Borrowed from t. */
bool tb_get_atom(struct tb_term t, struct tb_text *out);
bool tb_get_bin(struct tb_term t, struct tb_text *out);
bool tb_get_pid(struct tb_term t, struct tb_pid *out);
bool tb_get_ref(struct tb_term t, struct tb_ref *out);

/* tb_get_tuple - arity, and the first element (borrowed, of no length where
 * there is none); the next one follows with tb_get_next(). */
bool tb_get_tuple(struct tb_term t, uint32_t *arity, struct tb_term *first);
bool tb_get_map(struct tb_term t, uint32_t *pairs, struct tb_term *first);
/* tb_get_next - the term behind t, inside the same container. */
struct tb_term tb_get_next(struct tb_term t);

/* tb_is_list - proper or not; a STRING_EXT and [] too. */
bool tb_is_list(struct tb_term t);

#endif
