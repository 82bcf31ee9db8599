/* pool_archive.c: saves the order of free places, and loads a stranger's. */
#include "base/pool_archive.h"

static void pool_archive_free(struct pool *p, struct archive *a, uint16_t tag, uint32_t count)
{
    uint32_t *link = &p->free;

    for (uint32_t i = 0; i < count && !a->failed; i++) {
        uint32_t index = archive_is_loading(a) ? 0 : *link;

        ARCHIVE(a, tag, index, p->fresh - 1);
        archive_refuse_if(a, index == 0);
        if (archive_is_loading(a) && !a->failed) {
            *link = index;
            *pool_link(p, index) = 0;
        }
        link = pool_link(p, index);
    }
}

void pool_archive(struct pool *p, struct archive *a, uint16_t tag)
{
    uint32_t fresh = p->fresh, count;

    ARCHIVE(a, tag, fresh, (uint64_t)p->capacity + 1);
    archive_refuse_if(a, fresh == 0);
    if (archive_is_loading(a)) {
        pool_start(p, p->entries, p->size, p->capacity);
        p->fresh = a->failed ? 1 : fresh;
    }
    count = archive_count(a, tag, archive_is_loading(a) ? 0 : pool_free_count(p), p->fresh - 1);
    pool_archive_free(p, a, tag, count);
    if (archive_is_loading(a)) {
        p->used = p->fresh - 1 - count;
    }
    if (archive_is_loading(a) && a->failed) {
        pool_start(p, p->entries, p->size, p->capacity);
    }
}

bool pool_is_sound(const struct pool *p)
{
    uint32_t left = pool_free_count(p), index = p->free;

    while (left != 0 && index != 0 && index < p->fresh) {
        index = *pool_link(p, index);
        left--;
    }
    return left == 0 && index == 0;
}
