/* handshake.c: segments in SYN_SENT and SYN_RECEIVED, up to ESTABLISHED (RFC 9293 3.10.7.3 and .4). */
#include "tcp/arrival.h"
#include "tcp/ending.h"
#include "tcp/keepalive.h"
#include "tcp/option.h"
#include "tcp/recovery.h"
#include "tcp/timer.h"
#include "tcp/window.h"

enum { HANDSHAKE_RCV_MSS = 536 };

/* SYN or SYN,ACK left, and this acknowledges it. */
static bool is_our_syn_acked(const struct arrival *a)
{
    return tcp_flight(a->c) == 1 && a->segment->ack == a->c->snd_nxt;
}

/* Whether it left more than once: after a timeout, or because the peer asked again. */
static bool is_our_syn_ambiguous(const struct tcp_connection *c)
{
    return c->retransmits != 0 || c->runs != 0 || c->run_marks != 0;
}

/* RFC 6298 3: of a SYN that was sent again only timestamps can tell (RFC 7323 4). */
static uint32_t handshake_rtt_us(const struct arrival *a)
{
    const struct tcp_connection *c = a->c;
    const uint32_t rtt_us = engine_us(a->e) - c->run_us;
    const uint32_t echoed_ms = engine_ms(a->e) + c->ts_offset - a->segment->ts_ecr;

    if (!is_our_syn_ambiguous(c)) {
        return bits_max32(rtt_us, 1);
    }
    if (!tcp_has(c, TCP_HAS_TIMESTAMPS) || echoed_ms > engine_ms(a->e) - c->retrans_ms) {
        return 0;
    }
    return bits_max32(echoed_ms, 1) * 1000;
}

static void handshake_take_window(struct arrival *a, unsigned shift)
{
    struct tcp_connection *c = a->c;

    c->snd_wnd = (uint32_t)a->segment->wnd << shift;
    c->max_snd_wnd = bits_max32(c->max_snd_wnd, c->snd_wnd);
    c->snd_wl1 = a->segment->seq;
    c->snd_wl2 = a->segment->ack;
}

/* ESTABLISHED; or beyond, when the user has shut down meanwhile. */
static void handshake_complete(struct arrival *a)
{
    struct tcp_connection *c = a->c;
    const uint32_t rtt_us = handshake_rtt_us(a);
    const bool is_syn_lost = c->retransmits != 0;

    timer_stop(a->e, c, TCP_TIMER_XMIT);
    c->snd_una = a->segment->ack;
    c->state = tcp_has(c, TCP_FIN_QUEUED) ? TCP_STATE_FIN_WAIT_1 : TCP_STATE_ESTABLISHED;
    c->retransmits = c->backoff = c->probes = 0;
    c->flags &= ~(uint32_t)(TCP_PROBE_PENDING | TCP_NOTIFIED_R1);
    c->rcv_mss = (uint16_t)bits_min32(c->mss_limit, HANDSHAKE_RCV_MSS);
    recovery_on_connected(a->e, c, rtt_us, is_syn_lost);
    keepalive_start(a->e, c);
    a->result->events |= TCP_EVENT_CONNECTED | TCP_EVENT_CONFIRMED;
}

/* Both numbers of the peer are known. c->rcv_adv is the window of our SYN. */
static void handshake_take_syn(struct arrival *a)
{
    struct tcp_connection *c = a->c;

    c->rcv_nxt = a->segment->seq + 1;
    c->rcv_acked = c->rcv_nxt;
    c->rcv_adv += c->rcv_nxt;
    option_agree(a->e, c, a->segment);
    handshake_take_window(a, 0);
}

/* The answer to our SYN, whose text and FIN count as well; or both ends open at the same time. */
static void syn_arrives(struct arrival *a)
{
    struct tcp_connection *c = a->c;

    handshake_take_syn(a);
    if (!arrival_has(a, TCP_ACK)) {
        c->state = TCP_STATE_SYN_RECEIVED;
        c->flags |= TCP_PROBE_PENDING;
        return;
    }
    handshake_complete(a);
    c->flags |= TCP_ACK_NOW;
    acceptance_take(a);
    input_after_ack(a);
}

void handshake_syn_sent(struct arrival *a)
{
    const bool has_ack = arrival_has(a, TCP_ACK);

    if (has_ack && !is_our_syn_acked(a)) {
        a->result->events |= arrival_has(a, TCP_RST) ? 0 : TCP_EVENT_REPLY_RST;
        return;
    }
    if (arrival_has(a, TCP_RST)) {
        if (has_ack) {
            a->e->statistics.resets_in++;
            ending_close(a->e, a->c, a->result, TCP_REASON_REFUSED);
        }
        return;
    }
    if (arrival_has(a, TCP_SYN)) {
        syn_arrives(a);
    }
}

/* The SYN that brought us here: without ACK again, or with it as the peer's half of a simultaneous open. */
static bool is_same_syn(const struct arrival *a)
{
    return (a->segment->control & (TCP_SYN | TCP_RST)) == TCP_SYN && a->segment->seq + 1 == a->c->rcv_nxt;
}

/* Our SYN,ACK was lost. RFC 3168 6.1.1.1: a peer that asks again without ECN shall not get it. */
static void same_syn_arrives(struct arrival *a)
{
    if ((a->segment->control & (TCP_ECE | TCP_CWR)) != (TCP_ECE | TCP_CWR)) {
        a->c->flags &= ~(uint32_t)TCP_HAS_ECN;
    }
    a->c->flags |= TCP_PROBE_PENDING;
}

void handshake_syn_received(struct arrival *a)
{
    struct tcp_connection *c = a->c;

    if (is_same_syn(a)) {
        if (!arrival_has(a, TCP_ACK)) {
            same_syn_arrives(a);
            return;
        }
        c->flags |= TCP_ACK_NOW;
    } else if (!acceptance_check(a)) {
        return;
    }
    if (!is_our_syn_acked(a)) {
        a->result->events |= TCP_EVENT_REPLY_RST;
        return;
    }
    handshake_take_window(a, arrival_has(a, TCP_SYN) ? 0 : c->snd_wscale);
    handshake_complete(a);
    acceptance_take(a);
    input_after_ack(a);
}
