/* descriptor.h: a descriptor as it was fetched: what is wrong with it, and where its pieces are. */
#ifndef VNIC_COPY_DESCRIPTOR_H
#define VNIC_COPY_DESCRIPTOR_H

#include "base/bits.h"
#include "copy/copy.h"

/* Part of a transfer that crosses no page; `from` means nothing for FILL. */
struct piece {
    uint64_t from, to;
    uint32_t len;
    bool is_from_beyond, is_to_beyond; /* [PCI-17] it would lie behind the end of the address space */
};

/* The bit of CHANERR for the first thing that is wrong, or 0. max_bytes: the largest transfer. */
uint32_t descriptor_check(const uint64_t word[], uint64_t max_bytes);

static inline bool descriptor_is_fill(const uint64_t word[])
{
    return copy_descriptor_op(word) == COPY_OP_FILL;
}

/* [DMA-23] */
static inline bool descriptor_is_moving(const uint64_t word[])
{
    return copy_descriptor_op(word) != COPY_OP_CONTEXT_CHANGE && !copy_descriptor_null(word);
}

static inline uint32_t descriptor_size(const uint64_t word[])
{
    return (uint32_t)copy_descriptor_size(word);
}

/* What is left of the page that addr is in. */
static inline uint32_t page_rest(uint64_t addr)
{
    return COPY_PAGE - (uint32_t)(addr & (COPY_PAGE - 1));
}

/* [DMA-22] The address of byte `at`: a page break goes on at `next` behind the first page. */
static inline uint64_t descriptor_address(uint64_t start, uint64_t next, bool is_broken, uint32_t at,
                                          bool *is_beyond)
{
    const uint32_t first = page_rest(start);
    *is_beyond = false;
    if (is_broken && at >= first) {
        return next + (at - first);
    }
    *is_beyond = start + at < start;
    return start + at;
}

/* The piece at byte `at`, which is below the size. */
static inline struct piece descriptor_piece(const uint64_t word[], uint32_t at)
{
    struct piece p;
    p.to = descriptor_address(copy_descriptor_dst(word), copy_descriptor_next_dst(word),
                              copy_descriptor_dst_brk(word), at, &p.is_to_beyond);
    p.len = bits_min32(descriptor_size(word) - at, page_rest(p.to));
    p.from = 0;
    p.is_from_beyond = false;
    if (!descriptor_is_fill(word)) {
        p.from = descriptor_address(copy_descriptor_src(word), copy_descriptor_next_src(word),
                                    copy_descriptor_src_brk(word), at, &p.is_from_beyond);
        p.len = bits_min32(p.len, page_rest(p.from));
    }
    return p;
}

static inline uint8_t descriptor_report(const uint64_t word[])
{
    return (uint8_t)((copy_descriptor_compl_write(word) ? REPORT_WRITE : 0)
                     | (copy_descriptor_int_en(word) ? REPORT_INTERRUPT : 0));
}

#endif
