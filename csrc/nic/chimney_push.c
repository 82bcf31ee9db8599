/* chimney_push.c: push timers: all of one length, so a list in the order in which they were started. */
#include "base/bits.h"
#include "nic/chimney_place.h"
#include "pci/disturb.h"

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

/* At its place in the list; all timers are of one length, so that is its end, unless a fault made some late. */
static void push_insert(struct chimney *m, uint32_t index)
{
    struct chm_connection *c = chimney_connection(m, index);
    uint32_t before = m->push_last;
    while (before != 0 && m->connections[before].push_ns > c->push_ns) {
        before = m->connections[before].push_prev;
    }
    c->push_prev = before;
    c->push_next = before != 0 ? m->connections[before].push_next : m->push_first;
    *(c->push_prev != 0 ? &m->connections[c->push_prev].push_next : &m->push_first) = index;
    *(c->push_next != 0 ? &m->connections[c->push_next].push_prev : &m->push_last) = index;
    c->flags |= CHM_PUSH_TIMER;
}

void push_start(struct vnic *card, uint32_t index)
{
    struct chimney *m = card->chimney;
    push_stop(m, index);
    chimney_connection(m, index)->push_ns = push_expiry(card);
    push_insert(m, index);
}

uint64_t chimney_push_deadline(const struct vnic *card)
{
    const struct chimney *m = card->chimney;
    return m->push_first != 0 ? m->connections[m->push_first].push_ns : UINT64_MAX;
}

bool chimney_push_is_due(const struct vnic *card)
{
    return card->chimney->push_first != 0 && chimney_push_deadline(card) <= card->pci.now_ns;
}

static void push_postpone(struct vnic *card, uint32_t index, uint64_t delay_ns)
{
    struct chimney *m = card->chimney;
    const uint64_t now_ns = card->pci.now_ns;
    chimney_connection(m, index)->push_ns = now_ns + bits_min64(delay_ns, UINT64_MAX - 1 - now_ns);
    push_insert(m, index);
}

/* [FLT-11] Lost, it is started by the next data. */
static bool push_is_disturbed(struct vnic *card, uint32_t index)
{
    const struct fault_occurrence what = {
        .site = VNIC_FAULT_TIMER, .index = VNIC_FAULT_TIMER_PUSH, .first = index, .last = index};
    int id = 0;
    const struct vnic_fault *fault = pci_fault(&card->pci, &what, &id);
    if (fault && fault->action == VNIC_FAULT_DELAY) {
        push_postpone(card, index, fault->argument);
    }
    return fault != NULL;
}

/* Data that waits will be placed, and starts the timer again. */
void chimney_push_expire(struct vnic *card)
{
    struct chimney *m = card->chimney;
    uint32_t index = m->push_first;
    const struct chm_connection *c = chimney_connection(m, index);
    push_stop(m, index);
    if (push_is_disturbed(card, index)) {
        return;
    }
    if (!chimney_has(c, CHM_ENDING | CHM_ABORTED | CHM_STOPPED) && post_is_pushable(m, c)
        && chimney_waiting(m, index) == 0) {
        m->stat[CHM_STAT(PUSH_TIMEOUTS)]++;
        post_finish(card, index, CHM_STATUS_OK, true);
    }
}
