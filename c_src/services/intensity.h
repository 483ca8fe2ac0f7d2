/* intensity.h - how many restarts a supervisor bears. */
#ifndef TB_SERVICES_INTENSITY_H
#define TB_SERVICES_INTENSITY_H

#include "tiebeam.h"

/* When the restarts were that count still: whole seconds, the oldest first. */
struct tb_intensity {
    int64_t *at; /* owned */
    size_t n, cap;
};

/* tb_intensity_add - one more restart, in second now; false: it is more than
 * max_restarts within max_seconds.
 * tb_intensity_clear - as if there had been none. Frees what it holds. */
bool tb_intensity_add(struct tb_intensity *in, int64_t now,
                      int64_t max_restarts, int64_t max_seconds);
void tb_intensity_clear(struct tb_intensity *in);

#endif
