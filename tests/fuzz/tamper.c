/* tamper.c: edits of a snapshot as a stranger would make them: its records cut, flipped and replaced. */
#include "world.h"

enum tamper_kind {
    TAMPER_SET,
    TAMPER_XOR,
    TAMPER_ADD,
    TAMPER_CUT,
    TAMPER_TAG,
    TAMPER_DROP,
    TAMPER_BYTE,
    TAMPER_KINDS
};

#define HEADER 4u

struct record {
    size_t at; /* of its header */
    uint32_t size;
};

static uint32_t load16(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8;
}

/* The record of that number, counted around. */
static bool record_find(const uint8_t *image, size_t len, uint64_t number, struct record *r)
{
    uint64_t count = 0;
    for (unsigned pass = 0; pass < 2; pass++) {
        uint64_t left = pass == 0 ? UINT64_MAX : count ? number % count : 0;
        for (size_t at = 0; at + HEADER <= len; at += HEADER + r->size, left--) {
            *r = (struct record){at, load16(image + at + 2)};
            if (at + HEADER + r->size > len) {
                break;
            }
            if (left == 0) {
                return true;
            }
            count += pass == 0;
        }
    }
    return false;
}

static uint64_t record_get(const uint8_t *image, const struct record *r)
{
    uint64_t value = 0;
    memcpy(&value, image + r->at + HEADER, r->size < 8 ? r->size : 8);
    return value;
}

static void record_set(uint8_t *image, const struct record *r, uint64_t value)
{
    memcpy(image + r->at + HEADER, &value, r->size < 8 ? r->size : 8);
}

static size_t record_drop(uint8_t *image, size_t len, const struct record *r)
{
    size_t behind = r->at + HEADER + r->size;
    memmove(image + r->at, image + behind, len - behind);
    return len - HEADER - r->size;
}

size_t world_tamper(uint8_t *image, size_t len, const uint8_t *data, uint32_t data_len)
{
    for (uint32_t at = 0; at < data_len && len > 0;) {
        uint64_t number = oplang_get(data, data_len, &at);
        enum tamper_kind kind = (enum tamper_kind)(oplang_get(data, data_len, &at) % TAMPER_KINDS);
        uint64_t value = oplang_get(data, data_len, &at);
        struct record r;
        if (!record_find(image, len, number, &r)) {
            continue;
        }
        switch (kind) {
        case TAMPER_SET:
            record_set(image, &r, value);
            break;
        case TAMPER_XOR:
            record_set(image, &r, record_get(image, &r) ^ value);
            break;
        case TAMPER_ADD:
            record_set(image, &r, record_get(image, &r) + value);
            break;
        case TAMPER_CUT:
            len = value % (len + 1);
            break;
        case TAMPER_TAG:
            image[r.at + value % HEADER] ^= (uint8_t)(1u << value / HEADER % 8);
            break;
        case TAMPER_DROP:
            len = record_drop(image, len, &r);
            break;
        case TAMPER_BYTE:
        case TAMPER_KINDS:
        default:
            if (r.size != 0) {
                image[r.at + HEADER + value % r.size] ^= (uint8_t)(value >> 32 | 1);
            }
            break;
        }
    }
    return len;
}
