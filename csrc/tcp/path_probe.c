/* path_probe.c: finds the largest packet that a path carries without being told. */
#include "tcp/path_probe.h"

#include "tcp/option.h"
#include "tcp/recovery.h"
#include "tcp/window.h"
#include "wire/seq.h"

enum {
    BASE_IPV4 = 1200, /* RFC 8899 5.1.2: BASE_PLPMTU */
    BASE_IPV6 = 1280,
    LEAST_IPV4 = 576,
    TIMEOUTS_TO_BASE = 2,
    TIMEOUTS_TO_LEAST = 4,
    SEGMENTS_BEHIND = 3 /* of data, so that a lost probe is noticed without a timeout */
};

/* The next size to try: what tunnels and links leave of the usual ones. */
static uint32_t path_probe_next(const struct tcp_connection *c)
{
    static const uint16_t sizes[] = {1200, 1280, 1400, 1420, 1440, 1460, 1480, 1492, 1500, 4352, 9000, 17914};
    const uint32_t most = c->mss_limit + option_headers(c);

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (sizes[i] > c->path_mtu) {
            return bits_min32(sizes[i], most);
        }
    }
    return most;
}

static bool path_probe_may(const struct tcp_connection *c)
{
    return c->path_mtu != 0 && tcp_has(c, TCP_PLPMTUD) && c->probe_mtu == PATH_PROBE_NONE
           && (c->phase | c->recovery) == 0
           && !tcp_has(c, TCP_URGENT_SENDING | TCP_TAIL_PENDING | TCP_FIN_SENT);
}

uint32_t path_probe_len(struct tcp_engine *e, struct tcp_connection *c, uint32_t mss)
{
    uint32_t len, queued;

    if (!path_probe_may(c)) {
        return 0;
    }
    len = path_probe_next(c) - option_headers(c) - (c->snd_mss - mss);
    queued = bits_min32(c->snd_end - c->snd_nxt, window_usable(c));
    return len > mss && queued >= len + SEGMENTS_BEHIND * mss && recovery_room(e, c) >= len ? len : 0;
}

void path_probe_on_sent(struct tcp_connection *c, uint32_t len, uint32_t mss)
{
    c->probe_mtu = (uint16_t)(len + option_headers(c) + (c->snd_mss - mss));
    c->snd_up = c->snd_nxt + len;
}

static void path_probe_settle(struct tcp_connection *c, uint32_t mtu, struct tcp_result *result)
{
    c->path_mtu = (uint16_t)(mtu < c->mss_limit + option_headers(c) ? mtu : 0);
    option_set_mss(c);
    result->events |= TCP_EVENT_MTU;
}

void path_probe_on_ack(struct tcp_connection *c, struct tcp_result *result)
{
    if (path_probe_is_out(c) && seq_ge(c->snd_una, c->snd_up)) {
        path_probe_settle(c, c->probe_mtu, result);
        c->probe_mtu = PATH_PROBE_NONE;
    }
}

/* RFC 4821 7.6.2: the size failed, or so it seems: what is known to work stays. */
void path_probe_on_loss(struct tcp_connection *c, uint32_t left)
{
    if (path_probe_is_out(c) && seq_lt(left, c->snd_up)
        && seq_lt(c->snd_up - (c->probe_mtu - option_headers(c)) - 1, left)) {
        c->probe_mtu = PATH_PROBE_OVER;
    }
}

/* The size to fall back on after that many timeouts in a row; 0: as it is. */
static uint32_t path_probe_base(const struct tcp_connection *c)
{
    if (c->retransmits == TIMEOUTS_TO_BASE) {
        return c->is_ipv6 ? BASE_IPV6 : BASE_IPV4;
    }
    return c->retransmits == TIMEOUTS_TO_LEAST && !c->is_ipv6 ? LEAST_IPV4 : 0;
}

void path_probe_on_timeout(struct tcp_engine *e, struct tcp_connection *c, struct tcp_result *result)
{
    const uint32_t base = tcp_has(c, TCP_PLPMTUD) ? path_probe_base(c) : 0;

    if (base != 0 && base < c->snd_mss + option_headers(c)) {
        c->probe_mtu = PATH_PROBE_NONE;
        path_probe_settle(c, base, result);
        recovery_on_mtu(e, c);
    }
}
