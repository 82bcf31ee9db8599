/* The end of a socket, from the user's side. */
#include "stack/close.h"

#include "stack/answer.h"
#include "stack/hold.h"
#include "stack/listen.h"
#include "stack/network.h"
#include "stack/offload.h"
#include "stack/outcome.h"
#include "stack/post.h"
#include "stack/state.h"

void linger_check(struct vnic_stack *s, struct socket *socket)
{
    if (socket_has(socket, SOCKET_LINGERS) && socket->references == 0 && socket->posts == 0
        && socket->completed == 0) {
        socket_clear(socket, SOCKET_LINGERS);
    }
    if (!socket_has(socket, SOCKET_OPEN)) {
        socket_settle(s, socket, socket_connection(s, socket));
    }
}

/* The handle is gone; it goes on naming the buffers that are still out. */
static void close_handle(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c)
{
    const bool has_completions = socket->completed != 0;

    socket_clear(socket, SOCKET_OPEN);
    socket_set(socket, SOCKET_LINGERS);
    socket->events = 0;
    if (has_completions) {
        event_raise(s, socket, VNIC_EVENT_SENT | VNIC_EVENT_RECEIVED);
    }
    post_end(s, socket, c, VNIC_STACK_ECONNABORTED);
}

int vnic_tcp_shutdown(vnic_stack *stack, vnic_socket socket)
{
    struct socket *held = socket_of(stack, socket);
    struct tcp_result result = {.events = 0};
    struct tcp_connection *c;

    if (held == NULL) {
        return socket_listener_of(stack, socket) != NULL ? VNIC_STACK_ENOTCONN : VNIC_STACK_EBADF;
    }
    c = socket_connection(stack, held);
    if (c->state != TCP_STATE_CLOSED && !tcp_has(c, TCP_FIN_QUEUED)) {
        hold_release(stack, held, c);
        tcp_shutdown(stack->tcp, c, stack->now_ns, &result);
        outcome_apply(stack, held, c, &result, NULL);
        offload_raise(stack, held, VNIC_OFFLOAD_SHUTDOWN);
    }
    return VNIC_OK;
}

int vnic_tcp_abort(vnic_stack *stack, vnic_socket socket)
{
    struct socket *held = socket_of(stack, socket);
    struct tcp_connection *c;

    if (held == NULL) {
        return socket_listener_of(stack, socket) != NULL ? VNIC_STACK_ENOTCONN : VNIC_STACK_EBADF;
    }
    c = socket_connection(stack, held);
    close_handle(stack, held, c);
    socket_set(held, SOCKET_OVER);
    held->result = VNIC_STACK_ECONNABORTED;
    if (c->state != TCP_STATE_CLOSED && offload_is_away(held)) {
        offload_abort(stack, held);
    } else if (c->state != TCP_STATE_CLOSED) {
        outcome_abort(stack, held, c, VNIC_STACK_ECONNABORTED);
    }
    linger_check(stack, held);
    return VNIC_OK;
}

static void close_connection(struct vnic_stack *s, struct socket *socket)
{
    struct tcp_connection *c = socket_connection(s, socket);
    struct tcp_result result = {.events = 0};
    struct tcp_segment rst;

    close_handle(s, socket, c);
    if (c->state != TCP_STATE_CLOSED && offload_is_away(socket)) {
        offload_close(s, socket, c);
    } else if (c->state != TCP_STATE_CLOSED) {
        hold_release(s, socket, c);
        if (tcp_close(s->tcp, c, s->now_ns, &result, &rst)) {
            answer_reset(s, socket, c, &rst);
        }
        outcome_apply(s, socket, c, &result, NULL);
    }
}

int vnic_stack_close(vnic_stack *stack, vnic_socket socket)
{
    struct socket *held = socket_of(stack, socket);
    struct listener *listener = socket_listener_of(stack, socket);
    uint32_t index, kind = SOCKET_UDP;

    if (held != NULL) {
        close_connection(stack, held);
        linger_check(stack, held);
        return VNIC_OK;
    }
    if (listener != NULL) {
        listener_close(stack, listener);
        return VNIC_OK;
    }
    index = sockets_find_other(stack, socket, kind);
    if (index == 0) {
        kind = SOCKET_ICMP;
        index = sockets_find_other(stack, socket, kind);
    }
    if (index == 0) {
        return VNIC_STACK_EBADF;
    }
    network_close_socket(stack, kind, index);
    sockets_close_other(stack, socket);
    return VNIC_OK;
}
