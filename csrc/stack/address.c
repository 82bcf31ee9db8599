/* What kind of address it is, and addresses made of others. */
#include "stack/address.h"

const struct vnic_address address_all_nodes = {.bytes = {0xff, 2, [15] = 1}, .is_ipv6 = 1};
const struct vnic_address address_all_routers = {.bytes = {0xff, 2, [15] = 2}, .is_ipv6 = 1};

bool address_is_any(const struct vnic_address *address)
{
    static const uint8_t none[16];

    return memcmp(address->bytes, none, sizeof(none)) == 0;
}

bool address_is_multicast(const struct vnic_address *address)
{
    return address->is_ipv6 ? address->bytes[0] == 0xff : (address->bytes[0] & 0xf0) == 0xe0;
}

bool address_is_broadcast(const struct vnic_address *address)
{
    return !address->is_ipv6 && memcmp(address->bytes, "\xff\xff\xff\xff", 4) == 0;
}

bool address_is_link_local(const struct vnic_address *address)
{
    return address->is_ipv6 && address->bytes[0] == 0xfe && (address->bytes[1] & 0xc0) == 0x80;
}

bool address_is_loopback(const struct vnic_address *address)
{
    static const uint8_t loopback[16] = {[15] = 1};

    return address->is_ipv6 ? memcmp(address->bytes, loopback, 16) == 0 : address->bytes[0] == 127;
}

/* ::ffff:0:0/96 and ::/96 name IPv4 nodes in an API and never stand in a datagram (RFC 4291 2.5.5). */
static bool is_ipv4_in_ipv6(const struct vnic_address *address)
{
    static const uint8_t zeros[10];
    const uint8_t *bytes = address->bytes;

    return memcmp(bytes, zeros, sizeof(zeros)) == 0
           && ((bytes[10] == 0xff && bytes[11] == 0xff) || (bytes[10] == 0 && bytes[11] == 0));
}

bool address_is_source(const struct vnic_address *address)
{
    if (address_is_multicast(address) || address_is_loopback(address)) {
        return false;
    }
    if (address->is_ipv6) {
        return !is_ipv4_in_ipv6(address); /* :: too */
    }
    return address->bytes[0] != 0 && address->bytes[0] < 0xf0;
}

uint32_t address_common_bits(const struct vnic_address *a, const struct vnic_address *b)
{
    const uint32_t bits = a->is_ipv6 ? 128 : 32;

    for (uint32_t i = 0; i < bits / 8; i++) {
        const uint32_t differ = (uint32_t)(a->bytes[i] ^ b->bytes[i]);

        if (differ != 0) {
            return i * 8 + (uint32_t)__builtin_clz(differ) - 24;
        }
    }
    return bits;
}

bool address_is_in(const struct vnic_address *address, const struct vnic_address *prefix, uint32_t prefix_len)
{
    return address->is_ipv6 == prefix->is_ipv6 && address_common_bits(address, prefix) >= prefix_len;
}

struct vnic_address address_prefix(const struct vnic_address *address, uint32_t prefix_len)
{
    struct vnic_address prefix = *address;

    for (uint32_t i = 0; i < 16; i++) {
        const uint32_t kept = prefix_len > i * 8 ? prefix_len - i * 8 : 0;

        prefix.bytes[i] &= (uint8_t)(kept >= 8 ? 0xff : 0xff00 >> kept);
    }
    return prefix;
}

bool address_is_subnet_broadcast(const struct vnic_address *address, const struct vnic_address *member,
                                 uint32_t prefix_len)
{
    struct vnic_address last = *member;

    if (address->is_ipv6 || prefix_len > 30) {
        return false;
    }
    for (uint32_t i = 0; i < 4; i++) {
        const uint32_t kept = prefix_len > i * 8 ? prefix_len - i * 8 : 0;

        last.bytes[i] |= (uint8_t)(kept >= 8 ? 0 : 0xff >> kept);
    }
    return address_is_equal(address, &last);
}

struct vnic_address address_solicited_node(const struct vnic_address *address)
{
    struct vnic_address group = {.bytes = {0xff, 2, [11] = 1, [12] = 0xff}, .is_ipv6 = 1};

    memcpy(group.bytes + 13, address->bytes + 13, 3);
    return group;
}

struct vnic_address address_eui64(const uint8_t prefix[8], const uint8_t mac[6])
{
    struct vnic_address address = {.is_ipv6 = 1};

    memcpy(address.bytes, prefix, 8);
    memcpy(address.bytes + 8, mac, 3);
    address.bytes[8] ^= 2;
    address.bytes[11] = 0xff;
    address.bytes[12] = 0xfe;
    memcpy(address.bytes + 13, mac + 3, 3);
    return address;
}

void address_multicast_mac(const struct vnic_address *address, uint8_t mac[6])
{
    if (address->is_ipv6) {
        mac[0] = mac[1] = 0x33;
        memcpy(mac + 2, address->bytes + 12, 4);
    } else if (address_is_multicast(address)) {
        memcpy(mac, "\x01\x00\x5e", 3);
        memcpy(mac + 3, address->bytes + 1, 3);
        mac[3] &= 0x7f;
    } else {
        memset(mac, 0xff, 6);
    }
}
