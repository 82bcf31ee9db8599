/* Beginnings and ends of sending: the handshake, a pause, a smaller MTU, the end of the connection. */
#include "tcp/episode.h"
#include "tcp/recovery.h"
#include "tcp/rtt.h"
#include "tcp/scoreboard.h"
#include "tcp/xmit_timer.h"

enum { RTO_AFTER_LOST_SYN_US = 3000000 }; /* RFC 6298 5.7 */

void recovery_on_connected(struct tcp_engine *e, struct tcp_connection *c, uint32_t rtt_us,
                           bool syn_retransmitted)
{
    struct delivery d = {.echo_age_us = UINT32_MAX};

    scoreboard_advance(e, c, &d);
    c->backoff = 0;
    c->retransmits = 0;
    c->retrans_ms = engine_ms(e);
    c->phase = TCP_PHASE_OPEN;
    c->tail_end = c->snd_una;
    if (rtt_us != 0) {
        rtt_sample(e, c, rtt_us, 0);
        c->min_rtt_us = rtt_us;
    } else if (syn_retransmitted && c->rto_us < RTO_AFTER_LOST_SYN_US) {
        c->rto_us = RTO_AFTER_LOST_SYN_US;
    }
    congestion_start(e, c, syn_retransmitted);
    xmit_timer_restart(e, c, tcp_flight(c), 0);
}

void recovery_arm(struct tcp_engine *e, struct tcp_connection *c)
{
    if (c->snd_una == c->snd_nxt || (c->armed & TCP_TIMER_XMIT) == 0) {
        xmit_timer_restart(e, c, tcp_flight(c), 0);
    }
}

/* What was just marked lost leaves first; r may be NULL. */
static void resend_lost(struct tcp_engine *e, struct tcp_connection *c, struct tcp_recovery *r)
{
    if (c->phase < TCP_PHASE_RECOVERY && scoreboard_count(e, c, SCOREBOARD_LOST) != 0) {
        episode_begin_resend(c, r);
    }
    if (r != NULL && !tcp_has(c, TCP_HAS_SACK)) {
        episode_count_left(c, r, r->sacked);
    }
    if (r != NULL) {
        episode_release_if_done(e, c, r);
    }
}

void recovery_mark_lost(struct tcp_engine *e, struct tcp_connection *c, uint32_t left, uint32_t right)
{
    struct tcp_recovery *r;

    if (left == right || c->snd_una == c->snd_nxt) {
        return;
    }
    r = episode_entry(e, c);
    scoreboard_lose_range(e, c, left, right);
    resend_lost(e, c, r);
}

/* Runs that one packet can carry are on their way still. */
void recovery_on_mtu(struct tcp_engine *e, struct tcp_connection *c)
{
    struct tcp_recovery *r;

    if (c->snd_una == c->snd_nxt) {
        return;
    }
    r = episode_entry(e, c);
    scoreboard_lose_longer(e, c, congestion_smss(c));
    resend_lost(e, c, r);
}

void recovery_on_restart(struct tcp_engine *e, struct tcp_connection *c)
{
    uint32_t rto_us = c->rto_us != 0 ? c->rto_us : e->config.rto_initial_us;

    if (engine_us(e) - c->run_us > rto_us || engine_ms(e) - c->heard_ms > rto_us / 1000) {
        congestion_restart(e, c);
    }
}

void recovery_release(struct tcp_engine *e, struct tcp_connection *c)
{
    runs_release(e, c);
    episode_release(e, c);
    c->phase = TCP_PHASE_OPEN;
}
