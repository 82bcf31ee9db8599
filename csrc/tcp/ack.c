/* ack.c: the ACK field: what it acknowledges, the window it offers, and what follows for the timers. */
#include "tcp/arrival.h"
#include "tcp/challenge.h"
#include "tcp/path_probe.h"
#include "tcp/persist.h"
#include "tcp/recovery.h"
#include "tcp/window.h"
#include "wire/seq.h"

/*
 * RFC 9293 3.10.7.4: only from a segment that is not older than the one of which the window is. What an older one
 * acknowledges comes off the window, so that the right edge stays where the peer put it.
 */
static void ack_take_window(struct arrival *a)
{
    struct tcp_connection *c = a->c;
    const struct tcp_segment *segment = a->segment;

    if (seq_lt(c->snd_wl1, segment->seq)
        || (c->snd_wl1 == segment->seq && seq_le(c->snd_wl2, segment->ack))) {
        c->snd_wnd = (uint32_t)segment->wnd << c->snd_wscale;
        c->snd_wl1 = segment->seq;
        c->snd_wl2 = segment->ack;
        c->max_snd_wnd = bits_max32(c->max_snd_wnd, c->snd_wnd);
    } else {
        c->snd_wnd -= bits_min32(c->snd_wnd, segment->ack - c->snd_una);
    }
}

/* SND.UNA moves; FIN is no byte of the queue. */
static void ack_advance(struct arrival *a)
{
    struct tcp_connection *c = a->c;
    uint32_t acked = a->segment->ack - c->snd_una;

    c->snd_una = a->segment->ack;
    c->snd_probed = 0;
    acked -= ack_covers_fin(c);
    a->result->acked += acked;
    a->result->events |= acked != 0 ? TCP_EVENT_ACKED | TCP_EVENT_CONFIRMED : TCP_EVENT_CONFIRMED;
    if (c->snd_una == c->snd_nxt && window_unsent(c) == 0) {
        a->result->events |= TCP_EVENT_WINDOW;
    }
    if (tcp_has(c, TCP_URGENT_SENDING) && seq_ge(c->snd_una, c->snd_up)) {
        c->flags &= ~(uint32_t)TCP_URGENT_SENDING;
    }
    if (path_probe_is_out(c)) {
        path_probe_on_ack(c, a->result);
    }
    c->flags &= ~(uint32_t)(TCP_NOTIFIED_R1 | TCP_PROBE_PENDING);
}

/* Data of the peer's that acknowledges nothing new: loss recovery, if it is not at work, learns nothing from it. */
static bool ack_says_nothing(const struct tcp_connection *c, const struct tcp_segment *segment)
{
    return segment->ack == c->snd_una && segment->len != 0 && segment->sacks == 0
           && (segment->control & TCP_ECE) == 0 && (c->recovery | c->phase) == 0;
}

static void ack_recover(struct arrival *a, uint32_t prior_una, uint32_t prior_wnd)
{
    struct tcp_connection *c = a->c;
    const struct recovery_ack ack = {
        .segment = a->segment,
        .prior_una = prior_una,
        .window_changed = c->snd_wnd != prior_wnd,
        .has_data = a->segment->len != 0 || arrival_has(a, TCP_SYN | TCP_FIN),
    };

    recovery_on_ack(a->e, c, &ack);
}

void ack_take(struct arrival *a)
{
    struct tcp_connection *c = a->c;
    const uint32_t prior_una = c->snd_una, prior_wnd = c->snd_wnd;
    const uint8_t backoff = c->backoff;

    ack_take_window(a);
    if (c->snd_wnd == prior_wnd && prior_wnd != 0 && ack_says_nothing(c, a->segment)) {
        return;
    }
    if (a->segment->ack != prior_una) {
        ack_advance(a);
    }
    ack_recover(a, prior_una, prior_wnd);
    if (c->snd_wnd == 0 || prior_wnd == 0) {
        persist_follow(a->e, c, a->result, prior_wnd, backoff);
    }
}

/* BL-05 (RFC 5961 5.2): neither beyond what we sent nor older than the peer's largest window. */
static bool ack_is_possible(const struct tcp_connection *c, uint32_t ack)
{
    return seq_le(ack, c->snd_nxt) && seq_le(c->snd_una - c->max_snd_wnd, ack);
}

bool ack_arrives(struct arrival *a)
{
    struct tcp_connection *c = a->c;

    if (!ack_is_possible(c, a->segment->ack)) {
        a->e->statistics.bad_acks++;
        challenge_send(a->e, c);
        return false;
    }
    acceptance_take(a);
    if (seq_ge(a->segment->ack, c->snd_una)) {
        ack_take(a);
    }
    return true;
}
