/* fault.c: arming, matching and applying of injected faults. */
#include "pci/fault.h"

#include <stdlib.h>
#include <string.h>

#define FAULT_ANY_INDEX 0xFFu

#define AT(site) (1u << VNIC_FAULT_##site)
#define DMA_SITES (AT(DMA_READ) | AT(DMA_WRITE))
#define MMIO_SITES (AT(MMIO_READ) | AT(MMIO_WRITE))
/* What travels by itself: nobody waits for it to be answered. */
#define POSTED_SITES (AT(DMA_WRITE) | AT(INTERRUPT) | AT(FRAME_IN) | AT(FRAME_OUT) | AT(MMIO_WRITE))

int fault_create(struct fault_registry *f, uint32_t capacity)
{
    memset(f, 0, sizeof(*f));
    f->slot = calloc(capacity != 0 ? capacity : 1, sizeof(*f->slot));
    if (f->slot == NULL || (capacity != 0 && !fault_held_create(&f->held))) {
        return VNIC_ENOMEM; /* the caller destroys it */
    }
    f->capacity = capacity;
    return VNIC_OK;
}

void fault_destroy(struct fault_registry *f)
{
    fault_held_destroy(&f->held);
    free(f->slot);
    memset(f, 0, sizeof(*f));
}

size_t fault_footprint(const struct fault_registry *f)
{
    return f->capacity * sizeof(*f->slot) + fault_held_footprint(&f->held);
}

/* --- what can be armed */

/* [FLT-1] The sites where an action means something, as bits. */
static uint32_t fault_sites_of(unsigned action)
{
    static const uint32_t sites[VNIC_FAULT_ACTIONS] = {
        [VNIC_FAULT_ERROR] = DMA_SITES | AT(MMIO_READ) | AT(TIMER) | AT(ADMIN),
        [VNIC_FAULT_DROP] = POSTED_SITES | AT(TIMER) | AT(ADMIN),
        [VNIC_FAULT_CORRUPT] = POSTED_SITES | AT(DMA_READ) | AT(MMIO_READ) | AT(ADMIN),
        [VNIC_FAULT_DUPLICATE] = POSTED_SITES | AT(MMIO_READ) | AT(ADMIN),
        [VNIC_FAULT_DELAY] = POSTED_SITES | AT(TIMER) | AT(ADMIN),
        [VNIC_FAULT_REORDER] = POSTED_SITES,
        [VNIC_FAULT_STUCK] = DMA_SITES | MMIO_SITES,
        [VNIC_FAULT_REMOVE] = (1u << VNIC_FAULT_SITES) - 1,
    };
    return action < VNIC_FAULT_ACTIONS ? sites[action] : 0;
}

/* Only the interval of a vector is told of when it begins, so only that can end early. */
static bool fault_has_sound_error(const struct vnic_fault *fault)
{
    switch (fault->site) {
    case VNIC_FAULT_DMA_READ:
    case VNIC_FAULT_DMA_WRITE:
        return fault->argument >= VNIC_DMA_UNSUPPORTED && fault->argument <= VNIC_DMA_TIMEOUT;
    case VNIC_FAULT_TIMER:
        return fault->index == VNIC_FAULT_TIMER_MODERATION;
    case VNIC_FAULT_ADMIN:
        return fault->argument != 0 && fault->argument <= UINT8_MAX;
    default:
        return true;
    }
}

static bool fault_has_sound_argument(const struct vnic_fault *fault)
{
    switch (fault->action) {
    case VNIC_FAULT_ERROR:
        return fault_has_sound_error(fault);
    case VNIC_FAULT_CORRUPT:
    case VNIC_FAULT_STUCK:
        return fault->mask != 0;
    case VNIC_FAULT_DUPLICATE:
        return fault->argument == 0 || (POSTED_SITES >> fault->site & 1u) != 0;
    case VNIC_FAULT_DELAY:
    case VNIC_FAULT_REORDER:
        return fault->argument != 0;
    default:
        return true;
    }
}

static bool fault_has_sound_pick(const struct vnic_fault *fault)
{
    switch (fault->pick) {
    case VNIC_FAULT_PICK_ALL:
        return fault->one_in == 0 && fault->seed == 0;
    case VNIC_FAULT_PICK_CHANCE:
        return fault->one_in != 0;
    case VNIC_FAULT_PICK_EVERY:
        return fault->seed < fault->one_in;
    default:
        return false;
    }
}

static bool fault_is_sound(const struct vnic_fault *fault, uint32_t lacks)
{
    return fault->site < VNIC_FAULT_SITES && (lacks >> fault->site & 1u) == 0
           && (fault_sites_of(fault->action) >> fault->site & 1u) != 0 && fault_has_sound_argument(fault)
           && fault_has_sound_pick(fault) && fault->first <= fault->last && fault->count != 0;
}

int fault_arm(struct fault_registry *f, const struct vnic_fault *fault, uint32_t lacks)
{
    if (fault == NULL || !fault_is_sound(fault, lacks)) {
        return VNIC_EINVAL;
    }
    for (uint32_t id = 0; id < f->capacity && id <= INT32_MAX; id++) {
        if (!f->slot[id].is_armed) {
            f->slot[id] = (struct fault_slot){.fault = *fault, .is_armed = true};
            f->armed[fault->site]++;
            return (int)id;
        }
    }
    return VNIC_ENOSPC;
}

static bool fault_is_armed(const struct fault_registry *f, int id)
{
    return id >= 0 && (uint32_t)id < f->capacity && f->slot[id].is_armed;
}

int fault_disarm(struct fault_registry *f, int id)
{
    if (!fault_is_armed(f, id)) {
        return VNIC_ENOENT;
    }
    f->slot[id].is_armed = false;
    f->armed[f->slot[id].fault.site]--;
    fault_held_free(&f->held, (uint32_t)id);
    if (f->command_fault == (uint32_t)id) {
        f->command_due_ns = 0;
    }
    return VNIC_OK;
}

int64_t fault_fired(const struct fault_registry *f, int id)
{
    return fault_is_armed(f, id) ? (int64_t)f->slot[id].fired : VNIC_ENOENT;
}

/* --- what fires */

static bool fault_is_match(const struct fault_slot *slot, const struct fault_occurrence *what)
{
    const struct vnic_fault *fault = &slot->fault;
    return slot->is_armed && fault->site == what->site
           && (fault->index == FAULT_ANY_INDEX || fault->index == what->index) && what->first <= fault->last
           && what->last >= fault->first;
}

/* splitmix64: the state is its own successor, so a fault that is told of in the middle goes on as it would. */
static uint64_t fault_random(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* [FLT-3] What is not picked is no match. */
static bool fault_picks(struct vnic_fault *fault)
{
    switch (fault->pick) {
    case VNIC_FAULT_PICK_CHANCE:
        return (fault_random(&fault->seed) >> 32) * fault->one_in >> 32 == 0;
    case VNIC_FAULT_PICK_EVERY:
        fault->seed = (fault->seed + 1) % fault->one_in;
        return fault->seed == 0;
    default:
        return true;
    }
}

/* Counts a match; true when it is one of those on which the fault fires. */
static bool fault_take(struct fault_slot *slot)
{
    const uint64_t turn = slot->matched++;
    return turn >= slot->fault.skip && turn - slot->fault.skip < slot->fault.count;
}

bool fault_is_keeping(const struct vnic_fault *fault)
{
    return fault->action == VNIC_FAULT_REORDER
           || ((fault->action == VNIC_FAULT_DELAY || fault->action == VNIC_FAULT_DUPLICATE)
               && fault->argument != 0 && (POSTED_SITES >> fault->site & 1u) != 0);
}

/* [FLT-6] What it cannot keep, it leaves alone. */
static bool fault_has_room(const struct fault_registry *f, const struct vnic_fault *fault, uint64_t len)
{
    return !fault_is_keeping(fault) || fault_held_fits(&f->held, len);
}

/* [FLT-5] While something waits to be passed, what passes it is neither kept nor counted. */
static bool fault_is_passed(struct fault_registry *f, uint32_t id)
{
    if (f->slot[id].fault.action != VNIC_FAULT_REORDER || !fault_held_has(&f->held, id)) {
        return false;
    }
    fault_held_pass(&f->held, id);
    return true;
}

/* True when this fault would fire now; a match is counted either way. */
static bool fault_has_turn(struct fault_registry *f, uint32_t id, const struct fault_occurrence *what)
{
    struct fault_slot *slot = &f->slot[id];
    return fault_is_match(slot, what) && !fault_is_passed(f, id) && fault_picks(&slot->fault)
           && fault_take(slot) && fault_has_room(f, &slot->fault, what->len);
}

/* [PCI-41] Every armed fault counts the occurrence; of several that would fire the lowest id does. */
const struct vnic_fault *fault_match(struct fault_registry *f, const struct fault_occurrence *what, int *id)
{
    struct fault_slot *firing = NULL;
    uint32_t left = f->armed[what->site];
    for (uint32_t i = 0; left != 0 && i < f->capacity; i++) {
        left -= f->slot[i].is_armed && f->slot[i].fault.site == what->site ? 1u : 0u;
        if (fault_has_turn(f, i, what) && firing == NULL) {
            firing = &f->slot[i];
            *id = (int)i;
        }
    }
    if (firing == NULL) {
        return NULL;
    }
    firing->fired++;
    return &firing->fault;
}

struct vnic_fault fault_left(const struct fault_registry *f, uint32_t id)
{
    const struct fault_slot *slot = &f->slot[id];
    struct vnic_fault left = slot->fault;
    if (!slot->is_armed || (slot->matched > left.skip && slot->matched - left.skip >= left.count)) {
        return (struct vnic_fault){.site = VNIC_FAULT_DMA_READ,
                                   .action = VNIC_FAULT_ERROR,
                                   .argument = VNIC_DMA_UNSUPPORTED,
                                   .skip = UINT64_MAX,
                                   .count = 1};
    }
    if (slot->matched > left.skip) {
        left.count -= slot->matched - left.skip;
        left.skip = 0;
    } else {
        left.skip -= slot->matched;
    }
    return left;
}

/* [PCI-43] The bytes of the mask that would lie behind the end are not used. */
void fault_corrupt(const struct vnic_fault *fault, uint8_t *bytes, uint64_t len)
{
    if (len == 0) {
        return;
    }
    const uint64_t start = fault->argument % len;
    for (unsigned i = 0; i < 8 && start + i < len; i++) {
        bytes[start + i] ^= (uint8_t)(fault->mask >> 8 * i);
    }
}

/* [FLT-7] A line of the data path that is stuck: byte n of the mask is for the addresses first + n modulo 8. */
static void fault_stick(const struct vnic_fault *fault, uint8_t *bytes, uint64_t len, uint64_t addr)
{
    for (uint64_t i = 0; i < len; i++) {
        const uint64_t at = addr + i;
        const unsigned lane = (unsigned)((at - fault->first) % 8) * 8;
        const uint8_t mask = (uint8_t)(fault->mask >> lane);
        if (at >= fault->first && at <= fault->last) {
            bytes[i] = (uint8_t)((bytes[i] & ~mask) | ((uint8_t)(fault->argument >> lane) & mask));
        }
    }
}

void fault_spoil(const struct vnic_fault *fault, uint8_t *bytes, uint64_t len, uint64_t addr)
{
    if (fault->action == VNIC_FAULT_STUCK) {
        fault_stick(fault, bytes, len, addr);
    } else if (fault->action == VNIC_FAULT_CORRUPT) {
        fault_corrupt(fault, bytes, len);
    }
}

/* --- what is kept */

static uint64_t fault_due_ns(uint64_t now_ns, uint64_t delay_ns)
{
    return delay_ns > UINT64_MAX - 1 - now_ns ? UINT64_MAX - 1 : now_ns + delay_ns;
}

void fault_keep(struct fault_registry *f, int id, uint64_t now_ns, struct fault_item item,
                const uint8_t *bytes)
{
    const struct vnic_fault *fault = &f->slot[id].fault;
    const bool is_passed = fault->action == VNIC_FAULT_REORDER;
    item.fault = (uint32_t)id;
    item.site = fault->site;
    item.passes = is_passed ? fault->argument : 0;
    item.due_ns = is_passed ? UINT64_MAX : fault_due_ns(now_ns, fault->argument);
    fault_held_put(&f->held, item, bytes);
}

void fault_forget(struct fault_registry *f)
{
    fault_held_clear(&f->held);
    f->command_due_ns = 0;
    f->is_command_twice = false;
}
