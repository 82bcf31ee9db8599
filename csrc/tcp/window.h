/* The two windows: what we offer, and what the peer's offer lets us send (RFC 9293 3.8.6). */
#ifndef VNIC_TCP_WINDOW_H
#define VNIC_TCP_WINDOW_H

#include "base/bits.h"
#include "tcp/state.h"
#include "wire/seq.h"

enum { WINDOW_SHIFT_MAX = 14, WINDOW_FIELD_MAX = 65535, WINDOW_BUFFER_MAX = 1 << 30 };

/* Room in the receive buffer. */
static inline uint32_t window_room(const struct tcp_connection *c)
{
    return c->rcv_buf > c->rcv_unread ? c->rcv_buf - c->rcv_unread : 0;
}

/* RCV.WND as the peer may know it: up to the highest edge ever offered (RFC 7323 2.4). */
static inline uint32_t window_offered(const struct tcp_connection *c)
{
    return c->rcv_adv - c->rcv_nxt;
}

/* The window of a SYN, which is never scaled (RFC 7323 2.2); of one sent again, no less than before. */
static inline uint32_t window_of_syn(const struct tcp_connection *c)
{
    return bits_min32(bits_max32(window_room(c), window_offered(c)), WINDOW_FIELD_MAX);
}

/* The user made room: the peer should hear of it without waiting for the next ACK. */
bool window_is_update_due(const struct tcp_connection *c);

/* Sequence numbers queued and never sent, FIN included. */
static inline uint32_t window_unsent(const struct tcp_connection *c)
{
    if (tcp_has(c, TCP_FIN_SENT)) {
        return 0;
    }
    return c->snd_end - c->snd_nxt + (tcp_has(c, TCP_FIN_QUEUED) ? 1 : 0);
}

/* The usable window: 0 when the peer shrank it to the left of SND.NXT (MUST-34). */
static inline uint32_t window_usable(const struct tcp_connection *c)
{
    const int32_t usable = seq_diff(c->snd_nxt, c->snd_una + c->snd_wnd);

    return usable > 0 ? (uint32_t)usable : 0;
}

/*
 * Payload bytes of new data that may leave now in packets of mss, by the window, sender SWS avoidance and Nagle
 * (RFC 9293 3.8.6.2.1, 3.7.4); at most max_len or one packet. Congestion control is not asked.
 */
uint32_t window_allow(const struct tcp_connection *c, uint32_t mss, uint32_t max_len);

/* A FIN that follows all data may leave now. */
static inline bool window_allows_fin(const struct tcp_connection *c, uint32_t len)
{
    return tcp_has(c, TCP_FIN_QUEUED) && !tcp_has(c, TCP_FIN_SENT) && c->snd_nxt + len == c->snd_end
           && window_usable(c) > len;
}

#endif
