/* icmp.c: what ICMP says of our segments, believed as far as RFC 5927 allows. */
#include "tcp/ending.h"
#include "tcp/option.h"
#include "tcp/output.h"
#include "tcp/path_probe.h"
#include "tcp/recovery.h"
#include "tcp/window.h"

enum { MTU_LEAST_IPV4 = 68, MTU_LEAST_IPV6 = 1280 };

/* RFC 5927 4.1: the quoted number is in flight. */
static bool icmp_is_ours(const struct tcp_connection *c, uint32_t quoted_seq)
{
    return quoted_seq - c->snd_una < tcp_flight(c);
}

/* RFC 1191 7.1: a router that does not say how much leaves us to the next plateau. */
static uint32_t icmp_next_plateau(uint32_t size)
{
    static const uint16_t plateaus[] = {32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296};

    for (size_t i = 0; i < sizeof plateaus / sizeof plateaus[0]; i++) {
        if (plateaus[i] < size) {
            return plateaus[i];
        }
    }
    return MTU_LEAST_IPV4;
}

/* The new path MTU; 0: nothing to be believed. RFC 8201 4: less than 1280 is no news in IPv6. */
static uint32_t icmp_path_mtu(const struct tcp_connection *c, uint32_t mtu)
{
    const uint32_t size = c->snd_mss + option_headers(c);

    if (c->is_ipv6) {
        return mtu >= MTU_LEAST_IPV6 && mtu < size ? mtu : 0;
    }
    if (mtu == 0) {
        mtu = icmp_next_plateau(size);
    }
    mtu = bits_max32(mtu, MTU_LEAST_IPV4);
    return mtu < size ? mtu : 0;
}

/* In SYN_SENT the MSS is not agreed yet: what the path allows is kept until it is. */
static void icmp_too_big(struct tcp_engine *e, struct tcp_connection *c, uint32_t mtu,
                         struct tcp_result *result)
{
    const uint32_t path_mtu = icmp_path_mtu(c, mtu);

    if (path_mtu == 0 || c->state == TCP_STATE_TIME_WAIT) {
        return;
    }
    c->path_mtu = (uint16_t)path_mtu;
    c->probe_mtu = PATH_PROBE_OVER; /* the path spoke for itself */
    option_set_mss(c);
    result->events |= TCP_EVENT_MTU;
    if (tcp_is_synchronized(c)) {
        recovery_on_mtu(e, c);
    }
}

/* RFC 5927 5.2: an established connection outlives what a stranger can say; MUST-56. */
static void icmp_unreachable(struct tcp_engine *e, struct tcp_connection *c, uint32_t kind,
                             struct tcp_result *result)
{
    if (tcp_is_synchronized(c)) {
        return;
    }
    if (kind == TCP_ICMP_HARD) {
        e->statistics.aborted++;
        ending_close(e, c, result, TCP_REASON_REFUSED);
    } else {
        c->probes = 1;
    }
}

void tcp_icmp(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns, uint32_t kind,
              uint32_t quoted_seq, uint32_t mtu, struct tcp_result *result)
{
    engine_at(engine, now_ns);
    *result = (struct tcp_result){0};
    if (c->state == TCP_STATE_CLOSED || tcp_has(c, TCP_FROZEN) || !icmp_is_ours(c, quoted_seq)) {
        return;
    }
    if (kind == TCP_ICMP_TOO_BIG) {
        icmp_too_big(engine, c, mtu, result);
    } else if (kind == TCP_ICMP_SOFT || kind == TCP_ICMP_HARD) {
        icmp_unreachable(engine, c, kind, result);
    }
    if (output_is_due(engine, c)) {
        result->events |= TCP_EVENT_OUTPUT;
    }
}
