/* largesend.c: the segmentation engine, step by step (LSOv1 and LSOv2). */
#include "nic/largesend.h"

#include <string.h>

#include "base/bits.h"
#include "nic/completion.h"
#include "nic/emit.h"
#include "nic/offload.h"
#include "nic/txframe.h"

static uint32_t largesend_header_len(const struct tx_frame *t)
{
    return (uint32_t)tx_context_hdr_len(t->context);
}

static bool largesend_has_header(const struct tx_frame *t)
{
    return t->taken >= largesend_header_len(t);
}

static uint32_t largesend_payload_len(const struct tx_frame *t)
{
    return t->total - largesend_header_len(t);
}

/* Payload bytes of the segment at hand. */
static uint32_t largesend_segment_len(const struct tx_frame *t)
{
    uint32_t mss = (uint32_t)tx_context_mss(t->context);
    return bits_min32(mss, largesend_payload_len(t) - t->segment * mss);
}

static bool largesend_is_segment_full(const struct tx_frame *t)
{
    return largesend_has_header(t) && t->filled == largesend_segment_len(t);
}

/* [TX-12] The headers agree with the context: IP version, offsets, data offset, one TCP segment. */
static bool largesend_plan(struct vnic *card)
{
    const struct tx_frame *t = &card->state.tx;
    struct segment_plan *plan = &card->scratch.plan;
    enum segment_error error = segment_plan_make(
        plan, t->header, largesend_header_len(t), (uint32_t)tx_context_l3_offset(t->context),
        (uint32_t)tx_context_l4_offset(t->context), (uint32_t)tx_context_mss(t->context),
        largesend_payload_len(t));
    if (error != SEGMENT_OK || plan->is_ipv6 != (tx_context_l3_kind(t->context) == L3_KIND_IPV6)) {
        return false;
    }
    plan->seed = segment_seed_field(plan);
    return true;
}

bool largesend_is_runnable(const struct vnic *card)
{
    const struct tx_frame *t = &card->state.tx;
    if (t->phase != TX_PHASE_SEGMENT || !card->pci.is_master
        || !card_is_set(card, REG_MAC_TX_CTRL, MAC_TX_CTRL_ENABLE_MASK)) {
        return false;
    }
    return !largesend_is_segment_full(t) || emit_has_room(card, offload_len(card));
}

uint64_t largesend_next_bytes(const struct vnic *card)
{
    return card->config.max_frame + COMPLETION_BYTES;
}

static void largesend_finish(struct vnic *card)
{
    card_count(card, STAT(TX_LSO_SENDS));
    transmit_finish(card, TX_STATUS_OK);
}

/* [TX-13] A segment leaves as soon as it is full. */
static void largesend_emit(struct vnic *card)
{
    struct tx_frame *t = &card->state.tx;
    uint32_t header_len = largesend_header_len(t);
    uint8_t *payload = offload_stage(card);
    uint64_t sum = card->scratch.csum->add(0, payload, t->filled);
    segment_header(&card->scratch.plan, t->segment, sum, payload - header_len);
    uint32_t len;
    const uint8_t *frame = offload_finish(card, payload - header_len, header_len + t->filled, &len);
    enum tx_status status = emit_frame(card, t->pair, frame, len);
    if (status != TX_STATUS_OK) {
        transmit_finish(card, status);
        return;
    }
    card_count(card, STAT(TX_LSO_SEGMENTS));
    t->sent_frames++;
    t->sent_bytes += len;
    t->segment++;
    t->filled = 0;
    if (t->taken == t->total) {
        largesend_finish(card);
    }
}

static uint64_t largesend_read_header(struct vnic *card)
{
    struct tx_frame *t = &card->state.tx;
    uint32_t bytes = 0;
    if (!txframe_gather(card, t->header + t->taken, largesend_header_len(t) - t->taken, &bytes)) {
        transmit_finish(card, TX_STATUS_DMA);
    } else if (largesend_has_header(t) && !largesend_plan(card)) {
        transmit_finish(card, TX_STATUS_OFFLOAD);
    }
    return bytes + COMPLETION_BYTES;
}

uint64_t largesend_step(struct vnic *card)
{
    struct tx_frame *t = &card->state.tx;
    uint32_t bytes = 0;
    if (!largesend_has_header(t)) {
        return largesend_read_header(card);
    }
    if (!largesend_is_segment_full(t)) {
        bool is_read = txframe_gather(card, offload_stage(card) + t->filled,
                                      largesend_segment_len(t) - t->filled, &bytes);
        t->filled += bytes;
        if (!is_read) {
            transmit_finish(card, TX_STATUS_DMA);
            return bytes + COMPLETION_BYTES;
        }
    }
    if (largesend_is_segment_full(t) && emit_has_room(card, offload_len(card))) {
        largesend_emit(card);
    }
    return bytes + COMPLETION_BYTES;
}

bool largesend_is_sound(struct vnic *card)
{
    const struct tx_frame *t = &card->state.tx;
    uint32_t header_len = largesend_header_len(t);
    uint32_t mss = (uint32_t)tx_context_mss(t->context);
    uint32_t frame = header_len + mss + (tx_context_vlan_insert(t->context) ? VLAN_TAG_BYTES : 0);
    if (t->sent_frames != t->segment || t->sent_bytes != (uint64_t)t->segment * frame) {
        return false;
    }
    if (!largesend_has_header(t)) {
        return t->segment == 0 && t->filled == 0;
    }
    uint64_t read = (uint64_t)t->segment * mss + t->filled;
    return largesend_plan(card) && t->segment < card->scratch.plan.count
           && t->filled <= largesend_segment_len(t) && read == t->taken - header_len;
}
