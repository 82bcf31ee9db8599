/* Segments that follow each other: what is equal is looked at once, the payload is summed while it is copied. */
#include "stack/train_in.h"

#include "stack/outcome.h"
#include "stack/receive_queue.h"
#include "stack/state.h"

enum {
    IPV4_L4 = WIRE_ETH_LEN + WIRE_IPV4_LEN,
    IPV6_L4 = WIRE_ETH_LEN + WIRE_IPV6_LEN,
    IPV4_LEN_AT = WIRE_ETH_LEN + 2,
    IPV6_LEN_AT = WIRE_ETH_LEN + 4,
    TCP_CONTROL_AT = 13,
    TIMESTAMP_LEN = 12
};

/* PSH in the word at offset 12 of a TCP header. */
static const uint32_t PUSH_IN_WORD = (uint32_t)TCP_PSH << 8;

static inline uint64_t unlike_8(const uint8_t *a, const uint8_t *b, uint32_t at)
{
    return le64_load(a + at) ^ le64_load(b + at);
}

static inline uint64_t unlike_4(const uint8_t *a, const uint8_t *b, uint32_t at)
{
    return le32_load(a + at) ^ le32_load(b + at);
}

/* MAC addresses, type, TOS, fragment word, TTL, protocol and IP addresses; not length, identification, checksum. */
static uint64_t unlike_ipv4(const uint8_t *a, const uint8_t *b)
{
    return unlike_8(a, b, 0) | unlike_8(a, b, 8) | unlike_4(a, b, 20) | unlike_8(a, b, 26);
}

/* The same without the payload length. */
static uint64_t unlike_ipv6(const uint8_t *a, const uint8_t *b)
{
    return unlike_8(a, b, 0) | unlike_8(a, b, 8) | unlike_4(a, b, 14) | unlike_4(a, b, 20)
           | unlike_8(a, b, 22) | unlike_8(a, b, 30) | unlike_8(a, b, 38) | unlike_8(a, b, 46);
}

/* Ports, ACK, offset, window, options; PSH only in the later one: what comes behind a push is another delivery. */
static uint64_t unlike_tcp(const uint8_t *a, const uint8_t *b, uint32_t header_len)
{
    uint64_t unlike = unlike_4(a, b, 0) | unlike_4(a, b, 8);

    unlike |= (le32_load(b + 12) & ~PUSH_IN_WORD) ^ le32_load(a + 12);
    if (header_len == WIRE_TCP_LEN + TIMESTAMP_LEN) {
        return unlike | unlike_8(a, b, 20) | unlike_4(a, b, 28);
    }
    return unlike | (uint64_t)(memcmp(a + WIRE_TCP_LEN, b + WIRE_TCP_LEN, header_len - WIRE_TCP_LEN) != 0);
}

/* The IP header of next agrees with the one before, and its length with the frame: l4_len. */
static bool train_follows_ip(const struct train_part *before, struct train_part *next)
{
    const uint8_t *a = before->frame, *b = next->frame;
    const uint32_t room = next->frame_len - before->l4_offset;

    if (before->l4_offset == IPV4_L4) {
        next->l4_len = (uint32_t)be16_load(b + IPV4_LEN_AT) - WIRE_IPV4_LEN; /* wraps: too long */
        return unlike_ipv4(a, b) == 0 && next->l4_len <= room
               && train_is_ip_good(b + WIRE_ETH_LEN, next->flags);
    }
    next->l4_len = be16_load(b + IPV6_LEN_AT);
    return unlike_ipv6(a, b) == 0 && next->l4_len <= room;
}

bool train_follows(const struct train_part *before, struct train_part *next)
{
    const uint8_t *a = before->frame + before->l4_offset, *b = next->frame + before->l4_offset;
    const uint32_t header_len = (uint32_t)(a[12] >> 4) * 4;

    if (next->frame_len < (uint32_t)before->l4_offset + TCP_HEADER_MAX || next->flags != before->flags
        || !train_follows_ip(before, next)) {
        return false;
    }
    next->l4_offset = before->l4_offset;
    return unlike_tcp(a, b, header_len) == 0 && next->l4_len > header_len
           && be32_load(b + 4) == be32_load(a + 4) + before->l4_len - header_len;
}

/* The train while it is taken. */
struct train {
    struct vnic_stack *s;
    struct socket *socket;
    const struct tcp_connection *c;
    const struct segment_bytes *first;
    struct receive_room room;
    uint32_t header_len, total, window;
};

/* One part: its payload goes behind that of those before, and counts if the checksum is right. */
static bool train_take_part(struct train *t, const struct train_part *part)
{
    const uint8_t *l4 = part->frame + part->l4_offset;
    const uint32_t len = part->l4_len - t->header_len;
    uint64_t sum;

    if (len > t->window - t->total || !receive_queue_has_room(t->s, &t->room, len)) {
        return false;
    }
    sum = receive_queue_copy(t->s, t->socket, t->c, &t->room, t->total, l4 + t->header_len, len);
    if (!t->first->is_good) {
        sum = csum_reduce(sum) + t->first->pseudo + csum_of16((uint16_t)part->l4_len);
        if (!segment_is_sum_good(csum_tcp_header(sum, l4, t->header_len / 4))) {
            return false;
        }
    }
    t->total += len;
    return true;
}

/* The same where the payload stays in its frames: parts that posted buffers hold wholly. */
static uint32_t train_keep(struct train *t, struct tcp_connection *c, struct tcp_segment *segment,
                           const struct train_part *parts, uint32_t count)
{
    const uint32_t room = kept_room(t->s, t->socket, c, count, t->window);
    struct kept_piece pieces[TRAIN_PARTS_MAX];
    uint32_t taken = 0;

    for (; taken < count && parts[taken].l4_len - t->header_len <= room - t->total; taken++) {
        const uint8_t *l4 = parts[taken].frame + parts[taken].l4_offset;

        pieces[taken] = (struct kept_piece){l4 + t->header_len, parts[taken].l4_len - t->header_len};
        t->total += pieces[taken].len;
        segment->control |= l4[TCP_CONTROL_AT] & TCP_PSH;
    }
    if (taken > 1) {
        const struct outcome_payload payload = {.place = RECEIVE_KEPT, .pieces = pieces, .count = taken};

        segment->len = t->total;
        segment_in_apply(t->s, t->socket, c, segment, &payload);
        return taken;
    }
    return 0;
}

uint32_t train_take(struct vnic_stack *s, struct socket *socket, const struct segment_bytes *first,
                    const struct train_part *parts, uint32_t count)
{
    struct tcp_connection *c = socket_connection(s, socket);
    struct train t = {s, socket, c, first, .window = c->rcv_adv - c->rcv_nxt};
    struct outcome_payload payload = {.bytes = NULL};
    struct tcp_segment segment;
    uint32_t taken = 0;

    if (tcp_header_parse(&segment, first->l4, first->len) != 0 || segment.control != TCP_ACK
        || !segment_is_predicted(c, &segment)) {
        return 0;
    }
    t.header_len = first->len - segment.len;
    segment.ecn = first->ecn;
    segment.refused = 0;
    if (first->is_kept && first->is_good && kept_room(s, socket, c, count, segment.len) != 0) {
        return train_keep(&t, c, &segment, parts, count);
    }
    if (!receive_queue_room(s, socket, c, segment.len, &t.room)) {
        return 0;
    }
    while (taken < count && train_take_part(&t, &parts[taken])) {
        segment.control |= parts[taken].frame[parts[taken].l4_offset + TCP_CONTROL_AT] & TCP_PSH;
        taken++;
    }
    if (taken == 0) {
        receive_queue_trim(s, socket, c); /* the long way finds what is wrong with it */
        return 0;
    }
    segment.len = t.total;
    payload.place = t.room.place;
    segment_in_apply(s, socket, c, &segment, &payload);
    return taken;
}
