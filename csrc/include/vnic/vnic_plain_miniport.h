/* vnic_plain_miniport.h: the entry points of a simple miniport, with NDIS's books kept: a driver adds the card. */
#ifndef VNIC_VNIC_PLAIN_MINIPORT_H
#define VNIC_VNIC_PLAIN_MINIPORT_H

#include "vnic/vnic_plain_traffic.h"

/* -- bring-up and end -------------------------------------------------------------------------------------------- */

/* L: rings as new, with every receive buffer that is here. */
static inline bool vnic_plain_restart_rings(struct vnic_plain_miniport *p)
{
    const bool do_run = !p->card->restart_rings || p->card->restart_rings(p);

    for (uint32_t buffer = 0; buffer < p->receive_count && p->card->post; buffer++) {
        if (!p->receives[buffer].is_lent) {
            p->card->post(p, buffer);
        }
    }
    return do_run;
}

static inline void vnic_plain_listen(struct vnic_plain_miniport *p)
{
    if (p->card->listen) {
        p->card->listen(p, p->is_running ? p->packet_filter : 0);
    }
}

static inline uint32_t vnic_plain_register(const struct vnic_plain_miniport *p)
{
    struct vnic_registration_attributes attributes;

    memset(&attributes, 0, sizeof attributes);
    attributes.flags =
        NDIS_ATTRIBUTE_HARDWARE_DEVICE | NDIS_ATTRIBUTE_BUS_MASTER | NDIS_ATTRIBUTE_SURPRISE_REMOVE_OK;
    return p->ops->set_registration_attributes(p->ndis->adapter, &attributes);
}

/* The OIDs that reach the driver; NDIS answers others from the attributes. */
static const uint32_t vnic_plain_oids[] = {OID_GEN_TRANSMIT_BUFFER_SPACE,
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

static inline uint32_t vnic_plain_describe(const struct vnic_plain_miniport *p,
                                           const struct vnic_plain_identity *identity)
{
    struct vnic_general_attributes attributes;

    if (identity->permanent_mac_address[0] & 1) { /* a group address is nobody's own */
        return NDIS_STATUS_DEVICE_FAILED;
    }
    memset(&attributes, 0, sizeof attributes);
    memcpy(attributes.permanent_mac_address, identity->permanent_mac_address, 6);
    memcpy(attributes.current_mac_address, identity->current_mac_address, 6);
    attributes.mtu_size = p->card->frame_max - VNIC_ETHERNET_HEADER_BYTES;
    attributes.lookahead_size = attributes.mtu_size;
    attributes.max_link_speed_bps = 100000000000;
    attributes.link = identity->link;
    attributes.mac_options = NDIS_MAC_OPTION_COPY_LOOKAHEAD_DATA | NDIS_MAC_OPTION_NO_LOOPBACK;
    attributes.supported_packet_filters = NDIS_PACKET_TYPE_DIRECTED | NDIS_PACKET_TYPE_MULTICAST
                                          | NDIS_PACKET_TYPE_ALL_MULTICAST | NDIS_PACKET_TYPE_BROADCAST
                                          | NDIS_PACKET_TYPE_PROMISCUOUS;
    attributes.max_multicast_list_size = p->card->list_max;
    attributes.supported_oids = vnic_plain_oids;
    attributes.supported_oid_count = sizeof vnic_plain_oids / sizeof vnic_plain_oids[0];
    return p->ops->set_general_attributes(p->ndis->adapter, &attributes);
}

/* MiniportHaltEx. */
static inline void vnic_plain_halt(void *context, uint32_t action)
{
    struct vnic_plain_miniport *p = (struct vnic_plain_miniport *)context;

    if (p->card->quiet) {
        p->card->quiet(context);
    }
    if (p->irq.handle) {
        p->ops->deregister_interrupt_ex(p->ndis->adapter, p->irq.handle);
    }
    vnic_plain_free_receives(p);
    p->card->close(context);
    vnic_plain_unshare(p);
    p->ops->free_spin_lock(p->ndis->adapter, p->lock);
    (void)action;
}

/* The card is open: it is described to NDIS, and its rings run. */
static inline uint32_t vnic_plain_start(struct vnic_plain_miniport *p)
{
    struct vnic_plain_identity identity;
    uint32_t status;
    bool do_run;

    memset(&identity, 0, sizeof identity);
    status = p->card->open(p, &identity);
    if (status == NDIS_STATUS_SUCCESS) {
        status = vnic_plain_describe(p, &identity);
    }
    if (status != NDIS_STATUS_SUCCESS) {
        return status;
    }
    vnic_plain_lock(p);
    do_run = vnic_plain_restart_rings(p);
    vnic_plain_unlock(p);
    return do_run ? NDIS_STATUS_SUCCESS : NDIS_STATUS_DEVICE_FAILED;
}

/* For MiniportInitializeEx, which knows its card. */
static inline uint32_t vnic_plain_initialize(void *context, const struct vnic_ndis *ndis,
                                             const struct vnic_plain_card *card)
{
    struct vnic_plain_miniport *p = (struct vnic_plain_miniport *)context;
    uint32_t status;

    p->ndis = ndis;
    p->ops = ndis->ops;
    p->card = card;
    p->end = &p->oldest;
    status = vnic_plain_register(p);
    if (status != NDIS_STATUS_SUCCESS) {
        return status;
    }
    p->lock = p->ops->alloc_spin_lock(ndis->adapter);
    if (!p->lock) {
        return NDIS_STATUS_RESOURCES;
    }
    status = vnic_plain_start(p);
    if (status != NDIS_STATUS_SUCCESS) {
        vnic_plain_halt(context, NDIS_HALT_INITIALIZATION_FAILED);
    }
    return status;
}

/* MiniportShutdownEx. */
static inline void vnic_plain_shutdown(void *context, uint32_t action)
{
    const struct vnic_plain_miniport *p = (const struct vnic_plain_miniport *)context;

    if (p->card->quiet) {
        p->card->quiet(context);
    }
    (void)action;
}

/* -- pause and restart ------------------------------------------------------------------------------------------- */

/* MiniportPause: no more receives; pends while anything is out. */
static inline uint32_t vnic_plain_pause(void *context, uint32_t flags)
{
    struct vnic_plain_miniport *p = (struct vnic_plain_miniport *)context;
    bool is_pending;

    p->is_running = false;
    vnic_plain_listen(p);
    vnic_plain_lock(p);
    is_pending = p->is_pausing = p->out > 0;
    vnic_plain_unlock(p);
    (void)flags;
    return is_pending ? NDIS_STATUS_PENDING : NDIS_STATUS_SUCCESS;
}

/* MiniportRestart. */
static inline uint32_t vnic_plain_restart(void *context)
{
    struct vnic_plain_miniport *p = (struct vnic_plain_miniport *)context;

    p->is_running = true;
    vnic_plain_listen(p);
    return NDIS_STATUS_SUCCESS;
}

/* -- trouble ----------------------------------------------------------------------------------------------------- */

/* MiniportCheckForHangEx: a send that does not move between two checks. A DPC, should an interrupt have been lost. */
static inline bool vnic_plain_check_for_hang(void *context)
{
    struct vnic_plain_miniport *p = (struct vnic_plain_miniport *)context;
    const bool is_stuck = p->oldest && p->oldest == p->watched && p->reports == p->watched_reports;

    p->watched = p->oldest;
    p->watched_reports = p->reports;
    if (p->irq.handle && !p->is_gone) {
        p->ops->queue_dpc_ex(p->ndis->adapter, p->irq.handle, 0, 1ull << p->irq.affinity[0], NULL);
    }
    return is_stuck;
}

/* MiniportResetEx: the rings; filters and counters stand. */
static inline uint32_t vnic_plain_reset(void *context, bool *addressing_reset)
{
    struct vnic_plain_miniport *p = (struct vnic_plain_miniport *)context;
    struct vnic_net_buffer_list *chain;
    bool do_run;

    vnic_plain_lock(p);
    do_run = !p->is_gone && vnic_plain_restart_rings(p);
    chain = vnic_plain_abandon(p, NDIS_STATUS_RESET_IN_PROGRESS);
    vnic_plain_unlock(p);
    vnic_plain_complete(p, chain);
    *addressing_reset = false;
    return do_run ? NDIS_STATUS_SUCCESS : NDIS_STATUS_HARD_ERRORS;
}

/* The card is gone, PROG-25: nothing that it has will be completed any more. */
static inline void vnic_plain_lose(struct vnic_plain_miniport *p)
{
    struct vnic_net_buffer_list *chain;

    vnic_plain_lock(p);
    p->is_gone = true;
    chain = vnic_plain_abandon(p, NDIS_STATUS_ADAPTER_REMOVED);
    vnic_plain_unlock(p);
    vnic_plain_complete(p, chain);
}

/* MiniportDevicePnPEventNotify. */
static inline void vnic_plain_pnp_event(void *context, uint32_t event)
{
    if (event == NDIS_PNP_EVENT_SURPRISE_REMOVED) {
        vnic_plain_lose((struct vnic_plain_miniport *)context);
    }
}

/* -- OIDs -------------------------------------------------------------------------------------------------------- */

/* The OIDs whose answer is a ULONG; the medium has neither bad alignment nor collisions. */
static inline bool vnic_plain_number(const struct vnic_plain_miniport *p, uint32_t oid, uint32_t *number)
{
    switch (oid) {
    case OID_GEN_TRANSMIT_BUFFER_SPACE:
        *number = p->card->sends_max * p->card->frame_max;
        return true;
    case OID_GEN_RECEIVE_BUFFER_SPACE:
        *number = p->receive_count * p->receive_bytes;
        return true;
    case OID_GEN_RECEIVE_BLOCK_SIZE:
        *number = p->receive_bytes;
        return true;
    case OID_GEN_TRANSMIT_BLOCK_SIZE:
    case OID_GEN_MAXIMUM_TOTAL_SIZE:
        *number = p->card->frame_max;
        return true;
    case OID_GEN_VENDOR_ID:
        *number = 0xFFFFFF; /* none */
        return true;
    case OID_GEN_VENDOR_DRIVER_VERSION:
        *number = 0x10000;
        return true;
    case OID_802_3_RCV_ERROR_ALIGNMENT:
    case OID_802_3_XMIT_ONE_COLLISION:
    case OID_802_3_XMIT_MORE_COLLISIONS:
        *number = 0;
        return true;
    default:
        return false;
    }
}

static inline uint32_t vnic_plain_answer_statistics(struct vnic_plain_miniport *p,
                                                    struct vnic_oid_request *request)
{
    struct vnic_statistics_info info;
    uint32_t status = NDIS_STATUS_SUCCESS;

    memset(&info, 0, sizeof info);
    info.type = 0x80;
    info.revision = 1;
    info.size = sizeof info;
    info.supported = 0x003F87FF;
    if (p->card->statistics) {
        status = p->card->statistics(p, &info);
    }
    return status ? status : vnic_oid_answer(request, &info, sizeof info);
}

static inline uint32_t vnic_plain_query(struct vnic_plain_miniport *p, struct vnic_oid_request *request)
{
    /* NDIS_INTERRUPT_MODERATION_PARAMETERS: header, flags, and NdisInterruptModerationNotSupported. */
    static const uint32_t no_moderation[] = {12u << 16 | 1u << 8 | 0x80, 0, 1};
    const char *description = p->card->vendor_description;
    uint32_t number;

    if (vnic_plain_number(p, request->oid, &number)) {
        return vnic_oid_answer(request, &number, sizeof number);
    }
    switch (request->oid) {
    case OID_GEN_VENDOR_DESCRIPTION:
        return vnic_oid_answer(request, description, (uint32_t)strlen(description) + 1);
    case OID_GEN_INTERRUPT_MODERATION:
        return vnic_oid_answer(request, no_moderation, sizeof no_moderation);
    case OID_GEN_STATISTICS:
        return vnic_plain_answer_statistics(p, request);
    default:
        return NDIS_STATUS_NOT_SUPPORTED;
    }
}

static inline uint32_t vnic_plain_set_multicast(struct vnic_plain_miniport *p,
                                                struct vnic_oid_request *request)
{
    const uint32_t len = request->information_buffer_length;

    if (len % 6) {
        request->bytes_needed = len - len % 6;
        return NDIS_STATUS_INVALID_LENGTH;
    }
    if (len / 6 > p->card->list_max) {
        request->bytes_needed = 6 * p->card->list_max;
        return NDIS_STATUS_MULTICAST_FULL;
    }
    if (p->card->subscribe) {
        p->card->subscribe(p, (const uint8_t *)request->information_buffer, len / 6);
    }
    request->bytes_read = len;
    return NDIS_STATUS_SUCCESS;
}

static inline uint32_t vnic_plain_set(struct vnic_plain_miniport *p, struct vnic_oid_request *request)
{
    uint32_t value, status;

    if (request->oid == OID_802_3_MULTICAST_LIST) {
        return vnic_plain_set_multicast(p, request);
    }
    if (request->oid != OID_GEN_CURRENT_PACKET_FILTER && request->oid != OID_GEN_CURRENT_LOOKAHEAD) {
        return NDIS_STATUS_NOT_SUPPORTED;
    }
    status = vnic_oid_take(request, &value, sizeof value);
    if (status == NDIS_STATUS_SUCCESS && request->oid == OID_GEN_CURRENT_PACKET_FILTER) {
        p->packet_filter = value;
        vnic_plain_listen(p);
    }
    return status;
}

/* MiniportOidRequest: none ever pends. */
static inline uint32_t vnic_plain_oid_request(void *context, struct vnic_oid_request *request)
{
    struct vnic_plain_miniport *p = (struct vnic_plain_miniport *)context;

    if (p->is_gone) {
        return NDIS_STATUS_ADAPTER_REMOVED;
    }
    return request->type == NDIS_REQUEST_SET_INFORMATION ? vnic_plain_set(p, request)
                                                         : vnic_plain_query(p, request);
}

/* -- the table --------------------------------------------------------------------------------------------------- */

/* What vnic_driver_entry() returns the address of: NDIS 6.20, in the order of struct vnic_miniport. */
#define VNIC_PLAIN_MINIPORT(context_type, initialize)                                                        \
    {VNIC_DRIVER_ABI,                                                                                        \
     sizeof(struct vnic_miniport),                                                                           \
     6,                                                                                                      \
     20,                                                                                                     \
     sizeof(context_type),                                                                                   \
     (initialize),                                                                                           \
     vnic_plain_halt,                                                                                        \
     vnic_plain_pause,                                                                                       \
     vnic_plain_restart,                                                                                     \
     vnic_plain_send,                                                                                        \
     vnic_plain_cancel_send,                                                                                 \
     vnic_plain_return,                                                                                      \
     vnic_plain_oid_request,                                                                                 \
     NULL,                                                                                                   \
     vnic_plain_check_for_hang,                                                                              \
     vnic_plain_reset,                                                                                       \
     vnic_plain_pnp_event,                                                                                   \
     vnic_plain_shutdown,                                                                                    \
     vnic_plain_interrupt,                                                                                   \
     vnic_plain_interrupt_dpc}

/* The whole of a driver, of which there is nothing more to say: its context, and its struct vnic_plain_card. */
#define VNIC_PLAIN_DRIVER(context_type, card)                                                                \
    static uint32_t vnic_plain_initialize_this(void *context, const struct vnic_ndis *ndis)                  \
    {                                                                                                        \
        return vnic_plain_initialize(context, ndis, &(card));                                                \
    }                                                                                                        \
                                                                                                             \
    const struct vnic_miniport *vnic_driver_entry(uint32_t abi)                                              \
    {                                                                                                        \
        static const struct vnic_miniport table =                                                            \
            VNIC_PLAIN_MINIPORT(context_type, vnic_plain_initialize_this);                                   \
                                                                                                             \
        return abi == VNIC_DRIVER_ABI ? &table : NULL;                                                       \
    }

#endif
