/* replay.c: the strict replay: each input of a trace into its device, each event that comes out beside the trace's. */
#include <stdlib.h>
#include <string.h>

#include "trace/block.h"
#include "trace/reader.h"
#include "trace/target.h"

struct vnic_replay {
    struct reader reader;
    struct target target[VNIC_TRACE_FUNCTIONS];
    uint64_t events; /* behind */
    uint64_t unknown; /* of a type that is not known */
    bool is_different;
    vnic_replay_judge judge;
    void *judge_opaque;
    vnic_observer follower;
    void *follower_opaque;
    struct vnic_event expected, actual;
    uint8_t actual_data[64]; /* the first octets, for who looks at the difference */
    uint32_t answered; /* octets of the DMA at hand that were asked for */
};

/* --- life */

vnic_replay *vnic_replay_create(vnic_replay_source source, void *opaque)
{
    vnic_replay *replay = calloc(1, sizeof(*replay));

    if (replay == NULL || !reader_create(&replay->reader, source, opaque)) {
        vnic_replay_destroy(replay);
        return NULL;
    }
    return replay;
}

void vnic_replay_destroy(vnic_replay *replay)
{
    if (replay == NULL) {
        return;
    }
    for (unsigned i = 0; i < VNIC_TRACE_FUNCTIONS; i++) {
        target_attach(&replay->target[i], NULL, NULL, NULL);
    }
    reader_destroy(&replay->reader);
    free(replay);
}

/* --- what comes out of a device */

static bool replay_is_known(unsigned type)
{
    return (type >= VNIC_EVENT_MMIO_READ && type <= VNIC_EVENT_RELEASE) || type == VNIC_EVENT_MARK
           || type == VNIC_EVENT_HASH;
}

/* What is in the file but is not asked of a device: memory, which a replay has none of, and marks. */
static bool replay_is_aside(unsigned type)
{
    return type == VNIC_EVENT_MAP || type == VNIC_EVENT_UNMAP || type == VNIC_EVENT_MARK
           || !replay_is_known(type);
}

static void replay_pass(vnic_replay *replay)
{
    reader_pass(&replay->reader);
    replay->events++;
}

static void replay_tell(const vnic_replay *replay, const struct vnic_event *event)
{
    if (replay->follower != NULL) {
        replay->follower(replay->follower_opaque, event);
    }
}

/* What no device says has to be told of as the file has it. */
static void replay_set_aside(vnic_replay *replay, const struct traced *t)
{
    struct vnic_event event = t->event;

    if (replay_is_known(event.type)) {
        event.data = reader_data(&replay->reader, t);
        replay_tell(replay, &event);
    } else {
        replay->unknown++;
    }
    replay_pass(replay);
}

/* The next event of the file that devices have a part in. */
static const struct traced *replay_next(vnic_replay *replay)
{
    const struct traced *t;

    while ((t = reader_peek(&replay->reader, 0)) != NULL && replay_is_aside(t->event.type)) {
        replay_set_aside(replay, t);
    }
    return t;
}

static bool replay_is_same_data(const vnic_replay *replay, const struct traced *t, const struct vnic_event *e)
{
    if (t->is_digest) {
        return block_digest(e->data, e->len) == t->digest;
    }
    const uint8_t *data = reader_data(&replay->reader, t);
    return data == NULL || e->data == NULL || memcmp(data, e->data, e->len) == 0;
}

static bool replay_is_same(const vnic_replay *replay, const struct traced *t, const struct vnic_event *e)
{
    const struct vnic_event *x = &t->event;

    return x->type == e->type && x->function == e->function && x->index == e->index && x->width == e->width
           && x->len == e->len && x->time_ns == e->time_ns && x->addr == e->addr && x->value == e->value
           && replay_is_same_data(replay, t, e);
}

static void replay_note(vnic_replay *replay, const struct traced *t, const struct vnic_event *e)
{
    replay->expected = t != NULL ? t->event : (struct vnic_event){.type = 0};
    replay->expected.data = t != NULL ? reader_data(&replay->reader, t) : NULL;
    replay->actual = e != NULL ? *e : (struct vnic_event){.type = 0};
    if (e != NULL && e->data != NULL) {
        const size_t most = sizeof replay->actual_data;
        memcpy(replay->actual_data, e->data, e->len < most ? e->len : most);
        replay->actual.data = replay->actual_data;
    }
}

/* What the judge says of a difference; without one, or at an answer that is none: the end. */
static enum vnic_replay_verdict replay_judge(vnic_replay *replay, const struct traced *t,
                                             const struct vnic_event *e)
{
    int verdict = VNIC_REPLAY_STOP;

    replay_note(replay, t, e);
    if (replay->judge != NULL) {
        verdict = replay->judge(replay->judge_opaque, &replay->expected, &replay->actual);
    }
    if (verdict < VNIC_REPLAY_STOP || verdict > VNIC_REPLAY_DROP_EXPECTED
        || (t == NULL && verdict != VNIC_REPLAY_DROP_ACTUAL)
        || (e == NULL && verdict == VNIC_REPLAY_DROP_ACTUAL)) {
        verdict = VNIC_REPLAY_STOP;
    }
    replay->is_different = verdict == VNIC_REPLAY_STOP;
    return (enum vnic_replay_verdict)verdict;
}

static void replay_meet(vnic_replay *replay, const struct vnic_event *event)
{
    const struct traced *t = replay_next(replay);

    while (t == NULL || !replay_is_same(replay, t, event)) {
        const enum vnic_replay_verdict verdict = replay_judge(replay, t, event);
        if (verdict == VNIC_REPLAY_STOP) {
            return;
        }
        if (verdict == VNIC_REPLAY_DROP_ACTUAL) {
            replay_tell(replay, event);
            return;
        }
        if (verdict == VNIC_REPLAY_GO_ON) {
            break;
        }
        replay_pass(replay);
        t = replay_next(replay);
    }
    replay_tell(replay, event);
    replay->answered = 0;
    replay_pass(replay);
}

/* A vnic_observer. After the end the device is left alone. */
static void replay_on_event(void *opaque, const struct vnic_event *event)
{
    vnic_replay *replay = opaque;

    if (!replay->is_different && !replay_is_aside(event->type)) {
        replay_meet(replay, event);
    }
}

/* A vnic_unmapped: all of the device's memory is the next event of the file, or none. */
static int replay_on_memory(void *opaque, uint64_t iova, uint8_t *bytes, uint32_t len, int is_write)
{
    vnic_replay *replay = opaque;
    const struct traced *t = replay->is_different ? NULL : replay_next(replay);
    const unsigned type = is_write ? VNIC_EVENT_DMA_WRITE : VNIC_EVENT_DMA_READ;

    if (t == NULL || t->event.type != type || iova != t->event.addr + replay->answered) {
        /* The event that follows will differ; a write that a judge may bear is as good as done. */
        return is_write && replay->judge != NULL ? VNIC_DMA_OK : VNIC_DMA_UNSUPPORTED;
    }
    const uint32_t left = t->event.len - replay->answered;
    if (left == 0 || left < len) {
        return (int)t->event.value;
    }
    const uint8_t *data = reader_data(&replay->reader, t);
    if (!is_write && data != NULL) {
        memcpy(bytes, data + replay->answered, len);
    }
    replay->answered += len;
    return VNIC_DMA_OK;
}

/* --- the devices */

static int replay_add(vnic_replay *replay, unsigned function, struct target target, uint32_t port,
                      uint32_t device)
{
    if (function >= VNIC_TRACE_FUNCTIONS || target_is_there(&replay->target[function])) {
        return VNIC_EINVAL;
    }
    replay->target[function] = target;
    replay->reader.port[function] = port;
    replay->reader.device[function] = device;
    target_attach(&target, replay_on_event, replay_on_memory, replay);
    return VNIC_OK;
}

int vnic_replay_card(vnic_replay *replay, unsigned function, vnic *card, uint32_t port, uint32_t device)
{
    return replay_add(replay, function, (struct target){.card = card}, port, device);
}

int vnic_replay_engine(vnic_replay *replay, unsigned function, vnic_copy *engine, uint32_t device)
{
    return replay_add(replay, function, (struct target){.engine = engine}, UINT32_MAX, device);
}

void vnic_replay_forget(vnic_replay *replay, unsigned function)
{
    if (function < VNIC_TRACE_FUNCTIONS) {
        replay->target[function] = (struct target){.card = NULL};
    }
}

/* --- the loop */

/* The next input: outputs that come before it are what it causes before it is told of. */
static const struct traced *replay_input(vnic_replay *replay, uint32_t *ahead)
{
    const struct traced *t = replay_next(replay);

    for (*ahead = 0; t != NULL && !target_is_input(t->event.type) && t->event.type != VNIC_EVENT_HASH;) {
        t = reader_peek(&replay->reader, ++*ahead);
    }
    return t;
}

static void replay_hash(vnic_replay *replay, const struct traced *t, const struct target *target)
{
    struct vnic_event actual = t->event;

    actual.value = target_hash(target);
    replay_meet(replay, &actual);
}

static int replay_end(const vnic_replay *replay)
{
    switch (replay->reader.end) {
    case READER_AT_END:
        return VNIC_REPLAY_END;
    case READER_CUT:
        return VNIC_REPLAY_CUT;
    case READER_FAILED:
        return VNIC_REPLAY_FAILED;
    default:
        return VNIC_REPLAY_BAD;
    }
}

/* What the file has up to its input `last`, and the device did not say. */
static void replay_miss(vnic_replay *replay, uint64_t last)
{
    while (!replay->is_different && replay->events <= last) {
        const struct traced *t = replay_next(replay);
        if (t == NULL || replay_judge(replay, t, NULL) == VNIC_REPLAY_STOP) {
            return;
        }
        replay_pass(replay);
    }
}

/* The input that stands `ahead` places behind the next event. */
static void replay_apply(vnic_replay *replay, const struct traced *t, uint32_t ahead)
{
    const struct target *target = &replay->target[t->event.function % VNIC_TRACE_FUNCTIONS];
    const struct vnic_event input = t->event;
    const uint64_t last = replay->events + ahead;

    if (t->event.function < VNIC_TRACE_FUNCTIONS && target_is_there(target)) {
        if (t->event.type == VNIC_EVENT_HASH) {
            replay_hash(replay, t, target);
        } else {
            (void)target_apply(target, &input, reader_data(&replay->reader, t));
        }
    }
    replay_miss(replay, last);
}

/* Outputs that nothing in the file causes. */
static void replay_tail(vnic_replay *replay)
{
    replay_miss(replay, UINT64_MAX);
}

void vnic_replay_set_judge(vnic_replay *replay, vnic_replay_judge judge, void *opaque)
{
    replay->judge = judge;
    replay->judge_opaque = opaque;
}

void vnic_replay_follow(vnic_replay *replay, vnic_observer follower, void *opaque)
{
    replay->follower = follower;
    replay->follower_opaque = opaque;
}

int vnic_replay_run(vnic_replay *replay, uint64_t until)
{
    while (!replay->is_different && replay->events < until) {
        uint32_t ahead;
        const struct traced *t = replay_input(replay, &ahead);
        if (t != NULL) {
            replay_apply(replay, t, ahead);
        } else if (reader_peek(&replay->reader, 0) != NULL) {
            replay_tail(replay);
        } else {
            return replay_end(replay);
        }
    }
    return replay->is_different ? VNIC_REPLAY_DIFFERENT : VNIC_REPLAY_STOPPED;
}

/* --- what is known of it */

uint64_t vnic_replay_events(const vnic_replay *replay)
{
    return replay->events;
}

uint64_t vnic_replay_offset(const vnic_replay *replay)
{
    return replay->reader.count != 0 ? replay->reader.ahead[replay->reader.first].offset
                                     : replay->reader.next;
}

uint64_t vnic_replay_lost(const vnic_replay *replay)
{
    return replay->reader.lost;
}

uint64_t vnic_replay_skipped(const vnic_replay *replay)
{
    return replay->reader.skipped + replay->unknown;
}

const struct vnic_event *vnic_replay_expected(const vnic_replay *replay)
{
    return &replay->expected;
}

const struct vnic_event *vnic_replay_actual(const vnic_replay *replay)
{
    return &replay->actual;
}
