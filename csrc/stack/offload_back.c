/* The way back: the state of a connection that returns is held against what was reported of it, and taken. */
#include "base/bits.h"
#include "stack/answer.h"
#include "stack/close.h"
#include "stack/held.h"
#include "stack/outcome.h"
#include "stack/post.h"
#include "stack/state.h"
#include "tcp/handoff.h"
#include "tcp/offload_state.h"
#include "wire/seq.h"

/* -- here again --------------------------------------------------------------------------------------------- */

/* RFC 6093: the pointer is the number behind the last byte that the user called urgent. */
static void back_send_urgent(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c,
                             uint32_t urgent_end)
{
    struct tcp_result result;

    tcp_queue_urgent(s->tcp, c, s->now_ns, &result);
    if (tcp_has(c, TCP_URGENT_SENDING) && seq_gt(urgent_end, c->snd_una)) {
        c->snd_up = urgent_end;
    }
    outcome_apply(s, socket, c, &result, NULL);
}

static void back_shutdown(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c)
{
    struct tcp_result result;

    tcp_shutdown(s->tcp, c, s->now_ns, &result);
    outcome_apply(s, socket, c, &result, NULL);
}

static void back_close(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c)
{
    struct tcp_result result;
    struct tcp_segment rst;

    if (tcp_close(s->tcp, c, s->now_ns, &result, &rst)) {
        answer_reset(s, socket, c, &rst);
    }
    outcome_apply(s, socket, c, &result, NULL);
}

/* What the user did while nobody could do it. */
static void back_catch_up(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c,
                          uint32_t flags, bool has_shutdown)
{
    const struct away *away = offload_away(s, socket);

    if ((flags & AWAY_URGENT) != 0) {
        back_send_urgent(s, socket, c, away->urgent_end);
    }
    if ((flags & AWAY_ABORTED) != 0) {
        outcome_abort(s, socket, c, VNIC_STACK_ECONNABORTED);
    } else if ((flags & AWAY_CLOSED) != 0) {
        back_close(s, socket, c);
    } else if (has_shutdown) {
        back_shutdown(s, socket, c);
    }
}

/* The user may read again, and what was posted is filled. */
static void back_read(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c)
{
    struct away *away = offload_away(s, socket);

    if (away->skip != 0 && away->owed == 0) { /* taken before it left, and it never did */
        receive_queue_consume(s, socket, c, bits_min32(away->skip, c->rcv_unread));
    }
    post_refill(s, socket, c);
    if (c->rcv_unread != 0) {
        event_raise(s, socket, VNIC_EVENT_READABLE);
    }
}

void offload_home(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c, bool has_shutdown)
{
    struct away *away = offload_away(s, socket);
    struct packet packet = held_packet(s, socket);
    const uint32_t generation = socket->generation, flags = away->flags;

    offload_route_leave(s, socket);
    offload_set(socket, VNIC_OFFLOAD_IN_HOST);
    away->flags &= AWAY_IN_RINGS;
    back_read(s, socket, c);
    if (c->state != TCP_STATE_CLOSED) {
        socket_schedule(s, socket);
        back_catch_up(s, socket, c, flags, has_shutdown);
        held_process(s, away, &packet);
    } else {
        held_forget(s, away); /* they were for a connection that has ended: nothing to be reset */
    }
    if (socket->generation == generation && !socket_has(socket, SOCKET_OPEN)) {
        linger_check(s, socket);
    }
}

/* -- what comes back ---------------------------------------------------------------------------------------- */

/* What a returned state says, in terms of the streams. */
struct back {
    const struct tcp_offload_delegated *d;
    const uint8_t *bytes; /* received, not delivered, and not seen by the user before it left */
    uint32_t len;
    bool has_fin; /* the peer's */
    bool is_shut; /* ours is acknowledged */
    bool is_closed;
};

static void back_read_state(struct back *back)
{
    const uint32_t state = back->d->State;

    back->has_fin = state == TcpConnectionCloseWait || state == TcpConnectionClosing
                    || state == TcpConnectionLastAck || state == TcpConnectionTimeWait;
    back->is_shut = state == TcpConnectionFinWait2 || state == TcpConnectionTimeWait;
    back->is_closed = state == TcpConnectionClosed;
}

/* One beyond the last received byte of the stream. */
static uint32_t back_received(const struct tcp_connection *c)
{
    return c->rcv_nxt - (tcp_has(c, TCP_FIN_RECEIVED) ? 1 : 0);
}

/* Bytes reported and bytes returned are those that were received and acknowledged, none more and none less. */
static bool back_adds_up(const struct vnic_stack *s, const struct socket *socket,
                         const struct tcp_connection *c, const struct back *back)
{
    const struct tcp_offload_delegated *d = back->d;
    const bool had_fin = tcp_has(c, TCP_FIN_RECEIVED) || (offload_away(s, socket)->flags & AWAY_HAS_FIN) != 0;

    if (d->RcvNxt - (back->has_fin ? 1 : 0) != back_received(c) + back->len || (had_fin && !back->has_fin)) {
        return false;
    }
    if (back->is_shut) {
        return d->SndUna == c->snd_end + 1 && tcp_has(c, TCP_FIN_QUEUED);
    }
    return seq_le(c->snd_una, d->SndUna) && seq_le(d->SndUna, c->snd_end)
           && (tcp_has(c, TCP_FIN_QUEUED) || d->State == TcpConnectionEstablished
               || d->State == TcpConnectionCloseWait);
}

static bool back_has_room(const struct vnic_stack *s, const struct socket *socket,
                          const struct tcp_connection *c, const struct back *back)
{
    const struct block_pool *p = &s->sockets.receive_blocks;

    return back->len == 0
           || blocks_missing(p, &socket->receive, back_received(c), back->len) <= blocks_left(p);
}

static void back_keep_bytes(struct vnic_stack *s, struct socket *socket, uint32_t seq,
                            const struct back *back)
{
    (void)blocks_write(&s->sockets.receive_blocks, &socket->receive, seq, back->bytes, back->len);
}

/* It ended over there. */
static int back_closed(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c,
                       const struct back *back, int result)
{
    const bool is_aborted = (offload_away(s, socket)->flags & AWAY_ABORTED) != 0;
    const uint32_t fin = tcp_has(c, TCP_FIN_RECEIVED) ? 1 : 0;

    if (fin == 0 && back->len != 0) {
        back_keep_bytes(s, socket, c->rcv_nxt, back);
        c->rcv_nxt += back->len;
        c->rcv_unread += back->len;
    }
    c->state = TCP_STATE_CLOSED;
    post_unclaim_all(&s->sockets, socket);
    offload_away(s, socket)->skip = 0;
    if (c->rcv_unread != 0) {
        event_raise(s, socket, VNIC_EVENT_READABLE);
    }
    outcome_closed(s, socket, c, is_aborted ? VNIC_STACK_ECONNABORTED : result);
    offload_home(s, socket, c, false);
    return VNIC_OK;
}

/* The state as the engine takes it: what the target owns is its, the rest is ours. */
static void back_compose(struct vnic_stack *s, const struct socket *socket, const struct tcp_connection *c,
                         uint32_t ticks_per_second, const struct back *back, struct tcp_offload_state *state)
{
    (void)tcp_to_offload(s->tcp, c, s->now_ns, ticks_per_second, state);
    state->Path.PathMtu = bits_min32(state->Path.PathMtu, offload_route_mtu(s, socket, c));
    state->Delegated = *back->d;
    state->Delegated.SendBacklogSize = back->is_shut ? 0 : c->snd_end - back->d->SndUna;
    state->Delegated.ReceiveBacklogSize = c->rcv_unread + back->len;
}

static int back_taken(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c,
                      uint32_t ticks_per_second, const struct back *back)
{
    const struct tcp_offload_taker taker = {TCP_PROFILE_RFC, c->congestion, 0, ticks_per_second};
    const bool had_fin = tcp_has(c, TCP_FIN_RECEIVED), has_shutdown = tcp_has(c, TCP_FIN_QUEUED);
    const uint32_t snd_una = c->snd_una, received = back_received(c);
    struct tcp_result result = {.events = TCP_EVENT_OUTPUT};
    struct tcp_offload_state state;

    back_compose(s, socket, c, ticks_per_second, back, &state);
    if (tcp_return(s->tcp, c, s->now_ns, &taker, &state) != TCP_OFFLOAD_OK) {
        return VNIC_EINVAL;
    }
    back_keep_bytes(s, socket, received, back);
    post_unclaim_all(&s->sockets, socket);
    offload_away(s, socket)->skip = 0;
    result.acked = c->snd_una - snd_una;
    result.events |= result.acked != 0 ? TCP_EVENT_ACKED : 0;
    result.events |= back->has_fin && !had_fin ? TCP_EVENT_FIN : 0;
    result.events |= c->state == TCP_STATE_TIME_WAIT ? TCP_EVENT_TIME_WAIT : 0;
    outcome_apply(s, socket, c, &result, NULL);
    offload_home(s, socket, c, has_shutdown && !tcp_has(c, TCP_FIN_QUEUED));
    return VNIC_OK;
}

static bool back_is_result(int result, bool is_closed)
{
    return result == VNIC_OK
           || (is_closed
               && (result == VNIC_STACK_ECONNRESET || result == VNIC_STACK_ETIMEDOUT
                   || result == VNIC_STACK_ECONNABORTED || result == VNIC_STACK_EHOSTUNREACH));
}

int vnic_tcp_upload_begin(vnic_stack *stack, vnic_socket socket)
{
    struct socket *held = offload_socket(stack, socket);

    if (held == NULL) {
        return VNIC_STACK_EBADF;
    }
    if (!offload_is(held, VNIC_OFFLOAD_OFFLOADED)) {
        return VNIC_EINVAL;
    }
    offload_set(held, VNIC_OFFLOAD_UPLOADING);
    return VNIC_OK;
}

int vnic_tcp_upload_end(vnic_stack *stack, vnic_socket socket, uint32_t ticks_per_second,
                        const struct tcp_offload_state *state, const void *buffered, uint64_t len, int result)
{
    struct socket *held = offload_socket(stack, socket);
    struct tcp_connection *c;
    struct back back;
    uint32_t skip;

    if (held == NULL) {
        return VNIC_STACK_EBADF;
    }
    skip = offload_away(stack, held)->skip;
    if (state == NULL || !offload_is(held, VNIC_OFFLOAD_UPLOADING) || len > INT32_MAX / 2
        || (buffered == NULL && len != 0)) {
        return VNIC_EINVAL;
    }
    c = socket_connection(stack, held);
    skip = (uint32_t)bits_min64(skip, len);
    back = (struct back){.d = &state->Delegated, .len = (uint32_t)len - skip};
    back.bytes = len != 0 ? (const uint8_t *)buffered + skip : NULL;
    back_read_state(&back);
    back.is_closed |= c->state == TCP_STATE_CLOSED;
    if (!back_is_result(result, back.is_closed)) {
        return VNIC_EINVAL;
    }
    if (!back.is_closed
        && (skip != offload_away(stack, held)->skip || !back_adds_up(stack, held, c, &back))) {
        return VNIC_EINVAL;
    }
    if (!back_has_room(stack, held, c, &back)) {
        return VNIC_STACK_EAGAIN;
    }
    return back.is_closed ? back_closed(stack, held, c, &back, result)
                          : back_taken(stack, held, c, ticks_per_second, &back);
}

int vnic_tcp_offload_cached(vnic_stack *stack, vnic_socket socket, uint32_t ticks_per_second,
                            struct tcp_offload_state *state)
{
    const struct socket *held = offload_socket(stack, socket);

    if (held == NULL) {
        return VNIC_STACK_EBADF;
    }
    return state != NULL ? offload_project(stack, held, ticks_per_second, state) : VNIC_EINVAL;
}
