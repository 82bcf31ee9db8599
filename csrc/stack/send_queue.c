/* The send queue: what is appended, read for segments, and given back when acknowledged. */
#include "stack/send_queue.h"

#include "base/bits.h"
#include "base/check.h"
#include "stack/buffer.h"
#include "stack/event.h"
#include "stack/state.h"
#include "wire/seq.h"

/* First byte of the queue: the SYN before it and the FIN behind it are none. */
static uint32_t send_queue_front(const struct tcp_connection *c)
{
    const bool has_syn = c->state == TCP_STATE_SYN_SENT || c->state == TCP_STATE_SYN_RECEIVED;

    return seq_min(c->snd_una + (has_syn ? 1 : 0), c->snd_end);
}

static uint32_t held_bytes(const struct sockets *sockets, const struct socket *socket)
{
    return socket_has(socket, SOCKET_HOLDS) ? socket_rest(sockets, socket)->held : 0;
}

uint32_t send_queue_len(const struct sockets *sockets, const struct socket *socket,
                        const struct tcp_connection *c)
{
    return c->snd_end - send_queue_front(c) + held_bytes(sockets, socket);
}

uint32_t send_queue_room(const struct sockets *sockets, const struct socket *socket,
                         const struct tcp_connection *c)
{
    const uint32_t queued = send_queue_len(sockets, socket, c);

    return queued < socket->send_buffer ? socket->send_buffer - queued : 0;
}

/* The last sixteenth of the pool is for sockets that hold nothing: each may always send something. */
static uint32_t send_queue_may_take(const struct vnic_stack *s, const struct socket *socket, uint32_t seq,
                                    uint32_t len)
{
    const struct block_pool *p = &s->sockets.send_blocks;
    const uint32_t reserve = p->pool.capacity / 16;
    const uint32_t left = blocks_left(p);
    const uint32_t spare = left > reserve ? left - reserve : 0;

    if (spare >= len / BLOCK_BYTES + 2 || blocks_missing(p, &socket->send, seq, len) <= spare) {
        return len;
    }
    if (socket->send.head == 0 && left != 0) {
        return bits_min32(len, spare > 1 ? spare * BLOCK_BYTES : BLOCK_BYTES);
    }
    for (len = bits_min32(len, spare * BLOCK_BYTES + BLOCK_BYTES); len != 0; len /= 2) {
        if (blocks_missing(p, &socket->send, seq, len) <= spare) {
            break;
        }
    }
    return len;
}

uint32_t send_queue_copy(struct vnic_stack *s, struct socket *socket, const struct tcp_connection *c,
                         uint32_t offset, const void *bytes, uint32_t len)
{
    const uint32_t seq = c->snd_end + held_bytes(&s->sockets, socket) + offset;
    const uint32_t allowed = send_queue_may_take(s, socket, seq, len);

    if (allowed < len && !socket_has(socket, SOCKET_IN_STARVED)) {
        socket_set(socket, SOCKET_IN_STARVED);
        index_ring_push(&s->sockets.starved, socket_index(&s->sockets, socket));
        s->statistics.buffers_full++;
    }
    s->statistics.copied_bytes += allowed;
    return blocks_write(&s->sockets.send_blocks, &socket->send, seq, bytes, allowed);
}

bool send_queue_refer(struct vnic_stack *s, struct socket *socket, const struct tcp_connection *c,
                      const struct vnic_bytes *pieces, uint32_t count, uint64_t cookie)
{
    struct sockets *sockets = &s->sockets;
    uint32_t seq = c->snd_end + held_bytes(sockets, socket), index = 0;

    if (pool_left(&sockets->buffer_pool) < count) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (pieces[i].len == 0) {
            continue;
        }
        index = pool_take(&sockets->buffer_pool);
        sockets->buffers[index] = (struct buffer){.seq = seq,
                                                  .data = (uint8_t *)(uintptr_t)pieces[i].data,
                                                  .len = pieces[i].len,
                                                  .cookie = cookie,
                                                  .is_send = 1};
        buffer_append(sockets, &socket->references, index);
        seq += (uint32_t)pieces[i].len;
    }
    sockets->buffers[index].is_last = 1;
    return true;
}

/*
 * The reference that holds seq, or the first behind it; 0: none. Where the last search ended is kept while there are
 * two or more; of a single one the rest of the socket is not touched.
 */
static uint32_t send_queue_seek(struct sockets *sockets, struct socket *socket, uint32_t seq)
{
    const struct buffer *buffers = sockets->buffers;
    uint32_t index = buffer_first(sockets, socket->references);
    struct socket_rest *rest;

    if (index == socket->references) {
        return seq_lt(seq, buffers[index].seq + (uint32_t)buffers[index].len) ? index : 0;
    }
    rest = socket_rest(sockets, socket);
    if (rest->reference_at != 0 && seq_ge(seq, buffers[rest->reference_at].seq)) {
        index = rest->reference_at;
    }
    while (index != 0 && seq_ge(seq, buffers[index].seq + (uint32_t)buffers[index].len)) {
        index = buffer_next(sockets, socket->references, index);
    }
    rest->reference_at = index;
    return index;
}

/* Where byte seq of the queue is, and how many lie there in one piece. */
static const uint8_t *send_queue_find(struct sockets *sockets, struct socket *socket, uint32_t seq,
                                      uint32_t *len)
{
    const uint32_t index = socket->references != 0 ? send_queue_seek(sockets, socket, seq) : 0;
    const struct buffer *buffer = &sockets->buffers[index];
    const uint8_t *bytes;

    if (index != 0 && seq_ge(seq, buffer->seq)) {
        *len = (uint32_t)buffer->len - (seq - buffer->seq);
        return buffer->data + (seq - buffer->seq);
    }
    bytes = blocks_find(&sockets->send_blocks, &socket->send, seq, len);
    if (bytes != NULL && index != 0) {
        *len = bits_min32(*len, buffer->seq - seq);
    }
    return bytes;
}

uint64_t send_queue_read(struct vnic_stack *s, struct socket *socket, uint32_t seq, uint32_t len,
                         uint8_t *out)
{
    uint64_t sum = 0;
    uint32_t done = 0;

    s->statistics.copied_bytes += len;
    while (done < len) {
        uint32_t piece;
        const uint8_t *from = send_queue_find(&s->sockets, socket, seq + done, &piece);

        vnic_assert(from != NULL); /* what the engine sends was queued */
        piece = bits_min32(piece, len - done);
        sum = csum_join(sum, s->csum->copy(out + done, from, piece, 0), done);
        done += piece;
    }
    return sum;
}

const uint8_t *send_queue_at(struct vnic_stack *s, struct socket *socket, uint32_t seq, uint32_t *len)
{
    return send_queue_find(&s->sockets, socket, seq, len);
}

static void send_queue_release_references(struct vnic_stack *s, struct socket *socket, uint32_t front)
{
    struct sockets *sockets = &s->sockets;

    while (socket->references != 0) {
        struct buffer *first = &sockets->buffers[buffer_first(sockets, socket->references)];
        uint32_t index;

        if (seq_lt(front, first->seq + (uint32_t)first->len)) {
            break;
        }
        if (first != &sockets->buffers[socket->references]) {
            socket_rest(sockets, socket)->reference_at = 0; /* a single one needs no mark */
        }
        index = buffer_take(sockets, &socket->references);
        first->done += first->len;
        if (first->is_last) {
            buffer_complete(s, socket, index, VNIC_OK);
        } else {
            sockets->buffers[buffer_first(sockets, socket->references)].done = first->done;
            pool_give(&sockets->buffer_pool, index);
        }
    }
}

void send_queue_acked(struct vnic_stack *s, struct socket *socket, const struct tcp_connection *c)
{
    struct sockets *sockets = &s->sockets;
    const uint32_t front = send_queue_front(c);

    if (socket_is_waiting(socket)) {
        return;
    }
    if (front == c->snd_end && !socket_has(socket, SOCKET_HOLDS)) {
        blocks_release_all(&sockets->send_blocks, &socket->send);
    } else if (socket->send.head != 0) {
        blocks_release_before(&sockets->send_blocks, &socket->send, front);
    }
    send_queue_release_references(s, socket, front);
    if (socket_has(socket, SOCKET_WANTS_ROOM)
        && (send_queue_room(sockets, socket, c) >= socket->send_buffer / 4 || front == c->snd_end)) {
        socket_clear(socket, SOCKET_WANTS_ROOM);
        event_raise(s, socket, VNIC_EVENT_WRITABLE);
    }
    if (!index_ring_is_empty(&sockets->starved)) {
        send_queue_wake(s);
    }
}

/* Bytes of this piece, and of those before it of the same call, that were acknowledged. */
static void send_queue_fail(struct vnic_stack *s, struct socket *socket, uint32_t front, int result)
{
    struct sockets *sockets = &s->sockets;
    uint64_t done = 0;

    while (socket->references != 0) {
        const uint32_t index = buffer_take(sockets, &socket->references);
        struct buffer *buffer = &sockets->buffers[index];

        buffer->done += done;
        if (seq_gt(front, buffer->seq)) {
            buffer->done += bits_min64(front - buffer->seq, buffer->len);
        }
        done = buffer->done;
        if (buffer->is_last) {
            buffer_complete(s, socket, index, result);
            done = 0;
        } else {
            pool_give(&sockets->buffer_pool, index);
        }
    }
}

void send_queue_drop(struct vnic_stack *s, struct socket *socket, const struct tcp_connection *c, int result)
{
    if (socket_is_waiting(socket)) {
        return;
    }
    blocks_release_all(&s->sockets.send_blocks, &socket->send);
    socket_rest(&s->sockets, socket)->reference_at = 0;
    send_queue_fail(s, socket, send_queue_front(c), result);
    socket_clear(socket, SOCKET_HOLDS | SOCKET_WANTS_ROOM);
    send_queue_wake(s);
}

void send_queue_wake(struct vnic_stack *s)
{
    struct sockets *sockets = &s->sockets;
    const struct pool *pool = &sockets->send_blocks.pool;

    while (pool_left(pool) > pool->capacity / 8 && !index_ring_is_empty(&sockets->starved)) {
        struct socket *socket = &sockets->list[index_ring_pop(&sockets->starved)];

        socket_clear(socket, SOCKET_IN_STARVED);
        if (socket_has(socket, SOCKET_OPEN) && socket_has(socket, SOCKET_WANTS_ROOM)) {
            socket_clear(socket, SOCKET_WANTS_ROOM);
            event_raise(s, socket, VNIC_EVENT_WRITABLE);
        }
    }
}
