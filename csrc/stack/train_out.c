/* Cutting: what the packets of a large segment share is written once, the rest is put in for each. */
#include "stack/train_out.h"

#include "base/bits.h"
#include "stack/network.h"
#include "stack/segment_out.h"
#include "stack/send_queue.h"
#include "stack/state.h"
#include "wire/seq.h"

enum {
    TCP_SEQ_AT = 4,
    TCP_CONTROL_AT = 13,
    TCP_CHECKSUM_AT = 16,
    IPV4_LEN_AT = 2,
    IPV4_SUM_AT = 10,
    IPV6_LEN_AT = 4
};

void train_out_start(struct vnic_stack *s, const struct socket *socket, const struct tcp_connection *c,
                     const struct tcp_segment *segment)
{
    struct train_out *t = &s->trains[socket->path.interface];
    struct tcp_segment full = *segment;
    uint32_t tcp_len;
    uint8_t *l4;

    full.len = segment->mss;
    full.seq = 0;
    full.control &= (uint8_t)~(TCP_PSH | TCP_FIN);
    t->index = socket_index(&s->sockets, socket);
    t->generation = socket->generation;
    t->seq = segment->seq;
    t->left = segment->len;
    t->piece = 0;
    t->mss = segment->mss;
    t->last_control = segment->control & (TCP_PSH | TCP_FIN);
    t->is_ipv6 = c->is_ipv6;
    t->l4_offset = (uint16_t)segment_out_header(s, socket, c, &full, t->header);
    l4 = t->header + t->l4_offset;
    tcp_len = (uint32_t)(l4[12] >> 4) * 4;
    t->header_len = (uint16_t)(t->l4_offset + tcp_len);
    t->sum = csum_tcp_header(segment_out_pseudo(c, l4, tcp_len + full.len), l4, tcp_len / 4);
}

/* The connection that it belongs to, or NULL when it has ended meanwhile, or its path: the rest counts as lost. */
static struct socket *train_socket(struct vnic_stack *s, const struct train_out *t)
{
    struct socket *socket = &s->sockets.list[t->index];

    return socket->generation == t->generation && socket_has(socket, SOCKET_LISTED)
                   && network_path_is_current(s, &socket->path)
               ? socket
               : NULL;
}

/* A peer may acknowledge what it cannot have seen: those bytes are gone. False: all of them. */
static bool train_skip_acknowledged(struct train_out *t, const struct tcp_connection *c)
{
    const uint32_t gone = c->snd_una - t->seq;

    if (seq_le(c->snd_una, t->seq)) {
        return true;
    }
    if (gone >= t->left) {
        return false;
    }
    t->seq += gone;
    t->left -= gone;
    t->piece = 0;
    return true;
}

static uint64_t train_copy(struct vnic_stack *s, struct train_out *t, struct socket *socket, uint32_t len,
                           uint8_t *out)
{
    uint64_t sum;

    if (t->piece == 0) {
        t->bytes = send_queue_at(s, socket, t->seq, &t->piece);
    }
    if (t->piece < len) {
        t->piece = 0;
        return send_queue_read(s, socket, t->seq, len, out);
    }
    sum = s->csum->copy(out, t->bytes, len, 0);
    s->statistics.copied_bytes += len;
    t->bytes += len;
    t->piece -= len;
    return sum;
}

/* The last packet: its length and control bits differ. Returns the sum of its headers, without the number. */
static uint64_t train_write_last(const struct train_out *t, uint32_t len, uint8_t *out)
{
    uint8_t *ip = out + t->l4_offset - (t->is_ipv6 ? WIRE_IPV6_LEN : WIRE_IPV4_LEN), *l4 = out + t->l4_offset;
    const uint32_t l4_len = t->header_len - t->l4_offset + len;
    const uint16_t less = (uint16_t)(t->mss - len);

    l4[TCP_CONTROL_AT] |= t->last_control;
    if (t->is_ipv6) {
        be16_store(ip + IPV6_LEN_AT, (uint16_t)l4_len);
    } else {
        be16_store(ip + IPV4_LEN_AT, (uint16_t)(WIRE_IPV4_LEN + l4_len));
        be16_store(ip + IPV4_SUM_AT, 0);
        be16_store(ip + IPV4_SUM_AT, csum_field(csum_words(0, ip, WIRE_IPV4_LEN / 4)));
    }
    return t->sum + csum_of16((uint16_t)~less) + csum_of16(t->last_control);
}

uint32_t train_out_next(struct vnic_stack *s, uint32_t interface, uint8_t *out,
                        struct vnic_stack_frame *frame)
{
    struct train_out *t = &s->trains[interface];
    struct socket *socket = train_socket(s, t);
    uint8_t *l4 = out + t->l4_offset;
    uint64_t sum = t->sum;
    uint32_t len;

    if (socket == NULL || !train_skip_acknowledged(t, &s->connections[t->index])) {
        t->index = 0;
        return 0;
    }
    len = bits_min32(t->left, t->mss);
    memcpy(out, t->header, sizeof(t->header));
    if (len == t->left) {
        sum = train_write_last(t, len, out);
        t->index = 0;
    }
    be32_store(l4 + TCP_SEQ_AT, t->seq);
    sum =
        csum_words(sum, l4 + TCP_SEQ_AT, 1) + csum_reduce(train_copy(s, t, socket, len, out + t->header_len));
    be16_store(l4 + TCP_CHECKSUM_AT, csum_field(sum));
    t->seq += len;
    t->left -= len;
    *frame = (struct vnic_stack_frame){
        .len = t->header_len + len, .is_ipv6 = t->is_ipv6, .is_tcp = 1, .header_len = t->header_len};
    return frame->len;
}
