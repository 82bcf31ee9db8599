/* ACKs that a stranger may have provoked, and how many of them leave (RFC 5961 7). */
#ifndef VNIC_TCP_CHALLENGE_H
#define VNIC_TCP_CHALLENGE_H

#include "tcp/state.h"

/*
 * tcp_connection.challenges: in the RFC profile how many were sent in the period. In CHIMNEY the bits below, then
 * that number. Each connection counts for itself: a count that many share could be read by an attacker.
 */
enum challenge_bit {
    CHALLENGE_MITIGATING = 1, /* CHIMNEY: an attack is suspected; the keepalive timer runs for it */
    CHALLENGE_RST = 2,        /* a RST was challenged since the last acceptable segment */
    CHALLENGE_SYN = 4,        /* a SYN was challenged in the period */
    CHALLENGE_ONE = 8,
    CHALLENGE_COUNTS = 0xF8
};

enum { CHALLENGE_CHIMNEY_MS = 3000 };

/* An ACK for an ACK field or an empty segment that is not acceptable. */
void challenge_send(struct tcp_engine *e, struct tcp_connection *c);

/* ... for a RST in the window, and for a SYN. */
void challenge_rst(struct tcp_engine *e, struct tcp_connection *c);
void challenge_syn(struct tcp_engine *e, struct tcp_connection *c);

/* CHIMNEY: an acceptable segment ends the suspicion. */
void challenge_end(struct tcp_engine *e, struct tcp_connection *c);

static inline bool challenge_is_mitigating(const struct tcp_connection *c)
{
    return c->profile == TCP_PROFILE_CHIMNEY && (c->challenges & CHALLENGE_MITIGATING) != 0;
}

#endif
