/* offload.c: checks of the transmit context, checksum insertion, tag insertion, padding. */
#include "nic/offload.h"

#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "nic/largesend.h"
#include "wire/frame.h"

#define CONTEXT0_USED                                                                                        \
    (TX_CONTEXT_L3_OFFSET_MASK | TX_CONTEXT_L4_OFFSET_MASK | TX_CONTEXT_HDR_LEN_MASK                         \
     | TX_CONTEXT_VLAN_TCI_MASK)
#define CONTEXT1_USED                                                                                        \
    (TX_CONTEXT_MSS_MASK | TX_CONTEXT_TYPE_MASK | TX_CONTEXT_IP_CSUM_MASK | TX_CONTEXT_L4_CSUM_MASK          \
     | TX_CONTEXT_LSO_MASK | TX_CONTEXT_VLAN_INSERT_MASK | TX_CONTEXT_L3_KIND_MASK                           \
     | TX_CONTEXT_L4_KIND_MASK)

#define TX_HEADER_MIN (WIRE_ETH_LEN + WIRE_IPV4_LEN + WIRE_TCP_LEN)
#define TCP_CSUM_OFFSET 16u
#define UDP_CSUM_OFFSET 6u
#define IPV4_CSUM_OFFSET 10u

/* ---- checks ---- */

static bool context_is_ipv4(const uint64_t *c)
{
    return tx_context_l3_kind(c) == L3_KIND_IPV4;
}

static uint32_t context_csum_offset(const uint64_t *c)
{
    return tx_context_l4_kind(c) == L4_KIND_TCP ? TCP_CSUM_OFFSET : UDP_CSUM_OFFSET;
}

/* [TX-9] Offsets lie in the frame, in order, with room for what is written there. */
static bool offload_offsets_fit(const uint64_t *c, uint32_t total)
{
    uint32_t l3 = (uint32_t)tx_context_l3_offset(c);
    uint32_t l4 = (uint32_t)tx_context_l4_offset(c);
    if (tx_context_ip_csum(c) && (!context_is_ipv4(c) || l3 < WIRE_ETH_LEN || l3 + WIRE_IPV4_LEN > total)) {
        return false;
    }
    uint32_t l3_min = context_is_ipv4(c) ? (uint32_t)WIRE_IPV4_LEN : (uint32_t)WIRE_IPV6_LEN;
    return !tx_context_l4_csum(c)
           || (l3 >= WIRE_ETH_LEN && l4 >= l3 + l3_min && l4 + context_csum_offset(c) + 2 <= total);
}

/* [TX-11] What a large send must say of itself; its headers are checked when they have been read. */
static enum tx_status offload_check_large_send(const struct vnic *card, const struct tx_frame *t)
{
    uint32_t header = (uint32_t)tx_context_hdr_len(t->context);
    uint32_t mss = (uint32_t)tx_context_mss(t->context);
    if (t->total > TX_LSO_MAX || header >= t->total) {
        return TX_STATUS_LENGTH;
    }
    bool is_sound = header >= TX_HEADER_MIN && header <= TX_HEADER_MAX && mss >= TX_MSS_MIN
                    && header + mss <= card->config.max_frame
                    && tx_context_l4_kind(t->context) == L4_KIND_TCP;
    return is_sound ? TX_STATUS_OK : TX_STATUS_OFFLOAD;
}

enum tx_status offload_check(const struct vnic *card)
{
    const struct tx_frame *t = &card->state.tx;
    if (t->has_context && ((t->context[0] & ~CONTEXT0_USED) != 0 || (t->context[1] & ~CONTEXT1_USED) != 0)) {
        return TX_STATUS_DESCRIPTOR;
    }
    if (offload_is_large_send(t)) {
        return offload_check_large_send(card, t);
    }
    if (t->total < FRAME_MIN || t->total > card->config.max_frame) {
        return TX_STATUS_LENGTH;
    }
    return !t->has_context || offload_offsets_fit(t->context, t->total) ? TX_STATUS_OK : TX_STATUS_OFFLOAD;
}

bool offload_is_sound(struct vnic *card)
{
    const struct tx_frame *t = &card->state.tx;
    bool is_segmenting = t->phase == TX_PHASE_SEGMENT;
    if (is_segmenting != offload_is_large_send(t)) {
        return false;
    }
    if (is_segmenting) {
        return largesend_is_sound(card);
    }
    bool is_ready = t->phase == TX_PHASE_READY;
    return t->filled == 0 && t->segment == 0 && t->sent_frames == 0 && t->sent_bytes == 0
           && is_ready == (t->taken == t->total);
}

/* ---- lengths ---- */

static bool offload_has_tag(const struct tx_frame *t)
{
    return t->has_context && tx_context_vlan_insert(t->context) != 0;
}

static uint32_t offload_padded(const struct vnic *card, uint32_t len)
{
    bool is_padding = card_is_set(card, REG_MAC_TX_CTRL, MAC_TX_CTRL_PAD_MASK);
    return is_padding ? bits_max32(len, TX_PAD_TO) : len;
}

uint32_t offload_len(const struct vnic *card)
{
    const struct tx_frame *t = &card->state.tx;
    uint32_t bytes =
        t->phase == TX_PHASE_SEGMENT ? (uint32_t)tx_context_hdr_len(t->context) + t->filled : t->total;
    return offload_padded(card, bytes + (offload_has_tag(t) ? VLAN_TAG_BYTES : 0));
}

/* ---- changes to the frame ---- */

/* The IPv4 header as long as it says, or the contradiction that it does not fit. */
static enum tx_status offload_ip_csum(uint8_t *ip, uint32_t room)
{
    uint32_t header = (ip[0] & 0xFu) * 4u;
    if (ip[0] >> 4 != 4 || header < WIRE_IPV4_LEN || header > room) {
        return TX_STATUS_OFFLOAD;
    }
    be16_store(ip + IPV4_CSUM_OFFSET, 0);
    be16_store(ip + IPV4_CSUM_OFFSET, csum_field(csum_add(0, ip, header)));
    return TX_STATUS_OK;
}

/* [TX-8] The field holds the pseudo-header's sum, so that the sum from the transport header on is the
 * whole sum. */
static void offload_l4_csum(const struct vnic *card, const uint64_t *c, uint8_t *l4, uint32_t len)
{
    uint64_t sum = card->scratch.csum->add(0, l4, len);
    bool is_udp = tx_context_l4_kind(c) == L4_KIND_UDP;
    be16_store(l4 + context_csum_offset(c), is_udp ? csum_field_udp(sum) : csum_field(sum));
}

enum tx_status offload_apply(struct vnic *card)
{
    struct tx_frame *t = &card->state.tx;
    uint8_t *frame = offload_stage(card);
    if (!t->has_context) {
        return TX_STATUS_OK;
    }
    uint32_t l3 = (uint32_t)tx_context_l3_offset(t->context);
    uint32_t l4 = (uint32_t)tx_context_l4_offset(t->context);
    if (tx_context_ip_csum(t->context) && offload_ip_csum(frame + l3, t->total - l3) != TX_STATUS_OK) {
        return TX_STATUS_OFFLOAD;
    }
    if (tx_context_l4_csum(t->context)) {
        if (frame[l3] >> 4 != (context_is_ipv4(t->context) ? 4 : 6)) {
            return TX_STATUS_OFFLOAD;
        }
        offload_l4_csum(card, t->context, frame + l4, t->total - l4);
    }
    if (tx_context_ip_csum(t->context) || tx_context_l4_csum(t->context)) {
        card_count(card, STAT(TX_CSUM_INSERTED));
    }
    return TX_STATUS_OK;
}

/* [TX-10] The tag goes behind the addresses: they move to the front, the rest stays. */
static uint8_t *offload_insert_tag(uint8_t *frame, uint16_t tci)
{
    uint8_t *tagged = frame - VLAN_TAG_BYTES;
    memmove(tagged, frame, 12);
    be16_store(tagged + 12, WIRE_ETHERTYPE_VLAN);
    be16_store(tagged + 14, tci);
    return tagged;
}

const uint8_t *offload_finish(struct vnic *card, uint8_t *start, uint32_t bytes, uint32_t *len)
{
    const struct tx_frame *t = &card->state.tx;
    if (offload_has_tag(t)) {
        start = offload_insert_tag(start, (uint16_t)tx_context_vlan_tci(t->context));
        bytes += VLAN_TAG_BYTES;
    }
    *len = offload_padded(card, bytes);
    memset(start + bytes, 0, *len - bytes);
    return start;
}

const uint8_t *offload_frame(struct vnic *card, uint32_t *len)
{
    return offload_finish(card, offload_stage(card), card->state.tx.total, len);
}
