/* kept_function.h: the calls that card and copy engine have alike; DEVICE is the type, OF(x) a name, NAME(x) as text. */
#include <stdlib.h>

#include "kept.h"

#define REAL_(name) __real_##name
#define WRAP_(name) __wrap_##name
#define REAL__(name) REAL_(name)
#define WRAP__(name) WRAP_(name)
#define REAL(x) REAL__(OF(x))
#define WRAP(x) WRAP__(OF(x))
/* A function of the core with another in front of it. */
#define DECLARED(type, x, ...)                                                                               \
    type REAL(x)(__VA_ARGS__);                                                                               \
    type WRAP(x)(__VA_ARGS__)

uint64_t OF(state_hash)(DEVICE *device);

static void asked_last(void *device);

static void told(DEVICE *device, const char *call, uint64_t answer)
{
    if (kept_leave()) {
        kept_ask_last(asked_last, device);
        kept_tell(call, answer, OF(state_hash)(device));
    }
}

DECLARED(uint64_t, read, DEVICE *device, unsigned bar, uint64_t offset, unsigned width);
uint64_t WRAP(read)(DEVICE *device, unsigned bar, uint64_t offset, unsigned width)
{
    kept_enter();
    const uint64_t value = REAL(read)(device, bar, offset, width);
    told(device, NAME(read), value);
    return value;
}

DECLARED(void, write, DEVICE *device, unsigned bar, uint64_t offset, unsigned width, uint64_t value);
void WRAP(write)(DEVICE *device, unsigned bar, uint64_t offset, unsigned width, uint64_t value)
{
    kept_enter();
    REAL(write)(device, bar, offset, width, value);
    told(device, NAME(write), offset);
}

DECLARED(uint32_t, cfg_read, DEVICE *device, uint32_t offset, unsigned width);
uint32_t WRAP(cfg_read)(DEVICE *device, uint32_t offset, unsigned width)
{
    kept_enter();
    const uint32_t value = REAL(cfg_read)(device, offset, width);
    told(device, NAME(cfg_read), value);
    return value;
}

DECLARED(void, cfg_write, DEVICE *device, uint32_t offset, unsigned width, uint32_t value);
void WRAP(cfg_write)(DEVICE *device, uint32_t offset, unsigned width, uint32_t value)
{
    kept_enter();
    REAL(cfg_write)(device, offset, width, value);
    told(device, NAME(cfg_write), offset);
}

/* -- memory --------------------------------------------------------------------------------------------------- */

DECLARED(int, map, DEVICE *device, uint64_t iova, void *host, uint64_t len, unsigned permissions);
int WRAP(map)(DEVICE *device, uint64_t iova, void *host, uint64_t len, unsigned permissions)
{
    kept_enter();
    const int result = REAL(map)(device, iova, host, len, permissions);
    if (result == VNIC_OK) {
        kept_map(device, iova, host, len);
    }
    told(device, NAME(map), (uint64_t)result);
    return result;
}

DECLARED(int, unmap, DEVICE *device, uint64_t iova, uint64_t len);
int WRAP(unmap)(DEVICE *device, uint64_t iova, uint64_t len)
{
    kept_enter();
    const int result = REAL(unmap)(device, iova, len);
    if (result == VNIC_OK) {
        kept_unmap(device, iova, len);
    }
    told(device, NAME(unmap), (uint64_t)result);
    return result;
}

DECLARED(void, unmap_all, DEVICE *device);
void WRAP(unmap_all)(DEVICE *device)
{
    kept_enter();
    kept_unmap_all(device);
    REAL(unmap_all)(device);
    told(device, NAME(unmap_all), 0);
}

/* Who answers for memory that is not mapped, and who observes: what they hear is noted before they do. */
static struct {
    DEVICE *device;
    vnic_unmapped answer;
    vnic_observer observer;
    void *answers, *observes;
} listener[4];
enum { LISTENERS = sizeof listener / sizeof listener[0] };

static unsigned listener_of(DEVICE *device)
{
    unsigned i = 0, free = LISTENERS;
    while (i < LISTENERS && listener[i].device != device) {
        free = listener[i].device == NULL ? i : free;
        i++;
    }
    if (i == LISTENERS && free == LISTENERS) {
        abort();
    }
    i = i < LISTENERS ? i : free;
    listener[i].device = device;
    return i;
}

DECLARED(void, destroy, DEVICE *device);
void WRAP(destroy)(DEVICE *device)
{
    kept_enter();
    told(device, NAME(destroy), 0);
    asked_last(device);
    kept_forget(device);
    kept_unmap_all(device);
    REAL(destroy)(device);
    listener[listener_of(device)].device = NULL;
}

static int answer_noted(void *opaque, uint64_t iova, uint8_t *bytes, uint32_t len, int is_write)
{
    const unsigned i = listener_of(opaque);
    kept_word(iova);
    kept_word((uint64_t)len << 1 | (is_write != 0));
    if (is_write) {
        kept_bytes(bytes, len);
    }
    return listener[i].answer(listener[i].answers, iova, bytes, len, is_write);
}

DECLARED(void, set_unmapped, DEVICE *device, vnic_unmapped answer, void *opaque);
void WRAP(set_unmapped)(DEVICE *device, vnic_unmapped answer, void *opaque)
{
    const unsigned i = listener_of(device);
    listener[i].answer = answer;
    listener[i].answers = opaque;
    REAL(set_unmapped)(device, answer != NULL ? answer_noted : NULL, device);
}

static void event_noted(void *opaque, const struct vnic_event *event)
{
    const unsigned i = listener_of(opaque);
    kept_word((uint64_t)event->type | (uint64_t)event->function << 8 | (uint64_t)event->index << 16
              | (uint64_t)event->width << 24);
    kept_word(event->time_ns);
    kept_word(event->addr);
    kept_word(event->value);
    if (event->data != NULL) {
        kept_bytes(event->data, event->len);
    }
    listener[i].observer(listener[i].observes, event);
}

DECLARED(void, observe, DEVICE *device, vnic_observer observer, void *opaque, uint32_t mask);
void WRAP(observe)(DEVICE *device, vnic_observer observer, void *opaque, uint32_t mask)
{
    const unsigned i = listener_of(device);
    listener[i].observer = observer;
    listener[i].observes = opaque;
    REAL(observe)(device, observer != NULL ? event_noted : NULL, device, mask);
}

/* -- work ----------------------------------------------------------------------------------------------------- */

uint32_t OF(runnable)(const DEVICE *device);
uint64_t OF(deadline)(const DEVICE *device);
uint64_t OF(idle_steps)(const DEVICE *device);
uint32_t OF(fault_kept)(const DEVICE *device);

/* What a host may ask at any time. */
static void told_all(DEVICE *device, const char *call, uint64_t answer)
{
    kept_word(OF(runnable)(device));
    kept_word(OF(deadline)(device));
    kept_word(OF(idle_steps)(device));
    kept_word(OF(fault_kept)(device));
    told(device, call, answer);
}

DECLARED(int, step, DEVICE *device, unsigned engine, uint64_t *bytes);
int WRAP(step)(DEVICE *device, unsigned engine, uint64_t *bytes)
{
    kept_enter();
    const int taken = REAL(step)(device, engine, bytes);
    kept_word(taken && bytes != NULL ? *bytes : 0);
    told_all(device, NAME(step), (uint64_t)taken);
    return taken;
}

DECLARED(uint32_t, run, DEVICE *device, const struct vnic_budget *budget, struct vnic_budget *used);
uint32_t WRAP(run)(DEVICE *device, const struct vnic_budget *budget, struct vnic_budget *used)
{
    struct vnic_budget taken = {0, 0};
    kept_enter();
    const uint32_t runnable = REAL(run)(device, budget, &taken);
    kept_word(taken.bytes);
    kept_word(runnable);
    told_all(device, NAME(run), taken.steps);
    if (used != NULL) {
        *used = taken;
    }
    return runnable;
}

DECLARED(int, advance, DEVICE *device, uint64_t now_ns);
int WRAP(advance)(DEVICE *device, uint64_t now_ns)
{
    kept_enter();
    const int result = REAL(advance)(device, now_ns);
    told_all(device, NAME(advance), (uint64_t)result);
    return result;
}

DECLARED(void, reset, DEVICE *device, unsigned level);
void WRAP(reset)(DEVICE *device, unsigned level)
{
    kept_enter();
    REAL(reset)(device, level);
    told_all(device, NAME(reset), level);
}

DECLARED(void, remove, DEVICE *device);
void WRAP(remove)(DEVICE *device)
{
    kept_enter();
    REAL(remove)(device);
    told_all(device, NAME(remove), 0);
}

DECLARED(void, insert, DEVICE *device);
void WRAP(insert)(DEVICE *device)
{
    kept_enter();
    REAL(insert)(device);
    told_all(device, NAME(insert), 0);
}

DECLARED(size_t, interrupts, DEVICE *device, struct vnic_interrupt *interrupts, size_t max);
size_t WRAP(interrupts)(DEVICE *device, struct vnic_interrupt *interrupts, size_t max)
{
    kept_enter();
    const size_t count = REAL(interrupts)(device, interrupts, max);
    for (size_t i = 0; i < count; i++) {
        kept_word(interrupts[i].addr);
        kept_word(interrupts[i].data);
        kept_word((uint64_t)interrupts[i].kind << 8 | interrupts[i].vector);
    }
    told(device, NAME(interrupts), count);
    return count;
}

/* -- snapshots and faults ------------------------------------------------------------------------------------- */

DECLARED(size_t, save, DEVICE *device, uint8_t *buf, size_t capacity);
size_t WRAP(save)(DEVICE *device, uint8_t *buf, size_t capacity)
{
    kept_enter();
    const size_t len = REAL(save)(device, buf, capacity);
    if (buf != NULL && len <= capacity) {
        kept_bytes(buf, len);
    }
    told(device, NAME(save), len);
    return len;
}

DECLARED(int, load, DEVICE *device, const uint8_t *buf, size_t len);
int WRAP(load)(DEVICE *device, const uint8_t *buf, size_t len)
{
    kept_enter();
    const int result = REAL(load)(device, buf, len);
    told_all(device, NAME(load), (uint64_t)result);
    return result;
}

DECLARED(int, fault_arm, DEVICE *device, const struct vnic_fault *fault);
int WRAP(fault_arm)(DEVICE *device, const struct vnic_fault *fault)
{
    kept_enter();
    const int id = REAL(fault_arm)(device, fault);
    told(device, NAME(fault_arm), (uint64_t)id);
    return id;
}

int64_t OF(fault_fired)(const DEVICE *device, int id);
DECLARED(int, fault_disarm, DEVICE *device, int id);
int WRAP(fault_disarm)(DEVICE *device, int id)
{
    const int64_t fired = OF(fault_fired)(device, id);
    kept_enter();
    const int result = REAL(fault_disarm)(device, id);
    if (result == VNIC_OK) {
        told(device, NAME(fault_disarm), (uint64_t)fired);
    } else { /* some targets try every id */
        (void)kept_leave();
    }
    return result;
}

/* -- at last -------------------------------------------------------------------------------------------------- */

enum { IMAGE_MOST = 1 << 17, EDITS = 24, CONFIG_BYTES = 4096, BAR_BYTES = 0x4000, COMMAND_AT = 4 };
static uint8_t image[IMAGE_MOST];
const char *OF(register_name)(unsigned bar, uint64_t offset);

/* Refused, or taken: then it is saved as it is, and works. */
static void load_told(void *opaque, size_t len)
{
    DEVICE *device = opaque;
    const struct vnic_budget some = {40, UINT64_MAX};
    struct vnic_budget used = {0, 0};

    kept_enter();
    const int result = REAL(load)(device, image, len);
    if (result == VNIC_OK) {
        kept_word(REAL(run)(device, &some, &used));
        kept_word(used.steps);
    }
    told_all(device, "an edited snapshot", (uint64_t)result);
}

/* Configuration, then all registers, with memory decoded; snapshots that are nearly right. */
static void asked_last(void *opaque)
{
    DEVICE *device = opaque;

    kept_enter();
    for (uint32_t offset = 0; offset < CONFIG_BYTES; offset += 4) {
        kept_word(REAL(cfg_read)(device, offset, 4));
    }
    REAL(cfg_write)(device, COMMAND_AT, 2, REAL(cfg_read)(device, COMMAND_AT, 2) | 2);
    for (uint32_t offset = 0; offset < BAR_BYTES; offset += 4) {
        if (OF(register_name)(0, offset) != NULL) {
            kept_word(REAL(read)(device, 0, offset, 4));
        }
    }
    told_all(device, "all registers", 0);
    const size_t len = REAL(save)(device, image, sizeof image);
    if (len <= sizeof image) {
        kept_edit(image, len, EDITS, load_told, device);
        (void)REAL(load)(device, image, len);
    }
}
