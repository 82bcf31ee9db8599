/* Which bytes of a frame RSS hashes, and under which NDIS hash type. */
#ifndef VNIC_WIRE_RSS_H
#define VNIC_WIRE_RSS_H

#include "wire/frame.h"

/* NDIS_HASH_*: the values of ntddndis.h, so that registers, OIDs and net buffer lists agree. */
enum rss_type {
    RSS_TYPE_NONE = 0,
    RSS_TYPE_IPV4 = 0x100,
    RSS_TYPE_TCP_IPV4 = 0x200,
    RSS_TYPE_IPV6 = 0x400,
    RSS_TYPE_IPV6_EX = 0x800,
    RSS_TYPE_TCP_IPV6 = 0x1000,
    RSS_TYPE_TCP_IPV6_EX = 0x2000,
    RSS_TYPE_UDP_IPV4 = 0x4000,
    RSS_TYPE_UDP_IPV6 = 0x8000,
    RSS_TYPE_UDP_IPV6_EX = 0x10000,
    RSS_TYPE_MASK = 0x1ff00,
};

enum { RSS_INPUT_MAX = 36, RSS_KEY_LEN = 40 };

/*
 * Writes the hash input of a parsed frame, source address || destination address [|| source port ||
 * destination port] in network order, and returns the type it belongs to; *len is 8, 12, 32 or 36. Returns
 * RSS_TYPE_NONE with *len 0 when no enabled type applies: no hash, default queue [INV-53].
 *
 * A transport type that is enabled wins over the address type. A fragment, and a datagram whose TCP or UDP
 * header is not whole, can only match the address type [INV-54]. Of IPv6, _EX wins when it is enabled and the
 * frame carries a Home Address option or a type 2 Routing header, or when the plain type is not enabled; else
 * the plain type, which always takes the addresses of the IPv6 header. The type returned is the enabled one
 * that matched.
 */
uint32_t rss_input(const struct wire_frame *f, const uint8_t *frame, uint32_t enabled_types,
                   uint8_t input[RSS_INPUT_MAX], uint32_t *len);

#endif
