/* challenge.c: counts challenge ACKs a connection and lets no more leave than the limit. */
#include "tcp/challenge.h"

#include "tcp/keepalive.h"
#include "tcp/timer.h"

static void challenge_grant(struct tcp_engine *e, struct tcp_connection *c)
{
    e->statistics.challenge_acks++;
    c->flags |= TCP_ACK_NOW;
}

static void challenge_start_period(struct tcp_engine *e, struct tcp_connection *c)
{
    const uint32_t period =
        c->profile == TCP_PROFILE_CHIMNEY ? (uint32_t)CHALLENGE_CHIMNEY_MS : e->config.challenge_period_ms;
    const uint16_t now_ms = (uint16_t)engine_ms(e);

    if ((uint16_t)(now_ms - c->challenge_ms) >= period) {
        c->challenges &= c->profile == TCP_PROFILE_CHIMNEY ? CHALLENGE_MITIGATING | CHALLENGE_RST : 0;
        c->challenge_ms = now_ms;
    }
}

void challenge_send(struct tcp_engine *e, struct tcp_connection *c)
{
    const uint8_t one = c->profile == TCP_PROFILE_CHIMNEY ? CHALLENGE_ONE : 1;

    challenge_start_period(e, c);
    if (c->challenges / one >= e->config.challenge_limit || c->challenges > UINT8_MAX - one) {
        e->statistics.challenge_suppressed++;
        return;
    }
    if (c->challenges / one == 0) {
        c->challenge_ms = (uint16_t)engine_ms(e);
    }
    c->challenges = (uint8_t)(c->challenges + one);
    challenge_grant(e, c);
}

/* CHIMNEY: the first one of its kind only, and the keepalive timer finds out whether the peer still lives. */
static void challenge_once(struct tcp_engine *e, struct tcp_connection *c, uint8_t kind)
{
    if ((c->challenges & kind) != 0) {
        e->statistics.challenge_suppressed++;
        return;
    }
    if (kind == CHALLENGE_SYN && (c->challenges & CHALLENGE_COUNTS) == 0) {
        c->challenge_ms = (uint16_t)engine_ms(e);
    }
    c->challenges |= kind | CHALLENGE_MITIGATING;
    keepalive_hasten(e, c);
    challenge_grant(e, c);
}

void challenge_rst(struct tcp_engine *e, struct tcp_connection *c)
{
    if (c->profile == TCP_PROFILE_CHIMNEY) {
        challenge_once(e, c, CHALLENGE_RST);
    } else {
        challenge_send(e, c);
    }
}

void challenge_syn(struct tcp_engine *e, struct tcp_connection *c)
{
    if (c->profile == TCP_PROFILE_CHIMNEY) {
        challenge_start_period(e, c);
        challenge_once(e, c, CHALLENGE_SYN);
    } else {
        challenge_send(e, c);
    }
}

void challenge_end(struct tcp_engine *e, struct tcp_connection *c)
{
    c->challenges &= (uint8_t)~(CHALLENGE_MITIGATING | CHALLENGE_RST);
    keepalive_relax(e, c);
}
