/* children.h - the children that a supervisor knows of. */
#ifndef TB_SERVICES_CHILDREN_H
#define TB_SERVICES_CHILDREN_H

#include "services/child_spec.h"

struct tb_work;
struct tb_host;
struct tb_form;

/* {Node, Creation, N}: which child it is, made by that tiebeam node. */
struct tb_key {
    tb_atom node;
    uint32_t creation;
    uint64_t n;
};

enum tb_child_state {
    TB_CHILD_NEW, /* on its way: the host has not said that it has it */
    TB_CHILD_RUNNING,
    TB_CHILD_EXITED,
    TB_CHILD_STOPPED,
    TB_CHILD_UNDEFINED,
    TB_CHILD_STOPPING,
    TB_CHILD_MOVING
};

/* One incarnation of a host, and the children there. */
struct tb_home {
    struct tb_list link; /* in tb_supervisor.homes */
    tb_atom node;
    struct tb_wr inc;        /* owned: {Creation, Id} */
    struct tb_host *host;    /* whose present incarnation it is; NULL: none's */
    struct tb_list children; /* struct tb_child */
    size_t n;
    uint64_t seq;     /* the last that it said of what its backup has */
    uint64_t made;    /* tb_supervisor.n_asks when we heard of it */
    bool known;       /* all that happened there was told to us, the owner */
    bool lost;        /* for good: its children have to start elsewhere */
    bool copied;      /* its children are from copies */
    bool complete;    /* copies were asked for, and came, as far as needed */
    bool fresh;       /* just attached: looked through soon */
    bool stale;       /* what we know of it is of before an absence of ours */
    bool empty;       /* of a host that was forgotten: nothing there counts */
    tb_atom holder;   /* whose copies they are */
    uint64_t drop_ms; /* since when it waits for its copies to go; 0: not yet */
    tb_atom backed_by; /* who acknowledged last what is here, and how far */
    uint64_t backed;
    tb_atom *asked; /* owned: hosts whose copies are still to come */
    size_t n_asked;
    unsigned pending; /* its children that are on their way elsewhere */
};

/* A child on a host: while it moves, and after a net split, there are two of
 * one key. */
struct tb_child {
    struct tb_list link; /* in home->children */
    struct tb_home *home;
    struct tb_work *work; /* what is being done to it; NULL: nothing */
    struct tb_form *form; /* its spec, but for the id and the arguments */
    struct tb_pid pid;    /* node 0: none */
    uint8_t *stands_for;  /* owned: [{Node, Inc}]; NULL: none */
    struct tb_key key;
    uint64_t order;  /* of the starts, as far as we saw them */
    uint64_t seq;    /* of its host, when it last told of it */
    uint64_t starts; /* see tb_starts_more() */
    uint32_t era;    /* of the absence of hosts, in which it was made */
    uint32_t id_n, args_n;
    uint32_t started_s; /* for the back-off */
    uint8_t state;      /* enum tb_child_state */
    uint8_t restart;    /* enum tb_restart */
    uint8_t failures;   /* for the back-off */
    bool named : 1, supervisor : 1;
    bool shown : 1;    /* counted, and in which_children */
    bool counted : 1;  /* among the active */
    bool wanted : 1;   /* elsewhere: it stands at the head of home->children */
    bool abnormal : 1; /* TB_CHILD_EXITED: not with normal or shutdown */
    bool seen : 1;     /* while a table is read */
    uint8_t own[];     /* the id of a named one, and the arguments */
};

struct tb_counts {
    size_t specs, active, supervisors, workers;
};

enum tb_index { TB_BY_KEY, TB_BY_PID, TB_BY_ID, TB_INDEXES };

struct tb_children {
    struct {
        struct tb_child **at;
        size_t cap, n; /* cap is a power of two */
    } index[TB_INDEXES];
    uint64_t secret[2];
    uint64_t last_order;
    size_t n_fresh; /* new, and not of the counts: started by request */
    struct tb_counts counts;
    struct tb_map *forms;      /* bytes of it -> struct tb_form, owned */
    struct tb_form *last_form; /* that was found */
    struct tb_wr scratch, key; /* owned */
};

/* Incarnations that one child stands in for; the earliest go. */
#define TB_MAX_STANDS 64

/* tb_children_fini - frees the table and every child. */
void tb_children_init(struct tb_children *t);
void tb_children_fini(struct tb_children *t);

/* Which of two entries of a child counts more, the one with the higher number:
 * the low bits are how often it was started, over all hosts, and above them is
 * what was asked for since it was made: odd while it is to be stopped. */
#define TB_STARTS_ASKED ((uint64_t)1 << 20)

/* tb_starts_more - of one that is started once more. tb_starts_stopped - of one
 * that was stopped by request, or is done. tb_starts_asked - of one that is
 * started again by request. */
uint64_t tb_starts_more(uint64_t starts);
uint64_t tb_starts_stopped(uint64_t starts);
uint64_t tb_starts_asked(uint64_t starts);
bool tb_starts_is_stopped(uint64_t starts);

/* tb_child_new - a child in that state on that host; spec is what hosts keep,
 * and copied. NULL: it is no spec.
 * tb_child_free - it is gone; its work is the caller's.
 * tb_child_set - another state, and its pid where it has one.
 * tb_child_show - whether it counts.
 * tb_child_count - take what hosts keep of that, {Starts, StandsFor}.
 * tb_child_put_count - append it, with the starts given.
 * tb_child_follow - c, of the same key, is there instead of old: with the
 * starts given, and standing for what old stood for, and for one more lost home
 * (NULL: none) in place of others of its node; all of nodes that may come back.
 */
struct tb_child *tb_child_new(struct tb_children *t, struct tb_home *home,
                              struct tb_key key, struct tb_term spec,
                              enum tb_child_state state);
void tb_child_free(struct tb_children *t, struct tb_child *c);
void tb_child_set(struct tb_children *t, struct tb_child *c,
                  enum tb_child_state state, const struct tb_pid *pid);
void tb_child_show(struct tb_children *t, struct tb_child *c, bool shown);
void tb_child_count(struct tb_child *c, struct tb_term count);
void tb_child_put_count(struct tb_wr *w, const struct tb_child *c,
                        uint64_t starts);
void tb_child_follow(struct tb_child *c, const struct tb_child *old,
                     uint64_t starts, const struct tb_home *lost,
                     bool (*may)(const void *ctx, tb_atom node),
                     const void *ctx);
bool tb_child_stands_for(const struct tb_child *c, const struct tb_home *home);

/* tb_children_on - that child on that host, or NULL. tb_children_best - of all
 * with that key the one with the most starts; one on a host that is not lost
 * comes first. tb_children_other - another one than c with its key, not lost.
 * tb_children_pid - who has that pid. tb_children_id - the best one of that
 * id. tb_children_each_key, _id - the next one of that key or id, NULL after
 * the last; *at is 0 at first, and the table the same in between. */
struct tb_child *tb_children_on(const struct tb_children *t, struct tb_key key,
                                const struct tb_home *home);
struct tb_child *tb_children_best(const struct tb_children *t,
                                  struct tb_key key);
struct tb_child *tb_children_other(const struct tb_children *t,
                                   const struct tb_child *c);
struct tb_child *tb_children_pid(const struct tb_children *t,
                                 struct tb_pid pid);
struct tb_child *tb_children_id(const struct tb_children *t, struct tb_term id);
struct tb_child *tb_children_each_key(const struct tb_children *t,
                                      struct tb_key key, size_t *at);
struct tb_child *tb_children_each_id(const struct tb_children *t,
                                     struct tb_term id, size_t *at);

/* tb_key_read - false: it is no key. tb_key_put - append it. */
bool tb_key_read(struct tb_key *key, struct tb_term t);
void tb_key_put(struct tb_wr *w, struct tb_key key);

/* Children as which_children shows them, one after the other. */
struct tb_shown {
    struct tb_wr items;          /* owned */
    struct tb_atom_table *table; /* owned; their atoms are in it, or NULL */
    const struct tb_form *form;  /* of the last one: */
    struct tb_wr head, rest;     /* owned: what is before and behind its pid */
};

/* tb_child_spec - what hosts keep, until it is asked for that of another child.
 * tb_child_id - of a named one; else of no length.
 * tb_child_put_shown - append {Id, Pid, Type, Modules}. */
struct tb_term tb_child_spec(const struct tb_child *c);
struct tb_term tb_child_id(const struct tb_child *c);
void tb_child_put_shown(struct tb_shown *s, const struct tb_child *c,
                        struct tb_val pid);

/* forms.c. tb_form_get - the form of a spec, for one more child, and the rest
 * of the spec, which is borrowed: until another form is asked for. NULL: it is
 * no spec. tb_form_release - for one less. tb_form_spec - the spec again, until
 * it is asked for another. tb_form_show - append {Id, Pid, Type, Modules}.
 * tb_shown_free - all that it owns. */
void tb_shown_free(struct tb_shown *s);
struct tb_form *tb_form_get(struct tb_children *t, struct tb_term spec,
                            struct tb_spec *s, struct tb_term *args);
void tb_form_release(struct tb_children *t, struct tb_form *f);
struct tb_term tb_form_spec(const struct tb_form *f, struct tb_term id,
                            struct tb_term args);
void tb_form_show(struct tb_shown *s, const struct tb_form *f,
                  struct tb_term id, struct tb_val pid);

#endif
