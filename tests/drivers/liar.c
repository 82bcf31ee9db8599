/* liar.c: the example driver with a card that reports, at each interrupt, more than it was ever given. */
#include <stdlib.h>

#define vnic_driver_entry minimal_entry
#include "minimal.c"
#undef vnic_driver_entry

static void lie(void *context)
{
    struct vnic_plain_work work;

    vnic_plain_begin(context, &work);
    for (uint32_t i = 0; i < 2 * RING; i++) {
        vnic_plain_sent(&work, NDIS_STATUS_FAILURE);
    }
    if (vnic_plain_received(&work, 0, 13) || vnic_plain_received(&work, 0, BUFFER + 1)) {
        abort();
    }
    vnic_plain_end(&work, true);
    serve(context);
}

static uint32_t liar_initialize(void *context, const struct vnic_ndis *ndis)
{
    static struct vnic_plain_card lying;

    lying = card;
    lying.serve = lie;
    return vnic_plain_initialize(context, ndis, &lying);
}

const struct vnic_miniport *vnic_driver_entry(uint32_t abi)
{
    static const struct vnic_miniport miniport = VNIC_PLAIN_MINIPORT(struct minimal, liar_initialize);

    return abi == VNIC_DRIVER_ABI ? &miniport : NULL;
}
