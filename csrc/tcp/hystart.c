/* HyStart++: leaves the first slow start when the round-trip time rises, before packets are lost (RFC 9406). */
#include "tcp/hystart.h"

#include "wire/seq.h"

#include <string.h>

/* c->cc[]; RTTs in us, 0: infinite. */
enum {
    LAST_MIN = 0, /* lastRoundMinRTT */
    CURRENT_MIN = 1, /* currentRoundMinRTT */
    SAMPLES = 2, /* rttSampleCount */
    WINDOW_END = 3, /* windowEnd: the round ends when it is acknowledged */
    BASELINE = 4, /* cssBaselineMinRtt */
    CSS_ROUND = 5 /* rounds spent in Conservative Slow Start */
};

/* RFC 9406 4.3 */
enum {
    MIN_RTT_THRESH_US = 4000,
    MAX_RTT_THRESH_US = 16000,
    MIN_RTT_DIVISOR = 8,
    N_RTT_SAMPLE = 8,
    CSS_GROWTH_DIVISOR = 4,
    CSS_ROUNDS = 5
};

void hystart_begin(struct tcp_connection *c)
{
    memset(c->cc, 0, sizeof c->cc);
    c->cc[WINDOW_END] = c->snd_nxt;
    c->flags = (c->flags & ~(uint32_t)TCP_HYSTART_CSS) | TCP_HYSTART;
}

void hystart_end(struct tcp_connection *c)
{
    if (tcp_has(c, TCP_HYSTART)) {
        memset(c->cc, 0, sizeof c->cc);
        c->flags &= ~(uint32_t)(TCP_HYSTART | TCP_HYSTART_CSS);
    }
}

static void round_begin(struct tcp_connection *c)
{
    c->cc[LAST_MIN] = c->cc[CURRENT_MIN];
    c->cc[CURRENT_MIN] = 0;
    c->cc[SAMPLES] = 0;
    c->cc[WINDOW_END] = c->snd_nxt;
}

static void take_sample(struct tcp_connection *c, uint32_t rtt_us)
{
    if (rtt_us == 0) {
        return;
    }
    if (c->cc[CURRENT_MIN] == 0 || rtt_us < c->cc[CURRENT_MIN]) {
        c->cc[CURRENT_MIN] = rtt_us;
    }
    c->cc[SAMPLES]++;
}

static bool is_rising(const struct tcp_connection *c)
{
    uint32_t threshold = c->cc[LAST_MIN] / MIN_RTT_DIVISOR;

    if (c->cc[SAMPLES] < N_RTT_SAMPLE || c->cc[LAST_MIN] == 0) {
        return false;
    }
    threshold = threshold > MIN_RTT_THRESH_US ? threshold : MIN_RTT_THRESH_US;
    threshold = threshold < MAX_RTT_THRESH_US ? threshold : MAX_RTT_THRESH_US;
    return c->cc[CURRENT_MIN] >= c->cc[LAST_MIN] + threshold;
}

static void css_enter(struct tcp_connection *c)
{
    c->cc[BASELINE] = c->cc[CURRENT_MIN];
    c->cc[CSS_ROUND] = 0;
    c->flags |= TCP_HYSTART_CSS;
}

/* In CSS: back to slow start when the rise was a mistake, on to congestion avoidance after CSS_ROUNDS. */
static void css_review(struct tcp_connection *c, bool is_round_over)
{
    if (c->cc[SAMPLES] >= N_RTT_SAMPLE && c->cc[CURRENT_MIN] < c->cc[BASELINE]) {
        c->cc[BASELINE] = 0;
        c->flags &= ~(uint32_t)TCP_HYSTART_CSS;
    } else if (is_round_over && ++c->cc[CSS_ROUND] >= CSS_ROUNDS) {
        c->ssthresh = c->cwnd;
    }
}

uint32_t hystart_on_ack(struct tcp_connection *c, const struct congestion_ack *ack, uint32_t growth)
{
    bool is_round_over = seq_ge(c->snd_una, c->cc[WINDOW_END]);

    take_sample(c, ack->rtt_us);
    if (tcp_has(c, TCP_HYSTART_CSS)) {
        growth /= CSS_GROWTH_DIVISOR;
        css_review(c, is_round_over);
    } else if (is_rising(c)) {
        css_enter(c);
    }
    if (is_round_over) {
        round_begin(c);
    }
    return growth;
}
