/* A TCP segment as fields: parsing of untrusted headers and options, and writing of ours. */
#ifndef VNIC_WIRE_TCP_HEADER_H
#define VNIC_WIRE_TCP_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* cdef begin */

/* Control bits, as in byte 13 of the header. */
enum tcp_control {
    TCP_FIN = 0x01,
    TCP_SYN = 0x02,
    TCP_RST = 0x04,
    TCP_PSH = 0x08,
    TCP_ACK = 0x10,
    TCP_URG = 0x20,
    TCP_ECE = 0x40,
    TCP_CWR = 0x80
};

/* Options present in a segment. */
enum tcp_option {
    TCP_OPT_MSS = 1,
    TCP_OPT_WSCALE = 2,
    TCP_OPT_SACK_PERMITTED = 4,
    TCP_OPT_TIMESTAMP = 8,
    TCP_OPT_USER_TIMEOUT = 16,
    TCP_OPT_MALFORMED = 128 /* parsing: an illegal length; what came before it counts (RFC 9293 MUST-7) */
};

/* ECN codepoints of the IP header (RFC 3168 5). */
enum tcp_ecn { TCP_NOT_ECT = 0, TCP_ECT_1 = 1, TCP_ECT_0 = 2, TCP_CE = 3 };

enum { TCP_SACK_BLOCKS = 4, TCP_HEADER_MAX = 60 };

/* A range of sequence numbers: left <= seq < right. */
struct tcp_block {
    uint32_t left, right;
};

/* One segment without its payload's bytes. Numbers in host order. */
struct tcp_segment {
    uint32_t seq, ack;
    uint32_t len;        /* payload bytes; SYN and FIN not counted */
    uint16_t wnd;        /* as in the header: not scaled */
    uint16_t urgent;     /* urgent pointer, an offset from seq; valid with TCP_URG */
    uint8_t control;     /* enum tcp_control */
    uint8_t ecn;         /* enum tcp_ecn: of the IP header */
    uint8_t options;     /* enum tcp_option */
    uint8_t wscale;      /* as received: may exceed 14 */
    uint16_t mss;        /* option; sending: see tcp_output() */
    uint16_t user_timeout; /* option, with its granularity bit (RFC 5482) */
    uint32_t ts_val, ts_ecr;
    uint8_t sacks;       /* blocks in sack[] */
    uint8_t refused;     /* receiving: nobody has room for the payload; see tcp_input() */
    uint8_t reserved[2];
    struct tcp_block sack[4];
};

/*
 * Parses a header that starts at bytes and has len bytes, payload included (the caller trusts the IP length). Fills
 * all but ecn, refused and sack[] from `sacks` on. 0, or -1 when the data offset is below 5 or beyond len; then
 * nothing is written. Unknown options are skipped by their length; a length of 0 or 1, or one beyond the header, ends
 * the list. A known option whose length is not its own (SACK: 2 + 8 n, n > 0) is skipped and counts as malformed. Of
 * an option that comes twice the last counts. What an option means, and in which segments, is the engine's business.
 */
int tcp_header_parse(struct tcp_segment *segment, const uint8_t *bytes, size_t len);

/*
 * Bytes of the header of a segment, 20 to TCP_HEADER_MAX. Options are aligned to 4 bytes by NOPs in front, so that no
 * padding follows (RFC 9293 MUST-69 asks for zeros there). SACK blocks that do not fit are left out.
 */
size_t tcp_header_len(const struct tcp_segment *segment);

/* Writes the header, checksum field 0, and returns its length: that of tcp_header_len(). */
size_t tcp_header_write(const struct tcp_segment *segment, uint16_t source, uint16_t destination,
                        uint8_t *out);

/* cdef end */

#endif
