/* What the options of two SYNs agree on (RFC 9293 3.7.1, RFC 7323, RFC 2018, RFC 3168). */
#ifndef VNIC_TCP_OPTION_H
#define VNIC_TCP_OPTION_H

#include "tcp/state.h"

/* The MSS that we announce: not reduced for options (OPT-05). */
uint16_t option_own_mss(uint32_t mtu, bool is_ipv6);

/* Headers without options: IP and TCP. */
static inline uint32_t option_headers(const struct tcp_connection *c)
{
    return c->is_ipv6 ? 60 : 40;
}

/* The peer's SYN has come: what only one side wants is off. Before, c->rcv_mss is what we announced. */
void option_agree(struct tcp_engine *e, struct tcp_connection *c, const struct tcp_segment *syn);

/* snd_mss from what was agreed and the path MTU. */
void option_set_mss(struct tcp_connection *c);

#endif
