/* test_md5.c - MD5 against the vectors of its RFC, and around the lengths at
 * which a block is full: those figures are erlang:md5/1's. */
#include <stdio.h>
#include <string.h>

#include "base/md5.h"
#include "tb_test.h"

static const char *
md5_hex(const void *p, size_t n)
{
    static char hex[2 * TB_MD5_BYTES + 1];
    uint8_t digest[TB_MD5_BYTES];

    tb_md5(p, n, digest);
    for (size_t i = 0; i < TB_MD5_BYTES; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    return hex;
}

static void
test_md5_of_the_rfc(void **state)
{
    static const char *const vectors[][2] = {
        { "", "d41d8cd98f00b204e9800998ecf8427e" },
        { "a", "0cc175b9c0f1b6a831c399e269772661" },
        { "abc", "900150983cd24fb0d6963f7d28e17f72" },
        { "message digest", "f96b697d7cb7938d525a2f31aaf161d0" },
        { "abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b" },
        { "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
          "d174ab98d277d9f5a5611c2c9f419d9f" },
        { "1234567890123456789012345678901234567890123456789012345678901234567"
          "8901234567890",
          "57edf4a22be3c955ac49da2e2107b67a" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
        assert_string_equal(md5_hex(vectors[i][0], strlen(vectors[i][0])),
                            vectors[i][1]);
}

static void
test_md5_where_blocks_are_full(void **state)
{
    /* of so many x */
    static const struct {
        size_t n;
        const char *hex;
    } lengths[] = {
        { 55, "04364420e25c512fd958a70738aa8f72" },
        { 56, "668a72d5ba17f08e62dabcafad6db14b" },
        { 57, "693037871c4a9d3d8685018905cb530a" },
        { 63, "7dc2ca208106a2f703567bdff99d8981" },
        { 64, "c1bb4f81d892b2d57947682aeb252456" },
        { 65, "1bc932052302d074bdec39795fe00cf6" },
        { 119, "ab347a5f68c8a443cfcddc633f12c24f" },
        { 120, "fb98667f98096de92620b64f46e1c5b5" },
        { 127, "a0b28c1da68705c2ff883fe279b72753" },
        { 128, "d69cb61a6ee87200676eb0d4b90edbcb" },
        { 129, "3926841d393c00c3f36260e5ace10dc1" },
        { 255, "cb3ead3ffb3d928128c57a88ddc023c9" },
        { 1000, "398533d48111e9f664b1f64cb10c4b63" },
    };
    char text[1000];

    (void)state;
    memset(text, 'x', sizeof(text));
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
        assert_string_equal(md5_hex(text, lengths[i].n), lengths[i].hex);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_md5_of_the_rfc),
        cmocka_unit_test(test_md5_where_blocks_are_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
