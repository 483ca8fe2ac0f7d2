/* dflags.h - capability flags of the handshake, one row each.
 * Source: erl_dist_protocol, "Distribution Flags". */
#ifndef TB_DIST_DFLAGS_H
#define TB_DIST_DFLAGS_H

#include <stdint.h>

/* clang-format off */
/* X(name, bit, use): '-' not announced, '+' announced, 'M' announced and
 * mandatory for a peer, 'D' announced and implied by MANDATORY_25_DIGEST too */
#define TB_DFLAGS(X) \
    X(PUBLISHED,            0, '-') /* a visible node */                       \
    X(ATOM_CACHE,           1, '-') /* obsolete */                             \
    X(EXTENDED_REFERENCES,  2, 'M')                                            \
    X(DIST_MONITOR,         3, '+')                                            \
    X(FUN_TAGS,             4, 'D')                                            \
    X(DIST_MONITOR_NAME,    5, '+')                                            \
    X(HIDDEN_ATOM_CACHE,    6, '-') /* obsolete */                             \
    X(NEW_FUN_TAGS,         7, 'M')                                            \
    X(EXTENDED_PIDS_PORTS,  8, 'M')                                            \
    X(EXPORT_PTR_TAG,       9, 'D')                                            \
    X(BIT_BINARIES,        10, 'D')                                            \
    X(NEW_FLOATS,          11, 'D')                                            \
    X(UNICODE_IO,          12, '+')                                            \
    X(DIST_HDR_ATOM_CACHE, 13, '+') /* headers of atoms; control.h */           \
    X(SMALL_ATOM_TAGS,     14, '+')                                            \
    X(UTF8_ATOMS,          16, 'M')                                            \
    X(MAP_TAG,             17, 'D')                                            \
    X(BIG_CREATION,        18, 'M')                                            \
    X(SEND_SENDER,         19, '+')                                            \
    X(BIG_SEQTRACE_LABELS, 20, '+')                                            \
    X(EXIT_PAYLOAD,        22, '+')                                            \
    X(FRAGMENTS,           23, '-')                                            \
    X(HANDSHAKE_23,        24, 'M')                                            \
    X(UNLINK_ID,           25, '+')                                            \
    X(MANDATORY_25_DIGEST, 26, '+')                                            \
    X(SPAWN,               32, '+')                                            \
    X(NAME_ME,             33, '-')                                            \
    X(V4_NC,               34, '+')                                            \
    X(ALIAS,               35, '+')                                            \
    X(ALTACT_SIG,          37, '+') /* OTP 28 */
/* clang-format on */

enum {
#define X(name, bit, use) DFLAG_BIT_##name = (bit),
    TB_DFLAGS(X)
#undef X
};

#define TB_DFLAG(name) (UINT64_C(1) << DFLAG_BIT_##name)

/* What we announce, what a peer must have, what the digest stands for. */
#define X_OURS(name, bit, use) | ((use) != '-' ? TB_DFLAG(name) : 0)
#define X_MUST(name, bit, use) | ((use) == 'M' ? TB_DFLAG(name) : 0)
#define X_DIGEST(name, bit, use)                                               \
    | ((use) == 'M' || (use) == 'D' ? TB_DFLAG(name) : 0)
#define TB_DFLAGS_OURS      (UINT64_C(0) TB_DFLAGS(X_OURS))
#define TB_DFLAGS_MANDATORY (UINT64_C(0) TB_DFLAGS(X_MUST))
#define TB_DFLAGS_DIGEST    (UINT64_C(0) TB_DFLAGS(X_DIGEST))

#endif
