/* tcp_peer.c: segments and wishes out of bytes; what is near the truth is more likely than the rest. */
#include "tcp_peer.h"

uint32_t world_take8(struct world_bytes *bytes)
{
    if (bytes->left == 0) {
        return 0;
    }
    bytes->left--;
    return *bytes->at++;
}

uint32_t world_take16(struct world_bytes *bytes)
{
    const uint32_t high = world_take8(bytes);

    return high << 8 | world_take8(bytes);
}

uint32_t world_take32(struct world_bytes *bytes)
{
    const uint32_t high = world_take16(bytes);

    return high << 16 | world_take16(bytes);
}

/* A number near one that matters. */
static uint32_t near(uint32_t kind, const uint32_t *bases, uint32_t count, struct world_bytes *bytes)
{
    const uint32_t base = bases[kind % count];

    switch (kind >> 4 & 7) {
    case 0:
    case 1:
        return base;
    case 2:
        return base + 1;
    case 3:
        return base - 1;
    case 4:
        return base + world_take16(bytes);
    case 5:
        return base - world_take16(bytes);
    case 6:
        return base + (world_take16(bytes) << 8);
    default:
        return world_take32(bytes);
    }
}

static void peer_numbers(const struct tcp_connection *c, struct tcp_segment *s, struct world_bytes *bytes)
{
    const uint32_t heard[] = {c->rcv_nxt, c->rcv_nxt,   c->rcv_nxt,
                              c->rcv_adv, c->rcv_acked, c->rcv_nxt + 1448};
    const uint32_t said[] = {c->snd_nxt, c->snd_una, c->snd_nxt, c->snd_una + c->snd_mss,
                             c->snd_end, c->run_seq};

    s->seq = near(world_take8(bytes), heard, sizeof heard / sizeof heard[0], bytes);
    s->ack = near(world_take8(bytes), said, sizeof said / sizeof said[0], bytes);
}

static void peer_times(uint64_t now_ns, const struct tcp_connection *c, struct tcp_segment *s,
                       struct world_bytes *bytes)
{
    const uint32_t kind = world_take8(bytes), now = (uint32_t)(now_ns / 1000000) + c->ts_offset;

    if ((kind & 15) == 15) {
        return;
    }
    s->options |= TCP_OPT_TIMESTAMP;
    s->ts_val = (kind & 3) == 3 ? world_take32(bytes) : c->ts_recent + (kind & 3);
    s->ts_ecr = (kind & 12) == 12 ? world_take32(bytes) : now - (kind >> 4);
}

static void peer_blocks(const struct tcp_connection *c, struct tcp_segment *s, struct world_bytes *bytes)
{
    s->sacks = (uint8_t)(world_take8(bytes) % 8);
    s->sacks = s->sacks > TCP_SACK_BLOCKS ? 0 : s->sacks;
    for (unsigned i = 0; i < s->sacks; i++) {
        const uint32_t left = world_take16(bytes), len = world_take16(bytes);
        s->sack[i].left = c->snd_una + left - (left > 60000 ? 65536 : 0);
        s->sack[i].right = s->sack[i].left + len;
    }
}

static void peer_syn(struct tcp_segment *s, struct world_bytes *bytes)
{
    s->options |= (uint8_t)(world_take8(bytes)
                            & (TCP_OPT_MSS | TCP_OPT_WSCALE | TCP_OPT_SACK_PERMITTED | TCP_OPT_TIMESTAMP));
    s->mss = (uint16_t)world_take16(bytes);
    s->wscale = (uint8_t)world_take8(bytes);
}

struct tcp_segment peer_segment(uint64_t now_ns, const struct tcp_connection *c, struct world_bytes *bytes)
{
    static const uint8_t controls[] = {TCP_ACK,           TCP_ACK,           TCP_ACK,
                                       TCP_ACK | TCP_PSH, TCP_ACK | TCP_FIN, TCP_ACK | TCP_SYN,
                                       TCP_ACK | TCP_ECE, TCP_ACK | TCP_URG};
    const uint32_t kind = world_take8(bytes);
    struct tcp_segment s = {.control = controls[kind % sizeof controls]};

    if (kind >= 240) {
        s.control = (uint8_t)world_take8(bytes);
    }
    peer_numbers(c, &s, bytes);
    s.wnd = (uint16_t)(world_take8(bytes) << 8);
    s.len = (kind & 8) != 0 ? 1448 : (kind & 16) != 0 ? world_take16(bytes) : 0;
    s.ecn = (uint8_t)(kind >> 5 & 3);
    s.refused = (kind & 127) == 127;
    peer_times(now_ns, c, &s, bytes);
    if ((kind & 64) != 0) {
        peer_blocks(c, &s, bytes);
    }
    if ((s.control & TCP_SYN) != 0) {
        peer_syn(&s, bytes);
    }
    s.urgent = (uint16_t)((s.control & TCP_URG) != 0 ? world_take16(bytes) : 0);
    return s;
}

void peer_open(struct tcp_open *open, struct world_bytes *bytes)
{
    const uint32_t kind = world_take8(bytes);

    *open = (struct tcp_open){.local_port = 80, .remote_port = (uint16_t)(1024 + kind), .ttl = 64};
    open->is_ipv6 = kind & 1;
    open->profile = kind >> 1 & 1;
    open->congestion = kind >> 2 & 1;
    open->flags = world_take8(bytes)
                  & (TCP_HAS_TIMESTAMPS | TCP_HAS_SACK | TCP_HAS_WSCALE | TCP_HAS_ECN | TCP_NODELAY
                     | TCP_KEEPALIVE | TCP_STRICT_TIMESTAMPS | TCP_PLPMTUD);
    open->rcv_wscale = (uint8_t)(world_take8(bytes) % 15);
    open->iss = world_take32(bytes);
    open->ts_offset = world_take32(bytes);
    open->mtu = 1500;
    open->rcv_buf = 1 + (world_take16(bytes) << (kind >> 4));
    open->keep_time_ms = world_take16(bytes);
    open->keep_interval_ms = world_take16(bytes);
    open->keep_limit = (uint8_t)world_take8(bytes);
    open->user_timeout_ms = world_take16(bytes);
}

struct tcp_segment peer_first(struct world_bytes *bytes)
{
    struct tcp_segment syn = {.control = TCP_SYN, .seq = world_take32(bytes)};

    peer_syn(&syn, bytes);
    syn.wnd = (uint16_t)world_take16(bytes);
    syn.control |= (world_take8(bytes) & 3) == 0 ? TCP_ECE | TCP_CWR : 0;
    return syn;
}
