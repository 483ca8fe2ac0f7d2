/* md5.h - MD5, which the distribution handshake is made of; fit for nothing
 * else. */
#ifndef TB_BASE_MD5_H
#define TB_BASE_MD5_H

#include <stddef.h>
#include <stdint.h>

#define TB_MD5_BYTES 16

/* tb_md5 - the digest of n bytes. */
void tb_md5(const void *p, size_t n, uint8_t out[TB_MD5_BYTES]);

#endif
