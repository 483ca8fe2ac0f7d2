/* print.c - terms as text.
 *
 * Whatever has a text in Erlang prints so that it reads back as the same term.
 * Identifiers print as <app@host.90.0>, #Port<app@host.3> and
 * #Ref<app@host.1.2.3>, the words in the order a BEAM shows them, but with the
 * name of the node: the number that a BEAM gives to a node instead means
 * nothing elsewhere.
 * In Erlang: io_lib:format("~tw"), and "~tp" for tb_print_pretty().
 * Owns: nothing. Borrows: the term. Thread: any.
 * Source: io_lib.erl, io_lib_pretty.erl (OTP 25). */

#include "tiebeam.h"

#include <string.h>

#include "base/limits.h"
#include "base/wr.h"
#include "term/chars.h"
#include "term/check.h"
#include "term/etf.h"
#include "term/get.h"
#include "term/number.h"

struct printer {
    struct tb_wr *w;
    struct tb_rd r;
    bool pretty;
    unsigned depth;
};

static void print_term(struct printer *pr);

static bool
stopped(const struct printer *pr)
{
    return pr->r.bad || pr->w->bad;
}

/* ------------------------------------------------------- characters -- */

static bool
is_printable(int32_t c)
{
    return (c >= ' ' && c <= '~') || (c >= 0xa0 && c < 0xd800) ||
           (c >= 0xe000 && c < 0xfffe) || (c >= 0x10000 && c <= 0x10ffff) ||
           (c >= '\b' && c <= '\r') || c == '\033';
}

/* quote: the character that surrounds the text, or 0. */
static void
put_char(struct tb_wr *w, uint32_t c, char quote)
{
    static const char from[] = "\n\r\t\v\b\f\033\177", to[] = "nrtvbfed";
    const char *at = c && c < 0x80 ? strchr(from, (int)c) : NULL;

    if (c == '\\' || (quote && c == (unsigned char)quote))
        tb_wr_u8(w, '\\');
    if (at)
        tb_wr_bytes(w, (char[]){ '\\', to[at - from] }, 2);
    else if (c < ' ' || (c >= 0x7f && c < 0xa0))
        tb_wr_printf(w, "\\%03o", (unsigned)c);
    else
        tb_utf8_put(w, c);
}

static int32_t
next_char(struct tb_rd *r, bool latin1)
{
    if (tb_rd_left(r) == 0)
        return -1;
    return latin1 ? tb_rd_u8(r) : tb_utf8_get(r);
}

static void
put_chars(struct tb_wr *w, struct tb_rd text, bool latin1, char quote)
{
    int32_t c;

    while ((c = next_char(&text, latin1)) >= 0)
        put_char(w, (uint32_t)c, quote);
}

static bool
needs_quotes(struct tb_rd text, bool latin1)
{
    struct tb_text word = { (const char *)text.p, tb_rd_left(&text) };
    int32_t c = next_char(&text, latin1);

    if (c < 0 || !tb_char_lower((uint32_t)c) || tb_word_reserved_27(word))
        return true;
    while ((c = next_char(&text, latin1)) >= 0)
        if (!tb_char_name((uint32_t)c))
            return true;
    return false;
}

/* ------------------------------------------------------------ atoms -- */

static struct tb_rd
read_atom(struct tb_rd *r, bool *latin1)
{
    uint8_t tag = tb_rd_u8(r);
    bool small = tag == ETF_SMALL_ATOM_UTF8 || tag == ETF_SMALL_ATOM;
    size_t n = small ? tb_rd_u8(r) : tb_rd_u16(r);
    const uint8_t *p = tb_rd_take(r, n);

    *latin1 = tag == ETF_SMALL_ATOM || tag == ETF_ATOM;
    return tb_rd_of(p ? p : (const uint8_t *)"", p ? n : 0);
}

static void
print_name(struct printer *pr)
{
    bool latin1;
    struct tb_rd text = read_atom(&pr->r, &latin1);
    bool quotes = needs_quotes(text, latin1);

    if (quotes)
        tb_wr_u8(pr->w, '\'');
    put_chars(pr->w, text, latin1, quotes ? '\'' : 0);
    if (quotes)
        tb_wr_u8(pr->w, '\'');
}

static void
print_atom(struct printer *pr, uint8_t tag)
{
    (void)tag;
    pr->r.p--;
    print_name(pr);
}

static void
print_node(struct printer *pr)
{
    bool latin1;
    struct tb_rd text = read_atom(&pr->r, &latin1);

    put_chars(pr->w, text, latin1, 0);
}

/* ---------------------------------------------------------- numbers -- */

static void
print_integer(struct printer *pr, uint8_t tag)
{
    tb_print_int(pr->w, tag == ETF_SMALL_INTEGER ? tb_rd_u8(&pr->r)
                                                 : (int32_t)tb_rd_u32(&pr->r));
}

static void
print_big(struct printer *pr, uint8_t tag)
{
    size_t n = tag == ETF_SMALL_BIG ? tb_rd_u8(&pr->r) : tb_rd_u32(&pr->r);
    bool negative = tb_rd_u8(&pr->r) != 0;
    const uint8_t *p = tb_rd_take(&pr->r, n);

    if (p)
        tb_print_big(pr->w, negative, p, n);
}

static void
print_float(struct printer *pr, uint8_t tag)
{
    size_t bytes = tag == ETF_NEW_FLOAT ? 8 : 31;
    const uint8_t *p = tb_rd_take(&pr->r, bytes);
    double f;

    if (p && tb_get_float((struct tb_term){ p - 1, bytes + 1 }, &f))
        tb_print_float(pr->w, f);
}

/* --------------------------------------------- binaries, identifiers -- */

static bool
put_text_binary(struct printer *pr, const uint8_t *p, size_t n)
{
    struct tb_rd text = tb_rd_of(p, n);
    bool ascii = true;

    while (tb_rd_left(&text) > 0) {
        int32_t c = tb_utf8_get(&text);

        if (!is_printable(c))
            return false;
        ascii = ascii && c < 0x80;
    }
    tb_wr_u8(pr->w, '"');
    put_chars(pr->w, tb_rd_of(p, n), false, '"');
    tb_wr_str(pr->w, ascii ? "\"" : "\"/utf8");
    return true;
}

static void
print_binary(struct printer *pr, uint8_t tag)
{
    size_t n = tb_rd_u32(&pr->r);
    unsigned bits = tag == ETF_BIT_BINARY ? tb_rd_u8(&pr->r) : 8;
    const uint8_t *p = tb_rd_take(&pr->r, n);

    if (!p || bits > 8)
        return;
    tb_wr_str(pr->w, "<<");
    if (!pr->pretty || bits != 8 || n == 0 || !put_text_binary(pr, p, n)) {
        for (size_t i = 0; i < n && !pr->w->bad; i++) {
            if (i > 0)
                tb_wr_u8(pr->w, ',');
            tb_print_uint(pr->w,
                          i + 1 < n ? p[i] : (unsigned)p[i] >> (8 - bits));
        }
        if (bits != 8)
            tb_wr_printf(pr->w, ":%u", bits);
    }
    tb_wr_str(pr->w, ">>");
}

static void
print_pid(struct printer *pr, uint8_t tag)
{
    uint32_t id, serial;

    tb_wr_u8(pr->w, '<');
    print_node(pr);
    id = tb_rd_u32(&pr->r);
    serial = tb_rd_u32(&pr->r);
    tb_rd_take(&pr->r, tag == ETF_PID ? 1 : 4);
    tb_wr_printf(pr->w, ".%u.%u>", (unsigned)id, (unsigned)serial);
}

static void
print_port(struct printer *pr, uint8_t tag)
{
    tb_wr_str(pr->w, "#Port<");
    print_node(pr);
    tb_wr_u8(pr->w, '.');
    tb_print_uint(pr->w,
                  tag == ETF_V4_PORT ? tb_rd_u64(&pr->r) : tb_rd_u32(&pr->r));
    tb_rd_take(&pr->r, tag == ETF_PORT ? 1 : 4);
    tb_wr_u8(pr->w, '>');
}

static void
print_ref(struct printer *pr, uint8_t tag)
{
    uint32_t word[TB_REF_WORDS] = { 0 };
    size_t n = tag == ETF_REFERENCE ? 1 : tb_rd_u16(&pr->r);

    if (n > TB_REF_WORDS) {
        pr->r.bad = true;
        return;
    }
    tb_wr_str(pr->w, "#Ref<");
    print_node(pr);
    if (tag != ETF_REFERENCE)
        tb_rd_take(&pr->r, tag == ETF_NEW_REFERENCE ? 1 : 4);
    for (size_t i = 0; i < n; i++)
        word[i] = tb_rd_u32(&pr->r);
    if (tag == ETF_REFERENCE)
        tb_rd_u8(&pr->r);
    while (n > 0)
        tb_wr_printf(pr->w, ".%u", (unsigned)word[--n]);
    tb_wr_u8(pr->w, '>');
}

/* Quoted as atoms are elsewhere, and so readable: OTP, with rules of their own
 * for funs, leaves out the quotes of 'end' here and adds some for 'a@b'. */
static void
print_export(struct printer *pr, uint8_t tag)
{
    (void)tag;
    tb_wr_str(pr->w, "fun ");
    print_name(pr);
    tb_wr_u8(pr->w, ':');
    print_name(pr);
    tb_rd_u8(&pr->r);
    tb_wr_printf(pr->w, "/%u", tb_rd_u8(&pr->r));
}

static void
print_fun(struct printer *pr, uint8_t tag)
{
    uint32_t nfree;

    (void)tag;
    tb_rd_take(&pr->r, 4 + 1 + 16 + 4); /* size, arity, uniq, index */
    nfree = tb_rd_u32(&pr->r);
    tb_wr_str(pr->w, "#Fun<");
    print_name(pr);
    for (int i = 0; i < 2; i++) { /* old_index, old_uniq */
        tb_wr_u8(pr->w, '.');
        print_integer(pr, tb_rd_u8(&pr->r));
    }
    tb_wr_u8(pr->w, '>');
    for (uint64_t i = 0; i <= nfree && !stopped(pr); i++) /* and the pid */
        tb_rd_take(&pr->r, tb_skip(pr->r.p));
}

/* ------------------------------------------------------- containers -- */

/* n terms with commas between; before every second one the other mark. */
static void
print_terms(struct printer *pr, uint64_t n, const char *other)
{
    for (uint64_t i = 0; i < n && !stopped(pr); i++) {
        if (i > 0)
            tb_wr_str(pr->w, i % 2 ? other : ",");
        print_term(pr);
    }
    tb_wr_u8(pr->w, '}');
}

static void
print_tuple(struct printer *pr, uint8_t tag)
{
    tb_wr_u8(pr->w, '{');
    print_terms(
        pr, tag == ETF_SMALL_TUPLE ? tb_rd_u8(&pr->r) : tb_rd_u32(&pr->r), ",");
}

static void
print_map(struct printer *pr, uint8_t tag)
{
    (void)tag;
    tb_wr_str(pr->w, "#{");
    print_terms(pr, 2 * (uint64_t)tb_rd_u32(&pr->r), " => ");
}

/* #module:name{field = Value}; on the wire all names come before all values. */
static void
print_record(struct printer *pr, uint8_t tag)
{
    uint32_t n = tb_rd_u32(&pr->r);
    struct tb_rd names;

    (void)tag;
    tb_rd_u8(&pr->r); /* flags */
    tb_wr_u8(pr->w, '#');
    print_name(pr);
    tb_wr_u8(pr->w, ':');
    print_name(pr);
    names = pr->r;
    for (uint32_t i = 0; i < n && !stopped(pr); i++)
        tb_rd_take(&pr->r, tb_skip(pr->r.p));
    for (uint32_t i = 0; i < n && !stopped(pr); i++) {
        struct tb_rd values = pr->r;

        tb_wr_u8(pr->w, i > 0 ? ',' : '{');
        pr->r = names;
        print_name(pr);
        names = pr->r;
        pr->r = values;
        tb_wr_str(pr->w, " = ");
        print_term(pr);
    }
    tb_wr_str(pr->w, n > 0 ? "}" : "{}");
}

/* Whether the list at r is a text; with w, it is one, and is appended. */
static bool
text_list(struct tb_rd r, struct tb_wr *w)
{
    uint32_t left = 0, c;
    bool any = false, string = false;

    for (;;) {
        uint8_t tag = string ? ETF_SMALL_INTEGER : tb_rd_u8(&r);

        if (left == 0) {
            if (string || tag == ETF_NIL)
                return any && !r.bad;
            string = tag == ETF_STRING;
            if (tag != ETF_STRING && tag != ETF_LIST)
                return false;
            left = string ? tb_rd_u16(&r) : tb_rd_u32(&r);
            continue;
        }
        left--;
        if (tag != ETF_SMALL_INTEGER && tag != ETF_INTEGER)
            return false;
        c = tag == ETF_SMALL_INTEGER ? tb_rd_u8(&r) : tb_rd_u32(&r);
        if (c > 0x10ffff || !is_printable((int32_t)c))
            return false;
        if (w)
            put_char(w, c, '"');
        any = true;
    }
}

static bool
print_text_list(struct printer *pr)
{

    if (!pr->pretty || !text_list(pr->r, NULL))
        return false;
    tb_wr_u8(pr->w, '"');
    text_list(pr->r, pr->w);
    tb_wr_u8(pr->w, '"');
    tb_rd_take(&pr->r, tb_skip(pr->r.p));
    return true;
}

/* One pair of brackets for [a | [b]], however its parts were written. */
static void
print_list(struct printer *pr, uint8_t tag)
{
    uint8_t mark = '[';

    pr->r.p--;
    if (print_text_list(pr))
        return;
    while (!stopped(pr)) {
        uint32_t n;

        tag = tb_rd_u8(&pr->r);
        n = tag == ETF_LIST     ? tb_rd_u32(&pr->r)
            : tag == ETF_STRING ? tb_rd_u16(&pr->r)
                                : 0;
        for (; n > 0 && !stopped(pr); n--, mark = ',') {
            tb_wr_u8(pr->w, mark);
            if (tag == ETF_STRING)
                tb_print_uint(pr->w, tb_rd_u8(&pr->r));
            else
                print_term(pr);
        }
        if (tag == ETF_NIL || tag == ETF_STRING)
            break;
        if (tag != ETF_LIST) {
            pr->r.p--;
            tb_wr_u8(pr->w, '|');
            print_term(pr);
            break;
        }
    }
    tb_wr_str(pr->w, mark == '[' ? "[]" : "]");
}

typedef void (*print_fn)(struct printer *pr, uint8_t tag);

/* clang-format off */
static const print_fn print_by_tag[256] = {
    [ETF_SMALL_INTEGER]   = print_integer,
    [ETF_INTEGER]         = print_integer,
    [ETF_SMALL_BIG]       = print_big,
    [ETF_LARGE_BIG]       = print_big,
    [ETF_NEW_FLOAT]       = print_float,
    [ETF_FLOAT]           = print_float,
    [ETF_SMALL_ATOM_UTF8] = print_atom,
    [ETF_ATOM_UTF8]       = print_atom,
    [ETF_SMALL_ATOM]      = print_atom,
    [ETF_ATOM]            = print_atom,
    [ETF_SMALL_TUPLE]     = print_tuple,
    [ETF_LARGE_TUPLE]     = print_tuple,
    [ETF_NIL]             = print_list,
    [ETF_STRING]          = print_list,
    [ETF_LIST]            = print_list,
    [ETF_MAP]             = print_map,
    [ETF_BINARY]          = print_binary,
    [ETF_BIT_BINARY]      = print_binary,
    [ETF_NEW_PID]         = print_pid,
    [ETF_PID]             = print_pid,
    [ETF_NEW_PORT]        = print_port,
    [ETF_V4_PORT]         = print_port,
    [ETF_PORT]            = print_port,
    [ETF_NEWER_REFERENCE] = print_ref,
    [ETF_NEW_REFERENCE]   = print_ref,
    [ETF_REFERENCE]       = print_ref,
    [ETF_EXPORT]          = print_export,
    [ETF_NEW_FUN]         = print_fun,
    [ETF_RECORD]          = print_record,
};
/* clang-format on */

static void
print_term(struct printer *pr)
{
    static const uint8_t empty[5] = { ETF_LIST };
    uint8_t tag;

    while (tb_rd_left(&pr->r) > sizeof(empty) &&
           memcmp(pr->r.p, empty, sizeof(empty)) == 0)
        pr->r.p += sizeof(empty); /* [] | Tail is the tail itself */
    if (pr->depth == TB_MAX_PRINT_DEPTH) {
        tb_wr_str(pr->w, "...");
        tb_rd_take(&pr->r, tb_skip(pr->r.p));
        return;
    }
    tag = tb_rd_u8(&pr->r);
    if (stopped(pr))
        return;
    pr->depth++;
    if (print_by_tag[tag])
        print_by_tag[tag](pr, tag);
    else
        pr->r.bad = true;
    pr->depth--;
}

static int
print_whole(struct tb_wr *w, struct tb_term term, bool pretty)
{
    struct printer pr = { w, tb_rd_of(term.p, term.n), pretty, 0 };

    print_term(&pr);
    return pr.r.bad ? -TB_EBADTERM : tb_wr_status(w);
}

int
tb_print(struct tb_wr *w, struct tb_term term)
{
    return print_whole(w, term, false);
}

int
tb_print_pretty(struct tb_wr *w, struct tb_term t)
{
    return print_whole(w, t, true);
}
