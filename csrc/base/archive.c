/* archive.c: writes, hashes and reads back tagged records; what is read was written by a stranger. */
#include "base/archive.h"

#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/check.h"

#define ARCHIVE_HEADER 4u      /* u16 tag, u16 size */
#define ARCHIVE_PIECE 0x8000u  /* raw bytes go in records of at most this size */
#define FNV_OFFSET 0xCBF29CE484222325ull
#define FNV_PRIME 0x00000100000001B3ull

static void archive_start(struct archive *a, enum archive_mode mode)
{
    memset(a, 0, sizeof(*a));
    a->mode = mode;
}

void archive_save(struct archive *a, uint8_t *out, size_t capacity)
{
    archive_start(a, ARCHIVE_SAVE);
    a->out = out;
    a->len = out != NULL ? capacity : 0;
}

void archive_hash(struct archive *a)
{
    archive_start(a, ARCHIVE_HASH);
    a->hash = FNV_OFFSET;
}

void archive_load(struct archive *a, const uint8_t *in, size_t len)
{
    archive_start(a, ARCHIVE_LOAD);
    a->in = in;
    a->len = len;
}

static void archive_mix(struct archive *a, const uint8_t *bytes, size_t len)
{
    uint64_t hash = a->hash;
    for (size_t i = 0; i < len; i++) {
        hash = (hash ^ bytes[i]) * FNV_PRIME;
    }
    a->hash = hash;
}

/* Bytes that do not fit are counted, not written; from there on nothing fits, for `at` is beyond `len`. */
static void archive_put(struct archive *a, const uint8_t *bytes, size_t len)
{
    if (len == 0) {
        return;
    }
    if (a->mode == ARCHIVE_HASH) {
        archive_mix(a, bytes, len);
    } else if (a->at <= a->len && len <= a->len - a->at) {
        memcpy(a->out + a->at, bytes, len);
    }
    a->at += len;
}

static void archive_put_record(struct archive *a, uint16_t tag, const uint8_t *value, size_t size)
{
    uint8_t header[ARCHIVE_HEADER];
    le16_store(header, tag);
    le16_store(header + 2, (uint16_t)size);
    archive_put(a, header, sizeof(header));
    archive_put(a, value, size);
}

/* The value of the next record, which must have this tag and size; NULL and failed otherwise. */
static const uint8_t *archive_take_record(struct archive *a, uint16_t tag, size_t size)
{
    if (a->failed || a->len - a->at < ARCHIVE_HEADER + size) {
        a->failed = true;
        return NULL;
    }
    const uint8_t *record = a->in + a->at;
    if (le16_load(record) != tag || le16_load(record + 2) != size) {
        a->failed = true;
        return NULL;
    }
    a->at += ARCHIVE_HEADER + size;
    return record + ARCHIVE_HEADER;
}

static uint64_t archive_get_native(const void *field, size_t size)
{
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64 = 0;
    switch (size) {
    case 1:
        memcpy(&u8, field, 1);
        return u8;
    case 2:
        memcpy(&u16, field, 2);
        return u16;
    case 4:
        memcpy(&u32, field, 4);
        return u32;
    default:
        vnic_assert(size == 8);
        memcpy(&u64, field, 8);
        return u64;
    }
}

static void archive_set_native(void *field, size_t size, uint64_t value)
{
    const uint8_t u8 = (uint8_t)value;
    const uint16_t u16 = (uint16_t)value;
    const uint32_t u32 = (uint32_t)value;
    switch (size) {
    case 1:
        memcpy(field, &u8, 1);
        break;
    case 2:
        memcpy(field, &u16, 2);
        break;
    case 4:
        memcpy(field, &u32, 4);
        break;
    default:
        memcpy(field, &value, 8);
        break;
    }
}

static void archive_load_field(struct archive *a, uint16_t tag, void *field, size_t size, uint64_t max)
{
    const uint8_t *record = archive_take_record(a, tag, size);
    if (record == NULL) {
        return;
    }
    uint8_t bytes[8] = {0};
    memcpy(bytes, record, size);
    const uint64_t value = le64_load(bytes);
    if (value > max) {
        a->failed = true;
        return;
    }
    archive_set_native(field, size, value);
}

void archive_field(struct archive *a, uint16_t tag, void *field, size_t size, uint64_t max)
{
    vnic_assert(size <= 8 && bits_is_pow2(size));
    if (a->mode == ARCHIVE_LOAD) {
        archive_load_field(a, tag, field, size, max);
        return;
    }
    uint8_t bytes[8];
    le64_store(bytes, archive_get_native(field, size));
    archive_put_record(a, tag, bytes, size);
}

static void archive_piece(struct archive *a, uint16_t tag, uint8_t *bytes, size_t len)
{
    if (a->mode != ARCHIVE_LOAD) {
        archive_put_record(a, tag, bytes, len);
        return;
    }
    const uint8_t *value = archive_take_record(a, tag, len);
    if (value != NULL && len != 0) {
        memcpy(bytes, value, len);
    }
}

void archive_bytes(struct archive *a, uint16_t tag, void *bytes, size_t len)
{
    uint8_t *next = bytes;
    while (len > ARCHIVE_PIECE) {
        archive_piece(a, tag, next, ARCHIVE_PIECE);
        next += ARCHIVE_PIECE;
        len -= ARCHIVE_PIECE;
    }
    archive_piece(a, tag, next, len);
}

uint32_t archive_count(struct archive *a, uint16_t tag, uint32_t count, uint32_t max)
{
    ARCHIVE(a, tag, count, max);
    return a->failed ? 0 : count;
}

void archive_refuse_if(struct archive *a, bool wrong)
{
    if (a->mode == ARCHIVE_LOAD && wrong) {
        a->failed = true;
    }
}
