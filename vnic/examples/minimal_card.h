/* minimal_card.h: the card below minimal.c: its registers and one queue pair, by the steps of spec/programming.md. It
   leaves out PROG-2 and PROG-4: it knows where the blocks are, and trusts the card. */
#pragma once

#include <vnic/vnic_driver.h>
#include <vnic/vnic_registers.h>

enum { RING = 128, BUFFERS = RING - 1, CQ = 2 * RING, BUFFER = 2048, FRAME_MIN = 14, FRAME_MAX = 1514 };

/* What driver and card both see; a descriptor slot and the buffer of the same number need not belong together. */
struct shared {
    uint64_t cq[CQ][TX_COMPLETION_WORDS], rx[RING][RX_DESC_WORDS], tx[RING][TX_DATA_WORDS];
    uint8_t in[BUFFERS][BUFFER], out[RING][BUFFER];
};
#define BUS_ADDR(card, member) ((card)->addr + offsetof(struct shared, member))

struct card {
    const struct vnic_bus *bus;
    struct shared *mem;
    uint64_t addr; /* of mem, on the bus */
    uint32_t owner[RING]; /* the buffer in each receive descriptor */
    uint32_t rx_head, rx_tail, tx_head, tx_tail;
    uint32_t cq_next; /* counts all completions taken: its low bits are an index, those above the pass */
    bool is_gone;
};

/* Of a packet sent, in the order of sends; or of a receive buffer with a whole frame. */
struct completion {
    bool is_send, is_sound; /* not sound: a card that works would not write it */
    uint32_t status, buffer, len;
};

static inline uint64_t card_get(const struct card *card, uint32_t reg, unsigned width)
{
    return card->is_gone ? 0 : card->bus->ops->read(card->bus->opaque, 0, reg, width); /* PROG-25 */
}

static inline void card_put(const struct card *card, uint32_t reg, unsigned width, uint64_t value)
{
    if (!card->is_gone) {
        card->bus->ops->write(card->bus->opaque, 0, reg, width, value);
    }
}

/* PROG-1, PROG-3. */
static inline uint32_t card_open(struct card *card)
{
    const struct vnic_bus *bus = card->bus;

    if (!bus->ops->enable_device(bus->opaque) || card_get(card, REG_GLB_TYPE, 4) != BLOCK_TYPE_GLOBAL) {
        return NDIS_STATUS_ADAPTER_NOT_FOUND;
    }
    bus->ops->set_master(bus->opaque, true);
    card_put(card, REG_GLB_CTRL, 4, GLB_CTRL_RESET_MASK);
    card->mem = bus->ops->alloc_coherent(bus->opaque, sizeof *card->mem, &card->addr);
    return card->mem ? NDIS_STATUS_SUCCESS : NDIS_STATUS_RESOURCES;
}

/* PROG-21; the interrupt is disconnected by then. */
static inline void card_close(struct card *card)
{
    card_put(card, REG_GLB_CTRL, 4, GLB_CTRL_RESET_MASK);
    card->bus->ops->disable_device(card->bus->opaque);
    if (card->mem) {
        card->bus->ops->free_coherent(card->bus->opaque, card->mem, sizeof *card->mem, card->addr);
    }
}

/* PROG-9: hands the card a buffer for a frame. */
static inline void card_post(struct card *card, uint32_t buffer)
{
    card->owner[card->rx_tail] = buffer;
    card->mem->rx[card->rx_tail][0] = BUS_ADDR(card, in[buffer]);
    card->rx_tail = (card->rx_tail + 1) % RING;
    vnic_write_barrier();
    card_put(card, REG_QP_RX_TAIL, 4, card->rx_tail);
}

/* PROG-22, then PROG-8 to PROG-10: rings as new, without buffers; whether they run. */
static inline bool card_start(struct card *card)
{
    memset(card->mem->cq, 0, sizeof card->mem->cq);
    card->rx_head = card->rx_tail = card->tx_tail = card->tx_head = card->cq_next = 0;
    card_put(card, REG_QP_CQ_CTRL, 4, QP_CQ_CTRL_RESET_MASK);
    card_put(card, REG_QP_CQ_BASE, 8, BUS_ADDR(card, cq));
    card_put(card, REG_QP_CQ_COUNT, 4, CQ);
    card_put(card, REG_QP_CQ_CTRL, 4, QP_CQ_CTRL_ENABLE_MASK);
    card_put(card, REG_QP_CQ_TAIL, 4, CQ - 1);
    card_put(card, REG_QP_RX_BASE, 8, BUS_ADDR(card, rx));
    card_put(card, REG_QP_RX_COUNT, 4, RING);
    card_put(card, REG_QP_RX_BUF_LEN, 4, BUFFER);
    card_put(card, REG_QP_RX_CTRL, 4, QP_RX_CTRL_ENABLE_MASK);
    card_put(card, REG_QP_TX_BASE, 8, BUS_ADDR(card, tx));
    card_put(card, REG_QP_TX_COUNT, 4, RING);
    card_put(card, REG_QP_TX_CTRL, 4, QP_TX_CTRL_ENABLE_MASK);
    return card_get(card, REG_QP_CQ_STATUS, 4) & card_get(card, REG_QP_RX_STATUS, 4)
           & card_get(card, REG_QP_TX_STATUS, 4) & QP_CQ_STATUS_RUNNING_MASK;
}

static inline bool card_has_room(const struct card *card)
{
    return (card->tx_tail + 1) % RING != card->tx_head;
}

/* PROG-12: copies a packet into the ring and hands it over; its completion reports it. */
static inline void card_send(struct card *card, const struct vnic_net_buffer *packet)
{
    uint64_t *w = card->mem->tx[card->tx_tail];

    w[0] = BUS_ADDR(card, out[card->tx_tail]);
    w[1] = TX_DATA_EOP_MASK | TX_DATA_RS_MASK;
    tx_data_set_type(w, DESC_TYPE_DATA);
    tx_data_set_len(w, vnic_net_buffer_copy(packet, card->mem->out[card->tx_tail], BUFFER));
    card->tx_tail = (card->tx_tail + 1) % RING;
    vnic_write_barrier();
    card_put(card, REG_QP_TX_TAIL, 4, card->tx_tail);
}

/* PROG-13: the next completion; false when there is none, and all slots are the card's again. */
static inline bool card_take(struct card *card, struct completion *c)
{
    const uint64_t *w = card->mem->cq[card->cq_next % CQ];

    if (rx_completion_gen(w) == (card->cq_next / CQ & 1)) { /* 1 in the first pass */
        card_put(card, REG_QP_CQ_TAIL, 4, (card->cq_next - 1) % CQ);
        return false;
    }
    vnic_read_barrier();
    card->cq_next++;
    c->is_send = rx_completion_type(w) == COMPLETION_TYPE_TX;
    c->status = (uint32_t)(c->is_send ? tx_completion_status(w) : rx_completion_error(w));
    c->len = (uint32_t)rx_completion_len(w);
    c->buffer = card->owner[card->rx_head];
    if (c->is_send) {
        c->is_sound =
            (tx_completion_head(w) - card->tx_head) % RING <= (card->tx_tail - card->tx_head) % RING;
        card->tx_head = (uint32_t)tx_completion_head(w) % RING;
    } else { /* the oldest buffer, with a frame that it can hold */
        c->is_sound = rx_completion_type(w) == COMPLETION_TYPE_RX && rx_completion_index(w) == card->rx_head
                      && card->rx_head != card->rx_tail
                      && (c->status || (c->len >= FRAME_MIN && c->len <= BUFFER));
        card->rx_head = (card->rx_head + 1) % RING;
    }
    return true;
}
