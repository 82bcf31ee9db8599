/* driver_transfer.c: frames through the rings of the card: gathered and sent, received and completed. */
#include <string.h>

#include "driver_world.h"

#define FRAME_DESCRIPTORS 128u
#define GATHERED_MOST 16384u

/* ---- frames that were received ---- */

uint64_t fuzz_transfer_sum(uint64_t sum, const uint8_t *bytes, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        sum = (sum ^ bytes[i]) * 0x100000001B3ull;
    }
    return sum;
}

void fuzz_transfer_note(struct fuzz_world *w, const uint8_t *bytes, uint32_t len, bool is_last)
{
    struct fuzz_frames *f = &w->card.frames;
    f->part = fuzz_transfer_sum(f->part ? f->part : FUZZ_SUM_BEGIN, bytes, len);
    if (is_last) {
        f->lost += f->sum[f->next] != 0;
        f->sum[f->next] = f->part;
        f->next = (f->next + 1) % FUZZ_FRAMES;
        f->part = 0;
    }
}

void fuzz_transfer_match(struct fuzz_world *w, uint64_t sum)
{
    struct fuzz_frames *f = &w->card.frames;
    for (uint32_t i = 0; i < FUZZ_FRAMES; i++) {
        if (f->sum[i] == sum) {
            f->sum[i] = 0;
            return;
        }
    }
    FUZZ_REQUIRE(f->lost || w->card.has_lied, "FUZ-35",
                 "a frame is indicated that the card did not receive, or that was indicated before");
}

/* ---- transmit ---- */

/* A frame as the card gathers it. */
struct gathered {
    uint32_t descriptors, len, status;
    bool is_reported, is_whole, is_plain;
    uint8_t bytes[GATHERED_MOST];
};

static void gather_data(struct fuzz_world *w, struct gathered *g, const uint64_t *d)
{
    const uint32_t len = (uint32_t)tx_data_len(d);
    const uint8_t *bytes =
        len ? fuzz_ring_reach(w, tx_data_addr(d), len, false, "a transmit descriptor") : NULL;
    if (bytes == NULL) {
        g->status = len ? TX_STATUS_DMA : TX_STATUS_DESCRIPTOR;
    } else if (len <= GATHERED_MOST && g->len <= GATHERED_MOST - len) {
        memcpy(g->bytes + g->len, bytes, len);
    }
    g->len += len;
    g->is_reported = tx_data_rs(d);
    g->is_whole = tx_data_eop(d);
}

/* Up to the end of a frame; it may not have been handed over yet. */
static void gather(struct fuzz_world *w, struct fuzz_ring *tx, struct gathered *g)
{
    const uint32_t held = fuzz_ring_held(tx);
    g->descriptors = g->len = g->status = 0;
    g->is_reported = g->is_whole = false;
    g->is_plain = true;
    while (!g->is_whole && g->descriptors < held && g->descriptors < FRAME_DESCRIPTORS) {
        const uint64_t *d = fuzz_ring_fetch(w, tx, (tx->head + g->descriptors++) % tx->count, "QP_TX_BASE");
        if (d == NULL) {
            return;
        }
        if (tx_data_type(d) == DESC_TYPE_DATA) {
            gather_data(w, g, d);
        } else if (tx_data_type(d) == DESC_TYPE_CONTEXT && g->descriptors == 1) {
            g->is_plain = false;
        } else {
            g->status = TX_STATUS_DESCRIPTOR;
            g->is_whole = true;
        }
    }
}

/* RING-8, and FUZ-35 of what is as it was handed down. */
static void gathered_judge(struct fuzz_world *w, struct gathered *g)
{
    FUZZ_REQUIRE(g->status != TX_STATUS_DESCRIPTOR || w->card.has_lied || w->card.has_forged, "FUZ-34",
                 "the card fetches a transmit descriptor that is none, or of no bytes");
    if (g->status == TX_STATUS_OK && g->is_plain && g->len <= GATHERED_MOST) {
        fuzz_send_leave(w, g->bytes, g->len, w->card.link_mbps != 0);
    }
    if (g->status == TX_STATUS_OK && (g->len < 14 || g->len > 262144)) {
        g->status = TX_STATUS_LENGTH;
    }
}

bool fuzz_transfer_send(struct fuzz_world *w, uint32_t pair)
{
    static struct gathered g;
    struct fuzz_pair *p = &w->card.pair[pair];
    uint64_t words[4] = {0};
    if (!fuzz_card_is_master(w) || !fuzz_ring_held(&p->tx) || !fuzz_ring_held(&p->cq)) {
        return false;
    }
    const uint32_t first = p->tx.head;
    gather(w, &p->tx, &g);
    if (!g.is_whole || !p->tx.is_running) {
        return false;
    }
    gathered_judge(w, &g);
    p->tx.head = (p->tx.head + g.descriptors) % p->tx.count;
    tx_completion_set_head(words, p->tx.head);
    tx_completion_set_index(words, first);
    tx_completion_set_status(words, w->card.link_mbps ? g.status : TX_STATUS_LINK);
    tx_completion_set_frames(words, g.status == TX_STATUS_OK);
    tx_completion_set_type(words, COMPLETION_TYPE_TX);
    tx_completion_set_queue(words, pair);
    if (g.is_reported || g.status != TX_STATUS_OK || !w->card.link_mbps) {
        fuzz_ring_complete(w, pair, words);
    }
    return true;
}

/* ---- receive ---- */

static bool buffer_fill(struct fuzz_world *w, struct fuzz_ring *rx, const uint8_t *frame, uint32_t len)
{
    const uint64_t *d = fuzz_ring_fetch(w, rx, rx->head, "QP_RX_BASE");
    if (d == NULL) {
        return false;
    }
    FUZZ_REQUIRE(
        w->card.has_lied || fuzz_memory_reach(&w->memory, rx_desc_buf_addr(d), rx->buf_len, true), "FUZ-33",
        "a receive descriptor names memory that is not mapped for writing, or shorter than QP_RX_BUF_LEN");
    uint8_t *to = fuzz_ring_reach(w, rx_desc_buf_addr(d), len, true, "a receive descriptor");
    if (to != NULL) {
        memcpy(to, frame, len);
    }
    return to != NULL;
}

static void buffer_complete(struct fuzz_world *w, uint32_t pair, uint32_t len, uint32_t frame_len,
                            uint32_t flags)
{
    struct fuzz_ring *rx = &w->card.pair[pair].rx;
    uint64_t words[4] = {0};
    rx_completion_set_type(words, COMPLETION_TYPE_RX);
    rx_completion_set_queue(words, pair);
    rx_completion_set_index(words, rx->head);
    rx_completion_set_len(words, len);
    rx_completion_set_frame_len(words, frame_len);
    rx_completion_set_sop(words, flags & 1);
    rx_completion_set_eop(words, flags >> 1 & 1);
    rx_completion_set_error(words, flags >> 2);
    rx->head = (rx->head + 1) % rx->count;
    fuzz_ring_complete(w, pair, words);
}

bool fuzz_transfer_receive(struct fuzz_world *w, uint32_t pair, const uint8_t *frame, uint32_t len)
{
    struct fuzz_pair *p = &w->card.pair[pair];
    const uint32_t most = p->rx.buf_len ? p->rx.buf_len : 1, buffers = (len + most - 1) / most;
    if (!fuzz_card_is_master(w) || !w->card.link_mbps || fuzz_ring_held(&p->rx) < buffers
        || fuzz_ring_held(&p->cq) < buffers) {
        return false;
    }
    for (uint32_t at = 0; at < len; at += most) {
        const uint32_t part = len - at < most ? len - at : most;
        const bool is_whole = buffer_fill(w, &p->rx, frame + at, part);
        if (!p->rx.is_running) {
            return false;
        }
        const uint32_t ends = at + part == len || !is_whole;
        if (is_whole) {
            fuzz_transfer_note(w, frame + at, part, ends);
        } else {
            w->card.frames.part = 0;
        }
        buffer_complete(w, pair, part, len, (at == 0) | ends << 1 | (is_whole ? 0u : RX_ERROR_DMA << 2));
        if (!is_whole || !p->rx.is_running) {
            return false;
        }
    }
    return true;
}

void fuzz_transfer_look(struct fuzz_world *w, uint32_t pair)
{
    struct fuzz_ring *rx = &w->card.pair[pair].rx;
    if (!w->card.is_eager || w->card.has_lied || !fuzz_card_is_master(w) || !fuzz_ring_held(rx)) {
        return;
    }
    const uint64_t *d = fuzz_ring_fetch(w, rx, (rx->tail + rx->count - 1) % rx->count, "QP_RX_BASE");
    FUZZ_REQUIRE(d && fuzz_memory_reach(&w->memory, rx_desc_buf_addr(d), rx->buf_len, true), "FUZ-33",
                 "a receive descriptor that was handed over names memory that is not mapped for writing");
}

/* ---- all of it ---- */

void fuzz_transfer_work(struct fuzz_world *w, uint32_t most)
{
    bool is_busy = true;
    while (is_busy && most > 0) {
        is_busy = false;
        for (uint32_t pair = 0; pair < FUZZ_PAIRS && most > 0; pair++) {
            const bool did = fuzz_transfer_send(w, pair);
            is_busy |= did;
            most -= did;
        }
    }
}
