/* Proportional rate reduction: how cwnd goes down to ssthresh during recovery (RFC 6937). */
#include "tcp/prr.h"

#include "tcp/congestion.h"
#include "tcp/recovery.h"

void prr_begin(struct tcp_connection *c, struct tcp_recovery *r)
{
    r->prr_delivered = 0;
    r->prr_out = 0;
    r->recover_fs = tcp_flight(c);
}

/* pipe is above ssthresh: send in proportion to what arrives. */
static uint32_t proportional(const struct tcp_connection *c, const struct tcp_recovery *r)
{
    uint64_t fs = r->recover_fs != 0 ? r->recover_fs : 1;
    uint64_t target = ((uint64_t)r->prr_delivered * c->ssthresh + fs - 1) / fs;

    return target > r->prr_out ? (uint32_t)(target - r->prr_out) : 0;
}

/* pipe fell below ssthresh, through losses: grow back, by slow start (SSRB) or packet by packet (CRB). */
static uint32_t reduction_bound(const struct tcp_connection *c, const struct tcp_recovery *r, uint32_t pipe,
                                uint32_t delivered, bool is_safe)
{
    uint32_t conserved = r->prr_delivered > r->prr_out ? r->prr_delivered - r->prr_out : 0;
    uint32_t limit = conserved;

    if (is_safe) {
        limit = (conserved > delivered ? conserved : delivered) + congestion_smss(c);
    }
    return limit < c->ssthresh - pipe ? limit : c->ssthresh - pipe;
}

void prr_on_ack(const struct tcp_engine *e, struct tcp_connection *c, struct tcp_recovery *r,
                uint32_t delivered, bool is_safe)
{
    uint32_t pipe = recovery_pipe(e, c), smss = congestion_smss(c), may_send;

    r->prr_delivered += delivered;
    may_send = pipe > c->ssthresh ? proportional(c, r) : reduction_bound(c, r, pipe, delivered, is_safe);
    if (may_send < smss && (r->prr_out == 0 || pipe == 0) && r->lost != 0) {
        may_send = smss; /* the fast retransmission itself, and never an empty network */
    }
    c->cwnd = pipe + may_send > smss ? pipe + may_send : smss; /* what is left of a window is one segment */
}
