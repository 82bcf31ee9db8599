/* copy.c: creation and end of a copy engine, and its configuration. */
#include "copy/copy.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"

#define CLASS_SYSTEM_PERIPHERAL 0x088000u
#define TRANSFER_LOG2_MIN 12u
#define TRANSFER_LOG2_MAX 30u

void vnic_copy_config_init(struct vnic_copy_config *config)
{
    *config = (struct vnic_copy_config){
        .vendor_id = 0x8086,
        .device_id = 0x0E20,
        .subsystem_vendor_id = 0x8086,
        .subsystem_id = 0x0E20,
        .revision = 4,
        .function = 1,
        .channels = 4,
        .vectors = VNIC_COPY_CHANNELS_MAX,
        .msi_capable_log2 = 4,
        .transfer_log2 = 20,
        .map_regions = 65536,
        .faults = 64,
    };
}

static bool config_is_sound(const struct vnic_copy_config *c)
{
    return c->channels >= 1 && c->channels <= VNIC_COPY_CHANNELS_MAX && c->vectors >= 1
           && c->vectors <= VNIC_COPY_CHANNELS_MAX + 1 && c->msi_capable_log2 <= 5
           && c->transfer_log2 >= TRANSFER_LOG2_MIN && c->transfer_log2 <= TRANSFER_LOG2_MAX
           && c->is_overlapping <= 1 && c->reserved == 0 && c->map_regions >= 1 && c->map_regions <= 1u << 24
           && c->faults <= 65536 && c->function < 8;
}

static struct pci_identity copy_identity(const struct vnic_copy_config *c)
{
    return (struct pci_identity){
        .vendor = c->vendor_id,
        .device = c->device_id,
        .subsystem_vendor = c->subsystem_vendor_id,
        .subsystem = c->subsystem_id,
        .class_code = CLASS_SYSTEM_PERIPHERAL,
        .revision = c->revision,
        .function = c->function,
        .interrupt_pin = 1,
        .is_multifunction = c->function != 0,
        .has_channel_errors = true,
        .bar_bytes = {[0] = COPY_BAR0_BYTES},
        .vectors = c->vectors,
        .msi_capable_log2 = c->msi_capable_log2,
        .msix_bar = 0,
        .msix_table_offset = COPY_MSIX_TABLE,
        .msix_pba_offset = COPY_MSIX_PBA,
        .map_regions = c->map_regions,
        .faults = c->faults,
        .lacks_fault_sites = 1u << VNIC_FAULT_FRAME_IN | 1u << VNIC_FAULT_FRAME_OUT | 1u << VNIC_FAULT_TIMER
                             | 1u << VNIC_FAULT_ADMIN,
    };
}

/* The generated map without the channels that this engine lacks: their blocks are no registers. */
static void copy_build_map(struct vnic_copy *copy)
{
    vnic_assert(copy_bar0_map.spans == COPY_SPANS);
    for (uint32_t s = 0; s < COPY_SPANS; s++) {
        copy->span[s] = copy_bar0_map.span[s];
        if (copy->span[s].count == COPY_CHAN_COUNT) {
            copy->span[s].count = copy->config.channels;
        }
    }
    copy->map = copy_bar0_map;
    copy->map.span = copy->span;
}

static size_t copy_held_bytes(const struct vnic_copy *copy)
{
    return copy->config.is_overlapping ? (size_t)copy->config.channels * COPY_PAGE : 0;
}

static int copy_allocate(struct vnic_copy *copy)
{
    const struct pci_identity identity = copy_identity(&copy->config);
    copy_build_map(copy);
    int result = pci_create(&copy->pci, &identity, &copy_pci_ops, copy);
    if (result == VNIC_OK) {
        result = regfile_create(&copy->regs, &copy->map, &copy_register_ops, copy);
    }
    if (result == VNIC_OK && copy->config.is_overlapping) {
        copy->held = calloc(1, copy_held_bytes(copy));
        result = copy->held ? VNIC_OK : VNIC_ENOMEM;
    }
    return result;
}

int vnic_copy_create(const struct vnic_copy_config *config, vnic_copy **engine)
{
    *engine = NULL;
    if (!config_is_sound(config)) {
        return VNIC_EINVAL;
    }
    struct vnic_copy *made = calloc(1, sizeof *made);
    if (!made) {
        return VNIC_ENOMEM;
    }
    made->config = *config;
    made->scratch.ops = move_ops_best();
    const int result = copy_allocate(made);
    if (result != VNIC_OK) {
        vnic_copy_destroy(made);
        return result;
    }
    pci_reset(&made->pci, PCI_RESET_POWER);
    *engine = made;
    return VNIC_OK;
}

void vnic_copy_destroy(vnic_copy *engine)
{
    if (!engine) {
        return;
    }
    regfile_destroy(&engine->regs);
    pci_destroy(&engine->pci);
    free(engine->held);
    free(engine);
}

size_t vnic_copy_footprint(const vnic_copy *engine)
{
    return sizeof *engine + copy_held_bytes(engine) + regfile_bytes(&engine->map)
           + pci_footprint(&engine->pci);
}
