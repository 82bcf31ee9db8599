/* driver_oid.c: OID requests that NDIS passes on to the driver, and the checks of their answers. */
#include "driver_oid.h"

#include <stdlib.h>
#include <string.h>

#include "driver_tell.h"
#include "driver_world.h"

#define BUFFER_MOST 1024u

/* Queries that NDIS answers itself, so that no driver sees them. */
static const uint32_t answered_by_ndis[] = {OID_GEN_SUPPORTED_LIST,
                                            OID_GEN_HARDWARE_STATUS,
                                            OID_GEN_MEDIA_SUPPORTED,
                                            OID_GEN_MEDIA_IN_USE,
                                            OID_GEN_PHYSICAL_MEDIUM,
                                            OID_GEN_MAXIMUM_LOOKAHEAD,
                                            OID_GEN_CURRENT_LOOKAHEAD,
                                            OID_GEN_MAXIMUM_FRAME_SIZE,
                                            OID_GEN_LINK_SPEED,
                                            OID_GEN_MAX_LINK_SPEED,
                                            OID_GEN_LINK_STATE,
                                            OID_GEN_MEDIA_CONNECT_STATUS,
                                            OID_GEN_MEDIA_CONNECT_STATUS_EX,
                                            OID_GEN_MEDIA_DUPLEX_STATE,
                                            OID_GEN_MAC_OPTIONS,
                                            OID_GEN_DRIVER_VERSION,
                                            OID_GEN_INIT_TIME_MS,
                                            OID_GEN_RESET_COUNTS,
                                            OID_GEN_MEDIA_SENSE_COUNTS,
                                            OID_GEN_CURRENT_PACKET_FILTER,
                                            OID_802_3_PERMANENT_ADDRESS,
                                            OID_802_3_CURRENT_ADDRESS,
                                            OID_802_3_MAXIMUM_LIST_SIZE,
                                            OID_802_3_MULTICAST_LIST,
                                            OID_GEN_RECEIVE_SCALE_CAPABILITIES,
                                            OID_GEN_RECEIVE_SCALE_PARAMETERS,
                                            OID_GEN_RECEIVE_HASH,
                                            OID_GEN_HD_SPLIT_CURRENT_CONFIG,
                                            OID_OFFLOAD_ENCAPSULATION,
                                            OID_TCP_OFFLOAD_CURRENT_CONFIG,
                                            OID_TCP_OFFLOAD_HARDWARE_CAPABILITIES,
                                            OID_TCP_CONNECTION_OFFLOAD_CURRENT_CONFIG,
                                            OID_TCP_CONNECTION_OFFLOAD_HARDWARE_CAPABILITIES,
                                            OID_TCP_CONNECTION_OFFLOAD_PARAMETERS,
                                            OID_PNP_CAPABILITIES};
/* What else is asked and told: those that a driver may have, or not. */
static const uint32_t others[] = {OID_GEN_STATISTICS,
                                  OID_GEN_INTERRUPT_MODERATION,
                                  OID_GEN_VENDOR_ID,
                                  OID_GEN_VENDOR_DESCRIPTION,
                                  OID_GEN_TRANSMIT_QUEUE_LENGTH,
                                  OID_GEN_RCV_CRC_ERROR,
                                  OID_GEN_VLAN_ID,
                                  OID_GEN_LINK_PARAMETERS,
                                  OID_GEN_NETWORK_LAYER_ADDRESSES,
                                  OID_GEN_RECEIVE_SCALE_PARAMETERS,
                                  OID_GEN_RECEIVE_HASH,
                                  OID_TCP_OFFLOAD_PARAMETERS,
                                  OID_OFFLOAD_ENCAPSULATION,
                                  OID_TCP4_OFFLOAD_STATS,
                                  OID_PNP_ENABLE_WAKE_UP,
                                  OID_PNP_ADD_WAKE_UP_PATTERN};
#define OTHERS ((uint32_t)(sizeof others / sizeof others[0]))

static bool is_in(uint32_t oid, const uint32_t *list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (list[i] == oid) {
            return true;
        }
    }
    return false;
}

/* ---- answers ---- */

static void request_check(const struct fuzz_world *w, const struct vnic_oid_request *r, uint32_t status)
{
    const struct vnic_oid_request *was = &w->oids.was;
    const bool is_query = r->type != NDIS_REQUEST_SET_INFORMATION;
    const uint32_t len = was->information_buffer_length, used = is_query ? r->bytes_written : r->bytes_read;
    FUZZ_REQUIRE(r->type == was->type && r->oid == was->oid
                     && r->information_buffer == was->information_buffer
                     && r->information_buffer_length == len && r->request_id == was->request_id,
                 "DRV-14", "OID 0x%08X: members of the request that are NDIS's were written", was->oid);
    FUZZ_REQUIRE(used <= len, "OID-2", "OID 0x%08X: %u bytes used of %u", r->oid, used, len);
    FUZZ_REQUIRE(status != NDIS_STATUS_SUCCESS || !is_query || used > 0 || len == 0, "OID-2",
                 "OID 0x%08X: SUCCESS with BytesWritten 0", r->oid);
    if (status == NDIS_STATUS_BUFFER_TOO_SHORT
        || (is_query && (status == NDIS_STATUS_INVALID_LENGTH || status == NDIS_STATUS_BUFFER_OVERFLOW))) {
        FUZZ_REQUIRE(r->bytes_needed > len, "OID-3", "OID 0x%08X: too small with BytesNeeded %u of %u",
                     r->oid, r->bytes_needed, len);
    }
    const bool is_refused = status == NDIS_STATUS_NOT_SUPPORTED || status == NDIS_STATUS_INVALID_OID;
    FUZZ_REQUIRE(!is_refused || !is_query || len == 0 || !is_in(r->oid, w->adapter.oid, w->adapter.oids),
                 "OID-5", "OID 0x%08X is listed as supported and refused", r->oid);
}

static void request_end(struct fuzz_world *w, uint32_t status)
{
    struct vnic_oid_request *r = w->oids.request;
    FUZZ_REQUIRE(status != NDIS_STATUS_PENDING, "OID-4", "OID 0x%08X is completed with PENDING", r->oid);
    if (fuzz_tells()) {
        fuzz_tell_answer(r, status);
    }
    request_check(w, r, status);
    if (status == NDIS_STATUS_SUCCESS && r->type == NDIS_REQUEST_SET_INFORMATION
        && r->oid == OID_GEN_CURRENT_PACKET_FILTER) {
        memcpy(&w->oids.filter, r->information_buffer, sizeof w->oids.filter);
    }
    w->oids.request = NULL;
    w->oids.answered++;
    free(w->oids.was.information_buffer);
    free(r);
}

void fuzz_oid_complete(struct fuzz_world *w, struct vnic_oid_request *request, uint32_t status)
{
    FUZZ_REQUIRE(request != NULL && request == w->oids.request, "OID-1",
                 "oid_request_complete of a request that is not pending");
    request_end(w, fuzz_status(status, "the status of an OID request"));
}

/* ---- requests ---- */

/* Each request and its buffer, of exactly the bytes that it says, are allocations of their own. */
static void request_submit(struct fuzz_world *w, uint32_t type, uint32_t oid, const uint8_t *data,
                           uint32_t len)
{
    struct vnic_oid_request *r = calloc(1, sizeof *r);
    r->type = type;
    r->oid = oid;
    r->information_buffer = malloc(len ? len : 1);
    memset(r->information_buffer, 0, len ? len : 1);
    if (data != NULL) {
        memcpy(r->information_buffer, data, len);
    }
    r->information_buffer_length = len;
    r->request_id = ++w->oids.next_id;
    w->oids.request = r;
    w->oids.was = *r;
    w->oids.hang_checks = 0;
    w->oids.asked++;
    const struct fuzz_call call = fuzz_enter(w, "oid_request", VNIC_IRQL_PASSIVE);
    const uint32_t status = w->driver->oid_request(w->context, r);
    fuzz_leave(w, &call);
    fuzz_status(status, "what oid_request returned");
    if (status != NDIS_STATUS_PENDING) {
        FUZZ_REQUIRE(w->oids.request == r, "OID-1", "OID 0x%08X is completed by call and by return value",
                     oid);
        request_end(w, status);
    }
}

static bool may_ask(const struct fuzz_world *w)
{
    return fuzz_life_is_up(w) && w->oids.request == NULL && !w->adapter.is_resetting;
}

static uint32_t oid_of(const struct fuzz_world *w, uint32_t which)
{
    const uint32_t listed = w->adapter.oids;
    return which & 0x80 ? others[which % OTHERS]
           : listed     ? w->adapter.oid[which % listed]
                        : OID_GEN_STATISTICS;
}

void fuzz_oid_query(struct fuzz_world *w, uint32_t which, uint32_t len)
{
    const uint32_t oid = oid_of(w, which);
    const uint32_t count = sizeof answered_by_ndis / sizeof answered_by_ndis[0];
    if (may_ask(w) && !is_in(oid, answered_by_ndis, count) && oid != OID_PNP_SET_POWER
        && oid != OID_PNP_QUERY_POWER) {
        request_submit(w, NDIS_REQUEST_QUERY_INFORMATION, oid, NULL, len % (BUFFER_MOST + 1));
    }
}

/* What NDIS checks itself before a driver sees it: the filter, the lookahead, the list of addresses. */
static uint32_t ndis_fit(const struct fuzz_world *w, uint32_t oid, uint8_t *data, uint32_t len)
{
    uint32_t value;
    switch (oid) {
    case OID_GEN_CURRENT_PACKET_FILTER:
        memcpy(&value, data, sizeof value);
        value &= w->adapter.filters;
        memcpy(data, &value, sizeof value);
        return sizeof value;
    case OID_GEN_CURRENT_LOOKAHEAD:
        memcpy(&value, data, sizeof value);
        value %= w->adapter.lookahead_size + 1;
        memcpy(data, &value, sizeof value);
        return sizeof value;
    case OID_802_3_MULTICAST_LIST:
        for (uint32_t i = 0; i < len; i += 6) {
            data[i] |= 1;
        }
        return len / 6 < w->adapter.multicast_most ? len / 6 * 6 : w->adapter.multicast_most * 6;
    default:
        return len;
    }
}

void fuzz_oid_set(struct fuzz_world *w, uint32_t which, uint32_t len, uint32_t seed)
{
    uint8_t data[BUFFER_MOST];
    const uint32_t oid = oid_of(w, which);
    len %= BUFFER_MOST + 1;
    for (uint32_t i = 0; i < BUFFER_MOST; i++) {
        data[i] = (uint8_t)(i < 4 ? seed >> 8 * i : (seed * 2654435761u) >> (i & 15));
    }
    if (may_ask(w) && oid != OID_PNP_SET_POWER && oid != OID_PNP_QUERY_POWER) {
        request_submit(w, NDIS_REQUEST_SET_INFORMATION, oid, data, ndis_fit(w, oid, data, len));
    }
}

void fuzz_oid_set_filter(struct fuzz_world *w, uint32_t filter)
{
    if (may_ask(w)) {
        filter &= w->adapter.filters;
        request_submit(w, NDIS_REQUEST_SET_INFORMATION, OID_GEN_CURRENT_PACKET_FILTER,
                       (const uint8_t *)&filter, sizeof filter);
    }
}

void fuzz_oid_cancel(struct fuzz_world *w)
{
    if (w->oids.request != NULL && w->driver->cancel_oid_request) {
        const struct fuzz_call call = fuzz_enter(w, "cancel_oid_request", VNIC_IRQL_PASSIVE);
        w->driver->cancel_oid_request(w->context, w->oids.request->request_id);
        fuzz_leave(w, &call);
    }
}

void fuzz_oid_clear(struct fuzz_world *w)
{
    if (w->oids.request != NULL) {
        free(w->oids.was.information_buffer);
        free(w->oids.request);
    }
    memset(&w->oids, 0, sizeof w->oids);
}
