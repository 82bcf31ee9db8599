/* A stack: its creation, its time, and the frames that go in and out. */
#include "base/bits.h"
#include "stack/burst.h"
#include "stack/hold.h"
#include "stack/network.h"
#include "stack/outcome.h"
#include "stack/send_queue.h"
#include "stack/state.h"

#include <stdlib.h>

enum {
    STACK_CONNECTIONS_MAX = 4000000,
    STACK_LISTENERS_MAX = 65535,
    STACK_SOCKETS_MAX = 1 << 20,
    STACK_BUFFER_MIN = 512 << 10,
    STACK_SOCKET_BUFFER_MIN = 2048,
    STACK_SEND_BUFFER_MAX = 1 << 29,
    STACK_RECEIVE_BUFFER_MAX = 1 << 30,
    STACK_LENT_ALIGNMENT = 4096,
    STACK_LENT_MIN = 64 << 10,
    STACK_FRAME_EXTRA = 18,     /* Ethernet header and tag, beside the MTU */
    STACK_LOOP_ROUNDS = 64      /* of frames to ourselves, within one call */
};

void vnic_stack_defaults(struct vnic_stack_config *config)
{
    *config = (struct vnic_stack_config){
        .seed = 1,
        .connections = 1024,
        .listeners = 64,
        .udp_sockets = 64,
        .interfaces = 8,
        .neighbours = 256,
        .routes = 64,
        .buffer_bytes = 64 << 20,
        .outbox_frames = 256,
        .fragments_bytes = 1 << 20,
        .send_buffer = 512 << 10,
        .receive_buffer = 512 << 10,
        .rto_min_us = 200000,
        .delack_us = 40000,
        .msl_ms = 30000,
        .fin_wait_2_ms = 60000,
        .syn_cookies = 1,
        .congestion = TCP_CC_CUBIC,
        .ecn = 2,
    };
}

static bool is_in(uint32_t value, uint32_t low, uint32_t high)
{
    return low <= value && value <= high;
}

static bool stack_config_is_sound(const struct vnic_stack_config *c)
{
    return is_in(c->connections, 1, STACK_CONNECTIONS_MAX) && c->listeners <= STACK_LISTENERS_MAX
           && c->udp_sockets <= STACK_SOCKETS_MAX && is_in(c->interfaces, 1, INTERFACES_MAX)
           && is_in(c->neighbours, 1, STACK_SOCKETS_MAX) && c->routes <= STACK_SOCKETS_MAX
           && c->buffer_bytes >= STACK_BUFFER_MIN && is_in(c->outbox_frames, 8, STACK_SOCKETS_MAX)
           && is_in(c->send_buffer, STACK_SOCKET_BUFFER_MIN, STACK_SEND_BUFFER_MAX)
           && is_in(c->receive_buffer, STACK_SOCKET_BUFFER_MIN, STACK_RECEIVE_BUFFER_MAX)
           && c->syn_cookies <= 2 && c->congestion < TCP_CONGESTIONS && c->ecn <= 2 && c->address_probes <= 16
           && c->router_solicitations <= 3;
}

/* The rest of the bounds is the engine's. */
static tcp_engine *stack_create_engine(const struct vnic_stack_config *config)
{
    struct tcp_engine_config engine;

    tcp_engine_defaults(&engine, config->connections);
    engine.rto_min_us = config->rto_min_us;
    engine.delack_us = config->delack_us;
    engine.msl_ms = config->msl_ms;
    engine.fin_wait_2_ms = config->fin_wait_2_ms;
    return tcp_engine_create(&engine);
}

/* The first block is the pool's "none". */
static void stack_lend(vnic_stack *stack, void *memory, uint64_t bytes)
{
    struct block_pool *p = &stack->sockets.send_blocks;

    stack->sockets.is_send_lent = true;
    p->blocks = memory;
    pool_start(&p->pool, p->blocks, sizeof(struct block), (uint32_t)(bytes / sizeof(struct block)) - 1);
}

static vnic_stack *stack_create(const struct vnic_stack_config *config, void *memory, uint64_t bytes)
{
    vnic_stack *stack;

    if (config == NULL || !stack_config_is_sound(config)) {
        return NULL;
    }
    stack = calloc(1, sizeof(*stack));
    if (stack == NULL) {
        return NULL;
    }
    stack->config = *config;
    stack->csum = csum_ops_best();
    if (memory != NULL) {
        stack_lend(stack, memory, bytes);
    }
    stack->tcp = stack_create_engine(config);
    stack->connections = stack->tcp != NULL ? tcp_connections(stack->tcp) : NULL;
    if (stack->tcp == NULL || network_create(stack) != VNIC_OK) { /* which leaves nothing behind */
        tcp_engine_destroy(stack->tcp);
        free(stack);
        return NULL;
    }
    if (sockets_create(stack) != VNIC_OK) {
        vnic_stack_destroy(stack);
        return NULL;
    }
    return stack;
}

vnic_stack *vnic_stack_create(const struct vnic_stack_config *config)
{
    return stack_create(config, NULL, 0);
}

vnic_stack *vnic_stack_create_in(const struct vnic_stack_config *config, void *send_memory,
                                 uint64_t send_bytes)
{
    _Static_assert(sizeof(struct block) == STACK_LENT_ALIGNMENT, "blocks lie in pages");

    if (send_memory == NULL || (uintptr_t)send_memory % STACK_LENT_ALIGNMENT != 0
        || send_bytes < STACK_LENT_MIN || send_bytes / STACK_LENT_ALIGNMENT > INT32_MAX) {
        return NULL;
    }
    return stack_create(config, send_memory, send_bytes);
}

void vnic_stack_destroy(vnic_stack *stack)
{
    if (stack != NULL) {
        sockets_destroy(stack);
        network_destroy(stack);
        tcp_engine_destroy(stack->tcp);
        free(stack);
    }
}

int vnic_stack_set_offload(vnic_stack *stack, uint32_t interface, uint32_t offload, uint32_t tso_bytes)
{
    const uint32_t all = VNIC_STACK_TX_CHECKSUM | VNIC_STACK_TSO | VNIC_STACK_TX_VLAN;
    const bool has_tso = (offload & VNIC_STACK_TSO) != 0;
    struct vnic_stack_interface *config;

    if (interface >= stack->interfaces.count || (offload & ~all) != 0) {
        return VNIC_EINVAL;
    }
    if (has_tso && ((offload & VNIC_STACK_TX_CHECKSUM) == 0 || !is_in(tso_bytes, 1, UINT16_MAX))) {
        return VNIC_EINVAL;
    }
    config = &stack->interfaces.list[interface].config;
    config->offload = offload;
    config->tso_bytes = tso_bytes;
    return VNIC_OK;
}

/* -- time --------------------------------------------------------------------------------------------------- */

void sockets_run_timers(struct vnic_stack *s)
{
    struct tcp_connection *c;

    while ((c = tcp_expired(s->tcp, s->now_ns)) != NULL) {
        struct socket *socket = &s->sockets.list[tcp_index(s->tcp, c)];
        struct tcp_result result;

        tcp_timeout(s->tcp, c, s->now_ns, &result);
        outcome_apply(s, socket, c, &result, NULL);
    }
    hold_run_timers(s);
    send_queue_wake(s);
}

uint64_t sockets_deadline(struct vnic_stack *s)
{
    return bits_min64(tcp_deadline(s->tcp), hold_deadline(s));
}

int vnic_stack_time(vnic_stack *stack, uint64_t now_ns)
{
    if (now_ns < stack->now_ns) {
        return VNIC_ETIME;
    }
    stack->now_ns = now_ns;
    network_run_timers(stack);
    sockets_run_timers(stack);
    return VNIC_OK;
}

uint64_t vnic_stack_deadline(vnic_stack *stack)
{
    return bits_min64(network_deadline(stack), sockets_deadline(stack));
}

/* -- frames ------------------------------------------------------------------------------------------------- */

static void stack_count_in(vnic_stack *stack, const struct vnic_stack_packet *packets, uint32_t count)
{
    stack->statistics.frames_in += count;
    for (uint32_t i = 0; i < count; i++) {
        stack->statistics.bytes_in += packets[i].len;
    }
}

int vnic_stack_receive_burst(vnic_stack *stack, uint32_t interface, const struct vnic_stack_packet *packets,
                             uint32_t count)
{
    if (interface >= stack->interfaces.count || (packets == NULL && count != 0)) {
        return VNIC_EINVAL;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (packets[i].data == NULL) {
            return VNIC_EINVAL;
        }
    }
    stack_count_in(stack, packets, count);
    burst_in(stack, interface, packets, count);
    network_run_loop(stack);
    return VNIC_OK;
}

int vnic_stack_receive(vnic_stack *stack, uint32_t interface, const uint8_t *frame, uint32_t len,
                       uint32_t flags)
{
    const struct vnic_stack_packet packet = {.data = frame, .len = len, .flags = flags};

    return vnic_stack_receive_burst(stack, interface, &packet, 1);
}

static int stack_next_frame(vnic_stack *stack, uint32_t interface, uint8_t *out, uint32_t capacity,
                            struct vnic_stack_frame *frame)
{
    const struct outbox *outbox = &stack->outboxes.list[interface];
    int len = outbox->count != 0 ? outbox_transmit(stack, interface, out, capacity, frame) : 0;

    if (len == 0) {
        len = sockets_transmit(stack, interface, out, capacity, frame);
    }
    /* A connection may just have asked for its neighbour. */
    return len == 0 && outbox->count != 0 ? outbox_transmit(stack, interface, out, capacity, frame) : len;
}

int vnic_stack_transmit(vnic_stack *stack, uint32_t interface, uint8_t *out, uint32_t capacity,
                        struct vnic_stack_frame *frame)
{
    int len;

    if (interface >= stack->interfaces.count || out == NULL || frame == NULL
        || capacity < stack->interfaces.list[interface].config.mtu + STACK_FRAME_EXTRA) {
        return VNIC_EINVAL;
    }
    len = stack_next_frame(stack, interface, out, capacity, frame);
    for (uint32_t i = 0; len == 0 && stack->outboxes.loop.count != 0 && i < STACK_LOOP_ROUNDS; i++) {
        network_run_loop(stack);
        len = stack_next_frame(stack, interface, out, capacity, frame);
    }
    if (len > 0) {
        stack->statistics.frames_out++;
        stack->statistics.bytes_out += (uint32_t)len;
    }
    return len;
}
