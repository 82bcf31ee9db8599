/* driver_processor.c: who runs when: pending work of two processors, nested where they race, and the time. */
#include "driver_processor.h"

#include <string.h>

#include "driver_world.h"

#define DEPTH_MOST 4u
#define ITEMS_MOST 512u /* at a time: a card may interrupt without end */

enum item_kind { ITEM_NONE, ITEM_INTERRUPT, ITEM_DPC, ITEM_TIMER, ITEM_WORK };
struct item {
    enum item_kind kind;
    uint32_t processor, number;
};

uint32_t fuzz_processor_level(const struct fuzz_world *w)
{
    return w->cpu.each[w->cpu.current].level;
}

/* ---- what could run ---- */

static uint32_t lowest_bit(uint32_t bits)
{
    uint32_t n = 0;
    while (!(bits >> n & 1)) {
        n++;
    }
    return n;
}

static struct item timer_due(const struct fuzz_processors *p)
{
    struct item found = {ITEM_NONE, 0, 0};
    uint64_t first_ns = p->now_ns;
    for (uint32_t i = 0; i < FUZZ_TIMERS; i++) {
        const struct fuzz_timer *t = &p->timer[i];
        if (t->function && t->is_armed && t->due_ns <= first_ns
            && p->each[t->processor].level < VNIC_IRQL_DISPATCH) {
            found = (struct item){ITEM_TIMER, t->processor, i};
            first_ns = t->due_ns;
        }
    }
    return found;
}

/* Interrupts, then DPCs; while a lock is held its holder goes on: a DPC might wait for it for ever. */
static struct item item_next(const struct fuzz_processors *p)
{
    for (uint32_t i = 0; i < FUZZ_PROCESSORS; i++) {
        if (p->each[i].interrupts && p->each[i].level < VNIC_IRQL_DIRQL) {
            return (struct item){ITEM_INTERRUPT, i, lowest_bit(p->each[i].interrupts)};
        }
    }
    for (uint32_t i = 0; i < FUZZ_PROCESSORS && !p->locks_held; i++) {
        if (p->each[i].dpcs && p->each[i].level < VNIC_IRQL_DISPATCH) {
            return (struct item){ITEM_DPC, i, lowest_bit(p->each[i].dpcs)};
        }
    }
    return p->locks_held ? (struct item){ITEM_NONE, 0, 0} : timer_due(p);
}

/* ---- running it ---- */

static void timer_run(struct fuzz_world *w, struct fuzz_timer *t)
{
    t->is_armed = t->period_ns != 0;
    t->due_ns += t->period_ns; /* a period does not wait for who is late */
    const struct fuzz_call call = fuzz_enter(w, "a timer's function", VNIC_IRQL_DISPATCH);
    t->function(t->context);
    fuzz_leave(w, &call);
}

static void work_run(struct fuzz_world *w)
{
    const struct fuzz_work work = w->cpu.work[w->cpu.work_first];
    w->cpu.work_first = (w->cpu.work_first + 1) % FUZZ_WORKS;
    w->cpu.works--;
    const struct fuzz_call call = fuzz_enter(w, "a work item", VNIC_IRQL_PASSIVE);
    work.routine(work.context);
    fuzz_leave(w, &call);
}

static void item_run(struct fuzz_world *w, struct item item)
{
    struct fuzz_processor *p = &w->cpu.each[item.processor];
    const uint32_t before = w->cpu.current;
    w->cpu.current = item.processor;
    w->cpu.depth++;
    switch (item.kind) {
    case ITEM_INTERRUPT:
        p->interrupts &= ~(1u << item.number);
        fuzz_interrupt_service(w, item.number);
        break;
    case ITEM_DPC:
        p->dpcs &= ~(1u << item.number);
        fuzz_interrupt_dpc(w, item.number, p->dpc_context[item.number]);
        break;
    case ITEM_TIMER:
        timer_run(w, &w->cpu.timer[item.number]);
        break;
    case ITEM_WORK:
    case ITEM_NONE:
        work_run(w);
        break;
    }
    w->cpu.depth--;
    w->cpu.current = before;
}

bool fuzz_processor_run(struct fuzz_world *w, uint32_t most)
{
    const uint32_t limit = most < ITEMS_MOST ? most : ITEMS_MOST;
    for (uint32_t ran = 0; ran < limit; ran++) {
        struct item item = item_next(&w->cpu);
        if (item.kind == ITEM_NONE && w->cpu.works && fuzz_processor_level(w) == VNIC_IRQL_PASSIVE) {
            item = (struct item){ITEM_WORK, w->cpu.current, 0};
        }
        if (item.kind == ITEM_NONE) {
            return ran != 0;
        }
        item_run(w, item);
    }
    return true;
}

/* The other processors get ahead here, once, when the input says so. */
static void processor_race(struct fuzz_world *w)
{
    if (w->cpu.race == 0 || --w->cpu.race != 0 || w->cpu.depth >= DEPTH_MOST) {
        return;
    }
    const struct item item = item_next(&w->cpu);
    if (item.kind != ITEM_NONE) {
        item_run(w, item);
    }
}

void fuzz_processor_called(struct fuzz_world *w, const char *function, uint32_t highest, bool calls_back)
{
    const enum fuzz_state state = w->adapter.state;
    FUZZ_REQUIRE(state != FUZZ_HALTED && state != FUZZ_SHUT_DOWN, "STATE-1",
                 "%s by an adapter that is halted", function);
    FUZZ_REQUIRE(fuzz_processor_level(w) <= highest, "LEVEL-1", "%s at level %u, %u is the highest", function,
                 fuzz_processor_level(w), highest);
    FUZZ_REQUIRE(!calls_back || !w->cpu.locks_held, "LOCK-1", "%s while a spin lock is held", function);
    processor_race(w);
}

void fuzz_processor_interrupt(struct fuzz_world *w, uint32_t message)
{
    const bool is_connected =
        w->adapter.has_interrupt ? message < w->adapter.messages : w->adapter.handler[message] != NULL;
    if (is_connected) {
        w->cpu.each[message % FUZZ_PROCESSORS].interrupts |= 1u << message;
    }
}

uint64_t fuzz_processor_queue_dpc(struct fuzz_world *w, uint32_t message, uint64_t processors, void *context)
{
    uint64_t queued = 0;
    for (uint32_t i = 0; i < FUZZ_PROCESSORS; i++) {
        struct fuzz_processor *p = &w->cpu.each[i];
        if (processors >> i & 1 && !(p->dpcs >> message & 1)) {
            p->dpcs |= 1u << message;
            p->dpc_context[message] = context;
            queued |= 1ull << i;
        }
    }
    return queued;
}

bool fuzz_processor_has_dpc(const struct fuzz_world *w)
{
    return (w->cpu.each[0].dpcs | w->cpu.each[1].dpcs) != 0;
}

void fuzz_processor_wait(struct fuzz_world *w, uint64_t ns)
{
    w->cpu.now_ns += ns < UINT64_MAX - w->cpu.now_ns ? ns : UINT64_MAX - w->cpu.now_ns;
}

/* When the next timer is due, at most until_ns. */
static uint64_t time_next(const struct fuzz_processors *p, uint64_t until_ns)
{
    for (uint32_t i = 0; i < FUZZ_TIMERS; i++) {
        const struct fuzz_timer *t = &p->timer[i];
        if (t->function && t->is_armed && t->due_ns < until_ns) {
            until_ns = t->due_ns;
        }
    }
    return until_ns > p->now_ns ? until_ns : p->now_ns;
}

void fuzz_processor_sleep(struct fuzz_world *w, uint64_t ns)
{
    const uint64_t until_ns = w->cpu.now_ns + ns;
    for (uint32_t i = 0; i < ITEMS_MOST; i++) {
        fuzz_processor_run(w, ITEMS_MOST);
        if (w->cpu.now_ns >= until_ns) {
            break;
        }
        w->cpu.now_ns = time_next(&w->cpu, until_ns);
    }
    w->cpu.now_ns = w->cpu.now_ns > until_ns ? w->cpu.now_ns : until_ns;
}

bool fuzz_processor_queue_work(struct fuzz_world *w, void (*routine)(void *context), void *context)
{
    FUZZ_REQUIRE(routine != NULL, "DRV-10", "queue_work_item with no routine");
    FUZZ_REQUIRE(w->cpu.works < FUZZ_WORKS, "HANG-1", "%u work items wait and none ends", FUZZ_WORKS);
    w->cpu.work[(w->cpu.work_first + w->cpu.works++) % FUZZ_WORKS] = (struct fuzz_work){routine, context};
    return true;
}

/* ---- spin locks ---- */

static struct fuzz_lock *lock_of(struct fuzz_world *w, void *lock)
{
    for (uint32_t i = 0; i < FUZZ_LOCKS; i++) {
        if (&w->cpu.lock[i] == lock && w->cpu.lock[i].is_live) {
            return &w->cpu.lock[i];
        }
    }
    fuzz_breach("DRV-10", "a spin lock that is none of the driver's");
}

void *fuzz_lock_alloc(struct fuzz_world *w)
{
    for (uint32_t i = 0; i < FUZZ_LOCKS; i++) {
        if (!w->cpu.lock[i].is_live) {
            w->cpu.lock[i].is_live = true;
            return &w->cpu.lock[i];
        }
    }
    fuzz_breach("DRV-13", "more than %u spin locks", FUZZ_LOCKS);
}

void fuzz_lock_free(struct fuzz_world *w, void *lock)
{
    struct fuzz_lock *found = lock_of(w, lock);
    FUZZ_REQUIRE(!found->is_held, "DRV-13", "free_spin_lock of a lock that is held");
    found->is_live = false;
}

void fuzz_lock_acquire(struct fuzz_world *w, void *lock)
{
    struct fuzz_lock *found = lock_of(w, lock);
    uint32_t *level = &w->cpu.each[w->cpu.current].level;
    FUZZ_REQUIRE(!found->is_held, "LOCK-1", "a spin lock is waited for that nobody will release");
    found->is_held = true;
    found->owner = w->cpu.current;
    found->saved_level = *level;
    *level = VNIC_IRQL_DISPATCH;
    w->cpu.locks_held++;
}

void fuzz_lock_release(struct fuzz_world *w, void *lock)
{
    struct fuzz_lock *found = lock_of(w, lock);
    FUZZ_REQUIRE(found->is_held && found->owner == w->cpu.current, "LOCK-2",
                 "release_spin_lock of a lock that this processor does not hold");
    found->is_held = false;
    w->cpu.each[w->cpu.current].level = found->saved_level;
    w->cpu.locks_held--;
}

/* ---- timers ---- */

static struct fuzz_timer *timer_of(struct fuzz_world *w, void *timer)
{
    for (uint32_t i = 0; i < FUZZ_TIMERS; i++) {
        if (&w->cpu.timer[i] == timer && w->cpu.timer[i].function) {
            return &w->cpu.timer[i];
        }
    }
    fuzz_breach("DRV-10", "a timer that is none of the driver's");
}

void *fuzz_timer_alloc(struct fuzz_world *w, void (*function)(void *context), void *context)
{
    FUZZ_REQUIRE(function != NULL, "DRV-10", "alloc_timer with no function");
    for (uint32_t i = 0; i < FUZZ_TIMERS; i++) {
        if (!w->cpu.timer[i].function) {
            w->cpu.timer[i] = (struct fuzz_timer){.function = function, .context = context};
            return &w->cpu.timer[i];
        }
    }
    fuzz_breach("DRV-13", "more than %u timers", FUZZ_TIMERS);
}

void fuzz_timer_set(struct fuzz_world *w, void *timer, uint64_t due_ns, uint64_t period_ns)
{
    struct fuzz_timer *found = timer_of(w, timer);
    found->is_armed = true;
    found->processor = w->cpu.current;
    found->due_ns = due_ns < UINT64_MAX - w->cpu.now_ns ? w->cpu.now_ns + due_ns : UINT64_MAX;
    found->period_ns = period_ns;
}

bool fuzz_timer_cancel(struct fuzz_world *w, void *timer)
{
    struct fuzz_timer *found = timer_of(w, timer);
    const bool was_armed = found->is_armed;
    found->is_armed = false;
    return was_armed;
}

void fuzz_timer_free(struct fuzz_world *w, void *timer)
{
    FUZZ_REQUIRE(!timer_of(w, timer)->is_armed, "HALT-2", "free_timer of a timer that is armed");
    memset(timer, 0, sizeof(struct fuzz_timer));
}

/* ---- the end ---- */

void fuzz_processor_check(const struct fuzz_world *w)
{
    for (uint32_t i = 0; i < FUZZ_TIMERS; i++) {
        FUZZ_REQUIRE(!w->cpu.timer[i].function || !w->cpu.timer[i].is_armed, "HALT-2",
                     "halted with a timer armed");
    }
    for (uint32_t i = 0; i < FUZZ_LOCKS; i++) {
        FUZZ_REQUIRE(!w->cpu.lock[i].is_live, "DRV-13", "halted with a spin lock that was not freed");
    }
    FUZZ_REQUIRE(!w->cpu.works, "HALT-2", "halted with a work item queued");
}

void fuzz_processor_clear(struct fuzz_world *w)
{
    const uint64_t now_ns = w->cpu.now_ns;
    memset(&w->cpu, 0, sizeof w->cpu);
    w->cpu.now_ns = now_ns;
}
