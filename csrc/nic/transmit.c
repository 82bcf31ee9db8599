/* transmit.c: the transmit engine: whose turn it is, fetching, refusing, gathering and finishing of
 * frames. */
#include "nic/transmit.h"

#include <string.h>

#include "base/bits.h"
#include "nic/completion.h"
#include "nic/emit.h"
#include "nic/offload.h"
#include "nic/pair.h"
#include "nic/tags.h"
#include "nic/txframe.h"

/* ---- whose turn ---- */

enum tx_todo { TODO_NOTHING, TODO_FETCH, TODO_SKIP, TODO_FRAME };

static enum tx_todo transmit_todo(const struct vnic *card, unsigned pair)
{
    const struct queue_pair *p = &card->state.pair[pair];
    const struct tx_ring *tx = &p->tx;
    if (!tx->ring.is_running) {
        return TODO_NOTHING;
    }
    if (tx->is_skipping && tx->cached > 0) {
        return TODO_SKIP;
    }
    if (tx->ends > 0 || tx->cached == TX_CACHE) { /* a whole frame, or one of too many descriptors */
        return completion_free(&p->cq) > 0 ? TODO_FRAME : TODO_NOTHING;
    }
    return ring_owned(&tx->ring) > tx->cached ? TODO_FETCH : TODO_NOTHING;
}

static bool transmit_is_enabled(const struct vnic *card)
{
    return card->pci.is_master && card_is_set(card, REG_MAC_TX_CTRL, MAC_TX_CTRL_ENABLE_MASK);
}

static void transmit_pass_turn(struct vnic *card)
{
    card->state.tx_turn = (uint8_t)((card->state.tx_turn + 1u) % card->config.queue_pairs);
    card->state.tx_turn_open = false;
}

/* [TX-14] Deficit round robin: in its turn a ring gets a quantum and sends while it has credit. A ring
 * without work keeps a debt but no credit. Somebody has work when this is called, so it ends: each round
 * pays a quantum off a debt. */
unsigned transmit_pick(struct vnic *card)
{
    for (;;) {
        unsigned pair = card->state.tx_turn;
        struct tx_ring *tx = &card->state.pair[pair].tx;
        enum tx_todo todo = transmit_todo(card, pair);
        if (todo == TODO_FETCH || todo == TODO_SKIP) {
            return pair;
        }
        if (todo == TODO_NOTHING) {
            tx->credit = tx->credit < 0 ? tx->credit : 0;
        } else {
            if (!card->state.tx_turn_open) {
                card->state.tx_turn_open = true;
                tx->credit = tx->credit + TX_QUANTUM < TX_QUANTUM ? tx->credit + TX_QUANTUM : TX_QUANTUM;
            }
            if (tx->credit > 0) {
                return pair;
            }
        }
        transmit_pass_turn(card);
    }
}

static bool transmit_has_todo(const struct vnic *card)
{
    for (uint32_t ready = card->scratch.tx_ready; ready; ready &= ready - 1) {
        if (transmit_todo(card, bits_ctz(ready)) != TODO_NOTHING) {
            return true;
        }
    }
    return false;
}

bool transmit_is_runnable(const struct vnic *card)
{
    if (!transmit_is_enabled(card)) {
        return false;
    }
    switch ((enum tx_phase)card->state.tx.phase) {
    case TX_PHASE_NONE:
        return transmit_has_todo(card);
    case TX_PHASE_GATHER:
        return true;
    case TX_PHASE_READY:
        return emit_has_room(card, offload_len(card));
    case TX_PHASE_SEGMENT:
        break;
    }
    return false;
}

uint64_t transmit_next_bytes(const struct vnic *card)
{
    return card->config.max_frame + COMPLETION_BYTES;
}

/* ---- descriptors ---- */

static void transmit_count_ends(struct tx_ring *tx, uint32_t from, uint32_t n)
{
    uint32_t ends = 0;
    for (uint32_t i = 0; i < n; i++) {
        ends += transmit_is_end(tx->desc[(from + i) % TX_CACHE]);
    }
    tx->ends += ends;
}

/* One DMA: the next descriptors, up to the end of the ring and of the cache. */
uint64_t transmit_fetch(struct vnic *card, unsigned pair)
{
    struct tx_ring *tx = &card->state.pair[pair].tx;
    uint32_t at = tx->ring.head + tx->cached;
    uint32_t index = ring_index(&tx->ring, at);
    uint32_t slot = at % TX_CACHE;
    uint32_t room = bits_min32(TX_FETCH, bits_min32(TX_CACHE - tx->cached, TX_CACHE - slot));
    uint32_t n = bits_min32(ring_owned(&tx->ring) - tx->cached, bits_min32(tx->ring.count - index, room));
    uint64_t bytes = (uint64_t)n * TX_DATA_BYTES;
    enum vnic_dma_status status = dma_read(&card->pci, &card->scratch.hint[pair].tx_ring,
                                           tx->ring.base + (uint64_t)index * TX_DATA_BYTES, tx->desc[slot],
                                           (uint32_t)bytes, VNIC_DMA_DESCRIPTOR);
    if (status != VNIC_DMA_OK) {
        pair_fail_tx(card, pair, RING_ERROR_FETCH_DMA);
        return bytes;
    }
    tx->cached += n;
    transmit_count_ends(tx, at, n);
    return bytes;
}

static void transmit_consume(struct tx_ring *tx, uint32_t n, uint32_t ends)
{
    tx->ring.head += n;
    tx->cached -= n;
    tx->ends -= ends;
}

/* [TX-4] A frame of more than TX_CACHE descriptors is refused; it is passed over up to its end. */
static void transmit_start_skip(struct vnic *card, unsigned pair)
{
    struct tx_ring *tx = &card->state.pair[pair].tx;
    card->state.pair[pair].cq.reserved++;
    tx->is_skipping = true;
    tx->skip_first = tx->ring.head;
}

static void transmit_skip(struct vnic *card, unsigned pair)
{
    struct tx_ring *tx = &card->state.pair[pair].tx;
    uint32_t n = 0;
    bool is_end = false;
    while (n < tx->cached && !is_end) {
        is_end = transmit_is_end(tx->desc[(tx->ring.head + n) % TX_CACHE]);
        n++;
    }
    transmit_consume(tx, n, is_end);
    if (is_end) {
        uint32_t first = tx->skip_first;
        tx->is_skipping = false;
        tx->skip_first = 0;
        card_count(card, STAT(TX_DROP_DESCRIPTOR));
        txframe_report(card, pair, first, TX_STATUS_DESCRIPTOR, 0, 0);
    }
}

/* ---- a frame ---- */

/* The frame leaves the ring; reported when asked for or when it failed. */
void transmit_finish(struct vnic *card, enum tx_status status)
{
    struct tx_frame t = card->state.tx;
    struct queue_pair *p = &card->state.pair[t.pair];
    card->state.tx = (struct tx_frame){0};
    transmit_consume(&p->tx, t.descriptors, 1);
    p->tx.credit -= (int32_t)t.sent_bytes;
    p->tx.frames += t.sent_frames;
    p->tx.bytes += t.sent_bytes;
    txframe_count_status(card, status);
    if (status != TX_STATUS_OK || t.wants_report) {
        txframe_report(card, t.pair, t.first, status, t.sent_frames, t.sent_bytes);
    } else {
        p->cq.reserved--;
    }
}

static void transmit_send(struct vnic *card)
{
    struct tx_frame *t = &card->state.tx;
    enum tx_status status = offload_apply(card);
    if (status == TX_STATUS_OK) {
        uint32_t len;
        const uint8_t *frame = offload_frame(card, &len);
        status = emit_frame(card, t->pair, frame, len);
        t->sent_frames = status == TX_STATUS_OK;
        t->sent_bytes = status == TX_STATUS_OK ? len : 0;
    }
    transmit_finish(card, status);
}

static uint64_t transmit_gather(struct vnic *card)
{
    struct tx_frame *t = &card->state.tx;
    uint32_t bytes = 0;
    if (!txframe_gather(card, offload_stage(card) + t->taken, t->total - t->taken, &bytes)) {
        transmit_finish(card, TX_STATUS_DMA);
    } else if (t->taken == t->total) {
        t->phase = TX_PHASE_READY;
        if (emit_has_room(card, offload_len(card))) {
            transmit_send(card);
        }
    }
    return bytes + COMPLETION_BYTES;
}

static uint64_t transmit_start(struct vnic *card, unsigned pair)
{
    if (card->state.pair[pair].tx.ends == 0) {
        transmit_start_skip(card, pair);
        return 0;
    }
    card->state.pair[pair].cq.reserved++;
    enum tx_status status = txframe_begin(card, pair);
    if (status != TX_STATUS_OK) {
        transmit_finish(card, status);
        return COMPLETION_BYTES;
    }
    if (card->state.tx.phase == TX_PHASE_SEGMENT) {
        return 0; /* the large-send engine goes on */
    }
    return transmit_gather(card);
}

uint64_t transmit_step(struct vnic *card)
{
    if (card->state.tx.phase == TX_PHASE_GATHER) {
        return transmit_gather(card);
    }
    if (card->state.tx.phase == TX_PHASE_READY) {
        transmit_send(card);
        return COMPLETION_BYTES;
    }
    unsigned pair = transmit_pick(card);
    switch (transmit_todo(card, pair)) {
    case TODO_FETCH:
        return transmit_fetch(card, pair);
    case TODO_SKIP:
        transmit_skip(card, pair);
        return COMPLETION_BYTES;
    case TODO_FRAME:
        return transmit_start(card, pair);
    case TODO_NOTHING:
        break;
    }
    return 0;
}

/* ---- reset, bound, snapshot ---- */

void transmit_abandon(struct vnic *card, unsigned pair)
{
    struct queue_pair *p = &card->state.pair[pair];
    bool is_building = card->state.tx.phase != TX_PHASE_NONE && card->state.tx.pair == pair;
    uint32_t promised = (uint32_t)is_building + p->tx.is_skipping;
    p->cq.reserved -= bits_min32(p->cq.reserved, promised);
    if (is_building) {
        card->state.tx = (struct tx_frame){0};
    }
}

/* A descriptor takes at most a fetch, a start and a gather; a large send needs two descriptors and makes
 * at most TX_LSO_MAX / TX_MSS_MIN segments, each gathered in at most one step more than it has
 * descriptors, and each, looped back, delivered in at most 2 * (max_frame / 64 + 2) steps. */
uint64_t transmit_idle_steps(const struct vnic *card)
{
    uint64_t descriptors = 0;
    for (unsigned i = 0; i < card->config.queue_pairs; i++) {
        const struct tx_ring *tx = &card->state.pair[i].tx;
        descriptors += tx->ring.is_running ? ring_owned(&tx->ring) : 0;
    }
    uint64_t segments = descriptors / 2 * (TX_LSO_MAX / TX_MSS_MIN + 1) + descriptors;
    return 4 * descriptors + segments * (2 + 2 * (card->config.max_frame / 64u + 2));
}

void transmit_reset(struct vnic *card)
{
    card->state.tx = (struct tx_frame){0};
    card->state.tx_turn = 0;
    card->state.tx_turn_open = false;
    packet_buffer_clear(&card->tx_buffer);
}

void transmit_archive(struct vnic *card, struct archive *a)
{
    ARCHIVE(a, TAG_TX_TURN, card->state.tx_turn, card->config.queue_pairs - 1u);
    ARCHIVE(a, TAG_TX_TURN_OPEN, card->state.tx_turn_open, 1);
    txframe_archive(card, a);
}
