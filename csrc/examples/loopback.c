/* Sends 1 MiB over TCP between two stacks on one wire, in virtual time: cc loopback.c $(pkg-config --cflags --libs vnic) */
#include <vnic/vnic_stack.h>

#include <stdio.h>
#include <stdlib.h>

enum { TOTAL = 1 << 20 };

static const struct vnic_endpoint server = {.address = {.bytes = {10, 0, 0, 2}}, .port = 80};

static vnic_stack *start(uint8_t host)
{
    struct vnic_stack_interface link = {.mac = {2, 0, 0, 0, 0, host}, .mtu = 1500};
    struct vnic_address address = {.bytes = {10, 0, 0, host}};
    struct vnic_stack_config config;
    vnic_stack *stack;

    vnic_stack_defaults(&config);
    config.seed = host;
    stack = vnic_stack_create(&config);
    if (stack == NULL || vnic_stack_add_interface(stack, &link) != 0
        || vnic_stack_add_address(stack, 0, &address, 24) != 0 || vnic_stack_set_link(stack, 0, 1) != 0) {
        exit(1);
    }
    return stack;
}

/* Every frame that one has to send goes to the other; whether there was any. */
static int carry(vnic_stack *from, vnic_stack *to)
{
    static uint8_t frame[1518];
    struct vnic_stack_frame what;
    int len, any = 0;

    for (; (len = vnic_stack_transmit(from, 0, frame, sizeof(frame), &what)) > 0; any = 1) {
        vnic_stack_receive(to, 0, frame, (uint32_t)len, 0);
    }
    return any;
}

int main(void)
{
    static uint8_t bytes[TOTAL], buffer[65536];
    vnic_stack *a = start(1), *b = start(2);
    vnic_socket listener = vnic_tcp_listen(b, &server, 1), out = vnic_tcp_connect(a, NULL, &server), in = 0;
    uint64_t sent = 0, received = 0, now = 0;
    int64_t n;

    while (received < TOTAL) {
        if (in <= 0) {
            in = vnic_tcp_accept(b, listener); /* below 0: not yet */
        }
        while (in > 0 && (n = vnic_tcp_receive(b, in, buffer, sizeof(buffer))) > 0) {
            received += (uint64_t)n;
        }
        n = vnic_tcp_send(a, out, &(struct vnic_bytes){bytes + sent, TOTAL - sent}, 1, 0, 0);
        sent += n > 0 ? (uint64_t)n : 0;
        if ((carry(a, b) | carry(b, a)) == 0) { /* a quiet wire: on to the next timer */
            const uint64_t next_a = vnic_stack_deadline(a), next_b = vnic_stack_deadline(b);

            now = next_a < next_b ? next_a : next_b;
            vnic_stack_time(a, now);
            vnic_stack_time(b, now);
        }
    }
    printf("%llu bytes after %.3f s of virtual time\n", (unsigned long long)received, (double)now / 1e9);
    vnic_stack_destroy(a);
    vnic_stack_destroy(b);
    return 0;
}
