/* What is to be known of a TCP socket, and of the stack as a whole. */
#include "stack/receive_queue.h"
#include "stack/send_queue.h"
#include "stack/state.h"

enum { INFO_LISTENER = 255 };

static void info_of_listener(const struct listener *l, struct vnic_tcp_info *out)
{
    *out = (struct vnic_tcp_info){
        .local = {.address = l->address, .port = l->port},
        .remote = {.address = {.is_ipv6 = l->address.is_ipv6}},
        .state = INFO_LISTENER,
        .backlog_waiting = l->ready,
    };
}

static void info_of_endpoints(const struct tcp_connection *c, struct vnic_tcp_info *out)
{
    out->local.address.is_ipv6 = c->is_ipv6;
    out->remote.address.is_ipv6 = c->is_ipv6;
    memcpy(out->local.address.bytes, c->local, sizeof(c->local));
    memcpy(out->remote.address.bytes, c->remote, sizeof(c->remote));
    out->local.port = c->local_port;
    out->remote.port = c->remote_port;
}

/* Bytes of the stream up to seq, which may be one beyond it: a SYN or FIN. */
static uint64_t info_bytes(uint64_t before, uint32_t mark, uint32_t seq)
{
    return (int32_t)(seq - mark) > 0 ? before + (seq - mark) : before;
}

static void info_of_connection(const struct vnic_stack *s, const struct socket *socket,
                               const struct tcp_connection *c, struct vnic_tcp_info *out)
{
    const struct socket_rest *rest = socket_rest(&s->sockets, socket);
    const uint32_t fin_acked = c->snd_una == c->snd_end + 1 ? 1 : 0;

    *out = (struct vnic_tcp_info){
        .state = c->state,
        .interface = socket->path.interface,
        .srtt_us = c->srtt_us / 8,
        .rttvar_us = c->rttvar_us / 4,
        .rto_us = c->rto_us,
        .min_rtt_us = c->min_rtt_us,
        .cwnd = c->cwnd,
        .ssthresh = c->ssthresh,
        .flight = tcp_flight(c),
        .snd_wnd = c->snd_wnd,
        .rcv_wnd = tcp_receive_window(c),
        .mss = c->snd_mss,
        .send_queued = send_queue_len(&s->sockets, socket, c),
        .receive_queued = offload_unread(s, socket, c),
        .phase = c->phase,
        .sent_bytes = info_bytes(rest->sent_bytes, rest->sent_mark, c->snd_una - fin_acked),
        .received_bytes = rest->received_bytes + (receive_queue_front(c) - rest->received_mark),
        .retransmits = rest->retransmits,
        .retransmitted_bytes = rest->retransmitted_bytes,
    };
    info_of_endpoints(c, out);
}

int vnic_tcp_get_info(vnic_stack *stack, vnic_socket socket, struct vnic_tcp_info *out)
{
    const struct socket *held = socket_of(stack, socket);
    const struct listener *listener = socket_listener_of(stack, socket);

    if (out == NULL) {
        return VNIC_EINVAL;
    }
    if (held != NULL) {
        info_of_connection(stack, held, socket_connection(stack, held), out);
    } else if (listener != NULL) {
        info_of_listener(listener, out);
    }
    return held != NULL || listener != NULL ? VNIC_OK : VNIC_STACK_EBADF;
}

void vnic_stack_get_statistics(vnic_stack *stack, struct vnic_stack_statistics *out)
{
    const struct tcp_statistics *tcp = tcp_engine_statistics(stack->tcp);

    *out = stack->statistics;
    out->tcp_segments_in = tcp->segments_in;
    out->tcp_segments_out = tcp->segments_out;
    out->tcp_retransmits = tcp->retransmits;
    out->tcp_retransmitted_bytes = tcp->retransmitted_bytes;
    out->tcp_timeouts = tcp->timeouts;
    out->tcp_resets_in = tcp->resets_in;
    out->tcp_resets_out = tcp->resets_out;
    out->tcp_out_of_order = tcp->out_of_order;
    out->tcp_duplicates = tcp->duplicates;
    out->tcp_spurious = tcp->spurious_timeouts;
}
