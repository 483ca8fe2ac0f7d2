/* supervisor.h - what the files of the supervisor share.
 *
 * A supervisor holds nothing that its hosts do not hold too: it reads their
 * tables, decides, and sends commands. The words are those of
 * priv/doc/host.md. */
#ifndef TB_SERVICES_SUPERVISOR_H
#define TB_SERVICES_SUPERVISOR_H

#include "services/children.h"
#include "services/intensity.h"
#include "services/services.h"
#include "services/host_beam.h"
#include "services/supervisor_options.h"

#define TB_HOST_VERSION  1 /* of the wire, and the oldest that is spoken */
#define TB_HOST_OLDEST   1
#define TB_HOST_LEASE_MS 3000
#define TB_SUP_TICK_MS   500
#define TB_SUP_SETTLE_MS 1000  /* till then the first hosts have come */
#define TB_MAX_SET       1024  /* hosts of one supervisor */
#define TB_SUP_WAIT_MS   15000 /* a request that cannot go on */
#define TB_SUP_CALL_MS   5000  /* of a question to a node */
#define TB_SUP_PASS_MS   5000  /* then another node may be the owner */
#define TB_SUP_SCRATCH   8     /* writers that are kept for the next use */
#define TB_SUP_MAX_HELD  100000
#define TB_SUP_COPY_MS   2000 /* a backup that is silent is sent all again */
#define TB_SUP_JOIN_MS   5000 /* a service that is off is looked for again */
#define TB_SUP_IMPOSE_MS 5000 /* without a node that has the hosts' options */

enum tb_record_id {
    TB_RECORD_OPTIONS,
    TB_RECORD_DRAINED,
    TB_RECORD_GENERATION,
    TB_RECORD_SET,
    TB_RECORDS
};

/* --------------------------------------------------------------- hosts -- */

enum tb_host_phase {
    TB_HOST_AWAY,    /* not connected */
    TB_HOST_NO,      /* it is none: see why */
    TB_HOST_WAITING, /* for its release to start it */
    TB_HOST_ASKING,  /* it, or its code server */
    TB_HOST_READING, /* its table comes */
    TB_HOST_ATTACHED
};

struct tb_host {
    struct tb_list link; /* in tb_supervisor.hosts, by rising name */
    struct tb_supervisor *sup;
    tb_atom node;
    enum tb_host_phase phase;
    const char *why;      /* of TB_HOST_NO and _WAITING, for explain */
    int64_t version;      /* of the wire, that both speak */
    int64_t otp;          /* its release; 0: not told */
    bool visible;         /* a BEAM node */
    uint32_t creation;    /* of the last connection */
    struct tb_home *home; /* of the incarnation last seen, or NULL */
    struct tb_ref monitor;
    bool monitored;

    tb_atom owner, backup;
    int64_t epoch;
    tb_atom old_backup;   /* to be told that its copies are no longer needed */
    tb_atom backup_asked; /* what it was told last; 0: nothing, or none */
    uint64_t late_ms;     /* when it told last of more, or was sent all again */
    bool no_backup_asked; /* it was told that it has none */
    bool backup_told; /* its backup has been named since it lost what it had */
    bool ready_told, told;
    bool close_told;
    int64_t generation, closed;
    int64_t has[TB_RECORDS]; /* counter of each record that it has */
    tb_atom has_node[TB_RECORDS];
    bool sent[TB_RECORDS]; /* ours, and it has not answered */
    struct tb_wr nodes;    /* owned: [Node], what it sees */
    struct tb_wr set;      /* owned: the set that it has, as it is recorded */

    bool member;     /* of the agreed set */
    bool forgotten;  /* it was one, and comes with a table of that time */
    bool clear_told; /* to be empty, since it was forgotten */
    bool forget;     /* by request */
    bool noted;      /* the set has a stamp that is later than its loss */
    bool draining;   /* its mark is among the records, or it stops */
    bool excluded;   /* by changed options: it is to be none any more */
    bool foreign;    /* its release does not contain tiebeam_host */
    bool looking_up; /* whether that is so */
    bool stopping;
    bool not_spoken; /* its versions; it has been logged */
    bool leave;      /* what is there has to go elsewhere: to be planned */
    bool down;       /* confirmed */
    bool confirming;
    bool confirm_late; /* that is about a former absence */
    bool missed; /* it was away: what happened there meanwhile was not told */
    uint64_t lost_ms, confirm_ms; /* since when it is away; when to ask again */
    uint64_t gone_ms; /* since when it has no incarnation, confirmed; or 0 */
    uint64_t ask;     /* number of the last question whether it is there, or
                         down */
    uint64_t none;    /* and of the last one whose answer was that it is not */
    unsigned confirm_n;

    struct tb_intensity restarts;
    tb_atom early_holder; /* who acknowledged before we knew that it may */
    uint64_t early;
    uint64_t copied;  /* up to there the backup has it */
    uint64_t barrier; /* copies of lost hosts go when it is copied so far */
    uint64_t owed; /* so far it has to be copied for others to go; 0: nothing */
    uint64_t parted;  /* what is below was copied before they were parted */
    uint64_t owed_ms; /* when it was last sent for that */
    struct tb_list unacked; /* struct tb_request, by rising seq */
    struct tb_wr run;       /* owned: commands of this turn */
    size_t n_run;
    size_t load; /* children there and on their way */
};

/* ------------------------------------------------------------ requests -- */

struct tb_batch {
    struct tb_list link; /* in tb_supervisor.batches, while some are to come */
    struct tb_wr specs;  /* owned: [Spec], and how many were read of it */
    struct tb_elems rest;
    size_t read;
    struct tb_from *from;
    size_t n, left;
    struct tb_wr *results; /* owned, n of them */
};

/* What somebody waits for. */
struct tb_request {
    struct tb_list link;  /* where it stands now */
    struct tb_list all;   /* in tb_supervisor.requests, the oldest first */
    struct tb_from *from; /* owned; NULL: part of a batch, or of ours */
    struct tb_batch *batch;
    size_t index;
    uint64_t due_ms;
    uint64_t seq;         /* in tb_host.unacked */
    struct tb_wr reply;   /* owned; what it will be told */
    bool held;            /* among tb_supervisor.held */
    bool passed;          /* by another tiebeam, which is told who answers */
    bool forwarded;       /* to the owner, whose answer comes or does not */
    bool again;           /* it may have been carried out already */
    bool lasts;           /* till it is carried out: nobody would ask again */
    struct tb_work *work; /* whose end answers it, or NULL */
    tb_atom located;      /* by {M, F}; 0: not yet */
    size_t asked_at;      /* among those of one question to {M, F} */
    bool relocated;       /* it was asked again */
    struct tb_key key;    /* of the child that it makes; n 0: none yet */
    struct tb_term term;  /* its bytes stand behind it */
};

/* --------------------------------------------------------------- works -- */

enum tb_work_kind {
    TB_WORK_START,   /* asked for: of a new child, or restart_child */
    TB_WORK_RESTART, /* where it was, since it ended */
    TB_WORK_PLACE,   /* here, since its host is lost, or it moves */
    TB_WORK_KEEP,    /* here, without a start */
    TB_WORK_STOP,
    TB_WORK_DELETE,
    TB_WORK_LEAVE /* stopped, to go elsewhere */
};

struct tb_work {
    struct tb_list timed; /* in tb_supervisor.timed, .waiting, .paced or
                             .yielding, or .next NULL */
    uint64_t due_ms;      /* 0: not in tb_supervisor.timed */
    enum tb_work_kind kind;
    struct tb_child *child;
    struct tb_home *from; /* NULL, or the lost home it comes from */
    tb_atom to;           /* TB_WORK_LEAVE */
    bool moved;     /* TB_WORK_DELETE, _STOP: another entry of its key stays */
    bool undefined; /* TB_WORK_KEEP: after ignore, not by request */
    bool stops;     /* TB_WORK_KEEP: it was stopped by request, or is done */
    bool fresh;     /* TB_WORK_START of a child that was not there */
    bool moves;     /* counted in tb_supervisor.moving */
    bool remove;    /* TB_WORK_STOP: the entry goes, too */
    bool paced;     /* it is no request's: start_rate goes for it */
    bool queued;    /* in tb_supervisor.paced */
    bool paid;      /* its turn has come */
    bool waits;     /* for a DOWN: see ref */
    bool unwanted;  /* nobody waits for it: to be stopped again */
    bool expired;   /* who asked was told that it was not done, or asks again */
    bool yields;    /* TB_WORK_STOP: when one that stays is in two places */
    bool told;      /* and it is: the host has been told */
    uint64_t asked; /* how much had been asked for: see TB_STARTS_ASKED */
    unsigned attempts;
    struct tb_ref ref;
    struct tb_list asks;  /* struct tb_request: answered by its end */
    struct tb_list later; /* those that come after it */
};

/* ---------------------------------------------------------- supervisor -- */

struct tb_record {
    int64_t counter;
    tb_atom node;
    struct tb_wr value; /* owned; of no length: there is none */
};

struct tb_supervisor {
    const struct tb_supervisor_config *config;
    const char *name;
    struct tb_supervisor_options o;
    tb_atom self_node;
    char host_name[280]; /* tiebeam_host_<Name> */
    uint64_t since_ms;
    struct tb_list hosts; /* owned struct tb_host */
    struct tb_list homes; /* owned struct tb_home */
    struct tb_children table;
    struct tb_record record[TB_RECORDS];
    int64_t closed;
    uint64_t era;    /* rises when a host goes away or comes */
    uint64_t next_n; /* of dynamic keys */
    uint64_t n_asks; /* of hosts, whether they are there */
    uint32_t creation;

    bool safe;       /* no host is lost whose children are not elsewhere yet */
    bool set_merged; /* of two that grew apart: it has no stamp yet */
    bool whole, owning, looked; /* see view.c */
    bool look_again;            /* at all children, in the next turn */
    bool differs;               /* the options of the hosts are others */
    bool follows;               /* where they change, so do ours */
    bool imposes;               /* nobody who has theirs is there: ours count */
    bool options_ours;
    bool turn_asked;
    bool closing;            /* its generation is being closed */
    bool ended;              /* closed: this process is about to end */
    bool began_open;         /* a generation has been open while we looked */
    bool reach_again;        /* a timer runs, to dial those that hosts see */
    bool locating;           /* {M, F} has been asked, and has not answered */
    bool joins;              /* it is about to join, for the global name */
    bool no_clusters;        /* there is no service to join at */
    bool pace_asked;         /* a timer runs for start_rate */
    bool taking_over;        /* what is found ended has ended before */
    uint64_t differ_ms;      /* since when, and nobody decides */
    int64_t options_counter; /* of the record that was compared */
    tb_atom options_node;
    struct tb_wr close_reason; /* owned */
    int64_t close_generation;
    struct tb_from *stopper; /* owned: told when it has ended; or NULL */
    struct tb_ref tick;
    uint64_t tick_ms;    /* when it comes; 0: none */
    uint64_t lease_ms;   /* when leases are to be renewed */
    uint64_t balance_ms; /* when; 0: not */
    uint64_t changed_ms; /* when a host came or went */
    size_t moving;
    struct tb_wr managed; /* owned: [Node], of the node monitor */
    unsigned reaching;    /* nodes that are being dialled */
    unsigned idle_ticks;
    tb_atom unreached;         /* another tiebeam node that cannot be dialled */
    struct tb_map *tombstones; /* struct tb_key -> it, owned */

    struct tb_place *places; /* owned: where children may start, sorted */
    size_t n_places;
    struct tb_wr scratch[TB_SUP_SCRATCH]; /* see tb_scratch_take() */
    size_t n_scratch;
    struct tb_list batches;   /* struct tb_batch, that are not yet read */
    struct tb_list to_locate; /* struct tb_request, for {M, F} */
    struct tb_map *located;   /* struct tb_key -> struct tb_located, owned */
    struct tb_list unlocated; /* of these: to be asked of {M, F} */
    uint64_t located_ms;      /* when it did */

    struct tb_list requests; /* every struct tb_request */
    struct tb_list held;     /* those that wait for a view or an owner */
    size_t n_held;
    struct tb_list timed;    /* struct tb_work that wait for their time */
    struct tb_list waiting;  /* and those that wait for a DOWN */
    struct tb_list paced;    /* and those that wait for start_rate */
    struct tb_list yielding; /* and those for an entry that stays */
    uint64_t yield_ms;       /* when they were looked at */
    int64_t tokens;   /* thousandths of starts that may be sent at once */
    uint64_t pace_ms; /* when they were counted */
    uint64_t starts, restarts, failovers, moves; /* ever, for info */
};

/* host_confirm.c - asks of those that are away and matter: whose loss would be
 * one of children, or of a member of the set. */
void tb_hosts_look(struct tb_proc *self, struct tb_supervisor *sup);
bool tb_host_matters(const struct tb_supervisor *sup,
                     const struct tb_host *host);

/* hosts.c - who may be a host, and the way to it. */
struct tb_host *tb_host_get(struct tb_proc *self, struct tb_supervisor *sup,
                            tb_atom node);
void tb_hosts_tick(struct tb_proc *self, struct tb_supervisor *sup);
void tb_host_connected(struct tb_proc *self, struct tb_supervisor *sup,
                       tb_atom node);
void tb_hosts_reconsider(struct tb_proc *self, struct tb_supervisor *sup);
struct tb_host *tb_host_find(struct tb_supervisor *sup, tb_atom node);
void tb_hosts_free(struct tb_supervisor *sup);
void tb_host_lost(struct tb_proc *self, struct tb_supervisor *sup,
                  struct tb_host *host, const char *why);
void tb_host_attach_again(struct tb_proc *self, struct tb_host *host);
struct tb_home *tb_home_find(struct tb_supervisor *sup, tb_atom node,
                             struct tb_term inc);
struct tb_home *tb_home_get(struct tb_supervisor *sup, tb_atom node,
                            struct tb_term inc);
void tb_home_lose(struct tb_supervisor *sup, struct tb_home *home);
void tb_home_forget(struct tb_proc *self, struct tb_supervisor *sup,
                    struct tb_home *home);
void tb_home_free(struct tb_supervisor *sup, struct tb_home *home);
void tb_homes_age(struct tb_supervisor *sup);
void tb_home_found(struct tb_home *home);

/* homes.c - who was asked for copies of what was there.
 * tb_home_told - that host has told all it has; true: it was the last. */
void tb_home_ask(struct tb_home *home, tb_atom node);
bool tb_home_asks(const struct tb_home *home, tb_atom node);
bool tb_home_told(struct tb_home *home, tb_atom node);
bool tb_host_down(struct tb_proc *self, struct tb_supervisor *sup,
                  struct tb_ref ref, struct tb_term reason);
void tb_host_cleared(struct tb_proc *self, struct tb_supervisor *sup,
                     struct tb_host *host);
struct tb_home *tb_home_of(const struct tb_supervisor *sup, tb_atom node);
int tb_on_host_nodeup(struct tb_proc *self, void *state,
                      const struct tb_msg *m);
int tb_on_host_nodedown(struct tb_proc *self, void *state,
                        const struct tb_msg *m);

/* host_filter.c - who may be one, and connections to those that hosts see.
 * tb_host_why_none - NULL: it may. tb_host_look_up - whether one that is
 * attached contains the module, where that counts. tb_host_ask_file - done is
 * told the file of its module. tb_host_is_loaded - it is in none: a tiebeam
 * node has loaded it. */
const char *tb_host_why_none(const struct tb_supervisor *sup,
                             const struct tb_host *h);
const char *tb_host_excluded(const struct tb_host *h);
void tb_host_look_up(struct tb_proc *self, struct tb_host *h);
void tb_host_ask_file(struct tb_proc *self, struct tb_host *h, tb_done done);
bool tb_host_is_loaded(struct tb_term file);
void tb_host_reach(struct tb_proc *self, struct tb_supervisor *sup);
int tb_on_reach(struct tb_proc *self, void *state, const struct tb_msg *m);

/* host_events.c - what hosts tell. */
int tb_on_host_events(struct tb_proc *self, void *state,
                      const struct tb_msg *m);
int tb_on_host_copied(struct tb_proc *self, void *state,
                      const struct tb_msg *m);
void tb_host_take_info(struct tb_proc *self, struct tb_supervisor *sup,
                       struct tb_host *host, struct tb_term info);

/* supervisor.c - tb_scratch_take - an empty writer that has memory, mostly;
 * tb_scratch_give - for the next one. tb_sup_tick_ask - a tick when the next
 * thing is due. tb_sup_global - the option global is another: take the name, or
 * give it up. */
struct tb_wr tb_scratch_take(struct tb_supervisor *sup);
void tb_scratch_give(struct tb_supervisor *sup, struct tb_wr *w);
void tb_sup_global(struct tb_proc *self, struct tb_supervisor *sup);
void tb_sup_tick_ask(struct tb_proc *self, struct tb_supervisor *sup);

/* view.c - what this node sees, whether it decides, and the shared records.
 * tb_sup_turn_ask - at the end of this turn. */
void tb_sup_turn_ask(struct tb_proc *self, struct tb_supervisor *sup);
void tb_view_update(struct tb_proc *self, struct tb_supervisor *sup);
void tb_view_owner_work(struct tb_proc *self, struct tb_supervisor *sup);
void tb_view_leases(struct tb_proc *self, struct tb_supervisor *sup, bool all);
bool tb_drain_has(const struct tb_host *h, struct tb_term marks);
tb_atom tb_view_owner(const struct tb_supervisor *sup);
void tb_record_take(struct tb_supervisor *sup, struct tb_host *from,
                    struct tb_text name, struct tb_term stamp,
                    struct tb_term value);
void tb_record_set(struct tb_supervisor *sup, enum tb_record_id id,
                   struct tb_term value);
bool tb_has_second_place(const struct tb_supervisor *sup,
                         const struct tb_host *host);
void tb_backup_again(struct tb_proc *self, struct tb_host *host);
bool tb_is_safe(const struct tb_supervisor *sup);
bool tb_record_lacks(const struct tb_supervisor *sup,
                     const struct tb_host *host, enum tb_record_id id);
bool tb_all_attached(const struct tb_supervisor *sup);
bool tb_has_no_hosts(const struct tb_supervisor *sup);

/* set.c - the agreed set of hosts. tb_set_members - [Node], of no length where
 * there is none. tb_set_take - another one: the later of the two counts, or
 * their union. tb_set_mark - what h is to the set. tb_set_turn - the owner
 * changes it. */
struct tb_term tb_set_members(const struct tb_supervisor *sup);
bool tb_set_has(const struct tb_supervisor *sup, tb_atom node);
bool tb_set_is_recorded(const struct tb_supervisor *sup);
void tb_set_take(struct tb_supervisor *sup, int64_t counter, tb_atom node,
                 struct tb_term value);
void tb_set_mark(struct tb_proc *self, struct tb_supervisor *sup,
                 struct tb_host *h);
void tb_set_turn(struct tb_proc *self, struct tb_supervisor *sup);
bool tb_set_is_seen(const struct tb_supervisor *sup, const struct tb_host *h);
bool tb_set_forget(struct tb_proc *self, struct tb_supervisor *sup,
                   struct tb_host *h);

bool tb_is_open(const struct tb_supervisor *sup);

/* reconfigure.c - options that change. tb_options_see - compare ours with those
 * of the hosts. tb_options_same - as terms. tb_options_do - a request. */
void tb_options_see(struct tb_proc *self, struct tb_supervisor *sup);
bool tb_options_same(const struct tb_wr *a, const struct tb_wr *b);
void tb_options_do(struct tb_proc *self, struct tb_supervisor *sup,
                   struct tb_request *r, const struct tb_val *v);
int tb_on_sup_reconfigure(struct tb_proc *self, void *state,
                          const struct tb_msg *m);
int tb_on_sup_reload(struct tb_proc *self, void *state, const struct tb_msg *m);

/* tombstones.c - what was removed while a host was away. */
void tb_tombstones_tick(struct tb_proc *self, struct tb_supervisor *sup);
void tb_tombstones_free(struct tb_supervisor *sup);
void tb_tombstone_add(struct tb_supervisor *sup, struct tb_key key);
bool tb_tombstone_is(const struct tb_supervisor *sup, struct tb_key key);
int64_t tb_generation(const struct tb_supervisor *sup);

/* commands.c - what hosts are told: gathered, and sent at the end of a turn. */
void tb_command(struct tb_proc *self, struct tb_host *host, const char *command,
                struct tb_args args);
void tb_host_send(struct tb_proc *self, struct tb_host *h);
void tb_commands_send(struct tb_proc *self, struct tb_supervisor *sup);
void tb_work_send(struct tb_proc *self, struct tb_supervisor *sup,
                  struct tb_work *w);

/* pace.c - how fast. tb_pace_start - false: w waits for its turn, and is sent
 * then. tb_pace_move - whether one more may set off; else there is a turn when
 * it may. tb_pace_hurry - w waits no longer. tb_pace_go_on - the rate is
 * another. */
bool tb_pace_start(struct tb_proc *self, struct tb_supervisor *sup,
                   struct tb_work *w);
bool tb_pace_move(struct tb_proc *self, struct tb_supervisor *sup);
void tb_pace_hurry(struct tb_proc *self, struct tb_supervisor *sup,
                   struct tb_work *w);
void tb_pace_go_on(struct tb_proc *self, struct tb_supervisor *sup);
int tb_on_pace(struct tb_proc *self, void *state, const struct tb_msg *m);

/* works.c - decisions on their way. tb_work_removes - its child goes.
 * tb_work_stops - it stays, and is to be started by request only. */
struct tb_work *tb_work_new(struct tb_child *c, enum tb_work_kind kind);
bool tb_work_removes(const struct tb_work *w);
bool tb_work_stops(const struct tb_work *w);
void tb_work_end(struct tb_proc *self, struct tb_supervisor *sup,
                 struct tb_work *w);
void tb_work_later(struct tb_proc *self, struct tb_supervisor *sup,
                   struct tb_work *w, uint64_t ms);
void tb_works_due(struct tb_proc *self, struct tb_supervisor *sup,
                  struct tb_key key);
void tb_work_started(struct tb_proc *self, struct tb_supervisor *sup,
                     struct tb_child *c, struct tb_term outcome, uint64_t seq);
void tb_work_stopped(struct tb_proc *self, struct tb_supervisor *sup,
                     struct tb_child *c);
void tb_work_deleted(struct tb_proc *self, struct tb_supervisor *sup,
                     struct tb_child *c, uint64_t seq);
void tb_work_unseen(struct tb_proc *self, struct tb_supervisor *sup,
                    struct tb_child *c);
bool tb_works_call_off(struct tb_proc *self, struct tb_supervisor *sup,
                       const struct tb_home *lost, const struct tb_home *there);
void tb_work_kept(struct tb_proc *self, struct tb_supervisor *sup,
                  struct tb_child *c, uint64_t seq);
void tb_work_refused(struct tb_proc *self, struct tb_supervisor *sup,
                     struct tb_child *c);
void tb_work_resume(struct tb_proc *self, struct tb_supervisor *sup,
                    struct tb_home *home);
bool tb_work_down(struct tb_proc *self, struct tb_supervisor *sup,
                  struct tb_ref ref);

/* lives.c - restarts, failovers, moves. */
void tb_child_exited(struct tb_proc *self, struct tb_supervisor *sup,
                     struct tb_child *c);
void tb_lives_check(struct tb_proc *self, struct tb_supervisor *sup);
void tb_lives_restart(struct tb_proc *self, struct tb_supervisor *sup,
                      struct tb_work *w);
struct tb_work *tb_work_keep_at(struct tb_proc *self, struct tb_supervisor *sup,
                                struct tb_child *c, struct tb_host *to);
void tb_lives_move_on(struct tb_proc *self, struct tb_supervisor *sup,
                      struct tb_child *c);
void tb_lives_recover(struct tb_proc *self, struct tb_supervisor *sup);
void tb_lives_refused(struct tb_proc *self, struct tb_supervisor *sup,
                      struct tb_host *host);

bool tb_stands_for_attached(struct tb_supervisor *sup,
                            const struct tb_child *c);

/* instances.c - which of several entries of a child go, and when.
 * tb_instance_stays - c is none that goes. tb_instance_yield - true: it is one,
 * and does when it may. tb_instance_settle - others of c's key.
 * tb_instance_may_go - false: not yet, or no more.
 * tb_instance_remove - c goes with one that was removed.
 * tb_instances_parted - at seq, after what host sees has changed. */
bool tb_instance_stays(struct tb_proc *self, struct tb_supervisor *sup,
                       const struct tb_child *c);
bool tb_instance_yield(struct tb_proc *self, struct tb_supervisor *sup,
                       struct tb_child *c);
void tb_instance_settle(struct tb_proc *self, struct tb_supervisor *sup,
                        const struct tb_child *c);
bool tb_instance_may_go(struct tb_proc *self, struct tb_supervisor *sup,
                        struct tb_work *w);
void tb_instance_remove(struct tb_proc *self, struct tb_supervisor *sup,
                        struct tb_child *c, bool running);
void tb_instances_parted(struct tb_host *host, uint64_t seq);
bool tb_host_sees(const struct tb_host *host, tb_atom node);
void tb_instances_turn(struct tb_proc *self, struct tb_supervisor *sup);

/* moves.c - what belongs elsewhere goes there. tb_balance_later - all that do,
 * when hosts have neither come nor gone for a while. */
enum tb_drain_why { TB_DRAIN_ASKED, TB_DRAIN_KEEP, TB_DRAIN_CRASHES };
void tb_drain(struct tb_supervisor *sup, struct tb_host *h,
              enum tb_drain_why why);
void tb_drain_forget_crashes(struct tb_supervisor *sup);
void tb_drain_forget(struct tb_supervisor *sup, tb_atom node);
bool tb_drain_is(const struct tb_supervisor *sup, tb_atom node);
bool tb_undrain(struct tb_supervisor *sup, tb_atom node);
void tb_moves_turn(struct tb_proc *self, struct tb_supervisor *sup);
void tb_balance_later(struct tb_proc *self, struct tb_supervisor *sup);

/* places.c - where to.
 * tb_places_update - who may take children now. tb_places_find - where one
 * with that spec belongs; NULL: there is no host. tb_places_ask - the locator
 * of a BEAM node tells it; the request goes on from there. */
void tb_places_update(struct tb_supervisor *sup);
struct tb_host *tb_places_find(struct tb_supervisor *sup, struct tb_term spec);
void tb_places_ask(struct tb_proc *self, struct tb_supervisor *sup,
                   struct tb_request *r);
void tb_places_send(struct tb_proc *self, struct tb_supervisor *sup);

/* tb_places_put - append their names. */
void tb_places_put(const struct tb_supervisor *sup, struct tb_wr *w);

/* locate.c - the same for a child that is there already. tb_places_of - NULL:
 * there is no host, or {M, F} has to be asked; there is a turn when it is
 * known. tb_located_used - the child is on its way. */
struct tb_host *tb_places_of(struct tb_proc *self, struct tb_supervisor *sup,
                             const struct tb_child *c);
void tb_located_used(struct tb_supervisor *sup, struct tb_key key);
void tb_located_send(struct tb_proc *self, struct tb_supervisor *sup);
void tb_located_tick(struct tb_proc *self, struct tb_supervisor *sup);
void tb_located_free(struct tb_supervisor *sup);

/* answers.c - requests that wait. tb_answer_table - a table for an answer in
 * this turn, or NULL; tb_answer_with - that answer, with its table. */
struct tb_request *tb_request_new(struct tb_proc *self,
                                  struct tb_supervisor *sup,
                                  const struct tb_msg *m, struct tb_term term);
bool tb_request_again(struct tb_supervisor *sup, const struct tb_msg *m,
                      struct tb_key key);
void tb_request_free(struct tb_supervisor *sup, struct tb_request *r);
void tb_request_hold(struct tb_proc *self, struct tb_supervisor *sup,
                     struct tb_request *r);
void tb_answer(struct tb_proc *self, struct tb_supervisor *sup,
               struct tb_request *r, const char *reply, struct tb_args args);
struct tb_atom_table *tb_answer_table(struct tb_proc *self,
                                      const struct tb_request *r);
void tb_answer_with(struct tb_proc *self, struct tb_supervisor *sup,
                    struct tb_request *r, const struct tb_atom_table *t,
                    struct tb_term reply);
void tb_answer_when(struct tb_proc *self, struct tb_supervisor *sup,
                    struct tb_request *r, struct tb_host *host, uint64_t seq,
                    const char *reply, struct tb_args args);
void tb_answers_copied(struct tb_proc *self, struct tb_supervisor *sup,
                       struct tb_host *host);
void tb_answers_late(struct tb_proc *self, struct tb_host *host);
void tb_reason_put(struct tb_wr *w, bool named, struct tb_term outcome);
void tb_requests_expire(struct tb_proc *self, struct tb_supervisor *sup);
void tb_requests_dispatch(struct tb_proc *self, struct tb_supervisor *sup);
void tb_request_run(struct tb_proc *self, struct tb_supervisor *sup,
                    struct tb_request *r);

/* batches.c - requests that come and are answered together. tb_batch_take - its
 * answer, of the last one that of all. tb_batch_leave - it is freed without. */
int tb_on_start_children(struct tb_proc *self, void *state,
                         const struct tb_msg *m);
int tb_on_batches(struct tb_proc *self, void *state, const struct tb_msg *m);
void tb_batch_take(struct tb_proc *self, struct tb_request *r);
void tb_batch_leave(struct tb_request *r);
void tb_batches_free(struct tb_supervisor *sup);

/* requests.c - what callers ask of the owner; tb_request_do carries one out. */
void tb_request_do(struct tb_proc *self, struct tb_supervisor *sup,
                   struct tb_request *r);

/* shows.c - what is answered from memory; false: it is no such request. */
bool tb_show(struct tb_proc *self, struct tb_supervisor *sup,
             struct tb_request *r);
bool tb_show_anyway(struct tb_proc *self, struct tb_supervisor *sup,
                    struct tb_request *r);

/* closing.c - the end of a generation.
 * tb_host_has_closed - else what is there is of a closed one: nothing begins
 * there before it is gone. tb_has_to_close - a host that will take children has
 * not yet. tb_home_close - nothing that is known of there counts any more.
 * tb_closed_is - that one is closed, so somebody says. */
bool tb_host_has_closed(const struct tb_host *h);
bool tb_has_to_close(const struct tb_supervisor *sup);
void tb_home_close(struct tb_proc *self, struct tb_supervisor *sup,
                   struct tb_home *home);
void tb_closed_is(struct tb_proc *self, struct tb_supervisor *sup,
                  int64_t generation);
void tb_close(struct tb_proc *self, struct tb_supervisor *sup,
              struct tb_term reason);
void tb_close_check(struct tb_proc *self, struct tb_supervisor *sup);

#endif
