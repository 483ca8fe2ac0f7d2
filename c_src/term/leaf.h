/* leaf.h - terms without parts, from text; text.c puts them together. */
#ifndef TB_TERM_LEAF_H
#define TB_TERM_LEAF_H

#include "term/scan.h"

/* tb_leaf_parse - append the number, atom, string, binary or fun at s. Returns
 * 0, -TB_ESYNTAX, or -TB_ELIMIT; w and s->chars may be bad.
 * tb_leaf_string - append the characters of the "string" at s one by one, as
 * elements of a list, and count them. */
int tb_leaf_parse(struct tb_scan *s, struct tb_wr *w);
int tb_leaf_string(struct tb_scan *s, struct tb_wr *w, uint32_t *count);

#endif
