/* see.h: bytes that left a device are looked at: with MemorySanitizer it is an error when nobody wrote them. */
#ifndef VNIC_FUZZ_SEE_H
#define VNIC_FUZZ_SEE_H

#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
#define see_bytes(bytes, len) __msan_check_mem_is_initialized(bytes, len)
#endif
#endif
/* Octets that nobody may look at, though they are in a buffer: AddressSanitizer says who does. */
#if defined(__SANITIZE_ADDRESS__)
#define VNIC_FUZZ_HAS_ASAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define VNIC_FUZZ_HAS_ASAN
#endif
#endif
#ifdef VNIC_FUZZ_HAS_ASAN
#include <sanitizer/asan_interface.h>
#define see_may_not(bytes, len) __asan_poison_memory_region(bytes, len)
#define see_may(bytes, len) __asan_unpoison_memory_region(bytes, len)
#else
#define see_may_not(bytes, len) ((void)(bytes), (void)(len))
#define see_may(bytes, len) ((void)(bytes), (void)(len))
#endif
#ifndef see_bytes
#define see_bytes(bytes, len) ((void)(bytes), (void)(len))
#endif

#endif
