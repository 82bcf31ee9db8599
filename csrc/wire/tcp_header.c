/* tcp_header.c: reads a stranger's TCP header and options, and writes ours. */
#include "wire/tcp_header.h"

#include "base/bytes.h"

#include <string.h>

enum {
    HEADER_MIN = 20,
    KIND_EOL = 0,
    KIND_NOP = 1,
    KIND_MSS = 2,
    KIND_WSCALE = 3,
    KIND_SACK_PERMITTED = 4,
    KIND_SACK = 5,
    KIND_TIMESTAMP = 8,
    KIND_USER_TIMEOUT = 28,
    SACK_BLOCK = 8,
    /* NOP, NOP, kind 8, length 10: where most stacks put it (RFC 7323 Appendix A) */
    TIMESTAMP_WORD = 0x0101080A
};

static void parse_sack(struct tcp_segment *segment, const uint8_t *value, size_t len)
{
    segment->sacks = (uint8_t)(len / SACK_BLOCK);
    for (unsigned i = 0; i < segment->sacks; i++) {
        segment->sack[i] = (struct tcp_block){
            .left = be32_load(value + (size_t)i * SACK_BLOCK),
            .right = be32_load(value + (size_t)i * SACK_BLOCK + 4),
        };
    }
}

/* Whether an option that is known has a value of that many bytes; unknown ones have any. */
static bool is_legal(uint8_t kind, size_t len)
{
    switch (kind) {
    case KIND_MSS:
    case KIND_USER_TIMEOUT:
        return len == 2;
    case KIND_WSCALE:
        return len == 1;
    case KIND_SACK_PERMITTED:
        return len == 0;
    case KIND_TIMESTAMP:
        return len == 8;
    case KIND_SACK:
        return len != 0 && len % SACK_BLOCK == 0;
    default:
        return true;
    }
}

static void parse_option(struct tcp_segment *segment, uint8_t kind, const uint8_t *value, size_t len)
{
    switch (kind) {
    case KIND_MSS:
        segment->mss = be16_load(value);
        segment->options |= TCP_OPT_MSS;
        break;
    case KIND_WSCALE:
        segment->wscale = value[0];
        segment->options |= TCP_OPT_WSCALE;
        break;
    case KIND_SACK_PERMITTED:
        segment->options |= TCP_OPT_SACK_PERMITTED;
        break;
    case KIND_SACK:
        parse_sack(segment, value, len);
        break;
    case KIND_TIMESTAMP:
        segment->ts_val = be32_load(value);
        segment->ts_ecr = be32_load(value + 4);
        segment->options |= TCP_OPT_TIMESTAMP;
        break;
    case KIND_USER_TIMEOUT:
        segment->user_timeout = be16_load(value);
        segment->options |= TCP_OPT_USER_TIMEOUT;
        break;
    default:
        break;
    }
}

/* Any alignment, any order; of an option that comes twice the last counts. 40 bytes hold 4 SACK blocks at most. */
static void parse_options(struct tcp_segment *segment, const uint8_t *at, const uint8_t *end)
{
    while (at < end && *at != KIND_EOL) {
        if (*at == KIND_NOP) {
            at++;
            continue;
        }
        if (end - at < 2 || at[1] < 2 || at[1] > end - at) {
            segment->options |= TCP_OPT_MALFORMED;
            return;
        }
        if (is_legal(at[0], at[1] - 2U)) {
            parse_option(segment, at[0], at + 2, at[1] - 2U);
        } else {
            segment->options |= TCP_OPT_MALFORMED;
        }
        at += at[1];
    }
}

static void parse_fixed(struct tcp_segment *segment, const uint8_t *bytes)
{
    segment->seq = be32_load(bytes + 4);
    segment->ack = be32_load(bytes + 8);
    segment->control = bytes[13];
    segment->wnd = be16_load(bytes + 14);
    segment->urgent = be16_load(bytes + 18);
    segment->options = 0;
    segment->wscale = 0;
    segment->mss = 0;
    segment->user_timeout = 0;
    segment->sacks = 0;
}

int tcp_header_parse(struct tcp_segment *segment, const uint8_t *bytes, size_t len)
{
    const size_t header = len < HEADER_MIN ? 0 : (size_t)(bytes[12] >> 4) * 4;

    if (header < HEADER_MIN || header > len) {
        return -1;
    }
    parse_fixed(segment, bytes);
    segment->len = (uint32_t)(len - header);
    if (header == HEADER_MIN + 12 && be32_load(bytes + HEADER_MIN) == TIMESTAMP_WORD) {
        segment->options = TCP_OPT_TIMESTAMP;
        segment->ts_val = be32_load(bytes + HEADER_MIN + 4);
        segment->ts_ecr = be32_load(bytes + HEADER_MIN + 8);
        return 0;
    }
    segment->ts_val = 0;
    segment->ts_ecr = 0;
    parse_options(segment, bytes + HEADER_MIN, bytes + header);
    return 0;
}

/* Bytes of all options but SACK, each padded with NOPs to a multiple of 4. */
static size_t options_len(const struct tcp_segment *segment)
{
    const unsigned options = segment->options;
    size_t len = (options & TCP_OPT_MSS) != 0 ? 4 : 0;

    len += (options & TCP_OPT_TIMESTAMP) != 0 ? 12 : (options & TCP_OPT_SACK_PERMITTED) != 0 ? 4 : 0;
    len += (options & TCP_OPT_WSCALE) != 0 ? 4 : 0;
    len += (options & TCP_OPT_USER_TIMEOUT) != 0 ? 4 : 0;
    return len;
}

/* SACK blocks that fit behind the other options. */
static unsigned sack_room(const struct tcp_segment *segment, size_t others)
{
    const size_t room = (TCP_HEADER_MAX - HEADER_MIN - 4 - others) / SACK_BLOCK;

    return segment->sacks < room ? segment->sacks : (unsigned)room;
}

size_t tcp_header_len(const struct tcp_segment *segment)
{
    const size_t others = options_len(segment);
    const unsigned blocks = sack_room(segment, others);

    return HEADER_MIN + others + (blocks != 0 ? 4 + (size_t)blocks * SACK_BLOCK : 0);
}

static uint8_t *write_timestamp(const struct tcp_segment *segment, uint8_t *at)
{
    const bool is_with_sack = (segment->options & TCP_OPT_SACK_PERMITTED) != 0;

    be32_store(at, is_with_sack ? 0x0402080A : TIMESTAMP_WORD);
    be32_store(at + 4, segment->ts_val);
    be32_store(at + 8, segment->ts_ecr);
    return at + 12;
}

static uint8_t *write_sack(const struct tcp_segment *segment, unsigned blocks, uint8_t *at)
{
    be32_store(at, 0x01010502 + blocks * SACK_BLOCK);
    at += 4;
    for (unsigned i = 0; i < blocks; i++, at += SACK_BLOCK) {
        be32_store(at, segment->sack[i].left);
        be32_store(at + 4, segment->sack[i].right);
    }
    return at;
}

/* All but timestamps and SACK, of which one is in most segments. */
static uint8_t *write_rare(const struct tcp_segment *segment, uint8_t *at)
{
    if ((segment->options & TCP_OPT_MSS) != 0) {
        be32_store(at, 0x02040000U | segment->mss);
        at += 4;
    }
    if ((segment->options & (TCP_OPT_SACK_PERMITTED | TCP_OPT_TIMESTAMP)) == TCP_OPT_SACK_PERMITTED) {
        be32_store(at, 0x01010402);
        at += 4;
    }
    if ((segment->options & TCP_OPT_WSCALE) != 0) {
        be32_store(at, 0x01030300U | segment->wscale);
        at += 4;
    }
    if ((segment->options & TCP_OPT_USER_TIMEOUT) != 0) {
        be32_store(at, 0x1C040000U | segment->user_timeout);
        at += 4;
    }
    return at;
}

size_t tcp_header_write(const struct tcp_segment *segment, uint16_t source, uint16_t destination,
                        uint8_t *out)
{
    const unsigned blocks = segment->sacks != 0 ? sack_room(segment, options_len(segment)) : 0;
    uint8_t *at = out + HEADER_MIN;

    if ((segment->options & ~(unsigned)TCP_OPT_TIMESTAMP) != 0) {
        at = write_rare(segment, at);
    }
    if ((segment->options & TCP_OPT_TIMESTAMP) != 0) {
        at = write_timestamp(segment, at);
    }
    if (blocks != 0) {
        at = write_sack(segment, blocks, at);
    }
    be16_store(out, source);
    be16_store(out + 2, destination);
    be32_store(out + 4, segment->seq);
    be32_store(out + 8, segment->ack);
    out[12] = (uint8_t)((at - out) / 4 << 4);
    out[13] = segment->control;
    be16_store(out + 14, segment->wnd);
    be16_store(out + 16, 0);
    be16_store(out + 18, (segment->control & TCP_URG) != 0 ? segment->urgent : 0);
    return (size_t)(at - out);
}
