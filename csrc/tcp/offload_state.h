/* The chimney's view of a connection: CONST, CACHED and DELEGATED state, by NDIS's names and in its units. */
#ifndef VNIC_TCP_OFFLOAD_STATE_H
#define VNIC_TCP_OFFLOAD_STATE_H

#include "tcp/engine.h"

/*
 * What of a connection crosses the border between host and card, and nothing else does (the exact image is for
 * snapshots). Plain values: no header, no padding, no pointer; the fields of TCP_OFFLOAD_STATE_CONST, _CACHED and
 * _DELEGATED, and of the path and neighbour objects what a connection needs. Payload goes beside it: SendBacklogSize
 * bytes from SndUna on (the chain of SendDataHead), ReceiveBacklogSize bytes that end at RcvNxt (BufferedData).
 *
 * Times are in ticks, 10, 100 or 1000 a second; -1 (UINT32_MAX) is a timer that does not run, 0 one that expires at
 * once. What is left of a timer is rounded up, so a connection handed over in every tick would wait for ever. TsTime
 * and TsRecent are values of timestamps, not times: not in ticks.
 *
 * What the projection loses, and what becomes of it:
 *
 *   lost                               the taker
 *   scoreboard: what was SACKed        resends from the first lost byte on (SndNxt), SACKed bytes too
 *   when each run was sent             knows no RTT of them but by timestamps; RACK starts with what it sends
 *   bytes held out of order            have never arrived: not reported, the peer resends (CH-09, RFC 2018 8)
 *   D-SACK to report, FIN out of order likewise
 *   recovery point, PRR, F-RTO, undo   begins no second reduction: cwnd and SsThresh are as they were
 *   CUBIC's epoch and W_max, HyStart++ starts an epoch with its next ACK; slow start ends at SsThresh
 *   tail loss probe, reordering timer  waits for what is left of the RTO
 *   SWS override                       sends at once what the giver held back
 *   delayed ACK                        nothing: the giver sent it (tcp_freeze)
 *   SRtt, RttVar below a tick; min RTT rounded; above 65535 (8.2 s and 16.4 s at 1000 ticks) cut
 *   backoff and retransmissions apart  are one: Retransmit.Count
 *   WL2                                is SndUna
 *   that the user closed both ways     is told by the host; known by itself only in FinWait2 with its timer running
 *   urgent data, ECN                   such a connection is not offloaded: tcp_may_offload()
 *   PLPMTUD, strict timestamps         off
 *   challenge ACK throttle             starts anew; a suspected attack goes on at a target (KeepAlive.TimeoutDelta)
 *   2 MSL so far                       starts anew
 */

/* cdef begin */

enum tcp_offload_const_flag {
    TCP_CONNECTION_TIMESTAMP_ENABLED = 0x01,
    TCP_CONNECTION_SACK_ENABLED = 0x02,
    TCP_CONNECTION_WINDOW_SCALING_ENABLED = 0x04
};

enum tcp_offload_cached_flag {
    TCP_CONNECTION_KEEP_ALIVE_ENABLED = 0x01,
    TCP_CONNECTION_NAGLING_ENABLED = 0x02,
    /* of an update only */
    TCP_CONNECTION_KEEP_ALIVE_RESTART = 0x04,
    TCP_CONNECTION_MAX_RT_RESTART = 0x08,
    TCP_CONNECTION_UPDATE_RCV_WND = 0x10
};

enum tcp_offload_connection_state {
    TcpConnectionClosed = 0,
    TcpConnectionListen = 1,
    TcpConnectionSynSent = 2,
    TcpConnectionSynRcvd = 3,
    TcpConnectionEstablished = 4,
    TcpConnectionFinWait1 = 5,
    TcpConnectionFinWait2 = 6,
    TcpConnectionCloseWait = 7,
    TcpConnectionClosing = 8,
    TcpConnectionLastAck = 9,
    TcpConnectionTimeWait = 10
};

/* Of the path and the neighbour. Addresses in network order, IPv4 in the first 4 bytes, the rest zero. */
struct tcp_offload_path {
    uint8_t SourceAddress[16], DestinationAddress[16];
    uint32_t PathMtu;
    uint16_t VlanId;
    uint8_t IsIpv6;
    uint8_t Reserved;
};

struct tcp_offload_const {
    uint16_t Flags; /* enum tcp_offload_const_flag */
    uint16_t RemotePort, LocalPort; /* host order */
    uint8_t SndWindScale, RcvWindScale;
    uint16_t RemoteMss;
    uint16_t Reserved;
    uint32_t HashValue; /* the host's; not the engine's */
};

struct tcp_offload_cached {
    uint16_t Flags; /* enum tcp_offload_cached_flag */
    uint8_t KaProbeCount;
    uint8_t TtlOrHopLimit, TosOrTrafficClass, UserPriority;
    uint16_t Reserved;
    uint32_t InitialRcvWnd;
    uint32_t RcvIndicationSize; /* the host's; not the engine's */
    uint32_t KaTimeout, KaInterval, MaxRT; /* ticks; MaxRT 0: R2, UINT32_MAX: no limit */
    uint32_t FlowLabel; /* the host's; not the engine's */
};

struct tcp_offload_keepalive {
    uint32_t ProbeCount, TimeoutDelta;
};

struct tcp_offload_retransmit {
    uint32_t Count, TimeoutDelta;
};

struct tcp_offload_delegated {
    uint32_t State; /* enum tcp_offload_connection_state */
    uint32_t Flags; /* reserved: 0 */
    uint32_t RcvNxt, RcvWnd;
    uint32_t SndUna, SndNxt, SndMax; /* SndNxt .. SndMax - 1 is to be sent before anything else (CH-02) */
    uint32_t SndWnd, MaxSndWnd, SendWL1; /* SndWnd in bytes */
    uint32_t CWnd, SsThresh;
    uint16_t SRtt, RttVar; /* ticks, times 8 and times 4; SRtt 0: no sample yet */
    uint32_t TsRecent, TsRecentAge, TsTime;
    uint32_t TotalRT; /* ticks since retransmitting or probing began, 0: not now */
    uint8_t DupAckCount, SndWndProbeCount;
    uint16_t Reserved;
    struct tcp_offload_keepalive KeepAlive;
    struct tcp_offload_retransmit
        Retransmit; /* of a closed window: the persist timer; in FinWait2 that state's */
    uint32_t SendBacklogSize, ReceiveBacklogSize;
    uint32_t DWnd; /* 0: no delay-based window */
};

struct tcp_offload_state {
    struct tcp_offload_path Path;
    struct tcp_offload_const Const;
    struct tcp_offload_cached Cached;
    struct tcp_offload_delegated Delegated;
};

enum tcp_offload_result {
    TCP_OFFLOAD_OK = 0,
    TCP_OFFLOAD_STATE = -1, /* a connection in this state cannot be taken */
    TCP_OFFLOAD_VALUE =
        -2, /* a field contradicts another, or its bounds; ticks a second is none of the three */
    TCP_OFFLOAD_RESOURCES = -3 /* no connection or node is left */
};

/* CH-01, and nothing in it that the projection would lose for good: urgent data in flight, ECN. */
bool tcp_may_offload(const struct tcp_connection *c);

/* Fills in *state as of now_ns, in any state of the connection (a query), which stays as it is. */
int tcp_to_offload(tcp_engine *engine, const struct tcp_connection *c, uint64_t now_ns,
                   uint32_t ticks_per_second, struct tcp_offload_state *state);

/* Who takes it: TCP_PROFILE_CHIMNEY only what CH-01 allows, TCP_PROFILE_RFC also TimeWait (an upload). */
struct tcp_offload_taker {
    uint8_t profile, congestion;
    uint16_t reserved;
    uint32_t ticks_per_second;
};

/*
 * Makes a connection of *state. TCP_OFFLOAD_OK: *c is in this engine, not frozen, its timers run, and output may be
 * pending, so the caller goes on with tcp_output(). Otherwise enum tcp_offload_result, and nothing has changed.
 */
int tcp_from_offload(tcp_engine *engine, uint64_t now_ns, const struct tcp_offload_taker *taker,
                     const struct tcp_offload_state *state, struct tcp_connection **c);

/*
 * The host takes it back into the connection that it came from, which is frozen since (tcp_freeze): the same place,
 * addresses and ports. What the border does not carry and the host knows stays: strict timestamps, PLPMTUD, that the
 * user closed both ways. Result and consequences as above; what the user did meanwhile (tcp_shutdown, options,
 * tcp_set_receive_buffer) follows by its own calls. Refused: it is frozen as before.
 */
int tcp_return(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns,
               const struct tcp_offload_taker *taker, const struct tcp_offload_state *state);

/*
 * CACHED of a connection that lives here (MiniportUpdateOffload), or nothing when a value is refused
 * (TCP_OFFLOAD_VALUE). A timer that runs goes on with its old time, unless a flag says otherwise:
 *
 *   KEEP_ALIVE_ENABLED   the timer starts when it was off, and stops when it is off now
 *   KEEP_ALIVE_RESTART   no probe counts as sent, and the timer starts with KaTimeout
 *   MAX_RT_RESTART       TotalRT is 0; and where KaProbeCount changes, no keepalive probe counts as sent; where
 *                        KaTimeout or KaInterval change, the keepalive timer starts anew
 *   UPDATE_RCV_WND       InitialRcvWnd counts, and the peer hears of it if that opens its window (else it is not looked
 *                        at but for its bounds); the right edge never moves back
 */
int tcp_offload_update(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns,
                       uint32_t ticks_per_second, const struct tcp_offload_cached *cached,
                       struct tcp_result *result);

/* cdef end */

#endif
