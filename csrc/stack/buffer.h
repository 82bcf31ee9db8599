/* Memory of the user's that the stack holds: circular lists by their last entry, and completions. */
#ifndef VNIC_STACK_BUFFER_H
#define VNIC_STACK_BUFFER_H

#include "stack/socket.h"

static inline uint32_t buffer_first(const struct sockets *sockets, uint32_t list)
{
    return list != 0 ? sockets->buffers[list].next : 0;
}

/* The next of a list, 0 behind the last. */
static inline uint32_t buffer_next(const struct sockets *sockets, uint32_t list, uint32_t index)
{
    return index != list ? sockets->buffers[index].next : 0;
}

void buffer_append(struct sockets *sockets, uint32_t *list, uint32_t index);
/* Takes the first out; 0: the list is empty. */
uint32_t buffer_take(struct sockets *sockets, uint32_t *list);

/* The user may fetch it; `done` holds the bytes. */
void buffer_complete(struct vnic_stack *s, struct socket *socket, uint32_t index, int result);

#endif
