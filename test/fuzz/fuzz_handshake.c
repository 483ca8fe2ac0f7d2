/* fuzz_handshake.c - both roles are fed frames; the first byte says which
 * role, how its owner decides or that it does not, the width of lengths (2 or 4
 * bytes), and whether the cookie has been forgotten. */
#include <assert.h>
#include <string.h>

#include "base/limits.h"
#include "dist/frame.h"
#include "dist/handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    unsigned width = n > 0 && (p[0] & 0x80) ? 4 : 2;
    struct tb_handshake hs = { .our_name = { "b@127.0.0.1", 11 },
                               .our_flags = TB_DFLAGS_OURS,
                               .our_creation = 4,
                               .length_bytes = width,
                               .challenge = n > 0 && (p[0] & 1) ? ~0u : 1234,
                               .cookie = { n > 0 && (p[0] & 0x40) ? 0 : 6,
                                           "secret" },
                               .name = "b@127.0.0.1",
                               .name_len = 11 };
    struct tb_frames f = { .length_bytes = width, .max = TB_MAX_HANDSHAKE + 1 };
    const uint8_t *body;
    size_t len;
    int rc = TB_HS_MORE;

    if (n == 0)
        return 0;
    (p[0] & 1 ? tb_hs_start : tb_hs_accept)(&hs);
    tb_frames_lend(&f, p + 1, n - 1);
    while (rc >= 0 && tb_frames_next(&f, &body, &len) == 1) {
        rc = tb_hs_feed(&hs, body, len);
        if (rc > 0 && rc != TB_HS_DONE && (p[0] & 0x20))
            continue;
        if (rc == TB_HS_NAMED)
            rc = tb_hs_status(&hs, (enum tb_hs_status_code)(p[0] / 2 % 5));
        else if (rc == TB_HS_ALIVE)
            rc = tb_hs_alive(&hs, p[0] & 2);
        else
            assert(tb_hs_status(&hs, TB_HS_OK) < 0 &&
                   tb_hs_alive(&hs, true) < 0);
        assert(memchr(hs.seen_name, 0, sizeof(hs.seen_name)));
        assert(rc != TB_HS_DONE ||
               (~tb_hs_effective_flags(&hs) & TB_DFLAGS_MANDATORY) == 0);
    }
    assert(rc >= 0 || tb_hs_feed(&hs, p, 1) < 0);
    tb_frames_fini(&f);
    tb_hs_fini(&hs);
    return 0;
}
