/* The polling driver: the numbered steps of the programming chapter, then rings and doorbells. */
#include "poll_driver.h"

#include <string.h>

#include "gen/descriptors.h"
#include "gen/pci_config.h"
#include "gen/vnic_bar0.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "descriptors are little-endian words, and this driver writes them as its own"
#endif

enum { RESET_POLLS = 1000, POLL_NS = 1000, BLOCKS_MAX = 64, TABLE_LOG2 = 7 };

static const uint8_t rss_key[40] = {
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
    0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
    0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

static uint32_t reg_read(const struct driver *d, uint32_t offset)
{
    return (uint32_t)d->bus.ops->read(d->bus.opaque, 0, offset, 4);
}

static void reg_write(const struct driver *d, uint32_t offset, uint32_t value)
{
    d->bus.ops->write(d->bus.opaque, 0, offset, 4, value);
}

static void reg_write64(const struct driver *d, uint32_t offset, uint64_t value)
{
    d->bus.ops->write(d->bus.opaque, 0, offset, 8, value);
}

/* The registers of a queue pair, by the name of the first pair's. */
static uint32_t queue_reg(const struct driver_queue *q, uint32_t offset)
{
    return q->base + (offset - REG_QP_RX_BASE);
}

static bool memory_get(const struct driver *d, struct driver_memory *m, size_t len)
{
    m->len = len;
    m->words = d->bus.ops->alloc_coherent(d->bus.opaque, len, &m->addr);
    return m->words != NULL;
}

static void memory_put(const struct driver *d, struct driver_memory *m)
{
    if (m->words) {
        d->bus.ops->free_coherent(d->bus.opaque, m->words, m->len, m->addr);
    }
    m->words = NULL;
}

static void function_enable(const struct driver *d)
{
    uint32_t command = d->bus.ops->config_read(d->bus.opaque, CFG_COMMAND, 2);

    d->bus.ops->config_write(d->bus.opaque, CFG_COMMAND, 2,
                             command | COMMAND_MEMORY_MASK | COMMAND_MASTER_MASK);
}

/* The offset of the first block of a type, by walking the list that starts at 0; UINT32_MAX when there is none. */
static uint32_t block_find(const struct driver *d, uint32_t type)
{
    uint32_t block = 0;

    for (unsigned i = 0; i < BLOCKS_MAX; i++) {
        if (reg_read(d, block + REG_GLB_TYPE) == type) {
            return block;
        }
        block = reg_read(d, block + REG_GLB_NEXT);
        if (!block || block >= REG_MAP_BYTES) {
            break;
        }
    }
    return UINT32_MAX;
}

/* This driver knows one layout, and makes sure that it is the card's. */
static bool is_layout_known(const struct driver *d)
{
    return block_find(d, BLOCK_TYPE_GLOBAL) == REG_GLB_TYPE && block_find(d, BLOCK_TYPE_MAC) == REG_MAC_TYPE
           && block_find(d, BLOCK_TYPE_RSS) == REG_RSS_TYPE
           && block_find(d, BLOCK_TYPE_QUEUE) == REG_QPS_TYPE;
}

static bool card_reset(const struct driver *d)
{
    reg_write(d, REG_GLB_CTRL, GLB_CTRL_RESET_MASK);
    for (unsigned i = 0; i < RESET_POLLS; i++) {
        if (reg_read(d, REG_GLB_STATUS) & GLB_STATUS_IDLE_MASK) {
            return true;
        }
        d->bus.ops->delay_ns(d->bus.opaque, POLL_NS);
    }
    return false;
}

static void buffer_post(const struct driver_queue *q, uint32_t index)
{
    uint64_t *w = q->rx.words + index * RX_DESC_WORDS;

    w[0] = q->buffers.addr + (uint64_t)index * DRIVER_BUFFER_STRIDE;
    w[1] = 0;
}

/* The completion ring comes first: a ring without one does not start. */
static bool queue_start(const struct driver *d, struct driver_queue *q)
{
    reg_write64(d, queue_reg(q, REG_QP_CQ_BASE), q->cq.addr);
    reg_write(d, queue_reg(q, REG_QP_CQ_COUNT), DRIVER_CQ_COUNT);
    reg_write(d, queue_reg(q, REG_QP_CQ_VECTOR), 0);
    reg_write(d, queue_reg(q, REG_QP_CQ_CTRL), QP_CQ_CTRL_ENABLE_MASK);
    reg_write64(d, queue_reg(q, REG_QP_RX_BASE), q->rx.addr);
    reg_write(d, queue_reg(q, REG_QP_RX_COUNT), DRIVER_RX_COUNT);
    reg_write(d, queue_reg(q, REG_QP_RX_BUF_LEN), DRIVER_BUFFER_BYTES);
    reg_write(d, queue_reg(q, REG_QP_RX_CTRL), QP_RX_CTRL_ENABLE_MASK);
    reg_write64(d, queue_reg(q, REG_QP_TX_BASE), q->tx.addr);
    reg_write(d, queue_reg(q, REG_QP_TX_COUNT), DRIVER_TX_COUNT);
    reg_write(d, queue_reg(q, REG_QP_TX_CTRL), QP_TX_CTRL_ENABLE_MASK);
    return reg_read(d, queue_reg(q, REG_QP_CQ_STATUS)) & QP_CQ_STATUS_RUNNING_MASK
           && reg_read(d, queue_reg(q, REG_QP_RX_STATUS)) & QP_RX_STATUS_RUNNING_MASK
           && reg_read(d, queue_reg(q, REG_QP_TX_STATUS)) & QP_TX_STATUS_RUNNING_MASK;
}

static bool queue_allocate(const struct driver *d, struct driver_queue *q)
{
    return memory_get(d, &q->cq, DRIVER_CQ_COUNT * (size_t)RX_COMPLETION_BYTES)
           && memory_get(d, &q->rx, DRIVER_RX_COUNT * (size_t)RX_DESC_BYTES)
           && memory_get(d, &q->tx, DRIVER_TX_COUNT * (size_t)TX_DATA_BYTES)
           && memory_get(d, &q->buffers, DRIVER_RX_COUNT * (size_t)DRIVER_BUFFER_STRIDE);
}

/* Gives the card every slot but one: equal indices would say that it owns none. */
static void slots_return(const struct driver *d, const struct driver_queue *q)
{
    reg_write(d, queue_reg(q, REG_QP_CQ_TAIL), (q->cq_next - 1) % DRIVER_CQ_COUNT);
}

static bool queue_open(const struct driver *d, struct driver_queue *q, unsigned number)
{
    q->base = REG_QP_RX_BASE + number * REG_QP_STRIDE;
    q->generation = 1;
    if (!queue_allocate(d, q) || !queue_start(d, q)) {
        return false;
    }
    for (uint32_t i = 0; i < DRIVER_RX_COUNT; i++) {
        buffer_post(q, i);
    }
    q->rx_tail = DRIVER_RX_COUNT - 1;
    slots_return(d, q);
    reg_write(d, queue_reg(q, REG_QP_RX_TAIL), q->rx_tail);
    return true;
}

/* Spreads all flows over all queues by the addresses and ports. */
static bool rss_commit(const struct driver *d)
{
    for (uint32_t i = 0; i < REG_RSS_KEY_COUNT; i++) {
        uint32_t octets;

        memcpy(&octets, rss_key + 4 * i, sizeof octets);
        reg_write(d, REG_RSS_KEY + i * REG_RSS_KEY_STRIDE, octets);
    }
    for (uint32_t i = 0; i < REG_RSS_TABLE_COUNT; i++) {
        uint32_t word = 0;

        for (uint32_t k = 0; k < 4; k++) {
            word |= (4 * i + k) % d->queues << 8 * k;
        }
        reg_write(d, REG_RSS_TABLE + i * REG_RSS_TABLE_STRIDE, word);
    }
    reg_write(d, REG_RSS_TYPES, RSS_TYPES_IPV4_MASK | RSS_TYPES_TCP_IPV4_MASK);
    reg_write(d, REG_RSS_CTRL, RSS_CTRL_ENABLE_MASK | TABLE_LOG2 << RSS_CTRL_TABLE_LOG2_SHIFT);
    reg_write(d, REG_RSS_COMMIT, RSS_COMMIT_GO_MASK);
    d->bus.ops->delay_ns(d->bus.opaque, POLL_NS);
    return reg_read(d, REG_RSS_STATUS) & RSS_STATUS_ACTIVE_MASK;
}

static void mac_enable(const struct driver *d)
{
    reg_write(d, REG_GLB_CTRL, GLB_CTRL_LOOPBACK_MASK);
    reg_write(d, REG_MAC_RX_CTRL,
              MAC_RX_CTRL_ENABLE_MASK | MAC_RX_CTRL_PROMISCUOUS_MASK | MAC_RX_CTRL_CSUM_MASK);
    reg_write(d, REG_MAC_TX_CTRL, MAC_TX_CTRL_ENABLE_MASK);
}

const char *driver_initialize(struct driver *driver, const struct vnic_bus *bus, unsigned queues,
                              bool inserts_csum)
{
    *driver = (struct driver){.bus = *bus, .queues = queues, .inserts_csum = inserts_csum};
    function_enable(driver);
    if (!is_layout_known(driver)) {
        return "the register blocks are not where this driver knows them";
    }
    if (!card_reset(driver)) {
        return "the card does not come to rest after reset";
    }
    if (queues > DRIVER_QUEUES_MAX || queues > (reg_read(driver, REG_GLB_CAPS) & GLB_CAPS_QUEUE_PAIRS_MASK)) {
        return "the card has fewer queue pairs";
    }
    for (unsigned i = 0; i < queues; i++) {
        if (!queue_open(driver, &driver->queue[i], i)) {
            return "a queue pair does not start";
        }
    }
    if (!rss_commit(driver)) {
        return "the receive-side scaling configuration is refused";
    }
    mac_enable(driver);
    return NULL;
}

void driver_halt(struct driver *driver)
{
    reg_write(driver, REG_GLB_CTRL, GLB_CTRL_RESET_MASK);
    for (unsigned i = 0; i < driver->queues; i++) {
        struct driver_queue *q = &driver->queue[i];

        memory_put(driver, &q->cq);
        memory_put(driver, &q->rx);
        memory_put(driver, &q->tx);
        memory_put(driver, &q->buffers);
    }
    driver->bus.ops->config_write(driver->bus.opaque, CFG_COMMAND, 2, 0);
}

static uint64_t *tx_slot(const struct driver_queue *q, uint32_t tail)
{
    return q->tx.words + (tail % DRIVER_TX_COUNT) * TX_DATA_WORDS;
}

static const uint64_t context_w0 = 14u << TX_CONTEXT_L3_OFFSET_SHIFT | 34u << TX_CONTEXT_L4_OFFSET_SHIFT;
static const uint64_t context_w1 =
    (uint64_t)DESC_TYPE_CONTEXT << TX_CONTEXT_TYPE_SHIFT | TX_CONTEXT_IP_CSUM_MASK | TX_CONTEXT_L4_CSUM_MASK;

/* The last frame of a burst asks for the completion that gives the whole burst's descriptors back. */
static uint32_t frame_post(const struct driver *d, const struct driver_queue *q, uint32_t tail,
                           const struct driver_frame *frame, bool is_last)
{
    uint64_t *w;

    if (d->inserts_csum) {
        w = tx_slot(q, tail++);
        w[0] = context_w0;
        w[1] = context_w1;
    }
    w = tx_slot(q, tail++);
    w[0] = frame->addr;
    w[1] = frame->len | (uint64_t)DESC_TYPE_DATA << TX_DATA_TYPE_SHIFT | TX_DATA_EOP_MASK
           | (is_last ? TX_DATA_RS_MASK : 0);
    return tail;
}

unsigned driver_send(struct driver *driver, unsigned queue, const struct driver_frame frame[], unsigned count)
{
    struct driver_queue *q = &driver->queue[queue];
    uint32_t room = DRIVER_TX_COUNT - 1 - (q->tx_tail - q->tx_head) % DRIVER_TX_COUNT;
    uint32_t tail = q->tx_tail;

    if (driver->inserts_csum) {
        room /= 2;
    }
    if (count > room) {
        count = room;
    }
    if (!count) {
        return 0;
    }
    for (unsigned i = 0; i < count; i++) {
        tail = frame_post(driver, q, tail, &frame[i], i + 1 == count);
    }
    q->tx_tail = tail % DRIVER_TX_COUNT;
    reg_write(driver, queue_reg(q, REG_QP_TX_TAIL), q->tx_tail);
    return count;
}

/* A harness that measures must see that the work was done: length, hash, checksums, and a byte of the frame. */
static bool is_right(const struct driver_queue *q, const uint64_t w[], uint32_t awaited_len)
{
    const uint8_t *frame =
        (const uint8_t *)q->buffers.words + rx_completion_index(w) * (size_t)DRIVER_BUFFER_STRIDE;

    return rx_completion_frame_len(w) == awaited_len && rx_completion_hash_type(w) != 0
           && rx_completion_ip_csum(w) == CSUM_RESULT_GOOD && rx_completion_l4_csum(w) == CSUM_RESULT_GOOD
           && frame[14] == 0x45;
}

static void on_received(struct driver_queue *q, const uint64_t w[], uint32_t awaited_len,
                        struct driver_harvest *harvest)
{
    harvest->received++;
    harvest->right += is_right(q, w, awaited_len);
    buffer_post(q, (uint32_t)rx_completion_index(w));
    q->rx_tail = (q->rx_tail + 1) % DRIVER_RX_COUNT;
}

static void on_sent(struct driver_queue *q, const uint64_t w[], struct driver_harvest *harvest)
{
    harvest->sent++;
    harvest->failed += tx_completion_status(w) != TX_STATUS_OK;
    q->tx_head = (uint32_t)tx_completion_head(w);
}

static void queue_poll(const struct driver *d, struct driver_queue *q, uint32_t awaited_len,
                       struct driver_harvest *harvest)
{
    uint32_t start = q->cq_next, rx_start = q->rx_tail;

    for (;;) {
        const uint64_t *w = q->cq.words + q->cq_next * RX_COMPLETION_WORDS;

        if (rx_completion_gen(w) != q->generation) {
            break;
        }
        if (rx_completion_type(w) == COMPLETION_TYPE_RX) {
            on_received(q, w, awaited_len, harvest);
        } else {
            on_sent(q, w, harvest);
        }
        q->cq_next = (q->cq_next + 1) % DRIVER_CQ_COUNT;
        q->generation ^= q->cq_next == 0;
    }
    if (q->cq_next != start) {
        slots_return(d, q);
    }
    if (q->rx_tail != rx_start) {
        reg_write(d, queue_reg(q, REG_QP_RX_TAIL), q->rx_tail);
    }
}

void driver_poll(struct driver *driver, uint32_t awaited_len, struct driver_harvest *harvest)
{
    for (unsigned i = 0; i < driver->queues; i++) {
        queue_poll(driver, &driver->queue[i], awaited_len, harvest);
    }
}
