/* cluster_section.c - the section process_clusters of the configuration file,
 * and what runs brought in line with it when it is read again.
 * Owns: the list of clusters, in the configuration. Thread: any; start and
 * reload: loop. */
#include "daemon/cluster_section.h"

#include <stdio.h>
#include <string.h>

#include "daemon/teller.h"

static void
add(struct tb_config *c, struct tb_term cluster, struct tb_term opts)
{
    size_t n = c->n_clusters;
    struct tb_cluster_entry *all = tb_alloc((n + 1) * sizeof(*all));

    if (n)
        memcpy(all, c->clusters, n * sizeof(*all));
    all[n] = (struct tb_cluster_entry){ 0 };
    tb_wr_bytes(&all[n].cluster, cluster.p, cluster.n);
    tb_wr_bytes(&all[n].opts, opts.p, opts.n);
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
is_same(const struct tb_wr *w, struct tb_term t)
{
    return w->len == t.n && memcmp(w->buf, t.p, t.n) == 0;
}

static struct tb_cluster_entry *
find(const struct tb_config *c, struct tb_term cluster)
{
    for (size_t i = 0; i < c->n_clusters; i++)
        if (is_same(&c->clusters[i].cluster, cluster))
            return &c->clusters[i];
    return NULL;
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
        if (find(c, h[0].term))
            tb_problem(r, item.p, "%s: it is there twice", section);
        tb_each_pair(r, section, h[1].term, on_key);
        add(c, h[0].term, h[1].term);
    }
}

/* ------------------------------------------------------------- running -- */

static int
start(struct tb_node *node, struct tb_cluster_entry *e)
{
    e->seat = tb_seat_new(tb_wr_term(&e->cluster), tb_wr_term(&e->opts));
    return tb_seat_start(node, e->seat);
}

int
tb_cluster_section_start(struct tb_node *node, struct tb_config *c)
{
    int err = c->no_clusters ? 0 : tb_start_process_clusters(node);

    for (size_t i = 0; err >= 0 && i < c->n_clusters; i++)
        err = start(node, &c->clusters[i]);
    return err;
}

static void
put_key(char key[320], const struct tb_cluster_entry *e, const char *what)
{
    struct tb_wr name = { .max = 1024 };

    tb_print(&name, tb_wr_term(&e->cluster));
    snprintf(key, 320, "process_clusters.%.*s%s", (int)name.len,
             (const char *)name.buf, what);
    tb_wr_free(&name);
}

static void
tell(struct tb_node *node, const struct tb_cluster_entry *e,
     const char *request, const char *what)
{
    char key[320];

    put_key(key, e, what);
    tb_tell(node, &(struct tb_errand){
                      .pid = tb_seat_pid(e->seat),
                      .request = request,
                      .key = key,
                  });
}

static void
start_new(struct tb_node *node, struct tb_cluster_entry *e)
{
    char key[320];

    put_key(key, e, "");
    tb_log_started(key, "", start(node, e));
}

/* A member of ours leaves, and does not come back. */
static void
end(struct tb_node *node, struct tb_cluster_entry *e)
{
    tb_seat_leave(e->seat);
    tell(node, e, TB_SEAT_LEAVE, " ended");
}

/* It is the same one, with other options. */
static void
go_on(struct tb_node *node, struct tb_cluster_entry *e,
      struct tb_cluster_entry *was)
{
    e->seat = was->seat;
    was->seat = NULL;
    if (is_same(&was->opts, tb_wr_term(&e->opts)))
        return;
    tb_seat_change(e->seat, tb_wr_term(&e->opts));
    tell(node, e, TB_SEAT_CHANGED, "");
}

/* The service itself: false where it does not start, perhaps since it has not
 * ended yet; it is tried again when the file is read again. */
static bool
turn(struct tb_node *node, bool off)
{
    int err;

    if (off) {
        tb_tell(node, &(struct tb_errand){ .name = "process_cluster",
                                           .request = "'$tb_leave_service'",
                                           .key = "process_clusters ended" });
        return true;
    }
    err = tb_start_process_clusters(node);
    tb_log_started("process_clusters", "", err);
    return err >= 0;
}

static void
change_places(struct tb_config *a, struct tb_config *b)
{
    struct tb_config old = *a;

    a->clusters = b->clusters;
    a->n_clusters = b->n_clusters;
    a->no_clusters = b->no_clusters;
    b->clusters = old.clusters;
    b->n_clusters = old.n_clusters;
    b->no_clusters = old.no_clusters;
}

void
tb_cluster_section_reload(struct tb_node *node, struct tb_config *c,
                          struct tb_config *now)
{
    if (c->no_clusters && !now->no_clusters && !turn(node, false))
        return;
    change_places(c, now);
    for (size_t i = 0; i < now->n_clusters; i++)
        if (!find(c, tb_wr_term(&now->clusters[i].cluster)))
            end(node, &now->clusters[i]);
    for (size_t i = 0; i < c->n_clusters; i++) {
        struct tb_cluster_entry *e = &c->clusters[i];
        struct tb_cluster_entry *was = find(now, tb_wr_term(&e->cluster));

        if (was)
            go_on(node, e, was);
        else
            start_new(node, e);
    }
    if (c->no_clusters && !now->no_clusters)
        turn(node, true);
}

void
tb_cluster_section_fini(struct tb_config *c)
{
    for (size_t i = 0; i < c->n_clusters; i++) {
        tb_wr_free(&c->clusters[i].cluster);
        tb_wr_free(&c->clusters[i].opts);
        tb_seat_free(c->clusters[i].seat);
    }
    tb_free(c->clusters);
}
