/* keys.h - no map has the same key twice: a BEAM closes a connection over
 * which such a map comes, so none may be passed on. */
#ifndef TB_TERM_KEYS_H
#define TB_TERM_KEYS_H

#include "tiebeam.h"

/* tb_keys_check - of all maps inside a term whose bytes are well-formed: 0,
 * -TB_EBADTERM (one has a key twice), or -TB_ELIMIT (too deep, no memory).
 * Keys are equal as =:= has it, however they are encoded, but for 0.0 and -0.0,
 * which differ from OTP 27 on.
 * Needs 8 bytes for each key of the maps that are open, and no stack. */
int tb_keys_check(struct tb_term t);

#endif
