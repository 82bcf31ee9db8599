/* window.c: receiver and sender avoidance of silly windows, and right edges that never move left. */
#include "tcp/window.h"

/* Receiver SWS avoidance (MUST-39): the edge moves by this much or not at all. */
static uint32_t window_step(const struct tcp_connection *c)
{
    return bits_max32(bits_min32(c->rcv_buf / 2, c->snd_mss), 1);
}

/*
 * The old edge as the scaled field can say it: rounded up if there is room for that, else down, and then data up to
 * the old edge is still taken (RFC 7323 2.4).
 */
static uint32_t window_keep_edge(const struct tcp_connection *c, uint32_t offered, uint32_t room)
{
    const uint32_t unit = 1U << c->rcv_wscale, up = (offered + unit - 1) & ~(unit - 1);

    return up <= room ? up : offered & ~(unit - 1);
}

uint32_t tcp_receive_window(const struct tcp_connection *c)
{
    const uint32_t offered = window_offered(c), room = window_room(c), most = 65535U << c->rcv_wscale;
    uint32_t window = 0;

    if (room >= offered + window_step(c)) {
        window = room >> c->rcv_wscale << c->rcv_wscale;
    }
    if (window < offered) {
        window = window_keep_edge(c, offered, room);
    }
    return bits_min32(window, most);
}

/* While half of the buffer is on offer the next ACK may tell of the rest; with less, at once (WIN-10). */
bool window_is_update_due(const struct tcp_connection *c)
{
    const uint32_t offered = window_offered(c);

    if (offered >= c->rcv_buf / 2 || tcp_receive_window(c) <= offered) {
        return false;
    }
    return c->rcv_nxt == c->rcv_acked || offered < 2U * c->snd_mss;
}

/* The rest of the queue, less than a packet, may leave: pushed, and Nagle does not make it wait. */
static bool window_lets_tail_go(const struct tcp_connection *c, bool is_behind_full)
{
    if (tcp_has(c, TCP_FIN_QUEUED | TCP_OVERRIDE)) {
        return true;
    }
    return tcp_has(c, TCP_PUSH) && (tcp_has(c, TCP_NODELAY) || (tcp_flight(c) == 0 && !is_behind_full));
}

/* RFC 9293 3.8.6.2.1 (2) to (4), for less than a packet. */
static bool window_lets_small_go(const struct tcp_connection *c, uint32_t len, bool is_tail)
{
    if (tcp_has(c, TCP_OVERRIDE) || (is_tail && window_lets_tail_go(c, false))) {
        return true;
    }
    return len >= c->max_snd_wnd / 2 && (tcp_has(c, TCP_NODELAY) || tcp_flight(c) == 0);
}

uint32_t window_allow(const struct tcp_connection *c, uint32_t mss, uint32_t max_len)
{
    const uint32_t queued = tcp_has(c, TCP_FIN_SENT) ? 0 : c->snd_end - c->snd_nxt;
    uint32_t len = bits_min32(queued, window_usable(c));

    if (len < mss) {
        return len != 0 && window_lets_small_go(c, len, len == queued) ? len : 0;
    }
    len = bits_min32(len, max_len);
    if (len < 2 * mss && len != queued) {
        return mss;
    }
    return len == queued && window_lets_tail_go(c, true) ? len : len - len % mss;
}
