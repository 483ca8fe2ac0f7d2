/* nodename.c - what this node is called.
 * In Erlang: net_kernel's create_name/3 and inet_config's domain.
 * Owns, borrows: nothing. Thread: before the loop, since it may ask DNS. */
#include "daemon/nodename.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BASENAME "tiebeam"

const char *
tb_nodename_host(const char *node)
{
    const char *at = strchr(node, '@');

    return at ? at + 1 : "";
}

static void
own_host(char host[TB_NODENAME_MAX])
{
    if (gethostname(host, TB_NODENAME_MAX) != 0 || !*host)
        snprintf(host, TB_NODENAME_MAX, "localhost");
    host[TB_NODENAME_MAX - 1] = '\0';
}

void
tb_short_host(char host[TB_NODENAME_MAX])
{
    own_host(host);
    host[strcspn(host, ".")] = '\0';
}

bool
tb_long_host(char host[TB_NODENAME_MAX])
{
    struct addrinfo hints = { .ai_flags = AI_CANONNAME }, *found;
    char name[TB_NODENAME_MAX];

    own_host(name);
    if (!strchr(name, '.') && getaddrinfo(name, NULL, &hints, &found) == 0) {
        if (found->ai_canonname && strlen(found->ai_canonname) < sizeof(name))
            snprintf(name, sizeof(name), "%s", found->ai_canonname);
        freeaddrinfo(found);
    }
    if (!strchr(name, '.'))
        return false;
    memcpy(host, name, sizeof(name));
    return true;
}

/* Which of -name and -sname counts; *id stays where neither is given. */
static int
which_setting(const struct tb_settings *s, enum tb_set *id,
              struct tb_wr *errors)
{
    const struct tb_setting_value *n = &s->v[TB_SET_NAME];
    const struct tb_setting_value *sn = &s->v[TB_SET_SNAME];

    if (n->text && sn->text && n->rank == sn->rank) {
        tb_wr_printf(errors,
                     "tiebeam: %s and %s: a node has one name, give one\n",
                     n->origin, sn->origin);
        return -TB_EBADARG;
    }
    if (n->text && (!sn->text || n->rank > sn->rank))
        *id = TB_SET_NAME;
    else if (sn->text)
        *id = TB_SET_SNAME;
    return 0;
}

/* The release beside us tells the kind of names and the host. */
static void
from_release(const char *release, struct tb_nodename *out)
{
    const char *kind = getenv("RELEASE_DISTRIBUTION");
    const char *host = tb_nodename_host(release);

    out->long_names = strpbrk(host, ".:") != NULL;
    if (!*host && kind)
        out->long_names = strcmp(kind, "name") == 0;
    snprintf(out->text, sizeof(out->text), BASENAME "%s%s", *host ? "@" : "",
             host);
    snprintf(out->origin, sizeof(out->origin), "environment RELEASE_NODE");
}

static int
add_host(struct tb_nodename *n, struct tb_wr *errors)
{
    char host[TB_NODENAME_MAX];
    size_t len = strlen(n->text);

    if (strchr(n->text, '@'))
        return 0;
    if (!n->long_names) {
        tb_short_host(host);
    } else if (!tb_long_host(host)) {
        tb_wr_printf(errors,
                     "tiebeam: %s: a long name needs a host with a dot, and "
                     "this host has no domain: -name %s@127.0.0.1\n",
                     n->origin, n->text);
        return -TB_EBADARG;
    }
    if (len + 1 + strlen(host) >= sizeof(n->text)) {
        tb_wr_printf(errors, "tiebeam: %s: the name is too long\n", n->origin);
        return -TB_EBADARG;
    }
    n->text[len] = '@';
    memcpy(n->text + len + 1, host, strlen(host) + 1);
    return 0;
}

int
tb_nodename_find(const struct tb_settings *s, struct tb_nodename *out,
                 struct tb_wr *errors)
{
    const char *release = getenv("RELEASE_NODE");
    struct tb_nodename n = { .text = BASENAME, .origin = "default" };
    enum tb_set id = TB_SET_COUNT;
    int err = which_setting(s, &id, errors);

    if (err < 0)
        return err;
    if (id != TB_SET_COUNT) {
        n.long_names = id == TB_SET_NAME;
        snprintf(n.text, sizeof(n.text), "%s", s->v[id].text);
        snprintf(n.origin, sizeof(n.origin), "%s", s->v[id].origin);
    } else if (release && *release) {
        from_release(release, &n);
    }
    err = add_host(&n, errors);
    if (err < 0)
        return err;
    if (!tb_intern((struct tb_text){ n.text, strlen(n.text) })) {
        tb_wr_printf(errors, "tiebeam: %s: %s is not a node name\n", n.origin,
                     n.text);
        return -TB_EBADARG;
    }
    if (release && strcmp(release, n.text) == 0) {
        tb_wr_printf(errors,
                     "tiebeam: RELEASE_NODE is %s too: give another name "
                     "with -%s\n",
                     release, n.long_names ? "name" : "sname");
        return -TB_EBADARG;
    }
    *out = n;
    return 0;
}
