/* chimney_pool.c: the receive pools: buffers for data that nobody posted a receive for. */
#include "base/bits.h"
#include "nic/chimney_place.h"
#include "nic/completion.h"
#include "nic/pair.h"
#include "wire/seq.h"

static struct chm_receive_pool *pool_of(const struct vnic *card, unsigned pair)
{
    return &card->chimney->queue[pair].pool;
}

static uint32_t pool_get(const struct vnic *card, unsigned pair, uint32_t offset)
{
    return card_reg(card, offset + pair * REG_CHQ_STRIDE);
}

/* ENABLE reads back what is so, and TAIL what was accepted. */
static void pool_show(struct vnic *card, unsigned pair)
{
    const struct ring *r = &pool_of(card, pair)->ring;
    regfile_set(&card->regs, REG_CHQ_POOL_CTRL + pair * REG_CHQ_STRIDE,
                r->is_running ? CHQ_POOL_CTRL_ENABLE_MASK : 0);
    regfile_set(&card->regs, REG_CHQ_POOL_TAIL + pair * REG_CHQ_STRIDE, r->tail);
}

void chimney_stop_pool(struct vnic *card, unsigned pair, uint8_t error)
{
    struct chm_receive_pool *p = pool_of(card, pair);
    ring_stop(&p->ring, error);
    p->cached = 0;
    p->buf_len = 0;
    pool_show(card, pair);
}

static void pool_fail(struct vnic *card, unsigned pair, uint8_t error)
{
    chimney_stop_pool(card, pair, error);
    card_raise_event(card, GLB_EVENT_RING_MASK);
}

static uint8_t pool_check(const struct vnic *card, const struct chm_receive_pool *p, unsigned pair)
{
    if (p->buf_len < PAIR_BUF_LEN_MIN || p->buf_len > PAIR_BUF_LEN_MAX) {
        return RING_ERROR_BAD_BUFFER;
    }
    return card->state.pair[pair].cq.ring.is_running ? RING_ERROR_NONE : RING_ERROR_NO_CQ;
}

/* [CHM-1] It runs only while the chimney does. */
static void pool_run(struct vnic *card, unsigned pair)
{
    struct chm_receive_pool *p = pool_of(card, pair);
    if (!card->chimney->is_enabled) {
        card_count_guest_error(card);
        return;
    }
    uint8_t error =
        ring_start(&p->ring, regfile_get64(&card->regs, REG_CHQ_POOL_BASE + pair * REG_CHQ_STRIDE),
                   pool_get(card, pair, REG_CHQ_POOL_COUNT));
    p->buf_len = pool_get(card, pair, REG_CHQ_POOL_BUF_LEN);
    p->cached = 0;
    error = error ? error : pool_check(card, p, pair);
    if (error) {
        pool_fail(card, pair, error);
    }
}

void chimney_on_pool_ctrl(struct vnic *card, unsigned pair, uint32_t now, uint32_t pulses)
{
    struct ring *r = &pool_of(card, pair)->ring;
    bool enable = (now & CHQ_POOL_CTRL_ENABLE_MASK) != 0;
    if (pulses & CHQ_POOL_CTRL_RESET_MASK) {
        chimney_stop_pool(card, pair, RING_ERROR_NONE);
        *r = (struct ring){0};
    } else if (enable && !r->is_running) {
        pool_run(card, pair);
    } else if (!enable && r->is_running) {
        chimney_stop_pool(card, pair, RING_ERROR_NONE);
    }
    pool_show(card, pair);
}

/* Buffers may be taken back, those that were read too. */
void chimney_on_pool_tail(struct vnic *card, unsigned pair, uint32_t tail)
{
    struct chm_receive_pool *p = pool_of(card, pair);
    bool was_running = p->ring.is_running;
    if (ring_set_tail(&p->ring, tail)) {
        p->cached = bits_min32(p->cached, ring_owned(&p->ring));
        return;
    }
    card_count_guest_error(card);
    if (was_running) {
        pool_fail(card, pair, RING_ERROR_BAD_TAIL);
    }
    pool_show(card, pair);
}

bool pool_has_buffer(const struct vnic *card, unsigned pair)
{
    const struct chm_receive_pool *p = pool_of(card, pair);
    return p->ring.is_running && ring_owned(&p->ring) != 0;
}

/* The entries from head on, up to the end of the ring and of the cache. */
bool pool_fetch(struct vnic *card, unsigned pair)
{
    struct chm_receive_pool *p = pool_of(card, pair);
    uint32_t index = ring_index(&p->ring, p->ring.head);
    uint32_t slot = p->ring.head % CHM_POOL_CACHED;
    uint32_t n = bits_min32(ring_owned(&p->ring), bits_min32(p->ring.count - index, CHM_POOL_CACHED - slot));
    enum vnic_dma_status status = dma_read(&card->pci, &card->chimney->hint_pool[pair],
                                           p->ring.base + (uint64_t)index * CHM_POOL_BUFFER_BYTES,
                                           &p->entry[slot], n * CHM_POOL_BUFFER_BYTES, VNIC_DMA_DESCRIPTOR);
    if (status != VNIC_DMA_OK) {
        pool_fail(card, pair, RING_ERROR_FETCH_DMA);
        return false;
    }
    p->cached = n;
    return true;
}

static uint64_t pool_addr(const struct chm_receive_pool *p)
{
    return p->entry[p->ring.head % CHM_POOL_CACHED];
}

static bool pool_write(struct vnic *card, unsigned pair, uint32_t at, const uint8_t *bytes, uint32_t len)
{
    return dma_write(&card->pci, &card->chimney->hint_pool_data[pair], pool_addr(pool_of(card, pair)) + at,
                     bytes, len, VNIC_DMA_DATA)
           == VNIC_DMA_OK;
}

/* The front buffer is the driver's with len bytes of the connection's; false when the completion ring stopped, and
 * then nothing happened. */
static bool pool_report(struct vnic *card, unsigned pair, uint32_t index, uint32_t len)
{
    struct chimney *m = card->chimney;
    struct chm_connection *c = chimney_connection(m, index);
    struct chm_receive_pool *p = pool_of(card, pair);
    uint32_t end = c->deliver_seq + len;
    bool is_pushed = chimney_has(c, CHM_PUSHED) && len != 0 && seq_le(c->push_seq, end);
    uint64_t words[CHM_DATA_WORDS] = {[3] = COMPLETION_TYPE_CHM_DATA};
    chm_data_set_handle(words, chimney_handle(index, c->generation));
    chm_data_set_len(words, len);
    chm_data_set_index(words, ring_index(&p->ring, p->ring.head));
    chm_data_set_push(words, is_pushed);
    chm_data_set_data_count(words, c->pool_count + len);
    chm_data_set_seq(words, c->deliver_seq);
    if (!report_write(card, pair, words)) {
        return false;
    }
    p->ring.head++;
    p->cached--;
    c->pool_count += len;
    c->deliver_seq = end;
    c->flags &= (uint16_t)~(is_pushed ? CHM_PUSHED : 0);
    m->stat[CHM_STAT(POOL_BYTES)] += len;
    chimney_habit_unposted(card, index, len);
    return true;
}

/* A buffer ends with the push, if there is one. */
static uint32_t pool_share(const struct vnic *card, unsigned pair, uint32_t index)
{
    const struct chimney *m = card->chimney;
    const struct chm_connection *c = chimney_connection(m, index);
    uint32_t len = bits_min32(chimney_waiting(m, index), pool_of(card, pair)->buf_len);
    if (chimney_has(c, CHM_PUSHED) && seq_lt(c->deliver_seq, c->push_seq)) {
        len = bits_min32(len, c->push_seq - c->deliver_seq);
    }
    return len;
}

/* [CHM-42] A buffer that cannot be written goes back with 0 bytes, and the data stays for the next. */
uint64_t pool_give_waiting(struct vnic *card, unsigned pair, uint32_t index)
{
    struct chimney *m = card->chimney;
    struct chm_connection *c = chimney_connection(m, index);
    uint32_t len = pool_share(card, pair, index), done = 0;
    while (done < len) {
        uint32_t piece = 0;
        const uint8_t *from = blocks_find(&m->blocks, &c->blocks, c->deliver_seq + done, &piece);
        piece = bits_min32(piece, len - done);
        if (!from || !pool_write(card, pair, done, from, piece)) {
            len = 0;
            break;
        }
        done += piece;
    }
    if (pool_report(card, pair, index, len) && len != 0) {
        place_trim(card, index);
    }
    return done + COMPLETION_BYTES;
}

bool pool_try(struct vnic *card, unsigned pair, const uint8_t *payload, uint32_t len)
{
    return len <= pool_of(card, pair)->buf_len && pool_write(card, pair, 0, payload, len);
}

bool pool_commit(struct vnic *card, unsigned pair, uint32_t index, uint32_t len)
{
    return pool_report(card, pair, index, len);
}
