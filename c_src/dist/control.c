/* control.c - control messages, driven by the rows of dop.h.
 * In Erlang: erts_net_message and the encoders beside it in dist.c.
 * Owns: the compiled rows, once per thread. Thread: any.
 * Source: erl_dist_protocol. */
#include "dist/control.h"

#include <string.h>

#include "base/rd.h"
#include "base/wr.h"
#include "dist/dflags.h"
#include "term/check.h"
#include "term/etf.h"
#include "term/get.h"
#include "term/pattern.h"
#include "term/put.h"

#define PASS_THROUGH 112
#define DIST_HEADER  68

struct row {
    const char *name;
    const char *pattern; /* of the whole control tuple */
    bool payload;
    struct tb_pattern *compiled; /* owned */
};

#define PAYLOAD_NO  false
#define PAYLOAD_YES true
static _Thread_local struct row rows[DOP_LAST + 1] = {
#define X(name, value, operands, payload)                                      \
    [value] = { #name, "{" #value ", " operands "}", PAYLOAD_##payload, NULL },
    TB_DOPS(X)
#undef X
};

static struct row *
row_of(uint64_t op)
{
    return op <= DOP_LAST && rows[op].name ? &rows[op] : NULL;
}

int
tb_control_init(void)
{
    int rc = 0;

    for (unsigned op = 0; op <= DOP_LAST && rc == 0; op++) {
        struct row *row = row_of(op);

        if (row && !row->compiled)
            row->compiled = tb_pattern_new(row->pattern, &rc);
    }
    return rc;
}

void
tb_control_fini(void)
{
    for (unsigned op = 0; op <= DOP_LAST; op++) {
        tb_free(rows[op].compiled);
        rows[op].compiled = NULL;
    }
}

const char *
tb_control_name(unsigned op)
{
    const struct row *row = row_of(op);

    return row ? row->name : "?";
}

/* ALTACT_SIG_SEND may have a fifth element, a token, which is dropped. */
static bool
match_row(struct row *row, struct tb_term t, struct tb_control *out)
{
    if (tb_pattern_match(row->compiled, t, false, out->arg))
        return true;
    return out->op == DOP_ALTACT_SIG_SEND &&
           tb_match("{37, Flags:int, From:pid, To, _}", t, out->arg) == 1;
}

/* The number of a control tuple; a small one has two bytes. */
static bool
number_of(struct tb_term control, uint64_t *op)
{
    const uint8_t *p = control.p;
    struct tb_term first;
    uint32_t arity;

    if (p[0] == ETF_SMALL_TUPLE && p[1] > 0 && p[2] == ETF_SMALL_INTEGER) {
        *op = p[3];
        return true;
    }
    return tb_get_tuple(control, &arity, &first) && arity > 0 &&
           tb_get_uint(first, op);
}

/* Its row: 1, or 0 and NULL for a number that is not known. */
static int
find_row(struct tb_term control, struct tb_control *out, struct row **row)
{
    uint64_t op;

    if (!number_of(control, &op))
        return -TB_EPROTO;
    *row = row_of(op);
    out->op = (enum tb_dop)op;
    out->payload = (struct tb_term){ NULL, 0 };
    if (!*row)
        return 0;
    return match_row(*row, control, out) ? 1 : -TB_EPROTO;
}

static int
get_payload(struct tb_rd *r, struct tb_term *out)
{
    if (tb_rd_u8(r) != ETF_VERSION)
        return -TB_EPROTO;
    return tb_check(r, out);
}

int
tb_control_get(const uint8_t *p, size_t n, struct tb_control *out)
{
    struct tb_rd r = tb_rd_of(p, n);
    struct tb_term control;
    struct row *row = NULL;
    int rc;

    if (tb_rd_u8(&r) != PASS_THROUGH || tb_rd_u8(&r) != ETF_VERSION)
        return -TB_EPROTO;
    rc = tb_check(&r, &control);
    if (rc == 0)
        rc = find_row(control, out, &row);
    if (rc == 1 && row && row->payload)
        rc = get_payload(&r, &out->payload);
    return rc < 0 ? rc : row ? 1 : 0;
}

/* Atoms first: they are known from now on, whatever the message is. */
int
tb_control_read(struct tb_atom_cache *cache, struct tb_expanded *to,
                const uint8_t *p, size_t n, struct tb_control *out)
{
    struct tb_rd r = tb_rd_of(p, n);
    struct tb_ref_table refs;
    struct tb_term control;
    struct row *row = NULL;
    int rc;

    if (tb_rd_u8(&r) != ETF_VERSION || tb_rd_u8(&r) != DIST_HEADER)
        return -TB_EPROTO;
    rc = tb_atom_cache_read(cache, &r, &refs);
    if (rc == 0)
        rc = tb_expand(&r, &refs, &to->control, &control);
    if (rc == 0)
        rc = find_row(control, out, &row);
    if (rc != 1 || !row || !row->payload)
        return rc;
    if (tb_rd_left(&r) == 0)
        return -TB_EPROTO;
    rc = tb_expand(&r, &refs, &to->payload, &out->payload);
    return rc < 0 ? rc : 1;
}

void
tb_expanded_free(struct tb_expanded *e, size_t keep)
{
    tb_wr_clear(&e->control, keep);
    tb_wr_clear(&e->payload, keep);
}

/* ----------------------------------------------------------- writing -- */

/* A message as these flags call for: its number and operands. */
struct wire {
    enum tb_dop op;
    struct tb_args args;
    struct tb_term payload;
    struct tb_val v[4]; /* what args may be */
};

static void
set_args(struct wire *m, enum tb_dop op, struct tb_args args)
{
    m->op = op;
    memcpy(m->v, args.v, args.n * sizeof(m->v[0]));
    m->args = (struct tb_args){ args.n, m->v };
}

/* {Op, From, To, ..., Reason}: what EXIT_PAYLOAD replaced. */
static void
put_reason_inside(struct wire *m, enum tb_dop op)
{
    set_args(m, op, m->args);
    m->v[m->args.n++] = tb_v_term(m->payload);
    m->payload.n = 0;
}

/* Elements that only BEAMs fill: the empty atom ('Unused', cookie of old). */
static struct tb_val
unused(void)
{
    return tb_v_atom("");
}

static void
to_old_form(struct wire *m, uint64_t flags)
{
    bool exit_payload = flags & TB_DFLAG(EXIT_PAYLOAD);
    const struct tb_val *v = m->args.v;

    if (m->op == DOP_PAYLOAD_EXIT && !exit_payload)
        put_reason_inside(m, DOP_EXIT);
    else if (m->op == DOP_PAYLOAD_EXIT2 && !exit_payload)
        put_reason_inside(m, DOP_EXIT2);
    else if (m->op == DOP_PAYLOAD_MONITOR_P_EXIT && !exit_payload)
        put_reason_inside(m, DOP_MONITOR_P_EXIT);
    else if (m->op == DOP_SEND_SENDER && !(flags & TB_DFLAG(SEND_SENDER)))
        set_args(m, DOP_SEND, TB_ARGS(unused(), v[1]));
    else if (m->op == DOP_UNLINK_ID && !(flags & TB_DFLAG(UNLINK_ID)))
        set_args(m, DOP_UNLINK, TB_ARGS(v[1], v[2]));
    else if (m->op == DOP_REG_SEND) /* {6, From, '', Name} */
        set_args(m, DOP_REG_SEND, TB_ARGS(v[0], unused(), v[1]));
}

static bool
has_form(uint64_t flags, enum tb_dop op)
{
    switch (op) {
    case DOP_ALIAS_SEND:
        return flags & TB_DFLAG(ALIAS);
    case DOP_SPAWN_REQUEST:
    case DOP_SPAWN_REPLY:
        return flags & TB_DFLAG(SPAWN);
    case DOP_UNLINK_ID_ACK:
        return flags & TB_DFLAG(UNLINK_ID);
    case DOP_ALTACT_SIG_SEND:
        return flags & TB_DFLAG(ALTACT_SIG);
    case DOP_MONITOR_P:
    case DOP_DEMONITOR_P:
    case DOP_PAYLOAD_MONITOR_P_EXIT:
        return flags & TB_DFLAG(DIST_MONITOR);
    default:
        return true;
    }
}

static bool
has_header(uint64_t flags)
{
    return flags & TB_DFLAG(DIST_HDR_ATOM_CACHE);
}

/* All of them are told anew in each message, in the first slots: so that we
 * need not know what the peer remembers. */
static void
put_table(struct tb_wr *w, const struct tb_atom_table *t)
{
    tb_wr_u8(w, (uint8_t)t->n);
    for (unsigned i = 0; t->n > 0 && i <= t->n; i += 2) {
        unsigned low = i < t->n ? TB_NEW_ENTRY : t->is_long;
        unsigned high = i + 1 < t->n    ? TB_NEW_ENTRY
                        : i + 1 == t->n ? t->is_long
                                        : 0u;

        tb_wr_u8(w, (uint8_t)(high << 4 | low));
    }
    for (unsigned i = 0; i < t->n; i++) {
        tb_wr_u8(w, (uint8_t)i);
        if (t->is_long)
            tb_wr_u16(w, t->text[i].n);
        else
            tb_wr_u8(w, (uint8_t)t->text[i].n);
        tb_wr_bytes(w, t->bytes.buf + t->text[i].at, t->text[i].n);
    }
}

static size_t
begin_frame(struct tb_wr *w, uint64_t flags, const struct tb_atom_table *table,
            const struct wire *m)
{
    size_t at = w->len;

    tb_wr_u32(w, 0);
    tb_wr_u8(w, has_header(flags) ? ETF_VERSION : PASS_THROUGH);
    tb_wr_u8(w, has_header(flags) ? DIST_HEADER : ETF_VERSION);
    if (table)
        put_table(w, table);
    else if (has_header(flags))
        tb_wr_u8(w, 0);
    tb_put_tuple(w, (uint32_t)m->args.n + 1);
    tb_put_int(w, m->op);
    for (size_t i = 0; i < m->args.n; i++)
        tb_put_val(w, &m->args.v[i]);
    return at;
}

int
tb_control_begin(struct tb_wr *w, uint64_t flags, enum tb_dop op,
                 struct tb_args args, size_t *at)
{
    struct wire m = { .op = op, .args = args };

    if (!has_form(flags, op))
        return -TB_ENOTSUP;
    to_old_form(&m, flags);
    *at = begin_frame(w, flags, NULL, &m);
    if (!has_header(flags))
        tb_wr_u8(w, ETF_VERSION);
    return 0;
}

/* Whose messages are looked through before they are sent get none. */
bool
tb_control_takes_tables(uint64_t flags)
{
    return has_header(flags) && (flags & TB_DFLAG(V4_NC));
}

int
tb_control_begin_with(struct tb_wr *w, uint64_t flags,
                      const struct tb_atom_table *table, enum tb_dop op,
                      struct tb_args args)
{
    struct wire m = { .op = op, .args = args };

    if (!has_form(flags, op) || !tb_control_takes_tables(flags))
        return -TB_ENOTSUP;
    to_old_form(&m, flags);
    begin_frame(w, flags, table, &m);
    return 0;
}

int
tb_control_end(struct tb_wr *w, size_t at)
{
    tb_wr_patch_u32(w, at, (uint32_t)(w->len - at - 4));
    if (w->bad)
        w->len = at;
    return tb_wr_status(w);
}

int
tb_control_put(struct tb_wr *w, uint64_t flags, enum tb_dop op,
               struct tb_args args, struct tb_term payload)
{
    struct wire m = { .op = op, .args = args, .payload = payload };
    size_t at;

    if (!has_form(flags, op))
        return -TB_ENOTSUP;
    to_old_form(&m, flags);
    at = begin_frame(w, flags, NULL, &m);
    if (m.payload.n) {
        if (!has_header(flags))
            tb_wr_u8(w, ETF_VERSION);
        tb_put_term(w, m.payload);
    }
    return tb_control_end(w, at);
}

/* 112 and 131, or 131, 68 and no atoms. */
bool
tb_control_readable(uint64_t flags, const uint8_t *p, size_t n)
{
    struct tb_rd r = tb_rd_of(p, n);
    bool good = true;

    if (flags & TB_DFLAG(V4_NC))
        return true;
    tb_rd_take(&r, 4 + (has_header(flags) ? 3 : 2));
    while (good && tb_rd_left(&r) > 0) {
        good = tb_check_narrow(r.p);
        tb_rd_take(&r, tb_skip(r.p));
        if (!has_header(flags))
            tb_rd_take(&r, 1); /* ETF_VERSION of what follows */
    }
    return good;
}
