/* path_update.c: the host says what size of packets the path carries (PATH_OFFLOAD_STATE_CACHED.PathMtu). */
#include "base/bits.h"
#include "tcp/option.h"
#include "tcp/output.h"
#include "tcp/path_probe.h"
#include "tcp/recovery.h"

enum { MTU_LEAST_IPV4 = 68, MTU_LEAST_IPV6 = 1280 };

/* In a handshake the MSS is not agreed yet: what the path allows is kept until it is. */
static bool path_is_limit(const struct tcp_connection *c, uint32_t size)
{
    return !tcp_is_synchronized(c) || size < c->mss_limit + option_headers(c);
}

/* Nothing is lost of a path that grew; what a smaller one cannot carry is on its way in vain. */
static void path_follow(struct tcp_engine *e, struct tcp_connection *c, uint16_t prior_mss)
{
    if (c->snd_mss < prior_mss && c->state != TCP_STATE_TIME_WAIT) {
        recovery_on_mtu(e, c);
    }
}

void tcp_set_path_mtu(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns, uint32_t mtu,
                      struct tcp_result *result)
{
    const uint32_t least = c->is_ipv6 != 0 ? MTU_LEAST_IPV6 : MTU_LEAST_IPV4;
    const uint32_t size = bits_min32(bits_max32(mtu, least), UINT16_MAX);
    const uint16_t prior_mss = c->snd_mss;

    engine_at(engine, now_ns);
    *result = (struct tcp_result){0};
    if (c->state == TCP_STATE_CLOSED) {
        return;
    }
    c->path_mtu = path_is_limit(c, size) ? (uint16_t)size : 0;
    c->probe_mtu = PATH_PROBE_NONE;
    if (tcp_is_synchronized(c)) {
        option_set_mss(c);
    }
    if (c->snd_mss != prior_mss) {
        result->events |= TCP_EVENT_MTU;
        path_follow(engine, c, prior_mss);
    }
    if (output_is_due(engine, c)) {
        result->events |= TCP_EVENT_OUTPUT;
    }
}
