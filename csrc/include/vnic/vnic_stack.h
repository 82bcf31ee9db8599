/* vnic_stack.h: a small host IP stack as a C library; this header is its manual, the marked part is what Python sees. */
#ifndef VNIC_VNIC_STACK_H
#define VNIC_VNIC_STACK_H

#include "vnic/vnic.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Frames, calls of the user and virtual time go in; frames, events and the next deadline come out. Like the card it
 * is a pure function of its ordered inputs: no clock, no thread, no randomness but the seed, no allocation after
 * creation, and no callback except the copy hook. Interfaces are numbered from 0 in the order they were added.
 *
 * A caller's loop: vnic_stack_time(), vnic_stack_receive() for every frame that waits, its own socket calls,
 * vnic_stack_events() until empty, vnic_stack_transmit() until empty, then sleep to vnic_stack_deadline().
 *
 * Calls return a count or a handle of 0 and more, or one of enum vnic_result or enum vnic_stack_result below 0.
 */

/* cdef begin */

typedef struct vnic_stack vnic_stack;

enum vnic_stack_result {
    VNIC_STACK_EAGAIN = -32, /* nothing there now, or no room: an event will tell */
    VNIC_STACK_EBADF = -33, /* no such socket: closed, or a handle from before */
    VNIC_STACK_EADDRINUSE = -34,
    VNIC_STACK_EADDRNOTAVAIL = -35, /* not an address of an interface, or no local port left */
    VNIC_STACK_EHOSTUNREACH = -36, /* no route, or the neighbour does not answer */
    VNIC_STACK_ECONNREFUSED = -37,
    VNIC_STACK_ECONNRESET = -38,
    VNIC_STACK_ETIMEDOUT = -39,
    VNIC_STACK_ENOTCONN = -40, /* not connected yet, or a listener */
    VNIC_STACK_EPIPE = -41, /* sending after shutdown */
    VNIC_STACK_EMSGSIZE = -42, /* a datagram too long */
    VNIC_STACK_ENOBUFS = -43, /* a pool is used up */
    VNIC_STACK_ECONNABORTED = -44 /* by ourselves */
};

struct vnic_stack_config {
    uint64_t seed; /* of initial sequence numbers, cookies, ports, identifications: the only randomness */
    uint32_t connections; /* TCP connections at once, TIME_WAIT included */
    uint32_t listeners;
    uint32_t udp_sockets;
    uint32_t interfaces; /* 1 to 8 */
    uint32_t neighbours; /* entries of the neighbour caches together */
    uint32_t routes;
    uint32_t buffer_bytes; /* payload that all sockets together hold */
    uint32_t
        outbox_frames; /* frames of ARP, ND, ICMP, UDP and resets that wait for the link, per interface */
    uint32_t fragments_bytes; /* datagrams in reassembly, together */
    uint32_t send_buffer, receive_buffer; /* of a socket, default; bytes */
    uint32_t rto_min_us, delack_us, msl_ms, fin_wait_2_ms; /* see tcp/engine.h */
    uint32_t syn_cookies; /* 0 never, 1 when the backlog is full, 2 always */
    uint32_t congestion; /* 0 NewReno, 1 CUBIC */
    uint32_t ecn; /* 0 off, 1 asked for and accepted, 2 only accepted */
    uint32_t
        address_probes; /* 0: a new address is ours at once; else probed so often first (RFC 5227, 4862 5.4) */
    uint32_t router_solicitations; /* 0 to 3, when a link with IPv6 comes up (RFC 4861 6.3.7) */
};

VNIC_API void vnic_stack_defaults(struct vnic_stack_config *config);
/* An enum vnic_stack_result or enum vnic_result in words. */
VNIC_API const char *vnic_stack_strerror(int result);
/* NULL when a value is out of its bounds or memory is short. */
VNIC_API vnic_stack *vnic_stack_create(const struct vnic_stack_config *config);
VNIC_API void vnic_stack_destroy(vnic_stack *stack);

/* -- interfaces, addresses, routes -------------------------------------------------------------------------- */

/* What the link below does for us. */
enum vnic_stack_offload {
    VNIC_STACK_TX_CHECKSUM = 1, /* completes TCP and UDP checksums from the pseudo-header sum in the field */
    VNIC_STACK_TSO = 2, /* cuts TCP packets of up to tso_bytes of payload; needs TX_CHECKSUM */
    VNIC_STACK_TX_VLAN = 4 /* inserts the tag: frames carry none */
};

struct vnic_stack_interface {
    uint8_t mac[6];
    uint16_t vlan; /* tag of all its frames; 0: untagged, and tagged frames are dropped */
    uint32_t mtu; /* 576 (1280 with IPv6) to 65535 */
    uint32_t offload; /* enum vnic_stack_offload */
    uint32_t tso_bytes;
};
VNIC_API int vnic_stack_add_interface(vnic_stack *stack, const struct vnic_stack_interface *interface);
VNIC_API int vnic_stack_set_link(vnic_stack *stack, uint32_t interface, int is_up);
/* The link below does other things for us from the next frame on. */
VNIC_API int vnic_stack_set_offload(vnic_stack *stack, uint32_t interface, uint32_t offload,
                                    uint32_t tso_bytes);

/* An address: IPv4 in the first 4 bytes, the rest zero. */
struct vnic_address {
    uint8_t bytes[16];
    uint8_t is_ipv6;
    uint8_t reserved[3];
};

/* An address with its on-link prefix. The IPv6 link-local address (EUI-64) is there from the start. */
VNIC_API int vnic_stack_add_address(vnic_stack *stack, uint32_t interface, const struct vnic_address *address,
                                    uint32_t prefix_len);
/* Tentative and duplicate addresses are neither answered for nor sent from. */
enum vnic_address_state {
    VNIC_ADDRESS_TENTATIVE = 1, /* being probed */
    VNIC_ADDRESS_PREFERRED = 2,
    VNIC_ADDRESS_DEPRECATED = 3, /* its preferred lifetime is over (RFC 4862 5.5.4) */
    VNIC_ADDRESS_DUPLICATE = 4 /* another host has it */
};
struct vnic_interface_address {
    struct vnic_address address;
    uint32_t prefix_len;
    uint32_t interface;
    uint32_t state; /* enum vnic_address_state */
    uint32_t is_autonomous; /* from a router's prefix (RFC 4862 5.5) */
};
/* The i-th address of all interfaces; 0, or VNIC_ENOENT beyond the last. */
VNIC_API int vnic_stack_address(vnic_stack *stack, uint32_t i, struct vnic_interface_address *out);

/* Longest prefix wins, then the lowest metric; a gateway of all zeros means on-link. */
VNIC_API int vnic_stack_add_route(vnic_stack *stack, const struct vnic_address *prefix, uint32_t prefix_len,
                                  const struct vnic_address *gateway, uint32_t interface, uint32_t metric);
VNIC_API int vnic_stack_remove_route(vnic_stack *stack, const struct vnic_address *prefix,
                                     uint32_t prefix_len, uint32_t interface);
/* A permanent entry. */
VNIC_API int vnic_stack_add_neighbour(vnic_stack *stack, uint32_t interface,
                                      const struct vnic_address *address, const uint8_t mac[6]);

/* Reachability states of RFC 4861 7.3.2, for ARP as well. */
enum vnic_neighbour_state {
    VNIC_NEIGHBOUR_NONE = 0,
    VNIC_NEIGHBOUR_INCOMPLETE = 1,
    VNIC_NEIGHBOUR_REACHABLE = 2,
    VNIC_NEIGHBOUR_STALE = 3,
    VNIC_NEIGHBOUR_DELAY = 4,
    VNIC_NEIGHBOUR_PROBE = 5,
    VNIC_NEIGHBOUR_PERMANENT = 6
};
struct vnic_neighbour {
    struct vnic_address address;
    uint8_t mac[6];
    uint8_t state; /* enum vnic_neighbour_state */
    uint8_t is_router;
    uint32_t interface;
    uint64_t confirmed_ns; /* last proof of reachability */
};
/* The i-th entry; 0, or VNIC_ENOENT beyond the last. */
VNIC_API int vnic_stack_neighbour(vnic_stack *stack, uint32_t i, struct vnic_neighbour *out);

/* -- frames and time ---------------------------------------------------------------------------------------- */

/* Time never runs backwards: VNIC_ETIME. Timers that are due run here. */
VNIC_API int vnic_stack_time(vnic_stack *stack, uint64_t now_ns);
/* When to call vnic_stack_time() again at the latest; UINT64_MAX: nothing is waiting for time. */
VNIC_API uint64_t vnic_stack_deadline(vnic_stack *stack);

/* What is known of a received frame. */
enum vnic_stack_rx {
    VNIC_STACK_RX_L4_GOOD = 1, /* the link below verified the TCP or UDP checksum */
    VNIC_STACK_RX_IP_GOOD = 2, /* and the IPv4 header's */
    VNIC_STACK_RX_KEPT = 4 /* the bytes stay, unchanged, until every copy from them is done: vnic_copy_hook */
};
/* One frame without FCS. The bytes are the caller's again on return, but for KEPT. Bad frames are counted and dropped. */
VNIC_API int vnic_stack_receive(vnic_stack *stack, uint32_t interface, const uint8_t *frame, uint32_t len,
                                uint32_t flags);

struct vnic_stack_packet {
    const uint8_t *data;
    uint32_t len;
    uint32_t flags;
};
/* Several at once, as one input: lookups overlap, and one ACK answers what belongs together. */
VNIC_API int vnic_stack_receive_burst(vnic_stack *stack, uint32_t interface,
                                      const struct vnic_stack_packet *packets, uint32_t count);

/* A frame to send. */
struct vnic_stack_frame {
    uint32_t len;
    uint16_t mss; /* not 0: to be cut into packets of mss payload bytes (TSO) */
    uint16_t vlan; /* tag to insert (TX_VLAN); 0: none */
    uint16_t checksum_start; /* with checksum_offset: field to complete (TX_CHECKSUM); 0: nothing to do */
    uint16_t checksum_offset; /* from checksum_start */
    uint8_t is_ipv6, is_tcp;
    uint16_t header_len; /* Ethernet to TCP header, with TSO */
};
/* Writes the next frame to out; its length, 0 when there is none, VNIC_EINVAL when capacity is below mtu + 18. */
VNIC_API int vnic_stack_transmit(vnic_stack *stack, uint32_t interface, uint8_t *out, uint32_t capacity,
                                 struct vnic_stack_frame *frame);

/* -- sockets ------------------------------------------------------------------------------------------------ */

/* Above 0; not used again before 2^31 others were. */
typedef int64_t vnic_socket;

enum vnic_socket_event {
    VNIC_EVENT_CONNECTED = 1,
    VNIC_EVENT_ACCEPT = 2, /* a listener has a connection to accept */
    VNIC_EVENT_READABLE = 4, /* bytes or a datagram arrived */
    VNIC_EVENT_WRITABLE = 8, /* room again after VNIC_STACK_EAGAIN or a short send */
    VNIC_EVENT_FIN = 16, /* the peer will send no more */
    VNIC_EVENT_SENT = 32, /* bytes sent by reference are acknowledged: see vnic_stack_completions() */
    VNIC_EVENT_RECEIVED = 64, /* a posted buffer completed: likewise */
    VNIC_EVENT_URGENT = 128,
    VNIC_EVENT_CLOSED = 256, /* over: `result` says how; the handle lives until vnic_stack_close() */
    VNIC_EVENT_SOFT_ERROR = 512 /* ICMP unreachable, or R1: the connection goes on trying */
};
struct vnic_stack_event {
    vnic_socket socket;
    uint32_t events; /* enum vnic_socket_event, all since the last one fetched */
    int32_t result; /* with CLOSED: VNIC_OK after an orderly close, else why */
};
/* Fetches up to count events; a socket has at most one that waits. */
VNIC_API int vnic_stack_events(vnic_stack *stack, struct vnic_stack_event *events, uint32_t count);
/* Fetches a TCP socket's state into the processor's cache: for a user of very many, some calls ahead. Any handle. */
VNIC_API void vnic_stack_prefetch(vnic_stack *stack, vnic_socket socket);

struct vnic_endpoint {
    struct vnic_address address; /* all zeros: any */
    uint16_t port; /* 0: any */
    uint8_t reserved[2];
};

struct vnic_bytes {
    const void *data;
    uint64_t len;
};

VNIC_API vnic_socket vnic_tcp_listen(vnic_stack *stack, const struct vnic_endpoint *local, uint32_t backlog);
VNIC_API vnic_socket vnic_tcp_accept(vnic_stack *stack, vnic_socket listener);
/* local may be NULL or partly zero: the source address follows from the route, the port is chosen. */
VNIC_API vnic_socket vnic_tcp_connect(vnic_stack *stack, const struct vnic_endpoint *local,
                                      const struct vnic_endpoint *remote);

enum vnic_send_flag {
    VNIC_SEND_PUSH = 1, /* without it PSH is set when the queue ends */
    VNIC_SEND_URGENT = 2, /* the last byte is the last urgent byte */
    VNIC_SEND_REFERENCE = 4, /* the bytes stay the caller's and unchanged until their completion */
    VNIC_SEND_MORE = 8 /* more follows at once: hold back a short segment */
};
/* Bytes taken, fewer than given when the send buffer fills up. By reference all or EAGAIN, completed with cookie. */
VNIC_API int64_t vnic_tcp_send(vnic_stack *stack, vnic_socket socket, const struct vnic_bytes *pieces,
                               uint32_t count, uint32_t flags, uint64_t cookie);
/* Copies in-order bytes; 0: the peer's FIN, EAGAIN: none yet. */
VNIC_API int64_t vnic_tcp_receive(vnic_stack *stack, vnic_socket socket, void *out, uint64_t len);
/* Looks at in-order bytes in place: pieces filled in; valid until the next call for this socket. */
VNIC_API int vnic_tcp_peek(vnic_stack *stack, vnic_socket socket, struct vnic_bytes *pieces, uint32_t count);
/* Gives up bytes that peek showed. */
VNIC_API int vnic_tcp_consume(vnic_stack *stack, vnic_socket socket, uint64_t len);
/*
 * Posts a buffer that in-order data goes straight into; it completes when full, on a push, on FIN or on close. Bytes
 * that wait already are copied in first. Until the completion the buffer is the stack's.
 */
VNIC_API int vnic_tcp_post(vnic_stack *stack, vnic_socket socket, void *out, uint64_t len, uint64_t cookie);
VNIC_API int vnic_tcp_shutdown(vnic_stack *stack, vnic_socket socket); /* sends FIN after what is queued */
VNIC_API int vnic_tcp_abort(vnic_stack *stack, vnic_socket socket); /* RST; the handle is gone */
/* Any socket. TCP: both directions are given up, the handle is gone, what is queued is still sent. */
VNIC_API int vnic_stack_close(vnic_stack *stack, vnic_socket socket);

struct vnic_completion {
    uint64_t cookie;
    uint64_t len; /* bytes acknowledged or received */
    int32_t result; /* VNIC_OK, or why the rest was given back */
    uint32_t is_send;
};
VNIC_API int vnic_stack_completions(vnic_stack *stack, vnic_socket socket, struct vnic_completion *out,
                                    uint32_t count);

enum vnic_socket_option {
    VNIC_OPTION_NODELAY = 0,
    VNIC_OPTION_KEEPALIVE = 1, /* on or off */
    VNIC_OPTION_KEEP_TIME_MS = 2, /* at least 10 s; 2 h */
    VNIC_OPTION_KEEP_INTERVAL_MS = 3,
    VNIC_OPTION_KEEP_LIMIT = 4,
    VNIC_OPTION_USER_TIMEOUT_MS = 5,
    VNIC_OPTION_SEND_BUFFER = 6,
    VNIC_OPTION_RECEIVE_BUFFER = 7,
    VNIC_OPTION_CONGESTION = 8, /* before connect data flows: enum tcp_congestion */
    VNIC_OPTION_TTL = 9,
    VNIC_OPTION_TOS = 10
};
/* On a listener: for the connections that it accepts from now on. */
VNIC_API int vnic_stack_set_option(vnic_stack *stack, vnic_socket socket, uint32_t option, uint32_t value);

struct vnic_tcp_info {
    struct vnic_endpoint local, remote;
    uint32_t state; /* enum tcp_state of tcp/connection.h; 255: a listener */
    uint32_t interface;
    uint32_t srtt_us, rttvar_us, rto_us, min_rtt_us;
    uint32_t cwnd, ssthresh, flight, snd_wnd, rcv_wnd, mss;
    uint32_t send_queued, receive_queued; /* bytes held for the socket */
    uint32_t phase, backlog_waiting;
    uint64_t sent_bytes, received_bytes; /* acknowledged by the peer; given to the user */
    uint64_t retransmits, retransmitted_bytes;
};
VNIC_API int vnic_tcp_get_info(vnic_stack *stack, vnic_socket socket, struct vnic_tcp_info *out);

VNIC_API vnic_socket vnic_udp_bind(vnic_stack *stack, const struct vnic_endpoint *local);
VNIC_API int64_t vnic_udp_send(vnic_stack *stack, vnic_socket socket, const struct vnic_endpoint *remote,
                               const void *data, uint32_t len);
/* The next datagram: its whole length, of which at most len bytes are copied. */
VNIC_API int64_t vnic_udp_receive(vnic_stack *stack, vnic_socket socket, struct vnic_endpoint *remote,
                                  void *out, uint32_t len);

/* Echo requests; answers come as datagrams whose data starts at the ICMP type. */
VNIC_API vnic_socket vnic_icmp_open(vnic_stack *stack, int is_ipv6);

/* -- the copy of received data ------------------------------------------------------------------------------ */

enum vnic_hook_answer {
    VNIC_HOOK_DONE = 0,
    VNIC_HOOK_LATER = 1, /* vnic_stack_copied() is called with the ticket, after the hook has returned */
    VNIC_HOOK_DECLINED = 2 /* the processor copies */
};
/*
 * Copies received bytes to the application's buffer; an enum vnic_hook_answer. Both places stay untouched until the copy
 * is done, and vnic_tcp_post() buffers complete only after it. Without a hook the processor copies. vnic_tcp_receive()
 * always copies at once. The bytes lie in memory of the stack; those of a frame of VNIC_STACK_RX_KEPT that came in order,
 * with VNIC_STACK_RX_L4_GOOD, for a posted buffer: in the frame, and nobody has touched them.
 */
typedef int (*vnic_copy_hook)(void *opaque, void *to, const void *from, uint64_t len, uint64_t ticket);
VNIC_API void vnic_stack_set_copy_hook(vnic_stack *stack, vnic_copy_hook hook, void *opaque);
VNIC_API int vnic_stack_copied(vnic_stack *stack, uint64_t ticket);

/* -- counters ----------------------------------------------------------------------------------------------- */

struct vnic_stack_statistics {
    uint64_t frames_in, frames_out, bytes_in, bytes_out;
    uint64_t bad_frame, bad_ip, bad_l4_checksum, not_for_us, no_protocol, no_port, no_route;
    uint64_t fragments_in, reassembled, fragments_timed_out, fragments_overlap, fragments_no_room;
    uint64_t arp_in, arp_out, nd_in, nd_out, nd_bad, neighbours_failed, neighbours_evicted, address_conflicts;
    uint64_t icmp_in, icmp_out, icmp_limited, icmp_bad;
    uint64_t udp_in, udp_out, udp_dropped;
    uint64_t syn_dropped, cookies_sent, cookies_good, cookies_bad, backlog_full, time_wait_reused;
    uint64_t outbox_full, buffers_full;
    uint64_t connections, connections_peak; /* now, and most at once */
    uint64_t tcp_segments_in, tcp_segments_out, tcp_retransmits, tcp_retransmitted_bytes, tcp_timeouts;
    uint64_t tcp_resets_in, tcp_resets_out, tcp_out_of_order, tcp_duplicates, tcp_spurious;
    uint64_t copied_bytes,
        hooked_bytes; /* payload that the processor copied, once for each time; that the hook took */
};
VNIC_API void vnic_stack_get_statistics(vnic_stack *stack, struct vnic_stack_statistics *out);

/* cdef end */

#ifdef __cplusplus
}
#endif

#endif
