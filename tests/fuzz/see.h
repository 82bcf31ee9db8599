/* see.h: bytes that left a device are looked at: with MemorySanitizer it is an error when nobody wrote them. */
#ifndef VNIC_FUZZ_SEE_H
#define VNIC_FUZZ_SEE_H

#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
#define see_bytes(bytes, len) __msan_check_mem_is_initialized(bytes, len)
#endif
#endif
#ifndef see_bytes
#define see_bytes(bytes, len) ((void)(bytes), (void)(len))
#endif

#endif
