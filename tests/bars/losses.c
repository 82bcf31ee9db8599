/* What the path has lost of a flow and not carried since: tells a spurious timeout from a due one. */
#include "losses.h"

#include "wire/seq.h"

#include <stdlib.h>

void losses_add(struct losses *l, uint32_t left)
{
    for (uint32_t i = 0; i < l->count; i++) {
        if (l->left[i] == left) {
            return;
        }
    }
    if (l->count == LOSSES_MAX) {
        abort(); /* more than a queue and a delay can hold */
    }
    l->left[l->count++] = left;
}

void losses_clear(struct losses *l, uint32_t left, uint32_t right)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < l->count; i++) {
        if (!seq_in(l->left[i], left, right)) {
            l->left[kept++] = l->left[i];
        }
    }
    l->count = kept;
}
