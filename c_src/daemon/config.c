/* config.c - the configuration file: found, read, and what it leads to.
 * In Erlang: file:consult/1 of a sys.config, and application:get_env/2.
 * Owns: the file as a term. Borrows: settings. Thread: any. */
#include "daemon/config.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/cluster_section.h"
#include "daemon/monitor_section.h"
#include "daemon/options.h"
#include "daemon/pg_section.h"
#include "daemon/sections.h"
#include "daemon/supervisor_section.h"

/* The scope pg is there unless the file says otherwise. */
bool
tb_config_name_free(const struct tb_config *c, const char *name)
{
    static const char *const ours[] = {
        "net_kernel",   "rex", "tiebeam",         "tiebeam_sup",
        "node_monitor", "pg",  "process_cluster", TB_CLUSTER_SCOPE,
    };

    for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
        if (strcmp(ours[i], name) == 0)
            return false;
    for (size_t i = 0; i < c->n_discovery; i++)
        if (strcmp(c->discovery[i].name, name) == 0)
            return false;
    for (size_t i = 0; i < c->n_supervisors; i++)
        if (strcmp(c->supervisors[i].name, name) == 0)
            return false;
    for (size_t i = 0; i < c->n_scopes; i++)
        if (strcmp(c->scopes[i], name) == 0)
            return false;
    return true;
}

void
tb_config_add(struct tb_config *c, char *name, struct tb_term opts)
{
    size_t n = c->n_discovery;
    struct tb_discovery_config *all = tb_alloc((n + 1) * sizeof(*all));

    if (n)
        memcpy(all, c->discovery, n * sizeof(*all));
    all[n] = (struct tb_discovery_config){ .name = name, .opts = opts };
    tb_free(c->discovery);
    c->discovery = all;
    c->n_discovery = n + 1;
}

static void
check_text(struct tb_reader *r, const struct tb_wr *raw)
{
    struct tb_wr text = { 0 };
    size_t before = r->errors->len;

    tb_config_expand(&text, raw, r->path, r->errors);
    if (r->errors->len == before && tb_reader_consult(r, &text) == 0)
        tb_sections_check(r);
    tb_wr_free(&text);
}

/* erl adds ".config" to what it is given. */
static int
read_file(struct tb_config *c, struct tb_wr *raw)
{
    char longer[PATH_MAX];
    int err = tb_file_text(raw, c->path);

    if (err != -ENOENT || snprintf(longer, sizeof(longer), "%s.config",
                                   c->path) >= (int)sizeof(longer))
        return err;
    if (tb_file_text(raw, longer) < 0)
        return err;
    tb_free(c->path);
    c->path = tb_copy(longer);
    return 0;
}

/* A file goes before a text in the environment. */
static int
read_raw(struct tb_config *c, const struct tb_settings *s, struct tb_wr *raw,
         struct tb_wr *errors)
{
    const char *path = tb_settings_text(s, TB_SET_CONFIG);
    int err = 0;

    c->path = tb_copy(path ? path : s->v[TB_SET_CONFIG_TEXT].origin);
    if (!path)
        tb_wr_str(raw, tb_settings_text(s, TB_SET_CONFIG_TEXT));
    else
        err = read_file(c, raw);
    if (err < 0)
        tb_wr_printf(errors, "tiebeam: %s: cannot read %s: %s\n",
                     s->v[TB_SET_CONFIG].origin, path, tb_strerror(err));
    return err;
}

int
tb_config_read(struct tb_config *c, struct tb_settings *s, struct tb_wr *errors)
{
    struct tb_sections to = { c, s };
    struct tb_reader r = { .errors = errors, .ctx = &to };
    size_t before = errors->len;
    struct tb_wr raw = { 0 };
    int err;

    memset(c, 0, sizeof(*c));
    if (!tb_settings_text(s, TB_SET_CONFIG) &&
        !tb_settings_text(s, TB_SET_CONFIG_TEXT))
        return 0;
    err = read_raw(c, s, &raw, errors);
    r.path = c->path;
    if (err == 0)
        check_text(&r, &raw);
    c->body = r.body; /* entries borrow from it */
    r.body = (struct tb_wr){ 0 };
    tb_reader_fini(&r);
    tb_wr_free(&raw);
    return errors->len == before ? 0 : -TB_EBADARG;
}

/* "a.internal,b.internal" */
static void
put_queries(struct tb_wr *w, const char *text)
{
    struct tb_wr names = { 0 };
    size_t n = 0;

    while (*text) {
        size_t len = strcspn(text, ",");
        char *name = tb_copy_n(text, len);

        if (len && tb_build(&names, "Name", TB_ARGS(tb_v_str(name))) == 0)
            n++;
        tb_free(name);
        text += len + (text[len] == ',');
    }
    tb_build_list(w, n, &names);
    tb_wr_free(&names);
}

/* As dns_cluster, which takes that of its own node: the release's. */
static void
put_basename(struct tb_wr *items, size_t *n, const struct tb_settings *s)
{
    const char *name = tb_settings_text(s, TB_SET_BASENAME);
    const char *node = getenv("RELEASE_NODE");
    char *copy;

    if (!name && tb_settings_text(s, TB_SET_ATTACHED))
        return; /* that node's */
    if (!name && node && strchr(node, '@'))
        name = node;
    if (!name)
        name = getenv("RELEASE_NAME");
    if (!name || !*name)
        return;
    copy = tb_copy_n(name, strcspn(name, "@"));
    tb_build(items, "{basename, Name}", TB_ARGS(tb_v_str(copy)));
    tb_free(copy);
    ++*n;
}

static void
put_given(struct tb_wr *items, size_t *n, const struct tb_settings *s,
          const char *host)
{
    const char *query = tb_settings_text(s, TB_SET_DNS_QUERY);
    const char *attached = tb_settings_text(s, TB_SET_ATTACHED);
    const char *mesh = tb_settings_text(s, TB_SET_MESH);
    struct tb_wr queries = { 0 };

    *n = 1;
    if (query) {
        put_queries(&queries, query);
        tb_build(items, "{source, {dns, Queries}}",
                 TB_ARGS(tb_v_term(tb_wr_term(&queries))));
        put_basename(items, n, s);
    } else {
        tb_build(items, "{source, {epmd, [Host]}}", TB_ARGS(tb_v_str(host)));
        if (tb_settings_text(s, TB_SET_BASENAME))
            put_basename(items, n, s);
    }
    if (attached &&
        tb_build(items, "{attached, Node}", TB_ARGS(tb_v_atom(attached))) == 0)
        ++*n;
    if (mesh && tb_build(items, "{mesh, Mesh}", TB_ARGS(tb_v_atom(mesh))) == 0)
        ++*n;
    tb_wr_free(&queries);
}

int
tb_config_default(struct tb_config *c, const struct tb_settings *s,
                  const char *host, struct tb_wr *errors)
{
    struct tb_wr items = { 0 };
    const char *fault;
    size_t n;

    tb_monitor_section_default(c);
    tb_pg_section_default(c);
    tb_supervisor_section_default(c);
    if (c->has_discovery)
        return 0;
    tb_wr_free(&c->body);
    put_given(&items, &n, s, host);
    tb_build_list(&c->body, n, &items);
    tb_wr_free(&items);
    fault = tb_discovery_fault(tb_wr_term(&c->body));
    if (fault && tb_discovery_lacks(tb_wr_term(&c->body)))
        tb_wr_printf(errors, "tiebeam: %s, with --basename or --attached\n",
                     tb_discovery_lacks(tb_wr_term(&c->body)));
    else if (fault)
        tb_wr_printf(errors, "tiebeam: %s: not what it takes\n",
                     strcmp(fault, "source") == 0 ? "dns_query" : fault);
    if (fault)
        return -TB_EBADARG;
    tb_config_add(c, tb_copy("dns_cluster"), tb_wr_term(&c->body));
    return 0;
}

void
tb_config_fini(struct tb_config *c)
{
    for (size_t i = 0; i < c->n_discovery; i++)
        tb_free((char *)(uintptr_t)c->discovery[i].name);
    tb_free(c->discovery);
    tb_supervisor_section_fini(c);
    tb_free(c->path);
    tb_wr_free(&c->body);
    tb_wr_free(&c->monitor);
    tb_pg_section_fini(c);
    tb_cluster_section_fini(c);
}
