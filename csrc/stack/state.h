/* The inside of the stack: its parts, each described in the header of its own noun. */
#ifndef VNIC_STACK_STATE_H
#define VNIC_STACK_STATE_H

#include "stack/fragment.h"
#include "stack/icmp.h"
#include "stack/interface.h"
#include "stack/neighbour.h"
#include "stack/offload.h"
#include "stack/outbox.h"
#include "stack/route.h"
#include "stack/secret.h"
#include "stack/socket.h"
#include "stack/train_out.h"
#include "stack/udp.h"
#include "tcp/engine.h"
#include "wire/checksum.h"

struct vnic_stack {
    struct vnic_stack_config config;
    uint64_t now_ns;
    const struct csum_ops *csum;
    struct secret secret;         /* secret.h: keyed hash, random numbers */
    struct interfaces interfaces; /* interface.h: links, addresses */
    struct routes routes;         /* route.h */
    struct neighbours neighbours; /* neighbour.h: ARP and ND caches */
    struct outboxes outboxes;     /* outbox.h: frames of ARP, ND, ICMP, UDP and resets */
    struct fragments fragments;   /* fragment.h: reassembly */
    struct icmp icmp;             /* icmp.h: rate limits, echo sockets */
    struct udp udp;               /* udp.h */
    struct sockets sockets;       /* socket.h: TCP sockets, listeners, lookup, payload blocks, events */
    tcp_engine *tcp;
    struct tcp_connection *connections; /* of the engine: [i] is tcp_at(tcp, i) */
    struct train_out trains[INTERFACES_MAX]; /* train_out.h */
    struct vnic_stack_statistics statistics;
    struct offload offload;       /* offload.h: connections at an offload target */
};

static inline struct tcp_connection *socket_connection(const struct vnic_stack *s,
                                                       const struct socket *socket)
{
    return &s->connections[socket_index(&s->sockets, socket)];
}

#endif
