/* atom_table.c - takes atoms out of terms that are to be sent, and puts
 * references in their place: the other half of expand.c.
 * Owns: the texts. Thread: any.
 * Source: erl_ext_dist, "Distribution Header". */
#include "term/atom_table.h"

#include <string.h>

#include "base/wr.h"
#include "term/check.h"
#include "term/etf.h"
#include "term/put.h"

struct tb_atom_table *
tb_atom_table_new(void)
{
    return tb_new(struct tb_atom_table);
}

void
tb_atom_table_free(struct tb_atom_table *t)
{
    if (t)
        tb_wr_free(&t->bytes);
    tb_free(t);
}

/* Most that differ do so in their first bytes, their last, or the middle. */
static unsigned
slot_of(struct tb_text text)
{
    uint64_t first = 0, middle = 0, last = 0;

    if (text.n >= sizeof(first)) {
        memcpy(&first, text.p, sizeof(first));
        memcpy(&middle, text.p + (text.n - sizeof(middle)) / 2, sizeof(middle));
        memcpy(&last, text.p + text.n - sizeof(last), sizeof(last));
    } else if (text.n > 0) {
        memcpy(&first, text.p, text.n);
    }
    return (unsigned)(((first * 31 + middle) * 31 + last + text.n) *
                          0x9e3779b97f4a7c15u >>
                      55);
}

static bool
is_text(const struct tb_atom_table *t, unsigned i, struct tb_text text)
{
    return t->text[i].n == text.n &&
           memcmp(t->bytes.buf + t->text[i].at, text.p, text.n) == 0;
}

/* The number of an atom, which it gets now if need be; -1: the table is full.
 */
static int
number_of(struct tb_atom_table *t, struct tb_text text)
{
    unsigned slot = slot_of(text);

    for (; t->slot[slot]; slot = (slot + 1) % TB_ATOM_TABLE_SLOTS)
        if (is_text(t, t->slot[slot] - 1u, text))
            return t->slot[slot] - 1;
    if (t->n == TB_MESSAGE_ATOMS || text.n > UINT16_MAX)
        return -1;
    t->text[t->n].at = (uint32_t)t->bytes.len;
    t->text[t->n].n = (uint16_t)text.n;
    tb_wr_room(&t->bytes, text.n + 1);
    if (t->bytes.bad) { /* no memory: it is written out */
        t->bytes.bad = false;
        return -1;
    }
    tb_wr_bytes(&t->bytes, text.p, text.n);
    t->is_long |= text.n > UINT8_MAX;
    t->slot[slot] = (uint8_t)++t->n;
    return (int)t->n - 1;
}

static void
put_number(struct tb_wr *w, int number)
{
    uint8_t *room = tb_wr_room(w, 2);

    if (!room)
        return;
    room[0] = ETF_ATOM_CACHE_REF;
    room[1] = (uint8_t)number;
    tb_wr_add(w, 2);
}

/* Where in the tag at p an atom stands that is worth a reference: behind how
 * many bytes. -1: nowhere. A fun stays as it is, since it tells its length. */
static int
atom_in(const uint8_t *p)
{
    int at = p[0] == ETF_NEW_PID ? 1 : p[0] == ETF_NEWER_REFERENCE ? 3 : 0;

    return p[at] == ETF_SMALL_ATOM_UTF8 || p[at] == ETF_ATOM_UTF8 ? at : -1;
}

static struct tb_text
text_at(const uint8_t *p)
{
    const char *text = (const char *)p;

    return p[0] == ETF_SMALL_ATOM_UTF8
               ? (struct tb_text){ text + 2, p[1] }
               : (struct tb_text){ text + 3, (size_t)p[1] << 8 | p[2] };
}

void
tb_atom_table_put(struct tb_atom_table *t, struct tb_wr *w,
                  struct tb_term terms)
{
    const uint8_t *p = terms.p, *run = p, *end = p + terms.n;
    uint64_t owes;

    while (t && p < end) {
        int at = atom_in(p);
        size_t n = *p == ETF_NEW_FUN ? tb_skip(p) : tb_skip_tag(p, &owes);
        struct tb_text text = at < 0 ? (struct tb_text){ 0 } : text_at(p + at);
        int number = at < 0 ? -1 : number_of(t, text);

        if (number >= 0) {
            tb_wr_bytes(w, run, (size_t)(p + at - run));
            put_number(w, number);
            run = (const uint8_t *)text.p + text.n;
        }
        p += n;
    }
    tb_wr_bytes(w, run, (size_t)(end - run));
}

/* Many of one node come one after the other. */
void
tb_atom_table_put_pid(struct tb_atom_table *t, struct tb_wr *w,
                      struct tb_pid pid)
{
    if (t && t->node != pid.node) {
        t->node = pid.node;
        t->node_number = number_of(t, tb_atom_text(pid.node));
    }
    if (!t || t->node_number < 0 || pid.node == 0) {
        tb_put_pid(w, pid);
        return;
    }
    tb_wr_u8(w, ETF_NEW_PID);
    put_number(w, t->node_number);
    tb_wr_u32(w, pid.id);
    tb_wr_u32(w, pid.serial);
    tb_wr_u32(w, pid.creation);
}
