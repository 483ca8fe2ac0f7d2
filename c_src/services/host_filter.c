/* host_filter.c - the option hosts: which nodes may be hosts.
 * Owns, borrows: nothing. Thread: loop. */
#include <string.h>

#include "services/supervisor.h"

static bool
in_list(struct tb_term list, tb_atom node)
{
    struct tb_elems e;
    struct tb_term item;

    if (!tb_elems_open(&e, list))
        return false;
    while (tb_elems_next(&e, &item))
        if (tb_rule_node(item) == node)
            return true;
    return false;
}

static bool
has_basename(const struct tb_supervisor *sup, tb_atom node)
{
    struct tb_text name = tb_atom_text(node);
    size_t n = sup->o.hosts.len;

    return name.n > n && name.p[n] == '@' &&
           memcmp(name.p, sup->o.hosts.buf, n) == 0;
}

const char *
tb_host_why_none(const struct tb_supervisor *sup, const struct tb_host *h)
{
    if (!h->visible)
        return "hidden";
    switch (sup->o.filter) {
    case TB_HOSTS_BASENAME:
        return has_basename(sup, h->node) ? NULL : "other_basename";
    case TB_HOSTS_NODES:
        return in_list(tb_wr_term(&sup->o.hosts), h->node) ? NULL
                                                           : "not_listed";
    case TB_HOSTS_MANAGED:
        return sup->managed.len && in_list(tb_wr_term(&sup->managed), h->node)
                   ? NULL
                   : "not_managed";
    case TB_HOSTS_MODULE:
    case TB_HOSTS_ALL:
        break;
    }
    return NULL;
}

/* NULL: not by its name. One that is a host already stays one while it is away,
 * or the managed nodes cannot be told. */
const char *
tb_host_excluded(const struct tb_host *h)
{
    enum tb_host_filter f = h->sup->o.filter;

    return f == TB_HOSTS_BASENAME || f == TB_HOSTS_NODES
               ? tb_host_why_none(h->sup, h)
               : NULL;
}
