/* The way out: a connection stops, its state is written down, and it leaves or goes on after all. */
#include "base/bits.h"
#include "stack/held.h"
#include "stack/hold.h"
#include "stack/network.h"
#include "stack/piece.h"
#include "stack/post.h"
#include "stack/segment_out.h"
#include "stack/send_queue.h"
#include "stack/state.h"
#include "tcp/handoff.h"
#include "tcp/offload_state.h"
#include "wire/seq.h"

static bool out_has_train(const struct vnic_stack *s, const struct socket *socket)
{
    const struct train_out *train = &s->trains[socket->path.interface];

    return train->index == socket_index(&s->sockets, socket) && train->generation == socket->generation;
}

/* Whether it may go by what it is. */
static int out_judge_connection(const struct tcp_connection *c)
{
    if (c->state == TCP_STATE_SYN_SENT || c->state == TCP_STATE_SYN_RECEIVED) {
        return VNIC_STACK_EAGAIN;
    }
    if (!tcp_is_synchronized(c) || c->state == TCP_STATE_TIME_WAIT || tcp_has(c, TCP_HAS_ECN)) {
        return VNIC_EINVAL;
    }
    return tcp_may_offload(c) ? VNIC_OK : VNIC_STACK_EAGAIN; /* urgent data */
}

/* Whether it may go by where it stands: what was handed out has left, and what is owed can leave. */
static int out_judge_place(struct vnic_stack *s, struct socket *socket)
{
    const uint32_t interface = socket->path.interface;
    const uint32_t frame_len = s->interfaces.list[interface].config.mtu + HEADER_MAX;

    if (!network_path_is_current(s, &socket->path)) {
        socket_schedule(s, socket);
        return VNIC_STACK_EAGAIN;
    }
    if (network_is_local(s, &socket->path)) {
        return VNIC_EINVAL;
    }
    if (socket_has(socket, SOCKET_PARKED) || out_has_train(s, socket)
        || !network_is_ready(s, &socket->path)) {
        return VNIC_STACK_EAGAIN;
    }
    if (socket_has(socket, SOCKET_COPIES) && (socket->offload & OFFLOAD_PIECES) != 0) {
        return VNIC_STACK_EAGAIN; /* copies read memory that would go back with the bytes behind it */
    }
    return outbox_has_room(s, s->outboxes.list[interface].count, 1, frame_len) ? VNIC_OK : VNIC_STACK_EAGAIN;
}

static int out_judge(struct vnic_stack *s, struct socket *socket, uint32_t ticks_per_second)
{
    const bool is_rate = ticks_per_second == 10 || ticks_per_second == 100 || ticks_per_second == 1000;
    int result;

    if (!is_rate || offload_is_away(socket)) {
        return VNIC_EINVAL;
    }
    result = out_judge_connection(socket_connection(s, socket));
    return result == VNIC_OK ? out_judge_place(s, socket) : result;
}

/* An ACK that is owed leaves through the outbox: the connection's own turn will not come. */
static void out_freeze(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c)
{
    uint32_t snd_nxt = c->snd_nxt;
    struct tcp_segment segment;

    hold_release(s, socket, c);
    while (tcp_freeze(s->tcp, c, s->now_ns, &segment)) {
        segment_out_count(s, socket, &segment, snd_nxt);
        segment_out_queue(s, socket, c, &segment);
        snd_nxt = c->snd_nxt;
    }
}

int offload_project(struct vnic_stack *s, const struct socket *socket, uint32_t ticks_per_second,
                    struct tcp_offload_state *state)
{
    const uint32_t interface =
        offload_is_away(socket) ? offload_away(s, socket)->told_interface : socket->path.interface;
    const int result =
        tcp_to_offload(s->tcp, socket_connection(s, socket), s->now_ns, ticks_per_second, state);

    if (result == TCP_OFFLOAD_OK && state->Cached.TtlOrHopLimit == 0) {
        state->Cached.TtlOrHopLimit = s->interfaces.list[interface].hop_limit;
    }
    return result == TCP_OFFLOAD_OK ? VNIC_OK : VNIC_EINVAL;
}

static void out_note(struct away *away, const struct tcp_connection *c)
{
    away->flags &= AWAY_IN_RINGS;
    away->flags |= tcp_has(c, TCP_FIN_QUEUED) ? AWAY_HAD_SHUTDOWN : 0;
    away->news = 0;
    away->begun_end = c->snd_end;
    away->owed = 0;
    away->skip = 0;
    away->held_first = away->held_last = away->held_count = away->held_bytes = 0;
}

int vnic_tcp_offload_begin(vnic_stack *stack, vnic_socket socket, uint32_t ticks_per_second,
                           struct tcp_offload_state *state)
{
    struct socket *held = socket_of(stack, socket);
    struct tcp_connection *c;
    int result;

    if (state == NULL) {
        return VNIC_EINVAL;
    }
    if (held == NULL) {
        return socket_listener_of(stack, socket) != NULL ? VNIC_EINVAL : VNIC_STACK_EBADF;
    }
    c = socket_connection(stack, held);
    result = out_judge(stack, held, ticks_per_second);
    if (result == VNIC_OK && !offload_route_join(stack, held, c)) {
        result = VNIC_STACK_ENOBUFS;
    }
    if (result != VNIC_OK) {
        return result;
    }
    out_freeze(stack, held, c);
    out_note(offload_away(stack, held), c);
    offload_set(held, VNIC_OFFLOAD_OFFLOADING);
    (void)offload_project(stack, held, ticks_per_second, state);
    return VNIC_OK;
}

int vnic_tcp_offload_send_pieces(vnic_stack *stack, vnic_socket socket, uint64_t offset,
                                 struct vnic_bytes *pieces, uint32_t count)
{
    struct socket *held = offload_socket(stack, socket);
    const struct tcp_connection *c;
    uint32_t n = 0, seq, left;

    if (pieces == NULL && count != 0) {
        return VNIC_EINVAL;
    }
    if (held == NULL) {
        return VNIC_STACK_EBADF;
    }
    c = socket_connection(stack, held);
    left = c->state != TCP_STATE_CLOSED && seq_gt(c->snd_end, c->snd_una) ? c->snd_end - c->snd_una : 0;
    if (offset > left) {
        return VNIC_EINVAL;
    }
    seq = c->snd_una + (uint32_t)offset;
    for (left -= (uint32_t)offset; n < count && n < INT32_MAX && left != 0; n++) {
        uint32_t len;

        pieces[n].data = send_queue_at(stack, held, seq, &len);
        len = bits_min32(len, left);
        pieces[n].len = len;
        seq += len;
        left -= len;
    }
    return (int)n;
}

int64_t vnic_tcp_offload_buffered(vnic_stack *stack, vnic_socket socket, void *out, uint64_t len)
{
    struct socket *held = offload_socket(stack, socket);
    const struct tcp_connection *c;

    if (held == NULL) {
        return VNIC_STACK_EBADF;
    }
    if (!offload_is_leaving(held)) {
        return VNIC_EINVAL;
    }
    c = socket_connection(stack, held);
    if (out == NULL) {
        return c->rcv_unread;
    }
    len = bits_min64(len, c->rcv_unread);
    receive_queue_read(stack, held, receive_queue_front(c), out, (uint32_t)len);
    return (int64_t)len;
}

/* Bytes not read yet are the target's, and come back through vnic_tcp_offload_deliver(), a FIN behind them. */
static void out_give_unread(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c)
{
    struct away *away = offload_away(s, socket);

    tcp_drop_ranges(s->tcp, c); /* CH-09 */
    away->owed = c->rcv_unread;
    if (away->skip != 0) {
        receive_queue_consume(s, socket, c, away->skip);
    }
    if (away->owed != 0 && tcp_has(c, TCP_FIN_RECEIVED)) {
        away->flags |= AWAY_HAS_FIN;
        c->flags &= ~(uint32_t)TCP_FIN_RECEIVED;
        c->rcv_nxt--;
    }
    c->rcv_nxt -= c->rcv_unread;
    c->rcv_unread = 0;
    piece_forget(s, socket); /* of an earlier stay */
    receive_queue_drop_ranges(s, socket, c);
}

/* What the user did since it began. */
static uint32_t out_news(const struct vnic_stack *s, const struct socket *socket,
                         const struct tcp_connection *c)
{
    const struct away *away = offload_away(s, socket);
    uint32_t news = 0;

    news |= c->snd_end != away->begun_end ? VNIC_OFFLOAD_SEND : 0;
    news |= tcp_has(c, TCP_FIN_QUEUED) && (away->flags & AWAY_HAD_SHUTDOWN) == 0 ? VNIC_OFFLOAD_SHUTDOWN : 0;
    news |= (away->flags & AWAY_ABORTED) != 0 ? VNIC_OFFLOAD_ABORT : 0;
    news |= (away->flags & AWAY_URGENT) != 0 ? VNIC_OFFLOAD_URGENT : 0;
    news |= (away->flags & AWAY_OPTIONS) != 0 ? VNIC_OFFLOAD_OPTIONS : 0;
    news |= away->held_first != 0 ? VNIC_OFFLOAD_FORWARD : 0;
    news |= post_open(&s->sockets, socket) != 0 ? VNIC_OFFLOAD_POST : 0;
    return news;
}

int vnic_tcp_offload_end(vnic_stack *stack, vnic_socket socket, int is_offloaded)
{
    struct socket *held = offload_socket(stack, socket);
    struct tcp_result result;
    struct tcp_connection *c;

    if (held == NULL) {
        return VNIC_STACK_EBADF;
    }
    if (!offload_is_leaving(held)) {
        return VNIC_EINVAL;
    }
    c = socket_connection(stack, held);
    if (!is_offloaded) {
        tcp_thaw(stack->tcp, c, stack->now_ns, &result);
        offload_home(stack, held, c, false);
        return VNIC_OK;
    }
    offload_set(held, VNIC_OFFLOAD_OFFLOADED);
    out_give_unread(stack, held, c);
    offload_raise(stack, held, out_news(stack, held, c));
    offload_route_check(stack, held);
    return VNIC_OK;
}
