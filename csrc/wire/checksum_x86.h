/* The AVX2 and AVX-512 paths of the checksum; elsewhere than on x86-64 they report themselves missing. */
#ifndef VNIC_WIRE_CHECKSUM_X86_H
#define VNIC_WIRE_CHECKSUM_X86_H

#include "wire/checksum.h"

bool csum_avx2_has(void);
bool csum_avx512_has(void);

/* Call these only where the matching _has() is true. */
uint64_t csum_avx2_add(uint64_t acc, const void *data, size_t len);
uint64_t csum_avx2_copy(void *dst, const void *src, size_t len, uint64_t acc);
uint64_t csum_avx512_add(uint64_t acc, const void *data, size_t len);
uint64_t csum_avx512_copy(void *dst, const void *src, size_t len, uint64_t acc);

#endif
