/* chimney_held.c: who holds data out of order, and what is given up when blocks run short. */
#include "nic/chimney_place.h"

#define HELD_VICTIMS 32u /* connections that one segment may cost their data out of order */

static void held_join(struct chimney *m, uint32_t index)
{
    struct chm_connection *c = chimney_connection(m, index);
    c->held_prev = m->held_last;
    c->held_next = 0;
    *(m->held_last != 0 ? &m->connections[m->held_last].held_next : &m->held_first) = index;
    m->held_last = index;
    c->flags |= CHM_HOLDS_RANGES;
}

void held_leave(struct chimney *m, uint32_t index)
{
    struct chm_connection *c = chimney_connection(m, index);
    if (!chimney_has(c, CHM_HOLDS_RANGES)) {
        return;
    }
    *(c->held_prev != 0 ? &m->connections[c->held_prev].held_next : &m->held_first) = c->held_next;
    *(c->held_next != 0 ? &m->connections[c->held_next].held_prev : &m->held_last) = c->held_prev;
    c->held_next = 0;
    c->held_prev = 0;
    c->flags &= (uint16_t)~CHM_HOLDS_RANGES;
}

void held_follow(struct chimney *m, uint32_t index)
{
    bool holds = m->tcp[index].ranges != 0;
    if (holds == chimney_has(chimney_connection(m, index), CHM_HOLDS_RANGES)) {
        return;
    }
    if (holds) {
        held_join(m, index);
    } else {
        held_leave(m, index);
    }
}

void held_drop(struct vnic *card, uint32_t index)
{
    struct chimney *m = card->chimney;
    struct chm_connection *c = chimney_connection(m, index);
    blocks_release_from(&m->blocks, &c->blocks, m->tcp[index].rcv_nxt);
    held_follow(m, index);
    place_trim(card, index);
}

static void held_give_up(struct vnic *card, uint32_t index)
{
    struct chimney *m = card->chimney;
    m->stat[CHM_STAT(RANGES_DROPPED)]++;
    tcp_drop_ranges(m->engine, &m->tcp[index]);
    held_drop(card, index);
}

bool held_has_room(const struct chimney *m, uint32_t index, uint32_t seq, uint32_t len)
{
    uint32_t missing = blocks_missing(&m->blocks, &chimney_connection(m, index)->blocks, seq, len);
    return missing == 0 || blocks_left(&m->blocks) >= missing + PLACE_RESERVE;
}

bool held_make_room(struct vnic *card, uint32_t index, uint32_t seq, uint32_t len)
{
    struct chimney *m = card->chimney;
    if (held_has_room(m, index, seq, len)) {
        return true;
    }
    if (chimney_has(chimney_connection(m, index), CHM_HOLDS_RANGES)) {
        held_give_up(card, index);
    }
    for (unsigned n = 0; n < HELD_VICTIMS && m->held_first != 0; n++) {
        if (held_has_room(m, index, seq, len)) {
            return true;
        }
        held_give_up(card, m->held_first);
    }
    return held_has_room(m, index, seq, len);
}
