/* answers.c - requests, from the moment that they come until they are
 * answered: held while nobody decides, passed on to the owner, answered when
 * what they did is in two places.
 * Owns: requests. Thread: loop. */
#include <string.h>

#include "services/supervisor.h"

/* ------------------------------------------------------------- requests -- */

struct tb_request *
tb_request_new(struct tb_proc *self, struct tb_supervisor *sup,
               const struct tb_msg *m, struct tb_term term)
{
    struct tb_request *r = tb_alloc(sizeof(*r) + term.n);
    uint8_t *bytes = (uint8_t *)(r + 1);

    if (term.n)
        memcpy(bytes, term.p, term.n);
    r->term = (struct tb_term){ bytes, term.n };
    r->from = m ? tb_from_keep(m) : NULL;
    r->due_ms = tb_now_ms(tb_self_node(self)) + TB_SUP_WAIT_MS;
    tb_list_add(&sup->requests, &r->all);
    tb_sup_tick_ask(self, sup);
    return r;
}

/* It is under way: its answer goes to who asks now. */
bool
tb_request_again(struct tb_supervisor *sup, const struct tb_msg *m,
                 struct tb_key key)
{
    TB_LIST_EACH (r, &sup->requests, struct tb_request, all) {
        if (!r->passed || memcmp(&r->key, &key, sizeof(key)) != 0)
            continue;
        tb_from_free(r->from);
        r->from = tb_from_keep(m);
        return true;
    }
    return false;
}

void
tb_request_free(struct tb_supervisor *sup, struct tb_request *r)
{
    (void)sup;
    tb_list_del(&r->link);
    tb_list_del(&r->all);
    tb_from_free(r->from);
    tb_wr_free(&r->reply);
    tb_free(r);
}

static void
deliver(struct tb_proc *self, struct tb_supervisor *sup, struct tb_request *r)
{
    if (r->batch) {
        tb_batch_take(self, r);
    } else if (r->passed) {
        tb_reply_to(self, r->from, "{'$tb_owner', Reply}",
                    TB_ARGS(tb_v_term(tb_wr_term(&r->reply))));
    } else if (r->from) {
        tb_reply_to(self, r->from, "Reply",
                    TB_ARGS(tb_v_term(tb_wr_term(&r->reply))));
    }
    tb_request_free(sup, r);
}

/* To the one who asked, in this turn. */
static bool
is_direct(const struct tb_request *r)
{
    return r->from && !r->passed && !r->batch;
}

struct tb_atom_table *
tb_answer_table(struct tb_proc *self, const struct tb_request *r)
{
    return is_direct(r) ? tb_atom_table_for(self, r->from) : NULL;
}

void
tb_answer(struct tb_proc *self, struct tb_supervisor *sup, struct tb_request *r,
          const char *reply, struct tb_args args)
{
    if (is_direct(r)) {
        tb_reply_to(self, r->from, reply, args);
        tb_request_free(sup, r);
        return;
    }
    r->reply.len = 0;
    tb_build(&r->reply, reply, args);
    deliver(self, sup, r);
}

void
tb_answer_with(struct tb_proc *self, struct tb_supervisor *sup,
               struct tb_request *r, const struct tb_atom_table *t,
               struct tb_term reply)
{
    if (!t) {
        tb_answer(self, sup, r, "Reply", TB_ARGS(tb_v_term(reply)));
        return;
    }
    tb_reply_with(self, r->from, t, reply);
    tb_request_free(sup, r);
}

void
tb_answer_when(struct tb_proc *self, struct tb_supervisor *sup,
               struct tb_request *r, struct tb_host *host, uint64_t seq,
               const char *reply, struct tb_args args)
{
    r->reply.len = 0;
    tb_build(&r->reply, reply, args);
    r->work = NULL;
    tb_list_del(&r->link);
    if (host && host->phase == TB_HOST_ATTACHED &&
        tb_has_second_place(sup, host) && seq > host->copied) {
        r->seq = seq;
        tb_list_add(&host->unacked, &r->link);
    } else {
        deliver(self, sup, r);
    }
}

/* Without a second place there is nothing to wait for. A host that is away may
 * be back, and its backup acknowledges all the same. */
void
tb_answers_copied(struct tb_proc *self, struct tb_supervisor *sup,
                  struct tb_host *host)
{
    bool all =
        host->phase == TB_HOST_ATTACHED && !tb_has_second_place(sup, host);

    TB_LIST_EACH (r, &host->unacked, struct tb_request, link) {
        if (!all && r->seq > host->copied)
            return;
        deliver(self, sup, r);
    }
}

/* An acknowledgement that went astray is not waited for: the backup is sent all
 * once more. */
void
tb_answers_late(struct tb_proc *self, struct tb_host *host)
{
    uint64_t now = tb_now_ms(tb_self_node(self)), since;
    const struct tb_request *r;

    if (tb_list_empty(&host->unacked) || !host->backup || host->backup_asked)
        return;
    r = TB_ENTRY(host->unacked.next, struct tb_request, link);
    since = r->due_ms - TB_SUP_WAIT_MS;
    if (since < host->late_ms)
        since = host->late_ms;
    if (now - since < TB_SUP_COPY_MS)
        return;
    host->late_ms = now;
    tb_backup_again(self, host);
}

/* --------------------------------------------------------------- failures --
 */

static struct tb_term
without_error(struct tb_term caught)
{
    struct tb_val v[TB_MAX_HOLES];

    return tb_match("{error, Reason}", caught, v) == 1 ? v[0].term : caught;
}

/* What a start function did, as supervisor or DynamicSupervisor tell it. */
void
tb_reason_put(struct tb_wr *w, bool named, struct tb_term outcome)
{
    struct tb_val v[TB_MAX_HOLES];

    if (tb_match("{error, Reason}", outcome, v) == 1 ||
        tb_match("{other, Reason}", outcome, v) == 1)
        tb_build(w, "Reason", TB_ARGS(v[0]));
    else if (tb_match("{exception, error, Reason, Stack}", outcome, v) == 1)
        tb_build(w, named ? "{'EXIT', {Reason, Stack}}" : "{Reason, Stack}",
                 TB_ARGS(v[0], v[1]));
    else if (tb_match("{exception, exit, Reason, _}", outcome, v) == 1)
        tb_build(w, named ? "{'EXIT', Reason}" : "Reason", TB_ARGS(v[0]));
    else if (tb_match("{exception, throw, Reason, Stack}", outcome, v) != 1)
        tb_build(w, "Outcome", TB_ARGS(tb_v_term(outcome)));
    else if (named) /* what is caught is as if it were returned */
        tb_build(w, "Reason", TB_ARGS(tb_v_term(without_error(v[0].term))));
    else
        tb_build(w, "{{nocatch, Reason}, Stack}", TB_ARGS(v[0], v[1]));
}

/* ------------------------------------------------------------------ time -- */

static size_t
put_missing(const struct tb_supervisor *sup, struct tb_wr *w)
{
    struct tb_wr names = { 0 };
    size_t n = 0;

    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link)
        if (tb_set_has(sup, h->node) && !h->down &&
            (h->phase != TB_HOST_ATTACHED || !tb_host_has_closed(h))) {
            tb_build(&names, "Node", TB_ARGS(tb_v_node(h->node)));
            n++;
        }
    tb_build_list(w, n, &names);
    tb_wr_free(&names);
    return n;
}

/* With all hosts there: that should not be. */
static void
log_expired(const struct tb_supervisor *sup, const struct tb_request *r)
{
    const struct tb_child *c = r->work ? r->work->child : NULL;

    tb_log(TB_WARNING, "request.expired",
           "name=%s owning=%d held=%d work=%d state=%d host=%s", sup->name,
           sup->owning, r->held, r->work ? (int)r->work->kind : -1,
           c ? (int)c->state : -1, c ? tb_atom_text(c->home->node).p : "-");
}

static void
expire(struct tb_proc *self, struct tb_supervisor *sup, struct tb_request *r)
{
    struct tb_wr missing = { 0 };

    if (r->reply.len) { /* it is done, in one place */
        deliver(self, sup, r);
        return;
    }
    if (r->work && r->work->fresh)
        r->work->unwanted = true;
    else if (r->work)
        r->work->expired = true;
    if (put_missing(sup, &missing) == 0)
        log_expired(sup, r);
    tb_answer(self, sup, r, "{error, {not_attached, Nodes}}",
              TB_ARGS(tb_v_term(tb_wr_term(&missing))));
    tb_wr_free(&missing);
}

void
tb_requests_expire(struct tb_proc *self, struct tb_supervisor *sup)
{
    uint64_t now = tb_now_ms(tb_self_node(self));

    TB_LIST_EACH (r, &sup->requests, struct tb_request, all)
        if (r->due_ms > now || r->forwarded) {
            continue;
        } else if (r->lasts) {
            r->due_ms = now + TB_SUP_WAIT_MS;
        } else {
            sup->n_held -= r->held;
            expire(self, sup, r);
        }
}

/* To the node that passed it on, which looks for the owner itself. */
static void
give_back(struct tb_proc *self, struct tb_supervisor *sup, struct tb_request *r)
{
    tb_reply_to(self, r->from,
                r->again ? "'$tb_owner_no_more'" : "'$tb_not_owner'", TB_NONE);
    tb_request_free(sup, r);
}

static bool
is_astray(const struct tb_supervisor *sup, const struct tb_request *r)
{
    return r->passed && !sup->owning;
}

void
tb_request_hold(struct tb_proc *self, struct tb_supervisor *sup,
                struct tb_request *r)
{
    tb_list_del(&r->link);
    if (is_astray(sup, r)) {
        give_back(self, sup, r);
        return;
    }
    if (sup->n_held >= TB_SUP_MAX_HELD) {
        tb_answer(self, sup, r, "{error, system_limit}", TB_NONE);
        return;
    }
    r->held = true;
    sup->n_held++;
    tb_list_add(&sup->held, &r->link);
}

/* ------------------------------------------------------------ passing on -- */

static bool
is_connected(struct tb_proc *self, tb_atom node)
{
    struct tb_peer_info info;

    return tb_peer_info(tb_self_node(self), node, &info);
}

static int
on_forwarded(struct tb_proc *self, void *state, void *ctx, int status,
             struct tb_term result)
{
    struct tb_supervisor *sup = state;
    struct tb_request *r = ctx;
    struct tb_val v[TB_MAX_HOLES];

    if (status == -TB_ESTOPPED)
        return TB_NOREPLY;
    r->forwarded = false;
    if (status == 0 && tb_match("{'$tb_owner', Reply}", result, v) == 1) {
        tb_answer(self, sup, r, "Reply", TB_ARGS(v[0]));
        return TB_NOREPLY;
    }
    if (status != 0 || tb_match("'$tb_owner_no_more'", result, v) == 1)
        r->again = true; /* it may have been done */
    if (status == -TB_ENOCONNECTION && tb_view_owner(sup) &&
        !is_connected(self, tb_view_owner(sup)))
        sup->unreached = tb_view_owner(sup);
    tb_request_hold(self, sup, r);
    if (status == -TB_ETIMEOUT)
        tb_requests_expire(self, sup);
    return TB_NOREPLY;
}

/* Two tiebeam nodes may not know each other's port, as sidecars without epmd;
 * both are connected to the hosts. 0: it is asked from here. */
static tb_atom
relay_to(struct tb_proc *self, const struct tb_supervisor *sup, tb_atom owner)
{
    if (sup->unreached == owner && !is_connected(self, owner))
        TB_LIST_EACH (h, &sup->hosts, struct tb_host, link)
            if (h->phase == TB_HOST_ATTACHED && h->owner == owner)
                return h->node;
    return 0;
}

static void
forward(struct tb_proc *self, struct tb_supervisor *sup, struct tb_request *r,
        tb_atom owner)
{
    uint64_t now = tb_now_ms(tb_self_node(self));
    uint64_t left = r->due_ms > now ? r->due_ms - now : 0;
    uint64_t ms = left < TB_SUP_PASS_MS ? left : TB_SUP_PASS_MS;
    tb_atom relay = relay_to(self, sup, owner);
    struct tb_wr request = { 0 }, key = { 0 };
    struct tb_val v;

    tb_key_put(&key, r->key);
    tb_build(&request, "{'$tb_forward', Key, Again, Request}",
             TB_ARGS(tb_v_term(tb_wr_term(&key)), tb_v_bool(r->again),
                     tb_v_term(r->term)));
    v = tb_v_term(tb_wr_term(&request));
    r->forwarded = true;
    if (relay)
        tb_erpc(self, relay, "gen_server", "call",
                "[{Name, Owner}, Request, Ms]",
                TB_ARGS(tb_v_atom(sup->name), tb_v_node(owner), v,
                        tb_v_int((int64_t)ms)),
                ms, on_forwarded, r);
    else
        tb_call_name(self, sup->name, owner, "Request", TB_ARGS(v), ms,
                     on_forwarded, r);
    tb_wr_free(&request);
    tb_wr_free(&key);
}

/* A key of this node's: whoever is asked later, the child is the same. */
static void
name_child(struct tb_supervisor *sup, struct tb_request *r)
{
    if (r->key.n == 0)
        r->key =
            (struct tb_key){ sup->self_node, sup->creation, ++sup->next_n };
}

void
tb_request_run(struct tb_proc *self, struct tb_supervisor *sup,
               struct tb_request *r)
{
    tb_atom owner = tb_view_owner(sup);

    tb_list_del(&r->link);
    name_child(sup, r);
    if (!sup->whole || sup->closing)
        tb_request_hold(self, sup, r);
    else if (!r->batch && tb_show(self, sup, r))
        return;
    else if (sup->owning || tb_has_no_hosts(sup))
        tb_request_do(self, sup, r);
    else if (owner && owner != sup->self_node && !r->passed)
        forward(self, sup, r, owner);
    else
        tb_request_hold(self, sup, r);
}

/* Those that are held now; each once. */
void
tb_requests_dispatch(struct tb_proc *self, struct tb_supervisor *sup)
{
    struct tb_list now;

    TB_LIST_EACH (r, &sup->held, struct tb_request, link)
        if (is_astray(sup, r)) {
            sup->n_held--;
            give_back(self, sup, r);
        }
    if (!sup->whole || sup->closing || sup->n_held == 0 ||
        (!sup->owning && !tb_view_owner(sup) && !tb_has_no_hosts(sup)))
        return;
    tb_list_init(&now);
    TB_LIST_EACH (r, &sup->held, struct tb_request, link) {
        tb_list_del(&r->link);
        tb_list_add(&now, &r->link);
        r->held = false;
        sup->n_held--;
    }
    while (!tb_list_empty(&now)) {
        struct tb_request *r = TB_ENTRY(now.next, struct tb_request, link);

        tb_request_run(self, sup, r);
    }
}
