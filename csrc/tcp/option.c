/* option.c: reads a SYN's options against our own wishes. */
#include "tcp/option.h"

#include "tcp/window.h"

enum {
    MSS_DEFAULT_IPV4 = 536, /* RFC 9293 MUST-15 */
    MSS_DEFAULT_IPV6 = 1220,
    MSS_LEAST = 48          /* less would let a peer make us send nothing but headers */
};

uint16_t option_own_mss(uint32_t mtu, bool is_ipv6)
{
    const uint32_t headers = is_ipv6 ? 60 : 40;

    return (uint16_t)(bits_min32(bits_max32(mtu, is_ipv6 ? 1280 : 68), 65535) - headers);
}

void option_set_mss(struct tcp_connection *c)
{
    const uint32_t path = c->path_mtu != 0 ? c->path_mtu - option_headers(c) : c->mss_limit;

    c->snd_mss = (uint16_t)bits_min32(c->mss_limit, path);
}

static void option_agree_mss(struct tcp_connection *c, const struct tcp_segment *syn)
{
    uint32_t mss = c->is_ipv6 ? MSS_DEFAULT_IPV6 : MSS_DEFAULT_IPV4;

    if ((syn->options & TCP_OPT_MSS) != 0) {
        mss = bits_max32(syn->mss, MSS_LEAST);
    }
    c->mss_limit = (uint16_t)bits_min32(mss, c->rcv_mss);
    option_set_mss(c);
}

/* Both SYNs or neither (RFC 7323 2.2); more than 14 is taken for 14 (2.3). */
static void option_agree_scale(struct tcp_connection *c, const struct tcp_segment *syn)
{
    if (tcp_has(c, TCP_HAS_WSCALE) && (syn->options & TCP_OPT_WSCALE) != 0) {
        c->snd_wscale = (uint8_t)bits_min32(syn->wscale, WINDOW_SHIFT_MAX);
    } else {
        c->flags &= ~(uint32_t)TCP_HAS_WSCALE;
        c->snd_wscale = 0;
        c->rcv_wscale = 0;
    }
}

/* RFC 3168 6.1.1: a SYN asks with ECE and CWR, a SYN,ACK grants with ECE alone. */
static bool option_has_ecn(const struct tcp_segment *syn)
{
    const unsigned marks = syn->control & (TCP_ECE | TCP_CWR);

    return marks == ((syn->control & TCP_ACK) != 0 ? (unsigned)TCP_ECE : (unsigned)(TCP_ECE | TCP_CWR));
}

void option_agree(struct tcp_engine *e, struct tcp_connection *c, const struct tcp_segment *syn)
{
    uint32_t off = 0;

    option_agree_mss(c, syn);
    option_agree_scale(c, syn);
    off |= (syn->options & TCP_OPT_SACK_PERMITTED) == 0 ? TCP_HAS_SACK : 0;
    off |= (syn->options & TCP_OPT_TIMESTAMP) == 0 ? TCP_HAS_TIMESTAMPS : 0;
    off |= !option_has_ecn(syn) ? TCP_HAS_ECN : 0;
    c->flags &= ~off;
    if (tcp_has(c, TCP_HAS_TIMESTAMPS)) {
        c->ts_recent = syn->ts_val;
        c->ts_recent_ms = engine_ms(e);
    }
}
