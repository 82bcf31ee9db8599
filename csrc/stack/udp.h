/* Datagram sockets: UDP ports, and ICMP echo identifiers. */
#ifndef VNIC_STACK_UDP_H
#define VNIC_STACK_UDP_H

#include "stack/chain.h"
#include "stack/icmp.h"

enum { UDP_BUCKETS = 256, UDP_QUEUE_BYTES = 262144, UDP_QUEUE_DATAGRAMS = 256 };

struct udp_datagram {
    uint32_t next;
    struct chain chain;
    struct vnic_endpoint remote;
};

struct udp_socket {
    uint32_t next;          /* of the bucket; the pool's link */
    uint32_t kind;          /* SOCKET_UDP or SOCKET_ICMP of socket.h; 0: free */
    vnic_socket handle;
    struct vnic_address local; /* all zeros: any */
    uint16_t port;          /* or ICMP identifier */
    uint8_t ttl, tos;       /* ttl 0: the interface's */
    bool wants_room;
    int32_t error;          /* what ICMP said last, told once */
    struct vnic_endpoint error_remote;
    uint32_t first, last;   /* datagrams */
    uint32_t count, bytes;
};

struct udp {
    struct udp_socket *sockets;
    struct udp_datagram *datagrams;
    struct pool sockets_pool, datagrams_pool;
    struct chains chains;
    uint32_t buckets[UDP_BUCKETS];
    uint32_t open[2]; /* UDP, ICMP */
};

struct vnic_stack;

int udp_create(struct vnic_stack *s);
void udp_destroy(struct vnic_stack *s);

void udp_receive(struct vnic_stack *s, const struct packet *packet);
/* An echo reply for one of our sockets. */
void udp_receive_echo(struct vnic_stack *s, const struct packet *packet);
/* Whether an error about this flow concerns a socket of ours; it is told. */
bool udp_on_error(struct vnic_stack *s, uint32_t kind, const struct vnic_address *local, uint16_t port,
                  const struct vnic_endpoint *remote, int32_t result);
/* The outbox has room again. */
void udp_on_room(struct vnic_stack *s);

#endif
