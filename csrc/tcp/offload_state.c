/* offload_state.c: what a connection gives away: its state by NDIS's names. */
#include "tcp/offload_state.h"

#include "tcp/challenge.h"
#include "tcp/keepalive.h"
#include "tcp/offload_ticks.h"
#include "tcp/option.h"
#include "tcp/persist.h"
#include "tcp/recovery.h"
#include "tcp/scoreboard.h"
#include "tcp/timer.h"
#include "tcp/window.h"

#include <string.h>

enum { VLAN_ID_MASK = 0xFFF, VLAN_PRIORITY_SHIFT = 13 };

static const uint8_t ndis_states[TCP_STATES] = {
    [TCP_STATE_CLOSED] = TcpConnectionClosed,        [TCP_STATE_SYN_SENT] = TcpConnectionSynSent,
    [TCP_STATE_SYN_RECEIVED] = TcpConnectionSynRcvd, [TCP_STATE_ESTABLISHED] = TcpConnectionEstablished,
    [TCP_STATE_FIN_WAIT_1] = TcpConnectionFinWait1,  [TCP_STATE_FIN_WAIT_2] = TcpConnectionFinWait2,
    [TCP_STATE_CLOSE_WAIT] = TcpConnectionCloseWait, [TCP_STATE_CLOSING] = TcpConnectionClosing,
    [TCP_STATE_LAST_ACK] = TcpConnectionLastAck,     [TCP_STATE_TIME_WAIT] = TcpConnectionTimeWait,
};

bool tcp_may_offload(const struct tcp_connection *c)
{
    return tcp_is_synchronized(c) && c->state != TCP_STATE_TIME_WAIT
           && !tcp_has(c, TCP_HAS_ECN | TCP_URGENT_SENDING)
           && (!tcp_has(c, TCP_URGENT_RECEIVED) || seq_le(c->rcv_up, c->rcv_nxt));
}

/* Where nothing has lowered it, as much as the segments need. */
static uint32_t path_mtu(const struct tcp_connection *c)
{
    if (c->path_mtu != 0) {
        return c->path_mtu;
    }
    return bits_max32(c->mss_limit + option_headers(c), c->is_ipv6 != 0 ? 1280 : 68);
}

static void give_path(const struct tcp_connection *c, struct tcp_offload_path *path)
{
    memcpy(path->SourceAddress, c->local, sizeof c->local);
    memcpy(path->DestinationAddress, c->remote, sizeof c->remote);
    path->PathMtu = path_mtu(c);
    path->VlanId = c->vlan & VLAN_ID_MASK;
    path->IsIpv6 = c->is_ipv6;
}

static void give_const(const struct tcp_connection *c, struct tcp_offload_const *out)
{
    out->Flags = (uint16_t)((tcp_has(c, TCP_HAS_TIMESTAMPS) ? TCP_CONNECTION_TIMESTAMP_ENABLED : 0)
                            | (tcp_has(c, TCP_HAS_SACK) ? TCP_CONNECTION_SACK_ENABLED : 0)
                            | (tcp_has(c, TCP_HAS_WSCALE) ? TCP_CONNECTION_WINDOW_SCALING_ENABLED : 0));
    out->RemotePort = c->remote_port;
    out->LocalPort = c->local_port;
    out->SndWindScale = c->snd_wscale;
    out->RcvWindScale = c->rcv_wscale;
    out->RemoteMss = c->mss_limit;
}

static void give_cached(const struct tcp_connection *c, uint32_t rate, struct tcp_offload_cached *out)
{
    out->Flags = (uint16_t)((tcp_has(c, TCP_KEEPALIVE) ? TCP_CONNECTION_KEEP_ALIVE_ENABLED : 0)
                            | (tcp_has(c, TCP_NODELAY) ? 0 : TCP_CONNECTION_NAGLING_ENABLED));
    out->KaProbeCount = c->keep_limit;
    out->TtlOrHopLimit = c->ttl;
    out->TosOrTrafficClass = c->tos;
    out->UserPriority = (uint8_t)(c->vlan >> VLAN_PRIORITY_SHIFT);
    out->InitialRcvWnd = c->rcv_buf;
    out->KaTimeout = ticks_up(c->keep_time_ms, TICKS_MS, rate);
    out->KaInterval = ticks_up(c->keep_interval_ms, TICKS_MS, rate);
    out->MaxRT = c->user_timeout_ms == UINT32_MAX ? UINT32_MAX : ticks_up(c->user_timeout_ms, TICKS_MS, rate);
}

/* What is left of a timer at `at`, of one that runs. */
static uint32_t left_ticks(uint32_t at, uint32_t now, uint32_t units, uint32_t rate)
{
    const int32_t left = (int32_t)(at - now);

    return left > 0 ? ticks_up((uint32_t)left, units, rate) : 0;
}

/* Where a probe or reordering timer has the place of the RTO, what is left of that. */
static uint32_t rto_left_ticks(const struct tcp_engine *e, const struct tcp_connection *c, uint32_t rate)
{
    const uint32_t rto = recovery_rto_us(e, c), us = engine_us(e);
    uint32_t start = us - bits_min32(engine_ms(e) - c->retrans_ms, rto / 1000) * 1000;

    if (c->xmit == TCP_XMIT_REORDER && c->recovery != 0) {
        start = e->recoveries[c->recovery].rto_start_us;
    }
    return left_ticks(start + rto, us, TICKS_US, rate);
}

static bool waits_for_nobody(const struct tcp_connection *c)
{
    return c->state == TCP_STATE_FIN_WAIT_2 && tcp_has(c, TCP_CLOSED_BY_USER)
           && timer_is_set(c, TCP_TIMER_KEEP);
}

static uint32_t retransmit_left(const struct tcp_engine *e, const struct tcp_connection *c, uint32_t rate)
{
    if (waits_for_nobody(c)) {
        return left_ticks(c->t_keep_ms, engine_ms(e), TICKS_MS, rate);
    }
    if (!timer_is_set(c, TCP_TIMER_XMIT) || c->xmit == TCP_XMIT_OVERRIDE) {
        return (uint32_t)TICKS_NOT_RUNNING;
    }
    if (c->xmit == TCP_XMIT_TAIL || c->xmit == TCP_XMIT_REORDER) {
        return rto_left_ticks(e, c, rate);
    }
    return left_ticks(c->t_xmit_us, engine_us(e), TICKS_US, rate);
}

/* Persist: round and unanswered probes of it. A probe that is due has been counted, and is still to be sent. */
static void give_persist(const struct tcp_engine *e, const struct tcp_connection *c, uint32_t rate,
                         struct tcp_offload_delegated *out)
{
    const bool is_due = !persist_is_on(c);

    out->Retransmit.Count = c->probes - (is_due && c->probes != 0 ? 1U : 0U);
    out->SndWndProbeCount = (uint8_t)(c->backoff - (is_due && c->backoff != 0 ? 1 : 0));
    out->Retransmit.TimeoutDelta = is_due ? 0 : left_ticks(c->t_xmit_us, engine_us(e), TICKS_US, rate);
}

/* Also where it runs because of an attack that is suspected (CHIMNEY). */
static uint32_t keepalive_left(const struct tcp_engine *e, const struct tcp_connection *c, uint32_t rate)
{
    const bool is_wanted = tcp_has(c, TCP_KEEPALIVE) || challenge_is_mitigating(c);

    if (!is_wanted || !timer_is_set(c, TCP_TIMER_KEEP) || !keepalive_owns_timer(c)) {
        return (uint32_t)TICKS_NOT_RUNNING;
    }
    return left_ticks(c->t_keep_ms, engine_ms(e), TICKS_MS, rate);
}

static void give_keepalive(const struct tcp_connection *c, struct tcp_offload_keepalive *out)
{
    out->ProbeCount = c->probes;
    if (out->TimeoutDelta != (uint32_t)TICKS_NOT_RUNNING && tcp_has(c, TCP_PROBE_PENDING)
        && tcp_flight(c) == 0 && c->probes != 0) {
        out->ProbeCount--;
        out->TimeoutDelta = 0;
    }
}

/* The window is closed to something that waits: a probe is timed, or due. */
static bool is_probing_window(const struct tcp_connection *c)
{
    return persist_is_on(c)
           || (tcp_has(c, TCP_PROBE_PENDING) && c->snd_wnd == 0
               && (tcp_flight(c) != 0 || window_unsent(c) != 0));
}

static void give_timers(const struct tcp_engine *e, const struct tcp_connection *c, uint32_t rate,
                        struct tcp_offload_delegated *out)
{
    out->KeepAlive.TimeoutDelta = keepalive_left(e, c, rate);
    if (is_probing_window(c)) {
        give_persist(e, c, rate, out);
    } else {
        out->Retransmit.Count = c->retransmits;
        out->Retransmit.TimeoutDelta = retransmit_left(e, c, rate);
        give_keepalive(c, &out->KeepAlive);
    }
    if (out->Retransmit.Count != 0) {
        const uint32_t spent_ms = bits_min32(engine_ms(e) - c->retrans_ms, TICKS_TIMER_MAX);
        out->TotalRT = ticks_up(spent_ms, TICKS_MS, rate); /* no more than the other side takes */
    }
}

/* Of 8 SRTT and 4 RTTVAR: in ticks, and never 0 by rounding. */
static uint16_t rtt_ticks(uint32_t rtt_us, uint32_t rate)
{
    const uint32_t ticks = ticks_near(rtt_us, TICKS_US, rate);

    return (uint16_t)(rtt_us == 0 ? 0 : bits_min32(bits_max32(ticks, 1), UINT16_MAX));
}

static void give_clocks(const struct tcp_engine *e, const struct tcp_connection *c, uint32_t rate,
                        struct tcp_offload_delegated *out)
{
    out->SRtt = rtt_ticks(c->srtt_us, rate);
    out->RttVar = rtt_ticks(c->rttvar_us, rate);
    if (tcp_has(c, TCP_HAS_TIMESTAMPS)) {
        const uint32_t age_ms = bits_min32(engine_ms(e) - c->ts_recent_ms, TICKS_TIMER_MAX);
        out->TsRecent = c->ts_recent;
        out->TsRecentAge = ticks_up(age_ms, TICKS_MS, rate); /* no more than the other side takes */
        out->TsTime = engine_ms(e) + c->ts_offset;
    }
}

/* All from the first lost byte on is to be sent again: the taker knows no more of it. */
static uint32_t resend_from(const struct tcp_engine *e, const struct tcp_connection *c)
{
    struct tcp_block lost;

    if (tcp_has(c, TCP_PROBE_PENDING) && c->snd_wnd != 0) {
        return c->snd_una; /* the window opened: what probes carried in vain */
    }
    return c->snd_una != c->snd_nxt && scoreboard_first_lost(e, c, &lost) ? lost.left : c->snd_nxt;
}

static void give_numbers(const struct tcp_engine *e, const struct tcp_connection *c,
                         struct tcp_offload_delegated *out)
{
    out->State = ndis_states[c->state];
    out->RcvNxt = c->rcv_nxt;
    out->RcvWnd = seq_gt(c->rcv_adv, c->rcv_nxt) ? window_offered(c) : 0;
    out->SndUna = c->snd_una;
    out->SndNxt = resend_from(e, c);
    out->SndMax = c->snd_nxt;
    out->SndWnd = c->snd_wnd;
    out->MaxSndWnd = c->max_snd_wnd;
    out->SendWL1 = c->snd_wl1;
    out->CWnd = c->cwnd;
    out->SsThresh = c->ssthresh;
    out->DupAckCount = c->dup_acks;
    out->SendBacklogSize = seq_gt(c->snd_end, c->snd_una) ? c->snd_end - c->snd_una : 0;
    out->ReceiveBacklogSize = c->rcv_unread;
}

int tcp_to_offload(tcp_engine *engine, const struct tcp_connection *c, uint64_t now_ns,
                   uint32_t ticks_per_second, struct tcp_offload_state *state)
{
    memset(state, 0, sizeof *state);
    if (!ticks_is_rate(ticks_per_second)) {
        return TCP_OFFLOAD_VALUE;
    }
    engine_at(engine, now_ns);
    give_path(c, &state->Path);
    give_const(c, &state->Const);
    give_cached(c, ticks_per_second, &state->Cached);
    give_numbers(engine, c, &state->Delegated);
    give_clocks(engine, c, ticks_per_second, &state->Delegated);
    give_timers(engine, c, ticks_per_second, &state->Delegated);
    return TCP_OFFLOAD_OK;
}
