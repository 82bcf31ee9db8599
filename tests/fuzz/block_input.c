/* block_input.c: inputs that are pcapng files: written, changed and crossed by whole blocks. */
#include <stdbool.h>
#include <string.h>

#include "author.h"
#include "base/bytes.h"
#include "input.h"
#include "trace/block.h"

#define BLOCKS_MOST 1024u
#define RANDOM_BLOCKS 60u
#define DATA_MOST 128u
#define CHANGES 4u
#define OPTIONS_BYTES 24u

struct block_list {
    uint32_t count;
    struct {
        const uint8_t *at;
        uint32_t len;
    } block[BLOCKS_MOST];
};

/* What is no block to the end counts as one. */
static void list_read(struct block_list *list, const uint8_t *in, size_t len)
{
    list->count = 0;
    for (size_t at = 0; at < len && list->count < BLOCKS_MOST;) {
        const uint64_t said = len - at >= 8 ? le32_load(in + at + 4) : 0;
        const bool is_sound = said >= BLOCK_FRAME_BYTES && said % 4 == 0 && said <= len - at;
        const uint32_t bytes = (uint32_t)(is_sound ? said : len - at);
        list->block[list->count].at = in + at;
        list->block[list->count++].len = bytes;
        at += bytes;
    }
}

static size_t list_write(const struct block_list *list, uint8_t *out, size_t room)
{
    size_t at = 0;
    for (uint32_t i = 0; i < list->count && list->block[i].len <= room - at; i++) {
        memcpy(out + at, list->block[i].at, list->block[i].len);
        at += list->block[i].len;
    }
    return at;
}

static void list_insert(struct block_list *list, uint32_t where, const uint8_t *at, uint32_t len)
{
    if (list->count == BLOCKS_MOST || len == 0) {
        return;
    }
    memmove(&list->block[where + 1], &list->block[where], (list->count - where) * sizeof list->block[0]);
    list->block[where].at = at;
    list->block[where].len = len;
    list->count++;
}

static void list_remove(struct block_list *list, uint32_t where, uint32_t count)
{
    memmove(&list->block[where], &list->block[where + count],
            (list->count - where - count) * sizeof list->block[0]);
    list->count -= count;
}

/* ---- blocks ---- */

/* A packet block around `captured` octets, with options behind; its length, 0: no room. */
static uint32_t block_close(uint8_t *block, size_t room, uint32_t interface, uint32_t captured,
                            const uint8_t *options, uint32_t options_len)
{
    const uint32_t total = BLOCK_PACKET_BYTES + block_padded(captured) + options_len + 4;
    if (total > room) {
        return 0;
    }
    le32_store(block, BLOCK_ENHANCED_PACKET);
    le32_store(block + 4, total);
    le32_store(block + 8, interface);
    le32_store(block + 12, 0);
    le32_store(block + 16, 0);
    le32_store(block + 20, captured);
    le32_store(block + 24, captured);
    if (options_len != 0) {
        memcpy(block + BLOCK_PACKET_BYTES + block_padded(captured), options, options_len);
    }
    le32_store(block + total - 4, total);
    return total;
}

/* An operation's code is not an event's type: these are the ones that go together. */
static const uint8_t inputs[] = {
    VNIC_EVENT_MMIO_READ, VNIC_EVENT_MMIO_WRITE, VNIC_EVENT_CFG_READ, VNIC_EVENT_CFG_WRITE,
    VNIC_EVENT_RUN,       VNIC_EVENT_STEP,       VNIC_EVENT_TIME,     VNIC_EVENT_LINK,
    VNIC_EVENT_RESET,     VNIC_EVENT_REMOVE,     VNIC_EVENT_MAP,      VNIC_EVENT_UNMAP,
    VNIC_EVENT_ARM,       VNIC_EVENT_TAKE,       VNIC_EVENT_RELEASE,  VNIC_EVENT_DMA_READ,
    VNIC_EVENT_DMA_WRITE, VNIC_EVENT_INTERRUPT,  VNIC_EVENT_LOAD,     VNIC_EVENT_MARK};

static uint32_t event_write(struct author *a, uint8_t *out, size_t room)
{
    uint8_t *event = out + BLOCK_PACKET_BYTES;
    const uint8_t type = inputs[author_below(a, sizeof inputs)];
    const uint32_t data = author_one_in(a, 3) ? author_below(a, DATA_MOST) : 0;
    if (room < BLOCK_PACKET_BYTES + EVENT_HEAD_BYTES + DATA_MOST + 8) {
        return 0;
    }
    memset(event, 0, EVENT_HEAD_BYTES + DATA_MOST);
    event[0] = EVENT_VERSION;
    event[1] = author_one_in(a, 32) ? (uint8_t)author_number(a) : type;
    event[2] = (uint8_t)author_one_in(a, 4);
    event[3] = (uint8_t)(author_one_in(a, 4) ? author_value(a) : author_below(a, 4));
    event[4] = author_width(a);
    event[5] = author_one_in(a, 8) ? (uint8_t)author_below(a, 8) : 0;
    le64_store(event + 8, author_one_in(a, 2) ? author_addr(a) : 4ull * author_below(a, 0x1000));
    le64_store(event + 16, author_value(a));
    le32_store(event + 24, author_one_in(a, 16) ? (uint32_t)author_value(a) : data);
    for (uint32_t i = 0; i < data; i++) {
        event[EVENT_HEAD_BYTES + i] = (uint8_t)author_number(a);
    }
    return block_close(out, room, 1u + event[2], EVENT_HEAD_BYTES + data, NULL, 0);
}

static uint32_t frame_write(struct author *a, uint8_t *out, size_t room)
{
    static uint8_t frame[AUTHOR_DATA_BYTES];
    uint8_t options[OPTIONS_BYTES] = {0};
    struct vnic_op op = {0};
    uint32_t len = author_frame(a, &op, frame);
    len = len > DATA_MOST ? DATA_MOST : len;
    if (room < BLOCK_PACKET_BYTES + DATA_MOST + OPTIONS_BYTES + 8) {
        return 0;
    }
    memset(out + BLOCK_PACKET_BYTES, 0, block_padded(len));
    memcpy(out + BLOCK_PACKET_BYTES, frame, len);
    le16_store(options, BLOCK_OPTION_FLAGS);
    le16_store(options + 2, 4);
    le32_store(options + 4, author_one_in(a, 8) ? BLOCK_OUTBOUND : BLOCK_INBOUND);
    le16_store(options + 8, (uint16_t)(author_one_in(a, 2) ? BLOCK_OPTION_VERDICT : BLOCK_OPTION_QUEUE));
    le16_store(options + 10, (uint16_t)(author_one_in(a, 8)   ? author_value(a)
                                        : author_one_in(a, 8) ? author_below(a, 64)
                                                              : 4));
    return block_close(out, room, 0, len, options, OPTIONS_BYTES);
}

static uint32_t block_write(struct author *a, uint8_t *out, size_t room)
{
    return author_one_in(a, 5) ? frame_write(a, out, room) : event_write(a, out, room);
}

size_t input_write(uint64_t number, uint8_t *out, size_t room)
{
    struct author a = {number};
    size_t at = 0;
    for (uint32_t n = 1 + author_below(&a, RANDOM_BLOCKS); n > 0; n--) {
        at += block_write(&a, out + at, room - at);
    }
    return at;
}

/* A byte of the packet's octets, or a field of the event; now and then the framing itself. */
static uint32_t block_change(struct author *a, const uint8_t *in, uint32_t len, uint8_t *out, size_t room)
{
    if (len > room || len < BLOCK_FRAME_BYTES) {
        return 0;
    }
    memcpy(out, in, len);
    const uint32_t event = BLOCK_PACKET_BYTES;
    switch (author_below(a, 8)) {
    case 0:
        out[author_below(a, len)] ^= (uint8_t)(1u << author_below(a, 8));
        break;
    case 1:
    case 2:
    case 3:
        if (len >= event + EVENT_HEAD_BYTES + 4) {
            le64_store(out + event + (author_one_in(a, 2) ? 8 : 16),
                       author_one_in(a, 2) ? author_value(a) : author_addr(a));
        }
        break;
    case 4:
        if (len >= event + EVENT_HEAD_BYTES + 4) {
            out[event + 1 + author_below(a, 5)] = (uint8_t)author_value(a);
        }
        break;
    default:
        out[len > event + 4 ? event + author_below(a, len - event - 4) : 8] = (uint8_t)author_value(a);
        break;
    }
    return len;
}

/* ---- files ---- */

static uint32_t list_change(struct author *a, struct block_list *list, uint8_t *more, size_t room)
{
    const uint32_t where = list->count != 0 ? author_below(a, list->count) : 0;
    const uint32_t other = list->count != 0 ? author_below(a, list->count) : 0;
    uint32_t made = 0;
    switch (list->count == 0 ? 0 : author_below(a, 8)) {
    case 0:
    case 1:
        made = block_write(a, more, room);
        list_insert(list, where, more, made);
        break;
    case 2:
        list_remove(list, where, 1 + author_below(a, (list->count - where) / 4 + 1) % (list->count - where));
        break;
    case 3:
        list_insert(list, other, list->block[where].at, list->block[where].len);
        break;
    default:
        made = block_change(a, list->block[where].at, list->block[where].len, more, room);
        if (made != 0) {
            list->block[where].at = more;
        }
        break;
    }
    return made;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    static uint8_t before[INPUT_MOST], more[CHANGES * INPUT_MOST];
    static struct block_list list;
    struct author a = {seed};
    size_t used = 0;
    size = size < sizeof before ? size : sizeof before;
    memcpy(before, data, size);
    list_read(&list, before, size);
    for (unsigned n = 1 + seed % CHANGES; n > 0; n--) {
        used += list_change(&a, &list, more + used, sizeof more - used);
    }
    return list_write(&list, data, max_size);
}

/* The beginning of one and the end of the other. */
size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2, size_t size2,
                                 uint8_t *out, size_t max_out_size, unsigned int seed)
{
    static struct block_list first, second;
    struct author a = {seed};
    list_read(&first, data1, size1);
    list_read(&second, data2, size2);
    first.count = author_below(&a, first.count + 1);
    for (uint32_t i = author_below(&a, second.count + 1); i < second.count; i++) {
        list_insert(&first, first.count, second.block[i].at, second.block[i].len);
    }
    return list_write(&first, out, max_out_size);
}
