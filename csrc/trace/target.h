/* target.h: a device that a trace is replayed into: a card or a copy engine. */
#ifndef VNIC_TRACE_TARGET_H
#define VNIC_TRACE_TARGET_H

#include <stdbool.h>

#include "vnic/vnic_trace.h"

struct target {
    vnic *card;
    vnic_copy *engine; /* one of the two, or neither: no such function */
};

static inline bool target_is_there(const struct target *t)
{
    return t->card != NULL || t->engine != NULL;
}

/* Makes the replay the device's observer and its memory; undone with NULL. */
void target_attach(const struct target *t, vnic_observer observer, vnic_unmapped answer, void *opaque);
/* Applies an input; false when the type is none of an input. data: of event->len octets, or NULL. */
bool target_apply(const struct target *t, const struct vnic_event *event, const uint8_t *data);
bool target_is_input(unsigned type);
uint64_t target_hash(const struct target *t);

#endif
