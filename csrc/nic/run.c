/* run.c: the scheduler: engines in their fixed order, a turn of at most RUN_TURN steps each. */
#include "nic/run.h"

#include "base/bits.h"
#include "nic/burst.h"
#include "nic/chimney.h"
#include "nic/largesend.h"
#include "nic/receive.h"
#include "nic/test_block.h"
#include "nic/transmit.h"
#include "nic/vector.h"

static bool run_is_runnable(const struct vnic *card, unsigned engine)
{
    switch (engine) {
    case VNIC_ENGINE_TEST:
        return card->state.test.is_busy && card->pci.is_master;
    case VNIC_ENGINE_RX:
        return receive_is_runnable(card);
    case VNIC_ENGINE_TX:
        return transmit_is_runnable(card);
    case VNIC_ENGINE_LSO:
        return largesend_is_runnable(card);
    case VNIC_ENGINE_ADMIN:
        return chimney_admin_is_runnable(card);
    case VNIC_ENGINE_SUBMIT:
        return chimney_submit_is_runnable(card);
    case VNIC_ENGINE_CHIMNEY:
        return chimney_output_is_runnable(card);
    case VNIC_ENGINE_REPORT:
        return chimney_report_is_runnable(card);
    case VNIC_ENGINE_IRQ:
        return vector_deliverable(card) != 0 && pci_is_d0(&card->pci);
    default:
        return false;
    }
}

uint32_t run_runnable(const struct vnic *card)
{
    uint32_t mask = 0;
    for (unsigned e = 0; e < VNIC_ENGINES; e++) {
        mask |= (uint32_t)run_is_runnable(card, e) << e;
    }
    return mask;
}

/* The most that the engine's next step moves. */
static uint64_t run_next_bytes(const struct vnic *card, unsigned engine)
{
    switch (engine) {
    case VNIC_ENGINE_TEST:
        return test_block_next_bytes(card);
    case VNIC_ENGINE_RX:
        return receive_next_bytes(card);
    case VNIC_ENGINE_TX:
        return transmit_next_bytes(card);
    case VNIC_ENGINE_LSO:
        return largesend_next_bytes(card);
    case VNIC_ENGINE_ADMIN:
        return chimney_admin_next_bytes(card);
    case VNIC_ENGINE_SUBMIT:
        return chimney_submit_next_bytes(card);
    case VNIC_ENGINE_CHIMNEY:
        return chimney_output_next_bytes(card);
    case VNIC_ENGINE_REPORT:
        return chimney_report_next_bytes(card);
    default:
        return 0;
    }
}

bool run_step(struct vnic *card, unsigned engine, uint64_t *bytes)
{
    *bytes = 0;
    if (!run_is_runnable(card, engine)) {
        return false;
    }
    switch (engine) {
    case VNIC_ENGINE_TEST:
        *bytes = test_block_step(card);
        break;
    case VNIC_ENGINE_RX:
        *bytes = receive_step(card);
        break;
    case VNIC_ENGINE_TX:
        *bytes = transmit_step(card);
        break;
    case VNIC_ENGINE_LSO:
        *bytes = largesend_step(card);
        break;
    case VNIC_ENGINE_ADMIN:
        *bytes = chimney_admin_step(card);
        break;
    case VNIC_ENGINE_SUBMIT:
        *bytes = chimney_submit_step(card);
        break;
    case VNIC_ENGINE_CHIMNEY:
        *bytes = chimney_output_step(card);
        break;
    case VNIC_ENGINE_REPORT:
        *bytes = chimney_report_step(card);
        break;
    default:
        vector_step(card);
        break;
    }
    return true;
}

/* Steps of the simple kind taken together; the same as taking them one by one. */
static uint64_t run_burst(struct vnic *card, unsigned engine, uint64_t max_steps, uint64_t max_bytes,
                          uint64_t *bytes)
{
    *bytes = 0;
    switch (engine) {
    case VNIC_ENGINE_RX:
        return burst_receive(card, max_steps, max_bytes, bytes);
    case VNIC_ENGINE_TX:
        return burst_transmit(card, max_steps, max_bytes, bytes);
    case VNIC_ENGINE_SUBMIT:
        return chimney_submit_burst(card, max_steps, max_bytes, bytes);
    case VNIC_ENGINE_CHIMNEY:
        return chimney_output_burst(card, max_steps, max_bytes, bytes);
    default:
        return 0;
    }
}

/* One burst or one step; 0 when the budget is too small for it. */
static uint64_t run_some(struct vnic *card, unsigned engine, uint64_t max_steps, uint64_t max_bytes,
                         uint64_t *bytes)
{
    uint64_t steps = run_burst(card, engine, max_steps, max_bytes, bytes);
    if (steps != 0) {
        return steps;
    }
    if (run_next_bytes(card, engine) > max_bytes) {
        return 0;
    }
    return run_step(card, engine, bytes);
}

static void run_pass_turn(struct vnic *card)
{
    card->state.run_engine = (uint8_t)((card->state.run_engine + 1u) % VNIC_ENGINES);
    card->state.run_steps = 0;
}

/* Idle is idle: whoever works next starts a turn, however the budget came to its end. */
static void run_settle(struct vnic *card)
{
    if (run_runnable(card) == 0) {
        card->state.run_engine = 0;
        card->state.run_steps = 0;
    }
}

/* [RUN-2] The turn and how much of it is spent are state: how a budget is cut up changes nothing. */
void run_within(struct vnic *card, const struct vnic_budget *budget, struct vnic_budget *used)
{
    unsigned idle_engines = 0;
    *used = (struct vnic_budget){0, 0};
    while (used->steps < budget->steps && idle_engines < VNIC_ENGINES && !card->pci.is_leaving) {
        unsigned engine = card->state.run_engine;
        if (card->state.run_steps >= RUN_TURN || !run_is_runnable(card, engine)) {
            idle_engines = card->state.run_steps == 0 ? idle_engines + 1 : 0;
            run_pass_turn(card);
            continue;
        }
        uint64_t bytes;
        uint64_t max_steps = bits_min64(RUN_TURN - card->state.run_steps, budget->steps - used->steps);
        uint64_t steps = run_some(card, engine, max_steps, budget->bytes - used->bytes, &bytes);
        if (steps == 0) {
            break;
        }
        idle_engines = 0;
        card->state.run_steps = (uint8_t)(card->state.run_steps + steps);
        used->steps += steps;
        used->bytes += bytes;
    }
    run_settle(card);
}

/* [RUN-4] Every vector may be raised once for what is pending, and again for each completion still to
 * come. */
uint64_t run_idle_steps(const struct vnic *card)
{
    const struct test_block *t = &card->state.test;
    uint64_t test = t->is_busy ? (t->len - t->at + TEST_CHUNK - 1) / TEST_CHUNK : 0;
    uint64_t work = test + receive_idle_steps(card) + transmit_idle_steps(card) + chimney_idle_steps(card);
    return 2 * work + CARD_VECTORS_MAX + 1;
}
