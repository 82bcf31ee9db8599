/* offload_take.c: makes a connection of what the other side gave away, and believes none of it unseen. */
#include "tcp/challenge.h"
#include "tcp/congestion.h"
#include "tcp/ending.h"
#include "tcp/hystart.h"
#include "tcp/keepalive.h"
#include "tcp/offload_admit.h"
#include "tcp/offload_ticks.h"
#include "tcp/option.h"
#include "tcp/output.h"
#include "tcp/persist.h"
#include "tcp/reassembly.h"
#include "tcp/recovery.h"
#include "tcp/rtt.h"
#include "tcp/scoreboard.h"
#include "tcp/timer.h"
#include "tcp/window.h"

#include <string.h>

enum { RCV_MSS_FIRST = 536, BACKOFF_MAX = 31, VLAN_PRIORITY_SHIFT = 13 };

struct taking {
    struct tcp_engine *e;
    struct tcp_connection *c;
    const struct tcp_offload_state *state;
    const struct tcp_offload_delegated *d; /* of state */
    uint32_t rate;
};

static void take_identity(struct taking *t)
{
    const struct tcp_offload_path *path = &t->state->Path;
    struct tcp_connection *c = t->c;

    memcpy(c->local, path->SourceAddress, sizeof c->local);
    memcpy(c->remote, path->DestinationAddress, sizeof c->remote);
    c->is_ipv6 = path->IsIpv6;
    c->vlan = (uint16_t)(path->VlanId | t->state->Cached.UserPriority << VLAN_PRIORITY_SHIFT);
    c->local_port = t->state->Const.LocalPort;
    c->remote_port = t->state->Const.RemotePort;
    c->ttl = t->state->Cached.TtlOrHopLimit;
    c->tos = t->state->Cached.TosOrTrafficClass;
}

static void take_flags(struct taking *t)
{
    const unsigned agreed = t->state->Const.Flags, wanted = t->state->Cached.Flags;
    const unsigned fins = offload_row(t->d->State)->fins;
    struct tcp_connection *c = t->c;

    c->state = offload_row(t->d->State)->state;
    c->flags |= (agreed & TCP_CONNECTION_TIMESTAMP_ENABLED) != 0 ? TCP_HAS_TIMESTAMPS : 0;
    c->flags |= (agreed & TCP_CONNECTION_SACK_ENABLED) != 0 ? TCP_HAS_SACK : 0;
    c->flags |= (agreed & TCP_CONNECTION_WINDOW_SCALING_ENABLED) != 0 ? TCP_HAS_WSCALE : 0;
    c->flags |= (wanted & TCP_CONNECTION_NAGLING_ENABLED) != 0 ? 0 : TCP_NODELAY;
    c->flags |= (wanted & TCP_CONNECTION_KEEP_ALIVE_ENABLED) != 0 ? TCP_KEEPALIVE : 0;
    c->flags |= (fins & FIN_OURS) != 0 ? TCP_FIN_QUEUED : 0;
    c->flags |= (fins & FIN_THEIRS) != 0 ? TCP_FIN_RECEIVED : 0;
}

/* FIN has the number behind the last byte; when it was sent SndMax is beyond it. */
static void take_sender(struct taking *t)
{
    const struct tcp_offload_delegated *d = t->d;
    struct tcp_connection *c = t->c;
    const bool is_acked = (offload_row(d->State)->fins & FIN_OURS_ACKED) != 0;

    c->snd_una = d->SndUna;
    c->snd_nxt = d->SndMax;
    c->snd_end = d->SndUna + d->SendBacklogSize - is_acked;
    c->snd_wnd = d->SndWnd;
    c->max_snd_wnd = bits_max32(d->MaxSndWnd, d->SndWnd);
    c->snd_wl1 = d->SendWL1;
    c->snd_wl2 = d->SndUna;
    c->flags |= c->snd_nxt == c->snd_end + 1 ? TCP_FIN_SENT : 0;
    c->flags |= d->SendBacklogSize != 0 ? TCP_PUSH : 0;
    c->snd_wscale = t->state->Const.SndWindScale;
    c->mss_limit = t->state->Const.RemoteMss;
    c->path_mtu =
        t->state->Path.PathMtu < c->mss_limit + option_headers(c) ? (uint16_t)t->state->Path.PathMtu : 0;
    option_set_mss(c);
}

/* The right edge is where the giver put it, whatever the buffer says (WIN-01). */
static void take_receiver(struct taking *t)
{
    struct tcp_connection *c = t->c;

    c->rcv_nxt = t->d->RcvNxt;
    c->rcv_adv = t->d->RcvNxt + t->d->RcvWnd;
    c->rcv_acked = t->d->RcvNxt;
    c->rcv_unread = t->d->ReceiveBacklogSize;
    c->rcv_buf = t->state->Cached.InitialRcvWnd;
    c->rcv_wscale = t->state->Const.RcvWindScale;
    c->rcv_mss = (uint16_t)bits_min32(c->mss_limit, RCV_MSS_FIRST);
}

/* TSval goes on from TsTime: the clocks of giver and taker differ, what the peer sees does not (CH-07). */
static void take_clocks(struct taking *t)
{
    const struct tcp_offload_cached *cached = &t->state->Cached;
    struct tcp_connection *c = t->c;

    c->srtt_us = ticks_of(t->d->SRtt, TICKS_US, t->rate);
    c->rttvar_us = ticks_of(t->d->RttVar, TICKS_US, t->rate);
    c->min_rtt_us = c->srtt_us >> 3;
    if (c->srtt_us != 0) {
        rtt_set_rto(t->e, c);
    }
    c->ts_offset = t->d->TsTime - engine_ms(t->e);
    c->ts_recent = t->d->TsRecent;
    c->ts_recent_ms = engine_ms(t->e) - ticks_of(t->d->TsRecentAge, TICKS_MS, t->rate);
    c->retrans_ms = engine_ms(t->e) - ticks_of(t->d->TotalRT, TICKS_MS, t->rate);
    c->heard_ms = engine_ms(t->e);
    c->keep_limit = cached->KaProbeCount;
    c->keep_time_ms = ticks_of(cached->KaTimeout, TICKS_MS, t->rate);
    c->keep_interval_ms = ticks_of(cached->KaInterval, TICKS_MS, t->rate);
    c->user_timeout_ms =
        cached->MaxRT == UINT32_MAX ? UINT32_MAX : ticks_of(cached->MaxRT, TICKS_MS, t->rate);
}

/* cwnd as it was; the first slow start goes on if that is what it was. */
static void take_congestion(struct taking *t)
{
    struct tcp_connection *c = t->c;

    congestion_start(t->e, c, false);
    c->cwnd = t->d->CWnd;
    c->ssthresh = t->d->SsThresh;
    if (c->ssthresh < CONGESTION_SSTHRESH_START) {
        hystart_end(c);
    }
    c->flags |= tcp_flight(c) + congestion_smss(c) > c->cwnd ? TCP_CWND_LIMITED : 0;
}

/* One run of which nobody knows when it was sent; from SndNxt on it is lost (CH-02). */
static void take_flight(struct taking *t)
{
    struct tcp_connection *c = t->c;

    c->run_seq = c->snd_una;
    c->run_us = engine_us(t->e);
    c->tail_end = c->snd_una;
    c->dup_acks = t->d->DupAckCount;
    if (c->snd_una == c->snd_nxt) {
        c->run_seq = c->snd_nxt;
        return;
    }
    c->run_marks = SCOREBOARD_MERGED;
    c->run_marks |= t->d->Retransmit.Count != 0 ? SCOREBOARD_RETRANSMITTED : 0;
    c->phase = c->dup_acks != 0 ? TCP_PHASE_DISORDER : TCP_PHASE_OPEN;
    if (t->d->SndNxt != c->snd_nxt) {
        recovery_mark_lost(t->e, c, t->d->SndNxt, c->snd_nxt);
        c->dup_acks = t->d->DupAckCount;
    }
}

static void take_persist(struct taking *t, bool is_running, uint32_t left_us)
{
    struct tcp_connection *c = t->c;

    if (!is_running) {
        persist_start(t->e, c);
        return;
    }
    timer_set_xmit(t->e, c, TCP_XMIT_PERSIST, left_us);
    c->backoff = t->d->SndWndProbeCount;
    c->probes = (uint8_t)t->d->Retransmit.Count;
}

/* The one field has three meanings, by window and state (CH-05, CH-06). */
static void take_retransmit(struct taking *t)
{
    const bool is_running = t->d->Retransmit.TimeoutDelta != (uint32_t)TICKS_NOT_RUNNING;
    const uint32_t left_us = ticks_of(t->d->Retransmit.TimeoutDelta, TICKS_US, t->rate);
    struct tcp_connection *c = t->c;

    c->probes = (uint8_t)t->d->KeepAlive.ProbeCount;
    if (c->state == TCP_STATE_FIN_WAIT_2 && is_running) {
        c->flags |= TCP_CLOSED_BY_USER;
        timer_set_keep(t->e, c, ticks_of(t->d->Retransmit.TimeoutDelta, TICKS_MS, t->rate));
    } else if (c->snd_wnd == 0 && (tcp_flight(c) != 0 || window_unsent(c) != 0)) {
        take_persist(t, is_running, left_us);
    } else if (tcp_flight(c) != 0) {
        c->retransmits = (uint8_t)t->d->Retransmit.Count;
        c->backoff = (uint8_t)bits_min32(t->d->Retransmit.Count, BACKOFF_MAX);
        if (is_running) {
            timer_set_xmit(t->e, c, TCP_XMIT_RTO, left_us);
        }
        recovery_arm(t->e, c);
    }
}

/* Keepalive is not wanted, and yet the timer runs: the giver suspects an attack, which only a target does. */
static void take_suspicion(struct taking *t, uint32_t left_ms)
{
    if (t->c->profile == TCP_PROFILE_CHIMNEY && t->d->KeepAlive.TimeoutDelta != (uint32_t)TICKS_NOT_RUNNING) {
        t->c->challenges |= CHALLENGE_MITIGATING;
        timer_set_keep(t->e, t->c, left_ms);
    }
}

/* An enabled keepalive always runs here. What is left of it says when the peer was last heard. */
static void take_keepalive(struct taking *t)
{
    const uint32_t left_ms = ticks_of(t->d->KeepAlive.TimeoutDelta, TICKS_MS, t->rate);
    struct tcp_connection *c = t->c;
    const uint32_t time_ms = c->keep_time_ms != 0 ? c->keep_time_ms : (uint32_t)KEEPALIVE_TIME_MS;

    if (!keepalive_owns_timer(c)) {
        return;
    }
    if (!tcp_has(c, TCP_KEEPALIVE)) {
        take_suspicion(t, left_ms);
        return;
    }
    keepalive_start(t->e, c);
    if (t->d->KeepAlive.TimeoutDelta != (uint32_t)TICKS_NOT_RUNNING) {
        timer_set_keep(t->e, c, left_ms);
        c->heard_ms -= time_ms > left_ms ? time_ms - left_ms : 0;
    }
}

/* Sender SWS avoidance has no field: what the giver held back leaves now, or else somebody must end the wait. */
static void take_wait(struct taking *t)
{
    if (!output_is_due(t->e, t->c) && timer_is_set(t->c, TCP_TIMER_XMIT) && t->c->xmit == TCP_XMIT_OVERRIDE) {
        timer_stop(t->e, t->c, TCP_TIMER_XMIT);
        t->c->flags |= TCP_OVERRIDE;
    }
}

static void take_all(struct taking *t)
{
    take_identity(t);
    take_flags(t);
    take_sender(t);
    take_receiver(t);
    take_clocks(t);
    take_congestion(t);
    take_flight(t);
    take_retransmit(t);
    take_keepalive(t);
    if (t->c->state == TCP_STATE_TIME_WAIT) {
        ending_restart_time_wait(t->e, t->c);
    }
    take_wait(t);
}

/* What stays of the connection that was here before: what the border does not carry, and its host knows. */
enum { FLAGS_OF_HOST = TCP_STRICT_TIMESTAMPS | TCP_PLPMTUD | TCP_CLOSED_BY_USER };

static void take_back(struct taking *t, const struct tcp_connection *before)
{
    struct tcp_connection *c = t->c;

    c->flags |= before->flags & (uint32_t)FLAGS_OF_HOST;
    take_all(t);
    c->rcv_mss = before->rcv_mss > c->rcv_mss ? before->rcv_mss : c->rcv_mss;
    if (c->state == TCP_STATE_FIN_WAIT_2 && !timer_is_set(c, TCP_TIMER_KEEP)) {
        ending_enter_fin_wait_2(t->e, c);
    }
}

static bool is_same_connection(const struct tcp_connection *c, const struct tcp_offload_state *state)
{
    return memcmp(c->local, state->Path.SourceAddress, sizeof c->local) == 0
           && memcmp(c->remote, state->Path.DestinationAddress, sizeof c->remote) == 0
           && c->is_ipv6 == state->Path.IsIpv6 && c->local_port == state->Const.LocalPort
           && c->remote_port == state->Const.RemotePort;
}

int tcp_from_offload(tcp_engine *engine, uint64_t now_ns, const struct tcp_offload_taker *taker,
                     const struct tcp_offload_state *state, struct tcp_connection **c)
{
    struct taking t = {.e = engine, .state = state, .d = &state->Delegated, .rate = taker->ticks_per_second};
    const int refusal = offload_admit(taker, state);
    uint32_t index;

    if (refusal != TCP_OFFLOAD_OK) {
        return refusal;
    }
    index = pool_take(&engine->connection_pool);
    if (index == 0) {
        engine->statistics.no_connections++;
        return TCP_OFFLOAD_RESOURCES;
    }
    engine_at(engine, now_ns);
    t.c = &engine->connections[index];
    *t.c = (struct tcp_connection){.profile = taker->profile, .congestion = taker->congestion};
    take_all(&t);
    *c = t.c;
    return TCP_OFFLOAD_OK;
}

int tcp_return(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns,
               const struct tcp_offload_taker *taker, const struct tcp_offload_state *state)
{
    struct taking t = {
        .e = engine, .c = c, .state = state, .d = &state->Delegated, .rate = taker->ticks_per_second};
    const struct tcp_connection before = *c;
    const int refusal = offload_admit(taker, state);

    if (refusal != TCP_OFFLOAD_OK) {
        return refusal;
    }
    if (!tcp_has(c, TCP_FROZEN) || !is_same_connection(c, state)) {
        return TCP_OFFLOAD_VALUE;
    }
    engine_at(engine, now_ns);
    timer_release(engine, c);
    reassembly_drop(engine, c);
    recovery_release(engine, c);
    *c = (struct tcp_connection){.profile = taker->profile, .congestion = taker->congestion};
    take_back(&t, &before);
    return TCP_OFFLOAD_OK;
}
