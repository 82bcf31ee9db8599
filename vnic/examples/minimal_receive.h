/* minimal_receive.h: receives of minimal.c: a list over each buffer, lent to NDIS with a frame in it; the filters. */
#pragma once

#include "minimal_send.h"

/* PROG-7, PROG-11: everything but address and receive filter. */
static inline void card_enable(const struct card *card)
{
    card_put(card, REG_MAC_RX_MAX, 4, FRAME_MAX);
    card_put(card, REG_MAC_TX_CTRL, 4, MAC_TX_CTRL_ENABLE_MASK | MAC_TX_CTRL_PAD_MASK);
    card_put(card, REG_VEC_CTRL, 4, VEC_CTRL_ENABLE_MASK | VEC_CTRL_AUTO_MASK_MASK);
    card_put(card, REG_GLB_EVENT_ENABLE, 4, GLB_EVENT_ENABLE_LINK_MASK | GLB_EVENT_ENABLE_RING_MASK);
    card_put(card, REG_INT_CTRL, 4, INT_CTRL_MASTER_ENABLE_MASK);
}

static inline bool lists_allocate(struct minimal *m)
{
    for (uint32_t i = 0; i < BUFFERS; i++) {
        struct vnic_mdl *mdl = m->ops->alloc_mdl(m->ndis->adapter, m->card.mem->in[i], BUFFER);

        m->in[i] = mdl ? m->ops->alloc_net_buffer_list(m->ndis->adapter, mdl, 0, 0) : NULL;
        if (!m->in[i]) {
            return false;
        }
        m->in[i]->context = (void *)(uintptr_t)i;
    }
    return true;
}

static inline void lists_free(struct minimal *m)
{
    for (uint32_t i = 0; i < BUFFERS && m->in[i]; i++) {
        m->ops->free_mdl(m->ndis->adapter, m->in[i]->first_net_buffer->mdl_chain);
        m->ops->free_net_buffer_list(m->ndis->adapter, m->in[i]);
    }
}

static inline bool rings_start(struct minimal *m) /* with every receive buffer that NDIS does not have */
{
    const bool is_started = card_start(&m->card);

    for (uint32_t i = 0; i < BUFFERS; i++) {
        if (!m->is_lent[i]) {
            card_post(&m->card, i);
        }
    }
    return is_started;
}

static inline void pause_check(struct minimal *m)
{
    if (m->is_pausing && !m->lent && !m->oldest) {
        m->is_pausing = false;
        m->ops->pause_complete(m->ndis->adapter);
    }
}

static inline void give_back(void *context, struct vnic_net_buffer_list *chain, uint32_t flags)
{
    struct minimal *m = context;

    for (; chain; chain = chain->next, m->lent--) {
        const uint32_t buffer = (uint32_t)(uintptr_t)chain->context;

        m->is_lent[buffer] = false;
        card_post(&m->card, buffer);
    }
    pause_check(m);
    (void)flags;
}

/* PROG-25: nothing of the card's will be completed any more. */
static inline void card_lose(struct minimal *m)
{
    m->card.is_gone = true;
    sends_abort(m, NDIS_STATUS_ADAPTER_REMOVED);
}

static inline void serve(struct minimal *m) /* PROG-13, PROG-14: everything that the card has completed */
{
    struct vnic_net_buffer_list *received = NULL, *sent = NULL, **in = &received, **out = &sent;
    struct completion c;
    uint32_t count = 0;

    m->ops->acquire_spin_lock(m->ndis->adapter, m->lock);
    while (card_take(&m->card, &c)) {
        if (!c.is_sound) {
            m->ops->reset_miniport(m->ndis->adapter);
            break;
        }
        if (c.is_send) {
            *out = m->oldest ? send_report(m, c.status) : NULL;
            out = *out ? &(*out)->next : out;
        } else if (c.status != RX_ERROR_NONE) {
            card_post(&m->card, c.buffer);
        } else {
            *in = m->in[c.buffer];
            (*in)->first_net_buffer->data_length = c.len;
            in = &(*in)->next;
            m->is_lent[c.buffer] = true;
            count++;
        }
    }
    *in = NULL;
    m->lent += count;
    m->ops->release_spin_lock(m->ndis->adapter, m->lock);
    m->ops->send_net_buffer_lists_complete(m->ndis->adapter, sent, 0);
    sends_copy(m);
    if (count && m->is_running) {
        m->ops->indicate_receive_net_buffer_lists(m->ndis->adapter, received, 0, count, 0);
    } else {
        give_back(m, received, 0);
    }
    pause_check(m);
}

/* PROG-11; NDIS's bits and the card's have one order. */
static inline void filter_write(const struct minimal *m)
{
    const uint32_t bits = (m->filter & 0xF) << 1 | (m->filter & NDIS_PACKET_TYPE_PROMISCUOUS);

    card_put(&m->card, REG_MAC_RX_CTRL, 4, bits | (m->is_running ? MAC_RX_CTRL_ENABLE_MASK : 0));
}

static inline uint32_t multicast_set(const struct minimal *m, struct vnic_oid_request *request)
{
    request->bytes_read = request->information_buffer_length; /* NDIS saw to it that they fit */
    for (uint32_t i = 0; i < REG_MAC_MULTICAST_COUNT; i++) {
        uint64_t entry = 6 * i < request->bytes_read ? MAC_MULTICAST_VALID_MASK : 0;

        memcpy(&entry, (uint8_t *)request->information_buffer + 6 * i, entry ? 6 : 0);
        card_put(&m->card, REG_MAC_MULTICAST + i * REG_MAC_MULTICAST_STRIDE, 8, entry);
    }
    return NDIS_STATUS_SUCCESS;
}
