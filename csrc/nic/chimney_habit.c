/* chimney_habit.c: reasons for which a connection that works well enough should rather be the host's. */
#include "base/bits.h"
#include "nic/chimney_place.h"

#define LOOK_PLACES 64u /* in one step */
#define SECOND_NS 1000000000ull

bool chimney_may_ask(const struct chimney *m, uint32_t index)
{
    const struct tcp_connection *t = &m->tcp[index];
    return t->state == TCP_STATE_ESTABLISHED && !tcp_has(t, TCP_FIN_QUEUED | TCP_FIN_RECEIVED);
}

static void habit_ask(struct vnic *card, uint32_t index, enum chm_reason reason)
{
    if (chimney_may_ask(card->chimney, index)) {
        report_retrieve(card, index, reason);
    }
}

/* ---- rates ---- */

/* One more segment in a window; true at the end of one in which so many per cent were bad. */
static bool habit_count(uint8_t *all, uint8_t *bad, bool is_bad, uint32_t rate)
{
    uint32_t count = *all + 1u, found = *bad + (is_bad ? 1u : 0u);
    bool is_over = count == CHM_HABIT_SEGMENTS;
    *all = (uint8_t)(is_over ? 0 : count);
    *bad = (uint8_t)(is_over ? 0 : found);
    return is_over && found * 100 >= rate * CHM_HABIT_SEGMENTS;
}

/* [CHM-65] */
void chimney_habit_received(struct vnic *card, uint32_t index, bool is_ahead)
{
    struct chimney *m = card->chimney;
    struct chm_connection *c = chimney_connection(m, index);
    uint32_t rate = m->parameters.out_of_order_rate;
    c->flags |= CHM_ACTIVE;
    if (rate != 0 && habit_count(&c->habit.in, &c->habit.in_ahead, is_ahead, rate)) {
        habit_ask(card, index, CHM_REASON_HIGH_OUT_OF_ORDER);
    }
}

/* [CHM-66] */
void chimney_habit_sent(struct vnic *card, uint32_t index, bool is_again)
{
    struct chimney *m = card->chimney;
    struct chm_connection *c = chimney_connection(m, index);
    uint32_t rate = m->parameters.drop_rate;
    c->flags |= CHM_ACTIVE;
    if (rate != 0 && habit_count(&c->habit.out, &c->habit.out_again, is_again, rate)) {
        habit_ask(card, index, CHM_REASON_HIGH_DROP_RATE);
    }
}

/* ---- requests ---- */

/* [CHM-67] */
void chimney_habit_request(struct vnic *card, uint32_t index, uint32_t len)
{
    const struct chm_parameters *p = &card->chimney->parameters;
    struct chm_habit *h = &chimney_connection(card->chimney, index)->habit;
    if (p->small_io == 0 || len == 0) {
        return;
    }
    h->request_bytes += bits_min32(len, CHM_SMALL_IO_MAX);
    if (++h->requests == CHM_HABIT_REQUESTS) {
        bool is_small = h->request_bytes < p->small_io * CHM_HABIT_REQUESTS;
        h->requests = 0;
        h->request_bytes = 0;
        if (is_small) {
            habit_ask(card, index, CHM_REASON_SMALL_IO);
        }
    }
}

void chimney_habit_posted(struct chimney *m, uint32_t index)
{
    chimney_connection(m, index)->habit.unposted = 0;
}

/* [CHM-68] */
void chimney_habit_unposted(struct vnic *card, uint32_t index, uint32_t len)
{
    uint32_t most = card->chimney->parameters.unposted_bytes;
    struct chm_habit *h = &chimney_connection(card->chimney, index)->habit;
    if (most == 0) {
        return;
    }
    h->unposted = (uint32_t)bits_min64((uint64_t)h->unposted + len, UINT32_MAX);
    if (h->unposted >= most) {
        h->unposted = 0;
        habit_ask(card, index, CHM_REASON_NO_BUFFER_PREPOSTING);
    }
}

/* [CHM-51] */
void chimney_habit_fragment(struct vnic *card, uint32_t index)
{
    struct chm_habit *h = &chimney_connection(card->chimney, index)->habit;
    if (++h->fragments >= card->chimney->parameters.fragments) {
        h->fragments = 0;
        habit_ask(card, index, CHM_REASON_HIGH_FRAGMENTATION);
    }
}

/* ---- looks at all connections [CHM-69] ---- */

static uint64_t look_period_ns(const struct chm_parameters *p)
{
    return p->idle_ticks * (SECOND_NS / p->ticks_per_second);
}

static void look_plan(struct vnic *card)
{
    struct chimney *m = card->chimney;
    m->look_ns = card->pci.now_ns + look_period_ns(&m->parameters);
}

void chimney_look_begin(struct vnic *card)
{
    struct chimney *m = card->chimney;
    m->look_found = true;
    if (!m->look_is_on && m->parameters.idle_ticks != 0) {
        m->look_is_on = true;
        look_plan(card);
    }
}

uint64_t chimney_look_deadline(const struct vnic *card)
{
    const struct chimney *m = card->chimney;
    return m->look_is_on ? m->look_ns : UINT64_MAX;
}

bool chimney_look_is_due(const struct vnic *card)
{
    const struct chimney *m = card->chimney;
    return m->look_at != 0 || (m->look_is_on && m->look_ns <= card->pci.now_ns);
}

/* It may still be asked for, now or at a later look. */
static bool look_concerns(const struct chimney *m, uint32_t index)
{
    const struct chm_connection *c = chimney_connection(m, index);
    return chimney_has(c, CHM_LIVE) && !chimney_has(c, CHM_ENDING | CHM_ABORTED | CHM_STOPPED)
           && (c->retrieved & 1u << CHM_REASON_LOW_ACTIVITY) == 0 && chimney_may_ask(m, index);
}

static void look_at(struct vnic *card, uint32_t index)
{
    struct chimney *m = card->chimney;
    struct chm_connection *c = chimney_connection(m, index);
    if (look_concerns(m, index) && !chimney_has(c, CHM_ACTIVE)) {
        habit_ask(card, index, CHM_REASON_LOW_ACTIVITY);
    }
    c->flags &= (uint16_t)~CHM_ACTIVE;
    m->look_found = m->look_found || look_concerns(m, index);
}

void chimney_look(struct vnic *card)
{
    struct chimney *m = card->chimney;
    uint32_t top = m->tops[CHM_OBJECT_TCP - 1];
    if (m->look_at == 0) {
        look_plan(card);
        m->look_found = false;
        m->look_at = 1;
    }
    for (unsigned n = 0; n < LOOK_PLACES && m->look_at <= top; n++) {
        look_at(card, m->look_at++);
    }
    if (m->look_at > top) {
        m->look_at = 0;
        m->look_is_on = m->look_found;
    }
}

uint64_t chimney_look_idle_steps(const struct chimney *m)
{
    return m->tops[CHM_OBJECT_TCP - 1] / LOOK_PLACES + 2;
}
