/* monitor_section.c - the section node_monitor of the configuration file:
 * checked, and told to the running service when it changes.
 * Owns: nothing. Thread: any; the reload: loop. */
#include "daemon/monitor_section.h"

#include <stdio.h>
#include <string.h>

#include "daemon/teller.h"
#include "services/monitor_options.h"

/* ------------------------------------------------------------- checks -- */

static void
on_detector_key(struct tb_reader *r, const char *section, struct tb_text key,
                struct tb_term value)
{
    tb_check_pair(r, tb_detector_rules, section, key, value);
}

static void
on_health_key(struct tb_reader *r, const char *section, struct tb_text key,
              struct tb_term value)
{
    tb_check_pair(r, tb_health_rules, section, key, value);
}

static void
on_key(struct tb_reader *r, const char *section, struct tb_text key,
       struct tb_term value)
{
    struct tb_val h[TB_MAX_HOLES];
    bool is_list = tb_match("L:list", value, h) == 1;
    char place[128];

    tb_check_pair(r, tb_monitor_rules, section, key, value);
    snprintf(place, sizeof(place), "%s.%.*s", section, (int)key.n, key.p);
    if (is_list && tb_text_is(key, "detector"))
        tb_each_pair(r, place, value, on_detector_key);
    else if (is_list && tb_text_is(key, "health"))
        tb_each_pair(r, place, value, on_health_key);
}

/* What the single keys do not show: values that do not go together. */
static void
check_whole(struct tb_reader *r, const char *place, struct tb_term value)
{
    struct tb_monitor_options o;
    const char *expected = "";
    struct tb_term bad;

    tb_monitor_options_init(&o);
    if (tb_monitor_options_read(&o, value, &bad, &expected) < 0)
        tb_unexpected(r, bad, place, expected);
    tb_monitor_options_fini(&o);
}

static void
keep(struct tb_config *c, struct tb_term value)
{
    c->monitor.len = 0;
    tb_wr_bytes(&c->monitor, value.p, value.n);
    c->monitor_options = tb_wr_term(&c->monitor);
}

void
tb_monitor_section(struct tb_reader *r, struct tb_config *c, const char *place,
                   struct tb_term value)
{
    size_t before = r->errors->len;

    tb_each_pair(r, place, value, on_key);
    if (r->errors->len == before)
        check_whole(r, place, value);
    keep(c, value);
}

void
tb_monitor_section_default(struct tb_config *c)
{
    if (c->monitor.len == 0)
        tb_build(&c->monitor, "[]", TB_NONE);
    c->monitor_options = tb_wr_term(&c->monitor);
}

/* ------------------------------------------------------------- reload -- */

void
tb_monitor_section_reload(struct tb_node *node, struct tb_config *c,
                          struct tb_config *now)
{
    struct tb_wr old = c->monitor;

    if (old.len == now->monitor.len &&
        memcmp(old.buf, now->monitor.buf, old.len) == 0)
        return;
    c->monitor = now->monitor; /* a restart of the service finds it, too */
    now->monitor = old;
    c->monitor_options = tb_wr_term(&c->monitor);
    tb_tell(node, &(struct tb_errand){
                      .name = "node_monitor",
                      .request = "{reload, Options}",
                      .args = TB_ARGS(tb_v_term(c->monitor_options)),
                      .key = "node_monitor",
                  });
}
