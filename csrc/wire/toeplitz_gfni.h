/* The GFNI paths of the Toeplitz hash; elsewhere than on x86-64 they report themselves missing. */
#ifndef VNIC_WIRE_TOEPLITZ_GFNI_H
#define VNIC_WIRE_TOEPLITZ_GFNI_H

#include "wire/toeplitz.h"

bool toeplitz_gfni_has(void);
bool toeplitz_gfni512_has(void);

/* Call these only where the matching _has() is true. */
uint32_t toeplitz_gfni_hash(const struct toeplitz *t, const uint8_t *in, size_t len);
void toeplitz_gfni_bulk(const struct toeplitz *t, const uint8_t *const in[], size_t len, uint32_t out[],
                        size_t n);
void toeplitz_gfni512_bulk(const struct toeplitz *t, const uint8_t *const in[], size_t len, uint32_t out[],
                           size_t n);

#endif
