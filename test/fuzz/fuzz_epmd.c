/* fuzz_epmd.c - every reply of epmd, and requests with any name; the first
 * byte says which. A reply that is complete must not have been so with a byte
 * less. */
#include <assert.h>

#include "dist/epmd.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* Two bytes tell the length of what follows them. */
static void
check_request(struct tb_wr *w)
{
    assert(w->bad || (w->buf[0] << 8 | w->buf[1]) == (int)w->len - 2);
    tb_wr_free(w);
}

static void
put_requests(struct tb_text name)
{
    struct tb_wr alive = { 0 }, port = { 0 }, names = { 0 };

    tb_epmd_put_alive2(&alive, name, 4370);
    assert(alive.bad == (name.n > 255));
    tb_epmd_put_port_please2(&port, name);
    assert(port.bad == alive.bad);
    tb_epmd_put_names(&names);
    check_request(&alive);
    check_request(&port);
    check_request(&names);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct tb_epmd_node node;
    struct tb_text name;
    struct tb_rd r;
    uint32_t creation;
    uint16_t port;

    if (n < 1)
        return 0;
    r = tb_rd_of(p + 1, n - 1);
    switch (p[0]) {
    case 'a':
        if (tb_epmd_get_alive2(p + 1, n - 1, &creation) == 1)
            assert(tb_epmd_get_alive2(p + 1, n - 2, &creation) == 0);
        break;
    case 'p':
        if (tb_epmd_get_port2(p + 1, n - 1, false, &node) == 1)
            assert(tb_epmd_get_port2(p + 1, n - 2, false, &node) == 0);
        assert(tb_epmd_get_port2(p + 1, n - 1, true, &node) != 0);
        break;
    case 'r':
        put_requests((struct tb_text){ (const char *)p + 1, n - 1 });
        break;
    default:
        while (tb_epmd_next_name(&r, &name, &port) == 1)
            assert(name.n > 0 && port > 0);
    }
    return 0;
}
