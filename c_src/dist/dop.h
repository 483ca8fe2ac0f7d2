/* dop.h - control messages, one row each: the protocol document's table in the
 * term notation. Source: erl_dist_protocol, "Protocol between Connected
 * Nodes".
 *
 * TT rows carry a sequential-trace token, which is dropped. Only pids that
 * must be of the peer or of this node are read as such; what merely passes
 * through stays a term. */
#ifndef TB_DIST_DOP_H
#define TB_DIST_DOP_H

enum { TB_PAYLOAD_NO, TB_PAYLOAD };

/* clang-format off */
/* X(name, value, the control tuple behind the number, payload) */
#define TB_DOPS(X) \
    X(LINK,                      1, "From:pid, To:pid",                  NO)   \
    X(SEND,                      2, "_, To:pid",                         YES)  \
    X(EXIT,                      3, "From:pid, To:pid, Reason",          NO)   \
    X(UNLINK,                    4, "From:pid, To:pid",                  NO)   \
    X(REG_SEND,                  6, "From, _, To:atom",                  YES)  \
    X(GROUP_LEADER,              7, "From, To:pid",                      NO)   \
    X(EXIT2,                     8, "From:pid, To:pid, Reason",          NO)   \
    X(SEND_TT,                  12, "_, To:pid, _",                      YES)  \
    X(EXIT_TT,                  13, "From:pid, To:pid, _, Reason",       NO)   \
    X(REG_SEND_TT,              16, "From, _, To:atom, _",               YES)  \
    X(EXIT2_TT,                 18, "From:pid, To:pid, _, Reason",       NO)   \
    X(MONITOR_P,                19, "From:pid, To, Ref:ref",             NO)   \
    X(DEMONITOR_P,              20, "From:pid, To, Ref:ref",             NO)   \
    X(MONITOR_P_EXIT,           21, "From, To:pid, Ref:ref, Reason",     NO)   \
    X(SEND_SENDER,              22, "From, To:pid",                      YES)  \
    X(SEND_SENDER_TT,           23, "From, To:pid, _",                   YES)  \
    X(PAYLOAD_EXIT,             24, "From:pid, To:pid",                  YES)  \
    X(PAYLOAD_EXIT_TT,          25, "From:pid, To:pid, _",               YES)  \
    X(PAYLOAD_EXIT2,            26, "From:pid, To:pid",                  YES)  \
    X(PAYLOAD_EXIT2_TT,         27, "From:pid, To:pid, _",               YES)  \
    X(PAYLOAD_MONITOR_P_EXIT,   28, "From, To:pid, Ref:ref",             YES)  \
    X(SPAWN_REQUEST,            29, "ReqId:ref, From:pid, GL, MFA:tuple, Opts:list",        YES) \
    X(SPAWN_REQUEST_TT,         30, "ReqId:ref, From:pid, GL, MFA:tuple, Opts:list, _",     YES) \
    X(SPAWN_REPLY,              31, "ReqId:ref, To:pid, Flags:int, Result",                 NO)  \
    X(SPAWN_REPLY_TT,           32, "ReqId:ref, To:pid, Flags:int, Result, _",              NO)  \
    X(ALIAS_SEND,               33, "From, Alias:ref",                   YES)  \
    X(ALIAS_SEND_TT,            34, "From, Alias:ref, _",                YES)  \
    X(UNLINK_ID,                35, "Id, From:pid, To:pid",              NO)   \
    X(UNLINK_ID_ACK,            36, "Id, From:pid, To:pid",              NO)   \
    X(ALTACT_SIG_SEND,          37, "Flags:int, From:pid, To",           YES)
/* clang-format on */

enum tb_dop {
#define X(name, value, pattern, payload) DOP_##name = (value),
    TB_DOPS(X)
#undef X
        DOP_LAST = DOP_ALTACT_SIG_SEND
};

/* ALTACT_SIG_SEND flags; TOKEN adds a fifth element. */
enum {
    DOP_ALTACT_SIG_FLG_PRIO = 1,
    DOP_ALTACT_SIG_FLG_TOKEN = 2,
    DOP_ALTACT_SIG_FLG_ALIAS = 4,
    DOP_ALTACT_SIG_FLG_NAME = 8,
    DOP_ALTACT_SIG_FLG_EXIT = 16
};

/* Flags of SPAWN_REPLY. */
enum { DOP_SPAWN_LINK = 1, DOP_SPAWN_MONITOR = 2 };

#endif
