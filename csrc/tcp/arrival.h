/* One segment on its way through the checks of RFC 9293 3.10.7.4, and the step that each file takes of them. */
#ifndef VNIC_TCP_ARRIVAL_H
#define VNIC_TCP_ARRIVAL_H

#include "tcp/state.h"

struct arrival {
    struct tcp_engine *e;
    struct tcp_connection *c;
    const struct tcp_segment *segment;
    struct tcp_result *result;
    uint32_t text; /* sequence number of the first payload byte in the segment */
    uint32_t seq; /* ... of the first that is new and in the window */
    uint32_t len; /* payload bytes from there on inside the window */
    bool has_fin; /* and behind them a FIN inside the window */
    bool is_ack_due; /* an ACK was due before it came */
};

static inline bool arrival_has(const struct arrival *a, uint32_t control)
{
    return (a->segment->control & control) != 0;
}

/* First to fourth check, and whether ACK is set: false when the segment goes no further (acceptance.c). */
bool acceptance_check(struct arrival *a);

/* The peer is alive: an acceptable segment came. */
void acceptance_note(struct tcp_engine *e, struct tcp_connection *c);

/* What is noted of a segment whose numbers are good: the time, TS.Recent, CE; and what is cut off from it. */
void acceptance_take(struct arrival *a);

/* Fifth check: the ACK field; false when the segment goes no further (ack.c). */
bool ack_arrives(struct arrival *a);

/* The part of it that a segment needs whose ACK is known to be in UNA .. NXT. */
void ack_take(struct arrival *a);

static inline bool ack_covers_fin(const struct tcp_connection *c)
{
    return tcp_has(c, TCP_FIN_SENT) && c->snd_una == c->snd_nxt;
}

/* Sixth check: urgent data; false when the segment goes no further (urgent.c). */
bool urgent_arrives(struct arrival *a);

/* Seventh and eighth check: text, and FIN; true when all up to a FIN is in order now (text.c). */
bool text_arrives(struct arrival *a);

/* In-order payload, nothing out of order held, no FIN. */
void text_append(struct arrival *a);

/* RFC 9293 3.10.7.3, and what SYN-RECEIVED does differently (handshake.c). */
void handshake_syn_sent(struct arrival *a);
void handshake_syn_received(struct arrival *a);

/* From the sixth check on, and what a FIN means in this state (input.c). */
void input_after_ack(struct arrival *a);

/* What a segment caused is to be sent, or a timer sees to it (input.c). */
void input_finish(struct arrival *a);

#endif
