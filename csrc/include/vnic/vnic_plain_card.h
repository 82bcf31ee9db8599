/* vnic_plain_card.h: the card below a simple miniport, whatever its rings: bring-up, link, filters, events, counters. */
#ifndef VNIC_VNIC_PLAIN_CARD_H
#define VNIC_VNIC_PLAIN_CARD_H

#include "vnic/vnic_plain_miniport.h"
#include "vnic/vnic_registers.h"

/*
 * Steps of spec/programming.md that every driver of the card takes alike; its rings and its interrupt are its own. PROG-2,
 * PROG-4 and PROG-5 are left out: it is known where the blocks are, and the card is trusted. Those that take `context` fit
 * into struct vnic_plain_card.
 */

static inline struct vnic_link_state vnic_card_link(const struct vnic_plain_miniport *p)
{
    struct vnic_link_state link = {NDIS_MEDIA_CONNECT_DISCONNECTED, NDIS_MEDIA_DUPLEX_UNKNOWN, UINT64_MAX};

    if (vnic_plain_read32(p, REG_GLB_STATUS) & GLB_STATUS_LINK_UP_MASK) {
        link.connect = NDIS_MEDIA_CONNECT_CONNECTED;
        link.duplex = NDIS_MEDIA_DUPLEX_FULL;
        link.speed_bps = (uint64_t)vnic_plain_read32(p, REG_GLB_SPEED) * 1000000;
    }
    return link;
}

/* PROG-11: the current address is the configured one, else the permanent one. */
static inline void vnic_card_identify(const struct vnic_plain_miniport *p,
                                      struct vnic_plain_identity *identity)
{
    uint64_t address = vnic_plain_read64(p, REG_MAC_PERM_ADDR);

    memcpy(identity->permanent_mac_address, &address, 6);
    p->ops->read_network_address(p->ndis->adapter, (uint8_t *)&address);
    memcpy(identity->current_mac_address, &address, 6);
    vnic_plain_write64(p, REG_MAC_ADDR, address);
    identity->link = vnic_card_link(p);
}

/* PROG-1, PROG-3: finds the card and resets it. */
static inline uint32_t vnic_card_bring_up(const struct vnic_plain_miniport *p,
                                          struct vnic_plain_identity *identity)
{
    const struct vnic_bus *bus = &p->ndis->bus;

    if (!bus->ops->enable_device(bus->opaque) || vnic_plain_read32(p, REG_GLB_TYPE) != BLOCK_TYPE_GLOBAL) {
        return NDIS_STATUS_ADAPTER_NOT_FOUND;
    }
    bus->ops->set_master(bus->opaque, true);
    vnic_plain_write32(p, REG_GLB_CTRL, GLB_CTRL_RESET_MASK);
    vnic_card_identify(p, identity);
    return NDIS_STATUS_SUCCESS;
}

/* PROG-7, PROG-11: everything but rings and receive filter; one vector, which waits for the driver after each message. */
static inline void vnic_card_enable(const struct vnic_plain_miniport *p)
{
    vnic_plain_write32(p, REG_MAC_RX_MAX, p->card->frame_max);
    vnic_plain_write32(p, REG_MAC_TX_CTRL, MAC_TX_CTRL_ENABLE_MASK | MAC_TX_CTRL_PAD_MASK);
    vnic_plain_write32(p, REG_VEC_CTRL, VEC_CTRL_ENABLE_MASK | VEC_CTRL_AUTO_MASK_MASK);
    vnic_plain_write32(p, REG_GLB_EVENT_ENABLE, GLB_EVENT_ENABLE_LINK_MASK | GLB_EVENT_ENABLE_RING_MASK);
    vnic_plain_write32(p, REG_INT_CTRL, INT_CTRL_MASTER_ENABLE_MASK);
}

/* PROG-8 to PROG-10: a ring of pair 0, known by its BASE, whose registers have one layout; whether it runs. */
static inline bool vnic_card_start_ring(const struct vnic_plain_miniport *p, uint32_t base, uint64_t addr,
                                        uint32_t count)
{
    vnic_plain_write64(p, base, addr);
    vnic_plain_write32(p, base + (REG_QP_CQ_COUNT - REG_QP_CQ_BASE), count);
    vnic_plain_write32(p, base + (REG_QP_CQ_CTRL - REG_QP_CQ_BASE), QP_CQ_CTRL_ENABLE_MASK);
    return (vnic_plain_read32(p, base + (REG_QP_CQ_STATUS - REG_QP_CQ_BASE)) & QP_CQ_STATUS_RUNNING_MASK)
           != 0;
}

/* How a send ended, by TX_STATUS_*. */
static inline uint32_t vnic_card_send_status(uint64_t tx_status)
{
    if (tx_status == TX_STATUS_OK) {
        return NDIS_STATUS_SUCCESS;
    }
    return tx_status == TX_STATUS_LINK ? NDIS_STATUS_MEDIA_DISCONNECTED : NDIS_STATUS_FAILURE;
}

/* PROG-15: of a line that other devices may share. */
static inline bool vnic_card_is_raised(void *context)
{
    return vnic_plain_read32((const struct vnic_plain_miniport *)context, REG_INT_CAUSE) != 0;
}

/* PROG-21: no more memory accesses; the card was reset before. */
static inline void vnic_card_close(void *context)
{
    const struct vnic_bus *bus = &((const struct vnic_plain_miniport *)context)->ndis->bus;

    bus->ops->disable_device(bus->opaque);
}

/* PROG-21, PROG-23: rings, filters and interrupts are off. */
static inline void vnic_card_quiet(void *context)
{
    vnic_plain_write32((const struct vnic_plain_miniport *)context, REG_GLB_CTRL, GLB_CTRL_RESET_MASK);
}

/* PROG-11; NDIS's bits and the card's have one order. */
static inline void vnic_card_listen(void *context, uint32_t packet_filter)
{
    const struct vnic_plain_miniport *p = (const struct vnic_plain_miniport *)context;
    const uint32_t bits = (packet_filter & 0xF) << 1 | (packet_filter & NDIS_PACKET_TYPE_PROMISCUOUS);

    vnic_plain_write32(p, REG_MAC_RX_CTRL, bits | (p->is_running ? MAC_RX_CTRL_ENABLE_MASK : 0));
}

/* PROG-11: the list replaces the one before. */
static inline void vnic_card_subscribe(void *context, const uint8_t *addresses, uint32_t count)
{
    const struct vnic_plain_miniport *p = (const struct vnic_plain_miniport *)context;

    for (uint32_t i = 0; i < REG_MAC_MULTICAST_COUNT; i++) {
        uint64_t entry = 0;

        if (i < count) {
            entry = MAC_MULTICAST_VALID_MASK;
            memcpy(&entry, addresses + 6 * i, 6);
        }
        vnic_plain_write64(p, REG_MAC_MULTICAST + i * REG_MAC_MULTICAST_STRIDE, entry);
    }
}

static inline void vnic_card_lost(struct vnic_plain_miniport *p) /* PROG-25 */
{
    vnic_plain_lose(p);
    p->ops->remove_miniport(p->ndis->adapter);
}

/* PROG-16: what happened to the card as a whole; of several events each is looked at. */
static inline void vnic_card_events(struct vnic_plain_miniport *p)
{
    const uint32_t events = vnic_plain_read32(p, REG_GLB_EVENT);

    if (events == UINT32_MAX) {
        vnic_card_lost(p);
        return;
    }
    vnic_plain_write32(p, REG_GLB_EVENT, events);
    if (events & GLB_EVENT_RING_MASK) {
        p->ops->reset_miniport(p->ndis->adapter);
    }
    if (events & GLB_EVENT_LINK_MASK) {
        const struct vnic_link_state link = vnic_card_link(p);

        p->ops->indicate_link_state(p->ndis->adapter, &link);
    }
}

static inline uint64_t vnic_card_drops(const struct vnic_plain_miniport *p, uint32_t first, uint32_t last)
{
    uint64_t sum = 0;

    for (uint32_t offset = first; offset <= last; offset += 8) {
        sum += vnic_plain_read64(p, offset);
    }
    return sum;
}

static inline void vnic_card_count_frames(const struct vnic_plain_miniport *p,
                                          struct vnic_statistics_info *info)
{
    info->if_hc_in_ucast_pkts = vnic_plain_read64(p, REG_STAT_RX_UNICAST_FRAMES);
    info->if_hc_in_multicast_pkts = vnic_plain_read64(p, REG_STAT_RX_MULTICAST_FRAMES);
    info->if_hc_in_broadcast_pkts = vnic_plain_read64(p, REG_STAT_RX_BROADCAST_FRAMES);
    info->if_hc_in_ucast_octets = vnic_plain_read64(p, REG_STAT_RX_UNICAST_BYTES);
    info->if_hc_in_multicast_octets = vnic_plain_read64(p, REG_STAT_RX_MULTICAST_BYTES);
    info->if_hc_in_broadcast_octets = vnic_plain_read64(p, REG_STAT_RX_BROADCAST_BYTES);
    info->if_hc_out_ucast_pkts = vnic_plain_read64(p, REG_STAT_TX_UNICAST_FRAMES);
    info->if_hc_out_multicast_pkts = vnic_plain_read64(p, REG_STAT_TX_MULTICAST_FRAMES);
    info->if_hc_out_broadcast_pkts = vnic_plain_read64(p, REG_STAT_TX_BROADCAST_FRAMES);
    info->if_hc_out_ucast_octets = vnic_plain_read64(p, REG_STAT_TX_UNICAST_BYTES);
    info->if_hc_out_multicast_octets = vnic_plain_read64(p, REG_STAT_TX_MULTICAST_BYTES);
    info->if_hc_out_broadcast_octets = vnic_plain_read64(p, REG_STAT_TX_BROADCAST_BYTES);
    info->if_hc_in_octets =
        info->if_hc_in_ucast_octets + info->if_hc_in_multicast_octets + info->if_hc_in_broadcast_octets;
    info->if_hc_out_octets =
        info->if_hc_out_ucast_octets + info->if_hc_out_multicast_octets + info->if_hc_out_broadcast_octets;
}

/* What no filter wanted is no loss. */
static inline void vnic_card_count_losses(const struct vnic_plain_miniport *p,
                                          struct vnic_statistics_info *info)
{
    info->if_in_errors = vnic_card_drops(p, REG_STAT_RX_DROP_RUNT, REG_STAT_RX_DROP_OVERSIZE)
                         + vnic_plain_read64(p, REG_STAT_RX_DROP_DMA);
    info->if_in_discards = vnic_plain_read64(p, REG_STAT_RX_DROP_DISABLED)
                           + vnic_plain_read64(p, REG_STAT_RX_DROP_BUFFER)
                           + vnic_card_drops(p, REG_STAT_RX_DROP_QUEUE, REG_STAT_RX_DROP_NO_COMPLETION)
                           + vnic_plain_read64(p, REG_STAT_RX_DROP_RESET);
    info->if_out_errors = vnic_card_drops(p, REG_STAT_TX_DROP_DESCRIPTOR, REG_STAT_TX_DROP_DMA);
    info->if_out_discards = vnic_plain_read64(p, REG_STAT_TX_DROP_LINK);
}

/* NDIS_STATISTICS_INFO from the card's counters; a card that is gone counts nothing any more. */
static inline uint32_t vnic_card_statistics(void *context, struct vnic_statistics_info *info)
{
    const struct vnic_plain_miniport *p = (const struct vnic_plain_miniport *)context;

    vnic_card_count_frames(p, info);
    vnic_card_count_losses(p, info);
    return vnic_plain_read32(p, REG_GLB_TYPE) == BLOCK_TYPE_GLOBAL ? NDIS_STATUS_SUCCESS
                                                                   : NDIS_STATUS_ADAPTER_REMOVED;
}

#endif
