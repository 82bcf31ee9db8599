/* driver_tricks.c: what a hostile card does: lies, deafness, made-up completions, damage, and its end. */
#include <string.h>

#include "driver_world.h"

#define LEFT_MOST 64u

/* Words that hardware can give values of its own to, and which bits. */
struct place {
    uint32_t offset, mask;
};
static const struct place places[] = {
    {REG_GLB_TYPE, 0}, /* all ones only: the card is gone */
    {REG_GLB_STATUS, 0x3},
    {REG_GLB_SPEED, UINT32_MAX},
    {REG_GLB_EVENT, 0x1F},
    {REG_INT_CAUSE, 0x7},
    {REG_QP_RX_STATUS, 0xF1},
    {REG_QP_TX_STATUS, 0xF1},
    {REG_QP_CQ_STATUS, 0xF1},
    {REG_QP_RX_STATUS + REG_QP_STRIDE, 0xF1},
    {REG_QP_TX_STATUS + REG_QP_STRIDE, 0xF1},
    {REG_QP_CQ_STATUS + REG_QP_STRIDE, 0xF1},
    {REG_QP_RX_HEAD, 0x7FFF},
    {REG_QP_TX_HEAD, 0x7FFF},
    {REG_QP_CQ_HEAD, 0x7FFF},
    {REG_STAT_RX_UNICAST_FRAMES, UINT32_MAX},
    {REG_STAT_RX_UNICAST_BYTES, UINT32_MAX},
    {REG_STAT_TX_UNICAST_FRAMES + 4, UINT32_MAX},
    {REG_STAT_RX_DROP_DMA, UINT32_MAX},
    {REG_MAC_PERM_ADDR, UINT32_MAX},
    {REG_MAC_PERM_ADDR + 4, 0xFFFF},
    {REG_GLB_CAPS, 0x0FFFFFFF},
    {REG_GLB_FEATURES, 0xFF},
    {REG_GLB_MAX_FRAME, 0xFFFF},
    {REG_GLB_MAX_RING, 0xFFFF},
    {REG_TEST_ECHO, UINT32_MAX},
    {REG_TEST_DMA_STATUS, 0x71},
    {REG_RSS_STATUS, 0xFFFF0003},
    {REG_VEC_CTRL, 0x3},
    {REG_VEC_STATUS, 0x1},
};
#define PLACES ((uint32_t)(sizeof places / sizeof places[0]))

/* ---- reads and writes ---- */

void fuzz_trick_lie(struct fuzz_world *w, uint32_t a, uint32_t b, uint32_t c)
{
    const struct place *place = &places[b % PLACES];
    const bool is_anywhere = !w->options.is_bounded && a & 0x80;
    struct fuzz_lie lie = {place->offset, c, 1 + b / PLACES % LEFT_MOST, (uint8_t)(a % TWISTS)};
    if (is_anywhere) {
        lie.offset = b % REG_MAP_BYTES & ~3u;
        lie.left = 1 + (a >> 3 & 7);
    }
    if (w->options.is_bounded) {
        lie.value &= place->mask;
        lie.twist = place->mask == 0 ? TWIST_ONES : lie.twist == TWIST_ADD ? TWIST_SET : lie.twist;
    }
    for (uint32_t i = 0; i < FUZZ_LIES; i++) {
        if (w->card.lie[i].left == 0 || i + 1 == FUZZ_LIES) {
            w->card.lie[i] = lie;
            break;
        }
    }
    w->card.has_lied |= !w->options.is_bounded;
}

uint32_t fuzz_trick_answer(struct fuzz_card *card, uint32_t offset, uint32_t truth)
{
    for (uint32_t i = 0; i < FUZZ_LIES; i++) {
        struct fuzz_lie *lie = &card->lie[i];
        if (lie->left == 0 || lie->offset != offset) {
            continue;
        }
        lie->left--;
        switch (lie->twist) {
        case TWIST_SET:
            return lie->value;
        case TWIST_XOR:
            return truth ^ lie->value;
        case TWIST_ADD:
            return truth + lie->value;
        default:
            return UINT32_MAX;
        }
    }
    return truth;
}

/* Hardware loses no write, but a bus may. */
void fuzz_trick_deafen(struct fuzz_world *w, uint32_t a, uint32_t b)
{
    static const uint32_t heard[] = {REG_QP_TX_TAIL, REG_QP_RX_TAIL, REG_QP_CQ_TAIL, REG_VEC_CTRL,
                                     REG_GLB_EVENT,  REG_INT_CTRL,   REG_QP_CQ_CTRL, REG_GLB_CTRL};
    const bool is_anywhere = !w->options.is_bounded && a & 0x80;
    const uint32_t offset = is_anywhere ? b % REG_MAP_BYTES & ~3u : heard[b % 8];
    w->card.deaf[a % FUZZ_LIES] = (struct fuzz_deafness){offset, 1 + (a >> 3 & 15)};
    w->card.has_lied = true;
}

bool fuzz_trick_hears(struct fuzz_card *card, uint32_t offset)
{
    for (uint32_t i = 0; i < FUZZ_LIES; i++) {
        if (card->deaf[i].left && card->deaf[i].offset == offset) {
            card->deaf[i].left--;
            return false;
        }
    }
    return true;
}

/* ---- completions ---- */

/* Hash, checksums, tag, kinds: any of them, as a frame may have them. */
static void words_decorate(uint64_t words[4], uint32_t c)
{
    rx_completion_set_hash(words, c * 2654435761u);
    rx_completion_set_hash_type(words, c >> 3);
    rx_completion_set_ip_csum(words, c % 3);
    rx_completion_set_l4_csum(words, c / 3 % 3);
    rx_completion_set_vlan(words, c >> 9);
    rx_completion_set_vlan_tci(words, c >> 7);
    rx_completion_set_ipv4(words, c >> 12);
    rx_completion_set_tcp(words, c >> 13);
    rx_completion_set_fragment(words, c >> 14);
}

/* Its bytes; NULL where the driver has mapped none. */
static const uint8_t *oldest_buffer(const struct fuzz_world *w, const struct fuzz_ring *rx, uint32_t len)
{
    const uint8_t *d = fuzz_memory_reach(&w->memory, rx->base + 16ull * rx->head, 16, false);
    return d ? fuzz_memory_reach(&w->memory, rx_desc_buf_addr((const uint64_t *)(const void *)d), len, true)
             : NULL;
}

/* Of the oldest buffer, used once and as far as it goes. */
static void receive_bounded(struct fuzz_world *w, uint32_t pair, uint32_t b, uint32_t c)
{
    struct fuzz_ring *rx = &w->card.pair[pair].rx;
    uint64_t words[4] = {0};
    if (!fuzz_ring_held(rx) || !fuzz_ring_held(&w->card.pair[pair].cq)) {
        return;
    }
    const uint32_t len = b % (rx->buf_len + 1);
    const uint8_t *bytes = oldest_buffer(w, rx, len);
    const uint32_t kind = c >> 28; /* below 8: whole; then its beginning, its end, an error */
    const bool is_whole = kind < 8 || kind >= 12, is_sound = len >= 14 && kind < 12 && bytes;
    if (is_whole && is_sound) {
        fuzz_transfer_note(w, bytes, len, true);
    }
    words_decorate(words, c);
    rx_completion_set_type(words, COMPLETION_TYPE_RX);
    rx_completion_set_queue(words, pair);
    rx_completion_set_index(words, rx->head);
    rx_completion_set_len(words, len);
    rx_completion_set_frame_len(words, len);
    rx_completion_set_sop(words, is_whole || kind < 10);
    rx_completion_set_eop(words, is_whole || kind >= 10);
    rx_completion_set_error(words, is_sound ? RX_ERROR_NONE : RX_ERROR_DMA);
    w->card.has_lied |= !is_whole;
    rx->head = (rx->head + 1) % rx->count;
    fuzz_ring_complete(w, pair, words);
}

void fuzz_trick_receive(struct fuzz_world *w, uint32_t a, uint32_t b, uint32_t c)
{
    const uint32_t pair = a % FUZZ_PAIRS;
    uint64_t words[4] = {0};
    if (w->options.is_bounded || a & 0x40) {
        receive_bounded(w, pair, b, c);
        return;
    }
    words_decorate(words, c);
    rx_completion_set_type(words, a & 0x20 ? c : COMPLETION_TYPE_RX);
    rx_completion_set_queue(words, a >> 1);
    rx_completion_set_index(words, a & 0x10 ? c >> 16 : w->card.pair[pair].rx.head + (a >> 1 & 7));
    rx_completion_set_len(words, b);
    rx_completion_set_frame_len(words, a & 8 ? c : b);
    rx_completion_set_sop(words, !(c & 1));
    rx_completion_set_eop(words, !(c & 2));
    rx_completion_set_error(words, c >> 24 == 1);
    w->card.has_lied = true;
    fuzz_ring_complete(w, pair, words);
}

void fuzz_trick_transmit(struct fuzz_world *w, uint32_t a, uint32_t b, uint32_t c)
{
    const uint32_t pair = a % FUZZ_PAIRS;
    struct fuzz_ring *tx = &w->card.pair[pair].tx;
    uint64_t words[4] = {0};
    const uint32_t held = fuzz_ring_held(tx);
    if (w->options.is_bounded && (!held || !fuzz_ring_held(&w->card.pair[pair].cq))) {
        return;
    }
    const bool is_anywhere = !w->options.is_bounded && a & 0x20;
    tx_completion_set_index(words, tx->head);
    if (tx->is_running && held && !is_anywhere) {
        tx->head = (tx->head + 1 + b % held) % tx->count;
    }
    tx_completion_set_head(words, is_anywhere ? b : tx->head);
    tx_completion_set_status(words, w->options.is_bounded ? c % (TX_STATUS_LINK + 1) : c);
    tx_completion_set_bytes(words, c >> 8);
    tx_completion_set_frames(words, 1);
    tx_completion_set_type(words, COMPLETION_TYPE_TX);
    tx_completion_set_queue(words, pair);
    w->card.has_lied |= is_anywhere;
    w->card.has_forged = true;
    fuzz_ring_complete(w, pair, words);
}

/* Unbounded only: hardware does not err in what it writes. */
void fuzz_trick_corrupt(struct fuzz_world *w, uint32_t a, uint32_t b, uint32_t c)
{
    if (!w->options.is_bounded) {
        w->card.corrupt_left = 1 + a % 8;
        w->card.corrupt_word = b % 4;
        w->card.corrupt_bits = (uint64_t)c << (b >> 2 & 32);
        w->card.has_lied = true;
    }
}

/* ---- memory ---- */

/* A buffer that the card has: bounded, it may write there whenever it likes before it completes it. */
static uint8_t *posted_buffer(struct fuzz_world *w, uint32_t number, size_t *len)
{
    const struct fuzz_ring *rx = &w->card.pair[number % FUZZ_PAIRS].rx;
    const uint32_t held = fuzz_ring_held(rx);
    const uint32_t index = held ? (rx->head + number / FUZZ_PAIRS % held) % rx->count : 0;
    const uint8_t *d = held ? fuzz_memory_reach(&w->memory, rx->base + 16ull * index, 16, false) : NULL;
    *len = rx->buf_len;
    return d ? fuzz_memory_reach(&w->memory, rx_desc_buf_addr((const uint64_t *)(const void *)d), rx->buf_len,
                                 true)
             : NULL;
}

void fuzz_trick_scribble(struct fuzz_world *w, uint32_t a, uint32_t b, uint32_t c)
{
    size_t len = 0;
    const bool is_anywhere = !w->options.is_bounded && a & 1;
    if (!fuzz_card_is_master(w)) {
        return;
    }
    uint8_t *to =
        is_anywhere ? fuzz_memory_writable(&w->memory, a >> 1, &len) : posted_buffer(w, a >> 1, &len);
    if (to != NULL) {
        const size_t at = (size_t)b * 8 % len;
        memcpy(to + at, &c, len - at < sizeof c ? len - at : sizeof c);
        w->card.has_lied |= is_anywhere;
    }
}

/* ---- rings and interrupts ---- */

void fuzz_trick_stop(struct fuzz_world *w, uint32_t a, uint32_t b)
{
    struct fuzz_pair *pair = &w->card.pair[a % FUZZ_PAIRS];
    struct fuzz_ring *ring[] = {&pair->rx, &pair->tx, &pair->cq};
    if (ring[b % 3]->is_running) {
        fuzz_ring_fail(w, ring[b % 3], b % 3 == 2 ? RING_ERROR_WRITE_DMA : RING_ERROR_FETCH_DMA);
    }
}

void fuzz_trick_hold(struct fuzz_world *w)
{
    struct fuzz_card *card = &w->card;
    card->is_holding = !card->is_holding;
    for (uint32_t v = 0; v < FUZZ_MESSAGES && !card->is_holding; v++) {
        if (card->held >> v & 1) {
            fuzz_card_message(w, v);
        }
    }
    card->held = card->is_holding ? card->held : 0;
}

void fuzz_trick_reform(struct fuzz_world *w)
{
    struct fuzz_card *card = &w->card;
    memset(card->lie, 0, sizeof card->lie);
    memset(card->deaf, 0, sizeof card->deaf);
    card->lost_interrupts = card->corrupt_left = 0;
    if (card->is_holding) {
        fuzz_trick_hold(w);
    }
}
