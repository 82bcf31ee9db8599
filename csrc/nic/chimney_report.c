/* chimney_report.c: which connections have something to report: lists of the pairs, and how they are left. */
#include "nic/chimney_report.h"

#include "base/bits.h"
#include "nic/chimney_place.h"
#include "nic/completion.h"
#include "nic/scale.h"
#include "wire/rss.h"

#define REPORT_MOVES 32u /* connections that go to their new lists in one step */

/* ---- lists ---- */

/* First and last of a list; its links are report_next and report_prev. */
struct report_list {
    uint32_t *first, *last;
};

static struct report_list report_ready(struct chimney *m, unsigned pair)
{
    return (struct report_list){&m->queue[pair].report_first, &m->queue[pair].report_last};
}

static struct report_list report_starved(struct chimney *m, unsigned pair)
{
    return (struct report_list){&m->queue[pair].starved_first, &m->queue[pair].starved_last};
}

static struct report_list report_moving(struct chimney *m)
{
    return (struct report_list){&m->moving_first, &m->moving_last};
}

static void report_append(struct chimney *m, struct report_list list, uint32_t index)
{
    struct chm_connection *c = chimney_connection(m, index);
    c->report_prev = *list.last;
    c->report_next = 0;
    *(*list.last != 0 ? &m->connections[*list.last].report_next : list.first) = index;
    *list.last = index;
}

/* Behind others, or first of whichever list it is in. */
static uint32_t *report_to(struct chimney *m, const struct chm_connection *c, uint32_t index)
{
    if (c->report_prev != 0) {
        return &m->connections[c->report_prev].report_next;
    }
    struct chm_queue *q = &m->queue[c->report_queue];
    return m->moving_first == index   ? &m->moving_first
           : q->report_first == index ? &q->report_first
                                      : &q->starved_first;
}

static uint32_t *report_back_to(struct chimney *m, const struct chm_connection *c, uint32_t index)
{
    if (c->report_next != 0) {
        return &m->connections[c->report_next].report_prev;
    }
    struct chm_queue *q = &m->queue[c->report_queue];
    return m->moving_last == index   ? &m->moving_last
           : q->report_last == index ? &q->report_last
                                     : &q->starved_last;
}

static void report_remove(struct chimney *m, uint32_t index)
{
    struct chm_connection *c = chimney_connection(m, index);
    uint32_t *to = report_to(m, c, index), *back = report_back_to(m, c, index);
    *to = c->report_next;
    *back = c->report_prev;
    c->report_next = 0;
    c->report_prev = 0;
}

/* All of `from` behind all of `to`. */
static void report_join(struct chimney *m, struct report_list to, struct report_list from)
{
    if (*from.first == 0) {
        return;
    }
    m->connections[*from.first].report_prev = *to.last;
    *(*to.last != 0 ? &m->connections[*to.last].report_next : to.first) = *from.first;
    *to.last = *from.last;
    *from.first = 0;
    *from.last = 0;
}

void chimney_report_leave(struct chimney *m, uint32_t index)
{
    struct chm_connection *c = chimney_connection(m, index);
    if (chimney_has(c, CHM_IN_REPORT)) {
        report_remove(m, index);
        c->flags &= (uint16_t)~(CHM_IN_REPORT | CHM_STARVED);
    }
    c->pending = 0;
}

/* ---- who is in them ---- */

unsigned chimney_report_pair(const struct vnic *card, const struct chm_connection *c)
{
    const struct rss *rss = &card->state.rss;
    return rss->is_active ? scale_pair(card, c->hash_value, RSS_TYPE_MASK) : rss->default_queue;
}

static void report_join_ready(struct vnic *card, uint32_t index)
{
    struct chimney *m = card->chimney;
    struct chm_connection *c = chimney_connection(m, index);
    c->report_queue = (uint8_t)chimney_report_pair(card, c);
    c->flags = (uint16_t)((c->flags & ~CHM_STARVED) | CHM_IN_REPORT);
    report_append(m, report_ready(m, c->report_queue), index);
}

/* One that starves has something else to report, or finds another place for its data. While connections are moving
 * all that starve are among them. */
void chimney_report(struct vnic *card, uint32_t index, uint32_t pending)
{
    struct chimney *m = card->chimney;
    struct chm_connection *c = chimney_connection(m, index);
    c->pending |= pending;
    if (chimney_has(c, CHM_STARVED) && m->moving_first == 0) {
        report_remove(m, index);
        report_join_ready(card, index);
    } else if (!chimney_has(c, CHM_IN_REPORT)) {
        report_join_ready(card, index);
    }
}

void report_settle(struct vnic *card, uint32_t index, bool is_stuck)
{
    struct chimney *m = card->chimney;
    struct chm_connection *c = chimney_connection(m, index);
    report_remove(m, index);
    if (c->pending == 0) {
        c->flags &= (uint16_t)~(CHM_IN_REPORT | CHM_STARVED);
    } else if (is_stuck) {
        c->flags |= CHM_STARVED;
        report_append(m, report_starved(m, c->report_queue), index);
    } else {
        report_join_ready(card, index);
    }
}

uint32_t report_next(const struct vnic *card, unsigned pair)
{
    const struct chm_queue *q = &card->chimney->queue[pair];
    if (q->report_first != 0) {
        return q->report_first;
    }
    return pool_has_buffer(card, pair) ? q->starved_first : 0;
}

/* ---- a new table ---- */

/* [CHM-61] Every connection that has something to report waits until the fences are written. */
void chimney_fence(struct vnic *card)
{
    struct chimney *m = card->chimney;
    if (!m || !m->is_enabled) {
        return;
    }
    for (unsigned pair = 0; pair < card->config.queue_pairs; pair++) {
        m->fences |= (uint32_t)card->state.pair[pair].cq.ring.is_running << pair;
        report_join(m, report_moving(m), report_ready(m, pair));
        report_join(m, report_moving(m), report_starved(m, pair));
    }
}

void report_move(struct vnic *card)
{
    struct chimney *m = card->chimney;
    for (unsigned n = 0; n < REPORT_MOVES && m->moving_first != 0; n++) {
        uint32_t index = m->moving_first;
        report_remove(m, index);
        report_join_ready(card, index);
    }
}

/* ---- entries ---- */

bool chimney_may_report(const struct vnic *card, unsigned pair)
{
    const struct chimney *m = card->chimney;
    const struct completion_ring *cq = &card->state.pair[pair].cq;
    return (m->fences | m->moving_first) == 0 && cq->ring.is_running && completion_free(cq) != 0;
}

void chimney_write_entry(struct vnic *card, unsigned pair, uint64_t words[4])
{
    card->state.pair[pair].cq.reserved++;
    completion_write(card, pair, words);
}

bool report_write(struct vnic *card, unsigned pair, uint64_t words[4])
{
    chimney_write_entry(card, pair, words);
    return card->state.pair[pair].cq.ring.is_running;
}
