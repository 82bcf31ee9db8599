/* run.c: the scheduler: channels in their order, then delayed interrupts, a turn of at most COPY_TURN steps each. */
#include "copy/run.h"

#include "base/bits.h"
#include "copy/burst.h"
#include "copy/interrupt.h"
#include "copy/step.h"

static bool run_has_interrupt(const struct vnic_copy *copy)
{
    return interrupt_deliverable(copy) != 0 && pci_is_d0(&copy->pci);
}

static inline bool run_is_runnable(const struct vnic_copy *copy, unsigned part)
{
    if (part < VNIC_COPY_CHANNELS_MAX) {
        return copy->pci.is_master && (copy->scratch.ready >> part & 1u) != 0;
    }
    return part == VNIC_COPY_ENGINE_IRQ && run_has_interrupt(copy);
}

uint32_t run_copy_runnable(const struct vnic_copy *copy)
{
    const uint32_t channels = copy->pci.is_master ? copy->scratch.ready : 0; /* [DMA-45] */
    return channels | (uint32_t)run_has_interrupt(copy) << VNIC_COPY_ENGINE_IRQ;
}

static uint64_t run_take(struct vnic_copy *copy, unsigned part)
{
    if (part == VNIC_COPY_ENGINE_IRQ) {
        interrupt_step(copy);
        return 0;
    }
    const uint64_t bytes = step_take(copy, part);
    copy_note_ready(copy, part);
    return bytes;
}

bool run_copy_step(struct vnic_copy *copy, unsigned part, uint64_t *bytes)
{
    *bytes = 0;
    if (!run_is_runnable(copy, part)) {
        return false;
    }
    *bytes = run_take(copy, part);
    run_copy_settle(copy);
    return true;
}

static bool run_is_affordable(const struct vnic_copy *copy, unsigned part, uint64_t max_bytes)
{
    return max_bytes >= COPY_STEP_BYTES_MAX || part == VNIC_COPY_ENGINE_IRQ
           || step_next_bytes(copy, part) <= max_bytes;
}

/* A burst, or one step; 0 when the budget is too small for it. */
static uint64_t run_any(struct vnic_copy *copy, unsigned part, uint64_t max_steps, uint64_t max_bytes,
                        uint64_t *bytes)
{
    const uint64_t steps =
        part < VNIC_COPY_CHANNELS_MAX ? burst_take(copy, part, max_steps, max_bytes, bytes) : 0;
    if (steps != 0) {
        copy_note_ready(copy, part);
        return steps;
    }
    if (!run_is_affordable(copy, part, max_bytes)) {
        return 0;
    }
    *bytes = run_take(copy, part);
    return 1;
}

/* Steps of one turn, while the part can go on; 0 when the budget is too small for the next. */
static uint64_t run_some(struct vnic_copy *copy, unsigned part, uint64_t max_steps, uint64_t max_bytes,
                         uint64_t *bytes)
{
    uint64_t steps = 0;
    *bytes = 0;
    while (steps < max_steps && run_is_runnable(copy, part)) {
        uint64_t more = 0;
        const uint64_t taken = run_any(copy, part, max_steps - steps, max_bytes - *bytes, &more);
        if (taken == 0) {
            break;
        }
        steps += taken;
        *bytes += more;
    }
    return steps;
}

/* Who is next: whose turn it is, unless that is spent or it cannot go. `runnable` is not 0. */
static void run_pass_turn(struct vnic_copy *copy, uint32_t runnable)
{
    const bool is_spent = copy->state.turn_steps >= COPY_TURN;
    const uint32_t behind = runnable & UINT32_MAX << (copy->state.turn + is_spent);
    const unsigned part = bits_ctz(behind != 0 ? behind : runnable);
    if (is_spent || part != copy->state.turn) {
        copy->state.turn = (uint8_t)part;
        copy->state.turn_steps = 0;
    }
}

/* Steps that are left of the turn. Who is alone has turn after turn, and no step of a channel makes another part go. */
static uint64_t run_turn_left(const struct vnic_copy *copy, uint32_t runnable)
{
    return (runnable & (runnable - 1)) == 0 ? UINT64_MAX : COPY_TURN - copy->state.turn_steps;
}

static void run_spend_turn(struct vnic_copy *copy, uint64_t steps)
{
    copy->state.turn_steps = (uint8_t)((copy->state.turn_steps + steps - 1) % COPY_TURN + 1);
}

static void run_end_turns(struct vnic_copy *copy)
{
    copy->state.turn = 0;
    copy->state.turn_steps = 0;
}

void run_copy_settle(struct vnic_copy *copy)
{
    if ((copy->state.turn | copy->state.turn_steps) != 0 && run_copy_runnable(copy) == 0) {
        run_end_turns(copy);
    }
}

/* [DMA-51] The turn and how much of it is spent are state: how a budget is cut up changes nothing. */
void run_copy_within(struct vnic_copy *copy, const struct vnic_budget *budget, struct vnic_budget *used)
{
    *used = (struct vnic_budget){0, 0};
    while (used->steps < budget->steps && !copy->pci.is_leaving) {
        const uint32_t runnable = run_copy_runnable(copy);
        if (runnable == 0) {
            run_end_turns(copy);
            return;
        }
        run_pass_turn(copy, runnable);
        uint64_t bytes;
        const uint64_t max_steps = bits_min64(run_turn_left(copy, runnable), budget->steps - used->steps);
        const uint64_t steps =
            run_some(copy, copy->state.turn, max_steps, budget->bytes - used->bytes, &bytes);
        if (steps == 0) {
            break;
        }
        run_spend_turn(copy, steps);
        used->steps += steps;
        used->bytes += bytes;
    }
    run_copy_settle(copy);
}

/* A channel raises at most one interrupt, for then it waits to be armed again. */
uint64_t run_copy_idle_steps(const struct vnic_copy *copy)
{
    uint64_t steps = VNIC_COPY_CHANNELS_MAX;
    for (unsigned n = 0; n < copy->config.channels; n++) {
        steps += step_idle_steps(copy, n);
    }
    return steps;
}
