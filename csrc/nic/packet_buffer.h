/* packet_buffer.h: a bounded queue of frames in one block of memory; every frame lies in one piece, aligned to 64 bytes. */
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
    uint32_t span;   /* bytes taken in the block: slots of the frame and those skipped at the block's end */
    uint32_t queue;  /* transmit queue it came from */
};

struct packet_buffer {
    uint8_t *bytes;
    struct packet *packet; /* a ring, as large as the number of slots */
    uint32_t size;         /* bytes, a power of two */
    uint32_t used;         /* bytes */
    uint32_t next;         /* offset where the next frame goes */
    uint32_t head, count;  /* of the ring of packets */
};

int packet_buffer_create(struct packet_buffer *b, uint32_t size);
void packet_buffer_destroy(struct packet_buffer *b);
void packet_buffer_clear(struct packet_buffer *b);
void packet_buffer_archive(struct packet_buffer *b, struct archive *a, uint32_t len_max, uint32_t queues);

static inline uint32_t packet_buffer_mask(const struct packet_buffer *b)
{
    return b->size / PACKET_SLOT - 1;
}

/* What a frame of this length would take now. */
static inline uint32_t packet_buffer_span(const struct packet_buffer *b, uint32_t len)
{
    uint32_t slots = (len + PACKET_SLOT - 1) & ~(PACKET_SLOT - 1);
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
    uint32_t slots = (len + PACKET_SLOT - 1) & ~(PACKET_SLOT - 1);
    uint32_t offset = span == slots ? b->next : 0;
    struct packet *p = &b->packet[(b->head + b->count) & packet_buffer_mask(b)];
    *p = (struct packet){.offset = offset, .len = len, .span = span, .queue = queue};
    b->count++;
    b->used += span;
    b->next = (offset + slots) & (b->size - 1);
    return b->bytes + offset;
}

static inline struct packet *packet_buffer_at(const struct packet_buffer *b, uint32_t n)
{
    return &b->packet[(b->head + n) & packet_buffer_mask(b)];
}

static inline void packet_buffer_pop(struct packet_buffer *b)
{
    b->used -= b->packet[b->head].span;
    b->head = (b->head + 1) & packet_buffer_mask(b);
    b->count--;
    if (b->count == 0) {
        b->next = 0; /* an empty buffer starts at its front, where the processor's cache is warm */
    }
}

#endif
