/* The byte stream as the user sees it: sending, receiving, looking and consuming. */
#include "base/bits.h"
#include "stack/event.h"
#include "stack/hold.h"
#include "stack/offload.h"
#include "stack/outcome.h"
#include "stack/receive_queue.h"
#include "stack/send_queue.h"
#include "stack/state.h"

static const uint64_t STREAM_REFERENCE_MAX = 1u << 29; /* bytes that one call may send by reference */

/* Why a call for a connection cannot be served: no such one. */
static int stream_refusal(struct vnic_stack *s, vnic_socket socket)
{
    return socket_listener_of(s, socket) != NULL ? VNIC_STACK_ENOTCONN : VNIC_STACK_EBADF;
}

static int stream_total(const struct vnic_bytes *pieces, uint32_t count, uint64_t *total)
{
    *total = 0;
    if (count != 0 && pieces == NULL) {
        return VNIC_EINVAL;
    }
    for (uint32_t i = 0; i < count; i++) {
        if ((pieces[i].data == NULL && pieces[i].len != 0) || pieces[i].len > INT64_MAX - *total) {
            return VNIC_EINVAL;
        }
        *total += pieces[i].len;
    }
    return VNIC_OK;
}

static int stream_may_send(const struct socket *socket, const struct tcp_connection *c)
{
    if (socket_has(socket, SOCKET_OVER) || c->state == TCP_STATE_CLOSED) {
        return socket->result != VNIC_OK ? socket->result : VNIC_STACK_EPIPE;
    }
    return tcp_has(c, TCP_FIN_QUEUED) ? VNIC_STACK_EPIPE : VNIC_OK;
}

/* Copies as much as there is room for; how much. */
static uint32_t stream_copy(struct vnic_stack *s, struct socket *socket, const struct tcp_connection *c,
                            const struct vnic_bytes *pieces, uint32_t count)
{
    const uint32_t room = send_queue_room(&s->sockets, socket, c);
    uint32_t done = 0;

    for (uint32_t i = 0; i < count && done < room; i++) {
        const uint32_t len = (uint32_t)bits_min64(pieces[i].len, room - done);
        const uint32_t copied = len != 0 ? send_queue_copy(s, socket, c, done, pieces[i].data, len) : 0;

        done += copied;
        if (copied < len) {
            break;
        }
    }
    return done;
}

/* All or nothing; what exceeds the send buffer goes when nothing else is queued. */
static int64_t stream_refer(struct vnic_stack *s, struct socket *socket, const struct tcp_connection *c,
                            const struct vnic_bytes *pieces, uint32_t count, uint64_t total, uint64_t cookie)
{
    if (total > STREAM_REFERENCE_MAX) {
        return VNIC_STACK_EMSGSIZE;
    }
    if (total > send_queue_room(&s->sockets, socket, c) && send_queue_len(&s->sockets, socket, c) != 0) {
        return 0;
    }
    if (send_queue_refer(s, socket, c, pieces, count, cookie)) {
        return (int64_t)total;
    }
    return send_queue_len(&s->sockets, socket, c) != 0
               ? 0
               : VNIC_STACK_ENOBUFS; /* else no ACK would tell of room */
}

static void stream_tell(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c, uint32_t bytes,
                        uint32_t flags)
{
    const bool is_urgent = (flags & VNIC_SEND_URGENT) != 0;
    const bool is_more = (flags & VNIC_SEND_MORE) != 0;
    const bool is_pushed = !is_more || is_urgent || (flags & VNIC_SEND_PUSH) != 0; /* RFC 9293 MUST-61 */
    struct tcp_result result = {.events = 0};

    if (offload_is_away(socket)) {
        offload_send(s, socket, c, bytes, is_urgent);
        return;
    }
    hold_queue(s, socket, c, bytes, is_pushed);
    if (is_urgent) {
        tcp_queue_urgent(s->tcp, c, s->now_ns, &result);
        outcome_apply(s, socket, c, &result, NULL);
    }
}

int64_t vnic_tcp_send(vnic_stack *stack, vnic_socket socket, const struct vnic_bytes *pieces, uint32_t count,
                      uint32_t flags, uint64_t cookie)
{
    const uint32_t known = VNIC_SEND_PUSH | VNIC_SEND_URGENT | VNIC_SEND_REFERENCE | VNIC_SEND_MORE;
    struct socket *held = socket_of(stack, socket);
    struct tcp_connection *c;
    uint64_t total;
    int64_t sent;
    int result = stream_total(pieces, count, &total);

    if (result != VNIC_OK || (flags & ~known) != 0) {
        return VNIC_EINVAL;
    }
    if (held == NULL) {
        return stream_refusal(stack, socket);
    }
    c = socket_connection(stack, held);
    result = stream_may_send(held, c);
    if (result != VNIC_OK || total == 0) {
        return result;
    }
    sent = (flags & VNIC_SEND_REFERENCE) != 0 ? stream_refer(stack, held, c, pieces, count, total, cookie)
                                              : stream_copy(stack, held, c, pieces, count);
    if (sent >= 0 && (uint64_t)sent < total) {
        socket_set(held, SOCKET_WANTS_ROOM);
        flags &= ~(uint32_t)VNIC_SEND_URGENT; /* the last byte is not among them */
    }
    if (sent > 0) {
        stream_tell(stack, held, c, (uint32_t)sent, flags);
    }
    return sent != 0 ? sent : VNIC_STACK_EAGAIN;
}

/* With nothing to read: 0 at the end of the stream, or why there is none. */
static int stream_end(const struct socket *socket, const struct tcp_connection *c)
{
    if (tcp_has(c, TCP_FIN_RECEIVED)) {
        return 0;
    }
    if (socket_has(socket, SOCKET_OVER)) {
        return socket->result;
    }
    return c->state < TCP_STATE_ESTABLISHED ? VNIC_STACK_ENOTCONN : VNIC_STACK_EAGAIN;
}

/* The user took bytes himself: when those were all, their push concerns no buffer posted later. */
static void stream_take(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c, uint32_t len)
{
    receive_queue_consume(s, socket, c, len);
    socket_clear(socket, c->rcv_unread == 0 ? SOCKET_PUSHED : 0);
}

int64_t vnic_tcp_receive(vnic_stack *stack, vnic_socket socket, void *out, uint64_t len)
{
    struct socket *held = socket_of(stack, socket);
    struct tcp_connection *c;
    uint32_t taken;

    if (out == NULL && len != 0) {
        return VNIC_EINVAL;
    }
    if (held == NULL) {
        return stream_refusal(stack, socket);
    }
    c = socket_connection(stack, held);
    if (c->rcv_unread == 0) {
        return stream_end(held, c);
    }
    if (offload_is_leaving(held)) {
        return VNIC_STACK_EAGAIN;
    }
    taken = (uint32_t)bits_min64(len, c->rcv_unread);
    if (taken != 0) {
        receive_queue_read(stack, held, receive_queue_front(c), out, taken);
        stream_take(stack, held, c, taken);
    }
    return taken;
}

int vnic_tcp_peek(vnic_stack *stack, vnic_socket socket, struct vnic_bytes *pieces, uint32_t count)
{
    struct socket *held = socket_of(stack, socket);
    const struct tcp_connection *c;
    uint32_t at = 0, n = 0;

    if (pieces == NULL || count == 0) {
        return VNIC_EINVAL;
    }
    if (held == NULL) {
        return stream_refusal(stack, socket);
    }
    c = socket_connection(stack, held);
    if (c->rcv_unread != 0 && offload_is_leaving(held)) {
        return VNIC_STACK_EAGAIN;
    }
    while (n < count && n < INT32_MAX && at < c->rcv_unread) {
        uint32_t len;

        pieces[n].data = receive_queue_at(stack, held, receive_queue_front(c) + at, &len);
        len = bits_min32(len, c->rcv_unread - at);
        pieces[n++].len = len;
        at += len;
    }
    return n != 0 ? (int)n : stream_end(held, c);
}

int vnic_tcp_consume(vnic_stack *stack, vnic_socket socket, uint64_t len)
{
    struct socket *held = socket_of(stack, socket);
    struct tcp_connection *c;

    if (held == NULL) {
        return stream_refusal(stack, socket);
    }
    c = socket_connection(stack, held);
    if (len > (offload_is_leaving(held) ? offload_unread(stack, held, c) : c->rcv_unread)) {
        return VNIC_EINVAL;
    }
    if (offload_is_leaving(held)) {
        offload_consume(stack, held, (uint32_t)len);
    } else if (len != 0) {
        stream_take(stack, held, c, (uint32_t)len);
    }
    return VNIC_OK;
}
