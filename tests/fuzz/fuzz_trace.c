/* fuzz_trace.c: libFuzzer target: traces of strangers, replayed with tolerance; what was recorded of that is a trace. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "input.h"
#include "see.h"
#include "trace_oracle.h"
#include "vnic/vnic_trace.h"

#define PORT 0u /* interfaces, as a recorder numbers them */
#define CARD 1u
#define ENGINE 2u
#define EVENTS_MOST 2000u
#define DIFFERENCES_MOST 200u
#define RECORD_MOST (1u << 20)
#define PIECE 1500u /* octets that the source gives at once */

struct device_pair {
    vnic *card;
    vnic_copy *engine;
    uint8_t *card_image, *engine_image;
    size_t card_len, engine_len;
};

struct octets {
    const uint8_t *at;
    size_t left;
};

struct record {
    uint8_t *octets;
    size_t len;
    bool is_over; /* more than there is room for */
};

static struct device_pair devices;

/* ---- devices ---- */

static bool card_make(struct device_pair *d)
{
    struct vnic_config config;
    vnic_config_init(&config);
    config.rx_buffer_bytes = 1u << 16;
    config.tx_buffer_bytes = 1u << 16;
    config.connections = 16;
    config.chimney_bytes = 1u << 16;
    config.map_regions = 64;
    if (vnic_create(&config, &d->card) != VNIC_OK) {
        return false;
    }
    d->card_len = vnic_save(d->card, NULL, 0);
    d->card_image = malloc(d->card_len);
    return d->card_image != NULL && vnic_save(d->card, d->card_image, d->card_len) == d->card_len;
}

static bool engine_make(struct device_pair *d)
{
    struct vnic_copy_config config;
    vnic_copy_config_init(&config);
    config.map_regions = 64;
    if (vnic_copy_create(&config, &d->engine) != VNIC_OK) {
        return false;
    }
    d->engine_len = vnic_copy_save(d->engine, NULL, 0);
    d->engine_image = malloc(d->engine_len);
    return d->engine_image != NULL
           && vnic_copy_save(d->engine, d->engine_image, d->engine_len) == d->engine_len;
}

/* As they were made: nothing mapped, no fault, nothing left to be fetched. */
static void devices_renew(struct device_pair *d)
{
    struct vnic_interrupt interrupts[32];
    vnic_insert(d->card);
    vnic_copy_insert(d->engine);
    for (int id = 0; id < 64; id++) {
        (void)vnic_fault_disarm(d->card, id);
        (void)vnic_copy_fault_disarm(d->engine, id);
    }
    vnic_unmap_all(d->card);
    vnic_copy_unmap_all(d->engine);
    if (vnic_load(d->card, d->card_image, d->card_len) != VNIC_OK
        || vnic_copy_load(d->engine, d->engine_image, d->engine_len) != VNIC_OK) {
        abort();
    }
    vnic_frames_release(d->card, SIZE_MAX);
    while (vnic_interrupts(d->card, interrupts, 32) != 0
           || vnic_copy_interrupts(d->engine, interrupts, 32) != 0) {
    }
}

/* ---- a replay ---- */

/* What is to be said of the file, and how often something else came. */
struct trial {
    const vnic_replay *replay;
    const struct oracle *oracle;
    uint32_t differences;
    bool is_misread;
};

/* Behind what is given there is nothing to be looked at. */
static int64_t octets_give(void *opaque, uint8_t *out, size_t len)
{
    struct octets *o = opaque;
    size_t n = len < o->left ? len : o->left;
    n = n < PIECE ? n : PIECE;
    see_may_not(out + n, len - n);
    see_may(out, n);
    if (n != 0) {
        memcpy(out, o->at, n);
        o->at += n;
        o->left -= n;
    }
    return (int64_t)n;
}

static int record_take(void *opaque, const uint8_t *octets, size_t len)
{
    struct record *r = opaque;
    if (len > RECORD_MOST - r->len) {
        r->is_over = true;
        return -1;
    }
    see_bytes(octets, len);
    memcpy(r->octets + r->len, octets, len);
    r->len += len;
    return 0;
}

/* The file and the devices go on side by side as long as that is possible. */
static int judge_go_on(void *opaque, const struct vnic_event *expected, const struct vnic_event *actual)
{
    struct trial *t = opaque;
    if (expected->type != 0 && !oracle_agrees(t->oracle, vnic_replay_events(t->replay), expected)) {
        t->is_misread = true;
    }
    if (++t->differences > DIFFERENCES_MOST || t->is_misread) {
        return VNIC_REPLAY_STOP;
    }
    if (expected->type == 0) {
        return VNIC_REPLAY_DROP_ACTUAL;
    }
    return actual->type == expected->type ? VNIC_REPLAY_GO_ON : VNIC_REPLAY_DROP_EXPECTED;
}

static vnic_replay *replay_make(struct octets *octets)
{
    vnic_replay *replay = vnic_replay_create(octets_give, octets);
    if (replay == NULL || vnic_replay_card(replay, 0, devices.card, PORT, CARD) != VNIC_OK
        || vnic_replay_engine(replay, 1, devices.engine, ENGINE) != VNIC_OK) {
        abort();
    }
    return replay;
}

static vnic_trace *recorder_make(struct record *record)
{
    vnic_trace *trace = vnic_trace_create(VNIC_TRACE_BUFFER_MIN, 0, record_take, record);
    if (trace == NULL || vnic_trace_interfaces(trace, 0, PORT, CARD) != VNIC_OK
        || vnic_trace_interfaces(trace, 1, PORT, ENGINE) != VNIC_OK) {
        abort();
    }
    return trace;
}

/* With tolerance; what the devices did is recorded, `is_whole`: all of it. NULL, or what is wrong. */
static const char *replay_stranger(const uint8_t *data, size_t size, struct record *record, bool *is_whole)
{
    static struct oracle oracle;
    static const struct oracle_interfaces interfaces = {PORT, CARD, ENGINE};
    struct octets octets = {data, size};
    struct trial trial = {.oracle = &oracle};
    oracle_read(&oracle, data, size, &interfaces);
    vnic_trace *trace = recorder_make(record);
    devices_renew(&devices);
    vnic_replay *replay = replay_make(&octets);
    trial.replay = replay;
    vnic_replay_set_judge(replay, judge_go_on, &trial);
    vnic_replay_follow(replay, vnic_trace_event, trace);
    const int result = vnic_replay_run(replay, EVENTS_MOST);
    const uint64_t events = vnic_replay_events(replay);
    vnic_replay_destroy(replay);
    const bool is_flushed = vnic_trace_flush(trace) == VNIC_OK;
    vnic_trace_destroy(trace);
    *is_whole = is_flushed && !record->is_over
                && (result == VNIC_REPLAY_END || result == VNIC_REPLAY_STOPPED || result == VNIC_REPLAY_CUT);
    if (trial.is_misread) {
        return "an event is read that the file does not have there";
    }
    return result == VNIC_REPLAY_END && !oracle.is_over && events != oracle.count
               ? "not all events of the file were read"
               : NULL;
}

static const char *replay_record(const struct record *record)
{
    struct octets octets = {record->octets, record->len};
    devices_renew(&devices);
    vnic_replay *replay = replay_make(&octets);
    const int result = vnic_replay_run(replay, UINT64_MAX);
    if (result == VNIC_REPLAY_DIFFERENT) {
        const struct vnic_event *expected = vnic_replay_expected(replay),
                                *actual = vnic_replay_actual(replay);
        fprintf(stderr, "event %llu: expected %u at %llx, actual %u at %llx\n",
                (unsigned long long)vnic_replay_events(replay), expected->type,
                (unsigned long long)expected->addr, actual->type, (unsigned long long)actual->addr);
    }
    vnic_replay_destroy(replay);
    return result == VNIC_REPLAY_END ? NULL : "what was recorded of a replay does not replay";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct record record;
    if (devices.card == NULL) {
        record.octets = malloc(RECORD_MOST);
        if (record.octets == NULL || !card_make(&devices) || !engine_make(&devices)) {
            abort();
        }
    }
    record.len = 0;
    record.is_over = false;
    bool is_whole = false;
    const char *wrong = replay_stranger(data, size, &record, &is_whole);
    if (wrong == NULL && is_whole) {
        wrong = replay_record(&record);
    }
    if (wrong != NULL) {
        fprintf(stderr, "trace: %s\n", wrong);
        abort();
    }
    return 0;
}
