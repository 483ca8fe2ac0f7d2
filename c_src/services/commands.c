/* commands.c - commands to hosts, gathered over a turn of the loop: one
 * message to each host, however many children there are to start.
 * Owns: nothing. Thread: loop. */
#include "services/supervisor.h"

#define ENOUGH (1u << 20) /* bytes in one message */
#define KEEP   (1u << 14) /* that stay for the next one */

int64_t
tb_generation(const struct tb_supervisor *sup)
{
    struct tb_val v[TB_MAX_HOLES];
    const struct tb_wr *value = &sup->record[TB_RECORD_GENERATION].value;

    return value->len && tb_match("N:int", tb_wr_term(value), v) == 1 ? v[0].i
                                                                      : 0;
}

void
tb_host_send(struct tb_proc *self, struct tb_host *h)
{
    struct tb_supervisor *sup = h->sup;
    const struct tb_record *set = &sup->record[TB_RECORD_SET];
    struct tb_wr list = { 0 }, stamp = { 0 };

    if (h->n_run == 0)
        return;
    tb_build_list(&list, h->n_run, &h->run);
    if (set->value.len)
        tb_build(&stamp, "{Counter, Node}",
                 TB_ARGS(tb_v_int(set->counter), tb_v_node(set->node)));
    else
        tb_build(&stamp, "none", TB_NONE);
    tb_send_name(self, sup->host_name, h->node,
                 "{'$gen_cast', {run, Me, Epoch, Generation, Stamp, List}}",
                 TB_ARGS(tb_v_pid(tb_self(self)), tb_v_int(h->epoch),
                         tb_v_int(h->generation), tb_v_term(tb_wr_term(&stamp)),
                         tb_v_term(tb_wr_term(&list))));
    tb_wr_free(&list);
    tb_wr_free(&stamp);
    if (h->run.cap > KEEP)
        tb_wr_free(&h->run);
    h->run.len = 0;
    h->n_run = 0;
}

void
tb_commands_send(struct tb_proc *self, struct tb_supervisor *sup)
{
    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link)
        if (h->n_run)
            tb_host_send(self, h);
}

void
tb_command(struct tb_proc *self, struct tb_host *h, const char *command,
           struct tb_args args)
{
    size_t before = h->run.len;

    if (h->phase != TB_HOST_ATTACHED)
        return; /* what is on its way is sent again when it is back */
    if (tb_build(&h->run, command, args) < 0) {
        h->run.len = before;
        h->run.bad = false;
        return;
    }
    h->n_run++;
    if (h->run.len > ENOUGH)
        tb_host_send(self, h);
    else
        tb_sup_turn_ask(self, h->sup);
}

/* ---------------------------------------------------------------- works -- */

static void
send_start(struct tb_proc *self, struct tb_supervisor *sup, struct tb_work *w,
           struct tb_val key)
{
    struct tb_child *c = w->child;
    bool asked = w->kind == TB_WORK_START && !w->fresh;
    struct tb_wr count = tb_scratch_take(sup);

    if (asked) /* it stands in for nobody any more: what was asked for counts */
        tb_build(&count, "{Starts, []}",
                 TB_ARGS(tb_v_int((int64_t)tb_starts_asked(c->starts))));
    else
        tb_child_put_count(
            &count, c,
            w->kind == TB_WORK_RESTART ? tb_starts_more(c->starts) : c->starts);
    if (c->named)
        tb_command(self, c->home->host, "{start, Key, Count, Spec, []}",
                   TB_ARGS(key, tb_v_term(tb_wr_term(&count)),
                           tb_v_term(tb_child_spec(c))));
    else
        tb_command(self, c->home->host, "{start, Key, Count, Spec, Extra}",
                   TB_ARGS(key, tb_v_term(tb_wr_term(&count)),
                           tb_v_term(tb_child_spec(c)),
                           tb_v_term(tb_wr_term(&sup->o.extra_arguments))));
    tb_scratch_give(sup, &count);
}

static void
send_keep(struct tb_proc *self, struct tb_work *w, struct tb_val key)
{
    struct tb_child *c = w->child;
    struct tb_wr count = { 0 };

    tb_child_put_count(&count, c,
                       w->stops ? tb_starts_stopped(c->starts) : c->starts);
    tb_command(self, c->home->host, "{keep, Key, Count, Spec, State}",
               TB_ARGS(key, tb_v_term(tb_wr_term(&count)),
                       tb_v_term(tb_child_spec(c)),
                       tb_v_atom(w->undefined ? "undefined" : "stopped")));
    tb_wr_free(&count);
}

/* While a host is away that may have the key, too, or a copy of it, or one is
 * lost of which another tiebeam node may remember more, those that are there
 * keep in mind that it is gone. */
static bool
bury(struct tb_proc *self, struct tb_supervisor *sup, struct tb_child *c,
     struct tb_val key)
{
    if ((tb_all_attached(sup) && sup->safe) || c->era >= sup->era)
        return false;
    tb_tombstone_add(sup, c->key);
    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link)
        if (h->phase == TB_HOST_ATTACHED && h != c->home->host)
            tb_command(self, h, "{tombstone, [Key]}", TB_ARGS(key));
    return true;
}

void
tb_work_send(struct tb_proc *self, struct tb_supervisor *sup, struct tb_work *w)
{
    struct tb_host *h = w->child->home->host;
    struct tb_wr bytes;
    struct tb_val key;

    if (!h || h->phase != TB_HOST_ATTACHED || !sup->owning ||
        !tb_host_has_closed(h) || !tb_pace_start(self, sup, w) ||
        (w->yields && !tb_instance_may_go(self, sup, w)))
        return;
    bytes = tb_scratch_take(sup);
    tb_key_put(&bytes, w->child->key);
    key = tb_v_term(tb_wr_term(&bytes));
    switch (w->kind) {
    case TB_WORK_START:
    case TB_WORK_RESTART:
    case TB_WORK_PLACE:
        send_start(self, sup, w, key);
        break;
    case TB_WORK_KEEP:
        send_keep(self, w, key);
        break;
    case TB_WORK_STOP:
        if (w->remove)
            tb_command(self, h, "{stop, Key, {delete, T}}",
                       TB_ARGS(key, tb_v_bool(!w->moved &&
                                              bury(self, sup, w->child, key))));
        else
            tb_command(self, h, "{stop, Key, stopped}", TB_ARGS(key));
        break;
    case TB_WORK_DELETE:
        tb_command(self, h, "{delete, Key, T}",
                   TB_ARGS(key, tb_v_bool(!w->moved &&
                                          bury(self, sup, w->child, key))));
        break;
    case TB_WORK_LEAVE:
        tb_command(self, h, "{stop, Key, {moving, To}}",
                   TB_ARGS(key, tb_v_node(w->to)));
        break;
    }
    tb_scratch_give(sup, &bytes);
}
