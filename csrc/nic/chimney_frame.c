/* chimney_frame.c: the packets of a segment: headers, payload, checksums, counters. */
#include "nic/chimney_frame.h"

#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "nic/chimney_send.h"
#include "nic/emit.h"
#include "nic/receive.h"
#include "wire/checksum.h"

#define TCP_SEQ_AT 4u
#define TCP_CONTROL_AT 13u
#define TCP_CHECKSUM_AT 16u
#define IPV4_LEN_AT 2u
#define IPV4_ID_AT 4u
#define IPV4_CHECKSUM_AT 10u
#define IPV6_LEN_AT 4u
#define IPV4_DONT_FRAGMENT 0x4000u
#define IDENTIFICATION_UPPER 0x8000u
#define FLOW_LABEL_MASK 0xFFFFFu
#define USER_PRIORITY_SHIFT 29u
#define TCI_PRIORITY_SHIFT 13u

/* A counter of the connection's IP version. */
#define FRAME_STAT(t, proto, name) ((t)->is_ipv6 ? CHM_STAT(proto##6_##name) : CHM_STAT(proto##4_##name))

static uint32_t frame_ip_len(const struct tcp_connection *t)
{
    return t->is_ipv6 ? WIRE_IPV6_LEN : WIRE_IPV4_LEN;
}

/* ---- what the packets share ---- */

/* [CHM-26] A tag if and only if there is a VLAN id or a priority; the card's address unless the host gave one. */
static uint32_t frame_write_ethernet(const struct vnic *card, const struct chm_connection *c, bool is_ipv6,
                                     uint8_t *out)
{
    static const uint8_t none[6];
    const struct chm_neighbour *n = chimney_neighbour_of(card->chimney, c);
    uint32_t priority = c->label_priority >> USER_PRIORITY_SHIFT, at = 2 * sizeof n->source;
    memcpy(out, n->destination, sizeof n->destination);
    if (memcmp(n->source, none, sizeof none) != 0) {
        memcpy(out + 6, n->source, sizeof n->source);
    } else {
        uint64_t address = regfile_get64(&card->regs, REG_MAC_ADDR);
        le32_store(out + 6, (uint32_t)address);
        le16_store(out + 10, (uint16_t)(address >> 32));
    }
    if ((n->vlan | priority) != 0) {
        be16_store(out + at, WIRE_ETHERTYPE_VLAN);
        be16_store(out + at + 2, (uint16_t)(priority << TCI_PRIORITY_SHIFT | n->vlan));
        at += WIRE_VLAN_LEN;
    }
    be16_store(out + at, is_ipv6 ? WIRE_ETHERTYPE_IPV6 : WIRE_ETHERTYPE_IPV4);
    return at + 2;
}

static uint8_t frame_tos(const struct tcp_connection *t, const struct tcp_segment *segment)
{
    return (uint8_t)((t->tos & ~3u) | segment->ecn);
}

/* [CHM-25] Don't Fragment; Identification and checksum differ. */
static void frame_write_ipv4(const struct tcp_connection *t, uint8_t tos, uint32_t l4_len, uint8_t *out)
{
    be16_store(out, (uint16_t)(0x4500u | tos));
    be16_store(out + IPV4_LEN_AT, (uint16_t)(WIRE_IPV4_LEN + l4_len));
    be16_store(out + IPV4_ID_AT, 0);
    be16_store(out + 6, IPV4_DONT_FRAGMENT);
    out[8] = t->ttl;
    out[9] = WIRE_PROTO_TCP;
    be16_store(out + IPV4_CHECKSUM_AT, 0);
    memcpy(out + 12, t->local, 4);
    memcpy(out + 16, t->remote, 4);
}

static void frame_write_ipv6(const struct tcp_connection *t, uint32_t label, uint8_t tos, uint32_t l4_len,
                             uint8_t *out)
{
    be32_store(out, 6u << 28 | (uint32_t)tos << 20 | label);
    be16_store(out + IPV6_LEN_AT, (uint16_t)l4_len);
    out[6] = WIRE_PROTO_TCP;
    out[7] = t->ttl;
    memcpy(out + 8, t->local, 16);
    memcpy(out + 24, t->remote, 16);
}

/* The addresses lie before the TCP header in both versions. */
static uint64_t frame_pseudo(const uint8_t *l4, bool is_ipv6, uint32_t l4_len)
{
    return is_ipv6 ? csum_pseudo_v6(l4 - 32, l4 - 16, WIRE_PROTO_TCP, l4_len)
                   : csum_pseudo_v4(l4 - 8, WIRE_PROTO_TCP, l4_len);
}

/* Payload that one packet carries: what the engine says, and what the path bears by now. */
static uint32_t frame_payload_len(const struct chimney *m, uint32_t index, const struct tcp_segment *segment,
                                  uint32_t tcp_len)
{
    uint32_t headers = frame_ip_len(&m->tcp[index]) + tcp_len;
    uint32_t mtu = m->paths[chimney_connection(m, index)->path].mtu;
    uint32_t room = mtu > headers ? mtu - headers : 1;
    room = segment->mss != 0 ? bits_min32(room, segment->mss) : room;
    return bits_min32(segment->len, room);
}

void frame_begin(const struct vnic *card, struct frame_run *run, uint32_t index,
                 const struct tcp_segment *segment, bool is_again)
{
    const struct chimney *m = card->chimney;
    const struct chm_connection *c = chimney_connection(m, index);
    const struct tcp_connection *t = &m->tcp[index];
    uint8_t *l3, *l4;
    run->index = index;
    run->is_again = is_again;
    run->l3 = frame_write_ethernet(card, c, t->is_ipv6 != 0, run->header);
    run->l4 = run->l3 + frame_ip_len(t);
    l3 = run->header + run->l3;
    l4 = run->header + run->l4;
    uint32_t tcp_len = (uint32_t)tcp_header_write(segment, t->local_port, t->remote_port, l4);
    run->payload = run->l4 + tcp_len;
    run->len = frame_payload_len(m, index, segment, tcp_len);
    run->last_control = segment->control & (TCP_PSH | TCP_FIN);
    l4[TCP_CONTROL_AT] = (uint8_t)(segment->control & ~(TCP_PSH | TCP_FIN));
    be32_store(l4 + TCP_SEQ_AT, 0);
    if (t->is_ipv6) {
        frame_write_ipv6(t, c->label_priority & FLOW_LABEL_MASK, frame_tos(t, segment), tcp_len + run->len,
                         l3);
    } else {
        frame_write_ipv4(t, frame_tos(t, segment), tcp_len + run->len, l3);
    }
    run->ip_sum = csum_words(0, l3, WIRE_IPV4_LEN / 4);
    run->tcp_sum = csum_tcp_header(frame_pseudo(l4, t->is_ipv6 != 0, tcp_len + run->len), l4, tcp_len / 4);
}

/* ---- what differs ---- */

/* [CHM-25] An Identification of the upper half. */
static uint16_t frame_identification(struct chimney *m)
{
    uint16_t id = m->identification;
    m->identification = (uint16_t)((id + 1u) & (IDENTIFICATION_UPPER - 1));
    return (uint16_t)(IDENTIFICATION_UPPER | id);
}

/* less: payload bytes that this packet has less than the others. */
static void frame_put_ipv4(const struct frame_run *run, uint16_t id, uint32_t less, uint8_t *ip)
{
    uint64_t sum = run->ip_sum + csum_of16(id);
    if (less != 0) {
        be16_store(ip + IPV4_LEN_AT, (uint16_t)(be16_load(ip + IPV4_LEN_AT) - less));
        sum += csum_of16((uint16_t)~less);
    }
    be16_store(ip + IPV4_ID_AT, id);
    be16_store(ip + IPV4_CHECKSUM_AT, csum_field(sum));
}

static void frame_put_ipv6(uint32_t less, uint8_t *ip)
{
    be16_store(ip + IPV6_LEN_AT, (uint16_t)(be16_load(ip + IPV6_LEN_AT) - less));
}

/* One packet: its bytes, and what of them is known so far. */
struct frame_packet {
    struct send_read read;
    uint8_t control; /* beside what all have */
};

static void frame_put_headers(struct chimney *m, const struct frame_run *run, const struct frame_packet *p,
                              uint8_t *out)
{
    uint8_t *l4 = out + run->l4;
    uint32_t less = run->len - p->read.len;
    uint8_t control = (uint8_t)(p->control | (p->read.is_pushed ? TCP_PSH : 0)); /* [CHM-23] */
    memcpy(out, run->header, run->payload);
    if (m->tcp[run->index].is_ipv6) {
        frame_put_ipv6(less, out + run->l3);
    } else {
        frame_put_ipv4(run, frame_identification(m), less, out + run->l3);
    }
    l4[TCP_CONTROL_AT] |= control;
    be32_store(l4 + TCP_SEQ_AT, p->read.seq);
    uint64_t sum =
        csum_words(run->tcp_sum, l4 + TCP_SEQ_AT, 1) + csum_of16(control) + csum_reduce(p->read.sum);
    be16_store(l4 + TCP_CHECKSUM_AT, csum_field(less != 0 ? sum + csum_of16((uint16_t)~less) : sum));
}

static uint32_t frame_padded(const struct vnic *card, uint32_t len)
{
    return card_is_set(card, REG_MAC_TX_CTRL, MAC_TX_CTRL_PAD_MASK) ? bits_max32(len, TX_PAD_TO) : len;
}

static void frame_count(struct vnic *card, const struct frame_run *run, uint32_t len)
{
    struct chimney *m = card->chimney;
    const struct tcp_connection *t = &m->tcp[run->index];
    unsigned segments =
        run->is_again ? FRAME_STAT(t, TCP, RETRANSMITTED_SEGMENTS) : FRAME_STAT(t, TCP, OUT_SEGMENTS);
    m->stat[segments]++;
    m->stat[FRAME_STAT(t, TCP, OUT_RESETS)] += (run->header[run->l4 + TCP_CONTROL_AT] & TCP_RST) != 0;
    m->stat[FRAME_STAT(t, IP, OUT_OCTETS)] += run->payload - run->l3 + len;
    m->stat[CHM_STAT(SENT_BYTES)] += len;
    if (len != 0) {
        chimney_habit_sent(card, run->index, run->is_again);
    }
}

/* ---- leaving ---- */

/* The frame may be built where the link takes it, or the receiver: nobody looks at it or harms it on the way. */
static bool frame_is_quiet(const struct vnic *card, bool is_looped)
{
    return card->pci.faults.armed[VNIC_FAULT_FRAME_OUT] == 0
           && (is_looped
               || (!pci_is_observed(&card->pci, VNIC_EVENT_FRAME_OUT) && card->state.link_mbps != 0));
}

/* [TX-16] Looped and dropped at the door, it is built all the same. */
static uint8_t *frame_slot(struct vnic *card, bool is_looped, uint32_t len, unsigned queue)
{
    int verdict;
    uint8_t *slot =
        is_looped ? receive_slot(card, len, &verdict) : packet_buffer_push(&card->tx_buffer, len, queue);
    return slot != NULL ? slot : card->chimney->stage;
}

/* Copied once, from host memory to where the frame leaves, and summed on the way; false: not in one piece, or watched. */
static bool frame_send_straight(struct vnic *card, const struct frame_run *run, struct frame_packet *p)
{
    struct chimney *m = card->chimney;
    uint32_t bytes = run->payload + p->read.len, len = frame_padded(card, bytes);
    bool is_looped = card_is_set(card, REG_GLB_CTRL, GLB_CTRL_LOOPBACK_MASK);
    const uint8_t *from = NULL;
    if (!frame_is_quiet(card, is_looped) || !emit_has_room(card, len)
        || (p->read.len != 0 && (from = chimney_send_at(card, run->index, &p->read)) == NULL)) {
        return false;
    }
    uint8_t *out = frame_slot(card, is_looped, len, chimney_connection(m, run->index)->queue);
    p->read.sum = from != NULL ? card->scratch.csum->copy(out + run->payload, from, p->read.len, 0) : 0;
    frame_put_headers(m, run, p, out);
    memset(out + bytes, 0, len - bytes);
    emit_count(card, out, len);
    frame_count(card, run, p->read.len);
    return true;
}

static bool frame_send_staged(struct vnic *card, const struct frame_run *run, struct frame_packet *p)
{
    struct chimney *m = card->chimney;
    uint32_t bytes = run->payload + p->read.len, len = frame_padded(card, bytes);
    uint8_t *out = m->stage;
    if (p->read.len != 0 && !chimney_send_read(card, run->index, &p->read, out + run->payload)) {
        m->stat[FRAME_STAT(&m->tcp[run->index], IP, OUT_DISCARDS)]++;
        chimney_retrieve(card, run->index, CHM_REASON_HARDWARE_FAILURE); /* [CHM-27] */
        return false;
    }
    frame_put_headers(m, run, p, out);
    memset(out + bytes, 0, len - bytes);
    if (emit_has_room(card, len)
        && emit_frame(card, chimney_connection(m, run->index)->queue, out, len) == TX_STATUS_OK) {
        frame_count(card, run, p->read.len);
    } else {
        m->stat[FRAME_STAT(&m->tcp[run->index], IP, OUT_DISCARDS)]++;
    }
    return true;
}

bool frame_send(struct vnic *card, const struct frame_run *run, uint32_t seq, uint32_t len, bool is_last)
{
    struct chimney *m = card->chimney;
    struct frame_packet p = {{.seq = seq, .len = len}, is_last ? run->last_control : 0};
    m->stat[FRAME_STAT(&m->tcp[run->index], IP, OUT_REQUESTS)]++;
    if (chimney_has(chimney_connection(m, run->index), CHM_INVALID)) { /* [CHM-8] */
        m->stat[FRAME_STAT(&m->tcp[run->index], IP, OUT_NO_ROUTES)]++;
        return true;
    }
    return frame_send_straight(card, run, &p) || frame_send_staged(card, run, &p);
}
