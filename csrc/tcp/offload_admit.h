/* What of another's state may be taken: every value is checked before any of it counts. */
#ifndef VNIC_TCP_OFFLOAD_ADMIT_H
#define VNIC_TCP_OFFLOAD_ADMIT_H

#include "tcp/offload_state.h"

enum { OFFLOAD_SPAN_MAX = 1 << 30 }; /* bytes of a window, of a queue */

/* What a state says of the two FINs. */
enum { FIN_OURS = 1, FIN_OURS_ACKED = 2, FIN_THEIRS = 4, STATE_NONE = 128 };

struct offload_row {
    uint8_t state, fins;
};

/* enum tcp_offload_connection_state, or anything: the engine's state, and the FINs (STATE_NONE: never taken). */
const struct offload_row *offload_row(uint32_t ndis);

/* TCP_OFFLOAD_OK, or why the taker cannot have it (OFL-1). */
int offload_admit(const struct tcp_offload_taker *taker, const struct tcp_offload_state *state);

#endif
