/* driver_judge.h: the rules that a driver under test is held to; a breach is told in a line and ends the process. */
#ifndef VNIC_DRIVER_JUDGE_H
#define VNIC_DRIVER_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

/* Says "driver: RULE: what" and aborts. RULE is an id of spec/drivers.md, of spec/fuzzing.md, or of NDIS's rules. */
_Noreturn void fuzz_breach(const char *rule, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define FUZZ_REQUIRE(condition, rule, ...)                                                                   \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fuzz_breach((rule), __VA_ARGS__);                                                                \
        }                                                                                                    \
    } while (0)

/* The status, when NDIS has it; else DRV-12. */
uint32_t fuzz_status(uint32_t status, const char *what);

#endif
