/* author_op.c: one operation at random: a register, a descriptor, a frame, a fault, a snapshot, work. */
#include "author.h"

#include "gen/pci_config.h"
#include "gen/vnic_bar0.h"

#define PAIR_BYTES 0x10000u

uint64_t author_addr(struct author *a)
{
    static const uint64_t base[] = {WORLD_RAM,     WORLD_RAM, WORLD_RAM,  WORLD_RAM,
                                    WORLD_PATCHES, WORLD_ROM, WORLD_SINK, WORLD_BAR0,
                                    WORLD_BAR2,    WORLD_TOP, 0,          0x7000000000ull};
    uint64_t at = base[author_below(a, sizeof base / sizeof base[0])];
    switch (author_below(a, 4)) {
    case 0:
        return at;
    case 1:
        return at + 64ull * author_below(a, 256);
    case 2:
        return at + 4096ull * author_below(a, 5) - author_below(a, 200);
    default:
        return at + author_below(a, 0x4000);
    }
}

uint8_t author_width(struct author *a)
{
    uint64_t width = author_one_in(a, 16) ? author_number(a) : 1u << author_below(a, 4);
    return (uint8_t)width;
}

/* ---- registers ---- */

/* Nine in ten are registers, and half of those are ones that set things in motion. */
static uint64_t author_offset(struct author *a, unsigned bar)
{
    static const uint32_t moving[] = {
        REG_GLB_CTRL,     REG_GLB_EVENT,    REG_GLB_EVENT_ENABLE, REG_GLB_EVENT_VECTOR, REG_MAC_RX_CTRL,
        REG_MAC_TX_CTRL,  REG_MAC_RX_MAX,   REG_INT_CAUSE,        REG_INT_CTRL,         REG_TEST_FIRE,
        REG_TEST_DMA_DST, REG_TEST_DMA_SRC, REG_TEST_DMA_LEN,     REG_TEST_DMA_CMD,     REG_RSS_CTRL,
        REG_RSS_COMMIT,   REG_RSS_TABLE,    REG_STAT_CTRL};
    if (author_one_in(a, 10)) {
        return author_one_in(a, 4) ? author_number(a) : author_below(a, 0x12000);
    }
    if (bar == 2) {
        return author_one_in(a, 4) ? 0x1000 + author_below(a, 16) : author_below(a, 16 * (WORLD_VECTORS + 1));
    }
    if (author_one_in(a, 2)) {
        uint64_t vector = REG_VEC_STRIDE * author_below(a, WORLD_VECTORS + 1);
        return author_one_in(a, 4) ? REG_VEC_CTRL + vector + 4 * author_below(a, 8)
                                   : moving[author_below(a, sizeof moving / sizeof moving[0])];
    }
    uint64_t offset;
    do {
        offset = 4 * author_below(a, REG_MAP_BYTES / 4);
    } while (!vnic_register_name(0, offset));
    return offset;
}

static void author_register(struct author *a, struct vnic_op *op)
{
    op->code = author_one_in(a, 4) ? VNIC_OP_READ : VNIC_OP_WRITE;
    op->index = author_one_in(a, 8) ? (uint8_t)author_below(a, 8) : author_one_in(a, 8) ? 2 : 0;
    op->addr = author_offset(a, op->index);
    op->width = author_one_in(a, 2) ? 4 : author_width(a);
    op->value = author_one_in(a, 4) ? author_addr(a) : author_value(a);
}

/* A doorbell or a control of a pair: small steps of a tail are what a driver does. */
static void author_queue(struct author *a, struct vnic_op *op)
{
    static const uint32_t parts[] = {REG_QP_RX_TAIL,    REG_QP_TX_TAIL,  REG_QP_CQ_TAIL,  REG_QP_TX_TAIL,
                                     REG_QP_RX_TAIL,    REG_QP_CQ_TAIL,  REG_QP_RX_CTRL,  REG_QP_TX_CTRL,
                                     REG_QP_CQ_CTRL,    REG_QP_RX_COUNT, REG_QP_TX_COUNT, REG_QP_CQ_COUNT,
                                     REG_QP_RX_BASE,    REG_QP_TX_BASE,  REG_QP_CQ_BASE,  REG_QP_RX_BUF_LEN,
                                     REG_QP_RX_HDR_LEN, REG_QP_CQ_VECTOR};
    uint32_t part = author_one_in(a, 3) ? parts[author_below(a, sizeof parts / sizeof parts[0])]
                                        : parts[author_below(a, 6)];
    op->code = VNIC_OP_WRITE;
    op->width = part == REG_QP_RX_BASE || part == REG_QP_TX_BASE || part == REG_QP_CQ_BASE ? 8 : 4;
    op->addr = part + (uint64_t)REG_QP_STRIDE * author_below(a, WORLD_PAIRS + (author_one_in(a, 16) ? 2 : 0));
    if (op->width == 8) {
        op->value = author_addr(a) & ~63ull;
    } else if (part == REG_QP_RX_CTRL || part == REG_QP_TX_CTRL || part == REG_QP_CQ_CTRL) {
        op->value = author_one_in(a, 8) ? author_below(a, 4) : 1;
    } else if (part == REG_QP_RX_COUNT || part == REG_QP_TX_COUNT || part == REG_QP_CQ_COUNT) {
        op->value = 1ull << author_below(a, 17);
    } else {
        op->value = author_one_in(a, 4) ? author_value(a) : author_below(a, 64);
    }
}

static void author_config(struct author *a, struct vnic_op *op)
{
    static const uint16_t words[] = {
        CFG_COMMAND,  CFG_COMMAND,          CFG_PM_CTRL,        CFG_MSI_CTRL,      CFG_MSI_MASK,
        CFG_MSI_DATA, CFG_DEVCTL,           CFG_MSIX_CTRL,      CFG_BAR,           CFG_BAR + 4,
        CFG_BAR + 8,  CFG_AER_UNCOR_STATUS, CFG_AER_UNCOR_MASK, CFG_AER_COR_STATUS};
    op->code = author_one_in(a, 4) ? VNIC_OP_CFG_READ : VNIC_OP_CFG_WRITE;
    op->addr = author_one_in(a, 6) ? author_below(a, 0x1100)
                                   : words[author_below(a, sizeof words / sizeof words[0])];
    op->width = author_one_in(a, 6) ? author_width(a) : 4;
    op->value =
        op->addr == CFG_COMMAND && !author_one_in(a, 4) ? 6u | author_below(a, 2) << 10 : author_value(a);
    if (op->addr == CFG_MSI_CTRL || op->addr == CFG_MSIX_CTRL) {
        op->value = author_number(a) & 0xC0710000u;
    }
}

/* ---- descriptors ---- */

static void author_data_desc(struct author *a, uint64_t desc[2])
{
    uint32_t len = author_one_in(a, 3) ? (uint32_t)author_edge(a) : author_below(a, 2000);
    desc[0] = author_addr(a);
    desc[1] = (len & 0xFFFFFu) | 1u << 28 | (uint64_t)!author_one_in(a, 3) << 32
              | (uint64_t)author_below(a, 2) << 33;
}

static void author_context(struct author *a, uint64_t desc[2])
{
    uint64_t l3 = author_one_in(a, 4) ? author_below(a, 512) : 14,
             l4 = author_one_in(a, 4) ? author_below(a, 512) : 34;
    uint64_t header = author_one_in(a, 4) ? author_below(a, 512) : 54,
             mss = author_one_in(a, 4) ? author_edge(a) & 0xFFFF : 64 + author_below(a, 1400);
    desc[0] = l3 | l4 << 16 | header << 32 | (uint64_t)author_below(a, 0x10000) << 48;
    desc[1] = mss | 2u << 28 | (uint64_t)author_below(a, author_one_in(a, 4) ? 64 : 16) << 32;
}

/* Descriptors where the bring-up has its transmit and receive rings; now and then one is noise. */
uint32_t author_descriptors(struct author *a, struct vnic_op *op, uint8_t *data)
{
    uint32_t count = 1 + author_below(a, author_one_in(a, 8) ? 64 : 8);
    bool is_receive = author_one_in(a, 4);
    op->code = OPLANG_POKE;
    op->addr = WORLD_RAM + author_below(a, 2) * PAIR_BYTES + (is_receive ? 0 : 0x1000u)
               + 16ull * author_below(a, 64);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t desc[2] = {author_addr(a), author_addr(a)};
        if (author_one_in(a, 24)) {
            desc[1] = author_number(a);
        } else if (!is_receive && author_one_in(a, 4)) {
            author_context(a, desc);
        } else if (!is_receive) {
            author_data_desc(a, desc);
        }
        memcpy(data + 16 * i, desc, 16);
    }
    return 16 * count;
}

static uint32_t author_fill(struct author *a, struct vnic_op *op, uint8_t *data)
{
    uint64_t desc[2];
    author_data_desc(a, desc);
    op->code = OPLANG_FILL;
    op->index = (uint8_t)(author_one_in(a, 2) ? author_below(a, 14) : 64);
    op->width = 16;
    op->addr =
        author_one_in(a, 2) ? author_addr(a) & ~15ull : WORLD_RAM + author_below(a, 2) * PAIR_BYTES + 0x1000u;
    op->value = 1 + author_below(a, 1024);
    memcpy(data, desc, 16);
    return 16;
}

/* ---- frames ---- */

static void headers_set_len(uint8_t *field, uint32_t len)
{
    field[0] = (uint8_t)(len >> 8);
    field[1] = (uint8_t)len;
}

/* Ethernet, perhaps a tag, and IP; half the time the datagram fills the frame. */
static void author_headers(struct author *a, uint8_t *frame, uint32_t len)
{
    static const uint8_t ipv4[] = {0x45, 0, 0, 60, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2};
    static const uint8_t ipv6[] = {0x60, 0, 0, 0, 0, 20, 6, 64};
    uint32_t at = 12;
    memcpy(frame, "\x02\0\0\0\0\x01\x02\0\0\0\0\x99", 12);
    frame[0] = author_one_in(a, 8) ? 0xFF : frame[0];
    if (author_one_in(a, 4)) {
        memcpy(frame + at, "\x81\0\0\x05", 4);
        at += 4;
    }
    bool is_ipv6 = author_one_in(a, 2), is_whole = author_one_in(a, 2);
    memcpy(frame + at, is_ipv6 ? "\x86\xDD" : "\x08\0", 2);
    memcpy(frame + at + 2, is_ipv6 ? ipv6 : ipv4, is_ipv6 ? sizeof ipv6 : sizeof ipv4);
    frame[at + 2 + (is_ipv6 ? 6u : 9u)] = (uint8_t)(author_one_in(a, 2)   ? 6
                                                    : author_one_in(a, 2) ? 17
                                                                          : author_below(a, 64));
    frame[at + 2 + (is_ipv6 ? 52u : 32u)] = 0x50; /* the data offset, if it is TCP */
    if (is_whole) {
        headers_set_len(frame + at + 2 + (is_ipv6 ? 4 : 2), is_ipv6 ? len - at - 42 : len - at - 2);
    }
}

uint32_t author_frame(struct author *a, struct vnic_op *op, uint8_t *data)
{
    uint32_t len = author_one_in(a, 4)   ? author_below(a, 200)
                   : author_one_in(a, 3) ? author_below(a, 9800)
                                         : author_below(a, 1600);
    if (author_one_in(a, 64)) {
        len = author_below(a, WORLD_FRAME_MAX + 1);
    }
    op->code = VNIC_OP_RECEIVE;
    for (uint32_t i = 0; i < len; i += 8) {
        uint64_t noise = author_number(a);
        memcpy(data + i, &noise, 8);
    }
    if (len > 80 && !author_one_in(a, 6)) {
        author_headers(a, data, len);
    }
    return len;
}

/* ---- the host ---- */

static uint32_t author_fault(struct author *a, struct vnic_op *op, uint8_t *data)
{
    struct vnic_fault fault = {.site = (uint8_t)author_below(a, VNIC_FAULT_SITES),
                               .action = (uint8_t)author_below(a, VNIC_FAULT_ACTIONS),
                               .index = 0xFF,
                               .last = UINT64_MAX,
                               .skip = author_below(a, 8),
                               .count = 1 + author_below(a, 4),
                               .argument = author_one_in(a, 2) ? 1 + author_below(a, 4) : author_value(a),
                               .mask = author_number(a)};
    if (fault.action == VNIC_FAULT_ERROR) {
        fault.argument = 1 + author_below(a, 4);
    }
    op->code = OPLANG_ARM;
    memcpy(data, &fault, sizeof fault);
    return sizeof fault;
}

static uint32_t author_tamper(struct author *a, struct vnic_op *op, uint8_t *data)
{
    uint32_t len = 0;
    op->code = OPLANG_TAMPER;
    for (uint32_t edits = author_below(a, 4); edits > 0; edits--) {
        uint64_t number = author_one_in(a, 2) ? author_number(a) & 0xFFFF : author_below(a, 400);
        len += oplang_put(data + len, number);
        len += oplang_put(data + len, author_one_in(a, 3) ? author_below(a, 7) : author_below(a, 3));
        len += oplang_put(data + len, author_value(a));
    }
    return len;
}

static void author_host(struct author *a, struct vnic_op *op)
{
    switch (author_below(a, 6)) {
    case 0:
        op->code = OPLANG_UNMAP;
        op->addr = author_addr(a) & ~4095ull;
        op->value = 4096ull * (1 + author_below(a, 3));
        break;
    case 1:
        op->code = OPLANG_MAP;
        op->addr = author_below(a, WORLD_REGIONS);
        op->index = (uint8_t)author_below(a, 4);
        break;
    case 2:
        op->code = OPLANG_DISARM;
        op->value = author_below(a, 8);
        break;
    case 3:
        op->code = VNIC_OP_LINK;
        op->value = author_one_in(a, 3) ? 0 : 10000;
        break;
    case 4:
        op->code = VNIC_OP_ADVANCE;
        op->value = author_one_in(a, 8) ? author_value(a) : author_below(a, 100000);
        break;
    default:
        op->code = author_one_in(a, 4) ? VNIC_OP_REMOVE : VNIC_OP_RESET;
        op->index = (uint8_t)author_below(a, 3);
        op->value = author_below(a, 3) == 0;
        break;
    }
}

void author_work(struct author *a, struct vnic_op *op)
{
    switch (author_below(a, 4)) {
    case 0:
        op->code = VNIC_OP_STEP;
        op->index = (uint8_t)author_below(a, VNIC_ENGINES + (author_one_in(a, 16) ? 2 : 0));
        break;
    case 1:
        op->code = VNIC_OP_DRAIN;
        break;
    default:
        op->code = VNIC_OP_RUN;
        op->addr = author_one_in(a, 4) ? 200 : author_below(a, 20);
        op->value = author_one_in(a, 3) ? author_below(a, 30000) : UINT64_MAX;
        break;
    }
}

/* ---- any of them ---- */

uint32_t author_op(struct author *a, struct vnic_op *op, uint8_t *data)
{
    *op = (struct vnic_op){0};
    switch (author_below(a, 16)) {
    case 0:
    case 1:
        author_register(a, op);
        return 0;
    case 2:
        author_config(a, op);
        return 0;
    case 3:
    case 4:
        return author_descriptors(a, op, data);
    case 5:
        return author_one_in(a, 4) ? author_fill(a, op, data) : author_descriptors(a, op, data);
    case 6:
    case 7:
        return author_frame(a, op, data);
    case 8:
        return author_one_in(a, 2) ? author_fault(a, op, data) : author_tamper(a, op, data);
    case 9:
        author_host(a, op);
        return 0;
    case 10:
    case 11:
    case 12:
        author_queue(a, op);
        return 0;
    default:
        author_work(a, op);
        return 0;
    }
}
