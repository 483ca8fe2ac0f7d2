/* tls_options.h - the options of TLS distribution, from where erl takes them.
 */
#ifndef TB_DAEMON_TLS_OPTIONS_H
#define TB_DAEMON_TLS_OPTIONS_H

#include "daemon/settings.h"

/* tb_tls_wanted - whether proto_dist is one over TLS.
 * tb_tls_read - certificates and all, where it is; else *out is NULL. Returns
 * 0, or -TB_EBADARG with lines appended to errors: options that are not known,
 * wrong values, files that cannot be used. Ownership: *out is the caller's. */
bool tb_tls_wanted(const struct tb_settings *s);
int tb_tls_read(const struct tb_settings *s, struct tb_tls **out,
                struct tb_wr *errors);

#endif
