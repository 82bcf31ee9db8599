/* packet_buffer.c: creation, emptying and snapshot of the queue of frames. */
#include "nic/packet_buffer.h"

#include <stdlib.h>
#include <string.h>

#include "nic/tags.h"
#include "vnic/vnic.h"

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

/* Frames are saved by content, and the places where they lie follow from their lengths: a loaded buffer is packed from
 * offset 0, which may give it more room at the block's end than the saved one had. To be indistinguishable the position
 * is saved too. */
static bool packet_is_sound(const struct packet_buffer *b, const struct packet *p)
{
    return p->len <= b->size && p->offset <= b->size - p->len && p->span <= b->size && p->span >= p->len;
}

static void packet_archive(struct packet_buffer *b, struct archive *a, struct packet *p, uint32_t len_max, uint32_t queues)
{
    ARCHIVE(a, TAG_PACKET_OFFSET, p->offset, b->size - 1);
    ARCHIVE(a, TAG_PACKET_LEN, p->len, len_max);
    ARCHIVE(a, TAG_PACKET_SPAN, p->span, b->size);
    ARCHIVE(a, TAG_PACKET_QUEUE, p->queue, queues - 1);
    archive_refuse_if(a, !packet_is_sound(b, p));
    if (!a->failed) {
        archive_bytes(a, TAG_PACKET_BYTES, b->bytes + p->offset, p->len);
    }
}

void packet_buffer_archive(struct packet_buffer *b, struct archive *a, uint32_t len_max, uint32_t queues)
{
    uint32_t count = archive_count(a, TAG_PACKET_COUNT, b->count, b->size / PACKET_SLOT);
    ARCHIVE(a, TAG_PACKET_NEXT, b->next, b->size - PACKET_SLOT);
    archive_refuse_if(a, b->next % PACKET_SLOT != 0);
    if (archive_is_loading(a)) {
        b->head = 0;
        b->used = 0;
        b->count = 0;
    }
    for (uint32_t i = 0; i < count && !a->failed; i++) {
        struct packet *p = packet_buffer_at(b, i);
        packet_archive(b, a, p, len_max, queues);
        if (archive_is_loading(a) && !a->failed) {
            archive_refuse_if(a, p->span > b->size - b->used);
            b->used += p->span;
            b->count++;
        }
    }
    if (archive_is_loading(a) && a->failed) {
        packet_buffer_clear(b);
    }
}
