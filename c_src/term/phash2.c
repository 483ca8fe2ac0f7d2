/* phash2.c - erlang:phash2, bit for bit.
 *
 * The running hash threads through the whole term from left to right, as the
 * bytes lie, so one cursor is enough; only what is open goes on a stack of our
 * own, since terms may be a million levels deep. A native record (OTP 29),
 * whose hash is not known, counts as a tuple of its parts.
 * In Erlang: erlang:phash2/1,2; make_hash2() of the emulator.
 * Owns: the stack while it runs. Borrows: the term. Thread: any.
 * Source: make_hash2() in utils.c; B. Jenkins, "Hash Functions", Dr. Dobb's,
 * 1997. */
#include "tiebeam.h"

#include <string.h>

#include "base/rd.h"
#include "term/etf.h"
#include "term/get.h"

#define GOLDEN   UINT32_C(0x9e3779b9)
#define K(n)     ((uint32_t)((n)*GOLDEN))
#define NIL_HASH UINT32_C(3468870702)
#define SMALL    (UINT32_C(1) << 27) /* up to there an integer is one word */

enum { FRAMES_AT_FIRST = 32 };

enum frame_kind { IN_SEQUENCE, IN_LIST, IN_MAP };

struct frame {
    size_t left; /* terms still to come; of a list, without the tail */
    enum frame_kind kind;
    uint32_t h, x; /* of a map: the hash before it, its pairs so far */
};

struct hasher {
    struct tb_rd r;
    uint32_t h;
    uint32_t packed, bytes; /* the run of small integers in a list */
    struct frame *stack;
    size_t n, cap;
    struct frame first[FRAMES_AT_FIRST];
};

/* clang-format off */
static void
mix(uint32_t *a, uint32_t *b, uint32_t *c)
{
    *a = (*a - *b - *c) ^ *c >> 13;
    *b = (*b - *c - *a) ^ *a << 8;
    *c = (*c - *a - *b) ^ *b >> 13;
    *a = (*a - *b - *c) ^ *c >> 12;
    *b = (*b - *c - *a) ^ *a << 16;
    *c = (*c - *a - *b) ^ *b >> 5;
    *a = (*a - *b - *c) ^ *c >> 3;
    *b = (*b - *c - *a) ^ *a << 10;
    *c = (*c - *a - *b) ^ *b >> 15;
}
/* clang-format on */

static void
hash_two(struct hasher *s, uint32_t x, uint32_t y, uint32_t k)
{
    uint32_t a = k + x, b = k + y;

    mix(&a, &b, &s->h);
}

static void
hash_one(struct hasher *s, uint32_t x, uint32_t k)
{
    hash_two(s, x, 0, k);
}

static uint32_t
little_endian(const uint8_t *p, size_t n)
{
    uint32_t v = 0;

    for (size_t i = 0; i < n && i < 4; i++)
        v |= (uint32_t)p[i] << 8 * i;
    return v;
}

static uint32_t
hash_block(const uint8_t *p, size_t n, uint32_t init)
{
    uint32_t a = GOLDEN, b = GOLDEN, c = init;
    size_t left = n;

    for (; left >= 12; left -= 12, p += 12) {
        a += little_endian(p, 4);
        b += little_endian(p + 4, 4);
        c += little_endian(p + 8, 4);
        mix(&a, &b, &c);
    }
    c += (uint32_t)n;
    a += little_endian(p, left);
    if (left > 4)
        b += little_endian(p + 4, left - 4);
    if (left > 8) /* the low byte of c holds the length */
        c += little_endian(p + 8, left - 8) << 8;
    mix(&a, &b, &c);
    return c;
}

static void
push(struct hasher *s, enum frame_kind kind, size_t left)
{
    if (left == 0)
        return;
    if (s->n == s->cap) {
        struct frame *bigger = tb_alloc(2 * s->cap * sizeof(*bigger));

        memcpy(bigger, s->stack, s->n * sizeof(*bigger));
        if (s->stack != s->first)
            tb_free(s->stack);
        s->stack = bigger;
        s->cap *= 2;
    }
    s->stack[s->n++] = (struct frame){ .kind = kind, .left = left };
}

/* The hash of the atom table: Latin-1 characters are one byte each. */
static uint32_t
read_atom_text(struct tb_rd *r, uint8_t tag)
{
    bool utf8 = tag == ETF_SMALL_ATOM_UTF8 || tag == ETF_ATOM_UTF8;
    bool small = tag == ETF_SMALL_ATOM_UTF8 || tag == ETF_SMALL_ATOM;
    size_t n = small ? tb_rd_u8(r) : tb_rd_u16(r);
    const uint8_t *p = tb_rd_take(r, n);
    uint32_t v = 0, high;

    for (size_t i = 0; p && i < n; i++) {
        uint8_t byte = p[i];

        if (utf8 && (byte == 0xc2 || byte == 0xc3) && i + 1 < n)
            byte = (uint8_t)(byte << 6 | (p[++i] & 0x3f));
        v = (v << 4) + byte;
        high = v & 0xf0000000;
        v ^= high >> 24 ^ high;
    }
    return v;
}

static uint32_t
read_atom(struct tb_rd *r)
{
    uint8_t tag = tb_rd_u8(r);

    return read_atom_text(r, tag);
}

static void
hash_atom(struct hasher *s, uint8_t tag)
{
    uint32_t v = read_atom_text(&s->r, tag);

    if (s->h == 0)
        s->h = v;
    else
        hash_one(s, v, K(3));
}

static void
hash_nil(struct hasher *s, uint8_t tag)
{
    (void)tag;
    if (s->h == 0)
        s->h = NIL_HASH;
    else
        hash_one(s, 2, K(2));
}

/* An integer as sign and bytes of its magnitude, the least first; none for 0.
 */
struct integer {
    bool negative;
    const uint8_t *p;
    size_t n;
    uint8_t own[4];
};

static void
small_integer(struct integer *i, int64_t v)
{
    uint32_t magnitude = (uint32_t)(v < 0 ? -v : v);

    i->negative = v < 0;
    i->p = i->own;
    i->n = sizeof(i->own);
    for (size_t at = 0; at < i->n; at++)
        i->own[at] = (uint8_t)(magnitude >> 8 * at);
}

/* Any form of an integer, as the BEAM would normalise it. False, and r not
 * moved, where none is next. */
static bool
read_integer(struct tb_rd *r, struct integer *i)
{
    struct tb_rd at = *r;

    switch (tb_rd_u8(&at)) {
    case ETF_SMALL_INTEGER:
        small_integer(i, tb_rd_u8(&at));
        break;
    case ETF_INTEGER:
        small_integer(i, (int32_t)tb_rd_u32(&at));
        break;
    case ETF_SMALL_BIG:
        i->n = tb_rd_u8(&at);
        i->negative = tb_rd_u8(&at) != 0;
        i->p = tb_rd_take(&at, i->n);
        break;
    case ETF_LARGE_BIG:
        i->n = tb_rd_u32(&at);
        i->negative = tb_rd_u8(&at) != 0;
        i->p = tb_rd_take(&at, i->n);
        break;
    default:
        return false;
    }
    *r = at;
    while (i->p && i->n > 0 && i->p[i->n - 1] == 0)
        i->n--;
    i->negative = i->negative && i->n > 0;
    return !r->bad;
}

static void
hash_integer(struct hasher *s, const struct integer *i)
{
    uint32_t v = little_endian(i->p, i->n);

    if (i->n <= 4 && v < SMALL + (i->negative ? 1u : 0u)) {
        if (i->negative) {
            hash_one(s, v, GOLDEN);
            v = 0 - v;
        }
        hash_one(s, v, GOLDEN);
        return;
    }
    for (size_t at = 0; at < i->n; at += 8)
        hash_two(s, little_endian(i->p + at, i->n - at),
                 i->n - at > 4 ? little_endian(i->p + at + 4, i->n - at - 4)
                               : 0,
                 i->negative ? K(10) : K(11));
}

static void
hash_float(struct hasher *s, uint8_t tag)
{
    size_t bytes = tag == ETF_NEW_FLOAT ? 8 : 31;
    const uint8_t *p = tb_rd_take(&s->r, bytes);
    double f = 0;
    uint64_t bits;

    if (!p)
        return;
    tb_get_float((struct tb_term){ p - 1, bytes + 1 }, &f);
    if (f == 0)
        f = 0; /* not -0.0 */
    memcpy(&bits, &f, sizeof(bits));
    hash_two(s, (uint32_t)(bits >> 32), (uint32_t)bits, K(12));
}

static void
hash_binary(struct hasher *s, uint8_t tag)
{
    size_t n = tb_rd_u32(&s->r);
    unsigned bits = tag == ETF_BINARY ? 8 : tb_rd_u8(&s->r);
    const uint8_t *p = tb_rd_take(&s->r, n);

    if (!p || n == 0) {
        s->h += K(13);
    } else if (bits == 8) {
        s->h = hash_block(p, n, K(13) + s->h);
    } else {
        s->h = hash_block(p, n - 1, K(13) + s->h);
        hash_two(s, bits, (uint32_t)p[n - 1] >> (8 - bits), K(15));
    }
}

/* Of an identifier only one or two words count. */
static void
hash_pid(struct hasher *s, uint8_t tag)
{
    read_atom(&s->r);
    hash_one(s, tb_rd_u32(&s->r), K(5));
    tb_rd_take(&s->r, tag == ETF_NEW_PID ? 8 : 5);
}

static void
hash_port(struct hasher *s, uint8_t tag)
{
    uint64_t id;

    read_atom(&s->r);
    id = tag == ETF_V4_PORT ? tb_rd_u64(&s->r) : tb_rd_u32(&s->r);
    hash_two(s, (uint32_t)id, (uint32_t)(id >> 32), K(6));
    tb_rd_take(&s->r, tag == ETF_PORT ? 1 : 4);
}

static void
hash_ref(struct hasher *s, uint8_t tag)
{
    size_t words = tag == ETF_REFERENCE ? 1 : tb_rd_u16(&s->r);

    read_atom(&s->r);
    if (tag != ETF_REFERENCE)
        tb_rd_take(&s->r, tag == ETF_NEWER_REFERENCE ? 4 : 1);
    hash_one(s, tb_rd_u32(&s->r), K(7));
    tb_rd_take(&s->r, 4 * (words - 1));
    if (tag == ETF_REFERENCE)
        tb_rd_u8(&s->r);
}

/* The fixed-width integers inside of funs. */
static uint32_t
read_word(struct tb_rd *r)
{
    return tb_rd_u8(r) == ETF_SMALL_INTEGER ? tb_rd_u8(r) : tb_rd_u32(r);
}

static void
hash_export(struct hasher *s, uint8_t tag)
{
    uint32_t module = read_atom(&s->r), function = read_atom(&s->r);

    (void)tag;
    hash_two(s, read_word(&s->r), module, GOLDEN);
    hash_one(s, function, K(14));
}

static void
hash_fun(struct hasher *s, uint8_t tag)
{
    uint32_t index, nfree, module, old_uniq;

    tb_rd_take(&s->r, 4 + 1 + 16); /* size, arity, uniq */
    index = tb_rd_u32(&s->r);
    nfree = tb_rd_u32(&s->r);
    module = read_atom(&s->r);
    read_word(&s->r); /* old_index */
    old_uniq = read_word(&s->r);
    tag = tb_rd_u8(&s->r);
    read_atom(&s->r);
    tb_rd_take(&s->r, tag == ETF_NEW_PID ? 12 : 9);
    hash_two(s, nfree, module, GOLDEN);
    hash_two(s, index, old_uniq, GOLDEN);
    push(s, IN_SEQUENCE, nfree);
}

static void
hash_parts(struct hasher *s, size_t n)
{
    hash_one(s, (uint32_t)n, K(9));
    push(s, IN_SEQUENCE, n);
}

static void
hash_tuple(struct hasher *s, uint8_t tag)
{
    hash_parts(s, tag == ETF_SMALL_TUPLE ? tb_rd_u8(&s->r) : tb_rd_u32(&s->r));
}

static void
hash_record(struct hasher *s, uint8_t tag)
{
    size_t fields = tb_rd_u32(&s->r);

    (void)tag;
    tb_rd_u8(&s->r); /* flags */
    hash_parts(s, 2 + 2 * fields);
}

static void
hash_map(struct hasher *s, uint8_t tag)
{
    size_t pairs = tb_rd_u32(&s->r);

    (void)tag;
    hash_one(s, (uint32_t)pairs, K(16));
    if (pairs == 0)
        return;
    push(s, IN_MAP, 2 * pairs);
    s->stack[s->n - 1].h = s->h;
    s->h = 0;
}

static void
pack(struct hasher *s, uint8_t byte)
{
    s->packed = s->packed << 8 | byte;
    if (++s->bytes == 4) {
        hash_one(s, s->packed, K(4));
        s->packed = s->bytes = 0;
    }
}

static void
flush(struct hasher *s)
{
    if (s->bytes > 0)
        hash_one(s, s->packed, K(4));
    s->packed = s->bytes = 0;
}

static void
hash_string(struct hasher *s, uint8_t tag)
{
    size_t n = tb_rd_u16(&s->r);
    const uint8_t *p = tb_rd_take(&s->r, n);

    for (size_t i = 0; p && i < n; i++)
        pack(s, p[i]);
    flush(s);
    hash_nil(s, tag);
}

static void
hash_list(struct hasher *s, uint8_t tag)
{
    (void)tag;
    push(s, IN_LIST, tb_rd_u32(&s->r));
}

/* [] | Tail is the tail itself. */
static void
skip_empty_lists(struct tb_rd *r)
{
    static const uint8_t empty[5] = { ETF_LIST };

    while (tb_rd_left(r) > sizeof(empty) && memcmp(r->p, empty, 5) == 0)
        r->p += sizeof(empty);
}

typedef void (*hash_fn)(struct hasher *s, uint8_t tag);

/* clang-format off */
static const hash_fn hash_by_tag[256] = {
    [ETF_NEW_FLOAT]       = hash_float,
    [ETF_FLOAT]           = hash_float,
    [ETF_SMALL_ATOM_UTF8] = hash_atom,
    [ETF_ATOM_UTF8]       = hash_atom,
    [ETF_SMALL_ATOM]      = hash_atom,
    [ETF_ATOM]            = hash_atom,
    [ETF_SMALL_TUPLE]     = hash_tuple,
    [ETF_LARGE_TUPLE]     = hash_tuple,
    [ETF_NIL]             = hash_nil,
    [ETF_STRING]          = hash_string,
    [ETF_LIST]            = hash_list,
    [ETF_MAP]             = hash_map,
    [ETF_BINARY]          = hash_binary,
    [ETF_BIT_BINARY]      = hash_binary,
    [ETF_NEW_PID]         = hash_pid,
    [ETF_PID]             = hash_pid,
    [ETF_NEW_PORT]        = hash_port,
    [ETF_V4_PORT]         = hash_port,
    [ETF_PORT]            = hash_port,
    [ETF_NEWER_REFERENCE] = hash_ref,
    [ETF_NEW_REFERENCE]   = hash_ref,
    [ETF_REFERENCE]       = hash_ref,
    [ETF_EXPORT]          = hash_export,
    [ETF_NEW_FUN]         = hash_fun,
    [ETF_RECORD]          = hash_record,
};
/* clang-format on */

static void
hash_term(struct hasher *s)
{
    struct integer i;
    uint8_t tag;

    skip_empty_lists(&s->r);
    if (read_integer(&s->r, &i)) {
        flush(s);
        hash_integer(s, &i);
        return;
    }
    tag = tb_rd_u8(&s->r);
    if (tag != ETF_LIST && tag != ETF_STRING)
        flush(s); /* a list as a tail goes on with the run */
    if (hash_by_tag[tag])
        hash_by_tag[tag](s, tag);
    else
        s->r.bad = true;
}

static void
step_sequence(struct hasher *s, struct frame *f)
{
    if (--f->left == 0)
        s->n--;
    hash_term(s);
}

static void
step_list(struct hasher *s, struct frame *f)
{
    struct integer i;

    for (; f->left > 0; f->left--) {
        skip_empty_lists(&s->r);
        if (!read_integer(&s->r, &i)) {
            flush(s);
            f->left--;
            hash_term(s);
            return;
        }
        if (i.n <= 1 && !(i.negative && i.n == 1)) {
            pack(s, i.n ? i.p[0] : 0);
        } else {
            flush(s);
            hash_integer(s, &i);
        }
    }
    s->n--;
    hash_term(s);
}

/* Each pair is hashed on its own, so that their order does not matter. */
static void
step_map(struct hasher *s, struct frame *f)
{
    if (f->left % 2 == 0) {
        f->x ^= s->h;
        s->h = 0;
    }
    if (f->left == 0) {
        s->h = f->h;
        hash_one(s, f->x, K(19));
        s->n--;
        return;
    }
    f->left--;
    hash_term(s);
}

uint32_t
tb_phash2(struct tb_term term, uint32_t range)
{
    struct hasher s = { .r = tb_rd_of(term.p, term.n), .cap = FRAMES_AT_FIRST };

    s.stack = s.first;
    push(&s, IN_SEQUENCE, 1);
    while (s.n > 0 && !s.r.bad) {
        struct frame *f = &s.stack[s.n - 1];

        if (f->kind == IN_SEQUENCE)
            step_sequence(&s, f);
        else if (f->kind == IN_LIST)
            step_list(&s, f);
        else
            step_map(&s, f);
    }
    if (s.stack != s.first)
        tb_free(s.stack);
    return range ? s.h % range : s.h;
}
