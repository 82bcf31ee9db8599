/* ring.c: start, stop, doorbell and snapshot of a ring. */
#include "nic/ring.h"

#include "base/bits.h"
#include "nic/tags.h"

uint8_t ring_start(struct ring *r, uint64_t base, uint32_t count)
{
    *r = (struct ring){0};
    if (count < RING_COUNT_MIN || count > RING_COUNT_MAX || !bits_is_pow2(count)) {
        return r->error = RING_ERROR_BAD_COUNT;
    }
    if (base % RING_ALIGN != 0) {
        return r->error = RING_ERROR_BAD_BASE;
    }
    r->base = base;
    r->count = count;
    r->is_running = true;
    return RING_ERROR_NONE;
}

void ring_stop(struct ring *r, uint8_t error)
{
    r->is_running = false;
    r->error = error;
}

bool ring_set_tail(struct ring *r, uint32_t tail)
{
    if (!r->is_running || tail >= r->count) {
        if (r->is_running) {
            ring_stop(r, RING_ERROR_BAD_TAIL);
        }
        return false;
    }
    r->tail = tail;
    return true;
}

void ring_archive(struct ring *r, struct archive *a)
{
    ARCHIVE(a, TAG_RING_BASE, r->base, UINT64_MAX);
    ARCHIVE(a, TAG_RING_COUNT, r->count, RING_COUNT_MAX);
    ARCHIVE(a, TAG_RING_HEAD, r->head, UINT32_MAX);
    ARCHIVE(a, TAG_RING_TAIL, r->tail, RING_COUNT_MAX - 1);
    ARCHIVE(a, TAG_RING_RUNNING, r->is_running, 1);
    ARCHIVE(a, TAG_RING_ERROR, r->error, RING_ERROR_NO_CQ);
    bool has_count = r->count >= RING_COUNT_MIN && bits_is_pow2(r->count);
    archive_refuse_if(a, r->count != 0 && !has_count);
    archive_refuse_if(a, r->is_running && (!has_count || r->error != RING_ERROR_NONE));
    archive_refuse_if(a, r->base % RING_ALIGN != 0 || (r->count == 0 ? r->tail != 0 : r->tail >= r->count));
}
