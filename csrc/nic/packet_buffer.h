/* packet_buffer.h: a bounded queue of frames in one block, each in one piece and aligned to 64 bytes. */
#ifndef VNIC_NIC_PACKET_BUFFER_H
#define VNIC_NIC_PACKET_BUFFER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/archive.h"

#define PACKET_SLOT 64u
#define PACKET_TAILROOM 64u /* bytes that may be read, not used, behind the last frame */

struct packet {
    uint32_t offset; /* of the first byte in the block */
    uint32_t len;
    uint32_t span; /* bytes taken in the block: slots of the frame and those skipped at the block's end */
    uint32_t queue; /* transmit queue it came from */
};

struct packet_buffer {
    uint8_t *bytes;
    struct packet *packet; /* a ring, as large as the number of slots */
    uint32_t size; /* bytes, a power of two */
    uint32_t used; /* bytes */
    uint32_t next; /* offset where the next frame goes */
    uint32_t head, count; /* of the ring of packets */
};

int packet_buffer_create(struct packet_buffer *b, uint32_t size);
void packet_buffer_destroy(struct packet_buffer *b);
void packet_buffer_clear(struct packet_buffer *b);
void packet_buffer_archive(struct packet_buffer *b, struct archive *a, uint32_t len_max, uint32_t queues);

static inline uint32_t packet_buffer_mask(const struct packet_buffer *b)
{
    return b->size / PACKET_SLOT - 1;
}

/* Bytes of the slots of a frame. */
static inline uint32_t packet_slots(uint32_t len)
{
    return (len + PACKET_SLOT - 1) & ~(PACKET_SLOT - 1);
}

/* What a frame of this length would take now. */
static inline uint32_t packet_buffer_span(const struct packet_buffer *b, uint32_t len)
{
    uint32_t slots = packet_slots(len);
    return b->next + slots > b->size ? slots + (b->size - b->next) : slots;
}

static inline bool packet_buffer_fits(const struct packet_buffer *b, uint32_t len)
{
    return b->used + packet_buffer_span(b, len) <= b->size;
}

/* Room for a frame, in the queue at once: the caller fills it before anybody looks. It must fit. */
static inline uint8_t *packet_buffer_push(struct packet_buffer *b, uint32_t len, uint32_t queue)
{
    uint32_t span = packet_buffer_span(b, len);
    uint32_t slots = packet_slots(len);
    uint32_t offset = span == slots ? b->next : 0;
    struct packet *p = &b->packet[(b->head + b->count) & packet_buffer_mask(b)];
    *p = (struct packet){.offset = offset, .len = len, .span = span, .queue = queue};
    b->count++;
    b->used += span;
    b->next = (offset + slots) & (b->size - 1);
    return b->bytes + offset;
}

/* How many frames of this length go in one piece behind the last; none when the next one would go to the
 * front. */
static inline uint32_t packet_buffer_room(const struct packet_buffer *b, uint32_t len)
{
    uint32_t behind = b->size - b->next, unused = b->size - b->used;
    return (behind < unused ? behind : unused) / packet_slots(len);
}

static inline struct packet *packet_buffer_at(const struct packet_buffer *b, uint32_t n)
{
    return &b->packet[(b->head + n) & packet_buffer_mask(b)];
}

/* The first n >= 1 frames leave. What is used lies between the end of the last of them and where the next one
 * goes. */
static inline void packet_buffer_drop(struct packet_buffer *b, uint32_t n)
{
    const struct packet *last = packet_buffer_at(b, n - 1);
    uint32_t end = packet_slots(last->offset + last->len);
    b->head = (b->head + n) & packet_buffer_mask(b);
    b->count -= n;
    if (b->count == 0) {
        b->used = 0;
        b->next = 0; /* an empty buffer starts at its front, where the processor's cache is warm */
    } else {
        b->used = ((b->next - end - 1) & (b->size - 1)) + 1; /* not 0: there are frames */
    }
}

/* As many frames of one length as there is room for are in the queue at once: the n-th is at
 * packet_buffer_at(count + n) before this, and its bytes at next + n * slots. */
static inline void packet_buffer_push_run(struct packet_buffer *b, uint32_t len, uint32_t n)
{
    b->count += n;
    b->used += n * packet_slots(len);
    b->next = (b->next + n * packet_slots(len)) & (b->size - 1);
}

static inline void packet_buffer_pop(struct packet_buffer *b)
{
    packet_buffer_drop(b, 1);
}

#endif
