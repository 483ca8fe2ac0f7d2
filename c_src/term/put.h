/* put.h - typed writes; errors are sticky in w. */
#ifndef TB_TERM_PUT_H
#define TB_TERM_PUT_H

#include "base/wr.h"
#include "tiebeam.h"

void tb_put_int(struct tb_wr *w, int64_t i);
void tb_put_uint(struct tb_wr *w, uint64_t u);
void tb_put_float(struct tb_wr *w, double f); /* NaN and infinity: w is bad */
void tb_put_atom(struct tb_wr *w, struct tb_text text);
void tb_put_bin(struct tb_wr *w, const void *p, size_t n);
/* UTF-8 in, a list of code points out: STRING_EXT where all are bytes. */
void tb_put_chars(struct tb_wr *w, struct tb_text utf8);
void tb_put_str(struct tb_wr *w, const char *utf8);
void tb_put_pid(struct tb_wr *w, struct tb_pid pid);
void tb_put_ref(struct tb_wr *w, struct tb_ref ref);
void tb_put_term(struct tb_wr *w, struct tb_term t);
void tb_put_val(struct tb_wr *w, const struct tb_val *v);

/* Headers. A list of n elements ends with tb_put_nil() or another tail. */
void tb_put_tuple(struct tb_wr *w, uint32_t arity);
void tb_put_list(struct tb_wr *w, uint32_t n);
void tb_put_map(struct tb_wr *w, uint32_t pairs);
void tb_put_nil(struct tb_wr *w);

#endif
