/* copy_small.h: a copy that is quick for the lengths of small frames and headers. */
#ifndef VNIC_NIC_COPY_SMALL_H
#define VNIC_NIC_COPY_SMALL_H

#include <stdint.h>
#include <string.h>

/* Both ends as fixed pieces that may overlap; nothing outside [0, len) is touched. */
static inline void copy_small(uint8_t *to, const uint8_t *from, uint32_t len)
{
    if (len >= 32 && len <= 128) {
        uint8_t piece[4][32];
        uint32_t second = len >= 64 ? 32 : 0;
        memcpy(piece[0], from, 32);
        memcpy(piece[1], from + second, 32);
        memcpy(piece[2], from + len - 32 - second, 32);
        memcpy(piece[3], from + len - 32, 32);
        memcpy(to, piece[0], 32);
        memcpy(to + second, piece[1], 32);
        memcpy(to + len - 32 - second, piece[2], 32);
        memcpy(to + len - 32, piece[3], 32);
        return;
    }
    memcpy(to, from, len);
}

#endif
