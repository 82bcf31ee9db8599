/* Sockets: what the user holds of each connection, beside the engine's state of it, and handles of all kinds. */
#ifndef VNIC_STACK_SOCKET_H
#define VNIC_STACK_SOCKET_H

#include "base/pool.h"
#include "stack/index_ring.h"
#include "stack/interface.h"
#include "stack/lookup.h"
#include "stack/packet.h"
#include "tcp/blocks.h"
#include "tcp/engine.h"

enum socket_kind { SOCKET_NONE, SOCKET_TCP, SOCKET_LISTENER, SOCKET_UDP, SOCKET_ICMP };

/* Purposes of secret_hash(). */
enum {
    SOCKETS_SECRET_LOOKUP = 32,
    SOCKETS_SECRET_ISN = 33,
    SOCKETS_SECRET_COOKIE = 34,
    SOCKETS_SECRET_PORT = 35,
    SOCKETS_SECRET_PATHS = 36
};

enum { SOCKETS_ICMP_MAX = 64, SOCKETS_GENERATION_MAX = 0x7fffffff };

/* socket.flags */
enum socket_flag {
    SOCKET_OPEN = 1 << 0, /* the user holds the handle */
    SOCKET_LINGERS = 1 << 1, /* the user closed it and gets only completions: buffers of his are still out */
    SOCKET_LISTED = 1 << 2, /* in the lookup table */
    SOCKET_EMBRYONIC = 1 << 3, /* of a listener, in its handshake */
    SOCKET_READY = 1 << 4, /* of a listener, to be accepted */
    SOCKET_WANTS_ROOM = 1 << 5, /* a send was refused or cut short */
    SOCKET_PARKED = 1 << 6, /* waits for its neighbour */
    SOCKET_PUSHED = 1 << 7, /* the posted buffer in use completes with what arrived */
    SOCKET_HOLDS = 1 << 8, /* a short segment is held back: VNIC_SEND_MORE */
    SOCKET_COPIES = 1 << 9, /* copies of received data are under way */
    SOCKET_OVER = 1 << 10, /* VNIC_EVENT_CLOSED was raised */
    /* these outlive the socket, and are the slot's: it stands in a ring */
    SOCKET_IN_EVENTS = 1 << 11,
    SOCKET_IN_OUTPUT = 1 << 12,
    SOCKET_IN_STARVED = 1 << 13,
    SOCKET_IN_HELD = 1 << 14,
    SOCKET_IN_RINGS = SOCKET_IN_EVENTS | SOCKET_IN_OUTPUT | SOCKET_IN_STARVED | SOCKET_IN_HELD
};

/* What segments touch; place tcp_index() in sockets.list. A cache line. */
struct socket {
    uint32_t generation;
    uint16_t flags; /* enum socket_flag */
    uint16_t events; /* enum vnic_socket_event, not fetched yet */
    struct path path;
    struct block_chain send, receive;
    union {
        /* Lists of struct buffer, circular, by their last: sent by reference, and to receive into. */
        struct {
            uint32_t references, posts;
        };
        /* EMBRYONIC and READY: the listener's list. */
        struct {
            uint32_t next, prev;
        };
    };
    uint32_t completed; /* list of struct buffer: to be fetched */
    uint32_t send_buffer;
    uint16_t listener;
    int8_t result; /* enum vnic_stack_result: how it ended */
    uint8_t offload; /* enum offload_bit */
};
_Static_assert(sizeof(struct socket) == 64, "a socket is a cache line");

/* The rest of a socket: rarely touched. */
struct socket_rest {
    uint64_t sent_bytes, received_bytes; /* before the marks */
    uint32_t sent_mark, received_mark;
    uint64_t retransmits, retransmitted_bytes;
    uint32_t parked_next, parked_prev; /* 0: ends; who waits for the same neighbour */
    uint32_t copies; /* list of struct copy, circular, by its last */
    uint32_t copying; /* bytes at the front of the receive queue that are being copied */
    uint32_t held; /* bytes behind the engine's snd_end */
    uint32_t reference_at; /* the reference read last, or 0 */
    uint64_t held_until_ns;
};

/* Memory of the user's: sent by reference, or posted to receive into. */
struct buffer {
    uint32_t next;
    uint32_t seq; /* reference: of its first byte */
    uint8_t *data;
    uint64_t len;
    uint64_t done; /* reference: acknowledged bytes of pieces before it; post: received */
    uint64_t cookie;
    uint32_t copying; /* post: bytes on their way */
    int8_t result;
    uint8_t is_send;
    union {
        uint8_t is_last; /* reference: of its send call, which completes with it */
        uint8_t is_claimed; /* post: an offload target fills it */
    };
    uint8_t is_ended; /* post: takes no more */
};

/* A copy of received data that the hook has taken on. */
struct copy {
    uint32_t next;
    uint32_t index; /* socket */
    uint32_t generation; /* of the ticket */
    uint32_t len;
    uint32_t post; /* struct buffer */
    uint8_t is_done;
    uint8_t reserved[3];
};

/* Options of a socket, as a listener hands them on. */
struct socket_options {
    uint32_t flags; /* TCP_NODELAY, TCP_KEEPALIVE */
    uint32_t keep_time_ms, keep_interval_ms, user_timeout_ms;
    uint32_t send_buffer, receive_buffer;
    uint8_t keep_limit, congestion, ttl, tos;
};

struct listener {
    uint32_t next_of_port;
    uint32_t other; /* its handle's place */
    struct vnic_address address;
    uint16_t port;
    uint8_t is_any;
    uint8_t zone; /* as in struct tuple */
    uint32_t backlog;
    uint32_t embryonic, ready; /* counts ... */
    uint32_t embryonic_first;
    uint32_t ready_first, ready_last;
    struct socket_options options;
};

/* A handle that is not a connection's. */
struct other {
    uint32_t generation; /* first: the pool's link; written anew when opened */
    uint32_t index;
    uint16_t events;
    uint8_t kind; /* enum socket_kind; SOCKET_NONE: free */
    uint8_t is_in_events;
};

enum { LISTENER_HEADS = 256 };

struct sockets {
    struct socket *list; /* aligned; [0] is never used */
    struct socket_rest *rest;
    struct lookup lookup;
    struct listener *listeners;
    struct pool listener_pool;
    uint32_t listener_heads[LISTENER_HEADS]; /* by port */
    struct other *others;
    struct pool other_pool;
    uint32_t other_count;
    struct block_pool send_blocks, receive_blocks; /* half of buffer_bytes each: neither starves the other */
    bool is_send_lent; /* the caller's memory: vnic_stack_create_in() */
    struct buffer *buffers;
    struct pool buffer_pool;
    struct copy *copies;
    struct pool copy_pool;
    struct index_ring events; /* connections, and behind them `others` */
    struct index_ring output[INTERFACES_MAX];
    struct index_ring starved; /* refused a send for want of blocks */
    struct index_ring held; /* VNIC_SEND_MORE, in the order of their time */
    uint32_t *parked; /* first of each neighbour's list */
    uint32_t generation; /* of the last handle */
    uint32_t ports; /* ephemeral ports given out: RFC 6056 3.3.3 */
    uint64_t cookie_ns; /* when a cookie was sent last, + 1; 0: never */
    uint32_t tickets; /* generation of the last copy */
    vnic_copy_hook hook;
    void *hook_opaque;
};

struct vnic_stack;

static inline uint32_t socket_index(const struct sockets *sockets, const struct socket *socket)
{
    return (uint32_t)(socket - sockets->list);
}

static inline bool socket_has(const struct socket *socket, uint32_t flags)
{
    return (socket->flags & flags) != 0;
}

static inline void socket_set(struct socket *socket, uint32_t flags)
{
    socket->flags = (uint16_t)(socket->flags | flags);
}

static inline void socket_clear(struct socket *socket, uint32_t flags)
{
    socket->flags = (uint16_t)(socket->flags & ~flags);
}

static inline struct socket_rest *socket_rest(const struct sockets *sockets, const struct socket *socket)
{
    return &sockets->rest[socket_index(sockets, socket)];
}

/* The user does not hold it yet. */
static inline bool socket_is_waiting(const struct socket *socket)
{
    return socket_has(socket, SOCKET_EMBRYONIC | SOCKET_READY);
}

/* The handle that the slot has now. */
vnic_socket socket_handle(const struct vnic_stack *s, const struct socket *socket);
/* The socket of a connection that the user holds, or NULL. */
struct socket *socket_of(struct vnic_stack *s, vnic_socket handle);
/* The same, or one that lingers. */
struct socket *socket_of_lingering(struct vnic_stack *s, vnic_socket handle);
/* A listener, or NULL. */
struct listener *socket_listener_of(struct vnic_stack *s, vnic_socket handle);

/* The socket of a new connection: listed, on this path, which becomes the socket's. */
struct socket *socket_start(struct vnic_stack *s, struct tcp_connection *c, const struct path *path,
                            const struct socket_options *options);
/* Takes the connection out of the lookup table and off its path: no segment reaches or leaves it any more. */
void socket_unlist(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c);
/* Gives the slot back once the connection is CLOSED and nobody needs the socket any more. */
void socket_settle(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c);
/* There is something to send, or may be. */
void socket_schedule(struct vnic_stack *s, struct socket *socket);

/* What is needed of a connection to start another as it. */
void socket_default_options(const struct vnic_stack *s, struct socket_options *options);
/* Fills in what follows from options, configuration and tuple; iss and ts_offset too. */
void socket_open_from(struct vnic_stack *s, const struct socket_options *options, const struct tuple *tuple,
                      const struct path *path, struct tcp_open *open);

#endif
