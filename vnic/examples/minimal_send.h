/* minimal_send.h: sends of minimal.c: copied into the ring when there is room, NDIS's again when the card says so. */
#pragma once

#include "minimal_card.h"

struct minimal {
    const struct vnic_ndis *ndis;
    const struct vnic_ndis_ops *ops;
    struct vnic_ndis_interrupt irq;
    struct card card;
    void *lock; /* guards the transmit ring and the next four */
    struct vnic_net_buffer_list *oldest; /* of all sends, until the card has completed their packets */
    struct vnic_net_buffer *reported; /* of the oldest: the packet whose completion is next */
    struct vnic_net_buffer_list *copying; /* the first that is not wholly in the ring */
    struct vnic_net_buffer *packet; /* of that one: the next to be copied */
    struct vnic_net_buffer_list *in[BUFFERS]; /* one over each receive buffer, whose number is its context */
    bool is_lent[BUFFERS], is_running, is_pausing;
    uint32_t lent, filter;
    struct vnic_net_buffer_list *watched; /* the oldest send at the last check for hang, */
    uint32_t checked; /* and how many completions had been taken then */
};

static inline void sends_end(struct minimal *m, struct vnic_net_buffer_list *chain, uint32_t status)
{
    for (struct vnic_net_buffer_list *list = chain; list; list = list->next) {
        list->status = status;
    }
    m->ops->send_net_buffer_lists_complete(m->ndis->adapter, chain, 0);
}

static inline void sends_abort(struct minimal *m, uint32_t status)
{
    struct vnic_net_buffer_list *chain = m->oldest;

    m->oldest = m->copying = NULL; /* what the card has of them does not count any more */
    sends_end(m, chain, status);
}

static inline void sends_copy(struct minimal *m) /* PROG-12, while there is room */
{
    m->ops->acquire_spin_lock(m->ndis->adapter, m->lock);
    while (m->copying && card_has_room(&m->card)) {
        card_send(&m->card, m->packet);
        m->packet = m->packet->next;
        if (!m->packet) {
            m->copying = m->copying->next;
            m->packet = m->copying ? m->copying->first_net_buffer : NULL;
        }
    }
    m->ops->release_spin_lock(m->ndis->adapter, m->lock);
}

/* The card has done with the oldest packet; the list that it was the last of, else NULL. */
static inline struct vnic_net_buffer_list *send_report(struct minimal *m, uint32_t tx_status)
{
    struct vnic_net_buffer_list *list = m->oldest;

    if (tx_status != TX_STATUS_OK) {
        list->status = tx_status == TX_STATUS_LINK ? NDIS_STATUS_MEDIA_DISCONNECTED : NDIS_STATUS_FAILURE;
    }
    m->reported = m->reported->next;
    if (m->reported) {
        return NULL;
    }
    m->oldest = list->next;
    m->reported = m->oldest ? m->oldest->first_net_buffer : NULL;
    list->next = NULL;
    return list;
}

static inline void send_queue(struct minimal *m, struct vnic_net_buffer_list *list)
{
    struct vnic_net_buffer_list **end = &m->oldest;

    m->ops->acquire_spin_lock(m->ndis->adapter, m->lock);
    while (*end) {
        end = &(*end)->next;
    }
    *end = list;
    m->reported = m->oldest == list ? list->first_net_buffer : m->reported;
    m->packet = m->copying ? m->packet : list->first_net_buffer;
    m->copying = m->copying ? m->copying : list;
    m->ops->release_spin_lock(m->ndis->adapter, m->lock);
}

static inline bool packet_fits(const struct vnic_net_buffer *packet)
{
    return packet->data_length >= FRAME_MIN && packet->data_length <= FRAME_MAX;
}

static inline void send(void *context, struct vnic_net_buffer_list *chain, uint32_t port, uint32_t flags)
{
    struct minimal *m = context;

    for (struct vnic_net_buffer_list *list = chain; list; list = chain) {
        chain = list->next;
        list->next = NULL;
        list->status = !m->is_running    ? NDIS_STATUS_PAUSED
                       : m->card.is_gone ? NDIS_STATUS_ADAPTER_REMOVED
                                         : 0;
        for (struct vnic_net_buffer *packet = list->first_net_buffer; packet && !list->status;
             packet = packet->next) {
            list->status = packet_fits(packet) ? NDIS_STATUS_SUCCESS : NDIS_STATUS_INVALID_LENGTH;
        }
        if (list->status) {
            sends_end(m, list, list->status);
        } else {
            send_queue(m, list);
        }
    }
    sends_copy(m);
    (void)port, (void)flags;
}

/* What of an id has not been begun goes back at once; what the card has, it sends. */
static inline void cancel(void *context, uint64_t cancel_id)
{
    struct minimal *m = context;
    struct vnic_net_buffer_list *cancelled = NULL, **out = &cancelled;

    m->ops->acquire_spin_lock(m->ndis->adapter, m->lock);
    for (struct vnic_net_buffer_list **at = m->copying ? &m->copying->next : &cancelled; *at;) {
        if ((*at)->cancel_id == cancel_id) {
            *out = *at;
            *at = (*at)->next;
            out = &(*out)->next;
            *out = NULL;
        } else {
            at = &(*at)->next;
        }
    }
    m->ops->release_spin_lock(m->ndis->adapter, m->lock);
    sends_end(m, cancelled, NDIS_STATUS_SEND_ABORTED);
}

/* A send that does not move between two checks. */
static inline bool check_for_hang(void *context)
{
    struct minimal *m = context;
    const bool is_stuck = m->oldest && m->oldest == m->watched && m->checked == m->card.cq_next;

    m->watched = m->oldest;
    m->checked = m->card.cq_next;
    m->ops->queue_dpc_ex(m->ndis->adapter, m->irq.handle, 0, 1,
                         NULL); /* should an interrupt have been lost */
    return is_stuck;
}
