/* chimney_place.c: in-order data of connections into posted receives, or into pool buffers while there are none. */
#include "nic/chimney_place.h"
#include "base/bits.h"
#include "nic/completion.h"
#include "wire/seq.h"

#define PLACE_BARRED (CHM_ABORTED | CHM_STOPPED | CHM_ENDING)

uint32_t chimney_waiting(const struct chimney *m, uint32_t index)
{
    const struct tcp_connection *t = &m->tcp[index];
    return t->rcv_nxt - tcp_has(t, TCP_FIN_RECEIVED) - chimney_connection(m, index)->deliver_seq;
}

/* Of what stops a connection only a reset and memory that cannot be written leave its data where it is, until it is
 * terminated. */
static bool place_is_barred(const struct chm_connection *c)
{
    return !chimney_has(c, CHM_ENDING)
           && (chimney_has(c, CHM_ABORTED) || (c->retrieved & 1u << CHM_REASON_HARDWARE_FAILURE) != 0);
}

/* [CHM-7] What a connection that ends has not delivered goes to the pool. */
static bool place_has_post(const struct chm_connection *c)
{
    return c->post_open != 0 && !chimney_has(c, CHM_ENDING);
}

enum place_state place_state(const struct vnic *card, uint32_t index)
{
    const struct chimney *m = card->chimney;
    const struct chm_connection *c = chimney_connection(m, index);
    if (post_is_done(m, c)) {
        return PLACE_READY;
    }
    if (place_is_barred(c)) {
        return PLACE_IDLE;
    }
    if (chimney_waiting(m, index) == 0) {
        return chimney_has(c, CHM_FIN_REPORTED) && place_has_post(c) ? PLACE_READY : PLACE_IDLE;
    }
    bool can = place_has_post(c) || pool_has_buffer(card, chimney_report_pair(card, c));
    return can ? PLACE_READY : PLACE_STARVED;
}

void place_trim(struct vnic *card, uint32_t index)
{
    struct chimney *m = card->chimney;
    struct chm_connection *c = chimney_connection(m, index);
    if (chimney_waiting(m, index) == 0 && m->tcp[index].ranges == 0) {
        blocks_release_all(&m->blocks, &c->blocks);
    } else {
        blocks_release_before(&m->blocks, &c->blocks, c->deliver_seq);
    }
    chimney_check_pressure(card);
}

/* Only of what the card placed is it known that it came with a push; a FIN says it of the driver's bytes too. */
void place_push(struct vnic *card, uint32_t index)
{
    struct chimney *m = card->chimney;
    struct chm_connection *c = chimney_connection(m, index);
    bool is_pushed = chimney_has(c, CHM_PUSHED) && seq_le(c->push_seq, c->deliver_seq);
    if (is_pushed) {
        c->flags &= (uint16_t)~CHM_PUSHED;
    }
    if (!post_is_pushable(m, c) || (c->placed == 0 && !tcp_has(&m->tcp[index], TCP_FIN_RECEIVED))) {
        return;
    }
    if (is_pushed) {
        post_finish(card, index, CHM_STATUS_OK, true); /* [CHM-44] */
    } else {
        push_start(card, index);
    }
}

/* [CHM-45] What is placed is consumed. */
static void place_consume(struct vnic *card, uint32_t index, uint32_t len)
{
    struct chimney *m = card->chimney;
    struct tcp_result result;
    tcp_consume(m->engine, &m->tcp[index], card->pci.now_ns, len, &result);
    if (result.events & TCP_EVENT_OUTPUT) {
        chimney_schedule(card, index);
    }
}

/* Bytes that are in the open posts, where they belong. */
static void place_count(struct vnic *card, uint32_t index, uint32_t len)
{
    struct chimney *m = card->chimney;
    struct chm_connection *c = chimney_connection(m, index);
    uint32_t left = len;
    c->deliver_seq += len;
    m->stat[CHM_STAT(PLACED_BYTES)] += len;
    while (left != 0 && c->post_open != 0) {
        uint32_t n = bits_min32(left, m->work[c->post_open].len - c->post_offset);
        post_advance(card, index, n);
        left -= n;
    }
    place_push(card, index);
    place_consume(card, index, len);
}

/* ---- before the engine has seen the segment ---- */

/* The next piece of a posted receive behind `at`; the list ends with the last. */
static uint32_t place_piece_behind(const struct chimney *m, const struct chm_connection *c, uint32_t at)
{
    return at == c->posts ? 0 : m->work[at].next;
}

static bool place_try_posts(struct vnic *card, uint32_t index, const uint8_t *payload, uint32_t len)
{
    struct chimney *m = card->chimney;
    const struct chm_connection *c = chimney_connection(m, index);
    uint32_t at = c->post_open, offset = c->post_offset, done = 0;
    for (unsigned pieces = 0; at != 0 && pieces < PLACE_PIECES; pieces++) {
        const struct chm_work *w = &m->work[at];
        uint32_t n = bits_min32(len - done, w->len - offset);
        if (dma_write(&card->pci, &m->hint_receive, w->addr + offset, payload + done, n, VNIC_DMA_DATA)
            != VNIC_DMA_OK) {
            return false;
        }
        done += n;
        if (done == len) {
            return true;
        }
        offset = 0;
        at = place_piece_behind(m, c, at);
    }
    return false;
}

/* The buffer that came before is not used up by more than one entry, and the entry must be the next. Should that fail,
 * the bytes have to go to blocks. */
static bool place_try_pool(struct vnic *card, uint32_t index, const uint8_t *payload, uint32_t len)
{
    const struct chimney *m = card->chimney;
    const struct chm_connection *c = chimney_connection(m, index);
    unsigned pair = chimney_report_pair(card, c);
    if (c->pending != 0 || c->posts != 0 || !chimney_may_report(card, pair) || !pool_has_buffer(card, pair)
        || blocks_left(&m->blocks) < len / BLOCK_BYTES + PLACE_RESERVE) {
        return false;
    }
    return (m->queue[pair].pool.cached != 0 || pool_fetch(card, pair)) && pool_try(card, pair, payload, len);
}

/* Bytes that turn out not to be wanted lie behind what is said to be there. */
enum place_early place_try(struct vnic *card, uint32_t index, const uint8_t *payload, uint32_t len)
{
    const struct chimney *m = card->chimney;
    const struct chm_connection *c = chimney_connection(m, index);
    if (chimney_has(c, PLACE_BARRED) || chimney_waiting(m, index) != 0) {
        return PLACE_EARLY_NOT;
    }
    if (c->post_open != 0) {
        return place_try_posts(card, index, payload, len) ? PLACE_EARLY_POST : PLACE_EARLY_NOT;
    }
    return place_try_pool(card, index, payload, len) ? PLACE_EARLY_POOL : PLACE_EARLY_NOT;
}

void place_commit(struct vnic *card, uint32_t index, enum place_early early, const uint8_t *payload,
                  uint32_t len)
{
    struct chimney *m = card->chimney;
    struct chm_connection *c = chimney_connection(m, index);
    if (early == PLACE_EARLY_POST) {
        place_count(card, index, len);
    } else if (!pool_commit(card, chimney_report_pair(card, c), index, len)) {
        blocks_write(&m->blocks, &c->blocks, c->deliver_seq, payload, len);
        chimney_report(card, index, CHM_PENDING_RECEIVE);
    }
}

/* ---- what waits ---- */

/* The bytes stay; the receive comes back with what is in it. */
static void place_fail(struct vnic *card, uint32_t index)
{
    post_finish(card, index, CHM_STATUS_DMA, false);
    chimney_retrieve(card, index, CHM_REASON_HARDWARE_FAILURE);
}

static uint64_t place_in_post(struct vnic *card, uint32_t index)
{
    struct chimney *m = card->chimney;
    struct chm_connection *c = chimney_connection(m, index);
    const struct chm_work *w = &m->work[c->post_open];
    uint32_t len = 0;
    const uint8_t *from = blocks_find(&m->blocks, &c->blocks, c->deliver_seq, &len);
    len = bits_min32(bits_min32(len, chimney_waiting(m, index)), w->len - c->post_offset);
    if (!from
        || dma_write(&card->pci, &m->hint_receive, w->addr + c->post_offset, from, len, VNIC_DMA_DATA)
               != VNIC_DMA_OK) {
        place_fail(card, index);
        return len;
    }
    place_count(card, index, len);
    place_trim(card, index);
    return len;
}

static uint64_t place_in_pool(struct vnic *card, uint32_t index)
{
    unsigned pair = chimney_report_pair(card, chimney_connection(card->chimney, index));
    if (card->chimney->queue[pair].pool.cached == 0) {
        pool_fetch(card, pair);
        return CHM_POOL_CACHED * CHM_POOL_BUFFER_BYTES;
    }
    return pool_give_waiting(card, pair, index);
}

/* [CHM-44] The oldest receive is the driver's again. */
static uint64_t place_report_post(struct vnic *card, uint32_t index)
{
    struct chimney *m = card->chimney;
    const struct chm_connection *c = chimney_connection(m, index);
    const struct chm_work *w = &m->work[post_first(m, c)];
    uint64_t words[CHM_COMPLETION_WORDS] = {[3] = COMPLETION_TYPE_CHM_RECEIVE};
    chm_completion_set_handle(words, chimney_handle(index, c->generation));
    chm_completion_set_count(words, 1);
    chm_completion_set_status(words, w->status);
    chm_completion_set_pushed(words, (w->flags & CHM_WORK_PUSHED) != 0);
    chm_completion_set_bytes(words, w->len);
    if (report_write(card, chimney_report_pair(card, c), words)) {
        post_forget_done(m, index);
    }
    return COMPLETION_BYTES;
}

bool chimney_place_step(struct vnic *card, uint32_t index, uint64_t *bytes)
{
    const struct chimney *m = card->chimney;
    const struct chm_connection *c = chimney_connection(m, index);
    if (place_state(card, index) != PLACE_READY) {
        return false;
    }
    if (post_is_done(m, c)) {
        *bytes += place_report_post(card, index);
    } else if (chimney_waiting(m, index) == 0) {
        post_finish(card, index, CHM_STATUS_AFTER_FIN, false); /* [CHM-46] */
    } else if (place_has_post(c)) {
        *bytes += place_in_post(card, index);
    } else {
        *bytes += place_in_pool(card, index);
    }
    return true;
}

/* ---- the end ---- */

void place_forget_waiting(struct vnic *card, uint32_t index)
{
    struct chimney *m = card->chimney;
    struct chm_connection *c = chimney_connection(m, index);
    c->deliver_seq += chimney_waiting(m, index);
    place_trim(card, index);
}

void chimney_place_drop(struct chimney *m, uint32_t index)
{
    struct chm_connection *c = chimney_connection(m, index);
    post_drop(m, index);
    held_leave(m, index);
    blocks_release_all(&m->blocks, &c->blocks);
}
