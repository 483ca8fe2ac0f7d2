/* value.c - terms of the configuration file as the texts that settings take.
 * Owns, borrows: nothing. Thread: any. */
#include "daemon/value.h"

#include <string.h>

/* A charlist, a binary or an atom; a NUL would end it elsewhere. */
static bool
text_of(struct tb_term t, struct tb_wr *w)
{
    size_t before = w->len;

    return tb_get_chars(t, w) &&
           (w->len == before || !memchr(w->buf + before, 0, w->len - before));
}

/* [{Node or Host, Port}], or such a text */
static bool
ports_of(struct tb_term t, struct tb_wr *w)
{
    struct tb_val h[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term item;

    if (text_of(t, w) && w->len > 0)
        return true;
    if (!tb_elems_open(&e, t))
        return false;
    while (tb_elems_next(&e, &item)) {
        tb_wr_str(w, w->len ? "," : "");
        if (tb_match("{Peer, Port:int}", item, h) != 1 ||
            !text_of(h[0].term, w))
            return false;
        tb_wr_printf(w, "=%lld", (long long)h[1].i);
    }
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
    case TB_SET_PORTS:
        return ports_of(t, w);
    case TB_SET_TEXT:
    case TB_SET_LONG_NAME:
    case TB_SET_SHORT_NAME:
    case TB_SET_SECRET:
        return text_of(t, w);
    case TB_SET_SWITCH:
    case TB_SET_PAIRS:
    case TB_SET_REFUSED:
        break;
    }
    return false;
}
