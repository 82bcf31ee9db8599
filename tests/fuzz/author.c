/* author.c: programs at random: operations alone and in scenes; and random changes of a program. */
#include "author.h"

#include "gen/descriptors.h"
#include "gen/pci_config.h"
#include "gen/vnic_bar0.h"

/* ---- scenes ---- */

static void scene_write(struct oplang_program *p, uint32_t offset, uint64_t value)
{
    (void)oplang_append(
        p, (struct vnic_op){.code = VNIC_OP_WRITE, .width = 4, .addr = offset, .value = value}, NULL, 0);
}

static void scene_write64(struct oplang_program *p, uint32_t offset, uint64_t value)
{
    (void)oplang_append(
        p, (struct vnic_op){.code = VNIC_OP_WRITE, .width = 8, .addr = offset, .value = value}, NULL, 0);
}

static void scene_work(struct author *a, struct oplang_program *p)
{
    for (uint32_t n = author_below(a, 3); n > 0; n--) {
        struct vnic_op op = {0};
        author_work(a, &op);
        (void)oplang_append(p, op, NULL, 0);
    }
}

/* To the end of what was handed over, as far as that goes. */
static void scene_run(struct oplang_program *p)
{
    (void)oplang_append(p, (struct vnic_op){.code = VNIC_OP_RUN, .addr = 16, .value = UINT64_MAX}, NULL, 0);
}

/* What lies in the ring, or new descriptors, handed over. */
static void scene_send(struct author *a, struct oplang_program *p)
{
    uint8_t data[64 * 16];
    struct vnic_op op = {0};
    uint32_t pair = author_below(a, 2), tail = author_below(a, 64);
    if (author_one_in(a, 2)) {
        uint32_t len = author_descriptors(a, &op, data);
        (void)oplang_append(p, op, data, len);
        tail = (uint32_t)((op.addr >> 4) + len / 16) % 64;
    }
    scene_write(p, REG_QP_TX_TAIL + pair * REG_QP_STRIDE, tail);
    scene_work(a, p);
}

static void scene_receive(struct author *a, struct oplang_program *p)
{
    static uint8_t data[AUTHOR_DATA_BYTES];
    for (uint32_t n = 1 + author_below(a, 6); n > 0; n--) {
        struct vnic_op op = {0};
        uint32_t len = author_frame(a, &op, data);
        (void)oplang_append(p, op, data, len);
    }
    scene_work(a, p);
}

/* Modes in which frames are taken and sent, and slots given back. */
static void scene_switch(struct author *a, struct oplang_program *p)
{
    uint32_t pair = author_below(a, 2) * REG_QP_STRIDE,
             vector = author_below(a, WORLD_VECTORS) * REG_VEC_STRIDE;
    switch (author_below(a, 7)) {
    case 0:
        scene_write(p, REG_MAC_RX_CTRL, author_below(a, 1024) | !author_one_in(a, 4));
        break;
    case 1:
        scene_write(p, REG_GLB_CTRL, author_one_in(a, 4) ? 0 : GLB_CTRL_LOOPBACK_MASK);
        break;
    case 2:
        scene_write(p, REG_MAC_TX_CTRL, author_below(a, 4) | !author_one_in(a, 4));
        break;
    case 3:
        scene_write(p, REG_RSS_CTRL, author_below(a, 2) | author_below(a, 8) << 4 | author_below(a, 4) << 8);
        scene_write(p, REG_RSS_COMMIT, 1);
        break;
    case 4:
        scene_write(p, REG_VEC_INTERVAL + vector, author_below(a, 100000));
        break;
    case 5:
        scene_write(p, REG_QP_CQ_TAIL + pair, author_below(a, 64));
        break;
    default:
        scene_write(p, REG_QP_RX_TAIL + pair, author_below(a, 64));
        break;
    }
}

static void scene_configure(struct oplang_program *p, uint32_t offset, uint64_t value)
{
    struct vnic_op op = {.code = VNIC_OP_CFG_WRITE, .width = 4, .addr = offset, .value = value};
    (void)oplang_append(p, op, NULL, 0);
}

/* Another level, masks, and vectors that are fired until the queue outward is full. */
static void scene_interrupt(struct author *a, struct oplang_program *p)
{
    const struct vnic_op step = {.code = VNIC_OP_STEP, .index = VNIC_ENGINE_IRQ};
    uint32_t count = author_one_in(a, 4) ? 90 : author_below(a, 6);
    bool is_same = author_one_in(a, 2);
    scene_configure(p, CFG_MSIX_CTRL, (uint64_t)author_below(a, 4) << 30);
    scene_configure(p, CFG_MSI_CTRL, author_below(a, 2) << 16 | author_below(a, 8) << 20);
    if (author_one_in(a, 2)) {
        scene_configure(p, CFG_MSI_MASK, author_below(a, 16));
    }
    for (uint32_t i = 0; i < count; i++) {
        scene_write(p, REG_TEST_FIRE, is_same ? 0 : author_below(a, WORLD_VECTORS + 1));
        (void)oplang_append(p, step, NULL, 0);
    }
    scene_configure(p, CFG_COMMAND, 6u | author_below(a, 2) << 10);
}

/* A bring-up DMA of any length, from and to anywhere, an own BAR now and then. */
static void scene_test(struct author *a, struct oplang_program *p)
{
    const uint64_t target = author_one_in(a, 4) ? WORLD_BAR0 + 4ull * author_below(a, 4) : author_addr(a);
    const uint64_t len = author_one_in(a, 2) ? author_below(a, 0x10001) : author_value(a);
    scene_write64(p, REG_TEST_DMA_DST, target);
    scene_write64(p, REG_TEST_DMA_SRC, author_addr(a));
    scene_write(p, REG_TEST_DMA_LEN, len);
    scene_write(p, REG_TEST_DMA_CMD, TEST_DMA_CMD_GO_MASK | author_below(a, 4) << TEST_DMA_CMD_OP_SHIFT);
    scene_work(a, p);
}

/* The bring-up's TCP headers and payload as one large send, but for its sizes. */
static void scene_large_send(struct author *a, struct oplang_program *p)
{
    static const uint16_t sizes[] = {0, 1, 63, 64, 500, 1460, 9000, 0xFFFF};
    const uint64_t ring = WORLD_RAM + author_below(a, 2) * 0x10000ull + 0x1000u, frame = WORLD_RAM + 0x20000u;
    const uint32_t header = author_one_in(a, 8) ? author_below(a, 256) : 54;
    const uint32_t at =
        author_one_in(a, 2) ? 0 : author_below(a, 61); /* where a ring begins, sooner than behind it */
    uint64_t desc[3][TX_DATA_WORDS] = {{0}};
    tx_context_set_type(desc[0], DESC_TYPE_CONTEXT);
    tx_context_set_l3_offset(desc[0], 14);
    tx_context_set_l4_offset(desc[0], 34);
    tx_context_set_lso(desc[0], 1);
    tx_context_set_mss(desc[0], sizes[author_below(a, sizeof sizes / sizeof sizes[0])]);
    tx_context_set_hdr_len(desc[0], header);
    for (unsigned i = 1; i < 3; i++) {
        tx_data_set_type(desc[i], DESC_TYPE_DATA);
        tx_data_set_addr(desc[i], i == 1 ? frame : frame + 0x4000u);
        tx_data_set_len(desc[i], i == 1 ? 54 : 1 + author_below(a, author_one_in(a, 4) ? 60000 : 3000));
    }
    tx_data_set_eop(desc[2], 1);
    (void)oplang_append(p, (struct vnic_op){.code = OPLANG_POKE, .addr = ring + 16ull * at}, desc,
                        sizeof desc);
    scene_write(p, REG_QP_TX_TAIL + (ring > WORLD_RAM + 0x10000u ? REG_QP_STRIDE : 0), at + 3);
    scene_run(p);
}

static void author_scene(struct author *a, struct oplang_program *p)
{
    switch (author_below(a, 6)) {
    case 4:
        scene_test(a, p);
        break;
    case 5:
        scene_large_send(a, p);
        break;
    case 3:
        scene_interrupt(a, p);
        break;
    case 0:
        scene_send(a, p);
        break;
    case 1:
        scene_receive(a, p);
        break;
    default:
        scene_switch(a, p);
        break;
    }
}

void author_write(struct author *a, struct oplang_program *p, uint32_t ops)
{
    static uint8_t data[AUTHOR_DATA_BYTES];
    p->count = 0;
    p->used = 0;
    p->flags = (uint8_t)(author_number(a) | author_below(a, 2));
    while (p->count < ops) {
        struct vnic_op op;
        if (author_one_in(a, 2)) {
            author_scene(a, p);
            continue;
        }
        uint32_t len = author_op(a, &op, data);
        if (!oplang_append(p, op, data, len)) {
            return;
        }
    }
}

/* ---- changes ---- */

static void change_fields(struct author *a, struct vnic_op *op)
{
    switch (author_below(a, 4)) {
    case 0:
        op->index = (uint8_t)author_value(a);
        break;
    case 1:
        op->width = author_width(a);
        break;
    case 2:
        op->addr = author_one_in(a, 2) ? op->addr + 4ull * author_below(a, 9) - 16 : author_addr(a);
        break;
    default:
        op->value = author_one_in(a, 2) ? op->value + author_below(a, 5) - 2 : author_value(a);
        break;
    }
}

static void change_data(struct author *a, struct oplang_program *p, struct oplang_op *o)
{
    if (o->data_len == 0) {
        change_fields(a, &o->op);
    } else if (author_one_in(a, 4)) {
        o->data_len = author_below(a, o->data_len);
    } else {
        p->bytes[o->data + author_below(a, o->data_len < 96 ? o->data_len : 96)] = (uint8_t)author_value(a);
    }
}

static void change_insert(struct author *a, struct oplang_program *p)
{
    static uint8_t data[AUTHOR_DATA_BYTES];
    struct vnic_op op;
    uint32_t len = author_op(a, &op, data), at = author_below(a, p->count + 1);
    if (!oplang_append(p, op, data, len)) {
        return;
    }
    struct oplang_op made = p->op[p->count - 1];
    memmove(&p->op[at + 1], &p->op[at], (p->count - 1 - at) * sizeof p->op[0]);
    p->op[at] = made;
}

void author_change(struct author *a, struct oplang_program *p)
{
    uint32_t choice = p->count == 0 ? 0 : author_below(a, 9);
    uint32_t at = p->count == 0 ? 0 : author_below(a, p->count),
             other = p->count == 0 ? 0 : author_below(a, p->count);
    struct oplang_op swapped;
    switch (choice) {
    case 0:
    case 1:
        change_insert(a, p);
        break;
    case 2:
        memmove(&p->op[at], &p->op[at + 1], (p->count - 1 - at) * sizeof p->op[0]);
        p->count--;
        break;
    case 3:
        swapped = p->op[at];
        p->op[at] = p->op[other];
        p->op[other] = swapped;
        break;
    case 4:
    case 5:
        change_fields(a, &p->op[at].op);
        break;
    case 6:
        change_data(a, p, &p->op[at]);
        break;
    case 7:
        author_scene(a, p);
        break;
    default:
        p->flags ^= (uint8_t)(1u << author_below(a, 8));
        break;
    }
}
