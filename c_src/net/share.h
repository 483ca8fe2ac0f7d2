/* share.h - what all connections may hold together. None is called from inside
 * another connection's reading of its own frame, but for tb_share_queue(). */
#ifndef TB_NET_SHARE_H
#define TB_NET_SHARE_H

#include "net/conn.h"

/* tb_share_parts - the connection's unfinished frame has grown or gone.
 * tb_share_atoms - the text of the atoms that its peer told has.
 * tb_share_queue - what waits to be written to it has.
 * Where all hold too much, the one that holds the most is closed: not who
 * happens to add the last byte. */
void tb_share_parts(struct tb_conn *c);
void tb_share_atoms(struct tb_conn *c);
void tb_share_queue(struct tb_conn *c);

/* tb_share_may_enter - one more may begin its handshake: there is room, or the
 * oldest in there has had its time.
 * tb_share_enter - it begins. Where that is one too many the oldest is closed:
 * a node that goes on with it is done long before, and strangers who hang keep
 * nobody out. (Who has told a name is no better: it costs a stranger nothing.)
 * tb_share_leave - its handshake is over, or it is. */
bool tb_share_may_enter(const struct tb_net *net);
void tb_share_enter(struct tb_conn *c);
void tb_share_leave(struct tb_conn *c);

/* tb_share_gone - it is closed, and holds nothing any more. */
void tb_share_gone(struct tb_conn *c);

#endif
