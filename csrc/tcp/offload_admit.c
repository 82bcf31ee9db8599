/* offload_admit.c: whether a state that another gave away can be taken, and believes none of it unseen. */
#include "tcp/offload_admit.h"

#include "tcp/congestion.h"
#include "tcp/offload_ticks.h"

#include <string.h>

enum { MSS_LEAST = 48, BACKOFF_MAX = 31 };

const struct offload_row *offload_row(uint32_t ndis)
{
    static const struct offload_row rows[] = {
        [TcpConnectionClosed] = {TCP_STATE_CLOSED, STATE_NONE},
        [TcpConnectionListen] = {TCP_STATE_CLOSED, STATE_NONE},
        [TcpConnectionSynSent] = {TCP_STATE_SYN_SENT, STATE_NONE},
        [TcpConnectionSynRcvd] = {TCP_STATE_SYN_RECEIVED, STATE_NONE},
        [TcpConnectionEstablished] = {TCP_STATE_ESTABLISHED, 0},
        [TcpConnectionFinWait1] = {TCP_STATE_FIN_WAIT_1, FIN_OURS},
        [TcpConnectionFinWait2] = {TCP_STATE_FIN_WAIT_2, FIN_OURS | FIN_OURS_ACKED},
        [TcpConnectionCloseWait] = {TCP_STATE_CLOSE_WAIT, FIN_THEIRS},
        [TcpConnectionClosing] = {TCP_STATE_CLOSING, FIN_OURS | FIN_THEIRS},
        [TcpConnectionLastAck] = {TCP_STATE_LAST_ACK, FIN_OURS | FIN_THEIRS},
        [TcpConnectionTimeWait] = {TCP_STATE_TIME_WAIT, FIN_OURS | FIN_OURS_ACKED | FIN_THEIRS},
    };

    return ndis < sizeof rows / sizeof rows[0] ? &rows[ndis] : &rows[TcpConnectionClosed];
}

static bool is_state_taken(const struct tcp_offload_taker *taker, uint32_t ndis)
{
    return (offload_row(ndis)->fins & STATE_NONE) == 0
           && (ndis != TcpConnectionTimeWait || taker->profile == TCP_PROFILE_RFC);
}

static bool is_path_sound(const struct tcp_offload_path *path)
{
    static const uint8_t zero[12] = {0};
    const bool is_padded = memcmp(path->SourceAddress + 4, zero, sizeof zero) == 0
                           && memcmp(path->DestinationAddress + 4, zero, sizeof zero) == 0;

    return path->IsIpv6 <= 1 && path->VlanId <= 0xFFF && path->PathMtu >= (path->IsIpv6 != 0 ? 1280 : 68)
           && (path->IsIpv6 != 0 || is_padded);
}

static bool is_shape_sound(const struct tcp_offload_const *shape, const struct tcp_offload_cached *cached)
{
    const bool is_scaled = (shape->Flags & TCP_CONNECTION_WINDOW_SCALING_ENABLED) != 0;

    return shape->SndWindScale <= 14 && shape->RcvWindScale <= 14
           && (is_scaled || (shape->SndWindScale | shape->RcvWindScale) == 0) && shape->RemoteMss >= MSS_LEAST
           && cached->UserPriority <= 7 && cached->InitialRcvWnd <= OFFLOAD_SPAN_MAX;
}

/* Bytes sent and not acknowledged, FIN included, against the bytes that came along. */
static bool is_sent_sound(const struct tcp_offload_delegated *d)
{
    const unsigned fins = offload_row(d->State)->fins;
    const uint32_t sent = d->SndMax - d->SndUna;

    if (d->SendBacklogSize > OFFLOAD_SPAN_MAX || d->SndNxt - d->SndUna > sent) {
        return false;
    }
    if ((fins & FIN_OURS_ACKED) != 0) {
        return sent == 0 && d->SendBacklogSize == 0;
    }
    return sent <= d->SendBacklogSize + ((fins & FIN_OURS) != 0 ? 1U : 0U);
}

static bool are_windows_sound(const struct tcp_offload_delegated *d)
{
    return d->RcvWnd <= OFFLOAD_SPAN_MAX && d->SndWnd <= OFFLOAD_SPAN_MAX && d->MaxSndWnd <= OFFLOAD_SPAN_MAX
           && d->ReceiveBacklogSize <= OFFLOAD_SPAN_MAX && d->CWnd != 0 && d->CWnd <= CONGESTION_WINDOW_MAX
           && d->KeepAlive.ProbeCount <= UINT8_MAX && d->Retransmit.Count <= UINT8_MAX
           && d->SndWndProbeCount <= BACKOFF_MAX;
}

static bool are_values_sound(const struct tcp_offload_taker *taker, const struct tcp_offload_state *state)
{
    return ticks_is_rate(taker->ticks_per_second) && taker->profile <= TCP_PROFILE_CHIMNEY
           && taker->congestion <= TCP_CC_CUBIC && is_path_sound(&state->Path)
           && is_shape_sound(&state->Const, &state->Cached) && is_sent_sound(&state->Delegated)
           && are_windows_sound(&state->Delegated);
}

int offload_admit(const struct tcp_offload_taker *taker, const struct tcp_offload_state *state)
{
    if (!is_state_taken(taker, state->Delegated.State)) {
        return TCP_OFFLOAD_STATE;
    }
    return are_values_sound(taker, state) ? TCP_OFFLOAD_OK : TCP_OFFLOAD_VALUE;
}
