/* Pieces of memory of an offload target: lists in the order of their bytes, and of what is to be fetched. */
#include "stack/piece.h"

#include "base/bits.h"
#include "stack/close.h"
#include "stack/state.h"
#include "wire/seq.h"

static uint32_t piece_first(const struct offload *o, uint32_t list)
{
    return list != 0 ? o->pieces[list].next : 0;
}

static void piece_put(struct offload *o, uint32_t *list, uint32_t index)
{
    o->pieces[index].next = *list != 0 ? o->pieces[*list].next : index;
    if (*list != 0) {
        o->pieces[*list].next = index;
    }
    *list = index;
}

static uint32_t piece_take(struct offload *o, uint32_t *list)
{
    const uint32_t first = piece_first(o, *list);

    if (first == *list) {
        *list = 0;
    } else {
        o->pieces[*list].next = o->pieces[first].next;
    }
    return first;
}

bool piece_append(struct vnic_stack *s, struct socket *socket, uint32_t seq, const uint8_t *data,
                  uint32_t len, uint64_t cookie)
{
    struct away *away = offload_away(s, socket);
    const uint32_t index = pool_take(&s->offload.piece_pool);

    if (index == 0) {
        return false;
    }
    s->offload.pieces[index] = (struct piece){.seq = seq, .data = data, .len = len, .cookie = cookie};
    socket->offload |= OFFLOAD_PIECES;
    if (len != 0) {
        piece_put(&s->offload, &away->pieces, index);
    } else {
        piece_put(&s->offload, &away->returned, index);
        offload_raise(s, socket, VNIC_OFFLOAD_CONSUMED);
    }
    return true;
}

/* The piece that holds seq, or the first behind it; 0: none. */
static uint32_t piece_seek(const struct offload *o, uint32_t list, uint32_t seq)
{
    uint32_t index = piece_first(o, list);

    while (index != 0 && seq_ge(seq, o->pieces[index].seq + o->pieces[index].len)) {
        index = index != list ? o->pieces[index].next : 0;
    }
    return index;
}

const uint8_t *piece_find(struct vnic_stack *s, struct socket *socket, uint32_t seq, uint32_t *len)
{
    const uint32_t index = piece_seek(&s->offload, offload_away(s, socket)->pieces, seq);
    const struct piece *piece = &s->offload.pieces[index];
    const uint8_t *bytes;

    if (index != 0 && seq_ge(seq, piece->seq)) {
        *len = piece->len - (seq - piece->seq);
        return piece->data + (seq - piece->seq);
    }
    bytes = blocks_find(&s->sockets.receive_blocks, &socket->receive, seq, len);
    if (bytes != NULL && index != 0) {
        *len = bits_min32(*len, piece->seq - seq);
    }
    return bytes;
}

void piece_trim(struct vnic_stack *s, struct socket *socket, uint32_t seq)
{
    struct offload *o = &s->offload;
    struct away *away = offload_away(s, socket);
    bool is_news = false;

    while (away->pieces != 0) {
        const struct piece *first = &o->pieces[piece_first(o, away->pieces)];

        if (seq_lt(seq, first->seq + first->len)) {
            break;
        }
        piece_put(o, &away->returned, piece_take(o, &away->pieces));
        is_news = true;
    }
    if (is_news) {
        offload_raise(s, socket, VNIC_OFFLOAD_CONSUMED);
    }
}

void piece_forget(struct vnic_stack *s, struct socket *socket)
{
    struct offload *o = &s->offload;
    struct away *away = offload_away(s, socket);

    if (away->pieces != 0) {
        do {
            piece_put(o, &away->returned, piece_take(o, &away->pieces));
        } while (away->pieces != 0);
        offload_raise(s, socket, VNIC_OFFLOAD_CONSUMED);
    }
}

/* The bytes of the first piece go to blocks. */
static bool piece_own_first(struct vnic_stack *s, struct socket *socket, struct away *away)
{
    struct offload *o = &s->offload;
    struct block_pool *blocks = &s->sockets.receive_blocks;
    const struct piece *first = &o->pieces[piece_first(o, away->pieces)];

    if (blocks_missing(blocks, &socket->receive, first->seq, first->len) > blocks_left(blocks)) {
        return false;
    }
    (void)blocks_write(blocks, &socket->receive, first->seq, first->data, first->len);
    piece_put(o, &away->returned, piece_take(o, &away->pieces));
    return true;
}

int vnic_tcp_offload_own(vnic_stack *stack, vnic_socket socket)
{
    struct socket *held = offload_socket(stack, socket);
    struct away *away;
    bool has_room = true;

    if (held == NULL) {
        return VNIC_STACK_EBADF;
    }
    away = offload_away(stack, held);
    if ((held->offload & OFFLOAD_PIECES) == 0 || away->pieces == 0) {
        return VNIC_OK;
    }
    while (has_room && away->pieces != 0) {
        has_room = piece_own_first(stack, held, away);
    }
    offload_raise(stack, held, VNIC_OFFLOAD_CONSUMED);
    return has_room ? VNIC_OK : VNIC_STACK_EAGAIN;
}

int vnic_tcp_offload_returns(vnic_stack *stack, vnic_socket socket, uint64_t *cookies, uint32_t count)
{
    struct socket *held = offload_socket(stack, socket);
    struct offload *o = &stack->offload;
    struct away *away;
    uint32_t taken = 0;

    if (count != 0 && cookies == NULL) {
        return VNIC_EINVAL;
    }
    if (held == NULL) {
        return VNIC_STACK_EBADF;
    }
    away = offload_away(stack, held);
    while (taken < count && taken < INT32_MAX && away->returned != 0) {
        const uint32_t index = piece_take(o, &away->returned);

        cookies[taken++] = o->pieces[index].cookie;
        pool_give(&o->piece_pool, index);
    }
    if ((held->offload & OFFLOAD_PIECES) != 0 && (away->pieces | away->returned) == 0) {
        held->offload &= OFFLOAD_WHERE;
        linger_check(stack, held);
    }
    return (int)taken;
}
