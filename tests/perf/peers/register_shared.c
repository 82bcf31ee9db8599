/* The register file as a shared library, for ctypes. */
#include "register_read.h"

struct registers *shared_create(void);
uint32_t shared_read32(const struct registers *r, uint64_t offset);

struct registers *shared_create(void)
{
    return registers_create();
}

uint32_t shared_read32(const struct registers *r, uint64_t offset)
{
    return registers_read32(r, offset);
}
