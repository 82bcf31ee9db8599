/* The border inside the stack: what the IP half offers to the transports, and what the TCP half offers it. */
#ifndef VNIC_STACK_NETWORK_H
#define VNIC_STACK_NETWORK_H

#include "stack/packet.h"

struct vnic_stack;

/* -- offered by the IP half (interface, route, neighbour, ipv4, ipv6, fragment, icmp, udp, outbox) ---------- */

/* Allocate, free; 0 or VNIC_ENOMEM. */
int network_create(struct vnic_stack *s);
void network_destroy(struct vnic_stack *s);

/*
 * A frame came in (frames_in and bytes_in are counted by the caller). Its datagram ends in network_to_tcp(),
 * a datagram socket or an answer.
 */
void network_receive(struct vnic_stack *s, uint32_t interface, const uint8_t *frame, uint32_t len,
                     uint32_t flags);

/* Timers of neighbours, fragments and limits. */
void network_run_timers(struct vnic_stack *s);
uint64_t network_deadline(const struct vnic_stack *s);

/*
 * Route and neighbour for a destination over the links of `mask` (hop.h). source all zeros: filled in. VNIC_OK, VNIC_STACK_EHOSTUNREACH
 * without a route, VNIC_STACK_EADDRNOTAVAIL when source is not ours. The neighbour is held:
 * network_drop_path() lets it go.
 */
int network_find_path(struct vnic_stack *s, struct vnic_address *source,
                      const struct vnic_address *destination, uint32_t mask, struct path *path);
void network_drop_path(struct vnic_stack *s, struct path *path);
uint32_t network_path_mtu(const struct vnic_stack *s, const struct path *path);
bool network_path_is_current(const struct vnic_stack *s, const struct path *path);

/*
 * True when frames can leave for the path's neighbour now. False starts resolution: socket_on_neighbour()
 * tells how it went. Sending to a STALE neighbour starts its check.
 */
bool network_is_ready(struct vnic_stack *s, const struct path *path);
/* Forward progress proved reachability (RFC 4861 7.3.1). */
void network_confirm(struct vnic_stack *s, const struct path *path);

/*
 * Ethernet, tag and IP header to out, at most 14 + 4 + 40 bytes; returns their length. The path must be
 * ready.
 */
uint32_t network_write_header(struct vnic_stack *s, const struct path *path, const struct ip_out *ip,
                              uint8_t *out);

/*
 * A datagram that is not of a connection (reset, SYN cookie answer, UDP, ICMP): l4 is complete but for its
 * checksum. Routed, resolved (it waits a little for the neighbour), fragmented if it may be, and put into the
 * outbox. VNIC_OK or a reason of enum vnic_stack_result. mask: as of network_find_path().
 */
int network_send(struct vnic_stack *s, const struct ip_out *ip, uint32_t mask, const uint8_t *l4);

/*
 * The path leads to an address of ours: the frame that was written for it does not leave. network_loop()
 * takes it instead, and network_run_loop(), called after vnic_stack_receive() and from network_run_timers(),
 * receives it.
 */
bool network_is_local(const struct vnic_stack *s, const struct path *path);
void network_loop(struct vnic_stack *s, uint32_t interface, const uint8_t *frame, uint32_t len);
void network_run_loop(struct vnic_stack *s);

/*
 * vnic_stack_close() and vnic_stack_set_option() for a UDP or ICMP socket: index as in sockets_find_other().
 */
void network_close_socket(struct vnic_stack *s, uint32_t kind, uint32_t index);
int network_set_option(struct vnic_stack *s, uint32_t kind, uint32_t index, uint32_t option, uint32_t value);

/* An ICMP port unreachable or the like for a datagram we cannot deliver, within the rate limit. */
void network_port_unreachable(struct vnic_stack *s, const struct packet *packet);

/* The next frame of the outbox of an interface, as vnic_stack_transmit(). */
int outbox_transmit(struct vnic_stack *s, uint32_t interface, uint8_t *out, uint32_t capacity,
                    struct vnic_stack_frame *frame);

/* Keyed hash of the seed (SipHash-2-4), and a counter-based stream of pseudo-random numbers from it. */
uint64_t secret_hash(const struct vnic_stack *s, const void *data, uint32_t len, uint32_t purpose);
uint32_t secret_random(struct vnic_stack *s);

/* -- offered by the TCP half (socket, lookup, listen, cookie, send, receive, block, event) --------------- */

int sockets_create(struct vnic_stack *s);
void sockets_destroy(struct vnic_stack *s);
void sockets_run_timers(struct vnic_stack *s);
uint64_t sockets_deadline(struct vnic_stack *s);

/* A TCP datagram for us; the checksum is still to be verified unless l4_is_good. */
void network_to_tcp(struct vnic_stack *s, const struct packet *packet);

/* An ICMP error that quotes a TCP segment of ours. */
struct icmp_quote {
    struct vnic_address local, remote;
    uint16_t local_port, remote_port;
    uint32_t seq;
    uint32_t kind; /* enum tcp_icmp */
    uint32_t mtu;
};
void sockets_on_icmp(struct vnic_stack *s, const struct icmp_quote *quote);

/*
 * A neighbour was resolved, failed, or has another MAC address: connections that wait for it go on or fail.
 */
void sockets_on_neighbour(struct vnic_stack *s, uint32_t neighbour, bool is_reachable);

/* The next frame of a TCP connection on this interface, as vnic_stack_transmit(). */
int sockets_transmit(struct vnic_stack *s, uint32_t interface, uint8_t *out, uint32_t capacity,
                     struct vnic_stack_frame *frame);

/* Handles of all kinds of sockets, and the one event that each may have waiting: socket.h. */
vnic_socket sockets_open_other(struct vnic_stack *s, uint32_t kind, uint32_t index);
void sockets_close_other(struct vnic_stack *s, vnic_socket socket);
/* kind: SOCKET_UDP or SOCKET_ICMP; the index given at opening, 0 when the handle is not one of that kind. */
uint32_t sockets_find_other(const struct vnic_stack *s, vnic_socket socket, uint32_t kind);
void sockets_raise(struct vnic_stack *s, vnic_socket socket, uint32_t events);

#endif
