/* help.c - what the program says of itself, printed from its tables.
 * Owns, borrows: nothing. Thread: any. */
#include "daemon/help.h"

#include <stdio.h>
#include <string.h>

#include "daemon/cli.h"
#include "daemon/logger.h"
#include "services/services.h"

static const char *const groups[TB_GROUP_COUNT] = {
    [TB_GROUP_NODE] = "The node",
    [TB_GROUP_EPMD] = "epmd",
    [TB_GROUP_DIST] = "Distribution",
    [TB_GROUP_FIND] = "Finding nodes, where the file names no discovery",
    [TB_GROUP_LIMITS] = "Limits",
    [TB_GROUP_LOG] = "Log",
    [TB_GROUP_VERBS] = "With a verb",
    [TB_GROUP_ACCEPTED] = "Accepted as erl's",
    [TB_GROUP_ABOUT] = "About",
};

static void
print_setting(const struct tb_setting *row)
{
    printf("  %s%s%s%s%s\n", row->flag ? row->flag : "", row->flag ? ", " : "",
           row->twin, row->values ? " " : "", row->values ? row->values : "");
    printf("        %s", row->help);
    if (row->value)
        printf(" (%s)", row->value);
    if (row->variable)
        printf(" [%s]", row->variable);
    putchar('\n');
}

void
tb_help_print(void)
{
    puts("Usage: tiebeam [flags]          join the cluster, run until SIGTERM\n"
         "       tiebeam [flags] VERB ... ask, print, exit\n\nVerbs:");
    for (const struct tb_verb *v = tb_verbs; v->name; v++)
        printf("  %-12s %-20s %s\n", v->name, v->args, v->help);
    for (int g = 0; g < TB_GROUP_COUNT; g++) {
        printf("\n%s:\n", groups[g]);
        for (int i = 0; i < TB_SET_COUNT; i++)
            if ((int)tb_settings_table[i].group == g)
                print_setting(&tb_settings_table[i]);
        if (g == TB_GROUP_NODE)
            puts("  -args_file, --args-file File\n"
                 "        more flags, from a file");
    }
    puts("\nA flag wins over the environment [in brackets] over the "
         "configuration file\nover the default (in parentheses). ERL_AFLAGS, "
         "ERL_FLAGS and ERL_ZFLAGS may\nhold -name, -sname, -setcookie, "
         "-kernel, -proto_dist, -ssl_dist_optfile,\n-ssl_dist_opt, "
         "-erl_epmd_port and -start_epmd.");
}

static const char *
kind_name(enum tb_kind kind)
{
    switch (kind) {
    case TB_CALL:
        return "call";
    case TB_CAST:
        return "cast";
    case TB_INFO:
        return "info";
    case TB_FUN:
        return "fun";
    case TB_END:
        break;
    }
    return "?";
}

void
tb_help_messages(void)
{
    static const struct {
        const char *name;
        const struct tb_service *service;
    } all[] = {
        { "net_kernel", &tb_net_kernel },
        { "rex", &tb_rex },
        { "tiebeam", &tb_tiebeam },
        { "discovery", &tb_discovery },
        { "node_monitor", &tb_node_monitor },
        { "pg", &tb_pg },
        { "process_cluster", &tb_process_cluster },
        { "a member of a cluster", &tb_cluster_seat },
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        const struct tb_clause *c = all[i].service->clauses;

        printf("%s%s\n", i ? "\n" : "", all[i].name);
        for (; c && c->kind != TB_END; c++)
            printf("  %-4s  %s\n", kind_name(c->kind), c->pattern);
    }
}

struct shown {
    const char *key, *value, *origin;
};

static void
print_shown(const struct shown *s, bool json, bool first)
{
    struct tb_wr w = { 0 };

    if (json) {
        tb_wr_str(&w, first ? "{" : ",\n ");
        tb_json_str(&w, s->key, strlen(s->key));
        tb_wr_str(&w, ": {\"value\": ");
        tb_json_str(&w, s->value, strlen(s->value));
        tb_wr_str(&w, ", \"origin\": ");
        tb_json_str(&w, s->origin, strlen(s->origin));
        tb_wr_str(&w, "}");
    } else {
        tb_wr_printf(&w, "%-24s %-28s %s\n", s->key, s->value, s->origin);
    }
    fwrite(w.buf, 1, w.len, stdout);
    tb_wr_free(&w);
}

static bool
worth_showing(const struct tb_settings *s, int id)
{
    enum tb_set_group g = tb_settings_table[id].group;

    if (id == TB_SET_NAME || id == TB_SET_SNAME || id == TB_SET_COOKIE)
        return false; /* told by what they lead to */
    return s->v[id].text && g != TB_GROUP_VERBS && g != TB_GROUP_ABOUT &&
           (g != TB_GROUP_ACCEPTED || tb_settings_given(s, (enum tb_set)id));
}

void
tb_help_settings(const struct tb_settings *s, const struct tb_nodename *n,
                 const char *cookie_origin, bool json)
{
    struct shown node = { "node", n->text, n->origin };
    struct shown cookie = { "cookie", "(not shown)", cookie_origin };

    print_shown(&node, json, true);
    print_shown(&cookie, json, false);
    for (int i = 0; i < TB_SET_COUNT; i++)
        if (worth_showing(s, i))
            print_shown(&(struct shown){ tb_settings_table[i].key,
                                         tb_settings_shown(s, (enum tb_set)i),
                                         s->v[i].origin },
                        json, false);
    if (json)
        puts("}");
}
