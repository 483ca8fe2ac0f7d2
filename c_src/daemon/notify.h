/* notify.h - what a service manager is told. */
#ifndef TB_DAEMON_NOTIFY_H
#define TB_DAEMON_NOTIFY_H

/* tb_notify - send a state such as "READY=1" to NOTIFY_SOCKET, if it is set.
 * A service manager that does not listen is no error of ours. */
void tb_notify(const char *state);

#endif
