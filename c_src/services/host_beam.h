/* host_beam.h - the module tiebeam_host, compiled, for nodes that lack it. The
 * array is made by the Makefile from erl/src/tiebeam_host.erl. */
#ifndef TB_SERVICES_HOST_BEAM_H
#define TB_SERVICES_HOST_BEAM_H

#include <stddef.h>

extern const unsigned char tb_host_beam[];
extern const size_t tb_host_beam_len;

#endif
