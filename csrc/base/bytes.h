/* Loads and stores of little-endian and big-endian integers at any alignment. */
#ifndef VNIC_BASE_BYTES_H
#define VNIC_BASE_BYTES_H

#include <stdint.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define BYTES_HOST_IS_BIG 1
#else
#define BYTES_HOST_IS_BIG 0
#endif

static inline uint16_t le16_load(const void *at)
{
    uint16_t value;

    memcpy(&value, at, sizeof(value));
    return BYTES_HOST_IS_BIG ? __builtin_bswap16(value) : value;
}

static inline void le16_store(void *at, uint16_t value)
{
    const uint16_t raw = BYTES_HOST_IS_BIG ? __builtin_bswap16(value) : value;

    memcpy(at, &raw, sizeof(raw));
}

static inline uint16_t be16_load(const void *at)
{
    uint16_t value;

    memcpy(&value, at, sizeof(value));
    return !BYTES_HOST_IS_BIG ? __builtin_bswap16(value) : value;
}

static inline void be16_store(void *at, uint16_t value)
{
    const uint16_t raw = !BYTES_HOST_IS_BIG ? __builtin_bswap16(value) : value;

    memcpy(at, &raw, sizeof(raw));
}

static inline uint32_t le32_load(const void *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof(value));
    return BYTES_HOST_IS_BIG ? __builtin_bswap32(value) : value;
}

static inline void le32_store(void *at, uint32_t value)
{
    const uint32_t raw = BYTES_HOST_IS_BIG ? __builtin_bswap32(value) : value;

    memcpy(at, &raw, sizeof(raw));
}

static inline uint32_t be32_load(const void *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof(value));
    return !BYTES_HOST_IS_BIG ? __builtin_bswap32(value) : value;
}

static inline void be32_store(void *at, uint32_t value)
{
    const uint32_t raw = !BYTES_HOST_IS_BIG ? __builtin_bswap32(value) : value;

    memcpy(at, &raw, sizeof(raw));
}

static inline uint64_t le64_load(const void *at)
{
    uint64_t value;

    memcpy(&value, at, sizeof(value));
    return BYTES_HOST_IS_BIG ? __builtin_bswap64(value) : value;
}

static inline void le64_store(void *at, uint64_t value)
{
    const uint64_t raw = BYTES_HOST_IS_BIG ? __builtin_bswap64(value) : value;

    memcpy(at, &raw, sizeof(raw));
}

static inline uint64_t be64_load(const void *at)
{
    uint64_t value;

    memcpy(&value, at, sizeof(value));
    return !BYTES_HOST_IS_BIG ? __builtin_bswap64(value) : value;
}

static inline void be64_store(void *at, uint64_t value)
{
    const uint64_t raw = !BYTES_HOST_IS_BIG ? __builtin_bswap64(value) : value;

    memcpy(at, &raw, sizeof(raw));
}

#endif
