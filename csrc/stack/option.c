/* Options of sockets: set on a connection, or on a listener for the connections to come. */
#include "stack/network.h"
#include "stack/outcome.h"
#include "stack/send_queue.h"
#include "stack/socket.h"
#include "stack/state.h"

enum {
    OPTION_KEEP_TIME_MIN_MS = 10000,
    OPTION_KEEP_INTERVAL_MIN_MS = 1000,
    OPTION_TIME_MAX_MS = 0x7fffffff,
    OPTION_SEND_BUFFER_MIN = 2048,
    OPTION_RECEIVE_BUFFER_MIN = 2048,
    OPTION_SEND_BUFFER_MAX = 1 << 29,
    OPTION_RECEIVE_BUFFER_MAX = 1 << 30
};

static bool is_in(uint32_t value, uint32_t low, uint32_t high)
{
    return low <= value && value <= high;
}

static bool option_is_valid(uint32_t option, uint32_t value)
{
    switch (option) {
    case VNIC_OPTION_NODELAY:
    case VNIC_OPTION_KEEPALIVE:
        return value <= 1;
    case VNIC_OPTION_KEEP_TIME_MS:
        return is_in(value, OPTION_KEEP_TIME_MIN_MS, OPTION_TIME_MAX_MS);
    case VNIC_OPTION_KEEP_INTERVAL_MS:
        return is_in(value, OPTION_KEEP_INTERVAL_MIN_MS, OPTION_TIME_MAX_MS);
    case VNIC_OPTION_KEEP_LIMIT:
        return is_in(value, 1, 255);
    case VNIC_OPTION_USER_TIMEOUT_MS:
        return value <= OPTION_TIME_MAX_MS;
    case VNIC_OPTION_SEND_BUFFER:
        return is_in(value, OPTION_SEND_BUFFER_MIN, OPTION_SEND_BUFFER_MAX);
    case VNIC_OPTION_RECEIVE_BUFFER:
        return is_in(value, OPTION_RECEIVE_BUFFER_MIN, OPTION_RECEIVE_BUFFER_MAX);
    case VNIC_OPTION_CONGESTION:
        return value < TCP_CONGESTIONS;
    case VNIC_OPTION_TTL:
        return is_in(value, 1, 255);
    case VNIC_OPTION_TOS:
        return value <= 255 && (value & 3) == 0; /* the ECN field is not the user's */
    default:
        return false;
    }
}

static void option_set(struct socket_options *options, uint32_t option, uint32_t value)
{
    const uint32_t flag = option == VNIC_OPTION_NODELAY ? TCP_NODELAY : TCP_KEEPALIVE;

    switch (option) {
    case VNIC_OPTION_NODELAY:
    case VNIC_OPTION_KEEPALIVE:
        options->flags = value != 0 ? options->flags | flag : options->flags & ~flag;
        break;
    case VNIC_OPTION_KEEP_TIME_MS:
        options->keep_time_ms = value;
        break;
    case VNIC_OPTION_KEEP_INTERVAL_MS:
        options->keep_interval_ms = value;
        break;
    case VNIC_OPTION_KEEP_LIMIT:
        options->keep_limit = (uint8_t)value;
        break;
    case VNIC_OPTION_USER_TIMEOUT_MS:
        options->user_timeout_ms = value;
        break;
    case VNIC_OPTION_SEND_BUFFER:
        options->send_buffer = value;
        break;
    case VNIC_OPTION_RECEIVE_BUFFER:
        options->receive_buffer = value;
        break;
    case VNIC_OPTION_CONGESTION:
        options->congestion = (uint8_t)value;
        break;
    case VNIC_OPTION_TTL:
        options->ttl = (uint8_t)value;
        break;
    default:
        options->tos = (uint8_t)value;
        break;
    }
}

static struct socket_options option_get_all(const struct socket *socket, const struct tcp_connection *c)
{
    return (struct socket_options){
        .flags = c->flags & (TCP_NODELAY | TCP_KEEPALIVE),
        .keep_time_ms = c->keep_time_ms,
        .keep_interval_ms = c->keep_interval_ms,
        .user_timeout_ms = c->user_timeout_ms,
        .send_buffer = socket->send_buffer,
        .receive_buffer = c->rcv_buf,
        .keep_limit = c->keep_limit,
        .congestion = c->congestion,
        .ttl = c->ttl,
        .tos = c->tos,
    };
}

static void option_apply(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c,
                         const struct socket_options *options)
{
    struct tcp_result result = {.events = 0};

    socket->send_buffer = options->send_buffer;
    c->ttl = options->ttl;
    c->tos = options->tos;
    c->congestion = options->congestion;
    if (options->receive_buffer != c->rcv_buf) {
        tcp_set_receive_buffer(s->tcp, c, s->now_ns, options->receive_buffer, &result);
        outcome_apply(s, socket, c, &result, NULL);
    }
    if (offload_is_away(socket)) {
        offload_set_options(s, socket, c, options);
        return;
    }
    result = (struct tcp_result){.events = 0};
    tcp_set_options(s->tcp, c, s->now_ns, options->flags, options->keep_time_ms, options->keep_interval_ms,
                    options->keep_limit, options->user_timeout_ms, &result);
    outcome_apply(s, socket, c, &result, NULL);
}

static int option_set_connection(struct vnic_stack *s, struct socket *socket, uint32_t option, uint32_t value)
{
    struct tcp_connection *c = socket_connection(s, socket);
    struct socket_options options = option_get_all(socket, c);

    if (c->state == TCP_STATE_CLOSED) {
        return VNIC_STACK_ENOTCONN;
    }
    if (option == VNIC_OPTION_CONGESTION && c->state >= TCP_STATE_ESTABLISHED) {
        return VNIC_EINVAL; /* its private state would be another's */
    }
    option_set(&options, option, value);
    option_apply(s, socket, c, &options);
    return VNIC_OK;
}

int vnic_stack_set_option(vnic_stack *stack, vnic_socket socket, uint32_t option, uint32_t value)
{
    struct socket *held = socket_of(stack, socket);
    struct listener *listener = socket_listener_of(stack, socket);
    uint32_t kind = SOCKET_UDP, index;

    if (!option_is_valid(option, value)) {
        return VNIC_EINVAL;
    }
    if (held != NULL) {
        return option_set_connection(stack, held, option, value);
    }
    if (listener != NULL) {
        option_set(&listener->options, option, value);
        return VNIC_OK;
    }
    index = sockets_find_other(stack, socket, kind);
    if (index == 0) {
        kind = SOCKET_ICMP;
        index = sockets_find_other(stack, socket, kind);
    }
    return index != 0 ? network_set_option(stack, kind, index, option, value) : VNIC_STACK_EBADF;
}
