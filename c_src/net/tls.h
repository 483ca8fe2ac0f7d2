/* tls.h - between tls_context.c, what a node's TLS is configured with, and
 * tls.c, one connection. */
#ifndef TB_NET_TLS_H
#define TB_NET_TLS_H

#include <openssl/ssl.h>

#include "tiebeam.h"

#define TB_TLS_PLAIN (64u << 10) /* decrypted at once, shared by all */

struct tb_tls {
    SSL_CTX *server, *client; /* owned */
    char *server_name;        /* owned; NULL: the host of the node dialled */
    uint8_t plain[TB_TLS_PLAIN];
};

/* tb_tls_reason - the oldest error of OpenSSL's queue, which is emptied. */
void tb_tls_reason(char *out, size_t n);

#endif
