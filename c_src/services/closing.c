/* closing.c - the end of a generation: all children stop, on every host, and
 * then the process of the supervisor, on every tiebeam node.
 * Owns: nothing. Thread: loop. */
#include "services/supervisor.h"

static void
end_now(struct tb_proc *self, struct tb_supervisor *sup)
{
    sup->ended = true;
    if (sup->stopper)
        tb_reply_to(self, sup->stopper, "ok", TB_NONE);
    tb_view_leases(self, sup, true);
    if (sup->close_reason.len)
        tb_stop(self, "Reason",
                TB_ARGS(tb_v_term(tb_wr_term(&sup->close_reason))));
    else
        tb_stop(self, "shutdown", TB_NONE);
}

void
tb_close(struct tb_proc *self, struct tb_supervisor *sup, struct tb_term reason)
{
    if (sup->closing)
        return;
    sup->closing = true;
    if (!sup->close_reason.len)
        tb_wr_bytes(&sup->close_reason, reason.p, reason.n);
    sup->close_generation = tb_generation(sup);
    tb_log(TB_NOTICE, "supervisor.closing", "name=%s children=%zu", sup->name,
           sup->table.counts.specs);
    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link)
        if (h->phase == TB_HOST_ATTACHED)
            tb_command(self, h, "{close, N}",
                       TB_ARGS(tb_v_int(sup->close_generation)));
    tb_commands_send(self, sup);
    tb_close_check(self, sup);
}

bool
tb_host_has_closed(const struct tb_host *h)
{
    return h->closed >= h->sup->closed;
}

bool
tb_has_to_close(const struct tb_supervisor *sup)
{
    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link)
        if (h->phase == TB_HOST_ATTACHED && h->member && !tb_host_has_closed(h))
            return true;
    return false;
}

void
tb_home_close(struct tb_proc *self, struct tb_supervisor *sup,
              struct tb_home *home)
{
    TB_LIST_EACH (c, &home->children, struct tb_child, link)
        tb_work_deleted(self, sup, c, 0);
    if (home->host)
        return;
    home->known = home->complete = false; /* others may know what came then */
    home->n_asked = 0;
}

/* What we know of hosts that are not there is of a time before. */
void
tb_closed_is(struct tb_proc *self, struct tb_supervisor *sup,
             int64_t generation)
{
    if (generation <= sup->closed)
        return;
    sup->closed = generation;
    TB_LIST_EACH (home, &sup->homes, struct tb_home, link)
        if (!home->host)
            tb_home_close(self, sup, home);
}

/* The owner: all have closed it. Another one: it is closed. */
void
tb_close_check(struct tb_proc *self, struct tb_supervisor *sup)
{
    int64_t generation =
        sup->closing ? sup->close_generation : tb_generation(sup);

    if (sup->ended)
        return;
    if (!sup->closing &&
        (generation == 0 || sup->closed < generation || !sup->began_open))
        return;
    TB_LIST_EACH (h, &sup->hosts, struct tb_host, link)
        if (h->phase == TB_HOST_ATTACHED && h->closed < generation)
            return;
    end_now(self, sup);
}
