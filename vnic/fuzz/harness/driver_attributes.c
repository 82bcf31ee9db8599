/* driver_attributes.c: what the driver tells NDIS of its adapter, each in its turn, once, and with values there are. */
#include <string.h>

#include "driver_world.h"

#define MTU_LEAST 46u
#define OFFLOAD_TYPE 0xA7u
#define OFFLOAD_BYTES 112u

static void initializing(const struct fuzz_world *w)
{
    FUZZ_REQUIRE(w->adapter.state == FUZZ_INITIALIZING, "STATE-1", "attributes are set after initialize_ex");
}

uint32_t fuzz_attributes_registration(struct fuzz_world *w,
                                      const struct vnic_registration_attributes *attributes)
{
    initializing(w);
    FUZZ_REQUIRE(attributes != NULL, "DRV-10", "set_registration_attributes was given NULL");
    FUZZ_REQUIRE(!w->adapter.is_registered, "INIT-1", "registration attributes twice");
    w->adapter.is_registered = true;
    return NDIS_STATUS_SUCCESS;
}

void fuzz_attributes_check_link(const struct vnic_link_state *link, const char *rule)
{
    FUZZ_REQUIRE(link != NULL && link->connect <= NDIS_MEDIA_CONNECT_DISCONNECTED
                     && link->duplex <= NDIS_MEDIA_DUPLEX_FULL,
                 rule, "a link state that NDIS does not have");
}

static void general_check(const struct vnic_general_attributes *a)
{
    fuzz_attributes_check_link(&a->link, "INIT-4");
    FUZZ_REQUIRE(a->supported_oids && a->supported_oid_count && a->supported_oid_count <= 1024, "INIT-4",
                 "a list of %u supported OIDs", a->supported_oid_count);
    FUZZ_REQUIRE(!(a->current_mac_address[0] & 1), "INIT-4", "the current MAC address is a group address");
    FUZZ_REQUIRE(a->mtu_size >= MTU_LEAST && a->lookahead_size, "INIT-4", "MtuSize %u, LookaheadSize %u",
                 a->mtu_size, a->lookahead_size);
}

uint32_t fuzz_attributes_general(struct fuzz_world *w, const struct vnic_general_attributes *a)
{
    struct fuzz_adapter *own = &w->adapter;
    initializing(w);
    FUZZ_REQUIRE(a != NULL, "DRV-10", "set_general_attributes was given NULL");
    FUZZ_REQUIRE(own->is_registered, "INIT-1", "registration attributes come first");
    FUZZ_REQUIRE(!own->is_described, "INIT-1", "general attributes twice");
    general_check(a);
    own->is_described = true;
    own->mtu_size = a->mtu_size;
    own->lookahead_size = a->lookahead_size;
    own->filters = a->supported_packet_filters;
    own->multicast_most = a->max_multicast_list_size;
    memcpy(own->mac, a->current_mac_address, 6);
    own->oids = a->supported_oid_count < FUZZ_OIDS ? a->supported_oid_count : FUZZ_OIDS;
    memcpy(own->oid, a->supported_oids, own->oids * sizeof own->oid[0]);
    return NDIS_STATUS_SUCCESS;
}

/* NDIS_OFFLOAD, revision 1: type, revision, and its size. Copied, so that a sanitizer sees whether it is there. */
static bool is_offload(const void *bytes, uint32_t len)
{
    uint8_t copy[OFFLOAD_BYTES];
    if (len < sizeof copy) {
        return false;
    }
    memcpy(copy, bytes, sizeof copy);
    const uint32_t size = copy[2] | (uint32_t)copy[3] << 8;
    return copy[0] == OFFLOAD_TYPE && copy[1] >= 1 && size >= OFFLOAD_BYTES;
}

uint32_t fuzz_attributes_offload(struct fuzz_world *w, const struct vnic_offload_attributes *a)
{
    initializing(w);
    FUZZ_REQUIRE(w->adapter.is_described, "INIT-1", "general attributes come before offload");
    FUZZ_REQUIRE(a != NULL && a->default_config && a->hardware, "DRV-10",
                 "set_offload_attributes was given NULL");
    if (!is_offload(a->default_config, a->len) || !is_offload(a->hardware, a->len)) {
        return NDIS_STATUS_INVALID_LENGTH;
    }
    FUZZ_REQUIRE(!w->adapter.has_offload, "INIT-1", "offload attributes twice");
    w->adapter.has_offload = true;
    return NDIS_STATUS_SUCCESS;
}
