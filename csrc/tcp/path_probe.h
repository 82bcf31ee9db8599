/* Path MTU by probing: where ICMP is silent, larger packets are tried and a black hole is found out (RFC 8899). */
#ifndef VNIC_TCP_PATH_PROBE_H
#define VNIC_TCP_PATH_PROBE_H

#include "tcp/state.h"

/*
 * With TCP_PLPMTUD. A connection begins with what the interface allows. Timeouts in a row take it down to a size that
 * every path should carry; from there one larger segment of new data at a time climbs back, until one is lost.
 * tcp_connection.probe_mtu is one of these, or the size of a probe in flight, which ends at snd_up: so none is sent
 * with urgent data.
 */
enum path_probe { PATH_PROBE_NONE = 0, PATH_PROBE_OVER = 1 };

static inline bool path_probe_is_out(const struct tcp_connection *c)
{
    return c->probe_mtu > PATH_PROBE_OVER;
}

/* Payload of a probe that may leave now, when a packet carries mss otherwise; 0: none. */
uint32_t path_probe_len(struct tcp_engine *e, struct tcp_connection *c, uint32_t mss);

/* It leaves as len bytes at SND.NXT. */
void path_probe_on_sent(struct tcp_connection *c, uint32_t len, uint32_t mss);

/* SND.UNA moved; sent again from `left` on; the retransmission timer expired. */
void path_probe_on_ack(struct tcp_connection *c, struct tcp_result *result);
void path_probe_on_loss(struct tcp_connection *c, uint32_t left);
void path_probe_on_timeout(struct tcp_engine *e, struct tcp_connection *c, struct tcp_result *result);

#endif
