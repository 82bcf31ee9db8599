/* archive.h: tagged, checked encoding of state; one walk over the fields serves saving, hashing and
 * loading. */
#ifndef VNIC_BASE_ARCHIVE_H
#define VNIC_BASE_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum archive_mode { ARCHIVE_SAVE, ARCHIVE_HASH, ARCHIVE_LOAD };

/* Every field is a record: u16 tag, u16 size in bytes, value, all little-endian. */
struct archive {
    enum archive_mode mode;
    bool failed;           /* loading: cut short, wrong tag or size, value out of range; sticky */
    uint8_t *out;          /* saving: where to, or NULL to measure only */
    const uint8_t *in;     /* loading: where from */
    size_t at, len;        /* position; saving: capacity, loading: length */
    uint64_t hash;         /* hashing: FNV-1a 64 so far */
};

void archive_save(struct archive *a, uint8_t *out, size_t capacity); /* starts; capacity 0 measures */
void archive_hash(struct archive *a);
void archive_load(struct archive *a, const uint8_t *in, size_t len);

/* A field of 1, 2, 4 or 8 bytes (unsigned or bool); loading refuses a value above max. */
void archive_field(struct archive *a, uint16_t tag, void *field, size_t size, uint64_t max);
#define ARCHIVE(a, tag, lvalue, max) archive_field((a), (tag), &(lvalue), sizeof(lvalue), (max))

/* Raw bytes of a length both sides know, in records of at most 32 KiB. */
void archive_bytes(struct archive *a, uint16_t tag, void *bytes, size_t len);

/* A number of elements that follow: what was saved, or on loading what was read (0 after a failure). */
uint32_t archive_count(struct archive *a, uint16_t tag, uint32_t count, uint32_t max);

/* On loading, a check across fields failed. */
void archive_refuse_if(struct archive *a, bool wrong);

static inline bool archive_is_loading(const struct archive *a)
{
    return a->mode == ARCHIVE_LOAD;
}

#endif
