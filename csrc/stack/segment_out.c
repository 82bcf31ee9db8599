/* Segments of connections that leave: sockets take turns, each sends one (large) segment a visit. */
#include "stack/segment_out.h"

#include "base/bits.h"
#include "stack/header.h"
#include "stack/network.h"
#include "stack/path.h"
#include "stack/send_queue.h"
#include "stack/state.h"
#include "wire/seq.h"

enum { TCP_CHECKSUM_AT = 16 };

void segment_out_count(struct vnic_stack *s, struct socket *socket, const struct tcp_segment *segment,
                       uint32_t snd_nxt)
{
    if (seq_lt(segment->seq, snd_nxt)
        && (segment->len != 0 || (segment->control & (TCP_SYN | TCP_FIN)) != 0)) {
        struct socket_rest *rest = socket_rest(&s->sockets, socket);

        rest->retransmits++;
        rest->retransmitted_bytes += segment->len;
    }
}

/* After this segment nothing waits, for certain. */
static bool segment_out_is_last(const struct tcp_connection *c, const struct tcp_segment *segment)
{
    const uint32_t fin = tcp_has(c, TCP_FIN_QUEUED) ? 1 : 0;

    return c->phase == TCP_PHASE_OPEN && c->snd_nxt == c->snd_end + fin
           && (segment->control & (TCP_SYN | TCP_FIN)) == 0 && !tcp_has(c, TCP_ACK_NOW);
}

/* -- the frame ---------------------------------------------------------------------------------------------- */

/* Where a frame of a connection goes. */
struct leaving {
    const struct vnic_stack_interface *interface;
    uint32_t offload; /* nothing below completes what we send to ourselves */
    bool is_local;
};

static struct leaving segment_out_to(const struct vnic_stack *s, const struct socket *socket)
{
    const struct vnic_stack_interface *interface = &s->interfaces.list[socket->path.interface].config;
    const bool is_local = network_is_local(s, &socket->path);

    return (struct leaving){interface, is_local ? 0 : interface->offload, is_local};
}

/* Nobody below cuts large sends, or completes what we would cut: a train. */
static bool segment_out_is_cut_here(const struct leaving *to)
{
    return !to->is_local && (to->offload & (VNIC_STACK_TX_CHECKSUM | VNIC_STACK_TX_VLAN)) == 0;
}

/* Payload that one large send may have, whoever cuts it. */
static uint32_t segment_out_limit(const struct tcp_connection *c, const struct leaving *to, uint32_t capacity)
{
    const uint32_t headers = HEADER_MAX + TCP_HEADER_MAX;

    if (segment_out_is_cut_here(to)) {
        return TRAIN_OUT_PACKETS * (uint32_t)c->snd_mss;
    }
    if ((to->offload & VNIC_STACK_TSO) == 0 || capacity <= headers) {
        return 0;
    }
    return bits_min32(bits_min32(to->interface->tso_bytes, capacity - headers), UINT16_MAX - headers);
}

uint32_t segment_out_header(struct vnic_stack *s, const struct socket *socket, const struct tcp_connection *c,
                            const struct tcp_segment *segment, uint8_t *out)
{
    const struct vnic_address local = connection_local(c), remote = connection_remote(c);
    const struct ip_out ip = {
        .source = &local,
        .destination = &remote,
        .l4_len = (uint32_t)tcp_header_len(segment) + segment->len,
        .proto = WIRE_PROTO_TCP,
        .ttl = c->ttl,
        .tos = (uint8_t)((c->tos & 0xfc) | segment->ecn),
    };
    const uint32_t l4_offset = network_write_header(s, &socket->path, &ip, out);

    (void)tcp_header_write(segment, c->local_port, c->remote_port, out + l4_offset);
    return l4_offset;
}

uint64_t segment_out_pseudo(const struct tcp_connection *c, const uint8_t *l4, uint32_t l4_len)
{
    return c->is_ipv6 ? csum_pseudo_v6(l4 - 32, l4 - 16, WIRE_PROTO_TCP, l4_len)
                      : csum_pseudo_v4(l4 - 8, WIRE_PROTO_TCP, l4_len);
}

static void segment_out_describe(const struct leaving *to, const struct tcp_segment *segment,
                                 uint32_t l4_offset, struct vnic_stack_frame *frame)
{
    if ((to->offload & VNIC_STACK_TX_VLAN) != 0) {
        frame->vlan = to->interface->vlan;
    }
    if ((to->offload & VNIC_STACK_TX_CHECKSUM) != 0) {
        frame->checksum_start = (uint16_t)l4_offset;
        frame->checksum_offset = TCP_CHECKSUM_AT;
        frame->mss = segment->len > segment->mss ? segment->mss : 0;
    }
}

static inline uint32_t segment_out_write(struct vnic_stack *s, struct socket *socket,
                                         const struct tcp_connection *c, const struct leaving *to,
                                         const struct tcp_segment *segment, uint8_t *out,
                                         struct vnic_stack_frame *frame)
{
    const uint32_t l4_offset = segment_out_header(s, socket, c, segment, out);
    uint8_t *l4 = out + l4_offset;
    const uint32_t tcp_len = (uint32_t)(l4[12] >> 4) * 4, l4_len = tcp_len + segment->len;
    const uint64_t payload =
        segment->len != 0 ? send_queue_read(s, socket, segment->seq, segment->len, l4 + tcp_len) : 0;
    uint64_t sum;

    *frame = (struct vnic_stack_frame){.len = l4_offset + l4_len,
                                       .is_ipv6 = c->is_ipv6,
                                       .is_tcp = 1,
                                       .header_len = (uint16_t)(l4_offset + tcp_len)};
    segment_out_describe(to, segment, l4_offset, frame);
    sum = segment_out_pseudo(c, l4, frame->mss != 0 ? 0 : l4_len);
    if (frame->checksum_offset != 0) {
        be16_store(l4 + TCP_CHECKSUM_AT, csum_fold(sum));
    } else {
        sum = csum_tcp_header(sum, l4, tcp_len / 4) + csum_reduce(payload);
        be16_store(l4 + TCP_CHECKSUM_AT, csum_field(sum));
    }
    return frame->len;
}

__attribute__((cold)) void segment_out_queue(struct vnic_stack *s, struct socket *socket,
                                             const struct tcp_connection *c,
                                             const struct tcp_segment *segment)
{
    const struct leaving to = segment_out_to(s, socket);
    const uint32_t index = outbox_new(s, socket->path.interface);
    struct outbox_frame *queued = outbox_at(s, index);
    struct vnic_stack_frame frame;
    uint32_t len;

    if (index == 0) {
        s->statistics.outbox_full++;
        return;
    }
    len = segment_out_write(s, socket, c, &to, segment, s->offload.bytes, &frame);
    queued->checksum_start = frame.checksum_start;
    queued->checksum_offset = frame.checksum_offset;
    queued->is_ipv6 = frame.is_ipv6;
    queued->is_tcp = 1;
    if (outbox_append(s, index, s->offload.bytes, len)) {
        outbox_put(s, index);
    } else {
        s->statistics.outbox_full++;
        outbox_discard(s, index);
    }
}

/* -- whose turn it is --------------------------------------------------------------------------------------- */

/* One visit: the length of a frame, or 0. Whatever more there is waits in the ring. */
static uint32_t segment_out_visit(struct vnic_stack *s, struct socket *socket, uint8_t *out,
                                  uint32_t capacity, struct vnic_stack_frame *frame)
{
    struct tcp_connection *c = socket_connection(s, socket);
    const uint32_t snd_nxt = c->snd_nxt;
    struct tcp_segment segment;
    struct leaving to;
    uint32_t len;

    if (!path_is_open(s, socket, c)) {
        return 0;
    }
    to = segment_out_to(s, socket);
    if (!tcp_output(s->tcp, c, s->now_ns, segment_out_limit(c, &to, capacity), &segment)) {
        return 0;
    }
    segment_out_count(s, socket, &segment, snd_nxt);
    if (!segment_out_is_last(c, &segment)) {
        socket_schedule(s, socket);
    }
    if (segment.len > segment.mss && segment_out_is_cut_here(&to)) {
        train_out_start(s, socket, c, &segment);
        return train_out_next(s, socket->path.interface, out, frame);
    }
    len = segment_out_write(s, socket, c, &to, &segment, out, frame);
    if (to.is_local) {
        network_loop(s, socket->path.interface, out, len);
        return 0;
    }
    return len;
}

static void segment_out_prefetch(struct vnic_stack *s, const struct index_ring *ring)
{
    const uint32_t next = index_ring_peek(ring, 1), soon = index_ring_peek(ring, 3);

    if (soon != 0) {
        const char *c = (const char *)&s->connections[soon];

        __builtin_prefetch(&s->sockets.list[soon]);
        __builtin_prefetch(c);
        __builtin_prefetch(c + 64);
        __builtin_prefetch(c + 128);
        __builtin_prefetch(c + 192);
    }
    if (next != 0) {
        const struct socket *socket = &s->sockets.list[next];

        if (socket->send.tail != 0) {
            __builtin_prefetch(&s->sockets.send_blocks.blocks[socket->send.tail]);
        }
        if (!socket_is_waiting(socket) && socket->references != 0) {
            __builtin_prefetch(&s->sockets.buffers[socket->references]);
        }
        tcp_prefetch_timer(s->tcp, next);
    }
}

int sockets_transmit(struct vnic_stack *s, uint32_t interface, uint8_t *out, uint32_t capacity,
                     struct vnic_stack_frame *frame)
{
    struct index_ring *ring = &s->sockets.output[interface];
    uint32_t len = s->trains[interface].index != 0 ? train_out_next(s, interface, out, frame) : 0;
    uint32_t index;

    while (len == 0 && !index_ring_is_empty(ring)) {
        struct socket *socket;

        segment_out_prefetch(s, ring);
        index = index_ring_pop(ring);
        socket = &s->sockets.list[index];
        socket_clear(socket, SOCKET_IN_OUTPUT);
        if (!socket_has(socket, SOCKET_LISTED) || offload_is_away(socket)) {
            continue;
        }
        if (socket->path.interface != interface) {
            socket_schedule(s, socket); /* another connection has the place now */
            continue;
        }
        len = segment_out_visit(s, socket, out, capacity, frame);
    }
    return (int)len;
}
