/* channel_snapshot.c: a channel in a snapshot: its fields, and the states that a channel can be in. */
#include "copy/channel.h"
#include "copy/descriptor.h"
#include "copy/held.h"
#include "copy/snapshot.h"
#include "copy/tags.h"

static bool is_descriptor_address(uint64_t addr)
{
    return (addr & (COPY_DESCRIPTOR_BYTES - 1)) == 0;
}

/* --- what can be */

/* Nothing is at hand, held, or waiting to take effect. */
static bool channel_is_at_rest(const struct channel *ch)
{
    return !channel_is_at_hand(ch) && ch->change == 0 && !ch->must_reread;
}

static bool channel_is_halted_sound(const struct channel *ch)
{
    const bool is_reporting = ch->phase == CHANNEL_REPORTING && ch->report != 0;
    return ch->held.len == 0 && ch->change == 0 && !ch->must_reread
           && (is_reporting || ch->phase == CHANNEL_BETWEEN);
}

/* Only what was at hand waits for its end; only what has a reason is active. */
static bool channel_is_active_sound(const struct vnic_copy *copy, unsigned n)
{
    const struct channel *ch = &copy->state.channel[n];
    if (channel_is_at_hand(ch)) {
        return !ch->is_first && !ch->must_reread;
    }
    return ch->change == 0 && channel_rest_status(copy, n) == CHAN_STATUS_ACTIVE
           && !(ch->must_reread && ch->is_first);
}

static bool channel_is_status_sound(const struct vnic_copy *copy, unsigned n)
{
    const struct channel *ch = &copy->state.channel[n];
    switch (ch->status) {
    case CHAN_STATUS_HALTED:
        return channel_is_halted_sound(ch);
    case CHAN_STATUS_ACTIVE:
        return channel_is_active_sound(copy, n);
    case CHAN_STATUS_SUSPENDED:
        return channel_is_at_rest(ch);
    default:
        return channel_is_at_rest(ch) && channel_rest_status(copy, n) == ch->status;
    }
}

static bool channel_is_moving_sound(const struct channel *ch)
{
    if (!descriptor_is_moving(ch->word)) {
        return ch->moved == 0 && ch->held.len != 0 && ch->held.is_last;
    }
    return ch->moved < descriptor_size(ch->word)
           && (ch->moved == 0 || ch->held.len == 0 || !ch->held.is_last);
}

/* A descriptor at hand passed the checks, and asks for the report that is due. */
static bool channel_is_descriptor_sound(const struct vnic_copy *copy, const struct channel *ch)
{
    if (descriptor_check(ch->word, 1ull << copy->config.transfer_log2) != 0
        || ch->report != descriptor_report(ch->word) || !is_descriptor_address(ch->current)) {
        return false;
    }
    if (ch->phase == CHANNEL_MOVING) {
        return channel_is_moving_sound(ch);
    }
    return ch->report != 0 && ch->held.len == 0 && ch->last == ch->current
           && ch->moved == (descriptor_is_moving(ch->word) ? descriptor_size(ch->word) : 0);
}

/* What is held of the descriptor at hand is its next piece. */
static bool channel_is_held_sound(const struct vnic_copy *copy, const struct channel *ch)
{
    const struct held_piece *held = &ch->held;
    if (!copy->config.is_overlapping || held->len > COPY_PAGE || !is_descriptor_address(held->descriptor)
        || held->len > page_rest(held->to)) {
        return false;
    }
    if (held->is_last) {
        return true;
    }
    if (ch->phase != CHANNEL_MOVING || !descriptor_is_moving(ch->word)) {
        return false;
    }
    const struct piece p = descriptor_piece(ch->word, ch->moved);
    return held->descriptor == ch->current && held->to == p.to && held->len == p.len
           && held->is_beyond == p.is_to_beyond;
}

static bool channel_is_sound(const struct vnic_copy *copy, unsigned n)
{
    const struct channel *ch = &copy->state.channel[n];
    const bool has_error = copy_channel_reg(copy, COPY_CHANERR, n) != 0;
    const bool has_descriptor = ch->phase != CHANNEL_BETWEEN && ch->status != CHAN_STATUS_HALTED;
    return is_descriptor_address(ch->last) && ch->enabled_ns <= copy->pci.now_ns
           && (ch->phase != CHANNEL_BETWEEN || ch->report == 0)
           && (!has_error || ch->status == CHAN_STATUS_HALTED) && channel_is_status_sound(copy, n)
           && (!has_descriptor || channel_is_descriptor_sound(copy, ch))
           && (ch->held.len == 0 || channel_is_held_sound(copy, ch));
}

/* --- fields */

static void channel_archive_held(struct vnic_copy *copy, unsigned n, struct archive *a)
{
    struct held_piece *held = &copy->state.channel[n].held;
    ARCHIVE(a, TAG_HELD_LEN, held->len, copy->config.is_overlapping ? COPY_PAGE : 0);
    if (a->failed || held->len == 0) {
        return;
    }
    ARCHIVE(a, TAG_HELD_DESCRIPTOR, held->descriptor, UINT64_MAX);
    ARCHIVE(a, TAG_HELD_TO, held->to, UINT64_MAX);
    ARCHIVE(a, TAG_HELD_LAST, held->is_last, 1);
    ARCHIVE(a, TAG_HELD_BEYOND, held->is_beyond, 1);
    archive_bytes(a, TAG_HELD_BYTES, copy->held + (size_t)n * COPY_PAGE, held->len);
}

/* The copy of a descriptor, while it is at hand. */
static void channel_archive_descriptor(struct channel *ch, struct archive *a)
{
    if (ch->phase == CHANNEL_BETWEEN || ch->status == CHAN_STATUS_HALTED) {
        return;
    }
    for (unsigned i = 0; i < COPY_WORDS; i++) {
        ARCHIVE(a, TAG_CHANNEL_WORD, ch->word[i], UINT64_MAX);
    }
    ARCHIVE(a, TAG_CHANNEL_MOVED, ch->moved, UINT32_MAX);
}

void channel_archive(struct vnic_copy *copy, unsigned n, struct archive *a)
{
    struct channel *ch = &copy->state.channel[n];
    ARCHIVE(a, TAG_CHANNEL_STATUS, ch->status, CHAN_STATUS_ARMED);
    ARCHIVE(a, TAG_CHANNEL_PHASE, ch->phase, CHANNEL_REPORTING);
    ARCHIVE(a, TAG_CHANNEL_REPORT, ch->report, REPORT_WRITE | REPORT_INTERRUPT);
    ARCHIVE(a, TAG_CHANNEL_CHANGE, ch->change, CHANNEL_SUSPEND | CHANNEL_NEW_CHAIN);
    ARCHIVE(a, TAG_CHANNEL_FIRST, ch->is_first, 1);
    ARCHIVE(a, TAG_CHANNEL_REREAD, ch->must_reread, 1);
    ARCHIVE(a, TAG_CHANNEL_NEXT, ch->next, UINT64_MAX);
    ARCHIVE(a, TAG_CHANNEL_CURRENT, ch->current, UINT64_MAX);
    ARCHIVE(a, TAG_CHANNEL_LAST, ch->last, UINT64_MAX);
    ARCHIVE(a, TAG_CHANNEL_PROCESSED, ch->processed, UINT16_MAX);
    ARCHIVE(a, TAG_CHANNEL_DUE, ch->is_due, 1);
    ARCHIVE(a, TAG_CHANNEL_ENABLED, ch->enabled_ns, UINT64_MAX);
    channel_archive_descriptor(ch, a);
    channel_archive_held(copy, n, a);
    if (archive_is_loading(a) && !a->failed) {
        archive_refuse_if(a, !channel_is_sound(copy, n));
        copy_note_ready(copy, n);
    }
}
