/* Loss: what was sent and what became of it, when to send it again, and how much may be in the network. */
#ifndef VNIC_TCP_RECOVERY_H
#define VNIC_TCP_RECOVERY_H

#include "tcp/state.h"

/*
 * Owns: the scoreboard (scoreboard.h), RTT and RTO (rtt.h), congestion control (congestion.h), phase, dup_acks,
 * cwnd, ssthresh, tail_end, backoff, retransmits, retrans_ms, and which of RTO, TAIL or REORDER the xmit timer is.
 * The input and output files own all else and call in here.
 */

/* SND.UNA and the window as they were before an acceptable ACK (UNA <= SEG.ACK <= NXT) in a synchronized state. */
struct recovery_ack {
    const struct tcp_segment *segment;
    uint32_t prior_una;   /* c->snd_una is moved already; equal when nothing new is acknowledged */
    bool window_changed;  /* SEG.WND is not what the last one was: then no duplicate ACK (RFC 5681 2) */
    bool has_data;        /* carries payload, SYN or FIN: likewise */
};

void recovery_on_ack(struct tcp_engine *e, struct tcp_connection *c, const struct recovery_ack *ack);

/* The xmit timer expired as RTO, TAIL or REORDER in a synchronized state. */
void recovery_on_timeout(struct tcp_engine *e, struct tcp_connection *c, enum tcp_xmit what);

/* The handshake was acknowledged: an RTT sample in us if there is one (0: none, SYN was retransmitted). */
void recovery_on_connected(struct tcp_engine *e, struct tcp_connection *c, uint32_t rtt_us,
                           bool syn_retransmitted);

/* A range to send again now, at most max_len; false: none, or the pipe is full. Never SACKed bytes. */
bool recovery_retransmit(struct tcp_engine *e, struct tcp_connection *c, uint32_t max_len,
                         struct tcp_block *range);

/* Bytes of new data that cwnd, PRR or limited transmit (RFC 3042) allow now; the send window is the caller's. */
uint32_t recovery_room(struct tcp_engine *e, struct tcp_connection *c);

/*
 * seq .. seq + len was handed out (SYN and FIN count); called before snd_nxt moves. Keeps the scoreboard and starts
 * the timer.
 */
void recovery_on_sent(struct tcp_engine *e, struct tcp_connection *c, uint32_t seq, uint32_t len,
                      bool is_retransmission);

/* New data was due but cwnd held it back, or nothing was queued although cwnd had room (RFC 7661). */
void recovery_on_limited(struct tcp_engine *e, struct tcp_connection *c, bool by_cwnd);

/* Sending starts again with nothing in flight: restart window after idle (RFC 5681 4.1). */
void recovery_on_restart(struct tcp_engine *e, struct tcp_connection *c);

/* Arms TAIL, RTO or REORDER, or stops them when nothing is in flight. A PERSIST or OVERRIDE timer is left alone. */
void recovery_arm(struct tcp_engine *e, struct tcp_connection *c);

/* ICMP said that packets above the new snd_mss are lost: what was larger is to be sent again, cwnd stays. */
void recovery_on_mtu(struct tcp_engine *e, struct tcp_connection *c);

/* RTO now, backoff included, at most rto_max_us. */
uint32_t recovery_rto_us(const struct tcp_engine *e, const struct tcp_connection *c);

/* left .. right is to be sent again before anything else, without a reduction (RFC 1191; chimney SndNxt .. SndMax). */
void recovery_mark_lost(struct tcp_engine *e, struct tcp_connection *c, uint32_t left, uint32_t right);

/* Bytes counted in the network: pipe of RFC 6675, or flight less what duplicate ACKs say has left. */
uint32_t recovery_pipe(const struct tcp_engine *e, const struct tcp_connection *c);

/* Frees runs and the recovery entry. */
void recovery_release(struct tcp_engine *e, struct tcp_connection *c);

#endif
