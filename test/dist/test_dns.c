/* test_dns.c - answers of a name server, recorded from dnsmasq. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "dist/dns.h"

struct answer {
    uint8_t *p; /* owned; ends where the answer does */
    size_t n;
};

static struct answer
answer_of(const char *name)
{
    struct answer a = { malloc(4096), 0 };
    char path[128];
    FILE *f;

    snprintf(path, sizeof(path), "test/data/dns/%s", name);
    f = fopen(path, "rb");
    assert_non_null(f);
    assert_non_null(a.p);
    a.n = fread(a.p, 1, 4096, f);
    fclose(f);
    a.p = realloc(a.p, a.n);
    assert_non_null(a.p);
    return a;
}

static void
assert_addresses(const char *name, enum tb_dns_type type, size_t n,
                 const uint8_t *first)
{
    struct answer a = answer_of(name);
    struct tb_dns_reader d;
    struct tb_dns_record r;
    unsigned seen = 0, count = 0;

    assert_int_equal(tb_dns_open(&d, type, a.p, a.n), 0);
    for (; tb_dns_next(&d, &r) == 1; count++) {
        assert_int_equal(r.ttl, 7);
        seen += memcmp(r.address, first, n) == 0;
    }
    assert_int_equal(count, 2);
    assert_int_equal(seen, 1);
    free(a.p);
}

static void
test_dns_reads_addresses(void **state)
{
    static const uint8_t v4[] = { 10, 0, 0, 5 };
    static const uint8_t v6[16] = { 0xfd, [15] = 5 };

    (void)state;
    assert_addresses("a", TB_DNS_A, 4, v4);
    assert_addresses("aaaa", TB_DNS_AAAA, 16, v6);
    assert_addresses("alias", TB_DNS_A, 4, v4); /* behind a CNAME */
}

static void
test_dns_reads_names(void **state)
{
    struct answer a = answer_of("srv");
    struct tb_dns_reader d;
    struct tb_dns_record r;
    unsigned seen = 0, count = 0;

    (void)state;
    assert_int_equal(tb_dns_open(&d, TB_DNS_SRV, a.p, a.n), 0);
    for (; tb_dns_next(&d, &r) == 1; count++)
        seen += strcmp(r.name, "app.test") == 0 && r.srv.port == 9100 &&
                r.srv.priority == 1 && r.srv.weight == 2;
    assert_int_equal(count, 2);
    assert_int_equal(seen, 1);
    free(a.p);
    a = answer_of("ptr");
    assert_int_equal(tb_dns_open(&d, TB_DNS_PTR, a.p, a.n), 0);
    assert_int_equal(tb_dns_next(&d, &r), 1);
    assert_string_equal(r.name, "app.test");
    assert_int_equal(tb_dns_next(&d, &r), 0);
    free(a.p);
}

static void
test_dns_tells_errors(void **state)
{
    static const struct {
        const char *name;
        int error;
    } all[] = { { "nxdomain", -TB_ENXDOMAIN },
                { "nodata", -TB_ENODATA },
                { "refused", -TB_EREFUSED } };
    struct tb_dns_reader d;

    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        struct answer a = answer_of(all[i].name);

        assert_int_equal(tb_dns_open(&d, TB_DNS_A, a.p, a.n), all[i].error);
        free(a.p);
    }
}

/* Of an answer that is cut off anywhere no record is made up. */
static void
test_dns_refuses_every_beginning(void **state)
{
    struct answer a = answer_of("alias");

    (void)state;
    for (size_t n = 0; n < a.n; n++) {
        struct tb_dns_reader d;
        struct tb_dns_record r;
        uint8_t *part = malloc(n + 1);
        int rc;

        assert_non_null(part);
        memcpy(part, a.p, n);
        part = realloc(part, n ? n : 1);
        rc = tb_dns_open(&d, TB_DNS_A, part, n);
        while (rc == 0 && (rc = tb_dns_next(&d, &r)) == 1)
            rc = 0;
        assert_int_equal(rc, -TB_EPROTO);
        free(part);
    }
    free(a.p);
}

/* A name that points at itself, or out of the message. */
static void
test_dns_follows_no_loop(void **state)
{
    uint8_t loop[] = { 0,  1, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0,    0xc0,
                       12, 0, 12,   0, 1, 0, 0, 0, 1, 0, 2, 0xc0, 12 };
    struct tb_dns_reader d;
    struct tb_dns_record r;

    (void)state;
    assert_int_equal(tb_dns_open(&d, TB_DNS_PTR, loop, sizeof(loop)), 0);
    assert_int_equal(tb_dns_next(&d, &r), -TB_EPROTO);
    loop[12] = 0xff; /* far behind the end */
    assert_int_equal(tb_dns_open(&d, TB_DNS_PTR, loop, sizeof(loop)), 0);
    assert_int_equal(tb_dns_next(&d, &r), -TB_EPROTO);
}

static void
test_dns_reverses_addresses(void **state)
{
    char name[TB_DNS_NAME_MAX];

    (void)state;
    assert_true(tb_dns_reverse("10.0.0.5", name));
    assert_string_equal(name, "5.0.0.10.in-addr.arpa");
    assert_true(tb_dns_reverse("fd00::a5", name));
    assert_string_equal(name, "5.a.0.0.0.0.0.0.0.0.0.0.0.0.0.0."
                              "0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa");
    assert_false(tb_dns_reverse("app.test", name));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dns_reads_addresses),
        cmocka_unit_test(test_dns_reads_names),
        cmocka_unit_test(test_dns_tells_errors),
        cmocka_unit_test(test_dns_refuses_every_beginning),
        cmocka_unit_test(test_dns_follows_no_loop),
        cmocka_unit_test(test_dns_reverses_addresses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
