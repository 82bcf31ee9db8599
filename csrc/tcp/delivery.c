/* What an ACK delivered, and what that tells of the network: for RTT, RACK and F-RTO. */
#include "tcp/delivery.h"

#include "wire/seq.h"

/* A retransmission so young that the original was delivered (RFC 8985 6.2 step 2). */
static bool is_too_young(const struct delivery *d, uint32_t age_us)
{
    return age_us < d->min_rtt_us || (d->echo_age_us != UINT32_MAX && d->echo_age_us > age_us);
}

static void note_rack(struct delivery *d, uint32_t right, uint32_t stamp)
{
    if (!d->has_rack || delivery_is_before(d->rack_us, d->rack_end, stamp, right)) {
        d->has_rack = true;
        d->rack_us = stamp;
        d->rack_end = right;
    }
}

static void note_sample(struct delivery *d, uint32_t stamp)
{
    if (!d->has_sample) {
        d->has_sample = true;
        d->oldest_us = stamp;
        d->newest_us = stamp;
        return;
    }
    d->oldest_us = seq_min(d->oldest_us, stamp);
    d->newest_us = seq_max(d->newest_us, stamp);
}

void delivery_note(struct delivery *d, uint32_t left, uint32_t right, uint32_t stamp, uint32_t marks)
{
    if ((marks & SCOREBOARD_SACKED) != 0) {
        return;
    }
    d->delivered += right - left;
    if ((marks & SCOREBOARD_RETRANSMITTED) != 0) {
        d->has_retransmitted = true;
        d->has_old_echo |= d->echo_age_us != UINT32_MAX && d->echo_age_us > d->now_us - stamp;
        if (is_too_young(d, d->now_us - stamp)) {
            return;
        }
    } else {
        d->has_original |= seq_le(right, d->recover);
        d->is_reordered |= seq_lt(right, d->fack);
        if ((marks & (SCOREBOARD_MERGED | SCOREBOARD_LOST))
            == 0) { /* given up: who knows since when it is there */
            note_sample(d, stamp);
        }
    }
    note_rack(d, right, stamp);
}
