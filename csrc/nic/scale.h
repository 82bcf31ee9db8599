/* scale.h: receive-side scaling: the active configuration, its commit, and the queue of a frame. */
#ifndef VNIC_NIC_SCALE_H
#define VNIC_NIC_SCALE_H

#include "nic/card.h"

/* The written configuration becomes the active one, or is refused and changes nothing. */
void scale_commit(struct vnic *card);

/* [RSS-6] The queue of a frame: by table of its hash; the default one without. */
static inline unsigned scale_pair(const struct vnic *card, uint32_t hash, uint32_t hash_type)
{
    const struct rss *rss = &card->state.rss;
    if (hash_type == 0) {
        return rss->default_queue;
    }
    return rss->table[hash & ((1u << rss->table_log2) - 1)];
}

uint32_t scale_read_status(const struct vnic *card);
void scale_reset(struct vnic *card);
void scale_archive(struct vnic *card, struct archive *a);

#endif
