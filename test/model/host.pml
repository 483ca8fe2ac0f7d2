#ifndef NH
#define NH 3
#endif
#define NT 2
#define NI 4             /* incarnations: one of each host, and one that came back empty */
#define NONE 9

#ifndef CRASHES
#define CRASHES 0        /* a host, with or without the tiebeam node beside it */
#endif
#ifndef TCRASHES
#define TCRASHES 0       /* a tiebeam node alone */
#endif
#ifndef CUTS
#define CUTS 0           /* one link, one host, or one host with its tiebeam node */
#endif
#ifndef PAUSES
#define PAUSES 0         /* a lease that runs out */
#endif
#ifndef MOVES
#define MOVES 0
#endif
#ifndef REMOVALS
#define REMOVALS 0
#endif

#ifndef AT
#define AT 0             /* where the child is at the beginning */
#endif

/* what an entry is */
#define GONE 0
#define RUN 1
#define MOVING 2

/* commands */
#define IDLE 0
#define START 1          /* c, s */
#define DELETE 2         /* a: with a tombstone */
#define MOVE 3           /* a: to */
#define BURY 4
#define FORGET 5
#define BACKUP 6         /* a: host */
#define DROP 7           /* a: incarnation */

typedef Entry {
    byte st;
    byte to;
    byte c;              /* starts */
    byte s               /* the incarnations it stands in for, a set */
};
typedef Copy {
    bit ok;
    byte seq;
    Entry e
};
typedef View {           /* of one incarnation, as a tiebeam node remembers it */
    bit known;
    bit ep;              /* its epoch is still the host's */
    bit tomb;
    byte seq;
    byte own;
    byte bk;
    byte hs;             /* all that entries here ever stood in for */
    Entry e
};
typedef Cmd {
    byte k;
    byte i;
    byte a;
    byte c;
    byte s;
    bit ok
};

/* hosts */
bit up[NH] = 1;
byte cur[NH];
Entry ent[NH];
bit tomb[NH];
byte bk[NH] = NONE;
byte seq[NH];
byte hs[NH];
byte own[NH] = NONE;
byte xh = NONE;          /* whose second incarnation is NH */
Copy cp[12];             /* host, incarnation */
bit hatt[6];             /* tiebeam node, host */
bit hrdy[6];
bit hexp[6];
/* links that are cut */
bit lt[6];
bit lh[9];

/* tiebeam nodes */
bit tup[NT] = 1;
bit att[6];
byte tI[6] = NONE;
bit dn[6];
View vw[8];
Cmd cmd[NT];
bit wt[NT];
bit ps[NT];              /* a caller waits for its start */
bit rm[NT];              /* a caller waits for its removal */

/* what has happened */
bit started;
bit removing;
bit ack_start;
bit ack_rm;
byte crashes = CRASHES;
byte tcrashes = TCRASHES;
byte cuts = CUTS;
byte pauses = PAUSES;
byte moves = MOVES;
byte removals = REMOVALS;

hidden byte x;
hidden byte y;
hidden byte z;

#define TH(t, h) ((t) * NH + (h))
#define TI(t, i) ((t) * NI + (i))
#define BI(b, i) ((b) * NI + (i))
#define HOST(i) ((i) < NH -> (i) : xh)
#define V(t, h) vw[TI(t, tI[TH(t, h)])]
#define A(t, h) att[TH(t, h)]
#define BIT(i) (1 << (i))

/* what is connected, in truth */
#define LT(t, h) (!lt[TH(t, h)] && tup[t] && up[h])
#define LH(a, b) ((a) != (b) && !lh[(a) * NH + (b)] && up[a] && up[b])

/* a tiebeam node that may act */
#define NAMED(t, h) ((A(t, h) && V(t, h).own == t) || dn[TH(t, h)])
#ifdef NO_VIEW
#define ACTS(t) (tup[t] && !wt[t] && (!A(t, 0) || V(t, 0).own == t) && (!A(t, 1) || V(t, 1).own == t) && \
    (!A(t, 2) || V(t, 2).own == t) && (A(t, 0) || A(t, 1) || A(t, 2)))
#define READY(t) (1)
#else
#define ACTS(t) (tup[t] && !wt[t] && NAMED(t, 0) && NAMED(t, 1) && NAMED(t, 2) && (A(t, 0) || A(t, 1) || A(t, 2)))
#define READY(t) ((A(t, 0) || dn[TH(t, 0)]) && (A(t, 1) || dn[TH(t, 1)]) && (A(t, 2) || dn[TH(t, 2)]))
#endif

/* an attached host that sees h */
#define SEEN(t, h) ((A(t, 0) && LH(0, h)) || (A(t, 1) && LH(1, h)) || (A(t, 2) && LH(2, h)))

/* entries in the view of a tiebeam node */
#define HAS(t, h) (A(t, h) && V(t, h).e.st != GONE)
#define RUNS(t, h) (A(t, h) && V(t, h).e.st == RUN)
#define ANY(t) (HAS(t, 0) || HAS(t, 1) || HAS(t, 2))
#define TOMB(t) ((A(t, 0) && V(t, 0).tomb) || (A(t, 1) && V(t, 1).tomb) || (A(t, 2) && V(t, 2).tomb))
#ifdef TWO_HOSTS
#define THIRD 1
#else
#define THIRD 0
#endif
#ifdef TWO_HOSTS         /* the third is not in the set */
#define ALL(t) (A(t, 0) && A(t, 1))
#else
#define ALL(t) (A(t, 0) && A(t, 1) && A(t, 2))
#endif
#define ATTINC(t, i) (A(t, 0) && tI[TH(t, 0)] == i || A(t, 1) && tI[TH(t, 1)] == i || A(t, 2) && tI[TH(t, 2)] == i)
#define ATTSET(t) ((A(t, 0) -> BIT(tI[TH(t, 0)]) : 0) | (A(t, 1) -> BIT(tI[TH(t, 1)]) : 0) | (A(t, 2) -> BIT(tI[TH(t, 2)]) : 0))

/* what h has is known to its backup too, or there can be none */
#define CANBK(t, h) ((A(t, 0) && LH(0, h)) || (A(t, 1) && LH(1, h)) || (A(t, 2) && LH(2, h)))
#define BK(t, h) V(t, h).bk
#define COPIED(t, h) (BK(t, h) != NONE && A(t, BK(t, h)) && cp[BI(BK(t, h), tI[TH(t, h)])].ok && \
    cp[BI(BK(t, h), tI[TH(t, h)])].seq >= V(t, h).seq)
#define TWO(t, h) (A(t, h) && ((BK(t, h) == NONE && !CANBK(t, h)) || COPIED(t, h)))
#ifdef NO_BACKUP
#define ACK2(t, h) (A(t, h))
#else
#define ACK2(t, h) TWO(t, h)
#endif
#ifdef NO_TWO
#define DEL2(t, h) (A(t, h))
#else
#define DEL2(t, h) TWO(t, h)
#endif
#define SYNCED(t, h) (!A(t, h) || TWO(t, h))

/* a copy of an attached host that is held by another than its backup */
#define STRAY(t, b, h) (b != h && A(t, b) && A(t, h) && cp[BI(b, tI[TH(t, h)])].ok && BK(t, h) != b)
#define STRAYS(t) (STRAY(t, 0, 1) || STRAY(t, 0, 2) || STRAY(t, 1, 0) || STRAY(t, 1, 2) || STRAY(t, 2, 0) || STRAY(t, 2, 1))
/* a copy that holds the key, at an attached host */
#define HOLDS(t, b, i) (A(t, b) && cp[BI(b, i)].ok && cp[BI(b, i)].e.st != GONE)
#define HOLDS1(t, b) (HOLDS(t, b, 0) || HOLDS(t, b, 1) || HOLDS(t, b, 2) || HOLDS(t, b, 3))
#define HOLDSANY(t) (HOLDS1(t, 0) || HOLDS1(t, 1) || HOLDS1(t, 2))

/* an incarnation that is lost, and who knows most of it */
#define LOST(t, i) (HOST(i) != NONE && !ATTINC(t, i) && (dn[TH(t, HOST(i))] || A(t, HOST(i))))
#define MS(t, i) (vw[TI(t, i)].known -> vw[TI(t, i)].seq + 1 : 0)
#define CS(t, b, i) (A(t, b) && cp[BI(b, i)].ok -> cp[BI(b, i)].seq + 1 : 0)
#ifdef NO_SEQ
#define BESTM(t, i) (MS(t, i) > 0)
#define BESTC(t, b, i) (CS(t, b, i) > 0)
#else
#define BESTM(t, i) (MS(t, i) > 0 && MS(t, i) >= CS(t, 0, i) && MS(t, i) >= CS(t, 1, i) && MS(t, i) >= CS(t, 2, i))
#define BESTC(t, b, i) (CS(t, b, i) > 0 && CS(t, b, i) >= MS(t, i) && CS(t, b, i) >= CS(t, 0, i) && \
    CS(t, b, i) >= CS(t, 1, i) && CS(t, b, i) >= CS(t, 2, i))
#endif
#define LOSTKEY(t, i) ((BESTM(t, i) && vw[TI(t, i)].e.st != GONE) || (BESTC(t, 0, i) && cp[BI(0, i)].e.st != GONE) || \
    (BESTC(t, 1, i) && cp[BI(1, i)].e.st != GONE) || (BESTC(t, 2, i) && cp[BI(2, i)].e.st != GONE))
#define LOSTANY(t) ((LOST(t, 0) && LOSTKEY(t, 0)) || (LOST(t, 1) && LOSTKEY(t, 1)) || (LOST(t, 2) && LOSTKEY(t, 2)) || \
    (LOST(t, 3) && LOSTKEY(t, 3)))
#define LOW(t) (A(t, 0) -> 0 : (A(t, 1) -> 1 : 2))

/* ------------------------------------------------------------------ hosts */

inline stale(h) {
    vw[TI(0, cur[h])].ep = 0;
    vw[TI(1, cur[h])].ep = 0;
    if :: cmd[0].i == cur[h] -> cmd[0].ok = 0 :: else fi;
    if :: cmd[1].i == cur[h] -> cmd[1].ok = 0 :: else fi
}

inline elect(h) {
    z = (hatt[TH(0, h)] && hrdy[TH(0, h)] && !hexp[TH(0, h)] -> 0 :
        (hatt[TH(1, h)] && hrdy[TH(1, h)] && !hexp[TH(1, h)] -> 1 : NONE));
    if :: z != own[h] -> own[h] = z; stale(h) :: else fi
}

#define CLEAR(e) e.st = GONE; e.to = 0; e.c = 0; e.s = 0

inline apply(h, t) {
    if
    :: cmd[t].k == START ->
        if
        :: ent[h].st != RUN ->
            ent[h].st = RUN; ent[h].to = 0; ent[h].c = cmd[t].c; ent[h].s = cmd[t].s;
            hs[h] = hs[h] | cmd[t].s; seq[h]++
        :: else
        fi
    :: cmd[t].k == DELETE ->
        tomb[h] = tomb[h] | cmd[t].a;
        if :: ent[h].st != GONE -> CLEAR(ent[h]); seq[h]++ :: else fi
    :: cmd[t].k == MOVE ->
        if :: ent[h].st == RUN -> ent[h].st = MOVING; ent[h].to = cmd[t].a; seq[h]++ :: else fi
    :: cmd[t].k == BURY -> tomb[h] = 1
    :: cmd[t].k == FORGET -> tomb[h] = 0
    :: cmd[t].k == BACKUP -> bk[h] = cmd[t].a
    :: cmd[t].k == DROP ->
        cp[BI(h, cmd[t].a)].ok = 0; cp[BI(h, cmd[t].a)].seq = 0; CLEAR(cp[BI(h, cmd[t].a)].e)
    fi
}

/* ---------------------------------------------------------------- messages */

inline look(t, h) {
    x = TI(t, cur[h]);
    vw[x].known = 1; vw[x].ep = 1; vw[x].tomb = tomb[h]; vw[x].seq = seq[h];
    vw[x].own = own[h]; vw[x].bk = bk[h]; vw[x].hs = hs[h];
    vw[x].e.st = ent[h].st; vw[x].e.to = ent[h].to; vw[x].e.c = ent[h].c; vw[x].e.s = ent[h].s;
    /* what this host stood in for is dealt with */
    settle(t, 0, h); settle(t, 1, h); settle(t, 2, h); settle(t, 3, h)
}

inline unknow(t, i) {
    y = TI(t, i);
    vw[y].known = 0; vw[y].ep = 0; vw[y].tomb = 0; vw[y].seq = 0; vw[y].own = 0; vw[y].bk = 0; vw[y].hs = 0;
    CLEAR(vw[y].e)
}

inline settle(t, i, h) {
    if
    :: (hs[h] & BIT(i)) && !ATTINC(t, i) -> unknow(t, i)
    :: else
    fi
}

inline gap(t, i) {
    if
    :: !ATTINC(t, i) -> unknow(t, i)
    :: else
    fi
}

#define DIFFERS(t, h) (vw[TI(t, cur[h])].seq != seq[h] || vw[TI(t, cur[h])].own != own[h] || !vw[TI(t, cur[h])].ep || \
    vw[TI(t, cur[h])].bk != bk[h] || vw[TI(t, cur[h])].tomb != tomb[h])

#define ATTACH(t, h) \
    :: d_step { LT(t, h) && !A(t, h) && !(cmd[t].k && HOST(cmd[t].i) == h) -> \
        hatt[TH(t, h)] = 1; hrdy[TH(t, h)] = 0; hexp[TH(t, h)] = 0; \
        A(t, h) = 1; dn[TH(t, h)] = 0; \
        z = (tI[TH(t, h)] == cur[h]); \
        NOINC(t, h) \
        tI[TH(t, h)] = cur[h]; \
        if :: z -> GAPS(t) :: else fi; \
        elect(h); look(t, h); x = 0 }

#ifdef NO_GAP
#define GAPS(t) skip
#else
#define GAPS(t) gap(t, 0); gap(t, 1); gap(t, 2); gap(t, 3)
#endif
#ifdef NO_INC
#define NOINC(t, h) if :: tI[TH(t, h)] != NONE && tI[TH(t, h)] != cur[h] -> unknow(t, tI[TH(t, h)]); \
    x = 0; do :: x < NH -> cp[BI(x, h)].ok = 0; cp[BI(x, h)].seq = 0; CLEAR(cp[BI(x, h)].e); x++ :: else -> break od :: else fi;
#else
#define NOINC(t, h)
#endif

#define EVENTS(t, h) \
    :: d_step { LT(t, h) && A(t, h) && tI[TH(t, h)] == cur[h] && \
        (DIFFERS(t, h) || (wt[t] && cmd[t].k == IDLE && cmd[t].i == cur[h])) -> \
        look(t, h); \
        if :: wt[t] && cmd[t].k == IDLE && cmd[t].i == cur[h] -> wt[t] = 0; cmd[t].i = 0 :: else fi; x = 0 }

#define LEASE(t, h) \
    :: d_step { LT(t, h) && A(t, h) && tI[TH(t, h)] == cur[h] && hatt[TH(t, h)] && \
        (hrdy[TH(t, h)] != READY(t) || hexp[TH(t, h)]) -> \
        hrdy[TH(t, h)] = READY(t); hexp[TH(t, h)] = 0; elect(h); x = 0 }

#define EXPIRE(t, h) \
    :: d_step { pauses > 0 && up[h] && hatt[TH(t, h)] && hrdy[TH(t, h)] && !hexp[TH(t, h)] -> \
        pauses--; hexp[TH(t, h)] = 1; elect(h); x = 0 }

#define HDOWN(t, h) \
    :: d_step { up[h] && hatt[TH(t, h)] && (lt[TH(t, h)] || !tup[t]) -> \
        hatt[TH(t, h)] = 0; hrdy[TH(t, h)] = 0; hexp[TH(t, h)] = 0; elect(h); x = 0 }

#define TDOWN(t, h) \
    :: d_step { tup[t] && A(t, h) && (lt[TH(t, h)] || !up[h] || tI[TH(t, h)] != cur[h]) -> \
        A(t, h) = 0; \
        if :: wt[t] && HOST(cmd[t].i) == h && (cmd[t].k == IDLE) -> wt[t] = 0; cmd[t].i = 0 :: else fi; x = 0 }

#ifdef NO_CONFIRM
#define CONFIRM(t, h) \
    :: d_step { tup[t] && !A(t, h) && !dn[TH(t, h)] && (lt[TH(t, h)] || !up[h]) -> dn[TH(t, h)] = 1; x = 0 }
#else
#define CONFIRM(t, h) \
    :: d_step { tup[t] && !A(t, h) && !dn[TH(t, h)] && (lt[TH(t, h)] || !up[h]) && !SEEN(t, h) -> dn[TH(t, h)] = 1; x = 0 } \
    :: d_step { tup[t] && dn[TH(t, h)] && SEEN(t, h) -> dn[TH(t, h)] = 0; x = 0 }
#endif

/* A command arrives, maybe late; it is lost only with its connection. */
#ifdef NO_EPOCH
#define VALID(t, h) (1)
#else
#define VALID(t, h) (cmd[t].ok && own[h] == t)
#endif
#define DELIVER(t) \
    :: d_step { cmd[t].k != IDLE && HOST(cmd[t].i) != NONE -> \
        x = HOST(cmd[t].i); \
        if :: up[x] && cur[x] == cmd[t].i && VALID(t, x) -> apply(x, t) :: else fi; \
        IDLED(t); x = 0 } \
    :: d_step { cmd[t].k != IDLE && (!tup[t] || lt[TH(t, HOST(cmd[t].i))] || !up[HOST(cmd[t].i)] || \
        cur[HOST(cmd[t].i)] != cmd[t].i) -> IDLED(t); x = 0 }
/* if the connection has been seen to end, there will be no outcome */
#define IDLED(t) \
    cmd[t].k = IDLE; cmd[t].a = 0; cmd[t].c = 0; cmd[t].s = 0; cmd[t].ok = 0; \
    if :: !tup[t] || !A(t, HOST(cmd[t].i)) || tI[TH(t, HOST(cmd[t].i))] != cmd[t].i -> wt[t] = 0; cmd[t].i = 0 :: else fi

#define COPYING(h, b) \
    :: d_step { LH(h, b) && bk[h] == b && (!cp[BI(b, cur[h])].ok || cp[BI(b, cur[h])].seq != seq[h]) -> \
        x = BI(b, cur[h]); \
        cp[x].ok = 1; cp[x].seq = seq[h]; \
        cp[x].e.st = ent[h].st; cp[x].e.to = ent[h].to; cp[x].e.c = ent[h].c; cp[x].e.s = ent[h].s; x = 0 }

/* ------------------------------------------------------------ what T does */

inline issue(t, h, kind, arg, starts, stands) {
    cmd[t].k = kind; cmd[t].i = tI[TH(t, h)]; cmd[t].a = arg; cmd[t].c = starts; cmd[t].s = stands;
    cmd[t].ok = V(t, h).ep;
    wt[t] = 1
}

#define CALLS(t, h) \
    :: d_step { !started && ACTS(t) && A(t, h) -> started = 1; ps[t] = 1; issue(t, h, START, 0, 1, 0); x = 0 } \
    :: d_step { ps[t] && tup[t] && RUNS(t, h) && ACK2(t, h) && ACTS(t) -> ps[t] = 0; ack_start = 1; x = 0 }

#define REMOVE(t) \
    :: d_step { removals > 0 && ack_start && ACTS(t) && ANY(t) && !rm[t] -> removals--; rm[t] = 1; removing = 1; x = 0 } \
    :: d_step { rm[t] && ACTS(t) && !ANY(t) && GRAVE(t) && SYNCED(t, 0) && SYNCED(t, 1) && SYNCED(t, 2) -> \
        rm[t] = 0; ack_rm = 1; x = 0 }
#ifdef NO_TOMB
#define GRAVE(t) (1)
#define AWAY(t) (0)
#else
#ifdef NO_DROP
#define AWAY(t) (!ALL(t))
#else
#define AWAY(t) (!ALL(t) || STRAYS(t) || LOSTANY(t))
#endif
#define GRAVE(t) (!AWAY(t) || ((!A(t, 0) || V(t, 0).tomb) && (!A(t, 1) || V(t, 1).tomb) && (!A(t, 2) || V(t, 2).tomb)))
#endif

/* somewhere else it runs, and is in two places there */
#define SAFE(t, h) ((h != 0 && RUNS(t, 0) && DEL2(t, 0)) || (h != 1 && RUNS(t, 1) && DEL2(t, 1)) || (h != 2 && RUNS(t, 2) && DEL2(t, 2)))
/* h's entry stands in for one that is attached, and all of those are safe or do not have it */
#define ORIGIN(t, h, o) (h != o && A(t, o) && (V(t, h).e.s & BIT(tI[TH(t, o)])))
#define STANDS(t, h) (ORIGIN(t, h, 0) || ORIGIN(t, h, 1) || ORIGIN(t, h, 2))
#define ORIGINSAFE(t, h, o) (!ORIGIN(t, h, o) || !HAS(t, o) || DEL2(t, o))
/* g's instance wins over h's */
#define WINS(t, g, h) (g != h && RUNS(t, g) && !STANDS(t, g) && DEL2(t, g) && \
    (V(t, g).e.c > V(t, h).e.c || (V(t, g).e.c == V(t, h).e.c && g < h)))
/* the move of h's entry has come to its end */
#define MOVED(t, g, h) (g != h && RUNS(t, g) && V(t, g).e.c > V(t, h).e.c && DEL2(t, g))
#define ARRIVED(t, h) ((h != 0 && RUNS(t, 0) && V(t, 0).e.c > V(t, h).e.c) || (h != 1 && RUNS(t, 1) && V(t, 1).e.c > V(t, h).e.c) || \
    (h != 2 && RUNS(t, 2) && V(t, 2).e.c > V(t, h).e.c))

#ifdef NO_STANDIN
#define STANDIN(t, h)
#else
#define STANDIN(t, h) \
    :: d_step { ACTS(t) && HAS(t, h) && STANDS(t, h) && \
        ORIGINSAFE(t, h, 0) && ORIGINSAFE(t, h, 1) && ORIGINSAFE(t, h, 2) -> issue(t, h, DELETE, 0, 0, 0); x = 0 }
#endif

#define TIDY(t, h) \
    /* a removal, of a caller or of one before */ \
    :: d_step { ACTS(t) && HAS(t, h) && (rm[t] || TOMB(t)) -> x = AWAY(t); issue(t, h, DELETE, x, 0, 0); x = 0 } \
    :: d_step { ACTS(t) && rm[t] && !ANY(t) && A(t, h) && AWAY(t) && !V(t, h).tomb -> issue(t, h, BURY, 0, 0, 0); x = 0 } \
    :: d_step { ACTS(t) && !rm[t] && A(t, h) && V(t, h).tomb && ALL(t) && !ANY(t) && !HOLDSANY(t) && !LOSTANY(t) -> issue(t, h, FORGET, 0, 0, 0); x = 0 } \
    /* two instances */ \
    STANDIN(t, h) \
    :: d_step { ACTS(t) && RUNS(t, h) && !STANDS(t, h) && (WINS(t, 0, h) || WINS(t, 1, h) || WINS(t, 2, h)) -> \
        issue(t, h, DELETE, 0, 0, 0); x = 0 } \
    /* a move */ \
    :: d_step { moves > 0 && ack_start && ACTS(t) && RUNS(t, h) && !rm[t] && h != 0 && A(t, 0) -> moves--; issue(t, h, MOVE, 0, 0, 0); x = 0 } \
    :: d_step { moves > 0 && ack_start && ACTS(t) && RUNS(t, h) && !rm[t] && h != 2 && A(t, 2) -> moves--; issue(t, h, MOVE, 2, 0, 0); x = 0 } \
    :: d_step { ACTS(t) && HAS(t, h) && V(t, h).e.st == MOVING && (MOVED(t, 0, h) || MOVED(t, 1, h) || MOVED(t, 2, h)) -> \
        issue(t, h, DELETE, 0, 0, 0); x = 0 } \
    :: d_step { ACTS(t) && !rm[t] && !TOMB(t) && HAS(t, h) && V(t, h).e.st == MOVING && !ARRIVED(t, h) -> \
        x = V(t, h).e.to; \
        if \
        :: A(t, x) && !HAS(t, x) -> y = x; z = V(t, h).e.c + 1; x = V(t, h).e.s; issue(t, y, START, 0, z, x) \
        :: else -> z = V(t, h).e.c + 2; x = V(t, h).e.s; issue(t, h, START, 0, z, x) \
        fi; x = 0 } \
    /* where the copies go */ \
    :: d_step { ACTS(t) && A(t, h) && !(BK(t, h) != NONE && A(t, BK(t, h)) && LH(BK(t, h), h)) && \
        (CANBK(t, h) || BK(t, h) != NONE) -> \
        x = (A(t, 0) && LH(0, h) -> 0 : (A(t, 1) && LH(1, h) -> 1 : (A(t, 2) && LH(2, h) -> 2 : NONE))); \
        issue(t, h, BACKUP, x, 0, 0); x = 0 }

#ifdef NO_DROP
#define DROPS(t, b, h)
#else
#define DROPS(t, b, h) \
    :: d_step { ACTS(t) && STRAY(t, b, h) && (TWO(t, h)) -> issue(t, b, DROP, tI[TH(t, h)], 0, 0); x = 0 }
#endif

/* an entry that has taken the place, in two places */
#define TAKEN(t) ((HAS(t, 0) && TWO(t, 0)) || (HAS(t, 1) && TWO(t, 1)) || (HAS(t, 2) && TWO(t, 2)))

#define FAILOVER(t, i) \
    :: d_step { ACTS(t) && !rm[t] && LOST(t, i) && !ANY(t) && !TOMB(t) && BESTM(t, i) && vw[TI(t, i)].e.st != GONE && \
        !(vw[TI(t, i)].e.s & ATTSET(t)) -> x = LOW(t); y = TI(t, i); \
        z = (vw[y].e.st == MOVING -> 2 : 1) + vw[y].e.c; y = vw[y].e.s | (vw[y].e.st == MOVING -> 0 : BIT(i)); issue(t, x, START, 0, z, y); x = 0 } \
    FAILOVERC(t, i, 0) FAILOVERC(t, i, 1) FAILOVERC(t, i, 2) \
    /* it has been dealt with */ \
    :: d_step { ACTS(t) && LOST(t, i) && vw[TI(t, i)].known && \
        (TAKEN(t) || TOMB(t) || !LOSTKEY(t, i)) -> unknow(t, i); x = 0 }

#define FAILOVERC(t, i, b) \
    :: d_step { ACTS(t) && !rm[t] && LOST(t, i) && !ANY(t) && !TOMB(t) && BESTC(t, b, i) && cp[BI(b, i)].e.st != GONE && \
        !(cp[BI(b, i)].e.s & ATTSET(t)) -> x = LOW(t); y = BI(b, i); \
        z = (cp[y].e.st == MOVING -> 2 : 1) + cp[y].e.c; y = cp[y].e.s | (cp[y].e.st == MOVING -> 0 : BIT(i)); issue(t, x, START, 0, z, y); x = 0 } \
    :: d_step { ACTS(t) && LOST(t, i) && A(t, b) && cp[BI(b, i)].ok && !vw[TI(t, i)].known && \
        (TAKEN(t) || TOMB(t) || !LOSTKEY(t, i)) -> issue(t, b, DROP, i, 0, 0); x = 0 }

/* ---------------------------------------------------------------- failures */

inline tdie(t) {
    tup[t] = 0; ps[t] = 0; rm[t] = 0; wt[t] = 0;
    A(t, 0) = 0; A(t, 1) = 0; A(t, 2) = 0;
    dn[TH(t, 0)] = 0; dn[TH(t, 1)] = 0; dn[TH(t, 2)] = THIRD;
    tI[TH(t, 0)] = NONE; tI[TH(t, 1)] = NONE; tI[TH(t, 2)] = NONE;
    unknow(t, 0); unknow(t, 1); unknow(t, 2); unknow(t, 3)
}

inline hdie(h) {
    up[h] = 0; xh = h; tomb[h] = 0; bk[h] = NONE; seq[h] = 0; hs[h] = 0; own[h] = NONE; CLEAR(ent[h]);
    hatt[TH(0, h)] = 0; hatt[TH(1, h)] = 0; hrdy[TH(0, h)] = 0; hrdy[TH(1, h)] = 0; hexp[TH(0, h)] = 0; hexp[TH(1, h)] = 0;
    x = 0;
    do
    :: x < NI -> cp[BI(h, x)].ok = 0; cp[BI(h, x)].seq = 0; CLEAR(cp[BI(h, x)].e); x++
    :: else -> break
    od
}

#define CRASH(h) \
    :: d_step { crashes > 0 && xh == NONE && up[h] && started -> crashes--; hdie(h); x = 0 } \
    :: d_step { crashes > 0 && xh == NONE && up[h] && started && h < NT && tup[h % NT] -> crashes--; hdie(h); tdie(h % NT); x = 0 } \
    :: d_step { !up[h] && xh == h -> up[h] = 1; cur[h] = NH; x = 0 }
#define TCRASH(t) \
    :: d_step { tcrashes > 0 && tup[t] && started -> tcrashes--; tdie(t); x = 0 } \
    :: d_step { !tup[t] && cmd[t].k == IDLE && !hatt[TH(t, 0)] && !hatt[TH(t, 1)] && !hatt[TH(t, 2)] -> tup[t] = 1; cmd[t].i = 0; x = 0 }

#define WHOLE (!(lt[0] || lt[1] || lt[2] || lt[3] || lt[4] || lt[5] || lh[1] || lh[2] || lh[5]))
#define CUTTABLE (cuts > 0 && WHOLE && started)
#define CUTTH(t, h) \
    :: d_step { CUTTABLE -> cuts--; lt[TH(t, h)] = 1; x = 0 }
#define CUTHH(a, b) \
    :: d_step { CUTTABLE -> cuts--; lh[a * NH + b] = 1; lh[b * NH + a] = 1; x = 0 }
/* a host alone, or with tiebeam node t */
#define CUTH(h, a, b) \
    :: d_step { CUTTABLE -> cuts--; lt[TH(0, h)] = 1; lt[TH(1, h)] = 1; \
        lh[h * NH + a] = 1; lh[a * NH + h] = 1; lh[h * NH + b] = 1; lh[b * NH + h] = 1; x = 0 }
#define CUTHT(t, h, a, b) \
    :: d_step { CUTTABLE -> cuts--; lt[TH(1 - t, h)] = 1; lt[TH(t, a)] = 1; lt[TH(t, b)] = 1; \
        lh[h * NH + a] = 1; lh[a * NH + h] = 1; lh[h * NH + b] = 1; lh[b * NH + h] = 1; x = 0 }
/* links come back one by one */
#define HEALTH(t, h) :: d_step { lt[TH(t, h)] -> lt[TH(t, h)] = 0; x = 0 }
#define HEALHH(a, b) :: d_step { lh[a * NH + b] -> lh[a * NH + b] = 0; lh[b * NH + a] = 0; x = 0 }

#define EACH6(M) M(0, 0) M(0, 1) M(0, 2) M(1, 0) M(1, 1) M(1, 2)
#define EACH8(M) M(0, 0) M(0, 1) M(0, 2) M(0, 3) M(1, 0) M(1, 1) M(1, 2) M(1, 3)
#define EACHP(M) M(0, 1) M(0, 2) M(1, 0) M(1, 2) M(2, 0) M(2, 1)
#define EACHD(M, t) M(t, 0, 1) M(t, 0, 2) M(t, 1, 0) M(t, 1, 2) M(t, 2, 0) M(t, 2, 1)

#define RUNNING ((ent[0].st == RUN) + (ent[1].st == RUN) + (ent[2].st == RUN))
#define ENTRIES ((ent[0].st != GONE) + (ent[1].st != GONE) + (ent[2].st != GONE))

inline begin() {
    cur[1] = 1; cur[2] = 2;
    bk[0] = 1; bk[1] = 0; bk[2] = 0;
#ifndef STARTING
    /* the child runs, acknowledged, and its host's backup has it */
    started = 1; ack_start = 1;
    ent[AT].st = RUN; ent[AT].c = 1; seq[AT] = 1;
#endif
    y = 0;
    do
    :: y < 3 ->
        hatt[TH(0, y)] = 1; hatt[TH(1, y)] = 1; hrdy[TH(0, y)] = 1; hrdy[TH(1, y)] = 1; own[y] = 0;
        att[TH(0, y)] = 1; att[TH(1, y)] = 1; tI[TH(0, y)] = y; tI[TH(1, y)] = y;
        cp[BI(bk[y], y)].ok = 1; cp[BI(bk[y], y)].seq = seq[y];
        cp[BI(bk[y], y)].e.st = ent[y].st; cp[BI(bk[y], y)].e.c = ent[y].c;
        y++
    :: else -> break
    od;
    x = 0
}
inline begun() {
    y = 0; z = 0;
    do
    :: y < 6 ->
        x = TI(y / 3, y % 3);
        vw[x].known = 1; vw[x].ep = 1; vw[x].seq = seq[y % 3]; vw[x].bk = bk[y % 3];
        vw[x].e.st = ent[y % 3].st; vw[x].e.c = ent[y % 3].c;
        y++
    :: else -> break
    od;
    x = 0
}

init {
    d_step { begin(); begun();
#ifdef TWO_HOSTS
        up[2] = 0; bk[2] = NONE; cp[BI(0, 2)].ok = 0;
        hatt[2] = 0; hatt[5] = 0; hrdy[2] = 0; hrdy[5] = 0; own[2] = NONE; att[2] = 0; att[5] = 0; tI[2] = NONE; tI[5] = NONE;
        vw[2].known = 0; vw[2].ep = 0; vw[2].bk = 0; vw[6].known = 0; vw[6].ep = 0; vw[6].bk = 0;
        dn[2] = 1; dn[5] = 1;
#endif
        x = 0
    }
    do
    EACH6(ATTACH)
    EACH6(EVENTS)
    EACH6(LEASE)
    EACH6(EXPIRE)
    EACH6(HDOWN)
    EACH6(TDOWN)
    EACH6(CONFIRM)
    EACH6(CALLS)
    EACH6(TIDY)
    EACH8(FAILOVER)
    EACHP(COPYING)
    EACHD(DROPS, 0)
    EACHD(DROPS, 1)
    DELIVER(0) DELIVER(1)
    REMOVE(0) REMOVE(1)
    CRASH(0) CRASH(1) CRASH(2)
    TCRASH(0) TCRASH(1)
    EACH6(CUTTH)
    CUTHH(0, 1) CUTHH(0, 2) CUTHH(1, 2)
    CUTH(0, 1, 2) CUTH(1, 0, 2) CUTH(2, 0, 1)
    CUTHT(0, 0, 1, 2) CUTHT(1, 0, 1, 2) CUTHT(0, 1, 0, 2) CUTHT(1, 1, 0, 2) CUTHT(0, 2, 0, 1) CUTHT(1, 2, 0, 1)
    EACH6(HEALTH)
    HEALHH(0, 1) HEALHH(0, 2) HEALHH(1, 2)
    :: timeout ->
        /* all is whole, and nothing is left to be done */
        assert(ENTRIES <= 1 && ENTRIES == RUNNING);
        assert(!(ack_start && !removing) || RUNNING == 1);
        assert(!ack_rm || ENTRIES == 0);
        break
    od
}
