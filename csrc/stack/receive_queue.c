/* The receive queue: where payload goes, and how the user gets it. */
#include "stack/receive_queue.h"

#include "base/bits.h"
#include "base/check.h"
#include "stack/event.h"
#include "stack/outcome.h"
#include "stack/piece.h"
#include "stack/post.h"
#include "stack/state.h"
#include "wire/seq.h"

enum { RECEIVE_FOLD_BITS = 30 };

/* Blocks above which out-of-order data is taken, and above which a socket gets more than its first. */
static uint32_t receive_water(const struct block_pool *p, bool is_in_order)
{
    return p->pool.capacity / (is_in_order ? 16 : 4);
}

static bool receive_room_in_post(struct vnic_stack *s, const struct socket *socket, struct receive_room *room)
{
    const uint32_t index = post_open(&s->sockets, socket);
    const struct buffer *post = &s->sockets.buffers[index];

    if (index == 0 || s->sockets.hook != NULL || socket_has(socket, SOCKET_COPIES)) {
        return false;
    }
    *room = (struct receive_room){post->data + post->done,
                                  (uint32_t)bits_min64(post->len - post->done, UINT32_MAX), RECEIVE_IN_POST};
    return true;
}

bool receive_queue_has_room(const struct vnic_stack *s, const struct receive_room *room, uint32_t len)
{
    const struct block_pool *p = &s->sockets.receive_blocks;

    if (room->len >= len) {
        return true;
    }
    return room->place == RECEIVE_IN_BLOCKS
           && blocks_left(p) >= receive_water(p, false) + len / BLOCK_BYTES + 2;
}

bool receive_queue_room(struct vnic_stack *s, struct socket *socket, const struct tcp_connection *c,
                        uint32_t len, struct receive_room *room)
{
    *room = (struct receive_room){.place = RECEIVE_IN_BLOCKS};
    if (!socket_is_waiting(socket) && socket->posts != 0 && !receive_room_in_post(s, socket, room)) {
        return false;
    }
    if (!receive_queue_has_room(s, room, len)) {
        return false;
    }
    if (room->place == RECEIVE_IN_BLOCKS) {
        room->to = blocks_place(&s->sockets.receive_blocks, &socket->receive, c->rcv_nxt, &room->len);
    }
    return true;
}

/* Payload that lies across blocks. */
static uint64_t receive_copy_across(struct vnic_stack *s, struct socket *socket,
                                    const struct tcp_connection *c, struct receive_room *room,
                                    uint32_t offset, const uint8_t *bytes, uint32_t len)
{
    uint64_t sum = 0;

    for (uint32_t done = 0; done < len;) {
        uint32_t some;

        if (room->len == 0) {
            room->to = blocks_place(&s->sockets.receive_blocks, &socket->receive, c->rcv_nxt + offset + done,
                                    &room->len);
        }
        some = bits_min32(room->len, len - done);
        sum = csum_join(sum, s->csum->copy(room->to, bytes + done, some, 0), done);
        room->to += some;
        room->len -= some;
        done += some;
    }
    return sum;
}

uint64_t receive_queue_copy(struct vnic_stack *s, struct socket *socket, const struct tcp_connection *c,
                            struct receive_room *room, uint32_t offset, const uint8_t *bytes, uint32_t len)
{
    uint64_t sum;

    s->statistics.copied_bytes += len;
    if (room->len < len) {
        return receive_copy_across(s, socket, c, room, offset, bytes, len);
    }
    sum = s->csum->copy(room->to, bytes, len, 0);
    room->to += len;
    room->len -= len;
    return sum;
}

bool receive_queue_may_take(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c,
                            uint32_t seq, uint32_t len)
{
    struct block_pool *p = &s->sockets.receive_blocks;
    const bool is_in_order = seq_le(seq, c->rcv_nxt);
    const uint32_t water = receive_water(p, is_in_order);
    uint32_t missing;

    if (blocks_left(p) >= receive_water(p, false) + len / BLOCK_BYTES + 2) {
        return true;
    }
    missing = blocks_missing(p, &socket->receive, seq, len);
    if (missing == 0 || blocks_left(p) >= water + missing) {
        return true;
    }
    if (is_in_order && c->ranges != 0) {
        tcp_drop_ranges(s->tcp, c);
        receive_queue_drop_ranges(s, socket, c);
        missing = blocks_missing(p, &socket->receive, seq, len);
    }
    if (is_in_order
        && (blocks_left(p) >= water + missing || (socket->receive.head == 0 && blocks_left(p) >= missing))) {
        return true;
    }
    s->statistics.buffers_full++;
    return false;
}

const uint8_t *receive_queue_at(struct vnic_stack *s, struct socket *socket, uint32_t seq, uint32_t *len)
{
    return (socket->offload & OFFLOAD_PIECES) == 0
               ? blocks_find(&s->sockets.receive_blocks, &socket->receive, seq, len)
               : piece_find(s, socket, seq, len);
}

static void receive_read_pieces(struct vnic_stack *s, struct socket *socket, uint32_t seq, uint8_t *out,
                                uint32_t len)
{
    while (len != 0) {
        uint32_t some;
        const uint8_t *from = piece_find(s, socket, seq, &some);

        vnic_assert(from != NULL); /* what counts as received is somewhere */
        some = bits_min32(some, len);
        memcpy(out, from, some);
        out += some;
        seq += some;
        len -= some;
    }
}

void receive_queue_read(struct vnic_stack *s, struct socket *socket, uint32_t seq, void *out, uint32_t len)
{
    s->statistics.copied_bytes += len;
    if ((socket->offload & OFFLOAD_PIECES) == 0) {
        blocks_read(&s->sockets.receive_blocks, &socket->receive, seq, out, len);
    } else {
        receive_read_pieces(s, socket, seq, out, len);
    }
}

void receive_queue_store(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c, uint32_t seq,
                         const uint8_t *bytes, uint32_t len)
{
    s->statistics.copied_bytes += len;
    if (blocks_write(&s->sockets.receive_blocks, &socket->receive, seq, bytes, len) < len) {
        tcp_drop_ranges(s->tcp, c);
        receive_queue_drop_ranges(s, socket, c);
        s->statistics.buffers_full++;
    }
}

void receive_queue_deliver(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c,
                           uint32_t delivered, enum receive_place place, bool is_pushed)
{
    if (place == RECEIVE_IN_POST) {
        s->sockets.buffers[post_open(&s->sockets, socket)].done += delivered;
        receive_queue_consume(s, socket, c, delivered);
    }
    socket_set(socket, is_pushed ? SOCKET_PUSHED : 0); /* also for who posts later */
    if (!socket_is_waiting(socket) && socket->posts != 0) {
        post_fill(s, socket, c);
    }
    if (c->rcv_unread != 0) {
        event_raise(s, socket, VNIC_EVENT_READABLE);
    }
}

void receive_queue_drop_ranges(struct vnic_stack *s, struct socket *socket, const struct tcp_connection *c)
{
    blocks_release_from(&s->sockets.receive_blocks, &socket->receive, c->rcv_nxt);
    receive_queue_trim(s, socket, c);
}

void receive_queue_trim(struct vnic_stack *s, struct socket *socket, const struct tcp_connection *c)
{
    const uint32_t copying =
        socket_has(socket, SOCKET_COPIES) ? socket_rest(&s->sockets, socket)->copying : 0;

    if (c->rcv_unread == 0 && c->ranges == 0 && copying == 0) {
        blocks_release_all(&s->sockets.receive_blocks, &socket->receive);
    } else {
        blocks_release_before(&s->sockets.receive_blocks, &socket->receive, receive_queue_front(c) - copying);
    }
    if ((socket->offload & OFFLOAD_PIECES) != 0) {
        piece_trim(s, socket, receive_queue_front(c) - copying);
    }
}

static void receive_count(struct vnic_stack *s, struct socket *socket, uint32_t before, uint32_t after)
{
    if ((before ^ after) >> RECEIVE_FOLD_BITS != 0) {
        struct socket_rest *rest = socket_rest(&s->sockets, socket);

        rest->received_bytes += after - rest->received_mark;
        rest->received_mark = after;
    }
}

void receive_queue_consume(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c,
                           uint32_t len)
{
    const uint32_t before = receive_queue_front(c);
    struct tcp_result result = {.events = 0};

    if (c->state == TCP_STATE_CLOSED) {
        c->rcv_unread -= len;
    } else {
        tcp_consume(s->tcp, c, s->now_ns, len, &result);
    }
    receive_count(s, socket, before, before + len);
    receive_queue_trim(s, socket, c);
    if ((result.events & TCP_EVENT_OUTPUT) != 0) {
        socket_schedule(s, socket);
    }
    if (socket->offload != 0) {
        offload_raise(s, socket, VNIC_OFFLOAD_CONSUMED);
    }
}
