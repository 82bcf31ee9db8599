/* target.c: inputs of a trace as calls of a card or a copy engine. */
#include "trace/target.h"

#include <string.h>

#define TARGET_BATCH 1024u /* more than a function can hold */

#define TARGET_INPUTS                                                                                        \
    (1u << VNIC_EVENT_MMIO_READ | 1u << VNIC_EVENT_MMIO_WRITE | 1u << VNIC_EVENT_CFG_READ                    \
     | 1u << VNIC_EVENT_CFG_WRITE | 1u << VNIC_EVENT_FRAME_IN | 1u << VNIC_EVENT_TIME | 1u << VNIC_EVENT_RUN \
     | 1u << VNIC_EVENT_STEP | 1u << VNIC_EVENT_LINK | 1u << VNIC_EVENT_RESET | 1u << VNIC_EVENT_REMOVE      \
     | 1u << VNIC_EVENT_ARM | 1u << VNIC_EVENT_LOAD | 1u << VNIC_EVENT_TAKE | 1u << VNIC_EVENT_RELEASE)

bool target_is_input(unsigned type)
{
    return type < 32 && (TARGET_INPUTS >> type & 1) != 0;
}

void target_attach(const struct target *t, vnic_observer observer, vnic_unmapped answer, void *opaque)
{
    const uint32_t mask = UINT32_MAX;

    if (t->card != NULL) {
        vnic_unmap_all(t->card);
        vnic_observe(t->card, observer, opaque, mask);
        vnic_set_unmapped(t->card, answer, opaque);
    } else if (t->engine != NULL) {
        vnic_copy_unmap_all(t->engine);
        vnic_copy_observe(t->engine, observer, opaque, mask);
        vnic_copy_set_unmapped(t->engine, answer, opaque);
    }
}

uint64_t target_hash(const struct target *t)
{
    return t->card != NULL ? vnic_state_hash(t->card) : vnic_copy_state_hash(t->engine);
}

/* What an ARM does not say of a fault is 0; false: it disarms. */
static bool target_reads_fault(struct vnic_fault *fault, const struct vnic_event *e, const uint8_t *data)
{
    *fault = (struct vnic_fault){0};
    if (data == NULL || e->len < VNIC_FAULT_BYTES_1 || e->len > sizeof *fault) {
        return false;
    }
    memcpy(fault, data, e->len);
    return true;
}

/* --- a card */

static void target_card_take(vnic *card, uint64_t count)
{
    struct vnic_interrupt out[TARGET_BATCH];

    while (count != 0) {
        const size_t some = vnic_interrupts(card, out, count < TARGET_BATCH ? (size_t)count : TARGET_BATCH);
        if (some == 0) {
            return;
        }
        count -= some;
    }
}

static void target_card_arm(vnic *card, const struct vnic_event *e, const uint8_t *data)
{
    struct vnic_fault fault;

    if (!target_reads_fault(&fault, e, data)) {
        (void)vnic_fault_disarm(card, (int)e->value);
        return;
    }
    (void)vnic_fault_arm(card, &fault);
}

static void target_card_work(vnic *card, const struct vnic_event *e)
{
    struct vnic_budget budget = {e->addr, e->value}, used;
    uint64_t bytes;

    switch (e->type) {
    case VNIC_EVENT_TIME:
        (void)vnic_advance(card, e->value);
        break;
    case VNIC_EVENT_RUN:
        (void)vnic_run(card, &budget, &used);
        break;
    case VNIC_EVENT_STEP:
        (void)vnic_step(card, e->index, &bytes);
        break;
    case VNIC_EVENT_LINK:
        vnic_set_link(card, (uint32_t)e->value);
        break;
    case VNIC_EVENT_RESET:
        vnic_reset(card, (unsigned)e->value);
        break;
    case VNIC_EVENT_REMOVE:
        (e->value != 0 ? vnic_remove : vnic_insert)(card);
        break;
    case VNIC_EVENT_TAKE:
        target_card_take(card, e->value);
        break;
    default:
        vnic_frames_release(card, (size_t)e->value);
        break;
    }
}

static void target_card_apply(vnic *card, const struct vnic_event *e, const uint8_t *data)
{
    switch (e->type) {
    case VNIC_EVENT_MMIO_READ:
        (void)vnic_read(card, e->index, e->addr, e->width);
        break;
    case VNIC_EVENT_MMIO_WRITE:
        vnic_write(card, e->index, e->addr, e->width, e->value);
        break;
    case VNIC_EVENT_CFG_READ:
        (void)vnic_cfg_read(card, (uint32_t)e->addr, e->width);
        break;
    case VNIC_EVENT_CFG_WRITE:
        vnic_cfg_write(card, (uint32_t)e->addr, e->width, (uint32_t)e->value);
        break;
    case VNIC_EVENT_FRAME_IN:
        (void)vnic_receive(card, data, data != NULL ? e->len : 0);
        break;
    case VNIC_EVENT_ARM:
        target_card_arm(card, e, data);
        break;
    case VNIC_EVENT_LOAD:
        (void)vnic_load(card, data, data != NULL ? e->len : 0);
        break;
    default:
        target_card_work(card, e);
        break;
    }
}

/* --- a copy engine */

static void target_engine_take(vnic_copy *engine, uint64_t count)
{
    struct vnic_interrupt out[TARGET_BATCH];

    while (count != 0) {
        const size_t some =
            vnic_copy_interrupts(engine, out, count < TARGET_BATCH ? (size_t)count : TARGET_BATCH);
        if (some == 0) {
            return;
        }
        count -= some;
    }
}

static void target_engine_arm(vnic_copy *engine, const struct vnic_event *e, const uint8_t *data)
{
    struct vnic_fault fault;

    if (!target_reads_fault(&fault, e, data)) {
        (void)vnic_copy_fault_disarm(engine, (int)e->value);
        return;
    }
    (void)vnic_copy_fault_arm(engine, &fault);
}

static void target_engine_work(vnic_copy *engine, const struct vnic_event *e)
{
    struct vnic_budget budget = {e->addr, e->value}, used;
    uint64_t bytes;

    switch (e->type) {
    case VNIC_EVENT_TIME:
        (void)vnic_copy_advance(engine, e->value);
        break;
    case VNIC_EVENT_RUN:
        (void)vnic_copy_run(engine, &budget, &used);
        break;
    case VNIC_EVENT_STEP:
        (void)vnic_copy_step(engine, e->index, &bytes);
        break;
    case VNIC_EVENT_RESET:
        vnic_copy_reset(engine, (unsigned)e->value);
        break;
    case VNIC_EVENT_REMOVE:
        (e->value != 0 ? vnic_copy_remove : vnic_copy_insert)(engine);
        break;
    case VNIC_EVENT_TAKE:
        target_engine_take(engine, e->value);
        break;
    default:
        break; /* it has no link and no frames */
    }
}

static void target_engine_apply(vnic_copy *engine, const struct vnic_event *e, const uint8_t *data)
{
    switch (e->type) {
    case VNIC_EVENT_MMIO_READ:
        (void)vnic_copy_read(engine, e->index, e->addr, e->width);
        break;
    case VNIC_EVENT_MMIO_WRITE:
        vnic_copy_write(engine, e->index, e->addr, e->width, e->value);
        break;
    case VNIC_EVENT_CFG_READ:
        (void)vnic_copy_cfg_read(engine, (uint32_t)e->addr, e->width);
        break;
    case VNIC_EVENT_CFG_WRITE:
        vnic_copy_cfg_write(engine, (uint32_t)e->addr, e->width, (uint32_t)e->value);
        break;
    case VNIC_EVENT_ARM:
        target_engine_arm(engine, e, data);
        break;
    case VNIC_EVENT_LOAD:
        (void)vnic_copy_load(engine, data, data != NULL ? e->len : 0);
        break;
    default:
        target_engine_work(engine, e);
        break;
    }
}

bool target_apply(const struct target *t, const struct vnic_event *event, const uint8_t *data)
{
    if (!target_is_input(event->type)) {
        return false;
    }
    if (t->card != NULL) {
        target_card_apply(t->card, event, data);
    } else {
        target_engine_apply(t->engine, event, data);
    }
    return true;
}
