/* What follows from an engine's call, in the order in which the user must see it. */
#include "stack/outcome.h"

#include "stack/answer.h"
#include "stack/listen.h"
#include "stack/network.h"
#include "stack/post.h"
#include "stack/send_queue.h"
#include "stack/state.h"

enum { OUTCOME_FOLD_BITS = 30 };

static int outcome_result(uint32_t reason)
{
    switch (reason) {
    case TCP_REASON_RESET:
    case TCP_REASON_DATA_AFTER_CLOSE:
        return VNIC_STACK_ECONNRESET;
    case TCP_REASON_REFUSED:
        return VNIC_STACK_ECONNREFUSED;
    case TCP_REASON_TIMEOUT:
    case TCP_REASON_KEEPALIVE:
        return VNIC_STACK_ETIMEDOUT;
    case TCP_REASON_ABORTED:
        return VNIC_STACK_ECONNABORTED;
    case TCP_REASON_UNREACHABLE:
        return VNIC_STACK_EHOSTUNREACH;
    default:
        return VNIC_OK;
    }
}

static void outcome_connected(struct vnic_stack *s, struct socket *socket, const struct tcp_connection *c)
{
    struct socket_rest *rest = socket_rest(&s->sockets, socket);

    rest->received_mark = receive_queue_front(c);
    if (socket_has(socket, SOCKET_EMBRYONIC)) {
        listener_on_connected(s, socket);
    } else {
        event_raise(s, socket, VNIC_EVENT_CONNECTED);
    }
}

static void outcome_acked(struct vnic_stack *s, struct socket *socket, const struct tcp_connection *c,
                          uint32_t acked)
{
    if ((c->snd_una ^ (c->snd_una - acked)) >> OUTCOME_FOLD_BITS != 0) {
        struct socket_rest *rest = socket_rest(&s->sockets, socket);

        rest->sent_bytes += c->snd_una - rest->sent_mark;
        rest->sent_mark = c->snd_una;
    }
    send_queue_acked(s, socket, c);
}

static void outcome_payload(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c,
                            const struct tcp_result *result, const struct outcome_payload *payload)
{
    enum receive_place place = payload->place;

    if ((result->events & TCP_EVENT_DATA) != 0 && place == RECEIVE_NOT_PLACED) {
        receive_queue_store(s, socket, c, result->seq, payload->bytes + result->skip, result->len);
    } else if ((result->events & TCP_EVENT_DATA) == 0 && place == RECEIVE_IN_BLOCKS) {
        receive_queue_trim(s, socket, c); /* put there in vain */
    } else if ((result->events & TCP_EVENT_DATA) != 0 && place == RECEIVE_KEPT) {
        kept_deliver(s, socket, c, result->seq, payload->pieces, payload->count);
    }
    if ((result->events & TCP_EVENT_READABLE) != 0) {
        /* Of what came out of order nobody knows any more whether it was pushed: it must not wait for more. */
        const bool is_pushed = (result->events & TCP_EVENT_PUSH) != 0 || result->delivered > result->len;

        receive_queue_deliver(s, socket, c, result->delivered, place, is_pushed);
    }
}

static void outcome_rare(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c,
                         const struct tcp_result *result)
{
    if ((result->events & TCP_EVENT_DROP_RANGES) != 0) {
        receive_queue_drop_ranges(s, socket, c);
    }
    if ((result->events & TCP_EVENT_URGENT) != 0) {
        event_raise(s, socket, VNIC_EVENT_URGENT);
    }
    if ((result->events & TCP_EVENT_FIN) != 0) {
        event_raise(s, socket, VNIC_EVENT_FIN);
        if (!socket_is_waiting(socket)) {
            post_fill(s, socket, c);
        }
    }
    if ((result->events & TCP_EVENT_R1) != 0) {
        socket->path.generation--; /* not current: the route is looked up again (RFC 9293 3.8.3) */
        event_raise(s, socket, VNIC_EVENT_SOFT_ERROR);
    }
    if ((result->events & TCP_EVENT_TIME_WAIT) != 0) {
        event_raise_closed(s, socket, VNIC_OK);
    }
}

void outcome_apply(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c,
                   const struct tcp_result *result, const struct outcome_payload *payload)
{
    const uint32_t events = result->events;

    if ((events & TCP_EVENT_CONNECTED) != 0) {
        outcome_connected(s, socket, c);
    }
    if ((events & TCP_EVENT_ACKED) != 0) {
        outcome_acked(s, socket, c, result->acked);
    }
    if (payload != NULL) {
        outcome_payload(s, socket, c, result, payload);
    }
    if ((events & TCP_EVENT_CONFIRMED) != 0 && socket_has(socket, SOCKET_LISTED)) {
        network_confirm(s, &socket->path);
    }
    if ((events
         & (TCP_EVENT_DROP_RANGES | TCP_EVENT_URGENT | TCP_EVENT_FIN | TCP_EVENT_R1 | TCP_EVENT_TIME_WAIT))
        != 0) {
        outcome_rare(s, socket, c, result);
    }
    if ((events & TCP_EVENT_OUTPUT) != 0) {
        socket_schedule(s, socket);
    }
    if ((events & TCP_EVENT_CLOSED) != 0) {
        outcome_closed(s, socket, c, outcome_result(result->reason));
    }
}

void outcome_abort(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c, int result)
{
    struct tcp_segment rst;

    if (tcp_abort(s->tcp, c, s->now_ns, &rst)) {
        answer_reset(s, socket, c, &rst);
    }
    outcome_closed(s, socket, c, result);
}

void outcome_closed(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c, int result)
{
    if (socket_has(socket, SOCKET_EMBRYONIC)) {
        listener_forget(s, socket);
    }
    socket_unlist(s, socket, c);
    send_queue_drop(s, socket, c, result);
    receive_queue_drop_ranges(s, socket, c);
    event_raise_closed(s, socket, result);
    post_end(s, socket, c, socket->result);
    socket_settle(s, socket, c);
}
