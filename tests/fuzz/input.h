/* input.h: what kinds of inputs have to offer to a fuzzer: random ones, and changes that keep their grammar. */
#ifndef VNIC_FUZZ_INPUT_H
#define VNIC_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>

#define INPUT_MOST (1u << 18)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The random input of that number; its length. */
size_t input_write(uint64_t number, uint8_t *out, size_t room);

/* libFuzzer's names. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2, size_t size2,
                                 uint8_t *out, size_t max_out_size, unsigned int seed);

#endif
