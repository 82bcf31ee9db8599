/* vector.c: raising of vectors in virtual time, by line, MSI or MSI-X. */
#include "nic/vector.h"

#include <string.h>

#include "base/bits.h"
#include "nic/tags.h"
#include "pci/disturb.h"

static uint32_t vector_ctrl_offset(unsigned vector)
{
    return REG_VEC_CTRL + vector * REG_VEC_STRIDE;
}

static uint64_t vector_mask(const struct vnic *card)
{
    return card->config.vectors == 64 ? UINT64_MAX : (1ull << card->config.vectors) - 1;
}

/* [INT-4] The line is up while a cause is unread and the master enable is set; MSI and MSI-X have no line. */
void vector_update_line(struct vnic *card)
{
    bool wanted = card->state.cause != 0 && card_is_set(card, REG_INT_CTRL, INT_CTRL_MASTER_ENABLE_MASK);
    pci_set_line(&card->pci, wanted && pci_mode(&card->pci) == PCI_MODE_INTX);
}

void vector_set_enabled(struct vnic *card, unsigned vector, bool enabled)
{
    uint32_t offset = vector_ctrl_offset(vector);
    uint32_t ctrl = card_reg(card, offset) & ~VEC_CTRL_ENABLE_MASK;
    if (enabled && vector < card->config.vectors) {
        card->state.vector_enabled |= 1ull << vector;
        ctrl |= VEC_CTRL_ENABLE_MASK;
    } else {
        card->state.vector_enabled &= ~(1ull << vector);
    }
    regfile_set(&card->regs, offset, ctrl);
}

/* The interval's counter has as many bits as its register: a lost end comes round again. */
static uint64_t vector_faulty_ns(struct vnic *card, unsigned vector, uint32_t interval)
{
    const struct fault_occurrence what = {
        .site = VNIC_FAULT_TIMER, .index = VNIC_FAULT_TIMER_MODERATION, .first = vector, .last = vector};
    int id = 0;
    const struct vnic_fault *fault = pci_fault(&card->pci, &what, &id);
    switch (fault ? fault->action : VNIC_FAULT_ACTIONS) {
    case VNIC_FAULT_ERROR:
        return 0;
    case VNIC_FAULT_DROP:
        return VEC_INTERVAL_NS_MASK;
    case VNIC_FAULT_DELAY:
        return interval + bits_min64(fault->argument, VEC_INTERVAL_NS_MASK - interval);
    default:
        return interval;
    }
}

static void vector_begin_interval(struct vnic *card, unsigned vector, uint32_t interval)
{
    uint64_t length =
        card->pci.faults.armed[VNIC_FAULT_TIMER] != 0 ? vector_faulty_ns(card, vector, interval) : interval;
    uint64_t now_ns = card->pci.now_ns;
    card->state.vector[vector].next_ns = now_ns > UINT64_MAX - length ? UINT64_MAX : now_ns + length;
    if (length != 0) {
        card->scratch.vector_ripe &= ~(1ull << vector);
    }
}

/* [INT-6] After a vector is raised it waits for its interval; with AUTO_MASK it also waits for the driver. */
static void vector_rest(struct vnic *card, unsigned vector)
{
    uint32_t interval = card_reg(card, REG_VEC_INTERVAL + vector * REG_VEC_STRIDE);
    struct vector *v = &card->state.vector[vector];
    v->raised++;
    if (interval != 0) {
        vector_begin_interval(card, vector, interval);
    }
    if (card_is_set(card, vector_ctrl_offset(vector), VEC_CTRL_AUTO_MASK_MASK)) {
        vector_set_enabled(card, vector, false);
    }
}

/* The next deliverable vector at or after the turn: no vector starves another. */
static unsigned vector_next(const struct vnic *card, uint64_t deliverable)
{
    uint64_t after = deliverable >> card->state.vector_turn << card->state.vector_turn;
    return (unsigned)__builtin_ctzll(after ? after : deliverable);
}

void vector_step(struct vnic *card)
{
    unsigned vector = vector_next(card, vector_deliverable(card));
    card->state.vector_turn = (uint8_t)((vector + 1) % CARD_VECTORS_MAX);
    card->state.vector_pending &= ~(1ull << vector);
    if (pci_mode(&card->pci) != PCI_MODE_MSIX) {
        card->state.cause |= 1ull << vector;
    }
    if (pci_mode(&card->pci) == PCI_MODE_INTX) {
        vector_update_line(card);
    } else {
        pci_raise(&card->pci, vector);
    }
    vector_rest(card, vector);
}

/* [INT-3] Reading a word of the cause register clears the bits that were read. */
uint32_t vector_read_cause(struct vnic *card, bool high, uint32_t enabled_bits)
{
    unsigned shift = high ? 32 : 0;
    uint32_t value = (uint32_t)(card->state.cause >> shift);
    card->state.cause &= ~((uint64_t)(value & enabled_bits) << shift);
    vector_update_line(card);
    return value;
}

void vector_set_time(struct vnic *card)
{
    uint64_t waiting = vector_mask(card) & ~card->scratch.vector_ripe;
    for (; waiting; waiting &= waiting - 1) {
        unsigned v = (unsigned)__builtin_ctzll(waiting);
        if (card->state.vector[v].next_ns <= card->pci.now_ns) {
            card->scratch.vector_ripe |= 1ull << v;
        }
    }
}

uint64_t vector_deadline(const struct vnic *card)
{
    uint64_t earliest = UINT64_MAX;
    uint64_t waiting = card->state.vector_pending & card->state.vector_enabled & ~card->scratch.vector_ripe;
    if (!card_is_set(card, REG_INT_CTRL, INT_CTRL_MASTER_ENABLE_MASK)) {
        return earliest;
    }
    for (; waiting; waiting &= waiting - 1) {
        uint64_t next = card->state.vector[__builtin_ctzll(waiting)].next_ns;
        earliest = next < earliest ? next : earliest;
    }
    return earliest;
}

void vector_reset(struct vnic *card)
{
    memset(card->state.vector, 0, sizeof card->state.vector);
    card->state.vector_pending = 0;
    card->state.vector_enabled = 0;
    card->state.vector_turn = 0;
    card->state.cause = 0;
    card->scratch.vector_ripe = UINT64_MAX;
    pci_set_line(&card->pci, false);
}

void vector_archive(struct vnic *card, struct archive *a)
{
    struct card_state *s = &card->state;
    uint64_t now_ns = card->pci.now_ns;
    for (unsigned i = 0; i < card->config.vectors; i++) {
        ARCHIVE(a, TAG_VECTOR_NEXT, s->vector[i].next_ns, UINT64_MAX);
        archive_refuse_if(a, s->vector[i].next_ns > now_ns
                                 && s->vector[i].next_ns - now_ns > VEC_INTERVAL_NS_MASK);
        ARCHIVE(a, TAG_VECTOR_CAUSES, s->vector[i].causes, UINT32_MAX);
        ARCHIVE(a, TAG_VECTOR_RAISED, s->vector[i].raised, UINT32_MAX);
    }
    ARCHIVE(a, TAG_VECTOR_PENDING, s->vector_pending, vector_mask(card));
    ARCHIVE(a, TAG_VECTOR_ENABLED, s->vector_enabled, vector_mask(card));
    ARCHIVE(a, TAG_VECTOR_CAUSE, s->cause, vector_mask(card));
    ARCHIVE(a, TAG_VECTOR_TURN, s->vector_turn, CARD_VECTORS_MAX - 1);
    if (archive_is_loading(a)) {
        card->scratch.vector_ripe = 0;
        vector_set_time(card);
        card->scratch.vector_ripe |= ~vector_mask(card);
    }
}
