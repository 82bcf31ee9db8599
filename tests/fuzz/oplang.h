/* oplang.h: programs of operations as bytes: one record each, framed as in RFC 1055. */
#ifndef VNIC_FUZZ_OPLANG_H
#define VNIC_FUZZ_OPLANG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "vnic/vnic.h"

/*
 * A program is a version, flags, and records between END bytes, so that damage stays local. A record is a
 * code, its fields as LEB128 in the order of index, width, addr, value as far as the code has them, and the
 * rest is data. Fields that a record is too short for are 0, records of an unknown code are passed over: any
 * bytes behind the version are a program.
 */
#define OPLANG_VERSION 1u
#define OPLANG_HEADER 2u
#define OPLANG_OPS_MAX 256u
#define OPLANG_BYTES_MAX 262144u

/* Codes beyond those of vnic_batch(): what the world around the card does. */
enum oplang_code {
    OPLANG_POKE = 0x80,   /* data into guest memory at addr */
    OPLANG_FILL =
        0x81, /* the same value times, width bytes apart, its first 8 bytes rising by 1 << index each time */
    OPLANG_MAP = 0x82, /* maps the region numbered addr again, with permissions index */
    OPLANG_UNMAP = 0x83, /* takes value bytes at addr away */
    OPLANG_ARM = 0x84, /* data: struct vnic_fault, little-endian, as far as it goes */
    OPLANG_DISARM = 0x85, /* value: id */
    OPLANG_TAMPER = 0x86 /* saves, edits records by data (see world_tamper) and loads */
};

enum oplang_field {
    FIELD_INDEX = 1,
    FIELD_WIDTH = 2,
    FIELD_ADDR = 4,
    FIELD_VALUE = 8,
    FIELD_DATA = 16,
    FIELD_KNOWN = 32
};

struct oplang_op {
    struct vnic_op op;
    uint32_t data, data_len; /* in program.bytes */
};

struct oplang_program {
    uint8_t flags;
    uint32_t count, used;
    struct oplang_op op[OPLANG_OPS_MAX];
    uint8_t bytes[OPLANG_BYTES_MAX];
};

static inline unsigned oplang_fields(unsigned code)
{
    static const uint8_t batch[VNIC_OP_CODES] = {
        [VNIC_OP_READ] = FIELD_INDEX | FIELD_WIDTH | FIELD_ADDR,
        [VNIC_OP_WRITE] = FIELD_INDEX | FIELD_WIDTH | FIELD_ADDR | FIELD_VALUE,
        [VNIC_OP_CFG_READ] = FIELD_WIDTH | FIELD_ADDR,
        [VNIC_OP_CFG_WRITE] = FIELD_WIDTH | FIELD_ADDR | FIELD_VALUE,
        [VNIC_OP_RUN] = FIELD_ADDR | FIELD_VALUE,
        [VNIC_OP_STEP] = FIELD_INDEX,
        [VNIC_OP_ADVANCE] = FIELD_VALUE,
        [VNIC_OP_LINK] = FIELD_VALUE,
        [VNIC_OP_RESET] = FIELD_INDEX,
        [VNIC_OP_REMOVE] = FIELD_VALUE,
        [VNIC_OP_RECEIVE] = FIELD_DATA,
        [VNIC_OP_DRAIN] = 0,
    };
    switch (code) {
    case OPLANG_POKE:
        return FIELD_KNOWN | FIELD_ADDR | FIELD_DATA;
    case OPLANG_FILL:
        return FIELD_KNOWN | FIELD_INDEX | FIELD_WIDTH | FIELD_ADDR | FIELD_VALUE | FIELD_DATA;
    case OPLANG_MAP:
        return FIELD_KNOWN | FIELD_INDEX | FIELD_ADDR;
    case OPLANG_UNMAP:
        return FIELD_KNOWN | FIELD_ADDR | FIELD_VALUE;
    case OPLANG_ARM:
    case OPLANG_TAMPER:
        return FIELD_KNOWN | FIELD_DATA;
    case OPLANG_DISARM:
        return FIELD_KNOWN | FIELD_VALUE;
    default:
        return code < VNIC_OP_CODES ? FIELD_KNOWN | batch[code] : 0;
    }
}

/* ---- LEB128 ---- */

/* The number at *at, modulo 2^64; one that is cut short is what there is of it. */
static inline uint64_t oplang_get(const uint8_t *bytes, uint32_t len, uint32_t *at)
{
    uint64_t value = 0;
    for (unsigned shift = 0; *at < len; shift += 7) {
        uint8_t byte = bytes[(*at)++];
        value |= shift < 64 ? (uint64_t)(byte & 0x7F) << shift : 0;
        if (byte < 0x80) {
            break;
        }
    }
    return value;
}

static inline uint32_t oplang_put(uint8_t *bytes, uint64_t value)
{
    uint32_t len = 0;
    for (; value >= 0x80; value >>= 7) {
        bytes[len++] = (uint8_t)(value | 0x80);
    }
    bytes[len++] = (uint8_t)value;
    return len;
}

/* ---- frames of RFC 1055 ---- */

enum { SLIP_END = 0xC0, SLIP_ESC = 0xDB, SLIP_ESC_END = 0xDC, SLIP_ESC_ESC = 0xDD };

/* Unescapes a record into `to` and moves *at behind its END; its length. What has no room is lost. */
static inline uint32_t oplang_unframe(const uint8_t *in, size_t len, size_t *at, uint8_t *to, uint32_t room)
{
    uint32_t n = 0;
    while (*at < len && in[*at] != SLIP_END) {
        uint8_t byte = in[(*at)++];
        if (byte == SLIP_ESC && *at < len && (in[*at] == SLIP_ESC_END || in[*at] == SLIP_ESC_ESC)) {
            byte = in[(*at)++] == SLIP_ESC_END ? SLIP_END : SLIP_ESC;
        }
        if (n < room) {
            to[n++] = byte;
        }
    }
    *at += *at < len;
    return n;
}

/* Escapes a record with its END into out at `at`; the new end, or `room` when it does not fit. */
static inline size_t oplang_frame(const uint8_t *record, uint32_t len, uint8_t *out, size_t at, size_t room)
{
    for (uint32_t i = 0; i < len && at + 3 <= room; i++) {
        bool is_special = record[i] == SLIP_END || record[i] == SLIP_ESC;
        if (is_special) {
            out[at++] = SLIP_ESC;
        }
        out[at++] = !is_special ? record[i] : record[i] == SLIP_END ? SLIP_ESC_END : SLIP_ESC_ESC;
    }
    if (at + 3 > room) {
        return room;
    }
    out[at++] = SLIP_END;
    return at;
}

/* ---- programs ---- */

/* Adds what a record says; the record lies in program.bytes at `used`. */
static inline void oplang_add_record(struct oplang_program *p, uint32_t len)
{
    const uint8_t *record = p->bytes + p->used;
    unsigned fields = len > 0 ? oplang_fields(record[0]) : 0;
    uint32_t at = 1;
    if (!(fields & FIELD_KNOWN)) {
        return;
    }
    struct oplang_op *o = &p->op[p->count++];
    *o = (struct oplang_op){.op.code = record[0]};
    o->op.index = fields & FIELD_INDEX ? (uint8_t)oplang_get(record, len, &at) : 0;
    o->op.width = fields & FIELD_WIDTH ? (uint8_t)oplang_get(record, len, &at) : 0;
    o->op.addr = fields & FIELD_ADDR ? oplang_get(record, len, &at) : 0;
    o->op.value = fields & FIELD_VALUE ? oplang_get(record, len, &at) : 0;
    if (fields & FIELD_DATA) {
        o->data = p->used + at;
        o->data_len = len - at;
        p->used += len;
    }
}

/* false: no program of this version. */
static inline bool oplang_decode(const uint8_t *in, size_t len, struct oplang_program *p)
{
    p->count = 0;
    p->used = 0;
    if (len < OPLANG_HEADER || in[0] != OPLANG_VERSION) {
        return false;
    }
    p->flags = in[1];
    for (size_t at = OPLANG_HEADER; at < len && p->count < OPLANG_OPS_MAX;) {
        oplang_add_record(p, oplang_unframe(in, len, &at, p->bytes + p->used, OPLANG_BYTES_MAX - p->used));
    }
    return true;
}

/* An operation as a record: the code and fields; data follows. head: 42 bytes. */
static inline uint32_t oplang_head(const struct vnic_op *op, uint8_t *head)
{
    unsigned fields = oplang_fields(op->code);
    uint32_t len = 0;
    head[len++] = op->code;
    len += fields & FIELD_INDEX ? oplang_put(head + len, op->index) : 0;
    len += fields & FIELD_WIDTH ? oplang_put(head + len, op->width) : 0;
    len += fields & FIELD_ADDR ? oplang_put(head + len, op->addr) : 0;
    len += fields & FIELD_VALUE ? oplang_put(head + len, op->value) : 0;
    return len;
}

/* Appends an operation to encoded bytes; the new length, `room` when it does not fit. */
static inline size_t oplang_encode_op(const struct vnic_op *op, const uint8_t *data, uint32_t data_len,
                                      uint8_t *scratch, uint8_t *out, size_t at, size_t room)
{
    uint32_t len = oplang_head(op, scratch);
    if (oplang_fields(op->code) & FIELD_DATA && data_len > 0) {
        memcpy(scratch + len, data, data_len);
        len += data_len;
    }
    return oplang_frame(scratch, len, out, at, room);
}

/* The program as bytes; as many operations as fit. scratch: OPLANG_BYTES_MAX + 64 bytes. */
static inline size_t oplang_encode(const struct oplang_program *p, uint8_t *scratch, uint8_t *out,
                                   size_t room)
{
    size_t at = OPLANG_HEADER;
    if (room < OPLANG_HEADER) {
        return 0;
    }
    out[0] = OPLANG_VERSION;
    out[1] = p->flags;
    for (uint32_t i = 0; i < p->count; i++) {
        const struct oplang_op *o = &p->op[i];
        size_t next = oplang_encode_op(&o->op, p->bytes + o->data, o->data_len, scratch, out, at, room);
        if (next == room) {
            break;
        }
        at = next;
    }
    return at;
}

/* Appends an operation; false when the program is full. */
static inline bool oplang_append(struct oplang_program *p, struct vnic_op op, const void *data, uint32_t len)
{
    if (p->count == OPLANG_OPS_MAX || len > OPLANG_BYTES_MAX - p->used) {
        return false;
    }
    p->op[p->count++] = (struct oplang_op){.op = op, .data = p->used, .data_len = len};
    if (len > 0) {
        memcpy(p->bytes + p->used, data, len);
        p->used += len;
    }
    return true;
}

#endif
