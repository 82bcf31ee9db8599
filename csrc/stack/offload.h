/* Connections that are away at an offload target: what of them stays here, and the news for who moves them. */
#ifndef VNIC_STACK_OFFLOAD_H
#define VNIC_STACK_OFFLOAD_H

#include "stack/chain.h"
#include "stack/socket.h"
#include "vnic/vnic_stack_offload.h"

/*
 * While it is away a connection is frozen in the engine (TCP_FROZEN) at its place. Its numbers stand for what the
 * target has reported: snd_una, snd_end, rcv_nxt, rcv_unread, state and FIN flags are kept up here, so that the queues, the
 * user's calls and vnic_tcp_get_info() go on as ever; all else is as it was when it left.
 */

/* socket.offload; 0: nothing of this file concerns the socket */
enum offload_bit {
    OFFLOAD_WHERE = 3, /* mask: enum vnic_offload_where */
    OFFLOAD_PIECES = 4 /* it has memory of the target's, or such has to be fetched */
};

enum away_flag {
    AWAY_IN_NEWS = 1, /* stands in the ring of news; the slot's, as SOCKET_IN_EVENTS */
    AWAY_STARVED = 2, /* stands in the ring of those that were refused blocks; likewise */
    AWAY_IN_RINGS = AWAY_IN_NEWS | AWAY_STARVED,
    AWAY_HAS_FIN = 4, /* the peer's FIN was here before: it follows the bytes that are owed */
    AWAY_HAD_SHUTDOWN = 8, /* our FIN was queued before */
    AWAY_CLOSED = 16, /* the user closed it meanwhile */
    AWAY_ABORTED = 32, /* and nobody is to hear the rest */
    AWAY_URGENT = 64, /* the user sent urgent data meanwhile */
    AWAY_OPTIONS = 128 /* or changed an option before it had left */
};

/* Of a connection; place tcp_index(). */
struct away {
    uint32_t flags; /* enum away_flag */
    uint32_t news; /* enum vnic_offload_event */
    uint32_t begun_end; /* snd_end when it left */
    uint32_t owed; /* bytes that went along as BufferedData and were not delivered yet ... */
    uint32_t skip; /* ... the first of which the user had taken already */
    uint32_t urgent, urgent_end; /* what must not leave without an urgent pointer, and that */
    uint32_t next, prev; /* ring of those that are away */
    uint32_t path; /* struct offload_path */
    uint32_t held_first, held_last, held_count, held_bytes;
    uint32_t pieces, returned; /* circular lists of struct piece, by their last: to be read, to be fetched */
    uint32_t told_neighbour, told_mtu; /* the route as its client knows it */
    uint8_t told_mac[6];
    uint8_t told_interface, told_reachable;
};

/* Received bytes that lie in memory of the target's. */
struct piece {
    uint32_t next;
    uint32_t seq;
    const uint8_t *data;
    uint64_t cookie;
    uint32_t len;
    uint32_t reserved;
};

/* A segment that waits, from the TCP header on. */
struct held {
    uint32_t next; /* first: the pool's link as well */
    struct chain chain;
    uint8_t ecn;
};

/* Connections between the same two addresses share what is known of the way. */
struct offload_path {
    uint32_t next; /* of its bucket; the pool's link */
    uint32_t uses;
    uint32_t name; /* never used again */
    uint32_t mtu; /* 0: not lowered */
    struct vnic_address local, remote;
};

struct offload {
    struct away *away;
    struct piece *pieces;
    struct pool piece_pool;
    struct held *held;
    struct pool held_pool;
    struct chains chains; /* bytes of held segments */
    struct offload_path *paths;
    struct pool path_pool;
    uint32_t *path_buckets;
    uint32_t path_mask, path_names;
    uint32_t first, count; /* ring of those that are away */
    uint32_t walk, walk_left; /* the next one whose route is looked at again, and how many */
    uint32_t generation; /* of the routes when they were looked at */
    struct index_ring news, starved;
    uint8_t *bytes; /* a frame or a segment, while it is moved */
};

struct vnic_stack;

int offload_create(struct vnic_stack *s);
void offload_destroy(struct vnic_stack *s);

static inline bool offload_is(const struct socket *socket, enum vnic_offload_where where)
{
    return (socket->offload & OFFLOAD_WHERE) == where;
}

/* The engine has no say in it now. */
static inline bool offload_is_away(const struct socket *socket)
{
    return (socket->offload & OFFLOAD_WHERE) != 0;
}

/* Bytes not read yet are on their way to the target: nobody reads them. */
static inline bool offload_is_leaving(const struct socket *socket)
{
    return offload_is(socket, VNIC_OFFLOAD_OFFLOADING);
}

static inline void offload_set(struct socket *socket, enum vnic_offload_where where)
{
    socket->offload = (uint8_t)((socket->offload & OFFLOAD_PIECES) | where);
}

/* Of a socket. */
struct away *offload_away(const struct vnic_stack *s, const struct socket *socket);
/* The socket that a client means, also one that its user has closed; NULL: none. */
struct socket *offload_socket(struct vnic_stack *s, vnic_socket handle);
/* The same where the target may report something: Offloaded or Uploading. */
struct socket *offload_socket_of_target(struct vnic_stack *s, vnic_socket handle, int *result);

/* *state as of now, for a target: values that follow from the interface are filled in. */
int offload_project(struct vnic_stack *s, const struct socket *socket, uint32_t ticks_per_second,
                    struct tcp_offload_state *state);

/* News, when there is a client that they concern. */
void offload_raise(struct vnic_stack *s, struct socket *socket, uint32_t events);
/* No block was left for bytes of the target: its client hears when there are some. */
void offload_starve(struct vnic_stack *s, struct socket *socket);
/* The slot may be given back: nothing of it is at a target, and nothing of a target here. */
bool offload_may_settle(struct vnic_stack *s, struct socket *socket);

/* -- routes (offload_route.c) ------------------------------------------------------------------------------- */

/* Joins those that are away; false: no room. */
bool offload_route_join(struct vnic_stack *s, struct socket *socket, const struct tcp_connection *c);
void offload_route_leave(struct vnic_stack *s, struct socket *socket);
/* Path MTU as known for all connections on its path. */
uint32_t offload_route_mtu(const struct vnic_stack *s, const struct socket *socket,
                           const struct tcp_connection *c);
/* Raises PATH and NEIGHBOUR if the route is not what the client was told. */
void offload_route_check(struct vnic_stack *s, struct socket *socket);
/* Looks at some more routes, if there was a change. */
void offload_route_walk(struct vnic_stack *s);
/* A neighbour's address or reachability changed. */
void offload_on_neighbour(struct vnic_stack *s);
/* An ICMP error that quotes a segment of the target. */
void offload_on_icmp(struct vnic_stack *s, struct socket *socket, uint32_t kind, uint32_t seq, uint32_t mtu);

/* -- what the user does meanwhile (offload_user.c) ---------------------------------------------------------- */

void offload_send(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c, uint32_t bytes,
                  bool is_urgent);
void offload_consume(struct vnic_stack *s, struct socket *socket, uint32_t len);
void offload_close(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c);
void offload_abort(struct vnic_stack *s, struct socket *socket);
void offload_set_options(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c,
                         const struct socket_options *options);

/* Received bytes that the user has not taken, wherever they are. */
uint32_t offload_unread(const struct vnic_stack *s, const struct socket *socket,
                        const struct tcp_connection *c);

/* -- the way back (offload_back.c) -------------------------------------------------------------------------- */

/*
 * The connection is this stack's again; what the user did meanwhile takes effect, then the held segments are processed. The
 * socket may be gone afterwards. has_shutdown: the user will send no more.
 */
void offload_home(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c, bool has_shutdown);

#endif
