/* live_terms.c - the C side of live.escript: a port that hashes, prints and
 * parses the terms it is sent.
 *
 * Request, {packet,4}: Range:32, Size:32, Term:Size/binary, Text/binary.
 * Answer: Hash27:32, Hash32:32, HashRange:32, then three times Size:32 and
 * bytes: printed, printed for people, and what the text parsed to. A failure is
 * answered with its name alone. Thread: main. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rd.h"
#include "base/wr.h"
#include "term/check.h"
#include "tiebeam.h"

static bool
read_request(struct tb_wr *in)
{
    uint8_t head[4];
    struct tb_rd r = tb_rd_of(head, sizeof(head));
    uint8_t *room;
    size_t n;

    in->len = 0;
    if (fread(head, 1, sizeof(head), stdin) != sizeof(head))
        return false;
    n = tb_rd_u32(&r);
    room = tb_wr_room(in, n);
    if (!room || fread(room, 1, n, stdin) != n)
        return false;
    tb_wr_add(in, n);
    return true;
}

static void
write_answer(const struct tb_wr *out)
{
    struct tb_wr head = { 0 };

    tb_wr_u32(&head, (uint32_t)out->len);
    fwrite(head.buf, 1, head.len, stdout);
    fwrite(out->buf, 1, out->len, stdout);
    fflush(stdout);
    tb_wr_free(&head);
}

static void
put_sized(struct tb_wr *out, const struct tb_wr *part)
{
    tb_wr_u32(out, (uint32_t)part->len);
    tb_wr_bytes(out, part->buf, part->len);
}

/* Whether the text is that term, but for the order in maps. */
static bool
parses_to(const struct tb_wr *text, struct tb_term t, bool consult)
{
    struct tb_wr w = { 0 }, copy = { 0 };
    size_t head = consult ? 5 : 0;
    struct tb_text_error error;
    struct tb_term got;
    bool same;
    int rc;

    tb_wr_bytes(&copy, text->buf, text->len);
    tb_wr_str(&copy, consult ? ".\n" : "");
    if (consult)
        rc = tb_consult(&w, (char *)copy.buf, copy.len, NULL, &error);
    else
        rc = tb_parse(&w, (char *)copy.buf, copy.len, &error);
    got = (struct tb_term){ w.buf + head, w.len - (consult ? head + 1 : 0) };
    same = rc == 0 && got.n == t.n && tb_phash2(got, 0) == tb_phash2(t, 0);
    tb_wr_free(&w);
    tb_wr_free(&copy);
    return same;
}

/* NULL, or what failed. */
static const char *
parse(struct tb_rd *r, const struct tb_wr *pretty, struct tb_wr *parsed)
{
    static char why[256];
    size_t n = tb_rd_left(r);
    const char *text = (const char *)tb_rd_take(r, n);
    struct tb_text_error error;
    struct tb_wr copy = { 0 };
    struct tb_term t;
    int rc;

    if (n == 0)
        return NULL;
    rc = tb_parse(parsed, text, n, &error);
    if (rc < 0) {
        snprintf(why, sizeof(why), "parse: %u:%u: %s", error.line, error.column,
                 error.what);
        return why;
    }
    if (tb_check_whole(parsed->buf, parsed->len, &t) < 0)
        return "parsed to bad bytes";
    if (!parses_to(pretty, t, false))
        return "the pretty text parses to another term";
    tb_wr_bytes(&copy, text, n);
    rc = parses_to(&copy, t, true);
    tb_wr_free(&copy);
    return rc ? NULL : "consult differs";
}

static const char *
answer(const struct tb_wr *in, struct tb_wr *out)
{
    struct tb_rd r = tb_rd_of(in->buf, in->len);
    uint32_t range = tb_rd_u32(&r);
    size_t n = tb_rd_u32(&r);
    const uint8_t *p = tb_rd_take(&r, n);
    struct tb_wr text = { 0 }, pretty = { 0 }, parsed = { 0 };
    const char *why = NULL;
    struct tb_term t;

    if (!p || tb_check_whole(p, n, &t) < 0)
        return "check";
    tb_wr_u32(out, tb_phash2(t, UINT32_C(1) << 27));
    tb_wr_u32(out, tb_phash2(t, 0));
    tb_wr_u32(out, tb_phash2(t, range));
    if (tb_print(&text, t) < 0 || tb_print_pretty(&pretty, t) < 0)
        why = "print";
    else
        why = parse(&r, &pretty, &parsed);
    put_sized(out, &text);
    put_sized(out, &pretty);
    put_sized(out, &parsed);
    tb_wr_free(&text);
    tb_wr_free(&pretty);
    tb_wr_free(&parsed);
    return why;
}

int
main(void)
{
    struct tb_wr in = { 0 };

    while (read_request(&in)) {
        struct tb_wr out = { 0 };
        const char *why = answer(&in, &out);

        if (why) {
            out.len = 0;
            tb_wr_str(&out, why);
        }
        write_answer(&out);
        tb_wr_free(&out);
    }
    tb_wr_free(&in);
    return 0;
}
