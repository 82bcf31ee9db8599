/* What lwIP asks of its port. */
#ifndef PERF_LWIP_CC_H
#define PERF_LWIP_CC_H

#include <stdint.h>
#include <stdlib.h>

#define LWIP_RAND() ((uint32_t)rand())
#define LWIP_TIMEVAL_PRIVATE 0
#define LWIP_PLATFORM_DIAG(text) ((void)0)
#define LWIP_PLATFORM_ASSERT(text) abort()

#endif
