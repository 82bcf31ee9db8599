/* vnic_stack_offload.h: connections of a stack that move to an offload target (TCP chimney) and back. */
#ifndef VNIC_VNIC_STACK_OFFLOAD_H
#define VNIC_VNIC_STACK_OFFLOAD_H

#include "vnic/vnic_stack.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The user of a socket notices nothing: the same calls, events and bytes. Who moves its connection is the driver of
 * the target (the "client"), by the calls below. A socket is InHost; vnic_tcp_offload_begin() makes it Offloading,
 * vnic_tcp_offload_end() Offloaded (or InHost again); vnic_tcp_upload_begin() Uploading, vnic_tcp_upload_end() InHost.
 * Whatever the user does meanwhile is kept, and told to the client while Offloaded.
 */

/* cdef begin */

struct tcp_offload_state; /* tcp/offload_state.h */

enum vnic_offload_where {
    VNIC_OFFLOAD_IN_HOST = 0,
    VNIC_OFFLOAD_OFFLOADING = 1,
    VNIC_OFFLOAD_OFFLOADED = 2,
    VNIC_OFFLOAD_UPLOADING = 3
};
VNIC_API int vnic_tcp_offload_where(vnic_stack *stack, vnic_socket socket);

/*
 * Takes a connection out of the stack: an ACK that is owed leaves first, the state is frozen and written to *state.
 * VNIC_STACK_EAGAIN: not now (handshake, neighbour not resolved, urgent data); VNIC_EINVAL: never (ECN, state).
 * Segments that arrive from now on are held, for vnic_tcp_offload_forward() or, at failure, for the stack itself. The
 * user reads nothing until the end: bytes not read yet go along (vnic_tcp_offload_buffered()).
 */
VNIC_API int vnic_tcp_offload_begin(vnic_stack *stack, vnic_socket socket, uint32_t ticks_per_second,
                                    struct tcp_offload_state *state);
/*
 * Pieces of the send queue from `offset` bytes behind SND.UNA on: how many were filled in. They stay where they are
 * until acknowledged, and lie in the memory of vnic_stack_create_in() when that was used.
 */
VNIC_API int vnic_tcp_offload_send_pieces(vnic_stack *stack, vnic_socket socket, uint64_t offset,
                                          struct vnic_bytes *pieces, uint32_t count);
/* Copies the received bytes that the user has not read (BufferedData); how many. out NULL: how many there are. */
VNIC_API int64_t vnic_tcp_offload_buffered(vnic_stack *stack, vnic_socket socket, void *out, uint64_t len);
/* is_offloaded 0: it goes on here. */
VNIC_API int vnic_tcp_offload_end(vnic_stack *stack, vnic_socket socket, int is_offloaded);

/* What a user did to an offloaded socket, or what else its client has to know. */
enum vnic_offload_event {
    VNIC_OFFLOAD_SEND = 1, /* bytes were appended to the send queue */
    VNIC_OFFLOAD_SHUTDOWN = 2, /* no more will be sent: a graceful disconnect behind them */
    VNIC_OFFLOAD_ABORT = 4, /* an abortive disconnect; the handle may be gone for the user */
    VNIC_OFFLOAD_CONSUMED = 8, /* the user took bytes: see vnic_tcp_offload_returns() */
    VNIC_OFFLOAD_OPTIONS = 16, /* CACHED values changed: vnic_tcp_offload_cached() */
    VNIC_OFFLOAD_FORWARD = 32, /* a segment is held: vnic_tcp_offload_forward() */
    VNIC_OFFLOAD_PATH = 64, /* the path MTU or the next hop changed: vnic_tcp_offload_route() */
    VNIC_OFFLOAD_NEIGHBOUR = 128, /* the next hop's address or reachability changed: likewise */
    VNIC_OFFLOAD_POST = 256, /* the user posted a buffer: vnic_tcp_offload_post() */
    VNIC_OFFLOAD_URGENT = 512 /* the user sent urgent data, which no target takes: to be uploaded */
};
struct vnic_offload_news {
    vnic_socket socket;
    uint32_t events; /* enum vnic_offload_event, all since the last fetch */
    uint32_t reserved;
};
/*
 * Fetches up to count; of each socket at most one that waits. Only Offloaded sockets, and CONSUMED of every socket
 * whose cookies are to be fetched. The handle is good for the calls below also when the user has closed the socket.
 */
VNIC_API int vnic_stack_offload_news(vnic_stack *stack, struct vnic_offload_news *news, uint32_t count);

/* The target: `bytes` more of the send queue are acknowledged; the user gets room, completions, VNIC_EVENT_SENT. */
VNIC_API int vnic_tcp_offload_acked(vnic_stack *stack, vnic_socket socket, uint64_t bytes);
/*
 * How many bytes of the send queue there are behind SND.UNA, and whether a FIN follows (shutdown). What the user sent
 * from urgent data on is not among them.
 */
VNIC_API int64_t vnic_tcp_offload_queued(vnic_stack *stack, vnic_socket socket, int *has_fin);
/*
 * The target delivered bytes, those of BufferedData among them: they are the user's to read next, in place; the memory
 * is the stack's until it comes back through vnic_tcp_offload_returns() with this cookie. With cookie 0 they are
 * copied at once. How many were taken: all by reference, as many as fit by copy. VNIC_STACK_EAGAIN: none, because the
 * receive buffer is full (CONSUMED will tell), or because the target holds a buffer that the user posted, which
 * they have to go into. VNIC_STACK_EPIPE: nobody will read them; news of an abort follow.
 */
VNIC_API int64_t vnic_tcp_offload_deliver(vnic_stack *stack, vnic_socket socket, const void *data,
                                          uint64_t len, uint64_t cookie);
/* Cookies of memory that the user has read to its end, or will not read: how many. Also in host, and after close. */
VNIC_API int vnic_tcp_offload_returns(vnic_stack *stack, vnic_socket socket, uint64_t *cookies,
                                      uint32_t count);
/* Copies what was delivered by reference and not read: all cookies come back. EAGAIN: no room for the copy. */
VNIC_API int vnic_tcp_offload_own(vnic_stack *stack, vnic_socket socket);
/* Bytes delivered and not read yet, and how many more the receive buffer has room for. */
VNIC_API int64_t vnic_tcp_offload_unread(vnic_stack *stack, vnic_socket socket, int64_t *room);
/*
 * The next buffer that the user posted, for the target to fill: 1, or 0 when there is none that it may have now. The
 * target gives them back in order: with `bytes` more in it, complete (full, or pushed) or not.
 */
struct vnic_offload_post {
    void *data;
    uint64_t len, done; /* done: bytes in it already */
};
VNIC_API int vnic_tcp_offload_post(vnic_stack *stack, vnic_socket socket, struct vnic_offload_post *post);
VNIC_API int vnic_tcp_offload_posted(vnic_stack *stack, vnic_socket socket, uint64_t bytes, int is_complete);
/* The target indicated the peer's FIN, or a reset; the shutdown is complete: our FIN is acknowledged. */
VNIC_API int vnic_tcp_offload_fin(vnic_stack *stack, vnic_socket socket);
VNIC_API int vnic_tcp_offload_aborted(vnic_stack *stack, vnic_socket socket);
VNIC_API int vnic_tcp_offload_shut(vnic_stack *stack, vnic_socket socket);
/* The next held segment, from the TCP header on: its length, 0: none, VNIC_EINVAL: longer than capacity. */
VNIC_API int vnic_tcp_offload_forward(vnic_stack *stack, vnic_socket socket, void *out, uint32_t capacity);
/*
 * A forwarded segment came back unprocessed (UPLOAD_IN_PROGRESS): it is held again, or, in host, processed now.
 */
VNIC_API int vnic_tcp_offload_hold(vnic_stack *stack, vnic_socket socket, const void *segment, uint32_t len);
/* The CACHED values as the user has set them now. */
VNIC_API int vnic_tcp_offload_cached(vnic_stack *stack, vnic_socket socket, uint32_t ticks_per_second,
                                     struct tcp_offload_state *state);

/*
 * Where the packets of a connection go. neighbour and path name the same object as long as they are equal, and are not
 * used again for another one.
 */
struct vnic_offload_route {
    uint32_t interface;
    uint32_t neighbour, path;
    struct vnic_address next_hop;
    struct vnic_address source, destination;
    uint8_t mac[6];
    uint8_t is_reachable; /* the next hop is resolved, and not known to be gone */
    uint8_t reserved;
    uint16_t vlan;
    uint16_t reserved2;
    uint32_t path_mtu;
    uint32_t
        host_reachability_ms; /* since the last proof, at least 1; 0: stale (answers NeighborReachabilityQuery) */
};
VNIC_API int vnic_tcp_offload_route(vnic_stack *stack, vnic_socket socket, struct vnic_offload_route *route);
/*
 * A NeighborReachabilityQuery: nic_ms since the target's last proof. Starts probing when stale. Fills in of *route what
 * is known of the neighbour. VNIC_ENOENT: there is no such one any more.
 */
VNIC_API int vnic_stack_offload_query(vnic_stack *stack, uint32_t neighbour, uint32_t nic_ms,
                                      struct vnic_offload_route *route);
/* The target had a proof nic_ms ago, as its state says: the neighbour is reachable since then. */
VNIC_API int vnic_stack_offload_confirm(vnic_stack *stack, uint32_t neighbour, uint32_t nic_ms);

/* The target is to give the connection back: segments that arrive from now on are held. */
VNIC_API int vnic_tcp_upload_begin(vnic_stack *stack, vnic_socket socket);
/*
 * The connection is here again as state->Delegated says (the rest of *state is the host's own, the backlog sizes are
 * what the host holds). buffered: len received bytes left of RcvNxt that were not delivered (BufferedData). Then what
 * the user did meanwhile takes effect, and the held segments are processed. State CLOSED: it ended at the target;
 * result says how (VNIC_OK, ECONNRESET, ETIMEDOUT, ECONNABORTED), else 0. VNIC_EINVAL: it contradicts what the target
 * reported. VNIC_STACK_EAGAIN: no room for the bytes now. In both cases nothing has changed.
 */
VNIC_API int vnic_tcp_upload_end(vnic_stack *stack, vnic_socket socket, uint32_t ticks_per_second,
                                 const struct tcp_offload_state *state, const void *buffered, uint64_t len,
                                 int result);

/*
 * As vnic_stack_create(); send queues lie in memory of the caller's, aligned to 4096, of send_bytes (64 KiB at least),
 * in place of half of buffer_bytes. It is the stack's until vnic_stack_destroy(), links between blocks included: others
 * read there what vnic_tcp_offload_send_pieces() names, and write nothing.
 */
VNIC_API vnic_stack *vnic_stack_create_in(const struct vnic_stack_config *config, void *send_memory,
                                          uint64_t send_bytes);

/* cdef end */

#ifdef __cplusplus
}
#endif

#endif
