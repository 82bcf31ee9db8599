/* vnic_assert: a check of our own reasoning, never of what a guest, a peer or a file wrote. */
#ifndef VNIC_BASE_CHECK_H
#define VNIC_BASE_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#if defined(NDEBUG)
#define vnic_assert(condition) ((void)sizeof((condition) ? 1 : 0))
#else
#define vnic_assert(condition) ((condition) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))

__attribute__((noreturn, cold, noinline, unused)) static void check_failed(const char *condition,
                                                                           const char *file, int line)
{
    fprintf(stderr, "vnic: internal error: %s:%d: %s\n", file, line, condition);
    abort();
}
#endif

#endif
