/* build.c - terms from templates: the other half of the notation, and the
 * values that fill it. In Erlang: term constructors.
 * Owns: nothing. Thread: any. */
#include <assert.h>

#include "term/etf.h"
#include "term/ident.h"
#include "term/keys.h"
#include "term/pattern.h"
#include "term/put.h"
#include "term/recent.h"

struct builder {
    const struct tb_pattern_op *op;
    const struct tb_val *arg;
    struct tb_wr *w;
    bool has_keys; /* of a map: two or more, which must differ */
};

static void build_term(struct builder *b);

static void
build_children(struct builder *b, unsigned n)
{
    while (n-- > 0)
        build_term(b);
}

static void
build_list(struct builder *b, const struct tb_pattern_op *op)
{
    if (op->kind == TB_OP_LIST && op->n == 0) {
        tb_put_nil(b->w);
        return;
    }
    tb_put_list(b->w, op->n);
    build_children(b, op->n);
    if (op->kind == TB_OP_CONS)
        build_term(b);
    else
        tb_put_nil(b->w);
}

static void
build_term(struct builder *b)
{
    const struct tb_pattern_op *op = b->op++;
    struct tb_text text = { op->text, op->n };

    switch ((enum tb_pattern_kind)op->kind) {
    case TB_OP_ANY:
        assert(false && "a template has no _");
        break;
    case TB_OP_HOLE:
        /* an untyped hole takes any value; a typed one is a promise */
        assert(op->type == TB_T_TERM || op->type == b->arg->type);
        tb_put_val(b->w, b->arg++);
        break;
    case TB_OP_ATOM:
        tb_put_atom(b->w, text);
        break;
    case TB_OP_INT:
        tb_put_int(b->w, op->i);
        break;
    case TB_OP_STR:
        tb_put_chars(b->w, text);
        break;
    case TB_OP_BIN:
        tb_put_bin(b->w, text.p, text.n);
        break;
    case TB_OP_TUPLE:
        tb_put_tuple(b->w, op->n);
        build_children(b, op->n);
        break;
    case TB_OP_LIST:
    case TB_OP_CONS:
        build_list(b, op);
        break;
    case TB_OP_MAP:
        b->has_keys |= op->n > 1;
        tb_put_map(b->w, op->n);
        build_children(b, 2u * op->n);
        break;
    }
}

int
tb_pattern_build(const struct tb_pattern *p, struct tb_wr *w,
                 struct tb_args args)
{
    struct builder b = { .op = p->op, .arg = args.v, .w = w };
    size_t before = w->len;
    int rc;

    assert(args.n == p->holes);
    build_term(&b);
    rc = tb_wr_status(w);
    if (rc == 0 && b.has_keys) /* a BEAM would close the connection for one */
        rc =
            tb_keys_check((struct tb_term){ w->buf + before, w->len - before });
    if (rc < 0) {
        w->len = before;
        w->bad = true;
    }
    return rc;
}

int
tb_build(struct tb_wr *w, const char *pattern, struct tb_args args)
{
    struct tb_pattern scratch;
    int rc = 0;
    const struct tb_pattern *p = tb_recent_pattern(pattern, &scratch, &rc);

    if (!p) {
        w->bad = true;
        return rc;
    }
    return tb_pattern_build(p, w, args);
}

int
tb_build_list(struct tb_wr *w, size_t n, const struct tb_wr *elements)
{
    if (n > 0) {
        tb_put_list(w, (uint32_t)n);
        tb_wr_bytes(w, elements->buf, elements->len);
    }
    tb_put_nil(w);
    w->bad |= elements->bad;
    return tb_wr_status(w);
}

int
tb_build_map(struct tb_wr *w, size_t n, const struct tb_wr *pairs)
{
    tb_put_map(w, (uint32_t)n);
    tb_wr_bytes(w, pairs->buf, pairs->len);
    w->bad |= pairs->bad;
    return tb_wr_status(w);
}

struct tb_term
tb_wr_term(const struct tb_wr *w)
{
    return w->bad ? (struct tb_term){ NULL, 0 }
                  : (struct tb_term){ w->buf, w->len };
}

/* ------------------------------------------------------------ values -- */

struct tb_val
tb_v_int(int64_t i)
{
    return (struct tb_val){ .type = TB_T_INT, .i = i };
}

struct tb_val
tb_v_float(double f)
{
    return (struct tb_val){ .type = TB_T_FLOAT, .f = f };
}

struct tb_val
tb_v_bool(bool b)
{
    return tb_v_atom(b ? "true" : "false");
}

struct tb_val
tb_v_atom(const char *text)
{
    return tb_v_atom_n(tb_text_of(text));
}

struct tb_val
tb_v_atom_n(struct tb_text text)
{
    return (struct tb_val){ .type = TB_T_ATOM, .text = text };
}

struct tb_val
tb_v_node(tb_atom node)
{
    return tb_v_atom_n(tb_atom_text(node));
}

struct tb_val
tb_v_str(const char *text)
{
    return (struct tb_val){ .type = TB_T_STR, .text = tb_text_of(text) };
}

struct tb_val
tb_v_bin(const void *p, size_t n)
{
    return (struct tb_val){ .type = TB_T_BIN, .text = { p, n } };
}

struct tb_val
tb_v_pid(struct tb_pid pid)
{
    return (struct tb_val){ .type = TB_T_PID, .pid = pid };
}

struct tb_val
tb_v_ref(struct tb_ref ref)
{
    return (struct tb_val){ .type = TB_T_REF, .ref = ref };
}

struct tb_val
tb_v_term(struct tb_term term)
{
    return (struct tb_val){ .type = TB_T_TERM, .term = term };
}
