/* talk.h: two stacks with a bad line between them, and what their users do: all of it follows from a number. */
#ifndef VNIC_FUZZ_TALK_H
#define VNIC_FUZZ_TALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vnic/vnic_stack.h>
#include <vnic/vnic_stack_offload.h>

enum {
    TALK_HOSTS = 2,
    TALK_SOCKETS = 12,
    TALK_FLYING = 256, /* frames on the line at most */
    TALK_FRAME = 65536 + 64,
    TALK_BUFFER = 4096,
    TALK_BUFFERS = 32,
    TALK_TICKETS = 64,
    TALK_SOURCE = 1 << 17 /* bytes to send */
};

struct talk;

/* A connection that is offloaded: what its target has told the host. */
struct talk_target {
    bool is_there;
    _Alignas(8) uint8_t state[256]; /* struct tcp_offload_state, as it was given and as it goes on */
};

struct talk_host {
    struct talk *talk;
    vnic_stack *stack;
    uint32_t vlan, offload, mtu;
    bool has_hook;
    vnic_socket socket[TALK_SOCKETS];
    struct talk_target target[TALK_SOCKETS];
    uint64_t ticket[TALK_TICKETS]; /* copies that the hook took */
    struct {
        void *to;
        const void *from;
        uint64_t len;
    } copy[TALK_TICKETS];
    unsigned copies;
    uint8_t buffer[TALK_BUFFERS][TALK_BUFFER];
    unsigned buffers;
};

/* A frame on its way; the bytes are in the line's own memory. */
struct talk_frame {
    uint64_t at_ns;
    uint32_t to, len, flags;
    uint8_t *bytes;
};

struct talk {
    uint64_t random, now_ns;
    struct talk_host host[TALK_HOSTS];
    uint32_t loss; /* of 256 frames; likewise the others */
    uint32_t damage, twice;
    uint64_t delay_ns;
    bool has_router;
    struct talk_frame frame[TALK_FLYING];
    unsigned flying;
};

/* splitmix64; `most` is not 0. */
uint64_t talk_random(struct talk *t);
uint32_t talk_below(struct talk *t, uint32_t most);
bool talk_may(struct talk *t, uint32_t of_256);

/* Addresses of both hosts, by family. */
struct vnic_endpoint talk_place(unsigned host, bool is_ipv6, uint16_t port);

/* One call into the core was made: its answer, and the host's counters behind it. */
void talk_told(struct talk_host *h, const char *call, int64_t answer);

/* Something that the user of a host does; something that the client of its offload target does. */
void talk_user(struct talk *t, struct talk_host *h);
void talk_client(struct talk *t, struct talk_host *h);
void talk_keep_socket(struct talk_host *h, vnic_socket socket);

/* An ICMP or ICMPv6 error about a frame that was sent; its length, 0: none. */
uint32_t talk_complain(struct talk *t, const uint8_t *about, uint32_t len, uint8_t *out);

/* A router's advertisement; its length. */
uint32_t talk_advertise(struct talk *t, uint8_t *out);

/* Puts an extension header into an IPv6 frame, which has room for 8 bytes more; its length. */
uint32_t talk_lengthen(struct talk *t, uint8_t *bytes, uint32_t len);

extern uint8_t talk_source[TALK_SOURCE];

#endif
