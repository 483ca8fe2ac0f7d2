/* value.c - terms of the configuration file as the texts that settings take.
 * Owns, borrows: nothing. Thread: any. */
#include "daemon/value.h"

#include <string.h>

static bool
put_utf8(struct tb_wr *w, int64_t c)
{
    if (c <= 0 || c > 0x10ffff)
        return false;
    if (c < 0x80)
        tb_wr_printf(w, "%c", (int)c);
    else if (c < 0x800)
        tb_wr_printf(w, "%c%c", (int)(0xc0 | c >> 6), (int)(0x80 | (c & 63)));
    else if (c < 0x10000)
        tb_wr_printf(w, "%c%c%c", (int)(0xe0 | c >> 12),
                     (int)(0x80 | (c >> 6 & 63)), (int)(0x80 | (c & 63)));
    else
        tb_wr_printf(w, "%c%c%c%c", (int)(0xf0 | c >> 18),
                     (int)(0x80 | (c >> 12 & 63)), (int)(0x80 | (c >> 6 & 63)),
                     (int)(0x80 | (c & 63)));
    return true;
}

/* A charlist, a binary or an atom. */
static bool
text_of(struct tb_term t, struct tb_wr *w)
{
    struct tb_val h[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term c;

    if (tb_match("A:atom", t, h) == 1 || tb_match("B:bin", t, h) == 1) {
        tb_wr_bytes(w, h[0].text.p, h[0].text.n);
        return !memchr(h[0].text.p, 0, h[0].text.n);
    }
    if (!tb_elems_open(&e, t))
        return false;
    while (tb_elems_next(&e, &c))
        if (tb_match("C:int", c, h) != 1 || !put_utf8(w, h[0].i))
            return false;
    return true;
}

bool
tb_value_text(enum tb_set_type type, struct tb_term t, struct tb_wr *w)
{
    struct tb_val h[TB_MAX_HOLES];

    switch (type) {
    case TB_SET_INT:
        if (tb_match("N:int", t, h) != 1)
            return false;
        tb_wr_printf(w, "%lld", (long long)h[0].i);
        return true;
    case TB_SET_WORD:
        return tb_match("A:atom", t, h) == 1 && text_of(t, w);
    case TB_SET_ADDRESS:
        if (tb_match("T:tuple", t, h) == 1)
            return tb_print(w, t) == 0;
        return text_of(t, w);
    case TB_SET_TEXT:
    case TB_SET_LONG_NAME:
    case TB_SET_SHORT_NAME:
    case TB_SET_SECRET:
        return text_of(t, w);
    case TB_SET_SWITCH:
    case TB_SET_REFUSED:
        break;
    }
    return false;
}
