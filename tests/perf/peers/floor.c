/* What a frame cannot cost less than: rings, copy with checksum, least parse, bulk hash, completion; no device at all. */
#include <stdlib.h>

#include "../flow_frames.h"
#include "../round.h"

#include "base/bytes.h"
#include "wire/checksum.h"
#include "wire/toeplitz.h"

enum {
    BURST = 32,
    COUNT = 128,
    FLOWS = 64,
    STRIDE = 2048 + 256,
    INPUT_LEN = 12,
    FRAMES_A_ROUND = 400000,
};

struct floor_descriptor {
    uint64_t addr, word;
};

struct floor_completion {
    uint64_t word[4];
};

struct floor_path {
    struct toeplitz toeplitz;
    const struct csum_ops *csum;
    struct floor_descriptor tx[COUNT], rx[COUNT];
    struct floor_completion cq[COUNT];
    uint8_t *frames, *buffers, *packets;
    uint32_t head;
};

static bool is_plain_tcp(const uint8_t *frame)
{
    return be16_load(frame + 12) == 0x0800 && frame[14] == 0x45 && !(be16_load(frame + 20) & 0x3fff)
           && frame[23] == 6;
}

/* Bytes as little-endian 32-bit words: congruent modulo 0xffff to the sum of their 16-bit words. */
static uint64_t words_sum(const uint8_t *bytes, uint32_t words)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < words; i++) {
        sum += le32_load(bytes + 4 * i);
    }
    return sum;
}

/* Copies a frame and says whether both its checksums are right. The whole is summed in one pass: a right IPv4 header
   adds nothing, the Ethernet header is taken off, the pseudo-header is added. */
static bool frame_move(const struct csum_ops *csum, uint8_t *to, const uint8_t *from, uint32_t len)
{
    const uint8_t *ip = from + FLOW_L3_OFFSET;
    uint64_t ethernet = words_sum(from, 3) + le16_load(from + 12);
    uint64_t sum = csum->copy(to, from, len, (0xffffull << 32) - ethernet);

    sum += words_sum(ip + 12, 2) + csum_of16(6) + csum_of16((uint16_t)(len - FLOW_L4_OFFSET));
    return sum % 0xffff == 0 && words_sum(ip, 5) % 0xffff == 0;
}

/* The driver's half of sending: descriptors only. */
static void burst_post(struct floor_path *p, uint32_t len, uint32_t first)
{
    for (uint32_t i = 0; i < BURST; i++) {
        p->tx[(p->head + i) % COUNT] =
            (struct floor_descriptor){(uint64_t)(uintptr_t)(p->frames + (first + i) * STRIDE), len};
    }
}

/* The card's half. With is_buffered a frame lies in a packet buffer in between, and is copied twice. */
static void burst_move(struct floor_path *p, bool is_buffered)
{
    const uint8_t *input[BURST];
    uint32_t hash[BURST];
    uint64_t right[BURST];

    for (uint32_t i = 0; i < BURST; i++) {
        const struct floor_descriptor *d = &p->tx[(p->head + i) % COUNT];
        const uint8_t *from = (const uint8_t *)(uintptr_t)d->addr;
        uint8_t *to = (uint8_t *)(uintptr_t)p->rx[(p->head + i) % COUNT].addr;

        if (is_buffered) {
            from = memcpy(p->packets + i * STRIDE, from, d->word);
        }
        right[i] = is_plain_tcp(from) && frame_move(p->csum, to, from, (uint32_t)d->word);
        input[i] = from + FLOW_L3_OFFSET + 12;
    }
    toeplitz_hash_bulk(&p->toeplitz, input, INPUT_LEN, hash, BURST);
    for (uint32_t i = 0; i < BURST; i++) {
        p->cq[(p->head + i) % COUNT] =
            (struct floor_completion){{hash[i], p->tx[(p->head + i) % COUNT].word, right[i], 1}};
    }
}

/* The driver's half of receiving: looks at every completion and frame, posts the buffer again. */
static uint32_t burst_take(struct floor_path *p, uint32_t len)
{
    uint32_t right = 0;

    for (uint32_t i = 0; i < BURST; i++) {
        uint32_t at = (p->head + i) % COUNT;
        const uint64_t *word = p->cq[at].word;

        right += word[1] == len && word[2] && word[0] && p->buffers[at * STRIDE + FLOW_L3_OFFSET] == 0x45;
        p->rx[at] = (struct floor_descriptor){(uint64_t)(uintptr_t)(p->buffers + at * STRIDE), 0};
    }
    p->head = (p->head + BURST) % COUNT;
    return right;
}

static double floor_measure(struct floor_path *p, uint32_t len, bool is_buffered, double effort)
{
    uint64_t bursts = (uint64_t)(FRAMES_A_ROUND * effort) / BURST + 1, right = 0, start, spent;

    for (uint32_t i = 0; i < FLOWS; i++) {
        flow_frame_write(p->frames + i * STRIDE, len, i, false);
    }
    start = round_cpu_ns();
    for (uint64_t i = 0; i < bursts; i++) {
        burst_post(p, len, (uint32_t)(i % (FLOWS / BURST)) * BURST);
        __asm__ volatile("" ::: "memory"); /* the halves do not see into each other */
        burst_move(p, is_buffered);
        __asm__ volatile("" ::: "memory");
        right += burst_take(p, len);
    }
    spent = round_cpu_ns() - start;
    return right == bursts * BURST ? (double)spent / (double)right : -1;
}

static bool floor_open(struct floor_path *p)
{
    uint8_t key[TOEPLITZ_KEY_LEN];

    for (uint32_t i = 0; i < sizeof key; i++) {
        key[i] = (uint8_t)(i * 37 + 1);
    }
    toeplitz_prepare(&p->toeplitz, key);
    p->csum = csum_ops_best();
    p->frames = aligned_alloc(64, FLOWS * STRIDE);
    p->buffers = aligned_alloc(64, COUNT * STRIDE);
    p->packets = aligned_alloc(64, BURST * STRIDE);
    for (uint32_t i = 0; p->buffers && i < COUNT; i++) {
        p->rx[i].addr = (uint64_t)(uintptr_t)(p->buffers + i * STRIDE);
    }
    return p->frames && p->buffers && p->packets;
}

int main(void)
{
    static struct floor_path path;
    double effort;

    if (!floor_open(&path)) {
        return EXIT_FAILURE;
    }
    round_ready();
    while (round_await(&effort)) {
        const struct round_figure figure[] = {
            {"floor 64 B", floor_measure(&path, 64, false, effort)},
            {"floor with packet buffer 64 B", floor_measure(&path, 64, true, effort)},
            {"floor 1514 B", floor_measure(&path, 1514, false, effort)},
            {"floor with packet buffer 1514 B", floor_measure(&path, 1514, true, effort)},
        };

        if (!round_print(figure, sizeof figure / sizeof *figure)) {
            break;
        }
    }
    free(path.frames);
    free(path.buffers);
    free(path.packets);
    return EXIT_SUCCESS;
}
