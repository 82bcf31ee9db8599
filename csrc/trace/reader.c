/* reader.c: reads blocks of a pcapng file and makes events of those that are vnic-trace/1's. */
#include "trace/reader.h"

#include <stdlib.h>

#include "trace/block.h"

#define READER_OPTIONS_MAX 64u

/* --- life */

bool reader_create(struct reader *r, vnic_replay_source source, void *opaque)
{
    *r = (struct reader){.source = source,
                         .opaque = opaque,
                         .buffer = malloc(READER_BUFFER),
                         .ahead = calloc(READER_AHEAD, sizeof(struct traced))};
    for (unsigned i = 0; i < VNIC_TRACE_FUNCTIONS; i++) {
        r->port[i] = r->device[i] = UINT32_MAX;
    }
    return r->buffer != NULL && r->ahead != NULL;
}

void reader_destroy(struct reader *r)
{
    free(r->buffer);
    free(r->ahead);
    free(r->joined);
}

/* --- octets */

/* The first octet that somebody may still look at. */
static uint64_t reader_floor(const struct reader *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        const struct traced *t = &r->ahead[(r->first + i) % READER_AHEAD];
        if (!t->is_joined) {
            return t->offset;
        }
    }
    return r->next;
}

static void reader_forget(struct reader *r)
{
    const size_t gone = (size_t)(reader_floor(r) - r->base);

    memmove(r->buffer, r->buffer + gone, r->used - gone);
    r->base += gone;
    r->used -= gone;
}

/* Makes len octets from r->next on readable; their number if the file has fewer. */
static size_t reader_have(struct reader *r, size_t len)
{
    size_t have = r->used - (size_t)(r->next - r->base);

    if (have < len && READER_BUFFER - (r->next - r->base) < len) {
        reader_forget(r);
    }
    while (have < len && r->used < READER_BUFFER) {
        const int64_t got = r->source(r->opaque, r->buffer + r->used, READER_BUFFER - r->used);
        if (got <= 0 || got > (int64_t)(READER_BUFFER - r->used)) {
            r->end = got == 0 ? r->end : READER_FAILED;
            break;
        }
        r->used += (size_t)got;
        have += (size_t)got;
    }
    return have;
}

static const uint8_t *reader_octets(const struct reader *r, uint64_t offset)
{
    return r->buffer + (offset - r->base);
}

/* --- packets */

static bool reader_find(const uint32_t *list, uint32_t interface, unsigned *function)
{
    for (*function = 0; *function < VNIC_TRACE_FUNCTIONS; ++*function) {
        if (list[*function] == interface) {
            return true;
        }
    }
    return false;
}

/* Where an option of a packet has its value, of at least `least` octets; NULL: it is not there. */
static const uint8_t *reader_option(const uint8_t *at, uint32_t len, uint16_t code, uint32_t least)
{
    while (len >= 4 && le16_load(at) != 0) {
        const uint32_t size = le16_load(at + 2), span = 4 + block_padded(size);
        if (span > len) {
            return NULL;
        }
        if (le16_load(at) == code) {
            return size >= least ? at + 4 : NULL;
        }
        at += span;
        len -= span;
    }
    return NULL;
}

static struct traced *reader_push(struct reader *r)
{
    struct traced *t = &r->ahead[(r->first + r->count++) % READER_AHEAD];

    *t = (struct traced){.offset = r->next};
    r->events++;
    return t;
}

/* What a packet block says before its octets. */
struct packet_head {
    uint32_t interface, captured, total;
    uint64_t time_ns;
};

static void reader_frame_options(struct vnic_event *event, const uint8_t *options, uint32_t len)
{
    const uint8_t *flags = reader_option(options, len, BLOCK_OPTION_FLAGS, 4);
    const uint8_t *queue = reader_option(options, len, BLOCK_OPTION_QUEUE, 4);
    const uint8_t *hash = reader_option(options, len, BLOCK_OPTION_HASH, 5);
    const uint8_t *verdict = reader_option(options, len, BLOCK_OPTION_VERDICT, 2);
    const bool is_in = flags != NULL && (le32_load(flags) & 3) == BLOCK_INBOUND;

    event->type = is_in ? VNIC_EVENT_FRAME_IN : VNIC_EVENT_FRAME_OUT;
    event->index = queue != NULL ? (uint8_t)le32_load(queue) : 0;
    event->value = is_in && verdict != NULL ? verdict[1] : 0;
    event->addr = is_in && hash != NULL && hash[0] == BLOCK_HASH_TOEPLITZ
                      ? le32_load(hash + 1) | 1ull << VNIC_FRAME_HASHED_SHIFT
                      : 0;
}

static void reader_frame(struct reader *r, const struct packet_head *head, unsigned function)
{
    const uint32_t options = BLOCK_PACKET_BYTES + block_padded(head->captured);
    struct traced *t = reader_push(r);

    t->at = r->next + BLOCK_PACKET_BYTES;
    t->event =
        (struct vnic_event){.function = (uint8_t)function, .len = head->captured, .time_ns = head->time_ns};
    reader_frame_options(&t->event, reader_octets(r, r->next) + options, head->total - options - 4);
}

static bool reader_join(struct reader *r, const uint8_t *octets, uint32_t len)
{
    if (r->joined_len + len > r->joined_capacity) {
        const size_t capacity = 2 * (r->joined_len + len);
        uint8_t *more = capacity <= 2 * (size_t)READER_DATA_MAX ? realloc(r->joined, capacity) : NULL;
        if (more == NULL) {
            r->end = READER_FAILED;
            return false;
        }
        r->joined = more;
        r->joined_capacity = capacity;
    }
    if (len != 0) {
        memcpy(r->joined + r->joined_len, octets, len);
    }
    r->joined_len += len;
    return true;
}

/* [TRC-7] A part that is not the last: it waits. */
static void reader_part(struct reader *r, const uint8_t *event, uint32_t data, unsigned flags)
{
    if ((flags & EVENT_CONTINUES) == 0) {
        r->joined_len = 0;
        r->is_joining = true;
    }
    if (r->is_joining) {
        r->is_joining = reader_join(r, event + EVENT_HEAD_BYTES, data);
    }
}

static void reader_count_lost(struct reader *r, uint32_t number)
{
    const uint32_t expected = (uint32_t)(r->events + r->lost + r->skipped);

    r->lost += (uint32_t)(number - expected) < 1u << 31 ? (uint32_t)(number - expected) : 0;
}

static void reader_event(struct reader *r, const struct packet_head *head)
{
    const uint8_t *event = reader_octets(r, r->next) + BLOCK_PACKET_BYTES;
    const unsigned flags = event[5];
    const uint32_t len = le32_load(event + 24), here = head->captured - EVENT_HEAD_BYTES;
    const bool is_digest = (flags & EVENT_IS_DIGEST) != 0, is_joined = (flags & EVENT_CONTINUES) != 0;

    if ((flags & EVENT_CONTINUES) == 0) {
        reader_count_lost(r, le32_load(event + 28));
    }
    if ((flags & EVENT_GOES_ON) != 0) {
        reader_part(r, event, here, flags);
        return;
    }
    if (is_joined) {
        reader_part(r, event, here, flags);
    }
    const uint64_t have = is_joined ? r->joined_len : here;
    if (event[0] != EVENT_VERSION || (is_joined && !r->is_joining) || (!is_digest && have < len)
        || (is_digest && here < EVENT_DIGEST_BYTES)) {
        r->skipped++;
        return;
    }
    struct traced *t = reader_push(r);
    t->is_digest = is_digest;
    t->is_joined = is_joined;
    t->digest = is_digest ? le64_load(event + EVENT_HEAD_BYTES) : 0;
    t->at = r->next + BLOCK_PACKET_BYTES + EVENT_HEAD_BYTES;
    t->event = (struct vnic_event){.type = event[1],
                                   .function = event[2],
                                   .index = event[3],
                                   .width = event[4],
                                   .len = len,
                                   .time_ns = head->time_ns,
                                   .addr = le64_load(event + 8),
                                   .value = le64_load(event + 16)};
}

static void reader_packet(struct reader *r, uint32_t total)
{
    const uint8_t *block = reader_octets(r, r->next);
    const struct packet_head head = {.interface = le32_load(block + 8),
                                     .captured = le32_load(block + 20),
                                     .total = total,
                                     .time_ns =
                                         (uint64_t)le32_load(block + 12) << 32 | le32_load(block + 16)};
    unsigned function;

    if (total < BLOCK_PACKET_BYTES + 4 || head.captured > total - BLOCK_PACKET_BYTES - 4
        || block_padded(head.captured) > total - BLOCK_PACKET_BYTES - 4) {
        r->end = READER_BAD;
    } else if (reader_find(r->port, head.interface, &function)) {
        reader_frame(r, &head, function);
    } else if (reader_find(r->device, head.interface, &function) && head.captured >= EVENT_HEAD_BYTES) {
        reader_event(r, &head);
    }
}

/* One block; false when there is none. */
static bool reader_block(struct reader *r)
{
    const size_t have = reader_have(r, BLOCK_FRAME_BYTES);

    if (have < BLOCK_FRAME_BYTES) {
        r->end = r->end != READER_GOES_ON ? r->end : have == 0 ? READER_AT_END : READER_CUT;
        return false;
    }
    const uint32_t type = le32_load(reader_octets(r, r->next));
    const uint32_t total = le32_load(reader_octets(r, r->next) + 4);
    if (total < BLOCK_FRAME_BYTES || total % 4 != 0 || total > READER_BUFFER / 2) {
        r->end = READER_BAD;
        return false;
    }
    if (reader_have(r, total) < total) {
        r->end = r->end != READER_GOES_ON ? r->end : r->used == READER_BUFFER ? READER_BAD : READER_CUT;
        return false;
    }
    if (le32_load(reader_octets(r, r->next) + total - 4) != total) {
        r->end = READER_BAD;
        return false;
    }
    if (type == BLOCK_ENHANCED_PACKET) {
        reader_packet(r, total);
    }
    r->next += r->end == READER_GOES_ON ? total : 0;
    return r->end == READER_GOES_ON;
}

/* --- events */

const struct traced *reader_peek(struct reader *r, uint32_t ahead)
{
    while (r->count <= ahead && r->count < READER_AHEAD) {
        const struct traced *last = &r->ahead[(r->first + r->count + READER_AHEAD - 1) % READER_AHEAD];
        if ((r->count != 0 && last->is_joined) || r->end != READER_GOES_ON || !reader_block(r)) {
            break; /* the octets of an event in parts stay until it is behind */
        }
    }
    return ahead < r->count ? &r->ahead[(r->first + ahead) % READER_AHEAD] : NULL;
}

const uint8_t *reader_data(const struct reader *r, const struct traced *event)
{
    if (event->event.len == 0 || event->is_digest) {
        return NULL;
    }
    return event->is_joined ? r->joined : reader_octets(r, event->at);
}

void reader_pass(struct reader *r)
{
    if (r->count != 0) {
        r->first = (r->first + 1) % READER_AHEAD;
        r->count--;
    }
}
