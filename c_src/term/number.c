/* number.c - integers of any width and floats, as text and back.
 * In Erlang: integer_to_list/1, list_to_integer/2, float_to_list(F, [short]).
 * Owns: nothing. Thread: any; the locale does not matter.
 * Source: io_lib_format.erl (OTP 24: the rule for exponents is in Erlang). */
#include "term/number.h"

#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/wr.h"
#include "term/etf.h"
#include "term/put.h"

enum {
    MAX_GROUPS = TB_NUMBER_LIMBS * 108 / 100 + 1, /* of nine digits */
    MAX_DIGITS = 17                               /* that a double needs */
};

bool
tb_number_shift_in(struct tb_number *n, uint32_t by, uint32_t digit)
{
    uint64_t carry = digit;

    for (size_t i = 0; i < n->n; i++) {
        carry += (uint64_t)n->limb[i] * by;
        n->limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry > 0 && n->n == TB_NUMBER_LIMBS)
        return false;
    if (carry > 0)
        n->limb[n->n++] = (uint32_t)carry;
    return true;
}

static void
put_magnitude(struct tb_wr *w, const struct tb_number *n, bool negative)
{
    size_t bytes = 4 * n->n;

    while (n->limb[(bytes - 1) / 4] >> 8 * ((bytes - 1) % 4) == 0)
        bytes--;
    if (bytes <= UINT8_MAX) {
        tb_wr_u8(w, ETF_SMALL_BIG);
        tb_wr_u8(w, (uint8_t)bytes);
    } else {
        tb_wr_u8(w, ETF_LARGE_BIG);
        tb_wr_u32(w, (uint32_t)bytes);
    }
    tb_wr_u8(w, negative);
    for (size_t i = 0; i < bytes; i++)
        tb_wr_u8(w, (uint8_t)(n->limb[i / 4] >> 8 * (i % 4)));
}

void
tb_number_put(struct tb_wr *w, const struct tb_number *n, bool negative)
{
    int64_t v = n->n ? n->limb[0] : 0;

    if (n->n > 1 || v > (int64_t)INT32_MAX + negative)
        put_magnitude(w, n, negative);
    else
        tb_put_int(w, negative ? -v : v);
}

double
tb_number_float(const char *digits, long exponent)
{
    char text[600];

    /* a point would depend on the locale */
    snprintf(text, sizeof(text), "%se%ld", digits, exponent);
    return strtod(text, NULL);
}

void
tb_print_uint(struct tb_wr *w, uint64_t v)
{
    char digits[20];
    size_t at = sizeof(digits);

    do
        digits[--at] = (char)('0' + v % 10);
    while (v /= 10);
    tb_wr_bytes(w, digits + at, sizeof(digits) - at);
}

void
tb_print_int(struct tb_wr *w, int64_t v)
{
    if (v < 0)
        tb_wr_u8(w, '-');
    tb_print_uint(w, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

static void
put_hex(struct tb_wr *w, const uint8_t *p, size_t n)
{
    tb_wr_printf(w, "16#%X", p[n - 1]);
    while (--n > 0 && !w->bad)
        tb_wr_printf(w, "%02X", p[n - 1]);
}

static uint32_t
divide_limbs(uint32_t *limb, size_t n, uint32_t by)
{
    uint64_t rest = 0;

    while (n-- > 0) {
        rest = rest << 32 | limb[n];
        limb[n] = (uint32_t)(rest / by);
        rest %= by;
    }
    return (uint32_t)rest;
}

static void
put_decimal(struct tb_wr *w, const uint8_t *p, size_t n)
{
    uint32_t limb[TB_NUMBER_LIMBS] = { 0 }, group[MAX_GROUPS];
    size_t limbs = (n + 3) / 4, groups = 0;

    for (size_t i = 0; i < n; i++)
        limb[i / 4] |= (uint32_t)p[i] << 8 * (i % 4);
    while (limbs > 0) {
        group[groups++] = divide_limbs(limb, limbs, 1000000000);
        while (limbs > 0 && limb[limbs - 1] == 0)
            limbs--;
    }
    tb_print_uint(w, group[--groups]);
    while (groups > 0)
        tb_wr_printf(w, "%09u", (unsigned)group[--groups]);
}

void
tb_print_big(struct tb_wr *w, bool negative, const uint8_t *p, size_t n)
{
    while (n > 0 && p[n - 1] == 0) /* as the BEAM normalises */
        n--;
    if (negative && n > 0)
        tb_wr_u8(w, '-');
    if (n == 0)
        tb_wr_u8(w, '0');
    else if (n > TB_NUMBER_BYTES)
        put_hex(w, p, n);
    else
        put_decimal(w, p, n);
}

static bool
reads_back(const char *digits, int exponent, double f)
{
    return tb_number_float(digits, exponent - (int)strlen(digits)) == f;
}

static void
next_up(char *digits)
{
    size_t n = strlen(digits);

    while (n > 1 && digits[n - 1] == '9')
        digits[--n] = '0';
    digits[n - 1]++;
}

/* The n digits nearest to f, which is 0.Digits * 10^Exponent. */
static int
nearest(double f, int n, char digits[MAX_DIGITS + 1])
{
    char text[MAX_DIGITS + 16];
    const char *e;

    snprintf(text, sizeof(text), "%.*e", n - 1, f);
    e = strchr(text, 'e');
    digits[0] = text[0];
    memcpy(digits + 1, e - (n - 1), (size_t)n - 1);
    digits[n] = '\0';
    return (int)strtol(e + 1, NULL, 10) + 1;
}

/* The shortest digits that read back as f. Where DBL_DIG digits do not, fewer
 * cannot.
 * Where f is a power of two, the number below is half as far as the one above,
 * and the nearest short digits may miss while the next ones up do not. */
static int
shortest(double f, char digits[MAX_DIGITS + 1])
{
    int exponent = nearest(f, DBL_DIG, digits);
    int n = reads_back(digits, exponent, f) ? 1 : DBL_DIG + 1;

    for (; n <= MAX_DIGITS; n++) {
        exponent = nearest(f, n, digits);
        if (reads_back(digits, exponent, f))
            break;
        next_up(digits);
        if (digits[0] <= '9' && reads_back(digits, exponent, f))
            break;
    }
    for (size_t last = strlen(digits) - 1; last > 0 && digits[last] == '0';)
        digits[last--] = '\0';
    return exponent;
}

/* Whichever is shorter, but above 2^53, where the last digits of an integer
 * would say more than is known, always with an exponent. */
static void
put_finite(struct tb_wr *w, double f)
{
    char digits[MAX_DIGITS + 1], power[16];
    double size = f < 0 ? -f : f;
    int place = shortest(size, digits), n = (int)strlen(digits);
    int cost =
        snprintf(power, sizeof(power), "%d", place - 1) + 1 + (n == 1 ? 2 : 1);
    bool point;

    if (f < 0)
        tb_wr_u8(w, '-');
    if (place < 0)
        point = 2 - place <= cost;
    else
        point = size < 0x1p53 && (place < n || place - n + 2 <= cost);
    if (!point)
        tb_wr_printf(w, "%c.%se%s", digits[0], n > 1 ? digits + 1 : "0", power);
    else if (place <= 0)
        tb_wr_printf(w, "0.%.*s%s", -place, "0000000000", digits);
    else if (place < n)
        tb_wr_printf(w, "%.*s.%s", place, digits, digits + place);
    else
        tb_wr_printf(w, "%s%.*s.0", digits, place - n, "0000000000");
}

void
tb_print_float(struct tb_wr *w, double f)
{
    if (f == 0)
        tb_wr_str(w, __builtin_signbit(f) ? "-0.0" : "0.0");
    else
        put_finite(w, f);
}
