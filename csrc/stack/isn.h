/* Initial sequence numbers, timestamp offsets and ephemeral ports: what must not be guessed. */
#ifndef VNIC_STACK_ISN_H
#define VNIC_STACK_ISN_H

#include "stack/lookup.h"

struct isn {
    uint32_t iss;
    uint32_t ts_offset;
};

/* RFC 6528 3: a clock of 4 us plus a keyed hash of the tuple; the timestamp's offset from the same hash. */
struct isn isn_choose(const struct vnic_stack *s, const struct tuple *tuple);

/* RFC 6056 3.3.3: a port that no connection of this tuple has; 0: none. tuple->local_port is not looked at. */
uint16_t port_choose(struct vnic_stack *s, const struct tuple *tuple);

#endif
