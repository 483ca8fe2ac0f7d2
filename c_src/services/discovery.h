/* discovery.h - what the files of a discovery share.
 *
 * A round: the source's queries are asked side by side (sources.c), their
 * names become candidates (candidates.c), whatever is not connected is dialled
 * (rounds.c). mesh.c lets the BEAM nodes connect to each other. */
#ifndef TB_SERVICES_DISCOVERY_H
#define TB_SERVICES_DISCOVERY_H

#include "services/rule.h"
#include "services/services.h"

#define TB_DISCOVERY_MAX_CANDIDATES 8192
#define TB_DISCOVERY_MAX_QUERIES    64
#define TB_DISCOVERY_MAX_WAITING    1024
#define TB_DISCOVERY_BUCKETS        1024
/* of the names that erl/ gives to sidecars */
#define TB_SIDECAR_PREFIX "tiebeam-"
#define TB_DISCOVERY_NAME 256 /* of hosts, queries, basenames */

/* ----------------------------------------------------------- options -- */

enum tb_source {
    TB_SOURCE_EPMD,
    TB_SOURCE_NODES,
    TB_SOURCE_DNS,
    TB_SOURCE_SRV,
    TB_SOURCE_HOSTS_FILE,
    TB_SOURCE_MFA,
    TB_SOURCE_IGNORE
};

enum tb_mesh_kind { TB_MESH_NONE, TB_MESH_ATTACHED, TB_MESH_ALL };

struct tb_discovery_options {
    enum tb_source source;
    struct tb_term what; /* what it is to ask; borrowed from the options */
    char basename[TB_DISCOVERY_NAME]; /* "": none given */
    char nameservers[512], search[512];
    bool names;          /* of the hosts, by PTR: basename@name */
    tb_atom attached;    /* 0: to no node */
    int64_t interval_ms; /* < 0: on request only */
    uint64_t connect_timeout_ms;
    enum tb_mesh_kind mesh;
    unsigned gone_after; /* answers after which a node is left; 0: never */
    bool quiet;
    enum tb_level level;                            /* of changes */
    struct tb_term connect, disconnect, list_nodes; /* {M,F,A}; n == 0: OTP's */
    struct tb_term notify; /* of {send, {Name, Node}}; n == 0: nobody */
};

/* tb_discovery_read - options that have been checked, over the defaults. */
void tb_discovery_read(struct tb_discovery_options *o, struct tb_term opts);

/* -------------------------------------------------------- candidates -- */

#define TB_OUTCOME_NONE 1 /* beside 0 and the errors */

struct tb_candidate {
    struct tb_list link;
    struct tb_candidate *next; /* in its bucket */
    tb_atom node;
    uint16_t srv_port; /* of its SRV record */
    bool seen;         /* in this round's answers */
    bool connected;
    bool dialling, tried_srv;
    uint64_t dial_round; /* whose end waits for the dial */
    int64_t dial_ms;     /* when it began */
    bool relinked;       /* the attached node was asked again in this round */
    unsigned busy;       /* calls whose ctx it is: it stays till they end */
    int last;            /* the last outcome */
    int64_t dialled_ms;  /* when the attempt that ran last began; 0: none */
    unsigned failures;   /* in a row */
    int64_t not_before_ms;
    int64_t stopping_ms; /* when it was last seen on its way out */
    unsigned gone;       /* complete answers in a row that lack it */
    unsigned place;      /* in the mesh's pass */
};

/* ----------------------------------------------------------- queries -- */

/* What one question of a query came to. */
struct tb_half {
    const char *what; /* "A", "AAAA", "SRV", "epmd", ... */
    enum tb_dns_type type;
    int status;
    unsigned count;
    int64_t ttl; /* seconds, the least; -1: none */
    bool done;
    unsigned pending; /* PTR: questions that the addresses led to */
};

struct tb_query {
    char name[TB_DISCOVERY_NAME];     /* a DNS name or a host */
    char basename[TB_DISCOVERY_NAME]; /* of its nodes; "": all */
    struct tb_half half[3];
    unsigned n_halves;
    int told_status[3]; /* what the log was told last */
    unsigned told_count[3];
    bool told;
    char nameless[64]; /* an address that has no PTR record */
};

/* ---------------------------------------------------------- instance -- */

struct tb_mesh_member {
    tb_atom node;
    bool listed, stopping;
};

struct tb_mesh {
    struct tb_mesh_member *member; /* owned; of the pass that ran last */
    uint8_t *has;                  /* owned; row i: whom i's nodes() has */
    unsigned *group;               /* owned; whom links join, see mesh.c */
    struct tb_wr hidden;           /* owned: nodes(hidden) of the hub */
    unsigned n, rows, pass, waiting;
    bool judged, timed;
    unsigned work;        /* probes and dials under way */
    bool linked_some;     /* look again soon */
    struct tb_list pairs; /* owned struct tb_pair */
    struct tb_pair *bucket[TB_DISCOVERY_BUCKETS];
    unsigned n_pairs;
    bool known; /* missing and members are of a pass that ended */
    unsigned missing, members;
    bool told;
    unsigned told_missing, told_members;
};

struct tb_cause {
    char atom[32];
    uint64_t count;
};

#define TB_DISCOVERY_CAUSES 48

enum tb_round_phase {
    TB_ROUND_IDLE,
    TB_ROUND_ASK,
    TB_ROUND_LINK,
    TB_ROUND_DIAL
};

struct tb_discovery {
    const struct tb_discovery_config *config;
    struct tb_discovery_ops ops; /* none of them NULL but basename */
    struct tb_wr opts;           /* owned; what o borrows from */
    struct tb_discovery_options o;
    char own_host[TB_DISCOVERY_NAME];
    struct tb_dns *dns; /* owned; NULL: none needed */
    bool dns_broken;    /* no server answered: read the system's anew */

    struct tb_query *query; /* owned */
    unsigned n_queries;
    struct tb_list candidates; /* owned struct tb_candidate */
    struct tb_candidate *bucket[TB_DISCOVERY_BUCKETS];
    unsigned n_candidates;

    enum tb_round_phase phase;
    uint64_t rounds, round; /* over; the one that runs, or ran last */
    unsigned asked;         /* answers that the phase waits for */
    struct tb_ref clock;    /* the timer that ends the phase */
    bool by_hand;           /* somebody waits: leave out no candidate */
    bool again;             /* another one was asked for meanwhile */
    bool timed;             /* the timer of the next round runs */
    bool complete;          /* every query was answered in full */
    bool hub_up;            /* the attached node answered */
    struct tb_wr hub_nodes; /* owned: its nodes() */
    struct tb_list waiting; /* owned struct waiting */
    unsigned n_waiting;
    uint64_t next_waiting;

    struct tb_mesh mesh;
    struct tb_cause cause[TB_DISCOVERY_CAUSES];
    unsigned n_causes;
    char last_error[1000], last_cause[32];
    uint64_t random;
};

/* ------------------------------------------------------- small things -- */

int64_t tb_discovery_now_ms(void);
/* tb_discovery_jitter - ms, a quarter more or less. */
int64_t tb_discovery_jitter(struct tb_discovery *d, int64_t ms);
/* tb_discovery_log - a change; tb_discovery_error also counts its cause, and
 * keeps it as the last one. */
void tb_discovery_log(struct tb_discovery *d, const char *event,
                      const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void tb_discovery_error(struct tb_discovery *d, const char *event, int cause,
                        bool changed, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* candidates.c */
/* tb_is_sidecar - the name of what runs beside a release to find its peers. */
bool tb_is_sidecar(struct tb_text name);
struct tb_candidate *tb_candidate_find(struct tb_discovery *d, tb_atom node);
/* tb_candidate_see - a name of this round's answers. */
struct tb_candidate *tb_candidate_see(struct tb_proc *self,
                                      struct tb_discovery *d,
                                      const struct tb_query *q,
                                      struct tb_text name);
void tb_candidate_drop(struct tb_discovery *d, struct tb_candidate *c);
/* tb_candidates_mark - take over who is connected. list: of nodes. */
void tb_candidates_mark(struct tb_discovery *d, struct tb_term list);
/* tb_candidates_sift - after a round's answers: forget or count what they
 * lack. */
void tb_candidates_sift(struct tb_proc *self, struct tb_discovery *d);
/* tb_candidate_tell - event: what those who want to know are told; cause: an
 * error, or 0. */
void tb_candidate_tell(struct tb_proc *self, struct tb_discovery *d,
                       struct tb_candidate *c, const char *event, int cause);
/* tb_candidate_outcome - a dial's end; why: its term. */
void tb_candidate_outcome(struct tb_proc *self, struct tb_discovery *d,
                          struct tb_candidate *c, int status,
                          struct tb_term why);
const char *tb_candidate_name(const struct tb_candidate *c);

/* sources.c: ask - tb_round_answered() follows once for each question that was
 * counted in d->asked. */
void tb_sources_open(struct tb_proc *self, struct tb_discovery *d);
void tb_sources_close(struct tb_discovery *d);
void tb_sources_ask(struct tb_proc *self, struct tb_discovery *d);
void tb_sources_timed_out(struct tb_discovery *d);
/* tb_sources_tell - log what changed in the answers; false: not all of them
 * are complete. */
bool tb_sources_tell(struct tb_discovery *d);
void tb_sources_put(struct tb_discovery *d, struct tb_wr *w);

/* tb_sources_take_hosts - of a hosts file: the epmds to ask. */
void tb_sources_take_hosts(struct tb_discovery *d, struct tb_term hosts);
void tb_sources_open_dns(struct tb_proc *self, struct tb_discovery *d);

/* questions.c: each begins what its name says. from: the first query. */
void tb_ask_dns(struct tb_proc *self, struct tb_discovery *d);
void tb_ask_epmds(struct tb_proc *self, struct tb_discovery *d, unsigned from);
void tb_ask_hosts_file(struct tb_proc *self, struct tb_discovery *d);
void tb_ask_mfa(struct tb_proc *self, struct tb_discovery *d);
/* tb_see_nodes - candidates from a list of nodes; how many it has. */
unsigned tb_see_nodes(struct tb_proc *self, struct tb_discovery *d,
                      const struct tb_query *q, struct tb_term nodes);
void tb_half_settle(struct tb_half *h, int status, unsigned count, int64_t ttl);

/* rounds.c */
/* by_hand: a round is wanted that begins now; one that runs is followed by
 * another. */
void tb_round_begin(struct tb_proc *self, struct tb_discovery *d, bool by_hand);
void tb_round_answered(struct tb_proc *self, struct tb_discovery *d);
void tb_round_linked(struct tb_proc *self, struct tb_discovery *d);
void tb_round_timed_out(struct tb_proc *self, struct tb_discovery *d,
                        int64_t phase);
void tb_round_arm(struct tb_proc *self, struct tb_discovery *d);

/* waiting.c */
/* tb_discovery_put_result - {Connected, [{Node, Error}]}.
 * tb_discovery_count - how many of the nodes found are connected. */
void tb_discovery_put_result(struct tb_proc *self, struct tb_discovery *d,
                             struct tb_wr *w);
int64_t tb_discovery_count(const struct tb_discovery *d);
void tb_waiting_free(struct tb_discovery *d);
int tb_on_discover(struct tb_proc *self, void *state, const struct tb_msg *m);
int tb_on_discover_within(struct tb_proc *self, void *state,
                          const struct tb_msg *m);
int tb_on_await(struct tb_proc *self, void *state, const struct tb_msg *m);
int tb_on_waited(struct tb_proc *self, void *state, const struct tb_msg *m);
void tb_discovery_answer(struct tb_proc *self, struct tb_discovery *d);
void tb_discovery_check_waiting(struct tb_proc *self, struct tb_discovery *d);

/* mesh.c */
void tb_mesh_init(struct tb_mesh *m);
void tb_mesh_free(struct tb_mesh *m);
/* tb_mesh_pass - read nodes() of the BEAM nodes, link the pairs that lack, and
 * so on from then. In a mesh of the attached node tb_round_linked() follows. */
void tb_mesh_pass(struct tb_proc *self, struct tb_discovery *d);
void tb_mesh_tick(struct tb_proc *self, struct tb_discovery *d);
void tb_mesh_judge(struct tb_proc *self, struct tb_discovery *d, int64_t pass);
/* tb_mesh_leave - let the BEAM nodes disconnect from that node. */
void tb_mesh_leave(struct tb_proc *self, struct tb_discovery *d, tb_atom node);
/* tb_mesh_is_full - n nodes at least, each linked with each. */
bool tb_mesh_is_full(const struct tb_discovery *d, int64_t n);
void tb_mesh_put(const struct tb_discovery *d, struct tb_wr *w);
/* tb_mesh_apply - call a function on a node: mfa, a term {M,F,A}, or where it
 * is empty otp, "module:function"; arg is one more argument, 0: none. */
void tb_mesh_apply(struct tb_proc *self, tb_atom at, struct tb_term mfa,
                   const char *otp, tb_atom arg, uint64_t timeout_ms,
                   tb_done done, void *ctx);

#endif
