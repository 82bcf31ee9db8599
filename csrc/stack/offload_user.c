/* What the user of a connection does while it is away: done up here as far as it goes, and told to the client. */
#include "base/bits.h"
#include "stack/receive_queue.h"
#include "stack/state.h"
#include "wire/seq.h"

uint32_t offload_unread(const struct vnic_stack *s, const struct socket *socket,
                        const struct tcp_connection *c)
{
    const struct away *away;

    if (!offload_is_away(socket)) {
        return c->rcv_unread;
    }
    away = offload_away(s, socket);
    return offload_is_leaving(socket) ? c->rcv_unread - away->skip : c->rcv_unread + away->owed - away->skip;
}

void offload_send(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c, uint32_t bytes,
                  bool is_urgent)
{
    struct away *away = offload_away(s, socket);
    const uint32_t before = c->snd_end;
    struct tcp_result result;

    tcp_queue(s->tcp, c, s->now_ns, bytes, true, &result);
    if (is_urgent) {
        away->urgent = (away->flags & AWAY_URGENT) != 0 ? away->urgent : before;
        away->urgent_end = c->snd_end;
        away->flags |= AWAY_URGENT;
    }
    offload_raise(s, socket, is_urgent ? VNIC_OFFLOAD_URGENT : VNIC_OFFLOAD_SEND);
}

/* What was seen before it left: it comes back from the target, and then is not delivered again. */
void offload_consume(struct vnic_stack *s, struct socket *socket, uint32_t len)
{
    offload_away(s, socket)->skip += len;
}

void offload_abort(struct vnic_stack *s, struct socket *socket)
{
    offload_away(s, socket)->flags |= AWAY_ABORTED;
    offload_raise(s, socket, VNIC_OFFLOAD_ABORT);
}

/* RFC 9293 SHLD-3: with bytes that were not read it is a reset. */
void offload_close(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c)
{
    struct tcp_result result;

    offload_away(s, socket)->flags |= AWAY_CLOSED;
    if (offload_unread(s, socket, c) != 0) {
        offload_abort(s, socket);
    } else if (!tcp_has(c, TCP_FIN_QUEUED)) {
        tcp_shutdown(s->tcp, c, s->now_ns, &result);
        offload_raise(s, socket, VNIC_OFFLOAD_SHUTDOWN);
    }
}

/* No timer is armed by it: they are the target's. */
void offload_set_options(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c,
                         const struct socket_options *options)
{
    const uint32_t changeable = TCP_NODELAY | TCP_KEEPALIVE;

    c->flags = (c->flags & ~changeable) | (options->flags & changeable);
    c->keep_time_ms = bits_min32(options->keep_time_ms, INT32_MAX);
    c->keep_interval_ms = bits_min32(options->keep_interval_ms, INT32_MAX);
    c->keep_limit = options->keep_limit;
    c->user_timeout_ms = options->user_timeout_ms;
    offload_away(s, socket)->flags |= AWAY_OPTIONS;
    offload_raise(s, socket, VNIC_OFFLOAD_OPTIONS);
}

int64_t vnic_tcp_offload_queued(vnic_stack *stack, vnic_socket socket, int *has_fin)
{
    const struct socket *held = offload_socket(stack, socket);
    const struct away *away;
    const struct tcp_connection *c;
    bool is_urgent;

    if (held == NULL) {
        return VNIC_STACK_EBADF;
    }
    c = socket_connection(stack, held);
    away = offload_away(stack, held);
    is_urgent = offload_is_away(held) && (away->flags & AWAY_URGENT) != 0;
    if (has_fin != NULL) {
        *has_fin = tcp_has(c, TCP_FIN_QUEUED) && !is_urgent;
    }
    if (c->state == TCP_STATE_CLOSED || seq_le(c->snd_end, c->snd_una)) {
        return 0;
    }
    return (is_urgent ? seq_max(away->urgent, c->snd_una) : c->snd_end) - c->snd_una;
}
