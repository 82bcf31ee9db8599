/* record.c: a recorder: events of devices become blocks in a buffer, and full buffers go to a sink. */
#include <stdbool.h>
#include <stdlib.h>

#include "trace/block.h"
#include "vnic/vnic_trace.h"

#define RECORD_NO_INTERFACE UINT32_MAX

struct record_function {
    uint32_t port, device; /* interfaces */
    uint32_t next_mask;
    vnic_observer next;
    void *next_opaque;
};

struct vnic_trace {
    vnic_trace_sink sink;
    void *sink_opaque;
    uint32_t flags;
    bool has_failed;
    struct record_function function[VNIC_TRACE_FUNCTIONS];
    uint64_t events, handed_on;
    size_t capacity, used;
    uint8_t *buffer;
};

/* --- life */

vnic_trace *vnic_trace_create(size_t capacity, uint32_t flags, vnic_trace_sink sink, void *opaque)
{
    if (capacity < VNIC_TRACE_BUFFER_MIN || sink == NULL || flags > VNIC_TRACE_COMPACT) {
        return NULL;
    }
    vnic_trace *trace = calloc(1, sizeof(*trace));
    uint8_t *buffer = malloc(capacity);
    if (trace == NULL || buffer == NULL) {
        free(trace);
        free(buffer);
        return NULL;
    }
    *trace = (vnic_trace){
        .sink = sink, .sink_opaque = opaque, .flags = flags, .capacity = capacity, .buffer = buffer};
    for (unsigned i = 0; i < VNIC_TRACE_FUNCTIONS; i++) {
        trace->function[i] =
            (struct record_function){.port = RECORD_NO_INTERFACE, .device = RECORD_NO_INTERFACE};
    }
    return trace;
}

void vnic_trace_destroy(vnic_trace *trace)
{
    if (trace != NULL) {
        free(trace->buffer);
        free(trace);
    }
}

int vnic_trace_interfaces(vnic_trace *trace, unsigned function, uint32_t port, uint32_t device)
{
    if (function >= VNIC_TRACE_FUNCTIONS) {
        return VNIC_EINVAL;
    }
    trace->function[function].port = port;
    trace->function[function].device = device;
    return VNIC_OK;
}

int vnic_trace_forward(vnic_trace *trace, unsigned function, vnic_observer observer, void *opaque,
                       uint32_t mask)
{
    if (function >= VNIC_TRACE_FUNCTIONS) {
        return VNIC_EINVAL;
    }
    struct record_function *f = &trace->function[function];
    f->next = observer;
    f->next_opaque = opaque;
    f->next_mask = observer != NULL ? mask : 0;
    return VNIC_OK;
}

/* --- the sink */

/* [TRC-14] After a failure nothing more is said to the sink, and the devices go on. */
int vnic_trace_flush(vnic_trace *trace)
{
    if (!trace->has_failed && trace->used != 0) {
        trace->has_failed = trace->sink(trace->sink_opaque, trace->buffer, trace->used) != 0;
        trace->handed_on += trace->used;
        trace->used = 0;
    }
    return trace->has_failed ? VNIC_ENOSPC : VNIC_OK;
}

/* Room for len octets, which the caller fills; NULL when the recording is over. */
static uint8_t *record_room(vnic_trace *trace, size_t len)
{
    if (trace->has_failed || (trace->capacity - trace->used < len && vnic_trace_flush(trace) != VNIC_OK)) {
        return NULL;
    }
    uint8_t *at = trace->buffer + trace->used;
    trace->used += len;
    return at;
}

int vnic_trace_head(vnic_trace *trace, const uint8_t *octets, size_t len)
{
    for (size_t at = 0; at < len;) {
        const size_t some = len - at < VNIC_TRACE_BUFFER_MIN ? len - at : VNIC_TRACE_BUFFER_MIN;
        uint8_t *to = record_room(trace, some);
        if (to == NULL) {
            return VNIC_ENOSPC;
        }
        memcpy(to, octets + at, some);
        at += some;
    }
    return VNIC_OK;
}

uint64_t vnic_trace_events(const vnic_trace *trace)
{
    return trace->events;
}

uint64_t vnic_trace_octets(const vnic_trace *trace)
{
    return trace->handed_on + trace->used;
}

/* --- blocks */

/* The frame of an Enhanced Packet Block around len octets and options of this size; where the octets go. */
static uint8_t *record_packet(vnic_trace *trace, uint32_t interface, uint64_t time_ns, uint32_t len,
                              uint32_t original, uint32_t options)
{
    const uint32_t total = BLOCK_PACKET_BYTES + block_padded(len) + options + 4;
    uint8_t *block = record_room(trace, total);

    if (block == NULL) {
        return NULL;
    }
    const uint32_t word[7] = {BLOCK_ENHANCED_PACKET, total, interface, (uint32_t)(time_ns >> 32),
                              (uint32_t)time_ns,     len,   original};
    for (unsigned i = 0; i < 7; i++) {
        le32_store(block + 4 * i, word[i]);
    }
    le32_store(block + total - 4, total);
    memset(block + BLOCK_PACKET_BYTES + len, 0, block_padded(len) - len);
    return block + BLOCK_PACKET_BYTES;
}

static uint8_t *record_option(uint8_t *at, uint16_t code, uint16_t len, uint32_t value)
{
    le16_store(at, code);
    le16_store(at + 2, len);
    le32_store(at + 4, value);
    return at + 8;
}

static bool record_wants_digest(const vnic_trace *trace, unsigned type)
{
    return (trace->flags & VNIC_TRACE_COMPACT) != 0
           && (type == VNIC_EVENT_DMA_WRITE || type == VNIC_EVENT_FRAME_OUT);
}

/* The algorithm is one octet, the hash the four behind it. */
static uint8_t *record_hash(uint8_t *at, uint32_t hash)
{
    const uint8_t octets[12] = {BLOCK_OPTION_HASH, 0, 5, 0, BLOCK_HASH_TOEPLITZ};

    memcpy(at, octets, sizeof octets);
    le32_store(at + 5, hash);
    return at + sizeof octets;
}

/* [TRC-4] A frame is a packet of its port. */
static void record_frame(vnic_trace *trace, const struct vnic_event *event, uint32_t port)
{
    const bool is_out = event->type == VNIC_EVENT_FRAME_OUT;
    const bool is_hashed = !is_out && event->addr >> VNIC_FRAME_HASHED_SHIFT != 0;
    const uint32_t options = 20u + (is_out ? 0u : 8u) + (is_hashed ? 12u : 0u);
    const uint32_t len = event->data != NULL ? event->len : 0;
    uint8_t *at = record_packet(trace, port, event->time_ns, len, event->len, options);

    if (at == NULL) {
        return;
    }
    if (len != 0) {
        memcpy(at, event->data, len);
    }
    at += block_padded(len);
    at = record_option(at, BLOCK_OPTION_FLAGS, 4, is_out ? BLOCK_OUTBOUND : BLOCK_INBOUND);
    if (is_hashed) {
        at = record_hash(at, (uint32_t)event->addr);
    }
    at = record_option(at, BLOCK_OPTION_QUEUE, 4, event->index);
    if (!is_out) {
        at = record_option(at, BLOCK_OPTION_VERDICT, 2, (uint32_t)(event->value & 0xFF) << 8);
    }
    le32_store(at, 0);
}

static void record_head(uint8_t *at, const struct vnic_event *event, uint32_t number, unsigned flags)
{
    const uint8_t first[8] = {
        EVENT_VERSION, event->type, event->function, event->index, event->width, (uint8_t)flags, 0, 0};

    memcpy(at, first, sizeof first);
    le64_store(at + 8, event->addr);
    le64_store(at + 16, event->value);
    le32_store(at + 24, event->len);
    le32_store(at + 28, number);
}

static void record_digest(vnic_trace *trace, const struct vnic_event *event, uint32_t device)
{
    uint8_t *at = record_packet(trace, device, event->time_ns, EVENT_HEAD_BYTES + EVENT_DIGEST_BYTES,
                                EVENT_HEAD_BYTES + event->len, 0);

    if (at != NULL) {
        record_head(at, event, (uint32_t)trace->events, EVENT_IS_DIGEST);
        le64_store(at + EVENT_HEAD_BYTES, block_digest(event->data, event->len));
    }
}

/* [TRC-7] At least one part, if only of a head. */
static void record_parts(vnic_trace *trace, const struct vnic_event *event, uint32_t device)
{
    const uint32_t len = event->data != NULL ? event->len : 0;
    uint32_t at = 0;

    do {
        const uint32_t some = len - at < EVENT_PART_BYTES ? len - at : EVENT_PART_BYTES;
        const unsigned flags = (at + some < len ? EVENT_GOES_ON : 0u) | (at != 0 ? EVENT_CONTINUES : 0u);
        uint8_t *to =
            record_packet(trace, device, event->time_ns, EVENT_HEAD_BYTES + some, EVENT_HEAD_BYTES + some, 0);
        if (to == NULL) {
            return;
        }
        record_head(to, event, (uint32_t)trace->events, flags);
        if (some != 0) {
            memcpy(to + EVENT_HEAD_BYTES, event->data + at, some);
        }
        at += some;
    } while (at < len);
}

static void record_event(vnic_trace *trace, const struct vnic_event *event)
{
    const struct record_function *f = &trace->function[event->function % VNIC_TRACE_FUNCTIONS];
    const bool is_frame = event->type == VNIC_EVENT_FRAME_IN || event->type == VNIC_EVENT_FRAME_OUT;

    if (f->device == RECORD_NO_INTERFACE) {
        return;
    }
    if (record_wants_digest(trace, event->type)) {
        record_digest(trace, event, f->device);
    } else if (is_frame && event->len <= EVENT_PART_BYTES) {
        record_frame(trace, event, f->port);
    } else {
        record_parts(trace, event, f->device);
    }
    trace->events += trace->has_failed ? 0 : 1;
}

void vnic_trace_event(void *opaque, const struct vnic_event *event)
{
    vnic_trace *trace = opaque;
    const struct record_function *f = &trace->function[event->function % VNIC_TRACE_FUNCTIONS];

    record_event(trace, event);
    if ((f->next_mask >> (event->type & 31) & 1) != 0) {
        f->next(f->next_opaque, event);
    }
}
