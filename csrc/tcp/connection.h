/* One TCP connection: a plain struct without pointers, whole in 256 bytes while idle. */
#ifndef VNIC_TCP_CONNECTION_H
#define VNIC_TCP_CONNECTION_H

#include "wire/tcp_header.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Units: sequence numbers are uint32_t; windows and buffers bytes; *_us microseconds of virtual time modulo 2^32,
 * *_ms milliseconds modulo 2^32. Indices name entries of the engine's pools, 0 is none.
 */

/* cdef begin */

enum tcp_state {
    TCP_STATE_CLOSED = 0,
    TCP_STATE_SYN_SENT = 1,
    TCP_STATE_SYN_RECEIVED = 2,
    TCP_STATE_ESTABLISHED = 3,
    TCP_STATE_FIN_WAIT_1 = 4,
    TCP_STATE_FIN_WAIT_2 = 5,
    TCP_STATE_CLOSE_WAIT = 6,
    TCP_STATE_CLOSING = 7,
    TCP_STATE_LAST_ACK = 8,
    TCP_STATE_TIME_WAIT = 9,
    TCP_STATES = 10
};

/* Who runs the connection: the few rules in which a host stack and an offload target differ (spec/tcp.md). */
enum tcp_profile { TCP_PROFILE_RFC = 0, TCP_PROFILE_CHIMNEY = 1 };

enum tcp_congestion { TCP_CC_NEWRENO = 0, TCP_CC_CUBIC = 1, TCP_CONGESTIONS = 2 };

/* Where loss recovery stands; kept in tcp_connection.phase. */
enum tcp_phase {
    TCP_PHASE_OPEN = 0,
    TCP_PHASE_DISORDER = 1, /* duplicate ACKs or SACK blocks, no loss declared */
    TCP_PHASE_RECOVERY = 2, /* fast recovery until `recover` is acknowledged */
    TCP_PHASE_LOSS = 3      /* after a retransmission timeout, until `recover` is acknowledged */
};

/* tcp_connection.flags */
enum tcp_flag {
    /* agreed in the handshake */
    TCP_HAS_TIMESTAMPS = 1 << 0,
    TCP_HAS_SACK = 1 << 1,
    TCP_HAS_WSCALE = 1 << 2,
    TCP_HAS_ECN = 1 << 3,
    /* chosen by the user */
    TCP_NODELAY = 1 << 4,       /* Nagle off */
    TCP_KEEPALIVE = 1 << 5,
    TCP_STRICT_TIMESTAMPS = 1 << 6, /* drop segments that lack the agreed option (RFC 7323 3.2) */
    TCP_PLPMTUD = 1 << 7,       /* larger packets are tried where a black hole made them small */
    /* what happened */
    TCP_FIN_QUEUED = 1 << 8,    /* the user will send no more; FIN has the sequence number snd_end */
    TCP_FIN_SENT = 1 << 9,      /* snd_nxt is beyond it */
    TCP_FIN_RECEIVED = 1 << 10, /* rcv_nxt is beyond the peer's FIN */
    TCP_FIN_SEEN = 1 << 11,     /* a FIN arrived out of order; it is the last number of the last range */
    TCP_CLOSED_BY_USER = 1 << 12, /* nobody reads any more: new data is answered by RST */
    TCP_NOTIFIED_R1 = 1 << 13,
    TCP_REORDERING_SEEN = 1 << 14, /* RACK.reordering_seen */
    TCP_HYSTART = 1 << 15,      /* private state is HyStart++'s: the first slow start */
    TCP_HYSTART_CSS = 1 << 16,  /* ... in Conservative Slow Start */
    TCP_CWND_LIMITED = 1 << 17, /* cwnd held data back since the last ACK of new data */
    TCP_URGENT_RECEIVED = 1 << 18, /* rcv_up is valid */
    TCP_URGENT_SENDING = 1 << 19,  /* snd_up is valid */
    TCP_FROZEN = 1 << 20,       /* being handed off: takes no input, sends nothing (CH-08) */
    /* what the next output is to do */
    TCP_ACK_NOW = 1 << 21,
    TCP_WINDOW_UPDATE = 1 << 22,
    TCP_ECE_PENDING = 1 << 23,  /* CE was received: ECE until CWR */
    TCP_CWR_PENDING = 1 << 24,  /* cwnd was reduced: CWR on the next new data */
    TCP_PROBE_PENDING = 1 << 25, /* SYN again; keepalive or window probe, or what that carried */
    TCP_TAIL_PENDING = 1 << 26, /* tail loss probe due */
    TCP_PUSH = 1 << 27,         /* the user pushed, and not all of the queue has left since */
    TCP_DSACK_PENDING = 1 << 28, /* the first reassembly node is a duplicate to report, once */
    TCP_OVERRIDE = 1 << 29,     /* the SWS override timer expired: send what there is */
    TCP_TAIL_RETRANSMITTED = 1 << 30 /* the tail loss probe outstanding was a retransmission */
};

/* Bits of tcp_connection.armed. */
enum tcp_timer { TCP_TIMER_XMIT = 1, TCP_TIMER_DELACK = 2, TCP_TIMER_KEEP = 4 };

/* What t_xmit_us is for. */
enum tcp_xmit {
    TCP_XMIT_RTO = 0,
    TCP_XMIT_TAIL = 1,     /* probe timeout, PTO (RFC 8985 7) */
    TCP_XMIT_REORDER = 2,  /* RACK reordering (RFC 8985 6.2 step 5) */
    TCP_XMIT_PERSIST = 3,  /* zero window probe */
    TCP_XMIT_OVERRIDE = 4  /* sender SWS override (RFC 9293 3.8.6.2.1) */
};

/* Marks of a run; without SACKED and LOST it counts as in the network. */
enum scoreboard_mark {
    SCOREBOARD_SACKED = 1,        /* stands alone */
    SCOREBOARD_LOST = 2,          /* to be sent again */
    SCOREBOARD_RETRANSMITTED = 4, /* was sent more than once */
    SCOREBOARD_MERGED = 8, /* parts were sent at different times, the last at the stamp: no RTT sample */
    SCOREBOARD_COARSE = 16 /* only its first segment was sent again; what an ACK leaves of it is lost */
};

/* What t_keep_ms is for follows from the state: keepalive, FIN_WAIT_2, or 2 MSL of TIME_WAIT. */

struct tcp_connection {
    /* identity; addresses in network order, IPv4 in the first 4 bytes, the rest zero; ports in host order */
    uint8_t local[16], remote[16];
    uint16_t local_port, remote_port;
    uint16_t vlan;          /* tag control information; 0: untagged */
    uint8_t is_ipv6;
    uint8_t state;          /* enum tcp_state */

    uint32_t flags;         /* enum tcp_flag */
    uint32_t snd_una, snd_nxt; /* snd_nxt is one beyond the highest number ever sent */
    uint32_t snd_end;       /* one beyond the last byte that the user queued */
    uint32_t snd_wnd, snd_wl1, snd_wl2; /* scaled */
    uint32_t max_snd_wnd;
    uint32_t rcv_nxt;
    uint32_t rcv_adv; /* right edge: one beyond the highest number ever offered; SYN_SENT: our window */
    uint32_t rcv_acked; /* Last.ACK.sent */
    uint32_t rcv_unread; /* in-order bytes that the user has not consumed */
    uint32_t rcv_buf; /* bytes the user lets us hold */
    uint16_t snd_mss; /* effective: what a segment without options may carry */
    uint16_t rcv_mss; /* largest of the peer's segments, for delayed ACK; in SYN states our MSS option */
    uint16_t path_mtu; /* 0: not lowered */
    uint16_t probe_mtu; /* PLPMTUD: enum path_probe, or the size of the probe in flight */
    uint8_t snd_wscale, rcv_wscale;
    uint8_t profile; /* enum tcp_profile */
    uint8_t congestion; /* enum tcp_congestion */

    uint32_t ts_recent, ts_recent_ms; /* and when it was set */
    uint32_t ts_offset; /* TSval = virtual ms + ts_offset */

    uint32_t srtt_us; /* times 8 */
    uint32_t rttvar_us; /* times 4; srtt_us 0: no sample yet */
    uint32_t rto_us; /* not backed off */
    uint32_t min_rtt_us;

    uint32_t cwnd, ssthresh;
    uint32_t cc[6]; /* private to the congestion control, or to HyStart++ (TCP_HYSTART) */
    uint32_t tail_end; /* with SACK: TLP.end_seq; without: one beyond `recover` of RFC 6582; snd_una: none */
    uint32_t runs; /* scoreboard: last node of a ring list; the newest run is inline: */
    uint32_t run_seq, run_us; /* run_seq .. snd_nxt, sent at run_us; when empty, run_us is the last send */
    uint8_t run_marks; /* enum scoreboard_mark of the inline run */
    uint8_t snd_probed; /* 1: the number before snd_nxt is a window probe's, beyond any edge offered */
    uint16_t mss_limit; /* snd_mss without regard to the path: what the peer and our interface allow */
    uint32_t recovery; /* struct tcp_recovery: there while something is out of order or lost */
    uint32_t ranges; /* reassembly: first node */

    uint8_t phase; /* enum tcp_phase */
    uint8_t dup_acks;
    uint8_t reo_mult, reo_persist; /* RACK.reo_wnd_mult - 1, RACK.reo_wnd_persist */

    uint32_t t_xmit_us, t_delack_us, t_keep_ms;
    uint8_t armed; /* enum tcp_timer */
    uint8_t xmit; /* enum tcp_xmit */
    uint8_t backoff; /* doublings of the RTO or of the persist interval */
    uint8_t retransmits; /* timeouts in a row without progress; saturates */
    uint32_t wheel_next, wheel_prev; /* of the timing wheel */
    uint32_t retrans_ms; /* since when without progress: R2, user timeout, TotalRT */

    uint32_t keep_time_ms, keep_interval_ms;
    uint32_t user_timeout_ms; /* 0: the engine's R2 */
    uint8_t keep_limit; /* probes without answer before giving up */
    uint8_t probes; /* keepalive or window probes without answer; saturates */
    uint8_t ttl, tos;

    uint32_t rcv_up, snd_up;
    uint32_t heard_ms; /* last segment from the peer */
    uint16_t challenge_ms; /* start of the period, low bits */
    uint8_t challenges; /* challenge ACKs in the period; CHIMNEY: enum challenge_bit */
    uint8_t ack_owed; /* duplicate ACKs that follow the pending one, when the peer cannot read SACK */
};

/* cdef end */

_Static_assert(sizeof(struct tcp_connection) <= 256, "an idle connection fits 256 bytes");

/* tcp_recovery.flags */
enum tcp_recovery_flag {
    TCP_RECOVERY_HAS_RACK = 1, /* rack_us, rack_end, rack_rtt_us are valid */
    TCP_RECOVERY_DSACK_ROUND = 2, /* dsack_round is valid */
    TCP_RECOVERY_CAN_UNDO = 4, /* prior_*, undo_* and cc_saved are valid */
    TCP_RECOVERY_RETRANSMITTED = 8, /* something was sent again in this episode: retrans_ts is valid */
    TCP_RECOVERY_RESCUED = 16, /* rescue is valid: NextSeg rule 4 was used */
    TCP_RECOVERY_ECN = 32, /* the episode was begun by ECE, or an ECE came in it */
    TCP_RECOVERY_WAS_HYSTART = 64, /* cc_saved is HyStart++'s */
    TCP_RECOVERY_WAS_CSS = 128
};

/* Loss recovery at work; most connections have none. One entry of a bounded pool. */
struct tcp_recovery {
    uint32_t recover; /* RecoveryPoint / recover: ends recovery when acknowledged */
    uint32_t sacked,
        lost; /* bytes of the scoreboard in that condition; without SACK, sacked counts duplicate ACKs */
    uint32_t rack_us, rack_end, rack_rtt_us; /* RACK.xmit_ts, RACK.end_seq, RACK.rtt */
    uint32_t fack; /* RACK.fack: highest number SACKed or acknowledged */
    uint32_t prr_delivered, prr_out, recover_fs; /* RFC 6937 */
    uint32_t prior_cwnd, prior_ssthresh; /* for undo */
    uint32_t undo_una, undo_bytes; /* retransmitted bytes not yet reported as duplicates */
    uint32_t dsack_round; /* RACK.dsack_round */
    uint32_t retrans_ts; /* TSval of the first retransmission: Eifel */
    uint32_t rescue; /* RescueRxt of RFC 6675 */
    uint32_t rto_start_us; /* when the RTO timer was last started, while REORDER has its place */
    uint32_t cc_saved[6]; /* the congestion control's private state, for undo */
    uint8_t frto; /* F-RTO: 0 off, 1 the first segment was sent again, 2 new data was sent */
    uint8_t flags; /* enum tcp_recovery_flag */
    uint8_t reserved[2];
};

/* A run of the scoreboard, or a range of the reassembly list. One entry of a bounded pool. */
struct tcp_node {
    uint32_t next;
    uint32_t left, right;
    uint32_t stamp; /* scoreboard: sent at, us; reassembly: age, for the order of SACK blocks */
    uint8_t marks; /* scoreboard: enum scoreboard_mark */
    uint8_t reserved[3];
};

static inline bool tcp_has(const struct tcp_connection *c, uint32_t flag)
{
    return (c->flags & flag) != 0;
}

/* Sequence numbers in flight, SYN and FIN included. */
static inline uint32_t tcp_flight(const struct tcp_connection *c)
{
    return c->snd_nxt - c->snd_una;
}

/* A handshake is over: data may arrive. */
static inline bool tcp_is_synchronized(const struct tcp_connection *c)
{
    return c->state >= TCP_STATE_ESTABLISHED;
}

#endif
