/* What an ACK delivered, and what that tells of the network: for RTT, RACK and F-RTO. */
#ifndef VNIC_TCP_DELIVERY_H
#define VNIC_TCP_DELIVERY_H

#include "tcp/connection.h"

/* What an ACK delivered; the first part is what is known before. */
struct delivery {
    uint32_t now_us, min_rtt_us;
    uint32_t echo_age_us; /* time since the echoed timestamp, at most; UINT32_MAX: no timestamp */
    uint32_t fack;
    uint32_t recover;
    uint32_t timeouts;  /* in a row, before the ACK */
    bool has_duplicate; /* the ACK answers a segment that the receiver had (D-SACK) */

    uint32_t delivered; /* bytes acknowledged or SACKed that were not before */
    uint32_t sacked; /* of these SACKed */
    uint32_t oldest_us, newest_us; /* of delivered runs sent once: when; valid with has_sample */
    uint32_t rack_us, rack_end; /* the delivered run that was sent last; valid with has_rack */
    bool has_sample;
    bool has_retransmitted; /* some of it was sent more than once (Karn) */
    bool has_old_echo;      /* ... for the last time after what the ACK echoes */
    bool has_original; /* some of it, below recover, was sent once only (F-RTO) */
    bool has_rack;
    bool is_reordered; /* a run sent once arrived after later ones (RFC 8985 6.2 step 3) */
};

/* A run, or the front of one, that was sent at stamp has arrived. */
void delivery_note(struct delivery *d, uint32_t left, uint32_t right, uint32_t stamp, uint32_t marks);

/* Sent before (at, end), in the order of RFC 8985 6.2: by time, then by sequence number. */
static inline bool delivery_is_before(uint32_t us, uint32_t right, uint32_t at_us, uint32_t end)
{
    return us == at_us ? (int32_t)(right - end) < 0 : (int32_t)(us - at_us) < 0;
}

#endif
