/* rounds.c - one round after the other.
 *
 *   IDLE -> ASK -> [LINK ->] DIAL -> IDLE
 *
 * ASK: the source's questions; LINK: the attached node connects to whom it
 * lacks; DIAL: this node does, or finds out why that one could not. Each phase
 * ends when all that it asked has been answered, or its time is over: what
 * takes longer than HURRY_MS goes on beside the rounds that follow, so that a
 * silent host does not keep others from being found. A round that somebody
 * asked for waits until connect_timeout. The next round comes an interval after
 * the end of one. Owns: nothing. Thread: loop. */
#include <string.h>

#include "services/discovery.h"

/* How long a node that was seen on its way out is left alone. */
#define STOPPING_MS 5000
#define HURRY_MS    500

static void
start_clock(struct tb_proc *self, struct tb_discovery *d)
{
    uint64_t ms = d->o.connect_timeout_ms;

    if (d->phase != TB_ROUND_ASK && !d->by_hand && ms > HURRY_MS)
        ms = HURRY_MS;
    tb_cancel_timer(self, d->clock);
    d->clock =
        tb_send_after(self, ms, "{over, Phase}", TB_ARGS(tb_v_int(d->phase)));
}

/* --------------------------------------------------------------- end -- */

void
tb_round_arm(struct tb_proc *self, struct tb_discovery *d)
{
    if (d->o.interval_ms < 0 || d->timed || d->o.source == TB_SOURCE_IGNORE)
        return;
    d->timed = true;
    tb_send_after(self, (uint64_t)d->o.interval_ms, "round", TB_NONE);
}

static void
end_round(struct tb_proc *self, struct tb_discovery *d)
{
    d->phase = TB_ROUND_IDLE;
    d->rounds++;
    tb_cancel_timer(self, d->clock);
    if (d->o.mesh == TB_MESH_ALL)
        tb_mesh_pass(self, d);
    tb_discovery_answer(self, d);
    tb_round_arm(self, d);
    if (d->again)
        tb_round_begin(self, d, true);
}

/* -------------------------------------------------------------- dial -- */

static int on_dialled(struct tb_proc *self, void *state, void *ctx, int status,
                      struct tb_term result);

/* No epmd, or none that knows it: its SRV record names a port. */
static bool
try_srv_port(struct tb_proc *self, struct tb_discovery *d,
             struct tb_candidate *c, int status)
{
    if (!c->srv_port || c->tried_srv ||
        (status != -TB_ENO_EPMD && status != -TB_ENOT_IN_EPMD))
        return false;
    c->tried_srv = true;
    tb_node_set_port(tb_self_node(self), tb_candidate_name(c), c->srv_port);
    c->busy++;
    d->ops.connect(self, c->node, on_dialled, c);
    return true;
}

static void
one_less(struct tb_proc *self, struct tb_discovery *d)
{
    if (--d->asked == 0)
        end_round(self, d);
}

static void
dial_over(struct tb_proc *self, struct tb_discovery *d, struct tb_candidate *c,
          int status, struct tb_term result)
{
    bool awaited = c->dialling;

    c->dialling = c->relinked = false;
    if (status == 0 || (awaited && !c->connected))
        tb_candidate_outcome(self, d, c, status, result);
    if (awaited && d->phase == TB_ROUND_DIAL && c->dial_round == d->round)
        one_less(self, d);
}

static int
on_relinked(struct tb_proc *self, void *state, void *ctx, int status,
            struct tb_term result)
{
    struct tb_discovery *d = state;
    struct tb_candidate *c = ctx;
    struct tb_val v[TB_MAX_HOLES];

    c->busy--;
    if (status == -TB_ESTOPPED)
        return TB_NOREPLY;
    c->connected = status == 0 && tb_match("true", result, v) == 1;
    dial_over(self, d, c, c->connected ? 0 : -TB_ENOCONNECTION, result);
    return TB_NOREPLY;
}

/* This node reaches what the attached one could not: it has just come up, or
 * one of the two ways is closed. The attached node tells which. */
static bool
link_again(struct tb_proc *self, struct tb_discovery *d, struct tb_candidate *c,
           int status)
{
    if (status != 0 || d->o.mesh != TB_MESH_ATTACHED || c->connected ||
        c->node == d->o.attached || c->relinked || !c->dialling)
        return false;
    c->relinked = true;
    c->busy++;
    tb_mesh_apply(self, d->o.attached, d->o.connect, "net_kernel:connect_node",
                  c->node, d->o.connect_timeout_ms, on_relinked, c);
    return true;
}

static int
on_dialled(struct tb_proc *self, void *state, void *ctx, int status,
           struct tb_term result)
{
    struct tb_discovery *d = state;
    struct tb_candidate *c = ctx;

    c->busy--;
    if (status == -TB_ESTOPPED || try_srv_port(self, d, c, status) ||
        link_again(self, d, c, status))
        return TB_NOREPLY;
    if (status < 0 && c->tried_srv) { /* perhaps it has an epmd by now */
        tb_node_set_port(tb_self_node(self), tb_candidate_name(c), 0);
        c->tried_srv = false;
    }
    if (status == 0 && d->o.mesh == TB_MESH_ATTACHED &&
        c->node != d->o.attached && !c->connected)
        status = -TB_ENOCONNECTION;
    dial_over(self, d, c, status, result);
    return TB_NOREPLY;
}

static bool
is_due(const struct tb_discovery *d, const struct tb_candidate *c, int64_t now)
{
    if (c->dialling || c->busy > 0)
        return false;
    if (c->stopping_ms >= 0 && now - c->stopping_ms < STOPPING_MS)
        return false;
    return d->by_hand || now >= c->not_before_ms;
}

static void
dial(struct tb_proc *self, struct tb_discovery *d, struct tb_candidate *c)
{
    d->asked++;
    c->busy++;
    c->dialling = true;
    c->dial_round = d->round;
    c->dial_ms = tb_discovery_now_ms();
    if (c->dialled_ms == 0) /* the attached node may have begun */
        c->dialled_ms = tb_discovery_now_ms();
    d->ops.connect(self, c->node, on_dialled, c);
}

static void
cut_dial(struct tb_proc *self, struct tb_discovery *d, struct tb_candidate *c)
{
    static const struct tb_term none;

    c->dialling = c->relinked = false;
    if (!c->connected) /* by another way, meanwhile */
        tb_candidate_outcome(self, d, c, -TB_ETIMEOUT, none);
}

/* Dials of earlier rounds: those that take too long, and those that this one
 * waits for, too. */
static void
look_at_slow(struct tb_proc *self, struct tb_discovery *d, int64_t now)
{
    TB_LIST_EACH (c, &d->candidates, struct tb_candidate, link) {
        if (!c->dialling)
            continue;
        if (now - c->dial_ms >= (int64_t)d->o.connect_timeout_ms) {
            cut_dial(self, d, c);
        } else if (d->by_hand) {
            c->dial_round = d->round;
            d->asked++;
        }
    }
}

/* Who is connected is not dialled; whoever became so meanwhile is told. */
static void
dial_phase(struct tb_proc *self, struct tb_discovery *d)
{
    static const struct tb_term none;
    int64_t now = tb_discovery_now_ms();

    d->phase = TB_ROUND_DIAL;
    d->asked = 1;
    look_at_slow(self, d, now);
    TB_LIST_EACH (c, &d->candidates, struct tb_candidate, link) {
        if (c->connected && c->last != 0)
            tb_candidate_outcome(self, d, c, 0, none);
        else if (!c->connected && c->seen && is_due(d, c, now) &&
                 (d->o.mesh != TB_MESH_ATTACHED || d->hub_up ||
                  c->node == d->o.attached))
            dial(self, d, c);
    }
    start_clock(self, d);
    one_less(self, d);
}

/* -------------------------------------------------------------- link -- */

void
tb_round_linked(struct tb_proc *self, struct tb_discovery *d)
{
    if (d->phase == TB_ROUND_LINK)
        dial_phase(self, d);
}

static void
mark_connected(struct tb_proc *self, struct tb_discovery *d)
{
    struct tb_wr list = { 0 };

    d->ops.list(tb_self_node(self), "connected", &list);
    tb_candidates_mark(d, tb_wr_term(&list));
    tb_wr_free(&list);
}

/* --------------------------------------------------------------- ask -- */

static void
all_answered(struct tb_proc *self, struct tb_discovery *d)
{
    d->complete = tb_sources_tell(d);
    if (d->o.mesh != TB_MESH_ATTACHED)
        mark_connected(self, d);
    tb_candidates_sift(self, d);
    if (d->o.mesh == TB_MESH_ATTACHED) {
        d->phase = TB_ROUND_LINK;
        start_clock(self, d);
        tb_mesh_pass(self, d);
    } else {
        dial_phase(self, d);
    }
}

void
tb_round_answered(struct tb_proc *self, struct tb_discovery *d)
{
    if (--d->asked == 0)
        all_answered(self, d);
}

static void
dials_over(struct tb_proc *self, struct tb_discovery *d)
{
    int64_t now = tb_discovery_now_ms();

    TB_LIST_EACH (c, &d->candidates, struct tb_candidate, link)
        if (c->dialling && (d->by_hand || now - c->dial_ms >=
                                              (int64_t)d->o.connect_timeout_ms))
            cut_dial(self, d, c);
    d->asked = 0;
    end_round(self, d);
}

void
tb_round_timed_out(struct tb_proc *self, struct tb_discovery *d, int64_t phase)
{
    if (phase != (int64_t)d->phase) /* it ended as its time did */
        return;
    switch (d->phase) {
    case TB_ROUND_ASK:
        tb_sources_timed_out(d);
        d->asked = 0;
        all_answered(self, d);
        break;
    case TB_ROUND_LINK:
        dial_phase(self, d);
        break;
    case TB_ROUND_DIAL:
        dials_over(self, d);
        break;
    default:
        break;
    }
}

void
tb_round_begin(struct tb_proc *self, struct tb_discovery *d, bool by_hand)
{
    if (d->phase != TB_ROUND_IDLE) {
        d->again = d->again || by_hand;
        return;
    }
    d->phase = TB_ROUND_ASK;
    d->round++;
    d->by_hand = by_hand;
    d->again = false;
    TB_LIST_EACH (c, &d->candidates, struct tb_candidate, link)
        c->seen = false;
    if (d->o.attached)
        tb_candidate_see(self, d, NULL, tb_atom_text(d->o.attached));
    d->asked = 1; /* so that the phase does not end before all are asked */
    start_clock(self, d);
    tb_sources_ask(self, d);
    tb_round_answered(self, d);
}
