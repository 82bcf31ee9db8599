/* IPv6 extension headers of a received datagram, walked once from untrusted bytes (RFC 8200 4). */
#ifndef VNIC_STACK_EXTENSION_H
#define VNIC_STACK_EXTENSION_H

#include <stdbool.h>
#include <stdint.h>

enum { EXTENSION_MAX = 8 };

enum extension_verdict {
    EXTENSION_TRANSPORT, /* next and offset are those of the transport header */
    EXTENSION_FRAGMENT,  /* offset is that of a Fragment header, which is whole */
    EXTENSION_DROP,      /* without a word */
    EXTENSION_PROBLEM    /* and an ICMP error, at pointer */
};

struct extension_walk {
    uint32_t offset;      /* from the IPv6 header */
    uint32_t next_offset; /* of the next-header field that named what is at offset */
    uint8_t next;
    uint8_t count;        /* headers passed */
    uint8_t error;        /* enum icmp_error */
    uint32_t pointer;
};

/* Starts behind the fixed header. */
struct extension_walk extension_start(const uint8_t *ip);
/* Goes on to the first transport or Fragment header; len bytes from the IPv6 header are there. */
enum extension_verdict extension_run(struct extension_walk *walk, const uint8_t *ip, uint32_t len);
/*
 * Finds the transport header without a judgement of what is passed: of a datagram that is quoted, or refused
 * already. False when it is not there, as in a later fragment.
 */
bool extension_find_transport(const uint8_t *ip, uint32_t len, uint8_t *next, uint32_t *offset);
/* Passes the Fragment header. */
void extension_pass_fragment(struct extension_walk *walk, const uint8_t *ip);

#endif
