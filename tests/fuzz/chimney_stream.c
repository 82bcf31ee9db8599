/* chimney_stream.c: holds bytes that were sent, placed and given to a pool against those that both ends wrote. */
#include "chimney_stream.h"

#include <string.h>

enum { ETHERNET = 14, IPV4 = 20, TCP = 20, PROTOCOL_TCP = 6 };

void stream_start(struct stream *t, uint8_t number, uint32_t iss, uint32_t irs)
{
    *t = (struct stream){.knows_sent = true,
                         .knows_received = true,
                         .number = number,
                         .iss = iss,
                         .irs = irs,
                         .heard = irs,
                         .delivered = irs};
}

static uint8_t mixed(uint32_t a, uint32_t b)
{
    const uint32_t mix = (a * 0x9E3779B1u) ^ (b * 0x85EBCA6Bu);

    return (uint8_t)(mix >> 24 ^ mix >> 11);
}

uint8_t stream_host_byte(const struct stream *t, uint32_t from)
{
    return mixed(t->number + 1u, from);
}

uint8_t stream_peer_byte(const struct stream *t, uint32_t seq)
{
    return mixed(t->number + 101u, seq);
}

/* ---- received ---- */

bool stream_post(struct stream *t, uint32_t at, uint32_t len)
{
    if (t->count == STREAM_POSTED) {
        return false;
    }
    t->posted[(t->first + t->count++) % STREAM_POSTED] = (struct posted){at, len};
    return true;
}

static const char *stream_take(struct stream *t, const uint8_t *bytes, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        if (bytes[i] != stream_peer_byte(t, t->delivered + i)) {
            return "a byte that was received is another than the one sent";
        }
    }
    t->delivered += len;
    return t->delivered - t->irs <= t->heard - t->irs ? NULL : "more was received than sent";
}

const char *stream_take_pool(struct stream *t, uint32_t seq, const uint8_t *bytes, uint32_t len)
{
    if (!t->knows_received) {
        return NULL;
    }
    t->pooled += len;
    return len != 0 && seq != t->delivered ? "data of the pool is not the next" : stream_take(t, bytes, len);
}

const char *stream_take_posted(struct stream *t, uint32_t count, uint32_t bytes, const uint8_t *memory)
{
    const char *wrong = NULL;

    for (uint32_t i = 1; i <= count && t->knows_received && wrong == NULL; i++) {
        const struct posted *p = &t->posted[t->first];
        const uint32_t len = i < count ? p->len : bytes;
        if (t->count == 0) {
            return "a receive is complete that nobody posted";
        }
        t->first = (t->first + 1) % STREAM_POSTED;
        t->count--;
        wrong = len <= p->len ? stream_take(t, memory + p->at, len) : "a receive has more than its length";
    }
    return wrong;
}

/* ---- sent ---- */

static uint32_t be16_get(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

static uint32_t be32_get(const uint8_t *at)
{
    return be16_get(at) << 16 | be16_get(at + 2);
}

/* Folded sum of big-endian words, RFC 1071. */
static uint32_t sum_of(const uint8_t *at, size_t len, uint32_t sum)
{
    for (size_t i = 0; i + 1 < len; i += 2) {
        sum += be16_get(at + i);
    }
    sum += len % 2 != 0 ? (uint32_t)at[len - 1] << 8 : 0;
    while (sum >> 16 != 0) {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    return sum;
}

static bool are_sums_right(const uint8_t *ip, uint32_t total)
{
    const uint32_t pseudo = sum_of(ip + 12, 8, PROTOCOL_TCP + total - IPV4);

    return sum_of(ip, IPV4, 0) == 0xFFFF && sum_of(ip + IPV4, total - IPV4, pseudo) == 0xFFFF;
}

/* What lies before the first byte is a keepalive's. */
static const char *judge_payload(const struct stream *t, uint32_t seq, const uint8_t *bytes, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        const uint32_t from = seq + i - t->iss;
        if (from < UINT32_C(1) << 31 && from >= t->sent) {
            return "a byte is sent that nobody gave";
        }
        if (from < t->sent && bytes[i] != stream_host_byte(t, from)) {
            return "a byte that is sent is another than the one given";
        }
    }
    return NULL;
}

static const char *judge_segment(const struct stream *t, const uint8_t *tcp, uint32_t len)
{
    const uint32_t header = (uint32_t)(tcp[12] >> 4) * 4, ack = be32_get(tcp + 8);

    if (header < TCP || header > len) {
        return "a header that is longer than its segment";
    }
    if (t->knows_received && ack - t->irs > t->heard - t->irs) {
        return "an acknowledgement of what nobody sent";
    }
    return t->knows_sent ? judge_payload(t, be32_get(tcp + 4), tcp + header, len - header) : NULL;
}

const char *stream_judge_frame(const struct stream *streams, unsigned count, const uint8_t *frame, size_t len,
                               uint16_t first_port)
{
    const uint8_t *ip = frame + ETHERNET, *tcp = ip + IPV4;

    if (len < ETHERNET + IPV4 + TCP || be16_get(frame + 12) != 0x0800 || ip[0] != 0x45
        || ip[9] != PROTOCOL_TCP) {
        return NULL;
    }
    const uint32_t number = be16_get(tcp + 2) - first_port, total = be16_get(ip + 2);
    if (number >= count || !(streams[number].knows_sent || streams[number].knows_received)) {
        return NULL;
    }
    if (total < IPV4 + TCP || total > len - ETHERNET) {
        return "a datagram that is longer than its frame";
    }
    return are_sums_right(ip, total) ? judge_segment(&streams[number], tcp, total - IPV4)
                                     : "a wrong checksum is sent";
}
