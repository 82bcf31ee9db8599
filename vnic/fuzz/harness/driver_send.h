/* driver_send.h: the NET_BUFFER_LISTs that the driver was given to send, each an allocation of its own. */
#ifndef VNIC_DRIVER_SEND_H
#define VNIC_DRIVER_SEND_H

#include <stdbool.h>
#include <stdint.h>

#include "vnic/vnic_driver.h"

struct fuzz_world;

#define FUZZ_SENDS 1024u
#define FUZZ_SEND_BUFFERS 3u
#define FUZZ_SEND_MDLS 4u

/* A packet as the driver was given it. */
struct fuzz_packet {
    struct vnic_net_buffer *buffer, buffer_was;
    bool was_handed, has_left; /* to the card; by the link */
    uint32_t mdls, bytes;
    struct vnic_mdl *mdl[FUZZ_SEND_MDLS], mdl_was[FUZZ_SEND_MDLS];
};

struct fuzz_send {
    struct vnic_net_buffer_list *list; /* NULL: free */
    uint64_t cancel_id, sum;
    bool is_cancelled, must_be_paused;
    uint32_t packets;
    struct fuzz_packet packet[FUZZ_SEND_BUFFERS];
};

/* A scatter-gather list that the driver has. */
struct fuzz_sg {
    struct vnic_sg_list list; /* handed out at this address */
    struct vnic_segment *segments;
    bool is_live;
};

struct fuzz_sends {
    struct fuzz_send each[FUZZ_SENDS];
    uint32_t top, outstanding, completed; /* top: no record at or above it is used */
    bool has_aborted; /* a send came back that the card was not handed whole: it may be later */
    uint64_t cancel_id;
    struct fuzz_sg sg[FUZZ_SENDS];
    uint32_t sgs;
};

/* Hands a chain to the driver; shape: packets a list, pieces and lengths, DISPATCH_LEVEL. */
void fuzz_send_submit(struct fuzz_world *w, uint32_t lists, uint32_t len, uint32_t shape);
void fuzz_send_cancel(struct fuzz_world *w, uint32_t back);
/* NdisMSendNetBufferListsComplete. */
void fuzz_send_complete(struct fuzz_world *w, struct vnic_net_buffer_list *chain, uint32_t flags);
/* The card was handed a frame, and sent it or not: it must be a packet of a send's, once. */
void fuzz_send_leave(struct fuzz_world *w, const uint8_t *frame, uint32_t len, bool is_sent);
/* Whether these bytes are of a packet that the driver has. */
bool fuzz_send_holds(const struct fuzz_world *w, const uint8_t *bytes, size_t len);
const struct vnic_sg_list *fuzz_send_map(struct fuzz_world *w, struct vnic_net_buffer *buffer);
void fuzz_send_unmap(struct fuzz_world *w, const struct vnic_sg_list *list);
void fuzz_send_clear(struct fuzz_world *w);

#endif
