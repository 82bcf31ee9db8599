/* driver_card.c: the registers of the card as a driver meets them, and the interrupts that they let through. */
#include "driver_card.h"

#include <string.h>

#include "driver_world.h"

#define BAR0_BYTES 65536u
#define BAR2_BYTES 8192u
#define QP_FIRST REG_QP_RX_BASE
#define QP_LAST (REG_QP_RX_BASE + FUZZ_PAIRS * REG_QP_STRIDE)
#define CONFIG_COMMAND 0x04u
#define COMMAND_MEMORY 2u
#define COMMAND_MASTER 4u
#define STATUS_IDLE GLB_STATUS_IDLE_MASK

struct word {
    uint32_t offset, value;
};

/* What is not 0 after power-on, of a card with two pairs, three vectors and no chimney. A test compares it with one. */
static const struct word power_on[] = {
    {REG_GLB_TYPE, 1},          {REG_GLB_VERSION, 1},
    {REG_GLB_NEXT, 0x100},      {REG_GLB_SIZE, 0x100},
    {REG_GLB_CAPS, 0x07200302}, {REG_GLB_FEATURES, 0x7F},
    {REG_GLB_MAX_FRAME, 9728},  {REG_GLB_MAX_RING, 32768},
    {REG_GLB_MAX_LSO, 262144},  {REG_GLB_MIN_MSS, 64},
    {REG_GLB_RX_BUFFER, 65536}, {REG_MAC_TYPE, 2},
    {REG_MAC_VERSION, 1},       {REG_MAC_NEXT, 0x500},
    {REG_MAC_SIZE, 0x400},      {REG_MAC_RX_MAX, 1518},
    {REG_MAC_ADDR, 2},          {REG_MAC_ADDR + 4, 0x100},
    {REG_MAC_PERM_ADDR, 2},     {REG_MAC_PERM_ADDR + 4, 0x100},
    {REG_MAC_TX_CTRL, 2},       {REG_INT_TYPE, 3},
    {REG_INT_VERSION, 1},       {REG_INT_NEXT, 0x580},
    {REG_INT_SIZE, 0x80},       {REG_TEST_TYPE, 4},
    {REG_TEST_VERSION, 1},      {REG_TEST_NEXT, 0x600},
    {REG_TEST_SIZE, 0x80},      {REG_RSS_TYPE, 5},
    {REG_RSS_VERSION, 1},       {REG_RSS_NEXT, 0x800},
    {REG_RSS_SIZE, 0x200},      {REG_VECS_TYPE, 6},
    {REG_VECS_VERSION, 1},      {REG_VECS_NEXT, 0x1200},
    {REG_VECS_SIZE, 0x900},     {REG_STAT_TYPE, 7},
    {REG_STAT_VERSION, 1},      {REG_STAT_NEXT, 0x1F00},
    {REG_STAT_SIZE, 0x400},     {REG_QPS_TYPE, 8},
    {REG_QPS_VERSION, 1},       {REG_QPS_NEXT, 0},
    {REG_QPS_SIZE, 0x2100},
};
static const struct word config_power_on[] = {
    {0x00, 0x10F01AF4}, {0x04, 0x00100000}, {0x08, 0x02000001}, {0x10, 0x00000004}, {0x18, 0x00000004},
    {0x2C, 0x11001AF4}, {0x34, 0x40},       {0x3C, 0x1FF},      {0x40, 0x00035001}, {0x50, 0x018A7005},
    {0x70, 0x0002B010}, {0x74, 0x10008022}, {0x78, 0x2810},     {0x7C, 0x104},      {0x80, 0x01040000},
    {0x94, 0x10},       {0xB0, 0x00020011}, {0xB4, 2},          {0xB8, 0x1002},
};

static void registers_reset(struct fuzz_card *card)
{
    memset(card->reg, 0, sizeof card->reg);
    for (uint32_t i = 0; i < sizeof power_on / sizeof power_on[0]; i++) {
        card->reg[power_on[i].offset / 4] = power_on[i].value;
    }
    for (uint32_t pair = 0; pair < FUZZ_PAIRS; pair++) {
        card->reg[(REG_QP_RX_BUF_LEN + pair * REG_QP_STRIDE) / 4] = 2048;
        card->reg[(REG_QP_RX_HDR_LEN + pair * REG_QP_STRIDE) / 4] = 256;
    }
    memset(card->pair, 0, sizeof card->pair);
    card->cause = card->waiting = 0;
}

void fuzz_card_power_on(struct fuzz_world *w)
{
    struct fuzz_card *card = &w->card;
    memset(card, 0, sizeof *card);
    registers_reset(card);
    for (uint32_t i = 0; i < sizeof config_power_on / sizeof config_power_on[0]; i++) {
        card->config[config_power_on[i].offset / 4] = config_power_on[i].value;
    }
    card->link_mbps = 10000;
}

bool fuzz_card_is_enabled(const struct fuzz_world *w)
{
    return !w->card.is_gone && w->card.config[CONFIG_COMMAND / 4] & COMMAND_MEMORY;
}

bool fuzz_card_is_master(const struct fuzz_world *w)
{
    return !w->card.is_gone && w->card.config[CONFIG_COMMAND / 4] & COMMAND_MASTER;
}

/* ---- interrupts ---- */

void fuzz_card_message(struct fuzz_world *w, uint32_t message)
{
    struct fuzz_card *card = &w->card;
    if (card->is_gone) {
        return;
    }
    if (card->lost_interrupts) {
        card->lost_interrupts--;
    } else if (card->is_holding) {
        card->held |= 1u << message;
    } else {
        fuzz_processor_interrupt(w, message);
    }
}

static void vector_raise(struct fuzz_world *w, uint32_t vector, uint32_t *ctrl)
{
    struct fuzz_card *card = &w->card;
    card->waiting &= ~(1u << vector);
    if (*ctrl & VEC_CTRL_AUTO_MASK_MASK) {
        *ctrl &= ~VEC_CTRL_ENABLE_MASK;
    }
    if (w->adapter.interrupt_kind == VNIC_INTERRUPT_MSIX) {
        fuzz_card_message(w, vector);
    } else {
        card->cause |= 1ull << vector;
        fuzz_card_message(w, w->adapter.messages ? vector % w->adapter.messages : 0);
    }
}

void fuzz_card_raise(struct fuzz_world *w)
{
    struct fuzz_card *card = &w->card;
    if (!(card->reg[REG_INT_CTRL / 4] & 1)) {
        return;
    }
    for (uint32_t v = 0; v < FUZZ_MESSAGES; v++) {
        uint32_t *ctrl = &card->reg[(REG_VEC_CTRL + v * REG_VEC_STRIDE) / 4];
        if (card->waiting >> v & 1 && *ctrl & VEC_CTRL_ENABLE_MASK) {
            vector_raise(w, v, ctrl);
        }
    }
}

void fuzz_card_cause(struct fuzz_world *w, uint32_t vector)
{
    if (vector < FUZZ_MESSAGES) {
        w->card.waiting |= 1u << vector;
        fuzz_card_raise(w);
    }
}

void fuzz_card_event(struct fuzz_world *w, uint32_t bits)
{
    uint32_t *reg = w->card.reg;
    reg[REG_GLB_EVENT / 4] |= bits;
    if (bits & reg[REG_GLB_EVENT_ENABLE / 4]) {
        fuzz_card_cause(w, reg[REG_GLB_EVENT_VECTOR / 4]);
    }
}

void fuzz_card_link(struct fuzz_world *w, uint32_t mbps)
{
    w->card.link_mbps = mbps;
    fuzz_card_event(w, GLB_EVENT_LINK_MASK);
}

/* ---- bring-up ---- */

static uint32_t test_result(struct fuzz_world *w, uint32_t op)
{
    const uint32_t *reg = w->card.reg;
    const uint32_t len = reg[REG_TEST_DMA_LEN / 4], pattern = reg[REG_TEST_DMA_PATTERN / 4];
    const uint64_t to_addr = reg[REG_TEST_DMA_DST / 4] | (uint64_t)reg[REG_TEST_DMA_DST / 4 + 1] << 32;
    const uint64_t from_addr = reg[REG_TEST_DMA_SRC / 4] | (uint64_t)reg[REG_TEST_DMA_SRC / 4 + 1] << 32;
    if (len == 0 || len > 65536 || op > TEST_OP_INVERT) {
        return op > TEST_OP_INVERT ? TEST_RESULT_BAD_OP : TEST_RESULT_BAD_LEN;
    }
    uint8_t *to = fuzz_ring_reach(w, to_addr, len, true, "TEST_DMA_DST");
    const uint8_t *from = op == TEST_OP_COPY ? fuzz_ring_reach(w, from_addr, len, false, "TEST_DMA_SRC") : to;
    if (to == NULL || from == NULL) {
        return TEST_RESULT_DMA_ERROR;
    }
    for (uint32_t i = 0; i < len; i++) {
        const uint8_t fill = (uint8_t)(pattern >> 8 * (i % 4));
        to[i] = op == TEST_OP_FILL ? fill : (uint8_t)(op == TEST_OP_COPY ? from[i] : ~to[i]);
    }
    return TEST_RESULT_OK;
}

static void test_command(struct fuzz_world *w, uint32_t value)
{
    const uint32_t op = (value & TEST_DMA_CMD_OP_MASK) >> TEST_DMA_CMD_OP_SHIFT;
    if (value & TEST_DMA_CMD_GO_MASK) {
        w->card.reg[REG_TEST_DMA_STATUS / 4] = test_result(w, op) << TEST_DMA_STATUS_RESULT_SHIFT;
        fuzz_card_event(w, GLB_EVENT_TEST_MASK);
    }
}

static void rss_commit(struct fuzz_card *card)
{
    uint32_t *status = &card->reg[REG_RSS_STATUS / 4];
    *status = (*status & RSS_STATUS_GENERATION_MASK) + (1u << RSS_STATUS_GENERATION_SHIFT);
    *status |= card->reg[REG_RSS_CTRL / 4] & RSS_CTRL_ENABLE_MASK ? RSS_STATUS_ACTIVE_MASK : 0;
}

/* ---- words of BAR0 ---- */

static uint32_t word_read(struct fuzz_world *w, uint32_t offset)
{
    struct fuzz_card *card = &w->card;
    const uint32_t stored = card->reg[offset / 4];
    if (offset >= QP_FIRST && offset < QP_LAST) {
        return fuzz_ring_read(w, (offset - QP_FIRST) / REG_QP_STRIDE, (offset - QP_FIRST) % REG_QP_STRIDE,
                              stored);
    }
    switch (offset) {
    case REG_GLB_STATUS:
        return STATUS_IDLE | (card->link_mbps ? GLB_STATUS_LINK_UP_MASK : 0);
    case REG_GLB_SPEED:
        return card->link_mbps;
    case REG_GLB_TIME:
        return (uint32_t)w->cpu.now_ns;
    case REG_GLB_TIME + 4:
        return (uint32_t)(w->cpu.now_ns >> 32);
    case REG_INT_CAUSE_PEEK:
        return (uint32_t)card->cause;
    case REG_INT_CAUSE: {
        const uint32_t cause = (uint32_t)card->cause;
        card->cause = 0;
        return cause;
    }
    default:
        return stored;
    }
}

/* Constants, counters and results: writes change nothing. */
static bool is_read_only(uint32_t offset)
{
    for (uint32_t i = 0; i < sizeof power_on / sizeof power_on[0]; i++) {
        if (power_on[i].offset == offset) {
            return offset != REG_MAC_RX_MAX && offset != REG_MAC_ADDR && offset != REG_MAC_ADDR + 4
                   && offset != REG_MAC_TX_CTRL;
        }
    }
    return (offset >= REG_STAT_RX_UNICAST_FRAMES && offset < REG_QPS_TYPE) || offset == REG_GLB_STATUS
           || offset == REG_GLB_SPEED || offset == REG_RSS_STATUS || offset == REG_TEST_DMA_STATUS;
}

static void control_write(struct fuzz_world *w, uint32_t value)
{
    w->card.reg[REG_GLB_CTRL / 4] = value & GLB_CTRL_LOOPBACK_MASK;
    if (value & GLB_CTRL_RESET_MASK) {
        registers_reset(&w->card);
    }
}

static void word_write(struct fuzz_world *w, uint32_t offset, uint32_t value)
{
    uint32_t *reg = &w->card.reg[offset / 4];
    if (offset >= QP_FIRST && offset < QP_LAST) {
        *reg = value;
        fuzz_ring_write(w, (offset - QP_FIRST) / REG_QP_STRIDE, (offset - QP_FIRST) % REG_QP_STRIDE, value);
        return;
    }
    switch (offset) {
    case REG_GLB_CTRL:
        control_write(w, value);
        return;
    case REG_GLB_EVENT:
        *reg &= ~value;
        return;
    case REG_TEST_FIRE:
        fuzz_card_cause(w, value);
        return;
    case REG_TEST_DMA_CMD:
        test_command(w, value);
        return;
    case REG_RSS_COMMIT:
        if (value & RSS_COMMIT_GO_MASK) {
            rss_commit(&w->card);
        }
        return;
    default:
        *reg = is_read_only(offset) ? *reg : value;
    }
    if (offset == REG_GLB_EVENT_ENABLE) {
        fuzz_card_event(w, 0);
    }
    fuzz_card_raise(w);
}

/* ---- accesses ---- */

static void access_count(struct fuzz_world *w)
{
    FUZZ_REQUIRE(++w->accesses <= FUZZ_ACCESSES_MOST, "FUZ-54",
                 "%u register accesses in one act: the driver spins", FUZZ_ACCESSES_MOST);
}

static bool is_width(unsigned width)
{
    return width == 1 || width == 2 || width == 4 || width == 8;
}

static uint64_t ones(unsigned width)
{
    return width >= 8 ? UINT64_MAX : (1ull << 8 * width) - 1;
}

static uint32_t bar_word(struct fuzz_world *w, unsigned bar, uint32_t offset)
{
    if (bar == 2) {
        return offset / 4 < FUZZ_CONFIG_WORDS ? w->card.table[offset / 4] : 0;
    }
    const uint32_t truth = offset < REG_MAP_BYTES ? word_read(w, offset) : 0;
    return fuzz_trick_answer(&w->card, offset, truth);
}

uint64_t fuzz_card_read(struct fuzz_world *w, unsigned bar, uint64_t offset, unsigned width)
{
    const uint64_t size = bar == 0 ? BAR0_BYTES : bar == 2 ? BAR2_BYTES : 0;
    access_count(w);
    FUZZ_REQUIRE(is_width(width), "DRV-12", "a read of %u bytes", width);
    if (!fuzz_card_is_enabled(w) || offset >= size || width > size - offset) {
        return ones(width);
    }
    const uint32_t first = (uint32_t)offset & ~3u, shift = 8 * ((uint32_t)offset & 3);
    uint64_t value = bar_word(w, bar, first);
    if (shift + 8 * width > 32) {
        value |= (uint64_t)bar_word(w, bar, first + 4) << 32;
    }
    return value >> shift & ones(width);
}

static void bar_write(struct fuzz_world *w, unsigned bar, uint32_t offset, uint32_t value, uint32_t mask)
{
    if (bar == 2) {
        if (offset / 4 < FUZZ_CONFIG_WORDS) {
            w->card.table[offset / 4] = (w->card.table[offset / 4] & ~mask) | (value & mask);
        }
    } else if (offset < REG_MAP_BYTES && fuzz_trick_hears(&w->card, offset)) {
        const uint32_t rest = mask == UINT32_MAX ? 0 : w->card.reg[offset / 4] & ~mask;
        word_write(w, offset, rest | (value & mask));
    }
}

void fuzz_card_write(struct fuzz_world *w, unsigned bar, uint64_t offset, unsigned width, uint64_t value)
{
    const uint64_t size = bar == 0 ? BAR0_BYTES : bar == 2 ? BAR2_BYTES : 0;
    access_count(w);
    FUZZ_REQUIRE(is_width(width), "DRV-12", "a write of %u bytes", width);
    FUZZ_REQUIRE((value & ~ones(width)) == 0, "DRV-12", "a value is written that does not fit %u bytes",
                 width);
    if (!fuzz_card_is_enabled(w) || offset >= size || width > size - offset) {
        return;
    }
    const uint32_t first = (uint32_t)offset & ~3u, shift = 8 * ((uint32_t)offset & 3);
    const uint64_t mask = ones(width);
    bar_write(w, bar, first, (uint32_t)(value << shift), (uint32_t)(mask << shift));
    if (shift + 8 * width > 32) {
        bar_write(w, bar, first + 4, (uint32_t)(value >> (32 - shift)), (uint32_t)(mask >> (32 - shift)));
    }
}

uint32_t fuzz_card_config_read(struct fuzz_world *w, uint32_t offset, unsigned width)
{
    access_count(w);
    FUZZ_REQUIRE(is_width(width) && width < 8, "DRV-12", "a configuration read of %u bytes", width);
    if (w->card.is_gone || offset > 4096 - width) {
        return (uint32_t)ones(width);
    }
    if (offset / 4 >= FUZZ_CONFIG_WORDS) {
        return 0;
    }
    return w->card.config[offset / 4] >> 8 * (offset & 3) & (uint32_t)ones(width);
}

void fuzz_card_config_write(struct fuzz_world *w, uint32_t offset, unsigned width, uint32_t value)
{
    access_count(w);
    FUZZ_REQUIRE(is_width(width) && width < 8, "DRV-12", "a configuration write of %u bytes", width);
    if (w->card.is_gone || offset / 4 != CONFIG_COMMAND / 4) {
        return; /* the command register only: what else there is, the machine has set */
    }
    const uint32_t mask = (uint32_t)(ones(width) << 8 * (offset & 3)) & 0x0000FFFFu;
    uint32_t *word = &w->card.config[CONFIG_COMMAND / 4];
    *word = (*word & ~mask) | (value << 8 * (offset & 3) & mask);
}
