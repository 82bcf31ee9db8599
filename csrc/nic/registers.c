/* registers.c: the hooks of BAR0: which part of the card a register speaks to. */
#include "nic/registers.h"

#include <string.h>

#include "nic/chimney.h"
#include "nic/filter.h"
#include "nic/pair.h"
#include "nic/run.h"
#include "nic/scale.h"
#include "nic/test_block.h"
#include "nic/vector.h"

static uint32_t half(uint64_t value, bool high)
{
    return (uint32_t)(high ? value >> 32 : value);
}

static uint64_t registers_mac(const struct vnic *card)
{
    uint64_t address = 0;
    for (unsigned i = 0; i < 6; i++) {
        address |= (uint64_t)card->config.mac[i] << 8 * i;
    }
    return address;
}

/* ---- reads ---- */

/* [DEV-7] Accesses to no register are guest errors too; the register file counts them. */
static uint64_t registers_statistic(const struct vnic *card, uint32_t offset)
{
    uint32_t counter = (offset - REG_STAT_RX_UNICAST_FRAMES) / 8;
    return card->state.stat[counter] + (counter == STAT(GUEST_ERRORS) ? card->regs.strays : 0);
}

static uint32_t registers_caps(const struct vnic *card, uint32_t stored)
{
    return (stored & ~(GLB_CAPS_QUEUE_PAIRS_MASK | GLB_CAPS_VECTORS_MASK))
           | (uint32_t)card->config.queue_pairs << GLB_CAPS_QUEUE_PAIRS_SHIFT
           | (uint32_t)card->config.vectors << GLB_CAPS_VECTORS_SHIFT;
}

static uint32_t registers_status(const struct vnic *card)
{
    return (uint32_t)(card->state.link_mbps != 0) << GLB_STATUS_LINK_UP_SHIFT
           | (uint32_t)(run_runnable(card) == 0) << GLB_STATUS_IDLE_SHIFT;
}

static uint32_t registers_read_vector(const struct vnic *card, const struct reg_ref *ref)
{
    unsigned v = ref->index;
    switch (ref->reg) {
    case REGID_VEC_STATUS:
        return (uint32_t)(card->state.vector_pending >> v & 1u);
    case REGID_VEC_CAUSES:
        return card->state.vector[v].causes;
    default:
        return card->state.vector[v].raised;
    }
}

static uint32_t registers_read(void *owner, const struct reg_ref *ref, uint32_t stored, uint32_t enabled)
{
    struct vnic *card = owner;
    switch (ref->reg) {
    case REGID_GLB_STATUS:
        return registers_status(card);
    case REGID_GLB_SPEED:
        return card->state.link_mbps;
    case REGID_GLB_TIME:
        return half(card->pci.now_ns, ref->high);
    case REGID_GLB_CAPS:
        return registers_caps(card, stored);
    case REGID_GLB_FEATURES:
        return stored | (uint32_t)(card->chimney != NULL) << GLB_FEATURES_CHIMNEY_SHIFT;
    case REGID_GLB_MAX_FRAME:
        return card->config.max_frame;
    case REGID_GLB_RX_BUFFER:
        return card->config.rx_buffer_bytes;
    case REGID_MAC_PERM_ADDR:
        return half(registers_mac(card), ref->high);
    case REGID_INT_CAUSE:
        return vector_read_cause(card, ref->high, enabled);
    case REGID_INT_CAUSE_PEEK:
        return half(card->state.cause, ref->high);
    case REGID_TEST_ECHO:
        return stored * 2;
    case REGID_TEST_DMA_STATUS:
        return test_block_status(card);
    case REGID_RSS_STATUS:
        return scale_read_status(card);
    case REGID_VEC_STATUS:
    case REGID_VEC_CAUSES:
    case REGID_VEC_RAISED:
        return registers_read_vector(card, ref);
    default:
        break;
    }
    if (ref->offset >= REG_STAT_RX_UNICAST_FRAMES && ref->offset < REG_STAT_RX_UNICAST_FRAMES + 8 * STATS) {
        return half(registers_statistic(card, ref->offset), ref->high);
    }
    if (ref->offset >= REG_CHM_TYPE) {
        return chimney_read(card, ref, stored);
    }
    if (ref->offset >= REG_QP_RX_BASE && ref->index < card->config.queue_pairs) {
        return pair_read(card, ref->index, ref, stored);
    }
    return stored;
}

/* ---- writes ---- */

static void registers_clear_statistics(struct vnic *card, uint32_t pulses)
{
    if (pulses & STAT_CTRL_CLEAR_MASK) {
        memset(card->state.stat, 0, sizeof card->state.stat);
        card->regs.strays = 0;
    }
}

static void registers_commit(struct vnic *card, uint32_t pulses)
{
    if (pulses & RSS_COMMIT_GO_MASK) {
        scale_commit(card);
    }
}

static void registers_write_pair(struct vnic *card, const struct reg_ref *ref, uint32_t now, uint32_t pulses)
{
    unsigned pair = ref->index;
    if (pair >= card->config.queue_pairs) {
        regfile_reset_instance(&card->regs, REG_QP_RX_BASE,
                               pair); /* [RING-9] a pair that the card lacks keeps nothing */
        card_count_guest_error(card);
        return;
    }
    switch (ref->reg) {
    case REGID_QP_RX_TAIL:
        pair_on_rx_tail(card, pair, now);
        break;
    case REGID_QP_TX_TAIL:
        pair_on_tx_tail(card, pair, now);
        break;
    case REGID_QP_CQ_TAIL:
        pair_on_cq_tail(card, pair, now);
        break;
    case REGID_QP_RX_CTRL:
        pair_on_rx_ctrl(card, pair, now, pulses);
        break;
    case REGID_QP_TX_CTRL:
        pair_on_tx_ctrl(card, pair, now, pulses);
        break;
    case REGID_QP_CQ_CTRL:
        pair_on_cq_ctrl(card, pair, now, pulses);
        break;
    default:
        break;
    }
}

static void registers_fire(struct vnic *card, unsigned vector)
{
    if (vector >= card->config.vectors) {
        card_count_guest_error(card);
    }
    vector_cause(card, vector);
}

static void registers_write_control(struct vnic *card, uint32_t pulses)
{
    if (pulses & GLB_CTRL_RESET_MASK) {
        card_reset_device(card);
    }
}

static void registers_write(void *owner, const struct reg_ref *ref, uint32_t old, uint32_t now,
                            uint32_t pulses, uint32_t written)
{
    struct vnic *card = owner;
    (void)old;
    (void)written;
    switch (ref->reg) {
    case REGID_GLB_CTRL:
        registers_write_control(card, pulses);
        break;
    case REGID_GLB_EVENT_ENABLE:
        card_raise_event(card, 0);
        break;
    case REGID_INT_CTRL:
        vector_update_line(card);
        break;
    case REGID_TEST_FIRE:
        registers_fire(card, now & TEST_FIRE_VECTOR_MASK);
        break;
    case REGID_TEST_DMA_CMD:
        test_block_command(card, pulses);
        break;
    case REGID_RSS_COMMIT:
        registers_commit(card, pulses);
        break;
    case REGID_STAT_CTRL:
        registers_clear_statistics(card, pulses);
        break;
    case REGID_VEC_CTRL:
        vector_set_enabled(card, ref->index, (now & VEC_CTRL_ENABLE_MASK) != 0);
        break;
    default:
        if (ref->offset >= REG_CHM_TYPE) {
            chimney_on_write(card, ref, now, pulses);
        } else if (ref->offset >= REG_QP_RX_BASE) {
            registers_write_pair(card, ref, now, pulses);
        }
        break;
    }
}

const struct regfile_ops card_register_ops = {.on_read = registers_read, .on_write = registers_write};

void registers_reset(struct vnic *card)
{
    regfile_reset(&card->regs, false);
    uint64_t mac = registers_mac(card);
    regfile_set(&card->regs, REG_MAC_ADDR, half(mac, false));
    regfile_set(&card->regs, REG_MAC_ADDR + 4, half(mac, true));
}
