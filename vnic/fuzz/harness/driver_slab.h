/* driver_slab.h: large pieces of memory that are used again by later inputs, with bounds that a sanitizer watches. */
#ifndef VNIC_DRIVER_SLAB_H
#define VNIC_DRIVER_SLAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* From so many bytes on, the system's allocator asks the kernel each time: most of an input's time. */
#define FUZZ_SLAB_LEAST (32u << 10)

/* Zeroed, aligned to a page; NULL: all places are taken. */
uint8_t *fuzz_slab_take(size_t len);
/* False when it is none. From here on, whoever touches it is reported by AddressSanitizer. */
bool fuzz_slab_give(const void *bytes);

#endif
