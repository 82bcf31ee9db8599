/* Segments that arrive: connection, listener, or nobody. */
#include "stack/segment_in.h"

#include "stack/answer.h"
#include "stack/header.h"
#include "stack/held.h"
#include "stack/listen.h"
#include "stack/network.h"
#include "stack/outcome.h"
#include "stack/state.h"

void segment_in_apply(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c,
                      const struct tcp_segment *segment, const struct outcome_payload *payload)
{
    struct tcp_result result;

    tcp_input(s->tcp, c, s->now_ns, segment, &result);
    if ((result.events & TCP_EVENT_REPLY_RST) != 0) {
        struct tcp_segment rst;

        if (tcp_reset_for(segment, &rst)) {
            answer_reset(s, socket, c, &rst);
        }
    }
    outcome_apply(s, socket, c, &result, payload);
}

void segment_in_put(struct vnic_stack *s, struct socket *socket, struct tcp_segment *segment,
                    const uint8_t *payload)
{
    struct tcp_connection *c = socket_connection(s, socket);
    const struct outcome_payload stored = {.bytes = payload, .place = RECEIVE_NOT_PLACED};

    segment->refused = segment->len != 0 && !receive_queue_may_take(s, socket, c, segment->seq, segment->len);
    segment_in_apply(s, socket, c, segment, &stored);
}

/* What is predicted and kept goes from its frame to posted buffers, and what they do not hold to blocks. [SOCK-29] */
static bool segment_in_keep(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c,
                            struct tcp_segment *segment, const uint8_t *bytes)
{
    const struct kept_piece piece = {bytes, segment->len};
    const struct outcome_payload payload = {.place = RECEIVE_KEPT, .pieces = &piece, .count = 1};
    const uint32_t room = kept_room(s, socket, c, 1, segment->len), rest = segment->len - room;

    if (room == 0 || (rest != 0 && !receive_queue_may_take(s, socket, c, segment->seq + room, rest))) {
        return false;
    }
    segment_in_apply(s, socket, c, segment, &payload);
    return true;
}

void segment_in_take(struct vnic_stack *s, struct socket *socket, const struct segment_bytes *bytes)
{
    struct tcp_connection *c = socket_connection(s, socket);
    struct tcp_segment segment;
    struct outcome_payload payload;
    struct receive_room room;
    uint32_t header_len;
    bool is_predicted;
    uint64_t sum = 0;

    if (tcp_header_parse(&segment, bytes->l4, bytes->len) != 0) {
        s->statistics.bad_frame++;
        return;
    }
    segment.ecn = bytes->ecn;
    segment.refused = 0;
    header_len = bytes->len - segment.len;
    payload = (struct outcome_payload){.bytes = bytes->l4 + header_len, .place = RECEIVE_NOT_PLACED};
    is_predicted = segment.len != 0 && segment_is_predicted(c, &segment);
    if (is_predicted && bytes->is_kept && bytes->is_good
        && segment_in_keep(s, socket, c, &segment, payload.bytes)) {
        return;
    }
    if (is_predicted && receive_queue_room(s, socket, c, segment.len, &room)) {
        payload.place = room.place;
        sum = receive_queue_copy(s, socket, c, &room, 0, payload.bytes, segment.len);
    }
    if (!bytes->is_good) {
        if (payload.place == RECEIVE_NOT_PLACED) {
            sum = segment.len != 0 ? s->csum->add(0, payload.bytes, segment.len) : 0;
        }
        if (!segment_is_sum_good(
                csum_tcp_header(bytes->pseudo + csum_reduce(sum), bytes->l4, header_len / 4))) {
            s->statistics.bad_l4_checksum++;
            receive_queue_trim(s, socket, c);
            return;
        }
    }
    if (payload.place == RECEIVE_NOT_PLACED) {
        segment_in_put(s, socket, &segment, payload.bytes);
    } else {
        segment_in_apply(s, socket, c, &segment, &payload);
    }
}

/* -- whose it is -------------------------------------------------------------------------------------------- */

/* A SYN that may replace a connection in TIME_WAIT (RFC 9293 3.6.1, RFC 6191): that one is over, true. */
static bool segment_in_reopens(struct vnic_stack *s, struct socket *socket, struct arrived *in)
{
    struct tcp_connection *c = socket_connection(s, socket);
    const uint8_t control = in->segment.control & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN);
    uint32_t listener;

    if (c->state != TCP_STATE_TIME_WAIT || control != TCP_SYN || !tcp_may_reopen(c, &in->segment)) {
        return false;
    }
    listener = listener_find(s, &in->local, in->local_port, in->interface);
    if (listener == 0) {
        return false;
    }
    in->above_snd_nxt = c->snd_nxt;
    s->statistics.time_wait_reused++;
    outcome_abort(s, socket, c, VNIC_OK);
    listener_on_segment(s, listener, in);
    return true;
}

static void segment_in_of_none(struct vnic_stack *s, struct arrived *in)
{
    const uint32_t listener = listener_find(s, &in->local, in->local_port, in->interface);

    if (listener != 0) {
        listener_on_segment(s, listener, in);
        return;
    }
    s->statistics.no_port++;
    answer_refuse(s, in);
}

static uint32_t segment_in_find(const struct vnic_stack *s, const struct packet *packet, uint16_t local_port,
                                uint16_t remote_port)
{
    const struct tuple tuple =
        tuple_of(&packet->destination, local_port, &packet->source, remote_port, packet->interface);

    return packet->is_multicast ? 0 : lookup_find(s, &tuple);
}

static bool segment_in_parse(struct vnic_stack *s, const struct packet *packet,
                             const struct segment_bytes *bytes, struct arrived *in)
{
    if (tcp_header_parse(&in->segment, bytes->l4, bytes->len) != 0) {
        s->statistics.bad_frame++;
        return false;
    }
    if (!bytes->is_good && !segment_is_sum_good(s->csum->add(bytes->pseudo, bytes->l4, bytes->len))) {
        s->statistics.bad_l4_checksum++;
        return false;
    }
    in->segment.ecn = bytes->ecn;
    in->segment.refused = 0;
    in->payload = bytes->l4 + bytes->len - in->segment.len;
    in->local = packet->destination;
    in->remote = packet->source;
    in->local_port = be16_load(bytes->l4 + 2);
    in->remote_port = be16_load(bytes->l4);
    in->interface = packet->interface;
    in->is_multicast = packet->is_multicast != 0;
    in->above_snd_nxt = 0;
    return true;
}

void network_to_tcp(struct vnic_stack *s, const struct packet *packet)
{
    const struct segment_bytes bytes = {
        .l4 = packet->l4,
        .len = packet->l4_len,
        .pseudo = header_pseudo(&packet->source, &packet->destination, WIRE_PROTO_TCP, packet->l4_len),
        .ecn = packet->ecn,
        .is_good = packet->l4_is_good != 0,
        .is_kept = packet->is_kept != 0,
    };
    struct socket *socket;
    struct arrived in;
    uint32_t index;

    if (packet->l4_len < WIRE_TCP_LEN) {
        s->statistics.bad_frame++;
        return;
    }
    index = segment_in_find(s, packet, be16_load(packet->l4 + 2), be16_load(packet->l4));
    socket = &s->sockets.list[index];
    if (index != 0 && offload_is_away(socket)) {
        held_put(s, socket, &bytes);
        return;
    }
    if (index != 0 && s->connections[index].state != TCP_STATE_TIME_WAIT) {
        segment_in_take(s, socket, &bytes);
        return;
    }
    if (!segment_in_parse(s, packet, &bytes, &in)) {
        return;
    }
    if (index == 0) {
        segment_in_of_none(s, &in);
    } else if (!segment_in_reopens(s, socket, &in)) {
        segment_in_put(s, socket, &in.segment, in.payload);
    }
}

static uint32_t segment_in_quoted(const struct vnic_stack *s, const struct icmp_quote *quote)
{
    const uint32_t count =
        tuple_is_link_local(quote->remote.bytes) && quote->remote.is_ipv6 ? s->interfaces.count : 1;
    uint32_t index = 0;

    for (uint32_t i = 0; i < count && index == 0; i++) {
        const struct tuple tuple =
            tuple_of(&quote->local, quote->local_port, &quote->remote, quote->remote_port, i);

        index = lookup_find(s, &tuple);
    }
    return index;
}

void sockets_on_icmp(struct vnic_stack *s, const struct icmp_quote *quote)
{
    const uint32_t index = segment_in_quoted(s, quote);
    struct socket *socket = &s->sockets.list[index];
    struct tcp_result result = {.events = 0};
    struct tcp_connection *c;

    if (index == 0) {
        return;
    }
    c = &s->connections[index];
    if (offload_is_away(socket)) {
        offload_on_icmp(s, socket, quote->kind, quote->seq, quote->mtu);
        return;
    }
    if (quote->kind <= TCP_ICMP_HARD && quote->seq - c->snd_una < c->snd_nxt - c->snd_una) {
        event_raise(s, socket, VNIC_EVENT_SOFT_ERROR);
    }
    tcp_icmp(s->tcp, c, s->now_ns, quote->kind, quote->seq, quote->mtu, &result);
    outcome_apply(s, socket, c, &result, NULL);
}
