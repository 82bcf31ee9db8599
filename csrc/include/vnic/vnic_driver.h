/* vnic_driver.h: all that a driver written in C knows: the bus it is given, NDIS that it calls, the miniport it is. */
#ifndef VNIC_VNIC_DRIVER_H
#define VNIC_VNIC_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "vnic/vnic_ndis.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A driver is a shared library that exports one function, vnic_driver_entry(). It says what the miniport is (struct
 * vnic_miniport); at initialize_ex the miniport gets NDIS and the bus (struct vnic_ndis). Nothing else passes between
 * them: no globals of the bench, no names to link against. Names, statuses, OIDs and rules are those of NDIS 6; the
 * pages of MiniportXxx, NdisXxx and NdisMXxx at learn.microsoft.com are the manual of every member here.
 *
 * Threads and levels. All code runs on one thread, which plays every virtual processor: at each call of NDIS, code of
 * other processors (an interrupt, a DPC, another send) may run first, nested, as it might run beside it on real ones.
 * Levels are VNIC_IRQL_*. The bus may be used at any level, but for memory, mappings and vectors: up to DISPATCH.
 *
 * Ownership. A structure belongs to who was handed it last; whoever gave it away neither reads nor writes it any more.
 * Structures that NDIS gives (NET_BUFFER_LISTs to send, OID requests) are NDIS's memory and end with their completion.
 *
 * Errors. A call that cannot do what is asked says so (a status, NULL, 0). A call that breaks a rule is recorded; it and
 * every later one in the same entry point answer an error and do nothing, and the test fails with the rule when the
 * entry point returns. Numbers: a bus read answers all ones then.
 */

enum { VNIC_DRIVER_ABI = 1 };

/* cdef begin */

/* -- the bus ---------------------------------------------------------------------------------------------------- */

enum vnic_bus_direction { VNIC_BUS_TO_DEVICE = 1, VNIC_BUS_FROM_DEVICE = 2, VNIC_BUS_BIDIRECTIONAL = 3 };

/* A piece of a scatter-gather list: bus address and bytes. */
struct vnic_segment {
    uint64_t addr;
    uint64_t len;
};

typedef void (*vnic_bus_handler)(void *context, unsigned vector);

/* `bus` is vnic_bus.opaque. Widths are in bytes: 1, 2 or 4 in configuration space, 1, 2, 4 or 8 in a BAR. */
struct vnic_bus_ops {
    uint32_t (*config_read)(void *bus, uint32_t offset, unsigned width);
    void (*config_write)(void *bus, uint32_t offset, unsigned width, uint32_t value);
    uint64_t (*read)(void *bus, unsigned bar, uint64_t offset, unsigned width);
    void (*write)(void *bus, unsigned bar, uint64_t offset, unsigned width, uint64_t value);
    /* Zeroed memory that driver and device see coherently; NULL when there is none. Aligned to 4 KiB on both sides. */
    void *(*alloc_coherent)(void *bus, size_t len, uint64_t *addr);
    void (*free_coherent)(void *bus, void *memory, size_t len, uint64_t addr);
    /*
     * Streaming DMA to memory of the machine (alloc_memory, data of a NET_BUFFER). The system's IOMMU scatters: each
     * page has a bus address of its own. Returns how many segments cover the memory, in its order; 0: it cannot be
     * mapped now. When that is above `capacity` nothing is mapped: ask again with room.
     */
    unsigned (*map)(void *bus, void *memory, size_t len, enum vnic_bus_direction direction,
                    struct vnic_segment *segments, unsigned capacity);
    /* Ends a mapping, with segments and direction as map() had them. */
    void (*unmap)(void *bus, const struct vnic_segment *segments, unsigned count,
                  enum vnic_bus_direction direction);
    /*
     * Vectors without NDIS (an NDIS driver registers its interrupt with NDIS instead): how many there are, below 0
     * for fewer than `min`. Handlers run at DIRQL.
     */
    int (*alloc_vectors)(void *bus, unsigned min, unsigned max);
    void (*free_vectors)(void *bus);
    int (*request_irq)(void *bus, unsigned vector, vnic_bus_handler handler, void *context);
    void (*free_irq)(void *bus, unsigned vector);
    void (*delay_ns)(void *bus, uint64_t ns); /* lets virtual time pass */
    uint64_t (*bar_size)(void *bus, unsigned bar); /* 0: not implemented */
    /* D0, Memory Space Enable; BARs that D3 or a reset cleared come back. False: no function answers. */
    bool (*enable_device)(void *bus);
    void (*disable_device)(void *bus); /* Memory Space Enable and Bus Master Enable off */
    void (*set_master)(void *bus, bool on); /* DMA and messages allowed, or forbidden */
};

struct vnic_bus {
    const struct vnic_bus_ops *ops;
    void *opaque;
};

/* -- network data ------------------------------------------------------------------------------------------------ */

/* MDL: a run of memory. `data` can be read, written as far as the rules allow, and mapped for DMA. */
struct vnic_mdl {
    struct vnic_mdl *next;
    uint8_t *data;
    uint32_t len;
};

/* NET_BUFFER: one packet, `data_length` bytes that start `data_offset` bytes into the MDL chain. */
struct vnic_net_buffer {
    struct vnic_net_buffer *next;
    struct vnic_mdl *mdl_chain;
    uint32_t data_offset;
    uint32_t data_length;
    void *miniport_reserved[4]; /* the driver's while it has the list */
};

/*
 * NET_BUFFER_LIST: packets that travel together. A send belongs to the miniport from send_net_buffer_lists() to
 * send_net_buffer_lists_complete(); its NET_BUFFERs, MDLs and data are only to be read, `next`, `status`, `info` and the
 * reserved members may be written. A receive belongs to NDIS from its indication to return_net_buffer_lists().
 */
struct vnic_net_buffer_list {
    struct vnic_net_buffer_list *next;
    struct vnic_net_buffer *first_net_buffer;
    uint32_t status; /* NDIS_STATUS_*, of the completed send */
    uint32_t flags; /* NDIS_NBL_FLAGS_* */
    uint64_t cancel_id; /* 0: none */
    void *miniport_reserved[2];
    void *context; /* of a receive: the driver's, unchanged while NDIS has the list */
    uint32_t info[19]; /* NET_BUFFER_LIST_INFO, by NDIS_OOB_*: checksum, large send, 802.1Q, hash */
};

/* SCATTER_GATHER_LIST of one NET_BUFFER: its data, mapped to the device. */
struct vnic_sg_list {
    uint32_t count;
    const struct vnic_segment *elements;
};

/*
 * NDIS_OID_REQUEST. The miniport's from oid_request() to its return with a final status, or to oid_request_complete()
 * after NDIS_STATUS_PENDING. The buffer is `information_buffer_length` bytes and not one more.
 */
struct vnic_oid_request {
    uint32_t type; /* NDIS_REQUEST_* */
    uint32_t oid; /* OID_* */
    void *information_buffer;
    uint32_t information_buffer_length;
    uint32_t bytes_written; /* a query's answer */
    uint32_t bytes_read; /* what of a set was used */
    uint32_t bytes_needed; /* with BUFFER_TOO_SHORT and INVALID_LENGTH */
    uint64_t request_id;
    uint32_t port;
    uint32_t timeout_s;
    void *miniport_reserved[2];
};

/* -- what a miniport tells NDIS of itself -------------------------------------------------------------------------- */

/* NDIS_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES; the adapter's context is the one that NDIS gave the driver. */
struct vnic_registration_attributes {
    uint32_t flags; /* NDIS_ATTRIBUTE_* */
    uint32_t check_for_hang_s;
};

/* NDIS_LINK_STATE. */
struct vnic_link_state {
    uint32_t connect; /* NDIS_MEDIA_CONNECT_* */
    uint32_t duplex; /* NDIS_MEDIA_DUPLEX_* */
    uint64_t speed_bps; /* both ways; UINT64_MAX: unknown */
};

/* NDIS_RECEIVE_SCALE_CAPABILITIES. */
struct vnic_receive_scale_capabilities {
    uint32_t flags; /* NDIS_RSS_CAPS_* */
    uint32_t interrupt_messages;
    uint32_t receive_queues;
    uint32_t table_entries;
};

/*
 * NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES. NDIS answers from it what it can: most OIDs never reach the driver. Copied
 * before the call returns, arrays included.
 */
struct vnic_general_attributes {
    uint8_t permanent_mac_address[6];
    uint8_t current_mac_address[6];
    uint32_t mtu_size; /* without the Ethernet header */
    uint32_t lookahead_size;
    uint64_t max_link_speed_bps;
    struct vnic_link_state link;
    uint32_t mac_options; /* NDIS_MAC_OPTION_* */
    uint32_t supported_packet_filters; /* NDIS_PACKET_TYPE_* */
    uint32_t max_multicast_list_size;
    uint32_t has_power_management; /* 0: NDIS halts the adapter for low power instead of OID_PNP_SET_POWER */
    uint32_t supported_oid_count;
    const uint32_t *supported_oids;
    const struct vnic_receive_scale_capabilities *receive_scale; /* NULL: none */
};

/* NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES: two NDIS_OFFLOADs as 64-bit Windows lays them out, little-endian. */
struct vnic_offload_attributes {
    const void *default_config; /* what is enabled now */
    const void *hardware; /* what there is */
    uint32_t len; /* of each */
};

enum vnic_ndis_interrupt_kind { VNIC_INTERRUPT_LINE = 1, VNIC_INTERRUPT_MSI = 2, VNIC_INTERRUPT_MSIX = 4 };

/* NDIS_MINIPORT_INTERRUPT_CHARACTERISTICS. */
struct vnic_interrupt_characteristics {
    uint32_t messages; /* most that are wanted */
    uint32_t kinds; /* 1 line, 2 MSI, 4 MSI-X, or'ed; the best on offer is granted */
};

/* What was granted: message m interrupts processor affinity[m]. A line has one message, 0. */
struct vnic_ndis_interrupt {
    void *handle; /* NdisInterruptHandle */
    uint32_t kind; /* VNIC_INTERRUPT_* */
    uint32_t messages;
    uint32_t affinity[64];
};

/* -- NDIS ------------------------------------------------------------------------------------------------------- */

/*
 * The NdisXxx and NdisMXxx functions. `adapter` is vnic_ndis.adapter. The level on the left is the highest at which a
 * function may be called; functions marked with * call back into drivers: no spin lock may be held there.
 */
struct vnic_ndis_ops {
    /* In initialize_ex only: registration, then general, then offload, each once; the interrupt after registration. */
    /* PASSIVE   */ uint32_t (*set_registration_attributes)(
        void *adapter, const struct vnic_registration_attributes *attributes);
    /* PASSIVE   */ uint32_t (*set_general_attributes)(void *adapter,
                                                       const struct vnic_general_attributes *attributes);
    /* PASSIVE   */ uint32_t (*set_offload_attributes)(void *adapter,
                                                       const struct vnic_offload_attributes *attributes);
    /* PASSIVE   */ uint32_t (*register_interrupt_ex)(void *adapter,
                                                      const struct vnic_interrupt_characteristics *wanted,
                                                      struct vnic_ndis_interrupt *granted);
    /* PASSIVE * */ void (*deregister_interrupt_ex)(void *adapter,
                                                    void *interrupt); /* waits for the last DPC */
    /* DIRQL     */ uint64_t (*queue_dpc_ex)(void *adapter, void *interrupt, uint32_t message_id,
                                             uint64_t processors, void *dpc_context); /* those newly queued */
    /* DISPATCH  */ bool (*synchronize_with_interrupt_ex)(void *adapter, void *interrupt, uint32_t message_id,
                                                          bool (*function)(void *context), void *context);

    /* DISPATCH* */ void (*send_net_buffer_lists_complete)(void *adapter, struct vnic_net_buffer_list *chain,
                                                           uint32_t flags);
    /* DISPATCH* */ void (*indicate_receive_net_buffer_lists)(void *adapter,
                                                              struct vnic_net_buffer_list *chain,
                                                              uint32_t port, uint32_t count, uint32_t flags);
    /* DISPATCH* */ void (*indicate_status_ex)(void *adapter, uint32_t status, const void *buffer,
                                               uint32_t len);
    /* DISPATCH* */ void (*indicate_link_state)(void *adapter, const struct vnic_link_state *link);
    /* DISPATCH* */ void (*oid_request_complete)(void *adapter, struct vnic_oid_request *request,
                                                 uint32_t status);
    /* DISPATCH* */ void (*pause_complete)(void *adapter);
    /* DISPATCH* */ void (*restart_complete)(void *adapter, uint32_t status);
    /* DISPATCH* */ void (*reset_complete)(void *adapter, uint32_t status, bool addressing_reset);
    /* DISPATCH  */ void (*remove_miniport)(
        void *adapter); /* the hardware is beyond recovery: NDIS will halt */
    /* DISPATCH  */ void (*reset_miniport)(void *adapter); /* asks for a reset */

    /* Memory of the machine, zeroed, for data buffers: only that can be mapped. NULL when there is none. */
    /* DISPATCH  */ void *(*alloc_memory)(void *adapter, size_t len, size_t align);
    /* DISPATCH  */ void (*free_memory)(void *adapter, void *memory);
    /* MDLs over machine or coherent memory, and NBLs over them: NdisAllocateNetBufferAndNetBufferList. */
    /* DISPATCH  */ struct vnic_mdl *(*alloc_mdl)(void *adapter, void *memory, uint32_t len);
    /* DISPATCH  */ void (*free_mdl)(void *adapter, struct vnic_mdl *mdl);
    /* DISPATCH  */ struct vnic_net_buffer_list *(*alloc_net_buffer_list)(void *adapter,
                                                                          struct vnic_mdl *mdl_chain,
                                                                          uint32_t data_offset,
                                                                          uint32_t data_length);
    /* DISPATCH  */ void (*free_net_buffer_list)(void *adapter, struct vnic_net_buffer_list *list);
    /* NdisMAllocateNetBufferSGList: maps a packet's data to the device; NULL: not now. */
    /* DISPATCH  */ const struct vnic_sg_list *(*alloc_net_buffer_sg_list)(void *adapter,
                                                                           struct vnic_net_buffer *buffer);
    /* DISPATCH  */ void (*free_net_buffer_sg_list)(void *adapter, const struct vnic_sg_list *list);

    /* A timer's function runs at DISPATCH on the processor that armed it; cancel says whether it was still armed. */
    /* DISPATCH  */ void *(*alloc_timer)(void *adapter, void (*function)(void *context), void *context);
    /* DISPATCH  */ void (*set_timer)(void *adapter, void *timer, uint64_t due_ns, uint64_t period_ns);
    /* DISPATCH  */ bool (*cancel_timer)(void *adapter, void *timer);
    /* DISPATCH  */ void (*free_timer)(void *adapter, void *timer); /* not while armed */
    /* DISPATCH  */ void (*queue_work_item)(void *adapter, void (*routine)(void *context), void *context);
    /* PASSIVE * */ void (*sleep)(void *adapter, uint32_t microseconds);
    /* DIRQL     */ uint64_t (*now_ns)(void *adapter);

    /* A spin lock raises to DISPATCH; the holder takes it once and releases it before it returns. */
    /* PASSIVE   */ void *(*alloc_spin_lock)(void *adapter);
    /* PASSIVE   */ void (*free_spin_lock)(void *adapter, void *lock);
    /* DISPATCH  */ void (*acquire_spin_lock)(void *adapter, void *lock);
    /* DISPATCH  */ void (*release_spin_lock)(void *adapter, void *lock);
    /* DIRQL     */ uint32_t (*current_processor)(void *adapter);
    /* DIRQL     */ uint32_t (*current_irql)(void *adapter); /* VNIC_IRQL_* */

    /* Configured keywords, "*ReceiveBuffers" and the like; NDIS_STATUS_FILE_NOT_FOUND when there is no such keyword. */
    /* PASSIVE   */ uint32_t (*read_configuration)(void *adapter, const char *keyword, uint64_t *value);
    /* PASSIVE   */ uint32_t (*read_network_address)(void *adapter, uint8_t address[6]);
};

/* What initialize_ex is given. It stays valid, at this address, until halt_ex returns. */
struct vnic_ndis {
    uint32_t size; /* of this structure as the bench has it; members are only ever added at the end */
    uint32_t ops_size;
    const struct vnic_ndis_ops *ops;
    void *adapter; /* MiniportAdapterHandle */
    struct vnic_bus bus;
    uint32_t processors;
};

/* -- the miniport ------------------------------------------------------------------------------------------------- */

/*
 * The MiniportXxx entry points. `context` is the adapter's: `context_bytes` of zeroed memory, aligned to 64, for each
 * adapter one; zeroed again before each initialize_ex. An entry point that is NULL is refused when the library is
 * loaded, but for those that may be. A later version of this table adds the chimney's entry points at its end, and an
 * older library goes on working: `size` says what it has.
 */
struct vnic_miniport {
    uint32_t abi; /* VNIC_DRIVER_ABI */
    uint32_t size; /* sizeof(struct vnic_miniport) */
    uint32_t ndis_major; /* the version of NDIS that the driver is written for: 6 */
    uint32_t ndis_minor; /* 20; from 30 on sends and requests must not outlive a reset */
    size_t context_bytes;
    /* PASSIVE. NDIS_STATUS_SUCCESS: the adapter is Paused. Else everything has been given back. */
    uint32_t (*initialize_ex)(void *context, const struct vnic_ndis *ndis);
    /* PASSIVE. Stops the device, deregisters, frees all. Nothing of the adapter runs afterwards. NDIS_HALT_*. */
    void (*halt_ex)(void *context, uint32_t action);
    /* PASSIVE. SUCCESS, or PENDING and pause_complete(), when every send is complete and every receive is back. */
    uint32_t (*pause)(void *context, uint32_t flags);
    /* PASSIVE. SUCCESS, PENDING and restart_complete(), or why not: the adapter stays Paused. */
    uint32_t (*restart)(void *context);
    /* Up to DISPATCH. Takes every send; those it cannot send now wait in the driver or complete with a status. */
    void (*send_net_buffer_lists)(void *context, struct vnic_net_buffer_list *chain, uint32_t port,
                                  uint32_t flags);
    /* Up to DISPATCH. What of this id is not with the device completes with SEND_ABORTED. May be NULL. */
    void (*cancel_send)(void *context, uint64_t cancel_id);
    /* Up to DISPATCH. Indicated lists are the driver's again. */
    void (*return_net_buffer_lists)(void *context, struct vnic_net_buffer_list *chain, uint32_t flags);
    /* PASSIVE, one at a time. The final status, or PENDING and oid_request_complete(). */
    uint32_t (*oid_request)(void *context, struct vnic_oid_request *request);
    /* Up to DISPATCH. May be NULL: a driver that never pends requests has none to cancel. */
    void (*cancel_oid_request)(void *context, uint64_t request_id);
    /* PASSIVE, every other second or so; true asks for a reset. May be NULL. */
    bool (*check_for_hang_ex)(void *context);
    /* PASSIVE. SUCCESS, PENDING and reset_complete(), SOFT_ERRORS or HARD_ERRORS; *addressing_reset is false before. */
    uint32_t (*reset_ex)(void *context, bool *addressing_reset);
    /* PASSIVE. NDIS_PNP_EVENT_*: after SURPRISE_REMOVED the card reads all ones and halt_ex follows. */
    void (*device_pnp_event_notify)(void *context, uint32_t event);
    /* Any level. The hardware to its initial state; calls NDIS not at all. NDIS_SHUTDOWN_*. */
    void (*shutdown_ex)(void *context, uint32_t action);
    /*
     * DIRQL: MiniportInterrupt and MiniportMessageInterrupt; may come before register_interrupt_ex() has returned. True:
     * it was ours. Set *queue_default_dpc for a DPC on this processor, or bits of *target_processors (both are clear
     * before).
     */
    bool (*interrupt)(void *context, uint32_t message_id, bool *queue_default_dpc,
                      uint64_t *target_processors);
    /* DISPATCH: MiniportInterruptDPC and MiniportMessageInterruptDPC; dpc_context is queue_dpc_ex()'s, else NULL. */
    void (*interrupt_dpc)(void *context, uint32_t message_id, uint32_t processor, void *dpc_context);
};

/* cdef end */

/*
 * The one symbol of a driver. `abi` is the bench's VNIC_DRIVER_ABI; NULL says that the driver cannot live with it. The
 * table stays valid and unchanged while the library is loaded.
 */
typedef const struct vnic_miniport *vnic_driver_entry_function(uint32_t abi);

#if defined __GNUC__
#define VNIC_DRIVER_EXPORT __attribute__((visibility("default")))
#else
#define VNIC_DRIVER_EXPORT
#endif

VNIC_DRIVER_EXPORT vnic_driver_entry_function vnic_driver_entry;

#ifdef __cplusplus
}
#endif

/* -- shorthands, made of the above ------------------------------------------------------------------------------- */

static inline uint32_t vnic_read32(const struct vnic_bus *bus, uint32_t offset)
{
    return (uint32_t)bus->ops->read(bus->opaque, 0, offset, 4);
}

static inline void vnic_write32(const struct vnic_bus *bus, uint32_t offset, uint32_t value)
{
    bus->ops->write(bus->opaque, 0, offset, 4, value);
}

static inline uint64_t vnic_read64(const struct vnic_bus *bus, uint32_t offset)
{
    return bus->ops->read(bus->opaque, 0, offset, 8);
}

static inline void vnic_write64(const struct vnic_bus *bus, uint32_t offset, uint64_t value)
{
    bus->ops->write(bus->opaque, 0, offset, 8, value);
}

/* What a driver writes before is in memory before what it writes after: descriptors before a doorbell. */
static inline void vnic_write_barrier(void)
{
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

/* What a driver reads after is no older than what it read before: GEN before the rest of a completion. */
static inline void vnic_read_barrier(void)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
}

/* Answers a query with `len` bytes, or says how many it would take. */
static inline uint32_t vnic_oid_answer(struct vnic_oid_request *request, const void *data, uint32_t len)
{
    if (len > request->information_buffer_length) {
        request->bytes_written = 0;
        request->bytes_needed = len;
        return NDIS_STATUS_BUFFER_TOO_SHORT;
    }
    memcpy(request->information_buffer, data, len);
    request->bytes_written = len;
    return NDIS_STATUS_SUCCESS;
}

/* Copies a packet's data; returns its bytes, 0 when they are more than `capacity`. NdisGetDataBuffer's long way. */
static inline uint32_t vnic_net_buffer_copy(const struct vnic_net_buffer *buffer, uint8_t *to,
                                            uint32_t capacity)
{
    uint32_t skip = buffer->data_offset, left = buffer->data_length;

    if (left > capacity) {
        return 0;
    }
    for (const struct vnic_mdl *mdl = buffer->mdl_chain; mdl && left; mdl = mdl->next) {
        const uint32_t from = skip < mdl->len ? skip : mdl->len;
        const uint32_t len = mdl->len - from < left ? mdl->len - from : left;

        memcpy(to, mdl->data + from, len);
        to += len;
        left -= len;
        skip -= from;
    }
    return buffer->data_length;
}

/* Checks that a set carries at least `len` bytes, and copies them. */
static inline uint32_t vnic_oid_take(struct vnic_oid_request *request, void *data, uint32_t len)
{
    if (len > request->information_buffer_length) {
        request->bytes_read = 0;
        request->bytes_needed = len;
        return NDIS_STATUS_INVALID_LENGTH;
    }
    memcpy(data, request->information_buffer, len);
    request->bytes_read = len;
    return NDIS_STATUS_SUCCESS;
}

#endif
