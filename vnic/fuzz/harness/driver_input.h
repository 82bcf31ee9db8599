/* driver_input.h: an input: two bytes of options, then acts of eight bytes; how to write, change and cross them. */
#ifndef VNIC_DRIVER_INPUT_H
#define VNIC_DRIVER_INPUT_H

#include <stddef.h>
#include <stdint.h>

#define FUZZ_OPTION_BYTES 2u
#define FUZZ_ACT_BYTES 8u
#define FUZZ_ACTS_MOST 256u

/* What may be done. The byte of an input is counted around. */
enum fuzz_act_code {
    /* traffic and time */
    ACT_SETTLE,
    ACT_WORK, /* the card, a little; nobody hears of it yet */
    ACT_RUN, /* pending interrupts, DPCs, work, a little */
    ACT_SEND,
    ACT_SEND_MANY,
    ACT_CANCEL,
    ACT_ARRIVE,
    ACT_ARRIVE_MANY,
    ACT_RETURN,
    ACT_KEEP,
    ACT_WAIT,
    ACT_RACE, /* at the n-th call from here, another processor gets ahead */
    /* NDIS */
    ACT_QUERY,
    ACT_SET,
    ACT_CANCEL_REQUEST,
    ACT_FILTER,
    ACT_PAUSE,
    ACT_RESTART,
    ACT_RESET,
    ACT_CHECK_FOR_HANG,
    ACT_HALT,
    ACT_INITIALIZE,
    ACT_SHUT_DOWN,
    ACT_NO_MEMORY, /* the next allocations fail */
    /* the card */
    ACT_REMOVE,
    ACT_INSERT,
    ACT_LINK,
    ACT_EVENT,
    ACT_LIE,
    ACT_DEAFEN,
    ACT_FORGE_RECEIVE,
    ACT_FORGE_TRANSMIT,
    ACT_CORRUPT,
    ACT_SCRIBBLE,
    ACT_STOP_RING,
    ACT_INTERRUPT,
    ACT_LOSE_INTERRUPTS,
    ACT_HOLD_INTERRUPTS,
    ACT_REFORM,
    ACTS
};

struct fuzz_act {
    uint8_t code, a;
    uint16_t b;
    uint32_t c;
};

/* The act that begins there, little-endian; what an input is too short for is 0. */
struct fuzz_act fuzz_act_read(const uint8_t *in, size_t left);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The random input of that number; its length. */
size_t input_write(uint64_t number, uint8_t *out, size_t room);

/* libFuzzer's names. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2, size_t size2,
                                 uint8_t *out, size_t max_out_size, unsigned int seed);

#endif
