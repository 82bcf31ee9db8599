/* What the path has lost of a flow and not carried since: tells a spurious timeout from a due one. */
#ifndef VNIC_TESTS_BARS_LOSSES_H
#define VNIC_TESTS_BARS_LOSSES_H

#include <stdbool.h>
#include <stdint.h>

enum { LOSSES_MAX = 4096 };

struct losses {
    uint32_t count;
    uint32_t left[LOSSES_MAX]; /* first sequence numbers of lost packets */
};

void losses_add(struct losses *l, uint32_t left);

/* left .. right is on its way again, or was acknowledged. */
void losses_clear(struct losses *l, uint32_t left, uint32_t right);

#endif
