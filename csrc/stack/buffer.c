/* Memory of the user's: lists of it, and its way back. */
#include "stack/buffer.h"

#include "stack/close.h"
#include "stack/event.h"
#include "stack/state.h"

void buffer_append(struct sockets *sockets, uint32_t *list, uint32_t index)
{
    struct buffer *buffers = sockets->buffers;

    buffers[index].next = *list != 0 ? buffers[*list].next : index;
    if (*list != 0) {
        buffers[*list].next = index;
    }
    *list = index;
}

uint32_t buffer_take(struct sockets *sockets, uint32_t *list)
{
    struct buffer *buffers = sockets->buffers;
    const uint32_t first = buffer_first(sockets, *list);

    if (first == *list) {
        *list = 0;
    } else {
        buffers[*list].next = buffers[first].next;
    }
    return first;
}

void buffer_complete(struct vnic_stack *s, struct socket *socket, uint32_t index, int result)
{
    struct buffer *buffer = &s->sockets.buffers[index];

    buffer->result = (int8_t)result;
    buffer_append(&s->sockets, &socket->completed, index);
    event_raise(s, socket, buffer->is_send ? VNIC_EVENT_SENT : VNIC_EVENT_RECEIVED);
}

int vnic_stack_completions(vnic_stack *stack, vnic_socket socket, struct vnic_completion *out, uint32_t count)
{
    struct socket *held = socket_of_lingering(stack, socket);
    struct sockets *sockets = &stack->sockets;
    uint32_t taken = 0;

    if (count != 0 && out == NULL) {
        return VNIC_EINVAL;
    }
    if (held == NULL) {
        return VNIC_STACK_EBADF;
    }
    while (taken < count && taken < INT32_MAX && held->completed != 0) {
        const uint32_t index = buffer_take(sockets, &held->completed);
        const struct buffer *buffer = &sockets->buffers[index];

        out[taken++] = (struct vnic_completion){.cookie = buffer->cookie,
                                                .len = buffer->done,
                                                .result = buffer->result,
                                                .is_send = buffer->is_send};
        pool_give(&sockets->buffer_pool, index);
    }
    linger_check(stack, held);
    return (int)taken;
}
