/* Round-trip time: samples, SRTT and RTTVAR, and the retransmission timeout that follows (RFC 6298). */
#include "tcp/rtt.h"

#include "tcp/recovery.h"

enum {
    GRANULARITY_US = 1000,  /* G: what we count on, though time has microseconds */
    SAMPLE_MAX_US = 1 << 28 /* 268 s: srtt_us holds eight times that */
};

void rtt_set_rto(const struct tcp_engine *e, struct tcp_connection *c)
{
    uint32_t spread = c->rttvar_us > GRANULARITY_US ? c->rttvar_us : GRANULARITY_US;
    uint32_t rto = (c->srtt_us >> 3) + spread;

    if (rto < e->config.rto_min_us) {
        rto = e->config.rto_min_us;
    }
    c->rto_us = rto < e->config.rto_max_us ? rto : e->config.rto_max_us;
}

void rtt_sample(const struct tcp_engine *e, struct tcp_connection *c, uint32_t rtt_us, uint32_t weight_shift)
{
    uint32_t rtt = rtt_us == 0 ? 1 : rtt_us < SAMPLE_MAX_US ? rtt_us : SAMPLE_MAX_US;

    if (c->srtt_us == 0) { /* RFC 6298 2.2 */
        c->srtt_us = rtt << 3;
        c->rttvar_us = rtt << 1;
    } else { /* 2.3: RTTVAR first; srtt_us is 8 SRTT, rttvar_us 4 RTTVAR */
        int32_t error = (int32_t)rtt - (int32_t)(c->srtt_us >> 3);
        int32_t size = error < 0 ? -error : error;
        int32_t divisor = 1 << weight_shift;

        c->rttvar_us += (uint32_t)((size - (int32_t)(c->rttvar_us >> 2)) / divisor);
        c->srtt_us += (uint32_t)(error / divisor);
    }
    c->backoff = 0; /* section 5, last paragraph */
    rtt_set_rto(e, c);
}

/*
 * RFC 7323 App. G: ExpectedSamples = ceiling(FlightSize / (SMSS * 2)) in an RTT; here rounded up to a power of two.
 */
static uint32_t weight_shift(const struct tcp_connection *c, uint32_t flight)
{
    uint32_t pairs = flight / (2u * (c->snd_mss | 1u));

    return pairs == 0 ? 0 : 32u - (uint32_t)__builtin_clz(pairs);
}

uint32_t rtt_echo_age_us(const struct tcp_engine *e, const struct tcp_connection *c,
                         const struct tcp_segment *segment)
{
    uint32_t age_ms;

    if (!tcp_has(c, TCP_HAS_TIMESTAMPS) || (segment->options & TCP_OPT_TIMESTAMP) == 0) {
        return UINT32_MAX;
    }
    age_ms = engine_ms(e) + c->ts_offset - segment->ts_ecr;
    return age_ms < SAMPLE_MAX_US / 1000 ? age_ms * 1000 : UINT32_MAX;
}

/* The run that was sent last among those delivered; 0: none that was sent only once. */
static uint32_t newest_rtt(struct tcp_connection *c, const struct delivery *d)
{
    uint32_t rtt = d->now_us - d->newest_us;

    if (!d->has_sample || d->has_retransmitted) {
        return 0;
    }
    rtt = rtt != 0 ? rtt : 1;
    if (c->min_rtt_us == 0 || rtt < c->min_rtt_us) {
        c->min_rtt_us = rtt;
    }
    return rtt;
}

/*
 * Something acknowledged was sent twice (Karn). The timestamp tells, in milliseconds, which transmission it was;
 * but an ACK that answers a duplicate echoes an older one (RFC 7323 5.3 R2, R3). Without D-SACK that is what an old
 * echo after several timeouts rather is. No sample keeps the back-off, until ACKs come without a timeout in between.
 */
static void sample_ambiguous(const struct tcp_engine *e, struct tcp_connection *c,
                             const struct tcp_segment *segment, const struct delivery *d, uint32_t flight)
{
    uint32_t age = rtt_echo_age_us(e, c, segment);
    bool is_stale = d->has_old_echo && d->timeouts >= 2;

    if (d->has_duplicate) {
        c->backoff = 0;
    } else if (age != UINT32_MAX && !is_stale) {
        rtt_sample(e, c, age > GRANULARITY_US ? age : GRANULARITY_US, weight_shift(c, flight));
    } else if (d->timeouts == 0 && c->backoff != 0) {
        c->backoff--;
    }
}

/*
 * SRTT listens to ACKs of new data only (RFC 7323 4.1): a SACK may come any time after the segment, when the ACK that
 * should have brought it was lost.
 */
uint32_t rtt_on_ack(const struct tcp_engine *e, struct tcp_connection *c, const struct tcp_segment *segment,
                    const struct delivery *d, uint32_t flight)
{
    uint32_t rtt = newest_rtt(c, d);

    if (d->delivered == d->sacked) {
        return rtt;
    }
    if (rtt != 0) {
        rtt_sample(e, c, d->now_us - d->oldest_us, weight_shift(c, flight));
    } else {
        sample_ambiguous(e, c, segment, d, flight);
    }
    return rtt;
}
