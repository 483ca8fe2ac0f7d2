/* intensity.c - restarts counted as supervisor:add_restart/1 does: in whole
 * seconds, those of the last max_seconds, this one among them.
 * Owns: the times. Thread: any. */
#include "services/intensity.h"

#include <string.h>

void
tb_intensity_clear(struct tb_intensity *in)
{
    tb_free(in->at);
    *in = (struct tb_intensity){ 0 };
}

static void
push(struct tb_intensity *in, int64_t now)
{
    size_t cap = in->cap ? in->cap * 2 : 4;
    int64_t *at;

    if (in->n == in->cap) {
        at = tb_alloc(cap * sizeof(*at));
        if (in->n)
            memcpy(at, in->at, in->n * sizeof(*at));
        tb_free(in->at);
        in->at = at;
        in->cap = cap;
    }
    in->at[in->n++] = now;
}

bool
tb_intensity_add(struct tb_intensity *in, int64_t now, int64_t max_restarts,
                 int64_t max_seconds)
{
    size_t old = 0;

    while (old < in->n && in->at[old] < now - max_seconds)
        old++;
    if (old) {
        in->n -= old;
        memmove(in->at, in->at + old, in->n * sizeof(*in->at));
    }
    if ((int64_t)in->n >= max_restarts)
        return false; /* no more of them are kept than are allowed */
    push(in, now);
    return true;
}
