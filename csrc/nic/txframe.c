/* txframe.c: checking, reading and reporting of the frame being built. */
#include "nic/txframe.h"

#include "base/bits.h"
#include "nic/completion.h"
#include "nic/offload.h"
#include "nic/tags.h"
#include "nic/transmit.h"

#define DATA_USED_BITS (TX_DATA_LEN_MASK | TX_DATA_TYPE_MASK | TX_DATA_EOP_MASK | TX_DATA_RS_MASK)

static const uint64_t *txframe_desc(const struct vnic *card, uint32_t n)
{
    const struct tx_frame *t = &card->state.tx;
    return card->state.pair[t->pair].tx.desc[(t->first + n) % TX_CACHE];
}

static bool txframe_is_data(const uint64_t *desc)
{
    uint64_t len = tx_data_len(desc);
    return tx_data_type(desc) == DESC_TYPE_DATA && (desc[1] & ~DATA_USED_BITS) == 0 && len >= 1
           && len <= TX_LSO_MAX;
}

/* [TX-3] At most one context, first, then data only. Sums the bytes; reads on to the frame's end in any
 * case. */
static enum tx_status txframe_scan(struct vnic *card)
{
    struct tx_frame *t = &card->state.tx;
    bool is_sound = true;
    uint64_t total = 0;
    for (bool is_end = false; !is_end; t->descriptors++) {
        const uint64_t *desc = txframe_desc(card, t->descriptors);
        is_end = transmit_is_end(desc);
        if (t->descriptors == 0 && tx_data_type(desc) == DESC_TYPE_CONTEXT) {
            t->has_context = true;
            t->context[0] = desc[0];
            t->context[1] = desc[1];
            continue;
        }
        is_sound = is_sound && txframe_is_data(desc);
        total += tx_data_len(desc);
        t->wants_report = tx_data_rs(desc) != 0;
    }
    t->at = t->has_context;
    t->total = (uint32_t)bits_min64(total, UINT32_MAX);
    return is_sound ? TX_STATUS_OK : TX_STATUS_DESCRIPTOR;
}

enum tx_status txframe_begin(struct vnic *card, unsigned pair)
{
    struct tx_frame *t = &card->state.tx;
    *t = (struct tx_frame){
        .phase = TX_PHASE_GATHER, .pair = (uint8_t)pair, .first = card->state.pair[pair].tx.ring.head};
    enum tx_status status = txframe_scan(card);
    if (status != TX_STATUS_OK) {
        return status;
    }
    if (offload_is_large_send(t)) {
        t->phase = TX_PHASE_SEGMENT;
    }
    return offload_check(card);
}

bool txframe_gather(struct vnic *card, uint8_t *to, uint32_t want, uint32_t *bytes)
{
    struct tx_frame *t = &card->state.tx;
    const uint64_t *desc = txframe_desc(card, t->at);
    uint32_t left = (uint32_t)tx_data_len(desc) - t->at_offset;
    uint32_t n = bits_min32(want, left);
    enum vnic_dma_status status = dma_read(&card->pci, &card->scratch.hint[t->pair].tx_data,
                                           tx_data_addr(desc) + t->at_offset, to, n, VNIC_DMA_DATA);
    *bytes = n;
    t->taken += n;
    t->at_offset += n;
    if (n == left) {
        t->at++;
        t->at_offset = 0;
    }
    return status == VNIC_DMA_OK;
}

void txframe_report(struct vnic *card, unsigned pair, uint32_t first, enum tx_status status, uint32_t frames,
                    uint32_t bytes)
{
    const struct ring *ring = &card->state.pair[pair].tx.ring;
    uint64_t words[COMPLETION_WORDS] = {0};
    words[0] = (uint64_t)ring_index(ring, ring->head) << TX_COMPLETION_HEAD_SHIFT
               | (uint64_t)ring_index(ring, first) << TX_COMPLETION_INDEX_SHIFT
               | (uint64_t)status << TX_COMPLETION_STATUS_SHIFT;
    words[1] = (uint64_t)bytes << TX_COMPLETION_BYTES_SHIFT | (uint64_t)frames << TX_COMPLETION_FRAMES_SHIFT;
    words[2] = card->pci.now_ns;
    words[3] = COMPLETION_TYPE_TX;
    completion_write(card, pair, words);
}

void txframe_count_status(struct vnic *card, enum tx_status status)
{
    switch (status) {
    case TX_STATUS_OK:
        break;
    case TX_STATUS_DESCRIPTOR:
        card_count(card, STAT(TX_DROP_DESCRIPTOR));
        break;
    case TX_STATUS_LENGTH:
        card_count(card, STAT(TX_DROP_LENGTH));
        break;
    case TX_STATUS_OFFLOAD:
        card_count(card, STAT(TX_DROP_OFFLOAD));
        break;
    case TX_STATUS_DMA:
        card_count(card, STAT(TX_DROP_DMA));
        break;
    case TX_STATUS_LINK:
        card_count(card, STAT(TX_DROP_LINK));
        break;
    }
}

/* What follows from the descriptors is worked out again on loading and must agree. */
static bool txframe_is_sound(struct vnic *card)
{
    struct tx_frame saved = card->state.tx;
    const struct queue_pair *p = &card->state.pair[saved.pair];
    if (!p->tx.ring.is_running || p->tx.ends == 0 || p->cq.reserved == 0 || saved.first != p->tx.ring.head) {
        return false;
    }
    enum tx_status status = txframe_begin(card, saved.pair);
    struct tx_frame fresh = card->state.tx;
    card->state.tx = saved;
    uint32_t at = fresh.at, offset = saved.taken;
    while (at < fresh.descriptors && offset >= tx_data_len(txframe_desc(card, at))) {
        offset -= (uint32_t)tx_data_len(txframe_desc(card, at));
        at++;
    }
    bool is_same = status == TX_STATUS_OK && fresh.descriptors == saved.descriptors
                   && fresh.total == saved.total && fresh.has_context == saved.has_context
                   && fresh.wants_report == saved.wants_report && fresh.context[0] == saved.context[0]
                   && fresh.context[1] == saved.context[1];
    return is_same && saved.taken <= saved.total && saved.at == at && saved.at_offset == offset
           && offload_is_sound(card);
}

void txframe_archive(struct vnic *card, struct archive *a)
{
    struct tx_frame *t = &card->state.tx;
    ARCHIVE(a, TAG_TXF_PHASE, t->phase, TX_PHASE_SEGMENT);
    if (t->phase == TX_PHASE_NONE || a->failed) {
        return;
    }
    ARCHIVE(a, TAG_TXF_PAIR, t->pair, card->config.queue_pairs - 1u);
    ARCHIVE(a, TAG_TXF_HAS_CONTEXT, t->has_context, 1);
    ARCHIVE(a, TAG_TXF_REPORT, t->wants_report, 1);
    ARCHIVE(a, TAG_TXF_CONTEXT, t->context[0], UINT64_MAX);
    ARCHIVE(a, TAG_TXF_CONTEXT, t->context[1], UINT64_MAX);
    ARCHIVE(a, TAG_TXF_FIRST, t->first, UINT32_MAX);
    ARCHIVE(a, TAG_TXF_DESCRIPTORS, t->descriptors, TX_CACHE);
    ARCHIVE(a, TAG_TXF_AT, t->at, TX_CACHE);
    ARCHIVE(a, TAG_TXF_AT_OFFSET, t->at_offset, TX_LSO_MAX);
    ARCHIVE(a, TAG_TXF_TOTAL, t->total, TX_LSO_MAX);
    ARCHIVE(a, TAG_TXF_TAKEN, t->taken, TX_LSO_MAX);
    ARCHIVE(a, TAG_TXF_FILLED, t->filled, card->config.max_frame);
    ARCHIVE(a, TAG_TXF_SEGMENT, t->segment, TX_LSO_MAX);
    ARCHIVE(a, TAG_TXF_FRAMES, t->sent_frames, UINT32_MAX);
    ARCHIVE(a, TAG_TXF_BYTES, t->sent_bytes, UINT32_MAX);
    archive_bytes(a, TAG_TXF_HEADER, t->header, sizeof t->header);
    archive_refuse_if(a, archive_is_loading(a) && !a->failed && !txframe_is_sound(card));
    if (!a->failed) {
        archive_bytes(a, TAG_TXF_STAGE, offload_stage(card), offload_staged(card));
    }
}
