/* descriptor.c: the checks of a descriptor, in the order in which the errors are told. */
#include "copy/descriptor.h"

#define W0_FIELDS                                                                                            \
    (COPY_DESCRIPTOR_SIZE_MASK | COPY_DESCRIPTOR_INT_EN_MASK | COPY_DESCRIPTOR_SRC_SNOOP_DIS_MASK            \
     | COPY_DESCRIPTOR_DST_SNOOP_DIS_MASK | COPY_DESCRIPTOR_COMPL_WRITE_MASK | COPY_DESCRIPTOR_FENCE_MASK    \
     | COPY_DESCRIPTOR_NULL_MASK | COPY_DESCRIPTOR_SRC_BRK_MASK | COPY_DESCRIPTOR_DST_BRK_MASK               \
     | COPY_DESCRIPTOR_BUNDLE_MASK | COPY_DESCRIPTOR_DEST_DCA_MASK | COPY_DESCRIPTOR_HINT_MASK               \
     | COPY_DESCRIPTOR_OP_MASK)

static bool is_on_page(uint64_t addr)
{
    return (addr & (COPY_PAGE - 1)) == 0;
}

/* An operation that there is, with what it may be combined with. */
static bool descriptor_is_operation(const uint64_t word[])
{
    switch (copy_descriptor_op(word)) {
    case COPY_OP_COPY:
        return true;
    case COPY_OP_FILL:
    case COPY_OP_CONTEXT_CHANGE:
        return !copy_descriptor_null(word) && !copy_descriptor_src_brk(word);
    default:
        return false;
    }
}

static bool descriptor_are_breaks_sound(const uint64_t word[])
{
    return (!copy_descriptor_src_brk(word) || is_on_page(copy_descriptor_next_src(word)))
           && (!copy_descriptor_dst_brk(word) || is_on_page(copy_descriptor_next_dst(word)));
}

/* A page break goes on for one page. */
static uint64_t descriptor_room(const uint64_t word[], uint64_t max_bytes)
{
    uint64_t room = max_bytes;
    if (copy_descriptor_src_brk(word)) {
        room = bits_min64(room, page_rest(copy_descriptor_src(word)) + COPY_PAGE);
    }
    if (copy_descriptor_dst_brk(word)) {
        room = bits_min64(room, page_rest(copy_descriptor_dst(word)) + COPY_PAGE);
    }
    return room;
}

/* [DMA-40] Control before length. */
uint32_t descriptor_check(const uint64_t word[], uint64_t max_bytes)
{
    if ((word[0] & ~W0_FIELDS) != 0 || !descriptor_is_operation(word)) {
        return CHANERR_DESC_CONTROL_MASK;
    }
    if (!descriptor_is_moving(word)) {
        return 0;
    }
    if (!descriptor_are_breaks_sound(word)) {
        return CHANERR_DESC_CONTROL_MASK;
    }
    const uint32_t size = descriptor_size(word);
    return size == 0 || size > descriptor_room(word, max_bytes) ? CHANERR_DESC_LENGTH_MASK : 0;
}
