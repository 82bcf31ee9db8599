/* Kept payload: what of it has a place in posted buffers, and its way there. */
#include "stack/receive_kept.h"

#include "base/bits.h"
#include "stack/buffer.h"
#include "stack/copy.h"
#include "stack/post.h"
#include "stack/receive_queue.h"
#include "stack/state.h"

static uint64_t kept_room_in(const struct buffer *post)
{
    return post->is_ended ? 0 : post->len - post->done - post->copying;
}

uint32_t kept_room(const struct vnic_stack *s, const struct socket *socket, const struct tcp_connection *c,
                   uint32_t pieces, uint32_t wanted)
{
    const struct sockets *sockets = &s->sockets;
    uint32_t tickets = pool_left(&sockets->copy_pool), index;
    uint64_t room = 0;

    if (sockets->hook == NULL || c->rcv_unread != 0 || socket->posts == 0 || offload_is_leaving(socket)
        || tickets < pieces) {
        return 0;
    }
    /* One ticket for each piece, and one more for each buffer after the first. */
    tickets -= pieces - 1;
    index = post_open(sockets, socket);
    for (; index != 0 && room < wanted && tickets != 0; tickets--) {
        room += kept_room_in(&sockets->buffers[index]);
        index = buffer_next(sockets, socket->posts, index);
    }
    return (uint32_t)bits_min64(room, wanted);
}

/* To the buffers that are open; how much. */
static uint32_t kept_copy(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c,
                          const struct kept_piece *piece)
{
    uint32_t done = 0, index;

    while (done < piece->len && (index = post_open(&s->sockets, socket)) != 0) {
        const struct buffer *post = &s->sockets.buffers[index];
        const uint32_t len = (uint32_t)bits_min64(piece->len - done, post->len - post->done - post->copying);

        if (!copy_start(s, socket, c, index, piece->bytes + done, len)) {
            break;
        }
        done += len;
    }
    return done;
}

void kept_deliver(struct vnic_stack *s, struct socket *socket, struct tcp_connection *c, uint32_t seq,
                  const struct kept_piece *pieces, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct kept_piece *piece = &pieces[i];
        const uint32_t done = kept_copy(s, socket, c, piece);

        if (done < piece->len) {
            receive_queue_store(s, socket, c, seq + done, piece->bytes + done, piece->len - done);
        }
        seq += piece->len;
    }
}
