/* ident.c - interned node names, and comparison of what carries them.
 * In Erlang: the atom table, for node names only; other atoms of peers are
 * compared as bytes and never kept.
 * Owns: the names. Thread: one table per thread. */
#include "term/ident.h"

#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "term/recent.h"

#define RECENT 64

static _Thread_local struct {
    unsigned users;
    struct tb_map *by_name; /* to an index + 1, as a pointer */
    struct tb_text *names;  /* owned, NUL-terminated */
    uint32_t n, cap, foreign;
    tb_atom recent[RECENT]; /* by slot_of(): what is looked for again */
} atoms;

void
tb_atoms_ref(void)
{
    atoms.users++;
}

bool
tb_atoms_in_use(void)
{
    return atoms.users > 0;
}

void
tb_atoms_unref(void)
{
    if (--atoms.users > 0)
        return;
    for (uint32_t i = 0; i < atoms.n; i++)
        tb_free((void *)(uintptr_t)atoms.names[i].p);
    tb_free(atoms.names);
    tb_map_free(atoms.by_name);
    tb_recent_free();
    memset(&atoms, 0, sizeof(atoms));
}

/* Names that differ do so in their first bytes, or in their last. */
static tb_atom *
slot_of(struct tb_text name)
{
    uint64_t first = 0, last = 0;

    if (name.n >= sizeof(first)) {
        memcpy(&first, name.p, sizeof(first));
        memcpy(&last, name.p + name.n - sizeof(last), sizeof(last));
    } else if (name.n > 0) {
        memcpy(&first, name.p, name.n);
    }
    return &atoms.recent[(first * 31 + last) * 0x9e3779b97f4a7c15u >> 58];
}

tb_atom
tb_atom_find(struct tb_text name)
{
    tb_atom *recent = slot_of(name), found;

    if (*recent && tb_text_eq(atoms.names[*recent - 1], name))
        return *recent;
    if (!atoms.by_name)
        return 0;
    found = (tb_atom)(uintptr_t)tb_map_get(atoms.by_name, name.p, name.n);
    if (found)
        *recent = found;
    return found;
}

static bool
make_room(void)
{
    uint32_t cap = atoms.cap ? 2 * atoms.cap : 16;
    struct tb_text *names;

    if (!atoms.by_name && !(atoms.by_name = tb_map_new()))
        return false;
    if (atoms.n < atoms.cap)
        return true;
    names = tb_try_realloc(atoms.names, cap * sizeof(*names));
    if (!names)
        return false;
    atoms.names = names;
    atoms.cap = cap;
    return true;
}

tb_atom
tb_atom_of(struct tb_text name, bool foreign)
{
    tb_atom known = tb_atom_find(name);
    char *copy;

    if (known || name.n == 0 || name.n > TB_MAX_NODE_BYTES ||
        memchr(name.p, 0, name.n))
        return known;
    if (atoms.n >= TB_MAX_ATOMS ||
        (foreign && atoms.foreign >= TB_MAX_ATOMS_FOREIGN) || !make_room())
        return 0;
    copy = tb_try_alloc(name.n + 1);
    if (!copy)
        return 0;
    memcpy(copy, name.p, name.n);
    if (tb_map_put(atoms.by_name, name.p, name.n,
                   (void *)(uintptr_t)(atoms.n + 1)) < 0) {
        tb_free(copy);
        return 0;
    }
    atoms.names[atoms.n++] = (struct tb_text){ copy, name.n };
    atoms.foreign += foreign;
    return atoms.n;
}

static bool
is_node_name(struct tb_text name)
{
    const char *at = name.n ? memchr(name.p, '@', name.n) : NULL;
    const char *end = name.p + name.n;

    return at && at != name.p && at + 1 != end &&
           !memchr(at + 1, '@', (size_t)(end - at - 1));
}

tb_atom
tb_intern_peer(struct tb_text name)
{
    return is_node_name(name) ? tb_atom_of(name, false) : 0;
}

/* What a service is asked about comes in messages, too. */
tb_atom
tb_intern(struct tb_text name)
{
    return is_node_name(name) ? tb_atom_of(name, true) : 0;
}

struct tb_text
tb_atom_text(tb_atom a)
{
    if (a == 0 || a > atoms.n)
        return (struct tb_text){ "", 0 };
    return atoms.names[a - 1];
}

size_t
tb_atoms_count(void)
{
    return atoms.n;
}

bool
tb_text_eq(struct tb_text a, struct tb_text b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool
tb_text_is(struct tb_text t, const char *s)
{
    return tb_text_eq(t, tb_text_of(s));
}

bool
tb_pid_eq(struct tb_pid a, struct tb_pid b)
{
    return a.node == b.node && a.id == b.id && a.serial == b.serial &&
           a.creation == b.creation;
}

bool
tb_ref_eq(struct tb_ref a, struct tb_ref b)
{
    return a.node == b.node && a.creation == b.creation && a.n == b.n &&
           memcmp(a.id, b.id, sizeof(a.id)) == 0;
}
