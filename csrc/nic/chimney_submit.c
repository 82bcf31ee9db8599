/* chimney_submit.c: submission rings: starting, stopping, doorbells, fetching, and whose turn it is. */
#include <string.h>

#include "base/bits.h"
#include "nic/chimney_request.h"

static struct chm_submission_ring *submit_ring(const struct vnic *card, unsigned pair)
{
    return &card->chimney->queue[pair].submissions;
}

/* ---- registers ---- */

static uint32_t submit_reg(unsigned pair, uint32_t offset)
{
    return offset + pair * REG_CHQ_STRIDE;
}

static void submit_show(struct vnic *card, unsigned pair)
{
    const struct ring *r = &submit_ring(card, pair)->ring;
    regfile_set(&card->regs, submit_reg(pair, REG_CHQ_SQ_CTRL), r->is_running ? CHQ_SQ_CTRL_ENABLE_MASK : 0);
    regfile_set(&card->regs, submit_reg(pair, REG_CHQ_SQ_TAIL), r->tail);
}

void chimney_submit_stop(struct vnic *card, unsigned pair, uint8_t error)
{
    if (card->chimney == NULL) {
        return;
    }
    struct chm_submission_ring *s = submit_ring(card, pair);
    request_forget(card->chimney, pair);
    s->cached = 0;
    ring_stop(&s->ring, error);
    submit_show(card, pair);
}

static void submit_refuse_start(struct vnic *card, unsigned pair, uint8_t error)
{
    chimney_submit_stop(card, pair, error);
    chimney_ring_failed(card, false);
}

/* [CHM-63] Connections run on, but nobody can tell them what to do. */
static void submit_fail(struct vnic *card, unsigned pair, uint8_t error)
{
    chimney_submit_stop(card, pair, error);
    chimney_ring_failed(card, true);
}

/* [CHM-1] */
static void submit_start(struct vnic *card, unsigned pair)
{
    struct ring *r = &submit_ring(card, pair)->ring;
    if (!card->chimney->is_enabled) {
        card_count_guest_error(card);
        return;
    }
    uint8_t error = ring_start(r, regfile_get64(&card->regs, submit_reg(pair, REG_CHQ_SQ_BASE)),
                               card_reg(card, submit_reg(pair, REG_CHQ_SQ_COUNT)));
    error = error ? error : card->state.pair[pair].cq.ring.is_running ? RING_ERROR_NONE : RING_ERROR_NO_CQ;
    if (error) {
        submit_refuse_start(card, pair, error);
    }
}

void chimney_on_sq_ctrl(struct vnic *card, unsigned pair, uint32_t now, uint32_t pulses)
{
    struct ring *r = &submit_ring(card, pair)->ring;
    bool enable = (now & CHQ_SQ_CTRL_ENABLE_MASK) != 0;
    if (pulses & CHQ_SQ_CTRL_RESET_MASK) {
        chimney_submit_stop(card, pair, RING_ERROR_NONE);
        *r = (struct ring){0};
    } else if (enable && !r->is_running) {
        submit_start(card, pair);
    } else if (!enable && r->is_running) {
        chimney_submit_stop(card, pair, RING_ERROR_NONE);
    }
    submit_show(card, pair);
}

void chimney_on_sq_tail(struct vnic *card, unsigned pair, uint32_t tail)
{
    struct chm_submission_ring *s = submit_ring(card, pair);
    bool was_running = s->ring.is_running;
    if (!ring_set_tail(&s->ring, tail)) {
        card_count_guest_error(card);
        if (was_running) {
            submit_fail(card, pair, RING_ERROR_BAD_TAIL);
        }
        submit_show(card, pair);
        return;
    }
    if (ring_owned(&s->ring) < s->cached) {
        card_count_guest_error(card);
        submit_fail(card, pair, RING_ERROR_BAD_TAIL); /* [RING-7] entries already taken were taken back */
        return;
    }
    card->chimney->submit_ready |= 1u << pair;
}

/* ---- whose turn ---- */

static const uint64_t *submit_next(const struct chm_submission_ring *s)
{
    return s->entry[s->ring.head % CHM_SUBMISSIONS_CACHED];
}

static bool submit_has_todo(const struct vnic *card, unsigned pair)
{
    const struct chm_submission_ring *s = submit_ring(card, pair);
    if (!s->ring.is_running) {
        return false;
    }
    return s->cached != 0 ? request_may_take(card, pair, submit_next(s)) : ring_owned(&s->ring) != 0;
}

/* The ring of the next step, or none: CARD_PAIRS_MAX. */
static unsigned submit_pick(const struct vnic *card)
{
    const struct chimney *m = card->chimney;
    uint32_t behind = m->submit_ready & ~((1u << m->submit_turn) - 1);
    for (uint32_t ready = behind; ready != 0; ready &= ready - 1) {
        if (submit_has_todo(card, bits_ctz(ready))) {
            return bits_ctz(ready);
        }
    }
    for (uint32_t ready = m->submit_ready & ~behind; ready != 0; ready &= ready - 1) {
        if (submit_has_todo(card, bits_ctz(ready))) {
            return bits_ctz(ready);
        }
    }
    return CARD_PAIRS_MAX;
}

bool chimney_submit_is_runnable(const struct vnic *card)
{
    const struct chimney *m = card->chimney;
    return m != NULL && m->submit_ready != 0 && m->is_enabled && card->pci.is_master
           && submit_pick(card) != CARD_PAIRS_MAX;
}

/* A ring keeps its turn for what was fetched at once. */
static void submit_pass_turn(struct vnic *card, unsigned pair)
{
    struct chimney *m = card->chimney;
    const struct chm_submission_ring *s = submit_ring(card, pair);
    m->submit_turn = (uint8_t)pair;
    if (s->cached == 0) {
        m->submit_turn = (uint8_t)((pair + 1) % card->config.queue_pairs);
        if (!s->ring.is_running || ring_owned(&s->ring) == 0) {
            m->submit_ready &= ~(1u << pair);
        }
    }
}

/* ---- steps ---- */

/* One DMA: the next entries, up to the end of the ring and of the cache. */
static uint32_t submit_fetch_count(const struct chm_submission_ring *s)
{
    uint32_t index = ring_index(&s->ring, s->ring.head);
    uint32_t room = CHM_SUBMISSIONS_CACHED - s->ring.head % CHM_SUBMISSIONS_CACHED;
    return bits_min32(ring_owned(&s->ring), bits_min32(room, s->ring.count - index));
}

static uint64_t submit_fetch(struct vnic *card, unsigned pair)
{
    struct chm_submission_ring *s = submit_ring(card, pair);
    uint32_t n = submit_fetch_count(s), bytes = n * CHM_SUBMISSION_BYTES;
    uint64_t addr = s->ring.base + (uint64_t)ring_index(&s->ring, s->ring.head) * CHM_SUBMISSION_BYTES;
    enum vnic_dma_status status =
        dma_read(&card->pci, &card->chimney->hint_queue[pair], addr,
                 s->entry[s->ring.head % CHM_SUBMISSIONS_CACHED], bytes, VNIC_DMA_DESCRIPTOR);
    if (status != VNIC_DMA_OK) {
        submit_fail(card, pair, RING_ERROR_FETCH_DMA);
        return bytes;
    }
    s->cached = n;
    return bytes;
}

static uint64_t submit_take(struct vnic *card, unsigned pair)
{
    struct chm_submission_ring *s = submit_ring(card, pair);
    uint64_t submission[CHM_SUBMISSION_WORDS], bytes = 0;
    memcpy(submission, submit_next(s), sizeof submission);
    if (request_take(card, pair, submission, &bytes) && s->cached != 0) {
        s->ring.head++;
        s->cached--;
    }
    return bytes;
}

static uint64_t submit_step(struct vnic *card, unsigned pair)
{
    uint64_t bytes =
        submit_ring(card, pair)->cached == 0 ? submit_fetch(card, pair) : submit_take(card, pair);
    submit_pass_turn(card, pair);
    return bytes;
}

uint64_t chimney_submit_step(struct vnic *card)
{
    return submit_step(card, submit_pick(card));
}

static uint64_t submit_bound(const struct vnic *card, unsigned pair)
{
    const struct chm_submission_ring *s = submit_ring(card, pair);
    return s->cached == 0 ? submit_fetch_count(s) * CHM_SUBMISSION_BYTES : request_next_bytes(submit_next(s));
}

uint64_t chimney_submit_next_bytes(const struct vnic *card)
{
    return submit_bound(card, submit_pick(card));
}

uint64_t chimney_submit_burst(struct vnic *card, uint64_t max_steps, uint64_t max_bytes, uint64_t *bytes)
{
    const struct chimney *m = card->chimney;
    uint64_t steps = 0;
    *bytes = 0;
    while (steps < max_steps && m->submit_ready != 0 && m->is_enabled && card->pci.is_master) {
        unsigned pair = submit_pick(card);
        if (pair == CARD_PAIRS_MAX || *bytes + submit_bound(card, pair) > max_bytes) {
            break;
        }
        *bytes += submit_step(card, pair);
        steps++;
    }
    return steps;
}
