/* SYN cookies: made from a SYN, and read from the ACK that returns one. */
#include "stack/cookie.h"

#include "base/bits.h"
#include "stack/answer.h"
#include "stack/hop.h"
#include "stack/network.h"
#include "stack/state.h"

enum {
    COOKIE_COUNT_SHIFT = 27,
    COOKIE_MSS_SHIFT = 24,
    COOKIE_MAC_MASK = 0xffffff,
    COOKIE_OPTIONS_MASK = 0x3f,
    COOKIE_NO_WSCALE = 15,
    COOKIE_SACK = 0x10,
    COOKIE_ECN = 0x20,
    COOKIE_NO_TIMESTAMP = 0xff /* in place of the options, in the hash */
};
static const uint64_t COOKIE_COUNT_NS = 64000000000; /* one step of the time in a cookie */

/* What peers announce, by frequency (as in RFC 4987's implementations): the largest not above counts. */
static const uint16_t mss_of_ipv4[8] = {216, 536, 1024, 1220, 1360, 1400, 1440, 1460};
static const uint16_t mss_of_ipv6[8] = {216, 1024, 1220, 1280, 1340, 1380, 1420, 1440};

/* What the hash covers. */
struct cookie_input {
    struct tuple tuple;
    uint64_t count;
    uint32_t irs;
    uint32_t mss_index;
    uint64_t options;
};

static uint64_t cookie_count(const struct vnic_stack *s)
{
    return s->now_ns / COOKIE_COUNT_NS;
}

static uint32_t cookie_make(const struct vnic_stack *s, const struct cookie_input *input)
{
    const uint32_t mac = (uint32_t)secret_hash(s, input, sizeof(*input), SOCKETS_SECRET_COOKIE);

    return (uint32_t)(input->count & 31) << COOKIE_COUNT_SHIFT | input->mss_index << COOKIE_MSS_SHIFT
           | (mac & COOKIE_MAC_MASK);
}

static uint32_t cookie_mss_index(const struct arrived *in)
{
    const uint16_t *table = in->local.is_ipv6 ? mss_of_ipv6 : mss_of_ipv4;
    const uint16_t fallback = in->local.is_ipv6 ? 1220 : 536; /* RFC 9293 MUST-15 */
    const uint16_t mss = (in->segment.options & TCP_OPT_MSS) != 0 ? in->segment.mss : fallback;
    uint32_t index = 7;

    while (index > 0 && table[index] > mss) {
        index--;
    }
    return index;
}

static struct tuple cookie_tuple(const struct arrived *in)
{
    return tuple_of(&in->local, in->local_port, &in->remote, in->remote_port, in->interface);
}

/* ECE and CWR on a SYN: the peer offers ECN (RFC 3168 6.1.1). */
static bool cookie_has_ecn(const struct vnic_stack *s, const struct tcp_segment *syn)
{
    const uint8_t both = TCP_ECE | TCP_CWR;

    return s->config.ecn != 0 && (syn->control & both) == both;
}

static uint32_t cookie_options(const struct vnic_stack *s, const struct tcp_segment *syn)
{
    uint32_t bits = COOKIE_NO_WSCALE;

    if ((syn->options & TCP_OPT_WSCALE) != 0) {
        bits = syn->wscale < 14 ? syn->wscale : 14; /* RFC 7323 2.3 */
    }
    bits |= (syn->options & TCP_OPT_SACK_PERMITTED) != 0 ? (uint32_t)COOKIE_SACK : 0;
    return bits | (cookie_has_ecn(s, syn) ? (uint32_t)COOKIE_ECN : 0);
}

/* The clock's value, or a little before, that ends in these bits. */
static uint32_t cookie_timestamp(uint32_t now, uint32_t options)
{
    const uint32_t value = (now & ~(uint32_t)COOKIE_OPTIONS_MASK) | options;

    return value > now && value - now <= COOKIE_OPTIONS_MASK ? value - COOKIE_OPTIONS_MASK - 1 : value;
}

static void cookie_answer_options(const struct vnic_stack *s, const struct listener *listener,
                                  const struct arrived *in, const struct tcp_open *open, uint32_t options,
                                  struct tcp_segment *answer)
{
    const uint32_t now = (uint32_t)(s->now_ns / 1000000) + open->ts_offset;
    const uint32_t window = listener->options.receive_buffer;

    answer->wnd = (uint16_t)bits_min32(window, UINT16_MAX); /* never scaled on a SYN */
    answer->mss = (uint16_t)(open->mtu - (in->local.is_ipv6 ? 60 : 40));
    answer->options = TCP_OPT_MSS;
    if ((in->segment.options & TCP_OPT_TIMESTAMP) == 0) {
        return;
    }
    answer->options |= TCP_OPT_TIMESTAMP;
    answer->ts_val = cookie_timestamp(now, options);
    answer->ts_ecr = in->segment.ts_val;
    if ((options & 15) != COOKIE_NO_WSCALE) {
        answer->options |= TCP_OPT_WSCALE;
        answer->wscale = open->rcv_wscale;
    }
    answer->options |= (options & COOKIE_SACK) != 0 ? TCP_OPT_SACK_PERMITTED : 0;
    answer->control |= (options & COOKIE_ECN) != 0 ? TCP_ECE : 0;
}

static bool cookie_find_open(struct vnic_stack *s, const struct listener *listener, const struct arrived *in,
                             struct tcp_open *open)
{
    const struct tuple tuple = cookie_tuple(in);
    struct vnic_address source = in->local;
    struct path path;

    if (network_find_path(s, &source, &in->remote, hop_mask(&in->remote, in->interface), &path) != VNIC_OK) {
        return false;
    }
    socket_open_from(s, &listener->options, &tuple, &path, open);
    network_drop_path(s, &path);
    return true;
}

void cookie_send(struct vnic_stack *s, const struct listener *listener, const struct arrived *in)
{
    const uint32_t options = cookie_options(s, &in->segment);
    const bool has_timestamp = (in->segment.options & TCP_OPT_TIMESTAMP) != 0;
    struct cookie_input input = {
        .tuple = cookie_tuple(in),
        .count = cookie_count(s),
        .irs = in->segment.seq,
        .mss_index = cookie_mss_index(in),
        .options = has_timestamp ? options : (uint32_t)COOKIE_NO_TIMESTAMP,
    };
    struct tcp_segment answer = {.control = TCP_SYN | TCP_ACK, .ack = in->segment.seq + 1};
    struct tcp_open open;

    if (!cookie_find_open(s, listener, in, &open)) {
        s->statistics.syn_dropped++;
        return;
    }
    answer.seq = cookie_make(s, &input);
    cookie_answer_options(s, listener, in, &open, options, &answer);
    if (answer_send(s, in, &answer) == VNIC_OK) {
        s->statistics.cookies_sent++;
        s->sockets.cookie_ns = s->now_ns + 1;
    }
}

bool cookie_is_possible(const struct vnic_stack *s)
{
    return s->sockets.cookie_ns != 0 && s->now_ns - (s->sockets.cookie_ns - 1) < 2 * COOKIE_COUNT_NS;
}

static void cookie_restore(const struct arrived *in, uint32_t mss_index, uint64_t options,
                           struct tcp_segment *syn)
{
    *syn = (struct tcp_segment){
        .seq = in->segment.seq - 1,
        .control = TCP_SYN,
        .options = TCP_OPT_MSS,
        .mss = (in->local.is_ipv6 ? mss_of_ipv6 : mss_of_ipv4)[mss_index],
        .wnd = in->segment.wnd,
    };
    if (options == COOKIE_NO_TIMESTAMP) {
        return;
    }
    syn->options |= TCP_OPT_TIMESTAMP;
    syn->ts_val = in->segment.ts_val;
    if ((options & 15) != COOKIE_NO_WSCALE) {
        syn->options |= TCP_OPT_WSCALE;
        syn->wscale = (uint8_t)(options & 15);
    }
    syn->options |= (options & COOKIE_SACK) != 0 ? TCP_OPT_SACK_PERMITTED : 0;
    syn->control |= (options & COOKIE_ECN) != 0 ? TCP_ECE | TCP_CWR : 0;
}

bool cookie_check(const struct vnic_stack *s, const struct arrived *in, struct tcp_segment *syn)
{
    const uint32_t cookie = in->segment.ack - 1;
    const bool has_timestamp = (in->segment.options & TCP_OPT_TIMESTAMP) != 0;
    const uint64_t now = cookie_count(s);
    const uint32_t age = (uint32_t)(now - (cookie >> COOKIE_COUNT_SHIFT)) & 31;
    struct cookie_input input = {
        .tuple = cookie_tuple(in),
        .count = now - age,
        .irs = in->segment.seq - 1,
        .mss_index = cookie >> COOKIE_MSS_SHIFT & 7,
        .options = has_timestamp ? in->segment.ts_ecr & COOKIE_OPTIONS_MASK : (uint32_t)COOKIE_NO_TIMESTAMP,
    };

    if (age > 1 || cookie_make(s, &input) != cookie) {
        return false;
    }
    cookie_restore(in, input.mss_index, input.options, syn);
    return true;
}
