/* driver_processor.h: two virtual processors on one thread: levels, spin locks, interrupts, DPCs, timers, work items. */
#ifndef VNIC_DRIVER_PROCESSOR_H
#define VNIC_DRIVER_PROCESSOR_H

#include <stdbool.h>
#include <stdint.h>

#include "vnic/vnic_driver.h"

struct fuzz_world;

#define FUZZ_PROCESSORS 2u
#define FUZZ_MESSAGES 3u /* interrupt vectors of the card */
#define FUZZ_LOCKS 64u
#define FUZZ_TIMERS 64u
#define FUZZ_WORKS 64u

struct fuzz_lock {
    bool is_live, is_held;
    uint32_t owner, saved_level;
};

struct fuzz_timer {
    void (*function)(void *context); /* NULL: free */
    void *context;
    bool is_armed;
    uint32_t processor;
    uint64_t due_ns, period_ns;
};

struct fuzz_processor {
    uint32_t level;
    uint32_t interrupts, dpcs; /* pending, bits by message */
    void *dpc_context[FUZZ_MESSAGES];
};

struct fuzz_work {
    void (*routine)(void *context);
    void *context;
};

struct fuzz_processors {
    struct fuzz_processor each[FUZZ_PROCESSORS];
    uint32_t current, locks_held, depth;
    uint32_t race; /* calls until another processor gets ahead; 0: never */
    struct fuzz_lock lock[FUZZ_LOCKS];
    struct fuzz_timer timer[FUZZ_TIMERS];
    struct fuzz_work work[FUZZ_WORKS];
    uint32_t work_first, works;
    uint64_t now_ns;
};

uint32_t fuzz_processor_level(const struct fuzz_world *w);
/* Up to which level a function of NDIS may be called; whether it calls back, so that no lock may be held. */
void fuzz_processor_called(struct fuzz_world *w, const char *function, uint32_t highest, bool calls_back);

void fuzz_processor_interrupt(struct fuzz_world *w, uint32_t message);
/* Those on which no such DPC was queued before. */
uint64_t fuzz_processor_queue_dpc(struct fuzz_world *w, uint32_t message, uint64_t processors, void *context);
bool fuzz_processor_has_dpc(const struct fuzz_world *w);
/* Runs what pends, and what that makes pending, to rest or at most so many; false: there was nothing. */
bool fuzz_processor_run(struct fuzz_world *w, uint32_t most);
/* The time goes on; timers that are due become pending with it. */
void fuzz_processor_wait(struct fuzz_world *w, uint64_t ns);
/* The same at PASSIVE, where others run meanwhile, and timers when they are due. */
void fuzz_processor_sleep(struct fuzz_world *w, uint64_t ns);
bool fuzz_processor_queue_work(struct fuzz_world *w, void (*routine)(void *context), void *context);

void *fuzz_lock_alloc(struct fuzz_world *w);
void fuzz_lock_free(struct fuzz_world *w, void *lock);
void fuzz_lock_acquire(struct fuzz_world *w, void *lock);
void fuzz_lock_release(struct fuzz_world *w, void *lock);

void *fuzz_timer_alloc(struct fuzz_world *w, void (*function)(void *context), void *context);
void fuzz_timer_set(struct fuzz_world *w, void *timer, uint64_t due_ns, uint64_t period_ns);
bool fuzz_timer_cancel(struct fuzz_world *w, void *timer);
void fuzz_timer_free(struct fuzz_world *w, void *timer);

/* What a halted driver must have given back: locks (DRV-13), armed timers (HALT-2). */
void fuzz_processor_check(const struct fuzz_world *w);
void fuzz_processor_clear(struct fuzz_world *w);

#endif
