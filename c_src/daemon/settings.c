/* settings.c - values of settings: checked, and the rule of who wins.
 * In Erlang: the flags of erl, and kernel's application environment.
 * Owns: the texts of the values. Borrows: the table. Thread: any. */
#include "daemon/settings.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEVELS     "emergency|alert|critical|error|warning|notice|info|debug"
#define COOKIE_MAX 255
#define WORD_MAX   48 /* of a word that a suggestion is looked for */

char *
tb_copy_n(const char *p, size_t n)
{
    char *copy = tb_alloc(n + 1);

    memcpy(copy, p, n);
    return copy;
}

char *
tb_copy(const char *text)
{
    return tb_copy_n(text, strlen(text));
}

/* Returns the place of the word in "a|b|c", or -1. */
static int
word_index(const char *words, const char *word)
{
    size_t n = strlen(word);
    int i = 0;

    while (words) {
        size_t len = strcspn(words, "|");

        if (len == n && memcmp(words, word, n) == 0)
            return i;
        words = words[len] ? words + len + 1 : NULL;
        i++;
    }
    return -1;
}

static int
check_word(const struct tb_setting *row, const char *text, int64_t *number,
           struct tb_wr *why)
{
    int i = word_index(row->values, text);

    if (i >= 0) {
        *number = i;
        return 0;
    }
    tb_wr_printf(why, "expected %s, not \"%s\"", row->values, text);
    return -TB_EBADARG;
}

static int
check_int(const struct tb_setting *row, const char *text, int64_t *number,
          struct tb_wr *why)
{
    long long low, high, n;
    char *end;

    sscanf(row->values, "%lld..%lld", &low, &high);
    errno = 0;
    n = strtoll(text, &end, 10);
    if (!*text || *end || errno || n < low || n > high) {
        tb_wr_printf(why, "expected an integer in %s, not \"%s\"", row->values,
                     text);
        return -TB_EBADARG;
    }
    *number = n;
    return 0;
}

static bool
below(const struct tb_val *h, int n, int64_t end)
{
    for (int i = 0; i < n; i++)
        if (h[i].i < 0 || h[i].i >= end)
            return false;
    return true;
}

static bool
address_of_term(struct tb_term t, char out[INET6_ADDRSTRLEN])
{
    struct tb_val h[TB_MAX_HOLES];
    struct in6_addr a;

    if (tb_match("{A:int, B:int, C:int, D:int}", t, h) == 1 && below(h, 4, 256))
        return snprintf(out, INET6_ADDRSTRLEN, "%d.%d.%d.%d", (int)h[0].i,
                        (int)h[1].i, (int)h[2].i, (int)h[3].i) > 0;
    if (tb_match("{A:int, B:int, C:int, D:int, E:int, F:int, G:int, H:int}", t,
                 h) != 1 ||
        !below(h, 8, 65536))
        return false;
    for (int i = 0; i < 8; i++)
        a.s6_addr16[i] = htons((uint16_t)h[i].i);
    return inet_ntop(AF_INET6, &a, out, INET6_ADDRSTRLEN) != NULL;
}

static bool
address_of_tuple(const char *text, char out[INET6_ADDRSTRLEN])
{
    struct tb_wr w = { 0 };
    struct tb_text_error error;
    bool ok = tb_parse(&w, text, strlen(text), &error) == 0 &&
              address_of_term(tb_wr_term(&w), out);

    tb_wr_free(&w);
    return ok;
}

/* kernel takes an address as a tuple; people write it with dots. */
static int
check_address(const char **text, char out[INET6_ADDRSTRLEN], struct tb_wr *why)
{
    struct in6_addr a;

    if (**text == '{' && address_of_tuple(*text, out)) {
        *text = out;
        return 0;
    }
    if (inet_pton(AF_INET, *text, &a) == 1 ||
        inet_pton(AF_INET6, *text, &a) == 1)
        return 0;
    tb_wr_printf(why, "expected an address as {127,0,0,1} or ::1, not \"%s\"",
                 *text);
    return -TB_EBADARG;
}

bool
tb_base_ok(const char *p, size_t n)
{
    size_t i = 0;

    while (i < n &&
           ((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'A' && p[i] <= 'Z') ||
            (p[i] >= 'a' && p[i] <= 'z') || p[i] == '_' || p[i] == '-'))
        i++;
    return n > 0 && i == n;
}

static bool
host_ok(const char *host)
{
    const char *p = host;

    while (*p > ' ' && *p < 0x7f && *p != '@')
        p++;
    return p != host && !*p;
}

static int
check_name(enum tb_set_type type, const char *text, struct tb_wr *why)
{
    size_t base = strcspn(text, "@");
    const char *host = text[base] ? text + base + 1 : NULL;
    bool dotted = host && strpbrk(host, ".:");

    if (!tb_base_ok(text, base) || strlen(text) > 255)
        tb_wr_printf(why,
                     "expected Name or Name@Host, Name of letters, digits, "
                     "'_' and '-', not \"%s\"",
                     text);
    else if (host && !host_ok(host))
        tb_wr_printf(why, "\"%s\" is not a host name", host);
    else if (type == TB_SET_SHORT_NAME && dotted)
        tb_wr_printf(why,
                     "a short name's host has no dot: use -name %s, or "
                     "-sname %.*s",
                     text, (int)base, text);
    else if (type == TB_SET_LONG_NAME && host && !dotted)
        tb_wr_printf(why,
                     "a long name's host has a dot: use -sname %s, or "
                     "-name %.*s@127.0.0.1",
                     text, (int)base, text);
    else
        return 0;
    return -TB_EBADARG;
}

bool
tb_cookie_ok(const char *text)
{
    const char *p = text;

    while (*p >= ' ' && *p <= '~')
        p++;
    return !*p && p > text && p - text <= COOKIE_MAX;
}

static int
check_text(const char *text, struct tb_wr *why)
{
    if (*text)
        return 0;
    tb_wr_str(why, "expected a text that is not empty");
    return -TB_EBADARG;
}

bool
tb_ports_next(const char **text, char peer[256], int *port)
{
    const char *p = *text, *eq = strchr(p, '=');
    size_t n = eq ? (size_t)(eq - p) : 0;
    char *end;
    long number;

    if (n == 0 || n > 255 || memchr(p, ',', n))
        return false;
    number = strtol(eq + 1, &end, 10);
    if (number < 1 || number > 65535 || (*end && (*end != ',' || !end[1])))
        return false;
    memcpy(peer, p, n);
    peer[n] = 0;
    *port = (int)number;
    *text = *end ? end + 1 : end;
    return true;
}

static int
check_ports(const char *text, struct tb_wr *why)
{
    const char *rest = text;
    char peer[256];
    int port;

    while (tb_ports_next(&rest, peer, &port))
        ;
    if (*text && !*rest)
        return 0;
    tb_wr_printf(why,
                 "expected Node=Port or Host=Port, with commas between, "
                 "not \"%s\"",
                 text);
    return -TB_EBADARG;
}

static int
check_cookie(const char *text, struct tb_wr *why)
{
    if (tb_cookie_ok(text))
        return 0;
    tb_wr_printf(why, "a cookie has 1 to %d printable ASCII characters",
                 COOKIE_MAX);
    return -TB_EBADARG;
}

/* *text may be replaced by the usual form of the value, kept in buf. */
static int
check(const struct tb_setting *row, const char **text,
      char buf[INET6_ADDRSTRLEN], int64_t *number, struct tb_wr *why)
{
    switch (row->type) {
    case TB_SET_TEXT:
        return check_text(*text, why);
    case TB_SET_LONG_NAME:
    case TB_SET_SHORT_NAME:
        return check_name(row->type, *text, why);
    case TB_SET_SECRET:
        return check_cookie(*text, why);
    case TB_SET_WORD:
        return check_word(row, *text, number, why);
    case TB_SET_INT:
        return check_int(row, *text, number, why);
    case TB_SET_ADDRESS:
        return check_address(text, buf, why);
    case TB_SET_PORTS:
        return check_ports(*text, why);
    case TB_SET_SWITCH:
        *number = 1;
        return 0;
    case TB_SET_PAIRS:
    case TB_SET_REFUSED:
        break;
    }
    tb_wr_str(why, row->help);
    return -TB_EBADARG;
}

int
tb_settings_put(struct tb_settings *s, enum tb_set id, const char *text,
                enum tb_rank rank, const char *origin, struct tb_wr *why)
{
    struct tb_setting_value *v = &s->v[id];
    char buf[INET6_ADDRSTRLEN];
    int64_t number = 0;
    int err = check(&tb_settings_table[id], &text, buf, &number, why);

    if (err < 0 || rank < v->rank)
        return err;
    tb_free(v->text);
    tb_free(v->origin);
    v->text = tb_copy(text);
    v->origin = tb_copy(origin);
    v->number = number;
    v->rank = rank;
    return 0;
}

void
tb_settings_init(struct tb_settings *s)
{
    struct tb_wr why = { 0 };

    memset(s, 0, sizeof(*s));
    tb_list_init(&s->peer_cookies);
    tb_list_init(&s->tls_options);
    for (int i = 0; i < TB_SET_COUNT; i++)
        if (tb_settings_table[i].value)
            tb_settings_put(s, (enum tb_set)i, tb_settings_table[i].value,
                            TB_RANK_DEFAULT, "default", &why);
    tb_wr_free(&why);
}

void
tb_pair_add(struct tb_list *list, const char *key, const char *value)
{
    struct tb_pair *pair = tb_new(struct tb_pair);

    pair->key = tb_copy(key);
    pair->value = tb_copy(value);
    tb_list_add(list, &pair->link);
}

static void
free_pairs(struct tb_list *list)
{
    TB_LIST_EACH (pair, list, struct tb_pair, link) {
        tb_list_del(&pair->link);
        tb_free(pair->key);
        tb_free(pair->value);
        tb_free(pair);
    }
}

void
tb_settings_fini(struct tb_settings *s)
{
    for (int i = 0; i < TB_SET_COUNT; i++) {
        tb_free(s->v[i].text);
        tb_free(s->v[i].origin);
    }
    free_pairs(&s->peer_cookies);
    free_pairs(&s->tls_options);
    tb_wr_free(&s->notes);
}

const char *
tb_settings_text(const struct tb_settings *s, enum tb_set id)
{
    return s->v[id].text;
}

int64_t
tb_settings_number(const struct tb_settings *s, enum tb_set id)
{
    return s->v[id].number;
}

bool
tb_settings_given(const struct tb_settings *s, enum tb_set id)
{
    return s->v[id].rank != TB_RANK_DEFAULT;
}

const char *
tb_settings_shown(const struct tb_settings *s, enum tb_set id)
{
    if (!s->v[id].text)
        return "";
    return tb_settings_table[id].type == TB_SET_SECRET ? "(not shown)"
                                                       : s->v[id].text;
}

static size_t
least(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;

    return m < c ? m : c;
}

/* Levenshtein's distance, one row at a time. */
static size_t
distance(const char *a, const char *b)
{
    size_t n = strlen(b), row[WORD_MAX + 1];

    if (n > WORD_MAX || strlen(a) > WORD_MAX)
        return WORD_MAX;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; *a; a++, i++) {
        size_t left_above = row[0];

        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t above = row[j];

            row[j] =
                least(above + 1, row[j - 1] + 1, left_above + (*a != b[j - 1]));
            left_above = above;
        }
    }
    return row[n];
}

void
tb_nearest_try(struct tb_nearest *n, const char *candidate)
{
    size_t d = distance(n->word, candidate);

    if (d > strlen(n->word) / 3 + 1 || (n->best && d >= n->distance))
        return;
    n->best = candidate;
    n->distance = d;
}
