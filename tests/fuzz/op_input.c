/* op_input.c: inputs that are programs: written, changed and crossed by whole operations. */
#include "author.h"
#include "input.h"

#define SCRATCH_BYTES (OPLANG_BYTES_MAX + 64u)
#define CHANGES 4u

static uint8_t scratch[SCRATCH_BYTES];

size_t input_write(uint64_t number, uint8_t *out, size_t room)
{
    static struct oplang_program program;
    struct author author = {number};
    author_write(&author, &program, 4 + (uint32_t)(number % 60));
    return oplang_encode(&program, scratch, out, room);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    static struct oplang_program program;
    struct author author = {seed};
    if (!oplang_decode(data, size, &program) || program.count == 0) {
        author_write(&author, &program, 8);
    }
    for (unsigned n = 1 + seed % CHANGES; n > 0; n--) {
        author_change(&author, &program);
    }
    return oplang_encode(&program, scratch, data, max_size);
}

/* The first operations of one and the last of the other, as the card and its memory find each other. */
size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2, size_t size2,
                                 uint8_t *out, size_t max_out_size, unsigned int seed)
{
    static struct oplang_program first, second;
    struct author author = {seed};
    if (!oplang_decode(data1, size1, &first) || !oplang_decode(data2, size2, &second)) {
        return 0;
    }
    first.count = author_below(&author, first.count + 1);
    for (uint32_t i = author_below(&author, second.count + 1); i < second.count; i++) {
        const struct oplang_op *o = &second.op[i];
        if (!oplang_append(&first, o->op, second.bytes + o->data, o->data_len)) {
            break;
        }
    }
    return oplang_encode(&first, scratch, out, max_out_size);
}
