/* ident.h - node names as small values, and what they name: pids, references.
 * In Erlang: the atoms of node names. Thread: each thread has its own table,
 * which lives while the thread has a node (tb_atoms_ref). */
#ifndef TB_TERM_IDENT_H
#define TB_TERM_IDENT_H

#include "tiebeam.h"

/* tb_atoms_ref, tb_atoms_unref - the table is freed with its last user. */
void tb_atoms_ref(void);
void tb_atoms_unref(void);
bool tb_atoms_in_use(void);

/* tb_atom_of - the value of a name of 1..TB_MAX_NODE_BYTES bytes without a
 * NUL, or 0: it is none, the table is full or there is no memory. foreign names
 * (seen in messages, not in a handshake) fill only a part of the table.
 * tb_atom_find - 0 if new.
 * tb_intern_peer - as tb_intern(), for a peer that has proved the cookie and
 * for the node itself: there is room where names in messages get none. */
tb_atom tb_atom_of(struct tb_text name, bool foreign);
tb_atom tb_atom_find(struct tb_text name);
tb_atom tb_intern_peer(struct tb_text name);
size_t tb_atoms_count(void);

static inline struct tb_text
tb_text_of(const char *s)
{
    return (struct tb_text){ s, __builtin_strlen(s) };
}
bool tb_text_eq(struct tb_text a, struct tb_text b);

#endif
