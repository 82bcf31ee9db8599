/* driver_input.c: inputs at random, and changes of inputs by whole acts and their members. */
#include "driver_input.h"

#include <string.h>

#define CHANGES_MOST 4u
#define RANDOM_MOST 48u

/* ---- numbers ---- */

static uint64_t number_next(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15ull;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ z >> 27) * 0x94D049BB133111EBull;
    return z ^ z >> 31;
}

static uint32_t number_below(uint64_t *state, uint32_t limit)
{
    return (uint32_t)(number_next(state) % limit);
}

/* At edges, small, of one bit, or anything. */
static uint32_t number_value(uint64_t *state)
{
    static const uint32_t edges[] = {0,    1,    2,    13,    14,    60,         64,         127,
                                     128,  255,  256,  1513,  1514,  1515,       1518,       2047,
                                     2048, 2049, 4096, 65535, 65536, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF};
    switch (number_below(state, 4)) {
    case 0:
        return edges[number_below(state, sizeof edges / sizeof edges[0])];
    case 1:
        return number_below(state, 64);
    case 2:
        return 1u << number_below(state, 32);
    default:
        return (uint32_t)number_next(state);
    }
}

/* ---- acts ---- */

struct fuzz_act fuzz_act_read(const uint8_t *in, size_t left)
{
    uint8_t raw[FUZZ_ACT_BYTES] = {0};
    memcpy(raw, in, left < FUZZ_ACT_BYTES ? left : FUZZ_ACT_BYTES);
    return (struct fuzz_act){raw[0], raw[1], (uint16_t)(raw[2] | raw[3] << 8),
                             raw[4] | (uint32_t)raw[5] << 8 | (uint32_t)raw[6] << 16
                                 | (uint32_t)raw[7] << 24};
}

static void act_write(uint8_t *out, const struct fuzz_act *act)
{
    out[0] = act->code;
    out[1] = act->a;
    out[2] = (uint8_t)act->b;
    out[3] = (uint8_t)(act->b >> 8);
    for (uint32_t i = 0; i < 4; i++) {
        out[4 + i] = (uint8_t)(act->c >> 8 * i);
    }
}

/* Traffic is more frequent than what ends it. */
static const uint8_t frequent[] = {
    ACT_SETTLE, ACT_SETTLE, ACT_SETTLE, ACT_SEND,          ACT_SEND,           ACT_SEND_MANY, ACT_ARRIVE,
    ACT_ARRIVE, ACT_WORK,   ACT_RUN,    ACT_FORGE_RECEIVE, ACT_FORGE_TRANSMIT, ACT_SCRIBBLE,  ACT_INTERRUPT,
    ACT_LIE,    ACT_RACE,   ACT_QUERY,  ACT_SET,           ACT_RETURN};

static uint8_t code_random(uint64_t *state)
{
    return number_below(state, 2) ? frequent[number_below(state, sizeof frequent)]
                                  : (uint8_t)number_below(state, ACTS);
}

static void act_random(uint64_t *state, uint8_t *out)
{
    const struct fuzz_act act = {code_random(state), (uint8_t)number_value(state),
                                 (uint16_t)number_value(state), number_value(state)};
    act_write(out, &act);
}

static void act_change(uint64_t *state, uint8_t *at)
{
    struct fuzz_act act = fuzz_act_read(at, FUZZ_ACT_BYTES);
    switch (number_below(state, 6)) {
    case 0:
        act.code = code_random(state);
        break;
    case 1:
        act.a = (uint8_t)number_value(state);
        break;
    case 2:
        act.b = (uint16_t)number_value(state);
        break;
    case 3:
        act.c = number_value(state);
        break;
    case 4:
        act.a ^= (uint8_t)(1u << number_below(state, 8));
        act.b = (uint16_t)(act.b + number_below(state, 5) - 2);
        break;
    default:
        act.c ^= 1u << number_below(state, 32);
        break;
    }
    act_write(at, &act);
}

/* ---- inputs ---- */

struct list {
    uint8_t options[FUZZ_OPTION_BYTES];
    uint32_t count;
    uint8_t act[FUZZ_ACTS_MOST][FUZZ_ACT_BYTES];
};

static void list_read(struct list *list, const uint8_t *in, size_t len)
{
    memset(list, 0, sizeof *list);
    if (len > 0) {
        memcpy(list->options, in, len < FUZZ_OPTION_BYTES ? len : FUZZ_OPTION_BYTES);
    }
    for (size_t at = FUZZ_OPTION_BYTES; at < len && list->count < FUZZ_ACTS_MOST; at += FUZZ_ACT_BYTES) {
        memcpy(list->act[list->count++], in + at, len - at < FUZZ_ACT_BYTES ? len - at : FUZZ_ACT_BYTES);
    }
}

static size_t list_write(const struct list *list, uint8_t *out, size_t room)
{
    if (room < FUZZ_OPTION_BYTES) {
        return 0;
    }
    const size_t fit = (room - FUZZ_OPTION_BYTES) / FUZZ_ACT_BYTES;
    const size_t count = list->count < fit ? list->count : fit;
    memcpy(out, list->options, FUZZ_OPTION_BYTES);
    if (count != 0) {
        memcpy(out + FUZZ_OPTION_BYTES, list->act, count * FUZZ_ACT_BYTES);
    }
    return FUZZ_OPTION_BYTES + count * FUZZ_ACT_BYTES;
}

/* A place for one more, before `where`; NULL when the list is full. */
static uint8_t *list_open(struct list *list, uint32_t where)
{
    if (list->count == FUZZ_ACTS_MOST) {
        return NULL;
    }
    memmove(list->act[where + 1], list->act[where], (size_t)(list->count++ - where) * FUZZ_ACT_BYTES);
    return list->act[where];
}

static void list_remove(struct list *list, uint32_t where, uint32_t count)
{
    memmove(list->act[where], list->act[where + count],
            (size_t)(list->count - where - count) * FUZZ_ACT_BYTES);
    list->count -= count;
}

static void list_insert(uint64_t *state, struct list *list, uint32_t where, uint32_t copied)
{
    uint8_t act[FUZZ_ACT_BYTES];
    if (copied < list->count) {
        memcpy(act, list->act[copied], sizeof act);
    } else {
        act_random(state, act);
    }
    uint8_t *at = list_open(list, where);
    if (at != NULL) {
        memcpy(at, act, sizeof act);
    }
}

static void list_swap(struct list *list, uint32_t first, uint32_t second)
{
    uint8_t act[FUZZ_ACT_BYTES];
    memcpy(act, list->act[first], sizeof act);
    memmove(list->act[first], list->act[second], sizeof act);
    memcpy(list->act[second], act, sizeof act);
}

static void list_change(uint64_t *state, struct list *list)
{
    const uint32_t where = list->count ? number_below(state, list->count) : 0;
    const uint32_t other = list->count ? number_below(state, list->count) : 0;
    switch (list->count ? number_below(state, 10) : 0) {
    case 0:
    case 1:
        list_insert(state, list, list->count ? number_below(state, list->count + 1) : 0, UINT32_MAX);
        break;
    case 2:
        list_insert(state, list, where, other);
        break;
    case 3:
        list_remove(list, where, 1 + number_below(state, list->count - where));
        break;
    case 4:
        list_remove(list, where, 1);
        break;
    case 5:
        list_swap(list, where, other);
        break;
    case 6:
        list->options[number_below(state, FUZZ_OPTION_BYTES)] ^= (uint8_t)(1u << number_below(state, 8));
        break;
    default:
        act_change(state, list->act[where]);
        break;
    }
}

size_t input_write(uint64_t number, uint8_t *out, size_t room)
{
    static struct list list;
    uint64_t state = number;
    list_read(&list, NULL, 0);
    list.options[0] = (uint8_t)number_next(&state);
    list.options[1] = (uint8_t)number_next(&state);
    for (uint32_t n = 1 + number_below(&state, RANDOM_MOST); n > 0; n--) {
        list_insert(&state, &list, list.count, UINT32_MAX);
    }
    return list_write(&list, out, room);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    static struct list list;
    uint64_t state = seed;
    list_read(&list, data, size);
    for (uint32_t n = 1 + number_below(&state, CHANGES_MOST); n > 0; n--) {
        list_change(&state, &list);
    }
    return list_write(&list, data, max_size);
}

/* The beginning of one and the end of the other. */
size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2, size_t size2,
                                 uint8_t *out, size_t max_out_size, unsigned int seed)
{
    static struct list first, second;
    uint64_t state = seed;
    list_read(&first, data1, size1);
    list_read(&second, data2, size2);
    first.count = number_below(&state, first.count + 1);
    for (uint32_t i = number_below(&state, second.count + 1); i < second.count; i++) {
        uint8_t *at = list_open(&first, first.count);
        if (at != NULL) {
            memcpy(at, second.act[i], FUZZ_ACT_BYTES);
        }
    }
    return list_write(&first, out, max_out_size);
}
