/* counters.c: the counters of -fsanitize-coverage=inline-8bit-counters, by the names that the linker gives to their
 * section. No function here is instrumented, for then the compiler would take the names for its own. */
#include "counters.h"

#include <stdint.h>
#include <string.h>

#ifdef __clang__
#define IS_NOT_COUNTED __attribute__((no_sanitize("coverage")))
#else
#define IS_NOT_COUNTED
#endif

/* Without counters there is no section. */
extern uint8_t __start___sancov_cntrs[] __attribute__((weak, visibility("hidden")));
extern uint8_t __stop___sancov_cntrs[] __attribute__((weak, visibility("hidden")));

IS_NOT_COUNTED void counters_clear(void)
{
    uint8_t *first = __start___sancov_cntrs;
    if (first != NULL) {
        memset(first, 0, (size_t)(__stop___sancov_cntrs - first));
    }
}
