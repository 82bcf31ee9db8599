/* pair_snapshot.c: what of a queue pair is saved, and what a loaded one must satisfy. */
#include "nic/pair.h"
#include "nic/tags.h"
#include "nic/transmit.h"

static void pair_archive_rx(struct rx_ring *rx, struct archive *a)
{
    ring_archive(&rx->ring, a);
    ARCHIVE(a, TAG_RX_BUF_LEN, rx->buf_len, UINT32_MAX);
    ARCHIVE(a, TAG_RX_HDR_LEN, rx->hdr_len, UINT32_MAX);
    archive_refuse_if(a, rx->ring.is_running
                             && (rx->buf_len < PAIR_BUF_LEN_MIN || rx->buf_len > PAIR_BUF_LEN_MAX));
    ARCHIVE(a, TAG_RX_CACHED, rx->cached, RX_CACHE);
    archive_refuse_if(a, rx->cached && (!rx->ring.is_running || rx->cached > ring_owned(&rx->ring)));
    for (uint32_t i = 0; i < rx->cached && !a->failed; i++) {
        archive_bytes(a, TAG_RX_DESC, rx->desc[(rx->ring.head + i) % RX_CACHE], RX_DESC_BYTES);
    }
    ARCHIVE(a, TAG_RX_FRAMES, rx->frames, UINT64_MAX);
    ARCHIVE(a, TAG_RX_BYTES, rx->bytes, UINT64_MAX);
    ARCHIVE(a, TAG_RX_DROPS, rx->drops, UINT64_MAX);
}

static void pair_archive_tx(struct tx_ring *tx, struct archive *a)
{
    ring_archive(&tx->ring, a);
    ARCHIVE(a, TAG_TX_CACHED, tx->cached, TX_CACHE);
    archive_refuse_if(a, tx->cached && (!tx->ring.is_running || tx->cached > ring_owned(&tx->ring)));
    uint32_t ends = 0;
    for (uint32_t i = 0; i < tx->cached && !a->failed; i++) {
        uint64_t *desc = tx->desc[(tx->ring.head + i) % TX_CACHE];
        archive_bytes(a, TAG_TX_DESC, desc, TX_DATA_BYTES);
        ends += transmit_is_end(desc);
    }
    ARCHIVE(a, TAG_TX_ENDS, tx->ends, TX_CACHE);
    archive_refuse_if(a, tx->ends != ends);
    uint32_t credit = (uint32_t)tx->credit;
    ARCHIVE(a, TAG_TX_CREDIT, credit, UINT32_MAX);
    tx->credit = (int32_t)credit;
    archive_refuse_if(a, tx->credit > TX_QUANTUM || tx->credit < -TX_DEBT_MAX);
    ARCHIVE(a, TAG_TX_SKIPPING, tx->is_skipping, 1);
    ARCHIVE(a, TAG_TX_SKIP_FIRST, tx->skip_first, UINT32_MAX);
    archive_refuse_if(a, tx->is_skipping && !tx->ring.is_running);
    ARCHIVE(a, TAG_TX_FRAMES, tx->frames, UINT64_MAX);
    ARCHIVE(a, TAG_TX_BYTES, tx->bytes, UINT64_MAX);
}

static bool ring_is_live(const struct ring *r)
{
    return r->count != 0 || r->error != RING_ERROR_NONE;
}

/* A pair that was never used, or was reset, has nothing to save but its counters. */
static bool pair_is_live(const struct queue_pair *p)
{
    return ring_is_live(&p->rx.ring) || ring_is_live(&p->tx.ring) || ring_is_live(&p->cq.ring) || p->rx.frames
           || p->rx.drops || p->tx.frames;
}

void pair_archive(struct vnic *card, unsigned pair, struct archive *a)
{
    struct queue_pair *p = &card->state.pair[pair];
    bool is_live = pair_is_live(p);
    ARCHIVE(a, TAG_PAIR_IS_LIVE, is_live, 1);
    if (!is_live || a->failed) {
        return;
    }
    pair_archive_rx(&p->rx, a);
    pair_archive_tx(&p->tx, a);
    ring_archive(&p->cq.ring, a);
    ARCHIVE(a, TAG_CQ_RESERVED, p->cq.reserved, RING_COUNT_MAX);
    ARCHIVE(a, TAG_CQ_VECTOR, p->cq.vector, UINT8_MAX);
    archive_refuse_if(a, !pair_is_live(p));
    archive_refuse_if(a, p->cq.ring.is_running && p->cq.vector >= card->config.vectors);
    archive_refuse_if(a, p->cq.reserved > (p->cq.ring.is_running ? ring_owned(&p->cq.ring) : 0));
    archive_refuse_if(a, (p->rx.ring.is_running || p->tx.ring.is_running) && !p->cq.ring.is_running);
    if (archive_is_loading(a) && p->tx.ring.is_running) {
        card->scratch.tx_ready |= 1u << pair;
    }
}
