/* ICMP and ICMPv6: echo, errors sent within limits, errors received. */
#ifndef VNIC_STACK_ICMP_H
#define VNIC_STACK_ICMP_H

#include "stack/limit.h"
#include "stack/packet.h"

enum { ICMP_HOSTS = 64, ICMP_PATHS = 64 };

/* What a router said of the way to a destination (RFC 1191, RFC 8201), for datagrams without a connection. */
struct icmp_path_mtu {
    struct vnic_address destination;
    uint32_t mtu; /* 0: nothing */
    uint64_t expires_ns;
};

struct icmp {
    struct limit errors;             /* all together */
    struct limit hosts[ICMP_HOSTS];  /* by hash of the destination */
    struct icmp_path_mtu paths[ICMP_PATHS]; /* by hash likewise */
    uint8_t *message;                /* one that is being built, 64 KiB */
};

/* The kinds of errors we send, in both versions. */
enum icmp_error {
    ICMP_ERROR_PORT,              /* unreachable, port */
    ICMP_ERROR_PROTOCOL,          /* IPv4: unreachable, protocol; IPv6: unrecognized next header, at `at` */
    ICMP_ERROR_PARAMETER,         /* a field is wrong, at `at` */
    ICMP_ERROR_OPTION,            /* IPv6: unrecognized option, at `at` */
    ICMP_ERROR_OPTION_ALWAYS,     /* the same, also for multicast destinations */
    ICMP_ERROR_HEADER_CHAIN,      /* IPv6: first fragment without its whole header chain (RFC 7112) */
    ICMP_ERROR_REASSEMBLY,        /* time exceeded, reassembly */
    ICMP_ERRORS
};

struct vnic_stack;

int icmp_create(struct vnic_stack *s);
void icmp_destroy(struct vnic_stack *s);

/* `at` is an offset from the IP header. Says nothing where RFC 1122 3.2.2 and RFC 4443 2.4(e) forbid it. */
void icmp_send_error(struct vnic_stack *s, const struct packet *packet, enum icmp_error error, uint32_t at);
void icmp_receive(struct vnic_stack *s, const struct packet *packet);
void icmp6_receive(struct vnic_stack *s, const struct packet *packet);

/* An error that quotes a datagram of ours goes to its transport. `quote` starts at the quoted IP header. */
struct icmp_report {
    uint32_t kind;    /* enum tcp_icmp */
    uint32_t mtu;
    int32_t result;   /* for datagram sockets: enum vnic_stack_result */
};
void icmp_deliver(struct vnic_stack *s, bool is_ipv6, const uint8_t *quote, uint32_t len,
                  const struct icmp_report *report);

/* What we know of the path to it, at most `mtu`. */
uint32_t icmp_path_mtu(const struct vnic_stack *s, const struct vnic_address *destination, uint32_t mtu);
void icmp_note_path_mtu(struct vnic_stack *s, const struct vnic_address *destination, uint32_t mtu);

/* The ICMPv6 checksum is good. */
bool icmp6_is_good(const struct vnic_stack *s, const struct packet *packet);

#endif
