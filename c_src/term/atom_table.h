/* atom_table.h - the atoms of a message that is sent, which refers to them by
 * their number (struct tb_atom_table). */
#ifndef TB_TERM_ATOM_TABLE_H
#define TB_TERM_ATOM_TABLE_H

#include "term/expand.h"

#define TB_ATOM_TABLE_SLOTS 512 /* a power of two, and twice the atoms */

struct tb_atom_table {
    unsigned n;
    bool is_long;       /* one has more than 255 bytes */
    struct tb_wr bytes; /* owned: their texts */
    struct {
        uint32_t at;
        uint16_t n;
    } text[TB_MESSAGE_ATOMS];
    uint8_t slot[TB_ATOM_TABLE_SLOTS]; /* by hash: 1 + number, or 0 */
    tb_atom node;                      /* of the last pid, and its number */
    int node_number;
};

/* tb_atom_table_new - an empty one; tb_atom_table_free() it. */
struct tb_atom_table *tb_atom_table_new(void);

#endif
