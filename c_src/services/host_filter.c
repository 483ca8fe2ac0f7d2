/* host_filter.c - which nodes may be hosts, as the option `hosts` says.
 * Owns: nothing. Thread: loop. */
#include <string.h>

#include "services/supervisor.h"

bool
tb_node_in(struct tb_term list, tb_atom node)
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
        return tb_node_in(tb_wr_term(&sup->o.hosts), h->node) ? NULL
                                                           : "not_listed";
    case TB_HOSTS_MANAGED:
        return sup->managed.len && tb_node_in(tb_wr_term(&sup->managed), h->node)
                   ? NULL
                   : "not_managed";
    case TB_HOSTS_MODULE:
    case TB_HOSTS_ALL:
        break;
    }
    return NULL;
}
