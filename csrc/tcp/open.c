/* open.c: how a connection begins: by our SYN, by the peer's, or by the ACK that brought a cookie back. */
#include "tcp/keepalive.h"
#include "tcp/option.h"
#include "tcp/recovery.h"
#include "tcp/window.h"
#include "wire/seq.h"

#include <string.h>

enum {
    OPEN_FLAGS = TCP_HAS_TIMESTAMPS | TCP_HAS_SACK | TCP_HAS_WSCALE | TCP_HAS_ECN | TCP_NODELAY
        | TCP_KEEPALIVE | TCP_STRICT_TIMESTAMPS | TCP_PLPMTUD,
    OPEN_RCV_MSS = 536
};

static void open_identity(struct tcp_connection *c, const struct tcp_open *open)
{
    memcpy(c->local, open->local, sizeof c->local);
    memcpy(c->remote, open->remote, sizeof c->remote);
    c->local_port = open->local_port;
    c->remote_port = open->remote_port;
    c->vlan = open->vlan;
    c->is_ipv6 = open->is_ipv6 != 0;
    c->ttl = open->ttl;
    c->tos = open->tos;
}

/* An empty buffer must be at least one unit of the window field, or the window would never open. */
static uint8_t open_shift(const struct tcp_connection *c, uint32_t wished)
{
    uint32_t shift = tcp_has(c, TCP_HAS_WSCALE) ? bits_min32(wished, WINDOW_SHIFT_MAX) : 0;

    while (shift > 0 && c->rcv_buf >> shift == 0) {
        shift--;
    }
    return (uint8_t)shift;
}

static void open_wishes(struct tcp_connection *c, const struct tcp_open *open)
{
    c->flags = open->flags & (uint32_t)OPEN_FLAGS;
    c->profile = open->profile == TCP_PROFILE_CHIMNEY ? TCP_PROFILE_CHIMNEY : TCP_PROFILE_RFC;
    c->congestion = open->congestion == TCP_CC_CUBIC ? TCP_CC_CUBIC : TCP_CC_NEWRENO;
    c->rcv_buf = bits_min32(open->rcv_buf, WINDOW_BUFFER_MAX);
    c->rcv_wscale = open_shift(c, open->rcv_wscale);
    c->keep_time_ms = bits_min32(open->keep_time_ms, INT32_MAX);
    c->keep_interval_ms = bits_min32(open->keep_interval_ms, INT32_MAX);
    c->keep_limit = open->keep_limit;
    c->user_timeout_ms = open->user_timeout_ms;
}

/* c->rcv_mss is what we announce, until the handshake is over. */
static void open_numbers(struct tcp_engine *e, struct tcp_connection *c, const struct tcp_open *open)
{
    c->snd_una = c->snd_nxt = open->iss;
    c->snd_end = open->iss + 1;
    c->run_seq = c->tail_end = open->iss;
    c->ts_offset = open->ts_offset;
    c->rcv_mss = option_own_mss(open->mtu, c->is_ipv6);
    c->snd_mss = c->mss_limit = c->rcv_mss;
    c->rto_us = e->config.rto_initial_us;
    c->heard_ms = engine_ms(e);
    c->retrans_ms = engine_ms(e);
}

static struct tcp_connection *open_connection(struct tcp_engine *e, uint64_t now_ns,
                                              const struct tcp_open *open)
{
    const uint32_t index = pool_take(&e->connection_pool);
    struct tcp_connection *c = &e->connections[index];

    engine_at(e, now_ns);
    if (index == 0) {
        e->statistics.no_connections++;
        return NULL;
    }
    memset(c, 0, sizeof *c);
    open_identity(c, open);
    open_wishes(c, open);
    open_numbers(e, c, open);
    return c;
}

struct tcp_connection *tcp_connect(tcp_engine *engine, uint64_t now_ns, const struct tcp_open *open)
{
    struct tcp_connection *c = open_connection(engine, now_ns, open);

    if (c != NULL) {
        c->state = TCP_STATE_SYN_SENT;
        engine->statistics.opened_active++;
    }
    return c;
}

/* The numbers of a SYN; its window is not scaled. */
static void open_take_syn(struct tcp_engine *e, struct tcp_connection *c, const struct tcp_segment *syn)
{
    c->rcv_nxt = c->rcv_adv = c->rcv_acked = syn->seq + 1;
    c->snd_wnd = c->max_snd_wnd = syn->wnd;
    c->snd_wl1 = syn->seq;
    c->snd_wl2 = c->snd_una;
    option_agree(e, c, syn);
}

struct tcp_connection *tcp_accept(tcp_engine *engine, uint64_t now_ns, const struct tcp_open *open,
                                  const struct tcp_segment *syn)
{
    struct tcp_connection *c = open_connection(engine, now_ns, open);

    if (c != NULL) {
        c->state = TCP_STATE_SYN_RECEIVED;
        open_take_syn(engine, c, syn);
        engine->statistics.opened_passive++;
        engine->statistics.segments_in++;
    }
    return c;
}

/* As if our SYN,ACK had been sent and this ACK answered it. */
static void open_take_ack(struct tcp_engine *e, struct tcp_connection *c, const struct tcp_segment *ack)
{
    c->rcv_adv = c->rcv_nxt + window_of_syn(c);
    c->snd_una = c->snd_nxt = c->snd_end = c->run_seq = c->tail_end = ack->ack;
    c->snd_wnd = (uint32_t)ack->wnd << c->snd_wscale;
    c->max_snd_wnd = bits_max32(c->max_snd_wnd, c->snd_wnd);
    c->snd_wl1 = c->rcv_nxt;
    c->snd_wl2 = ack->ack;
    c->rcv_mss = (uint16_t)bits_min32(c->mss_limit, OPEN_RCV_MSS);
    if (tcp_has(c, TCP_HAS_TIMESTAMPS) && (ack->options & TCP_OPT_TIMESTAMP) != 0) {
        c->ts_recent = ack->ts_val;
    }
    c->state = TCP_STATE_ESTABLISHED;
    recovery_on_connected(e, c, 0, false);
    keepalive_start(e, c);
}

struct tcp_connection *tcp_accept_cookie(tcp_engine *engine, uint64_t now_ns, const struct tcp_open *open,
                                         const struct tcp_segment *syn, const struct tcp_segment *ack)
{
    struct tcp_connection *c;

    if ((ack->control & (TCP_ACK | TCP_SYN | TCP_RST)) != TCP_ACK || ack->ack != open->iss + 1) {
        return NULL;
    }
    c = open_connection(engine, now_ns, open);
    if (c != NULL) {
        open_take_syn(engine, c, syn);
        open_take_ack(engine, c, ack);
        engine->statistics.opened_passive++;
    }
    return c;
}
