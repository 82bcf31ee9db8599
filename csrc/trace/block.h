/* block.h: the blocks of a vnic-trace/1 file: pcapng's framing, and the event within it. */
#ifndef VNIC_TRACE_BLOCK_H
#define VNIC_TRACE_BLOCK_H

#include <stdint.h>

#include "base/bytes.h"

#define BLOCK_ENHANCED_PACKET 6u
#define BLOCK_FRAME_BYTES 12u    /* type, length, and the length again behind the body */
#define BLOCK_PACKET_BYTES 28u   /* up to the packet's octets */
#define BLOCK_OPTION_FLAGS 2u
#define BLOCK_OPTION_HASH 3u
#define BLOCK_OPTION_QUEUE 6u
#define BLOCK_OPTION_VERDICT 7u
#define BLOCK_HASH_TOEPLITZ 5u
#define BLOCK_INBOUND 1u
#define BLOCK_OUTBOUND 2u

#define EVENT_VERSION 1u
#define EVENT_HEAD_BYTES 32u
#define EVENT_PART_BYTES 131072u /* [TRC-7] */
#define EVENT_DIGEST_BYTES 8u
#define EVENT_IS_DIGEST 1u
#define EVENT_GOES_ON 2u
#define EVENT_CONTINUES 4u

static inline uint32_t block_padded(uint32_t len)
{
    return (len + 3) & ~3u;
}

/* [TRC-6] FNV-1a with words of 64 bits for octets, and their upper half folded down after each. */
static inline uint64_t block_digest(const uint8_t *octets, uint32_t len)
{
    uint64_t hash = 0xCBF29CE484222325ull ^ len;

    for (uint32_t at = 0; at < len; at += 8) {
        uint8_t word[8] = {0};

        memcpy(word, octets + at, len - at < 8 ? len - at : 8);
        hash = (hash ^ le64_load(word)) * 0x100000001B3ull;
        hash ^= hash >> 32;
    }
    return hash;
}

#endif
