/* limits.h - how far what peers send can make things grow, with the reasons. */
#ifndef TB_BASE_LIMITS_H
#define TB_BASE_LIMITS_H

/* clang-format off */

/* --- terms */
#define TB_MAX_ATOM_CHARS   255u             /* of the BEAM: more is corrupt */
#define TB_MAX_NODE_BYTES   255u             /* epmd and ei take no more */
#define TB_MAX_MAP_DEPTH    (1u << 20)       /* maps in maps, and parts of keys */
#define TB_MAX_OPS          192              /* of one pattern; ours are short */
#define TB_MAX_NESTING      64               /* of a pattern, and of text parsed */
#define TB_MAX_PRINT_DEPTH  256              /* printing goes "..." beyond it */

/* --- node names kept: those of peers that proved the cookie come first */
#define TB_MAX_ATOMS         65536u
#define TB_MAX_ATOMS_FOREIGN 32768u          /* seen inside messages only */

/* --- frames */
#define TB_MAX_FRAME        (128u << 20)     /* received; option max_frame */
#define TB_MAX_UNFINISHED   (192u << 20)     /* parts of frames, all peers */
#define TB_MAX_HANDSHAKE    4096u            /* a name and change; BEAM: 64 KiB */
#define TB_MAX_ATOM_CACHE   (5u << 20)       /* text of 2048 atoms of 1020 bytes,
                                                and as much that they replaced */
#define TB_MAX_ATOM_CACHES  (512u << 20)     /* all peers; a BEAM's: some 64 KiB */
#define TB_READ_CHUNK       (256u << 10)     /* one read, shared by all peers */
#define TB_READ_TURN        (1u << 20)       /* of one peer, then the others */

/* --- connections */
#define TB_MAX_PENDING      1024             /* in the handshake, inbound */
#define TB_PENDING_MS       100              /* of it; then others may need the
                                                place */
#define TB_MAX_DIALS        256              /* on their way; others wait */
#define TB_MAX_ACCEPTS      64               /* in one turn of the loop */
#define TB_MAX_CONNECTIONS  65536u
#define TB_KEEP_FILES       128u             /* descriptors for what is none */
#define TB_MAX_QUEUE        (64u << 20)      /* to one peer; option max_queue */
#define TB_QUEUE_SLACK      (1u << 20)       /* behind one larger than that:
                                                small ones, while it leaves */
#define TB_MAX_QUEUED       (256u << 20)     /* to all; or 2 * max_queue */
#define TB_QUEUE_HIGH       (4u << 20)       /* above: we stop reading from it */
#define TB_MAX_SIGNALS      262144u          /* monitors and links of one peer */
#define TB_MAX_LINKS        65536u           /* of them links: each is a message
                                                when the peer goes */
#define TB_MAX_ONGOING      65536u           /* spawned by one peer, running */

/* --- processes: pids that OTP 23 accepts (15 bits of id, 13 of serial) */
#define TB_MAX_PID_ID       32767u
#define TB_MAX_PID_SERIAL   8191u
#define TB_MAX_MAILBOX      (64u << 20)      /* bytes waiting while suspended */
#define TB_MAIL_HIGH        (16u << 20)      /* of all that run; above: no peer
                                                is read from */
#define TB_MAX_CALLS        65536u           /* of one process, under way */
#define TB_MAX_TAG          1024u            /* of a caller: it may be kept */
#define TB_MAX_SYS_LOG      100              /* events of sys:log/2 */
#define TB_MAX_LOGGED_TERM  4096u            /* a longer one is left out of it */

/* --- epmd */
#define TB_MAX_EPMD_REPLY   (256u << 10)     /* names of one host */

/* --- DNS */
#define TB_MAX_DNS_RECORDS  8192u            /* of one answer; TCP holds 64 KiB */

/* --- text */
#define TB_MAX_LOG_LINE     2048
#define TB_LOG_BURST        10               /* of one event id and node or
                                                address in a second */
#define TB_LOG_BURST_ALL    100              /* of one event id, whoever */
#define TB_LOG_ABOUTS       256              /* those that are told apart */
#define TB_LOG_ABOUT_BYTES  96               /* of a name; more are not */
#define TB_LOG_IDS          128              /* event ids that are told apart */

/* clang-format on */
#endif
