/* print.h - terms as text for people. */
#ifndef TB_TERM_PRINT_H
#define TB_TERM_PRINT_H

#include "tiebeam.h"

/* tb_print_pretty - as tb_print, but printable lists are "text" and printable
 * UTF-8 binaries <<"text">>: io:format("~tp"), on one line.
 * Returns 0, -TB_ELIMIT, or -TB_EBADTERM where t was not checked. */
int tb_print_pretty(struct tb_wr *w, struct tb_term t);

#endif
