/* pair.c: starting, stopping and resetting the rings of a queue pair, and their doorbells. */
#include "nic/pair.h"

#include <string.h>

#include "base/bits.h"
#include "nic/chimney.h"
#include "nic/receive.h"
#include "nic/transmit.h"

static uint32_t pair_reg(unsigned pair, uint32_t offset)
{
    return offset + pair * REG_QP_STRIDE;
}

static uint32_t pair_get(const struct vnic *card, unsigned pair, uint32_t offset)
{
    return card_reg(card, pair_reg(pair, offset));
}

static uint64_t pair_get64(const struct vnic *card, unsigned pair, uint32_t offset)
{
    return regfile_get64(&card->regs, pair_reg(pair, offset));
}

static struct queue_pair *pair_of(struct vnic *card, unsigned pair)
{
    return &card->state.pair[pair];
}

/* The ENABLE bits read back what is so, and TAIL what was accepted. */
static void pair_show(struct vnic *card, unsigned pair)
{
    const struct queue_pair *p = pair_of(card, pair);
    regfile_set(&card->regs, pair_reg(pair, REG_QP_RX_CTRL),
                p->rx.ring.is_running ? QP_RX_CTRL_ENABLE_MASK : 0);
    regfile_set(&card->regs, pair_reg(pair, REG_QP_TX_CTRL),
                p->tx.ring.is_running ? QP_TX_CTRL_ENABLE_MASK : 0);
    regfile_set(&card->regs, pair_reg(pair, REG_QP_CQ_CTRL),
                p->cq.ring.is_running ? QP_CQ_CTRL_ENABLE_MASK : 0);
    regfile_set(&card->regs, pair_reg(pair, REG_QP_RX_TAIL), p->rx.ring.tail);
    regfile_set(&card->regs, pair_reg(pair, REG_QP_TX_TAIL), p->tx.ring.tail);
    regfile_set(&card->regs, pair_reg(pair, REG_QP_CQ_TAIL), p->cq.ring.tail);
}

/* [RST-5] A frame in the middle of which its ring stops is discarded; its reserved slots are free again. */
static void pair_stop_rx(struct vnic *card, unsigned pair, uint8_t error)
{
    struct rx_ring *rx = &pair_of(card, pair)->rx;
    receive_abandon(card, pair);
    ring_stop(&rx->ring, error);
    rx->cached = 0;
    rx->buf_len = 0;
    rx->hdr_len = 0;
}

static void pair_stop_tx(struct vnic *card, unsigned pair, uint8_t error)
{
    struct tx_ring *tx = &pair_of(card, pair)->tx;
    transmit_abandon(card, pair);
    ring_stop(&tx->ring, error);
    tx->cached = 0;
    tx->ends = 0;
    tx->credit = 0;
    tx->is_skipping = false;
    tx->skip_first = 0;
}

static void pair_stop_cq(struct vnic *card, unsigned pair, uint8_t error)
{
    struct queue_pair *p = pair_of(card, pair);
    pair_stop_rx(card, pair, p->rx.ring.error);
    pair_stop_tx(card, pair, p->tx.ring.error);
    ring_stop(&p->cq.ring, error);
    p->cq.reserved = 0;
    p->cq.vector = 0;
    chimney_on_cq_stop(card, pair);
}

void pair_fail_rx(struct vnic *card, unsigned pair, uint8_t error)
{
    pair_stop_rx(card, pair, error);
    pair_show(card, pair);
    card_raise_event(card, GLB_EVENT_RING_MASK);
}

void pair_fail_tx(struct vnic *card, unsigned pair, uint8_t error)
{
    pair_stop_tx(card, pair, error);
    pair_show(card, pair);
    card_raise_event(card, GLB_EVENT_RING_MASK);
}

void pair_fail(struct vnic *card, unsigned pair, uint8_t error)
{
    pair_stop_cq(card, pair, error);
    pair_show(card, pair);
    card_raise_event(card, GLB_EVENT_RING_MASK);
}

/* ---- start ---- */

static uint8_t pair_check_buffers(const struct vnic *card, unsigned pair)
{
    uint32_t buf_len = pair_get(card, pair, REG_QP_RX_BUF_LEN);
    uint32_t hdr_len = pair_get(card, pair, REG_QP_RX_HDR_LEN);
    bool is_split = card_is_set(card, REG_MAC_RX_CTRL, MAC_RX_CTRL_HEADER_SPLIT_MASK);
    bool is_sound = buf_len >= PAIR_BUF_LEN_MIN && buf_len <= PAIR_BUF_LEN_MAX
                    && (!is_split || (hdr_len >= PAIR_HDR_LEN_MIN && hdr_len <= PAIR_HDR_LEN_MAX));
    return is_sound ? RING_ERROR_NONE : RING_ERROR_BAD_BUFFER;
}

static void pair_start_rx(struct vnic *card, unsigned pair)
{
    struct queue_pair *p = pair_of(card, pair);
    uint8_t error = ring_start(&p->rx.ring, pair_get64(card, pair, REG_QP_RX_BASE),
                               pair_get(card, pair, REG_QP_RX_COUNT));
    error = error ? error : pair_check_buffers(card, pair);
    error = error ? error : p->cq.ring.is_running ? RING_ERROR_NONE : RING_ERROR_NO_CQ;
    p->rx.buf_len = pair_get(card, pair, REG_QP_RX_BUF_LEN);
    p->rx.hdr_len = pair_get(card, pair, REG_QP_RX_HDR_LEN);
    p->rx.cached = 0;
    if (error) {
        pair_fail_rx(card, pair, error);
    }
}

static void pair_start_tx(struct vnic *card, unsigned pair)
{
    struct queue_pair *p = pair_of(card, pair);
    uint8_t error = ring_start(&p->tx.ring, pair_get64(card, pair, REG_QP_TX_BASE),
                               pair_get(card, pair, REG_QP_TX_COUNT));
    error = error ? error : p->cq.ring.is_running ? RING_ERROR_NONE : RING_ERROR_NO_CQ;
    if (error) {
        pair_fail_tx(card, pair, error);
    }
}

static void pair_start_cq(struct vnic *card, unsigned pair)
{
    struct completion_ring *cq = &pair_of(card, pair)->cq;
    uint8_t error =
        ring_start(&cq->ring, pair_get64(card, pair, REG_QP_CQ_BASE), pair_get(card, pair, REG_QP_CQ_COUNT));
    cq->vector = (uint8_t)pair_get(card, pair, REG_QP_CQ_VECTOR);
    cq->reserved = 0;
    error = error ? error : cq->vector < card->config.vectors ? RING_ERROR_NONE : RING_ERROR_BAD_VECTOR;
    if (error) {
        pair_fail(card, pair, error);
    }
}

/* ---- registers ---- */

/* [RST-4] A queue reset forgets the ring: nothing runs, HEAD = TAIL = 0, no error. */
static void ring_forget(struct ring *r)
{
    *r = (struct ring){0};
}

void pair_on_rx_ctrl(struct vnic *card, unsigned pair, uint32_t now, uint32_t pulses)
{
    struct ring *r = &pair_of(card, pair)->rx.ring;
    bool enable = (now & QP_RX_CTRL_ENABLE_MASK) != 0;
    if (pulses & QP_RX_CTRL_RESET_MASK) {
        pair_stop_rx(card, pair, RING_ERROR_NONE);
        ring_forget(r);
    } else if (enable && !r->is_running) {
        pair_start_rx(card, pair);
    } else if (!enable && r->is_running) {
        pair_stop_rx(card, pair, RING_ERROR_NONE);
    }
    pair_show(card, pair);
}

void pair_on_tx_ctrl(struct vnic *card, unsigned pair, uint32_t now, uint32_t pulses)
{
    struct ring *r = &pair_of(card, pair)->tx.ring;
    bool enable = (now & QP_TX_CTRL_ENABLE_MASK) != 0;
    if (pulses & QP_TX_CTRL_RESET_MASK) {
        pair_stop_tx(card, pair, RING_ERROR_NONE);
        ring_forget(r);
    } else if (enable && !r->is_running) {
        pair_start_tx(card, pair);
    } else if (!enable && r->is_running) {
        pair_stop_tx(card, pair, RING_ERROR_NONE);
    }
    pair_show(card, pair);
}

void pair_on_cq_ctrl(struct vnic *card, unsigned pair, uint32_t now, uint32_t pulses)
{
    struct queue_pair *p = pair_of(card, pair);
    bool enable = (now & QP_CQ_CTRL_ENABLE_MASK) != 0;
    if (pulses & QP_CQ_CTRL_RESET_MASK) {
        pair_stop_cq(card, pair, RING_ERROR_NONE);
        ring_forget(&p->rx.ring);
        ring_forget(&p->tx.ring);
        ring_forget(&p->cq.ring);
        chimney_on_cq_reset(card, pair);
    } else if (enable && !p->cq.ring.is_running) {
        pair_start_cq(card, pair);
    } else if (!enable && p->cq.ring.is_running) {
        pair_stop_cq(card, pair, RING_ERROR_NONE);
    }
    pair_show(card, pair);
}

/* [RING-6] A doorbell that is out of range stops the ring; one on a ring that does not run is a guest
 * error only. */
static bool pair_ring_doorbell(struct vnic *card, unsigned pair, struct ring *r, uint32_t tail)
{
    if (ring_set_tail(r, tail)) {
        return true;
    }
    card_count_guest_error(card);
    pair_show(card, pair);
    return false;
}

void pair_on_rx_tail(struct vnic *card, unsigned pair, uint32_t tail)
{
    struct rx_ring *rx = &pair_of(card, pair)->rx;
    bool was_running = rx->ring.is_running;
    if (!pair_ring_doorbell(card, pair, &rx->ring, tail)) {
        if (was_running) {
            pair_fail_rx(card, pair, RING_ERROR_BAD_TAIL);
        }
        return;
    }
    const struct rx_frame *frame = &card->state.rx;
    if (frame->is_active && frame->pair == pair && ring_owned(&rx->ring) < frame->reserved) {
        card_count_guest_error(card);
        pair_fail_rx(card, pair,
                     RING_ERROR_BAD_TAIL); /* [RING-7] buffers of the frame in delivery were taken back */
        return;
    }
    rx->cached = bits_min32(rx->cached, ring_owned(&rx->ring));
}

void pair_on_tx_tail(struct vnic *card, unsigned pair, uint32_t tail)
{
    struct tx_ring *tx = &pair_of(card, pair)->tx;
    bool was_running = tx->ring.is_running;
    if (!pair_ring_doorbell(card, pair, &tx->ring, tail)) {
        if (was_running) {
            pair_fail_tx(card, pair, RING_ERROR_BAD_TAIL);
        }
        return;
    }
    if (ring_owned(&tx->ring) < tx->cached) {
        card_count_guest_error(card);
        pair_fail_tx(card, pair,
                     RING_ERROR_BAD_TAIL); /* [RING-7] descriptors already taken were taken back */
        return;
    }
    card->scratch.tx_ready |= 1u << pair;
}

void pair_on_cq_tail(struct vnic *card, unsigned pair, uint32_t tail)
{
    struct completion_ring *cq = &pair_of(card, pair)->cq;
    bool was_running = cq->ring.is_running;
    if (!pair_ring_doorbell(card, pair, &cq->ring, tail)) {
        if (was_running) {
            pair_fail(card, pair, RING_ERROR_BAD_TAIL);
        }
        return;
    }
    if (ring_owned(&cq->ring) < cq->reserved) {
        card_count_guest_error(card);
        pair_fail(card, pair, RING_ERROR_BAD_TAIL); /* [RING-7] slots that are promised were taken back */
        return;
    }
    card->scratch.tx_ready |= 1u << pair;
}

static uint32_t ring_head_index(const struct ring *r)
{
    return r->count ? ring_index(r, r->head) : 0;
}

static uint32_t ring_status(const struct ring *r)
{
    return (uint32_t)r->is_running << QP_RX_STATUS_RUNNING_SHIFT
           | (uint32_t)r->error << QP_RX_STATUS_ERROR_SHIFT;
}

static uint32_t half(uint64_t value, bool high)
{
    return (uint32_t)(high ? value >> 32 : value);
}

uint32_t pair_read(const struct vnic *card, unsigned pair, const struct reg_ref *ref, uint32_t stored)
{
    const struct queue_pair *p = &card->state.pair[pair];
    switch (ref->reg) {
    case REGID_QP_RX_STATUS:
        return ring_status(&p->rx.ring);
    case REGID_QP_TX_STATUS:
        return ring_status(&p->tx.ring);
    case REGID_QP_CQ_STATUS:
        return ring_status(&p->cq.ring);
    case REGID_QP_RX_HEAD:
        return ring_head_index(&p->rx.ring);
    case REGID_QP_TX_HEAD:
        return ring_head_index(&p->tx.ring);
    case REGID_QP_CQ_HEAD:
        return ring_head_index(&p->cq.ring);
    case REGID_QP_RX_FRAMES:
        return half(p->rx.frames, ref->high);
    case REGID_QP_RX_BYTES:
        return half(p->rx.bytes, ref->high);
    case REGID_QP_RX_DROPS:
        return half(p->rx.drops, ref->high);
    case REGID_QP_TX_FRAMES:
        return half(p->tx.frames, ref->high);
    case REGID_QP_TX_BYTES:
        return half(p->tx.bytes, ref->high);
    default:
        return stored;
    }
}

/* Nobody looks at descriptors that the cache does not hold, so they stay. */
void pair_reset_all(struct vnic *card)
{
    for (uint32_t i = 0; i < card->config.queue_pairs; i++) {
        struct queue_pair *p = &card->state.pair[i];
        memset(&p->rx, 0, offsetof(struct rx_ring, desc));
        memset(&p->tx, 0, offsetof(struct tx_ring, desc));
        p->cq = (struct completion_ring){0};
    }
    card->scratch.tx_ready = 0;
}
