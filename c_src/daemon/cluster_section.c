/* cluster_section.c - the section process_clusters of the configuration file.
 * Owns: the list of clusters, in the configuration. Thread: any; the start:
 * loop. */
#include "daemon/cluster_section.h"

#include <stdio.h>
#include <string.h>

/* The file's own term may be gone before the service starts. */
static struct tb_term
copy_of(struct tb_term t)
{
    return (struct tb_term){ memcpy(tb_alloc(t.n), t.p, t.n), t.n };
}

static void
add(struct tb_config *c, struct tb_term cluster, struct tb_term opts)
{
    size_t n = c->n_clusters;
    struct tb_cluster_config *all = tb_alloc((n + 1) * sizeof(*all));

    if (n)
        memcpy(all, c->clusters, n * sizeof(*all));
    all[n] = (struct tb_cluster_config){ copy_of(cluster), copy_of(opts) };
    tb_free(c->clusters);
    c->clusters = all;
    c->n_clusters = n + 1;
}

static void
on_key(struct tb_reader *r, const char *section, struct tb_text key,
       struct tb_term value)
{
    tb_check_pair(r, tb_cluster_rules, section, key, value);
}

static bool
is_known(const struct tb_config *c, struct tb_term cluster)
{
    for (size_t i = 0; i < c->n_clusters; i++)
        if (c->clusters[i].cluster.n == cluster.n &&
            memcmp(c->clusters[i].cluster.p, cluster.p, cluster.n) == 0)
            return true;
    return false;
}

void
tb_cluster_section(struct tb_reader *r, struct tb_config *c, const char *place,
                   struct tb_term value)
{
    struct tb_val h[TB_MAX_HOLES], name[TB_MAX_HOLES];
    struct tb_elems e;
    struct tb_term item;
    char section[128];

    if (tb_match("off", value, h) == 1) {
        c->no_clusters = true;
        return;
    }
    if (!tb_elems_open(&e, value)) {
        tb_unexpected(r, value, place, "off or a list of {Cluster, Options}");
        return;
    }
    while (tb_elems_next(&e, &item)) {
        if (tb_match("{Cluster, Options:list}", item, h) != 1 ||
            tb_match("Cluster:atom", h[0].term, name) != 1) {
            tb_unexpected(r, item, place, "{Cluster, Options}, with an atom");
            continue;
        }
        snprintf(section, sizeof(section), "%s.%.*s", place,
                 (int)name[0].text.n, name[0].text.p);
        if (is_known(c, h[0].term))
            tb_problem(r, item.p, "%s: it is there twice", section);
        tb_each_pair(r, section, h[1].term, on_key);
        add(c, h[0].term, h[1].term);
    }
}

int
tb_cluster_section_start(struct tb_node *node, const struct tb_config *c)
{
    int err = c->no_clusters ? 0 : tb_start_process_clusters(node);

    for (size_t i = 0; err >= 0 && i < c->n_clusters; i++)
        err = tb_start(node, &tb_cluster_seat, &c->clusters[i], TB_PERMANENT,
                       NULL);
    return err;
}

static bool
is_same(struct tb_term a, struct tb_term b)
{
    return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}

bool
tb_cluster_section_same(const struct tb_config *a, const struct tb_config *b)
{
    if (a->n_clusters != b->n_clusters || a->no_clusters != b->no_clusters)
        return false;
    for (size_t i = 0; i < a->n_clusters; i++)
        if (!is_same(a->clusters[i].cluster, b->clusters[i].cluster) ||
            !is_same(a->clusters[i].opts, b->clusters[i].opts))
            return false;
    return true;
}

void
tb_cluster_section_fini(struct tb_config *c)
{
    for (size_t i = 0; i < c->n_clusters; i++) {
        tb_free((uint8_t *)(uintptr_t)c->clusters[i].cluster.p);
        tb_free((uint8_t *)(uintptr_t)c->clusters[i].opts.p);
    }
    tb_free(c->clusters);
}
