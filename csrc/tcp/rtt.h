/* Round-trip time: samples, SRTT and RTTVAR, and the retransmission timeout that follows (RFC 6298). */
#ifndef VNIC_TCP_RTT_H
#define VNIC_TCP_RTT_H

#include "tcp/scoreboard.h"

/* rto_us from srtt_us and rttvar_us, within the engine's bounds (RFC 6298 2.3 to 2.5). */
void rtt_set_rto(const struct tcp_engine *e, struct tcp_connection *c);

/* One sample of an RTT; weight_shift s makes both gains 2^s times smaller (RFC 7323 App. G). */
void rtt_sample(const struct tcp_engine *e, struct tcp_connection *c, uint32_t rtt_us, uint32_t weight_shift);

/*
 * Takes the sample that an ACK offers, if there is one. flight: bytes in flight before it. Returns the RTT of the
 * segment sent last among those delivered, in us, 0: none; congestion control wants that one.
 */
uint32_t rtt_on_ack(const struct tcp_engine *e, struct tcp_connection *c, const struct tcp_segment *segment,
                    const struct delivery *d, uint32_t flight);

/* Time since the echoed timestamp was sent, in us and at most; UINT32_MAX when there is none. */
uint32_t rtt_echo_age_us(const struct tcp_engine *e, const struct tcp_connection *c,
                         const struct tcp_segment *segment);

#endif
