/* number.h - integers of any width and floats, as text and back. */
#ifndef TB_TERM_NUMBER_H
#define TB_TERM_NUMBER_H

#include "tiebeam.h"

enum {
    TB_NUMBER_BYTES = 8192, /* of magnitude: what prints in decimal */
    TB_NUMBER_LIMBS = TB_NUMBER_BYTES / 4
};

/* An integer that is being read. */
struct tb_number {
    uint32_t limb[TB_NUMBER_LIMBS]; /* the least first */
    size_t n;
};

/* tb_number_shift_in - n = n * by + digit; false where it becomes too wide.
 * tb_number_put - append it as a term, in the shortest encoding. */
bool tb_number_shift_in(struct tb_number *n, uint32_t by, uint32_t digit);
void tb_number_put(struct tb_wr *w, const struct tb_number *n, bool negative);

/* tb_number_float - digits * 10^exponent, whatever the locale. */
double tb_number_float(const char *digits, long exponent);

/* Append as text. tb_print_big - n bytes of magnitude, the least first; beyond
 * TB_NUMBER_BYTES in base 16, since decimal digits cost the square of the
 * length. tb_print_float - the shortest that reads back, as OTP 25 writes it.
 */
void tb_print_uint(struct tb_wr *w, uint64_t v);
void tb_print_int(struct tb_wr *w, int64_t v);
void tb_print_big(struct tb_wr *w, bool negative, const uint8_t *p, size_t n);
void tb_print_float(struct tb_wr *w, double f);

#endif
