/* events.c - the verb events: the last changes of nodes' states, and those that
 * come.
 * In Erlang: net_kernel:monitor_nodes/2 in a shell.
 * Owns: nothing. Borrows: settings. Thread: none; the verb runs to its end. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/logger.h"
#include "daemon/verbs.h"

/* One change, from the transitions of info or from a message. */
struct event {
    struct tb_text node, from, to, reason;
    int64_t time_ms, connection_id, creation;
};

#define REST                                                                   \
    "from := F:atom, reason := R:atom, time_ms := T:int, "                     \
    "connection_id := I:int, creation := C:int"

static bool
take(struct event *e, const struct tb_val v[7])
{
    *e = (struct event){ .node = v[0].text,
                         .to = v[1].text,
                         .from = v[2].text,
                         .reason = v[3].text,
                         .time_ms = v[4].i,
                         .connection_id = v[5].i,
                         .creation = v[6].i };
    return true;
}

static bool
from_info(struct event *e, struct tb_term t)
{
    struct tb_val v[TB_MAX_HOLES];

    return tb_match("#{node := N:atom, to := S:atom, " REST "}", t, v) == 1 &&
           take(e, v);
}

static bool
from_message(struct event *e, struct tb_term t)
{
    struct tb_val v[TB_MAX_HOLES];

    return tb_match("{node_state, N:atom, S:atom, #{" REST "}}", t, v) == 1 &&
           take(e, v);
}

/* ------------------------------------------------------------- printing -- */

static void
put_time(struct tb_wr *w, int64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm = { 0 };
    char date[32];

    gmtime_r(&seconds, &tm);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
    tb_wr_printf(w, "%s.%03dZ", date, (int)(ms % 1000));
}

static void
put_json_text(struct tb_wr *w, const char *key, struct tb_text text)
{
    tb_wr_printf(w, "\"%s\":", key);
    tb_json_str(w, text.p, text.n);
    tb_wr_str(w, ",");
}

static void
put_event(struct tb_wr *w, const struct event *e, bool json)
{
    if (!json) {
        put_time(w, e->time_ms);
        tb_wr_printf(w, "  %-8.*s  %.*s  (%.*s)\n", (int)e->to.n, e->to.p,
                     (int)e->node.n, e->node.p, (int)e->reason.n, e->reason.p);
        return;
    }
    tb_wr_str(w, "{\"time\":\"");
    put_time(w, e->time_ms);
    tb_wr_str(w, "\",");
    put_json_text(w, "node", e->node);
    put_json_text(w, "from", e->from);
    put_json_text(w, "to", e->to);
    put_json_text(w, "reason", e->reason);
    tb_wr_printf(w, "\"connection_id\":%lld,\"creation\":%lld}\n",
                 (long long)e->connection_id, (long long)e->creation);
}

/* A line each, at once; false: nobody reads them. */
static bool
print_event(const struct event *e, bool json)
{
    struct tb_wr w = { 0 };

    put_event(&w, e, json);
    tb_cli_print(stdout, &w);
    tb_wr_free(&w);
    return fflush(stdout) == 0;
}

static void
print_transitions(struct tb_term info, bool json)
{
    struct tb_val v[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term item;
    struct event event;

    if (tb_match("#{transitions := List:list}", info, v) != 1)
        return;
    for (tb_elems_open(&e, v[0].term); tb_elems_next(&e, &item);)
        if (from_info(&event, item))
            print_event(&event, json);
}

/* --------------------------------------------------------------- asking -- */

static void
ask_info(struct tb_proc *self, struct tb_client *c)
{
    tb_call_name(self, "node_monitor", tb_client_peer(c), "info", TB_NONE,
                 c->timeout_ms, tb_client_done, c);
}

/* What comes between the subscription and info is in info. */
struct follow {
    bool json, told;
};

static int
on_info(struct tb_proc *self, void *state, void *ctx, int status,
        struct tb_term result)
{
    struct tb_client *c = ctx;
    struct follow *f = c->ctx;

    if (status < 0)
        return tb_client_done(self, state, c, status, result);
    print_transitions(result, f->json);
    f->told = true;
    return TB_NOREPLY;
}

static int
on_subscribed(struct tb_proc *self, void *state, void *ctx, int status,
              struct tb_term result)
{
    struct tb_client *c = ctx;

    if (status < 0)
        return tb_client_done(self, state, c, status, result);
    tb_call_name(self, "node_monitor", tb_client_peer(c), "info", TB_NONE,
                 c->timeout_ms, on_info, c);
    return TB_NOREPLY;
}

static void
subscribe(struct tb_proc *self, struct tb_client *c)
{
    tb_monitor_name(self, "node_monitor", tb_client_peer(c));
    tb_call_name(self, "node_monitor", tb_client_peer(c),
                 "{monitor_states, true}", TB_NONE, c->timeout_ms,
                 on_subscribed, c);
}

static int
on_event(struct tb_proc *self, struct tb_client *c, struct tb_term message)
{
    struct tb_val v[TB_MAX_HOLES];
    struct follow *f = c->ctx;
    struct event event;

    (void)self;
    if (tb_match("{'DOWN', _, process, _, noconnection}", message, v) == 1)
        return -TB_ENOCONNECTION;
    if (tb_match("{'DOWN', _, process, _, _}", message, v) == 1)
        return -TB_ENOPROC;
    if (f->told && from_message(&event, message) &&
        !print_event(&event, f->json))
        return -EPIPE;
    return 0;
}

int
tb_verb_events(struct tb_cli *cli)
{
    char node[TB_NODENAME_MAX];
    struct follow f = { .json = cli->json };
    bool follow = tb_settings_given(cli->settings, TB_SET_FOLLOW);
    struct tb_client c = { .target = tb_verb_node(cli, node),
                           .ask = follow ? subscribe : ask_info,
                           .heard = follow ? on_event : NULL,
                           .endless = follow,
                           .ctx = &f };
    int code = tb_verb_ask(cli, &c);

    if (code == TB_EXIT_OK)
        print_transitions(tb_wr_term(&c.result), cli->json);
    else if (code == TB_EXIT_FAILED && c.status != -EPIPE)
        tb_verb_failure(cli, &c);
    tb_client_fini(&c);
    return code;
}
