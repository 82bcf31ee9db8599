/* What a copy engine may do to memory: what the descriptors that it fetched ask for, in their order, and nothing else. */
#ifndef FUZZ_COPY_JUDGE_H
#define FUZZ_COPY_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

#include <vnic/vnic_copy.h>

enum { JUDGE_FETCHES = 128, JUDGE_PAGE = 4096, JUDGE_WORDS = 8 };

/* A descriptor that was fetched, and how far it is. */
struct fetched {
    uint64_t at, word[JUDGE_WORDS];
    uint32_t moved;
    bool is_live; /* it moves data, and not all of it is moved */
    bool has_read;
    bool is_shared; /* another had the same piece to read: whose the bytes are is not known */
    uint8_t data[JUDGE_PAGE]; /* of the piece that was read and not written */
};

struct copy_judge {
    uint32_t count; /* of all fetches; the newest are kept */
    bool is_blind; /* what is on its way cannot be known */
    const char *wrong;
    struct fetched fetch[JUDGE_FETCHES];
};

void copy_judge_start(struct copy_judge *j);

/* Each DMA of the engine, one after the other. */
void copy_judge_event(struct copy_judge *j, const struct vnic_event *event);

#endif
