/* fuzz_dns.c - any answer of a name server; the first byte is the type that
 * was asked for. Names come out as text of a bounded length. */
#include <assert.h>
#include <string.h>

#include "dist/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static const enum tb_dns_type types[] = { TB_DNS_A, TB_DNS_AAAA, TB_DNS_PTR,
                                              TB_DNS_SRV };
    struct tb_dns_reader d;
    struct tb_dns_record r;
    unsigned records = 0;
    enum tb_dns_type type = TB_DNS_A;
    int rc;

    if (n < 1)
        return 0;
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
        if (p[0] == (uint8_t)types[i])
            type = types[i];
    rc = tb_dns_open(&d, type, p + 1, n - 1);
    assert(rc <= 0);
    while (rc == 0 && tb_dns_next(&d, &r) == 1) {
        size_t len = strnlen(r.name, sizeof(r.name));

        assert(len < sizeof(r.name));
        assert((type == TB_DNS_SRV || type == TB_DNS_PTR) == (len > 0));
        assert(++records <= 65535);
    }
    return 0;
}
