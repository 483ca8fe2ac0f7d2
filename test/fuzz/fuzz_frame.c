/* fuzz_frame.c - a stream in pieces gives the frames of the whole stream. The
 * first three bytes: length of a piece, frames asked for in one, 2 or 4. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "dist/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    unsigned head = n < 3 || p[2] % 2 ? 2 : 4;
    struct tb_frames whole = { .length_bytes = head, .max = 1000 };
    struct tb_frames parts = whole;
    size_t piece = n < 3 || p[0] == 0 ? 1 : p[0], want_n, got_n;
    const uint8_t *want, *got;
    int rc = 0;

    if (n < 3)
        return 0;
    tb_frames_lend(&whole, p + 3, n - 3);
    for (size_t at = 3; at < n && rc >= 0; at += piece) {
        size_t lent = n - at < piece ? n - at : piece;
        uint8_t *copy = malloc(lent);

        assert(copy);
        memcpy(copy, p + at, lent);
        tb_frames_lend(&parts, copy, lent);
        for (unsigned i = 0; i < p[1] || at + piece >= n; i++) {
            rc = tb_frames_next(&parts, &got, &got_n);
            if (rc != 1)
                break;
            assert(tb_frames_next(&whole, &want, &want_n) == 1);
            assert(got_n == want_n && memcmp(got, want, got_n) == 0);
        }
        assert(rc < 0 || tb_frames_keep(&parts) == 0);
        free(copy);
    }
    assert(n == 3 || tb_frames_next(&whole, &want, &want_n) == rc);
    tb_frames_fini(&whole);
    tb_frames_fini(&parts);
    return 0;
}
