/* chimney_receive.c: segments that arrive for offloaded connections. */
#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "nic/chimney_apply.h"
#include "nic/chimney_arrival.h"
#include "nic/classify.h"
#include "nic/filter.h"
#include "wire/seq.h"
#include "wire/verify.h"

#define RECEIVE_VLAN_ID 0xFFFu
#define RECEIVE_PORTS 4u /* bytes of the ports */
#define RECEIVE_OTHERS (TCP_FIN | TCP_SYN | TCP_RST | TCP_URG)

/* ---- whose it is ---- */

/* TCP alone in an IP datagram that is whole, without options or extension headers, in at most one tag. */
static bool receive_is_plain(const struct wire_frame *f, const uint8_t *frame)
{
    bool has_known_tag = (f->flags & WIRE_VLAN) == 0 || be16_load(frame + 12) == WIRE_ETHERTYPE_VLAN;
    return f->l4 == WIRE_L4_TCP && (f->flags & ~(uint32_t)WIRE_VLAN) == 0 && has_known_tag;
}

void chimney_tuple_of(const struct wire_frame *f, const uint8_t *frame, struct chm_tuple *tuple)
{
    const uint8_t *ip = frame + f->l2_len, *tcp = frame + f->l4_offset;
    *tuple = (struct chm_tuple){.local_port = be16_load(tcp + 2), .remote_port = be16_load(tcp)};
    if (f->l3 == WIRE_L3_IPV6) {
        tuple->is_ipv6 = 1;
        memcpy(tuple->remote, ip + 8, 16);
        memcpy(tuple->local, ip + 24, 16);
    } else {
        memcpy(tuple->remote, ip + 12, 4);
        memcpy(tuple->local, ip + 16, 4);
    }
}

/* The id that stands in the tag, stripped or not; 0 without. */
static uint16_t receive_vlan(const struct rx_class *c)
{
    uint16_t tci = c->is_stripped ? c->vlan_tci : (c->frame.flags & WIRE_VLAN) ? c->frame.vlan_tci : 0;
    return tci & RECEIVE_VLAN_ID;
}

enum chm_match chimney_match(const struct vnic *card, const uint8_t *frame, const struct rx_class *c,
                             uint32_t *index)
{
    struct chm_tuple tuple;
    if (!chimney_has_connections(card) || !receive_is_plain(&c->frame, frame)) {
        return CHM_MATCH_NONE;
    }
    chimney_tuple_of(&c->frame, frame, &tuple);
    return chimney_lookup(card->chimney, &tuple, receive_vlan(c), index);
}

/* What is addressed to others, or to many, is not the connection's, whoever lets it in. */
static bool receive_is_to_us(const struct vnic *card, const struct chm_neighbour *n, const uint8_t *frame)
{
    static const uint8_t none[6];
    uint64_t own = regfile_get64(&card->regs, REG_MAC_ADDR);
    if (memcmp(n->source, none, sizeof none) != 0) {
        return memcmp(frame, n->source, sizeof n->source) == 0;
    }
    return (le32_load(frame) | (uint64_t)le16_load(frame + 4) << 32) == (own & 0xFFFFFFFFFFFFu);
}

/* Its ports are in it, and nothing of it is strange but that it is a fragment. */
static bool receive_is_first_fragment(const struct wire_frame *f, const uint8_t *frame)
{
    uint32_t strange =
        f->flags & ~(uint32_t)(WIRE_VLAN | WIRE_FRAGMENT | WIRE_FIRST_FRAGMENT | WIRE_IP_OPTIONS);
    bool has_known_tag = (f->flags & WIRE_VLAN) == 0 || be16_load(frame + 12) == WIRE_ETHERTYPE_VLAN;
    return strange == 0 && has_known_tag && f->proto == WIRE_PROTO_TCP && f->l4_len >= RECEIVE_PORTS
           && verify_ipv4_header(f, frame) != VERIFY_BAD;
}

/* [CHM-51] The host reassembles the datagram; whose it is says its first fragment. */
static void receive_note_fragment(struct vnic *card, const uint8_t *frame, const struct rx_class *c)
{
    const struct chimney *m = card->chimney;
    struct chm_tuple tuple;
    uint32_t index = 0;
    if (m->parameters.fragments == 0 || !receive_is_first_fragment(&c->frame, frame)) {
        return;
    }
    chimney_tuple_of(&c->frame, frame, &tuple);
    if (chimney_lookup(m, &tuple, receive_vlan(c), &index) == CHM_MATCH_FOUND
        && receive_is_to_us(card, chimney_neighbour_of(m, chimney_connection(m, index)), frame)) {
        chimney_habit_fragment(card, index);
    }
}

/* Segments that mean nothing to a connection that is over are the host's. */
static bool receive_is_over(const struct tcp_connection *t, const uint8_t *tcp)
{
    return t->state == TCP_STATE_CLOSED || (t->state == TCP_STATE_TIME_WAIT && (tcp[13] & TCP_SYN) != 0);
}

/* ---- one segment ---- */

/* The next in order, and nothing else in it: where it goes is known before the engine has seen it. */
static bool receive_is_predicted(const struct tcp_connection *t, const struct tcp_segment *s)
{
    return s->len != 0 && s->seq == t->rcv_nxt && t->ranges == 0 && (s->control & RECEIVE_OTHERS) == 0
           && s->len <= t->rcv_adv - t->rcv_nxt && !tcp_has(t, TCP_FIN_RECEIVED | TCP_FROZEN);
}

/* Of the payload only what is new and offered needs room; all of it that is not in order may be left out. */
static bool receive_has_room(struct vnic *card, uint32_t index, struct tcp_segment *s)
{
    struct chimney *m = card->chimney;
    const struct tcp_connection *t = &m->tcp[index];
    uint32_t end = seq_min(s->seq + s->len, t->rcv_adv), seq = seq_max(s->seq, t->rcv_nxt);
    if (s->len == 0 || seq_ge(seq, end) || tcp_has(t, TCP_FIN_RECEIVED)) {
        return true;
    }
    if (seq == t->rcv_nxt) {
        return held_make_room(card, index, seq, end - seq);
    }
    s->refused = !held_has_room(m, index, seq, end - seq);
    m->stat[CHM_STAT(NO_BLOCK)] += s->refused;
    return true;
}

/* [CHM-48] Not acknowledged: the peer sends it again, to the host. */
static void receive_refuse(struct vnic *card, uint32_t index)
{
    struct chimney *m = card->chimney;
    m->stat[CHM_STAT(NO_BLOCK)]++;
    m->stat[m->tcp[index].is_ipv6 ? CHM_STAT(IP6_IN_DISCARDS) : CHM_STAT(IP4_IN_DISCARDS)]++;
    chimney_retrieve(card, index, CHM_REASON_UPLOAD_REQUESTED);
}

/* Bytes that were placed early and that the engine did not take lie behind what is said to be there. */
static void receive_take(struct vnic *card, uint32_t index, struct tcp_segment *s, const uint8_t *bytes)
{
    struct chimney *m = card->chimney;
    struct tcp_connection *t = &m->tcp[index];
    struct apply_payload payload = {bytes, PLACE_EARLY_NOT};
    struct tcp_result result;
    uint32_t rcv_nxt = t->rcv_nxt;
    if (receive_is_predicted(t, s)) {
        payload.early = place_try(card, index, bytes, s->len);
    }
    if (payload.early == PLACE_EARLY_NOT && !receive_has_room(card, index, s)) {
        receive_refuse(card, index);
        return;
    }
    tcp_input(m->engine, t, card->pci.now_ns, s, &result);
    apply_result(card, index, &result, &payload);
    if (result.events & TCP_EVENT_DATA) {
        chimney_habit_received(card, index, result.seq != rcv_nxt);
    }
}

/* [CHM-41] A connection that is stopped takes nothing, and acknowledges nothing. */
static bool receive_is_deaf(const struct chm_connection *c)
{
    return chimney_has(c, CHM_STOPPED | CHM_ABORTED | CHM_ENDING);
}

static void receive_discard(struct vnic *card, bool is_ipv6)
{
    card->chimney->stat[is_ipv6 ? CHM_STAT(IP6_IN_DISCARDS) : CHM_STAT(IP4_IN_DISCARDS)]++;
}

static void receive_count_error(struct vnic *card, bool is_ipv6)
{
    card->chimney->stat[is_ipv6 ? CHM_STAT(TCP6_IN_ERRORS) : CHM_STAT(TCP4_IN_ERRORS)]++;
}

/* [CHM-40] The sum covers payload too: it is taken before a byte of it moves. */
static bool receive_is_good(const struct vnic *card, const struct wire_frame *f, const uint8_t *frame)
{
    uint64_t sum = card->scratch.csum->add(0, frame + f->l4_offset, f->l4_len);
    return verify_l4_sum(f, frame, f->l4_len, sum) == VERIFY_GOOD;
}

static uint8_t receive_ecn(const struct wire_frame *f, const uint8_t *frame)
{
    const uint8_t *ip = frame + f->l2_len;
    return f->l3 == WIRE_L3_IPV6 ? ip[1] >> 4 & 3 : ip[1] & 3;
}

static void receive_segment(struct vnic *card, uint32_t index, const struct wire_frame *f,
                            const uint8_t *frame)
{
    struct tcp_segment s;
    const uint8_t *tcp = frame + f->l4_offset;
    bool is_ipv6 = f->l3 == WIRE_L3_IPV6;
    chimney_count_in(card, is_ipv6, (uint32_t)(f->l4_offset - f->l2_len) + f->l4_len);
    if (!receive_is_good(card, f, frame) || tcp_header_parse(&s, tcp, f->l4_len) != 0) {
        receive_count_error(card, is_ipv6);
    } else if (receive_is_deaf(chimney_connection(card->chimney, index))) {
        receive_discard(card, is_ipv6);
    } else {
        s.ecn = receive_ecn(f, frame);
        s.refused = 0;
        receive_take(card, index, &s, tcp + f->l4_len - s.len);
    }
}

/* ---- the ways in ---- */

bool chimney_receive_guessed(struct vnic *card, const uint8_t *frame, const struct rx_class *c,
                             uint32_t guess, uint64_t *bytes)
{
    struct chimney *m = card->chimney;
    uint32_t index = guess;
    if (c->frame.flags & WIRE_FIRST_FRAGMENT) {
        receive_note_fragment(card, frame, c);
        return false;
    }
    enum chm_match match = chimney_match(card, frame, c, &index);
    if (match == CHM_MATCH_NONE || verify_ipv4_header(&c->frame, frame) == VERIFY_BAD) {
        return false;
    }
    if (match == CHM_MATCH_WRONG_VLAN) {
        m->stat[CHM_STAT(WRONG_VLAN)]++;
        return true;
    }
    const struct chm_connection *connection = chimney_connection(m, index);
    if (!receive_is_to_us(card, chimney_neighbour_of(m, connection), frame)
        || receive_is_over(&m->tcp[index], frame + c->frame.l4_offset)) {
        return false;
    }
    *bytes += c->frame.l4_len;
    receive_segment(card, index, &c->frame, frame);
    return true;
}

bool chimney_receive(struct vnic *card, const uint8_t *frame, const struct rx_class *c, uint64_t *bytes)
{
    return chimney_receive_guessed(card, frame, c, 0, bytes);
}

/* [CHM-50] Its checksum is the host's business, which has received it. */
void chimney_receive_forwarded(struct vnic *card, uint32_t index, const uint8_t *segment, uint32_t len)
{
    struct chimney *m = card->chimney;
    const struct tcp_connection *t = &m->tcp[index];
    struct tcp_segment s;
    m->stat[t->is_ipv6 ? CHM_STAT(TCP6_IN_SEGMENTS) : CHM_STAT(TCP4_IN_SEGMENTS)]++;
    bool is_its_own = len >= WIRE_TCP_LEN && be16_load(segment) == t->remote_port
                      && be16_load(segment + 2) == t->local_port;
    if (!is_its_own || tcp_header_parse(&s, segment, len) != 0) {
        receive_count_error(card, t->is_ipv6);
    } else if (!receive_is_deaf(chimney_connection(m, index)) && t->state != TCP_STATE_CLOSED) {
        s.ecn = TCP_NOT_ECT;
        s.refused = 0;
        receive_take(card, index, &s, segment + len - s.len);
    }
}
