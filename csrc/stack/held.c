/* Held segments: a bounded list of each connection, in the order of their arrival. */
#include "stack/held.h"

#include "stack/network.h"
#include "stack/state.h"

enum { HELD_SEGMENTS = 512, HELD_BYTES = 1 << 20 }; /* of one connection; more is lost, as on the wire */

static bool held_has_room(const struct offload *o, const struct away *away, uint32_t len)
{
    return away->held_count < HELD_SEGMENTS && away->held_bytes + len <= HELD_BYTES
           && pool_left(&o->held_pool) != 0 && chains_have_room(&o->chains, len);
}

static bool held_is_good(struct vnic_stack *s, const struct segment_bytes *bytes)
{
    struct tcp_segment segment;

    if (tcp_header_parse(&segment, bytes->l4, bytes->len) != 0) {
        s->statistics.bad_frame++;
        return false;
    }
    if (!bytes->is_good && !segment_is_sum_good(s->csum->add(bytes->pseudo, bytes->l4, bytes->len))) {
        s->statistics.bad_l4_checksum++;
        return false;
    }
    return true;
}

void held_put(struct vnic_stack *s, struct socket *socket, const struct segment_bytes *bytes)
{
    struct offload *o = &s->offload;
    struct away *away = offload_away(s, socket);
    uint32_t index;

    if (!held_is_good(s, bytes)) {
        return;
    }
    if (!held_has_room(o, away, bytes->len)) {
        s->statistics.buffers_full++;
        return;
    }
    index = pool_take(&o->held_pool);
    o->held[index] = (struct held){.ecn = bytes->ecn};
    (void)chain_append(&o->chains, &o->held[index].chain, bytes->l4, bytes->len);
    *(away->held_first == 0 ? &away->held_first : &o->held[away->held_last].next) = index;
    away->held_last = index;
    away->held_count++;
    away->held_bytes += bytes->len;
    offload_raise(s, socket, VNIC_OFFLOAD_FORWARD);
}

/* Takes the first out, its bytes into o->bytes; how many, 0: none. */
static uint32_t held_take(struct offload *o, struct away *away, uint8_t *ecn)
{
    const uint32_t index = away->held_first;
    struct held *held = &o->held[index];
    const uint32_t len = held->chain.len;

    if (index == 0) {
        return 0;
    }
    chain_read(&o->chains, &held->chain, 0, o->bytes, len);
    *ecn = held->ecn;
    away->held_first = held->next;
    away->held_count--;
    away->held_bytes -= len;
    chain_free(&o->chains, &held->chain);
    pool_give(&o->held_pool, index);
    return len;
}

struct packet held_packet(const struct vnic_stack *s, const struct socket *socket)
{
    const struct tcp_connection *c = socket_connection(s, socket);

    return (struct packet){
        .source = connection_remote(c),
        .destination = connection_local(c),
        .l4 = s->offload.bytes,
        .proto = WIRE_PROTO_TCP,
        .interface = offload_away(s, socket)->told_interface,
        .l4_is_good = 1,
    };
}

void held_forget(struct vnic_stack *s, struct away *away)
{
    uint8_t ecn;

    while (held_take(&s->offload, away, &ecn) != 0) {
    }
}

void held_process(struct vnic_stack *s, struct away *away, struct packet *packet)
{
    while ((packet->l4_len = held_take(&s->offload, away, &packet->ecn)) != 0) {
        network_to_tcp(s, packet);
    }
}

int vnic_tcp_offload_hold(vnic_stack *stack, vnic_socket socket, const void *segment, uint32_t len)
{
    struct socket *held = offload_socket(stack, socket);
    const struct segment_bytes bytes = {.l4 = segment, .len = len, .is_good = true};
    struct packet packet;

    if (segment == NULL || len < WIRE_TCP_LEN || len > UINT16_MAX) {
        return VNIC_EINVAL;
    }
    if (held == NULL) {
        return VNIC_STACK_EBADF;
    }
    if (offload_is_away(held)) {
        held_put(stack, held, &bytes);
        return VNIC_OK;
    }
    packet = held_packet(stack, held);
    packet.l4 = segment;
    packet.l4_len = len;
    network_to_tcp(stack, &packet);
    return VNIC_OK;
}

int vnic_tcp_offload_forward(vnic_stack *stack, vnic_socket socket, void *out, uint32_t capacity)
{
    struct socket *held = offload_socket(stack, socket);
    struct offload *o = &stack->offload;
    struct away *away;
    uint32_t len;
    uint8_t ecn;

    if (held == NULL) {
        return VNIC_STACK_EBADF;
    }
    away = offload_away(stack, held);
    if (!offload_is(held, VNIC_OFFLOAD_OFFLOADED) || away->held_first == 0) {
        return 0;
    }
    if (out == NULL || o->held[away->held_first].chain.len > capacity) {
        return VNIC_EINVAL;
    }
    len = held_take(o, away, &ecn);
    memcpy(out, o->bytes, len);
    return (int)len;
}
