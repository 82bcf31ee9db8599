/* kept_edit.c: snapshots with one record edited: values at the bounds of what a field may have, and beyond. */
#include <string.h>

#include "base/bytes.h"
#include "kept.h"

enum { HEAD = 4, KINDS = 8 };

/* Where a record starts, counted around; the image's length when it has none. */
static size_t record_at(const uint8_t *image, size_t len, uint64_t number)
{
    size_t at = 0;

    for (uint64_t n = 0; n < number && at + HEAD <= len; n++) {
        at += HEAD + le16_load(image + at + 2);
    }
    return at + HEAD <= len && at + HEAD + le16_load(image + at + 2) <= len ? at : len;
}

static uint64_t records(const uint8_t *image, size_t len)
{
    uint64_t count = 0;

    for (size_t at = 0; at + HEAD <= len; count++) {
        at += HEAD + le16_load(image + at + 2);
    }
    return count;
}

static uint64_t value_edited(uint64_t value, uint64_t kind, uint64_t random)
{
    const uint64_t values[KINDS] = {
        0, 1, value + 1, value - 1, UINT64_MAX, value ^ 1, value ^ UINT64_C(1) << (random % 64), random};

    return values[kind];
}

static void record_edit(uint8_t *record, uint64_t random)
{
    const size_t size = le16_load(record + 2);
    uint8_t *at = record + HEAD + (size > 8 ? random % (size - 7) : 0);
    uint64_t value = 0;

    memcpy(&value, at, size < 8 ? size : 8);
    value = value_edited(value, random >> 32 & (KINDS - 1), random >> 40);
    memcpy(at, &value, size < 8 ? size : 8);
}

void kept_edit(uint8_t *image, size_t len, unsigned edits, void (*load)(void *device, size_t len),
               void *device)
{
    const uint64_t count = records(image, len);
    uint64_t random = len * 0x9E3779B97F4A7C15ull + 1;

    for (unsigned n = 0; n < edits && count != 0; n++) {
        uint8_t before[HEAD + 0xFFFF];
        random = (random ^ random >> 31) * 0xD6E8FEB86659FD93ull + le32_load(image + len - 4);
        const size_t at = record_at(image, len, (random >> 20) % count);
        if (at < len) {
            const size_t size = HEAD + (size_t)le16_load(image + at + 2);
            memcpy(before, image + at, size);
            record_edit(image + at, random ^ random >> 29);
            load(device, len);
            memcpy(image + at, before, size);
        }
    }
}
