/* tiebeam.h - write a C node that is a first-class member of an Erlang cluster.
 *
 * A node (struct tb_node) owns one event loop, its connections and its
 * processes. A process (struct tb_proc) is a table of message patterns, each
 * with a handler: the gen_server of C. Terms travel as bytes in the external
 * term format; the pattern notation takes them apart and builds them.
 *
 * Thread: everything belongs to the thread that called tb_node_new().
 * Errors: functions return >= 0, or a negative errno, or a negative TB_E*.
 */
#ifndef TIEBEAM_H
#define TIEBEAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TB_VERSION "0.1.0"
#define TB_API     __attribute__((visibility("default")))

/* ------------------------------------------------------------ errors -- */

/* name, the atom that peers are sent, the text for people */
/* clang-format off */
#define TB_ERRORS(X) \
    X(BADTERM,      "bad_term",       "not a well-formed external term")      \
    X(UNKNOWN_TAG,  "unknown_tag",    "a term with a tag that is not known")  \
    X(LIMIT,        "system_limit",   "a limit was reached")                  \
    X(BADARG,       "badarg",         "bad argument")                         \
    X(PATTERN,      "bad_pattern",    "malformed term pattern")               \
    X(SYNTAX,       "syntax_error",   "syntax error")                         \
    X(PROTO,        "protocol_error", "the peer broke the protocol")          \
    X(ATOM_CACHE,   "bad_atom_cache", "the peer refers to an atom it never sent")\
    X(AUTH,         "bad_cookie",     "the cookies differ")                   \
    X(FLAGS,        "missing_flags",  "the peer lacks mandatory capabilities")\
    X(NAME,         "wrong_name",     "the node there has another name")      \
    X(NOK,          "nok",            "the peer dials us at the same time")   \
    X(NOT_ALLOWED,  "not_allowed",    "the peer does not allow us")           \
    X(ALIVE,        "alive",          "a connection with that name is up")    \
    X(IN_USE,       "name_in_use",    "the name is registered by another node")\
    X(NO_EPMD,      "no_epmd",        "epmd does not answer")                 \
    X(NOT_IN_EPMD,  "not_in_epmd",    "epmd does not know that name")         \
    X(NXDOMAIN,     "nxdomain",       "the host name does not resolve")       \
    X(NODATA,       "nodata",         "the name has no such records")         \
    X(SERVFAIL,     "servfail",       "the name server failed")               \
    X(REFUSED,      "refused",        "the name server refused to answer")    \
    X(FORMERR,      "formerr",        "the name server did not understand")   \
    X(NOPROC,       "noproc",         "no such process")                      \
    X(NOCONNECTION, "noconnection",   "no connection to that node")           \
    X(TIMEOUT,      "timeout",        "no answer in time")                    \
    X(CLOSED,       "connection_closed", "the peer closed the connection")    \
    X(TICK,         "net_tick_timeout",  "nothing came within net_ticktime")  \
    X(PROBE,        "probe_timeout",  "probes were not answered")             \
    X(QUEUE_FULL,   "queue_full",     "the peer does not read")               \
    X(DISCONNECT,   "disconnect",     "disconnected on request")              \
    X(REPLACED,     "wait_pending",   "replaced by a new connection")         \
    X(TLS,          "tls_error",      "TLS was refused, or broke")            \
    X(STOPPED,      "shutdown",       "the node stops")                       \
    X(NOTSUP,       "notsup",         "not supported")                        \
    X(EXIT,         "exit",           "the process ended, or the call raised")
/* clang-format on */

enum tb_error {
    TB_E_FIRST = 20000,
#define TB_E_ENUM(name, atom, text) TB_E##name,
    TB_ERRORS(TB_E_ENUM)
#undef TB_E_ENUM
};

/* tb_strerror - text of a negative result; static storage.
 * tb_error_atom - the atom peers are sent for it; static storage. */
TB_API const char *tb_strerror(int err);
TB_API const char *tb_error_atom(int err);

/* ------------------------------------------------------------- terms -- */

/* An encoded, checked term, without the version byte 131. Borrowed bytes. */
struct tb_term {
    const uint8_t *p;
    size_t n;
};

/* Text of an atom or the bytes of a binary. Borrowed, not NUL-terminated. */
struct tb_text {
    const char *p;
    size_t n;
};

/* An interned node name: compare with ==. 0 is no name. */
typedef uint32_t tb_atom;

struct tb_pid {
    tb_atom node;
    uint32_t id, serial, creation;
};

#define TB_REF_WORDS 5
struct tb_ref {
    tb_atom node;
    uint32_t creation;
    uint32_t n; /* words used; the others are 0 */
    uint32_t id[TB_REF_WORDS];
};

enum tb_type {
    TB_T_NONE,
    TB_T_INT,
    TB_T_FLOAT,
    TB_T_ATOM,
    TB_T_PID,
    TB_T_REF,
    TB_T_BIN,
    TB_T_STR, /* building only: a charlist */
    TB_T_TERM,
    TB_T_LIST,
    TB_T_MAP,
    TB_T_TUPLE
};

/* A value that filled a hole, or that fills one. */
struct tb_val {
    enum tb_type type;
    union {
        int64_t i;
        double f;
        struct tb_text text; /* TB_T_ATOM, TB_T_BIN, TB_T_STR */
        struct tb_pid pid;
        struct tb_ref ref;
        struct tb_term term; /* TB_T_TERM, TB_T_LIST, TB_T_MAP, TB_T_TUPLE */
    };
};

/* Constructors of values; strings are borrowed. */
TB_API struct tb_val tb_v_int(int64_t i);
TB_API struct tb_val tb_v_float(double f);
TB_API struct tb_val tb_v_bool(bool b);
TB_API struct tb_val tb_v_atom(const char *text);
TB_API struct tb_val tb_v_atom_n(struct tb_text text);
TB_API struct tb_val tb_v_node(tb_atom node);
TB_API struct tb_val tb_v_str(const char *text);
TB_API struct tb_val tb_v_bin(const void *p, size_t n);
TB_API struct tb_val tb_v_pid(struct tb_pid pid);
TB_API struct tb_val tb_v_ref(struct tb_ref ref);
TB_API struct tb_val tb_v_term(struct tb_term term);

struct tb_args {
    size_t n;
    const struct tb_val *v;
};

#define TB_ARGS(...)                                                           \
    ((struct tb_args){ sizeof((struct tb_val[]){ __VA_ARGS__ }) /              \
                           sizeof(struct tb_val),                              \
                       (const struct tb_val[]){ __VA_ARGS__ } })
#define TB_NONE ((struct tb_args){ 0, NULL })

/* A growing buffer. Writes after a failure do nothing; ask .bad at the end. */
struct tb_wr {
    uint8_t *buf;
    size_t len, cap;
    size_t max; /* bytes it may grow to; 0: 128 MiB */
    bool bad;
};
TB_API void tb_wr_free(struct tb_wr *w);
TB_API void tb_wr_bytes(struct tb_wr *w, const void *p, size_t n);
TB_API void tb_wr_str(struct tb_wr *w, const char *s);
TB_API void tb_wr_printf(struct tb_wr *w, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#define TB_MAX_HOLES 12

/* tb_match - match a checked term with a pattern; out receives the holes.
 *
 * The notation: words in lower case and 'quoted' words are atoms; digits are
 * integers; "text" is a charlist and <<"text">> a binary; { }, [ ] and #{ } as
 * in Erlang; [H|T] is an improper list, such as [alias|Ref]; _ matches
 * anything; Name or Name:type is a hole, type one of int float atom pid ref bin
 * list map tuple term (the default).
 * #{k := V} matches a map that has at least that key.
 *
 * Returns 1 and the holes in order, 0 for no match, -TB_EPATTERN for a
 * malformed pattern. Ownership: out borrows from term. */
TB_API int tb_match(const char *pattern, struct tb_term term,
                    struct tb_val out[TB_MAX_HOLES]);

/* tb_build - append the term that a template describes; holes are filled from
 * args in order, and #{k => V} is a map. Returns 0, or an error that is also
 * sticky in w. */
TB_API int tb_build(struct tb_wr *w, const char *pattern, struct tb_args args);

/* tb_build_list - append the list of n terms that stand one after the other in
 * elements. */
TB_API int tb_build_list(struct tb_wr *w, size_t n,
                         const struct tb_wr *elements);
/* tb_build_map - append the map of n pairs, whose keys differ. */
TB_API int tb_build_map(struct tb_wr *w, size_t n, const struct tb_wr *pairs);

/* tb_wr_term - what w holds, as a term; of no length where w is bad. Borrowed
 * from w until it changes. */
TB_API struct tb_term tb_wr_term(const struct tb_wr *w);

/* tb_print - append the term as text, as io:format("~tw") does. */
TB_API int tb_print(struct tb_wr *w, struct tb_term term);
/* tb_print_pretty - for people: lists and binaries of printable characters as
 * "text" and <<"text">>, as "~tp" on one line. */
TB_API int tb_print_pretty(struct tb_wr *w, struct tb_term term);

/* Where and why a text does not parse. */
struct tb_text_error {
    unsigned line, column; /* from 1 */
    char what[160];        /* "expected ',' or ']' before '}'" */
};

/* The line of the term that begins at offset at of the buffer parsed into. */
struct tb_line {
    uint32_t at, line;
};

/* tb_parse - append the one term that the text is, with or without a final
 * dot. tb_consult - append the list of all its terms, each ending in a dot, as
 * file:consult/1. Integers (any width, Base#Digits, $c, 1_000), floats, atoms,
 * "strings" (adjacent ones join), <<"binaries">>, <<1,2,3>>, ~"sigils",
 * tuples, lists, maps, % comments; pids, references and funs have no text.
 *
 * lines: NULL, or receives a struct tb_line for every term, by rising offset.
 * Returns 0, -TB_ESYNTAX with *error filled, or -TB_ELIMIT. */
TB_API int tb_parse(struct tb_wr *w, const char *text, size_t n,
                    struct tb_text_error *error);
TB_API int tb_consult(struct tb_wr *w, const char *text, size_t n,
                      struct tb_wr *lines, struct tb_text_error *error);

/* tb_phash2 - erlang:phash2(Term, Range); range 0 stands for 2^32. */
TB_API uint32_t tb_phash2(struct tb_term term, uint32_t range);

/* tb_key - what stands for a term as the key of a map: the same bytes for terms
 * that are =:=, however they are encoded, else others. Good in this run of the
 * program only; nobody else can tell it in advance. */
#define TB_KEY_BYTES 16
TB_API void tb_key(struct tb_term t, uint8_t key[TB_KEY_BYTES]);

/* Elements of a list, one after the other. */
struct tb_elems {
    struct tb_term rest; /* the tail, once tb_elems_next() gave 0 */
    uint32_t left;
    const uint8_t *chars; /* inside a STRING_EXT */
};
/* tb_elems_open - false where term is not a list. tb_elems_open_map - of a
 * map: key, value, key, value ...; false where it is none.
 * tb_elems_next - 1 and the next element, or 0 at the end. */
TB_API bool tb_elems_open(struct tb_elems *e, struct tb_term list);
TB_API bool tb_elems_open_map(struct tb_elems *e, struct tb_term map);
TB_API int tb_elems_next(struct tb_elems *e, struct tb_term *out);

/* tb_get_chars - append a charlist, iodata, a binary or an atom as
 * UTF-8; a NUL stands behind it, not counted. false for anything else. */
TB_API bool tb_get_chars(struct tb_term t, struct tb_wr *w);

/* tb_text_is - whether an atom's or a binary's text is that C string. */
TB_API bool tb_text_is(struct tb_text t, const char *s);
TB_API struct tb_text tb_atom_text(tb_atom a);
TB_API bool tb_pid_eq(struct tb_pid a, struct tb_pid b);
TB_API bool tb_ref_eq(struct tb_ref a, struct tb_ref b);

/* ------------------------------------------------------ small things -- */

/* An intrusive list; .next == itself when empty. */
struct tb_list {
    struct tb_list *prev, *next;
};
TB_API void tb_list_init(struct tb_list *l);
TB_API void tb_list_add(struct tb_list *head, struct tb_list *item); /* last */
TB_API void tb_list_del(struct tb_list *item); /* twice is harmless */
TB_API bool tb_list_empty(const struct tb_list *l);

#define TB_ENTRY(ptr, type, member)                                            \
    ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* TB_LIST_EACH - the body may delete the entry it stands on, no other. */
#define TB_LIST_EACH(var, head, type, member)                                  \
    for (struct tb_list *tb_l_ = (head)->next, *tb_n_ = tb_l_->next;           \
         tb_l_ != (head); tb_l_ = tb_n_, tb_n_ = tb_l_->next)                  \
        for (type *var = TB_ENTRY(tb_l_, type, member); var; var = NULL)

/* tb_new - zeroed memory for one object; never NULL (aborts, as a BEAM does).
 * tb_free - gives it back; NULL is harmless. */
#define tb_new(type) ((type *)tb_alloc(sizeof(type)))
TB_API void *tb_alloc(size_t bytes);
TB_API void tb_free(void *p);

/* A hash map from bytes to pointers; the hash is keyed.
 * tb_map_new - an empty map, or NULL. tb_map_free - frees the map, not what
 * the values point to; NULL is harmless.
 * tb_map_put - 0, -EEXIST (nothing changed) or -ENOMEM. The key is copied.
 * tb_map_get, tb_map_take - the value or NULL; take also removes it.
 * tb_map_each - calls fn with every value, in the order of insertion; fn may
 * remove the value that it is given, and no other. */
struct tb_map;
TB_API struct tb_map *tb_map_new(void);
TB_API void tb_map_free(struct tb_map *m);
TB_API int tb_map_put(struct tb_map *m, const void *key, size_t n, void *value);
TB_API void *tb_map_get(const struct tb_map *m, const void *key, size_t n);
TB_API void *tb_map_take(struct tb_map *m, const void *key, size_t n);
TB_API size_t tb_map_count(const struct tb_map *m);
TB_API void tb_map_each(struct tb_map *m, void (*fn)(void *ctx, void *value),
                        void *ctx);

enum tb_level {
    TB_EMERGENCY,
    TB_ALERT,
    TB_CRITICAL,
    TB_ERROR,
    TB_WARNING,
    TB_NOTICE,
    TB_INFO_LEVEL,
    TB_DEBUG
};

/* tb_log - report an event: a stable id such as "conn.refused", and its facts.
 * More than ten of one id in a second are counted, not printed; where the facts
 * begin with node=... or from=..., ten for each of these and 100 in all. */
TB_API void tb_log(enum tb_level level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* A sink gets one event; suppressed is how many of its kind were left out
 * before. Where none follows, the text is what they were about, or "and". */
typedef void (*tb_log_sink)(void *ctx, enum tb_level level, const char *event,
                            const char *text, uint64_t suppressed);
/* tb_log_to - where events of at most that level go; NULL: nowhere. */
TB_API void tb_log_to(tb_log_sink sink, void *ctx, enum tb_level level);

/* --------------------------------------------------------- processes -- */

struct tb_node;
struct tb_proc;

/* Who asked: borrowed in a message, owned after tb_from_keep(). */
struct tb_from {
    struct tb_pid pid;
    struct tb_term tag; /* echoed byte for byte */
};

struct tb_msg {
    struct tb_val arg[TB_MAX_HOLES]; /* the holes of the clause's pattern */
    struct tb_term term;             /* what the pattern was matched with */
    struct tb_from from;             /* TB_CALL and TB_FUN */
};

/* What a handler returns. A negative error instead ends the process with
 * {error, Atom}. */
enum {
    TB_NOREPLY = 0,
    TB_STOP = 1 /* what tb_stop() returns */
};

typedef int (*tb_handler)(struct tb_proc *self, void *state,
                          const struct tb_msg *m);

enum tb_kind {
    TB_END,
    TB_CALL, /* gen_server:call, the request */
    TB_CAST, /* gen_server:cast */
    TB_INFO, /* any other message */
    TB_FUN   /* {Module, Function, Args}: rpc, erpc, spawn */
};

struct tb_clause {
    enum tb_kind kind;
    const char *pattern;
    tb_handler fn;
};

struct tb_service {
    const char *name; /* registered; NULL: none */
    size_t state_size;
    bool trap_exit;
    /* NULL, or: fill the zeroed state. A negative error ends the process. */
    int (*init)(struct tb_proc *self, void *state, const void *arg);
    /* NULL, or: free what the state owns. */
    void (*terminate)(struct tb_proc *self, void *state, struct tb_term why);
    /* NULL, or: append the state as a term, for sys:get_state/1. */
    int (*format)(struct tb_proc *self, void *state, struct tb_wr *w);
    const struct tb_clause *clauses; /* first match wins; ends with { 0 } */
    /* NULL, or: sys:terminate/2 asks it to end, which it does with tb_stop(),
     * now or later. */
    int (*stop)(struct tb_proc *self, void *state, struct tb_term why);
    /* NULL, or: it answers what a supervisor is asked, and this is what
     * supervisor:get_callback_module/1 gives. */
    const char *callback;
};

enum tb_restart { TB_TEMPORARY, TB_TRANSIENT, TB_PERMANENT };

/* tb_start - start a service under the node's supervisor; its init has run on
 * return. arg is given to init, now and at each restart, and must live as long
 * as the node. pid: NULL, or receives it. Errors: what init gave;
 * -TB_EPATTERN; -TB_EIN_USE; -TB_ESTOPPED once the node has ended. */
TB_API int tb_start(struct tb_node *node, const struct tb_service *service,
                    const void *arg, enum tb_restart restart,
                    struct tb_pid *pid);

/* tb_start_owned - the same with an arg that is the node's: free_arg is called
 * with it once the service is gone for good, or could not start.
 * tb_let_go - self is no longer started again, however it ends. */
TB_API int tb_start_owned(struct tb_node *node,
                          const struct tb_service *service, void *arg,
                          void (*free_arg)(void *arg), enum tb_restart restart,
                          struct tb_pid *pid);
TB_API void tb_let_go(struct tb_proc *self);

/* tb_register - a registered name for a process that its service gave none;
 * 0 or -TB_EIN_USE. Copied; it goes with the process. */
TB_API int tb_register(struct tb_proc *self, const char *name);

/* tb_start_kernel - what every BEAM node expects of another one: net_kernel,
 * which answers net_adm:ping/1, and rex, for rpc. 0, or as tb_start(). */
TB_API int tb_start_kernel(struct tb_node *node);

/* tb_start_node_monitor - the service node_monitor, which C programs use by the
 * same requests as BEAM nodes. options: NULL, or a list with the keys of that
 * section of the configuration file, which lives as long as the node. 0,
 * -TB_EBADARG, or as tb_start(). */
TB_API int tb_start_node_monitor(struct tb_node *node,
                                 const struct tb_term *options);

/* tb_start_pg - a scope of process groups, in step with the scopes of that name
 * on BEAM nodes (OTP 23 and later): a process so named, with the functions of
 * pg as requests, which C programs use too:
 *   {join, Group, PidOrPids}, {leave, Group, PidOrPids}   of this node's own
 *   {get_members, Group}, {get_local_members, Group}, which_groups,
 *   which_local_groups, monitor, {monitor, Group}, {demonitor, Ref}
 * scope ("pg" is OTP's own) lives as long as the node. 0, or as tb_start(). */
TB_API int tb_start_pg(struct tb_node *node, const char *scope);

/* tb_start_process_clusters - the service process_cluster, and the scope
 * tiebeam_cluster of pg, in which a cluster's members are. 0, or as
 * tb_start(). */
TB_API int tb_start_process_clusters(struct tb_node *node);

/* What a member of a cluster is told; any may be NULL. They return as handlers
 * do. cluster, type and reason are borrowed. */
struct tb_cluster_events {
    /* how things are, at the start: [{Type, [Pid]}], self included */
    int (*members)(struct tb_proc *self, void *state, struct tb_term cluster,
                   struct tb_term plist);
    int (*join)(struct tb_proc *self, void *state, struct tb_term cluster,
                struct tb_term type, struct tb_pid pid, bool first_of_node);
    /* reason: of its end, noconnection, or leave */
    int (*leave)(struct tb_proc *self, void *state, struct tb_term cluster,
                 struct tb_term type, struct tb_pid pid, struct tb_term reason);
    int (*leader)(struct tb_proc *self, void *state, struct tb_term cluster,
                  struct tb_pid leader);
};

/* tb_cluster_join - let self be a member, as {join, Cluster, Type, Self} does;
 * cluster and type are values of any type. The service's end is told by
 * TB_CLUSTER_DOWN: what self knows is old then, and it has to join again.
 * tb_cluster_event - for the handler of a clause { TB_INFO, TB_CLUSTER_EVENT },
 * what it returns. */
#define TB_CLUSTER_EVENT "{process_cluster, Cluster, Event}"
#define TB_CLUSTER_DOWN  "{'DOWN', _, process, {process_cluster, _}, _}"
TB_API void tb_cluster_join(struct tb_proc *self, struct tb_val cluster,
                            struct tb_val type);
TB_API int tb_cluster_event(struct tb_proc *self, void *state,
                            const struct tb_msg *m,
                            const struct tb_cluster_events *events);

TB_API struct tb_node *tb_self_node(const struct tb_proc *self);
TB_API struct tb_pid tb_self(const struct tb_proc *self);

/* tb_stop - for return: ends the process with that reason after the handler.
 * tb_exit - sends an exit signal to any process, as erlang:exit/2. */
TB_API int tb_stop(struct tb_proc *self, const char *reason, struct tb_args a);
TB_API void tb_exit(struct tb_proc *self, struct tb_pid to, const char *reason,
                    struct tb_args args);

/* tb_reply - answer a call; returns TB_NOREPLY, for return.
 * tb_raise - let a TB_FUN fail with error:Reason at its caller. */
TB_API int tb_reply(struct tb_proc *self, const struct tb_msg *m,
                    const char *reply, struct tb_args args);
TB_API int tb_raise(struct tb_proc *self, const struct tb_msg *m,
                    const char *reason, struct tb_args args);

/* A long answer names the same few atoms again and again. With a table a caller
 * on another node is told each of them once, and the terms refer to them, which
 * is shorter and faster to read.
 * tb_atom_table_for - a table for an answer to that caller, in this turn; NULL:
 * it has to be given the atoms themselves, as one on this node. A NULL may be
 * used as any other.
 * tb_atom_table_put - append terms one after the other, with references in
 * them; tb_atom_table_put_pid - the same for a pid. What w holds is good for
 * tb_build_list(), where all of the list's elements were appended so, and for
 * tb_reply_with(): as tb_reply_to() with that one term. */
struct tb_atom_table;
TB_API struct tb_atom_table *tb_atom_table_for(struct tb_proc *self,
                                               const struct tb_from *from);
TB_API void tb_atom_table_free(struct tb_atom_table *t);
TB_API void tb_atom_table_put(struct tb_atom_table *t, struct tb_wr *w,
                              struct tb_term terms);
TB_API void tb_atom_table_put_pid(struct tb_atom_table *t, struct tb_wr *w,
                                  struct tb_pid pid);
TB_API int tb_reply_with(struct tb_proc *self, const struct tb_from *from,
                         const struct tb_atom_table *t, struct tb_term reply);

/* tb_from_keep - keep a caller to answer later; owned, end it with
 * tb_from_free(). */
TB_API struct tb_from *tb_from_keep(const struct tb_msg *m);
TB_API void tb_from_free(struct tb_from *from);
TB_API int tb_reply_to(struct tb_proc *self, const struct tb_from *from,
                       const char *reply, struct tb_args args);

/* Sends never fail and never run a handler; they connect where needed. */
TB_API void tb_send(struct tb_proc *self, struct tb_pid to, const char *msg,
                    struct tb_args args);
TB_API void tb_send_name(struct tb_proc *self, const char *name, tb_atom node,
                         const char *msg, struct tb_args args);

/* tb_monitor - a message {'DOWN', Ref, process, Object, Reason} to self when
 * that process ends. tb_demonitor - false where the monitor is gone. */
TB_API struct tb_ref tb_monitor(struct tb_proc *self, struct tb_pid pid);
TB_API struct tb_ref tb_monitor_name(struct tb_proc *self, const char *name,
                                     tb_atom node);
TB_API bool tb_demonitor(struct tb_proc *self, struct tb_ref ref);
TB_API void tb_link(struct tb_proc *self, struct tb_pid pid);
TB_API void tb_unlink(struct tb_proc *self, struct tb_pid pid);

/* tb_monitor_nodes - {nodeup, Node, Info} and {nodedown, Node, Info} to self;
 * Info is the map of net_kernel:monitor_nodes/2, connection_id, node_type and
 * nodedown_reason, and creation. Of the node's own messages to self, nodeup
 * comes before the first of that connection and nodedown after the last. */
TB_API void tb_monitor_nodes(struct tb_proc *self, bool on);

/* tb_send_after - the message comes to self after ms milliseconds.
 * tb_cancel_timer - false where it has come already. */
TB_API struct tb_ref tb_send_after(struct tb_proc *self, uint64_t ms,
                                   const char *msg, struct tb_args args);
TB_API bool tb_cancel_timer(struct tb_proc *self, struct tb_ref ref);

/* tb_done - the end of a call. status: 0 and the reply; -TB_EEXIT and the exit
 * reason (of an erpc: {throw, Value}, {exit, Reason}, {error, Reason, Stack});
 * -TB_ENOPROC, -TB_ENOCONNECTION, -TB_ETIMEOUT, or -TB_ESTOPPED where self ends
 * first, with the atom. Returns as a handler does. */
typedef int (*tb_done)(struct tb_proc *self, void *state, void *ctx, int status,
                       struct tb_term result);

#define TB_INFINITY UINT64_MAX

/* tb_call, tb_call_name - gen_server:call to a process anywhere.
 * tb_erpc - erpc:call; args is a template for the argument list.
 * Every call ends in one done(), by the reply, the target's end or timeout. A
 * message {Ref, _} whose reference was made here is an answer to a call, also
 * when that has ended: no clause sees it. */
TB_API void tb_call(struct tb_proc *self, struct tb_pid to, const char *request,
                    struct tb_args args, uint64_t timeout_ms, tb_done done,
                    void *ctx);
TB_API void tb_call_name(struct tb_proc *self, const char *name, tb_atom node,
                         const char *request, struct tb_args args,
                         uint64_t timeout_ms, tb_done done, void *ctx);
/* tb_sys_name - a request that sys answers, such as get_status, to a process
 * of any OTP behaviour. */
TB_API void tb_sys_name(struct tb_proc *self, const char *name, tb_atom node,
                        const char *request, struct tb_args args,
                        uint64_t timeout_ms, tb_done done, void *ctx);
TB_API void tb_erpc(struct tb_proc *self, tb_atom node, const char *module,
                    const char *function, const char *arglist,
                    struct tb_args args, uint64_t timeout_ms, tb_done done,
                    void *ctx);

/* tb_probe - ask the emulator of a connected node for a sign of life, which
 * takes no Erlang process there: done(…, 0, …), or -TB_ENOCONNECTION. */
TB_API void tb_probe(struct tb_proc *self, tb_atom node, tb_done done,
                     void *ctx);

/* -------------------------------------------------------------- node -- */

struct tb_options {
    const char *name;   /* "app@host"; required */
    const char *cookie; /* required; at most 255 bytes */
    int listen_min,
        listen_max; /* ports; 0: any. listen_min < 0: no listening */
    const char *listen_address; /* NULL: all of this host */
    bool inet6;                 /* IPv6 instead of IPv4 */
    struct tb_tls *tls;         /* the node's from now on; NULL: plain TCP */
    int dial_port;              /* of every node; 0: epmd is asked */
    int epmd_port;              /* 0: $ERL_EPMD_PORT, else 4369 */
    const char *epmd_command;   /* NULL: "epmd"; "": never start one */
    bool no_epmd;               /* do not register; with a dial_port it is
                                 * no error that none answers */
    uint32_t ticktime_ms;       /* 0: 60000 */
    uint32_t setuptime_ms;      /* 0: 7000 */
    size_t max_queue;           /* bytes to one peer; 0: 64 MiB */
    size_t max_frame;           /* bytes from a peer; 0: 128 MiB, the most */
    void *loop;                 /* a uv_loop_t; NULL: one of its own */
};

/* What TLS distribution (-proto_dist inet_tls) needs, for one role: the options
 * of an ssl_dist_optfile. Files are PEM; a NULL is an option not given. */
enum { TB_TLS_1_2 = 1, TB_TLS_1_3 = 2 };

struct tb_tls_role {
    const char *certfile; /* with its chain; a server needs one */
    const char *keyfile;  /* NULL: in certfile */
    const char *password; /* of the key */
    const char *cacertfile;
    bool verify_peer;
    bool fail_if_no_peer_cert; /* server */
    int depth;                 /* of the chain; negative: 10 */
    unsigned versions;         /* of TB_TLS_*; 0: both */
    const char *ciphers;       /* joined by ':' */
    const char *server_name;   /* client: whose certificate is expected, and
                                * SNI; NULL: the host of the node dialled; "":
                                * neither */
};

struct tb_tls_options {
    struct tb_tls_role server, client;
};

/* tb_tls_new - read and check all of it. NULL: why not is appended to why, with
 *   role, option and value. Ownership: the caller's, until it is given to a
 * node. tb_node_set_tls - for connections from now on, as after certificates
 * were renewed; tls is the node's, even on an error. -TB_EBADARG: the node was
 * not started with TLS. */
TB_API struct tb_tls *tb_tls_new(const struct tb_tls_options *o,
                                 struct tb_wr *why);
TB_API void tb_tls_free(struct tb_tls *tls);
TB_API int tb_node_set_tls(struct tb_node *node, struct tb_tls *tls);

/* Hidden nodes whose names begin so come with one question: that they come and
 * go is logged at level info. */
#define TB_CLIENT_PREFIX "tiebeam_cli_"

/* tb_node_new - a node that does nothing yet. *error is set where it is NULL.
 * tb_node_start - listen and register; ready(ctx, 0) once it is a member, or
 *   ready(ctx, error) where it cannot become one. Ignores SIGPIPE from now on,
 *   unless that has a handler.
 * tb_node_run - run the loop until tb_node_stop() has been carried out.
 *   Returns the error of the start, or 0.
 * tb_node_stop - end all processes with shutdown, write out, close.
 * tb_node_free - after tb_node_run(), or instead of it; NULL is harmless. */
TB_API struct tb_node *tb_node_new(const struct tb_options *o, int *error);
TB_API int tb_node_start(struct tb_node *node, void (*ready)(void *, int),
                         void *ctx);
TB_API int tb_node_run(struct tb_node *node);
TB_API void tb_node_stop(struct tb_node *node);
TB_API void tb_node_free(struct tb_node *node);

TB_API tb_atom tb_node_name(const struct tb_node *node);
TB_API int tb_node_port(const struct tb_node *node);
TB_API bool tb_node_in_epmd(const struct tb_node *node);
TB_API bool tb_node_is_inet6(const struct tb_node *node);
TB_API uint32_t tb_node_ticktime_ms(const struct tb_node *node);
TB_API void *tb_node_loop(struct tb_node *node);

/* tb_node_set_cookie - another cookie for one peer, as erlang:set_cookie/2. */
TB_API int tb_node_set_cookie(struct tb_node *node, tb_atom peer,
                              const char *cookie);

/* tb_node_set_port - where a node listens, or every node of a host ("app@host",
 * "host"), so that no epmd is asked for it; 0: ask again. Returns 0 or
 * -TB_EBADARG. */
TB_API int tb_node_set_port(struct tb_node *node, const char *peer, int port);

/* tb_intern - the small value of a node name; 0 where it is no node name
 * (Name@Host, at most 255 characters) or the table is full: half of it, 32768
 * names, is kept for nodes that connect. */
TB_API tb_atom tb_intern(struct tb_text name);

/* tb_connect - done(…, 0, Node) once connected, or an error with a term that
 * tells why. tb_disconnect - false where there was no connection. */
TB_API void tb_connect(struct tb_proc *self, tb_atom node, tb_done done,
                       void *ctx);
TB_API bool tb_disconnect(struct tb_node *node, tb_atom peer);
/* tb_disconnect_for - the same with another nodedown_reason, a -TB_E*. */
TB_API bool tb_disconnect_for(struct tb_node *node, tb_atom peer, int why);

/* What is known of a connection. */
struct tb_peer_info {
    uint64_t connection_id;
    uint32_t creation; /* its incarnation, as in its pids */
    bool visible;
    bool answers_probes; /* an emulator, and not a C node of another make */
    uint64_t read_ms; /* when its last byte came, on the clock of tb_now_ms */
    uint64_t bytes_in, bytes_written;
    bool blocked; /* some have to wait until it takes them */
};
/* tb_peer_info - false where there is no connection.
 * tb_now_ms - the loop's clock: milliseconds, from no particular moment. */
TB_API bool tb_peer_info(struct tb_node *node, tb_atom peer,
                         struct tb_peer_info *info);
TB_API uint64_t tb_now_ms(const struct tb_node *node);

/* tb_put_nodes - append the list of connected nodes. which: "visible",
 * "hidden", "connected" (both), "this" or "known". */
TB_API int tb_put_nodes(struct tb_node *node, const char *which,
                        struct tb_wr *w);
/* tb_put_info - append the map that describes the node: name, version,
 * creation, port, connected nodes, counters, sizes of tables. */
TB_API int tb_put_info(struct tb_node *node, struct tb_wr *w);
/* tb_epmd_names - {ok, [{Name, Port}]} of the epmd on a host, a name a binary;
 * as net_adm:names/1. */
TB_API void tb_epmd_names(struct tb_proc *self, const char *host, tb_done done,
                          void *ctx);

/* The numbers are DNS's own. */
enum tb_dns_type {
    TB_DNS_A = 1,
    TB_DNS_PTR = 12,
    TB_DNS_AAAA = 28,
    TB_DNS_SRV = 33
};

/* tb_dns_new - a client of DNS; the hosts file is not looked at, and nothing
 * is cached. nameservers: "10.0.0.2:53,[fd00::2]:53", or NULL for the system's.
 * search: domains tried after a name, "a.internal,b.internal", or NULL for the
 * system's. NULL and *error: -TB_EBADARG, -TB_ELIMIT.
 * Ownership: the caller's; tb_dns_free() it before the node ends. */
struct tb_dns;
TB_API struct tb_dns *tb_dns_new(struct tb_node *node, const char *nameservers,
                                 const char *search, int *error);
TB_API void tb_dns_free(struct tb_dns *dns);

/* tb_dns_lookup - all records of a name: done(…, 0, List) of {Address, Ttl}
 * for A and AAAA, {Target, Port, Priority, Weight, Ttl} for SRV, {Name, Ttl}
 * for PTR, where an address is asked for; texts are binaries, a TTL is in
 * seconds. An answer that UDP cannot hold comes by TCP. Errors: -TB_ENXDOMAIN
 * (no such name), -TB_ENODATA (none of that type), -TB_ESERVFAIL, -TB_EREFUSED,
 * -TB_EFORMERR, -TB_ETIMEOUT after timeout_ms, -ECONNREFUSED (nobody serves
 * there), -TB_EPROTO (no proper answer), -TB_ESTOPPED (the client was freed).
 */
TB_API void tb_dns_lookup(struct tb_proc *self, struct tb_dns *dns,
                          enum tb_dns_type type, const char *name,
                          uint64_t timeout_ms, tb_done done, void *ctx);

/* tb_expect - a call of self that ends in done() once tb_settle() is called
 * with its reference, or with -TB_ETIMEOUT: for functions of your own that take
 * a tb_done. tb_settle - status: 0 or an error; result: a template, which
 * done() is given. The first one counts. done() is not run before self returns.
 */
TB_API struct tb_ref tb_expect(struct tb_proc *self, uint64_t timeout_ms,
                               tb_done done, void *ctx);
TB_API void tb_settle(struct tb_node *node, struct tb_ref ref, int status,
                      const char *result, struct tb_args args);

/* What a discovery does to the world; a NULL is what it usually does. */
struct tb_discovery_ops {
    /* the part before '@' of the nodes that are looked for, where no option
     * tells it; false: not known */
    bool (*basename)(struct tb_proc *self, char out[256]);
    /* as tb_dns_lookup(), tb_connect() and tb_put_nodes() */
    void (*lookup)(struct tb_proc *self, struct tb_dns *dns,
                   enum tb_dns_type type, const char *name, uint64_t timeout_ms,
                   tb_done done, void *ctx);
    void (*connect)(struct tb_proc *self, tb_atom node, tb_done done,
                    void *ctx);
    int (*list)(struct tb_node *node, const char *which, struct tb_wr *w);
};

/* What one is started with; all of it lives as long as the node. */
struct tb_discovery_config {
    const char *name;                   /* registered */
    struct tb_term opts;                /* a list, as in the file */
    const struct tb_discovery_ops *ops; /* NULL: the usual */
};

/* tb_start_discovery - find nodes and connect to them, as an instance in the
 * section discovery of the configuration file does. 0, -TB_EBADARG where the
 * options are wrong, or as tb_start(). */
TB_API int tb_start_discovery(struct tb_node *node,
                              const struct tb_discovery_config *config);

/* tb_whereis - the pid behind a registered name; false where there is none.
 * tb_is_alive - whether a local pid is a process. */
TB_API bool tb_whereis(struct tb_node *node, struct tb_text name,
                       struct tb_pid *pid);
TB_API bool tb_is_alive(struct tb_node *node, struct tb_pid pid);

#ifdef __cplusplus
}
#endif
#endif
