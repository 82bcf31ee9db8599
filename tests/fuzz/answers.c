/* answers.c: a DMA read is answered when it comes, out of the program that runs. */
#include "answers.h"

#include "see.h"

static uint64_t answer_span(const struct vnic_op *op, uint32_t stride, uint32_t len)
{
    const uint64_t most = 4096;
    return op->code == OPLANG_POKE ? len : stride * (op->value < most ? op->value : most);
}

void answers_add(struct answers *a, const struct vnic_op *op, const uint8_t *data, uint32_t len)
{
    const uint32_t stride = op->code == OPLANG_POKE ? len : op->width;
    const uint64_t bytes = answer_span(op, stride, len);
    if (len == 0 || bytes == 0 || a->count == ANSWERS_MAX) {
        return;
    }
    a->answer[a->count++] =
        (struct answer){.addr = op->addr,
                        .bytes = bytes,
                        .stride = stride,
                        .len = len,
                        .rise = op->code == OPLANG_POKE ? 64 : op->index & 127,
                        .is_moving = op->code == OPLANG_FILL && op->index >= ANSWERS_MOVING,
                        .data = data};
}

void answers_keep(struct answers *a)
{
    a->kept = a->count;
}

void answers_forget(struct answers *a)
{
    a->count = a->kept;
    a->reads = a->writes = a->digest = 0;
}

/* What is added to the first 8 bytes of an element. */
static uint64_t answer_rise(const struct answer *x, uint64_t number)
{
    return (x->rise < 64 ? number << x->rise : 0) + (x->is_moving ? x->given : 0);
}

/* Descriptors are short: a call costs more than they. */
static void bytes_copy(uint8_t *to, const uint8_t *from, uint32_t len)
{
    if (len > 64) {
        memcpy(to, from, len);
        return;
    }
    for (; len >= 8; len -= 8, to += 8, from += 8) {
        memcpy(to, from, 8);
    }
    for (uint32_t i = 0; i < len; i++) {
        to[i] = from[i];
    }
}

/* Bytes at..end of an element, where zeros are: what it lacks of its stride stays as it is. */
static void answer_element(const struct answer *x, uint64_t number, uint8_t *bytes, uint32_t at, uint32_t end)
{
    const uint32_t limit = end < x->len ? end : x->len, head_len = x->len < 8 ? x->len : 8;
    const uint64_t rise = answer_rise(x, number);
    uint64_t head = 0;
    if (at >= limit) {
        return;
    }
    bytes_copy(bytes, x->data + at, limit - at);
    if (rise == 0 || at >= head_len) {
        return;
    }
    bytes_copy((uint8_t *)&head, x->data, head_len);
    head += rise;
    for (uint32_t i = at; i < head_len && i < limit; i++) {
        bytes[i - at] = (uint8_t)(head >> 8 * i);
    }
}

static void answer_write(struct answer *x, uint64_t offset, uint8_t *bytes, uint32_t len)
{
    uint64_t number = offset / x->stride;
    uint32_t at = (uint32_t)(offset % x->stride);
    for (uint32_t done = 0; done < len; number++, at = 0) {
        const uint32_t end = x->stride - at < len - done ? x->stride : at + len - done;
        answer_element(x, number, bytes + done, at, end);
        done += end - at;
    }
    x->given++;
}

static void noise_write(uint64_t iova, uint8_t *bytes, uint32_t len)
{
    for (uint32_t at = 0; at < len; at += 8) {
        const uint64_t noise = (iova + at) * 0x9E3779B97F4A7C15ull;
        memcpy(bytes + at, &noise, len - at < 8 ? len - at : 8);
    }
}

/* The first bytes at an address, as far as the newest there has them and no newer one begins. */
static uint32_t answers_piece(struct answers *a, uint64_t iova, uint8_t *bytes, uint32_t len)
{
    uint64_t most = len;
    for (uint32_t i = a->count; i > 0; i--) {
        struct answer *x = &a->answer[i - 1];
        const uint64_t offset = iova - x->addr;
        if (offset < x->bytes) {
            most = x->bytes - offset < most ? x->bytes - offset : most;
            answer_write(x, offset, bytes, (uint32_t)most);
            return (uint32_t)most;
        }
        most = -offset < most ? -offset : most;
    }
    noise_write(iova, bytes, (uint32_t)most);
    return (uint32_t)most;
}

/* One granule in 16 is nobody's, but where something was put. */
static bool answers_is_hole(const struct answers *a, uint64_t iova)
{
    bool is_hole = (iova >> 12) % 16 == 15;
    for (uint32_t i = 0; i < a->count && is_hole; i++) {
        is_hole = iova - a->answer[i].addr >= a->answer[i].bytes;
    }
    return is_hole;
}

int answers_give(void *opaque, uint64_t iova, uint8_t *bytes, uint32_t len, int is_write)
{
    struct answers *a = opaque;
    if (answers_is_hole(a, iova)) {
        return VNIC_DMA_UNSUPPORTED;
    }
    if (is_write) {
        see_bytes(bytes, len);
        a->writes++;
        a->digest = (a->digest ^ iova ^ len ^ bytes[0]) * 0x100000001B3ull;
        return VNIC_DMA_OK;
    }
    a->reads++;
    memset(bytes, 0, len); /* all of it is the card's own, or a sanitizer says so here */
    for (uint32_t at = 0; at < len;) {
        at += answers_piece(a, iova + at, bytes + at, len - at);
    }
    return VNIC_DMA_OK;
}
