/* snapshot.c: the order of a snapshot's sections, and its header. */
#include "copy/snapshot.h"

#include "copy/interrupt.h"
#include "copy/run.h"
#include "copy/tags.h"

#define SNAPSHOT_MAGIC 0x79706F636369766Eull /* "nviccopy" */
#define SNAPSHOT_VERSION 1u

/* What state depends on: a snapshot loads into an engine of the same shape only. */
static uint64_t snapshot_shape(const struct vnic_copy *copy)
{
    const struct vnic_copy_config *c = &copy->config;
    const uint32_t parts[] = {c->channels,  c->vectors,       c->msi_capable_log2, c->vendor_id,
                              c->device_id, c->transfer_log2, c->is_overlapping};
    uint64_t hash = 0xCBF29CE484222325ull;
    for (unsigned i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        for (unsigned shift = 0; shift < 32; shift += 8) {
            hash = (hash ^ (parts[i] >> shift & 0xFF)) * 0x100000001B3ull;
        }
    }
    return hash;
}

static int snapshot_header(struct vnic_copy *copy, struct archive *a)
{
    uint64_t magic = SNAPSHOT_MAGIC, map = copy_bar0_map.hash, shape = snapshot_shape(copy);
    uint32_t version = SNAPSHOT_VERSION;
    ARCHIVE(a, TAG_COPY_MAGIC, magic, UINT64_MAX);
    if (a->failed || magic != SNAPSHOT_MAGIC) {
        return VNIC_EFORMAT;
    }
    ARCHIVE(a, TAG_COPY_VERSION, version, UINT32_MAX);
    ARCHIVE(a, TAG_COPY_REGISTER_MAP, map, UINT64_MAX);
    if (!a->failed && (version != SNAPSHOT_VERSION || map != copy_bar0_map.hash)) {
        return VNIC_EVERSION;
    }
    ARCHIVE(a, TAG_COPY_CONFIG, shape, UINT64_MAX);
    return a->failed ? VNIC_EFORMAT : shape == snapshot_shape(copy) ? VNIC_OK : VNIC_ECONFIG;
}

/* [DMA-34] Attention is that of channels there are, and the line follows from it. */
static bool snapshot_is_attention_sound(const struct vnic_copy *copy)
{
    const uint32_t channels = (1u << copy->config.channels) - 1;
    return (regfile_get(&copy->regs, COPY_ATTNSTATUS) & ~channels) == 0
           && copy->pci.is_line_asserted == interrupt_is_line_wanted(copy);
}

static void snapshot_turn(struct vnic_copy *copy, struct archive *a)
{
    struct copy_state *s = &copy->state;
    ARCHIVE(a, TAG_COPY_TURN, s->turn, VNIC_COPY_ENGINES - 1);
    ARCHIVE(a, TAG_COPY_TURN_STEPS, s->turn_steps, COPY_TURN);
}

void snapshot_walk_copy(struct vnic_copy *copy, struct archive *a, int *refusal)
{
    uint8_t end = 0;
    *refusal = snapshot_header(copy, a);
    if (*refusal != VNIC_OK) {
        return;
    }
    pci_archive(&copy->pci, a);
    regfile_archive(&copy->regs, a);
    archive_refuse_if(a, !snapshot_is_attention_sound(copy));
    for (unsigned n = 0; n < copy->config.channels && !a->failed; n++) {
        channel_archive(copy, n, a);
    }
    snapshot_turn(copy, a);
    ARCHIVE(a, TAG_COPY_END, end, 0);
    archive_refuse_if(a, a->at != a->len);
    *refusal = a->failed ? VNIC_EFORMAT : VNIC_OK;
}
