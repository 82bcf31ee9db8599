/* act_input.c: inputs that are acts: written, changed and crossed by whole acts. */
#include "acts.h"
#include "author.h"
#include "input.h"

#define ACTS_MOST 512u
#define RANDOM_ACTS 100u
#define RANDOM_BYTES 40u
#define CHANGES 4u

/* Where the acts of an input are, each with its END. */
struct act_list {
    uint32_t count;
    struct {
        const uint8_t *at;
        size_t len;
    } act[ACTS_MOST];
};

static void list_read(struct act_list *list, const uint8_t *in, size_t len)
{
    list->count = 0;
    for (size_t at = 0, from = 0; at < len && list->count < ACTS_MOST; at++) {
        if (in[at] == SLIP_END || at + 1 == len) {
            list->act[list->count].at = in + from;
            list->act[list->count++].len = at + 1 - from;
            from = at + 1;
        }
    }
}

/* As many acts as there is room for; every one ends with END. */
static size_t list_write(const struct act_list *list, uint8_t *out, size_t room)
{
    size_t at = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        const size_t len = list->act[i].len;
        if (len + 1 > room - at) {
            break;
        }
        memcpy(out + at, list->act[i].at, len);
        at += len;
        if (out[at - 1] != SLIP_END) {
            out[at++] = SLIP_END;
        }
    }
    return at;
}

static void list_insert(struct act_list *list, uint32_t where, const uint8_t *bytes, size_t len)
{
    if (list->count == ACTS_MOST) {
        return;
    }
    memmove(&list->act[where + 1], &list->act[where], (list->count - where) * sizeof list->act[0]);
    list->act[where].at = bytes;
    list->act[where].len = len;
    list->count++;
}

static void list_remove(struct act_list *list, uint32_t where, uint32_t count)
{
    memmove(&list->act[where], &list->act[where + count],
            (list->count - where - count) * sizeof list->act[0]);
    list->count -= count;
}

/* ---- acts ---- */

/* Small bytes are as likely as all others together: they choose the usual, the others the rest. */
static size_t act_write(struct author *a, uint8_t *out, size_t room)
{
    uint8_t act[RANDOM_BYTES];
    const uint32_t len = 1 + author_below(a, RANDOM_BYTES);
    for (uint32_t i = 0; i < len; i++) {
        const uint64_t r = author_number(a);
        act[i] = (uint8_t)((r >> 40 & 3) == 0 ? r & 7 : r);
    }
    const size_t end = oplang_frame(act, len, out, 0, room);
    return end == room ? 0 : end;
}

size_t input_write(uint64_t number, uint8_t *out, size_t room)
{
    struct author a = {number};
    size_t at = 0;
    for (uint32_t n = 1 + author_below(&a, RANDOM_ACTS); n > 0; n--) {
        at += act_write(&a, out + at, room - at);
    }
    return at;
}

static uint8_t byte_changed(struct author *a, uint8_t old)
{
    switch (author_below(a, 4)) {
    case 0:
        return (uint8_t)(old ^ 1u << author_below(a, 8));
    case 1:
        return (uint8_t)(old + author_below(a, 9) - 4);
    case 2:
        return (uint8_t)author_value(a);
    default:
        return (uint8_t)author_number(a);
    }
}

/* Some bytes of an act changed, inserted, or gone; into `out`, framed. */
static size_t act_change(struct author *a, const uint8_t *in, size_t in_len, uint8_t *out, size_t room)
{
    static uint8_t act[ACT_BYTES_MOST];
    size_t at = 0;
    uint32_t len = oplang_unframe(in, in_len, &at, act, ACT_BYTES_MOST - 1);
    for (uint32_t n = 1 + author_below(a, 3); n > 0; n--) {
        const uint32_t where = len != 0 ? author_below(a, len) : 0;
        if (len == 0 || (author_one_in(a, 6) && len < ACT_BYTES_MOST - 1)) {
            memmove(act + where + 1, act + where, len++ - where);
            act[where] = (uint8_t)author_value(a);
        } else if (author_one_in(a, 6)) {
            memmove(act + where, act + where + 1, --len - where);
        } else {
            act[where] = byte_changed(a, act[where]);
        }
    }
    const size_t end = oplang_frame(act, len, out, 0, room);
    return end == room ? 0 : end;
}

/* ---- inputs ---- */

static size_t list_change(struct author *a, struct act_list *list, uint8_t *more, size_t room)
{
    const uint32_t where = list->count != 0 ? author_below(a, list->count) : 0;
    const uint32_t other = list->count != 0 ? author_below(a, list->count) : 0;
    size_t made = 0;
    switch (list->count == 0 ? 0 : author_below(a, 8)) {
    case 0:
        made = act_write(a, more, room);
        list_insert(list, author_below(a, list->count + 1), more, made);
        break;
    case 1:
        list_remove(list, where, 1 + author_below(a, list->count - where));
        break;
    case 2:
        list_insert(list, other, list->act[where].at, list->act[where].len);
        break;
    case 3: {
        const struct act_list before = *list;
        list->act[where] = before.act[other];
        list->act[other] = before.act[where];
        break;
    }
    default:
        made = act_change(a, list->act[where].at, list->act[where].len, more, room);
        list->act[where].at = more;
        list->act[where].len = made;
        break;
    }
    return made;
}

static void list_drop_empty(struct act_list *list)
{
    for (uint32_t i = 0; i < list->count;) {
        if (list->act[i].len == 0) {
            list_remove(list, i, 1);
        } else {
            i++;
        }
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    static uint8_t before[INPUT_MOST], more[CHANGES * (2 * ACT_BYTES_MOST + 4)];
    static struct act_list list;
    struct author a = {seed};
    size_t used = 0;
    if (size > sizeof before) {
        size = sizeof before;
    }
    memcpy(before, data, size);
    list_read(&list, before, size);
    for (unsigned n = 1 + seed % CHANGES; n > 0; n--) {
        used += list_change(&a, &list, more + used, sizeof more - used);
    }
    list_drop_empty(&list);
    return list_write(&list, data, max_size);
}

/* The beginning of one and the end of the other. */
size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2, size_t size2,
                                 uint8_t *out, size_t max_out_size, unsigned int seed)
{
    static struct act_list first, second;
    struct author a = {seed};
    list_read(&first, data1, size1);
    list_read(&second, data2, size2);
    first.count = author_below(&a, first.count + 1);
    for (uint32_t i = author_below(&a, second.count + 1); i < second.count; i++) {
        list_insert(&first, first.count, second.act[i].at, second.act[i].len);
    }
    return list_write(&first, out, max_out_size);
}
