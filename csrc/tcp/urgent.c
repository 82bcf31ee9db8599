/* urgent.c: urgent data as RFC 6093 understands it: the pointer is the number behind the last urgent byte. */
#include "tcp/arrival.h"
#include "tcp/ending.h"
#include "tcp/path_probe.h"
#include "tcp/window.h"
#include "wire/seq.h"

/* The number of the first byte that the user has not consumed. */
static uint32_t urgent_consumed(const struct tcp_connection *c)
{
    return c->rcv_nxt - c->rcv_unread - (tcp_has(c, TCP_FIN_RECEIVED) ? 1 : 0);
}

static bool urgent_is_news(const struct tcp_connection *c, uint32_t up)
{
    return seq_gt(up, urgent_consumed(c)) && (!tcp_has(c, TCP_URGENT_RECEIVED) || seq_gt(up, c->rcv_up));
}

bool urgent_arrives(struct arrival *a)
{
    struct tcp_connection *c = a->c;
    const uint32_t up = a->segment->seq + a->segment->urgent;

    if (!arrival_has(a, TCP_URG)) {
        return true;
    }
    if (c->profile == TCP_PROFILE_CHIMNEY) {
        ending_upload(c, a->result, TCP_REASON_UPLOAD_URGENT);
        return false;
    }
    if (urgent_is_news(c, up)) {
        c->rcv_up = up;
        c->flags |= TCP_URGENT_RECEIVED;
        a->result->events |= TCP_EVENT_URGENT;
    }
    return true;
}

void urgent_on_consume(struct tcp_connection *c)
{
    if (tcp_has(c, TCP_URGENT_RECEIVED) && seq_ge(urgent_consumed(c), c->rcv_up)) {
        c->flags &= ~(uint32_t)TCP_URGENT_RECEIVED;
    }
}

/* With a closed window the news travels alone (RFC 9293 3.8.5). */
void urgent_queue(struct tcp_connection *c)
{
    if (c->snd_end == c->snd_una || tcp_has(c, TCP_FIN_SENT)) {
        return;
    }
    if (path_probe_is_out(c)) {
        c->probe_mtu = PATH_PROBE_NONE;
    }
    c->snd_up = c->snd_end;
    c->flags |= TCP_URGENT_SENDING;
    if (tcp_is_synchronized(c) && window_usable(c) == 0) {
        c->flags |= TCP_ACK_NOW;
    }
}
