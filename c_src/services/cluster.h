/* cluster.h - what the files of the service process_cluster share; see
 * process_cluster.c. */
#ifndef TB_SERVICES_CLUSTER_H
#define TB_SERVICES_CLUSTER_H

#include "services/services.h"

#define TB_CL_MAX_NAME 4096u /* bytes of {Cluster, Type} */
#define TB_CL_MAX_TELLS                                                        \
    65536u                     /* processes that are told, over all clusters   \
                                */
#define TB_CL_LEAVE_MS   50u   /* a leave may be the end of a process: wait */
#define TB_CL_CHECK_MS   5000u /* holders are looked at again */
#define TB_CL_SOON_MS    1000u /* where not all is as it should be */
#define TB_CL_ATTACH_MS  100u
#define TB_CL_RETRY_MS   5u     /* a name that is taken still, and so on */
#define TB_CL_ASK_MS     5000u  /* until an answer of another node */
#define TB_CL_WAIT_MS    10000u /* until a process is a member */
#define TB_CL_LOCK_MS    15000u /* global may wait for its locks */
#define TB_CL_SPLIT_SEEN 2u     /* checks that a split must last */
#define TB_CL_END_MS     20u    /* at the end: whether names are released */
#define TB_CL_END_LOOKS  250u

/* A process that is a member, or is told of members; we monitor it. */
struct tb_cl_proc {
    struct tb_pid pid;
    struct tb_ref ref;
    struct tb_list members; /* struct tb_cl_member, by_proc */
    struct tb_list tells;   /* struct tb_cl_tell, by_proc */
};

struct tb_cl_member {
    struct tb_list by_cluster, by_proc;
    struct tb_cluster *cluster;
    struct tb_cl_proc *proc;
    uint8_t type_key[TB_KEY_BYTES];
    struct tb_wr type;
    uint32_t count;      /* times that pg has it */
    bool asked;          /* by {leave, Cluster, Pid} */
    struct tb_ref timer; /* of a leave that may be its end; .n 0: none */
};

struct tb_cl_tell {
    struct tb_list by_cluster, by_proc;
    struct tb_cluster *cluster;
    struct tb_cl_proc *proc;
    struct tb_pid leader; /* the last it was told of */
};

/* Who holds the name, as a BEAM node sees it. */
struct tb_cl_view {
    struct tb_list link; /* in cluster->views, by name of the node */
    tb_atom node;
    struct tb_pid holder; /* .node 0: nobody */
    bool known;           /* it has answered */
    bool asking;
    unsigned misses; /* checks in which others had a holder that it lacks */
};

struct tb_cluster {
    struct tb_list link;
    uint8_t key[TB_KEY_BYTES];
    struct tb_wr name;
    struct tb_list members; /* owned struct tb_cl_member, oldest first */
    struct tb_list tells;   /* owned struct tb_cl_tell */
    struct tb_list views;   /* owned struct tb_cl_view */
    bool busy;              /* a name is being registered */
    struct tb_pid left;     /* no member any more, but it may have the name
                             * still; .node 0: nobody */
    unsigned retry_ms;
    struct tb_ref timer; /* of the next check; .n 0: none */
    uint64_t takeovers;  /* for info */
};

/* A visible node that is connected. */
struct tb_cl_node {
    struct tb_list link; /* in clusters->nodes, by name */
    tb_atom node;
};

/* Who waits until a process is a member. */
struct tb_cl_wait {
    struct tb_list link;
    struct tb_from *from; /* owned */
    uint8_t cluster[TB_KEY_BYTES], type[TB_KEY_BYTES];
    struct tb_pid pid;
    bool tell; /* it wants to be told of the others */
    struct tb_ref timer;
};

struct tb_clusters {
    struct tb_map *by_name; /* of struct tb_cluster, by key */
    struct tb_list all;     /* owned struct tb_cluster */
    struct tb_map *procs;   /* owned struct tb_cl_proc, by pid */
    struct tb_map *proc_of; /* the same, by ref */
    struct tb_list nodes;   /* owned struct tb_cl_node */
    struct tb_list waits;   /* owned struct tb_cl_wait */
    size_t n_tells;
    struct tb_ref scope;    /* our monitor on the scope; .n 0: not attached */
    struct tb_ref news;     /* the reference in what the scope tells us */
    struct tb_from *ending; /* owned: told when all is left; or NULL */
    unsigned looks;         /* left, till then */
};

/* cluster_members.c */
struct tb_cluster *tb_cluster_find(struct tb_clusters *cs, struct tb_term name);
struct tb_cluster *tb_cluster_of_key(struct tb_clusters *cs,
                                     const uint8_t key[TB_KEY_BYTES]);
struct tb_cluster *tb_cluster_get(struct tb_clusters *cs, struct tb_term name);
/* tb_cluster_release - freed where nobody is in it, and nobody is told. */
void tb_cluster_release(struct tb_proc *self, struct tb_clusters *cs,
                        struct tb_cluster *c);
void tb_clusters_free(struct tb_clusters *cs);

struct tb_cl_proc *tb_cl_proc_find(struct tb_clusters *cs, struct tb_pid pid);
/* tb_cl_member_find - of that process, of a type (NULL: any). */
struct tb_cl_member *tb_cl_member_find(struct tb_clusters *cs,
                                       const struct tb_cluster *c,
                                       struct tb_pid pid,
                                       const uint8_t *type_key);
/* tb_cl_join, tb_cl_leave - pg says that a process is in, or has left, a group.
 * tb_cl_gone - a member leaves now, for that reason. */
void tb_cl_join(struct tb_proc *self, struct tb_clusters *cs,
                struct tb_term cluster, struct tb_term type, struct tb_pid pid);
void tb_cl_leave(struct tb_proc *self, struct tb_clusters *cs,
                 struct tb_term cluster, struct tb_term type,
                 struct tb_pid pid);
void tb_cl_gone(struct tb_proc *self, struct tb_clusters *cs,
                struct tb_cl_member *m, struct tb_term reason, bool dead);
int tb_cl_on_leave_timer(struct tb_proc *self, void *state,
                         const struct tb_msg *m);
int tb_cl_on_down(struct tb_proc *self, void *state, const struct tb_msg *m);

/* tb_cl_tell - from now on that process is told of all that happens; first of
 * how things are. false: too many are. tb_cl_untell - no more. */
bool tb_cl_tell(struct tb_proc *self, struct tb_clusters *cs,
                struct tb_cluster *c, struct tb_pid pid);
void tb_cl_untell(struct tb_proc *self, struct tb_clusters *cs,
                  struct tb_cluster *c, struct tb_pid pid);
/* tb_cl_tell_leader - those who have been told of another one. */
void tb_cl_tell_leader(struct tb_proc *self, struct tb_cluster *c);
void tb_cl_put_plist(const struct tb_cluster *c, struct tb_wr *w);
void tb_cl_put_pids(const struct tb_cluster *c, const uint8_t *type_key,
                    struct tb_wr *w);

/* cluster_join.c: requests that change who is a member. */
int tb_cl_on_join(struct tb_proc *self, void *state, const struct tb_msg *m);
int tb_cl_on_join_opts(struct tb_proc *self, void *state,
                       const struct tb_msg *m);
int tb_cl_on_leave(struct tb_proc *self, void *state, const struct tb_msg *m);
int tb_cl_on_wait_timer(struct tb_proc *self, void *state,
                        const struct tb_msg *m);
/* tb_cl_leave_ours - all members that are processes of this node. */
void tb_cl_leave_ours(struct tb_proc *self, struct tb_clusters *cs);
/* tb_cl_joined - a member is there: who waits for it is answered. */
void tb_cl_joined(struct tb_proc *self, struct tb_clusters *cs,
                  const struct tb_cl_member *m);
void tb_cl_wait_free(struct tb_cl_wait *w);

/* cluster_leader.c: who holds the cluster's name in global. */

/* tb_cl_leader - as that node sees it; .node 0: nobody, or not known. */
struct tb_pid tb_cl_leader(const struct tb_cluster *c, tb_atom node);
void tb_cl_put_leader(struct tb_pid leader, struct tb_wr *w);
/* tb_cl_check - ask all nodes who the holder is, and see to it that there is
 * one. tb_cl_lost - a process is no member any more. */
void tb_cl_check(struct tb_proc *self, struct tb_clusters *cs,
                 struct tb_cluster *c);
void tb_cl_lost(struct tb_proc *self, struct tb_clusters *cs,
                struct tb_cluster *c, struct tb_pid pid, bool dead);
void tb_cl_node_up(struct tb_proc *self, struct tb_clusters *cs, tb_atom node);
void tb_cl_node_down(struct tb_proc *self, struct tb_clusters *cs,
                     tb_atom node);
int tb_cl_on_check(struct tb_proc *self, void *state, const struct tb_msg *m);
int tb_cl_on_resolve(struct tb_proc *self, void *state, const struct tb_msg *m);

#endif
