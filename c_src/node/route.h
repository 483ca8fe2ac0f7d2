/* route.h - messages between local processes and the world. */
#ifndef TB_NODE_ROUTE_H
#define TB_NODE_ROUTE_H

#include "node/peer.h"
#include "node/proc.h"

/* tb_route_in - one control message of a peer. 0, or the error to close the
 * connection with. */
int tb_route_in(struct tb_peer *p, const struct tb_control *c);

/* tb_route_build - the message that a template gives, in the node's buffer:
 * valid until the next call. */
struct tb_term tb_route_build(struct tb_node *node, const char *pattern,
                              struct tb_args args);

/* A message on its way out. It is built in .w: behind what waits for the peer
 * where that is connected, so that it is copied once; else in the node's
 * buffer. */
struct tb_route {
    struct tb_wr *w;
    struct tb_proc *self;
    struct tb_peer *peer;  /* or NULL: to a process here, or to nobody */
    struct tb_proc *local; /* that process */
    bool here;
    bool direct; /* .w is the peer's */
    bool connect;
    size_t at;                         /* where it began */
    const struct tb_atom_table *table; /* or NULL; then it is direct or lost */
    enum tb_dop op;
    struct tb_val to[2];
};

/* tb_route_to, tb_route_to_name - begin a message to a pid or a name.
 * tb_route_to_caller - an answer, which never connects; table: its atoms, or
 * NULL. tb_route_takes_tables - whether it may have one.
 * tb_route_end - the message stands in r->w: send it. 0, or -TB_ELIMIT where it
 * could not be built: then nothing is sent. */
void tb_route_to(struct tb_route *r, struct tb_proc *self, struct tb_pid to);
void tb_route_to_name(struct tb_route *r, struct tb_proc *self,
                      struct tb_text name, tb_atom at);
void tb_route_to_caller(struct tb_route *r, struct tb_proc *self,
                        const struct tb_from *from,
                        const struct tb_atom_table *table);
bool tb_route_takes_tables(struct tb_proc *self, const struct tb_from *from);
int tb_route_end(struct tb_route *r);

#endif
