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

/* Where the record of that number begins, as they are framed. */
static size_t record_at(const uint8_t *data, size_t size, uint32_t number)
{
    size_t at = OPLANG_HEADER;
    while (at < size && number > 0) {
        number -= data[at++] == SLIP_END;
    }
    return at;
}

static uint32_t record_count(const uint8_t *data, size_t size)
{
    uint32_t count = 0;
    for (size_t at = OPLANG_HEADER; at < size; at++) {
        count += data[at] == SLIP_END;
    }
    return count;
}

static size_t record_last_end(const uint8_t *data, size_t size)
{
    while (size > OPLANG_HEADER && data[size - 1] != SLIP_END) {
        size--;
    }
    return size;
}

/* The first operations of one and the last of the other, as the card and its memory find each other. */
size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2, size_t size2,
                                 uint8_t *out, size_t max_out_size, unsigned int seed)
{
    struct author author = {seed};
    if (size1 < OPLANG_HEADER || size2 < OPLANG_HEADER || max_out_size < size1) {
        return 0;
    }
    const size_t first = record_at(data1, size1, author_below(&author, record_count(data1, size1) + 1));
    const size_t from = record_at(data2, size2, author_below(&author, record_count(data2, size2) + 1));
    const size_t room = max_out_size - first, rest = size2 - from;
    memcpy(out, data1, first);
    memcpy(out + first, data2 + from, rest < room ? rest : room);
    return rest <= room ? first + rest : record_last_end(out, max_out_size);
}
