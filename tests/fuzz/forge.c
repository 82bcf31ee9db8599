/* forge.c: records are found by kind first, then by number: a field of which there is one is as near as one of many. */
#include "forge.h"

#include <stdbool.h>
#include <string.h>

#include "base/bytes.h"

enum { HEADER = 4, RECORDS_MOST = 1 << 15, TAGS_MOST = 1024, TAGS = 1 << 16, EDITS_MOST = 4, NUMBER = 8 };

enum edit { SET, ADD, FLIP, SIBLING, SWAP, REPEAT, DROP, BYTE, TAG, CUT };

/* What hints at nothing wrong with the records around it is tried more often. */
static const uint8_t edits[] = {SET,  SET,     SET,     SET,  SET,    ADD,  ADD,  FLIP,
                                FLIP, SIBLING, SIBLING, SWAP, REPEAT, DROP, BYTE, BYTE};

struct form {
    const uint8_t *next;
    size_t left;
};

struct record {
    uint32_t at; /* of its value */
    uint16_t tag, size;
};

/* An image's records, and its tags in the order in which they come. */
struct index {
    uint32_t records, tags;
    struct record record[RECORDS_MOST];
    uint16_t tag[TAGS_MOST];
    uint8_t seen[TAGS / 8];
};

static uint32_t byte_take(struct form *f)
{
    if (f->left == 0) {
        return 0;
    }
    f->left--;
    return *f->next++;
}

static uint32_t word_take(struct form *f)
{
    const uint32_t low = byte_take(f);

    return low | byte_take(f) << 8;
}

/* ---- what there is ---- */

static void tag_note(struct index *x, uint16_t tag)
{
    const uint8_t bit = (uint8_t)(1u << tag % 8);

    if ((x->seen[tag / 8] & bit) == 0 && x->tags < TAGS_MOST) {
        x->seen[tag / 8] |= bit;
        x->tag[x->tags++] = tag;
    }
}

static void index_make(struct index *x, const uint8_t *image, size_t len)
{
    x->records = x->tags = 0;
    memset(x->seen, 0, sizeof x->seen);
    for (size_t at = 0; at + HEADER <= len && x->records < RECORDS_MOST;) {
        const uint16_t tag = le16_load(image + at), size = le16_load(image + at + 2);
        if (size > len - at - HEADER) {
            break;
        }
        x->record[x->records++] = (struct record){(uint32_t)(at + HEADER), tag, size};
        tag_note(x, tag);
        at += HEADER + (size_t)size;
    }
}

/* The record of that tag and number, counted around; the next one when it is the last. */
static const struct record *index_find(const struct index *x, uint16_t tag, uint32_t number)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < x->records; i++) {
        count += x->record[i].tag == tag;
    }
    number %= count;
    for (uint32_t i = 0; i < x->records; i++) {
        if (x->record[i].tag == tag && number-- == 0) {
            return &x->record[i];
        }
    }
    return &x->record[0];
}

/* ---- values ---- */

static uint64_t value_get(const uint8_t *image, const struct record *r)
{
    uint8_t bytes[NUMBER] = {0};

    memcpy(bytes, image + r->at, r->size < NUMBER ? r->size : NUMBER);
    return le64_load(bytes);
}

static void value_set(uint8_t *image, const struct record *r, uint64_t value)
{
    uint8_t bytes[NUMBER];

    le64_store(bytes, value);
    memcpy(image + r->at, bytes, r->size < NUMBER ? r->size : NUMBER);
}

/* At an edge of what the field can hold, near what it was, or small. */
static uint64_t value_take(uint64_t old, uint32_t size, struct form *f)
{
    const uint32_t kind = byte_take(f), more = byte_take(f);
    const uint64_t most = size >= NUMBER ? UINT64_MAX : (UINT64_C(1) << 8 * size) - 1;

    switch (kind % 8) {
    case 0:
        return most;
    case 1:
        return more;
    case 2:
        return old + 1;
    case 3:
        return old - 1;
    case 4:
        return most - more;
    case 5:
        return most / 2 + more % 4;
    case 6:
        return UINT64_C(1) << more % 64;
    default:
        return (uint64_t)more << kind / 8;
    }
}

/* ---- edits ---- */

static void record_swap(uint8_t *image, const struct record *r, const struct record *other)
{
    for (uint32_t i = 0; i < r->size && r->size == other->size; i++) {
        const uint8_t byte = image[r->at + i];
        image[r->at + i] = image[other->at + i];
        image[other->at + i] = byte;
    }
}

static size_t record_repeat(uint8_t *image, size_t len, size_t room, const struct record *r)
{
    const size_t whole = (size_t)r->size + HEADER, from = r->at - HEADER;

    if (whole > room - len) {
        return len;
    }
    memmove(image + from + whole, image + from, len - from);
    return len + whole;
}

static size_t record_drop(uint8_t *image, size_t len, const struct record *r)
{
    const size_t behind = (size_t)r->at + r->size;

    memmove(image + r->at - HEADER, image + behind, len - behind);
    return len - r->size - HEADER;
}

/* One byte of a record that is no number. */
static void byte_change(uint8_t *image, const struct record *r, struct form *f)
{
    const uint32_t at = word_take(f), by = byte_take(f);

    if (r->size != 0) {
        image[r->at + at % r->size] ^= (uint8_t)(by != 0 ? by : 1);
    }
}

/* What leaves all records where they are. */
static void record_change(uint8_t *image, enum edit edit, const struct record *r, const struct record *other,
                          struct form *f)
{
    const uint64_t old = value_get(image, r);

    switch (edit) {
    case SET:
        value_set(image, r, value_take(old, r->size, f));
        break;
    case ADD:
        value_set(image, r, old + byte_take(f) - 128u);
        break;
    case FLIP:
        value_set(image, r, old ^ UINT64_C(1) << byte_take(f) % (r->size == 0 ? 1u : r->size * 8u) % 64);
        break;
    case SIBLING:
        memmove(image + r->at, image + other->at, r->size < other->size ? r->size : other->size);
        break;
    case SWAP:
        record_swap(image, r, other);
        break;
    case TAG:
        image[r->at - HEADER + byte_take(f) % HEADER] ^= (uint8_t)(1u << byte_take(f) % 8);
        break;
    default:
        byte_change(image, r, f);
        break;
    }
}

static size_t edit_once(uint8_t *image, size_t len, size_t room, struct form *f)
{
    static struct index x;
    const uint32_t pick = byte_take(f), kind = word_take(f), number = word_take(f);

    index_make(&x, image, len);
    if (x.records == 0) {
        return len;
    }
    const uint16_t tag = x.tag[kind % x.tags];
    const struct record *r = index_find(&x, tag, number);
    const enum edit edit = pick < 240 ? (enum edit)edits[pick % sizeof edits] : pick < 248 ? TAG : CUT;
    switch (edit) {
    case REPEAT:
        return record_repeat(image, len, room, r);
    case DROP:
        return record_drop(image, len, r);
    case CUT:
        return r->at + (size_t)(number % (r->size + 1u));
    default:
        record_change(image, edit, r, index_find(&x, tag, number + 1), f);
        return len;
    }
}

size_t forge(uint8_t *image, size_t len, size_t room, const uint8_t *how, size_t how_len)
{
    struct form form = {how, how_len};
    const uint32_t pick = byte_take(&form);

    for (uint32_t n = pick < 192 ? 1 : 1 + pick % EDITS_MOST; n > 0; n--) {
        len = edit_once(image, len, room, &form);
    }
    return len;
}
