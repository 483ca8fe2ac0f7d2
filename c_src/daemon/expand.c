/* expand.c - ${VAR} in the text of a configuration file.
 * In Erlang: what relx does to sys.config.src. Owns: nothing. Thread: any. */
#include "daemon/config.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct scan {
    struct tb_wr *w, *errors;
    const char *path;
    const char *p, *end;
    char quote; /* of the string or atom that we are in, or 0 */
    unsigned line;
};

static void
take(struct scan *s, size_t n)
{
    for (; n && s->p < s->end; n--, s->p++) {
        tb_wr_bytes(s->w, s->p, 1);
        s->line += *s->p == '\n';
    }
}

/* A value must not end the string it stands in, nor move later lines. */
static void
put_value(struct scan *s, const char *value, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char c = value[i];

        if (c == '\n' || c == '\r') {
            tb_wr_str(s->w, s->quote ? "\\n" : " ");
            continue;
        }
        if (s->quote && (c == s->quote || c == '\\'))
            tb_wr_str(s->w, "\\");
        tb_wr_bytes(s->w, &c, 1);
    }
}

/* How long "${VAR" or "${VAR:-default" is, without its '}'; 0: it is none. In
 * Erlang "${" is a character too. */
static size_t
variable_bytes(const struct scan *s, size_t *name)
{
    const char *p = s->p + 2;

    if (s->end - s->p < 4 || memcmp(s->p, "${", 2) != 0)
        return 0;
    while (p < s->end && (isalnum((unsigned char)*p) || *p == '_'))
        p++;
    *name = (size_t)(p - s->p - 2);
    if (*name && s->end - p > 2 && memcmp(p, ":-", 2) == 0)
        while (p < s->end && *p != '}' && *p != '\n')
            p++;
    return *name && p < s->end && *p == '}' ? (size_t)(p - s->p) : 0;
}

static void
expand(struct scan *s, size_t bytes, size_t name)
{
    const char *value, *rest = s->p + 2 + name;
    size_t left = bytes - 2 - name; /* of ":-default" */
    char *variable = tb_copy_n(s->p + 2, name);

    value = getenv(variable);
    if (value && (*value || !left))
        put_value(s, value, strlen(value));
    else if (left)
        put_value(s, rest + 2, left - 2);
    else
        tb_wr_printf(s->errors,
                     "%s:%u: the environment has no %s; ${%s:-value} would "
                     "give a default\n",
                     s->path, s->line, variable, variable);
    tb_free(variable);
    s->p += bytes + 1;
}

/* The size of what is copied as it is at s->p: at least one character. */
static size_t
plain_bytes(struct scan *s)
{
    char c = *s->p;
    const char *nl;

    if (s->quote) {
        if (c == s->quote)
            s->quote = 0;
        return c == '\\' ? 2 : 1;
    }
    if (c == '%') {
        nl = memchr(s->p, '\n', (size_t)(s->end - s->p));
        return (size_t)((nl ? nl : s->end) - s->p);
    }
    if (c == '"' || c == '\'')
        s->quote = c;
    if (c == '$' && s->end - s->p > 1)
        return s->p[1] == '\\' ? 3 : 2;
    return 1;
}

void
tb_config_expand(struct tb_wr *w, const struct tb_wr *raw, const char *path,
                 struct tb_wr *errors)
{
    const char *text = (const char *)raw->buf;
    struct scan s = {
        .w = w, .errors = errors, .path = path, .p = text, .line = 1
    };
    size_t name = 0;

    s.end = raw->len ? text + raw->len : text;
    while (s.p < s.end) {
        size_t bytes = variable_bytes(&s, &name);

        if (bytes)
            expand(&s, bytes, name);
        else
            take(&s, plain_bytes(&s));
    }
}
