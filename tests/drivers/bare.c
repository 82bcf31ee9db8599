/* bare.c: a driver that leaves out of struct vnic_plain_card all that may be left out. */
#include <vnic/vnic_plain_card.h>

static uint32_t bare_open(void *context, struct vnic_plain_identity *identity)
{
    return vnic_card_bring_up(context, identity);
}

static const struct vnic_plain_card bare = {
    .vendor_description = "bare",
    .frame_max = 1514,
    .sends_max = 1,
    .list_max = 2,
    .open = bare_open,
    .close = vnic_card_close,
};

VNIC_PLAIN_DRIVER(struct vnic_plain_miniport, bare)
