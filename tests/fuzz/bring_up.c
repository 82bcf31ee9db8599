/* bring_up.c: a card from any state to running, by spec/programming.md, and tests that show that it runs. */
#include "gen/descriptors.h"
#include "gen/msix_table.h"
#include "gen/pci_config.h"
#include "gen/vnic_bar0.h"
#include "world.h"

#define PAIRS 2u
#define RING_COUNT 64u
#define BUF_LEN 512u
#define HDR_LEN 64u
#define PAIR_BYTES 0x10000u
#define RX_RING(p) (WORLD_RAM + (p) * PAIR_BYTES)
#define TX_RING(p) (RX_RING(p) + 0x1000u)
#define CQ_RING(p) (RX_RING(p) + 0x2000u)
#define HEADERS(p) (RX_RING(p) + 0x3000u)
#define BUFFERS(p) (RX_RING(p) + 0x4000u)
#define FRAME_TCP (WORLD_RAM + 0x20000u)
#define FRAME_UDP (WORLD_RAM + 0x21000u)
#define PAYLOAD (WORLD_RAM + 0x24000u)
#define SCRATCH (WORLD_RAM + 0x3E000u)
#define TCP_BYTES 1054u
#define UDP_BYTES 562u
#define TCP_HEADERS 54u
#define MESSAGE_ADDR 0xFEE00000u
#define MESSAGE_DATA 0x40u
#define EVENT_VECTOR (WORLD_VECTORS - 1)
#define LINK_MBPS 10000u
#define FRAME_LONGEST 9728u
#define BLOCK 8u /* transmit descriptors that the ring is filled with again and again */

static const uint8_t tcp_headers[TCP_HEADERS] = {
    0x02, 0,    0,    0,    0,    0x01, 0x02, 0, 0,  0, 0, 0x99, 0x08, 0x00, /* Ethernet */
    0x45, 0,    0x04, 0x10, 0x12, 0x34, 0x40, 0, 64, 6, 0, 0,    10,   0,
    0,    1,    10,   0,    0,    2, /* IPv4 */
    0x30, 0x39, 0,    80,   0,    0,    0,    1, 0,  0, 0, 2,    0x50, 0x18,
    0xFF, 0xFF, 0,    0,    0,    0, /* TCP */
};
static const uint8_t udp_headers[] = {
    0x02, 0, 0, 0, 0,    0x01, 0x02, 0,  0, 0, 0, 0x99, 0x86, 0xDD, /* Ethernet */
    0x60, 0, 0, 0, 0x01, 0xFC, 17,   64, /* IPv6 */
    0xFD, 0, 0, 0, 0,    0,    0,    0,  0, 0, 0, 0,    0,    0,    0,    1,    0xFD, 0,    0, 0,
    0,    0, 0, 0, 0,    0,    0,    0,  0, 0, 0, 2,    0x13, 0x88, 0x13, 0x89, 0x01, 0xFC, 0, 0, /* UDP */
};

/* ---- operations ---- */

static void put(struct oplang_program *p, uint32_t offset, uint64_t value, uint8_t width)
{
    (void)oplang_append(
        p, (struct vnic_op){.code = VNIC_OP_WRITE, .width = width, .addr = offset, .value = value}, NULL, 0);
}

static void put_pair(struct oplang_program *p, unsigned pair, uint32_t offset, uint64_t value, uint8_t width)
{
    put(p, offset + pair * REG_QP_STRIDE, value, width);
}

static void put_table(struct oplang_program *p, uint32_t offset, uint32_t value)
{
    (void)oplang_append(
        p, (struct vnic_op){.code = VNIC_OP_WRITE, .index = 2, .width = 4, .addr = offset, .value = value},
        NULL, 0);
}

static void configure(struct oplang_program *p, uint32_t offset, uint32_t value)
{
    (void)oplang_append(
        p, (struct vnic_op){.code = VNIC_OP_CFG_WRITE, .width = 4, .addr = offset, .value = value}, NULL, 0);
}

static void fill(struct oplang_program *p, uint64_t addr, uint8_t stride, uint64_t count, uint8_t rise,
                 const void *data, uint32_t len)
{
    struct vnic_op op = {.code = OPLANG_FILL, .index = rise, .width = stride, .addr = addr, .value = count};
    (void)oplang_append(p, op, data, len);
}

static void poke(struct oplang_program *p, uint64_t addr, const void *data, uint32_t len)
{
    (void)oplang_append(p, (struct vnic_op){.code = OPLANG_POKE, .addr = addr}, data, len);
}

/* ---- memory ---- */

static void frame_append(struct oplang_program *p, uint64_t addr, const uint8_t *headers,
                         uint32_t headers_len, uint32_t len)
{
    uint8_t frame[TCP_BYTES];
    memcpy(frame, headers, headers_len);
    for (uint32_t i = headers_len; i < len; i++) {
        frame[i] = (uint8_t)i;
    }
    poke(p, addr, frame, len);
}

static void data_set(uint64_t desc[TX_DATA_WORDS], uint64_t addr, uint32_t len, bool is_end, bool is_reported)
{
    desc[0] = desc[1] = 0;
    tx_data_set_addr(desc, addr);
    tx_data_set_len(desc, len);
    tx_data_set_type(desc, DESC_TYPE_DATA);
    tx_data_set_eop(desc, is_end);
    tx_data_set_rs(desc, is_reported);
}

static void context_set(uint64_t desc[TX_CONTEXT_WORDS], uint32_t mss)
{
    desc[0] = desc[1] = 0;
    tx_context_set_type(desc, DESC_TYPE_CONTEXT);
    tx_context_set_l3_offset(desc, 14);
    tx_context_set_l4_offset(desc, 34);
    tx_context_set_ip_csum(desc, mss == 0);
    tx_context_set_l4_csum(desc, mss == 0);
    tx_context_set_lso(desc, mss != 0);
    tx_context_set_mss(desc, mss);
    tx_context_set_hdr_len(desc, mss != 0 ? TCP_HEADERS : 0);
    tx_context_set_vlan_insert(desc, mss != 0);
    tx_context_set_vlan_tci(desc, mss != 0 ? 5 : 0);
}

/* Two plain frames, one with checksums in two pieces, one large send. */
static void transmit_append(struct oplang_program *p, unsigned pair)
{
    uint64_t desc[BLOCK][TX_DATA_WORDS];
    data_set(desc[0], FRAME_TCP, TCP_BYTES, true, true);
    data_set(desc[1], FRAME_UDP, UDP_BYTES, true, false);
    context_set(desc[2], 0);
    data_set(desc[3], FRAME_TCP, 100, false, false);
    data_set(desc[4], FRAME_TCP + 100, TCP_BYTES - 100, true, true);
    context_set(desc[5], 500);
    data_set(desc[6], FRAME_TCP, TCP_HEADERS, false, false);
    data_set(desc[7], PAYLOAD, 2500, true, true);
    fill(p, TX_RING(pair), sizeof desc, RING_COUNT / BLOCK, 64, desc, sizeof desc);
}

static void memory_append(struct oplang_program *p)
{
    uint8_t ramp[128], zero[128] = {0};
    for (uint32_t i = 0; i < sizeof ramp; i++) {
        ramp[i] = (uint8_t)(i * 7);
    }
    frame_append(p, FRAME_TCP, tcp_headers, sizeof tcp_headers, TCP_BYTES);
    frame_append(p, FRAME_UDP, udp_headers, sizeof udp_headers, UDP_BYTES);
    fill(p, PAYLOAD, sizeof ramp, 512, 0, ramp, sizeof ramp);
    for (unsigned i = 0; i < PAIRS; i++) {
        const uint64_t desc[RX_DESC_WORDS] = {BUFFERS(i), HEADERS(i)};
        fill(p, RX_RING(i), sizeof desc, RING_COUNT, 9, desc, sizeof desc);
        fill(p, CQ_RING(i), sizeof zero, RING_COUNT / 4, 64, zero, sizeof zero);
        transmit_append(p, i);
    }
}

/* ---- registers ---- */

/* PROG-1, PROG-6. */
static void function_append(struct oplang_program *p)
{
    configure(p, CFG_PM_CTRL, 0);
    configure(p, CFG_BAR, (uint32_t)WORLD_BAR0);
    configure(p, CFG_BAR + 4, 0);
    configure(p, CFG_BAR + 8, (uint32_t)WORLD_BAR2);
    configure(p, CFG_BAR + 12, 0);
    configure(p, CFG_COMMAND, COMMAND_MEMORY_MASK | COMMAND_MASTER_MASK);
    for (uint32_t v = 0; v < WORLD_VECTORS; v++) {
        put_table(p, MSIX_ENTRY_ADDR_LO + v * MSIX_ENTRY_STRIDE, MESSAGE_ADDR);
        put_table(p, MSIX_ENTRY_ADDR_HI + v * MSIX_ENTRY_STRIDE, 0);
        put_table(p, MSIX_ENTRY_DATA + v * MSIX_ENTRY_STRIDE, MESSAGE_DATA + v);
        put_table(p, MSIX_ENTRY_CTRL + v * MSIX_ENTRY_STRIDE, 0);
    }
    configure(p, CFG_MSIX_CTRL, MSIX_CTRL_ENABLE_MASK);
}

/* PROG-7. */
static void vectors_append(struct oplang_program *p)
{
    for (uint32_t v = 0; v < WORLD_VECTORS; v++) {
        put(p, REG_VEC_INTERVAL + v * REG_VEC_STRIDE, 0, 4);
        put(p, REG_VEC_CTRL + v * REG_VEC_STRIDE, VEC_CTRL_ENABLE_MASK, 4);
    }
    put(p, REG_GLB_EVENT_VECTOR, EVENT_VECTOR, 4);
    put(p, REG_GLB_EVENT, UINT32_MAX, 4);
    put(p, REG_GLB_EVENT_ENABLE, UINT32_MAX, 4);
    put(p, REG_INT_CTRL, INT_CTRL_MASTER_ENABLE_MASK, 4);
}

/* PROG-18: two entries, for pairs 0 and 1. */
static void scale_append(struct oplang_program *p)
{
    put(p, REG_RSS_TYPES, UINT32_MAX, 4);
    for (uint32_t i = 0; i < 40; i += 8) {
        put(p, REG_RSS_KEY + i, 0x6D5A56DA255B0EC2ull + i, 8);
    }
    put(p, REG_RSS_TABLE, 0x0100, 4);
    put(p, REG_RSS_CTRL, RSS_CTRL_ENABLE_MASK | 1u << RSS_CTRL_TABLE_LOG2_SHIFT, 4);
    put(p, REG_RSS_COMMIT, RSS_COMMIT_GO_MASK, 4);
}

/* PROG-8 to PROG-10. */
static void pair_append(struct oplang_program *p, unsigned pair)
{
    put_pair(p, pair, REG_QP_CQ_BASE, CQ_RING(pair), 8);
    put_pair(p, pair, REG_QP_CQ_COUNT, RING_COUNT, 4);
    put_pair(p, pair, REG_QP_CQ_VECTOR, pair, 4);
    put_pair(p, pair, REG_QP_CQ_CTRL, QP_CQ_CTRL_ENABLE_MASK, 4);
    put_pair(p, pair, REG_QP_CQ_TAIL, RING_COUNT - 1, 4);
    put_pair(p, pair, REG_QP_RX_BASE, RX_RING(pair), 8);
    put_pair(p, pair, REG_QP_RX_COUNT, RING_COUNT, 4);
    put_pair(p, pair, REG_QP_RX_BUF_LEN, BUF_LEN, 4);
    put_pair(p, pair, REG_QP_RX_HDR_LEN, HDR_LEN, 4);
    put_pair(p, pair, REG_QP_RX_CTRL, QP_RX_CTRL_ENABLE_MASK, 4);
    put_pair(p, pair, REG_QP_RX_TAIL, RING_COUNT - 16, 4);
    put_pair(p, pair, REG_QP_TX_BASE, TX_RING(pair), 8);
    put_pair(p, pair, REG_QP_TX_COUNT, RING_COUNT, 4);
    put_pair(p, pair, REG_QP_TX_CTRL, QP_TX_CTRL_ENABLE_MASK, 4);
}

void bring_up_append(struct oplang_program *p)
{
    memory_append(p);
    (void)oplang_append(p, (struct vnic_op){.code = VNIC_OP_LINK, .value = LINK_MBPS}, NULL, 0);
    function_append(p);
    vectors_append(p);
    put(p, REG_GLB_CTRL, 0, 4);
    scale_append(p);
    put(p, REG_MAC_ADDR, 0x010000000002ull, 8);
    put(p, REG_MAC_RX_MAX, FRAME_LONGEST, 4);
    for (unsigned i = 0; i < PAIRS; i++) {
        pair_append(p, i);
    }
    put(p, REG_MAC_TX_CTRL, MAC_TX_CTRL_ENABLE_MASK | MAC_TX_CTRL_PAD_MASK, 4);
    put(p, REG_MAC_RX_CTRL, MAC_RX_CTRL_ENABLE_MASK | MAC_RX_CTRL_PROMISCUOUS_MASK | MAC_RX_CTRL_CSUM_MASK,
        4);
}

/* ---- tests of a card that was brought up ---- */

static uint32_t get(struct world *w, uint32_t offset)
{
    return (uint32_t)vnic_read(w->card, 0, offset, 4);
}

static void set(struct world *w, uint32_t offset, uint32_t value)
{
    vnic_write(w->card, 0, offset, 4, value);
}

static bool test_echo(struct world *w)
{
    set(w, REG_TEST_ECHO, 0x12345678);
    return get(w, REG_TEST_ECHO) == 2 * 0x12345678u;
}

static bool test_fire(struct world *w)
{
    struct vnic_interrupt message[8];
    bool is_seen = false;
    while (vnic_interrupts(w->card, message, 8) > 0) {
    }
    set(w, REG_TEST_FIRE, EVENT_VECTOR);
    if (!world_settle(w, WORLD_RUN_MAX)) {
        return false;
    }
    for (size_t n = vnic_interrupts(w->card, message, 8); n > 0; n--) {
        is_seen = is_seen
                  || (message[n - 1].kind == VNIC_MSIX && message[n - 1].addr == MESSAGE_ADDR
                      && message[n - 1].data == MESSAGE_DATA + EVENT_VECTOR);
    }
    return is_seen;
}

static bool test_one_dma(struct world *w, enum test_op op, uint64_t dst, uint64_t src, uint8_t expected)
{
    vnic_write(w->card, 0, REG_TEST_DMA_DST, 8, dst);
    vnic_write(w->card, 0, REG_TEST_DMA_SRC, 8, src);
    set(w, REG_TEST_DMA_LEN, 100);
    set(w, REG_TEST_DMA_PATTERN, 0x5A5A5A5A);
    set(w, REG_TEST_DMA_CMD, TEST_DMA_CMD_GO_MASK | (uint32_t)op << TEST_DMA_CMD_OP_SHIFT);
    const uint8_t *at = world_memory(w, dst, 101);
    bool is_done = world_settle(w, WORLD_RUN_MAX)
                   && get(w, REG_TEST_DMA_STATUS) == (uint32_t)TEST_RESULT_OK << TEST_DMA_STATUS_RESULT_SHIFT;
    return is_done && at[0] == expected && at[99] == expected && at[100] == 0;
}

static bool test_dma(struct world *w)
{
    memset(world_memory(w, SCRATCH, 0x1000), 0, 0x1000);
    return test_one_dma(w, TEST_OP_FILL, SCRATCH, 0, 0x5A)
           && test_one_dma(w, TEST_OP_COPY, SCRATCH + 0x800, SCRATCH, 0x5A)
           && test_one_dma(w, TEST_OP_INVERT, SCRATCH, 0, 0xA5);
}

/* The plain TCP frame of the ring's first descriptor, in three buffers of the pair that its hash chose. */
static bool test_loop(struct world *w)
{
    const uint8_t *frame = world_memory(w, FRAME_TCP, TCP_BYTES);
    set(w, REG_GLB_CTRL, GLB_CTRL_LOOPBACK_MASK);
    set(w, REG_QP_TX_TAIL, 1);
    bool is_settled = world_settle(w, WORLD_RUN_MAX);
    set(w, REG_GLB_CTRL, 0);
    for (unsigned pair = 0; is_settled && pair < PAIRS; pair++) {
        if (get(w, REG_QP_RX_HEAD + pair * REG_QP_STRIDE) == 3) {
            return memcmp(world_memory(w, BUFFERS(pair), TCP_BYTES), frame, TCP_BYTES) == 0
                   && get(w, REG_QP_TX_HEAD) == 1;
        }
    }
    return false;
}

const char *bring_up_test(struct world *w)
{
    if (!test_echo(w)) {
        return "ECHO failed after the bring-up";
    }
    if (!test_fire(w)) {
        return "FIRE failed after the bring-up";
    }
    if (!test_dma(w)) {
        return "bring-up DMA failed";
    }
    return test_loop(w) ? NULL : "a frame looped back did not arrive";
}

/* ---- resets ---- */

static void make_reachable(struct world *w)
{
    vnic_insert(w->card);
    vnic_cfg_write(w->card, CFG_PM_CTRL, 4, 0);
    vnic_cfg_write(w->card, CFG_COMMAND, 4, COMMAND_MEMORY_MASK | COMMAND_MASTER_MASK);
}

/* Work goes on until there is none, and every moderation interval ends. */
static const char *reset_queues(struct world *w)
{
    uint64_t now = vnic_now(w->card);
    make_reachable(w);
    vnic_write(w->card, 0, REG_MAC_RX_CTRL, 4, 0);
    for (uint32_t pair = 0; pair < WORLD_PAIRS; pair++) {
        set(w, REG_QP_CQ_CTRL + pair * REG_QP_STRIDE, QP_CQ_CTRL_RESET_MASK);
    }
    for (uint32_t v = 0; v < WORLD_VECTORS; v++) {
        set(w, REG_VEC_INTERVAL + v * REG_VEC_STRIDE, 0);
    }
    (void)vnic_advance(w->card, now > UINT64_MAX - UINT32_MAX ? UINT64_MAX : now + UINT32_MAX);
    return world_settle(w, 64 * WORLD_RUN_MAX) ? NULL
                                               : "the card did not come to rest before its queues were reset";
}

const char *bring_up_reset(struct world *w, enum bring_up_level level)
{
    switch (level) {
    case LEVEL_DEVICE:
        make_reachable(w);
        set(w, REG_GLB_CTRL, GLB_CTRL_RESET_MASK);
        break;
    case LEVEL_QUEUE:
        return reset_queues(w);
    case LEVEL_FLR:
        vnic_insert(w->card);
        vnic_cfg_write(w->card, CFG_PM_CTRL, 4, 0);
        vnic_cfg_write(w->card, CFG_DEVCTL, 4, DEVCTL_FLR_MASK);
        break;
    case LEVEL_D3:
        vnic_insert(w->card);
        vnic_cfg_write(w->card, CFG_PM_CTRL, 4, 3);
        vnic_cfg_write(w->card, CFG_PM_CTRL, 4, 0);
        break;
    case LEVEL_HOT:
        vnic_insert(w->card);
        vnic_reset(w->card, VNIC_RESET_HOT);
        break;
    case LEVEL_POWER:
        vnic_insert(w->card);
        vnic_reset(w->card, VNIC_RESET_POWER);
        break;
    case LEVEL_REMOVE:
    case LEVELS:
        vnic_remove(w->card);
        vnic_insert(w->card);
        break;
    }
    return NULL;
}
