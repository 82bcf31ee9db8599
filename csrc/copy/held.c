/* held.c: reads of a descriptor overtake the last write of the one before it. */
#include "copy/held.h"

#include <string.h>

#include "copy/step.h"
#include "copy/transfer.h"

static uint8_t *held_bytes(const struct vnic_copy *copy, unsigned n)
{
    return copy->held + (size_t)n * COPY_PAGE;
}

bool held_may_wait(const struct vnic_copy *copy, unsigned n)
{
    const struct channel *ch = &copy->state.channel[n];
    return copy->config.is_overlapping && ch->change == 0 && ch->report == 0
           && !copy_descriptor_fence(ch->word) && channel_left(copy, n) != 1;
}

static uint32_t held_read(struct vnic_copy *copy, unsigned n, const struct piece *p, uint8_t *into)
{
    const struct channel *ch = &copy->state.channel[n];
    if (descriptor_is_fill(ch->word)) {
        copy->scratch.ops->fill(into, copy_descriptor_src(ch->word), ch->moved % 8, p->len);
        return 0;
    }
    return transfer_read_piece(copy, n, p, into);
}

/* The last piece of a descriptor that may wait is no longer at hand. */
static void held_keep(struct vnic_copy *copy, unsigned n, const struct piece *p)
{
    struct channel *ch = &copy->state.channel[n];
    const bool is_end = ch->moved + p->len == descriptor_size(ch->word);
    ch->held = (struct held_piece){.descriptor = ch->current,
                                   .to = p->to,
                                   .len = p->len,
                                   .is_beyond = p->is_to_beyond,
                                   .is_last = is_end && held_may_wait(copy, n)};
    if (ch->held.is_last) {
        ch->phase = CHANNEL_BETWEEN;
    }
}

uint64_t held_take(struct vnic_copy *copy, unsigned n, const struct piece *p)
{
    struct channel *ch = &copy->state.channel[n];
    const uint32_t error = held_read(copy, n, p, held_bytes(copy, n));
    if (error) {
        channel_fail(copy, n, error);
        return 0;
    }
    held_keep(copy, n, p);
    return descriptor_is_fill(ch->word) ? 0 : p->len;
}

bool held_flush(struct vnic_copy *copy, unsigned n, uint64_t *bytes)
{
    struct channel *ch = &copy->state.channel[n];
    const struct piece p = {.to = ch->held.to, .len = ch->held.len, .is_to_beyond = ch->held.is_beyond};
    const uint32_t error = transfer_write_piece(copy, n, &p, held_bytes(copy, n));
    if (error) {
        ch->current = ch->held.descriptor;
        channel_fail(copy, n, error);
        return false;
    }
    *bytes += p.len;
    ch->held.len = 0;
    if (ch->held.is_last) {
        channel_note_processed(ch, ch->held.descriptor);
    }
    return true;
}

void held_fail(struct vnic_copy *copy, unsigned n, uint32_t errors, uint64_t *bytes)
{
    if (copy->state.channel[n].held.len == 0 || held_flush(copy, n, bytes)) {
        channel_fail(copy, n, errors);
    }
}

uint64_t held_end(struct vnic_copy *copy, unsigned n)
{
    uint64_t bytes = 0;
    if (held_flush(copy, n, &bytes)) {
        channel_finish(copy, n);
    }
    return bytes;
}

/* The first piece of a descriptor is read, then what the one before it left is written. */
static uint64_t held_exchange(struct vnic_copy *copy, unsigned n)
{
    const struct piece p = descriptor_piece(copy->state.channel[n].word, 0);
    uint8_t *fresh = copy->scratch.piece;
    uint64_t bytes = 0;
    const uint32_t error = transfer_read_piece(copy, n, &p, fresh);
    if (error) {
        held_fail(copy, n, error, &bytes);
        return bytes;
    }
    bytes = p.len;
    if (held_flush(copy, n, &bytes)) {
        memcpy(held_bytes(copy, n), fresh, p.len);
        held_keep(copy, n, &p);
    }
    return bytes;
}

/* A descriptor that reads nothing only waits for what is held. */
static uint64_t held_let_go(struct vnic_copy *copy, unsigned n)
{
    uint64_t bytes = 0;
    if (held_flush(copy, n, &bytes) && !descriptor_is_moving(copy->state.channel[n].word)) {
        step_end_moving(copy, n);
    }
    return bytes;
}

static uint64_t held_write_own(struct vnic_copy *copy, unsigned n)
{
    struct channel *ch = &copy->state.channel[n];
    const uint32_t len = ch->held.len;
    uint64_t bytes = 0;
    if (held_flush(copy, n, &bytes)) {
        ch->moved += len;
        if (ch->moved == descriptor_size(ch->word)) {
            step_end_moving(copy, n);
        }
    }
    return bytes;
}

static bool held_is_read_next(const struct channel *ch)
{
    return ch->held.is_last && descriptor_is_moving(ch->word) && !descriptor_is_fill(ch->word);
}

uint64_t held_step(struct vnic_copy *copy, unsigned n)
{
    const struct channel *ch = &copy->state.channel[n];
    if (!ch->held.is_last) {
        return held_write_own(copy, n);
    }
    return held_is_read_next(ch) ? held_exchange(copy, n) : held_let_go(copy, n);
}

uint64_t held_next_bytes(const struct vnic_copy *copy, unsigned n)
{
    const struct channel *ch = &copy->state.channel[n];
    return ch->held.len + (held_is_read_next(ch) ? descriptor_piece(ch->word, 0).len : 0);
}
