/* vnic_plain_traffic.h: what a simple miniport has under way: sends that wait, receives that are out, a pause for both. */
#ifndef VNIC_VNIC_PLAIN_TRAFFIC_H
#define VNIC_VNIC_PLAIN_TRAFFIC_H

#include "vnic/vnic_plain_context.h"

/* -- what is out ------------------------------------------------------------------------------------------------- */

static inline void vnic_plain_lock(struct vnic_plain_miniport *p)
{
    p->ops->acquire_spin_lock(p->ndis->adapter, p->lock);
}

static inline void vnic_plain_unlock(struct vnic_plain_miniport *p)
{
    p->ops->release_spin_lock(p->ndis->adapter, p->lock);
}

static inline struct vnic_net_buffer *vnic_plain_first_packet(struct vnic_net_buffer_list *list)
{
    return list ? list->first_net_buffer : NULL;
}

/* So many lists are back; the last of them ends a pause. */
static inline void vnic_plain_settle(struct vnic_plain_miniport *p, uint32_t count)
{
    bool is_paused;

    vnic_plain_lock(p);
    p->out -= count;
    is_paused = p->is_pausing && !p->out;
    p->is_pausing = p->is_pausing && !is_paused;
    vnic_plain_unlock(p);
    if (is_paused) {
        p->ops->pause_complete(p->ndis->adapter);
    }
}

/* Sends go back with the status that each has. */
static inline void vnic_plain_complete(struct vnic_plain_miniport *p, struct vnic_net_buffer_list *chain)
{
    uint32_t count = 0;

    for (const struct vnic_net_buffer_list *list = chain; list; list = list->next) {
        count++;
    }
    if (count) {
        p->ops->send_net_buffer_lists_complete(p->ndis->adapter, chain, 0);
        vnic_plain_settle(p, count);
    }
}

/* -- sends ------------------------------------------------------------------------------------------------------- */

static inline uint32_t vnic_plain_judge(const struct vnic_plain_miniport *p,
                                        const struct vnic_net_buffer_list *list)
{
    const struct vnic_net_buffer *packet = list->first_net_buffer;

    if (!p->is_running || p->is_gone) {
        return p->is_running ? NDIS_STATUS_ADAPTER_REMOVED : NDIS_STATUS_PAUSED;
    }
    while (packet && packet->data_length >= VNIC_ETHERNET_HEADER_BYTES
           && packet->data_length <= p->card->frame_max) {
        packet = packet->next;
    }
    return packet || !list->first_net_buffer ? NDIS_STATUS_INVALID_LENGTH : NDIS_STATUS_SUCCESS;
}

/* L: behind all others. */
static inline void vnic_plain_enqueue(struct vnic_plain_miniport *p, struct vnic_net_buffer_list *list)
{
    *p->end = list;
    p->end = &list->next;
    p->out++;
    if (p->oldest == list) {
        p->reported = list->first_net_buffer;
    }
    if (!p->waiting) {
        p->waiting = list;
        p->packet = list->first_net_buffer;
    }
}

/* Everything that waits, while there is room. */
static inline void vnic_plain_transmit(struct vnic_plain_miniport *p)
{
    vnic_plain_lock(p);
    while (p->waiting && p->card->transmit && p->card->transmit(p, p->packet)) {
        p->posted++;
        p->packet = p->packet->next;
        if (!p->packet) {
            p->waiting = p->waiting->next;
            p->packet = vnic_plain_first_packet(p->waiting);
        }
    }
    vnic_plain_unlock(p);
}

/* MiniportSendNetBufferLists. */
static inline void vnic_plain_send(void *context, struct vnic_net_buffer_list *chain, uint32_t port,
                                   uint32_t flags)
{
    struct vnic_plain_miniport *p = (struct vnic_plain_miniport *)context;
    struct vnic_net_buffer_list *list, *refused = NULL, **end = &refused;

    vnic_plain_lock(p);
    while ((list = chain) != NULL) {
        chain = list->next;
        list->next = NULL;
        list->status = vnic_plain_judge(p, list);
        if (list->status == NDIS_STATUS_SUCCESS) {
            vnic_plain_enqueue(p, list);
        } else {
            *end = list;
            end = &list->next;
        }
    }
    vnic_plain_unlock(p);
    if (refused) {
        p->ops->send_net_buffer_lists_complete(p->ndis->adapter, refused, 0);
    }
    vnic_plain_transmit(p);
    (void)port, (void)flags;
}

/* L: where the lists begin of which the ring has nothing. */
static inline struct vnic_net_buffer_list **vnic_plain_unbegun(struct vnic_plain_miniport *p)
{
    struct vnic_net_buffer_list **at = &p->oldest;

    while (*at != p->waiting) {
        at = &(*at)->next;
    }
    return *at && p->packet != (*at)->first_net_buffer ? &(*at)->next : at;
}

/* L: takes the lists of an id out of the queue, from `at` on. */
static inline struct vnic_net_buffer_list *
vnic_plain_withdraw(struct vnic_plain_miniport *p, struct vnic_net_buffer_list **at, uint64_t cancel_id)
{
    struct vnic_net_buffer_list *list, *chain = NULL, **end = &chain;

    while ((list = *at) != NULL) {
        if (list->cancel_id != cancel_id) {
            at = &list->next;
            continue;
        }
        *at = list->next;
        list->next = NULL;
        list->status = NDIS_STATUS_SEND_ABORTED;
        *end = list;
        end = &list->next;
    }
    p->end = at;
    return chain;
}

/* MiniportCancelSend: what the ring has a packet of is sent. */
static inline void vnic_plain_cancel_send(void *context, uint64_t cancel_id)
{
    struct vnic_plain_miniport *p = (struct vnic_plain_miniport *)context;
    struct vnic_net_buffer_list **from, *cancelled;
    bool is_waiting;

    vnic_plain_lock(p);
    from = vnic_plain_unbegun(p);
    is_waiting = *from == p->waiting;
    cancelled = vnic_plain_withdraw(p, from, cancel_id);
    if (is_waiting) {
        p->waiting = *from;
        p->packet = vnic_plain_first_packet(*from);
        p->reported = p->posted ? p->reported : p->packet;
    }
    vnic_plain_unlock(p);
    vnic_plain_complete(p, cancelled);
}

/* L: nothing of what is queued is sent any more, whatever the ring has of it. */
static inline struct vnic_net_buffer_list *vnic_plain_abandon(struct vnic_plain_miniport *p, uint32_t status)
{
    struct vnic_net_buffer_list *chain = p->oldest;

    for (struct vnic_net_buffer_list *list = chain; list; list = list->next) {
        list->status = status;
    }
    p->oldest = p->waiting = NULL;
    p->end = &p->oldest;
    p->reported = p->packet = NULL;
    p->posted = 0;
    return chain;
}

/* -- receives ---------------------------------------------------------------------------------------------------- */

/* For open(): a list over each of `count` buffers of `bytes`, from `memory` on; NDIS_STATUS_RESOURCES. */
static inline uint32_t vnic_plain_add_receives(struct vnic_plain_miniport *p,
                                               struct vnic_plain_receive *receives, uint32_t count,
                                               uint8_t *memory, uint32_t bytes)
{
    p->receives = receives;
    p->receive_bytes = bytes;
    for (; p->receive_count < count; p->receive_count++, memory += bytes) {
        struct vnic_mdl *mdl = p->ops->alloc_mdl(p->ndis->adapter, memory, bytes);
        struct vnic_net_buffer_list *list;

        if (!mdl) {
            return NDIS_STATUS_RESOURCES;
        }
        list = p->ops->alloc_net_buffer_list(p->ndis->adapter, mdl, 0, 0);
        if (!list) {
            p->ops->free_mdl(p->ndis->adapter, mdl);
            return NDIS_STATUS_RESOURCES;
        }
        list->context = (void *)(uintptr_t)p->receive_count;
        receives[p->receive_count].list = list;
    }
    return NDIS_STATUS_SUCCESS;
}

static inline void vnic_plain_free_receives(struct vnic_plain_miniport *p)
{
    while (p->receive_count) {
        struct vnic_net_buffer_list *list = p->receives[--p->receive_count].list;

        p->ops->free_mdl(p->ndis->adapter, list->first_net_buffer->mdl_chain);
        p->ops->free_net_buffer_list(p->ndis->adapter, list);
    }
}

/* MiniportReturnNetBufferLists: the buffers are the card's again. */
static inline void vnic_plain_return(void *context, struct vnic_net_buffer_list *chain, uint32_t flags)
{
    struct vnic_plain_miniport *p = (struct vnic_plain_miniport *)context;
    uint32_t count = 0;

    vnic_plain_lock(p);
    for (; chain; chain = chain->next, count++) {
        const uint32_t buffer = (uint32_t)(uintptr_t)chain->context;

        p->receives[buffer].is_lent = false;
        p->card->post(p, buffer);
    }
    vnic_plain_unlock(p);
    vnic_plain_settle(p, count);
    (void)flags;
}

/* -- what the card has completed --------------------------------------------------------------------------------- */

/* Begins a look at the completion ring. */
static inline void vnic_plain_begin(struct vnic_plain_miniport *p, struct vnic_plain_work *work)
{
    memset(work, 0, sizeof *work);
    work->plain = p;
    work->sent_end = &work->sent;
    work->received_end = &work->received;
    vnic_plain_lock(p);
}

/* The card has done with the oldest packet in the ring, and so it ended. */
static inline void vnic_plain_sent(struct vnic_plain_work *work, uint32_t status)
{
    struct vnic_plain_miniport *p = work->plain;
    struct vnic_net_buffer_list *list = p->oldest;

    if (!p->posted) {
        return; /* nothing is in the ring: of before a reset, or of a card that does not work */
    }
    p->posted--;
    p->reports++;
    list->status = status ? status : list->status;
    p->reported = p->reported->next;
    if (!p->reported) { /* its last: it goes back */
        p->oldest = list->next;
        p->end = p->oldest ? p->end : &p->oldest;
        p->reported = vnic_plain_first_packet(p->oldest);
        list->next = NULL;
        *work->sent_end = list;
        work->sent_end = &list->next;
    }
}

/* The card has put a frame of `len` bytes into a buffer; false: no buffer holds such a frame. */
static inline bool vnic_plain_received(struct vnic_plain_work *work, uint32_t buffer, uint32_t len)
{
    struct vnic_plain_receive *receive = &work->plain->receives[buffer];

    if (len < VNIC_ETHERNET_HEADER_BYTES || len > work->plain->receive_bytes) {
        return false;
    }
    receive->is_lent = true;
    receive->list->first_net_buffer->data_length = len;
    *work->received_end = receive->list;
    work->received_end = &receive->list->next;
    work->count++;
    return true;
}

/* Ends the look: what was found goes up, what waits goes down; a card that wrote what it must not is reset. */
static inline void vnic_plain_end(struct vnic_plain_work *work, bool is_sound)
{
    struct vnic_plain_miniport *p = work->plain;

    *work->received_end = NULL;
    p->out += work->count;
    vnic_plain_unlock(p);
    vnic_plain_complete(p, work->sent);
    vnic_plain_transmit(p);
    if (work->count && p->is_running) {
        p->ops->indicate_receive_net_buffer_lists(p->ndis->adapter, work->received, 0, work->count, 0);
    } else if (work->count) {
        vnic_plain_return(p, work->received, 0);
    }
    if (!is_sound) {
        p->ops->reset_miniport(p->ndis->adapter);
    }
}

/* -- interrupts -------------------------------------------------------------------------------------------------- */

/* For open(): registers for one message; from now on it may come. */
static inline uint32_t vnic_plain_connect(struct vnic_plain_miniport *p)
{
    struct vnic_interrupt_characteristics one;

    memset(&one, 0, sizeof one);
    one.messages = 1;
    return p->ops->register_interrupt_ex(p->ndis->adapter, &one, &p->irq);
}

/* MiniportInterrupt and MiniportMessageInterrupt; nothing is ours before registration has returned. */
static inline bool vnic_plain_interrupt(void *context, uint32_t message_id, bool *queue_default_dpc,
                                        uint64_t *target_processors)
{
    const struct vnic_plain_miniport *p = (const struct vnic_plain_miniport *)context;

    (void)message_id, (void)target_processors;
    *queue_default_dpc =
        p->irq.handle && !p->is_gone
        && (p->irq.kind == VNIC_INTERRUPT_MSIX || (p->card->is_raised && p->card->is_raised(context)));
    return *queue_default_dpc;
}

/* MiniportInterruptDPC and MiniportMessageInterruptDPC. */
static inline void vnic_plain_interrupt_dpc(void *context, uint32_t message_id, uint32_t processor,
                                            void *dpc_context)
{
    const struct vnic_plain_miniport *p = (const struct vnic_plain_miniport *)context;

    if (p->card->serve) {
        p->card->serve(context);
    }
    (void)message_id, (void)processor, (void)dpc_context;
}

#endif
