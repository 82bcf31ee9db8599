/* driver_ndis.c: struct vnic_ndis_ops of the driver under test: the NdisXxx and NdisMXxx functions. */
#include <string.h>

#include "driver_world.h"

#define SLEEP_MOST_US 60000000u

/* Each function first: whose call it is, and the level that it may be called at. */
static struct fuzz_world *world_at(void *adapter, const char *function, uint32_t highest, bool calls_back)
{
    struct fuzz_world *w = adapter;
    FUZZ_REQUIRE(w != NULL && w->ndis.adapter == adapter, "DRV-10",
                 "%s with a handle that is not this adapter's", function);
    fuzz_processor_called(w, function, highest, calls_back);
    return w;
}

#define PASSIVE(adapter, function) world_at((adapter), (function), VNIC_IRQL_PASSIVE, false)
#define DISPATCH(adapter, function) world_at((adapter), (function), VNIC_IRQL_DISPATCH, false)
#define CALLS_BACK(adapter, function) world_at((adapter), (function), VNIC_IRQL_DISPATCH, true)
#define ANY_LEVEL(adapter, function) world_at((adapter), (function), VNIC_IRQL_DIRQL, false)

/* ---- set-up ---- */

static uint32_t set_registration(void *adapter, const struct vnic_registration_attributes *attributes)
{
    return fuzz_attributes_registration(PASSIVE(adapter, "set_registration_attributes"), attributes);
}

static uint32_t set_general(void *adapter, const struct vnic_general_attributes *attributes)
{
    return fuzz_attributes_general(PASSIVE(adapter, "set_general_attributes"), attributes);
}

static uint32_t set_offload(void *adapter, const struct vnic_offload_attributes *attributes)
{
    return fuzz_attributes_offload(PASSIVE(adapter, "set_offload_attributes"), attributes);
}

static uint32_t read_configuration(void *adapter, const char *keyword, uint64_t *value)
{
    struct fuzz_world *w = PASSIVE(adapter, "read_configuration");
    FUZZ_REQUIRE(keyword != NULL && value != NULL, "DRV-10", "read_configuration was given NULL");
    if (strcmp(keyword, "*NumRssQueues") == 0) {
        *value = FUZZ_PAIRS;
    } else if (w->options.buffers
               && (strcmp(keyword, "*ReceiveBuffers") == 0 || strcmp(keyword, "*TransmitBuffers") == 0)) {
        *value = w->options.buffers;
    } else {
        return NDIS_STATUS_FILE_NOT_FOUND;
    }
    return NDIS_STATUS_SUCCESS;
}

static uint32_t read_network_address(void *adapter, uint8_t address[6])
{
    static const uint8_t configured[6] = {2, 0, 0, 0, 0xAB, 0xCD};
    struct fuzz_world *w = PASSIVE(adapter, "read_network_address");
    if (!w->options.has_address) {
        return NDIS_STATUS_FILE_NOT_FOUND;
    }
    memcpy(address, configured, sizeof configured);
    return NDIS_STATUS_SUCCESS;
}

/* ---- interrupts ---- */

static uint32_t register_interrupt(void *adapter, const struct vnic_interrupt_characteristics *wanted,
                                   struct vnic_ndis_interrupt *granted)
{
    struct fuzz_world *w = PASSIVE(adapter, "register_interrupt_ex");
    FUZZ_REQUIRE(wanted != NULL && granted != NULL, "DRV-10", "register_interrupt_ex was given NULL");
    return fuzz_interrupt_register(w, wanted, granted);
}

static void deregister_interrupt(void *adapter, void *interrupt)
{
    struct fuzz_world *w = world_at(adapter, "deregister_interrupt_ex", VNIC_IRQL_PASSIVE, true);
    fuzz_interrupt_deregister(w, interrupt);
}

static uint64_t queue_dpc(void *adapter, void *interrupt, uint32_t message, uint64_t processors,
                          void *context)
{
    struct fuzz_world *w = ANY_LEVEL(adapter, "queue_dpc_ex");
    fuzz_interrupt_own(w, interrupt, "queue_dpc_ex");
    FUZZ_REQUIRE(message < w->adapter.messages && processors >> FUZZ_PROCESSORS == 0, "INT-2",
                 "a DPC for message %u, processors 0x%llx", message, (unsigned long long)processors);
    return fuzz_processor_queue_dpc(w, message, processors, context);
}

static bool synchronize(void *adapter, void *interrupt, uint32_t message, bool (*function)(void *context),
                        void *context)
{
    struct fuzz_world *w = DISPATCH(adapter, "synchronize_with_interrupt_ex");
    fuzz_interrupt_own(w, interrupt, "synchronize_with_interrupt_ex");
    FUZZ_REQUIRE(function != NULL && message < w->adapter.messages, "DRV-10",
                 "synchronize_with_interrupt_ex");
    uint32_t *level = &w->cpu.each[w->cpu.current].level;
    const uint32_t before = *level;
    *level = VNIC_IRQL_DIRQL;
    const bool result = function(context);
    *level = before;
    return result;
}

/* ---- data ---- */

static void send_complete(void *adapter, struct vnic_net_buffer_list *chain, uint32_t flags)
{
    fuzz_send_complete(CALLS_BACK(adapter, "send_net_buffer_lists_complete"), chain, flags);
}

static void indicate_receive(void *adapter, struct vnic_net_buffer_list *chain, uint32_t port, uint32_t count,
                             uint32_t flags)
{
    struct fuzz_world *w = CALLS_BACK(adapter, "indicate_receive_net_buffer_lists");
    FUZZ_REQUIRE(port == 0, "DRV-12", "port %u: the adapter has one, 0", port);
    fuzz_receive_indicate(w, chain, count, flags);
}

static void *alloc_memory(void *adapter, size_t len, size_t align)
{
    return fuzz_memory_alloc(&DISPATCH(adapter, "alloc_memory")->memory, len, align, FUZZ_OWN);
}

static void free_memory(void *adapter, void *memory)
{
    fuzz_memory_free(&DISPATCH(adapter, "free_memory")->memory, memory, FUZZ_OWN, "free_memory");
}

static struct vnic_mdl *alloc_mdl(void *adapter, void *memory, uint32_t len)
{
    return fuzz_receive_alloc_mdl(DISPATCH(adapter, "alloc_mdl"), memory, len);
}

static void free_mdl(void *adapter, struct vnic_mdl *mdl)
{
    fuzz_receive_free_mdl(DISPATCH(adapter, "free_mdl"), mdl);
}

static struct vnic_net_buffer_list *alloc_list(void *adapter, struct vnic_mdl *mdl_chain,
                                               uint32_t data_offset, uint32_t data_length)
{
    struct fuzz_world *w = DISPATCH(adapter, "alloc_net_buffer_list");
    return fuzz_receive_alloc(w, mdl_chain, data_offset, data_length);
}

static void free_list(void *adapter, struct vnic_net_buffer_list *list)
{
    fuzz_receive_free(DISPATCH(adapter, "free_net_buffer_list"), list);
}

static const struct vnic_sg_list *alloc_sg_list(void *adapter, struct vnic_net_buffer *buffer)
{
    return fuzz_send_map(DISPATCH(adapter, "alloc_net_buffer_sg_list"), buffer);
}

static void free_sg_list(void *adapter, const struct vnic_sg_list *list)
{
    fuzz_send_unmap(DISPATCH(adapter, "free_net_buffer_sg_list"), list);
}

/* ---- statuses and completions ---- */

static void indicate_status(void *adapter, uint32_t status, const void *buffer, uint32_t len)
{
    struct fuzz_world *w = CALLS_BACK(adapter, "indicate_status_ex");
    uint8_t copy[512];
    FUZZ_REQUIRE(len <= sizeof copy && (buffer || !len), "STATUS-1", "a status buffer of %u bytes", len);
    FUZZ_REQUIRE(status != NDIS_STATUS_RESET_START && status != NDIS_STATUS_RESET_END
                     && status != NDIS_STATUS_MEDIA_CONNECT && status != NDIS_STATUS_MEDIA_DISCONNECT,
                 "STATUS-2", "status 0x%08X is NDIS's to indicate", status);
    if (len) {
        memcpy(copy, buffer, len);
    }
    (void)w;
}

static void indicate_link(void *adapter, const struct vnic_link_state *link)
{
    (void)CALLS_BACK(adapter, "indicate_link_state");
    fuzz_attributes_check_link(link, "STATUS-1");
}

static void oid_complete(void *adapter, struct vnic_oid_request *request, uint32_t status)
{
    fuzz_oid_complete(CALLS_BACK(adapter, "oid_request_complete"), request, status);
}

static void pause_complete(void *adapter)
{
    struct fuzz_world *w = CALLS_BACK(adapter, "pause_complete");
    FUZZ_REQUIRE(w->adapter.state == FUZZ_PAUSING && !w->adapter.is_pause_done, "PAUSE-4",
                 "no pause is pending");
    fuzz_life_check_paused(w);
    w->adapter.is_pause_done = true;
}

static void restart_complete(void *adapter, uint32_t status)
{
    struct fuzz_world *w = CALLS_BACK(adapter, "restart_complete");
    FUZZ_REQUIRE(w->adapter.state == FUZZ_RESTARTING && !w->adapter.is_restart_done, "RESTART-1",
                 "no restart is pending");
    w->adapter.restart_status = fuzz_status(status, "the status of a restart");
    w->adapter.is_restart_done = true;
    w->adapter.state = status == NDIS_STATUS_SUCCESS ? FUZZ_RUNNING : FUZZ_PAUSED;
}

static void reset_complete(void *adapter, uint32_t status, bool addressing_reset)
{
    struct fuzz_world *w = CALLS_BACK(adapter, "reset_complete");
    FUZZ_REQUIRE(w->adapter.is_resetting, "RESET-1", "no reset is pending");
    fuzz_life_reset_complete(w, status, addressing_reset);
}

/* FUZ-36. */
static struct fuzz_world *complaining(void *adapter, const char *function)
{
    struct fuzz_world *w = DISPATCH(adapter, function);
    FUZZ_REQUIRE(w->card.has_misbehaved, "FUZ-36", "%s, and the card is sound", function);
    return w;
}

static void remove_miniport(void *adapter)
{
    complaining(adapter, "remove_miniport")->adapter.wants_removal = true;
}

static void reset_miniport(void *adapter)
{
    complaining(adapter, "reset_miniport")->adapter.wants_reset = true;
}

/* ---- time, work, processors ---- */

static void *alloc_timer(void *adapter, void (*function)(void *context), void *context)
{
    return fuzz_timer_alloc(DISPATCH(adapter, "alloc_timer"), function, context);
}

static void set_timer(void *adapter, void *timer, uint64_t due_ns, uint64_t period_ns)
{
    fuzz_timer_set(DISPATCH(adapter, "set_timer"), timer, due_ns, period_ns);
}

static bool cancel_timer(void *adapter, void *timer)
{
    return fuzz_timer_cancel(DISPATCH(adapter, "cancel_timer"), timer);
}

static void free_timer(void *adapter, void *timer)
{
    fuzz_timer_free(DISPATCH(adapter, "free_timer"), timer);
}

static void queue_work_item(void *adapter, void (*routine)(void *context), void *context)
{
    fuzz_processor_queue_work(DISPATCH(adapter, "queue_work_item"), routine, context);
}

/* Others run meanwhile, and the card works. */
static void sleep_us(void *adapter, uint32_t microseconds)
{
    struct fuzz_world *w = world_at(adapter, "sleep", VNIC_IRQL_PASSIVE, true);
    FUZZ_REQUIRE(microseconds <= SLEEP_MOST_US && ++w->accesses <= FUZZ_ACCESSES_MOST, "HANG-1",
                 "sleep without an end");
    fuzz_transfer_work(w, 64);
    fuzz_processor_sleep(w, 1000ull * microseconds);
}

static uint64_t now_ns(void *adapter)
{
    return ANY_LEVEL(adapter, "now_ns")->cpu.now_ns;
}

static void *alloc_spin_lock(void *adapter)
{
    return fuzz_lock_alloc(PASSIVE(adapter, "alloc_spin_lock"));
}

static void free_spin_lock(void *adapter, void *lock)
{
    fuzz_lock_free(PASSIVE(adapter, "free_spin_lock"), lock);
}

static void acquire_spin_lock(void *adapter, void *lock)
{
    fuzz_lock_acquire(DISPATCH(adapter, "acquire_spin_lock"), lock);
}

static void release_spin_lock(void *adapter, void *lock)
{
    fuzz_lock_release(DISPATCH(adapter, "release_spin_lock"), lock);
}

static uint32_t current_processor(void *adapter)
{
    return ANY_LEVEL(adapter, "current_processor")->cpu.current;
}

static uint32_t current_irql(void *adapter)
{
    return fuzz_processor_level(ANY_LEVEL(adapter, "current_irql"));
}

const struct vnic_ndis_ops fuzz_ndis_ops = {
    .set_registration_attributes = set_registration,
    .set_general_attributes = set_general,
    .set_offload_attributes = set_offload,
    .register_interrupt_ex = register_interrupt,
    .deregister_interrupt_ex = deregister_interrupt,
    .queue_dpc_ex = queue_dpc,
    .synchronize_with_interrupt_ex = synchronize,
    .send_net_buffer_lists_complete = send_complete,
    .indicate_receive_net_buffer_lists = indicate_receive,
    .indicate_status_ex = indicate_status,
    .indicate_link_state = indicate_link,
    .oid_request_complete = oid_complete,
    .pause_complete = pause_complete,
    .restart_complete = restart_complete,
    .reset_complete = reset_complete,
    .remove_miniport = remove_miniport,
    .reset_miniport = reset_miniport,
    .alloc_memory = alloc_memory,
    .free_memory = free_memory,
    .alloc_mdl = alloc_mdl,
    .free_mdl = free_mdl,
    .alloc_net_buffer_list = alloc_list,
    .free_net_buffer_list = free_list,
    .alloc_net_buffer_sg_list = alloc_sg_list,
    .free_net_buffer_sg_list = free_sg_list,
    .alloc_timer = alloc_timer,
    .set_timer = set_timer,
    .cancel_timer = cancel_timer,
    .free_timer = free_timer,
    .queue_work_item = queue_work_item,
    .sleep = sleep_us,
    .now_ns = now_ns,
    .alloc_spin_lock = alloc_spin_lock,
    .free_spin_lock = free_spin_lock,
    .acquire_spin_lock = acquire_spin_lock,
    .release_spin_lock = release_spin_lock,
    .current_processor = current_processor,
    .current_irql = current_irql,
    .read_configuration = read_configuration,
    .read_network_address = read_network_address,
};
