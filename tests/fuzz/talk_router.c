/* talk_router.c: what routers on the way say, and what they do to packets. */
#include <string.h>

#include "base/bytes.h"
#include "talk.h"
#include "wire/checksum.h"

static uint32_t complain4(struct talk *t, const uint8_t *ip, uint32_t left, uint8_t *out)
{
    static const uint8_t kinds[][2] = {{3, 4}, {3, 1}, {3, 3}, {11, 0}, {4, 0}};
    const uint8_t *kind = kinds[talk_below(t, 5)];
    const uint32_t quoted = left < 48 ? left : 48;

    memset(out, 0, 28);
    out[0] = 0x45;
    be16_store(out + 2, (uint16_t)(28 + quoted));
    out[8] = 60;
    out[9] = 1;
    memcpy(out + 12, ip + 16, 4);
    memcpy(out + 16, ip + 12, 4);
    memcpy(out + 20, kind, 2);
    be16_store(out + 26, (uint16_t)(kind[1] == 4 ? 576 + talk_below(t, 900) : 0));
    memcpy(out + 28, ip, quoted);
    be16_store(out + 10, csum_field(csum_add(0, out, 20)));
    be16_store(out + 22, csum_field(csum_add(0, out + 20, 8 + quoted)));
    return 28 + quoted;
}

static uint32_t complain6(struct talk *t, const uint8_t *ip, uint32_t left, uint8_t *out)
{
    static const uint8_t kinds[][2] = {{2, 0}, {1, 0}, {1, 4}, {3, 0}};
    const uint8_t *kind = kinds[talk_below(t, 4)];
    const uint32_t quoted = left < 100 ? left : 100;

    memset(out, 0, 48);
    out[0] = 0x60;
    be16_store(out + 4, (uint16_t)(8 + quoted));
    out[6] = 58;
    out[7] = 60;
    memcpy(out + 8, ip + 24, 16);
    memcpy(out + 24, ip + 8, 16);
    memcpy(out + 40, kind, 2);
    be32_store(out + 44, kind[0] == 2 ? 1000 + talk_below(t, 500) : 0);
    memcpy(out + 48, ip, quoted);
    const uint64_t sum = csum_pseudo_v6(out + 8, out + 24, 58, 8 + quoted);
    be16_store(out + 42, csum_field(csum_add(sum, out + 40, 8 + quoted)));
    return 48 + quoted;
}

uint32_t talk_complain(struct talk *t, const uint8_t *about, uint32_t len, uint8_t *out)
{
    const uint32_t head = be16_load(about + 12) == 0x8100 ? 18 : 14;
    const uint32_t type = be16_load(about + head - 2);

    memcpy(out, about, head);
    memcpy(out, about + 6, 6);
    memcpy(out + 6, about, 6);
    if (type == 0x0800 && len >= head + 20) {
        return head + complain4(t, about + head, len - head, out + head);
    }
    return type == 0x86DD && len >= head + 40 ? head + complain6(t, about + head, len - head, out + head)
                                              : head;
}

/* -- IPv6: advertisements, redirects, extension headers ------------------------------------------------------- */

enum { ICMP6_AT = 54, OF_ROUTER = 16, OF_PREFIX = 32 };

/* Ethernet and IPv6 from fe80::9 to all nodes; the message behind it is `len` bytes. */
static void head_write(uint8_t *out, uint32_t len)
{
    static const uint8_t ethernet[14] = {0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 9, 9, 0x86, 0xDD};
    uint8_t *ip = out + 14;

    memset(out, 0, ICMP6_AT);
    memcpy(out, ethernet, sizeof ethernet);
    ip[0] = 0x60;
    be16_store(ip + 4, (uint16_t)len);
    ip[6] = 58;
    ip[7] = 255;
    memcpy(ip + 8, (const uint8_t[]){0xFE, 0x80}, 2);
    ip[23] = 9;
    memcpy(ip + 24, (const uint8_t[]){0xFF, 2}, 2);
    ip[39] = 1;
    be16_store(out + ICMP6_AT + 2, 0);
    be16_store(out + ICMP6_AT + 2,
               csum_field(csum_add(csum_pseudo_v6(ip + 8, ip + 24, 58, len), out + ICMP6_AT, len)));
}

/* A prefix, on-link or for addresses, that lasts for some time. */
static uint32_t prefix_write(struct talk *t, uint8_t *o)
{
    static const uint32_t lifetimes[] = {0, 30, 100, 8000, UINT32_MAX};

    memset(o, 0, OF_PREFIX);
    o[0] = 3;
    o[1] = 4;
    o[2] = talk_may(t, 230) ? 64 : 48;
    o[3] = (uint8_t)(talk_below(t, 4) << 6);
    be32_store(o + 4, lifetimes[talk_below(t, 5)]);
    be32_store(o + 8, lifetimes[talk_below(t, 5)]);
    memcpy(o + 16, (const uint8_t[]){0x20, 1, 0xd, 0xb8, 0, (uint8_t)talk_below(t, 3)}, 6);
    return OF_PREFIX;
}

uint32_t talk_advertise(struct talk *t, uint8_t *out)
{
    static const uint16_t lifetimes[] = {0, 60, 1800, 9000};
    uint8_t *m = out + ICMP6_AT;
    uint32_t len = OF_ROUTER;

    memset(m, 0, OF_ROUTER);
    m[0] = 134;
    m[4] = (uint8_t)talk_below(t, 3);
    be16_store(m + 6, lifetimes[talk_below(t, 4)]);
    be32_store(m + 8, talk_below(t, 3) * 5000);
    be32_store(m + 12, talk_below(t, 3) * 700);
    if (talk_may(t, 180)) {
        memcpy(m + len, (const uint8_t[]){1, 1, 2, 0, 0, 0, 9, 9}, 8);
        len += 8;
    }
    if (talk_may(t, 60)) {
        memcpy(m + len, (const uint8_t[]){5, 1, 0, 0, 0, 0, 5, (uint8_t)talk_below(t, 256)}, 8);
        len += 8;
    }
    for (uint32_t n = talk_below(t, 3); n > 0; n--) {
        len += prefix_write(t, m + len);
    }
    head_write(out, len);
    return ICMP6_AT + len;
}

uint32_t talk_lengthen(struct talk *t, uint8_t *bytes, uint32_t len)
{
    static const uint8_t kinds[] = {0, 60, 43, 44};
    const uint32_t head = be16_load(bytes + 12) == 0x8100 ? 18 : 14;
    uint8_t *ip = bytes + head, *e = ip + 40;

    if (len < head + 40 || be16_load(ip - 2) != 0x86DD || ip[6] == 0) {
        return len;
    }
    memmove(e + 8, e, len - head - 40);
    memset(e, 0, 8);
    e[0] = ip[6];
    ip[6] = kinds[talk_below(t, 4)];
    if (ip[6] != 44) { /* an option, or segments left: some of them nobody knows */
        e[2] = ip[6] == 43 ? 0 : (const uint8_t[]){1, 0x1E, 0x5E, 0x9E, 0xDE}[talk_below(t, 5)];
        e[3] = ip[6] == 43 ? (uint8_t)talk_below(t, 2) : 4;
    }
    be16_store(ip + 4, (uint16_t)(be16_load(ip + 4) + 8));
    return len + 8;
}
