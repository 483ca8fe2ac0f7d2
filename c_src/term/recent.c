/* recent.c - patterns given as text, compiled once.
 *
 * A program's patterns are literals: the address of one tells which it is, and
 * a look at the text that it is still the same.
 * Owns: the compiled patterns, and copies of their text. Thread: one table per
 * thread, see tb_atoms_ref(). */
#include "term/recent.h"

#include <string.h>

#include "base/mem.h"
#include "term/ident.h"

/* A power of two, above what a message needs many times over: two places for
 * each pattern, so that no two of them compile each other away for ever. */
#define SLOTS 1024

static _Thread_local struct {
    const char *source; /* not to be read: its owner may have freed it */
    char *text;         /* owned */
    struct tb_pattern *compiled;
} recent[SLOTS];

static void
clear(size_t i)
{
    tb_free(recent[i].compiled);
    tb_free(recent[i].text);
    memset(&recent[i], 0, sizeof(recent[i]));
}

void
tb_recent_free(void)
{
    for (size_t i = 0; i < SLOTS; i++)
        clear(i);
}

static size_t
slot_of(const char *source)
{
    return ((uintptr_t)source * 0x9e3779b97f4a7c15u >> 32) % SLOTS;
}

/* false: it is bad, or there is no memory. */
static bool
keep(size_t i, const char *source)
{
    size_t n = strlen(source) + 1, other = i ^ 1;
    int rc;

    if (recent[i].source) {
        clear(other);
        recent[other] = recent[i];
        memset(&recent[i], 0, sizeof(recent[i]));
    }
    recent[i].text = tb_try_alloc(n);
    if (!recent[i].text)
        return false;
    memcpy(recent[i].text, source, n);
    recent[i].compiled = tb_pattern_new(recent[i].text, &rc);
    if (!recent[i].compiled) {
        clear(i);
        return false;
    }
    recent[i].source = source;
    return true;
}

static bool
is_kept(size_t i, const char *source)
{
    return recent[i].source == source && strcmp(recent[i].text, source) == 0;
}

const struct tb_pattern *
tb_recent_pattern(const char *source, struct tb_pattern *scratch, int *error)
{
    size_t i = slot_of(source);

    if (is_kept(i, source))
        return recent[i].compiled;
    if (is_kept(i ^ 1, source))
        return recent[i ^ 1].compiled;
    if (tb_atoms_in_use() && keep(i, source))
        return recent[i].compiled;
    *error = tb_pattern_parse(scratch, source);
    return *error < 0 ? NULL : scratch;
}
