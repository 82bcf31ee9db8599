/* Stacks back to back: no wire, no delay; each checks and writes the checksums itself. */
#include "stack_pair.h"

enum {
    MTU = 1500,
    PORTS_EACH = 32768, /* local ports to one listener, from PORT_FIRST on */
    PORT_FIRST = 1024,
    BUFFER_BYTES = 128 * 1024,
    POOL_BYTES = 64 * 1024 * 1024,
    NS_A_FRAME = 120, /* time between frames: 100 Gbit/s */
    /* A turn of 512 k connections takes 63 ms: an ACK waits for the next segment, not for its timer. */
    DELACK_US = PAIR_DELACK_MS * 1000,
    RTO_MIN_US = 1000000,
};

struct vnic_endpoint pair_endpoint(uint8_t number, uint16_t port)
{
    return (struct vnic_endpoint){.address.bytes = {10, 0, 0, number}, .port = port};
}

static vnic_stack *stack_open(uint32_t connections, uint8_t number)
{
    const uint8_t other = (uint8_t)(3 - number), mac[6] = {2, 0, 0, 0, 0, other};
    const struct vnic_stack_interface link = {.mac = {2, 0, 0, 0, 0, number}, .mtu = MTU};
    const struct vnic_address own = pair_endpoint(number, 0).address, peer = pair_endpoint(other, 0).address;
    struct vnic_stack_config config;
    vnic_stack *stack;

    vnic_stack_defaults(&config);
    config.seed = number;
    config.connections = connections;
    config.listeners = PAIR_LISTENERS;
    config.buffer_bytes = POOL_BYTES;
    config.send_buffer = config.receive_buffer = BUFFER_BYTES;
    config.delack_us = DELACK_US;
    config.rto_min_us = RTO_MIN_US;
    stack = vnic_stack_create(&config);
    if (!stack || vnic_stack_add_interface(stack, &link) != 0
        || vnic_stack_add_address(stack, 0, &own, 24) != VNIC_OK
        || vnic_stack_add_neighbour(stack, 0, &peer, mac) != VNIC_OK
        || vnic_stack_set_link(stack, 0, true) != VNIC_OK) {
        return NULL;
    }
    return stack;
}

const char *pair_open(struct stack_pair *pair, uint32_t connections)
{
    pair->client = stack_open(connections, 1);
    pair->server = stack_open(connections, 2);
    if (!pair->client || !pair->server) {
        return "a stack cannot be made";
    }
    for (uint16_t i = 0; i < PAIR_LISTENERS; i++) {
        const struct vnic_endpoint local = pair_endpoint(2, (uint16_t)(LOAD_SERVER_PORT + i));

        pair->listener[i] = vnic_tcp_listen(pair->server, &local, 2 * LOAD_BURST);
        if (pair->listener[i] < 0) {
            return "listen";
        }
    }
    return NULL;
}

void pair_close(struct stack_pair *pair)
{
    vnic_stack_destroy(pair->client);
    vnic_stack_destroy(pair->server);
}

static unsigned pair_move(struct stack_pair *pair, vnic_stack *from, vnic_stack *to)
{
    struct vnic_stack_packet packet[LOAD_BURST];
    struct vnic_stack_frame frame;
    unsigned count = 0;

    while (count < LOAD_BURST) {
        int len = vnic_stack_transmit(from, 0, pair->frame[count], PAIR_FRAME_BYTES, &frame);

        if (len <= 0) {
            break;
        }
        packet[count] = (struct vnic_stack_packet){pair->frame[count], (uint32_t)len, 0};
        count++;
    }
    if (count) {
        pair_wait(pair, count * (uint64_t)NS_A_FRAME);
        vnic_stack_receive_burst(to, 0, packet, count);
    }
    return count;
}

unsigned pair_to_server(struct stack_pair *pair)
{
    unsigned count = pair_move(pair, pair->client, pair->server);

    pair->to_server += count;
    return count;
}

unsigned pair_to_client(struct stack_pair *pair)
{
    unsigned count = pair_move(pair, pair->server, pair->client);

    pair->to_client += count;
    return count;
}

void pair_wait(struct stack_pair *pair, uint64_t ns)
{
    pair->now_ns += ns;
    vnic_stack_time(pair->client, pair->now_ns);
    vnic_stack_time(pair->server, pair->now_ns);
}

vnic_socket pair_connect(struct stack_pair *pair, uint32_t i)
{
    const struct vnic_endpoint local = pair_endpoint(1, (uint16_t)(PORT_FIRST + i % PORTS_EACH));
    const struct vnic_endpoint remote = pair_endpoint(2, (uint16_t)(LOAD_SERVER_PORT + i / PORTS_EACH));

    return vnic_tcp_connect(pair->client, &local, &remote);
}
