/* etf.h - tags of the external term format (erl_ext_dist, "External Term
 * Format"); the names are the specification's. */
#ifndef TB_TERM_ETF_H
#define TB_TERM_ETF_H

/* clang-format off */
enum tb_tag {
    ETF_VERSION         = 131,
    ETF_SMALL_INTEGER   = 97,  /* u8 */
    ETF_INTEGER         = 98,  /* i32 */
    ETF_SMALL_BIG       = 110, /* n u8, sign u8, n bytes, least first */
    ETF_LARGE_BIG       = 111, /* n u32, sign u8, n bytes */
    ETF_NEW_FLOAT       = 70,  /* IEEE double */
    ETF_FLOAT           = 99,  /* 31 bytes of text; accepted, never sent */
    ETF_SMALL_ATOM_UTF8 = 119, /* n u8, bytes */
    ETF_ATOM_UTF8       = 118, /* n u16, bytes */
    ETF_SMALL_ATOM      = 115, /* n u8, Latin-1; accepted, never sent */
    ETF_ATOM            = 100, /* n u16, Latin-1; accepted, never sent */
    ETF_ATOM_CACHE_REF  = 82,  /* u8: of the table of its message; expand.c */
    ETF_SMALL_TUPLE     = 104, /* n u8, terms */
    ETF_LARGE_TUPLE     = 105, /* n u32, terms */
    ETF_NIL             = 106,
    ETF_STRING          = 107, /* n u16, bytes: a list of 0..255 */
    ETF_LIST            = 108, /* n u32, terms, tail */
    ETF_MAP             = 116, /* n u32, pairs */
    ETF_BINARY          = 109, /* n u32, bytes */
    ETF_BIT_BINARY      = 77,  /* n u32, bits u8, bytes */
    ETF_NEW_PID         = 88,  /* node, id u32, serial u32, creation u32 */
    ETF_PID             = 103, /* creation u8; accepted, never sent */
    ETF_NEW_PORT        = 89,  /* node, id u32, creation u32 */
    ETF_V4_PORT         = 120, /* node, id u64, creation u32 */
    ETF_PORT            = 102, /* creation u8; accepted, never sent */
    ETF_NEWER_REFERENCE = 90,  /* n u16, node, creation u32, n * u32 */
    ETF_NEW_REFERENCE   = 114, /* creation u8; accepted, never sent */
    ETF_REFERENCE       = 101, /* node, id u32, creation u8; likewise */
    ETF_EXPORT          = 113, /* module, function, arity */
    ETF_NEW_FUN         = 112, /* size u32, arity u8, uniq[16], index u32, ... */
    ETF_RECORD          = 67   /* OTP 29: nfields u32, flags u8, atoms, terms */
};
/* clang-format on */

#endif
