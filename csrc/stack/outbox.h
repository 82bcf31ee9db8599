/* Frames that wait for the link or for a neighbour: those of ARP, ND, ICMP, UDP and resets. */
#ifndef VNIC_STACK_OUTBOX_H
#define VNIC_STACK_OUTBOX_H

#include "stack/chain.h"
#include "stack/interface.h"

struct outbox_frame {
    uint32_t next;      /* first: the pool's link as well */
    struct chain chain;
    uint16_t checksum_start, checksum_offset; /* as in struct vnic_stack_frame */
    uint8_t interface;
    uint8_t is_ipv6, is_tcp;
    bool is_more;       /* the next frame is of the same datagram */
};

struct outbox {
    uint32_t first, last, count;
};

struct outboxes {
    struct chains chains;
    struct pool pool;
    struct outbox_frame *entries;
    uint32_t waiting;   /* frames that wait for neighbours */
    bool is_wanted;     /* a datagram socket was told to come again: udp_on_room() */
    struct outbox list[INTERFACES_MAX];
    struct outbox loop; /* to ourselves */
    uint8_t *looped;    /* one of them, being received */
};

struct vnic_stack;

int outboxes_create(struct vnic_stack *s);
void outboxes_destroy(struct vnic_stack *s);

/* Whether so many more frames, of together so many bytes, can be made and join the `queued` ones. */
bool outbox_has_room(const struct vnic_stack *s, uint32_t queued, uint32_t frames, uint64_t bytes);
/* A new frame, empty; 0: none left. */
uint32_t outbox_new(struct vnic_stack *s, uint32_t interface);
struct outbox_frame *outbox_at(struct vnic_stack *s, uint32_t frame);
/* False when blocks are used up; the frame is then to be discarded. */
bool outbox_append(struct vnic_stack *s, uint32_t frame, const void *bytes, uint32_t len);
/* Queues a frame for its interface; over the limit or on a link that is down it is dropped. */
void outbox_put(struct vnic_stack *s, uint32_t frame);
/* Queues it for ourselves. */
void outbox_put_loop(struct vnic_stack *s, uint32_t frame);
uint32_t outbox_take_loop(struct vnic_stack *s);
void outbox_discard(struct vnic_stack *s, uint32_t frame);
void outbox_flush(struct vnic_stack *s, uint32_t interface);

#endif
