/* driver_interrupt.c: the interrupt that the driver registered: granted, served at DIRQL, and its DPCs. */
#include <string.h>

#include "driver_world.h"

#define UNCLAIMED_MOST 8u

/* The one handle there is. */
static void *handle_of(struct fuzz_world *w)
{
    return &w->adapter.has_interrupt;
}

uint32_t fuzz_interrupt_register(struct fuzz_world *w, const struct vnic_interrupt_characteristics *wanted,
                                 struct vnic_ndis_interrupt *granted)
{
    const uint32_t kinds = wanted->kinds & 7 ? wanted->kinds & 7 : 7;
    uint32_t kind = w->options.kind;
    FUZZ_REQUIRE(w->adapter.is_registered, "INIT-2", "an interrupt before the registration attributes");
    FUZZ_REQUIRE(w->adapter.state == FUZZ_INITIALIZING, "STATE-1",
                 "an interrupt is registered after initialize_ex");
    while (kind && !(kinds & kind)) {
        kind >>= 1;
    }
    if (w->adapter.has_interrupt || w->adapter.has_vectors || kind == 0 || fuzz_memory_refuses(&w->memory)) {
        return NDIS_STATUS_RESOURCE_CONFLICT;
    }
    const uint32_t most = kind == VNIC_INTERRUPT_MSIX ? FUZZ_MESSAGES : kind == VNIC_INTERRUPT_MSI ? 2 : 1;
    w->adapter.has_interrupt = true;
    w->adapter.interrupt_kind = kind;
    w->adapter.messages = wanted->messages == 0 ? 1 : wanted->messages < most ? wanted->messages : most;
    memset(granted, 0, sizeof *granted);
    granted->handle = handle_of(w);
    granted->kind = kind;
    granted->messages = w->adapter.messages;
    for (uint32_t i = 0; i < granted->messages; i++) {
        granted->affinity[i] = i % FUZZ_PROCESSORS;
    }
    return NDIS_STATUS_SUCCESS;
}

void fuzz_interrupt_own(const struct fuzz_world *w, const void *handle, const char *call)
{
    FUZZ_REQUIRE(handle == &w->adapter.has_interrupt, "DRV-10", "%s with no interrupt of the driver's", call);
    FUZZ_REQUIRE(w->adapter.has_interrupt, "INT-1", "%s with an interrupt that was deregistered", call);
}

/* Waits for the last DPC; none comes any more. */
void fuzz_interrupt_deregister(struct fuzz_world *w, const void *handle)
{
    fuzz_interrupt_own(w, handle, "deregister_interrupt_ex");
    for (uint32_t i = 0; i < FUZZ_PROCESSORS; i++) {
        w->cpu.each[i].interrupts = 0;
    }
    for (uint32_t tries = 0; fuzz_processor_has_dpc(w); tries++) {
        FUZZ_REQUIRE(tries < UNCLAIMED_MOST, "HANG-1",
                     "deregister_interrupt_ex waits for DPCs without an end");
        fuzz_processor_run(w, 64);
    }
    w->adapter.has_interrupt = false;
    w->adapter.messages = 0;
}

/* A line stays up until its cause is read; one that nobody claims is switched off. */
static void line_again(struct fuzz_world *w, uint32_t message, bool is_claimed)
{
    if (w->adapter.interrupt_kind != VNIC_INTERRUPT_MSIX && w->card.cause && is_claimed && !w->card.is_gone
        && w->card.reg[REG_INT_CTRL / 4] & 1) {
        w->card.cause = w->adapter.interrupt_kind == VNIC_INTERRUPT_LINE ? w->card.cause : 0;
        if (w->card.cause) {
            fuzz_processor_interrupt(w, message);
        }
    }
}

static void ndis_service(struct fuzz_world *w, uint32_t message)
{
    bool wants_dpc = false;
    uint64_t targets = 0;
    const bool is_another = w->adapter.interrupt_kind == VNIC_INTERRUPT_LINE && w->card.cause == 0;
    const struct fuzz_call call = fuzz_enter(w, "interrupt", VNIC_IRQL_DIRQL);
    const bool is_claimed = w->driver->interrupt(w->context, message, &wants_dpc, &targets);
    fuzz_leave(w, &call);
    FUZZ_REQUIRE(!is_claimed || !is_another || w->card.has_misbehaved, "PROG-15",
                 "an interrupt of another device on the line is claimed");
    if (is_claimed) {
        targets = wants_dpc ? 1ull << w->cpu.current : targets;
        FUZZ_REQUIRE(targets >> FUZZ_PROCESSORS == 0, "INT-2", "a DPC for a processor that there is not");
        fuzz_processor_queue_dpc(w, message, targets, NULL);
    }
    line_again(w, message, is_claimed);
}

void fuzz_interrupt_service(struct fuzz_world *w, uint32_t message)
{
    if (w->adapter.has_interrupt) {
        ndis_service(w, message);
    } else if (w->adapter.handler[message]) {
        const struct fuzz_call call = fuzz_enter(w, "a handler of request_irq", VNIC_IRQL_DIRQL);
        w->adapter.handler[message](w->adapter.handler_context[message], message);
        fuzz_leave(w, &call);
    }
}

void fuzz_interrupt_dpc(struct fuzz_world *w, uint32_t message, void *context)
{
    const struct fuzz_call call = fuzz_enter(w, "interrupt_dpc", VNIC_IRQL_DISPATCH);
    w->driver->interrupt_dpc(w->context, message, w->cpu.current, context);
    fuzz_leave(w, &call);
}
