/* burst_transmit.c: frames of one descriptor and no context, copied straight from host memory to where they go. */
#include <string.h>

#include "nic/burst.h"
#include "nic/completion.h"
#include "nic/emit.h"
#include "nic/filter.h"
#include "nic/receive.h"
#include "nic/transmit.h"
#include "nic/txframe.h"

/* Everything but the length and the wish for a report is as it is for a whole frame in one descriptor. */
#define SIMPLE_MASK (~(TX_DATA_LEN_MASK | TX_DATA_RS_MASK))
#define SIMPLE_BITS ((uint64_t)DESC_TYPE_DATA << TX_DATA_TYPE_SHIFT | TX_DATA_EOP_MASK)

struct tx_burst {
    unsigned pair;
    bool is_looped;
    bool is_padding;
};

static bool burst_is_quiet(const struct vnic *card, const struct tx_burst *b)
{
    return card->pci.is_direct && card->pci.faults.armed[VNIC_FAULT_FRAME_OUT] == 0 &&
           !pci_is_observed(&card->pci, VNIC_EVENT_FRAME_OUT) && (b->is_looped || card->state.link_mbps != 0);
}

/* The descriptor at the ring's head as a frame to be sent at once; its length, or 0. */
static uint32_t burst_simple_len(const struct vnic *card, const struct tx_burst *b, const uint64_t *desc)
{
    uint32_t len = (uint32_t)tx_data_len(desc);
    bool is_simple = (desc[1] & SIMPLE_MASK) == SIMPLE_BITS && len >= (b->is_padding ? TX_PAD_TO : FRAME_MIN) &&
                     len <= card->config.max_frame;
    return is_simple ? len : 0;
}

static uint8_t *burst_slot(struct vnic *card, const struct tx_burst *b, uint32_t len)
{
    int verdict;
    if (!emit_has_room(card, len)) {
        return NULL;
    }
    return b->is_looped ? receive_slot(card, len, &verdict) : packet_buffer_push(&card->tx_buffer, len, b->pair);
}

/* Sends the frame at the head; false: it is not simple. */
static bool burst_send(struct vnic *card, const struct tx_burst *b, uint64_t *bytes)
{
    struct queue_pair *p = &card->state.pair[b->pair];
    struct tx_ring *tx = &p->tx;
    const uint64_t *desc = tx->desc[tx->ring.head % TX_CACHE];
    uint32_t len = burst_simple_len(card, b, desc);
    if (tx->ends == 0 || len == 0 || completion_free(&p->cq) == 0) {
        return false;
    }
    const uint8_t *from = dma_direct(&card->pci, &card->scratch.hint[b->pair].tx_data, tx_data_addr(desc), len, VNIC_MAP_READ);
    if (!from || (b->is_looped && !receive_would_take(card, len))) {
        return false;
    }
    uint8_t *to = burst_slot(card, b, len);
    if (!to) {
        return false;
    }
    bool wants_report = tx_data_rs(desc) != 0;
    uint32_t first = tx->ring.head;
    memcpy(to, from, len);
    emit_count(card, to, len);
    tx->ring.head++;
    tx->cached--;
    tx->ends--;
    tx->credit -= (int32_t)len;
    tx->frames++;
    tx->bytes += len;
    if (wants_report) {
        p->cq.reserved++;
        txframe_report(card, b->pair, first, TX_STATUS_OK, 1, len);
    }
    *bytes += len + COMPLETION_BYTES;
    return true;
}

uint64_t burst_transmit(struct vnic *card, uint64_t max_steps, uint64_t max_bytes, uint64_t *bytes)
{
    struct tx_burst b = {
        .pair = card->state.tx_turn,
        .is_looped = card_is_set(card, REG_GLB_CTRL, GLB_CTRL_LOOPBACK_MASK),
        .is_padding = card_is_set(card, REG_MAC_TX_CTRL, MAC_TX_CTRL_PAD_MASK),
    };
    const struct queue_pair *p = &card->state.pair[b.pair];
    uint64_t steps = 0, moved = 0, bound = transmit_next_bytes(card);
    if (card->state.tx.phase != TX_PHASE_NONE || !burst_is_quiet(card, &b) || !card->state.tx_turn_open || p->tx.is_skipping) {
        return 0;
    }
    while (steps < max_steps && moved + bound <= max_bytes && p->tx.ring.is_running && p->tx.credit > 0 &&
           burst_send(card, &b, &moved)) {
        steps++;
    }
    *bytes = moved;
    return steps;
}
