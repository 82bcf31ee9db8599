/* Frames that arrive together: parsed and hashed first, looked up next, taken last. */
#include "stack/burst.h"

#include "base/bits.h"
#include "stack/network.h"
#include "stack/state.h"
#include "stack/train_in.h"

enum {
    BURST_FRAMES = TRAIN_PARTS_MAX,
    BURST_AHEAD = 6,        /* frames whose headers are fetched ahead */
    BURST_TIMERS_AHEAD = 3 /* whose connections have come meanwhile */
};

/* A frame that may go the short way: Ethernet to our address, IP without options, TCP. */
struct burst_frame {
    struct tuple tuple;
    uint32_t hash;
    uint32_t index; /* the connection; 0: the long way */
    bool is_plain;
    bool follows;   /* part of the train before it: no tuple, hash, index */
};

struct burst {
    struct vnic_stack *s;
    uint32_t interface;
    uint32_t count;
    struct train_part parts[BURST_FRAMES];
    struct burst_frame frames[BURST_FRAMES];
};

static bool burst_is_for_us(const struct interface *interface, const uint8_t *frame)
{
    return interface->is_up && interface->config.vlan == 0 && memcmp(frame, interface->config.mac, 6) == 0;
}

static void burst_parse(struct burst *b, uint32_t i)
{
    struct train_part *part = &b->parts[i];
    struct burst_frame *out = &b->frames[i];
    struct wire_frame f;
    const uint8_t *l4;

    out->is_plain = wire_parse_plain(&f, part->frame, part->frame_len) && f.l4 == WIRE_L4_TCP
                    && burst_is_for_us(&b->s->interfaces.list[b->interface], part->frame);
    if (!out->is_plain) {
        return;
    }
    l4 = part->frame + f.l4_offset;
    part->l4_offset = f.l4_offset;
    part->l4_len = f.l4_len;
    if (f.l3 == WIRE_L3_IPV4) {
        out->is_plain = train_is_ip_good(part->frame + WIRE_ETH_LEN, part->flags);
        out->tuple = tuple_ipv4(l4 - 4, l4 - 8, be16_load(l4 + 2), be16_load(l4));
    } else {
        out->tuple = tuple_ipv6(l4 - 16, l4 - 32, be16_load(l4 + 2), be16_load(l4), b->interface);
    }
    out->hash = lookup_hash(&b->s->sockets.lookup, &out->tuple);
    __builtin_prefetch(lookup_bucket_of(&b->s->sockets.lookup, out->hash));
}

static void burst_prefetch_frame(const struct burst *b, uint32_t i)
{
    if (i < b->count) {
        __builtin_prefetch(b->parts[i].frame);
        __builtin_prefetch(b->parts[i].frame + 64);
    }
}

static void burst_parse_all(struct burst *b)
{
    for (uint32_t i = 0; i < BURST_AHEAD; i++) {
        burst_prefetch_frame(b, i);
    }
    for (uint32_t i = 0; i < b->count; i++) {
        struct burst_frame *frame = &b->frames[i];

        burst_prefetch_frame(b, i + BURST_AHEAD);
        frame->follows = i != 0 && frame[-1].is_plain && train_follows(&b->parts[i - 1], &b->parts[i]);
        if (frame->follows) {
            frame->is_plain = true;
        } else {
            burst_parse(b, i);
        }
    }
}

static void burst_prefetch(struct vnic_stack *s, uint32_t index)
{
    const char *c = (const char *)&s->connections[index];

    __builtin_prefetch(c);
    __builtin_prefetch(c + 64);
    __builtin_prefetch(c + 128);
    __builtin_prefetch(c + 192);
    __builtin_prefetch(&s->sockets.list[index]);
}

/* The first whose hash is right; where the bucket overflowed, the very one. */
static uint32_t burst_guess(struct vnic_stack *s, const struct burst_frame *frame)
{
    const uint32_t index = lookup_guess(&s->sockets.lookup, frame->hash);

    return index == 0 && lookup_bucket_of(&s->sockets.lookup, frame->hash)->passed != 0
               ? lookup_find(s, &frame->tuple)
               : index;
}

static void burst_guess_all(struct burst *b)
{
    for (uint32_t i = 0; i < b->count; i++) {
        struct burst_frame *frame = &b->frames[i];

        if (!frame->follows) {
            frame->index = frame->is_plain ? burst_guess(b->s, frame) : 0;
            if (frame->index != 0) {
                burst_prefetch(b->s, frame->index);
            }
        }
    }
}

/* The connection that was guessed is the one, it still is there and not at a target, and no SYN may take its place. */
static bool burst_is_right(const struct burst *b, const struct burst_frame *frame)
{
    const struct socket *socket = &b->s->sockets.list[frame->index];
    const struct tcp_connection *c = &b->s->connections[frame->index];

    /* The address is of the connection's interface and of no other (RFC 1122 3.3.4.2, strong host). */
    return frame->index != 0 && socket_has(socket, SOCKET_LISTED) && !offload_is_away(socket)
           && socket->path.interface == b->interface && tuple_matches(&frame->tuple, c, b->interface)
           && c->state != TCP_STATE_TIME_WAIT;
}

/* Frame i and those that follow it; how many were taken. */
static uint32_t burst_take(struct burst *b, uint32_t i)
{
    const struct train_part *part = &b->parts[i];
    const uint8_t *l4 = part->frame + part->l4_offset;
    const bool is_ipv6 = b->frames[i].tuple.is_ipv6 != 0;
    struct socket *socket = &b->s->sockets.list[b->frames[i].index];
    struct segment_bytes bytes = {
        .l4 = l4,
        .len = part->l4_len,
        .pseudo = is_ipv6 ? csum_pseudo_v6(l4 - 32, l4 - 16, WIRE_PROTO_TCP, 0)
                          : csum_pseudo_v4(l4 - 8, WIRE_PROTO_TCP, 0),
        .ecn = (is_ipv6 ? l4[-39] >> 4 : l4[-19]) & 3,
        .is_good = (part->flags & VNIC_STACK_RX_L4_GOOD) != 0,
        .is_kept = (part->flags & VNIC_STACK_RX_KEPT) != 0,
    };
    uint32_t count = 1, taken = 0;

    while (i + count < b->count && b->frames[i + count].follows) {
        count++;
    }
    if (count > 1) {
        taken = train_take(b->s, socket, &bytes, part, count);
    }
    if (taken == 0) {
        bytes.pseudo += csum_of16((uint16_t)part->l4_len);
        segment_in_take(b->s, socket, &bytes);
        taken = 1;
    }
    return taken;
}

static void burst_prefetch_timer(const struct burst *b, uint32_t i)
{
    if (i < b->count && !b->frames[i].follows && b->frames[i].index != 0) {
        tcp_prefetch_timer(b->s->tcp, b->frames[i].index);
    }
}

/* A frame that follows one which was not taken with it goes the long way. */
static void burst_take_all(struct burst *b)
{
    for (uint32_t i = 0; i < b->count;) {
        const struct train_part *part = &b->parts[i];

        burst_prefetch_timer(b, i + BURST_TIMERS_AHEAD);
        if (!b->frames[i].follows && burst_is_right(b, &b->frames[i])) {
            i += burst_take(b, i);
        } else {
            network_receive(b->s, b->interface, part->frame, part->frame_len, part->flags);
            i++;
        }
    }
}

static void burst_run(struct burst *b, const struct vnic_stack_packet *packets, uint32_t count)
{
    b->count = count;
    for (uint32_t i = 0; i < count; i++) {
        b->parts[i].frame = packets[i].data;
        b->parts[i].frame_len = packets[i].len;
        b->parts[i].flags = packets[i].flags;
    }
    burst_parse_all(b);
    burst_guess_all(b);
    burst_take_all(b);
}

void burst_in(struct vnic_stack *s, uint32_t interface, const struct vnic_stack_packet *packets,
              uint32_t count)
{
    struct burst b;

    b.s = s;
    b.interface = interface;
    while (count != 0) {
        const uint32_t some = bits_min32(count, BURST_FRAMES);

        burst_run(&b, packets, some);
        packets += some;
        count -= some;
    }
}
