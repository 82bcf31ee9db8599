/* packet_buffer.c: creation, emptying and snapshot of the queue of frames. */
#include "nic/packet_buffer.h"

#include <stdlib.h>
#include <string.h>

#include "nic/tags.h"
#include "vnic/vnic.h"

#define PACKET_TAG 4u /* bytes of the tag that may be stripped where the frame lies */

int packet_buffer_create(struct packet_buffer *b, uint32_t size)
{
    *b = (struct packet_buffer){.size = size};
    b->bytes = aligned_alloc(64, (size_t)size + PACKET_TAILROOM);
    b->packet = calloc(size / PACKET_SLOT, sizeof *b->packet);
    if (!b->bytes || !b->packet) {
        packet_buffer_destroy(b);
        return VNIC_ENOMEM;
    }
    memset(b->bytes, 0, (size_t)size + PACKET_TAILROOM);
    return VNIC_OK;
}

void packet_buffer_destroy(struct packet_buffer *b)
{
    free(b->bytes);
    free(b->packet);
    b->bytes = NULL;
    b->packet = NULL;
}

void packet_buffer_clear(struct packet_buffer *b)
{
    b->used = 0;
    b->next = 0;
    b->head = 0;
    b->count = 0;
}

/* Where a frame lies follows from the one before it, and is checked as packet_buffer_push() would have it:
 * `at` is where the next frame would go. Of the first, which may have lost its tag, it follows from what
 * it skipped. */
static bool packet_is_sound(const struct packet_buffer *b, const struct packet *p, bool is_first,
                            uint32_t *at)
{
    uint32_t start = p->offset & ~(PACKET_SLOT - 1), into = p->offset - start;
    if (p->len == 0 || p->len > b->size - p->offset || into > (is_first ? PACKET_TAG : 0)
        || p->span % PACKET_SLOT != 0) {
        return false;
    }
    uint32_t slots = (into + p->len + PACKET_SLOT - 1) & ~(PACKET_SLOT - 1);
    if (is_first) {
        *at = p->span > slots ? b->size - (p->span - slots) : start;
    }
    bool is_skipping = *at + slots > b->size;
    bool is_there =
        start == (is_skipping ? 0 : *at) && p->span == (is_skipping ? slots + (b->size - *at) : slots);
    *at = (start + slots) & (b->size - 1);
    return is_there && (into == 0 || into == PACKET_TAG);
}

static void packet_archive(struct packet_buffer *b, struct archive *a, struct packet *p, uint32_t *at,
                           uint32_t len_max, uint32_t queues)
{
    ARCHIVE(a, TAG_PACKET_OFFSET, p->offset, b->size - 1);
    ARCHIVE(a, TAG_PACKET_LEN, p->len, len_max);
    ARCHIVE(a, TAG_PACKET_SPAN, p->span, b->size);
    ARCHIVE(a, TAG_PACKET_QUEUE, p->queue, queues - 1);
    archive_refuse_if(a, !a->failed && !packet_is_sound(b, p, p == packet_buffer_at(b, 0), at));
    if (!a->failed) {
        archive_bytes(a, TAG_PACKET_BYTES, b->bytes + p->offset, p->len);
    }
}

void packet_buffer_archive(struct packet_buffer *b, struct archive *a, uint32_t len_max, uint32_t queues)
{
    uint32_t at = 0, count = archive_count(a, TAG_PACKET_COUNT, b->count, b->size / PACKET_SLOT);
    ARCHIVE(a, TAG_PACKET_NEXT, b->next, b->size - PACKET_SLOT);
    if (archive_is_loading(a)) {
        b->head = 0;
        b->used = 0;
        b->count = 0;
    }
    for (uint32_t i = 0; i < count && !a->failed; i++) {
        struct packet *p = packet_buffer_at(b, i);
        packet_archive(b, a, p, &at, len_max, queues);
        if (archive_is_loading(a) && !a->failed) {
            archive_refuse_if(a, p->span > b->size - b->used);
            b->used += p->span;
            b->count++;
        }
    }
    archive_refuse_if(a, b->next != at);
    if (archive_is_loading(a) && a->failed) {
        packet_buffer_clear(b);
    }
}
