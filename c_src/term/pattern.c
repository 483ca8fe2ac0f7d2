/* pattern.c - the term notation: its parser, and matching; build.c builds.
 * In Erlang: patterns in clause heads.
 *
 * A pattern is compiled to operations in prefix order; each container is
 * followed by those of its children. Recursion follows the pattern, which is
 * ours, never the term, which is a peer's.
 * Owns: nothing; a compiled pattern borrows its source. Thread: any. */
#include "term/pattern.h"

#include <string.h>

#include "base/mem.h"
#include "term/chars.h"
#include "term/check.h"
#include "term/etf.h"
#include "term/get.h"
#include "term/ident.h"
#include "term/recent.h"

/* ------------------------------------------------------------- parse -- */

struct parser {
    struct tb_pattern *out;
    const char *s;
    int depth;
    int error;
};

static void parse_term(struct parser *ps);

static char
peek(struct parser *ps)
{
    while (*ps->s == ' ')
        ps->s++;
    return *ps->s;
}

static bool
accept(struct parser *ps, const char *token)
{
    size_t n = strlen(token);

    peek(ps);
    if (strncmp(ps->s, token, n) != 0)
        return false;
    ps->s += n;
    return true;
}

static void
expect(struct parser *ps, const char *token)
{
    if (!ps->error && !accept(ps, token))
        ps->error = -TB_EPATTERN;
}

static struct tb_pattern_op *
emit(struct parser *ps, enum tb_pattern_kind kind)
{
    static struct tb_pattern_op nowhere;
    struct tb_pattern_op *op = &nowhere;

    if (ps->out->n < TB_MAX_OPS)
        op = &ps->out->op[ps->out->n++];
    else
        ps->error = -TB_ELIMIT;
    *op = (struct tb_pattern_op){ .kind = (uint8_t)kind };
    return op;
}

static bool
is_word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || c == '_' || c == '@';
}

static struct tb_text
word(struct parser *ps)
{
    struct tb_text t = { ps->s, 0 };

    while (is_word_char(*ps->s))
        ps->s++;
    t.n = (size_t)(ps->s - t.p);
    return t;
}

static bool
is_utf8(const char *p, size_t n)
{
    struct tb_rd r = tb_rd_of(p, n);

    while (tb_rd_left(&r) > 0)
        if (tb_utf8_get(&r) < 0)
            return false;
    return true;
}

static void
parse_quoted(struct parser *ps, enum tb_pattern_kind kind, char quote)
{
    struct tb_pattern_op *op = emit(ps, kind);
    const char *start = ++ps->s, *end = strchr(start, quote);

    if (!end || end - start > UINT16_MAX ||
        !is_utf8(start, (size_t)(end - start))) {
        ps->error = -TB_EPATTERN;
        return;
    }
    op->text = start;
    op->n = (uint16_t)(end - start);
    ps->s = end + 1;
}

static void
parse_int(struct parser *ps)
{
    struct tb_pattern_op *op = emit(ps, TB_OP_INT);
    bool minus = *ps->s == '-';
    int64_t v = 0;

    ps->s += minus;
    if (*ps->s < '0' || *ps->s > '9')
        ps->error = -TB_EPATTERN;
    for (; *ps->s >= '0' && *ps->s <= '9'; ps->s++) {
        int digit = minus ? '0' - *ps->s : *ps->s - '0';

        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, digit, &v))
            ps->error = -TB_EPATTERN;
    }
    op->i = v;
}

static int
hole_type(struct tb_text name)
{
    static const struct {
        const char *name;
        enum tb_type type;
    } types[] = {
        { "int", TB_T_INT },   { "float", TB_T_FLOAT }, { "atom", TB_T_ATOM },
        { "pid", TB_T_PID },   { "ref", TB_T_REF },     { "bin", TB_T_BIN },
        { "list", TB_T_LIST }, { "map", TB_T_MAP },     { "tuple", TB_T_TUPLE },
        { "term", TB_T_TERM },
    };

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (tb_text_is(name, types[i].name))
            return (int)types[i].type;
    return -1;
}

static void
parse_hole(struct parser *ps)
{
    struct tb_pattern_op *op;
    struct tb_text name = word(ps);
    int type = TB_T_TERM;

    if (tb_text_is(name, "_")) {
        emit(ps, TB_OP_ANY);
        return;
    }
    if (*ps->s == ':') {
        ps->s++;
        type = hole_type(word(ps));
    }
    op = emit(ps, TB_OP_HOLE);
    op->type = (uint8_t)type;
    if (type < 0 || ++ps->out->holes > TB_MAX_HOLES)
        ps->error = -TB_EPATTERN;
}

/* Elements up to close; the count goes into op. */
static void
parse_elements(struct parser *ps, struct tb_pattern_op *op, const char *close)
{
    if (accept(ps, close))
        return;
    do {
        parse_term(ps);
        op->n++;
    } while (!ps->error && accept(ps, ","));
    if (op->kind == TB_OP_LIST && !ps->error && accept(ps, "|")) {
        op->kind = TB_OP_CONS;
        parse_term(ps);
    }
    expect(ps, close);
}

static void
parse_map(struct parser *ps)
{
    struct tb_pattern_op *op = emit(ps, TB_OP_MAP);

    if (accept(ps, "}"))
        return;
    do {
        parse_term(ps);
        if (!accept(ps, "=>"))
            expect(ps, ":=");
        if (!ps->error)
            parse_term(ps);
        op->n++;
    } while (!ps->error && accept(ps, ","));
    expect(ps, "}");
}

static void
parse_binary(struct parser *ps)
{
    if (peek(ps) == '"') {
        parse_quoted(ps, TB_OP_BIN, '"');
    } else {
        struct tb_pattern_op *op = emit(ps, TB_OP_BIN);

        op->text = ps->s;
    }
    expect(ps, ">>");
}

static void
parse_atom(struct parser *ps)
{
    struct tb_pattern_op *op = emit(ps, TB_OP_ATOM);
    struct tb_text text = word(ps);

    if (text.n > UINT16_MAX)
        ps->error = -TB_EPATTERN;
    op->text = text.p;
    op->n = (uint16_t)text.n;
}

static void
parse_term(struct parser *ps)
{
    char c = peek(ps);

    if (ps->error || ++ps->depth > TB_MAX_NESTING)
        ps->error = ps->error ? ps->error : -TB_ELIMIT;
    else if (c == '_' || (c >= 'A' && c <= 'Z'))
        parse_hole(ps);
    else if (c >= 'a' && c <= 'z')
        parse_atom(ps);
    else if (c == '\'')
        parse_quoted(ps, TB_OP_ATOM, '\'');
    else if (c == '"')
        parse_quoted(ps, TB_OP_STR, '"');
    else if (accept(ps, "<<"))
        parse_binary(ps);
    else if (accept(ps, "#{"))
        parse_map(ps);
    else if (accept(ps, "{"))
        parse_elements(ps, emit(ps, TB_OP_TUPLE), "}");
    else if (accept(ps, "["))
        parse_elements(ps, emit(ps, TB_OP_LIST), "]");
    else
        parse_int(ps);
    ps->depth--;
}

int
tb_pattern_parse(struct tb_pattern *p, const char *source)
{
    struct parser ps = { .out = p, .s = source };

    p->n = p->holes = 0;
    parse_term(&ps);
    if (!ps.error && peek(&ps) != '\0')
        ps.error = -TB_EPATTERN;
    return ps.error;
}

struct tb_pattern *
tb_pattern_new(const char *source, int *error)
{
    struct tb_pattern all, *p;
    size_t bytes;

    *error = tb_pattern_parse(&all, source);
    if (*error < 0)
        return NULL;
    bytes = offsetof(struct tb_pattern, op) + all.n * sizeof(all.op[0]);
    p = tb_try_alloc(bytes);
    if (p)
        memcpy(p, &all, bytes);
    else
        *error = -TB_ELIMIT;
    return p;
}

/* ------------------------------------------------------------- match -- */

struct matcher {
    const struct tb_pattern_op *op; /* the next one */
    struct tb_val *out;             /* where the next hole goes */
    bool shape_only;
};

static bool match_term(struct matcher *ma, struct tb_term t);
static void pass_over(struct matcher *ma);

static bool
fill(struct tb_val *v, enum tb_type type, struct tb_term t)
{
    uint32_t n;
    struct tb_term first;

    v->type = type;
    switch (type) {
    case TB_T_INT:
        return tb_get_int(t, &v->i);
    case TB_T_FLOAT:
        return tb_get_float(t, &v->f);
    case TB_T_ATOM:
        return tb_get_atom(t, &v->text);
    case TB_T_PID:
        return tb_get_pid(t, &v->pid);
    case TB_T_REF:
        return tb_get_ref(t, &v->ref);
    case TB_T_BIN:
        return tb_get_bin(t, &v->text);
    case TB_T_LIST:
        v->term = t;
        return tb_is_list(t);
    case TB_T_MAP:
        v->term = t;
        return tb_get_map(t, &n, &first);
    case TB_T_TUPLE:
        v->term = t;
        return t.p[0] == ETF_SMALL_TUPLE || t.p[0] == ETF_LARGE_TUPLE;
    case TB_T_TERM:
        v->term = t;
        return true;
    case TB_T_NONE:
    case TB_T_STR:
        break;
    }
    return false;
}

/* Nearly all atoms that come are of this tag. */
static bool
match_atom(struct tb_text want, struct tb_term t)
{
    struct tb_text text;

    if (t.p[0] == ETF_SMALL_ATOM_UTF8)
        return t.p[1] == want.n && memcmp(t.p + 2, want.p, want.n) == 0;
    return tb_get_atom(t, &text) && tb_text_eq(text, want);
}

static bool
match_tuple(struct matcher *ma, uint32_t n, struct tb_term t)
{
    const uint8_t *end = t.p + t.n, *p;

    if (t.p[0] == ETF_SMALL_TUPLE) {
        if (t.p[1] != n)
            return false;
        p = t.p + 2;
    } else {
        struct tb_term first;
        uint32_t arity;

        if (!tb_get_tuple(t, &arity, &first) || arity != n)
            return false;
        p = first.p;
    }
    for (uint32_t i = 1; i <= n; i++) {
        /* the last element needs no walk to find its end */
        size_t len = i == n ? (size_t)(end - p) : tb_skip(p);

        if (!match_term(ma, (struct tb_term){ p, len }))
            return false;
        p += len;
    }
    return true;
}

/* What follows an element has bytes of its own only behind the last one of a
 * LIST_EXT; elsewhere any tail is matched, but none is given out. */
static bool
match_tail(struct matcher *ma, const struct tb_elems *e)
{
    bool any = ma->op->kind == TB_OP_ANY ||
               (ma->op->kind == TB_OP_HOLE && ma->shape_only);

    if (e->left == 0)
        return match_term(ma, e->rest);
    pass_over(ma);
    return any;
}

static bool
match_list(struct matcher *ma, uint32_t n, bool with_tail, struct tb_term t)
{
    struct tb_elems e;
    struct tb_term item;

    if (!tb_elems_open(&e, t))
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (!tb_elems_next(&e, &item) || !match_term(ma, item))
            return false;
    if (with_tail)
        return match_tail(ma, &e);
    return !tb_elems_next(&e, &item) && e.rest.p[0] == ETF_NIL;
}

static void
pass_over(struct matcher *ma)
{
    const struct tb_pattern_op *op = ma->op++;
    unsigned children = op->kind == TB_OP_TUPLE || op->kind == TB_OP_LIST
                            ? op->n
                        : op->kind == TB_OP_CONS ? op->n + 1u
                        : op->kind == TB_OP_MAP  ? 2u * op->n
                                                 : 0;

    ma->out += op->kind == TB_OP_HOLE;
    while (children-- > 0)
        pass_over(ma);
}

/* The value of the key that the next operations describe. */
static bool
find_key(struct matcher *ma, struct tb_term map, struct tb_term *value)
{
    struct tb_term key = { 0 };
    uint32_t pairs;

    if (!tb_get_map(map, &pairs, &key))
        return false;
    for (uint32_t i = 0; i < pairs; i++) {
        struct matcher probe = *ma;

        key = i ? tb_get_next(*value) : key;
        *value = tb_get_next(key);
        if (match_term(&probe, key))
            return true;
    }
    return false;
}

static bool
match_map(struct matcher *ma, uint32_t pairs, struct tb_term t)
{
    struct tb_term value;
    uint32_t n;

    if (!tb_get_map(t, &n, &value))
        return false;
    for (uint32_t i = 0; i < pairs; i++) {
        if (!find_key(ma, t, &value))
            return false;
        pass_over(ma);
        if (!match_term(ma, value))
            return false;
    }
    return true;
}

static bool
match_chars(struct tb_text text, struct tb_term t)
{
    struct tb_rd r = tb_rd_of(text.p, text.n);
    struct tb_elems e;
    struct tb_term item;
    int64_t c;

    if (!tb_elems_open(&e, t))
        return false;
    while (tb_rd_left(&r) > 0)
        if (!tb_elems_next(&e, &item) || !tb_get_int(item, &c) ||
            c != tb_utf8_get(&r))
            return false;
    return !tb_elems_next(&e, &item) && e.rest.p[0] == ETF_NIL;
}

static bool
match_term(struct matcher *ma, struct tb_term t)
{
    const struct tb_pattern_op *op = ma->op++;
    struct tb_text text, want = { op->text, op->n };
    int64_t i;

    switch ((enum tb_pattern_kind)op->kind) {
    case TB_OP_ANY:
        return true;
    case TB_OP_HOLE:
        if (ma->shape_only) {
            ma->out++;
            return true;
        }
        return fill(ma->out++, (enum tb_type)op->type, t);
    case TB_OP_ATOM:
        return match_atom(want, t);
    case TB_OP_INT:
        return tb_get_int(t, &i) && i == op->i;
    case TB_OP_STR:
        return match_chars(want, t);
    case TB_OP_BIN:
        return tb_get_bin(t, &text) && tb_text_eq(text, want);
    case TB_OP_TUPLE:
        return match_tuple(ma, op->n, t);
    case TB_OP_LIST:
    case TB_OP_CONS:
        return match_list(ma, op->n, op->kind == TB_OP_CONS, t);
    case TB_OP_MAP:
        return match_map(ma, op->n, t);
    }
    return false;
}

int
tb_pattern_match(const struct tb_pattern *p, struct tb_term t, bool shape_only,
                 struct tb_val out[TB_MAX_HOLES])
{
    struct matcher ma = { p->op, out, shape_only };

    return t.n > 0 && match_term(&ma, t);
}

int
tb_match(const char *pattern, struct tb_term term,
         struct tb_val out[TB_MAX_HOLES])
{
    struct tb_pattern scratch;
    int rc = 0;
    const struct tb_pattern *p = tb_recent_pattern(pattern, &scratch, &rc);

    return p ? tb_pattern_match(p, term, false, out) : rc;
}
