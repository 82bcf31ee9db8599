/* driver_life.c: the states of the adapter, the calls that change them, and what must hold when they have changed. */
#include <stdlib.h>
#include <string.h>

#include "driver_world.h"

#define CONTEXT_ALIGN 64u
#define ROUNDS_MOST 16u
#define CHECK_NS 2000000000ull
#define CHECKS_MOST 3u /* for hang, and one: then what pends has ended, or never will */
#define STUCK_CHECKS 2u

/* ---- every call of the driver's ---- */

struct fuzz_call fuzz_enter(struct fuzz_world *w, const char *name, uint32_t level)
{
    const struct fuzz_call call = {name, fuzz_processor_level(w), w->cpu.locks_held, w->cpu.current};
    w->cpu.each[w->cpu.current].level = level > call.level ? level : call.level;
    return call;
}

void fuzz_leave(struct fuzz_world *w, const struct fuzz_call *call)
{
    FUZZ_REQUIRE(w->cpu.locks_held == call->locks, "LOCK-2", "%s returns with a spin lock held", call->name);
    w->cpu.each[call->processor].level = call->level;
}

bool fuzz_life_is_up(const struct fuzz_world *w)
{
    const enum fuzz_state state = w->adapter.state;
    return state == FUZZ_PAUSED || state == FUZZ_RUNNING || state == FUZZ_RESTARTING || state == FUZZ_PAUSING;
}

/* ---- initialize ---- */

static void adapter_begin(struct fuzz_world *w)
{
    const size_t bytes = w->driver->context_bytes ? w->driver->context_bytes : 1;
    FUZZ_REQUIRE(posix_memalign(&w->context, CONTEXT_ALIGN, bytes) == 0, "DRV-1",
                 "no memory for the context");
    memset(w->context, 0, bytes);
    memset(&w->adapter, 0, sizeof w->adapter);
    w->adapter.state = FUZZ_INITIALIZING;
    w->ndis = (struct vnic_ndis){.size = sizeof w->ndis,
                                 .ops_size = sizeof fuzz_ndis_ops,
                                 .ops = &fuzz_ndis_ops,
                                 .adapter = w,
                                 .bus = {&fuzz_bus_ops, w},
                                 .processors = FUZZ_PROCESSORS};
}

/* Nothing of the adapter's may be left: memory, mappings, lists, locks, timers, the interrupt. */
static void adapter_end(struct fuzz_world *w, const char *interrupt_rule)
{
    FUZZ_REQUIRE(!w->adapter.has_interrupt && !w->adapter.has_vectors, interrupt_rule,
                 "the interrupt is still registered");
    FUZZ_REQUIRE(w->sends.outstanding == 0, "SEND-2", "halted with %u sends that were not completed",
                 w->sends.outstanding);
    FUZZ_REQUIRE(w->oids.request == NULL, "OID-1", "halted with an OID request pending");
    fuzz_processor_check(w);
    FUZZ_REQUIRE(w->sends.sgs == 0, "DRV-13", "%u scatter-gather lists were not freed", w->sends.sgs);
    fuzz_receive_check(w);
    FUZZ_REQUIRE(fuzz_memory_left(&w->memory) == 0, "DRV-13", "%u allocations and mappings were not freed",
                 fuzz_memory_left(&w->memory));
    FUZZ_REQUIRE(w->card.has_lied || !fuzz_card_is_master(w) || !fuzz_ring_any_runs(&w->card), "FUZ-33",
                 "the rings still run, into memory that is freed");
    free(w->context);
    w->context = NULL;
    fuzz_processor_clear(w);
    memset(&w->oids, 0, sizeof w->oids);
    w->adapter.state = FUZZ_HALTED;
}

void fuzz_life_initialize(struct fuzz_world *w)
{
    if (w->adapter.state != FUZZ_HALTED || w->card.is_gone) {
        return;
    }
    adapter_begin(w);
    const struct fuzz_call call = fuzz_enter(w, "initialize_ex", VNIC_IRQL_PASSIVE);
    const uint32_t status = w->driver->initialize_ex(w->context, &w->ndis);
    fuzz_leave(w, &call);
    fuzz_status(status, "what initialize_ex returned");
    if (status != NDIS_STATUS_SUCCESS) {
        adapter_end(w, "INIT-5");
        return;
    }
    FUZZ_REQUIRE(w->adapter.is_described, "INIT-3", "initialized without general attributes");
    w->adapter.state = FUZZ_PAUSED;
    fuzz_oid_set_filter(w,
                        NDIS_PACKET_TYPE_DIRECTED | NDIS_PACKET_TYPE_BROADCAST | NDIS_PACKET_TYPE_MULTICAST);
}

/* ---- waiting ---- */

static void wanted_do(struct fuzz_world *w)
{
    if (w->adapter.wants_reset && fuzz_life_is_up(w) && !w->adapter.is_resetting) {
        w->adapter.wants_reset = false;
        fuzz_life_reset(w);
    }
}

static void round_run(struct fuzz_world *w)
{
    for (uint32_t i = 0; i < ROUNDS_MOST; i++) {
        fuzz_transfer_work(w, 4096);
        const bool did = fuzz_processor_run(w, 4096);
        const bool wanted = w->adapter.wants_reset;
        wanted_do(w);
        if (!did && !wanted) {
            break;
        }
    }
}

/* NDIS waits: everything goes on, the card turns sound, and time passes with its checks for hang. */
static void wait_until(struct fuzz_world *w, const bool *is_done, const char *what)
{
    for (uint32_t check = 0; !*is_done; check++) {
        FUZZ_REQUIRE(check <= CHECKS_MOST, "HANG-1", "%s never ends: %u sends and %u indicated lists are out",
                     what, w->sends.outstanding, w->receives.holds);
        round_run(w);
        fuzz_receive_return(w, FUZZ_LISTS, check & 1);
        round_run(w);
        if (!*is_done) {
            fuzz_trick_reform(w);
            fuzz_processor_wait(w, CHECK_NS);
            fuzz_life_check_for_hang(w);
        }
    }
}

/* ---- restart and pause ---- */

void fuzz_life_restart(struct fuzz_world *w)
{
    if (w->adapter.state != FUZZ_PAUSED) {
        return;
    }
    w->adapter.state = FUZZ_RESTARTING;
    w->adapter.is_restart_done = false;
    const struct fuzz_call call = fuzz_enter(w, "restart", VNIC_IRQL_PASSIVE);
    const uint32_t status = w->driver->restart(w->context);
    fuzz_leave(w, &call);
    fuzz_status(status, "what restart returned");
    if (status == NDIS_STATUS_PENDING) {
        wait_until(w, &w->adapter.is_restart_done, "restart");
        return;
    }
    FUZZ_REQUIRE(!w->adapter.is_restart_done, "RESTART-1", "completed by call and by return value");
    w->adapter.state = status == NDIS_STATUS_SUCCESS ? FUZZ_RUNNING : FUZZ_PAUSED;
}

void fuzz_life_check_paused(const struct fuzz_world *w)
{
    const uint32_t received = w->receives.holds + w->receives.calls;
    FUZZ_REQUIRE(received == 0, "PAUSE-1", "%u indicated lists (or calls) are not back", received);
    FUZZ_REQUIRE(w->sends.outstanding == 0, "PAUSE-2", "%u sends are not completed", w->sends.outstanding);
}

void fuzz_life_pause(struct fuzz_world *w)
{
    if (w->adapter.state != FUZZ_RUNNING) {
        return;
    }
    w->adapter.state = FUZZ_PAUSING;
    w->adapter.is_pause_done = false;
    const struct fuzz_call call = fuzz_enter(w, "pause", VNIC_IRQL_PASSIVE);
    const uint32_t status = w->driver->pause(w->context, 0);
    fuzz_leave(w, &call);
    FUZZ_REQUIRE(status == NDIS_STATUS_PENDING || status == NDIS_STATUS_SUCCESS, "PAUSE-3",
                 "pause returned 0x%08X", status);
    if (status == NDIS_STATUS_PENDING) {
        wait_until(w, &w->adapter.is_pause_done, "pause");
    } else {
        FUZZ_REQUIRE(!w->adapter.is_pause_done, "PAUSE-4", "completed by call and by return value");
        fuzz_life_check_paused(w);
    }
    w->adapter.state = FUZZ_PAUSED;
}

/* ---- reset ---- */

void fuzz_life_reset_complete(struct fuzz_world *w, uint32_t status, bool addressing_reset)
{
    FUZZ_REQUIRE(status == NDIS_STATUS_SUCCESS || status == NDIS_STATUS_SOFT_ERRORS
                     || status == NDIS_STATUS_HARD_ERRORS || status == NDIS_STATUS_RESET_IN_PROGRESS,
                 "RESET-3", "a reset ends with 0x%08X", status);
    if (w->driver->ndis_minor >= 30) {
        FUZZ_REQUIRE(w->sends.outstanding == 0 && !w->oids.request, "RESET-2",
                     "sends or requests outlive the reset");
    }
    w->adapter.is_resetting = false;
    w->adapter.wants_filter = addressing_reset;
}

void fuzz_life_reset(struct fuzz_world *w)
{
    bool addressing_reset = false;
    if (!fuzz_life_is_up(w) || w->adapter.is_resetting) {
        return;
    }
    w->adapter.is_resetting = true;
    const struct fuzz_call call = fuzz_enter(w, "reset_ex", VNIC_IRQL_PASSIVE);
    const uint32_t status = w->driver->reset_ex(w->context, &addressing_reset);
    fuzz_leave(w, &call);
    fuzz_status(status, "what reset_ex returned");
    if (status != NDIS_STATUS_PENDING) {
        FUZZ_REQUIRE(w->adapter.is_resetting, "RESET-1", "completed by call and by return value");
        fuzz_life_reset_complete(w, status, addressing_reset);
    }
    if (!w->adapter.is_resetting && w->adapter.wants_filter) {
        w->adapter.wants_filter = false;
        fuzz_oid_set_filter(w, w->oids.filter);
    }
}

void fuzz_life_check_for_hang(struct fuzz_world *w)
{
    bool is_hung = false;
    if (!fuzz_life_is_up(w) || w->adapter.is_resetting) {
        return;
    }
    if (w->driver->check_for_hang_ex) {
        const struct fuzz_call call = fuzz_enter(w, "check_for_hang_ex", VNIC_IRQL_PASSIVE);
        is_hung = w->driver->check_for_hang_ex(w->context);
        fuzz_leave(w, &call);
    }
    if (is_hung || (w->oids.request && ++w->oids.hang_checks > STUCK_CHECKS)) {
        fuzz_life_reset(w);
    }
}

/* ---- the end ---- */

static void requests_wait(struct fuzz_world *w)
{
    bool is_done = w->oids.request == NULL;
    for (uint32_t i = 0; !is_done && i <= CHECKS_MOST; i++) {
        round_run(w);
        fuzz_trick_reform(w);
        fuzz_processor_wait(w, CHECK_NS);
        fuzz_life_check_for_hang(w);
        is_done = w->oids.request == NULL;
    }
    FUZZ_REQUIRE(is_done, "HANG-1", "an OID request never ends");
}

void fuzz_life_halt(struct fuzz_world *w, uint32_t action)
{
    if (w->adapter.state != FUZZ_PAUSED && w->adapter.state != FUZZ_RUNNING) {
        return;
    }
    fuzz_life_pause(w);
    requests_wait(w);
    w->adapter.state = FUZZ_HALTING;
    const struct fuzz_call call = fuzz_enter(w, "halt_ex", VNIC_IRQL_PASSIVE);
    w->driver->halt_ex(w->context, action);
    fuzz_leave(w, &call);
    adapter_end(w, "HALT-1");
}

void fuzz_life_remove(struct fuzz_world *w, bool is_told)
{
    w->card.is_gone = true;
    if (!is_told || !fuzz_life_is_up(w)) {
        return;
    }
    const struct fuzz_call call = fuzz_enter(w, "device_pnp_event_notify", VNIC_IRQL_PASSIVE);
    w->driver->device_pnp_event_notify(w->context, NDIS_PNP_EVENT_SURPRISE_REMOVED);
    fuzz_leave(w, &call);
    fuzz_life_halt(w, NDIS_HALT_SURPRISE_REMOVED);
}

/* The system goes down: no call of the driver's follows, and none to it. */
void fuzz_life_shut_down(struct fuzz_world *w)
{
    if (fuzz_life_is_up(w)) {
        const struct fuzz_call call = fuzz_enter(w, "shutdown_ex", VNIC_IRQL_PASSIVE);
        w->driver->shutdown_ex(w->context, NDIS_SHUTDOWN_POWER_OFF);
        fuzz_leave(w, &call);
        w->adapter.state = FUZZ_SHUT_DOWN;
        w->adapter.has_interrupt = false;
        fuzz_processor_clear(w);
    }
}

void fuzz_life_settle(struct fuzz_world *w)
{
    round_run(w);
    if (w->adapter.wants_removal && fuzz_life_is_up(w)) {
        w->adapter.wants_removal = false;
        fuzz_life_halt(w, NDIS_HALT_FAILED);
    }
}

void fuzz_life_finish(struct fuzz_world *w)
{
    if (w->adapter.state == FUZZ_SHUT_DOWN) {
        return;
    }
    w->memory.refusals = 0;
    w->cpu.race = 0;
    fuzz_trick_reform(w);
    if (w->card.is_gone) {
        fuzz_life_remove(w, true);
    }
    fuzz_life_settle(w);
    fuzz_life_halt(w, NDIS_HALT_DISABLED);
}
