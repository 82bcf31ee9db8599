/* test_block.c: the bring-up DMA engine: fill, copy, invert, a 4 KiB chunk a step. */
#include "nic/test_block.h"

#include "base/bits.h"
#include "base/bytes.h"
#include "nic/tags.h"

static void test_block_end(struct vnic *card, uint8_t result)
{
    card->state.test.is_busy = false;
    card->state.test.result = result;
    card_raise_event(card, GLB_EVENT_TEST_MASK);
}

/* [TEST-3] What was written is latched at GO. */
void test_block_command(struct vnic *card, uint32_t pulses)
{
    struct test_block *t = &card->state.test;
    if (!(pulses & TEST_DMA_CMD_GO_MASK)) {
        return;
    }
    if (t->is_busy) {
        card_count_guest_error(card);
        return;
    }
    *t = (struct test_block){
        .is_busy = true,
        .op = (uint8_t)((card_reg(card, REG_TEST_DMA_CMD) & TEST_DMA_CMD_OP_MASK) >> TEST_DMA_CMD_OP_SHIFT),
        .len = card_reg(card, REG_TEST_DMA_LEN),
        .pattern = card_reg(card, REG_TEST_DMA_PATTERN),
        .dst = regfile_get64(&card->regs, REG_TEST_DMA_DST),
        .src = regfile_get64(&card->regs, REG_TEST_DMA_SRC),
    };
    if (t->op > TEST_OP_INVERT) {
        test_block_end(card, TEST_RESULT_BAD_OP);
    } else if (t->len == 0 || t->len > TEST_LEN_MAX) {
        test_block_end(card, TEST_RESULT_BAD_LEN);
    }
}

uint32_t test_block_status(const struct vnic *card)
{
    const struct test_block *t = &card->state.test;
    return (uint32_t)t->is_busy << TEST_DMA_STATUS_BUSY_SHIFT
           | (uint32_t)t->result << TEST_DMA_STATUS_RESULT_SHIFT;
}

static uint32_t test_block_chunk(const struct test_block *t)
{
    return bits_min32(TEST_CHUNK, t->len - t->at);
}

/* Chunks start at multiples of 4096 bytes, so the pattern's phase is the same in each. */
static void test_block_fill(const struct test_block *t, uint8_t *chunk, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        chunk[i] = (uint8_t)(t->pattern >> 8 * (i % 4));
    }
}

static enum vnic_dma_status test_block_load(struct vnic *card, uint8_t *chunk, uint32_t n)
{
    const struct test_block *t = &card->state.test;
    if (t->op == TEST_OP_FILL) {
        test_block_fill(t, chunk, n);
        return VNIC_DMA_OK;
    }
    uint64_t from = (t->op == TEST_OP_COPY ? t->src : t->dst) + t->at;
    enum vnic_dma_status status =
        dma_read(&card->pci, &card->scratch.test_hint[0], from, chunk, n, VNIC_DMA_TEST);
    for (uint32_t i = 0; t->op == TEST_OP_INVERT && i < n; i++) {
        chunk[i] = (uint8_t)~chunk[i];
    }
    return status;
}

uint64_t test_block_next_bytes(const struct vnic *card)
{
    const struct test_block *t = &card->state.test;
    return (t->op == TEST_OP_FILL ? 1u : 2u) * test_block_chunk(t);
}

uint64_t test_block_step(struct vnic *card)
{
    struct test_block *t = &card->state.test;
    uint32_t n = test_block_chunk(t);
    uint64_t bytes = test_block_next_bytes(card);
    enum vnic_dma_status status = test_block_load(card, card->test_chunk, n);
    if (status == VNIC_DMA_OK) {
        status = dma_write(&card->pci, &card->scratch.test_hint[1], t->dst + t->at, card->test_chunk, n,
                           VNIC_DMA_TEST);
    }
    t->at += n;
    if (status != VNIC_DMA_OK) {
        test_block_end(card, TEST_RESULT_DMA_ERROR);
    } else if (t->at == t->len) {
        test_block_end(card, TEST_RESULT_OK);
    }
    return bytes;
}

void test_block_reset(struct vnic *card)
{
    card->state.test = (struct test_block){0};
}

void test_block_archive(struct vnic *card, struct archive *a)
{
    struct test_block *t = &card->state.test;
    ARCHIVE(a, TAG_TEST_BUSY, t->is_busy, 1);
    ARCHIVE(a, TAG_TEST_OP, t->op, 3);
    ARCHIVE(a, TAG_TEST_RESULT, t->result, TEST_RESULT_BAD_OP);
    ARCHIVE(a, TAG_TEST_AT, t->at, UINT32_MAX);
    ARCHIVE(a, TAG_TEST_LEN, t->len, UINT32_MAX);
    ARCHIVE(a, TAG_TEST_PATTERN, t->pattern, UINT32_MAX);
    ARCHIVE(a, TAG_TEST_DST, t->dst, UINT64_MAX);
    ARCHIVE(a, TAG_TEST_SRC, t->src, UINT64_MAX);
    bool is_sound = t->op <= TEST_OP_INVERT && t->len >= 1 && t->len <= TEST_LEN_MAX && t->at < t->len
                    && t->at % TEST_CHUNK == 0;
    archive_refuse_if(a, t->is_busy && !is_sound);
}
