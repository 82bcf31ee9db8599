/* The receive queue of a connection: blocks by sequence number, and buffers that the user posted. */
#ifndef VNIC_STACK_RECEIVE_QUEUE_H
#define VNIC_STACK_RECEIVE_QUEUE_H

#include "stack/socket.h"

/* Where predicted payload was put before the engine saw its segment; RECEIVE_KEPT: it stays in its frames. */
enum receive_place { RECEIVE_NOT_PLACED, RECEIVE_IN_BLOCKS, RECEIVE_IN_POST, RECEIVE_KEPT };

/* First in-order byte that the user has not taken. */
static inline uint32_t receive_queue_front(const struct tcp_connection *c)
{
    return c->rcv_nxt - c->rcv_unread - ((c->flags & TCP_FIN_RECEIVED) != 0 ? 1 : 0);
}

/* Where predicted payload goes next. */
struct receive_room {
    uint8_t *to;
    uint32_t len;
    enum receive_place place;
};

/*
 * Where len bytes of payload at RCV.NXT belong: the buffer posted next when they fit, else blocks. What is put there is
 * not valid until the engine took the segment. False: no room.
 */
bool receive_queue_room(struct vnic_stack *s, struct socket *socket, const struct tcp_connection *c,
                        uint32_t len, struct receive_room *room);
/* Whether len more bytes go there. */
bool receive_queue_has_room(const struct vnic_stack *s, const struct receive_room *room, uint32_t len);

/* Copies bytes there that lie offset bytes behind RCV.NXT, moves on, and returns their sum. */
uint64_t receive_queue_copy(struct vnic_stack *s, struct socket *socket, const struct tcp_connection *c,
                            struct receive_room *room, uint32_t offset, const uint8_t *bytes, uint32_t len);

/* Whether payload at seq can be stored; gives up what came out of order for what is in order. */
bool receive_queue_may_take(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c,
                            uint32_t seq, uint32_t len);

/* Reads len bytes from seq on, which are there. */
void receive_queue_read(struct vnic_stack *s, struct socket *socket, uint32_t seq, void *out, uint32_t len);

/* Where byte seq is, and how many lie there together. */
const uint8_t *receive_queue_at(struct vnic_stack *s, struct socket *socket, uint32_t seq, uint32_t *len);

/* Stores payload that the engine took; out-of-order payload that finds no room is forgotten again. */
void receive_queue_store(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c, uint32_t seq,
                         const uint8_t *bytes, uint32_t len);

/* More bytes are in order: to posted buffers, or READABLE. */
void receive_queue_deliver(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c,
                           uint32_t delivered, enum receive_place place, bool is_pushed);

/* What came out of order is void. */
void receive_queue_drop_ranges(struct vnic_stack *s, struct socket *socket, const struct tcp_connection *c);

/* Gives back blocks in which no byte is of use any more. */
void receive_queue_trim(struct vnic_stack *s, struct socket *socket, const struct tcp_connection *c);

/* The user took bytes from the front. */
void receive_queue_consume(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c,
                           uint32_t len);

#endif
