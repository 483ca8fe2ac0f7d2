/* settings.h - every setting of the daemon, once: flag, variable, place in the
 * file, default, help. Flag over environment over file over default. */
#ifndef TB_DAEMON_SETTINGS_H
#define TB_DAEMON_SETTINGS_H

#include "tiebeam.h"

enum tb_set {
    TB_SET_NAME,
    TB_SET_SNAME,
    TB_SET_COOKIE,
    TB_SET_HIDDEN,
    TB_SET_CONFIG,
    TB_SET_CONFIG_TEXT,
    TB_SET_SIDECAR,
    TB_SET_START_EPMD,
    TB_SET_EPMD,
    TB_SET_EPMD_PORT,
    TB_SET_EPMD_MODULE,
    TB_SET_DIST_LISTEN,
    TB_SET_DIST_PORT,
    TB_SET_LISTEN_MIN,
    TB_SET_LISTEN_MAX,
    TB_SET_LISTEN_ADDRESS,
    TB_SET_PROTO_DIST,
    TB_SET_SSL_OPTFILE,
    TB_SET_SSL_OPT,
    TB_SET_PEER_PORTS,
    TB_SET_TICKTIME,
    TB_SET_TICKINTENSITY,
    TB_SET_SETUPTIME,
    TB_SET_AUTO_CONNECT,
    TB_SET_CONNECT_ALL,
    TB_SET_DNS_QUERY,
    TB_SET_BASENAME,
    TB_SET_ATTACHED,
    TB_SET_MESH,
    TB_SET_MAX_QUEUE,
    TB_SET_MAX_FRAME,
    TB_SET_LOG_LEVEL,
    TB_SET_LOG_FORMAT,
    TB_SET_NO_COLOR,
    TB_SET_DETACHED,
    TB_SET_NOINPUT,
    TB_SET_NOSHELL,
    TB_SET_JSON,
    TB_SET_NODE,
    TB_SET_TIMEOUT,
    TB_SET_FOLLOW,
    TB_SET_HELP,
    TB_SET_VERSION,
    TB_SET_MESSAGES,
    TB_SET_COUNT
};

enum tb_set_type {
    TB_SET_TEXT,
    TB_SET_LONG_NAME,
    TB_SET_SHORT_NAME,
    TB_SET_SECRET, /* a cookie: never shown */
    TB_SET_WORD,   /* one of .values, its number the place there */
    TB_SET_INT,    /* within .values, "Low..High" */
    TB_SET_ADDRESS,
    TB_SET_PORTS,  /* "Node=Port,Host=Port" */
    TB_SET_SWITCH, /* a flag without a value */
    TB_SET_PAIRS,  /* names and values, in a list of their own */
    TB_SET_REFUSED /* known, and refused for the reason that .help gives */
};

enum tb_set_group {
    TB_GROUP_NODE,
    TB_GROUP_EPMD,
    TB_GROUP_DIST,
    TB_GROUP_FIND,
    TB_GROUP_LIMITS,
    TB_GROUP_LOG,
    TB_GROUP_ACCEPTED,
    TB_GROUP_VERBS,
    TB_GROUP_ABOUT,
    TB_GROUP_COUNT
};

enum tb_rank { TB_RANK_DEFAULT, TB_RANK_FILE, TB_RANK_ENV, TB_RANK_FLAG };

struct tb_setting {
    const char *key;
    enum tb_set_type type;
    enum tb_set_group group;
    const char *value;    /* the default; NULL: none */
    const char *flag;     /* "-name", "-kernel net_ticktime"; NULL: none */
    const char *twin;     /* "--name" */
    const char *variable; /* of the environment; NULL: none */
    const char *place;    /* in the file, "tiebeam.log.level"; NULL: none */
    const char *values;   /* what it takes, checked and shown */
    const char *help;
};

extern const struct tb_setting tb_settings_table[TB_SET_COUNT];

struct tb_setting_value {
    char *text; /* owned; NULL: not given */
    int64_t number;
    enum tb_rank rank;
    char *origin; /* owned; "flag -sname", "file x.config:12" */
};

/* What a flag gives that may stand there often. */
struct tb_pair {
    struct tb_list link;
    char *key, *value; /* owned */
};

struct tb_settings {
    struct tb_setting_value v[TB_SET_COUNT];
    struct tb_list peer_cookies; /* struct tb_pair: -setcookie Node Cookie */
    struct tb_list tls_options;  /* struct tb_pair: -ssl_dist_opt Name Value */
    struct tb_wr notes;          /* lines for the debug log */
};

/* tb_settings_init - all settings at their defaults. */
void tb_settings_init(struct tb_settings *s);
void tb_settings_fini(struct tb_settings *s);

/* tb_settings_put - check a value, and take it unless a value of a higher rank
 * is there. Returns 0, or -TB_EBADARG with what was expected appended to why.
 */
int tb_settings_put(struct tb_settings *s, enum tb_set id, const char *text,
                    enum tb_rank rank, const char *origin, struct tb_wr *why);

/* tb_settings_text - the value, or NULL. Borrowed.
 * tb_settings_number - of an int or a word (true is 1); 0 without a value. */
const char *tb_settings_text(const struct tb_settings *s, enum tb_set id);
int64_t tb_settings_number(const struct tb_settings *s, enum tb_set id);
bool tb_settings_given(const struct tb_settings *s, enum tb_set id);
/* tb_settings_shown - the value as people may see it, "" without one. */
const char *tb_settings_shown(const struct tb_settings *s, enum tb_set id);

/* tb_pair_add - append copies to a list of struct tb_pair. */
void tb_pair_add(struct tb_list *list, const char *key, const char *value);

/* tb_ports_next - take the next entry of a TB_SET_PORTS off the text. False: no
 * more. */
bool tb_ports_next(const char **text, char peer[256], int *port);

/* tb_cookie_ok - whether that is a cookie: 1 to 255 characters, 0x20-0x7E. */
bool tb_cookie_ok(const char *text);
/* tb_base_ok - whether that is the part of a node name before '@'. */
bool tb_base_ok(const char *p, size_t n);

/* tb_copy - an owned copy; ended with tb_free(). */
char *tb_copy(const char *text);
char *tb_copy_n(const char *p, size_t n);

/* The word nearest to one that is not known; .best NULL: none is near. */
struct tb_nearest {
    const char *word, *best;
    size_t distance;
};
void tb_nearest_try(struct tb_nearest *n, const char *candidate);

#endif
