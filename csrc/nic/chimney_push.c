/* chimney_push.c: push timers: all of one length, so a list in the order in which they were started. */
#include "base/bits.h"
#include "nic/chimney_place.h"

#define PUSH_NS_PER_SECOND 1000000000u

void push_stop(struct chimney *m, uint32_t index)
{
    struct chm_connection *c = chimney_connection(m, index);
    if (!chimney_has(c, CHM_PUSH_TIMER)) {
        return;
    }
    *(c->push_prev != 0 ? &m->connections[c->push_prev].push_next : &m->push_first) = c->push_next;
    *(c->push_next != 0 ? &m->connections[c->push_next].push_prev : &m->push_last) = c->push_prev;
    c->push_next = 0;
    c->push_prev = 0;
    c->push_ns = 0;
    c->flags &= (uint16_t)~CHM_PUSH_TIMER;
}

static uint64_t push_expiry(const struct vnic *card)
{
    const struct chm_parameters *p = &card->chimney->parameters;
    uint64_t length = (uint64_t)p->push_ticks * (PUSH_NS_PER_SECOND / p->ticks_per_second);
    return card->pci.now_ns > UINT64_MAX - 1 - length ? UINT64_MAX - 1 : card->pci.now_ns + length;
}

void push_start(struct vnic *card, uint32_t index)
{
    struct chimney *m = card->chimney;
    struct chm_connection *c = chimney_connection(m, index);
    push_stop(m, index);
    c->push_ns = push_expiry(card);
    c->push_prev = m->push_last;
    *(m->push_last != 0 ? &m->connections[m->push_last].push_next : &m->push_first) = index;
    m->push_last = index;
    c->flags |= CHM_PUSH_TIMER;
}

uint64_t chimney_push_deadline(const struct vnic *card)
{
    const struct chimney *m = card->chimney;
    return m->push_first != 0 ? m->connections[m->push_first].push_ns : UINT64_MAX;
}

bool chimney_push_is_due(const struct vnic *card)
{
    return chimney_push_deadline(card) <= card->pci.now_ns;
}

/* Data that waits will be placed, and starts the timer again. */
void chimney_push_expire(struct vnic *card)
{
    struct chimney *m = card->chimney;
    uint32_t index = m->push_first;
    const struct chm_connection *c = chimney_connection(m, index);
    push_stop(m, index);
    if (!chimney_has(c, CHM_ENDING | CHM_ABORTED | CHM_STOPPED) && post_is_pushable(m, c)
        && chimney_waiting(m, index) == 0) {
        m->stat[CHM_STAT(PUSH_TIMEOUTS)]++;
        post_finish(card, index, CHM_STATUS_OK, true);
    }
}
