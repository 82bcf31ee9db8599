/* step.c: what a channel does in one step, by where it stands with its descriptor. */
#include "copy/step.h"

#include "copy/channel.h"
#include "copy/held.h"
#include "copy/interrupt.h"
#include "copy/transfer.h"

/* --- a descriptor fetched */

static uint32_t step_misalignment(const struct channel *ch)
{
    if ((ch->next & (COPY_DESCRIPTOR_BYTES - 1)) == 0) {
        return 0;
    }
    return ch->is_first ? CHANERR_CHAIN_ADDR_MASK : CHANERR_NEXT_ALIGN_MASK;
}

/* [DMA-20] [DMA-40] */
static uint32_t step_read_descriptor(struct vnic_copy *copy, unsigned n, uint64_t *bytes)
{
    struct channel *ch = &copy->state.channel[n];
    ch->current = ch->next;
    uint32_t error = step_misalignment(ch);
    if (error == 0) {
        error = transfer_fetch(copy, n, ch->current, ch->word);
        *bytes = error == 0 ? COPY_DESCRIPTOR_BYTES : 0;
    }
    return error == 0 ? descriptor_check(ch->word, 1ull << copy->config.transfer_log2) : error;
}

/* [DMA-30] [DMA-31] */
void step_end_moving(struct vnic_copy *copy, unsigned n)
{
    struct channel *ch = &copy->state.channel[n];
    channel_note_processed(ch, ch->current);
    if (ch->report != 0) {
        ch->phase = CHANNEL_REPORTING;
    } else {
        channel_finish(copy, n);
    }
}

static uint64_t step_fetch(struct vnic_copy *copy, unsigned n)
{
    struct channel *ch = &copy->state.channel[n];
    uint64_t bytes = 0;
    const uint32_t error = step_read_descriptor(copy, n, &bytes);
    if (__builtin_expect(error != 0, 0)) {
        held_fail(copy, n, error, &bytes);
        return bytes;
    }
    ch->is_first = false;
    ch->next = copy_descriptor_next(ch->word); /* [DMA-5] */
    ch->moved = 0;
    ch->report = descriptor_report(ch->word);
    ch->phase = CHANNEL_MOVING;
    if (!descriptor_is_moving(ch->word) && ch->held.len == 0) {
        step_end_moving(copy, n);
    }
    return bytes;
}

/* [DMA-7] */
static uint64_t step_reread(struct vnic_copy *copy, unsigned n)
{
    struct channel *ch = &copy->state.channel[n];
    uint64_t word[COPY_WORDS];
    ch->current = ch->last;
    const uint32_t error = transfer_fetch(copy, n, ch->last, word);
    if (error) {
        channel_fail(copy, n, error);
        return 0;
    }
    ch->next = copy_descriptor_next(word);
    ch->must_reread = false;
    ch->status = channel_rest_status(copy, n);
    return COPY_DESCRIPTOR_BYTES;
}

static uint64_t step_between(struct vnic_copy *copy, unsigned n)
{
    const struct channel *ch = &copy->state.channel[n];
    if (ch->held.len != 0 && held_must_go(copy, n)) {
        return held_end(copy, n);
    }
    return ch->must_reread ? step_reread(copy, n) : step_fetch(copy, n);
}

/* --- a piece moved */

/* [DMA-21] [DMA-41] What is written was read whole. */
static uint32_t step_move_slow(struct vnic_copy *copy, unsigned n, const struct piece *p, uint64_t *bytes)
{
    const struct channel *ch = &copy->state.channel[n];
    uint8_t *data = copy->scratch.piece;
    if (descriptor_is_fill(ch->word)) {
        copy->scratch.ops->fill(data, copy_descriptor_src(ch->word), ch->moved % 8, p->len);
    } else {
        const uint32_t error = transfer_read_piece(copy, n, p, data);
        if (error) {
            return error;
        }
        *bytes = p->len;
    }
    const uint32_t error = transfer_write_piece(copy, n, p, data);
    *bytes += error ? 0 : p->len;
    return error;
}

static uint64_t step_piece_bytes(const struct channel *ch, const struct piece *p)
{
    return descriptor_is_fill(ch->word) ? p->len : 2 * (uint64_t)p->len;
}

static bool step_is_held_back(const struct vnic_copy *copy, unsigned n, const struct piece *p)
{
    const struct channel *ch = &copy->state.channel[n];
    return ch->moved + p->len == descriptor_size(ch->word) && held_may_wait(copy, n);
}

static uint64_t step_move(struct vnic_copy *copy, unsigned n)
{
    struct channel *ch = &copy->state.channel[n];
    if (ch->held.len != 0) {
        return held_step(copy, n);
    }
    const struct piece p = descriptor_piece(ch->word, ch->moved);
    if (step_is_held_back(copy, n, &p)) {
        return held_take(copy, n, &p);
    }
    uint64_t bytes = 0;
    if (transfer_move_direct(copy, n, &p)) {
        bytes = step_piece_bytes(ch, &p);
    } else {
        const uint32_t error = step_move_slow(copy, n, &p, &bytes);
        if (error) {
            channel_fail(copy, n, error);
            return bytes;
        }
    }
    ch->moved += p.len;
    if (ch->moved == descriptor_size(ch->word)) {
        step_end_moving(copy, n);
    }
    return bytes;
}

/* --- a report of what was done */

static unsigned step_report_status(const struct vnic_copy *copy, unsigned n)
{
    const struct channel *ch = &copy->state.channel[n];
    if (ch->status == CHAN_STATUS_HALTED) {
        return CHAN_STATUS_HALTED;
    }
    if (ch->change & CHANNEL_SUSPEND) {
        return CHAN_STATUS_SUSPENDED;
    }
    return channel_left(copy, n) != 0 ? CHAN_STATUS_ACTIVE : CHAN_STATUS_DONE;
}

/* [DMA-42] The report of an error: nothing of the chain goes on. */
static uint64_t step_report_error(struct vnic_copy *copy, unsigned n)
{
    struct channel *ch = &copy->state.channel[n];
    uint64_t bytes = 0;
    if (ch->report & REPORT_WRITE) {
        ch->report &= (uint8_t)~REPORT_WRITE;
        const uint32_t error = transfer_complete(copy, n, channel_status_word(copy, n, CHAN_STATUS_HALTED));
        if (error) {
            channel_fail(copy, n, error);
        } else {
            bytes = COPY_COMPLETION_BYTES;
        }
    }
    if (ch->report & REPORT_INTERRUPT) {
        interrupt_cause(copy, n);
    }
    ch->report = 0;
    ch->phase = CHANNEL_BETWEEN;
    return bytes;
}

/* [DMA-30] [DMA-31] */
static uint64_t step_report(struct vnic_copy *copy, unsigned n)
{
    struct channel *ch = &copy->state.channel[n];
    uint64_t bytes = 0;
    if (ch->report & REPORT_WRITE) {
        const unsigned status = step_report_status(copy, n);
        const uint32_t error = transfer_complete(copy, n, channel_status_word(copy, n, status));
        if (error) {
            channel_fail(copy, n, error);
            return 0;
        }
        bytes = COPY_COMPLETION_BYTES;
    }
    if (ch->report & REPORT_INTERRUPT) {
        interrupt_cause(copy, n);
    }
    ch->report = 0;
    channel_finish(copy, n);
    return bytes;
}

/* --- any of them */

uint64_t step_take(struct vnic_copy *copy, unsigned n)
{
    const struct channel *ch = &copy->state.channel[n];
    switch (ch->phase) {
    case CHANNEL_BETWEEN:
        return step_between(copy, n);
    case CHANNEL_MOVING:
        return step_move(copy, n);
    default:
        return ch->status == CHAN_STATUS_HALTED ? step_report_error(copy, n) : step_report(copy, n);
    }
}

static uint64_t step_move_bytes(const struct vnic_copy *copy, unsigned n)
{
    const struct channel *ch = &copy->state.channel[n];
    if (ch->held.len != 0) {
        return held_next_bytes(copy, n);
    }
    const struct piece p = descriptor_piece(ch->word, ch->moved);
    return step_piece_bytes(ch, &p) - (step_is_held_back(copy, n, &p) ? p.len : 0);
}

static uint64_t step_between_bytes(const struct vnic_copy *copy, unsigned n)
{
    const struct channel *ch = &copy->state.channel[n];
    const bool is_end = ch->held.len != 0 && held_must_go(copy, n);
    return ch->held.len + (is_end ? 0 : COPY_DESCRIPTOR_BYTES);
}

uint64_t step_next_bytes(const struct vnic_copy *copy, unsigned n)
{
    const struct channel *ch = &copy->state.channel[n];
    switch (ch->phase) {
    case CHANNEL_BETWEEN:
        return step_between_bytes(copy, n);
    case CHANNEL_MOVING:
        return step_move_bytes(copy, n);
    default:
        return ch->report & REPORT_WRITE ? COPY_COMPLETION_BYTES : 0;
    }
}

/* Fetch, twice the pages that both ends touch, report; an error's report, and what was held. */
uint64_t step_idle_steps(const struct vnic_copy *copy, unsigned n)
{
    const struct channel *ch = &copy->state.channel[n];
    const uint64_t pages = (1ull << copy->config.transfer_log2) / COPY_PAGE + 1;
    const uint64_t a_descriptor = 2 + 2 * pages + 1;
    const uint64_t descriptors = channel_left(copy, n) + 1ull;
    return channel_is_ready(ch) ? descriptors * a_descriptor + 3 : 0;
}
