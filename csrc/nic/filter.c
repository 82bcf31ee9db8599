/* filter.c: the address filter and the VLAN filter. */
#include "nic/filter.h"

#include "base/bytes.h"
#include "wire/frame.h"

#define ADDRESS_MASK 0xFFFFFFFFFFFFull

/* Octet 0 in bits 7:0, as the address registers have it. */
static uint64_t filter_destination(const uint8_t *frame)
{
    return le32_load(frame) | (uint64_t)le16_load(frame + 4) << 32;
}

static bool filter_is_listed(const struct vnic *card, uint64_t address)
{
    uint64_t wanted = address | MAC_MULTICAST_VALID_MASK;
    for (uint32_t i = 0; i < REG_MAC_MULTICAST_COUNT; i++) {
        uint64_t entry = regfile_get64(&card->regs, REG_MAC_MULTICAST + 8 * i);
        if ((entry & (ADDRESS_MASK | MAC_MULTICAST_VALID_MASK)) == wanted) {
            return true;
        }
    }
    return false;
}

static bool filter_takes_address(const struct vnic *card, uint32_t ctrl, const uint8_t *frame)
{
    uint64_t address = filter_destination(frame);
    switch (filter_class(frame)) {
    case 0:
        return (ctrl & MAC_RX_CTRL_UNICAST_MASK) && address == regfile_get64(&card->regs, REG_MAC_ADDR);
    case 2:
        return (ctrl & MAC_RX_CTRL_BROADCAST_MASK) != 0;
    default:
        return (ctrl & MAC_RX_CTRL_ALL_MULTICAST_MASK)
               || ((ctrl & MAC_RX_CTRL_MULTICAST_MASK) && filter_is_listed(card, address));
    }
}

/* [RX-5] A tag with VLAN id 0 carries a priority only and always passes. */
static bool filter_takes_vlan(const struct vnic *card, const uint8_t *frame, uint32_t len)
{
    if (be16_load(frame + 12) != WIRE_ETHERTYPE_VLAN || len < WIRE_ETH_LEN + WIRE_VLAN_LEN) {
        return true;
    }
    uint32_t id = be16_load(frame + 14) & 0xFFFu;
    return id == 0 || (card_reg(card, REG_MAC_VLAN + id / 32 * 4) >> id % 32 & 1u);
}

uint32_t filter_frame(const struct vnic *card, const uint8_t *frame, uint32_t len)
{
    uint32_t ctrl = card_reg(card, REG_MAC_RX_CTRL);
    if (ctrl & MAC_RX_CTRL_PROMISCUOUS_MASK) {
        return FILTER_PASS;
    }
    if (!filter_takes_address(card, ctrl, frame)) {
        return STAT(RX_DROP_ADDRESS);
    }
    if ((ctrl & MAC_RX_CTRL_VLAN_FILTER_MASK) && !filter_takes_vlan(card, frame, len)) {
        return STAT(RX_DROP_VLAN);
    }
    return FILTER_PASS;
}
