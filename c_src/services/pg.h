/* pg.h - the tables of a scope of process groups; see pg.c. */
#ifndef TB_SERVICES_PG_H
#define TB_SERVICES_PG_H

#include "tiebeam.h"

#define TB_PG_MAX_GROUP   65536u      /* bytes of a group's name */
#define TB_PG_MAX_MEMBERS (1u << 20)  /* of one peer, or our own */
#define TB_PG_MAX_BYTES   (64u << 20) /* of the groups' names, of one peer */
#define TB_PG_MAX_WATCHES 65536u      /* processes that watch groups */
#define TB_PG_RETRY_MS    100u        /* until a lost peer is looked for, */
#define TB_PG_RETRY_MAX   30000u      /* twice as long each time */

/* Whose word it is that a process is a member: a peer's scope, or ours. */
struct tb_pg_owner {
    struct tb_list members; /* owned struct tb_pg_member, by_owner */
    size_t n, bytes;        /* memberships, and bytes of their groups' names */
};

struct tb_pg_group {
    struct tb_list link; /* in pg->group_list */
    uint8_t key[TB_KEY_BYTES];
    struct tb_wr name;      /* the term */
    struct tb_list members; /* struct tb_pg_member, by_group */
    struct tb_list watches; /* struct tb_pg_watch, by_group */
};

/* A process in a group, by the word of one owner, so many times. */
struct tb_pg_member {
    struct tb_list by_group, by_owner;
    struct tb_pg_group *group;
    struct tb_pg_owner *owner;
    tb_atom peer; /* the owner's node; 0: we are */
    struct tb_pid pid;
    uint32_t count, seen; /* times; and in the sync under way */
};

/* A process that we tell others of. */
struct tb_pg_local {
    struct tb_pg_owner owner;
    struct tb_ref ref; /* our monitor on it */
    struct tb_pid pid;
};

/* A connected node, and its scope if it has one. */
struct tb_pg_peer {
    struct tb_pg_owner owner;
    tb_atom node;
    struct tb_pid pid; /* of its scope; .node 0: not known */
    struct tb_ref ref; /* our monitor on that, or on its name; .n 0: none */
    bool told;         /* it has been sent our members */
    bool refused;      /* it has told more than we keep */
    unsigned retry_ms;
    struct tb_ref timer; /* .n 0: none */
};

/* A process that is told of joins and leaves: of a group, or of all. */
struct tb_pg_watch {
    struct tb_list link;     /* in pg->watches */
    struct tb_list by_group; /* in group->watches, or .next NULL */
    struct tb_pg_group *group;
    struct tb_pid pid;
    struct tb_ref ref; /* our monitor on it */
};

/* Joins or leaves of one group that are told together. */
struct tb_pg_news {
    struct tb_pg_group *group; /* NULL: there are none */
    const char *what;          /* "join", "leave" */
    struct tb_wr pids;
    size_t n;
};

enum tb_pg_kind { TB_PG_LOCAL, TB_PG_PEER, TB_PG_WATCH };

/* What a monitor of ours is for. */
struct tb_pg_ref {
    struct tb_ref ref;
    enum tb_pg_kind kind;
    void *what;
};

struct tb_pg {
    const char *scope;     /* the registered name; borrowed */
    struct tb_map *groups; /* by key */
    struct tb_list group_list;
    struct tb_map *members; /* by peer, group and pid */
    struct tb_map *locals;  /* by pid */
    struct tb_map *peers;   /* by node */
    struct tb_map *refs;    /* owned struct tb_pg_ref */
    struct tb_list watches; /* owned struct tb_pg_watch of all groups */
    struct tb_map *watch_of;
    size_t n_locals; /* memberships of our own */
    struct tb_pg_news news;
};

/* pg_groups.c: who is in what group. */

/* tb_pg_group_find - NULL: nobody is in it, or watches it.
 * tb_pg_group_get - made if need be; give it up by tb_pg_group_release(). */
struct tb_pg_group *tb_pg_group_find(struct tb_pg *pg, struct tb_term name);
struct tb_pg_group *tb_pg_group_get(struct tb_pg *pg, struct tb_term name);
void tb_pg_group_release(struct tb_pg *pg, struct tb_pg_group *g);

/* tb_pg_add - one more membership. false: the owner has too many.
 * tb_pg_remove - one less. false: there was none.
 * tb_pg_count - how many there are.
 * tb_pg_drop - all of that owner. tb_pg_drop_all - of every one. */
bool tb_pg_add(struct tb_proc *self, struct tb_pg *pg,
               struct tb_pg_owner *owner, tb_atom peer, struct tb_term group,
               struct tb_pid pid);
bool tb_pg_remove(struct tb_proc *self, struct tb_pg *pg, tb_atom peer,
                  struct tb_term group, struct tb_pid pid);
uint32_t tb_pg_count(struct tb_pg *pg, tb_atom peer, struct tb_term group,
                     struct tb_pid pid);
void tb_pg_drop(struct tb_proc *self, struct tb_pg *pg,
                struct tb_pg_owner *owner);
void tb_pg_drop_all(struct tb_proc *self, struct tb_pg *pg);

/* The owner says anew who its members are: tb_pg_sync_begin(), tb_pg_sync_add()
 * for each, and at the end the others go. Who stays is not told of. */
void tb_pg_sync_begin(struct tb_pg_owner *owner);
bool tb_pg_sync_add(struct tb_proc *self, struct tb_pg *pg,
                    struct tb_pg_owner *owner, tb_atom peer,
                    struct tb_term group, struct tb_pid pid);
void tb_pg_sync_end(struct tb_proc *self, struct tb_pg *pg,
                    struct tb_pg_owner *owner);

/* tb_pg_put_members - append the list of a group's pids; local: only of ours.
 * tb_pg_put_groups - append the list of groups.
 * tb_pg_put_ours - append [{Group, [Pid]}], all of our own. */
void tb_pg_put_members(struct tb_pg *pg, struct tb_term group, bool local,
                       struct tb_wr *w);
void tb_pg_put_groups(struct tb_pg *pg, bool local, struct tb_wr *w);
void tb_pg_put_ours(struct tb_pg *pg, struct tb_wr *w);

/* pg_watches.c: who wants to know. */

/* tb_pg_news - to be told; what is a literal. tb_pg_tell - tell it now. */
void tb_pg_news(struct tb_proc *self, struct tb_pg *pg, struct tb_pg_group *g,
                const char *what, struct tb_pid pid);
void tb_pg_tell(struct tb_proc *self, struct tb_pg *pg);
void tb_pg_watch_free(struct tb_pg *pg, struct tb_pg_watch *w);
int tb_pg_on_monitor(struct tb_proc *self, void *state, const struct tb_msg *m);
int tb_pg_on_monitor_group(struct tb_proc *self, void *state,
                           const struct tb_msg *m);
int tb_pg_on_demonitor(struct tb_proc *self, void *state,
                       const struct tb_msg *m);

/* pg_shows.c: what a scope is asked. */

int tb_pg_on_get_members(struct tb_proc *self, void *state,
                         const struct tb_msg *m);
int tb_pg_on_get_local_members(struct tb_proc *self, void *state,
                               const struct tb_msg *m);
int tb_pg_on_which_groups(struct tb_proc *self, void *state,
                          const struct tb_msg *m);
int tb_pg_on_which_local_groups(struct tb_proc *self, void *state,
                                const struct tb_msg *m);
int tb_pg_on_info(struct tb_proc *self, void *state, const struct tb_msg *m);

/* pg_peers.c: the scopes of other nodes. */

/* tb_pg_broadcast - a message to every peer that knows our members. */
void tb_pg_broadcast(struct tb_proc *self, struct tb_pg *pg, const char *msg,
                     struct tb_args args);
void tb_pg_discover(struct tb_proc *self, struct tb_pg *pg, tb_atom node);
void tb_pg_peer_down(struct tb_proc *self, struct tb_pg *pg,
                     struct tb_pg_peer *p, bool connected);
void tb_pg_peer_free(struct tb_pg *pg, struct tb_pg_peer *p);
int tb_pg_on_nodeup(struct tb_proc *self, void *state, const struct tb_msg *m);
int tb_pg_on_nodedown(struct tb_proc *self, void *state,
                      const struct tb_msg *m);
int tb_pg_on_retry(struct tb_proc *self, void *state, const struct tb_msg *m);
int tb_pg_on_discover(struct tb_proc *self, void *state,
                      const struct tb_msg *m);
int tb_pg_on_sync(struct tb_proc *self, void *state, const struct tb_msg *m);
int tb_pg_on_join(struct tb_proc *self, void *state, const struct tb_msg *m);
int tb_pg_on_leave(struct tb_proc *self, void *state, const struct tb_msg *m);

/* pg.c */

/* tb_pg_ref_put, tb_pg_ref_take - what a monitor of ours is for. */
void tb_pg_ref_put(struct tb_pg *pg, struct tb_ref ref, enum tb_pg_kind kind,
                   void *what);
void tb_pg_ref_take(struct tb_pg *pg, struct tb_ref ref);

#endif
