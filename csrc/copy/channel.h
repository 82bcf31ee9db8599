/* channel.h: the states of a channel: what registers ask of it, and what ends a descriptor. */
#ifndef VNIC_COPY_CHANNEL_H
#define VNIC_COPY_CHANNEL_H

#include "copy/copy.h"

/* Accesses. */
void channel_set_chain(struct vnic_copy *copy, unsigned n);
void channel_set_count(struct vnic_copy *copy, unsigned n, uint16_t count);
void channel_command(struct vnic_copy *copy, unsigned n, uint32_t commands);

/* An error: bits of CHANERR. */
void channel_fail(struct vnic_copy *copy, unsigned n, uint32_t errors);
/* The descriptor at hand is finished and something waited for it. */
void channel_change(struct vnic_copy *copy, unsigned n);

void channel_reset(struct vnic_copy *copy, unsigned n);

static inline uint16_t channel_count(const struct vnic_copy *copy, unsigned n)
{
    return (uint16_t)(copy_channel_reg(copy, COPY_CHANCMD, n) >> CHANCMD_DMACOUNT_SHIFT);
}

/* [DMA-3] Counted descriptors that are not processed, modulo 2^16. */
static inline uint16_t channel_left(const struct vnic_copy *copy, unsigned n)
{
    return (uint16_t)(channel_count(copy, n) - copy->state.channel[n].processed);
}

/* A descriptor is being worked on: what is asked for waits until it is finished. */
static inline bool channel_is_at_hand(const struct channel *ch)
{
    return ch->phase != CHANNEL_BETWEEN || ch->held.len != 0;
}

/* The state of a channel that is not told to stop, with nothing at hand. */
static inline uint8_t channel_rest_status(const struct vnic_copy *copy, unsigned n)
{
    const struct channel *ch = &copy->state.channel[n];
    if (channel_left(copy, n) != 0 || ch->must_reread) {
        return CHAN_STATUS_ACTIVE;
    }
    return ch->is_first ? CHAN_STATUS_ARMED : CHAN_STATUS_DONE;
}

/* All that the descriptor moves is moved. One of a chain that was given up does not count. */
static inline void channel_note_processed(struct channel *ch, uint64_t descriptor)
{
    ch->last = descriptor;
    ch->processed = (uint16_t)(ch->processed + ((ch->change & CHANNEL_NEW_CHAIN) == 0));
}

/* The descriptor at hand is finished. */
static inline void channel_finish(struct vnic_copy *copy, unsigned n)
{
    struct channel *ch = &copy->state.channel[n];
    ch->phase = CHANNEL_BETWEEN;
    if (ch->change != 0) {
        channel_change(copy, n);
    } else if (channel_left(copy, n) == 0) {
        ch->status = CHAN_STATUS_DONE;
    }
}

/* What CHANSTS reads. */
static inline uint64_t channel_status_word(const struct vnic_copy *copy, unsigned n, unsigned status)
{
    const uint64_t last = status == CHAN_STATUS_ARMED ? 0 : copy->state.channel[n].last;
    const bool has_error = copy_channel_reg(copy, COPY_CHANERR, n) != 0;
    return last | status | (has_error ? CHANSTS_SOFT_ERR_MASK : 0);
}

#endif
