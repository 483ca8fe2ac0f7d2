/* child_spec.c - child specs, checked as DynamicSupervisor and supervisor do.
 * In Erlang: supervisor:check_childspec/2, and validate_child of Elixir's
 * DynamicSupervisor. Owns: nothing. Thread: any. */
#include "services/child_spec.h"

#include <string.h>

#define DEFAULT_SHUTDOWN 5000

/* A child spec on its way in: the parts that were given. */
struct parts {
    bool named;
    struct tb_term id, mfa, restart, significant, shutdown, type, modules;
};

static bool
is_atom(struct tb_term t)
{
    struct tb_val h[TB_MAX_HOLES];

    return tb_match("A:atom", t, h) == 1;
}

static bool
is(struct tb_term t, const char *pattern)
{
    struct tb_val h[TB_MAX_HOLES];

    return t.n && tb_match(pattern, t, h) == 1;
}

/* ------------------------------------------------------------- checks -- */

/* "{invalid_mfa, X}" */
static int
invalid(struct tb_wr *why, const char *reason, struct tb_term what)
{
    tb_build(why, "{Reason, What}",
             TB_ARGS(tb_v_atom(reason), tb_v_term(what)));
    return -TB_EBADARG;
}

static bool
mfa_ok(struct tb_term t)
{
    struct tb_val h[TB_MAX_HOLES];

    return tb_match("{M:atom, F:atom, Args:list}", t, h) == 1;
}

static bool
restart_ok(struct tb_term t)
{
    return is(t, "permanent") || is(t, "transient") || is(t, "temporary");
}

static bool
type_ok(struct tb_term t)
{
    return is(t, "worker") || is(t, "supervisor");
}

static bool
shutdown_ok(struct tb_term t)
{
    struct tb_val h[TB_MAX_HOLES];

    return is(t, "infinity") || is(t, "brutal_kill") ||
           (tb_match("Ms:int", t, h) == 1 && h[0].i >= 0);
}

static int
check_modules(const struct parts *p, struct tb_wr *why)
{
    struct tb_elems e;
    struct tb_term item;

    if (is(p->modules, "dynamic"))
        return 0;
    if (!tb_elems_open(&e, p->modules))
        return invalid(why, "invalid_modules", p->modules);
    while (tb_elems_next(&e, &item))
        if (!is_atom(item))
            return p->named ? invalid(why, "invalid_module", item)
                            : invalid(why, "invalid_modules", p->modules);
    return 0;
}

/* Nobody is significant to a supervisor without auto_shutdown. */
static int
check_significant(const struct parts *p, struct tb_wr *why)
{
    if (is(p->significant, "true")) {
        tb_build(why,
                 "{bad_combination, [{auto_shutdown, never}, "
                 "{significant, true}]}",
                 TB_NONE);
        return -TB_EBADARG;
    }
    return is(p->significant, "false")
               ? 0
               : invalid(why, "invalid_significant", p->significant);
}

/* The order is theirs: of two errors they tell this one. */
static int
check(const struct parts *p, struct tb_wr *why)
{
    if (!mfa_ok(p->mfa))
        return invalid(why, "invalid_mfa", p->mfa);
    if (!restart_ok(p->restart))
        return invalid(why, "invalid_restart_type", p->restart);
    if (p->significant.n && check_significant(p, why) < 0)
        return -TB_EBADARG;
    if (p->named && !type_ok(p->type))
        return invalid(why, "invalid_child_type", p->type);
    if (!shutdown_ok(p->shutdown))
        return invalid(why, "invalid_shutdown", p->shutdown);
    if (!type_ok(p->type))
        return invalid(why, "invalid_child_type", p->type);
    return check_modules(p, why);
}

/* ------------------------------------------------------------ reading -- */

/* What a map leaves out. */
struct defaults {
    struct tb_wr permanent, worker, no, infinity, timeout, modules;
};

static void
open_defaults(struct defaults *d)
{
    tb_build(&d->permanent, "permanent", TB_NONE);
    tb_build(&d->worker, "worker", TB_NONE);
    tb_build(&d->no, "false", TB_NONE);
    tb_build(&d->infinity, "infinity", TB_NONE);
    tb_build(&d->timeout, "Ms", TB_ARGS(tb_v_int(DEFAULT_SHUTDOWN)));
}

static void
close_defaults(struct defaults *d)
{
    tb_wr_free(&d->permanent);
    tb_wr_free(&d->worker);
    tb_wr_free(&d->no);
    tb_wr_free(&d->infinity);
    tb_wr_free(&d->timeout);
    tb_wr_free(&d->modules);
}

static void
take_key(struct parts *p, struct tb_text key, struct tb_term value)
{
    if (tb_text_is(key, "id"))
        p->id = value;
    else if (tb_text_is(key, "start"))
        p->mfa = value;
    else if (tb_text_is(key, "restart"))
        p->restart = value;
    else if (tb_text_is(key, "significant"))
        p->significant = value;
    else if (tb_text_is(key, "shutdown"))
        p->shutdown = value;
    else if (tb_text_is(key, "type"))
        p->type = value;
    else if (tb_text_is(key, "modules"))
        p->modules = value;
}

static void
read_map(struct parts *p, struct tb_elems *e)
{
    struct tb_val h[TB_MAX_HOLES];
    struct tb_term key, value;

    while (tb_elems_next(e, &key) && tb_elems_next(e, &value))
        if (tb_match("Key:atom", key, h) == 1)
            take_key(p, h[0].text, value);
}

static void
fill_in(struct parts *p, struct defaults *d)
{
    struct tb_val h[TB_MAX_HOLES];

    if (!p->restart.n)
        p->restart = tb_wr_term(&d->permanent);
    if (!p->significant.n)
        p->significant = tb_wr_term(&d->no);
    if (!p->type.n)
        p->type = tb_wr_term(&d->worker);
    if (!p->shutdown.n)
        p->shutdown =
            tb_wr_term(is(p->type, "supervisor") ? &d->infinity : &d->timeout);
    if (!p->modules.n && tb_match("{M:atom, _, _}", p->mfa, h) == 1) {
        tb_build(&d->modules, "[M]", TB_ARGS(h[0]));
        p->modules = tb_wr_term(&d->modules);
    }
}

static int
read_asked(struct parts *p, struct tb_term asked, struct defaults *d,
           struct tb_wr *why)
{
    struct tb_val h[TB_MAX_HOLES];
    struct tb_elems e;

    if (tb_match("{Mfa:tuple, Restart, Shutdown, Type, Modules}", asked, h) ==
        1) {
        *p = (struct parts){ .mfa = h[0].term,
                             .restart = h[1].term,
                             .shutdown = h[2].term,
                             .type = h[3].term,
                             .modules = h[4].term };
    } else if (tb_match("{Id, Mfa, Restart, Shutdown, Type, Modules}", asked,
                        h) == 1) {
        *p = (struct parts){ .named = true,
                             .id = h[0].term,
                             .mfa = h[1].term,
                             .restart = h[2].term,
                             .shutdown = h[3].term,
                             .type = h[4].term,
                             .modules = h[5].term };
    } else if (tb_elems_open_map(&e, asked)) {
        *p = (struct parts){ .named = true };
        open_defaults(d);
        read_map(p, &e);
        if (!p->id.n || !p->mfa.n) {
            tb_build(why, p->id.n ? "missing_start" : "missing_id", TB_NONE);
            return -TB_EBADARG;
        }
        fill_in(p, d);
    } else {
        return invalid(why, "invalid_child_spec", asked);
    }
    return 0;
}

int
tb_spec_put(struct tb_wr *w, struct tb_term asked, struct tb_wr *why)
{
    struct parts p = { 0 };
    struct defaults d = { 0 };
    int rc;

    rc = read_asked(&p, asked, &d, why);
    if (rc == 0)
        rc = check(&p, why);
    if (rc == 0)
        rc = p.named
                 ? tb_build(w, "{named, Id, Mfa, R, false, Sh, T, M}",
                            TB_ARGS(tb_v_term(p.id), tb_v_term(p.mfa),
                                    tb_v_term(p.restart), tb_v_term(p.shutdown),
                                    tb_v_term(p.type), tb_v_term(p.modules)))
                 : tb_build(w, "{dynamic, undefined, Mfa, R, false, Sh, T, M}",
                            TB_ARGS(tb_v_term(p.mfa), tb_v_term(p.restart),
                                    tb_v_term(p.shutdown), tb_v_term(p.type),
                                    tb_v_term(p.modules)));
    close_defaults(&d);
    return rc;
}

bool
tb_spec_read(struct tb_spec *s, struct tb_term kept)
{
    struct tb_val h[TB_MAX_HOLES];

    if (tb_match("{Kind:atom, Id, Mfa:tuple, R:atom, S:atom, Sh, T:atom, M}",
                 kept, h) != 1)
        return false;
    *s = (struct tb_spec){
        .named = tb_text_is(h[0].text, "named"),
        .id = h[1].term,
        .mfa = h[2].term,
        .restart = tb_text_is(h[3].text, "permanent")   ? TB_PERMANENT
                   : tb_text_is(h[3].text, "transient") ? TB_TRANSIENT
                                                        : TB_TEMPORARY,
        .significant = tb_text_is(h[4].text, "true"),
        .shutdown = h[5].term,
        .supervisor = tb_text_is(h[6].text, "supervisor"),
        .modules = h[7].term,
    };
    return s->named || tb_text_is(h[0].text, "dynamic");
}

/* ------------------------------------------------------------ showing -- */

const char *
tb_restart_atom(enum tb_restart restart)
{
    return restart == TB_PERMANENT   ? "permanent"
           : restart == TB_TRANSIENT ? "transient"
                                     : "temporary";
}

static struct tb_val
type_of(const struct tb_spec *s)
{
    return tb_v_atom(s->supervisor ? "supervisor" : "worker");
}

void
tb_spec_put_located(struct tb_wr *w, const struct tb_spec *s)
{
    if (s->named)
        tb_build(w, "Id", TB_ARGS(tb_v_term(s->id)));
    else
        tb_build(
            w, "{Mfa, Restart, Shutdown, Type, Modules}",
            TB_ARGS(tb_v_term(s->mfa), tb_v_atom(tb_restart_atom(s->restart)),
                    tb_v_term(s->shutdown), type_of(s), tb_v_term(s->modules)));
}

/* The arguments of a temporary child are not shown: supervisor has not kept
 * them. */
void
tb_spec_put_map(struct tb_wr *w, const struct tb_spec *s)
{
    struct tb_val h[TB_MAX_HOLES];
    struct tb_wr start = { 0 };

    if (s->restart == TB_TEMPORARY &&
        tb_match("{M:atom, F:atom, _}", s->mfa, h) == 1)
        tb_build(&start, "{M, F, undefined}", TB_ARGS(h[0], h[1]));
    else
        tb_build(&start, "Mfa", TB_ARGS(tb_v_term(s->mfa)));
    tb_build(w,
             "#{id => Id, start => Mfa, restart => R, significant => S, "
             "shutdown => Sh, type => T, modules => M}",
             TB_ARGS(tb_v_term(s->id), tb_v_term(tb_wr_term(&start)),
                     tb_v_atom(tb_restart_atom(s->restart)),
                     tb_v_bool(s->significant), tb_v_term(s->shutdown),
                     type_of(s), tb_v_term(s->modules)));
    tb_wr_free(&start);
}

void
tb_spec_put_record(struct tb_wr *w, const struct tb_spec *s)
{
    tb_build(w, "{child, undefined, Id, Mfa, R, S, Sh, T, M}",
             TB_ARGS(tb_v_term(s->id), tb_v_term(s->mfa),
                     tb_v_atom(tb_restart_atom(s->restart)),
                     tb_v_bool(s->significant), tb_v_term(s->shutdown),
                     type_of(s), tb_v_term(s->modules)));
}
