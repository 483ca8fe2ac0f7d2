/* check.h - the only walker of unvouched bytes. Everything else in term/
 * trusts what has passed here. */
#ifndef TB_TERM_CHECK_H
#define TB_TERM_CHECK_H

#include "base/rd.h"
#include "tiebeam.h"

/* tb_check - walk one term (without a version byte) and step r behind it.
 * Returns 0 and the term, -TB_EBADTERM, -TB_EUNKNOWN_TAG (its length cannot be
 * known), or -TB_ELIMIT (of its maps: see tb_keys_check()). Needs no stack,
 * whatever the depth, and no memory but for the keys of maps.
 * Source: erl_ext_dist. */
int tb_check(struct tb_rd *r, struct tb_term *out);

/* tb_check_whole - as tb_check, of exactly these bytes. */
int tb_check_whole(const void *p, size_t n, struct tb_term *out);

/* For expand.c, which walks terms whose atoms may be references. tb_check_atom,
 * tb_check_small_int - step over one; r is bad where it is none. tb_check_leaf
 * - the same behind a tag without terms or atoms in it; false: not such a tag.
 * tb_check_u32 - four bytes that are there. */
void tb_check_atom(struct tb_rd *r);
void tb_check_small_int(struct tb_rd *r);
bool tb_check_leaf(struct tb_rd *r, uint8_t tag);

static inline uint32_t
tb_check_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
           p[3];
}

/* tb_float_text - the value of the 31 bytes of a FLOAT_EXT; false where a BEAM
 * takes them for corrupt. */
bool tb_float_text(const uint8_t *p, double *out);

/* tb_check_narrow - whether a peer without V4_NC (OTP 23) can read the checked
 * term that begins at p: it has no references of more than three words, no V4
 * ports, no pids beyond 28 bits, no records. */
bool tb_check_narrow(const uint8_t *p);

/* tb_skip_tag - in checked bytes, the length of the tag at p with its own
 * fields, and how many terms follow that belong to it.
 * tb_skip - length of the checked term that begins at p. */
size_t tb_skip_tag(const uint8_t *p, uint64_t *owes);
size_t tb_skip(const uint8_t *p);

#endif
