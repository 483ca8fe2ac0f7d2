/* chars.h - UTF-8, and which characters an atom has without quotes: the rules
 * that print.c and text.c share, so that what is printed can be read. */
#ifndef TB_TERM_CHARS_H
#define TB_TERM_CHARS_H

#include <string.h>

#include "base/limits.h"
#include "base/rd.h"
#include "base/wr.h"

/* tb_is_ascii - what most text is: no character of more than a byte. */
static inline bool
tb_is_ascii(const void *bytes, size_t n)
{
    const uint8_t *p = bytes, *end = p + n;
    uint64_t word, all = 0;
    uint32_t half[2];

    if (n >= 8) {
        for (; end - p > 8; p += 8) {
            memcpy(&word, p, 8);
            all |= word;
        }
        memcpy(&word, end - 8, 8);
        all |= word;
    } else if (n >= 4) {
        memcpy(&half[0], p, 4);
        memcpy(&half[1], end - 4, 4);
        all = half[0] | half[1];
    } else {
        while (p < end)
            all |= *p++;
    }
    return !(all & 0x8080808080808080u);
}

/* tb_utf8_get - the next character; -1, and r not moved, where none is next. */
static inline int32_t
tb_utf8_get(struct tb_rd *r)
{
    static const int32_t min[] = { 0, 0x80, 0x800, 0x10000 };
    struct tb_rd at = *r;
    int32_t c = tb_rd_u8(&at);
    int more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;

    if (at.bad || (c >= 0x80 && c < 0xc0) || c >= 0xf8)
        return -1;
    if (more)
        c &= 0x3f >> more;
    for (int i = 0; i < more; i++) {
        int32_t byte = tb_rd_u8(&at);

        if ((byte & 0xc0) != 0x80)
            return -1;
        c = c << 6 | (byte & 0x3f);
    }
    if (c < min[more] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return -1;
    *r = at;
    return c;
}

/* tb_is_atom_text - UTF-8 of no more characters than an atom may have. */
static inline bool
tb_is_atom_text(const void *p, size_t n)
{
    struct tb_rd r = tb_rd_of(p, n);
    size_t chars = 0;

    if (tb_is_ascii(p, n))
        return n <= TB_MAX_ATOM_CHARS;
    for (; tb_rd_left(&r) > 0; chars++)
        if (tb_utf8_get(&r) < 0)
            return false;
    return chars <= TB_MAX_ATOM_CHARS;
}

/* tb_utf8_put - append a character. */
static inline void
tb_utf8_put(struct tb_wr *w, uint32_t c)
{
    uint8_t b[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        b[i] = (uint8_t)(0x80 | (c & 0x3f));
    b[0] = (uint8_t)(n == 1 ? c : ((0xf00u >> n) & 0xff) | c);
    tb_wr_bytes(w, b, n);
}

/* tb_char_lower - may begin an atom without quotes; Latin-1 letters may.
 * tb_char_name - may follow in it. Source: io_lib.erl, quote_atom/2. */
static inline bool
tb_char_lower(uint32_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 0xdf && c <= 0xff && c != 0xf7);
}

static inline bool
tb_char_name(uint32_t c)
{
    return tb_char_lower(c) || (c >= 'A' && c <= 'Z') ||
           (c >= 0xc0 && c <= 0xde && c != 0xd7) || (c >= '0' && c <= '9') ||
           c == '_' || c == '@';
}

/* tb_word_reserved - whether a word is an atom only in quotes.
 * tb_word_reserved_27 - whether it is since OTP 27 at the latest. */
static inline bool
tb_word_reserved(struct tb_text word)
{
    static const char *const words[] = {
        "after",  "and",     "andalso", "band", "begin", "bnot", "bor",
        "bsl",    "bsr",     "bxor",    "case", "catch", "cond", "div",
        "end",    "fun",     "if",      "let",  "not",   "of",   "or",
        "orelse", "receive", "rem",     "try",  "when",  "xor",
    };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (tb_text_is(word, words[i]))
            return true;
    return false;
}

static inline bool
tb_word_reserved_27(struct tb_text word)
{
    return tb_word_reserved(word) || tb_text_is(word, "maybe") ||
           tb_text_is(word, "else");
}

#endif
