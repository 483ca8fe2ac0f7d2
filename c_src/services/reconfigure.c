/* reconfigure.c - options that change while a supervisor runs.
 *
 * One tiebeam node is told; the owner records them on the hosts, and all that
 * had the options of before take them from there. A node that comes with other
 * options than the hosts' does not decide, as long as there is one that has
 * them; when there has been none for a while, its own count.
 * In Erlang: supervisor:code_change/3.
 * Owns: nothing. Thread: loop. */
#include <string.h>

#include "services/supervisor.h"

/* As texts: the same list can have several encodings. */
bool
tb_options_same(const struct tb_wr *a, const struct tb_wr *b)
{
    struct tb_wr x = { 0 }, y = { 0 };
    bool same;

    tb_print(&x, tb_wr_term(a));
    tb_print(&y, tb_wr_term(b));
    same = x.len == y.len && memcmp(x.buf, y.buf, x.len) == 0;
    tb_wr_free(&x);
    tb_wr_free(&y);
    return same;
}

/* -------------------------------------------------------------- changes -- */

static bool
places_same(const struct tb_supervisor_options *a,
            const struct tb_supervisor_options *b)
{
    return a->locator == b->locator && strcmp(a->module, b->module) == 0 &&
           strcmp(a->function, b->function) == 0 && a->filter == b->filter &&
           a->hosts.len == b->hosts.len &&
           (a->hosts.len == 0 ||
            memcmp(a->hosts.buf, b->hosts.buf, a->hosts.len) == 0);
}

static void
look_for_places(struct tb_proc *self, struct tb_supervisor *sup)
{
    tb_hosts_reconsider(self, sup);
    if (sup->owning && sup->o.auto_balance && sup->table.counts.specs > 0)
        tb_balance_later(self, sup);
}

/* They are taken over. A process that comes after this one begins with them. */
static void
apply(struct tb_proc *self, struct tb_supervisor *sup,
      const struct tb_supervisor_options *now)
{
    struct tb_supervisor_options old = sup->o;

    sup->o = *now;
    sup->options_node = 0; /* to be compared with the record */
    sup->config->opts->len = 0;
    tb_supervisor_options_put(&sup->o, sup->config->opts);
    if (!places_same(&old, &sup->o))
        look_for_places(self, sup);
    if (sup->o.start_rate != old.start_rate)
        tb_pace_go_on(self, sup);
    if (sup->o.global != old.global)
        tb_sup_global(self, sup);
    if (!tb_options_same(&old.all, &sup->o.all))
        tb_log(TB_NOTICE, "supervisor.reconfigured", "name=%s", sup->name);
    tb_supervisor_options_fini(&old);
    tb_sup_turn_ask(self, sup);
}

/* Those that all nodes agree on. */
static bool
take_shared(struct tb_proc *self, struct tb_supervisor *sup, struct tb_term all)
{
    struct tb_supervisor_options now;
    struct tb_wr why = { 0 };
    int rc =
        tb_supervisor_options_change(&now, &sup->o, TB_OPTIONS_OWN, all, &why);

    tb_wr_free(&why);
    if (rc == 0)
        apply(self, sup, &now);
    else
        tb_supervisor_options_fini(&now);
    return rc == 0;
}

/* ------------------------------------------------------------- requests -- */

/* Our own of them count at once, the others when the owner has recorded them.
 */
static int
take(struct tb_proc *self, struct tb_supervisor *sup, const struct tb_msg *m,
     const struct tb_supervisor_options *now)
{
    struct tb_supervisor_options ours;
    struct tb_wr term = { 0 }, why = { 0 };

    if (tb_supervisor_options_change(&ours, now, TB_OPTIONS_OWN,
                                     tb_wr_term(&sup->o.all), &why) == 0)
        apply(self, sup, &ours);
    else
        tb_supervisor_options_fini(&ours);
    tb_wr_free(&why);
    if (tb_options_same(&now->all, &sup->o.all) && !sup->differs)
        return tb_reply(self, m, "ok", TB_NONE);
    sup->follows = true;
    tb_build(&term, "{'$tb_options', All}",
             TB_ARGS(tb_v_term(tb_wr_term(&now->all))));
    tb_request_run(self, sup, tb_request_new(self, sup, m, tb_wr_term(&term)));
    tb_wr_free(&term);
    return TB_NOREPLY;
}

/* rc, why: how reading them went. */
static int
taken(struct tb_proc *self, struct tb_supervisor *sup, const struct tb_msg *m,
      struct tb_supervisor_options *now, int rc, struct tb_wr *why)
{
    rc = rc < 0 ? tb_reply(self, m, "{error, Why}",
                           TB_ARGS(tb_v_term(tb_wr_term(why))))
                : take(self, sup, m, now);
    tb_supervisor_options_fini(now);
    tb_wr_free(why);
    return rc;
}

/* {reconfigure, Options}: what it does not name stays. */
int
tb_on_sup_reconfigure(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_supervisor *sup = state;
    struct tb_supervisor_options now;
    struct tb_wr why = { 0 };
    int rc = tb_supervisor_options_change(&now, &sup->o, TB_OPTIONS_ALL,
                                          m->arg[0].term, &why);

    return taken(self, sup, m, &now, rc, &why);
}

/* {reload, Options}: the whole of a configuration. */
int
tb_on_sup_reload(struct tb_proc *self, void *state, const struct tb_msg *m)
{
    struct tb_supervisor_options now;
    struct tb_wr why = { 0 };
    int rc = tb_supervisor_options_read(&now, m->arg[0].term, &why);

    return taken(self, state, m, &now, rc, &why);
}

/* The owner's part. */
void
tb_options_do(struct tb_proc *self, struct tb_supervisor *sup,
              struct tb_request *r, const struct tb_val *v)
{
    if (!take_shared(self, sup, v[0].term)) {
        tb_answer(self, sup, r, "{error, badarg}", TB_NONE);
        return;
    }
    sup->follows = true;
    if (tb_is_open(sup) &&
        !tb_options_same(&sup->record[TB_RECORD_OPTIONS].value, &sup->o.all))
        tb_record_set(sup, TB_RECORD_OPTIONS, tb_wr_term(&sup->o.all));
    tb_answer(self, sup, r, "ok", TB_NONE);
}

/* ------------------------------------------------------------ the hosts' -- */

/* Compared once for each that is recorded. */
static bool
are_ours(struct tb_supervisor *sup)
{
    const struct tb_record *r = &sup->record[TB_RECORD_OPTIONS];

    if (r->counter != sup->options_counter || r->node != sup->options_node) {
        sup->options_counter = r->counter;
        sup->options_node = r->node;
        sup->options_ours = tb_options_same(&r->value, &sup->o.all);
    }
    return sup->options_ours;
}

static bool
nobody_decides(const struct tb_supervisor *sup)
{
    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link)
        if (h->phase == TB_HOST_ATTACHED && h->owner &&
            h->owner != sup->self_node)
            return false;
    return !tb_has_no_hosts(sup);
}

static void
differ(struct tb_proc *self, struct tb_supervisor *sup)
{
    uint64_t now = tb_now_ms(tb_self_node(self));

    if (!sup->differs && !sup->imposes)
        tb_log(TB_WARNING, "supervisor.options_differ",
               "name=%s: the hosts have other options: this node does not "
               "decide while there is one that has them",
               sup->name);
    if (!nobody_decides(sup)) {
        sup->differ_ms = 0;
        sup->imposes = false;
    } else if (!sup->differ_ms) {
        sup->differ_ms = now;
    } else if (!sup->imposes && now - sup->differ_ms >= TB_SUP_IMPOSE_MS) {
        tb_log(TB_NOTICE, "supervisor.options_imposed",
               "name=%s: no node has the options of the hosts: those of this "
               "node count now",
               sup->name);
        sup->imposes = true;
    }
    sup->differs = !sup->imposes;
}

void
tb_options_see(struct tb_proc *self, struct tb_supervisor *sup)
{
    const struct tb_record *r = &sup->record[TB_RECORD_OPTIONS];
    bool bound = tb_is_open(sup) && r->value.len;

    if (bound && !are_ours(sup) &&
        !(sup->follows && take_shared(self, sup, tb_wr_term(&r->value)))) {
        differ(self, sup);
        return;
    }
    sup->follows |= bound;
    sup->differs = sup->imposes = false;
    sup->differ_ms = 0;
}
