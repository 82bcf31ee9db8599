/* What the target reports of a connection: bytes acknowledged and received, and its ends. */
#include "base/bits.h"
#include "stack/outcome.h"
#include "stack/piece.h"
#include "stack/post.h"
#include "stack/state.h"
#include "wire/seq.h"

enum { REPORT_BYTES_MAX = 1 << 30 };

/* -- sent --------------------------------------------------------------------------------------------------- */

/* SND.UNA moves up to seq; what lies before it is given back. */
static void report_move_una(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c,
                            uint32_t seq)
{
    const struct tcp_result result = {.events = TCP_EVENT_ACKED, .acked = seq - c->snd_una};

    c->snd_una = seq;
    c->snd_nxt = seq_max(c->snd_nxt, seq);
    outcome_apply(s, socket, c, &result, NULL);
}

int vnic_tcp_offload_acked(vnic_stack *stack, vnic_socket socket, uint64_t bytes)
{
    struct tcp_connection *c;
    struct socket *held;
    int result;

    held = offload_socket_of_target(stack, socket, &result);
    if (held == NULL) {
        return result;
    }
    c = socket_connection(stack, held);
    if (c->state == TCP_STATE_CLOSED) {
        return VNIC_OK; /* too late to matter */
    }
    if (bytes > (seq_gt(c->snd_end, c->snd_una) ? c->snd_end - c->snd_una : 0)) {
        return VNIC_EINVAL;
    }
    if (bytes != 0) {
        report_move_una(stack, held, c, c->snd_una + (uint32_t)bytes);
    }
    return VNIC_OK;
}

/* -- received ----------------------------------------------------------------------------------------------- */

/* The peer will send no more; the user is told unless he was before. */
static void report_fin(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c, bool is_news)
{
    const struct tcp_result result = {.events = TCP_EVENT_FIN};

    c->flags |= TCP_FIN_RECEIVED;
    c->rcv_nxt++;
    if (is_news) {
        outcome_apply(s, socket, c, &result, NULL);
    } else {
        event_raise(s, socket, VNIC_EVENT_READABLE); /* the end of what can be read has come back */
        post_fill(s, socket, c);
    }
}

/* len bytes came again that went along when it left. */
static void report_repay(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c, uint32_t len)
{
    struct away *away = offload_away(s, socket);

    away->owed -= bits_min32(len, away->owed);
    if (away->owed == 0 && (away->flags & AWAY_HAS_FIN) != 0) {
        away->flags &= ~(uint32_t)AWAY_HAS_FIN;
        report_fin(s, socket, c, false);
    }
}

/* A buffer of the user's is at the target: these bytes have to go into it, by way of there. */
static bool report_has_claim(const struct vnic_stack *s, const struct socket *socket)
{
    return socket->posts != 0 && post_is_claimed(&s->sockets, socket);
}

static int report_may_deliver(struct vnic_stack *s, struct socket *socket, const struct tcp_connection *c,
                              uint64_t len)
{
    const struct away *away = offload_away(s, socket);

    if (c->state == TCP_STATE_CLOSED || (away->flags & AWAY_ABORTED) != 0) {
        return VNIC_STACK_EPIPE;
    }
    if (tcp_has(c, TCP_FIN_RECEIVED) || ((away->flags & AWAY_HAS_FIN) != 0 && len > away->owed)) {
        return VNIC_EINVAL;
    }
    if ((away->flags & AWAY_CLOSED) != 0 && len > away->skip) {
        offload_abort(s, socket); /* RFC 9293 SHLD-3 */
        return VNIC_STACK_EPIPE;
    }
    return report_has_claim(s, socket) ? VNIC_STACK_EAGAIN : VNIC_OK;
}

static uint32_t report_room(const struct tcp_connection *c)
{
    return c->rcv_buf > c->rcv_unread ? c->rcv_buf - c->rcv_unread : 0;
}

/* As many as blocks are left for; 0: none. */
static uint32_t report_copy(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c,
                            const uint8_t *bytes, uint32_t len)
{
    len = bits_min32(len, report_room(c));
    if (len == 0) {
        return 0;
    }
    while (len != 0 && !receive_queue_may_take(s, socket, c, c->rcv_nxt, len)) {
        len /= 2;
    }
    if (len == 0) {
        offload_starve(s, socket);
        return 0;
    }
    return blocks_write(&s->sockets.receive_blocks, &socket->receive, c->rcv_nxt, bytes, len);
}

static uint32_t report_refer(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c,
                             const uint8_t *bytes, uint32_t len, uint64_t cookie)
{
    if (len > report_room(c) && c->rcv_unread != 0) {
        return 0;
    }
    if (!piece_append(s, socket, c->rcv_nxt, bytes, len, cookie)) {
        offload_starve(s, socket);
        return 0;
    }
    return len;
}

/* len bytes behind the others are where they belong. */
static void report_received(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c,
                            uint32_t len)
{
    c->rcv_nxt += len;
    c->rcv_unread += len;
    if (len != 0) {
        receive_queue_deliver(s, socket, c, len, RECEIVE_NOT_PLACED, true);
    }
}

int64_t vnic_tcp_offload_deliver(vnic_stack *stack, vnic_socket socket, const void *data, uint64_t len,
                                 uint64_t cookie)
{
    const uint8_t *bytes = data;
    struct tcp_connection *c;
    struct socket *held;
    uint32_t skip, taken;
    int result;

    if (data == NULL || len == 0 || len > REPORT_BYTES_MAX) {
        return VNIC_EINVAL;
    }
    held = offload_socket_of_target(stack, socket, &result);
    if (held == NULL) {
        return result;
    }
    c = socket_connection(stack, held);
    result = report_may_deliver(stack, held, c, len);
    if (result != VNIC_OK) {
        return result;
    }
    skip = (uint32_t)bits_min64(len, offload_away(stack, held)->skip);
    bytes += skip;
    if (cookie == 0) {
        taken = skip + report_copy(stack, held, c, bytes, (uint32_t)len - skip);
    } else if (skip == len) {
        taken = piece_append(stack, held, c->rcv_nxt, bytes, 0, cookie) ? skip : 0;
    } else {
        taken = report_refer(stack, held, c, bytes, (uint32_t)len - skip, cookie) != 0 ? (uint32_t)len : 0;
    }
    if (taken == 0) {
        return VNIC_STACK_EAGAIN;
    }
    offload_away(stack, held)->skip -= skip;
    report_received(stack, held, c, taken - skip);
    report_repay(stack, held, c, taken);
    return taken;
}

int64_t vnic_tcp_offload_unread(vnic_stack *stack, vnic_socket socket, int64_t *room)
{
    const struct socket *held = offload_socket(stack, socket);
    const struct tcp_connection *c;

    if (held == NULL) {
        return VNIC_STACK_EBADF;
    }
    c = socket_connection(stack, held);
    if (room != NULL) {
        *room = report_room(c);
    }
    return c->rcv_unread;
}

/* -- buffers that the user posted --------------------------------------------------------------------------- */

int vnic_tcp_offload_post(vnic_stack *stack, vnic_socket socket, struct vnic_offload_post *post)
{
    struct socket *held = offload_socket(stack, socket);
    const struct buffer *buffer;
    uint32_t index;

    if (post == NULL) {
        return VNIC_EINVAL;
    }
    if (held == NULL) {
        return VNIC_STACK_EBADF;
    }
    if (!offload_is(held, VNIC_OFFLOAD_OFFLOADED) || !socket_has(held, SOCKET_OPEN)
        || socket_connection(stack, held)->rcv_unread != 0 || offload_away(stack, held)->skip != 0) {
        return 0;
    }
    index = post_claim(&stack->sockets, held);
    buffer = &stack->sockets.buffers[index];
    if (index != 0) {
        *post = (struct vnic_offload_post){.data = buffer->data, .len = buffer->len, .done = buffer->done};
    }
    return index != 0 ? 1 : 0;
}

int vnic_tcp_offload_posted(vnic_stack *stack, vnic_socket socket, uint64_t bytes, int is_complete)
{
    struct tcp_connection *c;
    struct socket *held;
    int result;

    held = offload_socket_of_target(stack, socket, &result);
    if (held == NULL) {
        return result;
    }
    c = socket_connection(stack, held);
    if (!post_unclaim(&stack->sockets, held, bytes, is_complete != 0)) {
        return VNIC_EINVAL;
    }
    if (c->state != TCP_STATE_CLOSED && bytes != 0) {
        c->rcv_nxt += (uint32_t)bytes;
        c->rcv_unread += (uint32_t)bytes;
        receive_queue_consume(stack, held, c, (uint32_t)bytes);
        report_repay(stack, held, c, (uint32_t)bytes);
    }
    post_refill(stack, held, c);
    return VNIC_OK;
}

/* -- ends --------------------------------------------------------------------------------------------------- */

/* Where FIN leads: the peer's, or the acknowledgement of ours. */
static void report_step(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c, bool is_peers)
{
    static const uint8_t by_fin[TCP_STATES] = {
        [TCP_STATE_ESTABLISHED] = TCP_STATE_CLOSE_WAIT,
        [TCP_STATE_FIN_WAIT_1] = TCP_STATE_CLOSING,
        [TCP_STATE_FIN_WAIT_2] = TCP_STATE_TIME_WAIT,
    };
    static const uint8_t by_ack[TCP_STATES] = {
        [TCP_STATE_FIN_WAIT_1] = TCP_STATE_FIN_WAIT_2,
        [TCP_STATE_CLOSING] = TCP_STATE_TIME_WAIT,
        [TCP_STATE_LAST_ACK] = TCP_STATE_CLOSED,
    };
    const uint8_t next = is_peers ? by_fin[c->state] : by_ack[c->state];

    c->state = next;
    if (next == TCP_STATE_TIME_WAIT || next == TCP_STATE_CLOSED) {
        event_raise_closed(s, socket, VNIC_OK);
    }
}

int vnic_tcp_offload_fin(vnic_stack *stack, vnic_socket socket)
{
    struct tcp_connection *c;
    struct socket *held;
    int result;

    held = offload_socket_of_target(stack, socket, &result);
    if (held == NULL) {
        return result;
    }
    c = socket_connection(stack, held);
    if (c->state == TCP_STATE_CLOSED || tcp_has(c, TCP_FIN_RECEIVED)) {
        return VNIC_OK;
    }
    if (offload_away(stack, held)->owed != 0) {
        return (offload_away(stack, held)->flags & AWAY_HAS_FIN) != 0 ? VNIC_OK : VNIC_EINVAL;
    }
    report_fin(stack, held, c, true);
    report_step(stack, held, c, true);
    return VNIC_OK;
}

int vnic_tcp_offload_aborted(vnic_stack *stack, vnic_socket socket)
{
    struct tcp_connection *c;
    struct socket *held;
    int result;

    held = offload_socket_of_target(stack, socket, &result);
    if (held == NULL) {
        return result;
    }
    c = socket_connection(stack, held);
    if (c->state != TCP_STATE_CLOSED) {
        const bool is_ours = (offload_away(stack, held)->flags & AWAY_ABORTED) != 0;

        c->state = TCP_STATE_CLOSED;
        outcome_closed(stack, held, c, is_ours ? VNIC_STACK_ECONNABORTED : VNIC_STACK_ECONNRESET);
    }
    return VNIC_OK;
}

int vnic_tcp_offload_shut(vnic_stack *stack, vnic_socket socket)
{
    struct tcp_connection *c;
    struct socket *held;
    int result;

    held = offload_socket_of_target(stack, socket, &result);
    if (held == NULL) {
        return result;
    }
    c = socket_connection(stack, held);
    if (c->state == TCP_STATE_CLOSED || c->snd_una == c->snd_end + 1) {
        return VNIC_OK;
    }
    if (!tcp_has(c, TCP_FIN_QUEUED)) {
        return VNIC_EINVAL;
    }
    c->flags |= TCP_FIN_SENT;
    report_move_una(stack, held, c, c->snd_end + 1);
    report_step(stack, held, c, false);
    return VNIC_OK;
}
