/* minimal_oids.h: what minimal.c tells NDIS of its adapter: attributes, link, and the OIDs that NDIS passes on. */
#pragma once

#include "minimal_receive.h"

static const uint32_t oids[] = {OID_GEN_TRANSMIT_BUFFER_SPACE,
                                OID_GEN_RECEIVE_BUFFER_SPACE,
                                OID_GEN_TRANSMIT_BLOCK_SIZE,
                                OID_GEN_RECEIVE_BLOCK_SIZE,
                                OID_GEN_MAXIMUM_TOTAL_SIZE,
                                OID_GEN_VENDOR_ID,
                                OID_GEN_VENDOR_DRIVER_VERSION,
                                OID_802_3_RCV_ERROR_ALIGNMENT,
                                OID_802_3_XMIT_ONE_COLLISION,
                                OID_802_3_XMIT_MORE_COLLISIONS,
                                OID_GEN_VENDOR_DESCRIPTION,
                                OID_GEN_INTERRUPT_MODERATION,
                                OID_GEN_STATISTICS,
                                OID_GEN_CURRENT_PACKET_FILTER,
                                OID_GEN_CURRENT_LOOKAHEAD,
                                OID_802_3_MULTICAST_LIST};
/* The answers to the first of them; the medium has neither bad alignment nor collisions. */
static const uint32_t numbers[] = {RING * FRAME_MAX, BUFFERS * BUFFER, FRAME_MAX, BUFFER, FRAME_MAX,
                                   0xFFFFFF,         0x10000,          0,         0,      0};

static inline struct vnic_link_state link_read(const struct minimal *m)
{
    const uint64_t speed = card_get(&m->card, REG_GLB_SPEED, 4) * 1000000;

    if (card_get(&m->card, REG_GLB_STATUS, 4) & GLB_STATUS_LINK_UP_MASK) {
        return (struct vnic_link_state){NDIS_MEDIA_CONNECT_CONNECTED, NDIS_MEDIA_DUPLEX_FULL, speed};
    }
    return (struct vnic_link_state){NDIS_MEDIA_CONNECT_DISCONNECTED, NDIS_MEDIA_DUPLEX_UNKNOWN, UINT64_MAX};
}

static inline uint32_t register_adapter(const struct minimal *m)
{
    const struct vnic_registration_attributes attributes = {.flags = NDIS_ATTRIBUTE_HARDWARE_DEVICE
                                                                     | NDIS_ATTRIBUTE_BUS_MASTER
                                                                     | NDIS_ATTRIBUTE_SURPRISE_REMOVE_OK};

    return m->ops->set_registration_attributes(m->ndis->adapter, &attributes);
}

/* The current address is the configured one, else the permanent one. */
static inline uint32_t describe_adapter(const struct minimal *m)
{
    struct vnic_general_attributes attributes = {
        .mtu_size = FRAME_MAX - FRAME_MIN,
        .lookahead_size = FRAME_MAX - FRAME_MIN,
        .max_link_speed_bps = 100000000000,
        .link = link_read(m),
        .mac_options = NDIS_MAC_OPTION_COPY_LOOKAHEAD_DATA | NDIS_MAC_OPTION_NO_LOOPBACK,
        .supported_packet_filters = NDIS_PACKET_TYPE_DIRECTED | NDIS_PACKET_TYPE_MULTICAST
                                    | NDIS_PACKET_TYPE_ALL_MULTICAST | NDIS_PACKET_TYPE_BROADCAST
                                    | NDIS_PACKET_TYPE_PROMISCUOUS,
        .max_multicast_list_size = REG_MAC_MULTICAST_COUNT,
        .supported_oids = oids,
        .supported_oid_count = sizeof oids / sizeof oids[0]};
    uint64_t mac = card_get(&m->card, REG_MAC_PERM_ADDR, 8);

    if (mac & 1) { /* a group address is nobody's own */
        return NDIS_STATUS_DEVICE_FAILED;
    }
    memcpy(attributes.permanent_mac_address, &mac, 6);
    m->ops->read_network_address(m->ndis->adapter, (uint8_t *)&mac);
    memcpy(attributes.current_mac_address, &mac, 6);
    card_put(&m->card, REG_MAC_ADDR, 8, mac);
    return m->ops->set_general_attributes(m->ndis->adapter, &attributes);
}

/* NDIS_STATISTICS_INFO from the card's counters: unicast, multicast and broadcast, in and then out. */
static inline uint32_t statistics_answer(const struct minimal *m, struct vnic_oid_request *request)
{
    struct {
        uint32_t header, supported;
        uint64_t v[18];
    } info = {152u << 16 | 1u << 8 | 0x80, 0x003F87FF, {0}};

    for (uint32_t k = 0; k < 6; k++) {
        const uint64_t octets = card_get(&m->card, REG_STAT_RX_UNICAST_BYTES + 16 * k, 8);

        info.v[k < 3 ? 2 : 6] += octets;
        info.v[k < 3 ? 3 + k : 4 + k] = card_get(&m->card, REG_STAT_RX_UNICAST_FRAMES + 16 * k, 8);
        info.v[12 + k] = octets;
    }
    for (uint32_t reg = REG_STAT_RX_DROP_BUFFER; reg <= REG_STAT_RX_DROP_RESET; reg += 8) {
        const bool is_filtered = reg == REG_STAT_RX_DROP_ADDRESS || reg == REG_STAT_RX_DROP_VLAN;

        info.v[reg == REG_STAT_RX_DROP_DMA] += is_filtered ? 0 : card_get(&m->card, reg, 8);
    }
    info.v[1] +=
        card_get(&m->card, REG_STAT_RX_DROP_RUNT, 8) + card_get(&m->card, REG_STAT_RX_DROP_OVERSIZE, 8);
    info.v[10] = card_get(&m->card, REG_STAT_TX_DROP_DMA, 8);
    info.v[11] = card_get(&m->card, REG_STAT_TX_DROP_LINK, 8);
    return vnic_oid_answer(request, &info, sizeof info);
}

static inline uint32_t oid_set(struct minimal *m, struct vnic_oid_request *request)
{
    uint32_t value, status = NDIS_STATUS_NOT_SUPPORTED;

    if (request->oid == OID_802_3_MULTICAST_LIST) {
        return multicast_set(m, request);
    }
    if (request->oid == OID_GEN_CURRENT_PACKET_FILTER || request->oid == OID_GEN_CURRENT_LOOKAHEAD) {
        status = vnic_oid_take(request, &value, sizeof value);
    }
    if (!status && request->oid == OID_GEN_CURRENT_PACKET_FILTER) {
        m->filter = value;
        filter_write(m);
    }
    return status;
}

static inline uint32_t oid_request(void *context, struct vnic_oid_request *request)
{
    static const uint32_t no_moderation[] = {12u << 16 | 1u << 8 | 0x80, 0, 1};

    if (card_get(&((struct minimal *)context)->card, REG_GLB_TYPE, 4) != BLOCK_TYPE_GLOBAL) {
        return NDIS_STATUS_ADAPTER_REMOVED;
    }
    if (request->type == NDIS_REQUEST_SET_INFORMATION) {
        return oid_set(context, request);
    }
    for (uint32_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (oids[i] == request->oid) {
            return vnic_oid_answer(request, &numbers[i], sizeof numbers[i]);
        }
    }
    switch (request->oid) {
    case OID_GEN_VENDOR_DESCRIPTION:
        return vnic_oid_answer(request, "minimal", sizeof "minimal");
    case OID_GEN_INTERRUPT_MODERATION:
        return vnic_oid_answer(request, no_moderation, sizeof no_moderation);
    case OID_GEN_STATISTICS:
        return statistics_answer(context, request);
    default:
        return NDIS_STATUS_NOT_SUPPORTED;
    }
}
