/* Copies to posted buffers: tickets of the hook's, and their completion in order. */
#include "stack/copy.h"

#include "stack/close.h"
#include "stack/post.h"
#include "stack/receive_queue.h"
#include "stack/state.h"

static uint32_t copy_first(const struct sockets *sockets, const struct socket_rest *rest)
{
    return rest->copies != 0 ? sockets->copies[rest->copies].next : 0;
}

static void copy_append(struct sockets *sockets, struct socket_rest *rest, uint32_t index)
{
    struct copy *copies = sockets->copies;

    copies[index].next = rest->copies != 0 ? copies[rest->copies].next : index;
    if (rest->copies != 0) {
        copies[rest->copies].next = index;
    }
    rest->copies = index;
}

static void copy_take(struct sockets *sockets, struct socket_rest *rest)
{
    const uint32_t first = copy_first(sockets, rest);

    if (first == rest->copies) {
        rest->copies = 0;
    } else {
        sockets->copies[rest->copies].next = sockets->copies[first].next;
    }
    sockets->copies[first].generation = 0;
    pool_give(&sockets->copy_pool, first);
}

/* Takes the copies that are done off the front; what they copied is no longer needed. */
static void copy_settle(struct vnic_stack *s, struct socket *socket, const struct tcp_connection *c)
{
    struct sockets *sockets = &s->sockets;
    struct socket_rest *rest = socket_rest(sockets, socket);

    while (rest->copies != 0 && sockets->copies[copy_first(sockets, rest)].is_done) {
        const struct copy *copy = &sockets->copies[copy_first(sockets, rest)];
        struct buffer *post = &sockets->buffers[copy->post];

        post->copying -= copy->len;
        post->done += copy->len;
        rest->copying -= copy->len;
        copy_take(sockets, rest);
    }
    if (rest->copies == 0) {
        socket_clear(socket, SOCKET_COPIES);
    }
    receive_queue_trim(s, socket, c);
}

/* By the hook, or by the processor where it declines or there is none; true when that is done. */
static bool copy_now(struct vnic_stack *s, uint8_t *to, const uint8_t *from, uint32_t len, uint64_t ticket)
{
    struct sockets *sockets = &s->sockets;
    int answer = VNIC_HOOK_DECLINED;

    if (sockets->hook != NULL) {
        answer = sockets->hook(sockets->hook_opaque, to, from, len, ticket);
    }
    if (answer == VNIC_HOOK_DECLINED) {
        memcpy(to, from, len);
        s->statistics.copied_bytes += len;
    } else {
        s->statistics.hooked_bytes += len;
    }
    return answer != VNIC_HOOK_LATER;
}

/* By the hook, or behind copies of its that are under way. False when the hook has no ticket left. */
static bool copy_with_ticket(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c,
                             uint32_t post, const uint8_t *from, uint32_t len)
{
    struct sockets *sockets = &s->sockets;
    struct socket_rest *rest = socket_rest(sockets, socket);
    struct buffer *buffer = &sockets->buffers[post];
    const uint32_t index = pool_take(&sockets->copy_pool);
    uint8_t *to = buffer->data + buffer->done + buffer->copying;
    struct copy *copy = &sockets->copies[index];

    if (index == 0) {
        return false;
    }
    sockets->tickets = sockets->tickets < SOCKETS_GENERATION_MAX ? sockets->tickets + 1 : 1;
    *copy = (struct copy){
        .index = socket_index(sockets, socket), .generation = sockets->tickets, .len = len, .post = post};
    copy_append(sockets, rest, index);
    buffer->copying += len;
    rest->copying += len;
    socket_set(socket, SOCKET_COPIES);
    receive_queue_consume(s, socket, c, len);
    copy->is_done = copy_now(s, to, from, len, (uint64_t)copy->generation << 32 | index);
    copy_settle(s, socket, c);
    return true;
}

bool copy_start(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c, uint32_t post,
                const uint8_t *from, uint32_t len)
{
    struct buffer *buffer = &s->sockets.buffers[post];

    /* Without a ticket a socket whose copies are all done does not wait for those of others. */
    if (socket_has(socket, SOCKET_COPIES)
        || (s->sockets.hook != NULL && pool_left(&s->sockets.copy_pool) != 0)) {
        return copy_with_ticket(s, socket, c, post, from, len);
    }
    memcpy(buffer->data + buffer->done, from, len);
    s->statistics.copied_bytes += len;
    buffer->done += len;
    receive_queue_consume(s, socket, c, len);
    return true;
}

void vnic_stack_set_copy_hook(vnic_stack *stack, vnic_copy_hook hook, void *opaque)
{
    stack->sockets.hook = hook;
    stack->sockets.hook_opaque = opaque;
}

int vnic_stack_copied(vnic_stack *stack, uint64_t ticket)
{
    struct sockets *sockets = &stack->sockets;
    const uint32_t index = (uint32_t)ticket;
    struct copy *copy = &sockets->copies[index <= sockets->copy_pool.capacity ? index : 0];
    struct socket *socket;
    struct tcp_connection *c;

    if (ticket >> 32 == 0 || copy->generation != ticket >> 32 || copy->is_done) {
        return VNIC_ENOENT;
    }
    copy->is_done = 1;
    socket = &sockets->list[copy->index];
    c = &stack->connections[copy->index];
    copy_settle(stack, socket, c);
    post_fill(stack, socket, c);
    linger_check(stack, socket);
    return VNIC_OK;
}
