/* batch.c: a list of operations on a card, run in one call: for tests, fuzzers and fast register access. */
#include "nic/access.h"
#include "nic/run.h"

#define DRAIN_CHUNK 32u

static uint64_t batch_drain(struct vnic *card)
{
    struct vnic_interrupt interrupts[DRAIN_CHUNK];
    uint64_t total = 0;
    for (size_t n; (n = vnic_interrupts(card, interrupts, DRAIN_CHUNK)) > 0; total += n) {
    }
    total += card->tx_buffer.count;
    vnic_frames_release(card, card->tx_buffer.count);
    return total;
}

static uint64_t batch_run(struct vnic *card, const struct vnic_op *op)
{
    struct vnic_budget used, budget = {op->addr, op->value};
    (void)vnic_run(card, &budget, &used);
    return used.steps;
}

static uint64_t batch_step(struct vnic *card, unsigned engine)
{
    uint64_t bytes;
    return (uint64_t)vnic_step(card, engine, &bytes);
}

static void batch_advance(struct vnic *card, uint64_t ns)
{
    uint64_t now = vnic_now(card);
    (void)vnic_advance(card, ns > UINT64_MAX - now ? UINT64_MAX : now + ns);
}

static uint64_t batch_receive(struct vnic *card, const struct vnic_op *op, const uint8_t *data,
                              size_t data_len)
{
    bool is_inside = op->addr <= data_len && op->value <= data_len - op->addr;
    return is_inside ? (uint64_t)vnic_receive(card, data + op->addr, op->value) : VNIC_RX_DROPPED;
}

static void batch_remove(struct vnic *card, uint64_t is_removed)
{
    if (is_removed) {
        vnic_remove(card);
    } else {
        vnic_insert(card);
    }
}

size_t vnic_batch(vnic *card, struct vnic_op *ops, size_t count, const uint8_t *data, size_t data_len)
{
    for (size_t i = 0; i < count; i++) {
        struct vnic_op *op = &ops[i];
        switch ((enum vnic_op_code)op->code) {
        case VNIC_OP_READ:
            op->value = access_read(card, op->index, op->addr, op->width);
            break;
        case VNIC_OP_WRITE:
            pci_bar_write(&card->pci, op->index, op->addr, op->width, op->value);
            break;
        case VNIC_OP_CFG_READ:
            op->value = vnic_cfg_read(card, (uint32_t)op->addr, op->width);
            break;
        case VNIC_OP_CFG_WRITE:
            vnic_cfg_write(card, (uint32_t)op->addr, op->width, (uint32_t)op->value);
            break;
        case VNIC_OP_RUN:
            op->value = batch_run(card, op);
            break;
        case VNIC_OP_STEP:
            op->value = batch_step(card, op->index);
            break;
        case VNIC_OP_ADVANCE:
            batch_advance(card, op->value);
            break;
        case VNIC_OP_LINK:
            vnic_set_link(card, (uint32_t)op->value);
            break;
        case VNIC_OP_RESET:
            vnic_reset(card, op->index);
            break;
        case VNIC_OP_REMOVE:
            batch_remove(card, op->value);
            break;
        case VNIC_OP_RECEIVE:
            op->value = batch_receive(card, op, data, data_len);
            break;
        case VNIC_OP_DRAIN:
            op->value = batch_drain(card);
            break;
        case VNIC_OP_CODES:
        default:
            return i;
        }
    }
    return count;
}
