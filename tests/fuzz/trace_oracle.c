/* trace_oracle.c: the whole file at once, by draft-ietf-opsawg-pcapng and TRC-4 to TRC-10. */
#include "trace_oracle.h"

#include <string.h>

#include "base/bytes.h"

/* The file's numbers, from the documents. */
enum {
    PACKET = 6,
    HEAD = 28,       /* of a packet block, up to its octets */
    FRAME = 12,      /* type and length, and the length again */
    EVENT_HEAD = 32,
    BLOCK_MOST = 2 << 20,
    FLAG_DIGEST = 1,
    FLAG_GOES_ON = 2,
    FLAG_CONTINUES = 4,
    TOEPLITZ = 5
};

struct packet {
    uint32_t interface, captured, options;
    uint64_t time;
    const uint8_t *octets;
};

static uint32_t padded(uint32_t len)
{
    return (len + 3) / 4 * 4;
}

static struct vnic_event *event_add(struct oracle *o)
{
    if (o->count == ORACLE_EVENTS) {
        o->is_over = true;
        return NULL;
    }
    struct vnic_event *event = &o->event[o->count++];
    *event = (struct vnic_event){.type = 0};
    return event;
}

/* ---- frames ---- */

/* The first option of that code; NULL when it is not there, or too short, or one before it is not whole. */
static const uint8_t *option_find(const struct packet *p, unsigned code, uint32_t least)
{
    const uint8_t *options = p->octets + padded(p->captured);

    for (uint32_t at = 0; at + 4 <= p->options && le16_load(options + at) != 0;) {
        const uint32_t size = le16_load(options + at + 2);
        if (at + 4 + padded(size) > p->options) {
            return NULL;
        }
        if (le16_load(options + at) == code) {
            return size >= least ? options + at + 4 : NULL;
        }
        at += 4 + padded(size);
    }
    return NULL;
}

/* [TRC-4] */
static void read_frame(struct oracle *o, const struct packet *p)
{
    const uint8_t *flags = option_find(p, 2, 4), *hash = option_find(p, 3, 5), *queue = option_find(p, 6, 4);
    const uint8_t *verdict = option_find(p, 7, 2);
    const bool is_inbound = flags != NULL && flags[0] % 4 == 1;
    struct vnic_event *event = event_add(o);

    if (event == NULL) {
        return;
    }
    event->type = is_inbound ? VNIC_EVENT_FRAME_IN : VNIC_EVENT_FRAME_OUT;
    event->len = p->captured;
    event->time_ns = p->time;
    event->data = p->captured != 0 ? p->octets : NULL;
    event->index = queue != NULL ? queue[0] : 0;
    if (is_inbound) {
        event->value = verdict != NULL ? verdict[1] : 0;
        event->addr = hash != NULL && hash[0] == TOEPLITZ
                          ? le32_load(hash + 1) | UINT64_C(1) << VNIC_FRAME_HASHED_SHIFT
                          : 0;
    }
}

/* ---- events ---- */

/* [TRC-7] */
static void read_part(struct oracle *o, const struct packet *p, unsigned flags)
{
    const uint32_t len = p->captured - EVENT_HEAD;

    if ((flags & FLAG_CONTINUES) == 0) {
        o->joined_used += o->part_len; /* what was joined before stays where it is */
        o->part_len = 0;
        o->is_joining = true;
    }
    if (o->is_joining && len > ORACLE_JOINED - o->joined_used - o->part_len) {
        o->is_over = true;
    } else if (o->is_joining) {
        memcpy(o->joined + o->joined_used + o->part_len, p->octets + EVENT_HEAD, len);
        o->part_len += len;
    }
}

/* [TRC-6] [TRC-8] */
static void read_event(struct oracle *o, const struct packet *p)
{
    const uint8_t *head = p->octets;
    const unsigned flags = head[5];
    const bool is_digest = (flags & FLAG_DIGEST) != 0, is_last = (flags & FLAG_CONTINUES) != 0;
    const uint32_t len = le32_load(head + 24);

    if ((flags & (FLAG_GOES_ON | FLAG_CONTINUES)) != 0) {
        read_part(o, p, flags);
    }
    if ((flags & FLAG_GOES_ON) != 0 || o->is_over) {
        return;
    }
    const uint32_t here = p->captured - EVENT_HEAD, have = is_last ? o->part_len : here;
    if (head[0] != 1 || (is_last && !o->is_joining) || (is_digest ? here < 8 : have < len)) {
        return;
    }
    struct vnic_event *event = event_add(o);
    if (event != NULL) {
        *event = (struct vnic_event){.type = head[1],
                                     .function = head[2],
                                     .index = head[3],
                                     .width = head[4],
                                     .len = len,
                                     .time_ns = p->time,
                                     .addr = le64_load(head + 8),
                                     .value = le64_load(head + 16)};
        event->data = is_digest || len == 0 ? NULL : is_last ? o->joined + o->joined_used : head + EVENT_HEAD;
    }
}

/* ---- blocks ---- */

/* False: what follows cannot be read. */
static bool read_packet(struct oracle *o, const uint8_t *block, uint32_t total)
{
    if (total < HEAD + 4) {
        return false;
    }
    const uint32_t room = total - HEAD - 4;
    struct packet p = {.interface = le32_load(block + 8),
                       .captured = le32_load(block + 20),
                       .time = (uint64_t)le32_load(block + 12) << 32 | le32_load(block + 16),
                       .octets = block + HEAD};
    if (p.captured > room || padded(p.captured) > room) {
        return false;
    }
    p.options = room - padded(p.captured);
    if (p.interface == o->interfaces.port) {
        read_frame(o, &p);
    } else if ((p.interface == o->interfaces.card || p.interface == o->interfaces.engine)
               && p.captured >= EVENT_HEAD) {
        read_event(o, &p);
    }
    return !o->is_over;
}

void oracle_read(struct oracle *o, const uint8_t *file, size_t len,
                 const struct oracle_interfaces *interfaces)
{
    bool goes_on = true;

    o->interfaces = *interfaces;
    o->count = o->joined_used = o->part_len = 0;
    o->is_over = o->is_joining = false;
    for (size_t at = 0; goes_on && len - at >= FRAME;) {
        const uint32_t total = le32_load(file + at + 4);
        if (total < FRAME || total % 4 != 0 || total > BLOCK_MOST || total > len - at
            || le32_load(file + at + total - 4) != total) {
            break;
        }
        goes_on = le32_load(file + at) != PACKET || read_packet(o, file + at, total);
        at += total;
    }
}

bool oracle_agrees(const struct oracle *o, uint64_t number, const struct vnic_event *said)
{
    if (number >= o->count) {
        return o->is_over;
    }
    const struct vnic_event *event = &o->event[number];
    const bool is_alike = event->type == said->type && event->function == said->function
                          && event->index == said->index && event->width == said->width
                          && event->len == said->len && event->time_ns == said->time_ns
                          && event->addr == said->addr && event->value == said->value;
    return is_alike && (event->data == NULL) == (said->data == NULL)
           && (event->data == NULL || memcmp(event->data, said->data, event->len) == 0);
}
