/* mock.c - a C node with a discovery whose four functions are its own: no name
 * server is asked, and nobody is dialled.
 *
 * Usage: mock NODE@HOST COOKIE ADDRESS... The nodes are mock@ADDRESS; to those
 * whose address ends in 9 there is no way. The discovery is called mock. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tiebeam.h"

static char **addresses;
static tb_atom connected[64];
static size_t n_connected;

static bool
basename_of_us(struct tb_proc *self, char out[256])
{
    (void)self;
    snprintf(out, 256, "mock");
    return true;
}

/* The A records are the program's arguments; there are no others. */
static void
lookup(struct tb_proc *self, struct tb_dns *dns, enum tb_dns_type type,
       const char *name, uint64_t timeout_ms, tb_done done, void *ctx)
{
    struct tb_ref ref = tb_expect(self, timeout_ms, done, ctx);
    struct tb_wr items = { 0 }, list = { 0 };
    size_t n = 0;

    (void)dns;
    for (; addresses[n]; n++)
        tb_build(&items, "{Address, 5}",
                 TB_ARGS(tb_v_bin(addresses[n], strlen(addresses[n]))));
    tb_build_list(&list, n, &items);
    if (type == TB_DNS_A && strcmp(name, "mock.test") == 0)
        tb_settle(tb_self_node(self), ref, 0, "List",
                  TB_ARGS(tb_v_term(tb_wr_term(&list))));
    else
        tb_settle(tb_self_node(self), ref, -TB_ENODATA, "nodata", TB_NONE);
    tb_wr_free(&items);
    tb_wr_free(&list);
}

static void
connect_to(struct tb_proc *self, tb_atom node, tb_done done, void *ctx)
{
    struct tb_ref ref = tb_expect(self, 5000, done, ctx);
    struct tb_text name = tb_atom_text(node);
    bool fails = name.p[name.n - 1] == '9';

    if (!fails && n_connected < sizeof(connected) / sizeof(*connected))
        connected[n_connected++] = node;
    tb_settle(tb_self_node(self), ref, fails ? -TB_ENOCONNECTION : 0, "Node",
              TB_ARGS(tb_v_node(node)));
}

static int
list_nodes(struct tb_node *node, const char *which, struct tb_wr *w)
{
    struct tb_wr items = { 0 };
    int rc;

    (void)node;
    (void)which;
    for (size_t i = 0; i < n_connected; i++)
        tb_build(&items, "Node", TB_ARGS(tb_v_node(connected[i])));
    rc = tb_build_list(w, n_connected, &items);
    tb_wr_free(&items);
    return rc;
}

static const struct tb_discovery_ops ops = { .basename = basename_of_us,
                                             .lookup = lookup,
                                             .connect = connect_to,
                                             .list = list_nodes };

static void
on_ready(void *ctx, int status)
{
    (void)ctx;
    printf("ready %s\n", status < 0 ? tb_error_atom(status) : "ok");
    fflush(stdout);
}

/* The options lack a basename, which is an error without ours. */
static int
start(struct tb_node *node, const struct tb_discovery_config *config)
{
    struct tb_discovery_config other = *config;

    other.ops = NULL;
    if (tb_start_discovery(node, &other) != -TB_EBADARG)
        return -TB_EBADARG;
    return tb_start_discovery(node, config);
}

int
main(int argc, char **argv)
{
    static const char text[] = "[{source, {dns, \"mock.test\"}},"
                               " {interval, none}]";
    struct tb_options options = { .name = argc > 1 ? argv[1] : NULL,
                                  .cookie = argc > 2 ? argv[2] : NULL };
    struct tb_discovery_config config = { .name = "mock", .ops = &ops };
    struct tb_text_error error;
    struct tb_wr w = { 0 };
    int rc = tb_parse(&w, text, sizeof(text) - 1, &error);
    struct tb_node *node = tb_node_new(&options, &rc);

    addresses = argv + (argc > 3 ? 3 : argc);
    config.opts = tb_wr_term(&w);
    if (node)
        rc = tb_start_kernel(node);
    if (node && rc == 0)
        rc = start(node, &config);
    if (node && rc == 0)
        rc = tb_node_start(node, on_ready, NULL);
    if (node && rc == 0)
        rc = tb_node_run(node);
    tb_node_free(node);
    tb_wr_free(&w);
    return rc < 0;
}
