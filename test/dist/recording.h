/* recording.h - reads what record.escript wrote into test/data/otpNN/. */
#ifndef TB_TEST_DIST_RECORDING_H
#define TB_TEST_DIST_RECORDING_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rd.h"
#include "tiebeam.h"

#ifndef TB_TEST_DATA
#define TB_TEST_DATA "test/data"
#endif

struct recording {
    uint8_t *p;
    size_t n;
};

/* An entry: its tag, as record.escript explains, and its bytes. */
struct entry {
    char tag;
    struct tb_text data;
};

static inline struct recording
recording_open(const char *name)
{
    struct recording rec = { NULL, 0 };
    char path[256];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", TB_TEST_DATA, name);
    file = fopen(path, "rb");
    if (!file)
        fail_msg("%s: no such recording", path);
    rec.p = malloc(4096);
    assert_non_null(rec.p);
    rec.n = fread(rec.p, 1, 4096, file);
    fclose(file);
    return rec;
}

static inline void
recording_close(struct recording *rec)
{
    free(rec->p);
}

static inline bool
recording_next(struct tb_rd *r, struct entry *e)
{
    if (tb_rd_left(r) == 0)
        return false;
    e->tag = (char)tb_rd_u8(r);
    e->data.n = tb_rd_u16(r);
    e->data.p = (const char *)tb_rd_take(r, e->data.n);
    assert_false(r->bad);
    return true;
}

/* The first entry with that tag. */
static inline struct tb_text
recording_get(const struct recording *rec, char tag)
{
    struct tb_rd r = tb_rd_of(rec->p, rec->n);
    struct entry e;

    while (recording_next(&r, &e))
        if (e.tag == tag)
            return e.data;
    fail_msg("no entry '%c' in the recording", tag);
    return (struct tb_text){ NULL, 0 };
}

static inline uint64_t
recording_get_number(const struct recording *rec, char tag)
{
    struct tb_text text = recording_get(rec, tag);
    uint64_t value = 0;

    for (size_t i = 0; i < text.n; i++)
        value = value << 8 | (uint8_t)text.p[i];
    return value;
}

#endif
