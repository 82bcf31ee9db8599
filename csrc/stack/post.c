/* Buffers that the user posted: filling, ending and completing them. */
#include "stack/post.h"

#include "base/bits.h"
#include "stack/buffer.h"
#include "stack/copy.h"
#include "stack/receive_queue.h"
#include "stack/state.h"

uint32_t post_open(const struct sockets *sockets, const struct socket *socket)
{
    uint32_t index = socket_is_waiting(socket) ? 0 : buffer_first(sockets, socket->posts);

    while (index != 0) {
        const struct buffer *post = &sockets->buffers[index];

        if (post->is_claimed) {
            return 0;
        }
        if (!post->is_ended && post->done + post->copying < post->len) {
            break;
        }
        index = buffer_next(sockets, socket->posts, index);
    }
    return index;
}

static void post_end_all(struct sockets *sockets, struct socket *socket, int result)
{
    uint32_t index = buffer_first(sockets, socket->posts);

    for (; index != 0; index = buffer_next(sockets, socket->posts, index)) {
        struct buffer *post = &sockets->buffers[index];

        const bool is_full = post->done + post->copying == post->len;

        if (!post->is_ended && !post->is_claimed && !is_full) { /* a full one is as it should be */
            post->is_ended = 1;
            post->result = (int8_t)result;
        }
    }
}

/* Everything that came is in posted buffers: a push completes the one in use, FIN and the end all of them. */
static void post_end_due(struct vnic_stack *s, struct socket *socket, const struct tcp_connection *c)
{
    const uint32_t index = post_open(&s->sockets, socket);
    struct buffer *post = &s->sockets.buffers[index];

    if (index != 0 && socket_has(socket, SOCKET_PUSHED) && post->done + post->copying != 0) {
        post->is_ended = 1;
        post->result = VNIC_OK;
    }
    socket_clear(socket, SOCKET_PUSHED);
    if (tcp_has(c, TCP_FIN_RECEIVED)) {
        post_end_all(&s->sockets, socket, VNIC_OK);
    } else if (c->state == TCP_STATE_CLOSED) {
        post_end_all(&s->sockets, socket, socket->result);
    }
}

void post_fill(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c)
{
    uint32_t index;

    if (offload_is_leaving(socket)) {
        return;
    }
    while (c->rcv_unread != 0 && (index = post_open(&s->sockets, socket)) != 0) {
        const struct buffer *post = &s->sockets.buffers[index];
        uint32_t len;
        const uint8_t *from = receive_queue_at(s, socket, receive_queue_front(c), &len);

        len = bits_min32(len, c->rcv_unread);
        len = (uint32_t)bits_min64(len, post->len - post->done - post->copying);
        if (!copy_start(s, socket, c, index, from, len)) {
            return;
        }
    }
    if (c->rcv_unread == 0) {
        post_end_due(s, socket, c);
    }
    post_settle(s, socket);
}

void post_end(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c, int result)
{
    if (!socket_is_waiting(socket)) {
        post_fill(s, socket, c);
        post_end_all(&s->sockets, socket, result);
        post_settle(s, socket);
    }
}

uint32_t post_claim(struct sockets *sockets, const struct socket *socket)
{
    uint32_t index = buffer_first(sockets, socket->posts), next = 0;

    for (; index != 0; index = buffer_next(sockets, socket->posts, index)) {
        const struct buffer *post = &sockets->buffers[index];

        if (post->is_claimed && next != 0) {
            return 0; /* one before it came back: first all of them */
        }
        if (!post->is_claimed && !post->is_ended && post->done + post->copying < post->len) {
            if (post->copying != 0) {
                return 0;
            }
            next = next != 0 ? next : index;
        }
    }
    sockets->buffers[next].is_claimed = next != 0;
    return next;
}

static uint32_t post_first_claimed(const struct sockets *sockets, const struct socket *socket)
{
    uint32_t index = buffer_first(sockets, socket->posts);

    while (index != 0 && !sockets->buffers[index].is_claimed) {
        index = buffer_next(sockets, socket->posts, index);
    }
    return index;
}

bool post_is_claimed(const struct sockets *sockets, const struct socket *socket)
{
    return post_first_claimed(sockets, socket) != 0;
}

bool post_unclaim(struct sockets *sockets, const struct socket *socket, uint64_t bytes, bool is_complete)
{
    const uint32_t index = post_first_claimed(sockets, socket);
    struct buffer *post = &sockets->buffers[index];

    if (index == 0 || bytes > post->len - post->done) {
        return false;
    }
    post->is_claimed = 0;
    post->done += bytes;
    post->is_ended = is_complete && post->done != 0;
    return true;
}

void post_unclaim_all(struct sockets *sockets, const struct socket *socket)
{
    uint32_t index = buffer_first(sockets, socket->posts);

    for (; index != 0; index = buffer_next(sockets, socket->posts, index)) {
        sockets->buffers[index].is_claimed = 0;
    }
}

void post_refill(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c)
{
    if (socket_has(socket, SOCKET_OPEN)) {
        post_fill(s, socket, c);
    } else if (!socket_is_waiting(socket)) {
        post_end_all(&s->sockets, socket, VNIC_STACK_ECONNABORTED);
        post_settle(s, socket);
    }
}

void post_settle(struct vnic_stack *s, struct socket *socket)
{
    while (socket->posts != 0) {
        const struct buffer *post = &s->sockets.buffers[buffer_first(&s->sockets, socket->posts)];

        if (post->copying != 0 || (!post->is_ended && post->done < post->len)) {
            break;
        }
        buffer_complete(s, socket, buffer_take(&s->sockets, &socket->posts), post->result);
    }
}

int vnic_tcp_post(vnic_stack *stack, vnic_socket socket, void *out, uint64_t len, uint64_t cookie)
{
    struct socket *held = socket_of(stack, socket);
    struct sockets *sockets = &stack->sockets;
    uint32_t index;

    if (out == NULL || len == 0) {
        return VNIC_EINVAL;
    }
    if (held == NULL) {
        return socket_listener_of(stack, socket) != NULL ? VNIC_STACK_ENOTCONN : VNIC_STACK_EBADF;
    }
    index = pool_take(&sockets->buffer_pool);
    if (index == 0) {
        return VNIC_STACK_ENOBUFS;
    }
    sockets->buffers[index] = (struct buffer){.data = out, .len = len, .cookie = cookie};
    buffer_append(sockets, &held->posts, index);
    post_fill(stack, held, socket_connection(stack, held));
    offload_raise(stack, held, VNIC_OFFLOAD_POST);
    return VNIC_OK;
}
