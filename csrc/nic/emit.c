/* emit.c: sending to the link or looping back, with the faults of frames that leave. */
#include "nic/emit.h"

#include <string.h>

#include "nic/filter.h"
#include "nic/receive.h"
#include "pci/disturb.h"

static bool emit_is_looped(const struct vnic *card)
{
    return card_is_set(card, REG_GLB_CTRL, GLB_CTRL_LOOPBACK_MASK);
}

bool emit_has_room(const struct vnic *card, uint32_t len)
{
    return packet_buffer_fits(emit_is_looped(card) ? &card->rx_buffer : &card->tx_buffer, len);
}

void emit_count(struct vnic *card, const uint8_t *frame, uint32_t len)
{
    unsigned stat = STAT(TX_UNICAST_FRAMES) + 2 * filter_class(frame);
    card->state.stat[stat]++;
    card->state.stat[stat + 1] += len;
}

static void emit_put(struct vnic *card, unsigned pair, const uint8_t *frame, uint32_t len,
                     const struct vnic_fault *fault)
{
    int verdict;
    if (!emit_has_room(card, len)) {
        return; /* a duplicate that a fault made */
    }
    uint8_t *slot = emit_is_looped(card) ? receive_slot(card, len, &verdict)
                                         : packet_buffer_push(&card->tx_buffer, len, pair);
    if (!slot) {
        return; /* [TX-16] looped and dropped at the door, where it was counted */
    }
    memcpy(slot, frame, len);
    if (fault && fault->action == VNIC_FAULT_CORRUPT) {
        fault_corrupt(fault, slot, len);
    }
    if (!emit_is_looped(card) && pci_is_observed(&card->pci, VNIC_EVENT_FRAME_OUT)) {
        struct vnic_event event = {
            .type = VNIC_EVENT_FRAME_OUT, .index = (uint8_t)pair, .len = len, .data = slot};
        pci_emit(&card->pci, &event);
    }
}

static void emit_keep(struct vnic *card, unsigned pair, const uint8_t *frame, uint32_t len, int id)
{
    pci_keep(&card->pci, id, (struct fault_item){.index = (uint8_t)pair, .len = len}, frame);
}

static void emit_faulty(struct vnic *card, unsigned pair, const uint8_t *frame, uint32_t len,
                        const struct vnic_fault *fault, int id)
{
    const bool is_kept = fault_is_keeping(fault);
    if (fault->action == VNIC_FAULT_CORRUPT || fault->action == VNIC_FAULT_DUPLICATE) {
        emit_put(card, pair, frame, len, fault);
    }
    if (is_kept) {
        emit_keep(card, pair, frame, len, id);
    } else if (fault->action == VNIC_FAULT_DUPLICATE) {
        emit_put(card, pair, frame, len, fault);
    }
}

/* For who sent it, it is sent. */
enum tx_status emit_frame(struct vnic *card, unsigned pair, const uint8_t *frame, uint32_t len)
{
    if (!emit_is_looped(card) && card->state.link_mbps == 0) {
        return TX_STATUS_LINK;
    }
    const struct fault_occurrence what = {
        .site = VNIC_FAULT_FRAME_OUT, .index = pair, .first = len, .last = len, .len = len};
    int id = 0;
    const struct vnic_fault *fault = pci_fault(&card->pci, &what, &id);
    emit_count(card, frame, len);
    if (fault) {
        emit_faulty(card, pair, frame, len, fault, id);
    } else {
        emit_put(card, pair, frame, len, NULL);
    }
    pci_let_go_behind(&card->pci, VNIC_FAULT_FRAME_OUT);
    return TX_STATUS_OK;
}

bool emit_late(struct vnic *card, unsigned pair, const uint8_t *frame, uint32_t len)
{
    if (!emit_is_looped(card) && card->state.link_mbps == 0) {
        card_count(card, STAT(TX_DROP_LINK));
        return true;
    }
    if (!emit_has_room(card, len)) {
        return false;
    }
    emit_put(card, pair, frame, len, NULL);
    return true;
}
