/* move_x86.h: the paths of the copy core that x86-64 processors may have. */
#ifndef VNIC_COPY_MOVE_X86_H
#define VNIC_COPY_MOVE_X86_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* To be called only where the processor has the instructions. */
bool move_avx2_has(void);
void move_avx2(uint8_t *to, const uint8_t *from, size_t len);
void move_avx2_fill(uint8_t *to, uint64_t pattern, unsigned phase, size_t len);

bool move_avx512_has(void);
void move_avx512(uint8_t *to, const uint8_t *from, size_t len);
void move_avx512_fill(uint8_t *to, uint64_t pattern, unsigned phase, size_t len);

#endif
