/* chimney_reach.c: ages of neighbours, and when to ask the host whether one can still be reached. */
#include "nic/chimney.h"

#define REACH_NS_PER_SECOND 1000000000ull

static uint64_t reach_tick_ns(const struct chimney *m)
{
    return REACH_NS_PER_SECOND / m->parameters.ticks_per_second;
}

/* More than NceStaleTicks whole ticks. */
static bool reach_is_over(const struct chimney *m, uint64_t age_ns)
{
    return age_ns >= (m->parameters.nce_stale_ticks + 1ull) * reach_tick_ns(m);
}

void chimney_reach_confirm(struct vnic *card, uint32_t index)
{
    struct chimney *m = card->chimney;
    chimney_neighbour_of(m, chimney_connection(m, index))->nic_ns = card->pci.now_ns;
}

/* ---- queries to be reported ---- */

static void reach_append(struct chimney *m, uint32_t neighbour)
{
    m->neighbours[neighbour].query_next = 0;
    if (m->query_last != 0) {
        m->neighbours[m->query_last].query_next = neighbour;
    } else {
        m->query_first = neighbour;
    }
    m->query_last = neighbour;
}

uint32_t chimney_reach_take(struct chimney *m)
{
    uint32_t neighbour = m->query_first;
    if (neighbour == 0) {
        return 0;
    }
    m->query_first = m->neighbours[neighbour].query_next;
    m->neighbours[neighbour].query_next = 0;
    if (m->query_first == 0) {
        m->query_last = 0;
    }
    return neighbour;
}

static bool reach_is_listed(const struct chimney *m, uint32_t neighbour)
{
    return m->neighbours[neighbour].query_next != 0 || m->query_last == neighbour;
}

void chimney_reach_forget(struct chimney *m, uint32_t neighbour)
{
    uint32_t *link = &m->query_first, before = 0;
    if (!reach_is_listed(m, neighbour)) {
        return;
    }
    while (*link != neighbour) {
        before = *link;
        link = &m->neighbours[before].query_next;
    }
    *link = m->neighbours[neighbour].query_next;
    m->neighbours[neighbour].query_next = 0;
    if (m->query_last == neighbour) {
        m->query_last = before;
    }
}

/* ---- when ---- */

/* Neither the host nor we have heard of it for so long. */
static bool reach_is_stale(const struct chimney *m, const struct chm_neighbour *n, uint64_t now)
{
    return reach_is_over(m, now - n->nic_ns) && reach_is_over(m, now - n->host_ns);
}

static bool reach_may_ask(const struct chimney *m, const struct chm_neighbour *n, uint64_t now)
{
    return !n->is_queried || reach_is_over(m, now - n->queried_ns);
}

/* [CHM-28] NicReachabilityDelta is a ULONG of ticks; an age beyond it is the greatest, not a young one. */
static void reach_ask(struct chimney *m, struct chm_neighbour *n, uint64_t now)
{
    uint64_t delta = (now - n->nic_ns) / reach_tick_ns(m);
    uint32_t neighbour = (uint32_t)(n - m->neighbours);
    n->is_queried = 1;
    n->queried_ns = now;
    n->query_delta = delta < UINT32_MAX ? (uint32_t)delta : UINT32_MAX;
    if (!reach_is_listed(m, neighbour)) {
        reach_append(m, neighbour);
    }
}

void chimney_reach_check(struct vnic *card, uint32_t index)
{
    struct chimney *m = card->chimney;
    struct chm_neighbour *n = chimney_neighbour_of(m, chimney_connection(m, index));
    uint64_t now = card->pci.now_ns;
    if (reach_is_stale(m, n, now) && reach_may_ask(m, n, now)) {
        reach_ask(m, n, now);
    }
}
