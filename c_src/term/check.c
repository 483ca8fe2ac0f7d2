/* check.c - the only walker of unvouched bytes.
 *
 * No stack: a count of terms still owed is enough to know where a term ends,
 * and since each owes at least a byte, a claimed arity can never exceed what
 * has come. Refuses what a BEAM refuses, so that what we pass on is safe; the
 * keys of maps are compared in keys.c.
 * Owns: nothing. Thread: any.
 * Source: erl_ext_dist. */
#include "term/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "term/chars.h"
#include "term/etf.h"
#include "term/keys.h"
#include "term/number.h"

void
tb_check_atom(struct tb_rd *r)
{
    uint8_t tag = tb_rd_u8(r);
    bool utf8 = tag == ETF_SMALL_ATOM_UTF8 || tag == ETF_ATOM_UTF8;
    const uint8_t *p;
    size_t n;

    if (tag == ETF_SMALL_ATOM_UTF8 || tag == ETF_SMALL_ATOM)
        n = tb_rd_u8(r);
    else if (tag == ETF_ATOM_UTF8 || tag == ETF_ATOM)
        n = tb_rd_u16(r);
    else
        n = SIZE_MAX;
    p = tb_rd_take(r, n);
    if (p && (utf8 ? !tb_is_atom_text(p, n) : n > TB_MAX_ATOM_CHARS))
        r->bad = true;
}

void
tb_check_small_int(struct tb_rd *r)
{
    uint8_t tag = tb_rd_u8(r);

    if (tag == ETF_SMALL_INTEGER)
        tb_rd_take(r, 1);
    else if (tag == ETF_INTEGER)
        tb_rd_take(r, 4);
    else
        r->bad = true;
}

static void
check_float(struct tb_rd *r)
{
    uint64_t bits = tb_rd_u64(r);

    if ((bits >> 52 & 0x7ff) == 0x7ff) /* NaN, infinity */
        r->bad = true;
}

enum { FLOAT_TEXT_BYTES = 31 };

/* One digit or more, appended to digits. */
static bool
take_digits(const char **s, char *digits, size_t *n)
{
    const char *start = *s;

    for (; **s >= '0' && **s <= '9'; ++*s)
        digits[(*n)++] = **s;
    return *s > start;
}

/* [+-]Digits(.|,)Digits[(e|E)[+-]Digits], then a NUL or the end.
 * Source: sys_chars_to_double() in sys_float.c. */
bool
tb_float_text(const uint8_t *p, double *out)
{
    char text[FLOAT_TEXT_BYTES + 1], digits[FLOAT_TEXT_BYTES + 1];
    char power[FLOAT_TEXT_BYTES + 1] = "0";
    const char *s = text;
    size_t n = 0, whole, power_n = 0;
    bool minus = false;
    double f;

    memcpy(text, p, FLOAT_TEXT_BYTES);
    text[FLOAT_TEXT_BYTES] = '\0';
    if (*s == '+' || *s == '-')
        minus = *s++ == '-';
    if (!take_digits(&s, digits, &n) || (*s != '.' && *s != ','))
        return false;
    s++;
    whole = n;
    if (!take_digits(&s, digits, &n))
        return false;
    if (*s == 'e' || *s == 'E') {
        s++;
        if (*s == '+' || *s == '-')
            power[power_n++] = *s++;
        if (!take_digits(&s, power, &power_n))
            return false;
    }
    digits[n] = power[power_n ? power_n : 1] = '\0';
    f = tb_number_float(digits, strtol(power, NULL, 10) - (long)(n - whole));
    if (*s != '\0' || !isfinite(f))
        return false;
    *out = minus ? -f : f;
    return true;
}

static void
check_float_text(struct tb_rd *r)
{
    const uint8_t *p = tb_rd_take(r, FLOAT_TEXT_BYTES);
    double f;

    if (p && !tb_float_text(p, &f))
        r->bad = true;
}

static void
check_big(struct tb_rd *r, size_t n)
{
    tb_rd_u8(r); /* any sign byte but 0 is a minus */
    tb_rd_take(r, n);
}

static void
check_bits(struct tb_rd *r)
{
    size_t n = tb_rd_u32(r);
    uint8_t bits = tb_rd_u8(r);

    tb_rd_take(r, n);
    if (bits < 1 || bits > 8 || n == 0)
        r->bad = true;
}

/* A pid or a port: the node, then so many bytes. */
static void
check_node_and(struct tb_rd *r, size_t n)
{
    tb_check_atom(r);
    tb_rd_take(r, n);
}

static void
check_pid(struct tb_rd *r)
{
    uint8_t tag = tb_rd_u8(r);

    if (tag == ETF_NEW_PID)
        check_node_and(r, 12);
    else if (tag == ETF_PID)
        check_node_and(r, 9);
    else
        r->bad = true;
}

static void
check_ref(struct tb_rd *r, size_t creation_bytes)
{
    size_t n = tb_rd_u16(r);

    check_node_and(r, creation_bytes + 4 * n);
    if (n < 1 || n > TB_REF_WORDS)
        r->bad = true;
}

static void
check_export(struct tb_rd *r)
{
    tb_check_atom(r);
    tb_check_atom(r);
    if (tb_rd_u8(r) != ETF_SMALL_INTEGER)
        r->bad = true;
    tb_rd_take(r, 1);
}

static uint64_t
check_fun(struct tb_rd *r)
{
    uint64_t free_variables;

    tb_rd_take(r, 4 + 1 + 16 + 4);
    free_variables = tb_rd_u32(r);
    tb_check_atom(r);
    tb_check_small_int(r);
    tb_check_small_int(r);
    check_pid(r);
    return free_variables;
}

static uint64_t
check_record(struct tb_rd *r)
{
    uint64_t fields = tb_rd_u32(r);

    tb_rd_u8(r);
    tb_check_atom(r);
    tb_check_atom(r);
    for (uint64_t i = 0; i < fields && !r->bad; i++)
        tb_check_atom(r);
    return fields;
}

/* Leaves: tags whose length stands in the tag's own fields. */
bool
tb_check_leaf(struct tb_rd *r, uint8_t tag)
{
    switch (tag) {
    case ETF_SMALL_INTEGER:
        return tb_rd_take(r, 1);
    case ETF_INTEGER:
        return tb_rd_take(r, 4);
    case ETF_SMALL_BIG:
        check_big(r, tb_rd_u8(r));
        return true;
    case ETF_LARGE_BIG:
        check_big(r, tb_rd_u32(r));
        return true;
    case ETF_NEW_FLOAT:
        check_float(r);
        return true;
    case ETF_FLOAT:
        check_float_text(r);
        return true;
    case ETF_NIL:
        return true;
    case ETF_STRING:
        tb_rd_take(r, tb_rd_u16(r));
        return true;
    case ETF_BINARY:
        tb_rd_take(r, tb_rd_u32(r));
        return true;
    case ETF_BIT_BINARY:
        check_bits(r);
        return true;
    default:
        return false;
    }
}

/* Leaves that hold the name of a node. */
static bool
check_identifier(struct tb_rd *r, uint8_t tag)
{
    switch (tag) {
    case ETF_SMALL_ATOM_UTF8:
    case ETF_ATOM_UTF8:
    case ETF_SMALL_ATOM:
    case ETF_ATOM:
        r->p--;
        tb_check_atom(r);
        return true;
    case ETF_NEW_PID:
    case ETF_PID:
        r->p--;
        check_pid(r);
        return true;
    case ETF_NEW_PORT:
        check_node_and(r, 8);
        return true;
    case ETF_V4_PORT:
        check_node_and(r, 12);
        return true;
    case ETF_PORT:
    case ETF_REFERENCE:
        check_node_and(r, 5);
        return true;
    case ETF_NEWER_REFERENCE:
        check_ref(r, 4);
        return true;
    case ETF_NEW_REFERENCE:
        check_ref(r, 1);
        return true;
    case ETF_EXPORT:
        check_export(r);
        return true;
    default:
        return false;
    }
}

/* Containers: how many terms they owe. */
static bool
check_container(struct tb_rd *r, uint8_t tag, uint64_t *owes)
{
    switch (tag) {
    case ETF_SMALL_TUPLE:
        *owes = tb_rd_u8(r);
        return true;
    case ETF_LARGE_TUPLE:
        *owes = tb_rd_u32(r);
        return true;
    case ETF_LIST:
        *owes = (uint64_t)tb_rd_u32(r) + 1;
        return true;
    case ETF_MAP:
        *owes = 2 * (uint64_t)tb_rd_u32(r);
        return true;
    case ETF_NEW_FUN:
        *owes = check_fun(r);
        return true;
    case ETF_RECORD:
        *owes = check_record(r);
        return true;
    default:
        return false;
    }
}

/* What messages are mostly made of, by its first bytes: how long a tag is with
 * its fields, else 0; the terms it owes; where the length of a name in it
 * stands, or 0. */
#define USUAL_BYTES 5

static inline size_t
usual(const uint8_t *p, uint64_t *owes, unsigned *name)
{
    *owes = 0;
    *name = 0;
    switch (p[0]) {
    case ETF_SMALL_INTEGER:
        return 2;
    case ETF_INTEGER:
        return 5;
    case ETF_NIL:
        return 1;
    case ETF_SMALL_ATOM_UTF8:
        *name = 1;
        return 2u + p[1];
    case ETF_BINARY:
        return 5 + (size_t)tb_check_u32(p + 1);
    case ETF_SMALL_TUPLE:
        *owes = p[1];
        return 2;
    case ETF_LIST:
        *owes = (uint64_t)tb_check_u32(p + 1) + 1;
        return 5;
    case ETF_NEW_PID:
        *name = 2;
        return p[1] == ETF_SMALL_ATOM_UTF8 ? 3u + p[2] + 12u : 0;
    case ETF_NEWER_REFERENCE:
        *name = 4;
        if (p[1] != 0 || p[2] < 1 || p[2] > TB_REF_WORDS ||
            p[3] != ETF_SMALL_ATOM_UTF8)
            return 0;
        return 5u + p[4] + 4u + 4u * p[2];
    default:
        return 0;
    }
}

static bool
check_usual(struct tb_rd *r, uint64_t *owes)
{
    const uint8_t *p = r->p;
    unsigned name;
    size_t n;

    if (tb_rd_left(r) < USUAL_BYTES)
        return false;
    n = usual(p, owes, &name);
    if (n == 0 || n > tb_rd_left(r) ||
        (name && !tb_is_ascii(p + name + 1, p[name])))
        return false;
    r->p += n;
    return true;
}

/* One tag and its fields; the terms it owes are left to the caller. */
static int
check_one(struct tb_rd *r, uint64_t *owes)
{
    uint8_t tag;

    if (check_usual(r, owes))
        return 0;
    *owes = 0;
    tag = tb_rd_u8(r);
    if (tb_check_leaf(r, tag) || check_identifier(r, tag) ||
        check_container(r, tag, owes) || r->bad)
        return r->bad ? -TB_EBADTERM : 0;
    r->bad = true;
    return -TB_EUNKNOWN_TAG; /* of a later release, or none */
}

/* The commonest tags, of which messages can be made by the million. */
static bool
check_plain(struct tb_rd *r, uint64_t *owed)
{
    size_t left = tb_rd_left(r);
    uint8_t tag = left > 0 ? r->p[0] : 0;
    size_t n = tag == ETF_NIL             ? 1
               : tag == ETF_SMALL_INTEGER ? 2
               : tag == ETF_SMALL_TUPLE   ? 2
               : tag == ETF_INTEGER       ? 5
                                          : SIZE_MAX;

    if (n > left)
        return false;
    *owed += (tag == ETF_SMALL_TUPLE ? r->p[1] : 0u) - (uint64_t)1;
    r->p += n;
    return true;
}

int
tb_check(struct tb_rd *r, struct tb_term *out)
{
    const uint8_t *start = r->p;
    uint64_t owed = 1, owes;
    bool has_maps = false;
    struct tb_term t;
    int rc;

    while (owed > 0) {
        if (!check_plain(r, &owed)) {
            bool is_map = tb_rd_left(r) > 0 && *r->p == ETF_MAP;

            rc = check_one(r, &owes);
            if (rc < 0)
                return rc;
            has_maps |= is_map && owes > 2;
            owed += owes - 1;
        }
        if (owed > tb_rd_left(r)) {
            r->bad = true;
            return -TB_EBADTERM;
        }
    }
    t = (struct tb_term){ start, (size_t)(r->p - start) };
    rc = has_maps ? tb_keys_check(t) : 0;
    if (rc == 0)
        *out = t;
    return rc;
}

int
tb_check_whole(const void *p, size_t n, struct tb_term *out)
{
    struct tb_rd r = tb_rd_of(p, n);
    struct tb_term t;
    int rc = tb_check(&r, &t);

    if (rc == 0 && tb_rd_left(&r) > 0)
        rc = -TB_EBADTERM;
    if (rc == 0)
        *out = t;
    return rc;
}

/* Checked bytes end their term before any bound could matter. */
static size_t
skip_unusual(const uint8_t *p, uint64_t *owes)
{
    struct tb_rd r = tb_rd_of(p, (size_t)1 << 40);

    check_one(&r, owes);
    return (size_t)(r.p - p);
}

size_t
tb_skip_tag(const uint8_t *p, uint64_t *owes)
{
    unsigned name;
    size_t n = usual(p, owes, &name);

    return n > 0 ? n : skip_unusual(p, owes);
}

size_t
tb_skip(const uint8_t *p)
{
    const uint8_t *start = p;
    uint64_t owes;
    unsigned name;
    size_t n;

    for (uint64_t owed = 1; owed > 0; owed += owes - 1) {
        n = usual(p, &owes, &name);
        p += n > 0 ? n : skip_unusual(p, &owes);
    }
    return (size_t)(p - start);
}

enum {
    OLD_REF_WORDS = 3,
    OLD_REF_FIRST = 0x3ffff, /* the most in its first word */
    OLD_PORT = 0xfffffff
};

/* Whether the checked term at p, parts aside, is one that only V4_NC made
 * possible. */
static bool
is_wide(const uint8_t *p)
{
    struct tb_rd r = tb_rd_of(p, (size_t)1 << 40);
    uint8_t tag = tb_rd_u8(&r);
    size_t words;

    switch (tag) {
    case ETF_NEW_PID:
        tb_check_atom(&r);
        return tb_rd_u32(&r) > TB_MAX_PID_ID ||
               tb_rd_u32(&r) > TB_MAX_PID_SERIAL;
    case ETF_NEW_PORT:
        tb_check_atom(&r);
        return tb_rd_u32(&r) > OLD_PORT;
    case ETF_NEWER_REFERENCE:
        words = tb_rd_u16(&r);
        tb_check_atom(&r);
        tb_rd_take(&r, 4);
        return words > OLD_REF_WORDS || tb_rd_u32(&r) > OLD_REF_FIRST;
    case ETF_NEW_FUN: /* the pid of who made it */
        tb_rd_take(&r, 4 + 1 + 16 + 4 + 4);
        tb_check_atom(&r);
        tb_check_small_int(&r);
        tb_check_small_int(&r);
        return is_wide(r.p);
    default:
        return tag == ETF_V4_PORT || tag == ETF_RECORD;
    }
}

bool
tb_check_narrow(const uint8_t *p)
{
    for (uint64_t owed = 1, owes; owed > 0; owed += owes - 1) {
        if (is_wide(p))
            return false;
        p += tb_skip_tag(p, &owes);
    }
    return true;
}
