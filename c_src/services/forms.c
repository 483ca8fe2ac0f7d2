/* forms.c - what many child specs have in common: all of a spec but the id and
 * the arguments. It is kept once, however many children have it, with what
 * which_children shows of each of them.
 * Owns: forms, which live as long as a child has one. Thread: loop. */
#include "services/children.h"

#include <string.h>

/* What a spec consists of, in this order; the id of a dynamic child is part of
 * the head. */
struct parts {
    struct tb_term head, id, middle, args, tail;
};

struct tb_form {
    struct tb_wr *scratch; /* of the table */
    size_t users;
    size_t n; /* bytes by which it is found: three lengths, and the parts */
    uint32_t head_n, middle_n, tail_n;
    uint32_t shown_n; /* of {Id, Pid, Type, Modules}, up to the pid or id */
    uint32_t rest_n;  /* and behind the pid */
    uint8_t bytes[];
};

#define LENGTHS (3 * sizeof(uint32_t))

static struct tb_term
from_to(const uint8_t *from, const uint8_t *to)
{
    return (struct tb_term){ from, (size_t)(to - from) };
}

static bool
split(struct parts *p, struct tb_term spec, const struct tb_spec *s)
{
    struct tb_val v[TB_MAX_HOLES];
    const uint8_t *id = s->named ? s->id.p : s->id.p + s->id.n;

    if (tb_match("{_, _, Args}", s->mfa, v) != 1)
        return false;
    p->head = from_to(spec.p, id);
    p->id = from_to(id, s->id.p + s->id.n);
    p->args = v[0].term;
    p->middle = from_to(s->id.p + s->id.n, p->args.p);
    p->tail = from_to(p->args.p + p->args.n, spec.p + spec.n);
    return spec.n <= UINT32_MAX;
}

/* The spec as we would write it, so that an id has the same bytes whoever sent
 * it. */
static bool
rebuild(struct tb_wr *w, struct parts *p, struct tb_spec *s)
{
    w->len = 0;
    tb_build(w, "{Kind, Id, Mfa, R, S, Sh, T, M}",
             TB_ARGS(tb_v_atom(s->named ? "named" : "dynamic"),
                     tb_v_term(s->id), tb_v_term(s->mfa),
                     tb_v_atom(tb_restart_atom(s->restart)),
                     tb_v_bool(s->significant), tb_v_term(s->shutdown),
                     tb_v_atom(s->supervisor ? "supervisor" : "worker"),
                     tb_v_term(s->modules)));
    return !w->bad && tb_spec_read(s, tb_wr_term(w)) &&
           split(p, tb_wr_term(w), s);
}

/* ---------------------------------------------------------------- table -- */

static void
put_key(struct tb_wr *w, const struct parts *p)
{
    uint32_t lengths[] = { (uint32_t)p->head.n, (uint32_t)p->middle.n,
                           (uint32_t)p->tail.n };

    w->len = 0;
    tb_wr_bytes(w, lengths, sizeof(lengths));
    tb_wr_bytes(w, p->head.p, p->head.n);
    tb_wr_bytes(w, p->middle.p, p->middle.n);
    tb_wr_bytes(w, p->tail.p, p->tail.n);
}

static bool
is_same(struct tb_term t, const uint8_t *bytes, size_t n)
{
    return t.n == n && memcmp(t.p, bytes, n) == 0;
}

/* Mostly it is that of the child before. */
static struct tb_form *
find(struct tb_children *t, const struct parts *p)
{
    struct tb_form *f = t->last_form;
    const uint8_t *at = f ? f->bytes + LENGTHS : NULL;

    if (f && is_same(p->head, at, f->head_n) &&
        is_same(p->middle, at + f->head_n, f->middle_n) &&
        is_same(p->tail, at + f->head_n + f->middle_n, f->tail_n))
        return f;
    put_key(&t->key, p);
    return t->last_form = tb_map_get(t->forms, t->key.buf, t->key.len);
}

static void
put_shown(struct tb_wr *w, const struct tb_spec *s, struct tb_val v[])
{
    w->len = 0;
    tb_build(w, "{Id, at, Type, Modules}",
             TB_ARGS(tb_v_term(s->id),
                     tb_v_atom(s->supervisor ? "supervisor" : "worker"),
                     tb_v_term(s->modules)));
    tb_match("{Id, At, _, _}", tb_wr_term(w), v);
}

/* Of parts that were rebuilt; t->key has its key. */
static struct tb_form *
make(struct tb_children *t, const struct parts *p, const struct tb_spec *s)
{
    struct tb_wr shown = { 0 };
    struct tb_val v[TB_MAX_HOLES];
    struct tb_form *f;
    const uint8_t *rest;

    put_shown(&shown, s, v);
    rest = v[1].term.p + v[1].term.n;
    f = tb_alloc(sizeof(*f) + t->key.len + shown.len);
    f->scratch = &t->scratch;
    f->n = t->key.len;
    f->head_n = (uint32_t)p->head.n;
    f->middle_n = (uint32_t)p->middle.n;
    f->tail_n = (uint32_t)p->tail.n;
    f->shown_n = (uint32_t)((s->named ? v[0].term.p : v[1].term.p) - shown.buf);
    f->rest_n = (uint32_t)(shown.buf + shown.len - rest);
    memcpy(f->bytes, t->key.buf, f->n);
    memcpy(f->bytes + f->n, shown.buf, f->shown_n);
    memcpy(f->bytes + f->n + f->shown_n, rest, f->rest_n);
    tb_wr_free(&shown);
    tb_map_put(t->forms, f->bytes, f->n, f);
    return t->last_form = f;
}

struct tb_form *
tb_form_get(struct tb_children *t, struct tb_term spec, struct tb_spec *s,
            struct tb_term *args)
{
    struct parts p;
    struct tb_form *f;

    if (!tb_spec_read(s, spec) || !split(&p, spec, s))
        return NULL;
    f = find(t, &p);
    if (!f && rebuild(&t->scratch, &p, s)) {
        f = find(t, &p);
        if (!f)
            f = make(t, &p, s);
    }
    t->scratch.bad = false;
    if (!f)
        return NULL;
    f->users++;
    *args = p.args;
    return f;
}

void
tb_form_release(struct tb_children *t, struct tb_form *f)
{
    if (--f->users > 0)
        return;
    if (t->last_form == f)
        t->last_form = NULL;
    tb_map_take(t->forms, f->bytes, f->n);
    tb_free(f);
}

/* -------------------------------------------------------------- showing -- */

struct tb_term
tb_form_spec(const struct tb_form *f, struct tb_term id, struct tb_term args)
{
    const uint8_t *at = f->bytes + LENGTHS;
    struct tb_wr *w = f->scratch;

    w->len = 0;
    tb_wr_bytes(w, at, f->head_n);
    tb_wr_bytes(w, id.p, id.n);
    tb_wr_bytes(w, at + f->head_n, f->middle_n);
    tb_wr_bytes(w, args.p, args.n);
    tb_wr_bytes(w, at + f->head_n + f->middle_n, f->tail_n);
    return tb_wr_term(w);
}

/* Mostly it is that of the child before. */
static void
set_form(struct tb_shown *s, const struct tb_form *f)
{
    const uint8_t *shown = f->bytes + f->n;

    if (s->form == f)
        return;
    s->form = f;
    s->head.len = s->rest.len = 0;
    tb_atom_table_put(s->table, &s->head,
                      (struct tb_term){ shown, f->shown_n });
    tb_atom_table_put(s->table, &s->rest,
                      (struct tb_term){ shown + f->shown_n, f->rest_n });
}

void
tb_form_show(struct tb_shown *s, const struct tb_form *f, struct tb_term id,
             struct tb_val pid)
{
    struct tb_wr *w = &s->items;

    set_form(s, f);
    tb_wr_bytes(w, s->head.buf, s->head.len);
    tb_atom_table_put(s->table, w, id);
    if (pid.type == TB_T_PID)
        tb_atom_table_put_pid(s->table, w, pid.pid);
    else
        tb_build(w, "State", TB_ARGS(pid));
    tb_wr_bytes(w, s->rest.buf, s->rest.len);
    w->bad |= s->head.bad || s->rest.bad;
}

void
tb_shown_free(struct tb_shown *s)
{
    tb_wr_free(&s->items);
    tb_wr_free(&s->head);
    tb_wr_free(&s->rest);
    tb_atom_table_free(s->table);
}
