/* Large arrays that are zero at first and touched at random: on large pages where the system has them. */
#ifndef VNIC_BASE_PAGES_H
#define VNIC_BASE_PAGES_H

#include <stddef.h>

/* As calloc(); untouched memory costs nothing. Aligned to a cache line. For pages_free() with the same numbers. */
void *pages_calloc(size_t count, size_t size);
void pages_free(void *memory, size_t count, size_t size);

#endif
