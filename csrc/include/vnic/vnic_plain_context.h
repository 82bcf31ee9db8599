/* vnic_plain_context.h: the card as a simple miniport's driver describes it, and the books that are kept for it. */
#ifndef VNIC_VNIC_PLAIN_CONTEXT_H
#define VNIC_VNIC_PLAIN_CONTEXT_H

#include "vnic/vnic_driver.h"

/*
 * For drivers of one interrupt and one pair of rings, whose context begins with a struct vnic_plain_miniport. Their table
 * of entry points is VNIC_PLAIN_MINIPORT(); what those want of the card they ask of the driver, by struct
 * vnic_plain_card. Sends wait here until the ring has room; receives are counted while protocols have them; a pause pends
 * until both are back; requests are answered from tables. No rule is bent for it: NDIS checks what comes out.
 *
 * The lock guards these books and the driver's rings. Members of struct vnic_plain_card marked L run under it, as does
 * what a driver does between vnic_plain_begin() and vnic_plain_end(): there it may call what of NDIS may be called at
 * DISPATCH and does not call back. All of it is static inline: a driver may take what it likes, and write the rest.
 */

enum { VNIC_ETHERNET_HEADER_BYTES = 14 };

/* What a card says of itself when it is opened. */
struct vnic_plain_identity {
    uint8_t permanent_mac_address[6];
    uint8_t current_mac_address[6];
    struct vnic_link_state link;
};

/* A receive buffer, known by its number, and the list that lends it to protocols. */
struct vnic_plain_receive {
    struct vnic_net_buffer_list *list;
    bool is_lent;
};

/* The card, as its driver knows it. `context` is the adapter's. open and close are needed; what else is NULL does nothing. */
struct vnic_plain_card {
    const char *vendor_description;
    uint32_t frame_max; /* bytes of the longest frame, header included, without FCS */
    uint32_t sends_max; /* packets that the transmit ring holds */
    uint32_t list_max; /* addresses of the multicast list */
    /* Brings the card up, all but its rings, and connects the interrupt. NDIS_STATUS_*; close() follows a failure too. */
    uint32_t (*open)(void *context, struct vnic_plain_identity *identity);
    /* Gives back what open() took of the bus, as far as it came. The interrupt is disconnected by then. */
    void (*close)(void *context);
    /* The card to its initial state: it neither interrupts nor uses memory any more. Any level; calls NDIS not at all. */
    void (*quiet)(void *context);
    /* L: empties the rings and starts them, without buffers; whether they run. After open(), and for a reset. */
    bool (*restart_rings)(void *context);
    /* L: hands the card an empty receive buffer. */
    void (*post)(void *context, uint32_t buffer);
    /* L: puts a packet into the ring; vnic_plain_sent() reports it. False: no room now. */
    bool (*transmit)(void *context, const struct vnic_net_buffer *packet);
    /* Receives what matches NDIS_PACKET_TYPE_*; 0: nothing. */
    void (*listen)(void *context, uint32_t packet_filter);
    /* The multicast list: `count` addresses of 6 bytes, one behind the other. */
    void (*subscribe)(void *context, const uint8_t *addresses, uint32_t count);
    /* DIRQL: whether the card's interrupt cause is set. Not asked with MSI-X, which says so by its message. */
    bool (*is_raised)(void *context);
    /* The DPC: takes what the card has completed, and lets it interrupt again. */
    void (*serve)(void *context);
    /* What the card counted; NDIS_STATUS_*. */
    uint32_t (*statistics)(void *context, struct vnic_statistics_info *info);
};

struct vnic_plain_miniport {
    const struct vnic_ndis *ndis;
    const struct vnic_ndis_ops *ops;
    const struct vnic_plain_card *card;
    struct vnic_ndis_interrupt irq; /* its handle is NULL until it is connected */
    void *lock;
    void *shared; /* what driver and card both see, see vnic_plain_share() */
    size_t shared_bytes;
    uint64_t shared_addr; /* on the bus */
    struct vnic_net_buffer_list *oldest, **end; /* all sends in order, until their last packet is reported */
    struct vnic_net_buffer_list *waiting; /* of these the first that is not wholly in the ring, */
    struct vnic_net_buffer *packet; /* and its next packet */
    struct vnic_net_buffer *reported; /* of the oldest: the packet whose report is next */
    uint32_t posted; /* packets in the ring */
    uint32_t out; /* lists that are not where they came from: sends here, receives with protocols */
    struct vnic_plain_receive *receives;
    uint32_t receive_count, receive_bytes; /* how many; of each buffer */
    uint32_t packet_filter;
    bool is_running, is_pausing, is_gone;
    struct vnic_net_buffer_list *watched; /* the oldest send at the last check for hang, */
    uint32_t reports, watched_reports; /* and how many packets had been reported by then */
};

/* What one look at the completion ring finds: from vnic_plain_begin() to vnic_plain_end(). */
struct vnic_plain_work {
    struct vnic_plain_miniport *plain;
    struct vnic_net_buffer_list *sent, **sent_end;
    struct vnic_net_buffer_list *received, **received_end;
    uint32_t count; /* of those received */
};

/* -- registers and memory -------------------------------------------------------------------------------------- */

/* BAR0, as long as the card is there: PROG-25. */
static inline uint32_t vnic_plain_read32(const struct vnic_plain_miniport *p, uint32_t offset)
{
    return p->is_gone ? 0 : vnic_read32(&p->ndis->bus, offset);
}

static inline uint64_t vnic_plain_read64(const struct vnic_plain_miniport *p, uint32_t offset)
{
    return p->is_gone ? 0 : vnic_read64(&p->ndis->bus, offset);
}

static inline void vnic_plain_write32(const struct vnic_plain_miniport *p, uint32_t offset, uint32_t value)
{
    if (!p->is_gone) {
        vnic_write32(&p->ndis->bus, offset, value);
    }
}

static inline void vnic_plain_write64(const struct vnic_plain_miniport *p, uint32_t offset, uint64_t value)
{
    if (!p->is_gone) {
        vnic_write64(&p->ndis->bus, offset, value);
    }
}

/* For open(): zeroed memory that driver and card both see, freed after close(); NULL when there is none. */
static inline void *vnic_plain_share(struct vnic_plain_miniport *p, size_t bytes)
{
    const struct vnic_bus *bus = &p->ndis->bus;

    p->shared = bus->ops->alloc_coherent(bus->opaque, bytes, &p->shared_addr);
    p->shared_bytes = bytes;
    return p->shared;
}

static inline void vnic_plain_unshare(const struct vnic_plain_miniport *p)
{
    const struct vnic_bus *bus = &p->ndis->bus;

    if (p->shared) {
        bus->ops->free_coherent(bus->opaque, p->shared, p->shared_bytes, p->shared_addr);
    }
}

#endif
