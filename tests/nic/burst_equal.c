/* Bursts against single steps: two cards, one input, random work; memory, state and outputs stay equal. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gen/descriptors.h"
#include "gen/pci_config.h"
#include "gen/vnic_bar0.h"
#include "vnic/vnic.h"

enum {
    PAGE = 4096,
    PAGES = 256,
    MEMORY = PAGE * PAGES,
    PAIRS = 4,
    ROUNDS = 12,
    FRAME_PAGES = 128, /* frames and buffers lie from here on */
    SCRATCH_BASE = 0x10000000,
};

struct world {
    uint64_t seed;
    vnic *card[2];
    uint8_t *memory[2];
    uint32_t rx_tail[PAIRS], tx_tail[PAIRS], count;
    uint32_t spread; /* bytes between receive buffers: less than a buffer makes them overlap */
    uint32_t ordinary; /* percent of frames that are the same as the one before */
    uint64_t steps, stops;
};

static uint32_t pick(struct world *w, uint32_t n)
{
    w->seed ^= w->seed << 13;
    w->seed ^= w->seed >> 7;
    w->seed ^= w->seed << 17;
    return (uint32_t)((w->seed >> 11) % n);
}

static bool chance(struct world *w, uint32_t percent)
{
    return pick(w, 100) < percent;
}

/* ---- what both cards get ---- */

static void reg_write(struct world *w, uint64_t offset, uint64_t value, unsigned width)
{
    for (unsigned i = 0; i < 2; i++) {
        vnic_write(w->card[i], 0, offset, width, value);
    }
}

static void memory_write(struct world *w, uint32_t at, const void *bytes, uint32_t len)
{
    for (unsigned i = 0; i < 2; i++) {
        memcpy(w->memory[i] + at, bytes, len);
    }
}

static void ignore(void *opaque, const struct vnic_event *event)
{
    (void)opaque, (void)event;
}

/* The second card is watched, and so takes every DMA by the long way. */
static void cards_open(struct world *w)
{
    struct vnic_config config;
    vnic_config_init(&config);
    config.queue_pairs = PAIRS;
    config.rx_buffer_bytes = 65536;
    config.tx_buffer_bytes = 65536;
    config.map_regions = PAGES;
    bool is_scattered = chance(w, 50);
    for (unsigned i = 0; i < 2; i++) {
        w->memory[i] = aligned_alloc(PAGE, MEMORY);
        memset(w->memory[i], 0, MEMORY);
        if (!w->memory[i] || vnic_create(&config, &w->card[i])) {
            abort();
        }
        vnic_set_link(w->card[i], 10000);
        vnic_cfg_write(w->card[i], CFG_COMMAND, 2, COMMAND_MEMORY_MASK | COMMAND_MASTER_MASK);
        vnic_cfg_write(w->card[i], 0x10, 4, 0xFE000000u);
        vnic_cfg_write(w->card[i], 0x18, 4, 0xFE100000u);
        for (uint32_t page = 0; page < PAGES; page += is_scattered ? 1 : PAGES) {
            vnic_map(w->card[i], SCRATCH_BASE + (uint64_t)page * PAGE, w->memory[i] + page * PAGE,
                     is_scattered ? PAGE : MEMORY, VNIC_MAP_READ | VNIC_MAP_WRITE);
        }
    }
    vnic_observe(w->card[1], ignore, NULL, 1u << VNIC_EVENT_DMA_READ);
}

static void cards_close(struct world *w)
{
    for (unsigned i = 0; i < 2; i++) {
        vnic_destroy(w->card[i]);
        free(w->memory[i]);
    }
}

static uint64_t ring_at(unsigned pair, unsigned ring)
{
    return (uint64_t)(pair * 3 + ring) * 8 * PAGE; /* of 1024 descriptors at the most */
}

static void pair_start(struct world *w, unsigned pair)
{
    uint64_t base = (uint64_t)pair * REG_QP_STRIDE;
    uint32_t count = w->count;
    reg_write(w, base + REG_QP_CQ_BASE, SCRATCH_BASE + ring_at(pair, 0), 8);
    reg_write(w, base + REG_QP_CQ_COUNT, count * 2, 4);
    reg_write(w, base + REG_QP_CQ_VECTOR, pair, 4);
    reg_write(w, base + REG_QP_CQ_CTRL, QP_CQ_CTRL_ENABLE_MASK, 4);
    reg_write(w, base + REG_QP_RX_BASE, SCRATCH_BASE + ring_at(pair, 1), 8);
    reg_write(w, base + REG_QP_RX_COUNT, count, 4);
    reg_write(w, base + REG_QP_RX_BUF_LEN, chance(w, 80) ? 2048 : 256, 4);
    reg_write(w, base + REG_QP_RX_HDR_LEN, 256, 4);
    reg_write(w, base + REG_QP_RX_CTRL, QP_RX_CTRL_ENABLE_MASK, 4);
    reg_write(w, base + REG_QP_TX_BASE, SCRATCH_BASE + ring_at(pair, 2), 8);
    reg_write(w, base + REG_QP_TX_COUNT, count, 4);
    reg_write(w, base + REG_QP_TX_CTRL, QP_TX_CTRL_ENABLE_MASK, 4);
    reg_write(w, base + REG_QP_CQ_TAIL, count * 2 - 1, 4);
}

static void rss_commit(struct world *w)
{
    for (uint32_t i = 0; i < REG_RSS_KEY_COUNT; i++) {
        reg_write(w, REG_RSS_KEY + 4 * i, (uint32_t)pick(w, UINT32_MAX), 4);
    }
    for (uint32_t i = 0; i < REG_RSS_TABLE_COUNT; i++) {
        reg_write(w, REG_RSS_TABLE + 4 * i, (uint32_t)pick(w, UINT32_MAX) & 0x03030303u, 4);
    }
    reg_write(w, REG_RSS_TYPES, pick(w, UINT32_MAX) & 0x1ff00u, 4);
    reg_write(w, REG_RSS_CTRL, (chance(w, 80) ? RSS_CTRL_ENABLE_MASK : 0) | 7u << RSS_CTRL_TABLE_LOG2_SHIFT,
              4);
    reg_write(w, REG_RSS_COMMIT, RSS_COMMIT_GO_MASK, 4);
}

static void mac_set(struct world *w)
{
    uint32_t rx = MAC_RX_CTRL_ENABLE_MASK | MAC_RX_CTRL_UNICAST_MASK | MAC_RX_CTRL_BROADCAST_MASK;
    rx |= chance(w, 70) ? MAC_RX_CTRL_PROMISCUOUS_MASK : 0;
    rx |= chance(w, 70) ? MAC_RX_CTRL_CSUM_MASK : 0;
    rx |= chance(w, 20) ? MAC_RX_CTRL_VLAN_STRIP_MASK : 0;
    rx |= chance(w, 10) ? MAC_RX_CTRL_HEADER_SPLIT_MASK : 0;
    reg_write(w, REG_MAC_RX_MAX, chance(w, 90) ? 9728 : 300, 4);
    reg_write(w, REG_MAC_RX_CTRL, rx, 4);
    reg_write(w, REG_MAC_TX_CTRL, MAC_TX_CTRL_ENABLE_MASK | (chance(w, 30) ? MAC_TX_CTRL_PAD_MASK : 0), 4);
    reg_write(w, REG_GLB_CTRL, chance(w, 85) ? GLB_CTRL_LOOPBACK_MASK : 0, 4);
    reg_write(w, REG_INT_CTRL, INT_CTRL_MASTER_ENABLE_MASK, 4);
    for (unsigned i = 0; i < PAIRS; i++) {
        reg_write(w, REG_VEC_CTRL + i * REG_VEC_STRIDE, pick(w, 2) * VEC_CTRL_ENABLE_MASK, 4);
    }
}

/* ---- frames ---- */

static void put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static uint32_t sum16(uint32_t sum, const uint8_t *bytes, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
    }
    return sum;
}

static uint32_t complement(uint32_t sum)
{
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return sum ^ 0xffff;
}

static void frame_write(struct world *w, uint8_t *f, uint32_t len)
{
    bool is_tcp = chance(w, 60), is_v6 = chance(w, 40);
    uint32_t l4 = is_v6 ? 54 : 34, pad = chance(w, 15) ? pick(w, 20) : 0, l4_len;
    for (uint32_t i = 0; i < len; i++) {
        f[i] = (uint8_t)pick(w, 256);
    }
    memcpy(f, "\x02\0\0\0\0\x01\x02\0\0\0\0\x02", 12);
    f[0] = chance(w, 5) ? 0xff : chance(w, 5) ? 3 : 2;
    if (chance(w, 10)) {
        memset(f, 0xff, 6);
    }
    if (len < l4 + 20 + pad || chance(w, 3)) {
        return;
    }
    l4_len = len - l4 - pad;
    put16(f + 12, is_v6 ? 0x86dd : 0x0800);
    if (is_v6) {
        f[14] = 0x60;
        put16(f + 18, l4_len);
        f[20] = is_tcp ? 6 : 17;
    } else {
        memcpy(f + 14, "\x45", 1);
        put16(f + 16, l4_len + 20);
        put16(f + 20, chance(w, 5) ? 0x2000 : 0x4000);
        f[23] = is_tcp ? 6 : 17;
        put16(f + 24, 0);
        put16(f + 24, complement(sum16(0, f + 14, 20)));
    }
    if (is_tcp) {
        f[l4 + 12] = chance(w, 5) ? 0xf0 : 0x50;
    } else {
        put16(f + l4 + 4, chance(w, 90) ? l4_len : l4_len - 1);
    }
    uint8_t *field = f + l4 + (is_tcp ? 16 : 6);
    put16(field, 0);
    uint32_t sum = sum16(l4_len + (is_tcp ? 6 : 17), f + (is_v6 ? 22 : 26), (is_v6 ? 32 : 8) + l4_len);
    put16(field, complement(sum));
    if (chance(w, 5)) {
        put16(field, 0);
    }
    if (chance(w, 5)) {
        f[14 + pick(w, len - 14)] ^= (uint8_t)(1 + pick(w, 255));
    }
}

static uint32_t frame_len(struct world *w)
{
    static const uint32_t usual[] = {54,  60,  64,  64,  65,  90,   128,  129,
                                     200, 256, 257, 300, 576, 1514, 1514, 2000};
    return chance(w, 85) ? usual[pick(w, sizeof usual / sizeof *usual)] : 14 + pick(w, 3000);
}

/* ---- work ---- */

static void rx_post(struct world *w, unsigned pair, uint32_t n)
{
    for (; n > 0; n--) {
        uint64_t at =
            (uint64_t)(FRAME_PAGES + 1) * PAGE + (uint64_t)(w->rx_tail[pair] + pair * 64) % 200 * w->spread;
        uint64_t words[2] = {SCRATCH_BASE + at, SCRATCH_BASE + (uint64_t)FRAME_PAGES * PAGE};
        words[0] += chance(w, 1) ? MEMORY : 0; /* nowhere */
        memory_write(w, (uint32_t)ring_at(pair, 1) + w->rx_tail[pair] * 16, words, 16);
        w->rx_tail[pair] = (w->rx_tail[pair] + 1) % w->count;
    }
    reg_write(w, pair * (uint64_t)REG_QP_STRIDE + REG_QP_RX_TAIL, w->rx_tail[pair], 4);
}

static void tx_describe(struct world *w, unsigned pair, uint64_t addr, uint32_t len, bool is_end)
{
    uint64_t words[2] = {addr, len | (uint64_t)DESC_TYPE_DATA << TX_DATA_TYPE_SHIFT};
    words[1] |= is_end ? TX_DATA_EOP_MASK : 0;
    words[1] |= chance(w, 20) ? TX_DATA_RS_MASK : 0;
    memory_write(w, (uint32_t)ring_at(pair, 2) + w->tx_tail[pair] * 16, words, 16);
    w->tx_tail[pair] = (w->tx_tail[pair] + 1) % w->count;
}

static void tx_post(struct world *w, unsigned pair, uint32_t n)
{
    static uint8_t frame[4096];
    uint32_t len = frame_len(w);
    frame_write(w, frame, len);
    for (; n > 0; n--) {
        uint32_t at = (FRAME_PAGES - 32) * PAGE + pick(w, chance(w, 90) ? 28 : 60) * PAGE + pick(w, 1000);
        if (!chance(w, w->ordinary)) {
            len = frame_len(w);
            frame_write(w, frame, len);
        }
        memory_write(w, at, frame, len);
        if (chance(w, 5)) {
            tx_describe(w, pair, SCRATCH_BASE + at, len / 2, false);
            tx_describe(w, pair, SCRATCH_BASE + at + len / 2, len - len / 2, true);
        } else {
            tx_describe(w, pair, SCRATCH_BASE + at + (chance(w, 1) ? MEMORY : 0), len, true);
        }
    }
    reg_write(w, pair * (uint64_t)REG_QP_STRIDE + REG_QP_TX_TAIL, w->tx_tail[pair], 4);
}

static void link_post(struct world *w, uint32_t n)
{
    uint8_t frame[4096];
    uint32_t len = frame_len(w);
    frame_write(w, frame, len);
    for (; n > 0; n--) {
        if (!chance(w, w->ordinary)) {
            len = frame_len(w);
            frame_write(w, frame, len);
        }
        if (vnic_receive(w->card[0], frame, len) != vnic_receive(w->card[1], frame, len)) {
            abort();
        }
    }
}

/* ---- judgement ---- */

static bool frames_are_equal(struct world *w)
{
    struct vnic_frame a[64], b[64];
    size_t n = vnic_frames(w->card[0], a, 64);
    if (n != vnic_frames(w->card[1], b, 64)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (a[i].len != b[i].len || a[i].queue != b[i].queue || memcmp(a[i].data, b[i].data, a[i].len) != 0) {
            return false;
        }
    }
    if (chance(w, 70)) {
        vnic_frames_release(w->card[0], n);
        vnic_frames_release(w->card[1], n);
    }
    return true;
}

/* One card runs within a budget, the other as many steps one by one. */
static bool run_is_equal(struct world *w)
{
    struct vnic_budget budget = {1 + pick(w, chance(w, 50) ? 20 : 400), UINT64_MAX}, used, one;
    budget.bytes = chance(w, 30) ? 10752 + pick(w, 30000) : UINT64_MAX;
    uint64_t bytes = 0;
    vnic_run(w->card[0], &budget, &used);
    for (uint64_t i = 0; i < used.steps; i++) {
        const struct vnic_budget single = {1, UINT64_MAX};
        vnic_run(w->card[1], &single, &one);
        bytes += one.bytes;
    }
    const struct vnic_budget rest = {budget.steps - used.steps, budget.bytes - bytes};
    vnic_run(w->card[1], &rest,
             &one); /* finds out, as the other did, that there is no more or no room for it */
    if (one.steps != 0) {
        return false;
    }
    w->steps += used.steps;
    w->stops++;
    return used.bytes == bytes && used.steps <= budget.steps && used.bytes <= budget.bytes
           && vnic_state_hash(w->card[0]) == vnic_state_hash(w->card[1])
           && memcmp(w->memory[0], w->memory[1], MEMORY) == 0 && frames_are_equal(w);
}

static bool world_is_equal(struct world *w)
{
    w->count = 32u << pick(w, 3);
    w->spread = chance(w, 50) ? 2048 : 700 + pick(w, 1400);
    w->ordinary = chance(w, 70) ? 90 : 20;
    cards_open(w);
    for (unsigned i = 0; i < PAIRS; i++) {
        pair_start(w, i);
    }
    rss_commit(w);
    bool is_equal = true;
    for (unsigned round = 0; round < ROUNDS && is_equal; round++) {
        if (round % 4 == 0) {
            mac_set(w);
        }
        for (unsigned i = 0; i < PAIRS; i++) {
            rx_post(w, i, pick(w, w->count / 2));
            tx_post(w, i, pick(w, chance(w, 50) ? 3 : w->count / 3));
            if (chance(w, 90)) {
                uint64_t head = vnic_read(w->card[0], 0, i * (uint64_t)REG_QP_STRIDE + REG_QP_CQ_HEAD, 4);
                reg_write(w, i * (uint64_t)REG_QP_STRIDE + REG_QP_CQ_TAIL,
                          (head + w->count * 2 - 1) % (w->count * 2), 4);
                (void)vnic_read(w->card[1], 0, i * (uint64_t)REG_QP_STRIDE + REG_QP_CQ_HEAD, 4);
            }
        }
        link_post(w, pick(w, 40));
        for (unsigned i = 0; i < 4 && is_equal; i++) {
            is_equal = run_is_equal(w);
        }
    }
    cards_close(w);
    return is_equal;
}

int main(int argc, char **argv)
{
    uint64_t worlds = argc > 1 ? strtoull(argv[1], NULL, 0) : 100,
             first = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    uint64_t steps = 0, stops = 0;
    for (uint64_t i = first; i < first + worlds; i++) {
        struct world w = {.seed = i * 0x9E3779B97F4A7C15u};
        if (!world_is_equal(&w)) {
            printf("world %llu: bursts and single steps differ after %llu steps\n", (unsigned long long)i,
                   (unsigned long long)w.steps);
            return EXIT_FAILURE;
        }
        steps += w.steps;
        stops += w.stops;
    }
    printf("%llu worlds, %llu comparisons, %llu steps\n", (unsigned long long)worlds,
           (unsigned long long)stops, (unsigned long long)steps);
    return EXIT_SUCCESS;
}
