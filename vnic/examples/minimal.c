/* minimal.c: a complete small NDIS 6 miniport, in five files: one queue pair, one interrupt, frames copied. */
#include "minimal_oids.h"

static bool interrupt(void *context, uint32_t message, bool *wants_dpc, uint64_t *processors) /* PROG-15 */
{
    const struct minimal *m = context;

    (void)message, (void)processors;
    *wants_dpc =
        m->irq.handle && (m->irq.kind == VNIC_INTERRUPT_MSIX || card_get(&m->card, REG_INT_CAUSE, 4));
    return *wants_dpc;
}

static void dpc(void *context, uint32_t message, uint32_t processor, void *dpc_context)
{
    struct minimal *m = context;
    const uint64_t events = card_get(&m->card, REG_GLB_EVENT, 4);

    card_put(&m->card, REG_GLB_EVENT, 4, events); /* PROG-16 */
    if (events == UINT32_MAX) {
        card_lose(m);
        m->ops->remove_miniport(m->ndis->adapter);
    } else if (events & GLB_EVENT_RING_MASK) {
        m->ops->reset_miniport(m->ndis->adapter);
    } else if (events & GLB_EVENT_LINK_MASK) {
        const struct vnic_link_state link = link_read(m);
        m->ops->indicate_link_state(m->ndis->adapter, &link);
    }
    serve(m);
    card_put(&m->card, REG_VEC_CTRL, 4, VEC_CTRL_ENABLE_MASK | VEC_CTRL_AUTO_MASK_MASK);
    (void)message, (void)processor, (void)dpc_context;
}

static void halt(void *context, uint32_t action)
{
    struct minimal *m = context;

    card_put(&m->card, REG_INT_CTRL, 4, 0);
    if (m->irq.handle) {
        m->ops->deregister_interrupt_ex(m->ndis->adapter, m->irq.handle);
    }
    lists_free(m);
    m->ops->free_spin_lock(m->ndis->adapter, m->lock);
    card_close(&m->card);
    (void)action;
}

static uint32_t initialize(void *context, const struct vnic_ndis *ndis)
{
    static const struct vnic_interrupt_characteristics one_message = {.messages = 1};
    struct minimal *m = context;
    uint32_t status;

    m->ndis = ndis, m->ops = ndis->ops, m->card.bus = &ndis->bus;
    m->lock = m->ops->alloc_spin_lock(ndis->adapter);
    status = register_adapter(m);
    if (!status) {
        status = card_open(&m->card);
    }
    if (!status && !lists_allocate(m)) {
        status = NDIS_STATUS_RESOURCES;
    }
    if (!status) {
        status = m->ops->register_interrupt_ex(ndis->adapter, &one_message, &m->irq);
    }
    if (!status) {
        status = describe_adapter(m);
    }
    if (!status && !rings_start(m)) {
        status = NDIS_STATUS_DEVICE_FAILED;
    }
    if (status) {
        halt(m, NDIS_HALT_INITIALIZATION_FAILED);
    } else {
        card_enable(&m->card);
    }
    return status;
}

static uint32_t pause(void *context, uint32_t flags)
{
    struct minimal *m = context;

    m->is_running = false;
    filter_write(m);
    m->is_pausing = m->lent || m->oldest;
    (void)flags;
    return m->is_pausing ? NDIS_STATUS_PENDING : NDIS_STATUS_SUCCESS;
}

static uint32_t restart(void *context)
{
    struct minimal *m = context;

    m->is_running = true;
    filter_write(m);
    return NDIS_STATUS_SUCCESS;
}

static uint32_t reset(void *context, bool *addressing_reset)
{
    const bool is_started = rings_start(context);

    (void)addressing_reset; /* only the rings are reset: filter and counters stand */
    card_enable(&((struct minimal *)context)->card);
    sends_abort(context, NDIS_STATUS_RESET_IN_PROGRESS);
    pause_check(context);
    return is_started ? NDIS_STATUS_SUCCESS : NDIS_STATUS_HARD_ERRORS;
}

static void pnp_event(void *context, uint32_t event)
{
    if (event == NDIS_PNP_EVENT_SURPRISE_REMOVED) {
        card_lose(context);
    }
}

static void shut_down(void *context, uint32_t action)
{
    card_put(&((struct minimal *)context)->card, REG_GLB_CTRL, 4, GLB_CTRL_RESET_MASK);
    (void)action;
}

static const struct vnic_miniport miniport = {VNIC_DRIVER_ABI,
                                              sizeof miniport,
                                              6,
                                              20,
                                              sizeof(struct minimal),
                                              .initialize_ex = initialize,
                                              .halt_ex = halt,
                                              .pause = pause,
                                              .restart = restart,
                                              .send_net_buffer_lists = send,
                                              .cancel_send = cancel,
                                              .return_net_buffer_lists = give_back,
                                              .oid_request = oid_request,
                                              .reset_ex = reset,
                                              .check_for_hang_ex = check_for_hang,
                                              .device_pnp_event_notify = pnp_event,
                                              .shutdown_ex = shut_down,
                                              .interrupt = interrupt,
                                              .interrupt_dpc = dpc};

const struct vnic_miniport *vnic_driver_entry(uint32_t abi)
{
    return abi == VNIC_DRIVER_ABI ? &miniport : NULL;
}
