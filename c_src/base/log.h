/* log.h - what tb_log() left out, for whoever runs the loop. */
#ifndef TB_BASE_LOG_H
#define TB_BASE_LOG_H

/* tb_log_tell - tell how many events of seconds gone by were left out, where
 * no later one of their kind has told it. Costs nothing where none were. */
void tb_log_tell(void);

#endif
