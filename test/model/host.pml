/* host.pml - the wire between a supervisor and its hosts (priv/doc/host.md), with
 * failures at any step.
 *
 * Modelled: three hosts (or two), two tiebeam nodes, one child. Each host has its entry,
 * its tombstone, the number of its last change, its backup, its copies for others, its owner with an
 * epoch, and who is attached, ready and within its lease. Each tiebeam node has, for each
 * incarnation, the view that events brought, what it holds for confirmed down, one command
 * under way, and its callers. It starts, moves, removes, fails over, settles two instances, names
 * backups, drops copies, and keeps and forgets tombstones as the document says. All of
 * that is in one process: each step is one event at one place, in any order.
 *
 * Failures, as many as the environment says: CRASHES (a host, alone or with the
 * tiebeam node on the same machine; it comes back empty, as a new incarnation),
 * TCRASHES (a tiebeam node), CUTS (one link between any two; one host; one host with
 * a tiebeam node), PAUSES (a lease runs out). Links come back one by one, at any time; with
 * CALM=1 all at once, after all have noticed; with CALM=2 both ends also notice a cut at once,
 * and after the last failure connections and copies take no time.
 * Requests: AT (where the child runs at the beginning, acknowledged; 3: it is started),
 * MOVES, REMOVALS. TWO=1: two hosts. ONE=1: one tiebeam node. MUTANT: a mechanism is left out, see below.
 * PLAN: a schedule, see below.
 *
 * Abstracted: a stop takes no time; a start always succeeds; a message from a host brings
 * all that has changed until then, at any later time (LAG=2), so that what is under way is
 * the difference between a host and a view of it; with LAG=1 a lease arrives at once,
 * with LAG=0 events too, while the connection lives. A copy and a set of copies are one message. Epochs are not
 * numbers but whether one is still the host's. The set does not change; there is one generation.
 * What a tiebeam node knows of copies (its table, and the answers to {copies, Node})
 * is not late, but for those that it had dropped. A tiebeam node has one command under way at a time.
 *
 * Checked: no command is run that its owner sent under another epoch (at once); and, when all
 * has healed and nothing is left to be done: at most one instance; exactly one of a child
 * whose start was acknowledged and that nobody removed; none of a child whose removal was
 * acknowledged. At each start: no second instance as long as no link was cut and no host was
 * lost. With MOST=n: not more than n commands after the last failure, recovery and request;
 * as the number of those is bounded, work comes to an end. test/model/run.sh has the scenarios, and what each costs.
 */
#define NH 3
#define NT 2
#define NI 4             /* incarnations: one of each host, and one that came back empty */
#define NONE 9

c_decl {
    \#include <stdlib.h>
    \#include <string.h>
    short plan[64];
    unsigned char bound[43 * 64];
    \#define OPTION(name) (getenv(name) ? atoi(getenv(name)) : 0)
};

/* what is left out: it has to be seen that it is missed */
#define NO_EPOCH 1       /* a command of a former owner is run */
#define NO_INC 2         /* a host that came back empty is taken for the former one */
#define NO_BACKUP 3      /* a start is acknowledged before it is in two places */
#define NO_TOMB 4        /* a removal leaves no tombstones */
#define NO_SEQ 5         /* of a lost host any copy counts, not the latest */
#define NO_STANDIN 6     /* an entry may stay when what it stands in for is back */
#define NO_TWO 7         /* the other one is deleted before this one is in two places */
#define NO_DROP 8        /* copies of a former backup stay */
#define NO_VIEW 9        /* a tiebeam node acts without having seen all hosts */
#define NO_GAP 10        /* a tiebeam node remembers lost hosts over a gap of its own */
#define NO_BACK 11       /* a host that others see again stays confirmed down until it is attached */
#define NO_AGAIN 12      /* a host that drops copies does not ask for them again */
#define NO_SAFE 13       /* of two instances one goes before the other is in two places */
#define NO_TOLD 14       /* a tiebeam node does not forget what another one had dropped */
byte mutant;
byte lag;                /* 0: events and leases take no time; 1: leases; 2: nothing */
byte most;               /* commands after the last failure, recovery or request; 0: not counted */
byte work;
byte calm;              /* 1: all links heal at once; 2: see above */
byte cuts0;
bit one;                 /* one tiebeam node */
bit two;                 /* two hosts: the third is not in the set */
byte at;                 /* where the child is at the beginning; 3: it is to be started */

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
byte sent[NH];           /* what its backup was sent, as it believes: seq + 1; 0: all is to be sent */
byte news[6];            /* tiebeam node, host: what entries stood in for, and tombstones, untold */
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
short dropped[NT];       /* copies that it had dropped, of which it was not told again: host, incarnation */
bit wt[NT];
bit ps[NT];              /* a caller waits for its start */
bit rm[NT];              /* a caller waits for its removal */

/* what has happened */
bit started;
bit removing;
bit ack_start;
bit ack_rm;
byte crashes;
byte tcrashes;
byte cuts;
byte pauses;
byte moves;
byte removals;

/* Steps have names, so that a schedule can be given: those that PLAN names are taken in
 * that order only, as long as it is not through. "name:1:2" binds all steps of that name,
 * "@name:1:2" only this one; ONLY=1 binds all but those that take no time. */
#define L_attach           1
#define L_events           2
#define L_lease            3
#define L_expire           4
#define L_hdown            5
#define L_tdown            6
#define L_confirm_down     7
#define L_not_down         8
#define L_deliver          9
#define L_lost_command     10
#define L_copying          11
#define L_start            12
#define L_start_ack        13
#define L_remove           14
#define L_remove_ack       15
#define L_standin          16
#define L_delete_removed   17
#define L_bury             18
#define L_forget           19
#define L_delete_loser     20
#define L_move_to_0        21
#define L_move_to_2        22
#define L_move_done        23
#define L_move_on          24
#define L_backup           25
#define L_drops            26
#define L_failover_memory  27
#define L_forget_memory    28
#define L_failover_copy    29
#define L_drop_lost        30
#define L_host_crash       31
#define L_machine_crash    32
#define L_host_back        33
#define L_tiebeam_crash    34
#define L_tiebeam_back     35
#define L_cutth            36
#define L_cuthh            37
#define L_cuth             38
#define L_cutht            39
#define L_health           40
#define L_healhh           41
#define L_heal             42
#define LABELS "attach", "events", "lease", "expire", "hdown", "tdown", "confirm_down", "not_down", "deliver", "lost_command", "copying", "start", "start_ack", "remove", "remove_ack", "standin", "delete_removed", "bury", "forget", "delete_loser", "move_to_0", "move_to_2", "move_done", "move_on", "backup", "drops", "failover_memory", "forget_memory", "failover_copy", "drop_lost", "host_crash", "machine_crash", "host_back", "tiebeam_crash", "tiebeam_back", "cutth", "cuthh", "cuth", "cutht", "health", "healhh", "heal"
#define NUMBER(l, a, b, c) ((l) * 64 + (a) * 16 + (b) * 4 + (c))
#define MAY(n) (!bound[n] || plan[now.stage] == (n) || plan[now.stage] == 0)
#define STEP(name, a, b, c, guard) \
    d_step { c_expr { MAY(NUMBER(L_##name, a, b, c)) } && guard -> c_code { took(L_##name, a, b, c); };

byte stage;
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
#define BURIED 128

c_code {
    static const char *const labels[] = { LABELS };

    extern int readtrail;

    static int through, planned;

    static void
    say(void)
    {
        if (planned)
            printf("plan: %d of %d steps\n", through, planned);
    }

    void
    took(int l, int a, int b, int c)
    {
        if (plan[now.stage] == NUMBER(l, a, b, c))
            now.stage++;
        if (now.stage > through)
            through = now.stage;
        if (l >= L_host_crash || l == L_expire || l == L_start || l == L_remove ||
            l == L_move_to_0 || l == L_move_to_2)
            now.work = 0;
        if (readtrail)
            printf("%s:%d:%d:%d\n", labels[l - 1], a, b, c);
    }

    static void
    read_plan(void)
    {
        char *text = getenv("PLAN");
        int n = 0;

        memset(bound, OPTION("ONLY"), sizeof(bound));
        if (OPTION("LAG") < 1)
            memset(&bound[NUMBER(L_events, 0, 0, 0)], 0, 64);
        if (OPTION("LAG") < 2)
            memset(&bound[NUMBER(L_lease, 0, 0, 0)], 0, 64);

        for (text = text ? strtok(strdup(text), ",") : NULL; text; text = strtok(NULL, ",")) {
            int one = *text == '@', a = 0, b = 0, c = 0, l = 0;
            char name[32] = "";

            sscanf(text + one, "%31[^:]:%d:%d:%d", name, &a, &b, &c);
            while (l < (int)(sizeof(labels) / sizeof(*labels)) && strcmp(labels[l], name))
                l++;
            if (l == (int)(sizeof(labels) / sizeof(*labels)) || n == 63) {
                printf("pan: no such step: %s\n", name);
                exit(1);
            }
            plan[n] = NUMBER(l + 1, a, b, c);
            if (one)
                bound[plan[n]] = 1;
            else
                memset(&bound[NUMBER(l + 1, 0, 0, 0)], 1, 64);
            n++;
        }
        planned = n;
        atexit(say);
    }
};

#define SETTLE(t, seen) settle(t, 0, seen); settle(t, 1, seen); settle(t, 2, seen); settle(t, 3, seen)

/* what is connected, in truth */
#define LT(t, h) (!lt[TH(t, h)] && tup[t] && up[h])
#define LH(a, b) ((a) != (b) && !lh[(a) * NH + (b)] && up[a] && up[b])

/* a tiebeam node that may act */
#define NAMED(t, h) ((A(t, h) && V(t, h).own == t) || dn[TH(t, h)])
#define SOME(t) (A(t, 0) || A(t, 1) || A(t, 2))
#define NAMED1(t, h) (NAMED(t, h) || (mutant == NO_VIEW && !A(t, h)))
#define ACTS(t) (tup[t] && !wt[t] && SOME(t) && NAMED1(t, 0) && NAMED1(t, 1) && NAMED1(t, 2))
#define READY1(t, h) (A(t, h) || dn[TH(t, h)])
#define READY(t) (mutant == NO_VIEW || (READY1(t, 0) && READY1(t, 1) && READY1(t, 2)))

/* an attached host that sees h */
#define SEEN(t, h) ((A(t, 0) && LH(0, h)) || (A(t, 1) && LH(1, h)) || (A(t, 2) && LH(2, h)))

/* entries in the view of a tiebeam node */
#define HAS(t, h) (A(t, h) && V(t, h).e.st != GONE)
#define RUNS(t, h) (A(t, h) && V(t, h).e.st == RUN)
#define ANY(t) (HAS(t, 0) || HAS(t, 1) || HAS(t, 2))
#define TOMB(t) ((A(t, 0) && V(t, 0).tomb) || (A(t, 1) && V(t, 1).tomb) || (A(t, 2) && V(t, 2).tomb))
#define ALL(t) (A(t, 0) && A(t, 1) && (two || A(t, 2)))
#define ATTINC(t, i) (A(t, 0) && tI[TH(t, 0)] == i || A(t, 1) && tI[TH(t, 1)] == i || A(t, 2) && tI[TH(t, 2)] == i)
#define ATTSET(t) ((A(t, 0) -> BIT(tI[TH(t, 0)]) : 0) | (A(t, 1) -> BIT(tI[TH(t, 1)]) : 0) | (A(t, 2) -> BIT(tI[TH(t, 2)]) : 0))

/* what h has is known to its backup too, or there can be none */
#define CANBK(t, h) ((A(t, 0) && LH(0, h)) || (A(t, 1) && LH(1, h)) || (A(t, 2) && LH(2, h)))
#define BK(t, h) V(t, h).bk
#define COPIED(t, h) (BK(t, h) != NONE && A(t, BK(t, h)) && cp[BI(BK(t, h), tI[TH(t, h)])].ok && \
    cp[BI(BK(t, h), tI[TH(t, h)])].seq >= V(t, h).seq)
#define TWO(t, h) (A(t, h) && ((BK(t, h) == NONE && !CANBK(t, h)) || COPIED(t, h)))
#define ACK2(t, h) (TWO(t, h) || mutant == NO_BACKUP)
#define DEL2(t, h) (TWO(t, h) || (mutant == NO_TWO && A(t, h)))
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
#define DROPPED(t, b, i) (dropped[t] & BIT(BI(b, i)))
#define CS(t, b, i) (A(t, b) && cp[BI(b, i)].ok && !DROPPED(t, b, i) -> cp[BI(b, i)].seq + 1 : 0)
#define ANYSEQ (mutant == NO_SEQ)
#define BESTM(t, i) (MS(t, i) > 0 && (ANYSEQ || (MS(t, i) >= CS(t, 0, i) && MS(t, i) >= CS(t, 1, i) && MS(t, i) >= CS(t, 2, i))))
#define BESTC(t, b, i) (CS(t, b, i) > 0 && (ANYSEQ || (CS(t, b, i) >= MS(t, i) && CS(t, b, i) >= CS(t, 0, i) && \
    CS(t, b, i) >= CS(t, 1, i) && CS(t, b, i) >= CS(t, 2, i))))
#define LOSTKEY(t, i) ((BESTM(t, i) && vw[TI(t, i)].e.st != GONE) || (BESTC(t, 0, i) && cp[BI(0, i)].e.st != GONE) || \
    (BESTC(t, 1, i) && cp[BI(1, i)].e.st != GONE) || (BESTC(t, 2, i) && cp[BI(2, i)].e.st != GONE))
/* some loss has not been dealt with yet, and another tiebeam node may know more of it */
#define LEFT(t, i) (LOST(t, i) && (vw[TI(t, i)].known || CS(t, 0, i) || CS(t, 1, i) || CS(t, 2, i)))
#define LOSTANY(t) (LEFT(t, 0) || LEFT(t, 1) || LEFT(t, 2) || LEFT(t, 3))
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

inline tell(h, what) {
    if :: A(0, h) -> news[TH(0, h)] = news[TH(0, h)] | (what) :: else fi;
    if :: A(1, h) -> news[TH(1, h)] = news[TH(1, h)] | (what) :: else fi
}

/* to the other tiebeam node: these copies are dropped */
#define TOLD(t, h, i) if :: mutant != NO_TOLD && A(1 - t, h) -> \
    news[TH(1 - t, h)] = news[TH(1 - t, h)] | BIT(i) :: else fi

inline apply(h, t) {
    if
    :: cmd[t].k == START ->
        if
        :: ent[h].st != RUN ->
            ent[h].st = RUN; ent[h].to = 0; ent[h].c = cmd[t].c; ent[h].s = cmd[t].s;
            tell(h, cmd[t].s); seq[h]++
        :: else
        fi
    :: cmd[t].k == DELETE ->
        tomb[h] = tomb[h] | cmd[t].a; tell(h, (cmd[t].a -> BURIED : 0));
        if :: ent[h].st != GONE -> CLEAR(ent[h]); seq[h]++ :: else fi
    :: cmd[t].k == MOVE ->
        if :: ent[h].st == RUN -> ent[h].st = MOVING; ent[h].to = cmd[t].a; seq[h]++ :: else fi
    :: cmd[t].k == BURY -> tomb[h] = 1; tell(h, BURIED)
    :: cmd[t].k == FORGET -> tomb[h] = 0
    :: cmd[t].k == BACKUP -> bk[h] = cmd[t].a; sent[h] = 0
    :: cmd[t].k == DROP ->
        cp[BI(h, cmd[t].a)].ok = 0; cp[BI(h, cmd[t].a)].seq = 0; CLEAR(cp[BI(h, cmd[t].a)].e);
        TOLD(t, h, cmd[t].a);
        y = HOST(cmd[t].a);
        if :: mutant != NO_AGAIN && y != NONE && cur[y] == cmd[t].a && bk[y] == h && LH(y, h) -> sent[y] = 0 :: else fi
    fi
}

/* ---------------------------------------------------------------- messages */

inline look(t, h) {
    x = TI(t, cur[h]);
    vw[x].known = 1; vw[x].ep = 1; vw[x].tomb = tomb[h]; vw[x].seq = seq[h];
    vw[x].own = own[h]; vw[x].bk = bk[h];
    vw[x].e.st = ent[h].st; vw[x].e.to = ent[h].to; vw[x].e.c = ent[h].c; vw[x].e.s = ent[h].s
}

inline unknow(t, i) {
    y = TI(t, i);
    vw[y].known = 0; vw[y].ep = 0; vw[y].tomb = 0; vw[y].seq = 0; vw[y].own = 0; vw[y].bk = 0;
    CLEAR(vw[y].e)
}

/* What a host stands in for, or has a tombstone of, is forgotten of those that are lost. */
inline settle(t, i, seen) {
    if
    :: ((seen) & (BIT(i) | BURIED)) && !ATTINC(t, i) -> unknow(t, i)
    :: else
    fi
}

inline gap(t, i) {
    if
    :: !ATTINC(t, i) -> unknow(t, i)
    :: else
    fi
}

#define DIFFERS(t, h) (news[TH(t, h)] || vw[TI(t, cur[h])].seq != seq[h] || vw[TI(t, cur[h])].own != own[h] || !vw[TI(t, cur[h])].ep || \
    vw[TI(t, cur[h])].bk != bk[h] || vw[TI(t, cur[h])].tomb != tomb[h])

#define ATTACH(t, h) \
    :: STEP(attach, t, h, 0, LT(t, h) && !A(t, h) && !(cmd[t].k && HOST(cmd[t].i) == h)) \
        hatt[TH(t, h)] = 1; hrdy[TH(t, h)] = 0; hexp[TH(t, h)] = 0; \
        A(t, h) = 1; dn[TH(t, h)] = 0; dropped[t] = 0; \
        z = (tI[TH(t, h)] == cur[h]); \
        NOINC(t, h) \
        tI[TH(t, h)] = cur[h]; \
        if :: z -> GAPS(t) :: else fi; \
        elect(h); look(t, h); \
        z = ent[h].s | (tomb[h] -> BURIED : 0); SETTLE(t, z); x = 0 }

#define GAPS(t) \
    if :: mutant != NO_GAP -> gap(t, 0); gap(t, 1); gap(t, 2); gap(t, 3) :: else fi
#define NOINC(t, h) \
    if \
    :: mutant == NO_INC && tI[TH(t, h)] != NONE && tI[TH(t, h)] != cur[h] -> \
        unknow(t, tI[TH(t, h)]); x = 0; \
        do :: x < NH -> cp[BI(x, h)].ok = 0; cp[BI(x, h)].seq = 0; CLEAR(cp[BI(x, h)].e); x++ :: else -> break od \
    :: else \
    fi;

#define EVENTS(t, h) \
    :: STEP(events, t, h, 0, URG_E(t, h)) \
        look(t, h); z = news[TH(t, h)]; news[TH(t, h)] = 0; SETTLE(t, z); \
        if :: wt[t] && cmd[t].k == IDLE && cmd[t].i == cur[h] -> wt[t] = 0; cmd[t].i = 0 :: else fi; x = 0 }

#define LEASE(t, h) \
    :: STEP(lease, t, h, 0, URG_L(t, h)) hrdy[TH(t, h)] = READY(t); hexp[TH(t, h)] = 0; elect(h); x = 0 }

#define EXPIRE(t, h) \
    :: STEP(expire, t, h, 0, pauses > 0 && up[h] && hatt[TH(t, h)] && hrdy[TH(t, h)] && !hexp[TH(t, h)]) \
        pauses--; hexp[TH(t, h)] = 1; elect(h); x = 0 }

#define HDOWN(t, h) \
    :: STEP(hdown, t, h, 0, up[h] && hatt[TH(t, h)] && (lt[TH(t, h)] || !tup[t]) && !(calm == 2 && A(t, h))) \
        hatt[TH(t, h)] = 0; hrdy[TH(t, h)] = 0; hexp[TH(t, h)] = 0; elect(h); x = 0 }

#define TDOWN(t, h) \
    :: STEP(tdown, t, h, 0, tup[t] && A(t, h) && (lt[TH(t, h)] || !hatt[TH(t, h)] || tI[TH(t, h)] != cur[h])) \
        A(t, h) = 0; news[TH(t, h)] = 0; \
        if :: calm == 2 && up[h] && lt[TH(t, h)] && hatt[TH(t, h)] -> \
            hatt[TH(t, h)] = 0; hrdy[TH(t, h)] = 0; hexp[TH(t, h)] = 0; elect(h) :: else fi; \
        V(t, h).ep = 0; V(t, h).own = 0; V(t, h).bk = 0; V(t, h).tomb = 0; \
        if :: wt[t] && HOST(cmd[t].i) == h && (cmd[t].k == IDLE) -> wt[t] = 0; cmd[t].i = 0 :: else fi; x = 0 }

#define CONFIRM(t, h) \
    :: STEP(confirm_down, t, h, 0, tup[t] && !A(t, h) && !dn[TH(t, h)] && (lt[TH(t, h)] || !up[h]) && !SEEN(t, h)) dn[TH(t, h)] = 1; x = 0 } \
    :: STEP(not_down, t, h, 0, mutant != NO_BACK && tup[t] && dn[TH(t, h)] && SEEN(t, h)) dn[TH(t, h)] = 0; x = 0 }

/* A command arrives, maybe late; it is lost only with its connection. */
#define VALID(t, h) ((cmd[t].ok && own[h] == t) || mutant == NO_EPOCH)
#define DELIVER(t) \
    :: STEP(deliver, t, 0, 0, cmd[t].k != IDLE && HOST(cmd[t].i) != NONE) \
        x = HOST(cmd[t].i); \
        if :: up[x] && cur[x] == cmd[t].i && VALID(t, x) -> \
            assert(cmd[t].ok && own[x] == t); apply(x, t); \
            assert(cuts < cuts0 || xh != NONE || RUNNING <= 1) :: else -> dropped[t] = 0 fi; \
        IDLED(t); x = 0 } \
    :: STEP(lost_command, t, 0, 0, cmd[t].k != IDLE && (!tup[t] || lt[TH(t, HOST(cmd[t].i))] || !up[HOST(cmd[t].i)] || \
        cur[HOST(cmd[t].i)] != cmd[t].i)) dropped[t] = 0; IDLED(t); x = 0 }
/* if the connection has been seen to end, there will be no outcome */
#define IDLED(t) \
    cmd[t].k = IDLE; cmd[t].a = 0; cmd[t].c = 0; cmd[t].s = 0; cmd[t].ok = 0; \
    if :: !tup[t] || !A(t, HOST(cmd[t].i)) || tI[TH(t, HOST(cmd[t].i))] != cmd[t].i -> wt[t] = 0; cmd[t].i = 0 :: else fi

/* One that misses something asks for all of it. */
#define COPYING(h, b) \
    :: STEP(copying, h, b, 0, LH(h, b) && bk[h] == b && sent[h] != seq[h] + 1) \
        x = BI(b, cur[h]); \
        if \
        :: sent[h] == 0 || cp[x].ok -> \
            cp[x].ok = 1; cp[x].seq = seq[h]; sent[h] = seq[h] + 1; \
            cp[x].e.st = ent[h].st; cp[x].e.to = ent[h].to; cp[x].e.c = ent[h].c; cp[x].e.s = ent[h].s \
        :: else -> sent[h] = 0 \
        fi; x = 0 }

/* ------------------------------------------------------------ what T does */

inline issue(t, h, kind, arg, starts, stands) {
    cmd[t].k = kind; cmd[t].i = tI[TH(t, h)]; cmd[t].a = arg; cmd[t].c = starts; cmd[t].s = stands;
    cmd[t].ok = V(t, h).ep;
    wt[t] = 1;
    if :: most -> work++; assert(work <= most) :: else fi
}

#define CALLS(t, h) \
    :: STEP(start, t, h, 0, !started && ACTS(t) && A(t, h)) started = 1; ps[t] = 1; issue(t, h, START, 0, 1, 0); x = 0 } \
    :: STEP(start_ack, t, h, 0, ps[t] && tup[t] && RUNS(t, h) && ACK2(t, h) && ACTS(t)) ps[t] = 0; ack_start = 1; x = 0 }

#define REMOVE(t) \
    :: STEP(remove, t, 0, 0, removals > 0 && ack_start && ACTS(t) && ANY(t) && !rm[t]) removals--; rm[t] = 1; removing = 1; x = 0 } \
    :: STEP(remove_ack, t, 0, 0, rm[t] && ACTS(t) && !ANY(t) && GRAVE(t) && SYNCED(t, 0) && SYNCED(t, 1) && SYNCED(t, 2)) \
        rm[t] = 0; ack_rm = 1; x = 0 }
#define AWAY(t) (mutant != NO_TOMB && (!ALL(t) || (mutant != NO_DROP && (STRAYS(t) || LOSTANY(t)))))
#define GRAVE1(t, h) (!A(t, h) || V(t, h).tomb)
#define GRAVE(t) ((!AWAY(t) && (mutant == NO_DROP || mutant == NO_TOMB || !HOLDSANY(t))) || (GRAVE1(t, 0) && GRAVE1(t, 1) && GRAVE1(t, 2)))

/* somewhere else it runs, and is in two places there */
#define SAFE(t, h) ((h != 0 && RUNS(t, 0) && DEL2(t, 0)) || (h != 1 && RUNS(t, 1) && DEL2(t, 1)) || (h != 2 && RUNS(t, 2) && DEL2(t, 2)))
/* h's entry stands in for one that is attached, and all of those are safe or do not have it */
#define ORIGIN(t, h, o) (h != o && A(t, o) && (V(t, h).e.s & BIT(tI[TH(t, o)])))
#define STANDS(t, h) (mutant != NO_STANDIN && (ORIGIN(t, h, 0) || ORIGIN(t, h, 1) || ORIGIN(t, h, 2)))
#define SAFE2(t, h) (DEL2(t, h) || (mutant == NO_SAFE && A(t, h)))
#define ORIGINSAFE(t, h, o) (!ORIGIN(t, h, o) || !HAS(t, o) || SAFE2(t, o))
/* g's instance wins over h's */
#define WINS(t, g, h) (g != h && RUNS(t, g) && !STANDS(t, g) && SAFE2(t, g) && \
    (V(t, g).e.c > V(t, h).e.c || (V(t, g).e.c == V(t, h).e.c && g < h)))
/* the move of h's entry has come to its end: not by one that stands in for h, which will go */
#define THERE(t, g, h) (g != h && RUNS(t, g) && V(t, g).e.c > V(t, h).e.c && !(V(t, g).e.s & BIT(tI[TH(t, h)])))
#define MOVED(t, g, h) (THERE(t, g, h) && DEL2(t, g))
#define ARRIVED(t, h) (THERE(t, 0, h) || THERE(t, 1, h) || THERE(t, 2, h))

#define STANDIN(t, h) \
    :: STEP(standin, t, h, 0, ACTS(t) && HAS(t, h) && STANDS(t, h) && \
        ORIGINSAFE(t, h, 0) && ORIGINSAFE(t, h, 1) && ORIGINSAFE(t, h, 2)) issue(t, h, DELETE, 0, 0, 0); x = 0 }

#define TIDY(t, h) \
    /* a removal, of a caller or of one before */ \
    :: STEP(delete_removed, t, h, 0, ACTS(t) && HAS(t, h) && (rm[t] || TOMB(t))) x = AWAY(t); issue(t, h, DELETE, x, 0, 0); x = 0 } \
    :: STEP(bury, t, h, 0, ACTS(t) && rm[t] && !ANY(t) && A(t, h) && AWAY(t) && !V(t, h).tomb) issue(t, h, BURY, 0, 0, 0); x = 0 } \
    :: STEP(forget, t, h, 0, ACTS(t) && !rm[t] && A(t, h) && V(t, h).tomb && ALL(t) && !ANY(t) && !HOLDSANY(t) && !LOSTANY(t)) issue(t, h, FORGET, 0, 0, 0); x = 0 } \
    /* two instances */ \
    STANDIN(t, h) \
    :: STEP(delete_loser, t, h, 0, ACTS(t) && RUNS(t, h) && !STANDS(t, h) && (WINS(t, 0, h) || WINS(t, 1, h) || WINS(t, 2, h))) \
        issue(t, h, DELETE, 0, 0, 0); x = 0 } \
    /* a move */ \
    :: STEP(move_to_0, t, h, 0, moves > 0 && ack_start && ACTS(t) && RUNS(t, h) && !rm[t] && h != 0 && A(t, 0)) moves--; issue(t, h, MOVE, 0, 0, 0); x = 0 } \
    :: STEP(move_to_2, t, h, 0, moves > 0 && ack_start && ACTS(t) && RUNS(t, h) && !rm[t] && h != 2 && A(t, 2)) moves--; issue(t, h, MOVE, 2, 0, 0); x = 0 } \
    :: STEP(move_done, t, h, 0, ACTS(t) && HAS(t, h) && V(t, h).e.st == MOVING && (MOVED(t, 0, h) || MOVED(t, 1, h) || MOVED(t, 2, h))) \
        issue(t, h, DELETE, 0, 0, 0); x = 0 } \
    :: STEP(move_on, t, h, 0, ACTS(t) && !rm[t] && !TOMB(t) && HAS(t, h) && V(t, h).e.st == MOVING && !ARRIVED(t, h)) \
        x = V(t, h).e.to; \
        if \
        :: A(t, x) && !HAS(t, x) -> y = x; z = V(t, h).e.c + 1; x = V(t, h).e.s; issue(t, y, START, 0, z, x) \
        :: else -> z = V(t, h).e.c + 2; x = V(t, h).e.s; issue(t, h, START, 0, z, x) \
        fi; x = 0 } \
    /* where the copies go */ \
    :: STEP(backup, t, h, 0, ACTS(t) && A(t, h) && !(BK(t, h) != NONE && A(t, BK(t, h)) && LH(BK(t, h), h)) && \
        (CANBK(t, h) || BK(t, h) != NONE)) \
        x = (A(t, 0) && LH(0, h) -> 0 : (A(t, 1) && LH(1, h) -> 1 : (A(t, 2) && LH(2, h) -> 2 : NONE))); \
        issue(t, h, BACKUP, x, 0, 0); x = 0 }

#define DROPS(t, b, h) \
    :: STEP(drops, t, b, h, mutant != NO_DROP && ACTS(t) && STRAY(t, b, h) && TWO(t, h)) issue(t, b, DROP, tI[TH(t, h)], 0, 0); x = 0 }

/* an entry that has taken the place, in two places */
#define TAKEN(t) ((HAS(t, 0) && TWO(t, 0)) || (HAS(t, 1) && TWO(t, 1)) || (HAS(t, 2) && TWO(t, 2)))

#define FAILOVER(t, i) \
    :: STEP(failover_memory, t, i, 0, ACTS(t) && !rm[t] && LOST(t, i) && !ANY(t) && !TOMB(t) && BESTM(t, i) && vw[TI(t, i)].e.st != GONE && \
        !(vw[TI(t, i)].e.s & ATTSET(t))) x = LOW(t); y = TI(t, i); \
        z = (vw[y].e.st == MOVING -> 2 : 1) + vw[y].e.c; y = vw[y].e.s | (vw[y].e.st == MOVING -> 0 : BIT(i)); issue(t, x, START, 0, z, y); x = 0 } \
    FAILOVERC(t, i, 0) FAILOVERC(t, i, 1) FAILOVERC(t, i, 2) \
    /* it has been dealt with: the copies go first, they may be older than what is remembered */ \
    :: STEP(forget_memory, t, i, 0, ACTS(t) && LOST(t, i) && vw[TI(t, i)].known && !CS(t, 0, i) && !CS(t, 1, i) && !CS(t, 2, i) && \
        (TAKEN(t) || TOMB(t) || !LOSTKEY(t, i))) unknow(t, i); \
        if :: A(t, 0) -> TOLD(t, 0, i) :: else fi; if :: A(t, 1) -> TOLD(t, 1, i) :: else fi; \
        if :: A(t, 2) -> TOLD(t, 2, i) :: else fi; x = 0 }

#define FAILOVERC(t, i, b) \
    :: STEP(failover_copy, t, i, b, ACTS(t) && !rm[t] && LOST(t, i) && !ANY(t) && !TOMB(t) && BESTC(t, b, i) && cp[BI(b, i)].e.st != GONE && \
        !(cp[BI(b, i)].e.s & ATTSET(t))) x = LOW(t); y = BI(b, i); \
        z = (cp[y].e.st == MOVING -> 2 : 1) + cp[y].e.c; y = cp[y].e.s | (cp[y].e.st == MOVING -> 0 : BIT(i)); issue(t, x, START, 0, z, y); x = 0 } \
    :: STEP(drop_lost, t, i, b, ACTS(t) && LOST(t, i) && CS(t, b, i) && \
        (TAKEN(t) || TOMB(t) || !LOSTKEY(t, i))) issue(t, b, DROP, i, 0, 0); dropped[t] = dropped[t] | BIT(BI(b, i)); x = 0 }

/* ---------------------------------------------------------------- failures */

inline tdie(t) {
    tup[t] = 0; ps[t] = 0; rm[t] = 0; wt[t] = 0;
    A(t, 0) = 0; A(t, 1) = 0; A(t, 2) = 0; dropped[t] = 0;
    news[TH(t, 0)] = 0; news[TH(t, 1)] = 0; news[TH(t, 2)] = 0;
    dn[TH(t, 0)] = 0; dn[TH(t, 1)] = 0; dn[TH(t, 2)] = two;
    tI[TH(t, 0)] = NONE; tI[TH(t, 1)] = NONE; tI[TH(t, 2)] = NONE;
    unknow(t, 0); unknow(t, 1); unknow(t, 2); unknow(t, 3)
}

inline hdie(h) {
    if :: bk[0] == h -> sent[0] = 0 :: else fi;
    if :: bk[1] == h -> sent[1] = 0 :: else fi;
    if :: bk[2] == h -> sent[2] = 0 :: else fi;
    up[h] = 0; sent[h] = 0; xh = h; tomb[h] = 0; bk[h] = NONE; seq[h] = 0; own[h] = NONE; CLEAR(ent[h]);
    hatt[TH(0, h)] = 0; hatt[TH(1, h)] = 0; hrdy[TH(0, h)] = 0; hrdy[TH(1, h)] = 0; hexp[TH(0, h)] = 0; hexp[TH(1, h)] = 0;
    x = 0;
    do
    :: x < NI -> cp[BI(h, x)].ok = 0; cp[BI(h, x)].seq = 0; CLEAR(cp[BI(h, x)].e); x++
    :: else -> break
    od
}

#define CRASH(h) \
    :: STEP(host_crash, h, 0, 0, crashes > 0 && xh == NONE && up[h] && started) crashes--; hdie(h); x = 0 } \
    :: STEP(machine_crash, h, 0, 0, crashes > 0 && xh == NONE && up[h] && started && h < NT && tup[h % NT]) crashes--; hdie(h); tdie(h % NT); x = 0 } \
    :: STEP(host_back, h, 0, 0, !up[h] && xh == h && !(calm && (A(0, h) || A(1, h)))) up[h] = 1; cur[h] = NH; x = 0 }
#define TCRASH(t) \
    :: STEP(tiebeam_crash, t, 0, 0, tcrashes > 0 && tup[t] && started) tcrashes--; tdie(t); x = 0 } \
    :: STEP(tiebeam_back, t, 0, 0, !tup[t] && !(one && t == 1) && cmd[t].k == IDLE && !hatt[TH(t, 0)] && !hatt[TH(t, 1)] && !hatt[TH(t, 2)]) tup[t] = 1; cmd[t].i = 0; x = 0 }

#define WHOLE (!(lt[0] || lt[1] || lt[2] || lt[3] || lt[4] || lt[5] || lh[1] || lh[2] || lh[5]))
#define CUTTABLE (cuts > 0 && WHOLE && started)
#define UNSENT(h) if :: bk[h] != NONE && lh[h * NH + bk[h]] -> sent[h] = 0 :: else fi
#define NOBODY \
    UNSENT(0); UNSENT(1); UNSENT(2); \
    if :: two -> lt[2] = 0; lt[5] = 0; lh[2] = 0; lh[5] = 0; lh[6] = 0; lh[7] = 0 :: else fi; \
    if :: one -> lt[3] = 0; lt[4] = 0; lt[5] = 0 :: else fi
#define CUTTH(t, h) \
    :: STEP(cutth, t, h, 0, CUTTABLE && !(two && h == 2) && !(one && t == 1)) cuts--; lt[TH(t, h)] = 1; x = 0 }
#define CUTHH(a, b) \
    :: STEP(cuthh, a, b, 0, CUTTABLE && !(two && b == 2)) cuts--; lh[a * NH + b] = 1; lh[b * NH + a] = 1; NOBODY; x = 0 }
/* a host alone, or with tiebeam node t */
#define CUTH(h, a, b) \
    :: STEP(cuth, h, a, b, CUTTABLE && !(two && h == 2)) cuts--; lt[TH(0, h)] = 1; lt[TH(1, h)] = 1; \
        lh[h * NH + a] = 1; lh[a * NH + h] = 1; lh[h * NH + b] = 1; lh[b * NH + h] = 1; NOBODY; x = 0 }
#define CUTHT(t, h, a, b) \
    :: STEP(cutht, t, h, a, CUTTABLE && !(two && h == 2) && !(one && t == 1)) cuts--; lt[TH(1 - t, h)] = 1; lt[TH(t, a)] = 1; lt[TH(t, b)] = 1; \
        lh[h * NH + a] = 1; lh[a * NH + h] = 1; lh[h * NH + b] = 1; lh[b * NH + h] = 1; NOBODY; x = 0 }
/* Links come back one by one; with CALM=1 all at once, when all have noticed, and so does a host. */
#define NOTICED(t, h) (!lt[TH(t, h)] || (!hatt[TH(t, h)] && !A(t, h)))
#define HEAL \
    :: STEP(heal, 0, 0, 0, calm && !WHOLE && NOTICED(0, 0) && NOTICED(0, 1) && NOTICED(0, 2) && \
        NOTICED(1, 0) && NOTICED(1, 1) && NOTICED(1, 2)) \
        lt[0] = 0; lt[1] = 0; lt[2] = 0; lt[3] = 0; lt[4] = 0; lt[5] = 0; \
        lh[1] = 0; lh[2] = 0; lh[3] = 0; lh[5] = 0; lh[6] = 0; lh[7] = 0; x = 0 }
#define HEALTH(t, h) :: STEP(health, t, h, 0, !calm && lt[TH(t, h)]) lt[TH(t, h)] = 0; x = 0 }
#define HEALHH(a, b) :: STEP(healhh, a, b, 0, !calm && lh[a * NH + b]) lh[a * NH + b] = 0; lh[b * NH + a] = 0; x = 0 }

#define EACH6(M) M(0, 0) M(0, 1) M(0, 2) M(1, 0) M(1, 1) M(1, 2)
#define EACH8(M) M(0, 0) M(0, 1) M(0, 2) M(0, 3) M(1, 0) M(1, 1) M(1, 2) M(1, 3)
#define EACHP(M) M(0, 1) M(0, 2) M(1, 0) M(1, 2) M(2, 0) M(2, 1)
#define EACHD(M, t) M(t, 0, 1) M(t, 0, 2) M(t, 1, 0) M(t, 1, 2) M(t, 2, 0) M(t, 2, 1)

#define RUNNING ((ent[0].st == RUN) + (ent[1].st == RUN) + (ent[2].st == RUN))
#define ENTRIES ((ent[0].st != GONE) + (ent[1].st != GONE) + (ent[2].st != GONE))

inline begin() {
    cur[1] = 1; cur[2] = 2;
    bk[0] = 1; bk[1] = 0; bk[2] = 0;
    if
    :: at < NH ->
        /* the child runs, acknowledged, and its host's backup has it */
        started = 1; ack_start = 1;
        ent[at].st = RUN; ent[at].c = 1; seq[at] = 1
    :: else
    fi;
    y = 0;
    do
    :: y < 3 - two ->
        hatt[TH(0, y)] = 1; hatt[TH(1, y)] = 1; hrdy[TH(0, y)] = 1; hrdy[TH(1, y)] = 1; own[y] = 0;
        att[TH(0, y)] = 1; att[TH(1, y)] = 1; tI[TH(0, y)] = y; tI[TH(1, y)] = y;
        z = BI(bk[y], y);
        cp[z].ok = 1; cp[z].seq = seq[y]; sent[y] = seq[y] + 1; cp[z].e.st = ent[y].st; cp[z].e.c = ent[y].c;
        look(0, y); look(1, y);
        y++
    :: else -> break
    od;
    if
    :: one -> tdie(1); hatt[3] = 0; hatt[4] = 0; hatt[5] = 0; hrdy[3] = 0; hrdy[4] = 0; hrdy[5] = 0
    :: else
    fi;
    if :: two -> up[2] = 0; bk[2] = NONE; dn[2] = 1; dn[5] = 1 :: else fi;
    x = 0; y = 0; z = 0
}

#define URG_E(t, h) (LT(t, h) && A(t, h) && hatt[TH(t, h)] && tI[TH(t, h)] == cur[h] && \
    (DIFFERS(t, h) || (wt[t] && cmd[t].k == IDLE && cmd[t].i == cur[h])))
#define URG_L(t, h) (LT(t, h) && A(t, h) && tI[TH(t, h)] == cur[h] && hatt[TH(t, h)] && \
    (hrdy[TH(t, h)] != READY(t) || hexp[TH(t, h)]))
#define ANY6(M) (M(0, 0) || M(0, 1) || M(0, 2) || M(1, 0) || M(1, 1) || M(1, 2))
#define URGENT ((lag == 0 && ANY6(URG_E)) || (lag <= 1 && ANY6(URG_L)))
/* with CALM=2, once no failure is to come and all has healed */
#define SOON_A(t, h) (LT(t, h) && !A(t, h) && !(cmd[t].k && HOST(cmd[t].i) == h))
#define SOON_C(h, b) (LH(h, b) && bk[h] == b && sent[h] != seq[h] + 1)
#define ANYP(M) (M(0, 1) || M(0, 2) || M(1, 0) || M(1, 2) || M(2, 0) || M(2, 1))
#define SOON (calm == 2 && crashes == 0 && cuts == 0 && WHOLE && (ANY6(SOON_A) || ANYP(SOON_C)))

init {
    d_step {
        c_code {
            now.mutant = (uchar)OPTION("MUTANT"); now.lag = (uchar)OPTION("LAG");
            now.two = (uchar)OPTION("TWO"); now.one = (uchar)OPTION("ONE"); now.at = (uchar)OPTION("AT");
            now.crashes = (uchar)OPTION("CRASHES"); now.tcrashes = (uchar)OPTION("TCRASHES");
            now.cuts = (uchar)OPTION("CUTS"); now.pauses = (uchar)OPTION("PAUSES");
            read_plan();
            now.most = (uchar)OPTION("MOST"); now.calm = (uchar)OPTION("CALM"); now.cuts0 = (uchar)OPTION("CUTS");
            now.moves = (uchar)OPTION("MOVES"); now.removals = (uchar)OPTION("REMOVALS");
        };
        begin(); x = 0
    }
    do
    :: atomic { URGENT -> if EACH6(EVENTS) EACH6(LEASE) fi }
    :: atomic { !URGENT && SOON -> if EACH6(ATTACH) EACHP(COPYING) fi }
    :: atomic { !URGENT && !SOON -> if
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
    HEAL HEALHH(0, 1) HEALHH(0, 2) HEALHH(1, 2)
    :: timeout ->
        /* all is whole, and nothing is left to be done */
        if :: c_expr { plan[now.stage] == 0 } -> skip :: else -> break fi;
        assert(ENTRIES <= 1 && ENTRIES == RUNNING);
        assert(!(ack_start && !removing) || RUNNING == 1);
        assert(!ack_rm || ENTRIES == 0);
        break
    fi }
    od
}
