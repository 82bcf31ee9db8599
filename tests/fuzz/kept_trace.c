/* kept_trace.c: what a target replays and records, and what comes of it. */
#include <vnic/vnic_trace.h>

#include "kept.h"

vnic_trace *__real_vnic_trace_create(size_t capacity, uint32_t flags, vnic_trace_sink sink, void *opaque);
vnic_trace *__wrap_vnic_trace_create(size_t capacity, uint32_t flags, vnic_trace_sink sink, void *opaque);
void __real_vnic_replay_set_judge(vnic_replay *replay, vnic_replay_judge judge, void *opaque);
void __wrap_vnic_replay_set_judge(vnic_replay *replay, vnic_replay_judge judge, void *opaque);
int __real_vnic_replay_card(vnic_replay *replay, unsigned function, vnic *card, uint32_t port,
                            uint32_t device);
int __wrap_vnic_replay_card(vnic_replay *replay, unsigned function, vnic *card, uint32_t port,
                            uint32_t device);
int __real_vnic_replay_engine(vnic_replay *replay, unsigned function, vnic_copy *engine, uint32_t device);
int __wrap_vnic_replay_engine(vnic_replay *replay, unsigned function, vnic_copy *engine, uint32_t device);
int __real_vnic_replay_run(vnic_replay *replay, uint64_t until);
int __wrap_vnic_replay_run(vnic_replay *replay, uint64_t until);

enum { DATA_SHOWN = 64 };

/* One recorder and one replay at a time. */
static struct {
    vnic_trace_sink sink;
    vnic_replay_judge judge;
    vnic *card;
    vnic_copy *engine;
} now;

static int octets_noted(void *opaque, const uint8_t *octets, size_t len)
{
    kept_bytes(octets, len);
    return now.sink(opaque, octets, len);
}

vnic_trace *__wrap_vnic_trace_create(size_t capacity, uint32_t flags, vnic_trace_sink sink, void *opaque)
{
    now.sink = sink;
    return __real_vnic_trace_create(capacity, flags, octets_noted, opaque);
}

static void event_note(const struct vnic_event *event)
{
    kept_word((uint64_t)event->type | (uint64_t)event->function << 8 | (uint64_t)event->index << 16
              | (uint64_t)event->width << 24);
    if (event->type != 0) {
        kept_word(event->time_ns);
        kept_word(event->addr);
        kept_word(event->value);
        if (event->data != NULL) { /* of what came out, a replay shows the first octets */
            kept_bytes(event->data, event->len < DATA_SHOWN ? event->len : DATA_SHOWN);
        }
    }
}

static int judge_noted(void *opaque, const struct vnic_event *expected, const struct vnic_event *actual)
{
    event_note(expected);
    event_note(actual);
    return now.judge(opaque, expected, actual);
}

void __wrap_vnic_replay_set_judge(vnic_replay *replay, vnic_replay_judge judge, void *opaque)
{
    now.judge = judge;
    __real_vnic_replay_set_judge(replay, judge != NULL ? judge_noted : NULL, opaque);
}

int __wrap_vnic_replay_card(vnic_replay *replay, unsigned function, vnic *card, uint32_t port,
                            uint32_t device)
{
    now.card = card;
    return __real_vnic_replay_card(replay, function, card, port, device);
}

int __wrap_vnic_replay_engine(vnic_replay *replay, unsigned function, vnic_copy *engine, uint32_t device)
{
    now.engine = engine;
    return __real_vnic_replay_engine(replay, function, engine, device);
}

int __wrap_vnic_replay_run(vnic_replay *replay, uint64_t until)
{
    kept_enter();
    const int result = __real_vnic_replay_run(replay, until);
    if (kept_leave()) {
        kept_word(vnic_replay_events(replay));
        kept_word(vnic_replay_offset(replay));
        kept_word(vnic_replay_lost(replay));
        kept_word(vnic_replay_skipped(replay));
        event_note(vnic_replay_expected(replay));
        event_note(vnic_replay_actual(replay));
        kept_word(now.engine != NULL ? vnic_copy_state_hash(now.engine) : 0);
        kept_tell("vnic_replay_run", (uint64_t)result, now.card != NULL ? vnic_state_hash(now.card) : 0);
    }
    return result;
}
