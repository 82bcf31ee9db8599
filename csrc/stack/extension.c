/* The walk over extension headers, and what their options ask for when they are not known. */
#include "stack/extension.h"

#include "stack/header.h"
#include "stack/icmp.h"

enum {
    OPTION_PAD1 = 0,
    OPTION_PADN = 1,
    OPTION_ROUTER_ALERT = 5, /* RFC 2711: of no interest to a host, and known */
    ACTION_SKIP = 0,         /* the two highest bits of an option type (RFC 8200 4.2) */
    ACTION_DISCARD = 1,
    ACTION_REPORT = 2
};

struct extension_walk extension_start(const uint8_t *ip)
{
    return (struct extension_walk){.offset = WIRE_IPV6_LEN, .next_offset = 6, .next = ip[6]};
}

static enum extension_verdict problem(struct extension_walk *walk, enum icmp_error error, uint32_t pointer)
{
    walk->error = (uint8_t)error;
    walk->pointer = pointer;
    return EXTENSION_PROBLEM;
}

static enum extension_verdict unknown_option(struct extension_walk *walk, uint8_t type, uint32_t at)
{
    switch (type >> 6) {
    case ACTION_SKIP:
        return EXTENSION_TRANSPORT;
    case ACTION_DISCARD:
        return EXTENSION_DROP;
    case ACTION_REPORT:
        return problem(walk, ICMP_ERROR_OPTION_ALWAYS, at);
    default:
        return problem(walk, ICMP_ERROR_OPTION, at);
    }
}

/* The options of a header that ends at `end`; TRANSPORT: go on. */
static enum extension_verdict walk_options(struct extension_walk *walk, const uint8_t *ip, uint32_t end)
{
    uint32_t at = walk->offset + 2;

    while (at < end) {
        const uint8_t type = ip[at];

        if (type == OPTION_PAD1) {
            at++;
            continue;
        }
        if (end - at < 2 || end - at - 2 < ip[at + 1]) {
            return problem(walk, ICMP_ERROR_PARAMETER, at);
        }
        if (type != OPTION_PADN && type != OPTION_ROUTER_ALERT) {
            const enum extension_verdict verdict = unknown_option(walk, type, at);

            if (verdict != EXTENSION_TRANSPORT) {
                return verdict;
            }
        }
        at += 2u + ip[at + 1];
    }
    return EXTENSION_TRANSPORT;
}

/* RFC 5095 3, RFC 8200 4.4: no type is known; with no segments left the header is passed over. */
static enum extension_verdict check_routing(struct extension_walk *walk, const uint8_t *ip)
{
    return ip[walk->offset + 3] == 0 ? EXTENSION_TRANSPORT
                                     : problem(walk, ICMP_ERROR_PARAMETER, walk->offset + 2);
}

/* One header of ext_len bytes that is there whole. */
static enum extension_verdict check_header(struct extension_walk *walk, const uint8_t *ip, uint32_t ext_len)
{
    switch (walk->next) {
    case NEXT_ROUTING:
        return check_routing(walk, ip);
    case NEXT_HOP_BY_HOP:
        if (walk->count > 0) {
            return problem(walk, ICMP_ERROR_PROTOCOL, walk->next_offset); /* only the first (RFC 8200 4.3) */
        }
        return walk_options(walk, ip, walk->offset + ext_len);
    default:
        return walk_options(walk, ip, walk->offset + ext_len);
    }
}

static void pass(struct extension_walk *walk, const uint8_t *ip, uint32_t ext_len)
{
    walk->next = ip[walk->offset];
    walk->next_offset = walk->offset;
    walk->offset += ext_len;
    walk->count++;
}

static bool is_passed_over(uint8_t next)
{
    return next == NEXT_HOP_BY_HOP || next == NEXT_ROUTING || next == NEXT_DESTINATION;
}

/* The bytes of the header at the walk's place, 0 when they are not all there. */
static uint32_t header_len(const struct extension_walk *walk, const uint8_t *ip, uint32_t len)
{
    const uint32_t left = len - walk->offset;
    uint32_t ext_len = 8; /* of a Fragment header: its second byte is reserved */

    if (left < ext_len) {
        return 0;
    }
    if (walk->next != NEXT_FRAGMENT) {
        ext_len = ((uint32_t)ip[walk->offset + 1] + 1) * 8;
    }
    return ext_len <= left ? ext_len : 0;
}

enum extension_verdict extension_run(struct extension_walk *walk, const uint8_t *ip, uint32_t len)
{
    while (is_passed_over(walk->next)) {
        const uint32_t ext_len = header_len(walk, ip, len);
        enum extension_verdict verdict;

        if (ext_len == 0 || walk->count == EXTENSION_MAX) {
            return EXTENSION_DROP;
        }
        verdict = check_header(walk, ip, ext_len);
        if (verdict != EXTENSION_TRANSPORT) {
            return verdict;
        }
        pass(walk, ip, ext_len);
    }
    if (walk->next == NEXT_FRAGMENT) {
        return header_len(walk, ip, len) != 0 ? EXTENSION_FRAGMENT : EXTENSION_DROP;
    }
    return EXTENSION_TRANSPORT;
}

void extension_pass_fragment(struct extension_walk *walk, const uint8_t *ip)
{
    pass(walk, ip, IPV6_FRAGMENT_LEN);
}

bool extension_find_transport(const uint8_t *ip, uint32_t len, uint8_t *next, uint32_t *offset)
{
    struct extension_walk walk = extension_start(ip);

    while (is_passed_over(walk.next) || walk.next == NEXT_FRAGMENT) {
        const uint32_t ext_len = header_len(&walk, ip, len);

        if (ext_len == 0 || (walk.next == NEXT_FRAGMENT && (be16_load(ip + walk.offset + 2) & 0xfff8) != 0)) {
            return false;
        }
        pass(&walk, ip, ext_len);
    }
    *next = walk.next;
    *offset = walk.offset;
    return true;
}
