/* burst_transmit.c: equal frames of one descriptor and no context, copied straight to where they go. */
#include "base/bits.h"
#include "nic/burst.h"
#include "nic/completion.h"
#include "nic/copy_small.h"
#include "nic/emit.h"
#include "nic/filter.h"
#include "nic/reach.h"
#include "nic/receive.h"
#include "nic/transmit.h"
#include "nic/txframe.h"

/* Everything but the length and the wish for a report is as it is for a whole frame in one descriptor. */
#define SIMPLE_MASK (~(TX_DATA_LEN_MASK | TX_DATA_RS_MASK))
#define SIMPLE_BITS ((uint64_t)DESC_TYPE_DATA << TX_DATA_TYPE_SHIFT | TX_DATA_EOP_MASK)

struct tx_burst {
    bool is_looped;
    uint64_t steps, bytes, max_steps, max_bytes;
};

/* Frames of one ring and one length, up to the first that wants a report: that one is the last. */
struct tx_train {
    unsigned pair;
    uint32_t len;
    uint64_t word; /* of every descriptor, the wish for a report aside */
    uint32_t count, max;
    bool wants_report;
};

static bool burst_is_quiet(const struct vnic *card, bool is_looped)
{
    return card->pci.is_direct && card->pci.faults.armed[VNIC_FAULT_FRAME_OUT] == 0
           && !pci_is_observed(&card->pci, VNIC_EVENT_FRAME_OUT) && (is_looped || card->state.link_mbps != 0);
}

/* ---- which frames ---- */

/* Looped back, a frame may be refused at the door. */
static bool train_is_admitted(const struct vnic *card, const struct tx_burst *b, uint32_t len)
{
    uint32_t least = card_is_set(card, REG_MAC_TX_CTRL, MAC_TX_CTRL_PAD_MASK) ? TX_PAD_TO : FRAME_MIN;
    return len >= least && len <= card->config.max_frame && (!b->is_looped || receive_would_take(card, len));
}

/* The most frames for which neither budget, credit nor the buffer's room ends. There is credit. */
static uint32_t train_limit(const struct vnic *card, const struct tx_burst *b,
                            const struct packet_buffer *into, const struct tx_train *t)
{
    const struct tx_ring *tx = &card->state.pair[t->pair].tx;
    uint64_t bound = transmit_next_bytes(card), left = b->max_bytes - b->bytes;
    if (left < bound) {
        return 0;
    }
    uint64_t by_budget =
        bits_min64(b->max_steps - b->steps, (left - bound) / (t->len + COMPLETION_BYTES) + 1);
    uint32_t by_credit = ((uint32_t)tx->credit + t->len - 1) / t->len;
    uint32_t by_room = bits_min32(packet_buffer_room(into, t->len), tx->ends);
    return (uint32_t)bits_min64(by_budget, bits_min32(by_credit, by_room));
}

static bool train_open(const struct vnic *card, const struct tx_burst *b, const struct packet_buffer *into,
                       struct tx_train *t)
{
    const struct queue_pair *p = &card->state.pair[t->pair];
    const uint64_t *desc = p->tx.desc[p->tx.ring.head % TX_CACHE];
    t->len = (uint32_t)tx_data_len(desc);
    t->word = desc[1] & ~TX_DATA_RS_MASK;
    if (p->tx.is_skipping || p->tx.ends == 0 || completion_free(&p->cq) == 0
        || (desc[1] & SIMPLE_MASK) != SIMPLE_BITS || !train_is_admitted(card, b, t->len)) {
        return false;
    }
    t->max = train_limit(card, b, into, t);
    return t->max > 0;
}

/* ---- moving ---- */

/* Copies frames to the end of the buffer, up to the first that is not like the first one, or whose memory is
 * not in the same piece. */
static void train_copy(struct vnic *card, struct packet_buffer *into, struct tx_train *t, uint32_t queue)
{
    const struct tx_ring *tx = &card->state.pair[t->pair].tx;
    uint32_t len = t->len, slots = packet_slots(len), offset = into->next, at = into->count,
             head = tx->ring.head, n = 0;
    bool wants_report = false;
    struct reach reach;
    reach_seek(&reach, &card->pci, &card->scratch.hint[t->pair].tx_data,
               tx_data_addr(tx->desc[head % TX_CACHE]), t->len, VNIC_MAP_READ);
    for (; n < t->max && !wants_report; n++, head++, offset += slots) {
        const uint64_t *desc = tx->desc[head % TX_CACHE];
        const uint8_t *from = reach_at(&reach, tx_data_addr(desc));
        if ((desc[1] & ~TX_DATA_RS_MASK) != t->word || !from) {
            break;
        }
        reach_prefetch_read(&reach, tx_data_addr(tx->desc[(head + REACH_AHEAD) % TX_CACHE]));
        wants_report = (desc[1] & TX_DATA_RS_MASK) != 0;
        copy_small(into->bytes + offset, from, len);
        *packet_buffer_at(into, at + n) =
            (struct packet){.offset = offset, .len = len, .span = slots, .queue = queue};
    }
    t->count = n;
    t->wants_report = wants_report;
}

static void train_count(struct vnic *card, const struct packet_buffer *into, const struct tx_train *t)
{
    uint32_t unicast = 0;
    for (uint32_t i = 0; i < t->count; i++) {
        const uint8_t *frame = into->bytes + into->next + i * packet_slots(t->len);
        unicast += (frame[0] & 1) == 0;
        if (frame[0] & 1) {
            emit_count(card, frame, t->len);
        }
    }
    card->state.stat[STAT(TX_UNICAST_FRAMES)] += unicast;
    card->state.stat[STAT(TX_UNICAST_FRAMES) + 1] += (uint64_t)unicast * t->len;
}

/* The frames leave the ring. */
static void train_close(struct vnic *card, struct packet_buffer *into, const struct tx_train *t)
{
    struct queue_pair *p = &card->state.pair[t->pair];
    struct tx_ring *tx = &p->tx;
    uint64_t bytes = (uint64_t)t->count * t->len;
    train_count(card, into, t);
    packet_buffer_push_run(into, t->len, t->count);
    tx->ring.head += t->count;
    tx->cached -= t->count;
    tx->ends -= t->count;
    tx->credit -= (int32_t)bytes;
    tx->frames += t->count;
    tx->bytes += bytes;
    if (t->wants_report) {
        p->cq.reserved++;
        txframe_report(card, t->pair, tx->ring.head - 1, TX_STATUS_OK, 1, t->len);
    }
}

/* The ring has its turn and no frame in its cache: its next step reads descriptors. */
static bool burst_lacks_descriptors(const struct tx_ring *tx)
{
    return tx->ends == 0 && tx->cached < TX_CACHE && !(tx->is_skipping && tx->cached > 0);
}

/* The next frames of the ring whose turn it is; false: the next step is not simple. */
static bool burst_send(struct vnic *card, struct tx_burst *b)
{
    struct tx_train t = {.pair = transmit_pick(card)};
    struct packet_buffer *into = b->is_looped ? &card->rx_buffer : &card->tx_buffer;
    if (burst_lacks_descriptors(&card->state.pair[t.pair].tx)) {
        b->bytes += transmit_fetch(card, t.pair);
        b->steps++;
        return true;
    }
    if (!train_open(card, b, into, &t)) {
        return false;
    }
    train_copy(card, into, &t, b->is_looped ? 0 : t.pair);
    train_close(card, into, &t);
    b->steps += t.count;
    b->bytes += (uint64_t)t.count * (t.len + COMPLETION_BYTES);
    return t.count != 0;
}

uint64_t burst_transmit(struct vnic *card, uint64_t max_steps, uint64_t max_bytes, uint64_t *bytes)
{
    struct tx_burst b = {
        .is_looped = card_is_set(card, REG_GLB_CTRL, GLB_CTRL_LOOPBACK_MASK),
        .max_steps = max_steps,
        .max_bytes = max_bytes,
    };
    if (card->state.tx.phase != TX_PHASE_NONE || !burst_is_quiet(card, b.is_looped)) {
        return 0;
    }
    while (b.steps < max_steps && b.bytes + transmit_next_bytes(card) <= max_bytes
           && transmit_is_runnable(card) && burst_send(card, &b)) {
    }
    *bytes = b.bytes;
    return b.steps;
}
